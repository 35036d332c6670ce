"""Model folders on the Hub, against a local stand-in: uploads, refusals, and loading them again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_stand_in import TOKEN, reach, running_hub
from huggingface_hub import constants

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.hub_errors import hub_errors
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


CARD = "---\nlicense: apache-2.0\n---\n\n# HRM for Sudoku 4x4\n"
NAMES = {
    *("README.md", "curve.png", "config.json", "processor_config.json", "model.safetensors"),
    *("configuration_hrm.py", "modeling_hrm.py", "processing_hrm.py", "pipeline_hrm.py"),
}
# run by a process that cannot import this repository, with empty caches
LOAD = """
import json, sys, torch
from transformers import AutoModel, AutoProcessor
torch.set_num_threads(1)
name, revision, logits = sys.argv[1:]
model = AutoModel.from_pretrained(name, revision=revision, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=True)
with torch.no_grad():
    torch.save(model(**processor("1..............."), return_dict=True).logits, logits)
print(json.dumps([type(model).__module__, type(processor).__module__]))
"""


@pytest.fixture(scope="module")
def sudoku_model() -> tuple[HRMForGridTask, HRMGridProcessor]:
    torch.manual_seed(0)
    options = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "H_layers": 1, "L_layers": 1}
    config = HRMConfig(vocab_size=6, max_position_embeddings=16, puzzle_emb_ndim=0, **options)
    return HRMForGridTask(config).eval(), HRMGridProcessor.for_sudoku(4)


@pytest.fixture
def folder(sudoku_model, tmp_path) -> Path:
    """A model folder with card and plot."""
    path = tmp_path / "model"
    save_checkpoint(path, *sudoku_model)
    (path / "README.md").write_text(CARD)
    (path / "curve.png").write_bytes(b"\x89PNG")
    return path


@pytest.fixture
def hub(monkeypatch):
    with running_hub(monkeypatch, "models") as hub:
        yield hub


@pytest.fixture
def push(hrm_hf):
    """Call `hrm-hf push`; gives exit code, stdout and stderr."""
    return lambda *arguments: hrm_hf("push", *arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in NAMES}


# --- uploads


def test_everything_of_a_model_arrives_in_one_commit(hub, push, folder):
    code, out, _ = push(folder, "me/sudoku", "--private", "--commit-message", "First one")
    assert code == 0
    assert hub.repos["me/sudoku"] == {"private": True, "files": contents(folder), "commits": ["First one"]}
    assert set(hub.repos["me/sudoku"]["files"]) == NAMES
    assert f"{hub.url}/me/sudoku/commit/{1:040x}" in out


def test_a_push_again_keeps_other_files(hub, push, folder):
    assert push(folder, "me/sudoku")[0] == 0
    hub.repos["me/sudoku"]["files"]["notes.txt"] = b"mine"
    (folder / "README.md").write_text(CARD + "\nmore\n")
    code, out, _ = push(folder, "me/sudoku", "--json")
    assert code == 0
    assert json.loads(out)["url"] == f"{hub.url}/me/sudoku/commit/{2:040x}"
    assert hub.repos["me/sudoku"]["files"] == contents(folder) | {"notes.txt": b"mine"}
    assert hub.repos["me/sudoku"]["private"] is False


def test_a_static_page_goes_as_a_space_with_its_folders(monkeypatch, push, tmp_path):
    page = tmp_path / "page"
    files = {
        "README.md": b"---\ntitle: Page\nsdk: static\n---\n",
        "index.html": b"<!doctype html>",
        "models/small/model.int8.onnx": b"\x08\x08",
        "runtime/ort.wasm": b"\x00asm",
    }
    for name, content in files.items():
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_bytes(content)
    (page / ".hidden").write_bytes(b"mine")
    with running_hub(monkeypatch, "spaces") as hub:
        code, out, err = push(page, "me/page", "--private")
        assert code == 0, err
        assert hub.repos["me/page"]["files"] == files and hub.repos["me/page"]["private"] is True
        assert "left here: .hidden" in out
        (page / "models" / "small" / "model.int8.onnx").unlink()
        (page / "models" / "small").rmdir()
        (page / "models").rmdir()
        code, _, err = push(page, "me/page", "--dry-run")
        assert code == 1 and "build_static.py" in err


def test_a_branch_is_made_and_main_stays(hub, push, folder):
    for _ in range(2):
        assert push(folder, "me/sudoku", "--revision", "v1")[0] == 0
    assert hub.repos["me/sudoku"]["files"] == {}
    assert hub.revisions["me/sudoku"]["v1"] == contents(folder)


def test_a_dry_run_lists_and_asks_nobody(hub, push, folder):
    (folder / "notes.log").write_text("mine")
    (folder / ".cache").mkdir()
    code, out, _ = push(folder, "me/sudoku", "--dry-run")
    assert code == 0 and hub.asked == []
    assert out.startswith("would go to me/sudoku, branch main:")
    listed = {name: int(size.replace(",", "")) for size, name in re.findall(r" ([\d,]+) bytes  (.+)", out)}
    total = listed.pop("in all")
    assert listed == {name: len(data) for name, data in contents(folder).items()} and total == sum(listed.values())
    assert "left here: .cache/, notes.log" in out
    assert json.loads(push(folder, "me/sudoku", "--dry-run", "--json")[1]) == {
        "repo": "me/sudoku",
        "revision": "main",
        "private": False,
        "url": None,
        "files": listed,
        "left_here": [".cache/", "notes.log"],
    }


# --- loading it again


def test_a_clean_process_loads_a_pinned_revision(hub, push, folder, sudoku_model, tmp_path):
    assert push(folder, "me/sudoku")[0] == 0
    pinned = f"{1:040x}"
    # the later version has another size and other code
    hub.repos["me/sudoku"]["files"]["modeling_hrm.py"] = b"raise RuntimeError('the wrong revision')"
    hub.repos["me/sudoku"]["files"]["config.json"] = b"{}"
    (tmp_path / "load.py").write_text(LOAD)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"}
    process = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "load.py"), "me/sudoku", pinned, str(tmp_path / "logits.pt")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert all(name.startswith("transformers_modules.") for name in json.loads(process.stdout.splitlines()[-1]))
    model, processor = sudoku_model
    with torch.no_grad():
        expected = model(**processor("1...............")).logits
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)
    assert not any("/resolve/main/" in path for _, path in hub.asked)


# --- refused input, each with one sentence


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.PT", "optimizer.pkl", "model.ckpt"])
def test_weights_that_can_run_code_do_not_go(hub, push, folder, name):
    (folder / name).write_bytes(b"")
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and err.count("\n") == 1 and hub.asked == []
    assert f"has {name}: such formats can run code when they are loaded, and only safetensors are pushed" in err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("README.md", "has no card README.md; `hrm-hf card RUN_FOLDER` writes"),
        ("config.json", "has no config.json, so it is not a complete grid model"),
        ("processor_config.json", "has no processor_config.json, so it is not a complete grid model"),
        ("model.safetensors", "has no model.safetensors, so it is not a complete grid model"),
        ("modeling_hrm.py", "has no modeling_hrm.py, which its config.json names"),
        ("processing_hrm.py", "has no processing_hrm.py, which its processor_config.json names"),
        ("pipeline_hrm.py", "has no pipeline_hrm.py, which its config.json names"),
    ],
)
def test_a_folder_that_is_not_whole_does_not_go(hub, push, folder, name, sentence):
    (folder / name).unlink()
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and sentence in err and err.count("\n") == 1 and hub.asked == []


def test_damaged_weights_and_missing_shards_do_not_go(hub, push, folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:100])
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and "model.safetensors are damaged" in err and err.count("\n") == 1
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00001-of-00002.safetensors").write_bytes(whole)
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and "has no model-00002-of-00002.safetensors; save the model again" in err and hub.asked == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sudoku"], "'sudoku' is not the name of a model on the Hub; expected OWNER/NAME"),
        (["me/my sudoku", "--dry-run"], "'me/my sudoku' is not the name of a model"),
        (["me/sudoku", "--commit-message", " "], "The commit message is empty"),
    ],
)
def test_bad_wishes_are_one_sentence(hub, push, folder, arguments, sentence):
    code, _, err = push(folder, *arguments)
    assert code == 1 and sentence in err and err.count("\n") == 1 and hub.asked == []


def test_what_should_be_private_does_not_get_public(hub, push, folder):
    hub.repos["me/sudoku"] = {"private": False, "files": {}, "commits": []}
    code, _, err = push(folder, "me/sudoku", "--private")
    assert code == 1 and "me/sudoku is already on the Hub and is public" in err and err.count("\n") == 1
    assert hub.repos["me/sudoku"]["files"] == {}


def test_without_a_token_nobody_is_asked(hub, push, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and "There is no token to push to me/sudoku; log in with `hf auth login`" in err
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "repo", "sentence"),
    [
        ("hf_wrong", "me/sudoku", r"does not accept a push to me/sudoku \(401\): .* log in with `hf auth login`"),
        (
            TOKEN,
            "you/sudoku",
            r"does not accept a push to you/sudoku \(403\): You don't have the rights .* ask the owner",
        ),
    ],
)
def test_a_token_that_may_not_write_is_said(hub, push, folder, monkeypatch, token, repo, sentence):
    monkeypatch.setenv("HF_TOKEN", token)
    code, _, err = push(folder, repo)
    assert code == 1 and re.search(sentence, err) and err.count("\n") == 1
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, r"\(404\): No answer today; there is no such repository, owner or revision; check the name"),
        (500, r"\(500\): No answer today; the Hub has an error; try again later"),
        (418, r"\(418\): No answer today; fix that and try again"),
    ],
)
def test_what_the_hub_answers_is_said(hub, push, folder, status, sentence):
    hub.answers_all_with = status
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and re.search(sentence, err), err
    assert err.count("\n") == 1


@pytest.mark.parametrize("what", ["commit", "large"])
def test_a_push_that_fails_half_way_leaves_nothing(hub, push, folder, what):
    hub.complaints[what] = "The repository is full"
    code, _, err = push(folder, "me/sudoku")
    # after the progress of the upload
    sentence = (
        "hrm-hf: The Hub does not accept a push to me/sudoku (400): The repository is full; fix that and try again."
    )
    assert code == 1 and err.endswith(f"{sentence}\n")
    assert hub.repos["me/sudoku"]["files"] == {}


def test_a_hub_out_of_reach_and_offline_mode_are_said(push, folder, monkeypatch):
    reach(monkeypatch, "http://127.0.0.1:9")
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and err.count("\n") == 1
    assert "The Hub cannot be reached at http://127.0.0.1:9 to accept a push to me/sudoku" in err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, _, err = push(folder, "me/sudoku")
    assert code == 1 and "HF_HUB_OFFLINE is set, so the Hub is not asked to accept a push to me/sudoku" in err


def test_errors_that_are_not_of_the_hub_pass():
    with pytest.raises(IsADirectoryError, match="a folder"), hub_errors("give me/sudoku"):
        raise IsADirectoryError("a folder")
