"""Your own ARC task: a trained model is fitted to the demonstrations of a task it has never seen, then solves it.

answer = solve_task(model, processor, read_task("task.json"), minutes=1.0)
answer.answers[0].attempts       # two grids with their votes
answer.held_back                 # whether a held-out demonstration was solved

The task vector starts as the mean of all task vectors of the model; then the whole network is trained on the
demonstrations under all symmetries and permutations of the colors (fitting only the vector is known not to work), and
copies of the test inputs vote as in every evaluation.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator

from hrm_hf.puzzle_vectors import choose_puzzles
from hrm_hf.puzzles.arc.canvases import ArcCanvases, CanvasDraws, canvas_side
from hrm_hf.puzzles.arc.evaluation import ArcAnswer, vote
from hrm_hf.puzzles.arc.kind import ARC
from hrm_hf.puzzles.arc.tasks import ArcPair, ArcTask
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.average import MovingAverage
from hrm_hf.training.carry_pool import CarryPool
from hrm_hf.training.optim import build_optimizers
from hrm_hf.training.schedule import learning_rate_factor
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


# fraction of the time for the estimate with a held-out demonstration
_SHARE_HELD_BACK = 0.4


@dataclass(frozen=True)
class TaskAnswer:
    """The result for a task.

    Attributes:
        answers: one per test input; ranks are meaningless if the correct output is unknown.
        held_back: whether the held-out demonstration was solved in two attempts; `None` if none could be held out.
        steps: of training, for the estimate and the answer together.
        seconds: in total.
    """

    answers: list[ArcAnswer]
    held_back: bool | None
    steps: int
    seconds: float


def solve_task(
    model: HRMForGridTask,
    processor: HRMGridProcessor,
    task: ArcTask,
    minutes: float = 1.0,
    votes: int = 80,
    batch_tokens: int = 32768,
    learning_rate: float = 3e-4,
    estimate: bool = True,
    seed: int = 0,
    report: Callable[[str, float], None] | None = None,
) -> TaskAnswer:
    """Fit a copy of a model to the demonstrations of a task, and let it solve the test inputs.

    Args:
        model: on canvases, on the device to use; it is not changed.
        processor: of the model.
        task: demonstrations in `train`, questions in `test`; outputs of the latter are ignored.
        minutes: of training, including the estimate; a step that has started is finished.
        votes: copies of a test input that vote.
        batch_tokens: positions per step.
        learning_rate: peak rate of the network; twice this for the task vector.
        estimate: whether to hold out a demonstration first, if the task has at least two.
        seed: of the training examples.
        report: called after each step with the current activity and the fraction of the time that is over.

    Raises:
        ValueError: if the model is not for canvases, or the task contradicts itself or does not fit on a canvas.
    """
    if kind_of(processor) is not ARC or processor.canvas_sides is None:
        raise ValueError(
            "Fitting a task needs a model for ARC on canvases (recipes/arc_1.yaml), but this one is for "
            f"{processor.task} with canvas_sides={processor.canvas_sides}."
        )
    if minutes <= 0:
        raise ValueError(f"minutes={minutes} is not allowed; it must be above 0.")
    check_demonstrations(task)
    task = replace(task, role="evaluation")
    start, held_back, steps_of_estimate, share = time.monotonic(), None, 0, 0.0
    if estimate and len(task.train) > 1:
        share = _SHARE_HELD_BACK
        # the last one; any demonstration would do
        without = replace(task, train=task.train[:-1], test=(task.train[-1],))
        fitted, steps_of_estimate = fit(
            model, processor, without, 60 * minutes * share, batch_tokens, learning_rate, seed, report
        )
        rank = _vote(fitted, processor, without, votes)[0].rank
        held_back = rank is not None and rank <= 2
    fitted, steps = fit(model, processor, task, 60 * minutes * (1 - share), batch_tokens, learning_rate, seed, report)
    answers = _vote(fitted, processor, task, votes)
    return TaskAnswer(answers, held_back, steps + steps_of_estimate, time.monotonic() - start)


def check_demonstrations(task: ArcTask) -> None:
    """Raise a `ValueError` if there is no demonstration, no question, or two demonstrations contradict each other."""
    if not task.train or not task.test:
        part = "train" if not task.train else "test"
        raise ValueError(f"The task {task.name} has no pairs in {part!r}; give demonstrations and test inputs.")
    known: dict[tuple, tuple[int, ArcPair]] = {}
    for number, pair in enumerate(task.train, start=1):
        key = (pair.input.shape, pair.input.tobytes())
        first, other = known.setdefault(key, (number, pair))
        if not np.array_equal(other.output, pair.output):
            raise ValueError(
                f"The demonstrations {first} and {number} of {task.name} have the same input and different outputs; "
                "correct one of them."
            )


def fit(
    model: HRMForGridTask,
    processor: HRMGridProcessor,
    task: ArcTask,
    seconds: float,
    batch_tokens: int,
    learning_rate: float,
    seed: int,
    report: Callable[[str, float], None] | None = None,
) -> tuple[HRMForGridTask, int]:
    """A copy of the model, fitted to the demonstrations of a task and to no other, and the number of steps.

    Arguments as in `solve_task`. At least one step is taken.
    """
    pairs = _canvases(processor, task).pairs("train")
    fitted = for_one_task(model).train()
    device_type = fitted.device.type
    args = TrainArguments(
        output_dir="",
        optimizer="muon",
        learning_rate=learning_rate,
        puzzle_emb_learning_rate=2 * learning_rate,
        puzzle_emb_weight_decay=0.0,
        weight_decay=0.0,
        token_emb_learning_rate=learning_rate / fitted.config.hidden_size**0.5,
    )
    optimizers = build_optimizers(fitted, args)
    average = MovingAverage(fitted, decay=0.99)
    # enough for a run to end by its time limit
    num_prefix = fitted.config.num_prefix_positions
    one_board = int(pairs.pair_sides[0]) ** 2 + num_prefix
    draws = CanvasDraws(pairs, max(batch_tokens, one_board), num_prefix, 100_000, seed)
    pool = CarryPool(2, staggered_start=True, config=fitted.config)
    is_finite = torch.zeros((), dtype=torch.bool, device=fitted.device)
    start, step = time.monotonic(), 0
    while step < draws.num_draws // draws.most:
        progress = min(1.0, (time.monotonic() - start) / seconds)
        if step > 0 and progress >= 1:
            break
        factor = learning_rate_factor(step + 1, 10, 100_000, 0.0, 0.8, progress)
        for optimizer in optimizers:
            optimizer.set_learning_rate(factor)
            optimizer.zero_grad()
        batch = draws.__getitems__(list(draws.of_step(step, 0)))
        with torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda"):
            output = fitted(**{name: tensor.to(fitted.device) for name, tensor in batch.items()}, carry=pool.take())
        output.loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        average.update(fitted)
        pool.put(output.carry, is_finite)
        step += 1
        if report is not None:
            report(f"fitting {task.name}, loss {output.lm_loss.item():.3f}", progress)
    return average.module.eval(), step


def for_one_task(model: HRMForGridTask) -> HRMForGridTask:
    """A copy of a model that knows one task, identifier 1, whose vectors are the mean of those of all tasks."""
    fitted = copy.deepcopy(model)
    choose_puzzles(fitted, [0, None])
    return fitted


def _canvases(processor: HRMGridProcessor, task: ArcTask) -> ArcCanvases:
    """The task on the one canvas that it needs."""
    side = canvas_side(task, processor.canvas_sides)
    return ArcCanvases.for_model([task], processor, [side])


def _vote(model: HRMForGridTask, processor: HRMGridProcessor, task: ArcTask, votes: int) -> list[ArcAnswer]:
    """The answers of a fitted model."""
    own = HRMGridProcessor.for_arc(
        {task.name: 1}, processor.canvas_sides, processor.token_roles, processor.told_views, processor.shown_answers
    )
    device_type = model.device.type
    with torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda"):
        return vote(
            model.solve,
            _canvases(processor, task).pairs("test"),
            own,
            Accelerator(cpu=device_type == "cpu"),
            batch_size=32,
            max_segments=2 * model.config.halt_max_steps,
            early_stop=False,
            num_augmentations=votes - 1,
        )
