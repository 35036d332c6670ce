"""The page of Sudoku: fill the board, let the model solve it, and watch how it came to its answer."""

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import gradio as gr

from hrm_hf.app.board import as_seen, make_board, own_on, puzzle_on
from hrm_hf.app.context import AppSettings
from hrm_hf.app.controls import model_picker, thinking_controls
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.limits import SESSION_SECONDS
from hrm_hf.app.links import link_of
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import open_unless
from hrm_hf.app.solving import DIFFICULTIES, MAX_CHARACTERS, MAX_COPIES, PuzzleDesk, one_puzzle, verdict_text
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.puzzles.sudoku.examples import EXAMPLES, FAMOUS, random_sudoku
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from hrm_hf.puzzles.sudoku.rules import BOX_SHAPES


_NO_MODEL = (
    "There is no Sudoku model under the models folder yet; `make demo` trains one in a few minutes. The board works "
    "without."
)
_HELP = "Press **Solve** and watch, or solve it yourself: click a cell and type."


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

    def board_of(model: str | None, line: str, steps: list[dict] | tuple = (), **more: Any) -> dict[str, Any]:
        box = None
        if model and (processor := shelf.grid_processor(model)).height ** 2 == len(line):
            box = (processor.box_height, processor.box_width)
        return sudoku_board(line, steps, box) | {"model": model} | more

    @with_verdict
    def example(model: str | None, difficulty: str) -> tuple[dict, str]:
        place = (size_of(model), difficulty)
        return board_of(model, next(turns[place]) if place in turns else random_sudoku(*place)), ""

    @with_verdict
    def famous(model: str | None, name: str) -> tuple[dict, str]:
        if not name:
            return gr.skip(), gr.skip()
        if size_of(model) != 9:
            raise ValueError(f"{name} has 9 by 9 cells; choose a model for these, such as sudoku-hard.")
        line, history = FAMOUS[name]
        return board_of(model, line), f"**{name}.** {history}"

    @with_verdict
    def new_puzzle(model: str | None, difficulty: str) -> tuple[dict, str]:
        return board_of(model, random_sudoku(size_of(model), difficulty)), ""

    @with_verdict
    def clear(model: str | None) -> tuple[dict, str]:
        return board_of(model, "." * size_of(model) ** 2), "Type or paste a puzzle of your own."

    def read(model: str | None, text: str) -> dict[str, Any]:
        """A puzzle that was written or pasted as text."""
        from processing_hrm import HRMGridProcessor

        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"The text has {len(text):,} characters; a puzzle has at most {MAX_CHARACTERS:,}.")
        return board_of(model, one_puzzle(text, HRMGridProcessor.for_sudoku(size_of(model))))

    def on_board(model: str | None, shown: dict) -> dict[str, Any]:
        return as_seen(shown, lambda text: read(model, text))

    @with_verdict
    def take_text(model: str | None, text: str) -> tuple[dict, str]:
        return (read(model, text), "") if text.strip() else (gr.skip(), gr.skip())

    def entered(model: str | None, text: str) -> tuple[dict, str, str]:
        return *take_text(model, text), text

    def left(model: str | None, text: str, taken: str) -> tuple[dict, str, str]:
        """The box was left: passing through it with Tab or a click changes nothing."""
        return (gr.skip(), gr.skip(), gr.skip()) if text == taken else entered(model, text)

    @with_verdict
    def edited(model: str | None, shown: dict) -> tuple[dict, str]:
        """The reader changed the board, or pasted a text on it."""
        board = on_board(model, shown)
        return gr.skip() if board is shown else board, ""

    @with_verdict
    def fit(model: str | None, shown: dict, difficulty: str) -> tuple[dict, str]:
        """The board for another model: the same puzzle, if it is of its size."""
        line = puzzle_on(shown)
        if size_of(model) ** 2 == len(line):
            return board_of(model, line, **own_on(shown)), ""
        return example(model, difficulty)

    def solved(model: str | None, shown: dict, segments: float, copies: float, early_stop: bool) -> dict[str, Any]:
        if not model:
            raise ValueError(_NO_MODEL)
        line = puzzle_on(shown)
        if size_of(model) ** 2 != len(line):
            raise ValueError(f"The board has {len(line)} cells; this model takes {size_of(model) ** 2}.")
        return desk.solve_puzzle(model, line, segments, copies, early_stop)

    @with_verdict
    def solve(model: str | None, shown: dict, segments: float, copies: float, early_stop: bool) -> tuple[dict, str]:
        shown = on_board(model, shown)
        result = solved(model, shown, segments, copies, early_stop)
        answers = board_of(model, result["puzzle"], result["steps"], copies=result["ballots"], **own_on(shown))
        return answers, verdict_text(result)

    @with_verdict
    def hint(model: str | None, shown: dict, segments: float, copies: float, early_stop: bool) -> tuple[dict, str]:
        """The cell that the model is surest of, or a digit of the reader that differs from its answer."""
        shown = on_board(model, shown)
        result = solved(model, shown, segments, copies, early_stop)
        if not result["solved"]:
            return gr.skip(), f"No hint. {verdict_text(result)}"
        kept = own_on(shown)
        own = kept["own"] or "." * len(result["puzzle"])
        sure = next((step["sure"] for step in reversed(result["steps"]) if step["sure"]), [1.0] * len(own))
        cells = [cell for cell, digit in enumerate(result["puzzle"]) if digit == "."]
        different = [cell for cell in cells if own[cell] not in (".", result["answer"][cell])]
        left = [cell for cell in cells if own[cell] == "."]
        if different:
            return (
                gr.skip(),
                f"**Look again** at {place_of(different[0], len(own))}: the model has another digit there.",
            )
        if not left:
            return gr.skip(), "**All cells are right.**"
        cell = max(left, key=lambda cell: sure[cell])
        digit = result["answer"][cell]
        board = board_of(model, result["puzzle"], **kept | {"own": own[:cell] + digit + own[cell + 1 :]})
        return board, f"**Hint:** {place_of(cell, len(own))} is {digit}; the model is {sure[cell]:.0%} sure."

    def open_link(request: gr.Request) -> tuple[Any, Any, Any]:
        """Model, board and verdict of the link that the page was opened by."""
        link = link_of(request)
        if link is None or link.kind != SUDOKU.name:
            return gr.skip(), gr.skip(), gr.skip()
        model = link.model if link.model in models() else next(iter(models()), None)

        @with_verdict
        def open_board() -> tuple[dict, str]:
            board = read(model, link.puzzle or example_puzzle(size_of(model)))
            if link.step == 0 or not model:
                return board, _HELP
            result = desk.solve_puzzle(model, board["given"])
            return board_of(model, result["puzzle"], result["steps"], show=link.step), verdict_text(result)

        return model, *open_board()

    first = next(iter(models()), None)
    # what is opened first should take several segments
    opened = example_puzzle(size_of(first))
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                solve_button = gr.Button("Solve", variant="primary", elem_id="sudoku-solve", scale=3)
                hint_button = gr.Button("Hint", min_width=90, elem_id="sudoku-hint", scale=1)
            verdict = gr.Markdown(_HELP, elem_id="sudoku-verdict", elem_classes="verdict")
            board = make_board(board_of(first, opened), "sudoku-board")
        with gr.Column(scale=2, min_width=280):
            model = model_picker(shelf, models, _NO_MODEL)
            difficulty = gr.Radio(list(DIFFICULTIES), value="hard", label="Difficulty", elem_id="sudoku-difficulty")
            with gr.Row():
                example_button = gr.Button("Example", min_width=90)
                random_button = gr.Button("Random", min_width=90)
                clear_button = gr.Button("Clear", min_width=90)
            names = gr.Dropdown(
                [("choose one", ""), *((name, name) for name in FAMOUS)],
                value="AI Escargot" if opened == FAMOUS["AI Escargot"][0] else "",
                label="Famous puzzles",
                visible=size_of(first) == 9,
                elem_id="sudoku-famous",
            )
            text = gr.Textbox(
                label="Paste a puzzle",
                placeholder="53..7.... 6..195... (. or 0 is an open cell)",
                max_length=MAX_CHARACTERS,
                max_lines=1,
                elem_id="sudoku-text",
            )
            taken = gr.State("", time_to_live=SESSION_SECONDS)  # the text that the board was last made of
            segments, copies, early_stop = thinking_controls(
                MAX_COPIES, "If an answer breaks the rules, relabeled and permuted copies of the puzzle are tried."
            )

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    to_board = {"outputs": [board, verdict], **quick}
    slots = model_slots(settings)
    asked = {"inputs": [model, board, segments, copies, early_stop], "outputs": [board, verdict]}
    board.input(edited, [model, board], **to_board)
    example_button.click(example, [model, difficulty], **to_board)
    difficulty.input(example, [model, difficulty], **to_board)
    random_button.click(new_puzzle, [model, difficulty], **to_board, **slots)
    clear_button.click(clear, model, **to_board)
    names.input(famous, [model, names], **to_board)
    others = [example_button.click, random_button.click, clear_button.click, difficulty.input]
    gr.on(others, lambda: "", None, names, queue=False, **quick)
    text_events = {"outputs": [board, verdict, taken], "trigger_mode": "multiple", **quick}
    # an Enter that comes while the line before is read is not lost; "always_last" would lose it after an error
    text.submit(entered, [model, text], **text_events)
    text.blur(left, [model, text, taken], **text_events)
    model.input(fit, [model, board, difficulty], **to_board)
    model.change(lambda name: gr.Dropdown(visible=size_of(name) == 9), model, names, **quick)
    solve_button.click(solve, **asked, api_visibility="private", show_progress_on=verdict, **slots)
    hint_button.click(hint, **asked, api_visibility="private", show_progress_on=verdict, **slots)
    acts = [board.input, *others, names.input, text.submit, model.input, solve_button.click, hint_button.click]
    open_unless(open_link, None, [model, board, verdict], acts, **quick, **slots)
    add_endpoint(random_sudoku, slots)


def example_puzzle(size: int) -> str:
    """A hard puzzle of a size, as a line: the famous AI Escargot of 9x9."""
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
