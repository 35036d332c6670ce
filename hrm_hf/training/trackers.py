"""Experiment trackers in addition to the run folder, through Accelerate: trackio by default, which works offline."""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator


TRACKERS = ("trackio", "wandb", "tensorboard")
PROJECT = "hrm-hf"


def choose_tracker(report_to: str) -> str | None:
    """The tracker of `report_to`; "auto" is trackio if it is installed.

    Raises:
        ValueError: if the tracker is not installed.
    """
    if report_to == "none":
        return None
    if report_to == "auto":
        return "trackio" if importlib.util.find_spec("trackio") else None
    if not importlib.util.find_spec(report_to):
        raise ValueError(
            f"report_to={report_to!r}, but the package {report_to} is not installed; pip install {report_to}, or give "
            "none."
        )
    return report_to


def start_tracker(accelerator: Accelerator, tracker: str | None, run_folder: Path, groups: list[Any]):
    """Open a run named after its folder, with every option of the recipe as its configuration.

    Args:
        accelerator: made with `log_with=tracker`.
        tracker: from `choose_tracker`.
        run_folder: of the run.
        groups: dataclasses of options.
    """
    if tracker is None:
        return
    options = {name: value for group in groups for name, value in asdict(group).items()}
    # tensorboard only accepts plain values
    config = {name: value if isinstance(value, (int, float, str)) else str(value) for name, value in options.items()}
    names = {"trackio": {"name": run_folder.name}, "wandb": {"name": run_folder.name}}
    accelerator.init_trackers(PROJECT, config=config, init_kwargs={tracker: names.get(tracker, {})})


def track(accelerator: Accelerator, record: dict[str, Any]):
    """Send the numbers and texts of a line of log.jsonl; evaluation scores start with `eval_`."""
    values = {name: value for name, value in record.items() if isinstance(value, (int, float, str)) and name != "step"}
    for number, sample in enumerate(record.get("eval_samples", [])):
        values[f"eval_sample_{number}"] = f"{sample['prompt']} -> {sample['continuation']}"
    accelerator.log(values, step=record["step"])
