"""A split of a data set of mazes that may have several shortest paths, for training and evaluation."""

import numpy as np
import torch

from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.maze.paths import first_paths
from hrm_hf.puzzles.rows import ChangedDraws
from hrm_hf.puzzles.sets import BoardSet


# value of `ties` on a card, with which the answer of a rotated maze is not the rotated answer
FIRST = "first"


class MixedMazeSet(BoardSet):
    """Mazes whose answer is their first shortest path; arguments as for `BoardSet`."""

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        draws = super().draws(num_draws, seed, augment)
        return ChangedDraws(draws, self._answered_anew) if augment else draws

    def _answered_anew(
        self, draws: torch.LongTensor, input_ids: torch.LongTensor, labels: torch.LongTensor
    ) -> tuple[torch.LongTensor, torch.LongTensor]:
        answers = first_paths(input_ids.numpy().astype(np.uint8), self.processor.height, self.processor.width)
        return input_ids, torch.from_numpy(answers).to(labels.dtype)
