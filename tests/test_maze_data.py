"""Maze data: paths, the generator, the symmetries, and the folders that the builder writes."""

import gzip
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset

from hrm_hf.puzzles import build
from hrm_hf.puzzles.maze.build import build_maze, generated_mazes, maze_shape, read_maze_csv
from hrm_hf.puzzles.maze.generator import generate, hard_steps
from hrm_hf.puzzles.maze.kind import MazeKind
from hrm_hf.puzzles.maze.mixed import KINDS_OF_MAZE, generate_mixed
from hrm_hf.puzzles.maze.paths import FLOOR, GOAL, PATH, START, WALL, first_paths, measure
from hrm_hf.puzzles.maze.rules import SYMBOLS, draw_maze, format_mazes, maze_errors
from hrm_hf.puzzles.maze.symmetry import fingerprint, random_symmetries, symmetry_cells
from hrm_hf.puzzles.rows import PuzzleDraws, encode, load_rows
from hrm_hf.puzzles.sets import open_puzzles
from processing_hrm import HRMGridProcessor


ROOT = Path(__file__).parent.parent
SMALL = {"height": 8, "width": 8, "min_steps": 14}
TO_BUILD = SMALL | {"min_steps": [14]}


def joined(rows: str) -> str:
    """A maze of rows that stand between slashes."""
    return rows.replace("/", "")


MAZE = joined("S #  / # # /    #/###G ")
ANSWER = joined("S #  /o# # /oooo#/###G ")
# the same with a second way of 6 steps
OPEN_MAZE = joined("S #  /   # /    #/###G ")


def mazes(*lines: str) -> np.ndarray:
    return np.array([[SYMBOLS.index(symbol) for symbol in line] for line in lines], dtype=np.uint8)


# --- paths and rules


def test_paths_are_measured():
    closed = MAZE.replace("    #", "##  #")
    paths = measure(mazes(MAZE, OPEN_MAZE, closed), mazes(ANSWER, OPEN_MAZE, closed), height=4, width=5)
    assert paths.steps.tolist() == [6, 6, -1]
    assert paths.is_unique.tolist() == [True, False, False]
    assert paths.drawn_steps.tolist() == [6, -1, -1]
    assert paths.stray_cells.tolist() == [0, 2, 2]


def test_ways_do_not_lead_around_the_border():
    # the last cell of a row is beside the first of the next one in memory only
    assert measure(mazes(joined("  S/###/G  ")), mazes(joined("  S/###/G  ")), 3, 3).steps.tolist() == [-1]
    assert measure(mazes(joined("  S/G  ")), mazes(joined("  S/G  ")), 2, 3).steps.tolist() == [3]


@pytest.mark.parametrize(
    ("maze", "answer", "message"),
    [
        (MAZE, ANSWER, ""),
        (OPEN_MAZE, joined("S #  /oo # / ooo#/###G "), ""),
        (MAZE.replace("G", " "), ANSWER, "a maze with 0 cells G, expected one"),
        (MAZE.replace("#", "S", 1), ANSWER, "a maze with 2 cells S"),
        (ANSWER, ANSWER, "a maze with cells o"),
        (MAZE, ANSWER.replace("#", " ", 1), "' ' in row 1, column 3, where its maze has '#'"),
        (MAZE, ANSWER.replace("#", "o", 1), "'o' in row 1, column 3"),
        (MAZE.replace("   ", " # "), ANSWER.replace("ooo", "o o"), "an answer with"),
        ("S#G", "S#G", "a maze without a path from S to G"),
        (MAZE, MAZE, "an answer whose path does not lead from S to G"),
        (MAZE, ANSWER.replace("S ", "So"), "an answer with 1 cells o beside the path"),
        (joined("S G/   /   "), joined("S G/ooo/   "), "path takes 4 steps, expected the fewest, 2"),
    ],
)
def test_what_is_wrong_is_said(maze, answer, message):
    height, width = {20: (4, 5), 3: (1, 3), 9: (3, 3)}[len(maze)]
    (error,) = maze_errors(mazes(maze), mazes(answer), height, width)
    assert message in error if message else error == ""


@pytest.mark.parametrize("maze", ["S  /   /   /  G", "S# / # /   /#G ", "# S/   /   /G #"])
def test_verdicts_are_those_of_the_processor(maze):
    # every way to draw cells of path on a maze
    maze = joined(maze)
    floor = [cell for cell, symbol in enumerate(maze) if symbol == " "]
    questions = mazes(maze).repeat(2 ** len(floor), axis=0)
    answers = questions.copy()
    answers[:, floor] += (PATH - FLOOR) * (np.arange(len(answers))[:, None] >> np.arange(len(floor)) & 1).astype(
        np.uint8
    )
    verdicts = [verdict.solved for verdict in HRMGridProcessor.for_maze(4, 3).check_batch(questions, answers)]
    assert 0 < sum(verdicts) < len(verdicts)
    assert (maze_errors(questions, answers, 4, 3) == "").tolist() == verdicts


# --- generator


@pytest.mark.parametrize(("height", "width", "min_steps"), [(30, 30, 111), (8, 8, 14), (5, 12, 15), (2, 2, 2)])
def test_generated_mazes_have_one_shortest_path_of_the_wanted_length(height, width, min_steps):
    num = 1 if height == 2 else 20  # up to symmetry there is just one of 2x2
    questions, answers, steps = generate(num, height, width, min_steps, seed=3, progress=False)
    paths = measure(questions, answers, height, width)
    assert paths.is_unique.all()
    assert np.array_equal(paths.steps, steps)
    assert steps.min() >= min_steps
    assert (maze_errors(questions, answers, height, width) == "").all()
    assert len(np.unique(fingerprint(questions, height, width))) == num


def test_hard_is_what_maze_hard_calls_so():
    assert hard_steps(30, 30) == 111
    assert hard_steps(10, 10) == 32
    assert generate(3, 10, 10, progress=False)[2].min() >= 32


def test_mazes_differ_in_their_walls():
    questions, _, _ = generate(20, progress=False)
    walls = (questions == WALL).mean(1)
    assert 0.3 < walls.min() < walls.max() < 0.5
    assert walls.std() > 0.01


def test_a_greater_number_gives_more_of_the_same():
    few, again, more, other = (
        generate(num, **SMALL, seed=seed, progress=False)[0] for num, seed in ((20, 0), (20, 0), (300, 0), (20, 1))
    )
    assert np.array_equal(few, again)
    assert np.array_equal(few, more[:20])
    assert not np.array_equal(few, other)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"num": 0}, "num=0 is not allowed"),
        ({"num": 1, "height": 1}, "height=1 is not allowed; a maze has at least 2 rows and 2 columns"),
        ({"num": 1, "seed": -1}, "seed=-1 is not allowed"),
        ({"num": 1, "min_steps": 1}, "min_steps=1 is not allowed for a maze of 30x30; it must be from 2 to 674"),
        ({"num": 1, "min_steps": 675}, "min_steps=675 is not allowed"),
        ({"num": 99, "height": 3, "width": 3, "min_steps": 6}, "Only 2 mazes of 3x3 with at least 6 steps were found"),
        ({"num": 1, "height": 6, "width": 6, "min_steps": 26}, "Only 0 .* the longest path of all has 2. steps"),
    ],
)
def test_impossible_wishes_are_refused(wish, message):
    with pytest.raises(ValueError, match=message):
        generate(**wish, progress=False)


# --- several kinds, sizes and shortest paths


@pytest.mark.parametrize("kind", KINDS_OF_MAZE)
def test_mazes_of_every_kind_have_shortest_paths_as_answers(kind):
    made = generate_mixed(40, [kind], 11, 16, progress=False)
    assert (maze_errors(made.mazes, made.answers, 11, 16) == "").all()
    paths = measure(made.mazes, made.answers, 11, 16)
    assert np.array_equal(paths.steps, made.steps)
    assert made.steps.min() < 9 < made.steps.max()
    assert paths.is_unique.all() == (kind in ("walls", "perfect"))


def test_perfect_mazes_are_trees():
    made = generate_mixed(30, ["perfect"], 12, 15, progress=False)
    floor = (made.mazes != WALL).reshape(-1, 12, 15)
    edges = (floor[:, 1:] & floor[:, :-1]).sum((1, 2)) + (floor[:, :, 1:] & floor[:, :, :-1]).sum((1, 2))
    # all in one piece: one edge less than cells
    assert np.array_equal(edges, floor.sum((1, 2)) - 1)
    assert (reached(made.mazes, 12, 15) == floor.sum((1, 2))).all()


def test_all_rooms_can_be_reached():
    made = generate_mixed(30, ["rooms"], 13, 18, progress=False)
    assert (reached(made.mazes, 13, 18) == (made.mazes != WALL).sum(1)).all()


def reached(mazes: np.ndarray, height: int, width: int) -> np.ndarray:
    """How many cells can be reached from S, by spreading a step at a time."""
    floor = (mazes != WALL).reshape(-1, height, width)
    known = (mazes == START).reshape(-1, height, width)
    for _ in range(height * width):
        spread = known.copy()
        spread[:, 1:] |= known[:, :-1]
        spread[:, :-1] |= known[:, 1:]
        spread[:, :, 1:] |= known[:, :, :-1]
        spread[:, :, :-1] |= known[:, :, 1:]
        known = spread & floor
    return known.sum((1, 2))


def test_kinds_differ_in_their_walls():
    shares = {
        kind: (generate_mixed(30, [kind], 20, 20, progress=False).mazes == WALL).mean(1) for kind in KINDS_OF_MAZE
    }
    assert shares["open"].max() < 0.15 and (shares["open"] == 0).any()
    assert 0 < shares["lines"].min() and shares["lines"].max() < 0.4
    assert shares["scattered"].min() < 0.2 < 0.35 < shares["scattered"].max()
    assert 0.25 < shares["walls"].min() < shares["walls"].max() < 0.55


def test_the_first_path_goes_up_then_left_then_right_then_down():
    for maze, answer in (
        ("S  /   /  G", "Soo/  o/  G"),
        ("G  /   /  S", "Goo/  o/  S"),
        ("  S/   /G  ", "ooS/o  /G  "),
        ("S  / # /  G", "Soo/ #o/  G"),
        ("SG /   /   ", "SG /   /   "),
    ):
        assert format_mazes(first_paths(mazes(joined(maze)), 3, 3)) == [joined(answer)]


def test_the_only_shortest_path_is_the_first():
    questions, answers, _ = generate(30, **SMALL, progress=False)
    assert np.array_equal(first_paths(questions, 8, 8), answers)


def test_kinds_take_turns_and_a_greater_number_gives_more_of_the_same():
    few, again, more, other, threads = (
        generate_mixed(num, ["rooms", "walls"], 8, 9, 5, seed=seed, progress=False, num_threads=num_threads)
        for num, seed, num_threads in ((20, 0, 1), (20, 0, 1), (200, 0, 1), (20, 1, 1), (200, 0, 3))
    )
    assert few.kinds.tolist() == ["rooms", "walls"] * 10
    for made in (again, more, threads):
        assert np.array_equal(few.mazes, made.mazes[:20]) and np.array_equal(few.answers, made.answers[:20])
    assert np.array_equal(more.mazes, threads.mazes)
    assert not np.array_equal(few.mazes, other.mazes)


def test_smaller_mazes_stand_anywhere_with_walls_around():
    made = generate_mixed(60, ["open"], 5, 6, board=(9, 12), progress=False)
    floor = (made.mazes != WALL).reshape(-1, 9, 12)
    sides = [[np.flatnonzero(maze.any(axis)) for maze in floor] for axis in (1, 0)]
    for places, side, board_side in zip(sides, (5, 6), (9, 12), strict=True):
        spans = [(found[0], found[-1]) for found in places]
        assert max(last - first for first, last in spans) == side - 1
        assert min(first for first, _ in spans) == 0 and max(last for _, last in spans) == board_side - 1
    sizes = generate_mixed(80, ["open"], 9, 12, smallest_side=4, progress=False)
    rows = (sizes.mazes != WALL).reshape(-1, 9, 12).any(2).sum(1)
    assert 30 <= (rows == 9).sum() <= 65 and rows.min() == 4


def test_no_two_mixed_mazes_are_equal_wherever_they_stand():
    made = generate_mixed(120, ["open"], 3, 3, board=(7, 7), progress=False)
    # cut out and compared in all symmetries, without the fingerprint
    seen = set()
    for maze in made.mazes.reshape(-1, 7, 7):
        rows, columns = np.flatnonzero((maze != WALL).any(1)), np.flatnonzero((maze != WALL).any(0))
        cut = np.where(maze == GOAL, START, maze)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        images = [np.rot90(flipped, turns) for flipped in (cut, cut[:, ::-1]) for turns in range(4)]
        seen.add(min((image.shape, image.tobytes()) for image in images))
    assert len(seen) == 120


def test_fingerprint_of_mazes_anywhere_is_kept_by_moves_and_symmetries():
    made = generate_mixed(40, ["scattered"], 4, 4, board=(4, 4), progress=False).mazes.reshape(-1, 4, 4)
    boards = np.full((2, 40, 7, 7), WALL, dtype=np.uint8)
    boards[0, :, :4, :4] = made
    boards[1, :, 2:6, 3:7] = np.rot90(made, axes=(1, 2))
    boards = boards.reshape(2, 40, 49)
    marks, moved = (fingerprint(part, 7, 7, anywhere=True) for part in boards)
    assert np.array_equal(marks, moved) and len(np.unique(marks)) == 40
    assert not np.isin(*(fingerprint(part, 7, 7) for part in boards)).any()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"num": 0}, "num=0 is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"kinds": []}, "kind=none is not allowed; give some of walls, scattered"),
        ({"kinds": ["caves"]}, "kind=caves is not allowed; give some of walls, scattered"),
        ({"kinds": ["open", "open"]}, "kind=open open is not allowed; .* each once"),
        ({"height": 2}, "height=2 is not allowed; with a kind it must be at least 3"),
        ({"board": (8, 7)}, "width=8 does not fit on a board of 8x7; give less"),
        ({"smallest_side": 9}, "smallest_side=9 is not allowed for mazes of up to 8x8; it must be from 3 to 8"),
        ({"num": 999, "height": 3, "width": 3}, "Only .* mazes were found, not 999: 500 of the kind open in a row"),
    ],
)
def test_impossible_wishes_for_kinds_are_refused(wish, message):
    with pytest.raises(ValueError, match=message):
        generate_mixed(**({"num": 2, "kinds": ["open"], "height": 8, "width": 8} | wish), progress=False)


# --- symmetries


@pytest.mark.parametrize(("height", "width", "symmetries"), [(8, 8, 8), (4, 10, 4)])
def test_every_symmetry_keeps_mazes_valid_and_answers_right(height, width, symmetries):
    questions, answers, steps = generate(20, height, width, 8, progress=False)
    cells = symmetry_cells(height, width).numpy()
    assert len(cells) == symmetries
    assert np.array_equal(cells[0], np.arange(height * width))
    for old in cells:
        assert (maze_errors(questions[:, old], answers[:, old], height, width) == "").all()
        assert np.array_equal(measure(questions[:, old], answers[:, old], height, width).steps, steps)
        assert np.array_equal(questions[:, old][:, old.argsort()], questions)
    images = {format_mazes(questions[:1, old])[0] for old in cells}
    assert len(images) == symmetries


def test_random_symmetries_can_be_undone():
    questions = torch.tensor(generate(50, **SMALL, progress=False)[0]).long()
    symmetry = random_symmetries(torch.arange(50), seed=1, height=8, width=8)
    changed = symmetry.apply(questions)
    assert (changed != questions).any(1).sum() > 35
    assert torch.equal(symmetry.undo(changed), questions)


def test_a_symmetry_depends_on_its_draw_alone():
    together = random_symmetries(torch.arange(50, 60), seed=1, height=8, width=8)
    alone = random_symmetries(torch.tensor([57]), seed=1, height=8, width=8)
    assert torch.equal(together.cells[7:8], alone.cells)


@pytest.mark.parametrize(("width", "symmetries"), [(3, 8), (4, 4)])
def test_symmetries_are_uniform(width, symmetries):
    symmetry = random_symmetries(torch.arange(8000), seed=0, height=3, width=width)
    # each as often as it should be, up to 5 standard deviations
    _, counts = symmetry.cells.unique(dim=0, return_counts=True)
    assert len(counts) == symmetries
    assert (counts - 8000 / symmetries).abs().max() < 5 * (8000 / symmetries) ** 0.5


@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 10)])
def test_fingerprint_is_kept_by_symmetries_and_tells_mazes_apart(height, width):
    questions = generate(50, height, width, 8, progress=False)[0]
    marks = fingerprint(questions, height, width)
    assert len(np.unique(marks)) == 50
    for old in symmetry_cells(height, width).numpy():
        assert np.array_equal(fingerprint(questions[:, old], height, width), marks)
    # S and G exchanged, which have the same path
    exchanged = np.choose(questions, [0, WALL, FLOOR, GOAL, START, PATH]).astype(np.uint8)
    assert np.array_equal(fingerprint(exchanged, height, width), marks)
    # one wall less is another maze
    fewer = questions.copy()
    fewer[np.arange(50), (questions == WALL).argmax(1)] = FLOOR
    assert not np.isin(fingerprint(fewer, height, width), marks).any()


# --- folders


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set of 8x8 mazes."""
    path = tmp_path_factory.mktemp("mazes") / "m8"
    counts = build_maze(path, **TO_BUILD, num_train=60, num_validation=5, num_test=10, seed=2)
    assert counts == {"train": 60, "validation": 5, "test": 10}
    return path


def test_folder_opens_with_load_dataset(folder):
    splits = load_dataset(str(folder))
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 60, "validation": 5, "test": 10}
    row = splits["train"][0]
    assert set(row) == {"question", "answer", "rating", "source", "steps"}
    assert row["steps"] == row["rating"] == row["answer"].count("o") + 1 >= 14
    assert row["answer"].replace("o", " ") == row["question"]
    assert row["source"] == "generated-8x8"
    assert next(iter(load_dataset(str(folder), split="test", streaming=True))) == splits["test"][0]


def test_card_tells_how_mazes_were_made_and_shows_one(folder):
    card = (folder / "README.md").read_text()
    options = "--height 8 --width 8 --min-steps 14 --num-train 60 --num-validation 5 --num-test 10 --seed 2"
    assert f"build_maze.py m8 {options}\n" in card
    steps = load_rows(str(folder), "train")["steps"]
    assert f"| train | 60 | {np.mean(steps):.1f} ({min(steps)} to {max(steps)}) |" in card
    assert "0 puzzles of earlier splits were removed" in card
    assert draw_maze(load_rows(str(folder), "train")[0]["answer"], 8) in card


def test_training_draws_are_augmented_and_right(folder):
    rows = load_rows(str(folder), "train")
    processor = MazeKind().processor_of_rows(rows)
    puzzles = encode(rows, processor)
    draws = PuzzleDraws(puzzles, 200, seed=0, augment=MazeKind().augmentation(processor, seed=0))
    whole = draws.__getitems__(list(range(200)))
    assert all(processor.check_batch(whole["input_ids"], whole["labels"]))
    plain = PuzzleDraws(puzzles, 200, seed=0).__getitems__(list(range(200)))
    assert (whole["input_ids"] != plain["input_ids"]).any(1).sum() > 150
    # however they are batched
    alone = draws.__getitems__([170])
    assert torch.equal(whole["input_ids"][170:171], alone["input_ids"])
    assert torch.equal(whole["labels"][170:171], alone["labels"])


def test_mazes_that_are_not_square_know_their_width(tmp_path):
    build_maze(tmp_path / "m", height=4, width=10, min_steps=[8], num_train=5, num_test=5)
    rows = load_rows(str(tmp_path / "m"), "train")
    processor = MazeKind().processor_of_rows(rows)
    assert (processor.height, processor.width) == (4, 10)
    assert rows["width"][:] == [10] * 5
    batch = encode(rows, processor)
    augment = MazeKind().augmentation(processor, seed=0)
    assert all(processor.check_batch(*augment(torch.arange(5), batch["input_ids"], batch["labels"])))
    with pytest.raises(ValueError, match="40 cells, which is not a rectangle 6 wide"):
        MazeKind().processor_of_rows(rows.remove_columns("width"))


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory) -> Path:
    """A data set of mazes of two kinds, up to 8x8."""
    path = tmp_path_factory.mktemp("mazes") / "mixed"
    options = {"kind": ["open", "perfect"], "height": 8, "width": 8, "smallest_side": 5}
    build_maze(path, **options, num_train=60, num_validation=6, num_test=10)
    return path


def test_a_folder_of_several_kinds_says_what_it_holds(mixed_folder):
    card = (mixed_folder / "README.md").read_text()
    options = "--height 8 --width 8 --kind open --kind perfect --smallest-side 5 --num-train 60 --num-validation 6"
    assert f"build_maze.py mixed {options} --num-test 10\n" in card
    assert "\n| open | 30 | 3 | 5 | " in card and "\n| perfect | 30 | 3 | 5 | " in card
    assert "the answer is the first, where each step from S\ngoes up" in card
    rows = load_rows(str(mixed_folder), "train")
    assert rows["source"][:4] == ["generated-open", "generated-perfect"] * 2
    processor = MazeKind().processor_of_rows(rows)
    batch = encode(rows, processor)
    assert all(processor.check_batch(batch["input_ids"], batch["labels"]))


def test_turned_mazes_with_several_shortest_paths_are_answered_anew(mixed_folder):
    puzzles = open_puzzles(str(mixed_folder), "train")
    batch = puzzles.draws(300, seed=0).__getitems__(list(range(300)))
    expected = first_paths(batch["input_ids"].numpy().astype(np.uint8), 8, 8)
    assert np.array_equal(batch["labels"].numpy(), expected)
    # not what the symmetries alone make of the answers
    plain = PuzzleDraws(puzzles.examples(), 300, seed=0, augment=MazeKind().augmentation(puzzles.processor, 0))
    turned = plain.__getitems__(list(range(300)))
    assert torch.equal(turned["input_ids"], batch["input_ids"])
    assert 20 < (turned["labels"] != batch["labels"]).any(1).sum() < 150

    def different(labels: torch.Tensor) -> list[list[int]]:
        return labels.unique(dim=0).tolist()

    # an epoch without symmetries
    as_they_are = puzzles.draws(60, seed=0, augment=False).__getitems__(list(range(60)))
    assert different(as_they_are["labels"]) == different(puzzles.examples()["labels"])


def test_a_card_with_other_ties_is_refused(mixed_folder, tmp_path):
    shutil.copytree(mixed_folder, tmp_path / "m")
    card = tmp_path / "m/README.md"
    card.write_text(card.read_text().replace("ties: first", "ties: last"))
    with pytest.raises(
        ValueError, match="of several shortest paths the 'last' is the answer, but only 'first' is supported"
    ):
        open_puzzles(str(tmp_path / "m"), "train")


def test_the_same_command_reuses_what_is_there(folder, capsys):
    options = TO_BUILD | {"num_train": 60, "num_validation": 5, "num_test": 10, "seed": 2}
    written = (folder / "README.md").stat().st_mtime_ns
    assert build_maze(folder, **options) == {"train": 60, "validation": 5, "test": 10}
    assert "m8 was already made by this command" in capsys.readouterr().out
    assert (folder / "README.md").stat().st_mtime_ns == written
    with pytest.raises(FileExistsError, match="is already a data set.*--overwrite"):
        build_maze(folder, **(options | {"seed": 3}))
    build_maze(folder, **options, overwrite=True)
    assert (folder / "README.md").stat().st_mtime_ns > written


def test_equal_commands_write_equal_files(folder, tmp_path):
    build_maze(tmp_path / "m8", **TO_BUILD, num_train=60, num_validation=5, num_test=10, seed=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 5  # card, picture, three splits
    assert all((folder / name).read_bytes() == (tmp_path / "m8" / name).read_bytes() for name in files)


def test_damaged_and_interrupted_data_sets_are_not_taken_for_whole(tmp_path, monkeypatch):
    options = TO_BUILD | {"num_train": 5, "num_test": 5}
    with monkeypatch.context() as patch:
        patch.setattr("hrm_hf.data.folder.write_card", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_maze(tmp_path / "m", **options)
    assert not any(tmp_path.iterdir())
    build_maze(tmp_path / "m", **options)
    file = tmp_path / "m/data/train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="train-00000-of-00001.parquet is missing or damaged.*--overwrite"):
        build_maze(tmp_path / "m", **options)
    assert build_maze(tmp_path / "m", **options, overwrite=True) == {"train": 5, "test": 5}


# --- files


@pytest.fixture
def csv_file(tmp_path):
    """Makes a CSV file of the original's form from rows; gzipped if its name says so."""

    def make(name: str, *rows: tuple, header: str = "source,question,answer,rating") -> Path:
        data = ("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n").encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return make


def maze_rows(num: int, seed: int) -> list[tuple]:
    questions, answers, _ = generate(num, **SMALL, seed=seed, progress=False)
    return [
        ("test", question, answer, 100 + index)
        for index, (question, answer) in enumerate(zip(format_mazes(questions), format_mazes(answers), strict=True))
    ]


def test_csv_files_become_a_folder_without_leaks(tmp_path, csv_file):
    train, test = maze_rows(8, seed=0), maze_rows(4, seed=1)
    # a mirrored copy of a test maze among the training mazes
    train.insert(4, ("leak", *("".join(line[i : i + 8][::-1] for i in range(0, 64, 8)) for line in test[2][1:3]), 0))
    files = {"train_csv": csv_file("train.csv.gz", *train), "test_csv": csv_file("test.csv", *test)}
    assert build_maze(tmp_path / "out", source="csv", **files) == {"train": 8, "test": 4}
    splits = load_dataset(str(tmp_path / "out"))
    assert splits["train"]["question"][:] == [row[1] for row in train if row[0] != "leak"]
    assert splits["test"]["answer"][:] == [row[2] for row in test]
    assert splits["test"]["rating"][:] == [100, 101, 102, 103]
    assert splits["test"]["steps"][:] == [row[2].count("o") + 1 for row in test]
    card = (tmp_path / "out/README.md").read_text()
    assert "1 puzzles of earlier splits were" in card
    assert "Every maze has just one shortest path" in card
    assert "build_maze.py out --source csv --train-csv train.csv.gz --test-csv test.csv\n" in card

    # a file of another content is another source, though its name is the same
    csv_file("test.csv", *test[:3])
    with pytest.raises(FileExistsError, match="is already a data set"):
        build_maze(tmp_path / "out", source="csv", **files)


def test_of_several_shortest_paths_the_answer_is_that_of_the_file(tmp_path, csv_file):
    files = {
        "train_csv": csv_file("train.csv", ("a", joined("S  /   /  G"), joined("So / oo/  G"), 3)),
        "test_csv": csv_file("test.csv", ("a", joined("S# /   /##G"), joined("S# /ooo/##G"), 3)),
    }
    build_maze(tmp_path / "out", source="csv", **files)
    assert load_rows(str(tmp_path / "out"), "train")["answer"][:] == [joined("So / oo/  G")]
    assert "50.0% of the mazes have several shortest paths" in (tmp_path / "out/README.md").read_text()


def test_the_hub_is_read_like_files(tmp_path, csv_file, monkeypatch):
    csv_file("train.csv", *maze_rows(3, seed=0))
    csv_file("test.csv", *maze_rows(2, seed=1))

    def download(name: str, file: str, repo_type: str) -> str:
        assert (name, repo_type) == ("sapientinc/maze-30x30-hard-1k", "dataset")
        return str(tmp_path / file)

    monkeypatch.setattr(build, "hf_hub_download", download)
    assert build_maze(tmp_path / "out", source="hub") == {"train": 3, "test": 2}
    assert "Hub files:\n- `train.csv`, SHA-256" in (tmp_path / "out/README.md").read_text()


def test_without_the_hub_there_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="train.csv and test.csv of the data set a/b cannot be downloaded"):
        build_maze(tmp_path / "out", source="hub", hub_name="a/b")


@pytest.mark.parametrize(
    ("question", "answer", "message"),
    [
        (MAZE[1:], ANSWER, "line 3: a board of 19 cells, expected 20"),
        (MAZE.replace("#", "x", 1), ANSWER, "line 3: the character 'x', expected # .wall., space"),
        (MAZE, ANSWER[:-1], "line 3: a board of 19 cells"),
        (MAZE, ANSWER.replace("#", " ", 1), "line 3: an answer with ' ' in row 1, column 3"),
        (MAZE, MAZE, "line 3: an answer whose path does not lead from S to G"),
    ],
)
def test_bad_rows_are_named_or_left_out(csv_file, capsys, question, answer, message):
    good = ("a", MAZE, ANSWER, 0)
    file = csv_file("p.csv", good, ("b", question, answer, 0), good)
    with pytest.raises(ValueError, match=f"p.csv, {message}.*--on-error skip"):
        read_maze_csv(file, width=5)
    puzzles = read_maze_csv(file, width=5, on_error="skip")
    assert (len(puzzles), puzzles.left_out) == (2, 1)
    assert "left out 1 of 3 rows" in capsys.readouterr().out


def test_the_card_counts_rows_left_out(tmp_path, csv_file):
    rows = maze_rows(5, seed=0)
    bad = ("bad", rows[0][1], rows[0][1], 0)
    files = {"train_csv": csv_file("train.csv", bad, *rows[:3], bad), "test_csv": csv_file("test.csv", *rows[3:])}
    assert build_maze(tmp_path / "out", source="csv", on_error="skip", **files) == {"train": 3, "test": 2}
    assert "2 bad rows of the files were left out." in (tmp_path / "out/README.md").read_text()


def test_bad_files_and_options_are_refused(tmp_path, csv_file):
    file = csv_file("a.csv", *maze_rows(4, seed=0))
    with pytest.raises(ValueError, match="has 4 puzzles, but 5 were asked for"):
        read_maze_csv(file, 5)
    with pytest.raises(ValueError, match="has no column answer, only source, question"):
        read_maze_csv(csv_file("b.csv", ("a", MAZE), header="source,question"))
    with pytest.raises(
        ValueError, match="c.csv: The mazes have 20 cells, which is not a square; give --height or --width"
    ):
        read_maze_csv(csv_file("c.csv", ("a", MAZE, ANSWER, 0)))
    for options, message in (
        ({"source": "csv", "train_csv": file}, "needs two files"),
        ({"source": "csv", "train_csv": file, "test_csv": tmp_path / "no.csv"}, "There is no CSV file .*no.csv"),
        ({"source": "csv", "min_steps": [5]}, r"min_steps=\[5\] is for the source generate, not for csv"),
        ({"source": "csv", "kind": ["open"]}, r"kind=\['open'\] is for the source generate, not for csv"),
        ({"kind": ["caves"]}, "kind=caves is not allowed; give some of walls"),
        ({"kind": ["open"], "min_steps": [5]}, r"min_steps=\[5\] is not for --kind"),
        ({"smallest_side": 5}, "smallest_side=5 needs a --kind"),
        ({"random_subset": True}, "random_subset=True is for the source csv and hub, not for generate"),
        ({"num_train": 0}, "num_train=0 is not allowed"),
        ({"num_validation": -1}, "num_validation=-1 is not allowed"),
        ({"source": "csv", "train_csv": file, "test_csv": file}, "All 4 puzzles of the split 'train' are also"),
        ({"source": "csv", "train_csv": file, "test_csv": file, "num_validation": 4}, "leaves nothing to train on"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            build_maze(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_shapes_follow_from_what_is_given():
    assert maze_shape(36, None, None) == (6, 6)
    assert maze_shape(36, 4, None) == (4, 9)
    assert maze_shape(36, None, 4) == (9, 4)
    with pytest.raises(ValueError, match="height=5 does not fit: the mazes have 36 cells"):
        maze_shape(36, 5, None)
    with pytest.raises(ValueError, match="height=4 and width=4 do not fit"):
        maze_shape(36, 4, 4)


def test_subsets_are_the_first_rows_or_random_ones(csv_file):
    rows = maze_rows(20, seed=0)
    file = csv_file("p.csv", *rows)
    lines = [row[1] for row in rows]
    assert format_mazes(read_maze_csv(file, 5).questions) == lines[:5]
    first, again, other = (format_mazes(read_maze_csv(file, 5, subset_seed=seed).questions) for seed in (0, 0, 1))
    assert first == again != other
    assert set(first) < set(lines)


def test_script_builds_and_reports_errors_in_one_sentence(tmp_path, monkeypatch, capsys):
    def run(*words: str):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["build_maze.py", "out", *words])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(ROOT / "dataset_scripts/build_maze.py"), run_name="__main__")
        return exit_info.value.code, capsys.readouterr()

    sizes = ("--height", "8", "--width", "8", "--min-steps", "14", "--num-train", "5", "--num-test", "5")
    code, output = run(*sizes)
    assert code == 0
    assert "train: 5 mazes, 1" in output.out
    assert (tmp_path / "out/data/train-00000-of-00001.parquet").is_file()
    code, output = run(*sizes, "--seed", "1")
    assert code == 1
    assert output.err.splitlines()[-1].startswith("build_maze.py: out is already a data set")


def test_the_number_of_threads_changes_nothing():
    one, several = (generate(300, 8, 8, seed=4, progress=False, num_threads=number) for number in (1, 3))
    for part, other in zip(one, several, strict=True):
        np.testing.assert_array_equal(part, other)


def test_mazes_of_several_lengths_take_turns():
    made = generated_mazes(10, 8, 8, [4, 8, 14], seed=0, num_threads=1)
    steps = made.ratings
    assert (steps[0::3] >= 4).all() and (steps[1::3] >= 8).all() and (steps[2::3] >= 14).all()
    assert (steps < 8).any() and len(steps) == 10
    assert len(set(fingerprint(made.questions, 8, 8).tolist())) == 10
    # the first kind is that of a data set of it alone
    assert (made.questions[0::3] == generate(4, 8, 8, 4, seed=0, progress=False)[0]).all()


def test_mazes_that_were_seen_are_not_made_again():
    first = generate(20, **SMALL, progress=False)[0]
    seen = set(fingerprint(first[:10], 8, 8).tolist())
    again = generate(10, **SMALL, progress=False, seen=seen)[0]
    assert (again == first[10:]).all() and len(seen) == 20
