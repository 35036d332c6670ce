"""What the training loop asks of a task. `grid_task` and `text_task` are the two there are."""

from abc import ABC, abstractmethod

import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from hrm_hf.puzzles.draws import Draws
from hrm_hf.training.arguments import TrainArguments


class Task(ABC):
    """Data, model, one step and the numbers of a training run. The loop knows nothing else of what it trains.

    Attributes:
        processing: the processor or tokenizer to save beside the model.
        num_train_items: items that draws are taken from.
        eval_split: name of the split that is evaluated on.
        best: name of the score that tells which evaluation is the best, and whether more of it is better.
        shown: scores that are examples to look at, and no numbers.
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
            parts: each batch is cut into a multiple of so many equal parts, for processes and accumulation.
        """

    @abstractmethod
    def build_model(self) -> PreTrainedModel:
        """A new model."""

    def network(self, model: PreTrainedModel) -> nn.Module:
        """What a step calls, and Accelerate wraps: the model or something around it."""
        return model

    @abstractmethod
    def start(self, args: TrainArguments, model: PreTrainedModel):
        """Called once before the first step."""

    @abstractmethod
    def forward(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> ModelOutput:
        """One step forward, or one part of a step: an output with a `loss`."""

    def finish(self, found_inf: torch.Tensor) -> None:
        """The end of a step; `found_inf`, a scalar bool tensor, says whether its numbers are not finite."""
        return

    def segments_changed(self) -> None:
        """Called before a step from which on the model has another `halt_max_steps`."""
        return

    def state(self) -> dict:
        """What else the next step depends on, of this process: tensors and plain values."""
        return {}

    def restore(self, state: dict, device: torch.device) -> None:
        """Take up a `state`; called after `start`."""
        return

    @abstractmethod
    def sums(self, output: ModelOutput, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What is logged of a step, as sums: scalar tensors on the device."""

    @abstractmethod
    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        """A log record from the sums of several steps, all processes together, and the seconds that they took.

        Has a `loss`, and `progress` names what of it is shown.
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
        """What the run was trained on, for its result."""
