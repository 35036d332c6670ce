"""Shared by all tests: caches in a folder of their own, no network, small models."""

import io
import os
import subprocess
import sys
import tempfile


# before transformers and datasets are imported: they read these once
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hrm-hf-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch

from configuration_hrm import HRMConfig
from hrm_hf.cli import main
from modeling_hrm import HRMForGridTask


torch.set_num_threads(2)

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


@pytest.fixture
def small_config():
    """Makes a small configuration, with changes by keyword."""
    return lambda **changes: HRMConfig(**(SMALL | changes))


@pytest.fixture
def small_model(small_config):
    """Makes a small grid model with random heads, so that halting values differ from puzzle to puzzle."""

    def make(**changes) -> HRMForGridTask:
        torch.manual_seed(0)
        model = HRMForGridTask(small_config(**changes))
        torch.nn.init.normal_(model.q_head.weight, std=1.0)
        torch.nn.init.zeros_(model.q_head.bias)
        return model.eval()

    return make


@pytest.fixture
def hrm_hf(monkeypatch, capsys):
    """Calls the command `hrm-hf`; gives exit code, stdout and stderr."""

    def call(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hrm-hf", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_of:
            main()
        captured = capsys.readouterr()
        return exit_of.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def launch():
    """Runs a script on the CPU in one process or several."""

    def run(script: object, *arguments: str, processes: int) -> subprocess.CompletedProcess:
        # `accelerate launch --cpu --num_processes 2` starts one process, unless there is MPI
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        return subprocess.run(
            [sys.executable, *(torchrun if processes > 1 else []), str(script), *arguments],
            env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


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
