"""How time and memory of a training step grow with the sequence, the width, the cycles and the segments.

python -m benchmarks.cost_growth

One thing is changed at a time. Memory is counted as the bytes of tensors that a step saves for its backward pass, so
it is the same on every machine. It must not grow with cycles without gradient, nor with segments, since every step
computes one.
"""

import json
import statistics
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import RESULTS, processor_name, write_records
from benchmarks.timing import durations
from benchmarks.train_throughput import LEAN, VARIANTS, RandomBoards, build_step
from configuration_hrm import HRMConfig


VARIANTS["growth"] = (LEAN | {"vocab_size": 11, "puzzle_emb_ndim": 0, "num_attention_heads": 4}, {})
BASE_CPU = {"hidden_size": 64, "intermediate_size": 256, "H_layers": 1, "L_layers": 1, "max_position_embeddings": 81}
BASE_GPU = {"hidden_size": 256, "intermediate_size": 768, "H_layers": 2, "L_layers": 2, "max_position_embeddings": 81}
AXES: dict[str, list[dict]] = {
    "sequence length": [{"max_position_embeddings": length} for length in (81, 256, 900)],
    "hidden size": [{"hidden_size": width, "intermediate_size": 3 * width} for width in (64, 128, 256, 512)],
    "cycles (H = L)": [{"H_cycles": cycles, "L_cycles": cycles} for cycles in (1, 2, 3, 4)],
    "segments": [{"halt_max_steps": segments} for segments in (2, 4, 8, 16)],
}


def saved_bytes(step, batch: dict[str, torch.Tensor]) -> int:
    """Bytes that a step saves for its backward pass, without weights."""
    weights = {param.untyped_storage().data_ptr() for param in step.model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "meta" and not tensor.is_sparse:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step(batch)
    return sum(sizes.values())


def _again(step, batch: dict[str, torch.Tensor], number: int):
    step(batch)


def draw(records: list[dict], path: Path):
    """One panel per changed quantity: time and memory against it."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(AXES), figsize=(11, 2.9), layout="constrained")
    for axes, axis in zip(panels, AXES, strict=True):
        lines = [record for record in records if record["variant"] == axis]
        values = [record["value"] for record in lines]
        axes.plot(values, [record["ms_per_step"] for record in lines], marker="o", color="#0f62b5")
        axes.set(xlabel=axis, xticks=values, ylim=(0, None))
        axes.tick_params(axis="y", colors="#0f62b5")
        other = axes.twinx()
        other.plot(values, [record["saved_mb"] for record in lines], marker="s", linestyle="--", color="#b45309")
        other.set_ylim(0, max(record["saved_mb"] for record in lines) * 1.15)
        other.tick_params(axis="y", colors="#b45309")
        axes.spines[["top"]].set_visible(False)
        other.spines[["top"]].set_visible(False)
        if axes is panels[0]:
            axes.set_ylabel("ms per step", color="#0f62b5")
        if axes is panels[-1]:
            other.set_ylabel("MB kept for the backward pass", color="#b45309")
    figure.savefig(path, dpi=130)


def main(
    batch_size: Annotated[int | None, typer.Option(help="Batch size; by default 16 on a CPU, 384 on a GPU.")] = None,
    repeats: Annotated[int, typer.Option(help="Number of timed steps.")] = 5,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of benchmarks/results.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Measure, write one record per point and draw them."""
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no")
    batch_size = batch_size or (384 if on_gpu else 16)
    fields, options = VARIANTS["growth"]
    records = []
    for axis, points in AXES.items():
        for changes in points:
            task = RandomBoards(HRMConfig(**(fields | (BASE_GPU if on_gpu else BASE_CPU) | changes)))
            step = build_step(task, options, batch_size, accelerator, "plain")
            batch = task.batch(batch_size, accelerator.device)
            seconds = statistics.median(durations(partial(_again, step, batch), 2, repeats, accelerator.device))
            value = next(iter(changes.values()))
            records.append(
                {
                    "benchmark": "cost_growth",
                    "variant": axis,
                    "value": value,
                    "device": torch.cuda.get_device_name() if on_gpu else processor_name(),
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "batch_size": batch_size,
                    "ms_per_step": round(1e3 * seconds, 2),
                    "saved_mb": round(saved_bytes(step, batch) / 1e6, 2),
                }
            )
            print(json.dumps(records[-1]), flush=True)
    if output is None:
        name = "cost_growth_gpu" if on_gpu else "cost_growth_cpu"
        print(f"written to {write_records(name, records, commit=commit)}")
        draw(records, RESULTS / f"{name}.png")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
