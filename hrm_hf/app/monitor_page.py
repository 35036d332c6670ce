"""The page that monitors runs: curves, samples and boards, read from the run folders while training writes them.

The logs are read by `run_logs`, once for all visitors. A visitor's page is updated only when something has changed.
"""

import json
import time
from dataclasses import asdict
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from hrm_hf.app.charts import COLORS, Line, line_chart, number
from hrm_hf.app.charts import CSS as CHART_CSS
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.endpoints import add_endpoint
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.page_events import when_looked_at
from hrm_hf.app.run_boards import CSS as BOARD_CSS
from hrm_hf.app.run_boards import board_svg
from hrm_hf.app.run_logs import Evaluation, RunLog, RunLogs, Series


REFRESH_SECONDS = 4  # between two looks at the logs
_MAX_RUNS = COLORS
_MAX_LISTED = 200
_POINTS = 240  # of a line: more cannot be told apart at the width of a chart
_NEWEST = "newest"
_AXES = ("step", "minutes")

CSS = (
    CHART_CSS
    + BOARD_CSS
    + """
.hrm-controls .form { gap: 14px; background: none; border: 0; box-shadow: none; }
.hrm-runs { display: grid; gap: 8px; }
.hrm-run { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 10px 14px;
  background: var(--background-fill-primary); color: var(--body-text-color); font-size: 14px; line-height: 1.5; }
.hrm-run b { overflow-wrap: anywhere; }
.hrm-run .hrm-key { display: inline-block; width: 1.5em; border-radius: 5px; margin-right: 6px; text-align: center;
  color: #fff; background: var(--hrm-color); font-weight: 700; font-size: 12px; line-height: 1.5em; }
.hrm-run .hrm-state { border: 1px solid currentColor; border-radius: 999px; padding: 0 8px; font-size: 12px;
  margin-left: 6px; white-space: nowrap; }
.hrm-run .hrm-running { color: #15803d; font-weight: 600; }
.hrm-run .hrm-stopped { color: #b91c1c; }
.dark .hrm-run .hrm-running { color: #4ade80; } .dark .hrm-run .hrm-stopped { color: #fca5a5; }
.hrm-run .hrm-track { height: 5px; border-radius: 3px; margin: 7px 0 3px; background: var(--border-color-primary); }
.hrm-run .hrm-done { height: 100%; border-radius: 3px; background: var(--hrm-color); }
.hrm-run small, .hrm-sample small { color: var(--body-text-color-subdued); font-size: 12.5px; }
.hrm-empty { border: 1px dashed var(--border-color-primary); border-radius: 10px; padding: 18px; line-height: 1.6;
  color: var(--body-text-color); }
.hrm-empty code, .hrm-sample code { overflow-wrap: anywhere; }
.hrm-sample { border-left: 3px solid var(--hrm-color, var(--border-color-primary)); padding: 2px 12px; margin: 10px 0;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.55; color: var(--body-text-color); }
.hrm-eval h4 { margin: 14px 0 4px; font-size: 14px; overflow-wrap: anywhere; color: var(--body-text-color); }
.hrm-recipe { max-height: 420px; overflow: auto; font-size: 12.5px; line-height: 1.45; padding: 8px 12px;
  border: 1px solid var(--border-color-primary); border-radius: 10px; color: var(--body-text-color); }
"""
)

_EMPTY = (
    "There are no runs yet. Start one, for instance "
    "<code>accelerate launch train_accelerate.py recipes/sudoku_demo.yaml</code>, or <code>make demo</code>; its "
    "curves appear here while it trains."
)


class _Panel(NamedTuple):
    """One chart: which series of the log it shows, for training and for evaluation."""

    title: str
    training: str | None
    evaluation: str | None = None
    is_loss: bool = False


_PANELS = (
    _Panel("Loss, all parts", "loss", None, True),
    _Panel("Cross entropy (lm_loss)", "lm_loss", "eval_loss", True),
    _Panel("Halting loss (q_halt_loss)", "q_halt_loss", None, True),
    _Panel("Continue loss (q_continue_loss)", "q_continue_loss", None, True),
    _Panel("Exact accuracy: puzzles fully solved", "exact_accuracy", "eval_exact_accuracy"),
    _Panel("Cell accuracy: single cells correct", "cell_accuracy", "eval_cell_accuracy"),
    _Panel("Halting accuracy", "halt_accuracy", "eval_halt_accuracy"),
    _Panel("Bits per byte", "bits_per_byte", "eval_bits_per_byte", True),
    _Panel("Mean segments", "mean_steps", "eval_mean_segments"),
    _Panel("Learning rate", "lr"),
    _Panel("Gradient norm", "grad_norm", None, True),
    _Panel("Samples per second", "samples_per_s"),
    _Panel("Tokens per second", "tokens_per_s"),
    _Panel("Memory in GB", "memory_gb"),
    _Panel("Share of steps skipped", "skipped_share"),
    _Panel("Steps skipped", "skipped_steps"),
)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the Blocks being built.

    Args:
        settings: where the runs are.
        shelf: not needed here; every page takes it.
    """
    logs = RunLogs(settings.runs_root)

    def read(names: list[str]) -> list[RunLog]:
        with sentences():
            return [logs.read(name) for name in _checked_names(names)]

    def show(names, axis, log_scale, evaluation, seen):
        """Everything on the page; parts that have not changed are left alone."""
        offered = logs.names()
        names = [name for name in _checked_names(names) if name in offered]
        if not names and seen[1] in ("", "[]"):
            names = offered[:1]  # the page was just opened, or there was no run before
        runs = read(names)
        signature = json.dumps([[(run.name, run.version) for run in runs], axis, log_scale, evaluation])
        choices = json.dumps(offered)
        status = status_html(runs, bool(offered))
        if seen == [signature, choices]:
            return gr.skip(), status, gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        # an open menu would lose its position if it got the same choices again
        menu = gr.skip() if seen[1] == choices else gr.update(choices=offered, value=names)
        evaluations = evaluation_choices(runs)
        if evaluation not in [value for _, value in evaluations]:
            evaluation = _NEWEST
        return (
            menu,
            status,
            charts_html(runs, axis, log_scale),
            gr.update(choices=evaluations, value=evaluation),
            evaluation_html(runs, evaluation),
            recipes_html(runs),
            [signature, choices],
        )

    def look(is_live, names, axis, log_scale, evaluation, seen):
        """The page when it is viewed, live from now on: without a selected run, the run written to last."""
        return [gr.Timer(active=is_live), *show(names, axis, log_scale, evaluation, seen)]

    def show_anew(names, axis, log_scale, evaluation, seen):
        return show(names, axis, log_scale, evaluation, ["", seen[1]])

    def monitor_runs() -> list[dict]:
        """Runs with their state, steps, minutes and last scores, latest first."""
        return [summary(logs.read(name)) for name in logs.names()[:_MAX_LISTED]]

    def monitor_series(run: str, axis: str = "step", max_points: int = 500) -> dict:
        """All series of a run: `x` and `y` of each, by name.

        Args:
            run: one of `monitor_runs`.
            axis: "step" or "minutes", for `x`.
            max_points: maximum number of points of a series, 10 to 2000; peaks stay.
        """
        log = logs.read(run)
        if axis not in _AXES:
            raise ValueError(f"The axis {str(axis)[:40]!r} is unknown; use step or minutes.")
        most = min(max(_whole("max_points", max_points), 10), 2000)
        return {
            name: dict(zip(("x", "y"), series.points(axis, most), strict=True))
            for name, series in list(log.series.items())
        }

    def monitor_evaluation(run: str, back: int = 0) -> dict:
        """An evaluation of a run with its samples and boards.

        Args:
            run: one of `monitor_runs`.
            back: 0 is the newest evaluation, 1 the one before it.
        """
        evaluations, back = logs.read(run).evaluations, _whole("back", back)
        if not 0 <= back < len(evaluations):
            raise ValueError(f"There is no evaluation {back} before the newest; there are {len(evaluations)}.")
        return asdict(evaluations[-1 - back])

    for function in (monitor_runs, monitor_series, monitor_evaluation):
        add_endpoint(function, {"concurrency_limit": 4}, run=next(iter(logs.names()), "demo"))

    gr.Markdown(
        "Current and past runs of `train_accelerate.py`: choose up to six to compare. Each run has a letter and a "
        "color; solid lines are training, dashed lines with dots are evaluation."
    )
    with gr.Row(elem_classes="hrm-controls"):
        runs_menu = gr.Dropdown(
            [], multiselect=True, max_choices=_MAX_RUNS, label="Runs, latest first", scale=3, elem_id="monitor-runs"
        )
        axis_menu = gr.Radio(
            [("steps", "step"), ("minutes", "minutes")], value="step", label="Against", scale=1, min_width=210
        )
        with gr.Column(scale=1, min_width=190):
            log_box = gr.Checkbox(False, label="Losses on a log scale")
            live_box = gr.Checkbox(True, label="Refresh automatically")
    status = gr.HTML(elem_id="monitor-status")
    charts = gr.HTML(elem_id="monitor-charts")
    evaluation_menu = gr.Dropdown(
        evaluation_choices([]),
        value=_NEWEST,
        label="What the model wrote or solved at an evaluation",
        elem_id="monitor-evaluation",
    )
    shown = gr.HTML(elem_id="monitor-shown")
    with gr.Accordion("Recipe: every option of the run", open=False):
        recipes = gr.HTML()
    gr.Markdown(
        "[trackio](https://github.com/gradio-app/trackio) can stay open next to this page: `trackio show` opens a "
        "dashboard of what a script logs with it; this page reads only the run folders."
    )

    # of the page, and of the runs to choose from
    seen = gr.State(["", ""])
    timer = gr.Timer(REFRESH_SECONDS, active=False)
    outputs = [runs_menu, status, charts, evaluation_menu, shown, recipes, seen]
    choice = [runs_menu, axis_menu, log_box, evaluation_menu]
    plumbing = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": 4}
    when_looked_at(look, [live_box, *choice, seen], [timer, *outputs], **plumbing)
    timer.tick(show, [*choice, seen], outputs, **plumbing)
    for component in (runs_menu, axis_menu, log_box, evaluation_menu):
        component.input(show_anew, [*choice, seen], outputs, trigger_mode="always_last", **plumbing)
    live_box.change(lambda is_live: gr.Timer(active=is_live), live_box, timer, **plumbing)


def _checked_names(names: Any) -> list[str]:
    """Names of runs as sent by a page."""
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list):
        return []
    return [name for name in names if isinstance(name, str)][:_MAX_RUNS]


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a whole number.")
    return int(value)


def summary(run: RunLog) -> dict[str, Any]:
    """A run as a few plain values."""
    return {
        "run": run.name,
        "state": run.state(),
        "step": max(run.last_step, 0),
        "max_steps": run.max_steps,
        "minutes": run.last_minutes,
        "scores": run.evaluations[-1].scores if run.evaluations else {},
    }


def status_html(runs: list[RunLog], any_there: bool, now: float | None = None) -> str:
    """A card for each run: state, steps done, minutes, and the scores of its last evaluation."""
    if not runs:
        return f'<div class="hrm-empty">{"Choose one or more runs above." if any_there else _EMPTY}</div>'
    now = time.time() if now is None else now
    cards = []
    for index, run in enumerate(runs):
        state, done = run.state(now), max(run.last_step, 0)
        # a run that was resumed with another recipe may be beyond the steps of that recipe
        parts = [f"step {done:,}" + (f" of {run.max_steps:,}" if run.max_steps and done <= run.max_steps else "")]
        parts.append(f"{run.last_minutes:.1f} min of training")
        if state != "finished":
            parts.append(f"last line {_ago(now - run.changed)}")
        words = {
            "eval_exact_accuracy": "{:.1%} of evaluation puzzles fully solved",
            "eval_cell_accuracy": "{:.1%} of their cells correct",
            "eval_bits_per_byte": "{:.3f} bits per byte in evaluation",
        }
        scores = run.evaluations[-1].scores if run.evaluations else {}
        parts += [
            form.format(scores[name.removeprefix("eval_")])
            for name, form in words.items()
            if name.removeprefix("eval_") in scores
        ]
        progress = ""
        if run.max_steps and state != "finished":
            share = min(done / run.max_steps, 1.0)
            progress = (
                f'<div class="hrm-track" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
                f'aria-valuenow="{100 * share:.0f}" aria-label="steps of {escape(run.name)}">'
                f'<div class="hrm-done" style="width: {100 * share:.1f}%"></div></div>'
            )
        cards.append(
            f'<div class="hrm-run hrm-c{index}"><span class="hrm-key" aria-hidden="true">{_letter(index)}</span>'
            f'<b>{escape(run.name)}</b><span class="hrm-state hrm-{state}">{state}</span>{progress}'
            f"<div><small>{' · '.join(parts)}</small></div></div>"
        )
    return f'<div class="hrm-runs">{"".join(cards)}</div>'


def charts_html(runs: list[RunLog], axis: str, log_scale: bool) -> str:
    """All charts for which the runs have values."""
    axis = axis if axis in _AXES else "step"
    figures = []
    for panel in _PANELS:
        lines, last = [], []
        for index, run in enumerate(runs):
            values = []
            for name, kind in ((panel.training, "training"), (panel.evaluation, "evaluation")):
                series = run.series.get(name)
                if series is None or _says_nothing(panel, series):
                    continue
                xs, ys = series.points(axis, _POINTS)
                is_evaluation = kind == "evaluation"
                lines.append(Line(f"{run.name}, {kind}", xs, ys, index, _letter(index), is_evaluation))
                values.append("evaluation " * is_evaluation + number(ys[-1]))
            if values:
                last.append(f"{_letter(index)} {', '.join(values)}")
        if lines:
            figures.append(
                line_chart(panel.title, lines, axis, " · ".join(last), log=bool(log_scale) and panel.is_loss)
            )
    if runs and not figures:
        return '<div class="hrm-empty">The log is empty; its first line comes after log_steps steps.</div>'
    return f'<div class="hrm-charts">{"".join(figures)}</div>'


def _says_nothing(panel: _Panel, series: Series) -> bool:
    """Whether the series is only zeros because the run does not have this part of training."""
    if panel.training in ("q_halt_loss", "q_continue_loss", "skipped_share", "skipped_steps"):
        return not any(series.points("step")[1])
    return False


def evaluation_choices(runs: list[RunLog]) -> list[tuple[str, str]]:
    """Evaluations of the runs for a menu, newest first: label and value."""
    steps = sorted({evaluation.step for run in runs for evaluation in run.evaluations}, reverse=True)
    return [("the newest of each run", _NEWEST), *((f"step {step:,}", str(step)) for step in steps[:200])]


def evaluation_html(runs: list[RunLog], chosen: str) -> str:
    """Samples and boards of an evaluation of each run."""
    parts = []
    for index, run in enumerate(runs):
        evaluation = _evaluation(run, chosen)
        if evaluation is None:
            continue
        parts.append(
            f'<div class="hrm-c{index}"><h4>{_letter(index)} · {escape(run.name)}, step {evaluation.step:,} '
            f"({evaluation.minutes:.1f} min)</h4>{_samples_html(evaluation)}{_boards_html(evaluation)}</div>"
        )
    if not parts:
        return '<div class="hrm-empty">There is no evaluation yet; the first comes after eval_steps steps.</div>'
    return f'<div class="hrm-eval">{"".join(parts)}</div>'


def _evaluation(run: RunLog, chosen: str) -> Evaluation | None:
    if chosen == _NEWEST:
        return run.evaluations[-1] if run.evaluations else None
    return next((one for one in reversed(run.evaluations) if str(one.step) == chosen), None)


def _samples_html(evaluation: Evaluation) -> str:
    return "".join(
        f'<div class="hrm-sample"><small>prompt</small> {escape(str(sample.get("prompt", ""))[:500])}\n'
        f"<small>continuation</small> {escape(str(sample.get('continuation', ''))[:3000])}</div>"
        for sample in evaluation.samples
    )


def _boards_html(evaluation: Evaluation) -> str:
    if not evaluation.boards:
        if evaluation.samples:
            return ""
        scores = ", ".join(f"{escape(name)} {number(value)}" for name, value in evaluation.scores.items())
        return f'<div class="hrm-sample"><small>No boards or texts in this log. Scores:</small> {scores}</div>'
    return f'<div class="run-boards">{"".join(board_svg(board) for board in evaluation.boards)}</div>'


def recipes_html(runs: list[RunLog]) -> str:
    """The recipe of each run as text, and its result."""
    parts = []
    for index, run in enumerate(runs):
        text = run.recipe
        if run.result is not None:
            text += "\n# result.json\n" + json.dumps(run.result, indent=2)
        parts.append(
            f'<h4>{_letter(index)} · {escape(run.name)}</h4><pre class="hrm-recipe" tabindex="0">{escape(text)}</pre>'
        )
    return "".join(parts)


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _ago(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
