"""The page of puzzles, with a tab for each kind that has a page of its own, and the endpoints of the API for them."""

import gradio as gr

from hrm_hf.app.context import AppSettings
from hrm_hf.app.endpoints import add_endpoint
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import PuzzleDesk
from hrm_hf.puzzles.registry import kinds


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    with gr.Tabs():
        for kind in kinds():
            page = kind.page()
            if page is not None:
                with gr.Tab(kind.title):
                    page.add_page(settings, shelf)
    add_endpoint(PuzzleDesk(settings, shelf).solve_puzzle, settings)
