"""Tokenizers for text: any fast one on the Hub, the vocabulary of Mistral 7B v0.1, or a new byte-level BPE."""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MISTRAL = "mistral-v0.1"
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
# the 256 bytes, the three special tokens, and one merge
SMALLEST_BPE = 260

# How text is split into words before BPE: the pattern of Llama 3. Unlike GPT-2's it keeps a blank line in one token
# and groups digits by three: 3.79 bytes per token instead of 3.61 on English text, with a vocabulary of 8192.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def load_tokenizer(name: str) -> "PreTrainedTokenizerFast":
    """A tokenizer that can end a document.

    Args:
        name: a folder, the name of a model on the Hub, or `mistral-v0.1`.

    Raises:
        ValueError: if it does not exist, or has no EOS token or no fast version.
        ModuleNotFoundError: if a package that `mistral-v0.1` needs is not installed.
    """
    if name == MISTRAL:
        return mistral_tokenizer()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"There is no tokenizer {name!r}: give a folder with tokenizer.json, a model on the Hub or {MISTRAL} "
            f"({str(error).splitlines()[0]})"
        ) from error
    if not tokenizer.is_fast:
        raise ValueError(
            f"The tokenizer {name!r} ({type(tokenizer).__name__}) has no fast version, which maps tokens to text; "
            "give one with a tokenizer.json."
        )
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"The tokenizer {name!r} has no EOS token to end documents with; set tokenizer.eos_token, save it with "
            "save_pretrained and give that folder, or train a new one with --train-bpe."
        )
    return tokenizer


def mistral_tokenizer() -> "PreTrainedTokenizerFast":
    """The tokenizer of Mistral 7B v0.1 (32,000 pieces), from the vocabulary in the package `mistral-common`.

    It gives the same tokens as SentencePiece, but can also tell which characters a token stands for.

    Raises:
        ModuleNotFoundError: if `mistral-common` or `sentencepiece` is not installed.
    """
    for package in ("mistral_common", "sentencepiece"):
        # found, not imported: only one file of the package is needed, and the import is slow
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"The tokenizer {MISTRAL} needs the package {package.replace('_', '-')}, which is not installed; run "
                "pip install mistral-common sentencepiece."
            )
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, normalizers

    folder = Path(importlib.util.find_spec("mistral_common").submodule_search_locations[0])
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "data/tokenizer.model.v1"))
    vocabulary = {pieces.id_to_piece(index): index for index in range(len(pieces))}
    # SentencePiece joins the two neighbors whose union has the best score; BPE takes the first of a list of merges.
    # The order is that of the scores, not of the ids: runs of spaces have low ids and come last.
    joined = [
        piece
        for piece, index in vocabulary.items()
        if not (pieces.is_control(index) or pieces.is_unknown(index) or pieces.is_byte(index))
    ]
    joined.sort(key=lambda piece: -pieces.get_score(vocabulary[piece]))
    merges = [
        (piece[:cut], piece[cut:])
        for piece in joined
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _wrap(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def bpe_tokenizer(documents: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """A byte-level BPE of the documents, with tokens for BOS, EOS and padding; it can represent any text.

    Args:
        documents: read once; they do not have to fit in memory.
        vocab_size: size of the vocabulary, including the three special tokens and the 256 bytes.

    Raises:
        ValueError: if the size is below 260, or too large for the documents.
    """
    if vocab_size < SMALLEST_BPE:
        raise ValueError(f"train_bpe={vocab_size} is not allowed; it must be at least {SMALLEST_BPE}.")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(documents, trainer)
    if backend.get_vocab_size() < vocab_size:
        raise ValueError(
            f"The training split is too small for a vocabulary of {vocab_size} tokens, it only gives "
            f"{backend.get_vocab_size()}; give more text or at most --train-bpe {backend.get_vocab_size()}."
        )
    return _wrap(backend, bos_token=BOS, eos_token=EOS, pad_token=PAD)


def _wrap(backend, **special_tokens: str) -> "PreTrainedTokenizerFast":
    """The tokenizer for transformers; it puts BOS before a text, as before documents in training."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend, add_bos_token=True, clean_up_tokenization_spaces=False, **special_tokens
    )
