"""What the server refuses: requests that are too large, uploads, which no page needs, and calls of unknown events."""

from typing import Any

import gradio as gr
from gradio.route_utils import FnIndexInferError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hrm_hf.app.fair_queue import FairQueue


MAX_REQUEST_BYTES = 1_000_000
# sessions whose texts and results are kept; beyond that, the least recent are dropped, and all after an hour
MAX_SESSIONS = 100
SESSION_SECONDS = 3600
# maximum number of cells of a request, counted for each segment and copy: 16 segments on 8 copies of a 30x30 maze are
# 115,200, and the time limit stops them if they take too long
MAX_CELLS_THOUGHT = 130_000


def check_cost(max_segments: int, copies: int, cells: int) -> None:
    """Refuse requests that would keep other visitors waiting.

    Args:
        max_segments: requested segments.
        copies: requested copies.
        cells: of a board.

    Raises:
        ValueError: if they are too many together.
    """
    cost = max_segments * copies * cells
    if cost > MAX_CELLS_THOUGHT:
        raise ValueError(
            f"{max_segments} segments on {copies} copies of {cells} cells are too much for one request "
            f"({cost:,} cells; the maximum is {MAX_CELLS_THOUGHT:,}); ask for fewer segments or copies."
        )


class RequestLimits:
    """ASGI middleware.

    Args:
        app: the app behind it.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)


def _refusal(scope: Scope) -> PlainTextResponse | None:
    if scope["path"].rstrip("/").endswith("/upload"):
        return PlainTextResponse("This app does not accept files.", 403)
    headers = dict(scope["headers"])
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:  # its length is unknown until it is read
        return PlainTextResponse("Send the request with its length.", 411)
    if length is not None and not (length.isdigit() and int(length) <= MAX_REQUEST_BYTES):
        return PlainTextResponse(f"A request has at most {MAX_REQUEST_BYTES:,} bytes.", 413)
    return None


def _refuse_call(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse(f"This request names something that does not exist: {error}"[:500], 400)


# by exception, as for FastAPI: what Gradio raises for an unknown endpoint or component, which would otherwise count as
# a server error and fill a page of its log
BAD_REQUESTS = {FnIndexInferError: _refuse_call, ValueError: _refuse_call, KeyError: _refuse_call}


class GuardedBlocks(gr.Blocks):
    """`gr.Blocks` for the internet: visitors take turns, and inputs that no page sends are an error of the caller: a
    sentence, nothing in the log.
    """

    def queue(self, *arguments: Any, **named: Any) -> gr.Blocks:
        """As `gr.Blocks.queue`, with a [`FairQueue`]."""
        super().queue(*arguments, **named)
        # Gradio has no option for the class of its queue
        self._queue.__class__ = FairQueue
        return self

    def validate_inputs(self, *arguments: Any, **named: Any) -> None:
        """Raise a `gr.Error` if there are too few inputs."""
        try:
            super().validate_inputs(*arguments, **named)
        except ValueError as error:
            raise gr.Error(str(error).partition("\n")[0], print_exception=False) from error

    async def preprocess_data(self, *arguments: Any, **named: Any) -> Any:
        """The inputs as passed to functions; a `gr.Error` if a component cannot read its own."""
        try:
            return await super().preprocess_data(*arguments, **named)
        except gr.Error:
            raise
        except Exception as error:
            reason = f"An input cannot be read ({type(error).__name__}); see the API documentation."
            raise gr.Error(reason, print_exception=False) from error
