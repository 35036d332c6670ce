"""The same training run on one GPU and on several, with DDP and FSDP2: do the losses agree, and how fast is it?

python -m benchmarks.several_gpus data/sudoku-hard                  # all GPUs of this machine

Each line is two runs of train_accelerate.py, started by `accelerate launch` with the files of recipes/accelerate, on
the published shape with lean halting. Losses are compared in float32, over steps with the same batches, and these
three runs share the GPUs. Speed is measured in bfloat16 with compiled blocks, one run at a time, with the Triton
kernels if they can be used. If a method fails or does not end, the record says so.
"""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

from benchmarks.records import write_records


ROOT = Path(__file__).parent.parent
CONFIGS = {"one": "one_gpu.yaml", "ddp": "eight_gpus.yaml", "fsdp2": "fsdp2.yaml"}
COMMON = (
    "--halting lean --report_to none --overwrite_output_dir true --eval_steps 100000 --max_eval_rows 16 "
    "--eval_max_segments 1 --num_workers 2"
)
# exploration draws differ between processes, so there is none when losses are compared
COMPARED = (
    "--max_steps 20 --warmup_steps 5 --halt_exploration_prob 0 --log_steps 1 --mixed_precision no --compile false"
)
FAST = "--max_steps 80 --log_steps 20 --mixed_precision bf16 --compile true"


def train(how: str, processes: int, options: str, dataset: Path, output: Path, seconds: float) -> list[dict]:
    """Lines of training of a run's log.

    Raises:
        RuntimeError: if the run fails, does not end in time, or ran on a different number of processes.
    """
    config = ROOT / "recipes" / "accelerate" / CONFIGS[how]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    command += ["--num_processes", str(processes), "--main_process_port", str(29500 + list(CONFIGS).index(how))]
    command += [str(ROOT / "train_accelerate.py"), str(ROOT / "recipes" / "sudoku_original.yaml")]
    command += ["--dataset", str(dataset), "--output_dir", str(output), *COMMON.split(), *options.split()]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)  # including the processes that it started
        _, errors = process.communicate()
        raise RuntimeError(f"{how} had not ended after {seconds} s: {errors[-1500:]}") from error
    if process.returncode != 0:
        raise RuntimeError(f"{how} ended with {process.returncode}: {errors[-1500:]}")
    started = json.loads((output / "result.json").read_text())["processes"]
    if started != processes:
        raise RuntimeError(f"{how} should run on {processes} processes, but ran on {started}.")
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def main(
    dataset: Annotated[Path, typer.Argument(help="Data set folder of 9x9 Sudoku.")],
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/several_gpus"),
    seconds: Annotated[float, typer.Option(help="Maximum seconds per run.")] = 240,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of benchmarks/results.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Train, compare and write one record per method."""
    num_gpus = torch.cuda.device_count()
    if num_gpus < 2:
        raise typer.BadParameter(f"This machine has {num_gpus} GPUs; run this on a machine with at least two.")
    processes = {how: 1 if how == "one" else num_gpus for how in CONFIGS}

    def attempt(how: str, options: str, name: str) -> list[dict] | str:
        try:
            return train(how, processes[how], options, dataset, runs / f"{how}_{name}", seconds)
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
            return str(error).split(":")[0]

    with ThreadPoolExecutor() as pool:
        compared = dict(zip(CONFIGS, pool.map(lambda how: attempt(how, COMPARED, "losses"), CONFIGS), strict=True))
    records = []
    for how in CONFIGS:
        record = {
            "benchmark": "several_gpus",
            "variant": how,
            "device": torch.cuda.get_device_name(),
            "processes": processes[how],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        if isinstance(compared[how], str):
            record["failed"] = compared[how]
        elif not isinstance(compared["one"], str):
            pairs = [(a["loss"], b["loss"]) for a, b in zip(compared[how], compared["one"], strict=True)]
            record |= {
                "steps_compared": len(pairs),
                "last_loss": pairs[-1][0],
                "largest_relative_difference": max(abs(a - b) / b for a, b in pairs),
            }
        # FSDP2 replaces the parameters that the kernels read
        speed = attempt(how, FAST + (" --fused_kernels true" if how != "fsdp2" else ""), "speed")
        if isinstance(speed, str):
            record["failed"] = speed
        else:
            record |= {
                "samples_per_s": round(speed[-1]["samples_per_s"], 1),
                "memory_gb": round(speed[-1]["memory_gb"], 2),
            }
        records.append(record)
        print(json.dumps(record), flush=True)
    if output is None:
        print(f"written to {write_records('several_gpus', records, commit=commit)}")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
