"""The page that shows data sets: rows by source and rating, input and label as pictures, and statistics."""

import base64
import math
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from hrm_hf.app.charts import bar_chart, category_chart, histogram
from hrm_hf.app.context import AppSettings, sentences
from hrm_hf.app.data_sets import DataShelf, OpenSplit
from hrm_hf.app.endpoints import add_endpoint
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.others_files import card_html
from hrm_hf.app.page_events import when_looked_at
from hrm_hf.data.row_filter import RowFilter


_MAX_SOURCES = 200
_MAX_TEXT = 4000
_MAX_ROWS = 20  # of one API response

# the CSS of the monitor styles the charts
CSS = """
.data-rows { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(148px, 1fr)); }
.data-rows.data-wide { grid-template-columns: 1fr; }
.data-row { margin: 0; min-width: 0; color: var(--body-text-color); }
.data-row figcaption { font-size: 13px; line-height: 1.5; color: var(--body-text-color-subdued);
  overflow-wrap: anywhere; margin-bottom: 4px; }
.data-row div { overflow-x: auto; }
.data-row img { display: block; width: 100%; max-width: 320px; border-radius: 8px; background: #fff; }
.data-wide .data-row img { width: auto; max-width: none; height: 340px; }
.data-row pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13.5px; line-height: 1.5; margin: 0;
  padding: 10px 12px; border: 1px solid var(--border-color-primary); border-radius: 8px; max-height: 340px;
  overflow-y: auto; color: var(--body-text-color); background: var(--background-fill-primary); }
.data-count { color: var(--body-text-color); font-size: 14px; line-height: 1.6; }
.data-pages { align-items: flex-end; }
.data-pages button { height: 42px; font-weight: 500; margin-bottom: 10px; }
.data-empty { border: 1px dashed var(--border-color-primary); border-radius: 10px; padding: 18px; line-height: 1.6;
  color: var(--body-text-color); }
"""

_EMPTY = (
    "There are no data sets yet. Build one, for instance "
    "<code>python dataset_scripts/build_sudoku.py data/sudoku-9x9 --num-train 9000 --num-test 1000</code>; it appears "
    "here when the page is opened again."
)


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the Blocks being built.

    Args:
        settings: where the data sets are.
        shelf: not needed here; every page takes it.
    """
    data = DataShelf(settings.data_root)
    slots = {"concurrency_id": "data", "concurrency_limit": settings.max_concurrency}

    # --- endpoints

    def data_sets() -> list[dict]:
        """Data sets with their subsets and splits; if one cannot be opened, `error` says why."""
        found = []
        for name in data.names():
            try:
                found.append({"name": name, "subsets": data.splits(name)})
            except (ValueError, OSError) as error:
                found.append({"name": name, "subsets": {}, "error": str(error)})
        return found

    def data_rows(
        dataset: str,
        subset: str = "default",
        split: str = "train",
        sources: list[str] | None = None,
        lowest_rating: float | None = None,
        highest_rating: float | None = None,
        first: int = 0,
        count: int = 5,
        member: int = 0,
    ) -> dict:
        """Rows of a split by source and rating: {"num_rows", "num_matching", "rows"}.

        Args:
            dataset: one of `data_sets`.
            subset: one of its subsets.
            split: one of the splits of the subset.
            sources: sources to show; by default all.
            lowest_rating, highest_rating: bounds of the rating; by default none.
            first: index of the first row among the matching ones, from 0.
            count: number of rows.
            member: number of the augmentation of an ARC task; 0 is the task itself.
        """
        opened = data.open(dataset, subset, split)
        rows = matching_rows(opened, sources, lowest_rating, highest_rating)
        begin = max(0, _whole("first", first))
        some = rows[begin : begin + min(max(0, _whole("count", count)), _MAX_ROWS)].tolist()
        member = _whole("member", member)
        return {
            "num_rows": opened.num_rows,
            "num_matching": len(rows),
            "rows": [{"row": row} | opened.content(row, _member(opened, row, member)) for row in some],
        }

    def data_picture(dataset: str, subset: str, split: str, row: int, member: int = 0) -> str:
        """Input and label of a row as a PNG in base64; text has none.

        Args:
            dataset: one of `data_sets`.
            subset: one of its subsets.
            split: one of the splits of the subset.
            row: number of the row, from 0.
            member: number of the augmentation of an ARC task; 0 is the task itself.
        """
        opened = data.open(dataset, subset, split)
        row = _row(opened, _whole("row", row))
        return base64.b64encode(opened.picture(row, _member(opened, row, _whole("member", member)))).decode()

    def data_statistics(
        dataset: str,
        subset: str = "default",
        split: str = "train",
        sources: list[str] | None = None,
        lowest_rating: float | None = None,
        highest_rating: float | None = None,
    ) -> dict:
        """Counts of the matching rows by source, rating and so on: a list of [label, rows] for each.

        Args:
            dataset: one of `data_sets`.
            subset: one of its subsets.
            split: one of the splits of the subset.
            sources: sources to count; by default all.
            lowest_rating, highest_rating: bounds of the rating; by default none.
        """
        opened = data.open(dataset, subset, split)
        rows = matching_rows(opened, sources, lowest_rating, highest_rating)
        return {name: [list(bar) for bar in bars] for name, bars in statistics(opened, rows).items()}

    for function in (data_sets, data_rows, data_picture, data_statistics):
        add_endpoint(
            function, slots, dataset=next(iter(data.names()), "sudoku-9x9"), subset="default", split="test", row=0
        )

    # --- what the page shows

    def show(dataset, subset, split, sources, lowest, highest, page, member):
        """Rows of a page, and its number."""
        if not dataset:
            return f'<div class="data-empty">{_EMPTY}</div>', 1
        with sentences():
            opened = data.open(dataset, subset, split)
            rows = matching_rows(opened, sources, lowest, highest)
            return page_html(opened, rows, page, member)

    def show_filtered(dataset, subset, split, sources, lowest, highest, member):
        """The first page of other rows, and their statistics."""
        html, page = show(dataset, subset, split, sources, lowest, highest, 1, member)
        if not dataset:
            return html, page, ""
        opened = data.open(dataset, subset, split)
        return html, page, statistics_html(opened, matching_rows(opened, sources, lowest, highest))

    def turn(step):
        def show_turned(dataset, subset, split, sources, lowest, highest, page, member):
            return show(dataset, subset, split, sources, lowest, highest, _page(page) + step, member)

        return show_turned

    def choose_split(dataset, subset, split):
        """Everything for another split: its filters, first page and statistics."""
        if not dataset:
            return [gr.skip()] * 5 + [f'<div class="data-empty">{_EMPTY}</div>', 1, ""]
        with sentences():
            opened = data.open(dataset, subset, split)
            known = opened.columns
            sources = [] if "source" not in known else sorted(set(known["source"].tolist()))[:_MAX_SOURCES]
            rated = "rating" in known
            html, page, counts = show_filtered(dataset, subset, split, [], None, None, 0)
            return [
                gr.update(choices=sources, value=[], visible=len(sources) > 1),
                gr.update(value=None, visible=rated, placeholder=str(known["rating"].min()) if rated else None),
                gr.update(value=None, visible=rated, placeholder=str(known["rating"].max()) if rated else None),
                gr.update(value=0, visible=opened.num_members(0) > 1),
                f"**{dataset}**, {opened.kind}: {opened.num_rows:,} rows in the split {split}.",
                html,
                page,
                counts,
            ]

    def choose_subset(dataset, subset):
        with sentences():
            splits = data.splits(dataset)
            subset = subset if subset in splits else next(iter(splits))
        return [
            gr.update(choices=splits[subset], value=splits[subset][0]),
            *choose_split(dataset, subset, splits[subset][0]),
        ]

    def choose_dataset(dataset):
        if not dataset:
            return [gr.skip()] * 3 + choose_split(None, None, None)
        with sentences():
            splits = data.splits(dataset)
            # the training rows say more about a data set than the list of its parts
            subset = "plans" if "plans" in splits else next(iter(splits))
            card = card_html(data.card(dataset))
        return [
            card,
            gr.update(choices=list(splits), value=subset, visible=len(splits) > 1),
            *choose_subset(dataset, subset),
        ]

    def look(dataset, is_open):
        """The page at first sight."""
        if is_open and dataset:
            return [gr.skip()] * 13
        names = data.names()
        dataset = dataset if dataset in names else data.quickest()
        return [gr.update(choices=names, value=dataset), bool(dataset), *choose_dataset(dataset)]

    names = data.names()
    gr.Markdown("Data sets of `dataset_scripts/`: inputs, expected outputs and statistics.")
    with gr.Row(elem_classes="hrm-controls"):
        dataset_menu = gr.Dropdown(names, value=data.quickest(), label="Data set", scale=2, elem_id="data-set")
        subset_menu = gr.Dropdown([], label="Subset", scale=1, visible=False, elem_id="data-subset")
        split_menu = gr.Dropdown([], label="Split", scale=1, elem_id="data-split")
    with gr.Row(elem_classes="hrm-controls"):
        source_menu = gr.Dropdown([], multiselect=True, label="Sources (none: all)", visible=False, scale=2)
        lowest = gr.Number(label="Rating from", visible=False, min_width=110)
        highest = gr.Number(label="Rating to", visible=False, min_width=110)
    facts = gr.Markdown()
    with gr.Row(elem_classes=["hrm-controls", "data-pages"]):
        back = gr.Button("← Back", min_width=90, elem_id="data-back")
        page = gr.Number(1, precision=0, minimum=1, label="Page", min_width=90, elem_id="data-page")
        onward = gr.Button("Next →", min_width=90, elem_id="data-next")
        member = gr.Number(
            0,
            precision=0,
            minimum=0,
            label="Augmentation (0: none)",
            visible=False,
            min_width=130,
            elem_id="data-member",
        )
    rows_html = gr.HTML("" if names else f'<div class="data-empty">{_EMPTY}</div>', elem_id="data-rows")
    with gr.Accordion("Statistics of these rows", open=True):
        counts = gr.HTML(elem_id="data-counts")
    with gr.Accordion("Card", open=False):
        card = gr.Markdown(elem_classes="card")

    is_open = gr.State(False)
    place = [dataset_menu, subset_menu, split_menu]
    filters = [source_menu, lowest, highest]
    of_split = [*filters, member, facts, rows_html, page, counts]
    of_dataset = [card, subset_menu, split_menu, *of_split]
    private = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": [facts], **slots}
    when_looked_at(look, [dataset_menu, is_open], [dataset_menu, is_open, *of_dataset], **private)
    dataset_menu.input(choose_dataset, dataset_menu, of_dataset, **private)
    subset_menu.input(choose_subset, [dataset_menu, subset_menu], [split_menu, *of_split], **private)
    split_menu.input(choose_split, place, of_split, **private)
    gr.on(
        [source_menu.input, lowest.submit, lowest.blur, highest.submit, highest.blur],
        show_filtered,
        [*place, *filters, member],
        [rows_html, page, counts],
        trigger_mode="always_last",
        **private,
    )
    shown = [*place, *filters, page, member]
    back.click(turn(-1), shown, [rows_html, page], **private)
    onward.click(turn(1), shown, [rows_html, page], **private)
    # a number is left alone while it is being typed, and corrected when the reader leaves the field
    gr.on(
        [page.input, member.input],
        lambda *chosen: show(*chosen)[0],
        shown,
        rows_html,
        trigger_mode="always_last",
        **private,
    )
    page.blur(lambda *chosen: show(*chosen)[1], shown, page, **private)


# --- input


def matching_rows(opened: OpenSplit, sources: Any, lowest: Any, highest: Any) -> np.ndarray:
    """Numbers of the rows of a split by source and range of ratings, as sent by a page.

    Raises:
        ValueError: for an empty range, or a column that the rows do not have.
    """
    sources = [sources] if isinstance(sources, str) else sources or []
    if not isinstance(sources, list) or len(sources) > _MAX_SOURCES:
        raise ValueError(f"The sources must be a list of at most {_MAX_SOURCES} names.")
    bounds = [None if bound is None or bound == "" else _finite("rating", bound) for bound in (lowest, highest)]
    return RowFilter([str(source) for source in sources], *bounds).rows(opened.columns, opened.num_rows)


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a number.")
    return value


def _whole(name: str, value: Any) -> int:
    return int(_finite(name, value))


def _page(page: Any) -> int:
    return int(page) if isinstance(page, int | float) and math.isfinite(page) else 1


def _row(opened: OpenSplit, row: int) -> int:
    if not 0 <= row < opened.num_rows:
        raise ValueError(f"There is no row {row}; the split has the rows 0 to {opened.num_rows - 1:,}.")
    return row


def _member(opened: OpenSplit, row: int, member: int) -> int:
    """An existing form of a row."""
    if not 0 <= member < opened.num_members(row):
        raise ValueError(
            f"There is no augmentation {member} of row {row}; the last one is {opened.num_members(row) - 1:,}."
        )
    return member


# --- output


def page_html(opened: OpenSplit, rows: np.ndarray, page: Any, member: Any) -> tuple[str, int]:
    """The rows of a page, and its number, which is always that of an existing page.

    Args:
        opened: the split.
        rows: numbers of the matching rows, in order.
        page: from 1.
        member: for ARC, which augmentation; the last one, if it is beyond that.
    """
    size = opened.rows_per_page
    pages = max(1, math.ceil(len(rows) / size))
    page = min(max(_page(page), 1), pages)
    if len(rows) == 0:
        return '<div class="data-empty">No row matches; choose other sources, or widen the range of ratings.</div>', 1
    some = rows[(page - 1) * size : page * size].tolist()
    figures = []
    for row in some:
        form = min(max(_page(member) if member is not None else 0, 0), opened.num_members(row) - 1)
        caption = opened.caption(row)
        if opened.num_members(row) > 1:
            caption += f"; form {form:,} of 0 to {opened.num_members(row) - 1:,}"
        figures.append(
            f'<figure class="data-row"><figcaption>{escape(caption)}</figcaption>'
            f"{_row_html(opened, row, form)}</figure>"
        )
    wide = " data-wide" if size < 4 else ""
    of = "all rows" if len(rows) == opened.num_rows else f"{len(rows):,} of {opened.num_rows:,} rows match"
    note = f'<p class="data-count">Page {page:,} of {pages:,}; {of}.</p>'
    return f'{note}<div class="data-rows{wide}">{"".join(figures)}</div>', page


def _row_html(opened: OpenSplit, row: int, member: int) -> str:
    content = opened.content(row, member)
    if "text" in content:
        text = content["text"]
        cut = f"<p>The first {_MAX_TEXT:,} of {len(text):,} characters.</p>"
        rest = cut if len(text) > _MAX_TEXT else ""
        return f'<pre tabindex="0">{escape(text[:_MAX_TEXT])}</pre>{rest}'
    picture = base64.b64encode(opened.picture(row, member)).decode()
    alternative = escape(opened.alternative(row, member))
    return f'<div tabindex="0"><img src="data:image/png;base64,{picture}" alt="{alternative}"></div>'


def statistics(opened: OpenSplit, rows: np.ndarray) -> dict[str, list[tuple[str, float]]]:
    """Statistics of the rows: bars for each column."""
    bars = {}
    for name, values in opened.columns.items():
        chosen = values[rows]
        if name != "source":
            bars[name] = histogram(chosen)
            continue
        names, numbers = np.unique(chosen, return_counts=True)
        most = np.argsort(-numbers, kind="stable")[:30]
        bars[name] = [(str(names[index]), float(numbers[index])) for index in most]
    return bars


def statistics_html(opened: OpenSplit, rows: np.ndarray) -> str:
    """Charts of the statistics of the rows."""
    titles = {"steps": "length of the path", "clues": "clues of a puzzle"}
    figures = []
    for name, bars in statistics(opened, rows).items():
        note = f"{len(rows):,} rows"
        if name != "source" and len(rows):
            values = opened.columns[name][rows]
            note += f", from {values.min():,} to {values.max():,}, mean {values.mean():,.1f}"
        draw = category_chart if name == "source" else bar_chart
        figures.append(draw(f"Rows by {titles.get(name, name)}", bars, note))
    return f'<div class="hrm-charts">{"".join(figures)}</div>'
