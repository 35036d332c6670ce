"""Votes of several predictions for one puzzle: for ARC's augmentations, and for samples at test time."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Candidate:
    """An answer that was predicted at least once.

    Attributes:
        answer: the board or grid.
        votes: how many predictions were equal to it.
        halt_probability: the mean of their halting probabilities.
        keeps_rules: whether it solves its puzzle by the rules; `False` where there are none.
    """

    answer: np.ndarray
    votes: int
    halt_probability: float
    keeps_rules: bool = False


class Votes:
    """Counts predictions for one puzzle; its memory grows only with the number of distinct answers."""

    def __init__(self):
        # by shape and content: answer, votes, sum of the halting probabilities, verdict
        self._tallies: dict[tuple, list] = {}

    def add(self, answer: np.ndarray, halt_probability: float, keeps_rules: bool = False) -> None:
        """Count a prediction.

        Args:
            answer: of integers, all answers of one dtype; they are equal if shape and values are.
            halt_probability: that the model gave it.
            keeps_rules: the verdict on it, which depends on the answer alone.
        """
        tally = self._tallies.setdefault((answer.shape, answer.tobytes()), [answer, 0, 0.0, keeps_rules])
        tally[1] += 1
        tally[2] += halt_probability

    def ranked(self) -> list[Candidate]:
        """All candidates, best first: those that keep the rules, then by votes, then by mean halting probability.

        Without rules it is the order of the original (arc_eval.ipynb). Of equals the one that came first is first.
        """
        candidates = [
            Candidate(answer, votes, total / votes, keeps_rules)
            for answer, votes, total, keeps_rules in self._tallies.values()
        ]
        return sorted(candidates, key=lambda c: (c.keeps_rules, c.votes, c.halt_probability), reverse=True)
