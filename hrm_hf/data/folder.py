"""Data set folders: Parquet files and a card, which `datasets.load_dataset` and the Hub open directly.

README.md                            the card: YAML that names the splits, then how the data was made, and pictures
data/<split>-00000-of-00001.parquet  one file per split

Splits have the same columns, unless the card names several configurations.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from huggingface_hub import DatasetCard, DatasetCardData, snapshot_download

from hrm_hf.utils.files import whole_folder


if TYPE_CHECKING:
    from matplotlib.figure import Figure  # a machine that trains needs no matplotlib

# names of pyarrow types in the YAML of a card
_DTYPES = {
    pa.string(): "string",
    pa.uint8(): "uint8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.float64(): "float64",
}


@dataclass
class SplitSize:
    """Rows of a split, and their bytes in memory."""

    num_rows: int = 0
    num_bytes: int = 0


@dataclass
class DatasetConfig:
    """Splits with the same columns; its name is the second argument of `load_dataset`."""

    sizes: dict[str, SplitSize]
    schema: pa.Schema


@dataclass
class CardPicture:
    """A picture at the end of a card.

    Attributes:
        figure: the picture.
        caption: also for those who cannot see it.
        file_name: in the folder.
    """

    figure: "Figure"
    caption: str
    file_name: str = "samples.png"


def write_dataset_folder(
    output_dir: Path,
    splits: dict[str, pa.Table],
    card_text: str,
    metadata: dict,
    overwrite: bool = False,
    pictures: Sequence[CardPicture] = (),
):
    """Write a data set folder next to its place, then rename it, so that it is never half written.

    Args:
        output_dir: the folder.
        splits: tables of the same schema by the name of their split.
        card_text: Markdown of the card.
        metadata: more entries for its YAML (`pretty_name`, `license`, `tags`, ...).
        overwrite: whether an existing data set may be replaced.
        pictures: at the end of the card.

    Raises:
        FileExistsError: if `output_dir` has something that may not be replaced.
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
        write_card(partial, sizes, schema, card_text, metadata, pictures)


@contextmanager
def dataset_folder(output_dir: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill (with `data/` in it), which becomes `output_dir` at the end, or is removed after an error.

    Raises:
        FileExistsError: if `output_dir` has something that may not be replaced.
    """
    check_output_dir(output_dir, overwrite)
    with whole_folder(output_dir) as partial:
        (partial / "data").mkdir()
        yield partial


def parquet_path(folder: Path, split: str) -> Path:
    """Where the rows of a split are."""
    return folder / "data" / f"{split}-00000-of-00001.parquet"


def local_folder(folder: str | Path, patterns: list[str], script: str) -> Path:
    """The folder itself, or the matching files of a data set on the Hub, downloaded.

    Args:
        folder: a folder, or the name of a data set on the Hub.
        patterns: of the files to download.
        script: the one of `dataset_scripts/` that makes such folders, for messages.

    Raises:
        FileNotFoundError: if the data set does not exist.
    """
    name = str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise FileNotFoundError(
            f"There is no data set folder {name}; build one with dataset_scripts/{script} or give a data set on the "
            "Hub as owner/name."
        )
    try:
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"There is no data set folder {name}, and no data set of this name can be downloaded from the Hub: "
            f"{str(error).splitlines()[0]}"
        ) from error


def write_card(
    folder: Path,
    sizes: dict[str, SplitSize],
    schema: pa.Schema,
    card_text: str,
    metadata: dict,
    pictures: Sequence[CardPicture] = (),
):
    """Write the README.md of a data set folder.

    Args:
        folder: the folder.
        sizes: of the splits, by name.
        schema: of every split.
        card_text: Markdown of the card.
        metadata: more entries for its YAML.
        pictures: written next to it and shown at its end.
    """
    write_card_of_configs(folder, {"default": DatasetConfig(sizes, schema)}, card_text, metadata, pictures)


def write_card_of_configs(
    folder: Path,
    configs: dict[str, DatasetConfig],
    card_text: str,
    metadata: dict,
    pictures: Sequence[CardPicture] = (),
):
    """Write the README.md of a data set folder with several kinds of rows; no two splits may have the same name.

    Args:
        folder: the folder.
        configs: by name; `load_dataset` opens the first one by default.
        card_text, metadata, pictures: as for `write_card`.
    """
    infos = {
        name: {
            "features": [_feature(column) for column in config.schema],
            "splits": [
                {"name": split, "num_bytes": size.num_bytes, "num_examples": size.num_rows}
                for split, size in config.sizes.items()
            ],
        }
        for name, config in configs.items()
    }
    entries = [
        {
            "config_name": name,
            "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in config.sizes],
        }
        for name, config in configs.items()
    ]
    if len(configs) == 1:
        (dataset_info,) = infos.values()
    else:
        dataset_info = [{"config_name": name} | info for name, info in infos.items()]
        entries[0]["default"] = True
    card_data = DatasetCardData(
        size_categories=[
            size_category(sum(size.num_rows for config in configs.values() for size in config.sizes.values()))
        ],
        configs=entries,
        dataset_info=dataset_info,
        **metadata,
    )
    for picture in pictures:
        picture.figure.savefig(folder / picture.file_name, dpi=110)
        card_text += f"\n![{picture.caption}]({picture.file_name})\n\n*{picture.caption}.*\n"
    DatasetCard(f"---\n{card_data.to_yaml()}\n---\n\n{card_text}").save(folder / "README.md")


def _feature(column: pa.Field) -> dict:
    """A column in the YAML of a card."""
    kind = _kind(column.type)
    return {"name": column.name} | (kind if isinstance(kind, dict) else {"dtype": kind})


def _kind(column_type: pa.DataType) -> str | dict:
    """A type in the YAML of a card: its name, or a dictionary for lists and structs."""
    if pa.types.is_list(column_type):
        if pa.types.is_struct(column_type.value_type):
            return {"list": [_feature(member) for member in column_type.value_type]}
        return {"list": _kind(column_type.value_type)}
    return _DTYPES[column_type]


def card_metadata(folder: Path) -> dict[str, Any]:
    """The YAML at the start of the README.md of a data set folder.

    Raises:
        ValueError: if it is not YAML, or does not have the form of a card.
    """
    path = folder / "README.md"
    try:
        return DatasetCard.load(path, ignore_metadata_errors=True).data.to_dict()
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} does not start with valid YAML ({reason}); correct it.") from error


def is_dataset_folder(folder: Path) -> bool:
    """Whether it has a card and a folder with rows."""
    return (folder / "README.md").is_file() and (folder / "data").is_dir()


def check_output_dir(output_dir: Path, overwrite: bool):
    """Raise a `FileExistsError` if a data set may not be written there; builders ask before minutes of work."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not is_dataset_folder(output_dir):
        raise FileExistsError(f"{output_dir} exists and is not a data set folder; give another output directory.")
    if not overwrite:
        raise FileExistsError(f"{output_dir} is already a data set; give another output directory or --overwrite.")


def finished_splits(output_dir: Path, *recipe: str) -> dict[str, int] | None:
    """Rows by split if the same recipe already made the data set; then prints that there is nothing to do.

    Args:
        output_dir: the folder.
        recipe: Markdown that says how the data set is made, with command and hashes of sources; in parts, if the
            card has other text between them.

    Returns:
        `None` if there is no data set, or its card does not contain the recipe word for word.

    Raises:
        ValueError: if a file of the data set is missing or damaged.
    """
    card_path = output_dir / "README.md"
    if not card_path.is_file():
        return None
    card = card_path.read_text(encoding="utf-8")
    if not all(part in card for part in recipe):
        return None
    rows = split_rows(output_dir)
    print(f"{output_dir} was already made by this command: nothing to do; --overwrite makes it again")
    return rows


def split_rows(folder: Path) -> dict[str, int]:
    """Rows by split of a data set folder.

    Raises:
        ValueError: if its card names no splits, or a file of the data set is missing or damaged.
    """
    infos = card_metadata(folder).get("dataset_info")
    try:
        names = [
            str(split["name"]) for info in (infos if isinstance(infos, list) else [infos]) for split in info["splits"]
        ]
    except (TypeError, KeyError):
        names = []
    if not names:
        raise ValueError(
            f"{folder}/README.md names no splits (dataset_info), unlike cards of dataset_scripts/; build the data set "
            "again."
        )
    rows = {}
    for split in names:
        path = parquet_path(folder, split)
        try:
            rows[split] = pq.read_metadata(path).num_rows
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise ValueError(
                f"{path} is missing or damaged, but its card exists: {str(error).splitlines()[0]}; make the data set "
                "again with --overwrite."
            ) from error
    return rows


def size_category(num_rows: int) -> str:
    """The Hub's size category for a number of rows, such as `1K<n<10K`."""
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
    if num_rows < bounds[0][0]:
        return "n<1K"
    for (_, lower), (upper_bound, upper) in zip(bounds, bounds[1:], strict=False):
        if num_rows < upper_bound:
            return f"{lower}<n<{upper}"
    return "n>10M"
