"""The page of mazes: draw one or have one made, let the model solve it, and watch the path appear."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import gradio as gr

from hrm_hf.app.board import as_seen, make_board, puzzle_on
from hrm_hf.app.context import AppSettings
from hrm_hf.app.controls import model_picker, thinking_controls
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.links import PuzzleLink, link_of
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import open_unless
from hrm_hf.app.solving import DIFFICULTIES, PuzzleDesk, one_puzzle, verdict_text
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.maze.examples import random_maze
from hrm_hf.puzzles.maze.kind import MAZE
from hrm_hf.puzzles.registry import kind_of


_NO_MODEL = (
    "There is no maze model under the models folder yet; `accelerate launch train_accelerate.py` with a maze recipe "
    "trains one. Drawing works without."
)
_HELP = "Press **Solve** and watch the path appear, or draw: choose a tool below and drag."
_TRAINED_ON = (
    "The shipped models have seen mazes with one path between any two cells. Open fields and several shortest paths "
    "are new to them; the verdict takes any shortest path."
)
# a maze has 8 symmetries, with itself
_MAX_COPIES = 8
# without a model, whose size it would be
_SIDE = 12


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    desk = PuzzleDesk(settings, shelf)

    def models() -> list[str]:
        return shelf.grid_models(MAZE.name)

    def shape_of(model: str | None) -> tuple[int, int]:
        """Rows and columns of the mazes that a model is for."""
        if not model:
            return _SIDE, _SIDE
        processor = shelf.grid_processor(model)
        if kind_of(processor) is not MAZE:
            raise ValueError(f"The model {model} is for {kind_of(processor).plural}; choose one for mazes.")
        return processor.height, processor.width

    @cache
    def first_maze(height: int, width: int) -> str:
        return random_maze(height, width, "hard", seed=0)

    def board_of(model: str | None, line: str, steps: Sequence[dict] = (), **more: Any) -> dict[str, Any]:
        return maze_board(line, *shape_of(model), steps) | {"model": model} | more

    def read(model: str | None, text: str) -> dict[str, Any]:
        """A maze that was pasted as text."""
        if not model:
            raise ValueError(_NO_MODEL)
        return board_of(model, one_puzzle(text, shelf.grid_processor(model)))

    def on_board(model: str | None, shown: dict) -> dict[str, Any]:
        return as_seen(shown, lambda text: read(model, text))

    @with_verdict
    def new_maze(model: str | None, difficulty: str) -> tuple[dict, str]:
        return board_of(model, random_maze(*shape_of(model), difficulty)), ""

    @with_verdict
    def clear(model: str | None) -> tuple[dict, str]:
        return board_of(model, empty_maze(*shape_of(model))), _HELP

    @with_verdict
    def edited(model: str | None, shown: dict) -> tuple[dict, str]:
        """The reader changed the maze, or pasted one as text."""
        board = on_board(model, shown)
        return gr.skip() if board is shown else board, ""

    @with_verdict
    def fit(model: str | None, shown: dict) -> tuple[dict, str]:
        """The board for another model: the same maze, if it is of its size."""
        height, width = shape_of(model)
        line = puzzle_on(shown)
        return board_of(model, line if len(line) == height * width else first_maze(height, width)), ""

    @with_verdict
    def solve(model: str | None, shown: dict, segments: float, copies: float, early_stop: bool) -> tuple[dict, str]:
        if not model:
            raise ValueError(_NO_MODEL)
        height, width = shape_of(model)
        # 8 symmetries of a square, 4 of another rectangle
        most = _MAX_COPIES if height == width else _MAX_COPIES // 2
        result = desk.solve_puzzle(model, puzzle_on(on_board(model, shown)), segments, min(copies, most), early_stop)
        board = board_of(model, result["puzzle"], result["steps"], copies=result["ballots"])
        return board, verdict_text(result)

    @with_verdict
    def linked(model: str | None, link: PuzzleLink) -> tuple[dict, str]:
        board = read(model, link.puzzle or first_maze(*shape_of(model)))
        if link.step == 0:
            return board, _HELP
        result = desk.solve_puzzle(model, board["given"])
        return board_of(model, result["puzzle"], result["steps"], show=link.step), verdict_text(result)

    def open_page(model: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """Model, board and verdict: those of the link that the page was opened by, or a first maze."""
        link = link_of(request)
        if link is None or link.kind != MAZE.name:
            return gr.skip(), board_of(model, first_maze(*shape_of(model))), gr.skip()
        model = link.model if link.model in models() else model
        return model, *linked(model, link)

    first = next(iter(models()), None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            solve_button = gr.Button("Solve", variant="primary", elem_id="maze-solve", interactive=first is not None)
            verdict = gr.Markdown(_HELP, elem_id="maze-verdict", elem_classes="verdict")
            board = make_board(board_of(first, empty_maze(*shape_of(first))), "maze-board")
        with gr.Column(scale=2, min_width=280):
            model = model_picker(shelf, models, _NO_MODEL)
            difficulty = gr.Radio(list(DIFFICULTIES), value="hard", label="Difficulty: length of the path")
            with gr.Row():
                random_button = gr.Button("Random", min_width=90)
                clear_button = gr.Button("Clear", min_width=90)
            gr.Markdown(_TRAINED_ON, elem_classes="note")
            segments, copies, early_stop = thinking_controls(
                _MAX_COPIES, "If an answer breaks the rules, turned and mirrored copies of the maze are tried."
            )

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    to_board = {"outputs": [board, verdict], **quick}
    slots = model_slots(settings)
    acts = [board.input, random_button.click, clear_button.click, difficulty.input, model.input, solve_button.click]
    open_unless(open_page, model, [model, board, verdict], acts, **quick, **slots)
    board.input(edited, [model, board], **to_board)
    random_button.click(new_maze, [model, difficulty], **to_board, **slots)
    difficulty.input(new_maze, [model, difficulty], **to_board, **slots)
    clear_button.click(clear, model, **to_board)
    model.input(fit, [model, board], **to_board)
    model.change(lambda name: gr.Button(interactive=bool(name)), model, solve_button, **quick)
    solve_button.click(
        solve,
        [model, board, segments, copies, early_stop],
        [board, verdict],
        api_visibility="private",
        show_progress_on=verdict,
        **slots,
    )
    add_endpoint(random_maze, slots)


def empty_maze(height: int, width: int) -> str:
    """A field without walls, with the start in its first and the goal in its last corner."""
    return f"S{' ' * (height * width - 2)}G"


def maze_board(given: str, height: int, width: int, steps: Sequence[dict] = ()) -> dict[str, Any]:
    """Value of a maze board.

    Args:
        given: the maze as a line.
        height, width: rows and columns.
        steps: boards after each segment.
    """
    return {
        "kind": MAZE.name,
        "title": f"Maze, {height} by {width}",
        "rows": height,
        "columns": width,
        "given": given,
        "truth": None,
        "steps": list(steps),
        "editable": True,
    }
