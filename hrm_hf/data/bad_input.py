"""Bad rows, tasks and files in external data: stop at the first, or leave them out and count them in the card."""

from typing import Annotated, Literal

import typer


OnError = Literal["stop", "skip"]
OnErrorOption = Annotated[
    OnError, typer.Option(help="What to do with a bad row, task or file: stop, or skip and count it.")
]


def stop_or_note(error: ValueError, on_error: OnError, errors: list[str]):
    """Raise an error that also says what to do, or note that the input is left out.

    Args:
        error: says where the input is bad and what is expected.
        on_error: `"stop"` raises, `"skip"` notes.
        errors: the notes.
    """
    if on_error == "stop":
        raise ValueError(f"{error} Fix it, or leave it out with --on-error skip.") from error
    errors.append(str(error))


def left_out_lines(number: int, what: str) -> list[str]:
    """Lines of a card about what was left out, if anything.

    Args:
        number: how many.
        what: in the plural.
    """
    return ["", f"{number:,} bad {what} were left out."] if number else []
