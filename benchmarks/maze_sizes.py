"""The shipped maze model on mazes of sizes that it was not trained on, on this computer.

    python -m benchmarks.maze_sizes           # two cores for some minutes

Rotary positions by row and column have no size, so a model for 30x30 takes any board: only `grid_shape` and
`max_position_embeddings` of its config change. Mazes are generated, about as hard for their size as those of the
training set, and no maze of another size can equal one of it. Answers are checked by the rules: the path must be a
shortest one.
"""

from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from hrm_hf.checkpoints import SHIPPED_MAZE
from hrm_hf.data.maze_generator import generate, hard_steps
from hrm_hf.evaluation.test_time_compute import compute_curve, draw_samples
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


SIDES = (10, 15, 20, 25, 30, 35, 40)
SEGMENTS = (16, 64)
COPIES = 8
BATCH_SIZE = 20


def measure(side: int, number: int, segments: int, seed: int) -> list[dict]:
    """Fields of a record of a single pass and of one with copies, on `number` mazes of `side` rows and columns."""
    cells = side * side
    model = HRMForGridTask.from_pretrained(SHIPPED_MAZE, grid_shape=[side, side], max_position_embeddings=cells)
    mazes, answers, steps = (
        torch.from_numpy(array).long() for array in generate(number, side, side, seed=seed, num_threads=2)
    )
    samples = draw_samples(
        model.eval().solve,
        {"input_ids": mazes, "puzzle_identifiers": torch.zeros(number, dtype=torch.int64)},
        HRMGridProcessor.for_maze(side, side),
        Accelerator(),
        COPIES,
        batch_size=BATCH_SIZE,
        max_segments=segments,
        progress=True,
    )
    return [
        {
            "side": side,
            "least_steps": hard_steps(side, side),
            "mean_steps": round(steps.double().mean().item(), 1),
            "n": number,
            "segments": segments,
            "samples": point.max_samples,
            "mean_segments": round(point.mean_segments, 2),
            "exact_accuracy": point.keeps_rules,
            "ci95": point.exact_ci95,
            "cell_accuracy": round(point.cell_accuracy, 6),
        }
        for point in compute_curve(samples, answers, [1, COPIES])
    ]


def main(
    number: Annotated[int, typer.Option(help="Mazes of each size.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the generator; 0 made the training set.")] = 1,
):
    """Solve mazes of each size and write the records."""
    records = [
        {
            "benchmark": "maze_sizes",
            "variant": "shipped model",
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "seed": seed,
        }
        | record
        for side in SIDES
        for segments in SEGMENTS
        for record in measure(side, number, segments, seed)
    ]
    print(write_records("maze_sizes", records).read_text())


if __name__ == "__main__":
    typer.run(main)
