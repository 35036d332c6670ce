"""Endpoints of the API: functions of plain JSON, callable with gradio_client."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from hrm_hf.app.context import AppSettings, sentences


def model_slots(settings: AppSettings) -> dict[str, Any]:
    """Options of every event that runs a model or makes puzzles: together they take the slots there are, no more."""
    return {"concurrency_limit": settings.max_concurrency, "concurrency_id": "model"}


def add_endpoint(function: Callable, settings: AppSettings) -> None:
    """Add a function as a named endpoint; its errors are sentences.

    Args:
        function: typed and with a docstring, which document the endpoint.
        settings: of the app.
    """

    @wraps(function)
    def answer(*arguments: Any, **named: Any) -> Any:
        with sentences():
            return function(*arguments, **named)

    gr.api(answer, api_name=function.__name__, **model_slots(settings))
