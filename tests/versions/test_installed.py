"""The package as pip installs it, in a fresh environment and outside of the repository (`make test-versions`)."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
PUZZLE = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
ANSWER = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
RECIPE = """
hidden_size: 32
intermediate_size: 64
num_attention_heads: 2
H_layers: 1
L_layers: 1
halt_max_steps: 3
puzzle_emb_ndim: 0
batch_size: 16
max_steps: 20
warmup_steps: 2
learning_rate: 0.001
log_steps: 5
eval_steps: 10
max_eval_rows: 16
"""
ASK = """
import json, sys
from gradio_client import Client
client = Client(sys.argv[1], verbose=False)
model = client.predict(api_name="/models")["sudoku"][0]
print(json.dumps([model, client.predict(model=model, puzzle=sys.argv[2], api_name="/solve_puzzle")]))
"""


def test_nothing_of_the_repository_is_imported(run, tmp_path):
    code = "import hrm_hf.cli, modeling_hrm; print(hrm_hf.__file__, modeling_hrm.__file__, sep='\\n')"
    files = run("python", "-c", code, cwd=tmp_path).splitlines()
    assert len(files) == 2 and not any(Path(file).is_relative_to(ROOT / "hrm_hf") for file in files)
    assert Path(files[1]).parent.name == "site-packages"


def test_the_python_of_the_readme_runs(run, readme_code, tmp_path):
    shutil.copytree(ROOT / "hrm_hf/pretrained", tmp_path / "hrm_hf/pretrained")
    (tmp_path / "readme.py").write_text(readme_code)
    assert "Verdict(solved=True" in run("python", "-I", "readme.py", cwd=tmp_path)


def test_a_sudoku_and_a_maze_are_solved(run, tmp_path):
    (solved,) = map(json.loads, run("hrm-hf", "solve", "--json", PUZZLE, cwd=tmp_path).splitlines())
    assert (solved["solved"], solved["answer"]) == (True, ANSWER)
    maze = (ROOT / "examples/maze.txt").read_text()
    (solved,) = map(json.loads, run("hrm-hf", "solve", "--json", cwd=tmp_path, stdin=maze).splitlines())
    assert solved["solved"]


def test_a_text_is_continued(run, tmp_path):
    options = ("--temperature", "0", "--max-new-tokens", "20", "--json")
    said = json.loads(run("hrm-hf", "generate", "The king said", *options, cwd=tmp_path))
    assert len(said["segments"]) == len(said["tokens"]) == 20 and said["continuation"].strip()


def test_a_model_folder_with_code_of_another_version_loads(run, python, tmp_path):
    # as folders are that were saved before transformers changed; the package takes its own code
    script = "from hrm_hf.checkpoints import SHIPPED_SUDOKU; print(SHIPPED_SUDOKU)"
    folder = shutil.copytree(run("python", "-c", script, cwd=tmp_path).strip(), tmp_path / "old")
    (folder / "modeling_hrm.py").write_text("raise ImportError('code of the folder')\n")
    assert "\nsolved (" in run("hrm-hf", "solve", "--model", "old", PUZZLE, cwd=tmp_path)


def test_a_run_of_20_steps_trains_and_its_model_loads(run, tmp_path):
    sizes = ("--size", 4, "--clues", 8, "--num-train", 100, "--num-test", 20)
    run("hrm-hf", "data", "sudoku", "data", *sizes, cwd=tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    options = ("--dataset", "data", "--output_dir", "run")
    run("hrm-hf", "train", "recipe.yaml", *options, cwd=tmp_path)
    result = json.loads(run("hrm-hf", "evaluate", "run/model", "data", cwd=tmp_path))
    assert result["n"] == 20 and 0 < result["cell_accuracy"] <= 1


def test_recipes_come_with_the_package(run, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "input,output\n" + "".join(f"{n:04},{9999 - n:04}\n" for n in range(0, 9000, 90))
    )
    run("hrm-hf", "data", "grid", "mine.csv", "--out", "data", cwd=tmp_path)
    small = ("--hidden_size", 32, "--num_attention_heads", 2, "--max_steps", 3, "--output_dir", "run")
    run("hrm-hf", "train", "grid", "--dataset", "data", "--report_to", "none", *small, cwd=tmp_path)
    (answer,) = map(
        json.loads, run("hrm-hf", "solve", "--json", "0090", "--model", "run/model", cwd=tmp_path).splitlines()
    )
    assert answer["solved"] is None and len(answer["answer"]) == 4


def test_the_versions_are_within_what_is_tested(run, tmp_path):
    found = json.loads(run("hrm-hf", "env", "--json", cwd=tmp_path))
    assert found["packages"]["hrm-hf"]
    # what is newer than constraints.txt is what the newest set is for
    if "HRM_HF_UNTESTED" not in os.environ:
        assert found["untested"] == {}


@pytest.fixture
def address(python, tmp_path):
    """The app of the environment, or its Space, served; it must start within a minute or two."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    space = os.environ.get("HRM_HF_SPACE")
    command = [python, "app.py"] if space else [python.with_name("hrm-hf"), "app", "--port", str(port)]
    log = (tmp_path / "log").open("w+")
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen(command, cwd=space or tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 180
        while not _answers(port):
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)
        log.close()


def _answers(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).status == 200
    except OSError:
        return False


def test_the_app_solves_through_its_api(address, run, tmp_path):
    model, result = json.loads(run("python", "-c", ASK, address, PUZZLE, cwd=tmp_path).splitlines()[-1])
    assert model and (result["solved"], result["answer"]) == (True, ANSWER)
