"""The cost of a table of puzzle embeddings in training, from a thousand rows to the 1.3 million of augmented ARC.

python -m benchmarks.puzzle_table

A step only touches the rows of its batch: neither the gradient, nor the optimizer's state, nor the moving average is
ever as large as the table. So time, and memory besides the table itself, must not grow with the number of rows.
"""

import json
import resource
import statistics
import subprocess
import sys
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from benchmarks.timing import durations
from benchmarks.train_throughput import VARIANTS, RandomBoards, build_step
from configuration_hrm import HRMConfig
from hrm_hf.training.sign_sgd import SignSGD


WIDTH = 512
ROWS = (1_000, 100_000, 1_300_000)
NETWORK = {
    "vocab_size": 12,
    "max_position_embeddings": 81,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "H_layers": 1,
    "L_layers": 1,
    "puzzle_emb_ndim": WIDTH,
    "halting": "lean",
}
OPTIONS = {"ema_decay": 0.999}
VARIANTS["table"] = (NETWORK, OPTIONS)


def measure(rows: int, batch_size: int, repeats: int) -> dict:
    """The record of a table; it needs its own process, because it reports the peak memory of the process."""
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no")
    device = accelerator.device
    task = RandomBoards(HRMConfig(**NETWORK, num_puzzle_identifiers=rows))
    step = build_step(task, OPTIONS, batch_size, accelerator, "plain")
    batches = [task.batch(batch_size, device) for _ in range(4)]
    seconds = statistics.median(durations(lambda number: step(batches[number % 4]), 2, repeats, device))
    table = step.model.model.puzzle_embeddings.weight
    (optimizer,) = (each for each in step.optimizers if isinstance(each, SignSGD))
    state = sum(value.nbytes for values in optimizer.state.values() for value in values.values())
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "benchmark": "puzzle_table",
        "variant": f"{rows} rows",
        "device": torch.cuda.get_device_name() if on_gpu else processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "rows": rows,
        "width": WIDTH,
        "batch_size": batch_size,
        "ms_per_step": round(1e3 * seconds, 2),
        "table_mb": round(table.nbytes / 1e6, 1),
        "gradient_mb": round(table.grad._values().nbytes / 1e6, 3),
        "optimizer_state_mb": round(state / 1e6, 3),
        "peak_mb": round(peak / 1e6),
    }


def main(
    rows: Annotated[int | None, typer.Option(help="Measure one table in this process and print its record.")] = None,
    batch_size: Annotated[int, typer.Option(help="Sequences per step.")] = 32,
    repeats: Annotated[int, typer.Option(help="Number of timed steps.")] = 15,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Measure all tables, each in its own process, and write one record per table."""
    if rows is not None:
        print(json.dumps(measure(rows, batch_size, repeats)))
        return
    records = []
    for count in ROWS:
        command = [sys.executable, "-m", "benchmarks.puzzle_table", "--rows", str(count)]
        command += ["--batch-size", str(batch_size), "--repeats", str(repeats)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        records.append(json.loads(output.splitlines()[-1]))
        print(json.dumps(records[-1]), flush=True)
    kind = "gpu" if torch.cuda.is_available() else "cpu"
    print(f"written to {write_records(f'puzzle_table_{kind}', records, commit=commit)}")


if __name__ == "__main__":
    typer.run(main)
