"""Checkpoints of a run: everything that its later steps depend on, so that resuming does not change the result.

checkpoints/step_00000120/
    shared.pt           weights, moving average, optimizers
    process_00000.pt    of each process: random states, the task's own state (carries), sums for the log
    manifest.json       written last: step, number of processes, options that must not change, and the SHA-256 of the
                        other files

A checkpoint is written next to its place and renamed when it is complete. Files hold only tensors and plain values, so
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

from hrm_hf.training.stopping import disk_error, on_main
from hrm_hf.utils.files import sha256


_MANIFEST, _SHARED = "manifest.json", "shared.pt"


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step.

    Attributes:
        path: of the folder.
        step: steps done.
        shared: state shared by all processes.
        own: state of this process.
    """

    path: Path
    step: int
    shared: dict[str, Any]
    own: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: their folder.
        keep: number of newest checkpoints to keep.
        accelerator: the processes, which save and load together.
        recipe: options that the state depends on: a run with other values cannot be resumed.
    """

    def __init__(self, folder: Path, keep: int, accelerator: Accelerator, recipe: dict[str, Any] | None = None):
        self.folder, self.keep, self.accelerator, self.recipe = folder, keep, accelerator, recipe or {}

    def save(self, step: int, shared: dict[str, Any], own: dict[str, Any]) -> Path:
        """Write a checkpoint and remove the oldest; called by all processes.

        Args:
            step: steps done.
            shared: state shared by all processes; the main process writes it.
            own: state of this process.

        Raises:
            OSError: on all processes, if one of them cannot write; older checkpoints are then unchanged.
        """
        final = self.folder / f"step_{step:08d}"
        partial = final.with_name(final.name + ".partial")
        accelerator = self.accelerator

        def write_shared():
            if accelerator.is_main_process:
                for left in self.folder.glob("step_*.partial"):
                    shutil.rmtree(left)
                partial.mkdir(parents=True)
                torch.save(shared, partial / _SHARED)

        def write_own():
            torch.save(own, partial / _own_name(accelerator.process_index))

        def finish():
            if accelerator.is_main_process:
                files = {file.name: sha256(file) for file in sorted(partial.iterdir())}
                manifest = {"step": step, "processes": accelerator.num_processes, "recipe": self.recipe}
                (partial / _MANIFEST).write_text(json.dumps(manifest | {"sha256": files}, indent=2) + "\n")
                # after a resume the same step may exist
                shutil.rmtree(final, ignore_errors=True)
                partial.rename(final)
                self._remove_older(step, self.keep)

        for write in (write_shared, write_own, finish):
            if said := disk_error(accelerator, write):
                if accelerator.is_main_process:
                    shutil.rmtree(partial, ignore_errors=True)
                raise OSError(f"The checkpoint {final} cannot be written ({said}).")
        return final

    def newest(self) -> Path | None:
        """The newest checkpoint, complete or not."""
        return next(iter(self._newest_first()), None)

    def make_room(self):
        """Remove all but the newest checkpoint; for the main process."""
        if newest := self.newest():
            self._remove_older(_step_of(newest), 1)

    def set_aside_after(self, step: int):
        """Rename the checkpoints of later steps, when a run resumes from an earlier one.

        Otherwise they would count as its newest ones. For the main process.
        """
        for path in self._newest_first():
            if _step_of(path) > step:
                aside = path.with_name(path.name + ".set_aside")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)

    def _remove_older(self, step: int, keep: int):
        """Keep the checkpoint of a step and the newest ones before it."""
        older = [path for path in self._newest_first() if _step_of(path) < step]
        for path in older[keep - 1 :]:
            shutil.rmtree(path)

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint to resume from.

        Args:
            name: `"auto"` for the newest complete one, or the folder of one.

        Returns:
            `None` for `"auto"` if there is no checkpoint at all. Skipped checkpoints are printed, with the reason.

        Raises:
            ValueError: if the named one, or the newest complete one, is from another number of processes or a run
                with other options, or if none is complete.
        """
        path = on_main(self.accelerator, lambda: self._choose(name))
        return None if path is None else self._load(path)

    def _choose(self, name: str) -> Path | None:
        if name != "auto":
            path = Path(name)
            if reason := self._damage(path) or self._mismatch(path):
                raise ValueError(
                    f"{name} cannot be resumed: {reason}; give another checkpoint, or auto for the newest complete "
                    "one."
                )
            return path
        damaged = {}
        for path in self._newest_first():
            if damage := self._damage(path):
                damaged[path] = damage
                continue
            if mismatch := self._mismatch(path):
                raise ValueError(
                    f"The run in {self.folder.parent} cannot resume from {path.name}: {mismatch}; use the original "
                    "options, or give another --output_dir."
                )
            for passed, damage in damaged.items():
                print(f"skipping {passed}: {damage}")
            print(f"resuming from {path}")
            return path
        if damaged:
            said = "; ".join(f"{path.name}: {damage}" for path, damage in damaged.items())
            raise ValueError(
                f"The run in {self.folder.parent} cannot resume; none of its checkpoints is complete ({said}); "
                "give another --output_dir, or leave out --resume and give --overwrite_output_dir true to replace it."
            )
        return None

    def _newest_first(self) -> list[Path]:
        folders = [path for path in self.folder.glob("step_*") if path.name.removeprefix("step_").isdigit()]
        return sorted(folders, key=_step_of, reverse=True)

    def _damage(self, path: Path) -> str | None:
        """Why a folder is not a complete checkpoint."""
        try:
            manifest = json.loads((path / _MANIFEST).read_text())
            files = {**manifest["sha256"]}
            int(manifest["step"]), int(manifest["processes"]), {**manifest.get("recipe", {})}
        except FileNotFoundError:
            return f"it has no {_MANIFEST}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return f"its {_MANIFEST} is damaged ({error})"
        for name, expected in files.items():
            if not (path / name).is_file():
                return f"{name} is missing"
            if sha256(path / name) != expected:
                return f"{name} does not match the manifest"
        return None

    def _mismatch(self, path: Path) -> str | None:
        """Why these processes cannot resume from a complete checkpoint."""
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["processes"] != self.accelerator.num_processes:
            return f"it is from {manifest['processes']} processes, but there are {self.accelerator.num_processes} now"
        for option, value in manifest.get("recipe", {}).items():
            if option in self.recipe and self.recipe[option] != value:
                return f"it is from a run with {option}={value!r}, but this one has {option}={self.recipe[option]!r}"
        return None

    def _load(self, path: Path) -> Checkpoint:
        parts = (_SHARED, _own_name(self.accelerator.process_index))
        shared, own = (torch.load(path / name, map_location="cpu", weights_only=True) for name in parts)
        return Checkpoint(path, json.loads((path / _MANIFEST).read_text())["step"], shared, own)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


def _own_name(process: int) -> str:
    return f"process_{process:05d}.pt"


# --- random numbers


def random_states() -> dict[str, Any]:
    """The states of all random number generators used in training."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]):
    """Restore the generators to their `random_states`."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
