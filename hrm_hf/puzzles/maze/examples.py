"""Example mazes, by size and difficulty."""

from hrm_hf.app.solving import any_seed, checked_difficulty, whole_number


MAX_SIDE = 30
# fraction of the number of steps that is rare in mazes of a size
_STEPS = {"easy": 0.3, "medium": 0.6, "hard": 1.0}


def random_maze(height: int = 30, width: int = 30, difficulty: str = "hard", seed: int = -1) -> str:
    """A maze with exactly one shortest path, as a line of `# SG`, row by row.

    Args:
        height, width: rows and columns.
        difficulty: "easy", "medium" or "hard": the length of its path.
        seed: equal seeds give equal mazes; -1 is random.

    Raises:
        ValueError: if a value is not allowed.
    """
    from hrm_hf.puzzles.maze.generator import generate, hard_steps
    from hrm_hf.puzzles.maze.rules import format_mazes

    height, width = (whole_number(name, side, 4, MAX_SIDE) for name, side in (("height", height), ("width", width)))
    steps = max(2, round(hard_steps(height, width) * _STEPS[checked_difficulty(difficulty)]))
    mazes, _, _ = generate(1, height, width, steps, seed=any_seed(seed), progress=False)
    return format_mazes(mazes)[0]
