"""The pipeline `grid-solving`: puzzles in common notations in, checked answers out.

    from transformers import pipeline

    solver = pipeline("grid-solving", model=FOLDER, trust_remote_code=True)
    solver("613.2..4.36.4.125..2.143354..21.2..4")

This file is remote code like those of the model: it only needs transformers, and is saved with a grid model.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from torch.utils.data import Dataset
from transformers import Pipeline


class HRMGridSolvingPipeline(Pipeline):
    """
    Solves puzzles with an [`HRMForGridTask`] and its [`HRMGridProcessor`].

    Call it with one puzzle or several, in any form that the processor accepts. All are solved together: finished ones
    leave the batch. A generator or a data set of transformers' pipelines (`KeyDataset`) is solved batch by batch.

    The model does not run if an exact search gives the outcome at once: for a maze without a path, a Sudoku without a
    solution or with several, and a full Sudoku. An answer never changes a clue.

    Args:
        max_segments (`int`, *optional*): maximum number of segments; as in training by default.
        early_stop (`bool`, *optional*, defaults to `True`): let the halting head decide when to stop.
        halt_threshold (`float`, *optional*): halting probability that stops; by default the rule of training decides.
        identifiers (`str`, `int` or list, *optional*): names or numbers of ARC puzzles; one for all for a generator.
        return_steps (`bool`, *optional*, defaults to `False`): also return the board after each segment.
        batch_size (`int`, *optional*, defaults to 32): puzzles of a generator or data set to solve at a time.

    Returns:
        For every puzzle a dictionary with `answer` (`None` unless it is solved), `solved` (`None` for ARC and other
        grids without rules; `answer` is then the prediction), `outcome` (`"solved"`, `"not solved"`, `"no solution"`,
        `"more than one solution"`; without rules `"answered"`, for ARC `None`), `reason`, `segments` and
        `halt_probability` (0 and `None` if the model did not run); and `steps`, if requested. One string, dictionary
        or 2-D array gives a dictionary (an ARC task with several tests a list), a generator or data set an iterator,
        everything else a list.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False

    def _sanitize_parameters(self, identifiers=None, return_steps=None, **solve_parameters):
        unknown = solve_parameters.keys() - {"max_segments", "early_stop", "halt_threshold"}
        if unknown:
            raise ValueError(
                f"grid-solving has no option {', '.join(sorted(unknown))}; it has max_segments, early_stop, "
                "halt_threshold, identifiers, return_steps and batch_size."
            )
        preprocess = {} if identifiers is None else {"identifiers": identifiers}
        steps = {} if return_steps is None else {"return_steps": return_steps}
        return preprocess, solve_parameters | steps, steps

    def __call__(self, puzzles: Any, batch_size: int | None = None, **options) -> dict | list[dict] | Iterator[dict]:
        """Solve one puzzle or several; see the class."""
        # transformers would run a list puzzle by puzzle, or pad it, which boards do not need
        preprocess, forward, postprocess = self._sanitize_parameters(**options)
        parameters = (
            {**self._preprocess_params, **preprocess},
            {**self._forward_params, **forward},
            {**self._postprocess_params, **postprocess},
        )
        if isinstance(puzzles, Iterator | Dataset):
            batch_size = batch_size or self._batch_size or 32
            if batch_size < 1:
                raise ValueError(f"batch_size={batch_size} is not allowed; it must be at least 1.")
            return self._solve_in_turn(_items_of(puzzles), batch_size, parameters)
        results = self._solve(puzzles, *parameters)
        is_one = isinstance(puzzles, str | Mapping) or getattr(puzzles, "ndim", None) == 2
        return results[0] if is_one and len(results) == 1 else results

    def _solve(self, puzzles: Any, preprocess: dict, forward: dict, postprocess: dict) -> list[dict]:
        inputs = self.preprocess(puzzles, **preprocess)
        return self.postprocess(self.forward(inputs, **forward), **postprocess)

    def _solve_in_turn(self, puzzles: Iterator, batch_size: int, parameters: tuple[dict, ...]) -> Iterator[dict]:
        while batch := list(islice(puzzles, batch_size)):
            yield from self._solve(batch, *parameters)

    def preprocess(self, puzzles: Any, identifiers: Any = None) -> dict[str, Any]:
        """Token ids of the puzzles."""
        return dict(self.processor(puzzles, identifiers=identifiers, return_tensors="pt"))

    def _forward(self, inputs: dict[str, Any], return_steps: bool = False, **solve_parameters) -> dict[str, Any]:
        puzzles = inputs["input_ids"]
        checks = self.processor.exact_checks(puzzles)
        rows = [row for row, check in enumerate(checks) if check is None]
        solved = None
        if rows:
            asked = {name: tensor[rows] for name, tensor in inputs.items()}
            asked["input_ids"] = self.processor.without_spare_clues(asked["input_ids"])
            solved = self.model.solve(**asked, return_history=return_steps, **solve_parameters)
        return {"inputs": inputs, "checks": checks, "rows": rows, "solved": solved}

    def postprocess(self, outputs: dict[str, Any], return_steps: bool = False) -> list[dict[str, Any]]:
        """Answers, checked against the rules."""
        puzzles, solved = outputs["inputs"]["input_ids"].cpu(), outputs["solved"]
        given = self.processor.batch_decode(puzzles)
        results = []
        for row, check in enumerate(outputs["checks"]):
            if check is None:
                results.append(self._judged(puzzles[row], solved, outputs["rows"].index(row), return_steps))
                continue
            is_solved = check.outcome == "solved"
            result = {"answer": given[row] if is_solved else None, "solved": is_solved, "outcome": check.outcome}
            result |= {"reason": check.reason, "segments": 0, "halt_probability": None}
            results.append(result | ({"steps": []} if return_steps else {}))
        return results

    def _judged(self, puzzle: Any, solved: Any, row: int, return_steps: bool) -> dict[str, Any]:
        """The result for a puzzle that the model solved as number `row`."""
        prediction = self.processor.keep_clues(puzzle, solved["predictions"][row].cpu())
        is_solved, reason, outcome = None, "ARC has no rules to check an answer", None
        if self.processor.task == "grid":
            reason, outcome = "no rules tell whether it is right", "answered"
        if self.processor.has_rules:
            (verdict,) = self.processor.check_batch(puzzle[None], prediction[None])
            is_solved, reason = verdict.solved, verdict.reason
            (remark,) = self.processor.remarks(puzzle[None])
            reason = f"{reason}; {remark}" if remark is not None and not is_solved else reason
            outcome = "solved" if is_solved else "not solved"
        result = {
            "answer": None if is_solved is False else self.processor.decode(prediction),
            "solved": is_solved,
            "outcome": outcome,
            "reason": reason,
            "segments": int(solved["segments"][row]),
            "halt_probability": float(solved["halt_probabilities"][row]),
        }
        if return_steps:
            history = solved["prediction_history"][row, : result["segments"]].cpu()
            result["steps"] = self.processor.batch_decode(self.processor.keep_clues(puzzle, history))
        return result


def _items_of(puzzles: Iterable) -> Iterator:
    """The items of a generator or of a data set, which may only support indexing."""
    if hasattr(puzzles, "__iter__"):
        yield from puzzles
    else:
        yield from (puzzles[number] for number in range(len(puzzles)))
