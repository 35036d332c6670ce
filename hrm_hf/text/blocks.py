"""Blocks of tokens for training and evaluation, and their tokenizer, from a folder of `dataset_scripts/build_text.py`.

Reads only with pyarrow, so training does not need `datasets`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from hrm_hf.data.folder import local_folder


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COLUMNS = ("input_ids", "num_bytes")


@dataclass(frozen=True)
class TextBlocks:
    """The rows of a split; row r is `tokens[starts[r] : starts[r + 1]]`.

    Attributes:
        tokens: all token ids, of shape `(tokens,)`, int32.
        starts: where the rows start, and the end, of shape `(rows + 1,)`, int64.
        num_bytes: UTF-8 bytes of text in each row, of shape `(rows,)`, int32.
    """

    tokens: np.ndarray
    starts: np.ndarray
    num_bytes: np.ndarray

    def __len__(self) -> int:
        return len(self.num_bytes)

    def __getitem__(self, row: int) -> dict[str, np.ndarray | int]:
        """`input_ids` of shape `(tokens of the row,)`, int32, and `num_bytes`."""
        row = range(len(self))[row]
        return {
            "input_ids": self.tokens[self.starts[row] : self.starts[row + 1]],
            "num_bytes": int(self.num_bytes[row]),
        }

    @property
    def block_size(self) -> int:
        """Tokens of the longest row; only the last row may be shorter."""
        return int(np.diff(self.starts).max())


def load_text_blocks(folder: str | Path, split: str) -> TextBlocks:
    """The rows of a split of a text data set.

    Args:
        folder: a folder written by `dataset_scripts/build_text.py`, or the name of such a data set on the Hub.
        split: "train" or "validation".

    Raises:
        FileNotFoundError: if the data set does not exist.
        ValueError: if the split or a column is missing, or the split has no rows.
    """
    local = local_folder(folder, ["data/*"], "build_text.py")
    files = sorted(local.glob(f"data/{split}-*.parquet"))
    if not files:
        there = sorted({path.name.split("-")[0] for path in local.glob("data/*-*.parquet")})
        raise ValueError(f"The data set {folder} has no split {split!r}; it has {', '.join(there) or 'none'}.")
    tables = []
    for file in files:
        columns = pq.read_schema(file).names
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise ValueError(
                f"{file} has no column {' and '.join(missing)}, only {', '.join(columns)}; give a folder written by "
                "dataset_scripts/build_text.py."
            )
        tables.append(pq.read_table(file, columns=list(_COLUMNS)))
    chunks = [chunk for table in tables for chunk in table["input_ids"].chunks]
    num_bytes = np.concatenate([table["num_bytes"].to_numpy() for table in tables])
    if len(num_bytes) == 0:
        raise ValueError(f"The split {split!r} of {folder} has no rows; build it again.")
    lengths = np.concatenate([chunk.value_lengths().to_numpy() for chunk in chunks])
    return TextBlocks(
        tokens=np.concatenate([chunk.flatten().to_numpy() for chunk in chunks]),
        starts=np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))),
        num_bytes=num_bytes,
    )


def load_text_tokenizer(folder: str | Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of a text data set; a model for it needs `len(tokenizer)` embeddings.

    Args:
        folder: as for [`load_text_blocks`].

    Raises:
        FileNotFoundError: if the data set does not exist or has no tokenizer.
    """
    tokenizer_folder = local_folder(folder, ["tokenizer/*"], "build_text.py") / "tokenizer"
    if not (tokenizer_folder / "tokenizer.json").is_file():
        raise FileNotFoundError(
            f"The data set {folder} has no tokenizer/tokenizer.json; build it with dataset_scripts/build_text.py."
        )
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)
