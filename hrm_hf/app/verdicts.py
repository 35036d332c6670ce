"""Errors of events as sentences that replace the verdict and stay until the board changes."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from hrm_hf.app.context import USER_ERRORS, sentence_of


def said(error: Exception) -> str:
    """An error that the library writes for its user, as Markdown; it may quote the user's input."""
    return "**Not possible.** " + re.sub(r"([\\\\`*_\[\]#|!~])", r"\\\1", sentence_of(error))


def with_verdict(function: Callable, others: int = 0) -> Callable:
    """An event that returns a board and a verdict; an error leaves the board unchanged and becomes the verdict.

    Args:
        function: of the event.
        others: other outputs, which an error leaves unchanged as well.
    """

    @wraps(function)
    def answer(*arguments: Any, **named: Any) -> tuple[Any, ...]:
        try:
            return function(*arguments, **named)
        except USER_ERRORS as error:
            return gr.skip(), said(error), *[gr.skip()] * others

    return answer
