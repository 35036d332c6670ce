"""What the training loop needs from a task. `grid_task` and `text_task` are the two implementations."""

from abc import ABC, abstractmethod

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from hrm_hf.puzzles.draws import Draws
from hrm_hf.training.arguments import TrainArguments


class Task(ABC):
    """Data, model, one step and the metrics of a training run. The loop knows nothing else about what it trains.

    Attributes:
        processing: the processor or tokenizer to save with the model.
        num_train_items: number of items to draw from.
        eval_split: name of the split for evaluation.
        best: name of the score that determines the best evaluation, and whether higher is better.
        shown: scores that are examples to look at, not numbers.
        several_shapes: whether batches have a few shapes.
    """

    processing: object
    num_train_items: int
    eval_split: str
    best: tuple[str, bool]
    shown: tuple[str, ...] = ()
    several_shapes: bool = False

    @abstractmethod
    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> Draws:
        """The training examples of the run.

        Args:
            args: of the run.
            num_steps: its length.
            parts: each batch is split into a multiple of this many equal parts, for processes and accumulation.
        """

    @abstractmethod
    def build_model(self) -> PreTrainedModel:
        """A new model."""

    def network(self, model: PreTrainedModel) -> nn.Module:
        """The module that a step calls and Accelerate wraps: the model or a wrapper of it."""
        return model

    @abstractmethod
    def start(self, args: TrainArguments, model: PreTrainedModel):
        """Called once before the first step."""

    @abstractmethod
    def forward(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> ModelOutput:
        """The forward pass of a step, or of a part of it: an output with a `loss`."""

    def finish(self, found_inf: torch.Tensor) -> None:
        """The end of a step; `found_inf`, a scalar bool tensor, says whether its numbers are not finite."""
        return

    def segments_changed(self) -> None:
        """Called before the first step with another `halt_max_steps`."""
        return

    def state(self) -> dict:
        """The other state of this process that the next step depends on: tensors and plain values."""
        return {}

    def restore(self, state: dict, device: torch.device) -> None:
        """Restore a `state`; called after `start`."""
        return

    @abstractmethod
    def sums(self, output: ModelOutput, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The metrics of a step for the log, as sums: scalar tensors on the device."""

    @abstractmethod
    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        """A log record from the sums of several steps over all processes, and their seconds.

        Has a `loss`; `progress` names the fields to show.
        """

    progress: dict[str, str]  # name on the progress bar -> format of a record, as in {"exact": "{exact_accuracy:.3f}"}

    @abstractmethod
    def evaluate(self, model: PreTrainedModel, accelerator: Accelerator, args: TrainArguments) -> dict:
        """Scores of the model on the evaluation split, as a record."""

    @abstractmethod
    def headline(self, scores: dict) -> str:
        """The scores in a few words."""

    @abstractmethod
    def counts(self, steps: int, batch_size: int) -> dict[str, int]:
        """The amount of training data of the run, for its result."""
