"""Checkpoints of a run: everything that its further steps depend on, so that a resumed run ends as an unbroken one.

checkpoints/step_00000120/
    shared.pt           weights, moving average, optimizers
    process_00000.pt    of each process: random states, the task's own (carries), sums for the log
    manifest.json       written last: step, number of processes, and the SHA-256 of the other files

A checkpoint is written beside its place and renamed when it is whole. Files hold tensors and plain values only, so
that reading them runs no code (`weights_only=True`).
"""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hrm_hf.data.folder import sha256


_MANIFEST, _SHARED = "manifest.json", "shared.pt"


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step.

    Attributes:
        path: of the folder.
        step: steps done.
        shared: state that all processes have in common.
        own: state of this process.
    """

    path: Path
    step: int
    shared: dict[str, Any]
    own: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: where they are.
        keep: how many of the newest are kept.
        accelerator: the processes, all of which save and load together.
    """

    def __init__(self, folder: Path, keep: int, accelerator: Accelerator):
        self.folder, self.keep, self.accelerator = folder, keep, accelerator

    def save(self, step: int, shared: dict[str, Any], own: dict[str, Any]) -> Path:
        """Write a checkpoint and remove the oldest; called by all processes.

        Args:
            step: steps done.
            shared: state that all processes have in common; the main process writes it.
            own: state of this process.
        """
        final = self.folder / f"step_{step:08d}"
        partial = final.with_name(final.name + ".partial")
        accelerator = self.accelerator
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            torch.save(shared, partial / _SHARED)
        accelerator.wait_for_everyone()
        torch.save(own, partial / _own_name(accelerator.process_index))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            files = {file.name: sha256(file) for file in sorted(partial.iterdir())}
            manifest = {"step": step, "processes": accelerator.num_processes, "sha256": files}
            (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            # after a resume the same step may be there
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            for old in self._newest_first()[self.keep :]:
                shutil.rmtree(old)
        return final

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint to resume from.

        Args:
            name: `"auto"` for the newest whole one, or the folder of one.

        Returns:
            `None` if there is none to be found automatically. What was passed over, and why, is printed.

        Raises:
            ValueError: if the folder that was named holds no whole checkpoint of as many processes.
        """
        if name != "auto":
            if reason := self._what_is_wrong(Path(name)):
                raise ValueError(
                    f"{name} cannot be resumed from: {reason}; give another checkpoint, or auto for the newest whole "
                    "one."
                )
            return self._load(Path(name))
        for path in self._newest_first():
            reason = self._what_is_wrong(path)
            if reason is None:
                self.accelerator.print(f"resumes from {path}")
                return self._load(path)
            self.accelerator.print(f"passed over {path}: {reason}")
        return None

    def _newest_first(self) -> list[Path]:
        folders = [path for path in self.folder.glob("step_*") if path.name.removeprefix("step_").isdigit()]
        return sorted(folders, key=lambda path: int(path.name.removeprefix("step_")), reverse=True)

    def _what_is_wrong(self, path: Path) -> str | None:
        """Why a folder is no checkpoint that these processes can resume from."""
        try:
            manifest = json.loads((path / _MANIFEST).read_text())
            processes, files = manifest["processes"], manifest["sha256"]
        except FileNotFoundError:
            return f"it has no {_MANIFEST}"
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            return f"its {_MANIFEST} is damaged ({error})"
        for name, expected in files.items():
            if not (path / name).is_file():
                return f"{name} is missing"
            if sha256(path / name) != expected:
                return f"{name} has not the content that its manifest says"
        if processes != self.accelerator.num_processes:
            return f"it is of {processes} processes, and these are {self.accelerator.num_processes}"
        return None

    def _load(self, path: Path) -> Checkpoint:
        parts = (_SHARED, _own_name(self.accelerator.process_index))
        shared, own = (torch.load(path / name, map_location="cpu", weights_only=True) for name in parts)
        return Checkpoint(path, json.loads((path / _MANIFEST).read_text())["step"], shared, own)


def _own_name(process: int) -> str:
    return f"process_{process:05d}.pt"


# --- random numbers


def random_states() -> dict[str, Any]:
    """The states of all random number generators that training draws from."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]):
    """Continue the generators where `random_states` saw them."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
