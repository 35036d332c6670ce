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

from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from tests.test_sharding import poison


ROOT = Path(__file__).parent.parent
TRAIN = ROOT / "train_accelerate.py"
OPTIONS = {
    "report_to": "none",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 1,
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
# process 0 evaluates for longer than the others wait for signs of life
SLOW = """
import sys, time

from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train


run = prepare(*parse_recipe(sys.argv[1:]))
evaluate = run.task.evaluate


def slowly(*args):
    if run.accelerator.is_main_process:
        time.sleep(3)
    return evaluate(*args)


run.task.evaluate = slowly
train(run)
"""


class Direct:
    """In the place of a recorded CUDA graph: the call itself."""

    is_recorded = True

    def __init__(self, function, prepare=None):
        self.function = function

    def __call__(self, inputs):
        self.function(inputs)


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


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model/model.safetensors")


def test_a_step_in_two_halves_learns_what_ddp_and_one_process_learn(recipe, launch_script, tmp_path):
    run = prepare(*parse_recipe([recipe("one")]))
    poison(run, 3)
    train(run)
    for how in ("split", "ddp"):
        process = launch_script(SCRIPT, recipe(how), how)
        assert process.returncode == 0, process.stderr[-3000:]
    split = log(tmp_path / "split")
    # both processes skipped the step that was not finite on one of them
    assert [line["step"] for line in split if line.get("skipped_steps")] == [3]
    for other in ("ddp", "one"):
        for line, expected in zip(split, log(tmp_path / other), strict=True):
            for name, value in expected.items():
                wanted = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
                assert line[name] == wanted, (other, line["step"], name)
        found, expected = weights(tmp_path / "split"), weights(tmp_path / other)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


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
    whole = launch(TRAIN, recipe("whole"), processes=2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    path, ended = recipe("killed", checkpoint_steps=1, keep_checkpoints=100), []
    kill = partial(signal_one_at, run=tmp_path / "killed", step=5, rank=1, number=signal.SIGKILL, ended=ended)
    launch(TRAIN, path, processes=2, meanwhile=kill)
    assert ended[0] != 0
    process = launch(TRAIN, path, "--resume", "auto", processes=2)
    assert process.returncode == 0 and "resuming from" in process.stdout, process.stderr[-3000:]
    assert log(tmp_path / "killed") == log(tmp_path / "whole")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_stops_is_named(recipe, launch, tmp_path, rank):
    path, ended = recipe("run", checkpoint_steps=100, max_steps=100_000, rank_timeout_seconds=3.0), []
    stop = partial(signal_one_at, run=tmp_path / "run", step=100, rank=rank, number=signal.SIGSTOP, ended=ended)
    process = launch(TRAIN, path, processes=2, meanwhile=stop)
    code, seconds = ended
    assert code == 1 and seconds < 10
    sentences = [line for line in process.stderr.splitlines() if "no sign of life" in line]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"Process {rank} (pid ") and "given no sign of life for 3 seconds" in sentences[0]


def test_a_process_that_only_takes_long_does_not_end_the_run(recipe, launch_script, tmp_path):
    process = launch_script(SLOW, recipe("run", max_steps=2, rank_timeout_seconds=1.0))
    assert process.returncode == 0, process.stderr[-3000:]
    assert "no sign of life" not in process.stderr
    assert (tmp_path / "run/result.json").exists()
