"""FSDP2, in two processes on the CPU: it trains the same as one process, from slices of the weights."""

import itertools
import json
import os
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file

from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text
from hrm_hf.training.arguments import TrainArguments, parse_recipe
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.sharding import shard, sharding_wanted
from tests.tiny import NETWORK
from train_accelerate import main


ROOT = Path(__file__).parent.parent
TRAIN = ROOT / "train_accelerate.py"
COMMON = NETWORK | {
    "batch_size": 16,
    "warmup_steps": 5,
    "learning_rate": 1e-3,
    "log_steps": 1,
    # random draws differ between one process and two
    "halt_exploration_prob": 0.0,
    "checkpoint_minutes": 1e6,
    "cpu_threads": 1,
}
# AdamATan2, clipping, moving average, puzzle embeddings, best model, checkpoints
GRID = COMMON | {
    "halt_max_steps": 3,
    "puzzle_emb_ndim": 32,
    "batches_in_work": 2,
    "max_steps": 14,
    "max_grad_norm": 1.0,
    "ema_decay": 0.9,
    "eval_steps": 7,
    "max_eval_rows": 7,  # the processes do not have the same number
    "keep_best": True,
    "checkpoint_steps": 7,
}
# Muon, parts of a batch, prelude and coda, tied weights and their average; a halting head and an injection with fewer
# rows than there are processes
TEXT = COMMON | {
    "task": "text",
    "eval_split": "validation",
    "optimizer": "muon",
    "gradient_depth": "all_cycles",
    "tie_word_embeddings": True,
    "prelude_layers": 1,
    "coda_layers": 1,
    "L_layers": 2,
    "input_injection": "every_block",
    "halting": "lean",
    "token_loss": "softmax",
    "halt_max_steps": 2,
    "gradient_accumulation_steps": 2,
    "max_train_rows": 96,  # without the last one, which is shorter
    "ema_decay": 0.9,
    "max_steps": 8,
    "eval_steps": 8,
    "sample_prompts": "The king",
    "sample_tokens": 4,
}
FSDP1 = {"FSDP_VERSION": "1", "FSDP_RESHARD_AFTER_FORWARD": "FULL_SHARD", "FSDP_SYNC_MODULE_STATES": "false"}
# prints this process's share of the weights, then trains; makes the gradients of step 3 infinite
SCRIPT = """
import json
import sys

from torch.distributed.tensor import DTensor

from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from tests.test_sharding import poison


run = prepare(*parse_recipe(sys.argv[1:]))
states = {}
for name, param in run.model.named_parameters():
    is_sharded = isinstance(param, DTensor)
    states[name] = [list(param.shape), list((param.to_local() if is_sharded else param).shape), is_sharded]
poison(run, 3)
train(run)
carries = getattr(run.task, "carries", None)
dtype = None if carries is None else str(carries.fields["z_H"].dtype)
slices = [value for optimizer in run.optimizers for state in optimizer.state.values() for value in state.values()]
print("SAID " + json.dumps({
    "process": run.accelerator.process_index,
    "weights": states,
    "carry": dtype,
    "optimizer_is_sharded": bool(slices) and all(isinstance(value, DTensor) for value in slices),
}))
"""


def poison(run, step: int):
    """Make the gradients of a step infinite."""
    forward, count = run.task.forward, itertools.count(1 if run.resumed is None else run.resumed.step + 1)

    def poisoned(network, batch):
        output = forward(network, batch)
        if next(count) == step:
            output["loss"] = output["loss"] * torch.inf
        return output

    run.task.forward = poisoned


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """40 + 10 Sudoku of size 4, and a text."""
    folder = tmp_path_factory.mktemp("data")
    build_sudoku(folder / "sudoku4", size=4, clues=8, num_train=40, num_test=10)
    (folder / "book.txt").write_text("\n\n".join(f"The king said {n} words to the queen." for n in range(300)))
    build_text(folder / "text", [str(folder / "book.txt")], train_bpe=300, block_size=32, document_separator=r"\n\n")
    return {"grid": str(folder / "sudoku4"), "text": str(folder / "text")}


@pytest.fixture
def recipe(folders, tmp_path):
    """Write a recipe of a tiny run to a folder; gives its path."""

    def write(options: dict, name: str, **changes) -> str:
        options = {"dataset": folders[options.get("task", "grid")], "output_dir": str(tmp_path / name)} | options
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(options | changes))
        return str(path)

    return write


@pytest.fixture(scope="module")
def fsdp2() -> dict[str, str]:
    """The environment that `accelerate launch` makes from our file for FSDP2."""
    config = str(ROOT / "recipes/accelerate/fsdp2.yaml")
    arguments = launch_command_parser().parse_args(["--config_file", config, str(TRAIN)])
    before = dict(os.environ)
    environment = prepare_multi_gpu_env(_validate_launch_command(arguments)[0])
    os.environ.clear()
    os.environ.update(before)
    return {name: value for name, value in environment.items() if name.startswith(("FSDP_", "ACCELERATE_USE_FSDP"))}


@pytest.fixture
def train_sharded(launch, fsdp2, tmp_path):
    """Train in two processes with sharded weights; gives the report of each process."""

    def run(*arguments: str) -> list[dict]:
        (tmp_path / "script.py").write_text(SCRIPT)
        process = launch(tmp_path / "script.py", *arguments, processes=2, PYTHONPATH=str(ROOT), **fsdp2)
        assert process.returncode == 0, process.stderr[-3000:]
        said = [line.partition("SAID ")[2] for line in process.stdout.splitlines() if "SAID " in line]
        return sorted(map(json.loads, said), key=lambda one: one["process"])

    return run


def train_in_one_process(path: str):
    run = prepare(*parse_recipe([path]))
    poison(run, 3)
    train(run)


def log(run: Path) -> list[dict]:
    """The log, without values that depend on the machine."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    left_out = ("minutes", "memory_gb", "_per_s")
    return [{k: v for k, v in line.items() if not k.endswith(left_out)} for line in lines]


def assert_learned_the_same(one: Path, two: Path):
    """Logs equal to about 1e-5 and weights nearly; one step was skipped."""
    assert sum(line.get("skipped_steps", 0) for line in log(one)) == 1
    assert [line["step"] for line in log(one)] == [line["step"] for line in log(two)]
    for line, other in zip(log(one), log(two), strict=True):
        assert line.keys() == other.keys()
        for name, value in line.items():
            expected = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            assert other[name] == expected, (line["step"], name)
    for name in ("model", "best_model"):
        if (one / name).exists():
            expected, found = (load_file(run / name / "model.safetensors") for run in (one, two))
            assert expected.keys() == found.keys()
            for weight in expected:
                torch.testing.assert_close(found[weight], expected[weight], rtol=1e-4, atol=1e-5)


def assert_sharded(said: list[dict], but: set[str]):
    """Two processes each had their rows of every sharded weight."""
    assert [one["process"] for one in said] == [0, 1]
    for name, (shape, mine, is_sharded) in said[0]["weights"].items():
        assert is_sharded == (name not in but), name
        other = said[1]["weights"][name][1]
        if is_sharded:
            assert [mine[0] + other[0], *mine[1:]] == shape and mine[0] == -(-shape[0] // 2), name
        else:
            assert mine == other == shape, name
    assert all(one["optimizer_is_sharded"] for one in said)


def test_two_processes_with_sharded_weights_learn_what_one_does_and_go_on(recipe, train_sharded, tmp_path):
    train_in_one_process(recipe(GRID, "one"))
    said = train_sharded(recipe(GRID, "two"))
    assert_sharded(said, but={"model.puzzle_embeddings.weight"})
    assert_learned_the_same(tmp_path / "one", tmp_path / "two")
    assert load_file(tmp_path / "two/model/model.safetensors")["model.puzzle_embeddings.weight"].abs().sum() > 0

    # a checkpoint has whole tensors, and a run resumed from it ends like the unbroken one
    checkpoint = tmp_path / "two/checkpoints/step_00000007"
    shared = torch.load(checkpoint / "shared.pt", weights_only=True)
    assert {name: list(weight.shape) for name, weight in shared["model"].items() if "init" not in name} == {
        name: shape for name, (shape, _, _) in said[0]["weights"].items()
    }
    train_sharded(recipe(GRID, "resumed"), "--resume", str(checkpoint))
    expected, found = (load_file(tmp_path / run / "model/model.safetensors") for run in ("two", "resumed"))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert log(tmp_path / "resumed") == [line for line in log(tmp_path / "two") if line["step"] > 7]


def test_muon_makes_whole_matrices_orthogonal(recipe, train_sharded, tmp_path):
    train_in_one_process(recipe(TEXT, "one"))
    said = train_sharded(recipe(TEXT, "two"))
    assert_sharded(said, but=set())
    assert said[1]["weights"]["model.H_module.layers.0.self_attn.qkv_proj.weight"][1] == [48, 32]
    assert_learned_the_same(tmp_path / "one", tmp_path / "two")


def test_bfloat16_is_that_of_autocast(recipe, train_sharded, tmp_path):
    train_in_one_process(recipe(GRID, "float32", max_steps=4))
    said = train_sharded(recipe(GRID, "bf16", max_steps=4, mixed_precision="bf16"))
    assert [one["carry"] for one in said] == ["torch.bfloat16"] * 2
    losses = [[line["loss"] for line in log(tmp_path / run) if "loss" in line] for run in ("float32", "bf16")]
    assert losses[1] == pytest.approx(losses[0], rel=0.02) and losses[1] != losses[0]
    weights = load_file(tmp_path / "bf16/model/model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in weights.values())


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "FSDP2 shards weights among processes, but there is only one; use at least num_processes=2."),
        (FSDP1, "fsdp_version: 1 is not supported; use 2"),
        ({"FSDP_AUTO_WRAP_POLICY": "NO_WRAP"}, "fsdp_auto_wrap_policy must be TRANSFORMER_BASED_WRAP"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params is not supported; leave it out"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "fsdp_activation_checkpointing is not supported"),
        ({"FSDP_IGNORED_MODULES": "lm_head"}, "fsdp_ignored_modules is not supported"),
    ],
)
def test_settings_that_are_not_supported_are_refused_in_one_sentence(
    recipe, fsdp2, monkeypatch, tmp_path, capsys, environment, sentence
):
    for name, value in (fsdp2 | environment).items():
        monkeypatch.setenv(name, value)
    assert main([recipe(GRID, "run")]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fused_kernels_are_refused(fsdp2, monkeypatch):
    for name, value in fsdp2.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="fused_kernels=True is not supported with FSDP2; leave it out"):
        sharding_wanted(TrainArguments(output_dir="unused", fused_kernels=True), Accelerator())


def test_blocks_that_the_model_has_not_are_named(fsdp2, monkeypatch, small_model):
    for name, value in (fsdp2 | {"FSDP_TRANSFORMER_CLS_TO_WRAP": "HRMBlock,LlamaBlock"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"HRMBlock, LlamaBlock names .* the model does not have \(LlamaBlock\)"):
        shard(small_model(), FullyShardedDataParallelPlugin(), Accelerator())
