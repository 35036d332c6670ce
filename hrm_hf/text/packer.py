"""Documents as blocks: tokenized in threads, concatenated, cut to one length, and written as they fill."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("num_bytes", pa.int32())])
_ROW_GROUP = 1024  # blocks written at a time
_STATISTICS = "statistics"  # key in the metadata of a Parquet file
_BATCH = 1 << 18  # characters that a thread tokenizes at a time, or one longer document


@dataclass
class SplitStatistics:
    """Statistics of the documents of a split.

    Attributes:
        documents: number of documents that are not blank.
        blank_documents: number left out because they are empty or white space.
        num_bytes: of the documents, in UTF-8.
        tokens: of the documents, including BOS and EOS.
        unknown_tokens: how many of them are the unknown token, which loses the text.
        blocks: rows written.
        tail_tokens, tail_bytes: of the last block if it is shorter than the others, otherwise 0.
    """

    documents: int = 0
    blank_documents: int = 0
    num_bytes: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    blocks: int = 0
    tail_tokens: int = 0
    tail_bytes: int = 0

    @property
    def bytes_per_token(self) -> float:
        return self.num_bytes / self.tokens


def read_statistics(path: Path) -> SplitStatistics:
    """The statistics of an existing split.

    Args:
        path: Parquet file written by a [`BlockPacker`].

    Raises:
        ValueError: if it was written without them, as in older versions.
    """
    metadata = pq.read_metadata(path).metadata or {}
    if _STATISTICS.encode() not in metadata:
        raise ValueError(f"{path} lacks the statistics of its split; make the data set again with --overwrite.")
    return SplitStatistics(**json.loads(metadata[_STATISTICS.encode()]))


@contextmanager
def one_thread_a_call():
    """Makes `tokenizers` work in the calling thread; it reads the variable on every call."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def text_encoder(tokenizer) -> Callable[[str], list[int]]:
    """A function from a text to its tokens as in data sets: without BOS and EOS, and text that looks like a special
    token is text.

    Args:
        tokenizer: of transformers, fast or not.
    """
    if not tokenizer.is_fast:
        return lambda text: tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)[
            "input_ids"
        ]
    backend = _plain_backend(tokenizer)
    return lambda text: backend.encode(text, add_special_tokens=False).ids


def _plain_backend(tokenizer):
    """The `tokenizers.Tokenizer` of a fast tokenizer, without special tokens in the text."""
    from tokenizers import Tokenizer

    # a copy, so that the settings below are not saved
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = True  # as ordinary text
    backend.no_truncation()
    backend.no_padding()
    return backend


def encode(documents: Iterable[tuple[str, str]], tokenizer, num_proc: int) -> Iterator[tuple]:
    """The documents with their tokens, in order, without BOS and EOS.

    Args:
        documents: pairs of split and text.
        tokenizer: a fast tokenizer of transformers.
        num_proc: threads; the result is the same for any number.

    Yields:
        Split, text and the `tokenizers.Encoding` of the text; `None` for a blank text.
    """
    backend = _plain_backend(tokenizer)

    def encode_batch(batch: list[tuple[str, str]]) -> list[tuple]:
        encodings = iter(backend.encode_batch([text for _, text in batch if text.strip()], add_special_tokens=False))
        return [(split, text, next(encodings) if text.strip() else None) for split, text in batch]

    with one_thread_a_call(), ThreadPoolExecutor(num_proc) as pool:
        pending: deque = deque()
        for batch in batches(documents):
            pending.append(pool.submit(encode_batch, batch))
            if len(pending) > 2 * num_proc:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def batches(documents: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """The documents in lists of about `_BATCH` characters."""
    batch, size = [], 0
    for split, text in documents:
        batch.append((split, text))
        size += len(text) + 1  # blank documents take space too
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class BlockPacker:
    """Packs the documents of a split into blocks and writes them, a row group at a time. Use it as a context.

    Args:
        path: Parquet file to write.
        block_size: tokens of a block.
        tokenizer: for BOS and EOS.
    """

    def __init__(self, path: Path, block_size: int, tokenizer):
        self.block_size = block_size
        self.before, self.after = border_tokens(tokenizer)
        self.unknown = tokenizer.unk_token_id
        self.statistics = SplitStatistics()
        self.table_bytes = 0
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._block: list[int] = []
        self._block_bytes = 0
        self._rows: list[list[int]] = []
        self._rows_bytes: list[int] = []

    def __enter__(self) -> "BlockPacker":
        return self

    def __exit__(self, *error):
        self._writer.close()

    def add(self, text: str, encoding):
        """Append a document, with BOS and EOS, to the blocks.

        All bytes of a document are assigned to blocks: a token stands for the characters from the end of the previous
        token to its own end. A character that spans several tokens counts with the first of them; characters without
        a token count with the next token, or at the end of the text with the last one.

        Args:
            text: the document.
            encoding: its `tokenizers.Encoding`; `None` if it is blank.
        """
        counts = self.statistics
        if encoding is None:
            counts.blank_documents += 1
            return
        text_ids = encoding.ids
        ids = [*self.before, *text_ids, *self.after]
        counts.documents += 1
        counts.tokens += len(ids)
        counts.unknown_tokens += 0 if self.unknown is None else text_ids.count(self.unknown)

        token = character = 0
        while token < len(ids):
            token_stop = min(token + self.block_size - len(self._block), len(ids))
            text_tokens = token_stop - len(self.before)
            if text_tokens >= len(text_ids):
                character_stop = len(text)
            elif text_tokens <= 0:
                character_stop = 0
            else:
                character_stop = max(character, encoding.token_to_chars(text_tokens - 1)[1])
            num_bytes = len(text[character:character_stop].encode())
            counts.num_bytes += num_bytes
            self._block += ids[token:token_stop]
            self._block_bytes += num_bytes
            if len(self._block) == self.block_size:
                self._end_block()
            token, character = token_stop, character_stop

    def finish(self, drop_tail: bool):
        """Write the last block, which may be shorter, or drop it."""
        self.statistics.tail_tokens = len(self._block)
        self.statistics.tail_bytes = self._block_bytes
        if self._block and not drop_tail:
            self._end_block()
        self._write_rows()
        self._writer.add_key_value_metadata({_STATISTICS: json.dumps(asdict(self.statistics))})

    def _end_block(self):
        self._rows.append(self._block)
        self._rows_bytes.append(self._block_bytes)
        self._block, self._block_bytes = [], 0
        self.statistics.blocks += 1
        if len(self._rows) == _ROW_GROUP:
            self._write_rows()

    def _write_rows(self):
        if self._rows:
            table = pa.table({"input_ids": self._rows, "num_bytes": self._rows_bytes}, schema=SCHEMA)
            self._writer.write_table(table)
            self.table_bytes += table.nbytes
            self._rows, self._rows_bytes = [], []


def border_tokens(tokenizer) -> tuple[list[int], list[int]]:
    """The tokens before and after every document: BOS, unless there is none or it is the same as EOS, and EOS."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return ([] if bos in (None, eos) else [bos]), [eos]
