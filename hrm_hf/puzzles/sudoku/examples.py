"""Example Sudoku, by size and difficulty: made by `random_sudoku`, and stored here to avoid waiting.

The model of `make demo` solves those of 6x6, the shipped `sudoku-hard` those of 9x9: the first hard one needs the most
thinking.
"""

from hrm_hf.app.solving import any_seed, checked_difficulty, whole_number


# given cells; None is the minimum reached by removing them one by one
_CLUES = {
    4: {"easy": 9, "medium": 7, "hard": 5},
    6: {"easy": 26, "medium": 22, "hard": 18},
    9: {"easy": 45, "medium": 34, "hard": None},
    16: {"easy": 200, "medium": 170, "hard": 150},
}

EXAMPLES: dict[int, dict[str, tuple[str, ...]]] = {
    4: {
        "easy": ("4.3113..3124....", "2....123.2411.3.", "3.2.4...2.3.1342"),
        "medium": ("4.31.3..312.....", "2....123..4.1.3.", "..2.4...2.3..342"),
        "hard": ("4.31.3....2.....", "2.....2...4.1.3.", "..2.4.....3..3.2"),
    },
    6: {
        "easy": (
            "613.25.4.36.4.1256.26143354..21.25.4",
            ".13254.2.16323..1615.3..34.62.562431",
            "524.1.6.14.22631.5415.363..5..156324",
        ),
        "medium": (
            "613.2..4.36.4.125..2.143354..21.2..4",
            ".1325..2.16.23..1615.3..34.62..624.1",
            "524.1.6.14.22631..415...3..5..1563.4",
        ),
        "hard": (
            "613.2..4..6.4.125....143.5...21.2..4",
            ".1325....16.23..1615.3.....6...624.1",
            ".24.1.6.14.22631...15......5..1.63.4",
        ),
    },
    9: {
        "easy": (
            ".....2851.52.38..9.9......7.2485.9..8.93..1.5.1367.42.2854..3..9.7.835.4341.657.2",
            "9.6.85..7.53.92.1812.437..93..95...656..71.34...3.6.85.71.4..9.294.185.3..5..9..1",
            "8..6.149.6145.9.32..73..1867...6....9461528733...4.6...8..3.5474..71.9.8275.....1",
        ),
        "medium": (
            "......8.1.52.3...9.9......7..485.9..8.93....5.1367.42..854.....9...8...4.41.657.2",
            "9.6..5..7..3.92.1812.43...93...5....5...71.34...3.6.8..71....9.2.4.185....5..9...",
            "8..6..49..145.9.....73..1867...6....9..15.87.3...4.6...8....54.4...1.9.8275.....1",
        ),
        "hard": (
            ".......9..145.9.....73..186....6.......1..87.3...4.6........54.....1.9..275......",
            "..6..5.......9..18.2.43....3...5....5...71.3......6.8...1....9.2.4..85....5......",
            "......8.1.52.3.....9......7..48..9..8..3.......367..2...54.....9...8...4.4...57..",
        ),
    },
}


# famous 9x9 puzzles, with a line about their history
FAMOUS: dict[str, tuple[str, str]] = {
    "AI Escargot": (
        "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
        "By the Finnish mathematician Arto Inkala, 2006; long called the hardest Sudoku in existence.",
    ),
    "Inkala 2010": (
        "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97..",
        "Arto Inkala's next try, 2010, which newspapers printed as the world's hardest.",
    ),
    "Inkala 2012": (
        "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
        "Arto Inkala again, 2012; The Telegraph asked its readers whether they could solve it.",
    ),
    "Golden Nugget": (
        ".......39.....1..5..3.5.8....8.9...6.7...2...1..4.......9.8..5..2....6..4..7.....",
        "Found by a member of the Sudoku Players' Forum; hard for programs that reason as people do.",
    ),
    "Easter Monster": (
        "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1",
        "From the same forum, 2007; a new method of solving by hand, the SK loop, was found in it.",
    ),
    "17 clues": (
        "...8.1..........435............7.8........1...2..3....6......75..34........2..6..",
        "The minimum number of clues: no puzzle with 16 has a unique solution (McGuire and others, 2012).",
    ),
}


def random_sudoku(size: int = 9, difficulty: str = "medium", seed: int = -1) -> str:
    """A Sudoku with exactly one solution, as a line with `.` for an open cell.

    Args:
        size: 4, 6, 9 or 16.
        difficulty: "easy", "medium" or "hard": fewer given cells.
        seed: equal seeds give equal puzzles; -1 is random.

    Raises:
        ValueError: if a value is not allowed.
    """
    from hrm_hf.puzzles.sudoku.generator import generate
    from hrm_hf.puzzles.sudoku.rules import format_boards

    size = whole_number("size", size, 4, 16)
    if size not in _CLUES:
        raise ValueError(f"size={size} is not allowed; it must be one of {', '.join(map(str, _CLUES))}.")
    clues = _CLUES[size][checked_difficulty(difficulty)]
    questions, _, _ = generate(1, size, clues, seed=any_seed(seed), progress=False)
    return format_boards(questions)[0]
