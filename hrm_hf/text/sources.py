"""Sources of the documents of a text corpus: files, folders, globs, and rows of data sets.

Everything is read in pieces, so a corpus does not have to fit in memory, only each document.
"""

import bz2
import codecs
import glob
import gzip
import hashlib
import json
import lzma
import string
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from hrm_hf.data.bad_input import OnError, stop_or_note
from hrm_hf.utils.files import sha256


def _open_zst(file):
    return pa.CompressedInputStream(file, "zstd")


_OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open, ".zst": _open_zst}
# read from folders, also compressed, in addition to the given endings
_TEXT_KINDS = (".txt", ".jsonl")
# a folder with such files and no text is a data set; the first two endings are certain
_TABLE_ENDINGS = (".parquet", ".arrow", ".csv", ".json")
_PIECE = 1 << 20  # bytes of text read at a time

# called with how much more of its source (`size`) has been read
Advance = Callable[[int], object]
# called with the error in a line or a row, which is left out unless this raises
OnBad = Callable[[ValueError], object]


def _raise(error: ValueError):
    raise error


class TextFile:
    """A text file, plain or compressed (.gz, .xz, .bz2, .zst): one document, or several separated by a separator.

    A byte order mark at the start is not part of the text.

    Args:
        path: the file.
        name: its name in the card of a data set.
    """

    def __init__(self, path: Path, name: str):
        self.path = path
        self.name = name
        self.key = path.resolve()
        self.size = path.stat().st_size  # on disk

    def documents(self, separator: str | None, advance: Advance, on_bad: OnBad = _raise) -> Iterator[str]:
        """The documents, in order, including blank ones.

        Raises:
            ValueError: if the file is not UTF-8 or is cut off; names the file and the byte.
        """
        yield from cut(self._pieces(advance), separator)

    def check(self, advance: Advance):
        """Read the file to its end; raises a `ValueError` like `documents`."""
        for _ in self._pieces(advance):
            pass

    def fingerprints(self) -> list[str]:
        """Lines that identify the content: SHA-256 and name, in the format of `sha256sum`."""
        return [f"{sha256(self.path)}  {self.name}"]

    def _pieces(self, advance: Advance) -> Iterator[str]:
        """The text, about `_PIECE` bytes at a time."""
        compression = self.path.suffix.lower()
        decoder = codecs.getincrementaldecoder("utf-8")()
        text_bytes = disk_bytes = 0
        with open(self.path, "rb") as raw:
            file = _OPENERS[compression](raw) if compression in _OPENERS else raw
            piece = None
            while piece != b"":
                try:
                    piece = file.read(_PIECE)
                # OSError: from bz2 and pyarrow
                except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
                    raise ValueError(f"{self.path} is a damaged {compression} file ({error}).") from error
                if text_bytes == 0 and piece.startswith(codecs.BOM_UTF8):
                    piece = piece.removeprefix(codecs.BOM_UTF8)
                    text_bytes = len(codecs.BOM_UTF8)
                try:
                    text = decoder.decode(piece, final=piece == b"")
                except UnicodeDecodeError as error:
                    # the decoder keeps the first bytes of a character from the previous piece
                    offset = text_bytes - (len(error.object) - len(piece)) + error.start
                    where = "byte offset" if file is raw else "byte offset (uncompressed)"
                    raise ValueError(
                        f"{self.path} is not UTF-8: byte 0x{error.object[error.start]:02x} at {where} {offset}; "
                        "convert it (iconv -f ENCODING -t UTF-8)."
                    ) from error
                text_bytes += len(piece)
                advance(raw.tell() - disk_bytes)
                disk_bytes = raw.tell()
                yield text


class Template:
    """Makes the text of a row from its columns: `"Question: {question}\\nAnswer: {answer}"`.

    Args:
        text: with column names in braces; `{{` and `}}` are literal braces.

    Raises:
        ValueError: if it has a broken brace, or names no column.
    """

    def __init__(self, text: str):
        try:
            self._parts = [(before, name) for before, name, _, _ in string.Formatter().parse(text)]
        except ValueError as error:
            raise ValueError(f"The template {text!r} has a broken brace ({error}); write {{column}}.") from error
        self.columns = list(dict.fromkeys(name for _, name in self._parts if name))
        if not self.columns or any(name == "" for _, name in self._parts):
            raise ValueError(f"The template {text!r} names no column in its braces; write {{column}}.")

    def text_of(self, row: dict, where: str) -> str:
        """The text of a row; raises a `ValueError` that starts with `where` if a column has no text."""
        return "".join(before + (_text_of(row, name, where) if name else "") for before, name in self._parts)


class JsonLinesFile(TextFile):
    """A file with one JSON object per line, plain or compressed: each is a document, from one or several columns."""

    def __init__(self, path: Path, name: str, template: Template):
        super().__init__(path, name)
        self.template = template

    def documents(self, separator: str | None, advance: Advance, on_bad: OnBad = _raise) -> Iterator[str]:
        """As [`TextFile.documents`]; `on_bad` is called for a line that is not an object with text."""
        for number, line in enumerate(cut(self._pieces(advance), "\n"), start=1):
            if not line.strip():
                continue
            try:
                where = f"{self.path}, line {number},"
                text = self._text_of_row(_json_of(line, where), where)
            except ValueError as error:
                on_bad(error)
                continue
            yield from cut([text], separator)

    def _text_of_row(self, row: object, where: str) -> str:
        """The text of a row; raises a `ValueError` that starts with `where` if there is none."""
        if not isinstance(row, dict):
            raise ValueError(f"{where} is {str(row)[:40]!r}; expected a JSON object.")
        text = self.template.text_of(row, where)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            # JSON can encode half of a surrogate pair, which is not a character
            raise ValueError(f"{where} contains {text[error.start]!r}, which is not a character.") from error
        return text


class JsonFile(JsonLinesFile):
    """A file with one JSON array of objects, plain or compressed; read at once."""

    def documents(self, separator: str | None, advance: Advance, on_bad: OnBad = _raise) -> Iterator[str]:
        """As [`JsonLinesFile.documents`], for the objects of the array."""
        rows = _json_of("".join(self._pieces(advance)), str(self.path))
        if not isinstance(rows, list):
            raise ValueError(f"{self.path} is not a JSON array; expected objects in [ ], or .jsonl with one per line.")
        for number, row in enumerate(rows):
            try:
                text = self._text_of_row(row, f"{self.path}, object {number},")
            except ValueError as error:
                on_bad(error)
                continue
            yield from cut([text], separator)


class DataSetRows:
    """A split of a data set that `datasets.load_dataset` opens, read as a stream: one document per row.

    Args:
        name: a folder, or the name of a data set on the Hub.
        template: for the columns with the text.
        config_name: name of the data set's configuration, if it has several.
        split: name of the split.

    Raises:
        ValueError: if the data set, the configuration, the split or the column does not exist.
    """

    size = None  # unknown before reading

    def __init__(self, name: str, template: Template, config_name: str | None, split: str):
        import datasets

        self.name, self.template, self.config_name, self.split = name, template, config_name, split
        self.key = (name, config_name, split)
        is_file = Path(name).is_file()
        try:
            if is_file:
                self.split = split = "train"  # a file has no other
                rows = datasets.load_dataset("parquet", data_files=name, split=split, streaming=True)
            else:
                rows = datasets.load_dataset(name, config_name, split=split, streaming=True)
            columns = rows.column_names or list(next(iter(rows), {}))
        except (ValueError, OSError) as error:
            if is_file:
                what = f"{name} is not a Parquet file"
            elif Path(name).is_dir():
                what = f"The folder {name} cannot be opened as a data set"
            else:
                what = f"There is no file or folder {name}, and no data set of this name on the Hub can be opened"
            raise ValueError(f"{what}: {str(error).splitlines()[0]}") from error
        if missing := [column for column in template.columns if column not in columns]:
            raise ValueError(
                f"The data set {name} has no column {missing[0]!r}; give --text-column, one of {', '.join(columns)}."
            )
        self._rows = rows.select_columns(template.columns)
        self._commit = None
        if not Path(name).exists():
            from huggingface_hub import HfApi

            self._commit = HfApi().dataset_info(name).sha

    def documents(self, separator: str | None, advance: Advance, on_bad: OnBad = _raise) -> Iterator[str]:
        """The documents, in order, including blank ones; `on_bad` is called for a row without text."""
        for number, row in enumerate(self._rows):
            try:
                text = self.template.text_of(row, f"The data set {self.name}, row {number},")
            except ValueError as error:
                on_bad(error)
                continue
            advance(len(text.encode()))
            yield from cut([text], separator)

    def fingerprints(self) -> list[str]:
        """SHA-256 and name of every file of a folder; the commit of a data set on the Hub."""
        part = f"split {self.split}" if self.config_name is None else f"{self.config_name}, split {self.split}"
        if self._commit is not None:
            return [f"{self._commit}  {self.name} ({part})"]
        folder = Path(self.name)
        if folder.is_file():
            return [f"{sha256(folder)}  {public_name(folder.parent, folder)}"]
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [f"{sha256(path)}  {public_name(folder, path)} ({part})" for path in files]


Source = TextFile | JsonLinesFile | DataSetRows


def find_sources(
    inputs: list[str],
    text_column: str = "text",
    config_name: str | None = None,
    split: str = "train",
    template: str | None = None,
    endings: Sequence[str] = (),
) -> list[Source]:
    """The sources named by the inputs, in order; files of a folder or glob are sorted, and each file is used once.

    Args:
        inputs: each a file, a glob, a folder with text files (searched with its subfolders), a folder that
            `datasets.load_dataset` opens, or the name of a data set on the Hub.
        text_column: for JSON and data sets, the column with the text.
        config_name: for data sets, the configuration.
        split: for data sets, the split.
        template: for JSON and data sets, how to make the text from several columns; see `Template`.
        endings: of more text files in folders, such as `.md`.

    Raises:
        FileNotFoundError: if an input names nothing, or a folder without text.
        ValueError: if a folder can be read in two ways, a data set cannot be opened, or the template or an ending is
            not valid.
    """
    columns = Template(f"{{{text_column}}}" if template is None else template)
    for ending in endings:
        if not ending.startswith(".") or ending.lower() in (*_OPENERS, *_TABLE_ENDINGS):
            raise ValueError(f"The ending {ending!r} is not allowed; give an ending of text files, such as .md.")
    kinds = (*_TEXT_KINDS, *(ending.lower() for ending in endings))
    sources: list[Source] = []
    for entry in inputs:
        path = Path(entry).expanduser()
        if path.is_file():
            found = {path: public_name(path.parent, path) if path.is_absolute() else entry}
        elif path.is_dir():
            found = _files_of_folder(path, kinds)
        elif glob.has_magic(entry):
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
            found = {match: public_name(match.parent, match) for match in matches if match.is_file()}
            if not found:
                raise FileNotFoundError(f"The glob {entry} matches no file (from {Path.cwd()}); fix it.")
        elif path.is_absolute() or entry.startswith(".") or entry.count("/") != 1:
            raise FileNotFoundError(
                f"There is no file, folder or glob match {entry}; a data set on the Hub is named owner/name."
            )
        else:
            found = None  # on the Hub, or nowhere

        if not found:
            sources.append(DataSetRows(str(path), columns, config_name, split))
            continue
        for file, name in found.items():
            kind = (file.with_suffix("").suffix if file.suffix.lower() in _OPENERS else file.suffix).lower()
            if kind in (".jsonl", ".json"):
                sources.append((JsonLinesFile if kind == ".jsonl" else JsonFile)(file, name, columns))
            elif kind == ".parquet":
                sources.append(DataSetRows(str(file), columns, None, "train"))
            elif kind in (".csv", ".arrow", ".zip", ".7z", ".rar", ".pdf", ".docx", ".epub"):
                raise ValueError(
                    f"{file} is not plain text; convert it to text, JSON lines or Parquet, or put it alone in a "
                    "folder if datasets.load_dataset opens it."
                )
            else:
                sources.append(TextFile(file, name))
    return list({source.key: source for source in sources}.values())


class Corpus:
    """The documents of both splits, which may be read more than once.

    Args:
        sources: by split; without "validation", documents of "train" are held out.
        separator: between documents of a file or row.
        validation_share: share of the documents of "train" to hold out.
        seed: for their choice.
        on_error: `"stop"` raises at bad files, lines and rows, `"skip"` leaves them out.

    Attributes:
        errors: messages about what was left out; for lines and rows, in the last reading.
    """

    def __init__(
        self,
        sources: dict[str, list[Source]],
        separator: str | None,
        validation_share: float,
        seed: int,
        on_error: OnError = "stop",
    ):
        self.sources = sources
        self.separator = separator
        self.validation_share = validation_share
        self.seed = seed
        self.on_error = on_error
        self.errors: list[str] = []
        self._bad_files: list[str] = []

    def documents(self, label: str, splits: tuple[str, ...] = ("train", "validation")) -> Iterator[tuple[str, str]]:
        """Pairs of split and text, in order, including blank ones; with a progress bar with this label."""
        self.errors = self._bad_files.copy()
        read = {split: sources for split, sources in self.sources.items() if split in splits}
        sizes = [source.size for sources in read.values() for source in sources]
        total = None if None in sizes else sum(sizes)
        with tqdm(desc=label, total=total, unit="B", unit_scale=True, disable=None) as bar:
            for split, sources in read.items():
                number = 0
                for source in sources:
                    for text in self._documents_of(source, bar.update):
                        drawn = self.split_of(number) if len(self.sources) == 1 else split
                        if drawn in splits:
                            yield drawn, text
                        number += 1

    def _documents_of(self, source: Source, advance: Advance) -> Iterator[str]:
        if self.on_error == "skip":
            yield from source.documents(
                self.separator, advance, on_bad=lambda error: stop_or_note(error, "skip", self.errors)
            )
            return
        try:
            yield from source.documents(self.separator, advance)
        except ValueError as error:
            stop_or_note(error, "stop", self.errors)

    def leave_out_bad_files(self):
        """With `on_error="skip"`, read every file once to leave out bad ones; otherwise the text before the bad place
        would be used.

        Raises:
            ValueError: if there is no other file.
        """
        if self.on_error == "stop":
            return
        total = sum(source.size or 0 for sources in self.sources.values() for source in sources)
        with tqdm(desc="check files", total=total, unit="B", unit_scale=True, disable=None) as bar:
            for split, sources in self.sources.items():
                bad = []
                for source in sources:
                    if isinstance(source, TextFile):
                        try:
                            source.check(bar.update)
                        except ValueError as error:
                            bad.append(source)
                            self._bad_files.append(str(error))
                if len(bad) == len(sources):
                    raise ValueError(
                        f"All {len(bad)} files for the {split} split are bad; the last: {self._bad_files[-1]}"
                    )
                self.sources[split] = [source for source in sources if source not in bad]

    def split_of(self, number: int) -> str:
        """The split of a document, if the validation split is held out; depends on the seed and its number."""
        digest = hashlib.blake2b(f"{self.seed}:{number}".encode(), digest_size=8).digest()
        return "validation" if int.from_bytes(digest) < self.validation_share * 2**64 else "train"

    def check(self, output_dir: Path):
        """Find errors in the choice of files before the long work of reading them.

        Raises:
            ValueError: if a source is in both splits, or is in the output directory and would be deleted, or each file
                is a document and none of them falls into the validation split.
        """
        held_apart = {source.key for source in self.sources.get("validation", [])}
        for source in self.sources["train"]:
            if source.key in held_apart:
                raise ValueError(f"{source.name} is in --input and in --validation-input; give it only once.")
        for sources in self.sources.values():
            for source in sources:
                if isinstance(source, TextFile) and output_dir.resolve() in source.key.parents:
                    raise ValueError(
                        f"The input {source.path} is in the output directory, which is replaced; give another one."
                    )
        files_are_documents = self.separator is None and all(type(it) is TextFile for it in self.sources["train"])
        if len(self.sources) == 1 and files_are_documents:
            numbers = range(len(self.sources["train"]))
            if not any(self.split_of(number) == "validation" for number in numbers):
                raise ValueError(nothing_held_out(len(numbers), self.validation_share))


def nothing_held_out(documents: int, share: float) -> str:
    """The message for when no document falls into the validation split."""
    return (
        f"The validation split is empty: each of {documents} documents falls into it with a probability of {share}, "
        "and none did; give --validation-input, another --seed, a larger --validation-share, or a "
        "--document-separator that splits files into documents."
    )


def _files_of_folder(folder: Path, kinds: Sequence[str]) -> dict[Path, str]:
    """Text files below a folder and their names; none if it is a data set that `load_dataset` opens."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    endings = tuple(kind + more for kind in kinds for more in ("", *_OPENERS))
    texts = [path for path in files if path.name.lower().endswith(endings)]
    tables = [path for path in files if path.suffix.lower() in _TABLE_ENDINGS]
    sure_tables = [path for path in tables if path.suffix.lower() in _TABLE_ENDINGS[:2]]
    if sure_tables and texts:
        raise ValueError(
            f"The folder {folder} contains text files ({texts[0].name}) and a data set ({sure_tables[0].name}); "
            "select one with a glob or a subfolder."
        )
    if not texts and not tables:
        raise FileNotFoundError(
            f"The folder {folder} contains no text; expected files that end in {', '.join(endings)}, or a data set of "
            "Parquet files; give other endings of text files with --ending."
        )
    if 0 < len(texts) < len(files):
        print(f"{folder}: {len(files) - len(texts)} files are not text ({', '.join(endings)}) and are left out")
    return {path: public_name(folder, path) for path in texts}


def public_name(folder: Path, path: Path) -> str:
    """A file's name for a card: its folder and the path below it, without the folders of this machine above."""
    return str(Path(folder.resolve().name) / path.relative_to(folder))


def cut(pieces: Iterable[str], separator: str | None) -> Iterator[str]:
    """The documents of a text given in pieces: the parts between separators, or the whole text without a separator."""
    if separator is None:
        yield "".join(pieces)
        return
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split(separator)
        yield from whole
    yield rest


def parse_separator(text: str) -> str:
    r"""A separator typed on a command line, with `\n`, `\t`, `\x1e` and the other escapes of Python resolved.

    Raises:
        ValueError: if it is empty or has a broken escape.
    """
    if not text:
        raise ValueError(r"The document separator is empty; give one such as '\n\n\n', or leave the option out.")
    return unescaped(text, "document separator")


def unescaped(text: str, what: str) -> str:
    """A text with the escapes of Python resolved; raises a `ValueError` that names `what` it is if one is broken."""
    try:
        # latin-1 keeps everything else unchanged
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError as error:
        raise ValueError(f"The {what} {text!r} has a broken escape; write \\\\ for a backslash.") from error


def _json_of(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {getattr(error, 'msg', 'it is nested too deeply')}.") from error


def _text_of(row: dict, column: str, where: str) -> str:
    """The text of a row; raises a `ValueError` that starts with `where` if there is none."""
    if column not in row:
        raise ValueError(f"{where} has no {column!r}; give --text-column, one of {', '.join(row)}.")
    if not isinstance(row[column], str):
        raise ValueError(f"{where} has {column} = {row[column]!r}, a {type(row[column]).__name__}; expected text.")
    return row[column]
