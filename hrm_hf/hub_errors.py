"""What the Hub answers when it does not do what it is asked, as one sentence each; and what every push checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id


@contextmanager
def hub_errors(action: str) -> Iterator[None]:
    """Errors of `huggingface_hub` in the block become an `OSError` whose message is one sentence.

    Args:
        action: what the Hub is asked to do, as in "take a push to me/sudoku".

    Raises:
        PermissionError: if the Hub says 401 or 403.
        FileNotFoundError: if it says 404.
        ConnectionError: if it has trouble of its own (500 and above), is not reached or may not be asked.
        OSError: if it refuses for another reason.
    """
    try:
        yield
    # HTTPError is that of its HTTP client, whichever that is, and no OSError unless the Hub has answered
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        cause = _cause(error)
        if cause is None:
            raise
        raise _in_one_sentence(cause, action) from error


def check_repo_name(name: str, kind: str) -> None:
    """Raise a `ValueError` unless a name is OWNER/NAME.

    Args:
        name: of a repository.
        kind: of what, as in "model"; for the message.
    """
    try:
        validate_repo_id(name)
        is_good = name.count("/") == 1
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(
            f"{name!r} is not the name of a {kind} on the Hub; expected OWNER/NAME, as in me/sudoku-9x9, of letters, "
            "digits, '-', '_' and '.'."
        )


def check_token(action: str) -> None:
    """Raise a `PermissionError` if there is no token; the action as in "push to me/sudoku"."""
    if get_token() is None:
        raise PermissionError(
            f"There is no token to {action} with; log in with `hf auth login`, or set HF_TOKEN to a token that may "
            "write."
        )


def check_push(repo_name: str, kind: str, commit_message: str | None) -> None:
    """Find, before anything is sent or built, what would make a push fail.

    Args:
        repo_name: where to.
        kind: of what, as in "model"; for the message.
        commit_message: if one was given.

    Raises:
        ValueError: for a bad name or an empty message.
        PermissionError: if there is no token.
    """
    check_repo_name(repo_name, kind)
    if commit_message is not None and not commit_message.strip():
        raise ValueError("The commit message is empty; give one, or leave out --commit-message.")
    check_token(f"push to {repo_name}")


def make_repo(api: HfApi, repo_name: str, repo_type: Literal["model", "dataset", "space"], private: bool) -> None:
    """Make a repository to push to, if it is not there.

    Args:
        api: the Hub.
        repo_name: OWNER/NAME.
        repo_type: of what.
        private: whether it must be private; else it is as its owner's are.

    Raises:
        ValueError: if it must be private and is there in public.
        OSError: as `hub_errors`.
    """
    with hub_errors(f"take a push to {repo_name}"):
        sdk = "static" if repo_type == "space" else None
        api.create_repo(repo_name, repo_type=repo_type, private=private or None, exist_ok=True, space_sdk=sdk)
        # creating says nothing to one that is there
        is_too_public = private and not api.repo_info(repo_name, repo_type=repo_type).private
    if is_too_public:
        kind = {"model": "model", "dataset": "data set", "space": "Space"}[repo_type]
        raise ValueError(
            f"The {kind} {repo_name} is on the Hub already and is public; make it private in its settings, give "
            "another name, or leave out --private."
        )


def _cause(error: BaseException) -> Exception | None:
    """What the Hub or the connection to it said; errors of threads that send and fetch files come in others."""
    while error is not None and not isinstance(error, (HfHubHTTPError, HTTPError, OfflineModeIsEnabled)):
        error = error.__cause__
    return error


def _in_one_sentence(error: Exception, action: str) -> OSError:
    if isinstance(error, OfflineModeIsEnabled):
        return ConnectionError(f"HF_HUB_OFFLINE is set, so nobody asks the Hub to {action}; unset it.")
    if not isinstance(error, HfHubHTTPError):
        said = " ".join(str(error).split()) or type(error).__name__
        return ConnectionError(
            f"The Hub cannot be reached at {constants.ENDPOINT} to {action} ({said}); check the connection, and "
            "HF_ENDPOINT if it is set."
        )
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())
    reason = f" {said.rstrip('.')};" if said else ""
    if status == 401:
        return PermissionError(
            f"The Hub does not {action} (401):{reason} nobody is logged in, the token is not valid, or there is "
            "nothing of this name; log in with `hf auth login`, or set HF_TOKEN."
        )
    if status == 403:
        return PermissionError(
            f"The Hub does not {action} (403):{reason} the token may not do that; ask the owner for access, or set "
            "HF_TOKEN to a token that may."
        )
    if status == 404:
        return FileNotFoundError(
            f"The Hub does not {action} (404):{reason} there is no such repository, owner or revision; check the name."
        )
    if status >= 500:
        return ConnectionError(
            f"The Hub does not {action} ({status}):{reason} it has trouble of its own; try again later."
        )
    return OSError(f"The Hub does not {action} ({status}):{reason} mend that and try again.")
