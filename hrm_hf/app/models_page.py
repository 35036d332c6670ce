"""The page of models: all that are available, their purpose, and the results on their cards."""

import html
from collections.abc import Sequence
from urllib.parse import quote, urlencode

import gradio as gr

from hrm_hf.app.context import AppSettings
from hrm_hf.app.models import ModelFacts, ModelShelf
from hrm_hf.app.page_events import when_looked_at
from hrm_hf.puzzles.registry import kinds


CSS = """
.models table { width: 100%; border-collapse: collapse; margin-top: 12px; border: none !important; }
.models :is(th, td) { padding: 8px 16px 8px 0 !important; text-align: left; vertical-align: top; }
.models :is(th, td) { border: none !important; }
.models tr { border: none !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.models :is(th, td):nth-child(3) { text-align: right; font-variant-numeric: tabular-nums; }
.models a { text-decoration: underline; white-space: nowrap; }
@media (max-width: 640px) {
    .models :is(table, tbody, tr, td) { display: block; }
    .models thead { display: none; }
    .models td { padding: 0 !important; }
    .models td:nth-child(1) { font-weight: 600; }
    .models td:nth-child(3) { text-align: left; }
    .models td:nth-child(3):not(:empty)::after { content: " parameters"; }
    .models tr { padding: 10px 0 !important; }
}
"""
_MAX_ROWS = 200
_ABOUT = """<p>Results are from the models' cards, each on its own test data; “Try it” opens a model with a puzzle.
Your own model appears here when its folder is under the models folder: <code>make demo</code> trains one in a few
minutes, and <code>hrm-hf train RECIPE</code> trains any other.</p>"""


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    table = gr.HTML(_ABOUT, elem_classes="models", elem_id="models")
    # reads the files of all models; a training run may have ended since the start
    when_looked_at(lambda: models_html(shelf.facts()), None, table, api_visibility="private", show_progress="hidden")


def models_html(models: Sequence[ModelFacts]) -> str:
    """A table of models as HTML."""
    heads = "".join(f"<th>{head}</th>" for head in ("Model", "For", "Parameters", "Result"))
    rows = "".join(map(_row, models[:_MAX_ROWS]))
    more = f"<p>There are {len(models) - _MAX_ROWS} more.</p>" if len(models) > _MAX_ROWS else ""
    return f"{_ABOUT}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(model: ModelFacts) -> str:
    """A model as a row, which says so if its files are damaged."""
    kind = next((kind for kind in kinds() if kind.name == model.kind), None)
    name = html.escape(model.name)
    # kinds without a page are solved by the API and the command
    if kind is not None and kind.page() is not None and not model.fault:
        link = "?" + urlencode({"kind": kind.name, "model": model.name}, quote_via=quote)
        name += f' <a href="{html.escape(link)}">Try it</a>'
    parameters = "" if model.num_parameters is None else f"{model.num_parameters:,}"
    results = model.fault or "; ".join(model.results) or "none in its card"
    cells = [name, *map(html.escape, (model.purpose, parameters, results))]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
