"""The page of mazes: draw or generate one, let the model solve it, and watch the path appear."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import gradio as gr

from hrm_hf.app.board import make_board, puzzle_on
from hrm_hf.app.board_events import BoardEvents
from hrm_hf.app.context import AppSettings
from hrm_hf.app.controls import model_picker, thinking_controls
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import open_unless
from hrm_hf.app.solving import DIFFICULTIES
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.maze.examples import random_maze
from hrm_hf.puzzles.maze.kind import MAZE
from processing_hrm import HRMGridProcessor


_TRAINED_ON = (
    "The shipped models have seen random walls with one shortest path. Open fields and several shortest paths "
    "are new to them; the verdict accepts any shortest path."
)
# a maze has 8 symmetries, including the identity
_MAX_COPIES = 8


class MazeEvents(BoardEvents):
    """Events of the page."""

    kind = MAZE
    no_model = (
        "There is no maze model under the models folder yet; `hrm-hf train maze_30x30` trains one. Drawing works "
        "without a model."
    )
    help = "Press **Solve** and watch the path appear, or draw: choose a tool below and drag."
    task = "Your turn: draw the shortest path."
    default_processor = HRMGridProcessor.for_maze(12, 12)

    def board_of(self, model: str | None, line: str, steps: Sequence[dict] = (), **more: Any) -> dict[str, Any]:
        return maze_board(line, *self.shape_of(model), steps) | {"model": model} | more

    def first_puzzle(self, model: str | None) -> str:
        return _first_maze(*self.shape_of(model))

    def solved(
        self, model: str | None, shown: dict, segments: float = 16, copies: float = 1, early_stop: bool = True
    ) -> dict[str, Any]:
        height, width = self.shape_of(model)
        # a square has 8 symmetries, another rectangle 4
        most = _MAX_COPIES if height == width else _MAX_COPIES // 2
        return super().solved(model, shown, segments, min(copies, most), early_stop)

    @with_verdict
    def new_maze(self, model: str | None, difficulty: str) -> tuple[dict, str]:
        """A random maze."""
        return self.board_of(model, random_maze(*self.shape_of(model), difficulty)), ""

    @with_verdict
    def clear(self, model: str | None) -> tuple[dict, str]:
        """A field without walls."""
        return self.board_of(model, empty_maze(*self.shape_of(model))), self.help

    @with_verdict
    def fit(self, model: str | None, shown: dict) -> tuple[dict, str]:
        """The board for another model: the same maze, if it has the right size."""
        height, width = self.shape_of(model)
        line = puzzle_on(shown)
        return self.board_of(model, line if len(line) == height * width else self.first_puzzle(model)), ""

    def open_page(self, model: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """Model, board and verdict of the link that opened the page, or a first maze."""
        chosen, board, verdict = self.open_link(request)
        if chosen is None or isinstance(chosen, str):
            return chosen, board, verdict
        # generated here rather than with the page, because it takes a second
        return chosen, self.board_of(model, self.first_puzzle(model)), verdict


@cache
def _first_maze(height: int, width: int) -> str:
    return random_maze(height, width, "hard", seed=0)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    events = MazeEvents(settings, shelf)
    first = next(iter(events.models()), None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                can_solve = {"interactive": first is not None}
                solve_button = gr.Button("Solve", variant="primary", elem_id="maze-solve", scale=3, **can_solve)
                race_button = gr.Button("Race", min_width=90, elem_id="maze-race", scale=1, **can_solve)
            verdict = gr.Markdown(events.help, elem_id="maze-verdict", elem_classes="verdict")
            board = make_board(events.board_of(first, empty_maze(*events.shape_of(first))), "maze-board")
        with gr.Column(scale=2, min_width=280):
            model = model_picker(shelf, events.models, events.no_model)
            difficulty = gr.Radio(list(DIFFICULTIES), value="hard", label="Difficulty: length of the path")
            with gr.Row():
                random_button = gr.Button("Random", min_width=90)
                clear_button = gr.Button("Clear", min_width=90)
            gr.Markdown(_TRAINED_ON, elem_classes="note")
            thinking = thinking_controls(
                _MAX_COPIES, "If an answer breaks the rules, rotated and mirrored copies of the maze are tried."
            )

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    to_board = {"outputs": [board, verdict], **quick}
    slots = model_slots(settings)
    edited = board.input(events.edited, [model, board], **to_board)
    random_button.click(events.new_maze, [model, difficulty], **to_board, **slots)
    difficulty.input(events.new_maze, [model, difficulty], **to_board, **slots)
    clear_button.click(events.clear, model, **to_board)
    model.input(events.fit, [model, board], **to_board)
    model.change(lambda name: [gr.Button(interactive=bool(name))] * 2, model, [solve_button, race_button], **quick)
    asked = {"inputs": [model, board, *thinking], "outputs": [board, verdict], "show_progress_on": verdict}
    # they read what was pasted as well; an answer to the edit that comes after theirs would wipe the verdict
    asked |= {"cancels": [edited], "api_visibility": "private", **slots}
    solve_button.click(events.solve, **asked)
    race_button.click(events.race, **asked)
    acts = [board.input, random_button.click, clear_button.click, difficulty.input, model.input]
    acts += [solve_button.click, race_button.click]
    open_unless(events.open_page, model, [model, board, verdict], acts, **quick, **slots)
    add_endpoint(random_maze, slots)


def empty_maze(height: int, width: int) -> str:
    """A field without walls, with the start in the first corner and the goal in the last."""
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
