"""A Sudoku model on boards with any number of filled cells, from 17 to complete boards.

    python -m benchmarks.sudoku_clues                                  # the shipped model, on this computer
    python -m benchmarks.sudoku_clues --model runs/mine/model --puzzles data/sudoku-9x9-hard
    python -m benchmarks.sudoku_clues --filled 79 --filled 80 --filled 81 --number 50 --no-record

Each line of the table is for a number of filled cells. Its boards are puzzles with at most this many clues, plus
random cells of the solution up to this number. The puzzles come from a CSV file or the test split of a data set, in
order; by default from the list of benchmarks.seventeen_clues and then hard ones of the generator. Each board is solved
in a single pass, and has one solution, so it is solved if every cell is correct.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from benchmarks.seventeen_clues import read_puzzles
from hrm_hf.checkpoints import SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.evaluation.grid import applied_threshold, score, solve_puzzles
from hrm_hf.puzzles.rows import load_rows
from hrm_hf.puzzles.sudoku.build import parse_puzzles, read_sudoku_csv
from hrm_hf.puzzles.sudoku.hard import generate_hard
from hrm_hf.puzzles.sudoku.solver import solve as solve_exactly


SIZE, CELLS = 9, 81
LINES = (17, 20, 22, 24, 26, 28, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 78, 79, 80, 81)
SEGMENTS = 16  # of a single pass, as in training


def read_boards(puzzles: Path | None, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Puzzles and their solutions, `(puzzles, 81)` uint8 each, 0 for a blank cell.

    Args:
        puzzles: a file of questions and answers, or the folder of a data set, whose test split is used.
        number, seed: number of hard puzzles that the generator makes if none are given, and its seed.

    Raises:
        ValueError, FileNotFoundError: if the puzzles cannot be read or are not of size 9.
    """
    if puzzles is None:
        few = read_puzzles()
        hard, answers, _ = generate_hard(number, seed, num_threads=1)
        return np.concatenate((few, hard)), np.concatenate((solve_exactly(few, SIZE)[0], answers))
    if puzzles.is_dir():
        rows = load_rows(str(puzzles), "test")
        questions, answers, errors = parse_puzzles(list(rows["question"]), list(rows["answer"]), num_threads=1)
        if (errors != "").any():
            raise ValueError(f"{puzzles} has a test row with {errors[errors != ''][0]}; build the data set again.")
    else:
        read = read_sudoku_csv(puzzles)
        questions, answers = read.questions, read.answers
    if questions.shape[1] != CELLS:
        raise ValueError(f"The puzzles of {puzzles} have {questions.shape[1]} cells; give Sudoku of {CELLS} cells.")
    return questions, answers


def filled_boards(
    puzzles: np.ndarray, solutions: np.ndarray, filled: int, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boards with a number of filled cells and their solutions, `(boards, 81)` uint8 each.

    They are made from the first puzzles with at most this many clues, one board from each. If there are fewer than
    `number`, those with fewer clues are used again, in turn, with other cells filled in; if there are none with fewer
    clues, there are fewer boards.
    """
    clues = (puzzles > 0).sum(1)
    chosen, again = np.flatnonzero(clues <= filled)[:number], np.flatnonzero(clues < filled)
    if len(again):
        chosen = np.concatenate((chosen, np.resize(again, number - len(chosen))))
    rng = np.random.default_rng((seed, filled))
    # blank cells in random order, and clues before them
    order = np.where(puzzles[chosen] > 0, -1.0, rng.random((len(chosen), CELLS))).argsort(1).argsort(1)
    boards = np.where(order < filled, solutions[chosen], 0).astype(np.uint8)
    return boards, solutions[chosen]


def main(
    model: Annotated[str, typer.Option(help="Folder of a Sudoku model, or its name on the Hub.")] = str(
        SHIPPED_SUDOKU
    ),
    puzzles: Annotated[
        Path | None, typer.Option(help="CSV file or data set folder of 9x9 puzzles; by default they are generated.")
    ] = None,
    filled: Annotated[
        list[int] | None, typer.Option(min=17, max=CELLS, help="Numbers of filled cells; by default from 17 to 81.")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Boards per number of filled cells.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed for generated puzzles and for filled cells.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Boards solved at a time.")] = 128,
    variant: Annotated[str, typer.Option(help="Name of the model in the records.")] = "sudoku-hard",
    record: Annotated[bool, typer.Option(help="Write benchmarks/results/sudoku_clues.json.")] = True,
):
    """Solve boards of each number of filled cells, print a table and write its records."""
    network, processor = load_checkpoint(model)
    if (processor.task, processor.height) != ("sudoku", SIZE):
        raise typer.BadParameter(f"{model} is for {processor.task} of {processor.height} rows, not for 9x9 Sudoku.")
    accelerator = Accelerator()
    network = network.to(accelerator.device)
    questions, answers = read_boards(puzzles, number, seed)
    device = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else processor_name()
    records = []
    print("| filled cells | boards | exactly solved | 95 % | cells correct | segments |\n|---|---|---|---|---|---|")
    for line in filled or LINES:
        boards, solutions = filled_boards(questions, answers, line, number, seed)
        if len(boards) == 0:
            print(f"| {line} | 0: no puzzle has so few clues | | | | |")
            continue
        # token 1 is the blank cell
        examples = {
            "input_ids": torch.from_numpy(boards).long() + 1,
            "labels": torch.from_numpy(solutions).long() + 1,
            "puzzle_identifiers": torch.zeros(len(boards), dtype=torch.long),
        }
        solved = solve_puzzles(network, examples, accelerator, batch_size, SEGMENTS)
        scores = score(solved, SEGMENTS, halt_threshold=applied_threshold(network.config))
        low, high = scores.exact_ci95
        print(
            f"| {line} | {scores.n} | {scores.exact_accuracy:.1%} | {low:.1%} to {high:.1%} | "
            f"{scores.cell_accuracy:.2%} | {scores.mean_segments:.1f} |",
            flush=True,
        )
        records.append(
            {
                "benchmark": "sudoku_clues",
                "variant": variant,
                "device": device,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "parameters": network.num_parameters(),
                "puzzles": "generated" if puzzles is None else puzzles.name,
                "filled": line,
                "n": scores.n,
                "distinct_boards": len(np.unique(boards, axis=0)),
                "seed": seed,
                "method": "single",
                "segments": SEGMENTS,
                "mean_segments": round(scores.mean_segments, 2),
                "exact_accuracy": scores.exact_accuracy,
                "ci95": scores.exact_ci95,
                "cell_accuracy": scores.cell_accuracy,
                "halt_accuracy": scores.halt_accuracy,
            }
        )
    if record and records:
        print(f"written to {write_records('sudoku_clues', records)}")


if __name__ == "__main__":
    typer.run(main)
