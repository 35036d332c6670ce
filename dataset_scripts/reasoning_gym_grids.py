# /// script
# requires-python = ">=3.11"
# dependencies = ["reasoning-gym==0.1.25"]
# ///
"""Tasks of Reasoning Gym whose questions and answers are grids, as JSON lines for `hrm-hf data grid`.

    uv run dataset_scripts/reasoning_gym_grids.py data/reasoning-gym --num 3000
    hrm-hf data grid data/reasoning-gym/futoshiki.jsonl --out data/futoshiki

Reasoning Gym (github.com/open-thought/reasoning-gym) pins versions that conflict with those of hrm-hf, so this runs in
its own environment, which `uv run` or `pipx run` makes from the lines above. Boards come from the metadata of an item,
never from its text. What is not on the board (sums, signs, a number of turns) goes into extra cells, which the column
`mask` marks as not to be filled in.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import reasoning_gym


Board = list[list[str]]
Row = dict[str, Board]
BLANK = "."


def _texts(board) -> Board:
    """Cells as strings, with a separate symbol for a blank one."""
    return [[BLANK if cell in (0, "_") else str(cell) for cell in row] for row in board]


def _digits(board) -> Board:
    """Cells as strings, where 0 is a number."""
    return [[str(cell) for cell in row] for row in board]


def _with_mask(question: Board, answer: Board, asked: Callable[[int, int], bool]) -> Row:
    mask = [["1" if asked(i, j) else "0" for j in range(len(row))] for i, row in enumerate(question)]
    return {"input": question, "output": answer, "mask": mask}


def _latin(metadata: dict) -> Row:
    """Sudoku of either size: blanks become digits."""
    return {"input": _texts(metadata["puzzle"]), "output": _texts(metadata["solution"])}


def _futoshiki(metadata: dict) -> Row:
    """Digits in every second row and column, and the signs between them."""
    size = metadata["board_size"]
    question = [[" "] * (2 * size - 1) for _ in range(2 * size - 1)]
    for i, row in enumerate(_texts(metadata["puzzle"])):
        for j, cell in enumerate(row):
            question[2 * i][2 * j] = cell
    vertical = {"<": "^", ">": "v"}
    # two neighbors (i, j) and (k, m), and the relation of the first to the second
    for i, j, k, m, sign in metadata["constraints"]:
        question[i + k][j + m] = sign if i == k else vertical[sign]
    answer = [row.copy() for row in question]
    for i, row in enumerate(_texts(metadata["solution"])):
        for j, cell in enumerate(row):
            answer[2 * i][2 * j] = cell
    return _with_mask(question, answer, lambda i, j: i % 2 == 0 and j % 2 == 0)


def _n_queens(metadata: dict) -> Row | None:
    """Only questions with one answer."""
    if len(metadata["solutions"]) > 1:
        return None
    return {"input": _texts(metadata["puzzle"]), "output": _texts(metadata["solutions"][0])}


def _rotate_matrix(metadata: dict) -> Row:
    """The number of quarter turns is in a row below."""
    below = [str(metadata["num_rotations"] % 4)] + [BLANK] * (metadata["n"] - 1)
    question, answer = _digits(metadata["matrix"]), _digits(metadata["solution"])
    return _with_mask([*question, below], [*answer, below], lambda i, j: i < len(question))


def _matrix(metadata: dict) -> Row:
    return {"input": _digits(metadata["matrix"]), "output": _digits(metadata["solution"])}


def _spiral_matrix(metadata: dict) -> Row:
    """The answer is a sequence, which fills the rows of a board of the same shape."""
    cells, n = [str(cell) for cell in metadata["solution"]], metadata["n"]
    return {
        "input": _digits(metadata["matrix"]),
        "output": [cells[start : start + n] for start in range(0, n * n, n)],
    }


def _kakurasu(metadata: dict) -> Row:
    """Sums are at the right and below."""
    question = [[BLANK] * metadata["n_cols"] + [str(total)] for total in metadata["row_sums"]]
    below = [*(str(total) for total in metadata["col_sums"]), BLANK]
    answer = [[*row, sums[-1]] for row, sums in zip(_digits(metadata["solution"]), question, strict=True)]
    rows, columns = metadata["n_rows"], metadata["n_cols"]
    return _with_mask([*question, below], [*answer, below], lambda i, j: i < rows and j < columns)


def _chain_sum(metadata: dict, result: str) -> Row | None:
    """The terms in rows, and a row for their sum; only sums, which are never negative."""
    if "-" in metadata["expression"]:
        return None
    terms = metadata["expression"].split(" + ")
    width = max(map(len, terms)) + 1
    question = [list(term.rjust(width, "0")) for term in terms]
    return _with_mask(
        [*question, [BLANK] * width], [*question, list(result.rjust(width, "0"))], lambda i, j: i == len(terms)
    )


def _game_of_life(item: dict) -> Row:
    """The board of the question is only in its text, as JSON."""
    text = item["question"]
    board = json.loads(text[text.rindex("[[") :].rstrip().rstrip("."))
    return {"input": _digits(board), "output": _digits(json.loads(item["answer"]))}


# options of the generator, and a function from an item to a row; `None` leaves it out
TASKS: dict[str, tuple[dict, Callable[[dict], Row | None]]] = {
    "mini_sudoku": ({}, lambda item: _latin(item["metadata"])),
    "sudoku": ({}, lambda item: _latin(item["metadata"])),
    "futoshiki": ({"min_board_size": 4, "max_board_size": 4}, lambda item: _futoshiki(item["metadata"])),
    "n_queens": ({"n": 8}, lambda item: _n_queens(item["metadata"])),
    "game_of_life": (
        {"grid_size_x": 6, "grid_size_y": 6, "filled_cells_weights": 0.3},
        _game_of_life,
    ),
    "rotate_matrix": ({"min_n": 5, "max_n": 5, "max_rotations": 10}, lambda item: _rotate_matrix(item["metadata"])),
    "binary_matrix": ({"min_n": 6, "max_n": 6}, lambda item: _matrix(item["metadata"])),
    "spiral_matrix": ({"min_n": 5, "max_n": 5}, lambda item: _spiral_matrix(item["metadata"])),
    "kakurasu": (
        {"min_rows": 4, "max_rows": 4, "min_cols": 4, "max_cols": 4},
        lambda item: _kakurasu(item["metadata"]),
    ),
    "chain_sum": (
        {"min_terms": 2, "max_terms": 2, "min_digits": 4, "max_digits": 4},
        lambda item: _chain_sum(item["metadata"], item["answer"]),
    ),
    "spell_backward": (
        {"min_word_len": 8, "max_word_len": 8},
        lambda item: {"input": [list(item["metadata"]["word"])], "output": [list(item["answer"])]},
    ),
}


def rows_of(task: str, num: int, seed: int) -> list[Row]:
    """Different rows of a task, in the order of the generator; fewer than `num` if it repeats items."""
    options, make = TASKS[task]
    seen, rows = set(), []
    for item in reasoning_gym.create_dataset(task, size=4 * num, seed=seed, **options):
        row = make(item)
        key = json.dumps(row and row["input"])
        if row is not None and key not in seen:
            seen.add(key)
            rows.append(row)
            if len(rows) == num:
                break
    return rows


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write one file per task to")
    parser.add_argument("--task", action="append", choices=sorted(TASKS), help="task; can be repeated; by default all")
    parser.add_argument("--num", type=int, default=3000, help="maximum number of rows per task")
    parser.add_argument("--seed", type=int, default=0, help="seed for the generators")
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f"--num {args.num} is not allowed; it must be at least 1")
    args.out.mkdir(parents=True, exist_ok=True)
    for task in args.task or TASKS:
        rows = rows_of(task, args.num, args.seed)
        path = args.out / f"{task}.jsonl"
        partial = path.with_name(f"partial-{path.name}")
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        partial.rename(path)
        print(f"{path}: {len(rows):,} rows", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
