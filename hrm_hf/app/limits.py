"""What the server refuses: requests that are too large, uploads, which no page needs, and calls that name no event."""

from typing import Any

import gradio as gr
from gradio.route_utils import FnIndexInferError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


MAX_REQUEST_BYTES = 1_000_000
# whose texts and results are kept; of more, those that were longest away are forgotten, and of all after an hour
MAX_SESSIONS = 200
SESSION_SECONDS = 3600
# cells that a request may have a model think about, those of a board counted for each segment and copy: 16 segments on
# 8 copies of a 30x30 maze are 115,200, and are stopped by the time limit where they take too long
MAX_CELLS_THOUGHT = 130_000


def check_cost(max_segments: int, copies: int, cells: int) -> None:
    """Refuse what would keep other visitors waiting.

    Args:
        max_segments: segments that are asked for.
        copies: copies that are asked for.
        cells: of a board.

    Raises:
        ValueError: if these are too many together.
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
        app: what is behind it.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        refusal = _refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)


def _refusal(scope: Scope) -> PlainTextResponse | None:
    if scope["path"].rstrip("/").endswith("/upload"):
        return PlainTextResponse("This app takes no files.", 403)
    headers = dict(scope["headers"])
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:  # its length is not known before it is read
        return PlainTextResponse("Send the length of the request.", 411)
    if length is not None and not (length.isdigit() and int(length) <= MAX_REQUEST_BYTES):
        return PlainTextResponse(f"A request has at most {MAX_REQUEST_BYTES:,} bytes.", 413)
    return None


def _refuse_call(request: Request, error: Exception) -> PlainTextResponse:
    return PlainTextResponse(f"This request names nothing that is here: {error}"[:500], 400)


# by exception, as FastAPI takes them: what Gradio raises for an unknown endpoint or component, which would count as an
# error of the server and write a page into its log
BAD_REQUESTS = {FnIndexInferError: _refuse_call, ValueError: _refuse_call, KeyError: _refuse_call}


class CheckedBlocks(gr.Blocks):
    """`gr.Blocks` to which inputs that no page sends are an error of the caller: a sentence, nothing in the log."""

    def validate_inputs(self, *arguments: Any, **named: Any) -> None:
        """Raise a `gr.Error` if there are too few inputs."""
        try:
            super().validate_inputs(*arguments, **named)
        except ValueError as error:
            raise gr.Error(str(error).partition("\n")[0], print_exception=False) from error

    async def preprocess_data(self, *arguments: Any, **named: Any) -> Any:
        """The inputs as functions take them; a `gr.Error` if a component cannot read its own."""
        try:
            return await super().preprocess_data(*arguments, **named)
        except gr.Error:
            raise
        except Exception as error:
            reason = f"An input cannot be read ({type(error).__name__}); see the documentation of the API."
            raise gr.Error(reason, print_exception=False) from error
