"""What the server refuses: requests that are too large, uploads, which no page needs, and calls that name no event."""

from gradio.route_utils import FnIndexInferError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


MAX_REQUEST_BYTES = 1_000_000


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
    return PlainTextResponse(str(error)[:500], 400)


# by exception, as FastAPI takes them: what Gradio raises for an unknown endpoint or a wrong number of inputs, which
# would count as an error of the server
BAD_REQUESTS = {FnIndexInferError: _refuse_call, ValueError: _refuse_call}
