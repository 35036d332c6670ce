"""Events of whole pages."""

from collections.abc import Callable
from typing import Any

import gradio as gr


def when_looked_at(function: Callable, inputs: Any, outputs: Any, **options: Any) -> None:
    """Call a function when the page that is being built is chosen, rather than when the app is opened.

    What a page needs at first may take seconds to import and to load; those who never look at it do not wait.
    """
    tab = gr.context.Context.block
    if isinstance(tab, gr.Tab):
        tab.select(function, inputs, outputs, **options)
    else:
        gr.context.Context.root_block.load(function, inputs, outputs, **options)
