"""The outer layer of every command: an error of the user is one sentence on stderr and an exit code.

`hrm-hf`, `train_accelerate.py` and the scripts of `dataset_scripts/` all end here.
"""

import os
import sys
import traceback
from collections.abc import Callable

from hrm_hf.utils.environment import untested_note


# including missing files and packages, folders in use, a full disk, and a Hub that refuses; JSON that is nested too
# deeply is a RecursionError
_OF_THE_USER = (ValueError, TypeError, OSError, ModuleNotFoundError, RecursionError, MemoryError)


def run_command(name: str, command: Callable[[], int | None]) -> int:
    """Call a command.

    Args:
        name: of the command; starts the sentence.
        command: returns its exit code, or `None` for 0. It should import what it needs itself, because some packages
            fail at import if the home folder is not writable.

    Returns:
        The exit code: that of the command, 1 after an error, 130 after Ctrl-C. An error that is not the user's also
        prints its traceback. If untested versions may be the reason, the sentence names them.
    """
    try:
        return command() or 0
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader, such as head, has closed the pipe; leave nothing to write when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _OF_THE_USER as error:
        print(f"{name}: {one_sentence(error)}{untested_note(error)}", file=sys.stderr)
    except Exception as error:
        if _is_out_of_memory(error):
            print(f"{name}: {one_sentence(error)}", file=sys.stderr)
            return 1
        traceback.print_exc()
        said = f"{type(error).__name__}: {one_sentence(error)}"
        note = untested_note(error)
        print(f"{name}: {said}; please report it with the output of hrm-hf env.{note}", file=sys.stderr)
    return 1


def one_sentence(error: BaseException) -> str:
    """The message of an error, on one line."""
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return f"There is not enough memory ({said or 'MemoryError'}); give a smaller batch or a smaller model."
    if isinstance(error, RecursionError):
        return f"The input is nested too deeply ({said}); give a file that is not."
    if isinstance(error, OSError) and str(error.filename or "").startswith(os.path.expanduser("~/.cache")):
        return f"The home folder cannot be used ({said}); set HOME or HF_HOME to a writable folder."
    return said or type(error).__name__


def _is_out_of_memory(error: BaseException) -> bool:
    # the first is torch's error for GPUs (torch is not imported here); on the CPU only the text tells
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
