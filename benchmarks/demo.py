"""Run `make demo`, time it and record its result and picture.

python -m benchmarks.demo
"""

import json
import shutil
import subprocess
import time

import torch
import transformers
import yaml

from benchmarks.records import RESULTS, ROOT, processor_name, write_records


def main():
    """Command line; install first (`make install`), because installation is not timed."""
    subprocess.run(["make", "install"], cwd=ROOT, check=True)
    start = time.perf_counter()
    subprocess.run(["make", "demo"], cwd=ROOT, check=True)
    minutes = (time.perf_counter() - start) / 60
    run = ROOT / "runs" / "demo"
    test, result = json.loads((run / "test.json").read_text()), json.loads((run / "result.json").read_text())
    path = write_records(
        "demo",
        [
            {
                "benchmark": "demo",
                "variant": "sudoku_6x6",
                "device": processor_name(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "train_puzzles": result["train_puzzles"],
                "split": test["split"],
                "n": test["n"],
                "segments": test["max_segments"],
                "mean_segments": test["mean_segments"],
                "method": "single",
                "samples": 1,
                "exact_accuracy": test["exact_accuracy"],
                "cell_accuracy": test["cell_accuracy"],
                "ci95": test["exact_ci95"],
                "train_minutes": result["train_minutes"],
                "total_minutes": minutes,
                "parameters": result["parameters"],
                "seed": yaml.safe_load((run / "recipe.yaml").read_text())["seed"],
                "checkpoint": "last",
            }
        ],
    )
    shutil.copyfile(run / "thinking.png", RESULTS / "demo.png")
    print(path.read_text())


if __name__ == "__main__":
    main()
