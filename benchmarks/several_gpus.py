"""The same steps of training on one GPU and on several: how fast, and are the losses equal?

python -m benchmarks.several_gpus --arc data/arc-1 --output several_gpus.json        # all lines
python -m benchmarks.several_gpus --line published --line losses --output several_gpus.json
python -m benchmarks.several_gpus --measured several_gpus.json                       # keep what was measured

Lines:

published   the published shape with lean halting, 768 boards: one GPU, DDP, FSDP2
small       the network of recipes/sudoku_hard.yaml, the step as CUDA graph: one GPU, DDP
arc         recipes/arc_1.yaml, on canvases of several sizes: one GPU, DDP
large       300 M parameters, 256 boards a GPU: DDP with and without kernels, FSDP2
losses      the first three in float32, with the same batches in every way: losses of 20 steps

Speed is that of 200 steps (large: 40) after a warm-up of 50 (large: 20), by the log of the training loop, without
evaluations and checkpoints; in bfloat16, compiled, with the Triton kernels except under FSDP2, which does not support
them. With several GPUs the batch is either split among them or grown, so that each has as many boards as one GPU.
Boards of Sudoku are made up. The losses are those of AdamATan2 in all three, because Muon rounds to bfloat16.

All runs of a way (one GPU, DDP, FSDP2) share processes, which saves the start. Runs on one GPU use two GPUs at the
same time: published and its losses on one, small and arc on the other. A run that fails or takes too long is in the
records with its reason, and the others go on. The output is written after each run, and keeps the lines that are not
measured again. With one GPU only the runs on one GPU are made. `--run "large, large, fsdp2, grown"` makes one run of
the lines; its name is that of the record.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import write_records
from benchmarks.tables import markdown_table


ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "recipes"
CONFIGS = {"one": "one_gpu.yaml", "ddp": "eight_gpus.yaml", "fsdp2": "fsdp2.yaml"}
LINES = ("published", "small", "arc", "large", "losses")
# which of two GPUs makes the runs on one GPU
GPU_OF_LINE = {"published": 0, "small": 1, "arc": 1, "losses": 0}

COMMON = (
    "--report_to none --overwrite_output_dir true --eval_steps 1000000 --checkpoint_minutes 1000000 "
    "--schedule_by_minutes false --keep_best false --num_workers 4"
)
# exploration and staggering draw different numbers in each process, so there are none when losses are compared
COMPARED = (
    "--max_steps 20 --warmup_steps 5 --log_steps 1 --mixed_precision no --compile false --fused_kernels false "
    "--halt_exploration_prob 0 --staggered_start false --optimizer adam_atan2"
)
FAST = "--mixed_precision bf16 --compile true"
SHAPES = {
    "published": ("sudoku_original.yaml", "--halting lean"),
    "small": ("sudoku_hard.yaml", ""),
    "arc": ("arc_1.yaml", "--num_workers 8"),
    "large": (
        "sudoku_original.yaml",
        "--halting lean --hidden_size 1536 --intermediate_size 4608 --num_attention_heads 24 "
        "--H_layers 5 --L_layers 5",
    ),
}
# option that is the size of a batch, and its value on one GPU
BATCHES = {
    "published": ("batch_size", 768),
    "small": ("batch_size", 384),
    "arc": ("batch_tokens", 98304),
    "large": ("batch_size", 256),
}


@dataclass(frozen=True)
class Wanted:
    """A run to measure: a shape in a way, with options of the command line."""

    line: str
    shape: str
    way: str
    batch: str  # "as given", "split" or "grown"
    options: str
    warmup_steps: int = 0  # 0: compares losses

    @property
    def name(self) -> str:
        """Unique among all runs."""
        kernels = ", kernels" if self.line == "large" and "--fused_kernels true" in self.options else ""
        return f"{self.line}, {self.shape}, {self.way}, {self.batch}{kernels}"


def runs_of(line: str, way: str, num_gpus: int, steps: int) -> list[Wanted]:
    """The runs of a line in a way."""
    if line == "losses":
        return [_compared(shape, way) for shape in ("published", "small", "arc")]
    if (line in ("small", "arc") and way == "fsdp2") or (line == "large" and way == "one"):
        return []
    option, size = BATCHES[line]
    warmup, timed = (20, 40) if line == "large" else (50, steps)
    batches = {"split": size, "grown": size * num_gpus}
    if way == "one":
        batches = {"as given": size}
    elif line == "large":
        del batches["split"]
    kernels = {"fsdp2": ["false"], "ddp": ["false", "true"] if line == "large" else ["true"], "one": ["true"]}
    return [
        Wanted(
            line,
            line,
            way,
            batch,
            f"{SHAPES[line][1]} {FAST} --{option} {number} --max_steps {warmup + timed} --log_steps {warmup} "
            f"--fused_kernels {fused}",
            warmup,
        )
        for batch, number in batches.items()
        for fused in kernels[way]
    ]


def _compared(shape: str, way: str) -> Wanted:
    options = f"{SHAPES[shape][1]} {COMPARED}"
    if shape == "small":
        options += f" --cuda_graph {str(way != 'fsdp2').lower()}"
    if shape == "arc":
        options += " --batch_tokens 24576"
    return Wanted("losses", shape, way, "split" if way != "one" else "as given", options)


class Records:
    """The records so far, in a file that is written after each run."""

    def __init__(self, path: Path):
        self.path, self.lock = path, Lock()
        self.records = json.loads(path.read_text()) if path.is_file() else []

    def add(self, wanted: Wanted, found: dict):
        """Add the record of a run, in place of an earlier one."""
        record = {
            "benchmark": "several_gpus",
            "variant": wanted.name,
            "line": wanted.line,
            "shape": wanted.shape,
            "way": wanted.way,
            "batch": wanted.batch,
            "fused_kernels": "--fused_kernels true" in wanted.options,
            "device": torch.cuda.get_device_name(),
            "driver": _driver(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            **found,
        }
        with self.lock:
            self.records = [old for old in self.records if old["variant"] != wanted.name] + [record]
            self.path.write_text(json.dumps(self.records, indent=2) + "\n")
        print(json.dumps({name: value for name, value in record.items() if name != "losses"}), flush=True)


@cache
def _driver() -> str:
    """The version of the driver of the GPUs."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


@dataclass(frozen=True)
class Measuring:
    """How runs are made.

    Attributes:
        arc: data set folder of ARC.
        folder: for files of the runs.
        seconds: maximum for each run; the first one of new processes gets 60 more.
        multiple: batches of ARC have a multiple of this many boards.
        records: gets the records.
    """

    arc: Path | None
    folder: Path
    seconds: float
    multiple: int
    records: Records

    def measure(self, runs: list[Wanted], gpus: list[int]):
        """Make runs of one way, one after the other, on some GPUs; all in the same processes, unless one fails.

        Args:
            runs: of one way.
            gpus: numbers of the GPUs, a process on each.
        """
        while runs:
            runs = runs[self._measure_until_failure(runs, gpus) :]

    def _measure_until_failure(self, runs: list[Wanted], gpus: list[int]) -> int:
        """Start processes for runs; returns how many of them have a record, the last of which may be a failure."""
        way = runs[0].way
        name = f"{way}_{gpus[0]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        results, plan, errors = (self.folder / f"{name}.{ending}" for ending in ("jsonl", "json", "err"))
        results.write_text("")
        asked = [
            {
                "recipe": str(RECIPES / SHAPES[run.shape][0]),
                "options": [
                    *COMMON.split(),
                    *run.options.split(),
                    "--output_dir",
                    str(self.folder / run.name.replace(", ", "_")),
                ],
                "warmup_steps": run.warmup_steps,
                "multiple_of": self.multiple,
            }
            for run in runs
        ]
        plan.write_text(json.dumps({"runs": asked, "arc": str(self.arc), "results": str(results)}))
        command = [sys.executable, "-m", "accelerate.commands.launch"]
        command += ["--config_file", str(RECIPES / "accelerate" / CONFIGS[way]), "--num_processes", str(len(gpus))]
        command += ["--main_process_port", str(29500 + gpus[0]), "-m", "benchmarks.several_gpus_process", str(plan)]
        environment = {
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
            "NCCL_NVLS_ENABLE": "0",  # NVLink multicast, which not every machine allows
            "OMP_NUM_THREADS": "4",
        }
        with open(errors, "w") as stderr:
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | environment, stdout=stderr, stderr=stderr, start_new_session=True
            )
        done, deadline = 0, time.monotonic() + self.seconds + 60
        while done < len(runs):
            ended = process.poll() is not None
            # a line that is just being written has no end yet
            lines = [line for line in results.read_text().splitlines(keepends=True) if line.endswith("\n")]
            for line in lines[done:]:
                self.records.add(runs[done], json.loads(line))
                done, deadline = done + 1, time.monotonic() + self.seconds
            if done < len(runs) and (ended or time.monotonic() > deadline):
                reason = f"ended with {process.returncode}" if ended else f"had not ended after {self.seconds:g} s"
                said = errors.read_text()
                print(f"{runs[done].name}: {reason}\n{said[-3000:]}", file=sys.stderr, flush=True)
                self.records.add(runs[done], {"processes": len(gpus), "failed": reason})
                done += 1
                break
            time.sleep(0.2)
        try:
            process.wait(timeout=20 if done == len(runs) else 0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # including the processes that it started
            process.wait()
        return done


def with_comparisons(records: list[dict]) -> list[dict]:
    """The records in the order of the lines, compared with those on one GPU: speedup, or difference of losses."""
    found = {(record["line"], record["shape"]): record for record in records if record["way"] == "one"}
    compared = []
    for record in records:
        one, new = found.get((record["line"], record["shape"]), {}), dict(record)
        if "losses" in record and "losses" in one:
            pairs = list(zip(record["losses"], one["losses"], strict=True))
            new |= {
                "steps_compared": len(pairs),
                "last_loss": pairs[-1][0],
                "largest_relative_difference": max(abs(a - b) / b for a, b in pairs),
            }
        if "cells_per_s" in record and "cells_per_s" in one:
            new["speedup"] = round(record["cells_per_s"] / one["cells_per_s"], 3)
        new.pop("losses", None)
        compared.append(new)
    return sorted(compared, key=lambda record: (LINES.index(record["line"]), record["shape"]))


def table(records: list[dict]) -> str:
    """What was measured, as a short table."""
    forms = {
        "ms_per_step": "{:.2f}",
        "samples_per_s": "{:,.0f}",
        "speedup": "{:.2f}",
        "memory_gb": "{:.1f}",
        "compile_seconds_before": "{:.0f}",
        "compile_seconds_while_timed": "{:.1f}",
        "largest_relative_difference": "{:.1e}",
        "failed": "{}",
    }
    rows = [
        [record["variant"], str(record["processes"])]
        + [form.format(record[name]) if name in record else "" for name, form in forms.items()]
        for record in records
    ]
    return markdown_table(["run", "processes", *forms], rows)


def main(
    line: Annotated[list[str] | None, typer.Option(help=f"{', '.join(LINES)}; all by default.")] = None,
    arc: Annotated[Path | None, typer.Option(help="Data set folder of ARC, for arc and losses.")] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Only these runs of the lines, by name; all by default.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps that are timed, a multiple of 50; large: 40.")] = 200,
    seconds: Annotated[float, typer.Option(help="Maximum seconds per run.")] = 120,
    runs: Annotated[Path, typer.Option(help="Folder for files of the runs.")] = Path("runs/several_gpus"),
    output: Annotated[Path | None, typer.Option(help="Write here, instead of into benchmarks/results.")] = None,
    measured: Annotated[Path | None, typer.Option(help="Measure nothing; keep the records of this --output.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if it was a copy without git.")] = None,
):
    """Measure the lines, compare with one GPU and keep the records."""
    if measured is not None:
        found = with_comparisons(json.loads(measured.read_text()))
        print(table(found))
        print(f"written to {write_records('several_gpus', found, commit=commit)}")
        return
    lines = line or list(LINES)
    if unknown := set(lines) - set(LINES):
        raise typer.BadParameter(f"There is no line {sorted(unknown)[0]}; there are {', '.join(LINES)}.")
    if arc is None and {"arc", "losses"} & set(lines):
        raise typer.BadParameter("The lines arc and losses need --arc, the data set folder of ARC.")
    if steps < 50 or steps % 50 != 0:
        raise typer.BadParameter(f"steps={steps} is not a multiple of 50.")
    num_gpus = torch.cuda.device_count()
    if num_gpus == 0:
        raise typer.BadParameter("This machine has no GPU; run this on a machine with at least two.")
    ways = ("one", "ddp", "fsdp2") if num_gpus > 1 else ("one",)
    wanted = {way: [each for name in lines for each in runs_of(name, way, num_gpus, steps)] for way in ways}
    known = [each.name for of_way in wanted.values() for each in of_way]
    if unknown := set(run or []) - set(known):
        raise typer.BadParameter(f"The lines have no run {sorted(unknown)[0]!r}; they have {'; '.join(known)}.")
    if run:
        wanted = {way: [each for each in of_way if each.name in run] for way, of_way in wanted.items()}
    runs.mkdir(parents=True, exist_ok=True)
    records = Records(output or runs / "records.json")
    measuring = Measuring(arc and arc.resolve(), runs.resolve(), seconds, num_gpus, records)

    alone: dict[int, list[Wanted]] = {}
    for each in wanted["one"]:
        alone.setdefault(GPU_OF_LINE[each.line] % num_gpus, []).append(each)
    with ThreadPoolExecutor() as pool:
        for each in [pool.submit(measuring.measure, of_gpu, [gpu]) for gpu, of_gpu in alone.items()]:
            each.result()
    for way in ways[1:]:
        measuring.measure(wanted[way], list(range(num_gpus)))
    found = with_comparisons(records.records)
    print(table(found))
    if output is None:
        print(f"written to {write_records('several_gpus', found, commit=commit)}")


if __name__ == "__main__":
    typer.run(main)
