"""Collect runs of `text_comparison` at several learning rates into one file of records.

    for rate in 1e-3 1.5e-3 3e-3; do
        python -m benchmarks.text_comparison cpu --dataset data/text-2k --variants llama hrm_recurrent \\
            --learning-rate $rate --output-dir runs/sweep_$rate
    done
    python -m benchmarks.text_sweep runs/sweep_*

Writes benchmarks/results/text_sweep_cpu.json; speeds are left out, since such runs share a machine.
"""

import argparse
import json
from pathlib import Path

import yaml

from benchmarks.records import processor_name, write_records


PREFIX = "cpu_"  # in names of run folders


def collect(folder: Path) -> dict:
    """The record of a run folder.

    Raises:
        FileNotFoundError: if the run is not finished.
    """
    result = json.loads((folder / "result.json").read_text())
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    return {
        "benchmark": "text_sweep",
        "variant": folder.name.removeprefix(PREFIX),
        "device": processor_name(),
        "torch": result["torch"],
        "transformers": result["transformers"],
        "size": PREFIX.rstrip("_"),
        "parameters": result["parameters"],
        "train_tokens": result["train_tokens"],
        "learning_rate": float(recipe["learning_rate"]),
        "val_bits_per_byte": round(result["bits_per_byte"], 5),
        "seed": recipe["seed"],
        "checkpoint": "last",
    }


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="output directories of text_comparison")
    args = parser.parse_args()
    runs = sorted(path.parent for folder in args.folders for path in folder.glob(f"{PREFIX}*/result.json"))
    records = sorted(map(collect, runs), key=lambda record: (record["variant"], record["learning_rate"]))
    print(write_records("text_sweep_cpu", records))


if __name__ == "__main__":
    main()
