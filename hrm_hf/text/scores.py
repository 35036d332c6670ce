"""Loss, perplexity and bits per byte of causal language models, ours or any of transformers, by the same code.

blocks      packed tokens of a data set folder, each block by itself: quick, for training
documents   whole texts by sliding window: every token but the first of a text is scored once, with as much
            context as the window leaves it
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hrm_hf.text.blocks import TextBlocks
from hrm_hf.text.packer import text_encoder


IGNORE_INDEX = -100


@dataclass(frozen=True)
class TextScores:
    """Result of `evaluate_blocks` and `evaluate_documents`.

    `loss` is the mean cross entropy of the scored tokens in nats, `perplexity` its exponential, `bits_per_byte` what
    the model needs for a byte of the text (UTF-8), which can be compared between tokenizers.
    """

    n_tokens: int
    n_bytes: int
    loss: float
    perplexity: float
    bits_per_byte: float
    tokens_per_s: float

    def as_dict(self) -> dict[str, int | float]:
        """The fields as a plain dictionary, for logs and records."""
        return asdict(self)


def begin_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that a text starts after, as in training: BOS, or EOS where the tokenizer has no BOS.

    Raises:
        ValueError: if it has neither.
    """
    token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if token is None:
        raise ValueError(
            "The tokenizer has neither a BOS nor an EOS token, which a text starts after; set one and save the "
            "tokenizer with save_pretrained."
        )
    return token


def text_scores(nats: float, scored: int, n_tokens: int, n_bytes: int, seconds: float) -> TextScores:
    """Scores from the summed cross entropy of the tokens that were scored.

    Args:
        nats: sum over the scored tokens.
        scored: how many tokens were scored.
        n_tokens, n_bytes: tokens and bytes of the text. Tokens that nothing comes before are not scored; they are
            taken to cost as much as the others, so that bits per byte are those of the whole text.
        seconds: time it took.
    """
    loss = nats / scored
    return TextScores(
        n_tokens=scored,
        n_bytes=n_bytes,
        loss=loss,
        perplexity=math.exp(min(loss, 700.0)),  # beyond that a float overflows
        bits_per_byte=loss / math.log(2) * n_tokens / n_bytes,
        tokens_per_s=n_tokens / seconds,
    )


@torch.no_grad()
def sum_of_losses(
    model: PreTrainedModel, input_ids: torch.LongTensor, labels: torch.LongTensor, **model_arguments
) -> torch.Tensor:
    """Cross entropies in nats of the labels, as `(sum, count)` in float64 on the CPU.

    Args:
        model: a causal language model; called with `input_ids` and `model_arguments`.
        input_ids: `(batch, tokens)`.
        labels: `(batch, tokens)`, already shifted: `labels[:, i]` is what follows `input_ids[:, i]`; -100 is ignored.
    """
    logits = model(input_ids=input_ids, use_cache=False, **model_arguments).logits
    sums = torch.zeros(2, dtype=torch.float64)
    for row_logits, row_labels in zip(logits, labels, strict=True):  # row by row: a vocabulary in float32 is large
        total = F.cross_entropy(row_logits.float(), row_labels, ignore_index=IGNORE_INDEX, reduction="sum")
        sums += torch.tensor([total.item(), (row_labels != IGNORE_INDEX).sum().item()], dtype=torch.float64)
    return sums


def evaluate_blocks(
    model: PreTrainedModel,
    blocks: TextBlocks,
    accelerator: Accelerator,
    batch_size: int = 8,
    max_blocks: int | None = None,
    **model_arguments,
) -> TextScores:
    """Score blocks of packed tokens, each by itself. With several processes each takes its share of them.

    Args:
        model: the model itself, not its distributed wrapper; in evaluation mode.
        blocks: rows of a data set folder.
        accelerator: gives device, mixed precision and the processes.
        batch_size: blocks at a time, per process.
        max_blocks: only the first so many.
        model_arguments: thinking depth of our models, for instance.

    Raises:
        ValueError: if no block has two tokens.
    """
    rows = [blocks[row] for row in range(min(len(blocks), max_blocks or len(blocks)))]
    n_tokens, n_bytes = sum(len(row["input_ids"]) for row in rows), sum(row["num_bytes"] for row in rows)
    start, sums = time.perf_counter(), torch.zeros(2, dtype=torch.float64)
    mine = rows[accelerator.process_index :: accelerator.num_processes]
    for first in range(0, len(mine), batch_size):
        sequences = [row["input_ids"] for row in mine[first : first + batch_size]]
        input_ids, labels = shifted_batch(sequences, accelerator.device)
        with accelerator.autocast():
            sums += sum_of_losses(model, input_ids, labels, **model_arguments)
    # float32, because not every device knows float64
    nats, scored = accelerator.reduce(sums.to(accelerator.device, torch.float32), reduction="sum").tolist()
    if scored == 0:
        raise ValueError("There is nothing to evaluate: no block has two tokens.")
    return text_scores(nats, int(scored), n_tokens, n_bytes, time.perf_counter() - start)


def shifted_batch(
    sequences: list[np.ndarray], device: torch.device, first_scored: list[int] | None = None
) -> tuple[torch.LongTensor, torch.LongTensor]:
    """Inputs and shifted labels `(batch, longest - 1)` of token sequences, padded on the right.

    Padding is token 0: in a causal model nothing before it sees it, and its labels are -100.

    Args:
        sequences: token ids.
        device: where to put the batch.
        first_scored: index of the first token of each sequence that counts; the second token by default.
    """
    longest = max(len(sequence) for sequence in sequences)
    tokens = torch.zeros(len(sequences), longest, dtype=torch.long)
    labels = torch.full((len(sequences), longest), IGNORE_INDEX)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.from_numpy(np.asarray(sequence, dtype=np.int64))
        begin = 1 if first_scored is None else first_scored[row]
        labels[row, begin : len(sequence)] = tokens[row, begin : len(sequence)]
    return tokens[:, :-1].to(device), labels[:, 1:].to(device)


def evaluate_documents(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    documents: Iterable[str],
    window: int | None = None,
    stride: int | None = None,
    batch_size: int = 8,
    progress: bool = False,
    **model_arguments,
) -> TextScores:
    """Score whole texts by sliding window.

    A text is its tokens between BOS (or EOS, where the tokenizer has no BOS) and EOS, as in training; what it spells
    like a special token is text, as there. Every token after the first is scored once; the bits of the final EOS are
    part of the text's.

    Args:
        model: a causal language model, in evaluation mode.
        tokenizer: its tokenizer.
        documents: the texts; blank ones are left out.
        window: tokens the model sees at a time; by default what it was trained for (`max_position_embeddings`).
        stride: tokens that a window moves on, half a window by default. Every token but those of the first window has
            at least `window - stride` tokens before it.
        batch_size: windows at a time.
        progress: show a progress bar.
        model_arguments: thinking depth of our models, for instance.

    Raises:
        ValueError: for a window or stride that cannot be, a tokenizer without EOS, or no text at all.
    """
    trained = getattr(model.config, "max_position_embeddings", None)
    window = trained if window is None else window
    if window is None:
        raise ValueError("The model does not say how many tokens it was trained for; give a window.")
    if window < 2 or (trained is not None and window > trained):
        raise ValueError(f"window={window} is not allowed; it must be from 2 to {trained or 'any'}, as trained.")
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride < window:
        raise ValueError(f"stride={stride} is not allowed; it must be at least 1 and below the window, {window}.")
    if tokenizer.eos_token_id is None:
        raise ValueError("The tokenizer has no EOS token, which ends a text; set tokenizer.eos_token.")

    counts = {"tokens": 0, "bytes": 0}
    encode = text_encoder(tokenizer)

    def windows() -> Iterator[tuple[np.ndarray, int]]:
        """Windows of all texts, each with the index of its first token that counts."""
        begin = begin_token(tokenizer)
        for document in tqdm(documents, desc="evaluate", unit="text", disable=not progress, leave=False):
            if not document.strip():
                continue
            tokens = encode(document)
            sequence = np.array([begin, *tokens, tokenizer.eos_token_id])
            counts["tokens"] += len(sequence) - 1
            counts["bytes"] += len(document.encode())
            scored = 1
            for begin in range(0, len(sequence), stride):
                end = min(begin + window, len(sequence))
                yield sequence[begin:end], scored - begin
                scored = end
                if end == len(sequence):
                    break

    start, sums, batch = time.perf_counter(), torch.zeros(2, dtype=torch.float64), []

    def score():
        sequences, first_scored = (list(column) for column in zip(*batch, strict=True))
        input_ids, labels = shifted_batch(sequences, model.device, first_scored)
        return sum_of_losses(model, input_ids, labels, **model_arguments)

    for item in windows():
        batch.append(item)
        if len(batch) == batch_size:
            sums += score()
            batch = []
    if batch:
        sums += score()
    nats, scored = sums.tolist()
    if scored == 0:
        raise ValueError("There is no text to evaluate; give at least one document that is not blank.")
    return text_scores(nats, int(scored), counts["tokens"], counts["bytes"], time.perf_counter() - start)
