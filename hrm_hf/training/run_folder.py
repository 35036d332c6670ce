"""The folder of a training run.

checkpoints/  to resume the run, see `checkpoint`
recipe.yaml   every option of the run, including defaults: training with it repeats the run
log.jsonl     one line every `log_steps` and one for every evaluation
model/        weights, configuration, processor and code, for `from_pretrained`
best_model/   the same for the best evaluation, with keep_best
result.json   the last evaluation and its cost
run.lock      while a job uses the folder, see `folder_lock`
hrm-hf/       files of a tracker, if it writes here
"""

import errno
import json
import os
import platform
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import accelerate
import torch
import transformers
import yaml
from accelerate import Accelerator
from safetensors import SafetensorError
from transformers import PreTrainedModel, ProcessorMixin

from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.folder_lock import LOCK_NAME, FolderLock
from hrm_hf.training.stopping import Stopped, on_main
from hrm_hf.training.trackers import PROJECT
from hrm_hf.utils.files import whole_file, whole_folder


# files that show that a run has been trained: such a folder is only replaced on request
_TRAINED = ("model", "best_model", "result.json")
# everything that a run writes, except its checkpoints
_OWN = (*_TRAINED, "recipe.yaml", "log.jsonl", PROJECT)
# options that determine when a run ends
_LENGTH = ("max_steps", "epochs", "max_minutes", "stop_at_exact_accuracy", "stop_at_train_exact_accuracy")


class RunFolder:
    """The files of a run. The main process writes them; on the others most methods do nothing.

    Locks the folder for this job; `close` unlocks it.

    Args:
        args: of the run: the folder, and what to do with an existing run.
        accelerator: the processes; each creates an instance.

    Raises:
        FileExistsError: if another job uses the folder.
        OSError: if it cannot be written.
    """

    def __init__(self, args: TrainArguments, accelerator: Accelerator):
        self.path, self.args = Path(args.output_dir), args
        self.writes = accelerator.is_main_process
        self._accelerator = accelerator
        self._lock: FolderLock | None = None
        self._lines: list[str] = []  # of log.jsonl, not written yet

        def take():
            self._lock = FolderLock(self.path)

        on_main(accelerator, take)

    def close(self):
        """Unlock the folder; an empty one that was created for this run is removed."""
        if self._lock is not None:
            self._lock.release()

    def check_finished(self, max_steps: int):
        """Raise `Stopped` with exit code 0 if the run that `--resume auto` should continue is finished."""

        def check():
            result = self._finished_result()
            if result is not None and (result["steps"] >= max_steps or self._recorded_length() == self._length()):
                raise Stopped(
                    f"The run in {self.path} is finished: {result['steps']} steps, the model is in "
                    f"{self.path / 'model'}. Nothing is left to do.",
                    exit_code=0,
                )

        on_main(self._accelerator, check)

    def check_start(self):
        """Raise an error if a run may not start here from step 0.

        Raises:
            FileExistsError: if the folder is not empty and may not be replaced.
            ValueError: with `resume="auto"`, if the existing run cannot be resumed.
        """

        def check():
            there = {path.name for path in self.path.iterdir()} - {LOCK_NAME}
            if self.args.resume == "auto":
                if trained := there.intersection(_TRAINED):
                    raise ValueError(
                        f"The run in {self.path} cannot resume: it has {' and '.join(sorted(trained))}, but no "
                        "checkpoint; give another --output_dir (and --init_from for its weights), or leave out "
                        "--resume and give --overwrite_output_dir true to replace it."
                    )
                return
            if not there:
                return
            if not self.args.overwrite_output_dir:
                raise FileExistsError(
                    f"{self.path} is not empty; give another --output_dir, --resume auto to continue its run, "
                    "or --overwrite_output_dir true to replace it."
                )
            if "recipe.yaml" not in there:
                raise FileExistsError(f"{self.path} is not a run folder (it has no recipe.yaml); remove it first.")

        on_main(self._accelerator, check)

    def check_space(self, num_bytes: int):
        """Raise an `OSError` on all processes if the disk does not have enough space."""

        def check():
            free = shutil.disk_usage(self.path).free
            if free < num_bytes:
                raise OSError(
                    f"The disk of {self.path} has {free / 1e6:,.0f} MB free, but the run writes about "
                    f"{num_bytes / 1e6:,.0f} MB (a model and a checkpoint); free some space or give an --output_dir "
                    "on another disk."
                )

        on_main(self._accelerator, check)

    def start(self, *groups):
        """Start a run at step 0: remove the files of another run, and only those; write the recipe."""
        if not self.writes:
            return
        # without a checkpoint or a model there is nothing to lose
        self.forget_after(0)
        if self.args.overwrite_output_dir and self.args.resume != "auto":
            checkpoints = self.path / "checkpoints"
            for path in (*(self.path / name for name in _OWN), *checkpoints.glob("step_*")):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            if checkpoints.is_dir() and not any(checkpoints.iterdir()):
                checkpoints.rmdir()
        self.write_recipe(*groups)

    def go_on(self, step: int, *groups):
        """Start to write as a run that resumes after a step; whatever it wrote for later steps is discarded."""
        if self.writes:
            self.forget_after(step)
            (self.path / "result.json").unlink(missing_ok=True)
            self.write_recipe(*groups)

    def write_recipe(self, *groups):
        """Write every option of the run as a recipe."""
        options = {name: value for group in groups for name, value in asdict(group).items()}
        self._write("recipe.yaml", yaml.safe_dump(options, sort_keys=False))

    def log(self, record: dict):
        """Append a line to log.jsonl; while the disk is full, lines wait."""
        if not self.writes:
            return
        self._lines.append(json.dumps(record) + "\n")
        try:
            with open(self.path / "log.jsonl", "ab", buffering=0) as log:
                size, text = log.tell(), "".join(self._lines).encode()
                if log.write(text) < len(text):
                    log.truncate(size)  # no incomplete line stays
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if len(self._lines) == 1:
                print(f"{self.path / 'log.jsonl'} cannot be written ({error}); its lines wait for space on the disk")
        else:
            self._lines = []

    def forget_after(self, step: int):
        """Remove the lines of later steps from log.jsonl, because a run that resumes there writes them again."""
        path = self.path / "log.jsonl"
        if self.writes and path.is_file():
            # a line that was being written when the run was killed is not JSON
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            self._write(path.name, "".join(line for line in whole if json.loads(line)["step"] <= step))

    def write_result(self, result: dict):
        """Write result.json, with the versions of software used."""
        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
        }
        self._write("result.json", json.dumps(result | versions, indent=2) + "\n")

    def save_model(self, model: PreTrainedModel, processor: ProcessorMixin, name: str = "model"):
        """Write model and processor next to their folder, then rename: the folder is complete or missing.

        Files that others have added to a replaced model folder, such as its card, are kept.
        """
        if not self.writes:
            return
        target = self.path / name
        with whole_folder(target) as partial:
            save_checkpoint(partial, model, processor)
            for path in target.iterdir() if target.is_dir() else ():
                # the weights are from the previous model, maybe in another number of files
                if (partial / path.name).exists() or ".safetensors" in path.name:
                    continue
                if path.is_dir():
                    shutil.copytree(path, partial / path.name, symlinks=True)
                else:
                    shutil.copy2(path, partial / path.name, follow_symlinks=False)

    def save_elsewhere(self, model: PreTrainedModel, processor: ProcessorMixin) -> Path | None:
        """Write model and processor to another disk of this machine; `None` if no disk has space."""
        for root in (tempfile.gettempdir(), str(Path.home()), "/dev/shm"):
            try:
                folder = Path(tempfile.mkdtemp(prefix=f"hrm-hf-{self.path.name}-", dir=root))
            except OSError:
                continue
            try:
                save_checkpoint(folder, model, processor)
                return folder
            except (OSError, SafetensorError):
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def _write(self, name: str, text: str):
        if self.writes:
            with whole_file(self.path / name) as partial:
                partial.write_text(text)

    def _finished_result(self) -> dict | None:
        """result.json, if its run has ended and its model exists."""
        try:
            result = json.loads((self.path / "result.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        is_whole = isinstance(result, dict) and isinstance(result.get("steps"), int)
        return result if is_whole and (self.path / "model" / "config.json").is_file() else None

    def _length(self) -> dict:
        return {name: getattr(self.args, name) for name in _LENGTH}

    def _recorded_length(self) -> dict | None:
        """The options of the existing run that determine when it ends."""
        try:
            recipe = yaml.safe_load((self.path / "recipe.yaml").read_text())
        except (FileNotFoundError, ValueError, yaml.YAMLError):
            return None
        return {name: recipe.get(name) for name in _LENGTH} if isinstance(recipe, dict) else None
