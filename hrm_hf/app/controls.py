"""Controls on several pages: the model picker, and how much a model should think."""

from collections.abc import Callable

import gradio as gr
from gradio.context import Context

from hrm_hf.app.context import sentences
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.others_files import card_html
from hrm_hf.app.solving import MAX_SEGMENTS


def model_picker(shelf: ModelShelf, names: Callable[[], list[str]], missing: str) -> gr.Dropdown:
    """The list of models, refreshed whenever the page is opened, and what is known about the selected one.

    Args:
        shelf: of the app.
        names: the models of this page, the default first.
        missing: a sentence for a page without models.
    """
    found = names()

    def describe(name: str | None) -> str:
        with sentences():
            return card_html(shelf.describe(name)) if name else missing

    def refresh(chosen: str | None) -> gr.Dropdown:
        now = names()
        return gr.Dropdown(choices=now, value=chosen if chosen in now else next(iter(now), None))

    dropdown = gr.Dropdown(found, value=next(iter(found), None), label="Model", info=None if found else missing)
    with gr.Accordion("About this model", open=False):
        card = gr.Markdown(describe(next(iter(found), None)), elem_classes="card")
    dropdown.change(describe, dropdown, card, api_visibility="private", show_progress="hidden")
    Context.root_block.load(refresh, dropdown, dropdown, api_visibility="private", show_progress="hidden")
    return dropdown


def thinking_controls(max_copies: int, copies_info: str) -> tuple[gr.Slider, gr.Slider, gr.Checkbox]:
    """Segments, symmetric copies and early stopping, collapsed.

    Args:
        max_copies: maximum number of symmetric copies of a puzzle.
        copies_info: what copies are for.
    """
    with gr.Accordion("How much to think", open=False):
        segments = gr.Slider(1, MAX_SEGMENTS, 16, step=1, label="Maximum segments")
        early_stop = gr.Checkbox(True, label="Stop when the model is sure")
        copies = gr.Slider(1, max_copies, min(8, max_copies), step=1, label="Maximum copies", info=copies_info)
    return segments, copies, early_stop
