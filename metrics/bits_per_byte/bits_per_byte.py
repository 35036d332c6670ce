# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Bits that a language model needs per byte of text. A single file."""

import math

import datasets
import evaluate


_DESCRIPTION = """\
Bits that a language model needs per byte of text (UTF-8): the sum of the cross entropies of the tokens, in bits, \
divided by the number of bytes. Unlike loss and perplexity it can be compared between tokenizers.
"""

_INPUTS = """
Args:
    predictions: for each text the cross entropies (negative log likelihoods) of its tokens in nats; or one number,
        their sum, as a list of length 1.
    references: the texts.
    unscored_tokens (int): tokens of each text without a cross entropy, because nothing comes before them (0 by
        default, 1 for a model without a token at the start of a text). They count as much as the mean token. Needs
        the cross entropy of every other token.

Returns:
    bits_per_byte (float): at least 0; lower is better.
    n_bytes (int): bytes of the texts.

Raises:
    ValueError: if there is no text, all are empty, a cross entropy is negative or not finite, or there are none.

Examples:
    >>> metric = evaluate.load("metrics/bits_per_byte")
    >>> metric.compute(predictions=[[0.6931471805599453, 1.3862943611198906]], references=["abc"])
    {'bits_per_byte': 1.0, 'n_bytes': 3}
"""

_CITATION = ""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class BitsPerByte(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("string")}
            ),
        )

    def add_batch(self, *, predictions=None, references=None):
        """Add cross entropies and texts; both or neither."""
        counts = ["no" if given is None else len(given) for given in (predictions, references)]
        if "no" in counts or counts[0] != counts[1]:
            raise ValueError(
                f"There are {counts[0]} predictions and {counts[1]} references; give the cross entropies of each text."
            )
        if counts[0] == 0:
            raise ValueError("There is no text to score; give at least one.")
        super().add_batch(predictions=predictions, references=references)

    def _compute(self, predictions: list, references: list, unscored_tokens: int = 0) -> dict[str, float | int]:
        if unscored_tokens < 0:
            raise ValueError(f"unscored_tokens={unscored_tokens} is not allowed; it must be at least 0.")
        for number, losses in enumerate(predictions, start=1):
            bad = [loss for loss in losses if not 0 <= loss < math.inf]
            if bad:
                raise ValueError(
                    f"Prediction {number} has the cross entropy {bad[0]}; give negative log likelihoods, 0 or more."
                )
        n_bytes = sum(len(text.encode("utf-8")) for text in references)
        n_scored = sum(len(losses) for losses in predictions)
        if n_bytes == 0 or n_scored == 0:
            raise ValueError(
                f"There are {n_scored} cross entropies for {n_bytes} bytes of text; give at least one of each."
            )
        nats = sum(sum(losses) for losses in predictions)
        n_tokens = n_scored + unscored_tokens * len(references)
        return {"bits_per_byte": nats / math.log(2) * (n_tokens / n_scored) / n_bytes, "n_bytes": n_bytes}
