"""Properties of reading, writing and exact search that hold for all boards, on examples found by hypothesis."""

import io
from itertools import chain, permutations, product

import pytest

from hrm_hf.puzzles.text import read_puzzles
from processing_hrm import SUDOKU_NOTATIONS, HRMGridProcessor
from tests.fuzz.targets import DIGITS, SIZES, a_maze, a_solution, a_sudoku, as_text, check_sudoku, rows_of


hypothesis = pytest.importorskip("hypothesis", reason="there is no hypothesis")
from hypothesis import assume, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402


few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
randoms = st.randoms(use_true_random=False)


@few
@given(randoms, st.sampled_from(sorted(SIZES)))
def test_a_board_is_what_it_is_however_it_is_written(rng, size):
    line = a_sudoku(rng, size)
    # blank cells written as dashes are not a board on their own, and a few letters fit any notation
    assume(len(set(line)) > (size if size == 16 else 1))
    (found,) = read_puzzles(as_text(rng, line, size)).puzzles
    assert found.board == line


@few
@given(randoms, st.lists(st.sampled_from([4, 6, 9]), min_size=1, max_size=4))
def test_boards_are_found_in_their_order_among_comments(rng, sizes):
    lines = [a_sudoku(rng, size) for size in sizes]
    assume(all(set(line) != {"."} for line in lines))
    parts = [
        rng.choice(["", "# 81 cells\n", "#S\n", "\n\n"]) + as_text(rng, *it) for it in zip(lines, sizes, strict=True)
    ]
    # a JSON list is a separate text
    assume(not any("[" in part for part in parts))
    assert [found.board for found in read_puzzles("\n".join(parts)).puzzles] == lines


@few
@given(randoms, st.integers(2, 9), st.integers(2, 9))
def test_a_maze_is_read_as_it_is_drawn(rng, height, width):
    line = a_maze(rng, height, width)
    drawn = "\n".join(rows_of(line, width))
    framed = "\n".join([f"+{'-' * width}+", *(f"|{row}|" for row in rows_of(line, width)), f"+{'-' * width}+"])
    assume("S" not in drawn.splitlines()[0] or "G" not in drawn.splitlines()[0])
    for text in (drawn, framed, f"# a comment\n\n{drawn}\n"):
        (found,) = read_puzzles(text).puzzles
        assert (found.board, found.task) == (drawn, "maze")


@few
@given(randoms, st.sampled_from(sorted(SIZES)))
def test_lines_and_tokens_say_the_same(rng, size):
    line, processor = a_sudoku(rng, size), HRMGridProcessor.for_sudoku(size)
    tokens = processor(line, check_rules=False)["input_ids"]
    assert processor.batch_decode(tokens) == [line]
    assert processor(processor.pretty(line), check_rules=False)["input_ids"].tolist() == tokens.tolist()
    assert (
        processor(processor.batch_decode(tokens, "grid"), check_rules=False)["input_ids"].tolist() == tokens.tolist()
    )


@few
@given(randoms, st.sampled_from(sorted(SUDOKU_NOTATIONS)))
def test_a_full_board_of_any_notation_is_read_as_what_it_is(rng, notation):
    line = a_solution(rng, 16)
    written = line.translate(str.maketrans(DIGITS, SUDOKU_NOTATIONS[notation]))
    (found,) = read_puzzles(written).puzzles
    assert (found.board, found.notation) == (line, notation)


def _all_solutions(puzzle: str) -> list[str]:
    """The solutions of a 4x4 puzzle among all boards whose rows are permutations."""
    rows = [
        [
            row
            for row in map("".join, permutations("1234"))
            if all(c in "." + d for c, d in zip(part, row, strict=True))
        ]
        for part in rows_of(puzzle, 4)
    ]
    boards = ("".join(chain(*board)) for board in product(*rows))
    return [
        board
        for board in boards
        if all(len(set(board[column::4])) == 4 for column in range(4))
        and all(len({board[at + step] for step in (0, 1, 4, 5)}) == 4 for at in (0, 2, 8, 10))
    ]


@settings(few, max_examples=25)
@given(randoms)
def test_exact_search_is_right_on_boards_that_can_be_counted_by_hand(rng):
    puzzle, processor = a_sudoku(rng, 4), HRMGridProcessor.for_sudoku(4)
    assume(sum(cell != "." for cell in puzzle) >= 4)
    solutions = _all_solutions(puzzle)
    (check,) = processor.exact_checks(processor(puzzle, check_rules=False)["input_ids"])
    expected = {0: "no solution", 1: "solved" if puzzle in solutions else None}
    assert (check and check.outcome) == expected.get(len(solutions), "more than one solution")
    if len(solutions) == 1:
        fewer = processor.decode(processor.without_spare_clues(processor(puzzle)["input_ids"])[0])
        assert _all_solutions(fewer) == solutions
        check_sudoku(puzzle, solutions[0], 4)


@few
@given(randoms, st.sampled_from([",", ";", "\t"]), st.sampled_from([4, 6]))
def test_a_file_of_puzzles_is_what_was_written(rng, delimiter, size):
    import csv
    import tempfile
    from pathlib import Path

    from hrm_hf.puzzles.sudoku.build import read_sudoku_csv
    from hrm_hf.puzzles.sudoku.rules import format_boards

    answers = [a_solution(rng, size) for _ in range(rng.randint(1, 4))]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(
        [("puzzle", "solution"), *((answer, answer) for answer in answers)]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.csv")
        path.write_text(text.getvalue())
        assert format_boards(read_sudoku_csv(path).answers) == answers
