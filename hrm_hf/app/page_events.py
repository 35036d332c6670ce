"""Events of whole pages."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr


def when_looked_at(function: Callable, inputs: Any, outputs: Any, **options: Any) -> None:
    """Call a function when the page being built is selected, rather than when the app is opened.

    A page may need seconds for imports and loading; those who never view it do not wait.
    """
    tab = gr.context.Context.block
    if isinstance(tab, gr.Tab):
        tab.select(function, inputs, outputs, **options)
    else:
        gr.context.Context.root_block.load(function, inputs, outputs, **options)


def open_unless(function: Callable, inputs: Any, outputs: Any, acts: Sequence[Callable], **options: Any) -> None:
    """Call a function when the app is opened; its result is dropped if the reader has acted in the meantime.

    Args:
        function, inputs, outputs, options: of the event.
        acts: reader events that change the same outputs.
    """
    opened = gr.context.Context.root_block.load(function, inputs, outputs, **options)
    gr.on(list(acts), None, None, None, cancels=[opened], api_visibility="private", show_progress="hidden")
