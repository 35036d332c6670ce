"""Inputs of the fuzzers, and what counts as a failure: `test_fuzz.py` runs some, `benchmarks/fuzz.py` all.

A target is a function of a `random.Random` that makes one input, gives it to the product and checks the result. An
input fails if
- it raises an error that is not one of the product's own messages (a traceback),
- a board is called solved, but is not by the checks here, which share no code with the product,
- it takes more than 60 seconds.
"""

import csv
import functools
import io
import json
import linecache
import random
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch


ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 60.0
SIZES = {4: (2, 2), 6: (2, 3), 9: (3, 3), 16: (4, 4)}
DIGITS = "123456789ABCDEFG"


class WrongBoard(AssertionError):
    """A board was called solved, but is not."""


@dataclass(frozen=True)
class Failure:
    """An input that failed.

    Attributes:
        target: its name.
        seed: of the input.
        kind: `"traceback"`, `"wrong board"` or `"slow"`.
        detail: the end of the traceback, or the seconds.
    """

    target: str
    seed: int
    kind: str
    detail: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of an input: its failure, if any, whether the product refused it, and how long it took."""

    failure: Failure | None
    refused: bool
    solved: int
    seconds: float


def run_input(target: str, seed: int) -> Outcome:
    """Make one input of a target and give it to the product."""
    start, refused, solved, failure = time.perf_counter(), False, 0, None
    try:
        solved = TARGETS[target](random.Random(f"{target}:{seed}")) or 0
    except WrongBoard as error:
        failure = Failure(target, seed, "wrong board", str(error))
    except Exception as error:  # any exception is judged
        refused = is_worded(error)
        if not refused:
            failure = Failure(target, seed, "traceback", "".join(traceback.format_exception(error)[-4:]))
    seconds = time.perf_counter() - start
    if failure is None and seconds > SECONDS:
        failure = Failure(target, seed, "slow", f"{seconds:.0f} s")
    return Outcome(failure, refused, solved, seconds)


def is_worded(error: BaseException) -> bool:
    """Whether an error is a message of the product: a `raise` of its code, or a file that cannot be used."""
    if isinstance(error, OSError) and error.filename is not None:
        return True
    if not isinstance(error, ValueError | TypeError | OSError | ModuleNotFoundError) or not str(error).strip():
        return False
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if not linecache.getline(frame.filename, frame.lineno).strip().startswith("raise"):
        return False
    path = Path(frame.filename)
    if not path.is_relative_to(ROOT):
        # transformers names the file that it cannot use
        return isinstance(error, OSError) and "transformers" in path.parts
    return "tests" not in path.relative_to(ROOT).parts


# --- the checks, without code of the product


def check_sudoku(puzzle: str, answer: str, size: int, digits: str = DIGITS) -> None:
    """Raise `WrongBoard` unless a line is a solution of a puzzle."""
    box_height, box_width = SIZES[size]
    wanted = sorted(digits[:size])
    if len(answer) != size * size or any(clue not in ("." + cell) for clue, cell in zip(puzzle, answer, strict=True)):
        raise WrongBoard(f"{puzzle} became {answer}")
    for number in range(size):
        top, left = number // (size // box_width) * box_height, number % (size // box_width) * box_width
        units = (
            answer[number * size : (number + 1) * size],
            answer[number::size],
            "".join(answer[(top + row) * size + left :][:box_width] for row in range(box_height)),
        )
        if any(sorted(unit) != wanted for unit in units):
            raise WrongBoard(f"{answer} breaks a rule")


def check_maze(puzzle: str, answer: str, height: int, width: int) -> None:
    """Raise `WrongBoard` unless a line is a shortest path of a maze."""
    if len(answer) != height * width or answer.replace("o", " ") != puzzle:
        raise WrongBoard(f"{puzzle!r} became {answer!r}")
    fewest, drawn = (_steps(answer, cells, height, width) for cells in (" oSG", "oSG"))
    if drawn is None or fewest != drawn or answer.count("o") != drawn - 1:
        raise WrongBoard(f"{answer!r} is no shortest path")


def _steps(board: str, cells: str, height: int, width: int) -> int | None:
    start, goal = board.index("S"), board.index("G")
    steps, queue = {start: 0}, deque([start])
    while queue:
        cell = queue.popleft()
        row, column = divmod(cell, width)
        for to_row, to_column in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            to = to_row * width + to_column
            if 0 <= to_row < height and 0 <= to_column < width and board[to] in cells and to not in steps:
                steps[to] = steps[cell] + 1
                queue.append(to)
    return steps.get(goal)


# --- inputs


def a_solution(rng: random.Random, size: int) -> str:
    """A solved board: the usual pattern, relabeled, with rows and columns permuted within bands and stacks."""
    box_height, box_width = SIZES[size]

    def order(group: int) -> list[int]:
        groups = rng.sample(range(size // group), size // group)
        return [one * group + part for one in groups for part in rng.sample(range(group), group)]

    digits = rng.sample(DIGITS[:size], size)
    rows, columns = order(box_height), order(box_width)
    return "".join(
        digits[(row % box_height * box_width + row // box_height + column) % size]
        for row in rows
        for column in columns
    )


def a_sudoku(rng: random.Random, size: int) -> str:
    """A puzzle: a solved board with cells removed, sometimes with a wrong digit, full or empty."""
    board = list(a_solution(rng, size))
    share = rng.choice((0, 0.02, 0.3, 0.5, 0.7, 0.9, 1))
    board = ["." if rng.random() < share else cell for cell in board]
    if rng.random() < 0.2:
        board[rng.randrange(len(board))] = rng.choice(DIGITS[:size])
    return "".join(board)


def a_maze(rng: random.Random, height: int, width: int) -> str:
    """A field with walls, S and G."""
    share = rng.choice((0, 0.2, 0.4, 0.7))
    board = ["#" if rng.random() < share else " " for _ in range(height * width)]
    start, goal = rng.sample(range(height * width), 2)
    board[start], board[goal] = "S", "G"
    return "".join(board)


def rows_of(line: str, width: int) -> list[str]:
    return [line[start : start + width] for start in range(0, len(line), width)]


def as_text(rng: random.Random, line: str, size: int) -> str:
    """A Sudoku in one of the usual notations."""
    board = line.replace(".", rng.choice(".0_-*") if size < 16 else rng.choice("._-*"))
    rows = rows_of(board, size)
    style = rng.randrange(7)
    if style == 0:
        return board
    if style == 1:
        return "\n".join(rows)
    if style == 2:
        return "\n".join(" ".join(row) for row in rows)
    if style == 3:
        width = SIZES[size][1]
        return "\n".join("|".join(row[left : left + width] for left in range(0, size, width)) for row in rows)
    if style == 4:
        return "\n".join(rng.choice(("\t", ",", ";")).join(row) for row in rows)
    if style == 5:
        return json.dumps([[DIGITS.find(cell) + 1 for cell in row] for row in rows_of(line, size)])
    return f"{board}{rng.choice(' ,;')}{rng.random():.1f}"


_JUNK = "#.0_-*|+= \t\n\r,;:[]{}\"'\\x00SGo19AGZaz\ufeff\u2500\u0663\U0001f389\ud800"


def mutated(rng: random.Random, text: str) -> str:
    """A text with some characters changed, removed, repeated or moved."""
    for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((1, 1, 2, 9, 81)))
        choice = rng.randrange(5)
        if choice == 0:
            text = text[:at] + rng.choice(_JUNK) + text[at:]
        elif choice == 1:
            text = text[:at] + text[end:]
        elif choice == 2:
            text = text[:at] + text[at:end] * 2 + text[end:]
        elif choice == 3:
            text = text[:at] + rng.choice(_JUNK) + text[at + 1 :]
        else:
            text = text[end:] + text[:end]
    return text


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """A file with some bytes changed, or cut short."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.1 else changed)


def a_value(rng: random.Random, depth: int = 0) -> Any:
    """A JSON value of any kind."""
    simple = [None, True, False, 0, 1, -1, 2**31, 2**70, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "\0"]
    simple += ["9" * 300, "../../etc/passwd", "<script>", "\ud800", b"bytes", "relu", "auto"]
    if depth > 2 or rng.random() < 0.7:
        return rng.choice(simple)
    if rng.random() < 0.5:
        return [a_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {str(rng.choice(simple)): a_value(rng, depth + 1) for _ in range(rng.randrange(3))}


def without_bytes(value: Any) -> Any:
    """A value that JSON can represent."""
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, list):
        return [without_bytes(part) for part in value]
    return {key: without_bytes(part) for key, part in value.items()} if isinstance(value, dict) else value


def a_board_value(rng: random.Random, line: str, width: int, numbers: bool) -> Any:
    """A board in a form that the processor accepts, or in another."""
    rows = rows_of(line, width)
    cells = [[DIGITS.find(cell) + 1 for cell in row] if numbers else list(row) for row in rows]
    if rng.random() < 0.3:
        row = rng.choice(cells)
        row[rng.randrange(len(row))] = a_value(rng)
    if rng.random() < 0.1:
        rng.choice(cells).append(a_value(rng))
    forms: list[Callable[[], Any]] = [
        lambda: cells,
        lambda: tuple(map(tuple, cells)),
        lambda: rows,
        lambda: [cells] * 2,
        lambda: [line, cells],
        lambda: {"input": cells},
        lambda: cells[0],
        lambda: iter(cells),
        list,
        lambda: a_value(rng),
        lambda: np.array(cells),
        lambda: np.array([cells, cells]),
        lambda: np.array(cells, dtype=object),
        lambda: np.array(cells, dtype=float),
        lambda: np.zeros((0, 0)),
        lambda: torch.tensor(cells),
        lambda: torch.tensor(cells).to(torch.bfloat16),
        lambda: torch.tensor(cells).to_sparse(),
        lambda: pd.DataFrame(cells),
        lambda: pd.Series([line, line]),
    ]
    try:
        return rng.choice(forms)()
    except (ValueError, TypeError, RuntimeError, OverflowError):
        return cells  # values that numpy or torch does not accept


# --- models


@functools.cache
def small_solver(kind: str) -> tuple:
    """A small model, with random weights or shipped, and its processor."""
    from configuration_hrm import HRMConfig
    from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU, load_checkpoint
    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

    torch.set_num_threads(1)
    if kind == "shipped 9":
        return load_checkpoint(str(SHIPPED_SUDOKU))
    if kind == "shipped maze":
        return load_checkpoint(str(SHIPPED_MAZES[256]))
    size = int(kind.split()[1])
    processor = (
        HRMGridProcessor.for_sudoku(size) if kind.startswith("sudoku") else HRMGridProcessor.for_maze(size, size)
    )
    torch.manual_seed(0)
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=processor.seq_len,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        halt_max_steps=2,
        halting="lean",
        puzzle_emb_ndim=0,
    )
    return HRMForGridTask(config).eval(), processor


def _check_answer(processor: Any, puzzle: str, answer: str) -> None:
    if processor.task == "maze":
        check_maze(puzzle, answer, processor.height, processor.width)
    else:
        digits = {"0-F": "0123456789ABCDEF", "A-P": "ABCDEFGHIJKLMNOP"}.get(processor.notation, DIGITS)
        check_sudoku(puzzle, answer, processor.height, digits)


def _a_solver(rng: random.Random) -> tuple:
    kinds = ("sudoku 4", "sudoku 4", "sudoku 6", "sudoku 9", "maze 5", "maze 5", "shipped 9", "shipped maze")
    return small_solver(rng.choice(kinds))


def _puzzle_for(rng: random.Random, processor: Any) -> str:
    if processor.task == "maze":
        return a_maze(rng, processor.height, processor.width)
    return a_sudoku(rng, processor.height)


# --- targets: each takes a random.Random and returns the number of boards called solved


def processor(rng: random.Random) -> None:
    """Forms of boards, good and bad, given to a processor, and token ids to decode."""
    from processing_hrm import HRMGridProcessor

    task = rng.choice(("sudoku", "sudoku", "maze", "arc"))
    if task == "sudoku":
        size = rng.choice(list(SIZES))
        made, line = HRMGridProcessor.for_sudoku(size), a_sudoku(rng, size)
    elif task == "maze":
        size = rng.randint(2, 7)
        made, line = HRMGridProcessor.for_maze(size, size), a_maze(rng, size, size)
    else:
        size, made = 4, HRMGridProcessor("arc", 5, 5)
        line = "".join(rng.choice("123456789") for _ in range(16))
    is_text = rng.random() < 0.4
    text = mutated(rng, as_text(rng, line, size) if task == "sudoku" else line)
    board = text if is_text else a_board_value(rng, line, size, task != "maze")
    call = rng.randrange(5)
    if call == 0:
        ids = made(board)["input_ids"]
        for row in made.batch_decode(ids):
            again = made(row, check_rules=False)["input_ids"] if task != "arc" else made(json.loads(row))["input_ids"]
            assert again.shape[-1] == ids.shape[-1]
        made.exact_checks(ids)
    elif call == 1:
        made(
            board, answers=a_board_value(rng, line, size, task != "maze"), identifiers=rng.choice((None, a_value(rng)))
        )
    elif call == 2:
        made.decode(rng.choice((board, a_value(rng), [rng.randint(-1, 20) for _ in range(size * size)])))
    elif call == 3:
        made.pretty(board, given=rng.choice((None, line)))
    else:
        if made.check(line, board) and task == "sudoku":
            check_sudoku(line, made.decode(made(board, check_rules=False)["input_ids"][0]), size)


def reader(rng: random.Random) -> None:
    """Texts of puzzles, intact and damaged, as in files."""
    from hrm_hf.puzzles.text import decode_text, read_puzzles

    parts = []
    for _ in range(rng.randint(1, 4)):
        size = rng.choice((4, 6, 9, 9, 9, 16))
        parts.append(
            as_text(rng, a_sudoku(rng, size), size)
            if rng.random() < 0.7
            else "\n".join(rows_of(a_maze(rng, size, size), size))
        )
        if rng.random() < 0.3:
            parts.append(rng.choice(("# a comment", "Grid 01", "[Puzzle]", "solved (1 segment)", "after segment 1:")))
    data = mutated(rng, rng.choice(("\n", "\n\n", "\r\n")).join(parts)).encode("utf-8", "replace")
    if rng.random() < 0.2:
        data = data.decode().encode(rng.choice(("utf-16", "utf-16-le", "utf-8-sig")))
    for puzzle in read_puzzles(decode_text(mutated_bytes(rng, data), "file"), "file").puzzles:
        assert puzzle.cells > 0


def solve(rng: random.Random) -> int:
    """Puzzles solved in turn, with every answer checked."""
    from hrm_hf.evaluation.checked_solving import solve_in_turn
    from hrm_hf.puzzles.found import PuzzleText
    from hrm_hf.puzzles.text import read_puzzles
    from hrm_hf.utils.time_limit import TimeLimit

    model, made = _a_solver(rng)
    line = _puzzle_for(rng, made)
    if rng.random() < 0.5:
        puzzles = [PuzzleText(line, made.task)]
    else:
        text = as_text(rng, line, made.height) if made.task == "sudoku" else "\n".join(rows_of(line, made.width))
        puzzles = read_puzzles(mutated(rng, text)).puzzles
    options = {
        "num_samples": rng.choice((1, 1, 2, 3)),
        "max_segments": rng.choice((1, 2, 4)),
        "limit": TimeLimit(rng.choice((None, 20.0, 1e-9))),
    }
    solved = 0
    for answer, _ in solve_in_turn(model, made, puzzles, **options):
        if answer.solved:
            _check_answer(made, answer.puzzle, answer.answer)
            solved += 1
        else:
            assert answer.answer is None and answer.reason
    return solved


def command(rng: random.Random) -> int:
    """The command `hrm-hf solve`: arguments, stdin, output and exit code."""
    import contextlib
    import sys
    from unittest import mock

    from hrm_hf import cli

    model, made = small_solver(rng.choice(("sudoku 4", "sudoku 9", "maze 5")))
    line = _puzzle_for(rng, made)
    text = mutated(rng, as_text(rng, line, made.height) if made.task == "sudoku" else "\n".join(rows_of(line, 5)))
    arguments = ["hrm-hf", "solve", "--json", "--model", "small"]
    for option, values in (
        ("--samples", ("1", "2", "0", "x", "-1")),
        ("--max-segments", ("1", "3", "0", "1e9")),
        ("--seconds", ("5", "0", "nan", "-1")),
        ("--notation", ("1-G", "0-F", "hex")),
        ("--halt-threshold", ("0.5", "2", "nan")),
        ("--show-steps", (None,)),
    ):
        if rng.random() < 0.1:
            value = rng.choice(values)
            arguments += [option] if value is None else [option, value]
    from_stdin = rng.random() < 0.5
    if not from_stdin:
        arguments += ["--", text]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.object(sys, "stdin", io.StringIO(text if from_stdin else "")),
        mock.patch.object(cli, "_load", lambda *_: (model, made)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    assert code in (0, 1, 2) and "Traceback" not in err.getvalue(), err.getvalue()
    if code == 1:
        assert err.getvalue().strip().splitlines()[-1].startswith("hrm-hf: "), err.getvalue()
    solved = 0
    for printed in out.getvalue().splitlines():
        result = json.loads(printed)
        if result["solved"]:
            _check_answer(SimpleNamespace(**vars(made) | {"notation": None}), result["puzzle"], result["answer"])
            solved += 1
    return solved


def pipeline(rng: random.Random) -> int:
    """The pipeline, with one puzzle or several, in any form."""
    import hrm_hf.auto  # noqa: F401  registers it
    from pipeline_hrm import HRMGridSolvingPipeline

    model, made = small_solver(rng.choice(("sudoku 4", "sudoku 9", "maze 5")))
    solver = HRMGridSolvingPipeline(model=model, processor=made, device="cpu")
    line = _puzzle_for(rng, made)
    board = line if rng.random() < 0.5 else a_board_value(rng, line, made.width, made.task == "sudoku")
    given = rng.choice((board, [board], (line, board), (part for part in (line, board))))
    options = {"max_segments": rng.choice((1, 2))} | ({"return_steps": True} if rng.random() < 0.2 else {})
    results = solver(given, **options)
    solved = 0
    for result in [results] if isinstance(results, dict) else results:
        if result["solved"]:
            # the form may contain another puzzle; its clues are not known here, but its rules are
            pairs = list(zip(line, result["answer"], strict=True))
            is_line = all(clue in f".{cell}" for clue, cell in pairs)
            maze = result["answer"].replace("o", " ")
            puzzle = maze if made.task == "maze" else line if is_line else "." * len(line)
            _check_answer(made, puzzle, result["answer"])
            solved += 1
    return solved


def recipe(rng: random.Random) -> None:
    """Recipes, with entries changed, removed and added."""
    import yaml

    from hrm_hf.training.arguments import parse_recipe

    path = rng.choice(sorted((ROOT / "recipes").glob("*.yaml")))
    text = path.read_text()
    if rng.random() < 0.7:
        entries = yaml.safe_load(text)
        for _ in range(rng.randint(1, 3)):
            key = rng.choice(
                [*entries, "output_dir", "learning_rate", "max_minutes", "warmup_steps", "hidden_act", "x"]
            )
            entries[key] = without_bytes(a_value(rng))
        data = yaml.safe_dump(entries).encode("utf-8", "replace")
    else:
        data = mutated_bytes(rng, mutated(rng, text).encode("utf-8", "replace"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "recipe.yaml")
        file.write_bytes(data)
        parse_recipe([str(file)])


def configuration(rng: random.Random) -> None:
    """Files config.json and processor_config.json, damaged."""

    from configuration_hrm import HRMConfig
    from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU, load_checkpoint

    folder = rng.choice((SHIPPED_SUDOKU, SHIPPED_MAZES[256]))
    name = rng.choice(("config.json", "processor_config.json"))
    content = json.loads((folder / name).read_text())
    if rng.random() < 0.7:
        for _ in range(rng.randint(1, 2)):
            content[rng.choice([*content, "num_hidden_layers", "head_dim", "notation"])] = without_bytes(a_value(rng))
        data = json.dumps(content).encode("utf-8", "replace")
    else:
        data = mutated_bytes(rng, json.dumps(content).encode())
    with tempfile.TemporaryDirectory() as made:
        for file in folder.iterdir():
            if file.suffix in (".json", ".safetensors") and file.name != name:
                Path(made, file.name).symlink_to(file)
        Path(made, name).write_bytes(data)
        if name == "config.json" and rng.random() < 0.5:
            HRMConfig(**content)
        else:
            load_checkpoint(made)


def data_file(rng: random.Random) -> None:
    """Puzzle files, ARC tasks and texts, damaged."""
    from hrm_hf.puzzles.arc.tasks import read_tasks
    from hrm_hf.puzzles.files import Columns
    from hrm_hf.puzzles.maze.build import read_maze_csv
    from hrm_hf.puzzles.sudoku.build import read_sudoku_csv
    from hrm_hf.text.sources import find_sources

    kind = rng.choice(("sudoku", "maze", "arc", "text"))
    on_error = rng.choice(("stop", "skip"))
    with tempfile.TemporaryDirectory() as folder:
        if kind in ("sudoku", "maze"):
            size, rows = rng.choice((4, 6)), []
            for _ in range(rng.randint(0, 4)):
                answer = a_solution(rng, size)
                question = "".join("." if rng.random() < 0.2 else cell for cell in answer)
                maze = a_maze(rng, 4, 4)
                rows.append(
                    ("x", question, answer, rng.choice((1, 2.5, ""))) if kind == "sudoku" else ("x", maze, maze, 1)
                )
            names = rng.choice(
                (("source", "question", "answer", "rating"), ("id", "quizzes", "solutions", "difficulty"))
            )
            ending = rng.choice((".csv", ".csv", ".json", ".jsonl", ".csv.gz", ".csv.zst", ".parquet"))
            text = io.StringIO()
            if "json" in ending:
                objects = [dict(zip(names, row, strict=True)) for row in rows]
                text.write(json.dumps(objects) if ending == ".json" else "\n".join(map(json.dumps, objects)))
            else:
                csv.writer(text, delimiter=rng.choice(",;\t")).writerows([names, *rows])
            file = Path(folder, f"rows{ending}")
            file.write_bytes(mutated_bytes(rng, mutated(rng, text.getvalue()).encode("utf-8", "replace")))
            read = read_sudoku_csv if kind == "sudoku" else read_maze_csv
            puzzles = read(file, on_error=on_error, columns=Columns(rng.choice((None, None, "x"))))
            assert len(puzzles) > 0
        elif kind == "arc":
            pairs = [{"input": [[rng.randint(0, 9)]], "output": [[1, 2]]} for _ in range(3)]
            content: Any = {"a": {"train": pairs[:2], "test": pairs[2:]}}
            place = rng.choice((content["a"], pairs[0], content))
            if rng.random() < 0.6:
                place[rng.choice((*place, "x"))] = without_bytes(a_value(rng))
            if rng.random() < 0.2:
                content = pairs
            file = Path(folder, rng.choice(("a.json", "a_challenges.json", "a_solutions.json")))
            file.write_bytes(mutated_bytes(rng, json.dumps(content).encode("utf-8", "replace")))
            read_tasks(**{rng.choice(("training", "evaluation")): [file]}, on_error=on_error)
        else:
            rows = [{"text": "one\n\ntwo", "title": "x"} for _ in range(3)]
            ending = rng.choice((".txt", ".jsonl", ".json", ".txt.gz", ".jsonl.bz2", ".txt.zst", ".txt.xz", ".md"))
            file = Path(folder, f"text{ending}")
            data = json.dumps(rows) if ending == ".json" else "\n".join(map(json.dumps, rows))
            file.write_bytes(mutated_bytes(rng, mutated(rng, data).encode("utf-8", "replace")))
            template = rng.choice((None, None, "{title}: {text}", "{", "{x}", mutated(rng, "{title}{text}")))
            entry = rng.choice((str(file), folder))
            for source in find_sources([entry], template=template, endings=rng.choice(((), (".md",)))):
                bad: list[ValueError] = []
                list(source.documents(rng.choice((None, "\n\n")), lambda size: None, bad.append))


def grid_table(rng: random.Random) -> None:
    """Tables of grids of any kind, damaged, and values of all kinds as questions of such a grid."""
    from hrm_hf.puzzles.grid.reading import read_boards, read_table
    from processing_hrm import HRMGridProcessor

    height, width = rng.randint(1, 3), rng.randint(1, 4)
    symbols = rng.choice((list("0123"), list("ab #"), ["red", "blue", "12"], list("/.[")))

    def a_board() -> Any:
        cells = [[rng.choice(symbols) for _ in range(width)] for _ in range(height)]
        rows = [rng.choice(("", " ", ",")).join(row) for row in cells]
        forms = (
            cells,
            cells[0],
            rows,
            "/".join(rows),
            "\n".join(rows),
            json.dumps(cells),
            without_bytes(a_value(rng)),
        )
        return rng.choice(forms[rng.randrange(6) :])

    names = rng.choice((("input", "output"), ("question", "answer"), ("x", "y", "mask")))
    rows = [{name: a_board() for name in names} for _ in range(rng.randint(0, 5))]
    ending = rng.choice((".csv", ".csv", ".json", ".jsonl", ".csv.gz", ".parquet", ".npz"))
    text = io.StringIO()
    if "json" in ending:
        text.write(json.dumps(rows) if ending == ".json" else "\n".join(map(json.dumps, rows)))
    else:
        csv.writer(text).writerows([names, *(row.values() for row in rows)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"rows{ending}")
        file.write_bytes(mutated_bytes(rng, mutated(rng, text.getvalue()).encode("utf-8", "replace")))
        options = {"cells": rng.choice(("auto", "characters", "words")), "height": rng.choice((None, None, height))}
        try:
            boards = read_boards(read_table(str(file)), lambda place, reason: None, **options)["train"]
            assert all(
                len(question) == len(answer) for question, answer in zip(boards.questions, boards.answers, strict=True)
            )
        except Exception as error:
            if not is_worded(error):
                raise
    processor = HRMGridProcessor.for_grid(height, width, symbols, smaller_boards=rng.random() < 0.3)
    line = "".join(rng.choice(DIGITS[:4]) for _ in range(height * width))
    question = rng.choice(
        (a_board(), mutated(rng, str(a_board())), a_board_value(rng, line, width, rng.random() < 0.5))
    )
    decoded = processor.batch_decode(processor(question)["input_ids"])
    for board in decoded:
        assert processor.decode(processor(board)["input_ids"][0]) == board, (board, symbols, height, width)


@functools.cache
def _desk():
    """The desk of the app, with a shelf of small models only."""
    from hrm_hf.app.context import AppSettings
    from hrm_hf.app.solving import PuzzleDesk

    settings = AppSettings(Path("none"), Path("none"), Path("none"), seconds_per_request=20)
    return PuzzleDesk(settings, SimpleNamespace(load_grid=small_solver))


def app(rng: random.Random) -> int:
    """Requests to the app's API: solving and random puzzles."""
    from hrm_hf.puzzles.maze.examples import random_maze
    from hrm_hf.puzzles.sudoku.examples import random_sudoku

    desk = _desk()
    call = rng.randrange(10)
    if call == 0:
        size, difficulty = rng.choice((4, 6, 9, a_value(rng))), rng.choice(("easy", "medium", a_value(rng)))
        line = random_sudoku(size, difficulty, rng.choice((1, -1, a_value(rng))))
        assert len(line) == size * size
        return 0
    if call == 1:
        sides = [rng.choice((4, 6, a_value(rng))) for _ in range(2)]
        random_maze(*sides, rng.choice(("easy", a_value(rng))), rng.choice((1, a_value(rng))))
        return 0
    name = rng.choice(("sudoku 4", "sudoku 9", "maze 5"))
    made = small_solver(name)[1]
    line = _puzzle_for(rng, made)
    text = mutated(rng, as_text(rng, line, made.height) if made.task == "sudoku" else line)
    options = {"model": name, "puzzle": text, "max_segments": rng.choice((1, 2, 4)), "copies": rng.choice((1, 2, 4))}
    if rng.random() < 0.3:
        options[rng.choice(("puzzle", "max_segments", "copies", "early_stop"))] = a_value(rng)
    result = desk.solve_puzzle(**options)
    if result["solved"]:
        _check_answer(small_solver(options["model"])[1], result["puzzle"], result["answer"])
    return int(result["solved"])


TARGETS: dict[str, Callable[[random.Random], int | None]] = {
    function.__name__: function
    for function in (processor, reader, solve, command, pipeline, recipe, configuration, data_file, grid_table, app)
}
