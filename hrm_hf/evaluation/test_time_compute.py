"""More compute at test time: draw several answers to each puzzle and choose the best.

samples = draw_samples(model.solve, puzzles, processor, Accelerator(), num_samples=16)
choose(samples).predictions                   # the answers; keeps_rules says which are proven right
compute_curve(samples, puzzles["labels"])     # accuracy against compute for 1, 2, 4, 8, 16 samples, from this run

Three ways to use more compute, which can be combined: more segments (`max_segments`); symmetric copies of a puzzle,
whose answers are mapped back (relabeled and permuted Sudoku, turned and mirrored mazes; arXiv 2601.10679 does this for
Sudoku); and rollouts with Gaussian noise on the states (PTRM, arXiv 2605.19943). The first sample is always the
original puzzle, without noise. ARC has its own copies, which are part of the data set: see `arc.vote`.

Samples that keep the rules rank first, then those with the most votes, then the surest. For Sudoku and mazes the rules
also say when to stop: a puzzle gets no more samples once one solves it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from hrm_hf.evaluation.grid import SolvedPuzzles, compare
from hrm_hf.puzzles.hashing import random_keys, shift_right
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.puzzles.voting import Votes
from hrm_hf.utils.statistics import binomial_interval
from modeling_hrm import HRMSolveOutput, HRMState
from processing_hrm import HRMGridProcessor


# samples of a puzzle with their own random numbers
_MAX_SAMPLES = 1 << 20
# separates the random numbers of the noise from those of the symmetries
_NOISE = 0x6E6F697365


# --- drawing


class OutOfTime(Exception):
    """Raised by the solving function to end the drawing of samples."""


@dataclass(frozen=True)
class Samples:
    """Answers drawn for puzzles, mapped back to the original puzzles; on the CPU.

    Attributes:
        predictions: token ids, `(puzzles, samples, tokens)` uint8; 0 where nothing was drawn.
        halt_probabilities: `(puzzles, samples)` float32.
        segments: of each sample, `(puzzles, samples)` int64; 0 where nothing was drawn, because an earlier sample had
            solved the puzzle.
        keeps_rules: whether it solves its puzzle by the rules, `(puzzles, samples)` bool; never if there are no rules
            (`PuzzleKind.has_rules`).
    """

    predictions: torch.Tensor
    halt_probabilities: torch.Tensor
    segments: torch.Tensor
    keeps_rules: torch.Tensor


@torch.no_grad()
def draw_samples(
    solve: Callable[..., HRMSolveOutput],
    puzzles: dict[str, torch.Tensor],
    processor: HRMGridProcessor,
    accelerator: Accelerator,
    num_samples: int,
    symmetries: bool = True,
    noise_std: float = 0.0,
    seed: int = 0,
    stop_when_solved: bool = True,
    samples_at_once: int = 1,
    batch_size: int = 1024,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    progress: bool = False,
) -> Samples:
    """Draw answers to puzzles. Sample s of puzzle p depends only on the seed and (p, s): a smaller number of samples
    gives the first of them, and batches and processes make no difference.

    Args:
        solve: `HRMForGridTask.solve` of a model on the device of `accelerator`, or a function with its interface;
            `perturb` is only given with noise. If it raises `OutOfTime`, the samples drawn before are returned.
        puzzles: `input_ids` of shape `(puzzles, tokens)` and `puzzle_identifiers` of shape `(puzzles,)`.
        processor: of the puzzles; knows size and rules.
        accelerator: gives device, mixed precision and the processes, each of which takes its share of the puzzles.
        num_samples: maximum number of samples per puzzle.
        symmetries: whether each sample except the first is of a symmetric copy. Copies of Sudoku are random; a maze
            has 8, or 4 if it is not square, which are used in turn.
        noise_std: standard deviation of the noise added to both states before each segment, except in the first
            sample. The states of a model with post-norm have a mean square of 1.
        seed: for copies and noise.
        stop_when_solved: draw no more samples for a puzzle once one keeps the rules.
        samples_at_once: samples of a puzzle to draw before checking whether one keeps the rules. More fill the
            batches when there are few puzzles, but all of them cost time.
        batch_size: answers to draw at a time, per process.
        max_segments, early_stop, halt_threshold: as in `HRMForGridTask.solve`.
        progress: show a progress bar on the main process.

    Returns:
        The samples of all puzzles, on every process. One byte per token: 53 MB for 64 samples of 10,000 9x9 Sudokus.

    Raises:
        ValueError: if there are no puzzles, a number is out of range, or there are not enough copies: none for ARC
            or for Sudoku with unusual boxes, a limited number for mazes, one sample without copies and noise.
    """
    num_puzzles, num_tokens = puzzles["input_ids"].shape
    if num_puzzles == 0:
        raise ValueError("There are no puzzles to solve; give at least one.")
    for name, value, least in (("num_samples", num_samples, 1), ("samples_at_once", samples_at_once, 1)):
        if not least <= value < _MAX_SAMPLES:
            raise ValueError(f"{name}={value} is not allowed; it must be from {least} to {_MAX_SAMPLES - 1}.")
    if noise_std < 0:
        raise ValueError(f"noise_std={noise_std} is not allowed; it must be at least 0.")
    kind = kind_of(processor)
    _check_variety(kind, processor, num_samples, symmetries, noise_std)

    samples = Samples(
        predictions=torch.zeros(num_puzzles, num_samples, num_tokens, dtype=torch.uint8),
        halt_probabilities=torch.zeros(num_puzzles, num_samples),
        segments=torch.zeros(num_puzzles, num_samples, dtype=torch.int64),
        keeps_rules=torch.zeros(num_puzzles, num_samples, dtype=torch.bool),
    )
    own_rows = torch.arange(accelerator.process_index, num_puzzles, accelerator.num_processes)
    rounds = tqdm(
        range(0, num_samples, samples_at_once),
        desc="samples",
        disable=not (progress and accelerator.is_main_process),
        leave=False,
    )
    unsolved = own_rows
    for first in rounds:
        numbers = torch.arange(first, min(first + samples_at_once, num_samples))
        places = torch.cartesian_prod(unsolved, numbers)
        for part in places.split(batch_size):
            rows, columns = part.unbind(1)
            copies = kind.copies(processor, rows * _MAX_SAMPLES + columns, columns, seed) if symmetries else None
            asked = puzzles["input_ids"][rows]
            perturb = {}
            if noise_std > 0:
                perturb["perturb"] = _Noise(rows, columns, seed, noise_std)
            try:
                with accelerator.autocast():
                    solved = solve(
                        (asked if copies is None else copies.apply(asked)).to(accelerator.device),
                        puzzles["puzzle_identifiers"][rows].to(accelerator.device),
                        max_segments=max_segments,
                        early_stop=early_stop,
                        halt_threshold=halt_threshold,
                        **perturb,
                    )
            except OutOfTime:
                return _gather(samples, own_rows)
            predictions = solved.predictions.cpu()
            if copies is not None:
                predictions = copies.undo(predictions)
            samples.predictions[rows, columns] = predictions.to(torch.uint8)
            samples.halt_probabilities[rows, columns] = solved.halt_probabilities.float().cpu()
            samples.segments[rows, columns] = solved.segments.cpu()
            if kind.has_rules:
                verdicts = kind.verdicts(processor, asked, predictions)
                samples.keeps_rules[rows, columns] = torch.tensor([verdict.solved for verdict in verdicts])
        if stop_when_solved:
            unsolved = unsolved[~samples.keeps_rules[unsolved].any(1)]
            if len(unsolved) == 0:
                break
    return _gather(samples, own_rows)


def _check_variety(
    kind: PuzzleKind, processor: HRMGridProcessor, num_samples: int, symmetries: bool, noise_std: float
) -> None:
    """Raise a `ValueError` if there are no symmetric copies of the puzzles, or some samples would be equal."""
    if symmetries:
        kind.check_copies(processor)
    if noise_std > 0 or num_samples == 1:
        return
    if not symmetries:
        raise ValueError(
            f"All of num_samples={num_samples} would be equal without symmetries and noise; allow one of them."
        )
    number = kind.num_copies(processor)
    if number is not None and num_samples > number:
        raise ValueError(
            f"num_samples={num_samples} is not allowed for {kind.plural} of {processor.height}x{processor.width}: "
            f"they have {number} symmetries, and more samples would repeat them; use fewer, or noise."
        )


def _gather(samples: Samples, rows: torch.Tensor) -> Samples:
    """The samples of all processes; each has filled its own rows."""
    names = [field.name for field in fields(samples)]
    for rows_of_one, *parts in gather_object([(rows, *(getattr(samples, name)[rows] for name in names))]):
        for name, part in zip(names, parts, strict=True):
            getattr(samples, name)[rows_of_one] = part
    return samples


# --- what makes the samples differ


class _Noise:
    """Adds Gaussian noise to the states of all samples except the first; `perturb` of `HRMForGridTask.solve`.

    Args:
        rows, columns: puzzle and sample of each row of the batch, `(batch,)`.
        seed: for the noise.
        std: its standard deviation.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor, seed: int, std: float):
        self.draws = rows * _MAX_SAMPLES + columns
        self.stds = std * (columns > 0)
        self.seed = seed ^ _NOISE

    def __call__(self, state: HRMState, rows: torch.Tensor, segment: int) -> HRMState:
        device = state.z_H.device
        # one number for each (puzzle, sample, segment) starts its own stream
        streams = random_keys(self.draws[rows.cpu()].to(device), self.seed + segment, 1)[:, 0]
        for_H, for_L = gaussian_pairs(random_keys(streams, self.seed, state.z_H[0].numel()))
        stds = self.stds[rows.cpu()].to(device)[:, None, None]
        return HRMState(
            z_H=state.z_H + (stds * for_H.view(state.z_H.shape)).to(state.z_H.dtype),
            z_L=state.z_L + (stds * for_L.view(state.z_L.shape)).to(state.z_L.dtype),
        )


def gaussian_pairs(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independent standard normal numbers from each random 64-bit integer (Box and Muller, 1958), float32."""
    # 24 bits each, as many as in a float32; the half keeps 0 out of the logarithm
    first, second = ((shift_right(keys, bits) % (1 << 24) + 0.5) / (1 << 24) for bits in (40, 16))
    radius, angle = (-2 * first.log()).sqrt(), 2 * torch.pi * second
    return radius * angle.cos(), radius * angle.sin()


# --- choosing


def first_answers(samples: Samples, labels: torch.Tensor, seconds: float = 0.0) -> SolvedPuzzles:
    """The first sample of each puzzle, compared with the labels: the result of `solve_puzzles`.

    Args:
        samples: as drawn.
        labels: right answers, `(puzzles, tokens)`; cells of -100 do not count.
        seconds: for the result.
    """
    predictions = samples.predictions[:, 0].long()
    exact, cell_accuracy = compare(predictions, labels)
    return SolvedPuzzles(
        exact, cell_accuracy, samples.halt_probabilities[:, 0], samples.segments[:, 0], predictions, seconds
    )


@dataclass(frozen=True)
class ChosenAnswers:
    """The best sample of each puzzle, one row per puzzle, on the CPU.

    Attributes:
        predictions: token ids, `(puzzles, tokens)` int64.
        keeps_rules: whether it solves the puzzle by the rules, `(puzzles,)` bool; never for ARC.
        votes: samples that gave this answer, `(puzzles,)` int64.
        halt_probabilities: their mean halting probability, `(puzzles,)` float32.
        num_samples: how many were drawn, `(puzzles,)` int64.
        segments: of all of these together, `(puzzles,)` int64.
    """

    predictions: torch.Tensor
    keeps_rules: torch.Tensor
    votes: torch.Tensor
    halt_probabilities: torch.Tensor
    num_samples: torch.Tensor
    segments: torch.Tensor


def choose(samples: Samples, num_samples: int | None = None) -> ChosenAnswers:
    """The best answer to each puzzle: by the rules, then by votes, then by mean halting probability.

    Args:
        samples: of at least one puzzle.
        num_samples: use only this many first samples, as if no more had been allowed; by default all.

    Raises:
        ValueError: if there are not that many.
    """
    num_columns = samples.segments.shape[1]
    num_samples = num_columns if num_samples is None else num_samples
    if not 1 <= num_samples <= num_columns:
        raise ValueError(f"num_samples={num_samples} is not allowed; 1 to {num_columns} were drawn.")
    segments = samples.segments[:, :num_samples]
    boards = samples.predictions.numpy()
    probabilities, verdicts = samples.halt_probabilities.tolist(), samples.keeps_rules.tolist()
    winners = []
    for row, drawn in enumerate((segments > 0).tolist()):
        votes = Votes()
        for column, is_drawn in enumerate(drawn):
            if is_drawn:
                votes.add(boards[row, column], probabilities[row][column], verdicts[row][column])
        winners.append(votes.ranked()[0])
    return ChosenAnswers(
        predictions=torch.stack([torch.from_numpy(winner.answer) for winner in winners]).long(),
        keeps_rules=torch.tensor([winner.keeps_rules for winner in winners]),
        votes=torch.tensor([winner.votes for winner in winners]),
        halt_probabilities=torch.tensor([winner.halt_probability for winner in winners]),
        num_samples=(segments > 0).sum(1),
        segments=segments.sum(1),
    )


def solve_with_samples(
    solve: Callable[..., HRMSolveOutput],
    puzzles: dict[str, torch.Tensor],
    processor: HRMGridProcessor,
    accelerator: Accelerator,
    num_samples: int,
    **options,
) -> ChosenAnswers:
    """Draw samples and choose; arguments, options and errors as for `draw_samples`."""
    return choose(draw_samples(solve, puzzles, processor, accelerator, num_samples, **options))


# --- accuracy against compute


@dataclass(frozen=True)
class ComputeScores:
    """Scores for a budget of samples.

    Attributes:
        max_samples: the budget: maximum number of samples per puzzle.
        mean_samples, mean_segments: used per puzzle.
        total_segments: used by all puzzles together.
        exact_accuracy, exact_ci95: share of puzzles whose chosen answer has every cell right, and its 95 % Wilson
            interval.
        cell_accuracy: mean share of right cells of the chosen answers.
        keeps_rules: share of puzzles whose chosen answer solves them by the rules. It differs from `exact_accuracy`
            if puzzles have several solutions, and is 0 for ARC, which has no rules.
    """

    max_samples: int
    mean_samples: float
    mean_segments: float
    total_segments: int
    exact_accuracy: float
    exact_ci95: list[float]
    cell_accuracy: float
    keeps_rules: float

    def as_dict(self) -> dict:
        """The fields as a plain dictionary, for logs and records."""
        return asdict(self)


def compute_curve(samples: Samples, labels: torch.Tensor, budgets: Sequence[int] | None = None) -> list[ComputeScores]:
    """Accuracy against compute, from one run: each point has the scores and costs of a run with that budget.

    Args:
        samples: all that were drawn.
        labels: right answers, `(puzzles, tokens)`; cells of -100 do not count.
        budgets: number of samples for each point; by default 1, 2, 4, ... and all.

    Raises:
        ValueError: if a budget exceeds the number of samples, or the labels have another shape.
    """
    num_puzzles, num_samples, num_tokens = samples.predictions.shape
    if labels.shape != (num_puzzles, num_tokens):
        raise ValueError(f"The labels have the shape {tuple(labels.shape)}; expected {(num_puzzles, num_tokens)}.")
    if budgets is None:
        budgets = [*(1 << power for power in range((num_samples - 1).bit_length())), num_samples]
    points = []
    for budget in budgets:
        chosen = choose(samples, budget)
        exact, cell_accuracy = compare(chosen.predictions, labels)
        exact_accuracy = exact.double().mean().item()
        points.append(
            ComputeScores(
                max_samples=budget,
                mean_samples=chosen.num_samples.double().mean().item(),
                mean_segments=chosen.segments.double().mean().item(),
                total_segments=int(chosen.segments.sum()),
                exact_accuracy=exact_accuracy,
                exact_ci95=binomial_interval(exact_accuracy, num_puzzles),
                cell_accuracy=cell_accuracy.double().mean().item(),
                keeps_rules=chosen.keeps_rules.double().mean().item(),
            )
        )
    return points
