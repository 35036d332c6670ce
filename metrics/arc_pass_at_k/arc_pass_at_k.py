# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""pass@K of ARC tasks by both task-counting rules in use. A single file."""

import datasets
import evaluate


_DESCRIPTION = """\
pass@K of ARC tasks: a test input is solved if the correct grid is among the first K of a ranked list of grids. A \
task has one or more test inputs, and there are two rules to count it. By the rule of HRM a task counts if all of its \
test inputs are solved; by the rule of TRM it counts with the fraction that is solved. The second is never lower, so \
a score needs the name of its rule.
"""

_INPUTS = """
Args:
    predictions: a ranked list of grids for each test input, best first; a grid is a list of rows of colors, 0 to 9. A
        list shorter than K is scored as given, and an empty one solves nothing.
    references: the correct grid of each test input.
    tasks: the name of the task that each test input belongs to.
    k (list of int): values of K. 1, 2, 10, 100 and 1000 by default; the competition allows 2 attempts.

Returns:
    hrm_pass@K (float): fraction of tasks with all test inputs solved, for each K.
    trm_pass@K (float): fraction of the test inputs of a task that are solved, averaged over tasks, for each K.
    n_tasks (int), n_test_inputs (int): number of tasks and test inputs.

Raises:
    ValueError: if there is no test input, a correct grid is not a rectangle, or K is below 1.

Examples:
    >>> metric = evaluate.load("metrics/arc_pass_at_k")
    >>> metric.compute(
    ...     predictions=[[[[1, 2]], [[3, 4]]], [[[5]]]], references=[[[3, 4]], [[6]]], tasks=["a", "a"], k=[1, 2]
    ... )
    {'hrm_pass@1': 0.0, 'trm_pass@1': 0.0, 'hrm_pass@2': 0.0, 'trm_pass@2': 0.5, 'n_tasks': 1, 'n_test_inputs': 2}
"""

_CITATION = """\
@article{chollet2019measure,
  title={On the Measure of Intelligence},
  author={Chollet, Fran{\\c{c}}ois},
  journal={arXiv preprint arXiv:1911.01547},
  year={2019}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ArcPassAtK(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        grid = datasets.Sequence(datasets.Sequence(datasets.Value("int64")))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Sequence(grid), "references": grid, "tasks": datasets.Value("string")}
            ),
        )

    def add_batch(self, *, predictions=None, references=None, tasks=None):
        """Add ranked grids, correct grids and names of tasks, one of each per test input."""
        counts = ["no" if given is None else len(given) for given in (predictions, references, tasks)]
        if "no" in counts or len(set(counts)) != 1:
            raise ValueError(
                f"There are {counts[0]} predictions, {counts[1]} references and {counts[2]} tasks; give one of each "
                "for every test input."
            )
        if counts[0] == 0:
            raise ValueError("There is no test input to score; give at least one.")
        super().add_batch(predictions=predictions, references=references, tasks=tasks)

    def _compute(
        self, predictions: list, references: list, tasks: list, k: tuple[int, ...] = (1, 2, 10, 100, 1000)
    ) -> dict[str, float | int]:
        if len(k) == 0 or min(k) < 1:
            raise ValueError(f"k={k} is not allowed; give a list of integers of at least 1.")
        ranks_of_tasks = {}
        for number, (grids, reference, task) in enumerate(zip(predictions, references, tasks, strict=True), start=1):
            if len(reference) == 0 or len({len(row) for row in reference}) != 1 or len(reference[0]) == 0:
                raise ValueError(f"Reference {number} is {reference}; a grid is a list of rows of equal length.")
            rank = grids.index(reference) + 1 if reference in grids else float("inf")
            ranks_of_tasks.setdefault(task, []).append(rank)
        scores = {}
        for limit in k:
            shares = [sum(rank <= limit for rank in ranks) / len(ranks) for ranks in ranks_of_tasks.values()]
            scores[f"hrm_pass@{limit}"] = sum(share == 1 for share in shares) / len(shares)
            scores[f"trm_pass@{limit}"] = sum(shares) / len(shares)
        return scores | {"n_tasks": len(ranks_of_tasks), "n_test_inputs": len(references)}
