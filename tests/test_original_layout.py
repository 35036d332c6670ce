"""The original's directories of arrays: exported as the original writes them, without loss."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hrm_hf.original.data import export_original, import_original
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.arc.plans import parse_plan
from hrm_hf.puzzles.arc.puzzles import ArcDraws, load_arc
from hrm_hf.puzzles.dihedral import dihedral
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.puzzles.sudoku.rules import conflicts


ROOT = Path(__file__).parent.parent
FIELDS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")


def read(folder: Path, split: str) -> dict[str, np.ndarray]:
    """Arrays of a split, read as the original reads them."""
    return {name: np.load(folder / split / f"all__{name}.npy") for name in FIELDS}


def metadata(folder: Path, split: str) -> dict:
    return json.loads((folder / split / "dataset.json").read_text())


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder: Path, split: str, *columns: str) -> list[dict]:
    return pq.read_table(folder / f"data/{split}-00000-of-00001.parquet", columns=list(columns) or None).to_pylist()


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sudoku") / "s6"
    build_sudoku(folder, size=6, clues=16, num_train=12, num_validation=3, num_test=5)
    return folder


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maze") / "m8"
    build_maze(folder, height=8, width=8, num_train=6, num_test=3)
    return folder


@pytest.fixture(scope="module")
def arc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arc")
    random = np.random.default_rng(0)

    def pair(rows: int) -> dict:
        return {"input": random.integers(0, 10, (rows, 4)).tolist(), "output": random.integers(0, 10, (3, 5)).tolist()}

    for role, names in (("training", "ab"), ("evaluation", "cd")):
        tasks = {
            name: {"train": [pair(2 + number) for _ in range(2 + number)], "test": [pair(3), pair(6)]}
            for number, name in enumerate(names)
        }
        (folder / f"{role}.json").write_text(json.dumps(tasks))
    sources = {role: [folder / f"{role}.json"] for role in ("training", "evaluation")}
    build_arc(folder / "arc", **sources, num_aug=10)
    return folder / "arc"


# --- Sudoku


def test_sudoku_is_exported_as_the_original_writes_it(sudoku, tmp_path):
    counts = export_original(sudoku, tmp_path / "out", num_aug=4)
    assert counts == {"train": 12 * 5, "validation": 3, "test": 5}
    assert metadata(tmp_path / "out", "train") == {
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "vocab_size": 8,
        "seq_len": 36,
        "num_puzzle_identifiers": 1,
        "total_groups": 12,
        "mean_puzzle_examples": 1.0,
        "sets": ["all"],
    }
    assert json.loads((tmp_path / "out/identifiers.json").read_text()) == ["<blank>"]
    arrays = read(tmp_path / "out", "train")
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(
        FIELDS[:2], np.uint8
    ) | dict.fromkeys(FIELDS[2:], np.int32)
    assert arrays["puzzle_identifiers"].tolist() == [0] * 60
    assert arrays["puzzle_indices"].tolist() == list(range(61))
    assert arrays["group_indices"].tolist() == list(range(0, 61, 5))
    # the first of a group is the puzzle itself: 1 is blank, digits follow
    for name, column in (("inputs", "question"), ("labels", "answer")):
        lines = ["".join(map(str, row - 1)).replace("0", ".") for row in arrays[name][::5]]
        assert lines == [row[column] for row in rows_of(sudoku, "train")]
    # the others are other puzzles, with their solutions
    assert not conflicts(arrays["labels"] - 1, 6).any()
    assert ((arrays["inputs"] == arrays["labels"]) == (arrays["inputs"] > 1)).all()
    assert len(np.unique(arrays["inputs"], axis=0)) == 60
    assert len(read(tmp_path / "out", "test")["inputs"]) == 5


@pytest.mark.parametrize("num_aug", [0, 3])
def test_sudoku_comes_back_bit_for_bit(sudoku, tmp_path, num_aug):
    export_original(sudoku, tmp_path / "arrays", num_aug=num_aug)
    counts = import_original(tmp_path / "arrays", tmp_path / "back")
    assert counts == {"train": 12 * (1 + num_aug), "validation": 3, "test": 5}
    for split in counts:
        there = rows_of(sudoku, split, "question", "answer")
        assert (
            rows_of(tmp_path / "back", split, "question", "answer")[:: 1 + num_aug if split == "train" else 1] == there
        )
    export_original(tmp_path / "back", tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "arrays")


def test_stored_augmentations_can_be_left_out_and_not_be_stored_twice(sudoku, tmp_path):
    export_original(sudoku, tmp_path / "arrays", num_aug=3)
    import_original(tmp_path / "arrays", tmp_path / "few", originals_only=True)
    assert rows_of(tmp_path / "few", "train") == rows_of(sudoku, "train", "question", "answer")
    import_original(tmp_path / "arrays", tmp_path / "all")
    assert [row["group"] for row in rows_of(tmp_path / "all", "train")] == [
        group for group in range(12) for _ in range(4)
    ]
    with pytest.raises(ValueError, match=r"already has stored augmentations \(column group\)"):
        export_original(tmp_path / "all", tmp_path / "twice", num_aug=2)
    assert not (tmp_path / "twice").exists()


# --- mazes


def test_mazes_are_exported_in_the_originals_symmetries_and_come_back(maze, tmp_path):
    export_original(maze, tmp_path / "arrays", num_aug=7)
    arrays = read(tmp_path / "arrays", "train")
    numbers = {symbol: number for number, symbol in enumerate("# SGo", start=1)}
    for name, column in (("inputs", "question"), ("labels", "answer")):
        expected = [
            dihedral(np.array([numbers[symbol] for symbol in row[column]]).reshape(8, 8), index).reshape(-1)
            for row in rows_of(maze, "train")
            for index in range(8)
        ]
        assert np.array_equal(arrays[name], expected)
    assert arrays["group_indices"].tolist() == list(range(0, 49, 8))
    assert metadata(tmp_path / "arrays", "train")["vocab_size"] == 6

    import_original(tmp_path / "arrays", tmp_path / "back")
    there = rows_of(maze, "test", "question", "answer")
    assert [
        {name: row[name] for name in ("question", "answer")} for row in rows_of(tmp_path / "back", "test")
    ] == there
    export_original(tmp_path / "back", tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "arrays")
    with pytest.raises(ValueError, match="num_aug=8 is not allowed; mazes of this shape have 7 symmetries"):
        export_original(maze, tmp_path / "more", num_aug=8)


# --- ARC


def canvas(grid: np.ndarray, top: int, left: int) -> np.ndarray:
    """A grid on its canvas, cell by cell as the original's build_arc_dataset.py describes it."""
    tokens = np.zeros((30, 30), dtype=np.uint8)
    rows, columns = grid.shape
    for row in range(rows):
        for column in range(columns):
            tokens[top + row, left + column] = grid[row, column] + 2
    if top + rows < 30:
        tokens[top + rows, left : left + columns] = 1
    if left + columns < 30:
        tokens[top : top + rows, left + columns] = 1
    return tokens.reshape(-1)


def test_arc_is_exported_as_the_original_writes_it(arc, tmp_path):
    export_original(arc, tmp_path / "out", seed=1)
    names = json.loads((tmp_path / "out/identifiers.json").read_text())
    assert names[:2] == ["<blank>", "a"]
    assert len(names) == len(set(names)) == 45
    for split, tasks in (("train", "abcd"), ("test", "cd")):
        puzzles, arrays = load_arc(arc, split), read(tmp_path / "out", split)
        assert arrays["group_indices"].tolist() == list(range(0, 11 * len(tasks) + 1, 11))
        assert np.diff(arrays["puzzle_indices"]).tolist() == puzzles.group_sizes.repeat(11).tolist()
        assert metadata(tmp_path / "out", split) == {
            "pad_id": 0,
            "ignore_label_id": 0,
            "blank_identifier_id": 0,
            "vocab_size": 12,
            "seq_len": 900,
            "num_puzzle_identifiers": 45,
            "total_groups": len(tasks),
            "mean_puzzle_examples": puzzles.num_examples / (11 * len(tasks)),
            "sets": ["all"],
        }
        row = 0
        for puzzle, identifier in enumerate(arrays["puzzle_identifiers"]):
            plan = parse_plan(names[identifier])
            task = next(task for task in puzzles.tasks if task.name == plan.task)
            assert task.name == tasks[puzzle // 11]
            num_in_corner = 0
            for pair in task.pairs(split):
                input, output = (plan.apply(grid) for grid in pair)
                colored = arrays["inputs"][row].reshape(30, 30) >= 2
                top, left = int(colored.any(1).argmax()), int(colored.any(0).argmax())
                assert np.array_equal(arrays["inputs"][row], canvas(input, top, left))
                assert np.array_equal(arrays["labels"][row], canvas(output, top, left))
                num_in_corner += (top, left) == (0, 0)
                row += 1
            assert num_in_corner == len(task.pairs(split)) if split == "test" else num_in_corner >= 1
        assert row == len(arrays["inputs"])


def test_arc_comes_back_bit_for_bit(arc, tmp_path):
    export_original(arc, tmp_path / "arrays", seed=1)
    counts = import_original(tmp_path / "arrays", tmp_path / "back")
    assert counts == {"tasks": 4, "train": 44, "test": 22}
    for split in ("train", "test"):
        columns = ("task", "symmetry", "colors", "identifier")
        assert rows_of(tmp_path / "back", split, *columns) == rows_of(arc, split)
    # the test pairs of a training task cannot be told from its demonstrations
    for mine, theirs in zip(rows_of(arc, "tasks"), rows_of(tmp_path / "back", "tasks"), strict=True):
        assert (theirs["name"], theirs["role"]) == (mine["name"], mine["role"])
        assert theirs["train"] + theirs["test"] == mine["train"] + mine["test"]
        assert theirs["test"] == (mine["test"] if mine["role"] == "evaluation" else [])
    export_original(tmp_path / "back", tmp_path / "again", seed=2)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "arrays")
    assert import_original(tmp_path / "arrays", tmp_path / "back") == counts


def test_reading_keeps_to_the_translations_of_the_original(arc, tmp_path):
    export_original(arc, tmp_path / "arrays", seed=1)
    import_original(tmp_path / "arrays", tmp_path / "back")
    puzzles, arrays = load_arc(tmp_path / "back", "train"), read(tmp_path / "arrays", "train")
    draws = ArcDraws(puzzles, 1000, seed=0)
    batch = draws.__getitems__(list(range(1000)))
    stored = {tuple(row) for row in arrays["inputs"].tolist()}
    assert {tuple(row) for row in batch["input_ids"].tolist()} <= stored


def test_fewer_augmentations_are_as_if_no_more_had_been_made(arc, tmp_path):
    export_original(arc, tmp_path / "few", num_aug=3)
    names = json.loads((tmp_path / "few/identifiers.json").read_text())
    assert len(names) == metadata(tmp_path / "few", "test")["num_puzzle_identifiers"] == 17
    assert read(tmp_path / "few", "train")["puzzle_identifiers"].tolist() == list(range(1, 17))
    assert read(tmp_path / "few", "test")["puzzle_identifiers"].tolist() == list(range(9, 17))
    import_original(tmp_path / "few", tmp_path / "back")
    export_original(tmp_path / "back", tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "few")
    # also from a folder with fixed translations
    export_original(tmp_path / "back", tmp_path / "one", num_aug=0)
    kept = np.concatenate([np.arange(size) + start for start, size in ((0, 4), (16, 5), (36, 2), (44, 3))])
    assert np.array_equal(read(tmp_path / "one", "train")["inputs"], read(tmp_path / "few", "train")["inputs"][kept])


def test_directories_of_trm_are_read_as_well(arc, tmp_path):
    export_original(arc, tmp_path / "arrays")
    path = tmp_path / "arrays/identifiers.json"
    names = json.loads(path.read_text())
    path.write_text(json.dumps([name.replace("_t", "|||t").replace("_0", "|||0") for name in names]))
    for split in ("train", "test"):
        content = metadata(tmp_path / "arrays", split) | {"total_puzzles": 44}
        (tmp_path / "arrays" / split / "dataset.json").write_text(json.dumps(content))
    import_original(tmp_path / "arrays", tmp_path / "back")
    assert rows_of(tmp_path / "back", "test", "colors", "identifier") == rows_of(arc, "test", "colors", "identifier")


# --- bad input


@pytest.fixture
def arrays(arc, tmp_path):
    """A directory of ARC arrays to spoil."""
    export_original(arc, tmp_path / "arrays")
    return tmp_path / "arrays"


def change_array(path: Path, change):
    array = np.load(path)
    np.save(path, result if (result := change(array)) is not None else array)


def change_json(path: Path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


SPOILED = {
    "pixel": (
        lambda d: change_array(d / "train/all__inputs.npy", lambda a: a.__setitem__((57, 899), 5)),
        "train, row 57 of the inputs is not the puzzle b_t",
    ),
    "label": (
        lambda d: change_array(d / "test/all__labels.npy", lambda a: a.__setitem__((9, 0), 1)),
        "test, row 9 of the labels is not the puzzle c_t",
    ),
    "names": (
        lambda d: change_json(d / "identifiers.json", lambda names: names.__setitem__(5, "zebra")),
        "train, group 0 has puzzles of a, zebra; expected all augmentations of one ARC task",
    ),
    "few names": (
        lambda d: change_json(d / "identifiers.json", lambda names: names.pop()),
        "has puzzles without a name in identifiers.json",
    ),
    "no names": (lambda d: (d / "identifiers.json").unlink(), "There is no file .*identifiers.json"),
    "no split": (lambda d: shutil.rmtree(d / "test"), "has no test/dataset.json"),
    "no array": (lambda d: (d / "test/all__labels.npy").unlink(), "There is no file .*all__labels.npy"),
    "cut off": (
        lambda d: (d / "test/all__labels.npy").write_bytes((d / "test/all__labels.npy").read_bytes()[:-1000]),
        "all__labels.npy is not a numpy array, or is cut off",
    ),
    "shape": (
        lambda d: change_array(d / "test/all__labels.npy", lambda a: a[:-1]),
        r"all__labels.npy has the shape \(43, 900\); expected \(44, 900\)",
    ),
    "type": (
        lambda d: change_array(d / "test/all__inputs.npy", lambda a: a / 2),
        "all__inputs.npy has the type float64; expected integers",
    ),
    "indices": (
        lambda d: change_array(d / "test/all__group_indices.npy", lambda a: a + 1),
        "all__group_indices.npy does not match: expected the start of each group, beginning with 0 and ending with 22",
    ),
    "padding": (
        lambda d: change_json(d / "train/dataset.json", lambda content: content.update(pad_id=3)),
        "dataset.json has pad_id=3; data sets of the original have 0",
    ),
    "sets": (
        lambda d: change_json(d / "train/dataset.json", lambda content: content.update(sets=["a", "b"])),
        r"has the sets \['a', 'b'\]; expected only one",
    ),
    "entries": (
        lambda d: change_json(d / "train/dataset.json", lambda content: content.pop("seq_len")),
        "dataset.json lacks entries; expected vocab_size, seq_len",
    ),
    "not JSON": (lambda d: (d / "train/dataset.json").write_text("{"), "dataset.json is not JSON"),
    "unlike splits": (
        lambda d: change_json(d / "test/dataset.json", lambda content: content.update(vocab_size=13)),
        "test/dataset.json has vocab_size=13, but that of train has 12",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_spoiled_directories_are_refused_in_one_sentence(arrays, tmp_path, spoil, message):
    spoil(arrays)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        import_original(arrays, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_data_of_an_unknown_kind_is_refused(arrays, tmp_path):
    for split in ("train", "test"):
        change_json(arrays / split / "dataset.json", lambda content: content.update(vocab_size=13))
    with pytest.raises(ValueError, match="has 900 tokens of a vocabulary of 13, unlike Sudoku, square mazes and ARC"):
        import_original(arrays, tmp_path / "back")


def test_what_is_said_must_fit_and_what_is_unclear_must_be_said(sudoku, tmp_path):
    export_original(sudoku, tmp_path / "arrays")
    with pytest.raises(ValueError, match="has 36 tokens of a vocabulary of 8, which is sudoku and not arc"):
        import_original(tmp_path / "arrays", tmp_path / "back", task="arc")
    build_sudoku(tmp_path / "s4", size=4, clues=8, num_train=3, num_test=2)
    export_original(tmp_path / "s4", tmp_path / "four")
    with pytest.raises(ValueError, match="which fits sudoku and maze; say which it is with --task"):
        import_original(tmp_path / "four", tmp_path / "back")
    assert import_original(tmp_path / "four", tmp_path / "back", task="sudoku") == {"train": 3, "test": 2}


def test_rows_that_are_no_solved_puzzles_are_refused(sudoku, maze, tmp_path):
    for folder, name in ((sudoku, "Sudoku"), (maze, "mazes")):
        export_original(folder, tmp_path / name)
        path = tmp_path / name / "test/all__labels.npy"
        change_array(path, lambda array: array.__setitem__(slice(2, 3), array[1]))
        with pytest.raises(ValueError, match=f"test, row 2 is not valid for {name} with their answers: "):
            import_original(tmp_path / name, tmp_path / "back")
        change_array(path, lambda array: array.__setitem__((1, 4), 0))
        with pytest.raises(ValueError, match=f"test, row 1 of the labels: the token 0; {name} have tokens from 1"):
            import_original(tmp_path / name, tmp_path / "back")


def test_nothing_is_overwritten_unasked(sudoku, tmp_path):
    export_original(sudoku, tmp_path / "arrays")
    with pytest.raises(FileExistsError, match="already exists; give another output directory or --overwrite"):
        export_original(sudoku, tmp_path / "arrays")
    export_original(sudoku, tmp_path / "arrays", num_aug=1, overwrite=True)
    assert len(read(tmp_path / "arrays", "train")["inputs"]) == 24
    with pytest.raises(FileExistsError, match="has no such data"):
        export_original(sudoku, sudoku, overwrite=True)
    with pytest.raises(ValueError, match="num_aug=-1 is not allowed"):
        export_original(sudoku, tmp_path / "more", num_aug=-1)
    with pytest.raises(FileNotFoundError, match="no data set folder .*nowhere"):
        export_original(tmp_path / "nowhere", tmp_path / "more")


def test_script_converts_both_ways(sudoku, tmp_path, monkeypatch, capsys):
    script = str(ROOT / "dataset_scripts/convert_original.py")
    for arguments, code in (
        (["export", str(sudoku), str(tmp_path / "arrays"), "--num-aug", "1"], 0),
        (["import", str(tmp_path / "arrays"), str(tmp_path / "back"), "--originals-only"], 0),
        (["import", str(tmp_path / "nowhere"), str(tmp_path / "back")], 1),
    ):
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(script, run_name="__main__")
        assert stop.value.code == code
    assert capsys.readouterr().err.splitlines()[-1].startswith("convert_original.py: There is no directory")
    assert "convert_original.py import arrays back --originals-only\n" in (tmp_path / "back/README.md").read_text()
