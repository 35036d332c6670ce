"""Data set folders: complete or absent, however writing ends."""

import errno
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models

from hrm_hf.data.folder import split_rows, write_dataset_folder
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.text.build import build_text
from hrm_hf.utils.files import whole_folder


ROOT = Path(__file__).parent.parent
TABLE = pa.table({"question": pa.array(["1"], pa.string())})


def write(output_dir: Path, **options):
    write_dataset_folder(output_dir, {"train": TABLE, "test": TABLE}, "# Card\n", {}, **options)


def at_the_second_call(error: BaseException, function):
    """The function, but its second call raises the error after its work is done."""
    calls = []

    def call(*args, **options):
        result = function(*args, **options)
        calls.append(args)
        if len(calls) == 2:
            raise error
        return result

    return call


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- how writing ends


ENDS = {
    "interrupt": (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    "full disk": (OSError(errno.ENOSPC, "No space left on device"), OSError, "^No space is left for "),
    "full quota": (OSError(errno.EDQUOT, "Disk quota exceeded"), OSError, "^No space is left for "),
    "other error": (OSError(errno.EIO, "Input/output error"), OSError, r"^\[Errno 5\] Input/output error$"),
}


@pytest.mark.parametrize(("error", "kind", "message"), ENDS.values(), ids=ENDS)
def test_writing_that_ends_early_leaves_nothing(tmp_path, monkeypatch, error, kind, message):
    monkeypatch.setattr(pq, "write_table", at_the_second_call(error, pq.write_table))
    with pytest.raises(kind, match=message):
        write(tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("error", "kind", "message"), ENDS.values(), ids=ENDS)
def test_writing_that_ends_early_leaves_the_data_set_that_was_there(tmp_path, monkeypatch, error, kind, message):
    options = {"size": 4, "clues": 8, "num_train": 5, "num_test": 5}
    build_sudoku(tmp_path / "out", **options)
    before = files_of(tmp_path)
    monkeypatch.setattr(pq, "write_table", at_the_second_call(error, pq.write_table))
    with pytest.raises(kind, match=message):
        build_sudoku(tmp_path / "out", **options | {"seed": 1}, overwrite=True)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(("error", "kind", "message"), ENDS.values(), ids=ENDS)
def test_a_text_build_that_ends_early_leaves_nothing(tmp_path, monkeypatch, error, kind, message):
    (tmp_path / "corpus.txt").write_text((ROOT / "LICENSE").read_text())
    monkeypatch.setattr(pq.ParquetWriter, "write_table", at_the_second_call(error, pq.ParquetWriter.write_table))
    options = {"train_bpe": 300, "block_size": 32, "document_separator": r"\n\n", "validation_share": 0.3}
    with pytest.raises(kind, match=message):
        build_text(tmp_path / "out", [str(tmp_path / "corpus.txt")], **options)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_what_an_ended_process_left_is_cleared_away(tmp_path):
    (tmp_path / "out.partial/data").mkdir(parents=True)
    (tmp_path / "out.partial/data/old-00000-of-00001.parquet").write_bytes(b"half")
    write(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(files_of(tmp_path / "out")) == [
        "README.md",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    ]


# --- a full disk


FULL = Path("/dev/full")  # every write to it fails as on a full disk


@pytest.mark.skipif(not FULL.is_char_device(), reason="only Linux has /dev/full")
@pytest.mark.parametrize(
    "write_file",
    [
        lambda path: pq.write_table(TABLE, path),
        lambda path: Tokenizer(models.BPE()).save(str(path)),
        lambda path: np.zeros(1_000_000).tofile(path),  # as np.save writes all but the header
        lambda path: path.write_text("text"),
    ],
    ids=["pyarrow", "tokenizers", "numpy", "python"],
)
def test_every_library_is_understood_when_the_disk_is_full(tmp_path, write_file):
    output_dir = tmp_path / "deeper/out"
    with pytest.raises(OSError, match=r"^No space is left for .*/deeper/out: its disk has [\d,]+ MB free") as caught:
        with whole_folder(output_dir) as partial:
            # the link, as pyarrow removes what it could not write
            (partial / "file.npy").symlink_to(FULL)
            write_file(partial / "file.npy")
    assert "free some space or give an output directory on another disk" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "deeper").iterdir())
    assert FULL.is_char_device()


def test_a_script_says_in_one_sentence_that_the_disk_is_full(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def fail(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", fail)
    script = str(ROOT / "dataset_scripts/build_sudoku.py")
    monkeypatch.setattr(sys, "argv", [script, *"out --size 4 --clues 8 --num-train 5 --num-test 5".split()])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("build_sudoku.py: No space is left for out: ")
    assert not any(tmp_path.iterdir())


def test_the_scripts_find_the_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    script = str(ROOT / "dataset_scripts/find_package.py")
    runpy.run_path(script)
    assert sys.path == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    runpy.run_path(script)
    assert sys.path == [str(ROOT)]


# --- existing folders


def test_rows_are_counted_only_if_all_files_are_there(tmp_path):
    write(tmp_path / "out")
    assert split_rows(tmp_path / "out") == {"train": 1, "test": 1}
    (tmp_path / "out/data/test-00000-of-00001.parquet").unlink()
    with pytest.raises(ValueError, match="test-00000-of-00001.parquet is missing or damaged"):
        split_rows(tmp_path / "out")
    (tmp_path / "out/README.md").write_text("---\nlicense: mit\n---\nmine")
    with pytest.raises(ValueError, match="README.md names no splits"):
        split_rows(tmp_path / "out")
