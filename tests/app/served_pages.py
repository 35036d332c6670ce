"""A small world of runs, data sets and models, and the pages of text, training and data served on it; made once."""

import json
import tempfile
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import pyarrow as pa
import pytest
import torch
from gradio_client import Client

from configuration_hrm import HRMConfig
from hrm_hf.app import data_page, monitor_page, text_page, theme
from hrm_hf.app.context import AppSettings
from hrm_hf.app.models import ModelShelf
from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.data.folder import write_dataset_folder
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.text.blocks import load_text_tokenizer
from hrm_hf.text.build import build_text
from modeling_hrm import HRMForCausalLM


# what a page may be sent by those who mean no good
RUBBISH = [
    "",
    "\x00\x1b[31m\x07",
    "../../../etc/passwd",
    "<script>alert(1)</script>",
    "x" * 100_000,
    "🙂" * 50,
]


class World(NamedTuple):
    """Where everything is, and the address of the app."""

    root: Path
    url: str


@cache
def world() -> World:
    """Data sets, models, runs and the app, made by the first who asks."""
    root = Path(tempfile.mkdtemp(prefix="hrm-hf-app-"))
    make_data(root / "data")
    make_models(root / "models", str(root / "data" / "text"))
    (root / "runs").mkdir()
    write_run(root / "runs" / "first", [train_line(step) for step in range(10, 110, 10)] + [eval_line(100)])
    monitor_page.REFRESH_SECONDS = 1
    settings = AppSettings(
        models_root=root / "models", runs_root=root / "runs", data_root=root / "data", seconds_per_request=20
    )
    shelf = ModelShelf(settings)
    with gr.Blocks(analytics_enabled=False) as app:
        for name, page in (("Text", text_page), ("Training", monitor_page), ("Data", data_page)):
            with gr.Tab(name):
                page.add_page(settings, shelf)
    app.queue(max_size=64)
    css = "".join((theme.CSS, monitor_page.CSS, text_page.CSS, data_page.CSS))
    _, url, _ = app.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, theme=theme.make_theme(), css=css, share=False
    )
    return World(root, url)


def make_data(root: Path) -> None:
    """A data set of each kind."""
    splits = {"train": sudoku_rows(12), "test": sudoku_rows(6)}
    write_dataset_folder(root / "sudoku-4x4", splits, "Sudoku.", {"pretty_name": "Sudoku"})
    build_maze(root / "maze", height=5, width=6, num_train=6, num_test=4)
    tasks = root.parent / "tasks"
    tasks.mkdir()
    for number in range(2):
        # of another width in each task, or one would equal the other under its symmetries
        pairs = [{"input": [[color] * (number + 2) + [1]], "output": [[1], [color]]} for color in (3, 5, 7)]
        (tasks / f"task{number}.json").write_text(json.dumps({"train": pairs[:2], "test": pairs[2:]}))
    build_arc(root / "arc", evaluation=[tasks], num_aug=3)
    book = root.parent / "book.txt"
    book.write_text("\n\n".join(f"The <b>king</b> said {number} words — naïvely." for number in range(200)))
    build_text(root / "text", [str(book)], train_bpe=300, block_size=64, document_separator=r"\n\n")


def sudoku_rows(number: int) -> pa.Table:
    """Rows as the builder of Sudoku writes them: of two sources, with ratings from 0 on."""
    answer = "1234341221434321"
    relabelled = [answer.translate(str.maketrans("1234", "".join(digits))) for digits in permutations("1234")]
    columns = {
        "question": [line[:3] + "....." + line[8:11] + "....." for line in relabelled],
        "answer": relabelled,
        "rating": [row * 3 for row in range(len(relabelled))],
        "source": ["easy" if row < 4 else "hard" for row in range(len(relabelled))],
        "clues": [6] * len(relabelled),
    }
    table = pa.table(columns).slice(0, number)
    types = {"rating": pa.int32(), "clues": pa.int16()}
    return table.cast(pa.schema([(name, types.get(name, pa.string())) for name in columns]))


def make_models(root: Path, text: str) -> None:
    """Two random language models: one that can stop by itself, and one without a halting head."""
    tokenizer = load_text_tokenizer(text)
    for name, halt_max_steps in (("thinker", 3), ("plain", 1)):
        save_checkpoint(root / name, make_text_model(len(tokenizer), halt_max_steps), tokenizer)


def make_text_model(vocab_size: int, halt_max_steps: int, **changes) -> HRMForCausalLM:
    """A random language model; half of its tokens want to stop at once, if they can."""
    torch.manual_seed(0)
    options = {
        "vocab_size": vocab_size,
        "max_position_embeddings": 96,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "H_layers": 1,
        "L_layers": 2,
        "is_causal": True,
        "puzzle_emb_ndim": 0,
        "token_loss": "softmax",
        "halt_max_steps": halt_max_steps,
        "halting": "lean",
    }
    model = HRMForCausalLM(HRMConfig(**(options | changes))).eval()
    if model.q_head is not None:
        torch.nn.init.normal_(model.q_head.weight, std=0.5)
        torch.nn.init.zeros_(model.q_head.bias)
    return model


# --- runs


def train_line(step: int, **changes) -> dict:
    """A line of a log, as training on puzzles writes it."""
    record = {"step": step, "minutes": step / 60, "lr": 1e-3, "skipped_steps": 0, "grad_norm": 1.5}
    record |= {"loss": 2.0, "lm_loss": 1.5 + 1 / step, "q_halt_loss": 0.25, "q_continue_loss": 0.125}
    record |= {"cell_accuracy": 0.75, "exact_accuracy": 0.5, "halt_accuracy": 0.9, "mean_steps": 3.5}
    return record | {"samples_per_s": 100.0, "memory_gb": 1.25} | changes


def eval_line(step: int, **changes) -> dict:
    """The line of an evaluation, with a board that has one wrong cell."""
    board = {
        "puzzle": "1.3.3.1..1.3.3.1",
        "prediction": "1234341221434322",
        "answer": "1234341221434321",
        "segments": 3,
    }
    record = {"step": step, "minutes": step / 60, "eval_n": 10, "eval_exact_accuracy": 0.625}
    record |= {"eval_cell_accuracy": 0.875, "eval_mean_segments": 4.5, "eval_early_stop": True}
    return record | {"eval_boards": [board]} | changes


def write_run(folder: Path, records: list[dict], max_steps: int = 200, result: dict | None = None) -> Path:
    """A run folder; its log."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(f"task: grid\nmax_steps: {max_steps}\nlog_steps: 10\n")
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return log


# --- visitors


@pytest.fixture(scope="module")
def client() -> Client:
    """A client of the app, as a program uses it."""
    return Client(world().url, verbose=False)


def open_tab(chromium, name: str, width: int = 1100, dark: bool = False):
    """A page of the app in the browser."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(20_000)
    page.goto(f"{world().url}?__theme={'dark' if dark else 'light'}")
    page.get_by_role("tab").first.wait_for()
    choose_tab(page, name)
    return page


def choose_tab(page, name: str):
    """Choose a page of the app; on a phone some are in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count() == 0:
        page.locator(".overflow-menu > button").first.click()
        tab = page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True)
    tab.first.click()
