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

from benchmarks.records import RESULTS, ROOT, processor_name, single_pass, write_records


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
                "total_minutes": minutes,
                "seed": yaml.safe_load((run / "recipe.yaml").read_text())["seed"],
                **single_pass(result, test),
            }
        ],
    )
    shutil.copyfile(run / "thinking.png", RESULTS / "demo.png")
    print(path.read_text())


if __name__ == "__main__":
    main()
