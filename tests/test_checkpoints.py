"""A run that is stopped, killed or hit by numbers that are not finite, and goes on."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.checkpoint import Checkpoints, random_states, restore_random_states
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.stopping import Stopped
from tests.tiny import NETWORK
from train_accelerate import main


TRAIN = Path(__file__).parent.parent / "train_accelerate.py"
TINY = NETWORK | {
    "halt_max_steps": 3,
    "puzzle_emb_ndim": 32,
    "batch_size": 16,
    "batches_in_work": 2,
    "staggered_start": True,
    "max_steps": 30,
    "warmup_steps": 5,
    "learning_rate": 1e-3,
    "max_grad_norm": 1.0,
    "ema_decay": 0.9,
    "log_steps": 4,
    "eval_steps": 1000,
    "max_eval_rows": 8,
    "checkpoint_steps": 7,
    "checkpoint_minutes": None,
    "cpu_threads": 1,
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model/model.safetensors")


def training_log(run: Path) -> list[dict]:
    """The lines on training, without what depends on the machine."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {
            name: value
            for name, value in line.items()
            if name != "memory_gb" and not name.endswith(("minutes", "_per_s"))
        }
        for line in lines
    ]


def assert_same_run(run: Path, other: Path):
    expected, found = weights(run), weights(other)
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    assert training_log(run) == training_log(other)


@pytest.fixture
def unbroken(recipe, tmp_path) -> Path:
    """The run that is never stopped."""
    folder = tmp_path / "unbroken"
    assert main([recipe(output_dir=str(folder))]) == 0
    return folder


class Interruption(Exception):
    pass


def break_after(run, step: int):
    """Make a run fail in the middle of a step, as a crash would."""
    forward = run.task.forward

    count = itertools.count(1 if run.resumed is None else run.resumed.step + 1)

    def failing_forward(network, batch):
        if next(count) == step:
            raise Interruption
        return forward(network, batch)

    run.task.forward = failing_forward


# --- going on


def test_a_resumed_run_ends_as_one_that_was_never_stopped(recipe, tmp_path, unbroken, capsys):
    path = recipe()
    for step in (9, 20):
        run = prepare(*parse_recipe([path, "--resume", "auto"]))
        break_after(run, step)
        with pytest.raises(Interruption):
            train(run)
        # whatever else happens in between
        torch.manual_seed(step)
    assert main([path, "--resume", "auto"]) == 0
    assert_same_run(unbroken, tmp_path / "run")
    assert "step_00000014" in capsys.readouterr().out
    left = sorted(folder.name for folder in (tmp_path / "run/checkpoints").iterdir())
    assert left == ["step_00000021", "step_00000028"]  # the newest two


def test_killed_at_random_moments_a_run_still_ends_the_same(recipe, tmp_path, unbroken):
    path = recipe(checkpoint_steps=1)
    command = [sys.executable, "-u", str(TRAIN), path, "--resume", "auto"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    moments = random.Random(int(time.time()))
    log = tmp_path / "run/log.jsonl"
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = newest_step(tmp_path / "run")
        deadline = time.monotonic() + 120
        # let it do a few steps, and then some part of a step or of a checkpoint
        while process.poll() is None and newest_step(tmp_path / "run") < first + 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    assert log.is_file()
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    assert_same_run(unbroken, tmp_path / "run")


def newest_step(run: Path) -> int:
    steps = [path.name.removeprefix("step_") for path in (run / "checkpoints").glob("step_????????")]
    return max(map(int, steps), default=0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_stops(recipe, tmp_path, unbroken, capsys, number, code):
    path = recipe(checkpoint_steps=None)
    run = prepare(*parse_recipe([path]))
    forward = run.task.forward

    count = itertools.count(1)

    def signalled(network, batch):
        if next(count) == 11:
            os.kill(os.getpid(), number)
        return forward(network, batch)

    run.task.forward = signalled
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"{number.name} came at step 11; --resume auto .*step_00000011") as stopped:
        train(run)
    assert stopped.value.exit_code == code
    assert signal.getsignal(number) is before
    assert main([path, "--resume", "auto"]) == 0
    assert_same_run(unbroken, tmp_path / "run")


def test_checkpoints_by_the_clock(recipe, tmp_path):
    run = prepare(*parse_recipe([recipe(checkpoint_steps=None, checkpoint_minutes=1e-9, max_steps=5)]))
    train(run)
    assert newest_step(tmp_path / "run") == 4  # not after the last step, which saves the model itself


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_anew(recipe, tmp_path, unbroken):
    run = prepare(*parse_recipe([recipe()]))
    break_after(run, 5)
    with pytest.raises(Interruption):
        train(run)
    assert main([recipe(), "--resume", "auto"]) == 0
    assert_same_run(unbroken, tmp_path / "run")


@pytest.fixture
def text_recipe(tmp_path) -> str:
    """The recipe of a tiny run on text."""
    from hrm_hf.text.build import build_text

    text = tmp_path / "book.txt"
    text.write_text("\n\n".join(f"The king said {number} words to the queen." for number in range(300)))
    build_text(tmp_path / "text", [str(text)], train_bpe=300, block_size=32, document_separator=r"\n\n")
    own = ("batches_in_work", "staggered_start", "puzzle_emb_ndim", "halt_max_steps")
    options = {name: value for name, value in TINY.items() if name not in own and value is not None}
    options |= {"task": "text", "dataset": str(tmp_path / "text"), "eval_split": "validation", "max_steps": 10}
    options |= {"halt_max_steps": 1, "token_loss": "softmax"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(options))
    return str(tmp_path / "r.yaml")


def test_text_goes_on_too(text_recipe, tmp_path):
    whole, broken = ([text_recipe, "--output_dir", str(tmp_path / name)] for name in ("whole", "broken"))
    assert main(whole) == 0
    run = prepare(*parse_recipe(broken))
    break_after(run, 9)
    with pytest.raises(Interruption):
        train(run)
    assert main([*broken, "--resume", "auto"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def kill_all_at(processes: list[subprocess.Popen], run: Path, step: int):
    """Kill the processes of a run in the middle of whatever they do, once it has a checkpoint of a step."""
    deadline = time.monotonic() + 120
    while newest_step(run) < step and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        time.sleep(0.002)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * len(processes)


def test_text_that_is_killed_ends_the_same_and_a_second_job_is_refused_meanwhile(text_recipe, tmp_path, capsys):
    options = ["--checkpoint_steps", "1", "--max_steps", "60", "--eval_steps", "1000"]
    whole, killed = ([text_recipe, *options, "--output_dir", str(tmp_path / name)] for name in ("whole", "killed"))
    command = [sys.executable, str(TRAIN), *killed]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while newest_step(tmp_path / "killed") < 1 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    try:
        assert main([*killed, "--resume", "auto"]) == 1
        assert f"is in use by another job (process {process.pid} on " in capsys.readouterr().err
        assert main([*killed, "--overwrite_output_dir", "true"]) == 1
    finally:
        process.send_signal(signal.SIGCONT)
    kill_all_at([process], tmp_path / "killed", 3)
    assert main([*killed, "--resume", "auto"]) == 0
    assert "resuming from" in capsys.readouterr().out
    assert main(whole) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


# --- checkpoints that are not whole


def damage_manifest(path: Path):
    (path / "manifest.json").write_text("{")


def flip_a_byte(path: Path):
    content = bytearray((path / "shared.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "shared.pt").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "manifest.json").unlink(), "it has no manifest.json"),
        (damage_manifest, "its manifest.json is damaged"),
        (lambda path: (path / "process_00000.pt").unlink(), "process_00000.pt is missing"),
        (flip_a_byte, "shared.pt does not match the manifest"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_the_reason(tmp_path, capsys, damage, reason):
    checkpoints = Checkpoints(tmp_path, 5, Accelerator(cpu=True))
    for step in (3, 12):
        checkpoints.save(step, {"step": torch.tensor(step)}, {"own": [step]})
    damage(tmp_path / "step_00000012")
    found = checkpoints.find("auto")
    assert (found.step, found.shared["step"].item(), found.own) == (3, 3, {"own": [3]})
    assert f"skipping {tmp_path / 'step_00000012'}: {reason}" in capsys.readouterr().out
    with pytest.raises(ValueError, match=f"step_00000012 cannot be resumed: {reason}"):
        checkpoints.find(str(tmp_path / "step_00000012"))


def test_a_checkpoint_of_other_processes_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, 5, Accelerator(cpu=True))
    path = checkpoints.save(3, {}, {})
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"processes": 8}))
    with pytest.raises(ValueError, match="step_00000003: it is from 8 processes, but there are 1 now"):
        checkpoints.find("auto")


def test_what_is_being_written_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1, Accelerator(cpu=True))
    checkpoints.save(3, {}, {})
    (tmp_path / "step_00000009.partial").mkdir()
    assert checkpoints.find("auto").step == 3
    checkpoints.save(9, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000009"]


def test_random_states_come_back():
    states = random_states()
    drawn = [random.random(), torch.rand(3)]
    restore_random_states(states)
    assert random.random() == drawn[0]
    assert torch.equal(torch.rand(3), drawn[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 64, "intermediate_size": 128}, "is from a model of another shape or from another recipe"),
        ({"ema_decay": None}, "is from a recipe with a moving average"),
        ({"max_steps": 6}, "is at step 7, but the run has only 6 steps"),
        ({"resume": "./nowhere"}, "./nowhere cannot be resumed: it has no manifest.json"),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes=0.0 is not allowed"),
        ({"max_skipped_steps": 0}, "max_skipped_steps=0 is not allowed"),
    ],
)
def test_what_cannot_go_on_is_said_before_any_training(recipe, tmp_path, capsys, options, message):
    run = prepare(*parse_recipe([recipe()]))
    break_after(run, 8)
    with pytest.raises(Interruption):
        train(run)
    log = (tmp_path / "run/log.jsonl").read_text()
    capsys.readouterr()
    try:
        code = main([recipe(**({"resume": "auto"} | options))])
    except ValueError as error:  # an option that is out of range
        code = 1
        print(error, file=sys.stderr)
    assert code == 1 and message in capsys.readouterr().err
    assert (tmp_path / "run/log.jsonl").read_text() == log


# --- numbers that are not finite


def poison(run, steps: set[int]):
    """Make the gradients of some steps infinite."""
    forward = run.task.forward

    count = itertools.count(1)

    def poisoned(network, batch):
        output = forward(network, batch)
        if next(count) in steps:
            output.loss = output.loss * torch.inf
        return output

    run.task.forward = poisoned


@pytest.mark.parametrize("max_grad_norm", [1.0, None])
def test_a_step_that_is_not_finite_is_skipped_and_counted(recipe, tmp_path, max_grad_norm):
    run = prepare(*parse_recipe([recipe(max_steps=12, max_grad_norm=max_grad_norm, checkpoint_steps=None)]))
    poison(run, {3, 6, 7})
    train(run)
    assert run.average.updates == 9
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "run").values())
    log = [line for line in training_log(tmp_path / "run") if "skipped_steps" in line]
    assert [line["skipped_steps"] for line in log] == [1, 2, 0]
    assert all(0 < line["grad_norm"] < 1e6 for line in log)


def test_skipping_leaves_the_weights_as_they_were(recipe):
    run = prepare(*parse_recipe([recipe(max_steps=1, checkpoint_steps=None)]))
    poison(run, {1})
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    train(run)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_too_many_in_a_row_stop_the_run(recipe, tmp_path, capsys):
    path = recipe(max_skipped_steps=3)
    run = prepare(*parse_recipe([path]))
    poison(run, {9, 10, 13, 14, 15, 16})
    run.args.compile = True  # what is prepared stays as it is; only the message names it
    with pytest.raises(Stopped, match="gradients of 4 steps in a row, up to step 16, are not finite") as stopped:
        train(run)
    assert "or leave out compile, and resume from a checkpoint" in str(stopped.value)
    assert stopped.value.exit_code == 1
    assert newest_step(tmp_path / "run") == 14  # steps that are skipped leave the weights good
    # without the poison it goes on
    assert main([path, "--resume", "auto"]) == 0


def test_a_run_stops_when_it_knows_its_puzzles_by_heart(recipe, tmp_path):
    run = prepare(*parse_recipe([recipe(stop_at_train_exact_accuracy=0.0)]))
    train(run)
    assert json.loads((tmp_path / "run/result.json").read_text())["steps"] == 4


# --- several processes


def test_two_processes_learn_what_one_does(recipe, launch, tmp_path, capsys):
    """Equal global batches in the same order: the same losses and weights, those of puzzle embeddings included."""
    # exploration and the staggered start draw other random numbers on every process
    options = {"halt_exploration_prob": 0.0, "staggered_start": False, "log_steps": 1, "max_steps": 20}
    options |= {"checkpoint_steps": 10, "eval_steps": 1000}
    folders = {processes: tmp_path / f"{processes}" for processes in (1, 2)}
    for processes, folder in folders.items():
        process = launch(TRAIN, recipe(**options, output_dir=str(folder)), processes=processes)
        assert process.returncode == 0, process.stderr[-3000:]
        assert json.loads((folder / "result.json").read_text())["processes"] == processes
    # each of the two has written its own part of the checkpoint
    assert len(list((folders[2] / "checkpoints/step_00000010").glob("process_*.pt"))) == 2
    one, two = (training_log(folders[processes]) for processes in (1, 2))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for line, other in zip(one[:-1], two[:-1], strict=True):
        assert line["halted"] == other["halted"]
        for name in ("loss", "lm_loss", "q_halt_loss", "q_continue_loss", "grad_norm"):
            assert other[name] == pytest.approx(line[name], rel=1e-5), (line["step"], name)
    expected, found = weights(folders[1]), weights(folders[2])
    assert expected["model.puzzle_embeddings.weight"].abs().sum() > 0
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)

    # and two that are killed go on as two
    killed = tmp_path / "killed"
    path = recipe(**(options | {"checkpoint_steps": 1}), output_dir=str(killed))
    process = launch(TRAIN, path, processes=2, meanwhile=partial(kill_all_at, run=killed, step=5))
    assert process.returncode == -signal.SIGKILL
    process = launch(TRAIN, path, "--resume", "auto", processes=2)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.count("resuming from") == 1
    assert_same_run(folders[2], killed)
    before = sorted(killed.rglob("*"))
    # one is not the two, which it says in one sentence
    assert main([path, "--resume", "auto", "--max_steps", "30"]) == 1
    assert "it is from 2 processes, but there are 1 now" in capsys.readouterr().err
    assert main([path, "--resume", str(killed / "checkpoints/step_00000019")]) == 1
    assert "step_00000019 cannot be resumed: it is from 2 processes" in capsys.readouterr().err
    assert sorted(killed.rglob("*")) == before
