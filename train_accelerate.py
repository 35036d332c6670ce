"""Train an HRM on puzzles with Accelerate.

    accelerate launch train_accelerate.py recipes/sudoku_demo.yaml
    accelerate launch train_accelerate.py recipes/sudoku_demo.yaml --batch_size 64 --output_dir runs/small
    python train_accelerate.py --help

A recipe is a YAML file with one `option: value` per line, and optionally `extends: another.yaml`; options on the
command line take precedence. The loop is in hrm_hf/training/loop.py. `hrm-hf train` does the same in one process.
"""

import sys

from hrm_hf.outer_layer import run_command


def main(argv: list[str]) -> int:
    """Run the recipe; a user error is printed as one sentence and gives exit code 1."""
    return run_command("train_accelerate.py", lambda: _train(argv))


def _train(argv: list[str]) -> int:
    # imported here, because some imports fail if the home folder is not writable
    from hrm_hf.training.command import run

    return run(argv, "train_accelerate.py")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
