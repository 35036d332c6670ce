"""Loss, perplexity and bits per byte of causal language models (ours or any of transformers), with the same code.

blocks      packed tokens of a data set folder, each block separately: fast, for training
documents   whole texts with a sliding window: every token except the first of a text is scored once, with as much
            context as the window allows
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

    `loss` is the mean cross entropy of the scored tokens in nats, `perplexity` its exponential, `bits_per_byte` the
    bits that the model needs per byte of text (UTF-8), which can be compared between tokenizers.
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
    """The token before a text, as in training: BOS, or EOS if the tokenizer has no BOS.

    Raises:
        ValueError: if it has neither.
    """
    token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    if token is None:
        raise ValueError(
            "The tokenizer has neither a BOS nor an EOS token to start a text with; set one and save the tokenizer "
            "with save_pretrained."
        )
    return token


def text_scores(nats: float, scored: int, n_tokens: int, n_bytes: int, seconds: float) -> TextScores:
    """Scores from the summed cross entropy of the scored tokens.

    Args:
        nats: sum over the scored tokens.
        scored: number of scored tokens.
        n_tokens, n_bytes: tokens and bytes of the text. Tokens with nothing before them are not scored; they are
            assumed to cost as much as the others, so that bits per byte are for the whole text.
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
        labels: `(batch, tokens)`, already shifted: `labels[:, i]` follows `input_ids[:, i]`; -100 is ignored.
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
    """Score blocks of packed tokens, each separately. With several processes, each takes its share of them.

    Args:
        model: the model itself, not its distributed wrapper; in evaluation mode.
        blocks: rows of a data set folder.
        accelerator: gives device, mixed precision and the processes.
        batch_size: blocks at a time, per process.
        max_blocks: only this many first blocks.
        model_arguments: for instance, the thinking depth of our models.

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
    # float32, because not every device has float64
    nats, scored = accelerator.reduce(sums.to(accelerator.device, torch.float32), reduction="sum").tolist()
    if scored == 0:
        raise ValueError("There is nothing to evaluate: no block has at least two tokens.")
    return text_scores(nats, int(scored), n_tokens, n_bytes, time.perf_counter() - start)


def shifted_batch(
    sequences: list[np.ndarray], device: torch.device, first_scored: list[int] | None = None
) -> tuple[torch.LongTensor, torch.LongTensor]:
    """Inputs and shifted labels `(batch, longest - 1)` of token sequences, padded on the right.

    Padding is token 0: in a causal model nothing before it sees it, and its labels are -100.

    Args:
        sequences: token ids.
        device: where to put the batch.
        first_scored: index of the first scored token of each sequence; the second token by default.
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
    """Score whole texts with a sliding window.

    As in training, a text is its tokens between BOS (or EOS, if the tokenizer has no BOS) and EOS, and text that looks
    like a special token is text. Every token after the first is scored once; the bits of the final EOS are included.

    Args:
        model: a causal language model, in evaluation mode.
        tokenizer: its tokenizer.
        documents: the texts; blank ones are left out.
        window: tokens the model sees at a time; by default as in training (`max_position_embeddings`).
        stride: tokens by which the window moves, half a window by default. Every token after the first window has at
            least `window - stride` tokens before it.
        batch_size: windows at a time.
        progress: show a progress bar.
        model_arguments: for instance, the thinking depth of our models.

    Raises:
        ValueError: for an impossible window or stride, a tokenizer without EOS, or no text at all.
    """
    trained = getattr(model.config, "max_position_embeddings", None)
    window = trained if window is None else window
    if window is None:
        raise ValueError("The model does not say how many tokens it was trained for; give a window.")
    if window < 2 or (trained is not None and window > trained):
        raise ValueError(
            f"window={window} is not allowed; it must be from 2 to {trained or 'any'}, the length in training."
        )
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride < window:
        raise ValueError(f"stride={stride} is not allowed; it must be at least 1 and below the window, {window}.")
    if tokenizer.eos_token_id is None:
        raise ValueError("The tokenizer has no EOS token, which ends a text; set tokenizer.eos_token.")

    counts = {"tokens": 0, "bytes": 0}
    encode = text_encoder(tokenizer)

    def windows() -> Iterator[tuple[np.ndarray, int]]:
        """Windows of all texts, each with the index of its first scored token."""
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
