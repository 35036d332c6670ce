"""The folder a training run leaves behind.

checkpoints/  where the run can go on, see `checkpoint`
recipe.yaml   every option of the run, defaults included: training again from it repeats the run
log.jsonl     one line every `log_steps` and one for every evaluation
model/        weights, configuration, processor and code: what `from_pretrained` takes
best_model/   the same of the best evaluation, with keep_best
result.json   the last evaluation and what it cost
"""

import json
import platform
import shutil
from dataclasses import asdict
from pathlib import Path

import accelerate
import torch
import transformers
import yaml
from transformers import PreTrainedModel, ProcessorMixin

from hrm_hf.checkpoints import save_checkpoint
from hrm_hf.data.folder import whole_file, whole_folder


class RunFolder:
    """Writes the files of a run; on other processes than the main one every method does nothing.

    Args:
        output_dir: the folder; made if it is not there.
        overwrite: whether a run that is there may be replaced.
        is_main_process: whether this process writes.
        goes_on: whether the run that is there goes on.

    Raises:
        FileExistsError: if the folder holds something and may not be replaced.
    """

    def __init__(self, output_dir: str, overwrite: bool, is_main_process: bool, goes_on: bool = False):
        self.path = Path(output_dir)
        self.writes = is_main_process
        if not self.writes:
            return
        if self.path.exists() and any(self.path.iterdir()) and not goes_on:
            if not overwrite:
                raise FileExistsError(
                    f"{self.path} is not empty; give another --output_dir, --resume auto to go on with the run there, "
                    "or --overwrite_output_dir true to replace it."
                )
            if not (self.path / "recipe.yaml").is_file():
                raise FileExistsError(f"{self.path} is no run folder (it has no recipe.yaml); remove it first.")
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)

    def write_recipe(self, *groups):
        """Write every option of the run in the form of a recipe."""
        options = {name: value for group in groups for name, value in asdict(group).items()}
        self._write("recipe.yaml", yaml.safe_dump(options, sort_keys=False))

    def log(self, record: dict):
        """Append a line to log.jsonl."""
        if self.writes:
            with open(self.path / "log.jsonl", "a") as log:
                log.write(json.dumps(record) + "\n")

    def forget_after(self, step: int):
        """Take the lines of later steps out of log.jsonl, because a run that goes on from there writes them again."""
        path = self.path / "log.jsonl"
        if self.writes and path.is_file():
            # a line that was being written when the run was killed is no JSON
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]
            self._write(path.name, "".join(line for line in whole if json.loads(line)["step"] <= step))

    def write_result(self, result: dict):
        """Write result.json, with the versions the run used."""
        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
        }
        self._write("result.json", json.dumps(result | versions, indent=2) + "\n")

    def save_model(self, model: PreTrainedModel, processor: ProcessorMixin, name: str = "model"):
        """Write model and processor beside their folder, then rename: the folder is whole or not there."""
        if not self.writes:
            return
        with whole_folder(self.path / name) as partial:
            save_checkpoint(partial, model, processor)

    def _write(self, name: str, text: str):
        if self.writes:
            with whole_file(self.path / name) as partial:
                partial.write_text(text)
