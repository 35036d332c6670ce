"""What other sites show for a link to the app: a title and a picture of the puzzle (Open Graph tags)."""

import html
import io
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode

from anyio import to_thread
from gradio.route_utils import get_root_url
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hrm_hf.app.context import DRAWING, USER_ERRORS
from hrm_hf.app.links import PuzzleLink, link_in
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import MAX_CHARACTERS, one_puzzle
from hrm_hf.puzzles.registry import kinds


if TYPE_CHECKING:
    from processing_hrm import HRMGridProcessor

PICTURE_PATH = "/preview.png"
_TITLE = "Watch a small network think"
_TEXT = "The Hierarchical Reasoning Model solves Sudoku, mazes and ARC step by step in front of you."
_WIDTH, _HEIGHT = 1200, 630  # pixels, the size that sites expect
_DPI = 240
_MAX_PICTURES = 128
# Gradio's page has its own tags, with its own name and no picture
_FOREIGN_TAG = re.compile(r'\s*<meta\s+(?:property="og:|name="twitter:)[^>]*/?>')


class _NoPicture(Exception):
    """No model here is for the puzzle of a link."""


class LinkPreviews:
    """ASGI middleware that draws the picture of a link, and refers to it in the page that the link opens.

    Args:
        app: the app behind it.
        shelf: models for the puzzles of links.
    """

    def __init__(self, app: ASGIApp, shelf: ModelShelf):
        self._app, self._shelf = app, shelf
        # many visitors request the same ones
        self._picture = lru_cache(_MAX_PICTURES)(self._draw)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or scope["method"] != "GET" or path not in ("/", PICTURE_PATH):
            await self._app(scope, receive, send)
            return
        if path == PICTURE_PATH:
            link = _link(scope)
            try:
                picture = await to_thread.run_sync(self._picture, link)
                response = Response(picture, media_type="image/png", headers={"cache-control": "max-age=86400"})
            except _NoPicture:
                response = Response("There is no such puzzle.", 404, media_type="text/plain")
            await response(scope, receive, send)
            return
        await self._app(scope, receive, _WithTags(scope, send))

    def _draw(self, link: PuzzleLink | None) -> bytes:
        """The picture of a link, or of the app, as PNG.

        Raises:
            _NoPicture: if no model here is for the puzzle of the link. An error is not cached, and a model may come.
        """
        for kind in kinds():
            if link is not None and link.kind != kind.name:
                continue
            example = getattr(kind.page(), "example_puzzle", None)
            if link is None and example is None:
                continue
            models = self._shelf.grid_models(kind.name)
            # the model of the link first
            for model in sorted(models, key=lambda name: link is None or name != link.model):
                try:
                    processor = self._shelf.grid_processor(model)
                    line = one_puzzle(example(processor.height) if link is None else link.puzzle, processor)
                except USER_ERRORS:
                    continue  # a puzzle of another size, or a broken model
                with DRAWING:
                    return draw_preview(processor, line)
        raise _NoPicture


class _WithTags:
    """Sends a page with the Open Graph tags of the requested link.

    Args:
        scope: of the request.
        send: of the server.
    """

    def __init__(self, scope: Scope, send: Send):
        self._scope, self._send = scope, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Hold the page back until it is complete."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = {name.lower(): value for name, value in self._start["headers"]}
        if headers.get(b"content-type", b"").startswith(b"text/html") and b"content-encoding" not in headers:
            self._body = with_tags(self._body.decode(), _address(self._scope), _link(self._scope)).encode()
            headers[b"content-length"] = str(len(self._body)).encode()
        # each cookie has its own header
        cookies = [(name, value) for name, value in self._start["headers"] if name.lower() == b"set-cookie"]
        headers.pop(b"set-cookie", None)
        await self._send(self._start | {"headers": [*headers.items(), *cookies]})
        await self._send({"type": "http.response.body", "body": self._body})


def with_tags(page: str, address: str, link: PuzzleLink | None) -> str:
    """A page of Gradio with its tags replaced by those of the app.

    Args:
        page: as HTML.
        address: public address of the app: a picture needs a full address.
        link: the requested link.
    """
    puzzle = {} if link is None else {"kind": link.kind, "puzzle": link.puzzle, "model": link.model}
    picture = f"{address}{PICTURE_PATH}" + (f"?{urlencode(puzzle, quote_via=quote)}" if puzzle else "")
    tags = {
        "og:type": "website",
        "og:title": _TITLE,
        "og:description": _TEXT,
        "og:image": picture,
        "og:image:width": str(_WIDTH),
        "og:image:height": str(_HEIGHT),
        "og:image:alt": "A puzzle for the Hierarchical Reasoning Model",
        "twitter:card": "summary_large_image",
    }
    lines = [f'<meta {_naming(name)}="{name}" content="{html.escape(text)}">' for name, text in tags.items()]
    lines.append(f'<meta name="description" content="{html.escape(_TEXT)}">')
    before, head, after = _FOREIGN_TAG.sub("", page).partition("<head>")
    return before + head + "".join(f"\n\t\t{line}" for line in lines) + after


def draw_preview(processor: "HRMGridProcessor", line: str) -> bytes:
    """The picture of a puzzle as PNG, 1200 by 630 pixels.

    Args:
        processor: of a model for the puzzle.
        line: the puzzle.
    """
    from matplotlib.figure import Figure

    from hrm_hf.drawing import draw_board
    from hrm_hf.puzzles.registry import kind_of

    # as small as other figures of boards, so that their digits fill the cells
    figure = Figure(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, facecolor="white")
    # a square on the left for the board, the words next to it
    draw_board(figure.add_axes((0.03, 0.05, 0.9 * _HEIGHT / _WIDTH, 0.9)), processor, processor(line)["input_ids"][0])
    described = kind_of(processor).described(f"{processor.height}x{processor.width}")
    figure.text(0.54, 0.66, _TITLE.replace("network", "\nnetwork"), fontsize=16, weight="bold", color="#1f2937")
    figure.text(0.54, 0.53, f"{described[0].upper()}{described[1:]}, step by step", fontsize=9, color="#475569")
    figure.text(0.54, 0.08, "Hierarchical Reasoning Model", fontsize=8, color="#0f62b5")
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _naming(tag: str) -> str:
    return "name" if tag.startswith("twitter:") else "property"


def _address(scope: Scope) -> str:
    """Address of the app as seen by its visitor, also through a proxy; without a trailing slash."""
    return get_root_url(Request(scope), "/", None).rstrip("/")


def _link(scope: Scope) -> PuzzleLink | None:
    """The requested link, if it holds a puzzle of a possible length."""
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    link = link_in({name: values[-1] for name, values in asked.items()})
    if link is None or not 0 < len(link.puzzle) <= MAX_CHARACTERS:
        return None
    # the picture shows only the puzzle
    return replace(link, step=0)
