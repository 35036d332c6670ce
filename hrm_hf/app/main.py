"""The whole app: its pages and its server. `hrm-hf app` and spaces_app/app.py start it."""

import threading

import gradio as gr
from starlette.middleware import Middleware

from hrm_hf.app import data_page, models_page, monitor_page, puzzles_page, text_page
from hrm_hf.app.context import AppSettings
from hrm_hf.app.endpoints import add_endpoint, model_slots
from hrm_hf.app.limits import BAD_REQUESTS, MAX_REQUEST_BYTES, MAX_SESSIONS, GuardedBlocks, RequestLimits
from hrm_hf.app.link_preview import LinkPreviews
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.theme import CSS, HEAD, make_theme
from hrm_hf.puzzles.registry import kinds


_PAGES = (
    ("Puzzles", puzzles_page),
    ("Text", text_page),
    ("Models", models_page),
    ("Training", monitor_page),
    ("Data", data_page),
)
_CSS = "".join((CSS, monitor_page.CSS, text_page.CSS, data_page.CSS, models_page.CSS))
_HEAD = """# Hierarchical Reasoning Model

A small recurrent network that keeps thinking until it is sure of its answer.
"""
_API = """Everything on these pages can be called from a program. *Use via API* at the bottom of the page lists all
endpoints with their arguments; this solves a Sudoku:

```python
from gradio_client import Client

client = Client("http://127.0.0.1:7860")  # the address of this page
model = client.predict(api_name="/models")["sudoku"][0]
puzzle = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
result = client.predict(model=model, puzzle=puzzle, api_name="/solve_puzzle")
print(result["answer"], result["solved"], result["reason"])
```

Answers are plain JSON: strings, numbers, lists. Invalid requests return an error of one sentence.
"""


def build_app(settings: AppSettings, shelf: ModelShelf) -> gr.Blocks:
    """The app with all its pages, not yet served.

    Args:
        settings: folders and limits.
        shelf: its models.
    """

    def models() -> dict[str, list[str]]:
        """Names of the available models by purpose: the kinds of puzzles, and "text"."""
        return {kind.name: shelf.grid_models(kind.name) for kind in kinds()} | {"text": shelf.text_models()}

    def describe_model(model: str) -> str:
        """What is known about a model, as Markdown: task, parameters, device, and the beginning of its card.

        Args:
            model: one of `models`.
        """
        return shelf.describe(model)

    with GuardedBlocks(title="Hierarchical Reasoning Model", analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.Markdown(_HEAD, elem_classes="app-head")
        with gr.Tabs():
            for name, page in _PAGES:
                with gr.Tab(name):
                    page.add_page(settings, shelf)
            with gr.Tab("API"):
                gr.Markdown(_API)
                add_endpoint(models, model_slots(settings))
                named = next((name for names in models().values() for name in names), "shipped/sudoku-hard")
                add_endpoint(describe_model, model_slots(settings), model=named)
    # without the open routes, everything that runs a model waits in the queue
    app.queue(max_size=settings.max_queue, default_concurrency_limit=4 * settings.max_concurrency, api_open=False)
    return app


def launch(
    settings: AppSettings, host: str = "127.0.0.1", port: int | None = None, wait: bool = True, quiet: bool = False
) -> gr.Blocks:
    """Build the app and serve it.

    Args:
        settings: where things are and how much is allowed.
        host: address to listen on; `"0.0.0.0"` for all.
        port: by default the first free one from 7860.
        wait: do not return until the server is stopped.
        quiet: do not print the address.
    """
    shelf = ModelShelf(settings)
    app = build_app(settings, shelf)
    app.launch(
        server_name=host,
        server_port=port,
        theme=make_theme(),
        css=_CSS,
        head=HEAD,
        show_error=True,
        quiet=quiet,
        share=False,
        ssr_mode=False,
        allowed_paths=[],
        max_file_size=MAX_REQUEST_BYTES,
        state_session_capacity=MAX_SESSIONS,
        footer_links=["api", "settings"],
        enable_monitoring=False,
        app_kwargs={
            "middleware": [Middleware(RequestLimits), Middleware(LinkPreviews, shelf=shelf)],
            "exception_handlers": BAD_REQUESTS,
        },
        prevent_thread_lock=True,
    )
    threading.Thread(target=warm_up, daemon=True).start()
    if wait:
        app.block_thread()
    return app


def warm_up() -> None:
    """Import and compile what the first visitor would otherwise wait for, once the pages can be opened."""
    import accelerate  # noqa: F401  takes seconds

    for kind in kinds():
        kind.warm_up()
