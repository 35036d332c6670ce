"""The pipeline `grid-solving`: puzzles as people write them in, judged answers out.

    from transformers import pipeline

    solver = pipeline("grid-solving", model=FOLDER, trust_remote_code=True)
    solver("613.2..4.36.4.125..2.143354..21.2..4")

This file is remote code like those of the model: it needs nothing but transformers, and is saved with a grid model.
"""

from typing import Any

from transformers import Pipeline


class HRMGridSolvingPipeline(Pipeline):
    """
    Solves puzzles with an [`HRMForGridTask`] and its [`HRMGridProcessor`].

    Call it with one puzzle or a list of them; every puzzle in a form that the processor takes, but a board that is
    itself a list (of rows) in a list of its own. All are solved together: finished ones leave the batch.

    Args:
        max_segments (`int`, *optional*): most segments; as in training by default.
        early_stop (`bool`, *optional*, defaults to `True`): let the halting head stop.
        halt_threshold (`float`, *optional*): halting probability that stops; by default by the rule of training.
        identifiers (`str`, `int` or list, *optional*): names or numbers of ARC puzzles.
        return_steps (`bool`, *optional*, defaults to `False`): also give the board after each segment.

    Returns:
        For every puzzle a dictionary with `answer` (`None` unless it is solved), `solved` (`None` for ARC, which has
        no rules to judge by; `answer` is the prediction then), `reason`, `segments` and `halt_probability`; and
        `steps`, if they were asked for.
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
                "halt_threshold, identifiers and return_steps."
            )
        preprocess = {} if identifiers is None else {"identifiers": identifiers}
        steps = {} if return_steps is None else {"return_steps": return_steps}
        return preprocess, solve_parameters | steps, steps

    def __call__(self, puzzles: Any, **options) -> dict | list[dict]:
        """Solve one puzzle or a list of them; see the class."""
        # transformers would run a list puzzle by puzzle, or pad, which boards do not need
        preprocess, forward, postprocess = self._sanitize_parameters(**options)
        inputs = self.preprocess(puzzles, **{**self._preprocess_params, **preprocess})
        outputs = self.forward(inputs, **{**self._forward_params, **forward})
        results = self.postprocess(outputs, **{**self._postprocess_params, **postprocess})
        return results if isinstance(puzzles, list) else results[0]

    def preprocess(self, puzzles: Any, identifiers: Any = None) -> dict[str, Any]:
        """Token ids of the puzzles."""
        return dict(self.processor(puzzles, identifiers=identifiers, return_tensors="pt"))

    def _forward(self, inputs: dict[str, Any], return_steps: bool = False, **solve_parameters) -> dict[str, Any]:
        return {
            "inputs": inputs,
            "solved": self.model.solve(**inputs, return_history=return_steps, **solve_parameters),
        }

    def postprocess(self, outputs: dict[str, Any], return_steps: bool = False) -> list[dict[str, Any]]:
        """Answers and what the rules say of them."""
        input_ids, solved = outputs["inputs"]["input_ids"].cpu(), outputs["solved"]
        predictions = solved["predictions"].cpu()
        answers = self.processor.batch_decode(predictions)
        if self.processor.task == "arc":
            verdicts = [(None, "ARC has no rules to judge an answer by")] * len(answers)
        else:
            judged = self.processor.check_batch(input_ids, predictions)
            verdicts = [(verdict.solved, verdict.reason) for verdict in judged]
        results = []
        for row, (answer, (is_solved, reason)) in enumerate(zip(answers, verdicts, strict=True)):
            result = {
                "answer": None if is_solved is False else answer,
                "solved": is_solved,
                "reason": reason,
                "segments": int(solved["segments"][row]),
                "halt_probability": float(solved["halt_probabilities"][row]),
            }
            if return_steps:
                history = solved["prediction_history"][row, : result["segments"]].cpu()
                result["steps"] = self.processor.batch_decode(history)
            results.append(result)
        return results
