"""The page of Sudoku: fill in the board, let the model solve it, and watch how it gets to its answer."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import gradio as gr

from hrm_hf.app.board import make_board, own_on, puzzle_on
from hrm_hf.app.board_events import BoardEvents
from hrm_hf.app.context import AppSettings
from hrm_hf.app.controls import model_picker, thinking_controls
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.limits import SESSION_SECONDS
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import open_unless
from hrm_hf.app.solving import DIFFICULTIES, MAX_CHARACTERS, MAX_COPIES, verdict_text
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.sudoku.examples import EXAMPLES, FAMOUS, random_sudoku
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES
from processing_hrm import HRMGridProcessor


class SudokuEvents(BoardEvents):
    """Events of the page."""

    kind = SUDOKU
    no_model = (
        "There is no Sudoku model under the models folder yet; `make demo` trains one in a few minutes. The board "
        "works without a model."
    )
    help = "Press **Solve** and watch, or solve it yourself: click a cell and type."
    task = "Your turn: fill in the board."
    default_processor = HRMGridProcessor.for_sudoku(9)

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        super().__init__(settings, shelf)
        self._turns: dict[tuple[int, str], Iterator[str]] = {
            (size, difficulty): cycle(lines) for size, kinds in EXAMPLES.items() for difficulty, lines in kinds.items()
        }

    def size_of(self, model: str | None) -> int:
        """Digits of the Sudoku that a model is for."""
        return self.shape_of(model)[0]

    def board_of(self, model: str | None, line: str, steps: Sequence[dict] = (), **more: Any) -> dict[str, Any]:
        processor = self.processor_of(model)
        is_its_size = processor.height**2 == len(line)
        box = (processor.box_height, processor.box_width) if is_its_size else None
        return sudoku_board(line, steps, box) | {"model": model} | more

    def first_puzzle(self, model: str | None) -> str:
        return example_puzzle(self.size_of(model))

    @with_verdict
    def example(self, model: str | None, difficulty: str) -> tuple[dict, str]:
        """The next example, or a random puzzle if there are none."""
        place = (self.size_of(model), difficulty)
        return self.board_of(model, next(self._turns[place]) if place in self._turns else random_sudoku(*place)), ""

    @with_verdict
    def famous(self, model: str | None, name: str) -> tuple[dict, str]:
        """A puzzle with a name, and its history."""
        if not name:
            return gr.skip(), gr.skip()
        if self.size_of(model) != 9:
            raise ValueError(f"{name} has 9 by 9 cells; choose a model for these, such as sudoku-hard.")
        line, history = FAMOUS[name]
        return self.board_of(model, line), f"**{name}.** {history}"

    @with_verdict
    def new_puzzle(self, model: str | None, difficulty: str) -> tuple[dict, str]:
        """A random puzzle."""
        return self.board_of(model, random_sudoku(self.size_of(model), difficulty)), ""

    @with_verdict
    def clear(self, model: str | None) -> tuple[dict, str]:
        """An empty board."""
        return self.board_of(model, "." * self.size_of(model) ** 2), "Type or paste your own puzzle."

    @with_verdict
    def _take_text(self, model: str | None, text: str) -> tuple[dict, str]:
        return (self.read(model, text), "") if text.strip() else (gr.skip(), gr.skip())

    def entered(self, model: str | None, text: str) -> tuple[dict, str, str]:
        """Board and verdict for a text, and the text that was read."""
        return *self._take_text(model, text), text

    def left(self, model: str | None, text: str, taken: str) -> tuple[dict, str, str]:
        """The text box lost the focus: passing through it with Tab or a click changes nothing."""
        return (gr.skip(), gr.skip(), gr.skip()) if text == taken else self.entered(model, text)

    @with_verdict
    def fit(self, model: str | None, shown: dict, difficulty: str) -> tuple[dict, str]:
        """The board for another model: the same puzzle, if it has the right size."""
        line = puzzle_on(shown)
        if self.size_of(model) ** 2 == len(line):
            return self.board_of(model, line, **own_on(shown)), ""
        return self.example(model, difficulty)

    @with_verdict
    def hint(self, model: str | None, shown: dict, *thinking: Any) -> tuple[dict, str]:
        """The cell that the model is surest of, or a digit of the reader that differs from the model's answer."""
        shown = self.on_board(model, shown)
        result = self.solved(model, shown, *thinking)
        if not result["solved"]:
            return gr.skip(), f"No hint. {verdict_text(result)}"
        kept = own_on(shown)
        own = kept["own"] or "." * len(result["puzzle"])
        sure = next((step["sure"] for step in reversed(result["steps"]) if step["sure"]), [1.0] * len(own))
        cells = [cell for cell, digit in enumerate(result["puzzle"]) if digit == "."]
        different = [cell for cell in cells if own[cell] not in (".", result["answer"][cell])]
        left = [cell for cell in cells if own[cell] == "."]
        if different:
            where = place_of(different[0], len(own))
            return gr.skip(), f"**Look again** at {where}: the model has another digit there."
        if not left:
            return gr.skip(), "**All cells are correct.**"
        cell = max(left, key=lambda cell: sure[cell])
        digit = result["answer"][cell]
        board = self.board_of(model, result["puzzle"], **kept | {"own": own[:cell] + digit + own[cell + 1 :]})
        return board, f"**Hint:** {place_of(cell, len(own))} is {digit}; the model is {sure[cell]:.0%} sure."


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    events = SudokuEvents(settings, shelf)
    first = next(iter(events.models()), None)
    # the first puzzle should take several segments
    opened = events.first_puzzle(first)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                solve_button = gr.Button("Solve", variant="primary", min_width=110, elem_id="sudoku-solve", scale=3)
                hint_button = gr.Button("Hint", min_width=70, elem_id="sudoku-hint", scale=1)
                race_button = gr.Button("Race", min_width=70, elem_id="sudoku-race", scale=1)
            verdict = gr.Markdown(events.help, elem_id="sudoku-verdict", elem_classes="verdict")
            board = make_board(events.board_of(first, opened), "sudoku-board")
        with gr.Column(scale=2, min_width=280):
            model = model_picker(shelf, events.models, events.no_model)
            difficulty = gr.Radio(list(DIFFICULTIES), value="hard", label="Difficulty", elem_id="sudoku-difficulty")
            with gr.Row():
                example_button = gr.Button("Example", min_width=90)
                random_button = gr.Button("Random", min_width=90)
                clear_button = gr.Button("Clear", min_width=90)
            names = gr.Dropdown(
                [("choose one", ""), *((name, name) for name in FAMOUS)],
                value="AI Escargot" if opened == FAMOUS["AI Escargot"][0] else "",
                label="Famous puzzles",
                visible=events.size_of(first) == 9,
                elem_id="sudoku-famous",
            )
            text = gr.Textbox(
                label="Paste a puzzle",
                placeholder="53..7.... 6..195... (. or 0 is an open cell)",
                max_length=MAX_CHARACTERS,
                max_lines=1,
                elem_id="sudoku-text",
            )
            taken = gr.State("", time_to_live=SESSION_SECONDS)  # the last text that the board was made from
            thinking = thinking_controls(
                MAX_COPIES, "If an answer breaks the rules, relabeled and permuted copies of the puzzle are tried."
            )

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    to_board = {"outputs": [board, verdict], **quick}
    slots = model_slots(settings)
    edited = board.input(events.edited, [model, board], **to_board)
    example_button.click(events.example, [model, difficulty], **to_board)
    difficulty.input(events.example, [model, difficulty], **to_board)
    random_button.click(events.new_puzzle, [model, difficulty], **to_board, **slots)
    clear_button.click(events.clear, model, **to_board)
    names.input(events.famous, [model, names], **to_board)
    others = [example_button.click, random_button.click, clear_button.click, difficulty.input]
    gr.on(others, lambda: "", None, names, queue=False, **quick)
    text_events = {"outputs": [board, verdict, taken], "trigger_mode": "multiple", **quick}
    # Enter is not lost while the previous line is being read; "always_last" would lose it after an error
    text.submit(events.entered, [model, text], **text_events)
    text.blur(events.left, [model, text, taken], **text_events)
    model.input(events.fit, [model, board, difficulty], **to_board)
    model.change(lambda name: gr.Dropdown(visible=events.size_of(name) == 9), model, names, **quick)
    asked = {"inputs": [model, board, *thinking], "outputs": [board, verdict], "show_progress_on": verdict}
    # they read what was pasted as well; an answer to the edit that comes after theirs would wipe the verdict
    asked |= {"cancels": [edited], "api_visibility": "private", **slots}
    solve_button.click(events.solve, **asked)
    hint_button.click(events.hint, **asked)
    race_button.click(events.race, **asked)
    acts = [board.input, *others, names.input, text.submit, model.input]
    acts += [solve_button.click, hint_button.click, race_button.click]
    open_unless(events.open_link, None, [model, board, verdict], acts, **quick, **slots)
    add_endpoint(random_sudoku, slots)


def example_puzzle(size: int) -> str:
    """A hard puzzle of a size, as a line: for 9x9, the famous AI Escargot."""
    if size == 9:
        return FAMOUS["AI Escargot"][0]
    return EXAMPLES[size]["hard"][0] if size in EXAMPLES else random_sudoku(size, "hard", seed=0)


def place_of(cell: int, num_cells: int) -> str:
    """Where a cell is, in words."""
    row, column = divmod(cell, round(num_cells**0.5))
    return f"row {row + 1}, column {column + 1}"


def sudoku_board(given: str, steps: Sequence[dict] = (), box: tuple[int, int] | None = None) -> dict[str, Any]:
    """Value of a Sudoku board.

    Args:
        given: the puzzle as a line.
        steps: boards after each segment.
        box: rows and columns of a box, if not the usual ones.
    """
    size = round(len(given) ** 0.5)
    return {
        "kind": SUDOKU.name,
        "title": f"Sudoku, {size} by {size}",
        "rows": size,
        "columns": size,
        "box": list(box or BOX_SHAPES[size]),
        "given": given,
        "truth": None,
        "steps": list(steps),
        "editable": True,
    }
