"""Several processes: a step in two halves around the sum of the gradients, and processes that are killed or stopped.

In two processes on the CPU; a CUDA graph is replaced by a plain call.
"""

import json
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from benchmarks.several_gpus import COMMON, CONFIGS, LINES, RECIPES, SHAPES, runs_of, with_comparisons
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from tests.test_sharding import poison
from tests.tiny import NETWORK


ROOT = Path(__file__).parent.parent
TRAIN = ROOT / "train_accelerate.py"
OPTIONS = NETWORK | {
    "puzzle_emb_ndim": 0,
    "halting": "lean",
    "halt_max_steps": 3,
    # random draws differ between one process and two
    "halt_exploration_prob": 0.0,
    "batch_size": 16,
    "batches_in_work": 2,
    "optimizer": "muon",
    "max_grad_norm": 1.0,
    "ema_decay": 0.9,
    "learning_rate": 1e-3,
    "warmup_steps": 5,
    "max_steps": 12,
    "eval_steps": 1000,
    "max_eval_rows": 8,
    "log_steps": 1,
    "checkpoint_minutes": 1e6,
    "cpu_threads": 1,
}
# trains; process 1 makes its gradients of step 3 infinite; with "split" as two halves, which a GPU would record
SCRIPT = """
import sys

from hrm_hf.training import loop, step
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.device_optimizer import DeviceOptimizer
from tests.test_several_processes import Direct
from tests.test_sharding import poison


path, how = sys.argv[1:]
if how == "split":
    loop.check_cuda_graph = lambda *args: None
    step.GraphedCall = Direct
    DeviceOptimizer.compile = lambda self: None  # takes a minute here
run = loop.prepare(*parse_recipe([path, "--cuda_graph", str(how == "split").lower()]))
assert (type(run.network).__name__ == "DistributedDataParallel") == (how != "split")
if run.accelerator.process_index == 1:
    poison(run, 3)
loop.train(run)
"""
# process 0 takes longer than the others wait for signs of life
SLOW = """
import time

from accelerate import Accelerator

from hrm_hf.training.rank_watch import RankWatch


accelerator = Accelerator()
with RankWatch(accelerator, seconds=1.0):
    if accelerator.is_main_process:
        time.sleep(3)
    accelerator.wait_for_everyone()
accelerator.end_training()
"""


class Direct:
    """In the place of a recorded CUDA graph: the call itself."""

    def __init__(self, function, prepare=None):
        self.function = function

    def __call__(self, inputs, like=None):
        self.function(inputs)

    def has_recorded(self, like):
        return True


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    """40 + 10 Sudoku of size 4."""
    folder = tmp_path_factory.mktemp("data")
    build_sudoku(folder / "sudoku4", size=4, clues=8, num_train=40, num_test=10)
    return str(folder / "sudoku4")


@pytest.fixture
def recipe(dataset, tmp_path):
    """Write the recipe of a tiny run to a folder; gives its path."""

    def write(name: str, **changes) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(OPTIONS | {"dataset": dataset, "output_dir": str(tmp_path / name)} | changes))
        return str(path)

    return write


@pytest.fixture
def launch_script(launch, tmp_path):
    """Run one of the scripts above in two processes."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
        (tmp_path / "script.py").write_text(script)
        return launch(tmp_path / "script.py", *arguments, processes=2, PYTHONPATH=str(ROOT))

    return run


def log(run: Path) -> list[dict]:
    """The log, without values that depend on the machine."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith(("minutes", "memory_gb", "_per_s"))} for line in lines]


def assert_learned_the_same(run: Path, other: Path):
    """Logs equal to about 1e-5 and weights nearly."""
    for line, expected in zip(log(run), log(other), strict=True):
        for name, value in expected.items():
            wanted = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            assert line[name] == wanted, (line["step"], name)
    found, expected = (load_file(folder / "model/model.safetensors") for folder in (run, other))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_step_in_two_halves_learns_what_ddp_and_one_process_learn(recipe, launch_script, tmp_path):
    run = prepare(*parse_recipe([recipe("one")]))
    poison(run, 3)
    train(run)
    for how in ("split", "ddp"):
        process = launch_script(SCRIPT, recipe(how), how)
        assert process.returncode == 0, process.stderr[-3000:]
    # both processes skipped the step that was not finite on one of them
    assert [line["step"] for line in log(tmp_path / "split") if line.get("skipped_steps")] == [3]
    for other in ("ddp", "one"):
        assert_learned_the_same(tmp_path / "split", tmp_path / other)


# --- processes that are killed or stopped


def signal_one_at(processes: list[subprocess.Popen], run: Path, step: int, rank: int, number: int, ended: list):
    """Send a signal to one process once the run has a checkpoint of a step; the other must end by itself."""
    deadline = time.monotonic() + 120
    while not (run / f"checkpoints/step_{step:08d}").exists() and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.002)
    processes[rank].send_signal(number)
    start = time.monotonic()
    try:
        ended.append(processes[1 - rank].wait(timeout=60))
        ended.append(time.monotonic() - start)
    finally:
        for process in processes:
            process.kill()


def test_a_run_goes_on_after_one_process_was_killed(recipe, launch, tmp_path):
    train(prepare(*parse_recipe([recipe("one")])))
    path, ended = recipe("killed", checkpoint_steps=1, keep_checkpoints=100), []
    kill = partial(signal_one_at, run=tmp_path / "killed", step=5, rank=1, number=signal.SIGKILL, ended=ended)
    launch(TRAIN, path, processes=2, meanwhile=kill)
    assert ended[0] != 0
    process = launch(TRAIN, path, "--resume", "auto", processes=2)
    assert process.returncode == 0 and "resuming from" in process.stdout, process.stderr[-3000:]
    assert_learned_the_same(tmp_path / "killed", tmp_path / "one")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_stops_is_named(recipe, launch, tmp_path, rank):
    path, ended = recipe("run", checkpoint_steps=30, max_steps=100_000, rank_timeout_seconds=2.0), []
    stop = partial(signal_one_at, run=tmp_path / "run", step=30, rank=rank, number=signal.SIGSTOP, ended=ended)
    process = launch(TRAIN, path, processes=2, meanwhile=stop)
    code, seconds = ended
    assert code == 1 and seconds < 10
    sentences = [line for line in process.stderr.splitlines() if "no sign of life" in line]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"Process {rank} (pid ") and "given no sign of life for 2 seconds" in sentences[0]


def test_a_process_that_only_takes_long_does_not_end_the_run(launch_script):
    process = launch_script(SLOW)
    assert process.returncode == 0 and "no sign of life" not in process.stderr, process.stderr[-3000:]


# --- the benchmark


def test_the_benchmark_of_several_gpus_gives_options_that_exist():
    runs = [run for way in CONFIGS for line in LINES for run in runs_of(line, way, num_gpus=2, steps=200)]
    assert len({run.name for run in runs}) == len(runs) == 23
    for run in runs:
        options = [*COMMON.split(), *run.options.split(), "--output_dir", "unused"]
        _, _, args = parse_recipe([str(RECIPES / SHAPES[run.shape][0]), *options])
        assert args.cuda_graph == (run.shape == "small" and run.way != "fsdp2")
        assert not (args.fused_kernels and run.way == "fsdp2") and not args.schedule_by_minutes
        assert args.max_steps == 20 if run.warmup_steps == 0 else args.log_steps == run.warmup_steps


def test_the_benchmark_of_several_gpus_compares_with_one():
    common = {"line": "losses", "shape": "arc"}
    one, two = ({**common, "way": way, "losses": losses} for way, losses in (("one", [2.0, 1.0]), ("ddp", [2.0, 1.5])))
    fast = [
        {"line": "arc", "shape": "arc", "way": way, "cells_per_s": speed}
        for way, speed in (("one", 100), ("ddp", 180))
    ]
    compared = with_comparisons([two, *fast, one])
    assert [record.get("speedup") for record in compared] == [1.0, 1.8, None, None]
    assert [record.get("largest_relative_difference") for record in compared] == [None, None, 0.5, 0.0]
