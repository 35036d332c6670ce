"""Shared by all tests: caches in their own folder, no network, small models."""

import io
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


# before transformers and datasets are imported, because they read these once
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hrm-hf-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
import yaml

from configuration_hrm import HRMConfig
from hrm_hf.cli import main
from modeling_hrm import HRMForGridTask


# CI has two cores; `make test-versions` tests two environments at a time, on one each
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))


def pytest_addoption(parser):
    parser.addoption("--fuzz-minutes", type=float, default=0.5, help="Time of the fuzzers of tests/fuzz together.")


SMALL = {
    "vocab_size": 6,
    "max_position_embeddings": 16,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 2,
    "puzzle_emb_ndim": 40,
    "num_puzzle_identifiers": 3,
    "halt_max_steps": 4,
}


@pytest.fixture(autouse=True)
def no_deprecated_name_of_the_cache():
    """Fail a test if transformers warns of a deprecated cache name, which it does once per process."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    assert [message for message in said if "past_key_values" in message] == []


@pytest.fixture(scope="session")
def readme_code() -> str:
    """The Python of README.md."""
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    return code


@pytest.fixture
def small_config():
    """Make a small configuration, with changes by keyword."""
    return lambda **changes: HRMConfig(**(SMALL | changes))


@pytest.fixture
def small_model(small_config):
    """Make a small grid model with random heads, so that halting values differ between puzzles."""

    def make(**changes) -> HRMForGridTask:
        torch.manual_seed(0)
        model = HRMForGridTask(small_config(**changes))
        torch.nn.init.normal_(model.q_head.weight, std=1.0)
        torch.nn.init.zeros_(model.q_head.bias)
        return model.eval()

    return make


@pytest.fixture
def agrees_with_eager(small_model, batch):
    """Check that an attention implementation gives the logits of eager attention; changes of the model by keyword."""

    def check(implementation: str, **changes):
        eager = small_model(**changes, attn_implementation="eager")
        other = small_model(**changes, attn_implementation=implementation)
        other.load_state_dict(eager.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(
                other(batch["input_ids"]).logits, eager(batch["input_ids"]).logits, rtol=1e-4, atol=1e-5
            )

    return check


@pytest.fixture
def hrm_hf(monkeypatch, capsys):
    """Call the command `hrm-hf`; gives exit code, stdout and stderr."""

    def call(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hrm-hf", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_of:
            main()
        captured = capsys.readouterr()
        return exit_of.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def sudoku_4x4(tmp_path_factory) -> str:
    """Folder of a data set: 60 + 10 Sudoku of size 4."""
    from hrm_hf.puzzles.sudoku.build import build_sudoku

    folder = tmp_path_factory.mktemp("data") / "sudoku4"
    build_sudoku(folder, size=4, clues=8, num_train=60, num_test=10)
    return str(folder)


@pytest.fixture
def recipe(request, sudoku_4x4, tmp_path):
    """Write a recipe with the options `TINY` of the test's module, and others; gives its path."""

    def write(**options) -> str:
        options = request.module.TINY | {"dataset": sudoku_4x4, "output_dir": str(tmp_path / "run")} | options
        path = tmp_path / f"{len(list(tmp_path.glob('*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in options.items() if value is not None}))
        return str(path)

    return write


@pytest.fixture
def launch():
    """Run a script on the CPU in one or more processes, with the environment of `torchrun`.

    `extra` variables go to all of them; `meanwhile` is called with the processes after they start.
    """

    def run(
        script: object, *arguments: str, processes: int, meanwhile: Callable | None = None, **extra: str
    ) -> subprocess.CompletedProcess:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"} | extra
        if processes > 1:
            common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            common |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        started = [
            subprocess.Popen(
                [sys.executable, str(script), *arguments],
                env=os.environ | common | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(processes)
        ]
        # one thread per process, because a process that cannot write its output waits forever
        with ThreadPoolExecutor(processes) as pool:
            waiting = [pool.submit(_wait_for, process) for process in started]
            if meanwhile is not None:
                meanwhile(started)
            said = [each.result() for each in waiting]
        return subprocess.CompletedProcess(
            started[0].args,
            max((process.returncode for process in started), key=abs),
            *("".join(streams) for streams in zip(*said, strict=True)),
        )

    return run


def _wait_for(process: subprocess.Popen) -> tuple[str, str]:
    """The whole output of a process; one that hangs is made to print where (faulthandler)."""
    try:
        return process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        return process.communicate()


@pytest.fixture
def batch():
    """Six puzzles of 16 cells with labels, some ignored, and identifiers."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 6, (6, 16), generator=generator)
    labels[1, 10:] = -100
    return {
        "input_ids": torch.randint(0, 6, (6, 16), generator=generator),
        "puzzle_identifiers": torch.tensor([0, 1, 2, 0, 1, 2]),
        "labels": labels,
    }
