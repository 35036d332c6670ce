"""Exact and cell accuracy of a grid model on labelled puzzles."""

import time
from dataclasses import asdict, dataclass

import torch
from accelerate import Accelerator
from tqdm import tqdm

from modeling_hrm import IGNORE_INDEX, HRMForGridTask


@dataclass(frozen=True)
class GridScores:
    """Result of `evaluate_grid`.

    `exact_accuracy` is the share of puzzles with every cell right, `cell_accuracy` the mean share of right cells,
    `halt_accuracy` the share of puzzles where the halting head (probability >= 1/2) agrees with being exactly right,
    `mean_segments` how many segments a puzzle got.
    """

    n: int
    exact_accuracy: float
    cell_accuracy: float
    halt_accuracy: float
    mean_segments: float
    max_segments: int
    early_stop: bool
    halt_threshold: float | None
    puzzles_per_s: float

    def as_dict(self) -> dict[str, int | float | bool | None]:
        """The fields as a plain dictionary, for logs and records."""
        return asdict(self)


@torch.no_grad()
def evaluate_grid(
    model: HRMForGridTask,
    puzzles: dict[str, torch.Tensor],
    accelerator: Accelerator,
    batch_size: int = 1024,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    progress: bool = False,
) -> GridScores:
    """Solve labelled puzzles and count what is right. With several processes each takes its share of the puzzles.

    Args:
        model: the model itself, not its distributed wrapper.
        puzzles: `input_ids` and `labels` of shape `(puzzles, tokens)`, `puzzle_identifiers` of shape `(puzzles,)`.
        accelerator: gives device, mixed precision and the processes.
        batch_size: puzzles solved at a time, per process.
        max_segments, early_stop, halt_threshold: as in `HRMForGridTask.solve`.
        progress: show a progress bar on the main process.

    Raises:
        ValueError: if there is no puzzle.
    """
    num_puzzles = len(puzzles["input_ids"])
    if num_puzzles == 0:
        raise ValueError("There is no puzzle to evaluate on; give a split with at least one row.")
    max_segments = model.config.halt_max_steps if max_segments is None else max_segments
    rows = torch.arange(accelerator.process_index, num_puzzles, accelerator.num_processes)

    # exact, cell accuracy, halting right, segments
    sums = torch.zeros(4, dtype=torch.float64)
    start = time.perf_counter()
    batches = tqdm(
        rows.split(batch_size), desc="evaluate", disable=not (progress and accelerator.is_main_process), leave=False
    )
    for batch_rows in batches:
        batch = {name: tensor[batch_rows].to(accelerator.device) for name, tensor in puzzles.items()}
        with accelerator.autocast():
            solved = model.solve(
                batch["input_ids"],
                batch["puzzle_identifiers"],
                max_segments=max_segments,
                early_stop=early_stop,
                halt_threshold=halt_threshold,
            )
        valid = batch["labels"] != IGNORE_INDEX
        right = valid & (solved.predictions == batch["labels"])
        exact = right.sum(-1) == valid.sum(-1)
        says_right = solved.halt_probabilities >= 0.5
        sums += torch.stack(
            [
                exact.sum(),
                (right.sum(-1) / valid.sum(-1).clamp(min=1)).sum(),
                (says_right == exact).sum(),
                solved.segments.sum(),
            ]
        ).to("cpu", torch.float64)
    # float32, because not every device knows float64
    sums = accelerator.reduce(sums.to(accelerator.device, torch.float32), reduction="sum").cpu().double() / num_puzzles
    return GridScores(
        n=num_puzzles,
        exact_accuracy=sums[0].item(),
        cell_accuracy=sums[1].item(),
        halt_accuracy=sums[2].item(),
        mean_segments=sums[3].item(),
        max_segments=max_segments,
        early_stop=early_stop,
        halt_threshold=halt_threshold,
        puzzles_per_s=num_puzzles / (time.perf_counter() - start),
    )
