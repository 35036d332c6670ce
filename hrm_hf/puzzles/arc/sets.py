"""A split of an ARC data set, for training and evaluation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator

from hrm_hf.puzzles.arc.puzzles import SPLITS, ArcDraws, arc_folder, load_arc, load_plans, puzzle_names
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.sets import Predict, PuzzleSet
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ArcSet(PuzzleSet):
    """ARC tasks and their augmentations, which are members of the task's group. Their symmetries are part of the data
    set, so a draw has the symmetry of its member.

    Args:
        kind, dataset, split: as for `PuzzleSet`.
    """

    has_augmentations = True

    def __init__(self, kind: PuzzleKind, dataset: str, split: str):
        self.puzzles = load_arc(dataset, split)
        plans = [load_plans(arc_folder(dataset), name) for name in SPLITS]
        names = puzzle_names(self.puzzles.tasks, plans)
        processor = HRMGridProcessor.for_arc({name: number for number, name in enumerate(names)})
        super().__init__(kind, dataset, processor, int(self.puzzles.group_sizes.sum()))
        self._identifiers: torch.LongTensor | None = None

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        return ArcDraws(self.puzzles, num_draws, seed, translate=augment)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        groups, examples = self._first(limit)
        # the first member of a group is the original task
        batch = self.puzzles.batch(groups, groups * 0, examples)
        if self._identifiers is not None:
            batch["puzzle_identifiers"] = self._identifiers[batch["puzzle_identifiers"]]
        return batch

    def figure(self, rows: Sequence[int], member: int = 0, predict: Predict | None = None) -> "Figure":
        from hrm_hf.puzzles.arc.drawing import draw_member

        if len(rows) > 1:
            raise ValueError(
                f"{len(rows)} rows of {self.dataset} were requested; ARC tasks are drawn one at a time, so give one."
            )
        return draw_member(self.puzzles, rows[0], member, self.dataset, self.processor, predict)

    def for_model(self, processor: HRMGridProcessor) -> "ArcSet":
        """As `PuzzleSet.for_model`; examples have the identifiers of the model, which must know every task."""
        from hrm_hf.puzzles.arc.evaluation import model_identifiers

        super().for_model(processor)
        self._identifiers = model_identifiers(self.puzzles, processor)
        return self

    def vote_scores(
        self,
        model: HRMForGridTask,
        processor: HRMGridProcessor,
        accelerator: Accelerator,
        num_augmentations: int,
        **options: Any,
    ) -> dict[str, float]:
        """pass@1 and pass@2 by both rules for counting tasks, and how many augmentations vote."""
        from hrm_hf.puzzles.arc.evaluation import NUM_ATTEMPTS, score, vote

        answers = vote(
            model.solve, self.puzzles, processor, accelerator, num_augmentations=num_augmentations, **options
        )
        scores = score(answers, range(1, NUM_ATTEMPTS + 1)).as_dict()
        passed = {name: share for name, share in scores.items() if "pass@" in name}
        return passed | {"augmentations": num_augmentations}

    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        groups, _ = self._first(limit)
        return {"source": [self.puzzles.tasks[task].source for task in self.puzzles.group_tasks[groups]]}

    def _first(self, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Groups and examples."""
        sizes = self.puzzles.group_sizes
        groups = np.repeat(np.arange(self.puzzles.num_groups), sizes)
        examples = np.concatenate([np.arange(size) for size in sizes])
        return groups[:limit], examples[:limit]
