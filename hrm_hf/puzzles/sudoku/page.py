"""The page of Sudoku: fill the board, let the model solve it, and watch how it came to its answer."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import gradio as gr

from hrm_hf.app.board import make_board, puzzle_on
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.controls import model_picker, thinking_controls
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import DIFFICULTIES, MAX_CHARACTERS, MAX_COPIES, PuzzleDesk, one_puzzle, verdict_text
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.puzzles.sudoku.examples import EXAMPLES, random_sudoku
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES


_NO_MODEL = (
    "There is no Sudoku model under the models folder yet; `make demo` trains one in a few minutes. The board works "
    "without."
)
_HELP = "Click a cell and type, or paste a whole puzzle with Ctrl+V. Arrow keys move."


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    desk = PuzzleDesk(settings, shelf)
    turns: dict[tuple[int, str], Iterator[str]] = {
        (size, difficulty): cycle(lines) for size, kinds in EXAMPLES.items() for difficulty, lines in kinds.items()
    }

    def models() -> list[str]:
        return shelf.grid_models(SUDOKU.name)

    def size_of(model: str | None) -> int:
        """Digits of the Sudoku that a model is for."""
        if not model:
            return 9
        processor = shelf.grid_processor(model)
        if kind_of(processor) is not SUDOKU:
            raise ValueError(f"The model {model} is for {kind_of(processor).plural}; choose one for Sudoku.")
        return processor.height

    def board_of(model: str | None, line: str, steps: list[dict] | tuple = ()) -> dict[str, Any]:
        box = None
        if model and (processor := shelf.grid_processor(model)).height ** 2 == len(line):
            box = (processor.box_height, processor.box_width)
        return sudoku_board(line, steps, box)

    def example(model: str | None, difficulty: str) -> tuple[dict, str]:
        with sentences():
            place = (size_of(model), difficulty)
            return board_of(model, next(turns[place]) if place in turns else random_sudoku(*place)), ""

    def new_puzzle(model: str | None, difficulty: str) -> tuple[dict, str]:
        with sentences():
            return board_of(model, random_sudoku(size_of(model), difficulty)), ""

    def clear(model: str | None) -> tuple[dict, str]:
        with sentences():
            return board_of(model, "." * size_of(model) ** 2), ""

    def read(model: str | None, text: str) -> tuple[dict, str]:
        """A puzzle that was written or pasted as text."""
        from processing_hrm import HRMGridProcessor

        with sentences():
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"The text has {len(text)} characters; a puzzle has at most {MAX_CHARACTERS}.")
            return board_of(model, one_puzzle(text, HRMGridProcessor.for_sudoku(size_of(model)))), ""

    def fit(model: str | None, shown: dict, difficulty: str) -> tuple[dict, str]:
        """The board for another model: the same puzzle, if it is of its size."""
        with sentences():
            line = puzzle_on(shown)
            if size_of(model) ** 2 == len(line):
                return board_of(model, line), ""
        return example(model, difficulty)

    def solve(model: str | None, shown: dict, segments: float, copies: float, early_stop: bool) -> tuple[dict, str]:
        with sentences():
            if not model:
                raise ValueError(_NO_MODEL)
            line = puzzle_on(shown)
            if size_of(model) ** 2 != len(line):
                raise ValueError(f"The board has {len(line)} cells; this model wants {size_of(model) ** 2}.")
            result = desk.solve_puzzle(model, line, segments, copies, early_stop)
            return board_of(model, result["puzzle"], result["steps"]), verdict_text(result)

    first = next(iter(models()), None)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            solve_button = gr.Button("Solve", variant="primary", elem_id="sudoku-solve")
            verdict = gr.Markdown(_HELP, elem_id="sudoku-verdict", elem_classes="verdict")
            board = make_board(example(first, "hard")[0], "sudoku-board")
        with gr.Column(scale=2, min_width=280):
            model = model_picker(shelf, models, _NO_MODEL)
            difficulty = gr.Radio(list(DIFFICULTIES), value="hard", label="Difficulty", elem_id="sudoku-difficulty")
            with gr.Row():
                example_button = gr.Button("Example", min_width=90)
                random_button = gr.Button("Random", min_width=90)
                clear_button = gr.Button("Clear", min_width=90)
            text = gr.Textbox(
                label="Paste a puzzle",
                placeholder="53..7.... 6..195... (. or 0 is an open cell)",
                max_length=MAX_CHARACTERS,
                max_lines=1,
                elem_id="sudoku-text",
            )
            segments, copies, early_stop = thinking_controls(
                MAX_COPIES, "If an answer breaks the rules, relabelled and permuted copies of the puzzle are tried."
            )

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    to_board = {"outputs": [board, verdict], **quick}
    slots = model_slots(settings)
    board.input(lambda: "", None, verdict, queue=False, **quick)
    example_button.click(example, [model, difficulty], **to_board)
    difficulty.input(example, [model, difficulty], **to_board)
    random_button.click(new_puzzle, [model, difficulty], **to_board, **slots)
    clear_button.click(clear, model, **to_board)
    # an Enter that comes while the line before is read is not lost; "always_last" would lose it after an error
    text.submit(read, [model, text], trigger_mode="multiple", **to_board)
    # a click elsewhere is the end of pasting
    text.blur(
        lambda model, text: read(model, text) if text.strip() else (gr.skip(), gr.skip()), [model, text], **to_board
    )
    model.change(fit, [model, board, difficulty], **to_board)
    solve_button.click(
        solve,
        [model, board, segments, copies, early_stop],
        [board, verdict],
        api_visibility="private",
        show_progress_on=verdict,
        **slots,
    )
    add_endpoint(random_sudoku, settings)


def sudoku_board(given: str, steps: Sequence[dict] = (), box: tuple[int, int] | None = None) -> dict[str, Any]:
    """Value of a Sudoku board.

    Args:
        given: the puzzle as a line.
        steps: boards after each segment.
        box: rows and columns of a box, where these are not the usual ones.
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
