"""The page of puzzles, with a tab for each kind that has a page, and their API endpoints."""

import gradio as gr
from gradio.context import Context

from hrm_hf.app.context import AppSettings
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.explanation import EXPLANATION
from hrm_hf.app.links import link_of
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import PuzzleDesk
from hrm_hf.puzzles.registry import kinds


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    pages = {kind.name: (kind.title, page) for kind in kinds() if (page := kind.page()) is not None}

    def open_tab(request: gr.Request) -> gr.Tabs:
        """The tab for the puzzle of a link."""
        link = link_of(request)
        return gr.Tabs(selected=link.kind) if link is not None and link.kind in pages else gr.skip()

    with gr.Tabs() as tabs:
        for name, (title, page) in pages.items():
            with gr.Tab(title, id=name):
                page.add_page(settings, shelf)
    Context.root_block.load(open_tab, None, tabs, api_visibility="private", show_progress="hidden", queue=False)
    gr.HTML(EXPLANATION, elem_id="explanation")
    add_endpoint(PuzzleDesk(settings, shelf).solve_puzzle, model_slots(settings), **_example(shelf))


def _example(shelf: ModelShelf) -> dict[str, str]:
    """A model and a puzzle for it, for the API documentation; nothing without models."""
    for kind in kinds():
        example = getattr(kind.page(), "example_puzzle", None)
        for model in shelf.grid_models(kind.name) if example else ():
            return {"model": model, "puzzle": example(shelf.grid_processor(model).height)}
    return {}
