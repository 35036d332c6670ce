"""ARC scored like the original: all augmentations of a test input vote, and the ranked candidates are compared.

answers = vote(model.solve, load_arc("data/arc-1", "test"), processor, Accelerator())
score(answers).as_dict()                            # pass@K by both rules for counting tasks
write_submission(Path("submission.json"), answers)  # for the competition
write_pictures(Path("pictures"), tasks, answers)    # one picture per task

A prediction is cropped at its end of grid, mapped back by the inverse of its plan and counted with equal ones; the
candidates are ranked by votes, then by mean halting probability (arc_eval.ipynb of HRM, evaluators/arc.py of TRM).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from hrm_hf.puzzles.arc.canvases import ArcCanvases, CanvasPairs
from hrm_hf.puzzles.arc.plans import BLANK_NAME, Plan, Plans
from hrm_hf.puzzles.arc.puzzles import (
    ArcPuzzles,
    arc_folder,
    load_arc,
    load_arc_tasks,
    num_puzzle_identifiers,
    puzzle_names,
)
from hrm_hf.puzzles.arc.tasks import ArcTask, find_leaks
from hrm_hf.puzzles.voting import Candidate, Votes
from hrm_hf.utils.files import whole_file
from modeling_hrm import HRMSolveOutput
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    from matplotlib.figure import Figure

PASS_AT = (1, 2, 10, 100, 1000)
# the competition allows two per test input
NUM_ATTEMPTS = 2


# --- votes


@dataclass(frozen=True, eq=False)
class ArcAnswer:
    """The result of the votes for one test input.

    Attributes:
        task: name of the task.
        test: which of its test inputs, from 0 on.
        rank: place of the right grid among the candidates, from 1 on; `None` if it was not predicted or is unknown.
        attempts: the best candidates, best first. A prediction without any grid is ranked, as in the original, but is
            not an attempt.
        num_votes: number of predictions.
        num_candidates: number of different predictions.
        segments: of all predictions together.
        is_known: whether the data set has the right grid.
        first_is_right: whether the prediction for the original task, without any vote, is the right grid.
    """

    task: str
    test: int
    rank: int | None
    attempts: tuple[Candidate, ...]
    num_votes: int
    num_candidates: int
    segments: int
    is_known: bool = True
    first_is_right: bool = False


@torch.no_grad()
def vote(
    solve: Callable[..., HRMSolveOutput] | Sequence[Callable[..., HRMSolveOutput]],
    puzzles: ArcPuzzles | CanvasPairs,
    processor: HRMGridProcessor,
    accelerator: Accelerator,
    batch_size: int = 512,
    max_segments: int | None = None,
    early_stop: bool = True,
    halt_threshold: float | None = None,
    num_augmentations: int | None = None,
    num_attempts: int = NUM_ATTEMPTS,
    progress: bool = False,
) -> list[ArcAnswer]:
    """Predict the test outputs of all augmentations of all tasks, and let them vote.

    Only the votes of unfinished tasks are held; of a finished task only its rank and its best candidates are kept.
    With several processes, each takes its share of the tasks.

    Args:
        solve: `HRMForGridTask.solve` of a model on the device of `accelerator`, or a function with its interface; or
            several, which vote together.
        puzzles: of the split `"test"`.
        processor: of the model, or equal for all. If it has names, puzzles are identified by name; otherwise it uses
            the identifiers of the data set, which must then be the one that the model was trained on.
        accelerator: gives device, mixed precision and the processes.
        batch_size: predictions at a time, per process.
        max_segments, early_stop, halt_threshold: as in `HRMForGridTask.solve`. The original runs every segment.
        num_augmentations: how many per task vote besides the original task; by default all.
        num_attempts: candidates to keep per test input.
        progress: show a progress bar on the main process.

    Returns:
        One per test input, task by task in the order of `puzzles`, on every process.

    Raises:
        ValueError: if the puzzles are not of the test split, the processor is not for ARC, or the model does not know
            one of the puzzles.
    """
    if puzzles.split != "test":
        raise ValueError(f"ARC is scored on the split test, but these puzzles are from the split {puzzles.split!r}.")
    if processor.task != "arc":
        raise ValueError(f"The processor is for {processor.task}; give the processor of an ARC model.")
    if num_augmentations is not None and num_augmentations < 0:
        raise ValueError(f"num_augmentations={num_augmentations} is not allowed; it must be at least 0.")
    solvers = [solve] if callable(solve) else list(solve)
    make_ballots = _canvas_ballots if isinstance(puzzles, CanvasPairs) else _plan_ballots
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    ballots = make_ballots(puzzles, processor, share, num_augmentations, batch_size)

    tallies: dict[tuple[int, int], _Tally] = {}  # of task and test input
    answers: list[tuple[int, ArcAnswer]] = []
    for ballot in tqdm(
        ballots, desc="arc", disable=not (progress and accelerator.is_main_process), leave=False, total=len(ballots)
    ):
        inputs = {name: tensor.to(accelerator.device) for name, tensor in ballot.inputs().items()}
        plans = ballot.plans()
        for solver in solvers:
            with accelerator.autocast():
                solved = solver(
                    **inputs, max_segments=max_segments, early_stop=early_stop, halt_threshold=halt_threshold
                )
            columns = (
                ballot.tasks.tolist(),
                ballot.tests.tolist(),
                plans,
                processor.batch_decode(solved.predictions, "grid"),
                solved.halt_probabilities.tolist(),
                solved.segments.tolist(),
            )
            for task, test, plan, rows, halt_probability, segments in zip(*columns, strict=True):
                # a prediction without a grid has neither rows nor columns
                grid = np.array(rows, dtype=np.uint8) if rows else np.zeros((0, 0), dtype=np.uint8)
                tallies.setdefault((task, test), _Tally()).add(plan.invert(grid), halt_probability, segments)
        # the predictions of a task follow each other, so all tasks except the last are complete
        for task, test in [place for place in tallies if ballot.is_last or place[0] != ballot.tasks[-1]]:
            answer = _answer(puzzles_tasks(puzzles)[task], test, tallies.pop((task, test)), num_attempts)
            answers.append((task, answer))
    # stable, so that the test inputs of a task stay in order
    return [answer for _, answer in sorted(gather_object(answers), key=lambda pair: pair[0])]


def puzzles_tasks(puzzles: ArcPuzzles | CanvasPairs) -> list[ArcTask]:
    """The tasks of a data set in either form."""
    return puzzles.canvases.tasks if isinstance(puzzles, CanvasPairs) else puzzles.tasks


def open_tests(dataset: str, processor: HRMGridProcessor, source: str | None = None) -> ArcPuzzles | CanvasPairs:
    """The test pairs of a data set, in the form for a model.

    Args:
        dataset: folder of an ARC data set, or its name on the Hub.
        processor: of the model.
        source: only tasks of this source; all by default.

    Raises:
        ValueError: if the processor is not for ARC, or there are no evaluation tasks of this source.
    """
    if processor.task != "arc":
        raise ValueError(f"The processor is for {processor.task}; give the processor of an ARC model.")
    if processor.canvas_sides is not None:
        canvases = ArcCanvases.for_model(load_arc_tasks(arc_folder(dataset)), processor)
        return CanvasPairs(canvases, "test", source)
    puzzles = load_arc(dataset, "test")
    if source is not None:
        plans = puzzles.plans
        kept = np.array([puzzles.tasks[task].source == source for task in plans.tasks])
        if not kept.any():
            raise ValueError(f"{dataset} has no evaluation tasks of the source {source!r}.")
        columns = (plans.tasks, plans.symmetries, plans.colors, plans.identifiers)
        puzzles = ArcPuzzles(puzzles.tasks, Plans(*(column[kept] for column in columns)), "test")
    return puzzles


def check_number_of_identifiers(dataset: str, processor: HRMGridProcessor, num_known: int) -> None:
    """Raise a `ValueError` if a model without names for its identifiers has another number of them than a data set.

    Args:
        dataset: folder of an ARC data set, or its name on the Hub.
        processor: of the model. Names, if any, are compared one by one later.
        num_known: puzzle identifiers of the model, including the blank one.
    """
    if processor.puzzle_identifiers is not None:
        return
    num_identifiers = num_puzzle_identifiers(dataset)
    if num_identifiers != num_known:
        raise ValueError(
            f"The model has {num_known} puzzle identifiers without names, but {dataset} has {num_identifiers}, so it "
            "was trained on other data and would score 0 %; give the data set that it was trained on, or convert it "
            "with --identifiers."
        )


# --- ballots: inputs for a model at a time


@dataclass(frozen=True)
class _Ballot:
    """Copies of test inputs that are solved together.

    Attributes:
        tasks, tests: task and test input of each copy, `(batch,)`; those of a task follow each other.
        inputs: makes the arguments of `solve`.
        plans: makes the plans of the copies.
        is_last: whether it is the last ballot.
    """

    tasks: np.ndarray
    tests: np.ndarray
    inputs: Callable[[], dict[str, torch.Tensor]]
    plans: Callable[[], list[Plan]]
    is_last: bool


def _plan_ballots(
    puzzles: ArcPuzzles, processor: HRMGridProcessor, share: slice, num_augmentations: int | None, batch_size: int
) -> list[_Ballot]:
    """For a data set with plans: each task and its augmentations, drawn as in the original."""
    groups, members, examples = _predictions_to_make(puzzles, range(puzzles.num_groups)[share], num_augmentations)
    identifiers = model_identifiers(puzzles, processor)

    def inputs(part: slice) -> dict[str, torch.Tensor]:
        batch = puzzles.batch(groups[part], members[part], examples[part])
        return {
            "input_ids": batch["input_ids"],
            "puzzle_identifiers": identifiers[batch["puzzle_identifiers"]],
        }

    def plans(part: slice) -> list[Plan]:
        return [puzzles.plan(*place) for place in zip(groups[part], members[part], strict=True)]

    starts = range(0, len(groups), batch_size)
    parts = [slice(start, start + batch_size) for start in starts]
    return [
        _Ballot(
            puzzles.group_tasks[groups[part]],
            examples[part],
            partial(inputs, part),
            partial(plans, part),
            is_last=part.stop >= len(groups),
        )
        for part in parts
    ]


def _canvas_ballots(
    puzzles: CanvasPairs, processor: HRMGridProcessor, share: slice, num_augmentations: int | None, batch_size: int
) -> list[_Ballot]:
    """For tasks on canvases: each test input under its 8 symmetries, then with permuted colors. A batch has boards of
    one canvas size, and about as many cells as `batch_size` boards of the largest size."""
    num_copies = 80 if num_augmentations is None else 1 + num_augmentations
    tasks = np.unique(puzzles.pair_tasks)[share]
    names = [BLANK_NAME, *(task.name for task in puzzles.canvases.tasks)]
    identifiers = _model_identifiers(names, 1 + tasks, processor)
    ballots: list[_Ballot] = []
    for side in puzzles.canvases.sides:
        pairs = np.flatnonzero(np.isin(puzzles.pair_tasks, tasks) & (puzzles.pair_sides == side))
        pairs, numbers = (column.ravel() for column in np.meshgrid(pairs, np.arange(num_copies), indexing="ij"))
        step = max(1, batch_size * max(puzzles.canvases.sides) ** 2 // side**2)
        for start in range(0, len(pairs), step):
            part = (pairs[start : start + step], numbers[start : start + step])

            def inputs(part=part) -> dict[str, torch.Tensor]:
                batch = puzzles.copies(*part)
                return batch | {"puzzle_identifiers": identifiers[batch["puzzle_identifiers"]]}

            def plans(part=part) -> list[Plan]:
                return puzzles.canvases.plans(puzzles.pair_tasks[part[0]], part[1])

            ballots.append(
                _Ballot(puzzles.pair_tasks[part[0]], puzzles.numbers_in_task[part[0]], inputs, plans, is_last=False)
            )
    return [*ballots[:-1], replace(ballots[-1], is_last=True)] if ballots else []


def _predictions_to_make(
    puzzles: ArcPuzzles, groups: Sequence[int], num_augmentations: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group, member and example of every prediction, group by group."""
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for group in groups:
        num_members, num_examples = int(puzzles.group_members[group]), int(puzzles.group_sizes[group])
        if num_augmentations is not None:
            num_members = min(num_members, 1 + num_augmentations)
        members, examples = np.divmod(np.arange(num_members * num_examples), num_examples)
        parts.append(np.column_stack((np.full_like(members, group), members, examples)))
    return tuple(np.concatenate(parts).T)


def model_identifiers(puzzles: ArcPuzzles, processor: HRMGridProcessor) -> torch.LongTensor:
    """The model's identifier for each identifier of a data set with plans, `(identifiers,)`.

    Args:
        puzzles: of any split.
        processor: of the model; without names of puzzles it uses the identifiers of the data set.

    Raises:
        ValueError: if the model does not know one of the puzzles.
    """
    names = puzzle_names(puzzles.tasks, [puzzles.plans])
    return _model_identifiers(names, np.unique(puzzles.plans.identifiers), processor)


def _model_identifiers(names: Sequence[str], used: np.ndarray, processor: HRMGridProcessor) -> torch.LongTensor:
    """The model's identifier for each identifier of the data set.

    Args:
        names: of the puzzles of the data set, by identifier.
        used: identifiers in use, ascending.
        processor: of the model.

    Raises:
        ValueError: if the model does not know one of those in use.
    """
    table = torch.arange(len(names))
    if processor.puzzle_identifiers is None or len(used) == 0:
        return table
    unknown = [names[number] for number in used if names[number] not in processor.puzzle_identifiers]
    if unknown:
        raise ValueError(
            f"The model does not know {len(unknown)} of the {len(used)} puzzles (for example {unknown[0]}), and would "
            "score 0 % on them; give the data set that it was trained on."
        )
    table[used] = torch.tensor([processor.puzzle_identifiers[names[number]] for number in used])
    return table


class _Tally:
    """The predictions for one test input."""

    def __init__(self):
        self.votes, self.num_votes, self.segments = Votes(), 0, 0
        self.first: np.ndarray | None = None

    def add(self, grid: np.ndarray, halt_probability: float, segments: int) -> None:
        """Count a prediction; the first one is for the original task."""
        if self.first is None:
            self.first = grid
        self.votes.add(grid, halt_probability)
        self.num_votes += 1
        self.segments += segments


def _answer(task: ArcTask, test: int, tally: _Tally, num_attempts: int) -> ArcAnswer:
    candidates = tally.votes.ranked()
    truth = task.test[test].output
    ranks = [rank for rank, each in enumerate(candidates, 1) if truth.size and np.array_equal(each.answer, truth)]
    return ArcAnswer(
        task=task.name,
        test=test,
        rank=ranks[0] if ranks else None,
        attempts=tuple([each for each in candidates if each.answer.size > 0][:num_attempts]),
        first_is_right=truth.size > 0 and np.array_equal(tally.first, truth),
        num_votes=tally.num_votes,
        num_candidates=len(candidates),
        segments=tally.segments,
        is_known=truth.size > 0,
    )


# --- scores


@dataclass(frozen=True)
class ArcScores:
    """pass@K by both common rules for counting a task with several test inputs.

    Attributes:
        n_tasks, n_test_inputs: how many were scored: those whose right grids are known.
        hrm_pass_at: by K, empty if no task was scored; a task counts if all its test inputs are solved
            (arc_eval.ipynb of HRM).
        trm_pass_at: by K; a task counts with the share of its solved test inputs (evaluators/arc.py of TRM).
        single: share of the test inputs that the prediction for the original task gets right, without any vote.
        num_predictions: number of votes.
        mean_segments: mean number of segments per prediction.
    """

    n_tasks: int
    n_test_inputs: int
    hrm_pass_at: dict[int, float]
    trm_pass_at: dict[int, float]
    single: float
    num_predictions: int
    mean_segments: float

    def as_dict(self) -> dict[str, int | float]:
        """As a flat dictionary with keys such as `hrm_pass@2`, for logs and records."""
        return {
            "n_tasks": self.n_tasks,
            "n_test_inputs": self.n_test_inputs,
            **{f"hrm_pass@{k}": share for k, share in self.hrm_pass_at.items()},
            **{f"trm_pass@{k}": share for k, share in self.trm_pass_at.items()},
            "single": self.single,
            "num_predictions": self.num_predictions,
            "mean_segments": self.mean_segments,
        }


def score(answers: Sequence[ArcAnswer], pass_at: Sequence[int] = PASS_AT) -> ArcScores:
    """pass@K: a test input is solved if the right grid is among the first K candidates.

    Tasks with a test input whose right grid is not known, such as those of a competition, are left out.

    Args:
        answers: of all test inputs of at least one task.
        pass_at: values of K.

    Raises:
        ValueError: if there are no answers.
    """
    known = [of_task for of_task in _by_task(answers).values() if all(answer.is_known for answer in of_task)]
    ranks = [[answer.rank or np.inf for answer in of_task] for of_task in known]
    pass_at = pass_at if ranks else ()
    shares = {k: [sum(rank <= k for rank in of_task) / len(of_task) for of_task in ranks] for k in pass_at}
    num_predictions = sum(answer.num_votes for answer in answers)
    return ArcScores(
        n_tasks=len(ranks),
        n_test_inputs=sum(map(len, ranks)),
        hrm_pass_at={k: sum(share == 1 for share in of_tasks) / len(ranks) for k, of_tasks in shares.items()},
        trm_pass_at={k: sum(of_tasks) / len(ranks) for k, of_tasks in shares.items()},
        single=sum(answer.first_is_right for of_task in known for answer in of_task) / max(1, sum(map(len, ranks))),
        num_predictions=num_predictions,
        mean_segments=sum(answer.segments for answer in answers) / num_predictions,
    )


def report(answers: Sequence[ArcAnswer], tasks: Sequence[ArcTask]) -> dict[str, Any]:
    """Scores of all answers, and of those without leaked test inputs, as a flat dictionary.

    Args:
        answers: of test inputs.
        tasks: all tasks of the training, including those of the answers.
    """
    leaked = leaked_tests(tasks)
    clean = [answer for answer in answers if (answer.task, answer.test) not in leaked]
    without = {}
    if len(clean) < len(answers):
        # none is left if all answers are known from training, as in data with a few similar pairs
        none = {"n_tasks": 0, "n_test_inputs": 0}
        scores = score(clean, range(1, NUM_ATTEMPTS + 1)).as_dict() if clean else none
        names = ("n_tasks", "n_test_inputs", "hrm_pass@1", "hrm_pass@2", "trm_pass@1", "trm_pass@2")
        without = {f"without_leaks_{name}": scores[name] for name in names if name in scores}
    votes = {answer.num_votes for answer in answers}
    return score(answers).as_dict() | without | {"votes": max(votes)}


def leaked_tests(tasks: Sequence[ArcTask]) -> set[tuple[str, int]]:
    """Test inputs whose answer is among the training pairs of these tasks, in any symmetry and colors.

    ARC-AGI-1 itself has nine, see `find_leaks`.

    Args:
        tasks: all tasks of the training, including those that are evaluated.

    Returns:
        Name of the task and number of the test input, from 0 on.
    """
    leaks = find_leaks(tasks, tasks)
    leaked = {(task.name, number - 1) for task, number, *_ in (*leaks.own, *leaks.others)}
    return leaked | {(task.name, number) for task, _ in leaks.copies for number in range(len(task.test))}


def by_source(answers: Sequence[ArcAnswer], tasks: Sequence[ArcTask]) -> dict[str, list[ArcAnswer]]:
    """The answers by the source of their tasks, for instance `"arc-agi-1"`.

    Args:
        answers: of test inputs.
        tasks: at least those with answers.
    """
    sources = {task.name: task.source for task in tasks}
    found: dict[str, list[ArcAnswer]] = {}
    for answer in answers:
        found.setdefault(sources[answer.task], []).append(answer)
    return found


def _by_task(answers: Sequence[ArcAnswer]) -> dict[str, list[ArcAnswer]]:
    """The answers of each task in the order of its test inputs."""
    if len(answers) == 0:
        raise ValueError("There are no answers; give those of at least one task.")
    by_task: dict[str, list[ArcAnswer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.test):
        by_task.setdefault(answer.task, []).append(answer)
    return {task: by_task[task] for task in dict.fromkeys(answer.task for answer in answers)}


# --- submission and pictures


def submission(answers: Sequence[ArcAnswer]) -> dict[str, list[dict[str, list[list[int]]]]]:
    """The answers in the JSON format of the competition: two grids for each test input of each task.

    A test input with one candidate has it twice, as in the original; one without any grid has a single black cell.

    Raises:
        ValueError: if there are no answers.
    """
    entries = {}
    for task, answers_of_task in _by_task(answers).items():
        entries[task] = []
        for answer in answers_of_task:
            grids = [each.answer.tolist() for each in answer.attempts] or [[[0]]]
            grids += grids[:1] * NUM_ATTEMPTS
            entries[task].append({f"attempt_{number}": grids[number - 1] for number in range(1, NUM_ATTEMPTS + 1)})
    return entries


def write_submission(path: Path, answers: Sequence[ArcAnswer]) -> None:
    """Write `submission` as a JSON file, first next to its place, then renamed."""
    text = json.dumps(submission(answers))
    with whole_file(path) as partial:
        partial.write_text(text + "\n")


def draw_answers(task: ArcTask, answers: Sequence[ArcAnswer]) -> "Figure":
    """A picture of a task: its pairs, and below the truth of each test input the attempts, with errors marked.

    Args:
        task: the task.
        answers: one for each of its test inputs.

    Raises:
        ValueError: for other answers.
    """
    from hrm_hf.puzzles.arc.drawing import draw_arc_task

    ordered = sorted(answers, key=lambda answer: answer.test)
    if [(answer.task, answer.test) for answer in ordered] != [(task.name, test) for test in range(len(task.test))]:
        raise ValueError(
            f"There are {len(answers)} answers for {len(task.test)} test inputs of {task.name}; give one per test "
            "input of this task."
        )
    attempts = [[each.answer for each in answer.attempts[:NUM_ATTEMPTS]] for answer in ordered]
    solved = sum(
        any(np.array_equal(grid, pair.output) for grid in grids)
        for grids, pair in zip(attempts, task.test, strict=True)
    )
    title = f"{task.name}: {solved} of {len(ordered)} test inputs solved in {NUM_ATTEMPTS} attempts"
    if not all(answer.is_known for answer in ordered):
        title = f"{task.name}: {NUM_ATTEMPTS} attempts per test input, right output not known"
    return draw_arc_task(task, attempts, title)


def write_pictures(folder: Path, tasks: Sequence[ArcTask], answers: Sequence[ArcAnswer]) -> list[Path]:
    """Write `draw_answers` of every task that has answers as `<task>.png`.

    Args:
        folder: created if it does not exist.
        tasks: at least those with answers.
        answers: one for each test input of a task.

    Returns:
        The files.

    Raises:
        ValueError: if a task is missing or does not have one answer per test input.
    """
    tasks_by_name = {task.name: task for task in tasks}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, answers_of_task in _by_task(answers).items():
        if name not in tasks_by_name:
            raise ValueError(f"There are answers for the task {name}, which is not among the {len(tasks)} given.")
        # a task name may have any character, a file name may not
        paths.append(folder / f"{quote(name, safe=' ')}.png")
        draw_answers(tasks_by_name[name], answers_of_task).savefig(paths[-1])
    return paths
