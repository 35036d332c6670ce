"""The folder of a run: who may write into it, what stays when a run cannot go on, and what a full disk leaves."""

import errno
import hashlib
import json
import os
import resource
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.training import folder_lock
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.folder_lock import FolderLock
from hrm_hf.training.loop import prepare, train
from tests.tiny import NETWORK
from train_accelerate import main


TINY = NETWORK | {
    "halt_max_steps": 2,
    "puzzle_emb_ndim": 32,
    "batch_size": 8,
    "max_steps": 6,
    "warmup_steps": 2,
    "learning_rate": 1e-3,
    "log_steps": 2,
    "eval_steps": 1000,
    "max_eval_rows": 4,
    "checkpoint_steps": 2,
    "cpu_threads": 1,
}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory) -> str:
    """40 + 4 Sudoku of size 4."""
    folder = tmp_path_factory.mktemp("data") / "sudoku4"
    build_sudoku(folder, size=4, clues=8, num_train=40, num_test=4)
    return str(folder)


@pytest.fixture
def start(data_folder, tmp_path, capsys):
    """Starts a tiny run in tmp_path/run; gives exit code, stdout and stderr."""

    def call(**options) -> tuple[int, str, str]:
        recipe = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run")} | options
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in recipe.items() if value is not None}))
        capsys.readouterr()
        code = main([str(path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def interrupted(data_folder, tmp_path):
    """A run that ended in its fifth step, with checkpoints of steps 2 and 4; and a file of somebody else."""
    run = prepared(data_folder, tmp_path / "run")
    fail_in_step(run, 5)
    with pytest.raises(Crash):
        train(run)
    (tmp_path / "run/notes.txt").write_text("mine")
    return tmp_path / "run"


class Crash(Exception):
    pass


def prepared(data_folder: str, output_dir: Path, **options):
    recipe = TINY | {"dataset": data_folder, "output_dir": str(output_dir)} | options
    path = output_dir.parent / f"{output_dir.name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return prepare(*parse_recipe([str(path)]))


def fail_in_step(run, number: int):
    forward, calls = run.task.forward, []

    def failing(network, batch):
        calls.append(1)
        if len(calls) == number:
            raise Crash
        return forward(network, batch)

    run.task.forward = failing


def content(folder: Path) -> dict[str, str]:
    """All files of a folder by their SHA-256."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sentence(err: str) -> str:
    """What a command says at its end; progress bars come before."""
    return err.strip().splitlines()[-1].rpartition("\r")[2]


# --- --resume auto


def damage_all(run: Path):
    for path in run.glob("checkpoints/step_*/shared.pt"):
        path.write_bytes(b"")


def of_two_processes(run: Path):
    for path in run.glob("checkpoints/step_*/manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"processes": 2}))


def without_checkpoints(run: Path):
    (run / "model").mkdir()
    (run / "model/model.safetensors").write_bytes(b"weights")
    shutil.rmtree(run / "checkpoints")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (damage_all, "none of its checkpoints is complete .*step_00000004: shared.pt does not match the manifest"),
        (of_two_processes, "step_00000004: it is from 2 processes, but there are 1 now"),
        (without_checkpoints, "it has model, but no checkpoint"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_cannot_go_on_stays_as_it_is(interrupted, start, change, reason, overwrite):
    import re

    change(interrupted)
    before = content(interrupted)
    code, _, err = start(resume="auto", overwrite_output_dir=overwrite)
    assert code == 1 and re.search(reason, sentence(err)), err
    assert "Traceback" not in err
    assert content(interrupted) == before


def test_a_finished_run_that_is_queued_again_is_finished(start, tmp_path):
    code, *_ = start(checkpoint_steps=None)
    assert code == 0 and not (tmp_path / "run/checkpoints").exists()
    (tmp_path / "run/notes.txt").write_text("mine")
    before = content(tmp_path / "run")
    code, out, _ = start(checkpoint_steps=None, resume="auto")
    assert code == 0 and "is finished: 6 steps" in out
    assert content(tmp_path / "run") == before
    # with more steps it is not, and there is no checkpoint to go on from
    code, _, err = start(checkpoint_steps=None, resume="auto", max_steps=8)
    assert code == 1 and "cannot resume: it has model and result.json, but no checkpoint" in sentence(err)
    assert content(tmp_path / "run") == before


def test_a_finished_run_goes_on_with_more_steps_and_keeps_its_card(start, tmp_path):
    assert start()[0] == 0
    (tmp_path / "run/model/README.md").write_text("a card")
    code, out, _ = start(resume="auto", max_steps=8)
    assert code == 0 and "resuming from" in out
    assert json.loads((tmp_path / "run/result.json").read_text())["steps"] == 8
    assert (tmp_path / "run/model/README.md").read_text() == "a card"
    assert not (tmp_path / "run/model.old").exists()


def test_a_run_starts_beside_files_that_are_no_run(start, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/job.out").write_text("queued")
    code, _, err = start()
    assert code == 1 and "is not empty" in sentence(err)
    code, _, err = start(overwrite_output_dir=True)
    assert code == 1 and "is not a run folder" in sentence(err)
    assert start(resume="auto")[0] == 0
    assert (tmp_path / "run/job.out").read_text() == "queued"


def test_replacing_a_run_removes_what_a_run_has_written_alone(interrupted, start):
    (interrupted / "checkpoints/mine.txt").write_text("mine")
    code, *_ = start(overwrite_output_dir=True, checkpoint_steps=None)
    assert code == 0
    assert {path.name for path in interrupted.iterdir()} == {
        *("recipe.yaml", "log.jsonl", "result.json", "model", "notes.txt", "checkpoints")
    }
    assert [path.name for path in (interrupted / "checkpoints").iterdir()] == ["mine.txt"]
    steps = [json.loads(line)["step"] for line in (interrupted / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 6]


def test_checkpoints_that_are_passed_over_do_not_push_the_new_ones_out(interrupted, start):
    (interrupted / "checkpoints/step_00000004/shared.pt").write_bytes(b"")
    code, out, _ = start(resume="auto", checkpoint_steps=3, keep_checkpoints=1)
    assert code == 0 and "step_00000004: shared.pt does not match the manifest" in out
    left = sorted(path.name for path in (interrupted / "checkpoints").iterdir())
    assert left == ["step_00000003", "step_00000004.set_aside"]


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 4}, {"batches_in_work": 2}, {"gradient_accumulation_steps": 2}, {"hidden_size": 64}],
)
def test_a_resume_with_other_options_is_refused_and_leaves_the_recipe(interrupted, start, options):
    before = content(interrupted)
    code, _, err = start(resume="auto", **options)
    (name, value) = next(iter(options.items()))
    assert code == 1 and "Traceback" not in err
    assert f"{name}={value}" in sentence(err) or "another shape" in sentence(err)
    assert content(interrupted) == before


def test_a_resume_that_fails_in_its_first_step_leaves_the_recipe_and_the_log(interrupted, data_folder):
    before = content(interrupted)
    run = prepared(data_folder, interrupted, resume="auto", learning_rate=0.5)
    fail_in_step(run, 1)
    with pytest.raises(Crash):
        train(run)
    assert content(interrupted) == before


# --- one job in a folder


def write_lock(folder: Path, **owner):
    folder.mkdir(exist_ok=True)
    owner = {"host": socket.gethostname(), "pid": 1, "started": "0", "token": "x"} | owner
    (folder / folder_lock.LOCK_NAME).write_text(json.dumps(owner))


def test_a_second_job_is_refused(interrupted, start):
    parent = os.getppid()
    write_lock(interrupted, pid=parent, started=folder_lock._start_of(parent))
    before = content(interrupted)
    code, _, err = start(resume="auto")
    assert code == 1 and f"is in use by another job (process {parent} on " in sentence(err)
    assert content(interrupted) == before


@pytest.mark.parametrize("owner", [{"pid": 2**22 + 1}, {"pid": os.getppid(), "started": "0"}])
def test_the_lock_of_a_job_that_has_ended_is_taken_over(interrupted, start, owner):
    write_lock(interrupted, **owner)
    assert start(resume="auto")[0] == 0
    assert not (interrupted / folder_lock.LOCK_NAME).exists()


def test_half_a_lock_is_none(tmp_path):
    (tmp_path / folder_lock.LOCK_NAME).write_text('{"host": ')
    FolderLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_job_of_another_host_is_alive_if_it_touches_its_lock(tmp_path, monkeypatch, is_alive):
    monkeypatch.setattr(folder_lock, "WATCH_SECONDS", 0.5)
    write_lock(tmp_path, host="another-host")
    over = threading.Event()

    def beat():
        while not over.wait(0.05):
            os.utime(tmp_path / folder_lock.LOCK_NAME)

    if not is_alive:
        FolderLock(tmp_path).release()
        return
    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with pytest.raises(FileExistsError, match="in use by another job .* on another-host"):
            FolderLock(tmp_path)
    finally:
        over.set()
        heart.join()


def test_a_lock_is_touched_and_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT_SECONDS", 0.02)
    lock = FolderLock(tmp_path / "a" / "b")
    os.utime(lock.path, (1, 1))
    deadline = time.monotonic() + 10
    while lock.path.stat().st_mtime < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.path.stat().st_mtime > 2
    lock.release()
    assert not (tmp_path / "a").exists()  # it was made for the lock, and is empty


def test_of_many_that_want_a_folder_one_gets_it(tmp_path, monkeypatch):
    """Also when a stale lock is there, which all of them see."""
    write_lock(tmp_path, pid=2**22 + 1)
    # threads are one process, whose own locks would be taken over
    numbers = iter(range(100))
    monkeypatch.setattr(folder_lock.os, "getpid", lambda: 10**7 + next(numbers))
    monkeypatch.setattr(folder_lock, "_start_of", lambda pid: "1" if pid >= 10**7 else None)
    got, ready = [], threading.Barrier(8)

    def want():
        ready.wait()
        try:
            got.append(FolderLock(tmp_path))
        except FileExistsError:
            pass

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0]._is_over.set()


# --- a full disk


@contextmanager
def files_of_at_most(num_bytes: int):
    """Let no file grow beyond a size, for real."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(folder: Path, other: Path):
    expected, found = weights(folder), weights(other)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.fixture
def unbroken(start, tmp_path) -> Path:
    """The model of a run that nothing happened to."""
    assert start(output_dir=str(tmp_path / "unbroken"))[0] == 0
    return tmp_path / "unbroken/model"


def test_a_model_that_cannot_be_saved_is_in_a_checkpoint(start, tmp_path, unbroken, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hrm_hf.training.run_folder.save_checkpoint", full_disk)
        code, _, err = start(checkpoint_steps=4)
    assert code == 1 and "The trained weights are in" in sentence(err) and "step_00000006" in sentence(err)
    assert "No space" in sentence(err) and "Traceback" not in err
    assert not (tmp_path / "run/model").exists()
    code, *_ = start(checkpoint_steps=4, resume="auto")
    assert code == 0
    assert_same_weights(unbroken, tmp_path / "run/model")
    assert json.loads((tmp_path / "run/result.json").read_text())["steps"] == 6


def test_older_checkpoints_make_room_for_the_model(start, tmp_path, unbroken, monkeypatch):
    from hrm_hf.training import run_folder

    save = run_folder.save_checkpoint

    def needs_room(*args):
        if len(list((tmp_path / "run/checkpoints").glob("step_*"))) > 1:
            full_disk()
        save(*args)

    monkeypatch.setattr(run_folder, "save_checkpoint", needs_room)
    assert start()[0] == 0
    assert_same_weights(unbroken, tmp_path / "run/model")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step_00000004"]


@pytest.mark.parametrize("has_room", [True, False])
def test_weights_that_the_disk_of_the_run_does_not_take_go_elsewhere(
    data_folder, tmp_path, unbroken, monkeypatch, capsys, has_room
):
    """A real limit: files of at most 20 kB, where the weights are larger; another "disk" may be without."""
    from hrm_hf.training import run_folder
    from hrm_hf.training.stopping import Stopped

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(elsewhere))
    save = run_folder.save_checkpoint

    def save_with_limit(folder, *args):
        with files_of_at_most(2**40 if has_room and elsewhere in folder.parents else 20_000):
            save(folder, *args)

    run = prepared(data_folder, tmp_path / "run")
    assert run.model.num_parameters() * 4 > 20_000
    monkeypatch.setattr(run_folder, "save_checkpoint", save_with_limit)
    torch_save = torch.save

    def save_early(state, path):
        with files_of_at_most(20_000 if "step_00000006" in str(path) else 2**40):
            torch_save(state, path)

    monkeypatch.setattr(torch, "save", save_early)
    with pytest.raises(Stopped) as stopped:
        train(run)
    assert stopped.value.exit_code == 1
    assert "newest checkpoint is" in str(stopped.value) and "step_00000004" in str(stopped.value)
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["step_00000004"]
    if has_room:
        (folder,) = elsewhere.iterdir()
        assert f"The trained weights are in {folder}" in str(stopped.value)
        assert_same_weights(unbroken, folder)
    else:
        assert "The weights of this step are lost" in str(stopped.value)
        assert list(elsewhere.iterdir()) == []


def test_training_goes_on_without_a_checkpoint_that_cannot_be_written(start, tmp_path, unbroken, monkeypatch):
    torch_save = torch.save

    def save(state, path):
        if "step_00000004" in str(path):
            path.write_bytes(b"half")
            full_disk()
        torch_save(state, path)

    monkeypatch.setattr(torch, "save", save)
    code, out, _ = start(checkpoint_steps=1, keep_best=True)
    assert code == 0 and "step_00000004 cannot be written" in out and "Training continues" in out
    assert_same_weights(unbroken, tmp_path / "run/model")
    left = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert left == ["step_00000003", "step_00000005"]


def test_lines_of_the_log_wait_for_room(data_folder, tmp_path, capsys):
    run = prepared(data_folder, tmp_path / "run")
    run.folder.log({"step": 1, "text": "x" * 100})
    with files_of_at_most(150):
        run.folder.log({"step": 2, "text": "y" * 100})
        run.folder.log({"step": 3})
    path = tmp_path / "run/log.jsonl"
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1]
    run.folder.log({"step": 4})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    run.folder.close()


def test_a_run_whose_output_cannot_be_printed_keeps_its_weights(data_folder, tmp_path, monkeypatch):
    from hrm_hf.training.stopping import Stopped

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "elsewhere"))
    run = prepared(data_folder, tmp_path / "run")
    monkeypatch.setattr("tqdm.tqdm.write", full_disk)
    with pytest.raises(Stopped, match="No space left .*The trained weights are in .*step_00000004"):
        train(run)
    (folder,) = (tmp_path / "elsewhere").iterdir()
    assert (folder / "model.safetensors").is_file()


def test_a_disk_without_room_is_said_before_training(start, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    code, _, err = start()
    assert code == 1 and "0 MB free" in sentence(err) and "free some space" in sentence(err)
    assert not (tmp_path / "run").exists()
