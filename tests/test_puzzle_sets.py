"""Any puzzle data set, opened, trained on and evaluated by the same few calls."""

import json
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from hrm_hf.cli import main as hrm_hf_main
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.sets import kind_of_rows, open_puzzles
from hrm_hf.puzzles.sudoku.build import build_sudoku
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor
from train_accelerate import main as train_main


KINDS = ["sudoku", "maze", "arc"]


def arc_tasks(first_seed: int, num: int) -> dict:
    """Tasks of random 3x3 grids."""
    tasks = {}
    for seed in range(first_seed, first_seed + num):
        grids = np.random.default_rng(seed).integers(0, 10, (4, 2, 3, 3)).tolist()
        pairs = [{"input": pair[0], "output": pair[1]} for pair in grids]
        tasks[f"task{seed}"] = {"train": pairs[:3], "test": pairs[3:]}
    return tasks


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, str]:
    """A small data set of each kind."""
    root = tmp_path_factory.mktemp("sets")
    build_sudoku(root / "sudoku", size=4, clues=8, num_train=40, num_test=10)
    build_maze(root / "maze", height=6, width=6, min_steps=[6], num_train=40, num_test=10)
    for name, seed in (("training", 0), ("evaluation", 10)):
        (root / f"{name}.json").write_text(json.dumps(arc_tasks(seed, 4)))
    build_arc(root / "arc", training=[root / "training.json"], evaluation=[root / "evaluation.json"], num_aug=5)
    return {kind: str(root / kind) for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "task", "shape", "items"),
    [("sudoku", "sudoku", (4, 4), 40), ("maze", "maze", (6, 6), 40), ("arc", "arc", (30, 30), 4 * 4 + 4 * 3)],
)
def test_the_kind_is_told_by_the_data(folders, kind, task, shape, items):
    puzzles = open_puzzles(folders[kind], "train")
    assert (puzzles.processor.task, puzzles.processor.height, puzzles.processor.width) == (task, *shape)
    assert puzzles.num_items == items
    batch = puzzles.draws(100, seed=0).__getitems__(list(range(8)))
    examples = puzzles.examples()
    for tensors, num in ((batch, 8), (examples, items)):
        assert tensors["input_ids"].shape == tensors["labels"].shape == (num, shape[0] * shape[1])
        assert tensors["puzzle_identifiers"].shape == (num,)
        assert tensors["puzzle_identifiers"].max() < puzzles.processor.num_puzzle_identifiers
    assert len(puzzles.examples(3)["input_ids"]) == 3


def test_the_letters_of_16x16_sudoku_make_no_maze():
    """G is the sixteenth digit, and the goal of a maze."""
    sudoku = datasets.Dataset.from_dict({"question": ["G" + "." * 255]})
    assert kind_of_rows(sudoku).name == "sudoku"
    maze = datasets.Dataset.from_dict({"question": ["SG##"]})
    assert kind_of_rows(maze).name == "maze"


def test_arc_is_evaluated_on_the_tasks_as_they_are(folders):
    puzzles = open_puzzles(folders["arc"], "test")
    examples = puzzles.examples()
    tasks = arc_tasks(10, 4)
    expected = HRMGridProcessor.for_arc()([task["test"][0]["input"] for task in tasks.values()])["input_ids"]
    assert torch.equal(examples["input_ids"].unique(dim=0), expected.unique(dim=0))
    names = {number: name for name, number in puzzles.processor.puzzle_identifiers.items()}
    assert {names[number] for number in examples["puzzle_identifiers"].tolist()} == set(tasks)


@pytest.mark.parametrize("kind", ["sudoku", "maze"])
def test_augmentation_can_be_left_out(folders, kind):
    puzzles = open_puzzles(folders[kind], "train")
    plain = puzzles.draws(40, seed=0, augment=False).__getitems__(list(range(40)))["input_ids"]
    assert torch.equal(plain.unique(dim=0), puzzles.examples()["input_ids"].unique(dim=0))
    assert not torch.equal(plain, puzzles.draws(40, seed=0).__getitems__(list(range(40)))["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_trains_and_is_evaluated_on_each_kind(folders, kind, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    argv = f"--dataset {folders[kind]} --output_dir {run} --hidden_size 32 --intermediate_size 64".split()
    argv += "--num_attention_heads 2 --H_layers 1 --L_layers 1 --halt_max_steps 2 --batch_size 8 --max_steps 3".split()
    argv += "--log_steps 1 --eval_steps 3 --warmup_steps 1 --puzzle_emb_ndim 32 --max_eval_rows 4".split()
    assert train_main([*argv, "--position_embedding_type", "grid"]) == 0
    model = HRMForGridTask.from_pretrained(run / "model")
    processor = HRMGridProcessor.from_pretrained(run / "model")
    assert model.config.num_puzzle_identifiers == processor.num_puzzle_identifiers
    assert model.config.grid_shape == [processor.height, processor.width]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]

    monkeypatch.setattr(sys, "argv", ["hrm-hf", "evaluate", str(run / "model"), folders[kind], "--limit", "4"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        hrm_hf_main()
    assert not exit.value.code
    assert json.loads(capsys.readouterr().out)["n"] == 4

    other = folders["maze" if kind != "maze" else "sudoku"]
    monkeypatch.setattr(sys, "argv", ["hrm-hf", "evaluate", str(run / "model"), other])
    with pytest.raises(SystemExit) as exit:
        hrm_hf_main()
    assert exit.value.code == 1
    assert "give a data set of the same kind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dataset", "split", "limit", "error", "message"),
    [
        ("./nowhere", "train", None, FileNotFoundError, "There is no data set folder ./nowhere"),
        ("sudoku", "dev", None, ValueError, "has no split 'dev'"),
        ("arc", "dev", None, ValueError, "no split 'dev'"),
        ("maze", "train", 99, ValueError, "has 40 rows, but 99 were asked for"),
        ("arc", "train", 2, ValueError, "limit of 2 rows is for Sudoku and mazes"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(folders, dataset, split, limit, error, message):
    with pytest.raises(error, match=message):
        open_puzzles(folders.get(dataset, dataset), split, limit)


def test_a_folder_without_puzzles_is_named(tmp_path):
    Path(tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match="empty"):
        open_puzzles(str(tmp_path / "empty"), "train")
