"""How long commands that do no work take: help, version and usage errors of `hrm-hf`.

python -m benchmarks.start_up
"""

import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.records import processor_name, write_records


# the words of the command, and its exit code
COMMANDS = {"--help": 0, "--version": 0, "solve --help": 0, "trane": 2, "solve --nosuch 1": 2}
RUNS = 7


def seconds(arguments: list[str], exit_code: int) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    command = [Path(sys.executable).with_name("hrm-hf"), *arguments]
    process = subprocess.run(command, capture_output=True, check=False)
    if process.returncode != exit_code:
        raise RuntimeError(f"{arguments} ended with exit code {process.returncode}, not {exit_code}.")
    return time.perf_counter() - start


def main():
    """Measure and write the records."""
    records = []
    for words, exit_code in COMMANDS.items():
        measured = [seconds(words.split(), exit_code) for _ in range(RUNS)]
        records.append(
            {
                "benchmark": "start_up",
                "variant": words,
                "device": processor_name(),
                **{name: version(name) for name in ("torch", "transformers")},
                "runs": RUNS,
                "median_seconds": round(statistics.median(measured), 3),
                "most_seconds": round(max(measured), 3),
            }
        )
        print(f"hrm-hf {words}: {records[-1]['median_seconds']} s")
    write_records("start_up", records)


if __name__ == "__main__":
    main()
