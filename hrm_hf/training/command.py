"""A training run from the command line: `train_accelerate.py` and `hrm-hf train`."""

import sys

from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.stopping import Stopped


def run(argv: list[str], name: str) -> int:
    """Train according to `[recipe] [--option value ...]`.

    Args:
        argv: arguments of the command line.
        name: of the command, printed before the reason why a run stopped.

    Returns:
        The exit code.
    """
    try:
        train(prepare(*parse_recipe(argv)))
    except Stopped as stopped:
        print(f"{name}: {stopped}", file=sys.stderr if stopped.exit_code else sys.stdout)
        return stopped.exit_code
    return 0
