"""The fraction of mazes that maze models solve, by kind and size.

    python -m benchmarks.maze_kinds                            # the two shipped models, on this computer
    python -m benchmarks.maze_kinds --model runs/mine/model --variant mine --no-record
    python -m benchmarks.maze_kinds --kind open --size 5x5 --size 8x12 --number 20 --no-record

The mazes are from hrm_hf.puzzles.maze.mixed. A maze smaller than the boards of a model is placed anywhere on such a
board, with walls around it. Each maze gets a single pass, and is solved if the answer is any shortest path.
"""

import re
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from hrm_hf.checkpoints import SHIPPED_MAZES, load_checkpoint
from hrm_hf.evaluation.grid import solve_puzzles
from hrm_hf.puzzles.maze.kind import MAZE
from hrm_hf.puzzles.maze.mixed import KINDS_OF_MAZE, generate_mixed
from hrm_hf.puzzles.maze.paths import measure
from hrm_hf.utils.statistics import binomial_interval
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


# rows and columns; a model is tested on those that fit on its boards, and on its own size
SIZES = ((5, 5), (10, 10), (16, 16), (10, 20), (20, 20), (30, 30), (40, 40))
SEGMENTS = 16


def parse_size(text: str) -> tuple[int, int]:
    """Rows and columns of a size such as `8x12`.

    Raises:
        typer.BadParameter: if it is not a size.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(map(int, match.groups())) < 2:
        raise typer.BadParameter(f"The size {text!r} is not allowed; give rows and columns as 8x12, 2x2 or larger.")
    return int(match[1]), int(match[2])


def measure_kind(
    model: HRMForGridTask,
    processor: HRMGridProcessor,
    accelerator: Accelerator,
    kind: str,
    size: tuple[int, int],
    number: int,
    seed: int,
    batch_size: int,
) -> dict:
    """Solve mazes of a kind and size and count the results; returns the fields of a record."""
    board = processor.height, processor.width
    made = generate_mixed(number, [kind], *size, board=board, seed=seed, progress=False)
    examples = {
        "input_ids": torch.from_numpy(made.mazes).long(),
        "labels": torch.from_numpy(made.answers).long(),
        "puzzle_identifiers": torch.zeros(number, dtype=torch.long),
    }
    solved = solve_puzzles(model, examples, accelerator, batch_size, SEGMENTS, keep_predictions=True)
    errors = MAZE.errors(processor, made.mazes, solved.predictions.numpy())
    share = float((errors == "").mean())
    return {
        "board": f"{board[0]}x{board[1]}",
        "kind": kind,
        "size": f"{size[0]}x{size[1]}",
        "n": number,
        "seed": seed,
        "method": "single",
        "segments": SEGMENTS,
        "mean_segments": round(solved.segments.double().mean().item(), 2),
        "mean_steps": round(float(made.steps.mean()), 1),
        "max_steps": int(made.steps.max()),
        "one_shortest_path": float(measure(made.mazes, made.answers, *board).is_unique.mean()),
        "solved": share,
        "ci95": binomial_interval(share, number),
        "first_path": solved.exact.double().mean().item(),
    }


def main(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Folders of maze models, or names on the Hub; by default the shipped ones."),
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="Names of the models in the records; by default their folder names.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(KINDS_OF_MAZE)}; all by default.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="Rows and columns as 8x12; several by default.")] = None,
    number: Annotated[int, typer.Option(min=1, help="Mazes of each kind and size.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed for the mazes.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Mazes solved at a time.")] = 64,
    record: Annotated[bool, typer.Option(help="Write benchmarks/results/maze_kinds.json.")] = True,
):
    """Solve mazes of each kind and size with each model, print a table and write its records."""
    models = model or [str(folder) for folder in SHIPPED_MAZES.values()]
    names = variant or [Path(name).name for name in models]
    if len(names) != len(models):
        raise typer.BadParameter(f"There are {len(names)} variants for {len(models)} models; give one name per model.")
    sizes = [parse_size(text) for text in size] if size else None
    accelerator, records = Accelerator(), []
    device = torch.cuda.get_device_name() if accelerator.device.type == "cuda" else processor_name()
    print(
        "| model | kind | size | mazes | solved | 95 % | the first path | one shortest path | steps | segments |\n"
        + "|---" * 10
        + "|"
    )
    for path, name in zip(models, names, strict=True):
        network, processor = load_checkpoint(path)
        if processor.task != "maze":
            raise typer.BadParameter(f"{path} is a model for {processor.task}; give one for mazes.")
        network = network.to(accelerator.device)
        board = processor.height, processor.width
        wanted = sizes or sorted({*SIZES, board}, key=lambda shape: shape[0] * shape[1])
        own = [shape for shape in wanted if shape[0] <= board[0] and shape[1] <= board[1]]
        for shape in wanted:
            if shape not in own:
                print(f"| {name} | all | {shape[0]}x{shape[1]} | 0: larger than its boards | | | | | | |")
        for each_kind in kind or KINDS_OF_MAZE:
            for shape in own:
                found = measure_kind(network, processor, accelerator, each_kind, shape, number, seed, batch_size)
                low, high = found["ci95"]
                print(
                    f"| {name} | {each_kind} | {found['size']} | {number} | {found['solved']:.1%} | {low:.1%} to "
                    f"{high:.1%} | {found['first_path']:.1%} | {found['one_shortest_path']:.1%} | "
                    f"{found['mean_steps']} | {found['mean_segments']} |",
                    flush=True,
                )
                records.append(
                    {
                        "benchmark": "maze_kinds",
                        "variant": name,
                        "device": device,
                        "torch": torch.__version__,
                        "transformers": transformers.__version__,
                        "parameters": network.num_parameters(),
                    }
                    | found
                )
    if not records:
        raise typer.BadParameter("No size fits on the boards of a model; give smaller ones.")
    if record:
        print(f"written to {write_records('maze_kinds', records)}")


if __name__ == "__main__":
    typer.run(main)
