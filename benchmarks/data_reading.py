"""How fast training examples are read, including augmentation, compared to plain reads of existing tensors.

python -m benchmarks.data_reading data/sudoku-9x9 data/maze-30x30 data/arc-1
python -m benchmarks.data_reading data/arc-1 --seconds 1 --output reading.json

One process on one core, like a worker of a `DataLoader`. The plain read takes random rows of uint8 arrays in memory
(the best case of the original) and makes int64 tensors of them, with -100 for padding labels.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import processor_name, write_records
from hrm_hf.data.folder import split_rows
from hrm_hf.puzzles.arc.puzzles import SPLITS, load_arc
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.sets import open_puzzles
from processing_hrm import IGNORE_INDEX


NUM_DRAWS = 1 << 40  # more than are read
PLAIN_BATCHES = 40


def open_folder(folder: Path) -> tuple[Draws, dict]:
    """The draws of a data set's training split; and `rows`, `examples` and `augmentations` of its records.

    `rows` counts the rows of all Parquet files of a data set, `examples` the examples in them.
    """
    rows, puzzles = split_rows(folder), open_puzzles(str(folder), "train")
    record = {"rows": sum(rows.values()), "examples": sum(rows.values()), "augmentations": "drawn"}
    if puzzles.has_augmentations:
        record["examples"] = sum(load_arc(folder, split).num_examples for split in SPLITS)
        record["augmentations"] = int(puzzles.puzzles.group_members.max()) - 1
    return puzzles.draws(NUM_DRAWS, seed=0), record


def plain_read(draws: Draws, batch_size: int) -> Callable[[list[int]], dict[str, torch.Tensor]]:
    """Reads random rows of the first examples, which are made beforehand."""
    batches = [
        draws.__getitems__(list(range(start, start + batch_size)))
        for start in range(0, PLAIN_BATCHES * batch_size, batch_size)
    ]
    stored = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    for name in ("input_ids", "labels"):
        stored[name] = stored[name].clamp(min=0).to(torch.uint8)

    def read(numbers: list[int]) -> dict[str, torch.Tensor]:
        rows = torch.randint(0, PLAIN_BATCHES * batch_size, (len(numbers),))
        batch = {name: tensor[rows].long() for name, tensor in stored.items()}
        batch["labels"].masked_fill_(batch["labels"] == 0, IGNORE_INDEX)
        return batch

    return read


def examples_per_second(read: Callable[[list[int]], dict], batch_size: int, seconds: float) -> float:
    """Examples per second when batches are read for some seconds; the first batch is not counted."""
    read(list(range(batch_size)))
    start, num_read = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        read(list(range(num_read, num_read + batch_size)))
        num_read += batch_size
    return num_read / elapsed


def main(
    folders: Annotated[list[Path], typer.Argument(help="Data set folders of Sudoku, mazes or ARC.")],
    batch_size: Annotated[int, typer.Option(help="Number of examples read at a time.")] = 768,
    seconds: Annotated[float, typer.Option(help="Seconds of measuring per variant.")] = 5.0,
    output: Annotated[
        Path | None, typer.Option(help="Write to this file instead of benchmarks/results/data_reading.json.")
    ] = None,
):
    """Measure data set folders; write one record for each, and one for the plain read."""
    torch.set_num_threads(1)
    records = []
    for folder in folders:
        draws, record = open_folder(folder)
        num_tokens = len(draws.__getitems__([0])["input_ids"][0])
        common = {
            "device": processor_name(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "batch_size": batch_size,
        } | record
        plain = plain_read(draws, batch_size)
        records += [
            {
                "benchmark": "data_reading",
                "variant": folder.name,
                **common,
                "examples_per_s": round(examples_per_second(draws.__getitems__, batch_size, seconds)),
                "bytes_on_disk": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            },
            {
                "benchmark": "data_reading",
                "variant": f"{folder.name}, plain tensors",
                **common,
                # examples that are generated while reading do not exist as tensors
                "augmentations": 0 if record["augmentations"] == "drawn" else record["augmentations"],
                "examples_per_s": round(examples_per_second(plain, batch_size, seconds)),
                # question and answer of every example, one byte per token
                "bytes_on_disk": 2 * num_tokens * record["examples"],
            },
        ]
        for line in records[-2:]:
            print(f"{line['variant']}: {line['examples_per_s']:,} examples/s, {line['bytes_on_disk']:,} bytes")
    if output is None:
        print(f"written to {write_records('data_reading', records)}")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
