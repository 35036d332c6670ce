"""Result records, which every benchmark writes to benchmarks/results/<name>.json.

A file is a list of records, one per line of its table. Every record has `benchmark`, `variant`, `device`, `torch`,
`transformers`, `commit` and `date`; the other keys depend on the benchmark.
"""

import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path

from hrm_hf.utils.files import whole_file


ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def current_commit() -> str:
    """Abbreviated commit of this repository, with `+` if there are uncommitted changes."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changes = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"{commit}+" if changes else commit


def processor_name() -> str:
    """The CPU, with the number of cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{cores} core{'' if cores == 1 else 's'} of {model}"


def read_log(file: Path) -> tuple[list[dict], list[dict]]:
    """Lines of training and lines of evaluation of the log.jsonl of a run, or of a shortened copy."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [line for line in lines if "loss" in line], [line for line in lines if "eval_n" in line]


def single_pass(result: dict, test: dict) -> dict:
    """Fields of a record of a Sudoku model that was trained and then tested once on every puzzle.

    Args:
        result: result.json of the training.
        test: output of `hrm-hf evaluate --output`.
    """
    return {
        "train_puzzles": result["train_puzzles"],
        "train_minutes": result["train_minutes"],
        "parameters": result["parameters"],
        "split": test["split"],
        "n": test["n"],
        "segments": test["max_segments"],
        "mean_segments": test["mean_segments"],
        "method": "single",
        "samples": 1,
        "exact_accuracy": test["exact_accuracy"],
        "cell_accuracy": test["cell_accuracy"],
        "ci95": test["exact_ci95"],
        "checkpoint": "last",
    }


def write_records(name: str, records: list[dict], commit: str | None = None, day: str | None = None) -> Path:
    """Write records, adding commit and date if missing, to a temporary file that is then renamed.

    Args:
        name: file name without ending.
        records: measurements with `benchmark`, `variant`, `device`, `torch`, `transformers`.
        commit: of the measured code; the current one by default.
        day: ISO date of the measurement; today by default.

    Raises:
        ValueError: if a record lacks one of those keys.
    """
    for record in records:
        missing = {"benchmark", "variant", "device", "torch", "transformers"} - set(record)
        if missing:
            raise ValueError(f"The record {record} lacks {', '.join(sorted(missing))}.")
    stamp = {"commit": commit or current_commit(), "date": day or date.today().isoformat()}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    with whole_file(path) as partial:
        # an earlier record that is kept has its own
        partial.write_text(json.dumps([record | (stamp | record) for record in records], indent=2) + "\n")
    return path


def read_records(name: str) -> list[dict]:
    """Records of benchmarks/results/<name>.json.

    Raises:
        FileNotFoundError: if there are none.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path.relative_to(ROOT)}; run the benchmark that writes it.")
    return json.loads(path.read_text())
