"""Which Python the package is installed in, and which Space, as the Makefile says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python of the environment that is tested."""
    return Path(os.environ.get("HRM_HF_PYTHON", sys.executable)).absolute()


@pytest.fixture(scope="session")
def run(python):
    """Runs a program of that environment to its end, in a folder outside of the repository; it must succeed.

    No library may call a name of the cache deprecated.
    """

    def call(program: str, *arguments: object, cwd: Path, stdin: str | None = None) -> str:
        process = subprocess.run(
            [python.with_name(program), *map(str, arguments)],
            cwd=cwd,
            # without the folder of a script, in which the package lies too
            env=os.environ | {"PYTHONSAFEPATH": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr[-3000:]
        assert "past_key_values" not in process.stderr, process.stderr[-3000:]
        return process.stdout

    return call
