"""What every page with a board can do: solve it, race the model, read pasted text, open a link."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gradio as gr

from hrm_hf.app.board import as_seen, own_on, puzzle_on
from hrm_hf.app.context import AppSettings
from hrm_hf.app.links import link_of
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import MAX_CHARACTERS, PuzzleDesk, one_puzzle, rival_of, verdict_text
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.registry import kind_of
from processing_hrm import HRMGridProcessor


class BoardEvents(ABC):
    """Events of a page with a board; most return the board and the verdict.

    Args:
        settings: of the app.
        shelf: its models.

    Attributes:
        kind: of the puzzles.
        no_model: a sentence for a page without models.
        help: shown in place of the verdict until there is one.
        task: the task of the reader in a race, as a sentence.
        default_processor: for the board of a page without models.
    """

    kind: PuzzleKind
    no_model: str
    help: str
    task: str
    default_processor: HRMGridProcessor

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        self.shelf = shelf
        self._desk = PuzzleDesk(settings, shelf)

    # --- of a kind

    @abstractmethod
    def board_of(self, model: str | None, line: str, steps: Sequence[dict] = (), **more: Any) -> dict[str, Any]:
        """Value of the board: see `hrm_hf.app.board`.

        Args:
            model: that should solve it.
            line: the puzzle.
            steps: boards after each segment.
            more: other fields of the value.
        """

    @abstractmethod
    def first_puzzle(self, model: str | None) -> str:
        """The puzzle that the page opens with, as a line."""

    # --- of all kinds

    def models(self) -> list[str]:
        """Models of the page, the default first."""
        return self.shelf.grid_models(self.kind.name)

    def processor_of(self, model: str | None) -> HRMGridProcessor:
        """The processor of a model, or the default one for a page without models.

        Raises:
            ValueError: if the model is for another kind.
        """
        if not model:
            return self.default_processor
        processor = self.shelf.grid_processor(model)
        if kind_of(processor) is not self.kind:
            plural = kind_of(processor).plural
            raise ValueError(f"The model {model} is for {plural}; choose one for {self.kind.plural}.")
        return processor

    def shape_of(self, model: str | None) -> tuple[int, int]:
        """Rows and columns of the puzzles that a model is for."""
        processor = self.processor_of(model)
        return processor.height, processor.width

    def read(self, model: str | None, text: str) -> dict[str, Any]:
        """Value of the board for a puzzle that was typed or pasted as text.

        Raises:
            ValueError: if it is too long or not a puzzle for the model.
        """
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"The text has {len(text):,} characters; a puzzle has at most {MAX_CHARACTERS:,}.")
        return self.board_of(model, one_puzzle(text, self.processor_of(model)))

    def on_board(self, model: str | None, shown: dict) -> dict[str, Any]:
        """The board as the reader sees it, with the puzzle of a text that was just pasted."""
        return as_seen(shown, lambda text: self.read(model, text))

    def solved(
        self, model: str | None, shown: dict, segments: float = 16, copies: float = 1, early_stop: bool = True
    ) -> dict[str, Any]:
        """The result of `PuzzleDesk.solve_puzzle` for the puzzle on a board.

        Raises:
            ValueError: if there is no model, or one for boards of another size.
        """
        if not model:
            raise ValueError(self.no_model)
        line = puzzle_on(shown)
        rows, columns = self.shape_of(model)
        if rows * columns != len(line):
            raise ValueError(f"The board has {len(line)} cells; this model takes {rows * columns}.")
        return self._desk.solve_puzzle(model, line, segments, copies, early_stop)

    @with_verdict
    def edited(self, model: str | None, shown: dict) -> tuple[dict, str]:
        """The reader changed the board, or pasted text on it."""
        board = self.on_board(model, shown)
        return gr.skip() if board is shown else board, ""

    @with_verdict
    def solve(self, model: str | None, shown: dict, *thinking: Any) -> tuple[dict, str]:
        """The model solves the board; `thinking` as the last arguments of `solved`."""
        shown = self.on_board(model, shown)
        result = self.solved(model, shown, *thinking)
        return self._answered(model, result, **own_on(shown)), verdict_text(result)

    @with_verdict
    def race(self, model: str | None, shown: dict, *thinking: Any) -> tuple[dict, str]:
        """A clock for the reader, against the model's effort; `thinking` as the last arguments of `solved`."""
        result = self.solved(model, self.on_board(model, shown), *thinking)
        rival = rival_of(result)
        if rival is None:
            return gr.skip(), f"No race. {verdict_text(result)}"
        return self.board_of(model, result["puzzle"], rival=rival), f"**Race.** The model is done. {self.task}"

    def open_link(self, request: gr.Request) -> tuple[Any, Any, Any]:
        """Model, board and verdict of the link that opened the page."""
        link = link_of(request)
        if link is None or link.kind != self.kind.name:
            return gr.skip(), gr.skip(), gr.skip()
        model = link.model if link.model in self.models() else next(iter(self.models()), None)

        @with_verdict
        def open_board() -> tuple[dict, str]:
            board = self.read(model, link.puzzle or self.first_puzzle(model))
            if link.step == 0 or not model:
                return board, self.help
            result = self.solved(model, board)
            return self._answered(model, result, show=link.step), verdict_text(result)

        return model, *open_board()

    def _answered(self, model: str | None, result: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.board_of(model, result["puzzle"], result["steps"], copies=result["ballots"], **more)
