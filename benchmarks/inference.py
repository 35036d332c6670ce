"""How fast puzzles are solved: puzzles/s and milliseconds per puzzle, with and without early stopping.

python -m benchmarks.inference                          # the shipped model on the hard puzzles of this repository
python -m benchmarks.inference --dataset data/sudoku-hard-50k --published

Lines: the shipped model (1.7 M parameters) with `full` 16 segments, and with `early_stop`; with --published also the
published shape (27 M parameters, random weights), for which the original has 1,612 puzzles/s on an H100 with 16
segments and no early stopping. On a CPU, `HRMForGridTask.solve` solves batch by batch, and finished puzzles leave the
batch. On a GPU, `solve_in_slots` replaces them with the next, a segment is one CUDA graph, and blocks are compiled;
`fused` also uses the Triton kernels.
"""

import json
import statistics
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import processor_name, write_records
from benchmarks.timing import durations
from benchmarks.train_throughput import PUBLISHED
from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.evaluation.grid import solver
from hrm_hf.training.compilation import compile_blocks
from modeling_hrm import HRMForGridTask


SEGMENTS = 16
NUM_PUZZLES = 2048
SETTINGS = ("compiled", "fused")  # in this order, because a model keeps the kernels


def puzzles_of(dataset: Path | None, count: int) -> torch.Tensor:
    """Token ids of 9x9 puzzles, `(count, 81)`: of a data set's test split, or generated ones."""
    if dataset is not None:
        from hrm_hf.puzzles.sets import open_puzzles

        found = open_puzzles(str(dataset), "test").examples(count)["input_ids"]
    else:
        from hrm_hf.puzzles.sudoku.generator import generate

        found = torch.from_numpy(generate(64)[0]).long() + 1  # token 1 is a blank cell
    return found.repeat(-(-count // len(found)), 1)[:count]


def measure(
    model: HRMForGridTask, puzzles: torch.Tensor, batch_size: int, early_stop: bool, repeats: int
) -> dict[str, float]:
    """Speed of solving a number of puzzles at a time."""
    device = model.device
    on_gpu = device.type == "cuda"
    solve = solver(model, batch_size, in_slots=on_gpu)
    if on_gpu:
        # enough for recording, and slots without puzzles at the end, to have little effect
        count = max(256, 4 * batch_size)
        rounds = [puzzles.repeat(-(-count // len(puzzles)), 1)[:count].to(device)]
    else:
        rounds = [batch for batch in puzzles.split(batch_size) if len(batch) == batch_size][:8]
    segments = []

    def solve_round(number: int):
        output = solve(rounds[number % len(rounds)], max_segments=SEGMENTS, early_stop=early_stop)
        segments.append(output.segments.float().mean().item())

    times = durations(solve_round, min(3, len(rounds)), max(repeats, len(rounds)), device)
    seconds = statistics.fmean(times)  # puzzles differ, so the mean determines the number solved per second
    return {
        "batch_size": batch_size,
        "puzzles": len(rounds[0]),
        "segments": SEGMENTS,
        "mean_segments": round(statistics.fmean(segments), 2),
        "puzzles_per_s": round(len(rounds[0]) / seconds, 1),
        "ms_per_puzzle": round(1e3 * seconds / len(rounds[0]), 3),
    }


def prepare_for_gpu(model: HRMForGridTask, setting: str):
    """Compile the blocks again, for one batch size; with the Triton kernels if `fused`."""
    torch.compiler.reset()
    if setting == "fused":
        from hrm_hf.kernels import use_fused_kernels

        use_fused_kernels(model)
    compile_blocks(model)


def main(
    dataset: Annotated[Path | None, typer.Option(help="Data set folder; its test split is solved.")] = None,
    published: Annotated[bool, typer.Option(help="Also measure the published shape.")] = False,
    batch_size: Annotated[list[int] | None, typer.Option(help="By default 1, 64 and 2048; on a CPU 1 and 64.")] = None,
    repeats: Annotated[int, typer.Option(help="Number of timed batches; on a GPU, of rounds of 4 batches.")] = 4,
    setting: Annotated[list[str] | None, typer.Option(help="On a GPU 'compiled' or 'fused'; both by default.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of benchmarks/results.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Measure and write one record per line."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    puzzles = puzzles_of(dataset, NUM_PUZZLES if on_gpu else 64)
    models = {"shipped": load_checkpoint(str(SHIPPED_SUDOKU))[0]}
    if published:
        models["published"] = HRMForGridTask(HRMConfig(**PUBLISHED)).eval()
    records = []
    for name, model in models.items():
        model.to(device)
        for dtype in [torch.bfloat16] if on_gpu else [torch.float32, torch.bfloat16]:
            model.to(dtype)
            for how in (setting or list(SETTINGS)) if on_gpu else ["plain"]:
                for size in batch_size or ([1, 64, 2048] if on_gpu else [1, 64]):
                    if on_gpu:
                        prepare_for_gpu(model, how)
                    for early_stop in (False, True):
                        if early_stop and name == "published":
                            continue  # random weights never halt
                        kind = ("early_stop" if early_stop else "full") + (", fused" if how == "fused" else "")
                        records.append(
                            {
                                "benchmark": "inference",
                                "variant": f"{name}, {kind}",
                                "device": torch.cuda.get_device_name() if on_gpu else processor_name(),
                                "torch": torch.__version__,
                                "transformers": transformers.__version__,
                                "parameters": model.num_parameters(),
                                "dtype": str(dtype).removeprefix("torch."),
                                **measure(model, puzzles, size, early_stop, repeats),
                            }
                        )
                        print(json.dumps(records[-1]), flush=True)
    if output is None:
        print(f"written to {write_records('inference_gpu' if on_gpu else 'inference_cpu', records, commit=commit)}")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
