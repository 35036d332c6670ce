"""Pushing data set folders, against a stand-in of the Hub."""

import hashlib
import inspect
import json
import runpy
import socket
import sys
from pathlib import Path

import pytest
from hub_stand_in import TOKEN, reach, running_hub
from huggingface_hub import constants

from hrm_hf.data.publish import push_dataset
from hrm_hf.original.data import export_original, import_original
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text


ROOT = Path(__file__).parent.parent
SUDOKU = {"size": 4, "clues": 8, "num_train": 5, "num_test": 5}


@pytest.fixture
def hub(monkeypatch):
    with running_hub(monkeypatch, "datasets") as server:
        yield server


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory):
    """A data set folder that tests do not change."""
    folder = tmp_path_factory.mktemp("sets") / "sudoku"
    build_sudoku(folder, **SUDOKU)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- uploads


def test_every_file_arrives_with_flag_and_message(hub, sudoku, capsys):
    url = push_dataset(sudoku, "me/sudoku", private=True, commit_message="Fewer clues")
    repo = hub.repos["me/sudoku"]
    assert repo == {"private": True, "files": files_of(sudoku), "commits": ["Fewer clues"]}
    assert set(repo["files"]) == {
        "README.md",
        "samples.png",
        "data/train-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    }
    rows = repo["files"]["data/train-00000-of-00001.parquet"]
    assert hub.large[hashlib.sha256(rows).hexdigest()] == rows
    assert url == f"{hub.url}/datasets/me/sudoku/commit/{1:040x}"
    assert f"pushed to {url}\n" in capsys.readouterr().out


def test_by_default_it_is_as_its_owner_wants_and_the_message_is_the_command(hub, sudoku):
    push_dataset(sudoku, "me/sudoku")
    repo = hub.repos["me/sudoku"]
    command = "python dataset_scripts/build_sudoku.py sudoku --size 4 --clues 8 --num-train 5 --num-test 5"
    assert (repo["private"], repo["commits"]) == (False, [f"Built by {command}"])


def test_rows_of_another_build_go_away_and_other_files_stay(hub, sudoku):
    files = {"data/train-00001-of-00002.parquet": b"old rows", ".gitattributes": b"rules", "notes.md": b"mine"}
    hub.repos["me/sudoku"] = {"private": False, "files": files, "commits": []}
    push_dataset(sudoku, "me/sudoku")
    kept = {name: files[name] for name in (".gitattributes", "notes.md")}
    assert hub.repos["me/sudoku"]["files"] == files_of(sudoku) | kept


def test_what_should_be_private_does_not_get_public(hub, sudoku):
    hub.repos["me/sudoku"] = {"private": False, "files": {}, "commits": []}
    with pytest.raises(ValueError, match="me/sudoku is already on the Hub and is public; .* leave out --private"):
        push_dataset(sudoku, "me/sudoku", private=True)
    assert hub.repos["me/sudoku"]["files"] == {}
    hub.repos["me/sudoku"]["private"] = True
    push_dataset(sudoku, "me/sudoku", private=True)
    assert hub.repos["me/sudoku"]["files"] == files_of(sudoku)


# --- builders


@pytest.fixture
def builds(tmp_path, sudoku):
    """Builders with small options, by name."""
    pairs = [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3], [4]], "output": [[4], [3]]}]
    (tmp_path / "tasks.json").write_text(json.dumps({"a": {"train": pairs[:1], "test": pairs[1:]}}))
    (tmp_path / "corpus.txt").write_text((ROOT / "LICENSE").read_text())
    export_original(sudoku, tmp_path / "arrays")
    text = {"train_bpe": 300, "block_size": 32, "document_separator": r"\n\n", "validation_share": 0.3}
    return {
        "sudoku": (build_sudoku, SUDOKU),
        "maze": (build_maze, {"height": 5, "width": 5, "min_steps": [3], "num_train": 4, "num_test": 2}),
        "arc": (build_arc, {"evaluation": [tmp_path / "tasks.json"], "num_aug": 2}),
        "text": (build_text, {"inputs": [str(tmp_path / "corpus.txt")], **text}),
        "import": (import_original, {"source": tmp_path / "arrays", "task": "sudoku"}),
    }


@pytest.mark.parametrize("name", ["sudoku", "maze", "arc", "text", "import"])
def test_builders_push_and_push_again_without_building(hub, builds, tmp_path, capsys, name):
    builder, options = builds[name]
    folder = tmp_path / "out"
    counts = builder(output_dir=folder, **options, push_to_hub="me/one", private=True, commit_message="First")
    assert hub.repos["me/one"] == {"private": True, "files": files_of(folder), "commits": ["First"]}
    assert ("tokenizer/tokenizer.json" in hub.repos["me/one"]["files"]) == (name == "text")
    card = (folder / "README.md").read_text()
    assert not any(word in card for word in ("--push", "--private", "--commit-message", "me/one"))

    written = (folder / "README.md").stat().st_mtime_ns
    capsys.readouterr()
    assert builder(output_dir=folder, **options, push_to_hub="me/two") == counts
    assert "nothing to do" in capsys.readouterr().out
    assert (folder / "README.md").stat().st_mtime_ns == written
    again = hub.repos["me/two"]
    assert (again["private"], again["files"]) == (False, files_of(folder))
    assert again["commits"][0].startswith("Built by python dataset_scripts/")


def test_builders_have_the_options_of_a_push_besides_their_own(builds):
    for builder, _ in builds.values():
        parameters = inspect.signature(builder).parameters
        assert {"push_to_hub", "private", "commit_message", "output_dir", "overwrite"} <= parameters.keys()
        assert "Returns:" in inspect.getdoc(builder)


# --- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"push_to_hub": "sudoku"}, "'sudoku' is not the name of a data set on the Hub; expected OWNER/NAME"),
        ({"push_to_hub": "me/my sudoku"}, "'me/my sudoku' is not the name"),
        ({"push_to_hub": "datasets/me/sudoku"}, "'datasets/me/sudoku' is not the name"),
        ({"push_to_hub": ""}, "'' is not the name"),
        ({"push_to_hub": "me/sudoku", "commit_message": " "}, "The commit message is empty; give one"),
        ({"private": True}, "--private is for a push; give --push-to-hub OWNER/NAME"),
        ({"commit_message": "First"}, "--commit-message is for a push; give --push-to-hub OWNER/NAME"),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_built(hub, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_sudoku(tmp_path / "out", **SUDOKU, **options)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())
    assert hub.repos == {}


def test_without_a_token_nothing_is_built(hub, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PermissionError, match="no token to push to me/sudoku; log in with `hf auth login`, or"):
        build_sudoku(tmp_path / "out", **SUDOKU, push_to_hub="me/sudoku")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("token", "repo_name", "status"), [("hf_wrong", "me/sudoku", 401), (TOKEN, "you/sudoku", 403)]
)
def test_a_token_that_may_not_write_is_said(hub, sudoku, monkeypatch, token, repo_name, status):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(PermissionError, match=rf"does not accept a push to {repo_name} \({status}\): ") as caught:
        push_dataset(sudoku, repo_name)
    assert "\n" not in str(caught.value)
    assert hub.repos == {}


def test_a_hub_out_of_reach_is_said_and_the_data_set_stays(tmp_path, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    reach(monkeypatch, url)
    with pytest.raises(ConnectionError, match=f"The Hub cannot be reached at {url} to accept a push") as caught:
        build_sudoku(tmp_path / "out", **SUDOKU, push_to_hub="me/sudoku")
    assert "\n" not in str(caught.value)
    out = tmp_path / "out"
    assert f"{out} is built; python dataset_scripts/push.py {out} me/sudoku pushes it\n" in capsys.readouterr().out
    assert (out / "README.md").is_file()


def test_offline_mode_is_said(sudoku, monkeypatch):
    reach(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        push_dataset(sudoku, "me/sudoku")


@pytest.mark.parametrize("what", ["commit", "large"])
def test_what_the_hub_refuses_is_said_in_one_sentence(hub, sudoku, what):
    hub.complaints[what] = "The repository is full"
    with pytest.raises(OSError, match=r"a push to me/sudoku \(400\): The repository is full") as caught:
        push_dataset(sudoku, "me/sudoku")
    assert "\n" not in str(caught.value)
    assert hub.repos["me/sudoku"]["files"] == {}


def test_only_finished_data_sets_are_pushed(hub, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/README.md").write_text("mine")
    for folder in (tmp_path / "nowhere", tmp_path / "notes"):
        with pytest.raises(FileNotFoundError, match=r"is not a finished data set folder \(with README.md and data/\)"):
            push_dataset(folder, "me/sudoku")
    build_sudoku(tmp_path / "out", **SUDOKU)
    (tmp_path / "out/data/test-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="test-00000-of-00001.parquet is missing or damaged"):
        push_dataset(tmp_path / "out", "me/sudoku")
    assert hub.repos == {}


# --- scripts


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script of dataset_scripts/; gives its exit code and output."""

    def run_script(name: str, *words: str):
        script = str(ROOT / "dataset_scripts" / name)
        monkeypatch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        return ended.value.code, capsys.readouterr()

    return run_script


def test_scripts_push(hub, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    words = "out --size 4 --clues 8 --num-train 5 --num-test 5 --push-to-hub me/one --private".split()
    code, printed = run("build_sudoku.py", *words, "--commit-message", "First one")
    assert code == 0
    assert f"pushed to {hub.url}/datasets/me/one/commit/" in printed.out
    code, _ = run("push.py", "out", "me/two", "--commit-message", "Second")
    assert code == 0
    files = files_of(tmp_path / "out")
    assert hub.repos == {
        "me/one": {"private": True, "files": files, "commits": ["First one"]},
        "me/two": {"private": False, "files": files, "commits": ["Second"]},
    }


def test_scripts_report_errors_in_one_sentence(hub, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    for name, words, message in (
        ("push.py", ["out", "me/two"], "push.py: out is not a finished data set folder"),
        ("build_maze.py", ["out", "--push-to-hub", "mazes"], "build_maze.py: 'mazes' is not the name of a data set"),
        ("build_text.py", ["out", "--input", "x", "--private"], "build_text.py: --private is for a push"),
    ):
        code, printed = run(name, *words)
        assert code == 1
        assert printed.err.startswith(message)
        assert printed.err.count("\n") == 1
