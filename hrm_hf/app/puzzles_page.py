"""The page of puzzles: Sudoku, mazes and ARC, and the endpoints of the API for them."""

import gradio as gr

from hrm_hf.app import arc_page, maze_page, sudoku_page
from hrm_hf.app.context import AppSettings
from hrm_hf.app.endpoints import add_endpoint
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import PuzzleDesk


def add_page(settings: AppSettings, shelf: ModelShelf) -> None:
    """Add the page to the tab that is open."""
    desk = PuzzleDesk(settings, shelf)
    with gr.Tabs():
        with gr.Tab("Sudoku"):
            sudoku_page.add_page(settings, shelf, desk)
        with gr.Tab("Maze"):
            maze_page.add_page(settings, shelf, desk)
        with gr.Tab("ARC"):
            arc_page.add_page(settings, shelf)
    add_endpoint(desk.solve_puzzle, settings)
