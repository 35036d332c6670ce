# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Exact accuracy: the fraction of puzzles with every cell correct. A single file."""

import datasets
import evaluate


_DESCRIPTION = """\
Exact accuracy is the fraction of puzzles with every cell correct. One wrong cell makes a puzzle wrong, so it is far \
below cell accuracy, the mean fraction of correct cells.
"""

_INPUTS = """
Args:
    predictions: an answer for each puzzle, as a list of token ids or as a string of one character per cell.
    references: the correct answers, in the same form.
    ignore_index (int): cells whose reference is this token id do not count. -100 by default.

Returns:
    exact_accuracy (float): fraction of puzzles with every counted cell correct, 0 to 1.
    n (int): puzzles.

Raises:
    ValueError: if there is no puzzle, a prediction has another length than its reference, or no cell counts.

Examples:
    >>> metric = evaluate.load("metrics/exact_accuracy")
    >>> metric.compute(predictions=[[2, 3, 4], [2, 3, 3]], references=[[2, 3, 4], [2, 3, 4]])
    {'exact_accuracy': 0.5, 'n': 2}
"""

_CITATION = """\
@article{wang2025hierarchical,
  title={Hierarchical Reasoning Model},
  author={Wang, Guan and Li, Jin and Sun, Yuhao and Chen, Xing and Liu, Changling and Wu, Yue and Lu, Meng and \
Song, Sen and Abbasi Yadkori, Yasin},
  journal={arXiv preprint arXiv:2506.21734},
  year={2025}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ExactAccuracy(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        kinds = (datasets.Sequence(datasets.Value("int64")), datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[datasets.Features({"predictions": kind, "references": kind}) for kind in kinds],
        )

    def add_batch(self, *, predictions=None, references=None):
        """Add predictions and references; both or neither."""
        counts = ["no" if given is None else len(given) for given in (predictions, references)]
        if "no" in counts or counts[0] != counts[1]:
            raise ValueError(
                f"There are {counts[0]} predictions and {counts[1]} references; give one of each for every puzzle."
            )
        if counts[0] == 0:
            raise ValueError("There is no puzzle to score; give at least one.")
        super().add_batch(predictions=predictions, references=references)

    def _compute(self, predictions: list, references: list, ignore_index: int = -100) -> dict[str, float | int]:
        num_right = 0
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True), start=1):
            if len(prediction) != len(reference):
                raise ValueError(
                    f"Prediction {number} has {len(prediction)} cells, but its reference has {len(reference)}; they "
                    "must be equal."
                )
            right = [cell == truth for cell, truth in zip(prediction, reference, strict=True) if truth != ignore_index]
            if len(right) == 0:
                raise ValueError(
                    f"Reference {number} has no cell that counts (all are {ignore_index}); leave its puzzle out."
                )
            num_right += all(right)
        return {"exact_accuracy": num_right / len(references), "n": len(references)}
