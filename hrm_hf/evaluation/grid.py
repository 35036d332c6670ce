"""Exact and cell accuracy of a grid model on labeled puzzles.

`exact_accuracy` is the share of puzzles with every cell right, `cell_accuracy` the mean share of right cells per
puzzle, and `solved` the share whose answer keeps the rules, where a puzzle can have several right answers. The names
are used for nothing else.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from accelerate import Accelerator
from tqdm import tqdm

from configuration_hrm import HRMConfig
from hrm_hf.evaluation.slots import solve_in_slots
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.utils.statistics import binomial_interval
from modeling_hrm import IGNORE_INDEX, HRMForGridTask, HRMSolveOutput
from processing_hrm import HRMGridProcessor


@dataclass(frozen=True)
class SolvedPuzzles:
    """Results of a model on labeled puzzles, one row per puzzle, on the CPU.

    Attributes:
        exact: whether every cell is right, `(puzzles,)` bool.
        cell_accuracy: share of right cells, `(puzzles,)` float32.
        halt_probabilities: the halting head's probability of being right, `(puzzles,)` float32.
        segments: of each puzzle, `(puzzles,)` int64.
        predictions: token ids, `(puzzles, tokens)` int64, if kept.
        seconds: duration.
    """

    exact: torch.Tensor
    cell_accuracy: torch.Tensor
    halt_probabilities: torch.Tensor
    segments: torch.Tensor
    predictions: torch.Tensor | None = None
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.exact)

    def __getitem__(self, rows: torch.Tensor) -> "SolvedPuzzles":
        """The rows given by a mask or by numbers, `(rows,)`."""
        parts = {name: getattr(self, name)[rows] for name in _ROW_PARTS}
        return replace(self, predictions=None if self.predictions is None else self.predictions[rows], **parts)


_ROW_PARTS = ("exact", "cell_accuracy", "halt_probabilities", "segments")


@dataclass(frozen=True)
class GridScores:
    """Result of `evaluate_grid`.

    `exact_accuracy` is the share of puzzles with every cell right and `exact_ci95` its 95 % Wilson interval,
    `cell_accuracy` the mean share of right cells, `halt_accuracy` the share of puzzles where the halting head
    (probability >= 1/2) agrees with being exactly right, `mean_segments` the mean number of segments per puzzle.
    `solved` is the share of answers that keep the rules, if a puzzle can have others than the expected one.
    """

    n: int
    exact_accuracy: float
    exact_ci95: list[float]
    cell_accuracy: float
    halt_accuracy: float
    mean_segments: float
    max_segments: int
    early_stop: bool
    halt_threshold: float | None
    puzzles_per_s: float
    solved: float | None = None

    def as_dict(self) -> dict:
        """The fields as a plain dictionary, for logs and records; without `solved` if it is not known."""
        return {name: value for name, value in asdict(self).items() if name != "solved" or value is not None}


@torch.no_grad()
def solve_puzzles(
    model: HRMForGridTask,
    puzzles: dict[str, torch.Tensor],
    accelerator: Accelerator,
    batch_size: int = 1024,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    keep_predictions: bool = False,
    progress: bool = False,
    in_slots: bool = False,
) -> SolvedPuzzles:
    """Solve labeled puzzles and compare with the labels. With several processes, each takes its share of the puzzles.

    Args:
        model: the model itself, not its distributed wrapper.
        puzzles: `input_ids` and `labels` of shape `(puzzles, tokens)`, `puzzle_identifiers` of shape `(puzzles,)`.
        accelerator: gives device, mixed precision and the processes.
        batch_size: puzzles to solve at a time, per process.
        max_segments, early_stop, halt_threshold: as in `HRMForGridTask.solve`.
        keep_predictions: whether to return the predictions too.
        progress: show a progress bar on the main process.
        in_slots: solve all puzzles of a process with `solve_in_slots`, `batch_size` at a time; faster on a GPU.

    Returns:
        All puzzles, in order, on every process.

    Raises:
        ValueError: if there are no puzzles.
    """
    num_puzzles = len(puzzles["input_ids"])
    if num_puzzles == 0:
        raise ValueError("There are no puzzles to evaluate on; give a split with at least one row.")
    # every process solves equally many, so that they can be gathered; some are solved twice
    per_process = -(-num_puzzles // accelerator.num_processes)
    rows = (torch.arange(per_process) * accelerator.num_processes + accelerator.process_index) % num_puzzles

    parts: list[tuple[torch.Tensor, ...]] = []
    start = time.perf_counter()
    batches = tqdm(
        rows.split(per_process if in_slots else batch_size),
        desc="evaluate",
        disable=not (progress and accelerator.is_main_process),
        leave=False,
    )
    solve = solver(model, batch_size, in_slots)
    for batch_rows in batches:
        batch = {name: tensor[batch_rows].to(accelerator.device) for name, tensor in puzzles.items()}
        with accelerator.autocast():
            solved = solve(
                batch["input_ids"],
                batch["puzzle_identifiers"],
                max_segments=max_segments,
                early_stop=early_stop,
                halt_threshold=halt_threshold,
            )
        exact, cell_accuracy = compare(solved.predictions, batch["labels"])
        kept = (solved.predictions,) if keep_predictions else ()
        parts.append((exact, cell_accuracy, solved.halt_probabilities.float(), solved.segments, *kept))
    columns = []
    for column in zip(*parts, strict=True):
        gathered = accelerator.gather(torch.cat(column))
        # process p had the rows p, p + processes, ...
        by_process = gathered.view(accelerator.num_processes, per_process, *gathered.shape[1:])
        columns.append(by_process.transpose(0, 1).flatten(0, 1)[:num_puzzles].cpu())
    return SolvedPuzzles(*columns, seconds=time.perf_counter() - start)


def solver(model: HRMForGridTask, batch_size: int, in_slots: bool) -> Callable[..., HRMSolveOutput]:
    """A function with the interface of `HRMForGridTask.solve`: that method, or `batch_size` slots."""
    return functools.partial(solve_in_slots, model, num_slots=batch_size) if in_slots else model.solve


def compare(predictions: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether every cell of a puzzle is right, bool, and the share of its right cells, float32: `(puzzles,)` each.

    Args:
        predictions, labels: token ids, `(puzzles, tokens)`; labels of -100 do not count.
    """
    valid = labels != IGNORE_INDEX
    right = valid & (predictions == labels)
    return right.sum(-1) == valid.sum(-1), right.sum(-1) / valid.sum(-1).clamp(min=1)


def filled_in(tokens: torch.LongTensor, puzzles: dict[str, torch.Tensor]) -> torch.LongTensor:
    """Answers or labels `(puzzles, tokens)` as whole boards.

    Cells without a label are not part of the question, and stay as in the puzzle.
    """
    return torch.where(puzzles["labels"] == IGNORE_INDEX, puzzles["input_ids"], tokens)


def may_differ(processor: HRMGridProcessor) -> bool:
    """Whether an answer may keep the rules without being the expected one."""
    kind = kind_of(processor)
    return kind.has_rules and not kind.has_one_answer


def keep_rules(
    solved: SolvedPuzzles, puzzles: dict[str, torch.Tensor], processor: HRMGridProcessor
) -> torch.Tensor | None:
    """Whether each answer keeps the rules, `(puzzles,)` bool, or `None` if only the expected answer can.

    A maze with several shortest paths is also solved by another one than that of its label.

    Args:
        solved: with predictions, if answers may differ.
        puzzles: `input_ids` and `labels` of shape `(puzzles, tokens)`.
        processor: of the puzzles.
    """
    if not may_differ(processor):
        return None
    keeps = solved.exact.clone()
    others = (~solved.exact).nonzero().squeeze(1)
    if len(others) > 0:
        asked = {name: puzzles[name][others] for name in ("input_ids", "labels")}
        answers = filled_in(solved.predictions[others], asked)
        verdicts = kind_of(processor).verdicts(processor, asked["input_ids"], answers)
        keeps[others] = torch.tensor([verdict.solved for verdict in verdicts])
    return keeps


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
    """Solve labeled puzzles and count what is right; arguments and errors as in `solve_puzzles`."""
    max_segments = model.config.halt_max_steps if max_segments is None else max_segments
    solved = solve_puzzles(
        model,
        puzzles,
        accelerator,
        batch_size=batch_size,
        max_segments=max_segments,
        early_stop=early_stop,
        halt_threshold=halt_threshold,
        progress=progress,
    )
    return score(solved, max_segments, early_stop, applied_threshold(model.config, halt_threshold))


def applied_threshold(config: HRMConfig, halt_threshold: float | None = None) -> float | None:
    """The halting probability that ends a puzzle: the given one, or the model's own.

    `None` for a model with Q-learning, which compares two values instead.
    """
    if halt_threshold is None and config.halting == "lean":
        return config.halt_threshold
    return halt_threshold


def score(
    solved: SolvedPuzzles,
    max_segments: int,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    keeps_rules: torch.Tensor | None = None,
) -> GridScores:
    """Count what is right.

    Args:
        solved: at least one puzzle.
        max_segments, early_stop, halt_threshold: how they were solved.
        keeps_rules: from `keep_rules`.

    Raises:
        ValueError: if there are no puzzles.
    """
    n = len(solved)
    if n == 0:
        raise ValueError("There are no puzzles to score; give at least one.")
    says_right = solved.halt_probabilities >= 0.5
    # float64, because a mean of a million float32 is not exact
    exact_accuracy = solved.exact.double().mean().item()
    return GridScores(
        n=n,
        exact_accuracy=exact_accuracy,
        exact_ci95=binomial_interval(exact_accuracy, n),
        cell_accuracy=solved.cell_accuracy.double().mean().item(),
        halt_accuracy=(says_right == solved.exact).double().mean().item(),
        mean_segments=solved.segments.double().mean().item(),
        max_segments=max_segments,
        early_stop=early_stop,
        halt_threshold=halt_threshold,
        puzzles_per_s=n / max(solved.seconds, 1e-9),
        solved=None if keeps_rules is None else keeps_rules.double().mean().item(),
    )
