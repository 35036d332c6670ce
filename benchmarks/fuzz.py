"""Fuzz the product with seeded inputs and write a record with their number and failures.

python -m benchmarks.fuzz                      # 10,000 inputs, benchmarks/results/fuzz.json
python -m benchmarks.fuzz --inputs 500000 --minutes 60 --first-seed 100000 --no-record

The inputs are those of tests/fuzz/targets.py. Exit code 1 if one failed.
"""

import os
import tempfile
import time
from collections import Counter
from typing import Annotated


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hrm-hf-fuzz-")

import torch
import transformers
import typer

from benchmarks.records import processor_name, write_records
from tests.fuzz.targets import SECONDS, TARGETS, run_input


def main(
    inputs: Annotated[int, typer.Option(help="Maximum number of inputs, over all targets.")] = 10_000,
    minutes: Annotated[float | None, typer.Option(help="Maximum number of minutes.")] = None,
    first_seed: Annotated[int, typer.Option(help="Seed of the first input of each target.")] = 0,
    record: Annotated[bool, typer.Option(help="Write benchmarks/results/fuzz.json.")] = True,
):
    """Run the fuzzers."""
    transformers.logging.set_verbosity_error()
    end = None if minutes is None else time.monotonic() + 60 * minutes
    names = list(TARGETS)
    outcomes: dict[str, list] = {name: [] for name in names}
    for number in range(inputs):
        if end is not None and time.monotonic() > end:
            break
        name = names[number % len(names)]
        outcome = run_input(name, first_seed + number // len(names))
        outcomes[name].append(outcome)
        if outcome.failure is not None:
            print(f"run_input({name!r}, {outcome.failure.seed}): {outcome.failure.kind}\n{outcome.failure.detail}")
    records, failed = [], 0
    for name in [*names, "all"]:
        part = outcomes[name] if name in outcomes else [one for some in outcomes.values() for one in some]
        kinds = Counter(one.failure.kind for one in part if one.failure is not None)
        failed = sum(kinds.values())
        records.append(
            {
                "benchmark": "fuzz",
                "variant": name,
                "device": processor_name(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "first_seed": first_seed,
                "inputs": len(part),
                "refused_in_a_sentence": sum(one.refused for one in part),
                "boards_called_solved": sum(one.solved for one in part),
                "tracebacks": kinds["traceback"],
                "wrong_boards_called_solved": kinds["wrong board"],
                f"over_{SECONDS:.0f}_s": sum(one.seconds > SECONDS for one in part),
                "most_seconds": round(max((one.seconds for one in part), default=0.0), 2),
            }
        )
        print({key: value for key, value in records[-1].items() if key not in ("benchmark", "device", "torch")})
    if record:
        print(write_records("fuzz", records))
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
