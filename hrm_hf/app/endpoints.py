"""Endpoints of the API: functions of plain JSON, callable with gradio_client, documented by their docstrings."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
from gradio.context import Context

from hrm_hf.app.context import AppSettings, sentences


def model_slots(settings: AppSettings) -> dict[str, Any]:
    """Options of every event that runs a model or makes puzzles: they share the available slots."""
    return {"concurrency_limit": settings.max_concurrency, "concurrency_id": "model"}


def add_endpoint(function: Callable, slots: dict[str, Any], **example: Any) -> None:
    """Add a function as a named endpoint; its errors are sentences.

    Args:
        function: typed and with a docstring, whose `Args` document its arguments.
        slots: options of the event that limit how many run at a time.
        example: values of arguments without a default, for the API documentation.
    """
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def answer(*arguments: Any, **named: Any) -> Any:
            with sentences():
                yield from function(*arguments, **named)

    else:

        @wraps(function)
        def answer(*arguments: Any, **named: Any) -> Any:
            with sentences():
                return function(*arguments, **named)

    gr.api(answer, api_name=function.__name__, **slots)
    texts = argument_texts(function)
    event = list(Context.root_block.fns.values())[-1]
    for component, name in zip(event.inputs, inspect.signature(function).parameters, strict=True):
        # gr.api names them 1st, 2nd, and does not describe them
        component.label = name
        component._api_info = {**component._api_info, "additional_description": texts.get(name, "")}
        if name in example:
            component.example_payload = lambda value=example[name]: value


def argument_texts(function: Callable) -> dict[str, str]:
    """What the docstring of a function says about each argument, by name."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", inspect.getdoc(function) or "", flags=re.MULTILINE)
    texts = {}
    for names, text in re.findall(
        r"^    ([\w, ]+): ((?:.|\n(?=        ))*)", section[1] if section else "", flags=re.MULTILINE
    ):
        for name in names.split(", "):
            texts[name] = " ".join(text.split())
    return texts
