"""Errors of the Hub as one sentence each, and the checks before every push."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id


@contextmanager
def hub_errors(action: str) -> Iterator[None]:
    """Turn errors of `huggingface_hub` in the block into an `OSError` whose message is one sentence.

    Args:
        action: what the Hub is asked to do, such as "accept a push to me/sudoku".

    Raises:
        PermissionError: if the Hub says 401 or 403.
        FileNotFoundError: if it says 404.
        ConnectionError: if it has an error (500 and above), cannot be reached, or offline mode is on.
        OSError: if it refuses for another reason.
    """
    try:
        yield
    # HTTPError is from its HTTP client, whichever that is, and not an OSError unless the Hub has answered
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        cause = _cause(error)
        if cause is None:
            raise
        raise _in_one_sentence(cause, action) from error


def check_repo_name(name: str, kind: str) -> None:
    """Raise a `ValueError` unless a name is OWNER/NAME.

    Args:
        name: of a repository.
        kind: of repository, such as "model"; for the message.
    """
    try:
        validate_repo_id(name)
        is_good = name.count("/") == 1
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(
            f"{name!r} is not the name of a {kind} on the Hub; expected OWNER/NAME, such as me/sudoku-9x9, with "
            "letters, digits, '-', '_' and '.'."
        )


def check_token(action: str) -> None:
    """Raise a `PermissionError` if there is no token; an action is for example "push to me/sudoku"."""
    if get_token() is None:
        raise PermissionError(
            f"There is no token to {action}; log in with `hf auth login`, or set HF_TOKEN to a token with write "
            "access."
        )


def check_push(repo_name: str, kind: str, commit_message: str | None) -> None:
    """Find what would make a push fail, before anything is sent or built.

    Args:
        repo_name: where to push.
        kind: of repository, such as "model"; for the message.
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
    """Create a repository to push to, if it does not exist.

    Args:
        api: the Hub.
        repo_name: OWNER/NAME.
        repo_type: type of the repository.
        private: whether it must be private; otherwise the owner's setting applies.

    Raises:
        ValueError: if it must be private but exists and is public.
        OSError: as `hub_errors`.
    """
    with hub_errors(f"accept a push to {repo_name}"):
        sdk = "static" if repo_type == "space" else None
        api.create_repo(repo_name, repo_type=repo_type, private=private or None, exist_ok=True, space_sdk=sdk)
        # creating does not change an existing one
        is_too_public = private and not api.repo_info(repo_name, repo_type=repo_type).private
    if is_too_public:
        kind = {"model": "model", "dataset": "data set", "space": "Space"}[repo_type]
        raise ValueError(
            f"The {kind} {repo_name} is already on the Hub and is public; make it private in its settings, give "
            "another name, or leave out --private."
        )


def _cause(error: BaseException) -> Exception | None:
    """The error of the Hub or the connection; errors from upload and download threads are wrapped in others."""
    while error is not None and not isinstance(error, (HfHubHTTPError, HTTPError, OfflineModeIsEnabled)):
        error = error.__cause__
    return error


def _in_one_sentence(error: Exception, action: str) -> OSError:
    if isinstance(error, OfflineModeIsEnabled):
        return ConnectionError(f"HF_HUB_OFFLINE is set, so the Hub is not asked to {action}; unset it.")
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
            f"The Hub does not {action} (401):{reason} you are not logged in, the token is not valid, or the "
            "repository does not exist; log in with `hf auth login`, or set HF_TOKEN."
        )
    if status == 403:
        return PermissionError(
            f"The Hub does not {action} (403):{reason} the token does not allow it; ask the owner for access, or set "
            "HF_TOKEN to another token."
        )
    if status == 404:
        return FileNotFoundError(
            f"The Hub does not {action} (404):{reason} there is no such repository, owner or revision; check the name."
        )
    if status >= 500:
        return ConnectionError(f"The Hub does not {action} ({status}):{reason} the Hub has an error; try again later.")
    return OSError(f"The Hub does not {action} ({status}):{reason} fix that and try again.")
