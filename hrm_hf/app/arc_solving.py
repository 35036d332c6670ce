"""ARC: the tasks of the data sets, and what a model makes of them, as plain JSON."""

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import AppSettings, Deadline
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import MAX_SEGMENTS, whole_number


if TYPE_CHECKING:
    from hrm_hf.data.arc_puzzles import ArcPuzzles
    from hrm_hf.data.arc_tasks import ArcTask

MAX_AUGMENTATIONS = 100
_LEVELS = 2
_BATCH = 16  # predictions at a time; the time limit is looked at in between


class ArcDesk:
    """Shows and solves ARC tasks.

    Args:
        settings: of the app.
        shelf: its models.
    """

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        self._settings, self._shelf = settings, shelf
        self._puzzles = lru_cache(maxsize=2)(self._load)

    def arc_data_sets(self) -> list[str]:
        """Names of the ARC data sets: their paths under the data folder."""
        root = self._settings.data_root
        return [
            folder.relative_to(root).as_posix()
            for level in range(1, _LEVELS + 1)
            for folder in sorted(root.glob("/".join("*" * level)))
            if any(folder.glob("data/tasks-*.parquet"))
        ]

    def arc_tasks(self, data_set: str) -> list[str]:
        """Names of the tasks of a data set that are there to be solved.

        Args:
            data_set: one of `arc_data_sets`.

        Raises:
            ValueError: if there is no such data set.
        """
        puzzles = self._find(data_set)
        return [puzzles.tasks[task].name for task in puzzles.group_tasks]

    def arc_task(self, data_set: str, task: str) -> dict[str, list[dict]]:
        """A task as ARC writes it: `train` and `test`, each a list of `input` and `output` grids.

        Args:
            data_set: one of `arc_data_sets`.
            task: one of its `arc_tasks`.

        Raises:
            ValueError: if there is none of this name.
        """
        puzzles, number = self._find_task(data_set, task)
        return _as_json(puzzles.tasks[number])

    def solve_arc(
        self, model: str, data_set: str, task: str, augmentations: int = 8, max_segments: int = 16
    ) -> dict[str, Any]:
        """Let a model predict the test outputs of a task and of augmentations of it, and let these vote.

        Args:
            model: one of `models`.
            data_set: one of `arc_data_sets`.
            task: one of its `arc_tasks`.
            augmentations: how many take part besides the task as it is.
            max_segments: most segments of thinking.

        Returns:
            `task` as of `arc_task`; `answers`, one for each test input: its two best `attempts`, each a `grid` with
            its `votes`, whether one of them is `solved`, and `votes` counted; and a `notice`, or an empty one.

        Raises:
            ValueError: if a value is not allowed, or the model does not know the task.
            TimeoutError: if it takes too long.
        """
        augmentations = whole_number("augmentations", augmentations, 0, MAX_AUGMENTATIONS)
        max_segments = whole_number("max_segments", max_segments, 1, MAX_SEGMENTS)
        puzzles, number = self._find_task(data_set, task)
        found = puzzles.tasks[number]
        grid_model, processor = self._shelf.load_grid(model)

        import numpy as np
        from accelerate import Accelerator

        from hrm_hf.evaluation.arc import vote

        answers = vote(
            partial(grid_model.solve, perturb=Deadline(self._settings.seconds_per_request)),
            _only(puzzles, number),
            processor,
            Accelerator(),
            batch_size=_BATCH,
            max_segments=max_segments,
            num_augmentations=augmentations,
        )
        notice = ""
        if processor.puzzle_identifiers is None:
            notice = (
                "This model does not say which tasks it knows. If it was not trained on this data set, its answers "
                "mean nothing."
            )
        return {
            "task": _as_json(found),
            "answers": [
                {
                    "attempts": [{"grid": each.answer.tolist(), "votes": each.votes} for each in answer.attempts],
                    "solved": any(np.array_equal(each.answer, pair.output) for each in answer.attempts),
                    "votes": answer.num_votes,
                }
                for answer, pair in zip(answers, found.test, strict=True)
            ],
            "notice": notice,
        }

    def knows(self, model: str, data_set: str, task: str) -> bool:
        """Whether a model was trained on a task, as far as it says; arguments and errors as of `solve_arc`."""
        self._find_task(data_set, task)
        known = self._shelf.grid_processor(model).puzzle_identifiers
        return known is None or task in known

    def _find(self, data_set: str) -> "ArcPuzzles":
        if not isinstance(data_set, str) or data_set not in self.arc_data_sets():
            raise ValueError(f"There is no ARC data set {str(data_set)[:80]!r} here; choose one of the list.")
        return self._puzzles(data_set)

    def _load(self, data_set: str) -> "ArcPuzzles":
        from hrm_hf.data.arc_puzzles import load_arc

        return load_arc(self._settings.data_root / data_set, "test")

    def _find_task(self, data_set: str, task: str) -> tuple["ArcPuzzles", int]:
        """The puzzles of a data set, and the number of a task among its tasks."""
        puzzles = self._find(data_set)
        for number in puzzles.group_tasks:
            if puzzles.tasks[number].name == task:
                return puzzles, int(number)
        raise ValueError(f"There is no task {str(task)[:80]!r} in {data_set}; choose one of the list.")


def _as_json(task: "ArcTask") -> dict[str, list[dict]]:
    return {
        split: [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in pairs]
        for split, pairs in (("train", task.train), ("test", task.test))
    }


def _only(puzzles: "ArcPuzzles", number: int) -> "ArcPuzzles":
    """The puzzles of one task."""
    from hrm_hf.data.arc_plans import Plans
    from hrm_hf.data.arc_puzzles import ArcPuzzles

    plans = puzzles.plans
    rows = plans.tasks == number
    # offsets are for training
    kept = Plans(plans.tasks[rows], plans.symmetries[rows], plans.colours[rows], plans.identifiers[rows])
    return ArcPuzzles(puzzles.tasks, kept, puzzles.split)
