"""Writing files and folders completely or not at all, checks before writing, and hashes."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(output_dir: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `output_dir` at the end, or is removed after an error.

    Raises:
        OSError: if the disk is full, with a message that says so.
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
                "free some space or give an output directory on another disk. Nothing was written."
            ) from error
        raise
    old = output_dir.with_name(output_dir.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if output_dir.exists():
        # removed only after the new one is in place: a process killed in between leaves both
        output_dir.rename(old)
    partial.rename(output_dir)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, with the same ending, which replaces `path` at the end, or is removed after an error."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(path)


def check_output_file(path: Path | None, endings: Sequence[str] = ()):
    """Find what would make writing a file fail, before minutes of work; `None` means no file.

    Args:
        path: the file.
        endings: its name must have one of these, if any are given.

    Raises:
        ValueError: for another ending.
        OSError: if it cannot be written.
    """
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise ValueError(
            f"The name of the file {path} has an unknown ending; use {', '.join(endings[:-1])} or {endings[-1]}."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to; create it first.")
    try:
        # permissions do not tell whether the disk is read-only or full
        with tempfile.TemporaryFile(dir=path.parent) as trial:
            trial.write(b" ")
    except OSError as error:
        raise type(error)(f"{path} cannot be written ({error.strerror or error}); give another place.") from error


def _is_full_disk(error: Exception) -> bool:
    """Whether an error says that a disk or a quota is full."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    # tokenizers only says it in the message, and numpy only that it wrote less than it should
    said = str(error)
    return os.strerror(errno.ENOSPC) in said or (isinstance(error, OSError) and " requested and " in said)


def check_replaceable(output: Path, overwrite: bool, has_file: str, kind: str) -> None:
    """Raise a `FileExistsError` if something exists that may not be replaced by a folder of this kind.

    Args:
        output: the folder to write.
        overwrite: whether a folder of this kind may be replaced.
        has_file: a file in every folder of this kind.
        kind: in words.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / has_file).is_file():
        raise FileExistsError(f"{output} exists and is not a {kind} (it has no {has_file}); give another --out.")
    if not overwrite:
        raise FileExistsError(f"{output} is already a {kind}; give another --out, or --overwrite to replace it.")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path, files: list[Path]) -> str:
    """SHA-256 of a list of the files' SHA-256, each with its path in the folder, in the format of `sha256sum`."""
    lines = "".join(f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def beside_package(name: str) -> Path:
    """A folder of data files: inside an installed package, or at the top of the repository.

    Raises:
        FileNotFoundError: if it is missing.
    """
    package = Path(__file__).resolve().parent.parent
    for parent in (package, package.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"The folder {name}/ of hrm_hf is missing; install the package again.")
