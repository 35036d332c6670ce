"""Data set folders: Parquet files and a card, which `datasets.load_dataset` and the Hub both open as they are.

README.md                            the card: YAML that names the splits, then how the data was made, and pictures
data/<split>-00000-of-00001.parquet  one file a split

Splits have the same columns, unless the card names several configurations.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, DatasetCardData, snapshot_download


if TYPE_CHECKING:
    from matplotlib.figure import Figure  # a machine that trains needs no matplotlib

# names of pyarrow types in the YAML of a card
_DTYPES = {pa.string(): "string", pa.uint8(): "uint8", pa.int16(): "int16", pa.int32(): "int32"}


@dataclass
class SplitSize:
    """Rows of a split, and the bytes they take in memory."""

    num_rows: int = 0
    num_bytes: int = 0


@dataclass
class DatasetConfig:
    """Splits that have the same columns: what `load_dataset` takes as its second argument."""

    sizes: dict[str, SplitSize]
    schema: pa.Schema


@dataclass
class CardPicture:
    """A picture at the end of a card.

    Attributes:
        figure: what it shows.
        caption: in words, also for those who cannot see it.
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
    """Write a data set folder beside its place, then rename it: it is whole or not there.

    Args:
        output_dir: the folder.
        splits: tables of the same schema by the name of their split.
        card_text: Markdown of the card.
        metadata: more entries for its YAML (`pretty_name`, `license`, `tags`, ...).
        overwrite: whether a data set that is there may be replaced.
        pictures: at the end of the card.

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
        write_card(partial, sizes, schema, card_text, metadata, pictures)


@contextmanager
def dataset_folder(output_dir: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill (`data/` is there), which becomes `output_dir` at the end, or goes away after an error.

    Raises:
        FileExistsError: if `output_dir` holds something that may not be replaced.
    """
    check_output_dir(output_dir, overwrite)
    with whole_folder(output_dir) as partial:
        (partial / "data").mkdir()
        yield partial


def check_output(output: Path, overwrite: bool, has_file: str, kind: str) -> None:
    """Raise a `FileExistsError` if a folder is there that may not be replaced."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / has_file).is_file():
        raise FileExistsError(f"{output} is there and is no {kind} (it has no {has_file}); give another --out.")
    if not overwrite:
        raise FileExistsError(f"{output} is a {kind} already; give another --out, or --overwrite to replace it.")


@contextmanager
def whole_folder(output_dir: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `output_dir` at the end, or goes away after an error.

    Raises:
        OSError: if the disk is full, with a sentence that says so.
    """
    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, Exception) and _is_full_disk(error):
            disk = next(folder for folder in partial.absolute().parents if folder.exists())
            raise OSError(
                f"No space is left for {output_dir}: its disk has {shutil.disk_usage(disk).free / 1e6:,.0f} MB free; "
                "make room or give an output directory on another disk. Nothing was written."
            ) from error
        raise
    if output_dir.exists():
        shutil.rmtree(output_dir)
    partial.rename(output_dir)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, with the same ending, which replaces `path` at the end, or goes away after an error."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(path)


def _is_full_disk(error: Exception) -> bool:
    """Whether an error says that a disk or a quota is full."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    # tokenizers says it in words only, and numpy just that it wrote less than it should
    said = str(error)
    return os.strerror(errno.ENOSPC) in said or (isinstance(error, OSError) and " requested and " in said)


def parquet_path(folder: Path, split: str) -> Path:
    """Where the rows of a split are."""
    return folder / "data" / f"{split}-00000-of-00001.parquet"


def local_folder(folder: str | Path, patterns: list[str], script: str) -> Path:
    """The folder itself, or what matches the patterns of a data set on the Hub, downloaded.

    Args:
        folder: a folder, or the name of a data set on the Hub.
        patterns: files that are needed.
        script: which of `dataset_scripts/` makes such folders; messages name it.

    Raises:
        FileNotFoundError: if there is no such data set.
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
            f"There is no data set folder {name}, and a data set of this name on the Hub cannot be fetched: "
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
        pictures: written beside it and shown at its end.
    """
    write_card_of_configs(folder, {"default": DatasetConfig(sizes, schema)}, card_text, metadata, pictures)


def write_card_of_configs(
    folder: Path,
    configs: dict[str, DatasetConfig],
    card_text: str,
    metadata: dict,
    pictures: Sequence[CardPicture] = (),
):
    """Write the README.md of a data set folder with several kinds of rows; no two splits may have one name.

    Args:
        folder: the folder.
        configs: by name; the first is what `load_dataset` opens by default.
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


def is_dataset_folder(folder: Path) -> bool:
    """Whether there is a card and a folder with rows."""
    return (folder / "README.md").is_file() and (folder / "data").is_dir()


def check_output_dir(output_dir: Path, overwrite: bool):
    """Raise a `FileExistsError` if a data set may not be written there; builders ask before they work for minutes."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not is_dataset_folder(output_dir):
        raise FileExistsError(f"{output_dir} is there and is no data set folder; give another output directory.")
    if not overwrite:
        raise FileExistsError(f"{output_dir} is a data set already; give another output directory or --overwrite.")


def finished_splits(output_dir: Path, *recipe: str) -> dict[str, int] | None:
    """Rows by split of the data set that a recipe has made there; a builder has nothing to do then, and this says so.

    Args:
        output_dir: the folder.
        recipe: Markdown that says how the data set is made, command and hashes of sources included; in parts, if
            the card has more between them.

    Returns:
        `None` if there is no data set, or one whose card does not hold the recipe word for word.

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
    print(f"{output_dir} is there already, made by this command: nothing to do; --overwrite makes it anew")
    return rows


def split_rows(folder: Path) -> dict[str, int]:
    """Rows by split of a data set folder.

    Raises:
        ValueError: if its card names no splits, or a file of the data set is missing or damaged.
    """
    infos = DatasetCard.load(folder / "README.md").data.get("dataset_info")
    if not infos:
        raise ValueError(
            f"{folder}/README.md names no splits (dataset_info), as the cards of dataset_scripts/ do; build the data "
            "set anew."
        )
    splits = [split for info in (infos if isinstance(infos, list) else [infos]) for split in info["splits"]]
    rows = {}
    for split in splits:
        path = parquet_path(folder, split["name"])
        try:
            rows[split["name"]] = pq.read_metadata(path).num_rows
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise ValueError(
                f"{path} is missing or damaged, though its card is there: {str(error).splitlines()[0]}; make the data "
                "set anew with --overwrite."
            ) from error
    return rows


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path, files: list[Path]) -> str:
    """SHA-256 of the list of the files' SHA-256, each with its path in the folder, as `sha256sum` writes it."""
    lines = "".join(f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def size_category(num_rows: int) -> str:
    """The Hub's word for a number of rows, as in `1K<n<10K`."""
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"), (10_000_000, "10M"))
    if num_rows < bounds[0][0]:
        return "n<1K"
    for (_, lower), (upper_bound, upper) in zip(bounds, bounds[1:], strict=False):
        if num_rows < upper_bound:
            return f"{lower}<n<{upper}"
    return "n>10M"
