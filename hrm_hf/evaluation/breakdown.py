"""A closer look at an evaluation: by source, by rating, by number of segments, and every prediction as a row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from tqdm import tqdm

from hrm_hf.evaluation.grid import SolvedPuzzles, compare
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.utils.files import whole_file
from hrm_hf.utils.statistics import binomial_interval
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class GroupScores:
    """Scores of some of the puzzles of an evaluation; names as in `GridScores`."""

    group: str
    n: int
    exact_accuracy: float
    exact_ci95: list[float]
    cell_accuracy: float
    mean_segments: float


def by_group(solved: SolvedPuzzles, groups: Sequence[str]) -> list[GroupScores]:
    """Scores of each group of puzzles, in order of first occurrence.

    Args:
        solved: the puzzles.
        groups: name of the group of each puzzle.

    Raises:
        ValueError: if there is not one name per puzzle.
    """
    names = np.asarray(groups, dtype=object)
    if len(names) != len(solved):
        raise ValueError(f"There are {len(names)} group names for {len(solved)} puzzles; give one per puzzle.")
    scores = []
    for name in dict.fromkeys(names.tolist()):
        part = solved[torch.from_numpy((names == name).astype(bool))]
        exact_accuracy = part.exact.double().mean().item()
        scores.append(
            GroupScores(
                group=str(name),
                n=len(part),
                exact_accuracy=exact_accuracy,
                exact_ci95=binomial_interval(exact_accuracy, len(part)),
                cell_accuracy=part.cell_accuracy.double().mean().item(),
                mean_segments=part.segments.double().mean().item(),
            )
        )
    return scores


def by_rating(solved: SolvedPuzzles, ratings: Sequence[int], num_bins: int = 4) -> list[GroupScores]:
    """Scores of puzzles with similar ratings, lowest first.

    Args:
        solved: the puzzles.
        ratings: of each puzzle.
        num_bins: maximum number of bins; they are about equally large, but equal ratings stay together.

    Raises:
        ValueError: if there is not one rating per puzzle, or no bin.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins={num_bins} is not allowed; it must be at least 1.")
    values = np.asarray(ratings)
    if len(values) != len(solved):
        raise ValueError(f"There are {len(values)} ratings for {len(solved)} puzzles; give one per puzzle.")
    lower_ends = np.unique(np.quantile(values, np.arange(num_bins) / num_bins, method="higher"))
    bins = np.searchsorted(lower_ends, values, side="right") - 1
    names = np.empty(len(values), dtype=object)
    for number in np.unique(bins):
        inside = values[bins == number]
        low, high = inside.min(), inside.max()
        names[bins == number] = f"{low}" if low == high else f"{low} to {high}"
    order = np.argsort(bins, kind="stable")
    return by_group(solved[torch.from_numpy(order)], names[order].tolist())


@dataclass(frozen=True)
class SegmentScores:
    """Scores after a number of segments.

    `exact_accuracy` and `cell_accuracy` are for the boards after exactly `segments` segments; the two with
    `early_stop` are for the boards that `solve` returns with at most this many segments and early stopping, which
    takes `mean_segments`.
    """

    segments: int
    exact_accuracy: float
    cell_accuracy: float
    early_stop_exact_accuracy: float
    early_stop_cell_accuracy: float
    mean_segments: float


@torch.no_grad()
def segment_curve(
    model: HRMForGridTask,
    puzzles: dict[str, torch.Tensor],
    accelerator: Accelerator,
    max_segments: int = 64,
    halt_threshold: float | None = None,
    batch_size: int = 256,
    progress: bool = False,
) -> list[SegmentScores]:
    """Accuracy against the number of segments, 1 to `max_segments`, from one run of each puzzle.

    Args:
        model, puzzles, accelerator, batch_size, progress: as in `solve_puzzles`; each process takes its share.
        max_segments: the last point of the curve; may exceed the maximum of training.
        halt_threshold: for early stopping; by default the rule of training.

    Raises:
        ValueError: if there are no puzzles.
    """
    num_puzzles = len(puzzles["input_ids"])
    if num_puzzles == 0:
        raise ValueError("There are no puzzles to evaluate on; give a split with at least one row.")
    rows = torch.arange(accelerator.process_index, num_puzzles, accelerator.num_processes)
    # exact, cells, both with early stopping, segments
    sums = torch.zeros(max_segments, 5, dtype=torch.float64)
    batches = tqdm(
        rows.split(batch_size), desc="segments", disable=not (progress and accelerator.is_main_process), leave=False
    )
    for batch_rows in batches:
        batch = {name: tensor[batch_rows].to(accelerator.device) for name, tensor in puzzles.items()}
        inputs = (batch["input_ids"], batch["puzzle_identifiers"], max_segments)
        with accelerator.autocast():
            full = model.solve(*inputs, early_stop=False, return_history=True)
            stopped = model.solve(*inputs, halt_threshold=halt_threshold, return_history=True)
        for number in range(max_segments):
            # nothing changes after all have stopped
            last = min(number, stopped.prediction_history.shape[1] - 1)
            scores = [
                *compare(full.prediction_history[:, number], batch["labels"]),
                *compare(stopped.prediction_history[:, last], batch["labels"]),
                stopped.segments.clamp(max=number + 1),
            ]
            sums[number] += torch.stack([part.sum().double().cpu() for part in scores])
    # float32, because not every device has float64
    means = accelerator.reduce(sums.to(accelerator.device, torch.float32), reduction="sum").cpu().double()
    return [SegmentScores(number, *row) for number, row in enumerate((means / num_puzzles).tolist(), start=1)]


def draw_segment_curve(curve: Sequence[SegmentScores], title: str) -> "Figure":
    """Exact and cell accuracy against the number of segments.

    Args:
        curve: from `segment_curve`.
        title: above it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, PercentFormatter, ScalarFormatter

    segments = [point.segments for point in curve]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(segments, [point.exact_accuracy for point in curve], color="#0f62b5", label="exact accuracy")
    axes.plot(
        [point.mean_segments for point in curve],
        [point.early_stop_exact_accuracy for point in curve],
        color="#c2570c",
        label="exact accuracy, stopped by the halting head, at its mean segments",
    )
    axes.plot(segments, [point.cell_accuracy for point in curve], color="#6b7280", ls="--", label="cell accuracy")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([2**power for power in range(12) if 2**power <= segments[-1]]))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="segments", ylabel="accuracy", ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def write_predictions(
    path: Path, solved: SolvedPuzzles, processor: HRMGridProcessor, puzzles: dict[str, torch.Tensor]
) -> None:
    """Write a Parquet file with one row per puzzle, first next to its place, then renamed.

    Columns: `puzzle` and `prediction` (as text), `exact`, `cell_accuracy`, `halt_probability`, `segments`, and
    `keeps_rules` for kinds whose answers can be checked without the label.

    Args:
        path: the file.
        solved: with predictions.
        processor: of the puzzles.
        puzzles: `input_ids`, as solved.

    Raises:
        ValueError: if the predictions were not kept.
    """
    if solved.predictions is None:
        raise ValueError("The predictions were not kept; solve with keep_predictions=True.")
    columns = {
        "puzzle": processor.batch_decode(puzzles["input_ids"]),
        "prediction": processor.batch_decode(solved.predictions),
        "exact": solved.exact.numpy(),
        "cell_accuracy": solved.cell_accuracy.numpy(),
        "halt_probability": solved.halt_probabilities.numpy(),
        "segments": solved.segments.to(torch.int32).numpy(),
    }
    kind = kind_of(processor)
    if kind.has_rules:
        verdicts = kind.verdicts(processor, puzzles["input_ids"], solved.predictions)
        columns["keeps_rules"] = [verdict.solved for verdict in verdicts]
    with whole_file(path) as partial:
        pq.write_table(pa.table(columns), partial, compression="zstd")


def as_dicts(rows: Sequence) -> list[dict]:
    """Dataclasses as plain dictionaries, for JSON."""
    return [asdict(row) for row in rows]
