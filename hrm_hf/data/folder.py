"""Data set folders: Parquet files and a card, which `datasets.load_dataset` and the Hub both open as they are.

README.md                            the card: YAML that names the splits, then how the data was made
data/<split>-00000-of-00001.parquet  one file a split
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData


# names of pyarrow types in the YAML of a card
_DTYPES = {pa.string(): "string", pa.int16(): "int16", pa.int32(): "int32"}


@dataclass
class SplitSize:
    """Rows of a split, and the bytes they take in memory."""

    num_rows: int = 0
    num_bytes: int = 0


def write_dataset_folder(
    output_dir: Path, splits: dict[str, pa.Table], card_text: str, metadata: dict, overwrite: bool = False
):
    """Write a data set folder beside its place, then rename it: it is whole or not there.

    Args:
        output_dir: the folder.
        splits: tables of the same schema by the name of their split.
        card_text: Markdown of the card.
        metadata: more entries for its YAML (`pretty_name`, `license`, `tags`, ...).
        overwrite: whether a data set that is there may be replaced.

    Raises:
        FileExistsError: if `output_dir` holds something that may not be replaced.
        ValueError: if a split is empty.
    """
    for name, table in splits.items():
        if table.num_rows == 0:
            raise ValueError(f"The split {name!r} has no rows; a data set folder needs at least one in every split.")

    with dataset_folder(output_dir, overwrite) as partial:
        for name, table in splits.items():
            pq.write_table(table, parquet_path(partial, name), compression="zstd")
        schema = next(iter(splits.values())).schema
        sizes = {name: SplitSize(table.num_rows, table.nbytes) for name, table in splits.items()}
        write_card(partial, sizes, schema, card_text, metadata)


@contextmanager
def dataset_folder(output_dir: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill (`data/` is there), which becomes `output_dir` at the end, or goes away after an error.

    Raises:
        FileExistsError: if `output_dir` holds something that may not be replaced.
    """
    check_output_dir(output_dir, overwrite)
    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "data").mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial)
        raise
    if output_dir.exists():
        shutil.rmtree(output_dir)
    partial.rename(output_dir)


def parquet_path(folder: Path, split: str) -> Path:
    """Where the rows of a split are."""
    return folder / "data" / f"{split}-00000-of-00001.parquet"


def write_card(folder: Path, sizes: dict[str, SplitSize], schema: pa.Schema, card_text: str, metadata: dict):
    """Write the README.md of a data set folder.

    Args:
        folder: the folder.
        sizes: of the splits, by name.
        schema: of every split.
        card_text: Markdown of the card.
        metadata: more entries for its YAML.
    """
    card_data = DatasetCardData(
        size_categories=[size_category(sum(size.num_rows for size in sizes.values()))],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in sizes],
            }
        ],
        dataset_info={
            "features": [_feature(column) for column in schema],
            "splits": [
                {"name": name, "num_bytes": size.num_bytes, "num_examples": size.num_rows}
                for name, size in sizes.items()
            ],
        },
        **metadata,
    )
    DatasetCard(f"---\n{card_data.to_yaml()}\n---\n\n{card_text}").save(folder / "README.md")


def _feature(column: pa.Field) -> dict[str, str]:
    """A column in the YAML of a card."""
    if pa.types.is_list(column.type):
        return {"name": column.name, "list": _DTYPES[column.type.value_type]}
    return {"name": column.name, "dtype": _DTYPES[column.type]}


def check_output_dir(output_dir: Path, overwrite: bool):
    """Raise a `FileExistsError` if a data set may not be written there; builders ask before they work for minutes."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not (output_dir / "README.md").is_file() or not (output_dir / "data").is_dir():
        raise FileExistsError(f"{output_dir} is there and is no data set folder; give another output directory.")
    if not overwrite:
        raise FileExistsError(f"{output_dir} is a data set already; give another output directory or --overwrite.")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_category(num_rows: int) -> str:
    """The Hub's word for a number of rows, as in `1K<n<10K`."""
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
    if num_rows < bounds[0][0]:
        return "n<1K"
    for (_, lower), (upper_bound, upper) in zip(bounds, bounds[1:], strict=False):
        if num_rows < upper_bound:
            return f"{lower}<n<{upper}"
    return "n>10M"
