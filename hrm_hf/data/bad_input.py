"""Bad rows, tasks and files of outside data: stop at the first, or leave them out and count them in the card."""

from typing import Annotated, Literal

import typer


OnError = Literal["stop", "skip"]
OnErrorOption = Annotated[
    OnError, typer.Option(help="What to do at a bad row, task or file: stop, or skip and count it.")
]


def stop_or_note(error: ValueError, on_error: OnError, errors: list[str]):
    """Raise an error with what can be done about it, or note it as one of what is left out.

    Args:
        error: says where the input is bad and what is expected.
        on_error: `"stop"` raises, `"skip"` notes.
        errors: the notes.
    """
    if on_error == "stop":
        raise ValueError(f"{error} Mend it, or leave it out with --on-error skip.") from error
    errors.append(str(error))


def left_out_lines(number: int, what: str) -> list[str]:
    """Lines of a card on what was left out, if there is any.

    Args:
        number: how many.
        what: in the plural.
    """
    return ["", f"{number:,} bad {what} were left out."] if number else []
