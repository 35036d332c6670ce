"""Data set folders: Parquet files and a card, which `datasets.load_dataset` and the Hub both open as they are.

README.md                            the card: YAML that names the splits, then how the data was made
data/<split>-00000-of-00001.parquet  one file a split
"""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData


# names of pyarrow types in the YAML of a card
_DTYPES = {pa.string(): "string", pa.int16(): "int16", pa.int32(): "int32"}


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
    check_output_dir(output_dir, overwrite)
    for name, table in splits.items():
        if table.num_rows == 0:
            raise ValueError(f"The split {name!r} has no rows; a data set folder needs at least one in every split.")

    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "data").mkdir(parents=True)
    for name, table in splits.items():
        pq.write_table(table, partial / "data" / f"{name}-00000-of-00001.parquet", compression="zstd")
    schema = next(iter(splits.values())).schema
    card_data = DatasetCardData(
        size_categories=[size_category(sum(table.num_rows for table in splits.values()))],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in splits],
            }
        ],
        dataset_info={
            "features": [{"name": column.name, "dtype": _DTYPES[column.type]} for column in schema],
            "splits": [
                {"name": name, "num_bytes": table.nbytes, "num_examples": table.num_rows}
                for name, table in splits.items()
            ],
        },
        **metadata,
    )
    DatasetCard(f"---\n{card_data.to_yaml()}\n---\n\n{card_text}").save(partial / "README.md")
    if output_dir.exists():
        shutil.rmtree(output_dir)
    partial.rename(output_dir)


def check_output_dir(output_dir: Path, overwrite: bool):
    """Raise a `FileExistsError` if a data set may not be written there; builders ask before they work for minutes."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not (output_dir / "README.md").is_file() or not (output_dir / "data").is_dir():
        raise FileExistsError(f"{output_dir} is there and is no data set folder; give another output directory.")
    if not overwrite:
        raise FileExistsError(f"{output_dir} is a data set already; give another output directory or --overwrite.")


def size_category(num_rows: int) -> str:
    """The Hub's word for a number of rows, as in `1K<n<10K`."""
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
    if num_rows < bounds[0][0]:
        return "n<1K"
    for (_, lower), (upper_bound, upper) in zip(bounds, bounds[1:], strict=False):
        if num_rows < upper_bound:
            return f"{lower}<n<{upper}"
    return "n>10M"
