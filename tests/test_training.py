"""The trainer as a user starts it: recipes, the sequence of draws, a run folder, errors in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from hrm_hf.checkpoints import SHIPPED_SUDOKU
from hrm_hf.puzzles.rows import PuzzleDraws, encode, load_rows
from hrm_hf.puzzles.sudoku.build import build_sudoku
from hrm_hf.puzzles.sudoku.kind import SUDOKU
from hrm_hf.training.arguments import parse_recipe, read_recipe
from tests.tiny import NETWORK


ROOT = Path(__file__).parent.parent
TINY = NETWORK | {
    "halt_max_steps": 3,
    "puzzle_emb_ndim": 32,
    "batch_size": 16,
    "max_steps": 12,
    "warmup_steps": 2,
    "learning_rate": 1e-3,
    "max_grad_norm": 1.0,
    "log_steps": 4,
    "eval_steps": 8,
    "max_eval_rows": 16,
}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory) -> str:
    """100 + 20 Sudoku of size 4."""
    folder = tmp_path_factory.mktemp("data") / "sudoku4"
    build_sudoku(folder, size=4, clues=8, num_train=100, num_test=20)
    return str(folder)


def launch(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", str(ROOT / "train_accelerate.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


# --- the sequence of training examples


def draws_of(data_folder: str, num_draws: int = 300, seed: int = 0, augment: bool = True) -> PuzzleDraws:
    rows = load_rows(data_folder, "train")
    processor = SUDOKU.processor_of_rows(rows)
    augmentation = SUDOKU.augmentation(processor, seed) if augment else None
    return PuzzleDraws(encode(rows, processor), num_draws, seed, augmentation)


def test_an_epoch_visits_every_puzzle_once(data_folder):
    draws = draws_of(data_folder, augment=False)
    epochs = [draws.__getitems__(list(range(start, start + 100)))["input_ids"] for start in (0, 100)]
    for epoch in epochs:
        assert torch.equal(epoch.unique(dim=0), draws.puzzles["input_ids"].unique(dim=0))
    assert not torch.equal(*epochs)  # in another order


def test_draws_do_not_depend_on_how_they_are_batched(data_folder):
    whole = draws_of(data_folder).__getitems__(list(range(90, 130)))
    again = draws_of(data_folder)
    again.__getitems__([250])  # something else in between
    parts = [again.__getitems__(list(range(start, start + 10))) for start in (90, 100, 110, 120)]
    for name in whole:
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts]))


def test_draws_depend_on_the_seed(data_folder):
    first, second = (draws_of(data_folder, seed=seed).__getitems__(list(range(50))) for seed in (0, 1))
    assert not torch.equal(first["input_ids"], second["input_ids"])


def test_augmentation_keeps_puzzles_valid_and_answers_right(data_folder):
    draws = draws_of(data_folder)
    processor = SUDOKU.processor_of_rows(load_rows(data_folder, "train"))
    batch = draws.__getitems__(list(range(200)))
    assert all(processor.check_batch(batch["input_ids"], batch["labels"]))
    assert not torch.equal(
        batch["input_ids"], draws_of(data_folder, augment=False).__getitems__(list(range(200)))["input_ids"]
    )


# --- recipes


def write_recipe(path: Path, **options) -> str:
    path.write_text(yaml.safe_dump(options))
    return str(path)


def test_the_command_line_wins_over_the_recipe(tmp_path):
    recipe = write_recipe(tmp_path / "r.yaml", dataset="d", output_dir="o", learning_rate=3e-4, seed=1, compile=True)
    model_args, data_args, train_args = parse_recipe([recipe, "--seed", "7", "--hidden_size", "64"])
    assert (train_args.seed, train_args.learning_rate, train_args.compile) == (7, 3e-4, True)
    assert (model_args.hidden_size, data_args.dataset) == (64, "d")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lerning_rate": 1}, "unknown option 'lerning_rate'; did you mean learning_rate"),
        ({"seed": [1, 2]}, "seed: \\[1, 2\\].*one plain value"),
        ({"output_dir": True}, "output_dir: True.*in quotes"),
        ({"output_dir": 0}, "output_dir: 0.*in quotes"),
        ({"init_from": False}, "init_from: False.*in quotes"),
        ({"batch_size": 0}, "batch_size=0.*at least 1"),
        ({"mixed_precision": "fp8"}, "mixed_precision='fp8'.*'no' or 'bf16'"),
    ],
)
def test_a_bad_recipe_is_one_sentence(tmp_path, options, message):
    recipe = write_recipe(tmp_path / "r.yaml", **({"dataset": "d", "output_dir": "o"} | options))
    with pytest.raises(ValueError, match=message):
        parse_recipe([recipe])


def test_a_missing_recipe_is_named():
    with pytest.raises(FileNotFoundError, match="no recipe file nowhere.yaml"):
        parse_recipe(["nowhere.yaml"])


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_the_recipes_of_the_project_parse(recipe):
    parse_recipe([str(recipe)])


# --- whole runs


@pytest.fixture(scope="module")
def run_folder(data_folder, tmp_path_factory) -> Path:
    """A short run, started with `accelerate launch`."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = write_recipe(folder / "tiny.yaml", dataset=data_folder, output_dir=str(folder / "run"), **TINY)
    process = launch(recipe)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder / "run"


def test_a_run_leaves_recipe_log_result_and_model(run_folder):
    assert {path.name for path in run_folder.iterdir()} == {"recipe.yaml", "log.jsonl", "result.json", "model"}
    log = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    training = [record for record in log if "loss" in record]
    assert [record["step"] for record in training] == [4, 8, 12]
    assert [record["step"] for record in log if "eval_exact_accuracy" in record] == [8, 12]
    assert all(record["lm_loss"] > 0 and record["samples_per_s"] > 0 for record in training)
    assert training[1]["halted"] > 0
    result = json.loads((run_folder / "result.json").read_text())
    assert (result["steps"], result["n"], result["train_puzzles"]) == (12, 16, 100)
    files = {path.name for path in (run_folder / "model").iterdir()}
    assert files == {
        "config.json",
        "model.safetensors",
        "processor_config.json",
        "configuration_hrm.py",
        "modeling_hrm.py",
        "pipeline_hrm.py",
        "processing_hrm.py",
    }


def test_a_run_is_repeated_by_the_recipe_it_wrote(run_folder, tmp_path):
    from safetensors.torch import load_file

    process = launch(str(run_folder / "recipe.yaml"), "--output_dir", str(tmp_path / "again"))
    assert process.returncode == 0, process.stderr[-3000:]
    weights, again = (load_file(path / "model/model.safetensors") for path in (run_folder, tmp_path / "again"))
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_run_is_not_overwritten_unasked(run_folder):
    process = launch(str(run_folder / "recipe.yaml"))
    assert process.returncode == 1
    assert "is not empty; give another --output_dir" in process.stderr
    assert (run_folder / "result.json").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dataset": "./nowhere"}, "There is no data set folder ./nowhere"),
        ({"eval_split": "dev"}, "has no split 'dev'; it has train, test"),
        ({"max_train_rows": 1000}, "has 100 rows, but 1000 were asked for"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size=30 is not allowed"),
        ({"halting": "sometimes"}, "halting='sometimes' is not allowed"),
        ({"init_from": "./nowhere"}, "There is no folder ./nowhere"),
        ({"eval_augmentations": 3}, "eval_augmentations=3 is for ARC"),
        ({"filled_share": 1.5}, "filled_share=1.5 is not allowed; it must be at least 0 and at most 1"),
        ({"filled_share": 0.5, "task": "text"}, "filled_share=0.5 is for Sudoku, not for text"),
        (
            {"init_from": str(SHIPPED_SUDOKU)},
            "do not fit the recipe: for lm_head.weight it has (11, 256), expected (6, 32)",
        ),
    ],
)
def test_user_errors_are_one_sentence_without_a_traceback(tmp_path, data_folder, capsys, options, sentence):
    from train_accelerate import main

    output_dir = tmp_path / "run"
    options = TINY | {"dataset": data_folder, "output_dir": str(output_dir)} | options
    assert main([write_recipe(tmp_path / "r.yaml", **options)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not output_dir.exists()


# --- options of the loop


def test_a_share_of_the_visits_has_further_cells_filled_in(data_folder, tmp_path):
    from hrm_hf.training.grid_task import GridTask

    def batch(**options) -> dict[str, torch.Tensor]:
        recipe = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run")} | options
        model_args, data_args, train_args = parse_recipe([write_recipe(tmp_path / "r.yaml", **recipe)])
        task = GridTask(model_args, data_args, seed=3)
        return task.draws(train_args, num_steps=100, parts=1).__getitems__(list(range(400)))

    plain, filled = batch(), batch(filled_share=0.5)
    # the same puzzles under the same symmetries
    assert torch.equal(plain["labels"], filled["labels"])
    changed = (plain["input_ids"] != filled["input_ids"]).any(1)
    assert 100 < changed.sum() < 260
    assert (filled["input_ids"] == filled["labels"]).all(1).any()
    assert torch.equal(filled["input_ids"], batch(filled_share=0.5)["input_ids"])


def test_puzzles_whose_answers_are_no_fillings_are_not_filled_in(tmp_path):
    from hrm_hf.puzzles.maze.build import build_maze
    from hrm_hf.training.grid_task import GridTask

    build_maze(tmp_path / "mazes", height=5, width=5, min_steps=[3], num_train=4, num_test=4)
    options = TINY | {"dataset": str(tmp_path / "mazes"), "output_dir": str(tmp_path / "run"), "filled_share": 0.5}
    model_args, data_args, _ = parse_recipe([write_recipe(tmp_path / "r.yaml", **options)])
    with pytest.raises(ValueError, match="filled_share=0.5 is for Sudoku, but .*mazes has the task maze; leave it"):
        GridTask(model_args, data_args, seed=0)


def test_moving_average_is_what_is_evaluated_and_saved(data_folder, tmp_path):
    from safetensors.torch import load_file

    from hrm_hf.training.loop import prepare, train

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "max_steps": 4, "ema_decay": 0.9}
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)]))
    expected, snapshots = None, []
    update = run.average.update

    def recording_update(model, found_inf):
        snapshots.append({name: param.detach().clone() for name, param in model.named_parameters()})
        update(model, found_inf)

    run.average.update = recording_update
    train(run)
    for index, weights in enumerate(snapshots):
        decay = min(0.9, (1 + index) / (10 + index))
        expected = weights if index == 0 else {n: decay * expected[n] + (1 - decay) * weights[n] for n in weights}
    saved = load_file(tmp_path / "run/model/model.safetensors")
    # rows of puzzles are not averaged, because that would touch all of a large table in every step
    table = "model.puzzle_embeddings.weight"
    assert run.average.module.get_parameter(table) is run.model.get_parameter(table)
    assert torch.equal(saved[table], snapshots[-1][table]) and not torch.equal(saved[table], snapshots[0][table])
    for name in expected.keys() - {table}:
        torch.testing.assert_close(saved[name], expected[name])
    assert not torch.equal(saved["lm_head.weight"], snapshots[-1]["lm_head.weight"])


def test_the_saved_model_may_have_more_h_cycles_and_halt_later_than_in_training(run_folder, data_folder, tmp_path):
    from hrm_hf.checkpoints import load_checkpoint
    from hrm_hf.evaluation.grid import score, solve_puzzles
    from hrm_hf.training.loop import prepare, train

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run")}
    options |= {"eval_H_cycles": 5, "eval_halt_threshold": 0.75}
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)]))
    scores = train(run)
    (plain, _), (deep, _) = (load_checkpoint(str(folder / "model")) for folder in (run_folder, tmp_path / "run"))
    for config, expected in ((run.model.config, (2, 0.5)), (plain.config, (2, 0.5)), (deep.config, (5, 0.75))):
        assert (config.H_cycles, config.halt_threshold) == expected
    # training is as without the options
    assert all(torch.equal(weights, deep.state_dict()[name]) for name, weights in plain.state_dict().items())
    solved = solve_puzzles(deep, run.task.eval_puzzles, run.accelerator, max_segments=3, early_stop=False)
    assert scores["cell_accuracy"] == score(solved, 3, False).as_dict()["cell_accuracy"]


def test_several_batches_in_work_are_visited_in_turn(data_folder, tmp_path):
    from hrm_hf.training.loop import prepare, train

    options = TINY | {
        "dataset": data_folder,
        "output_dir": str(tmp_path / "run"),
        "max_steps": 9,
        "batches_in_work": 3,
    }
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options, halt_exploration_prob=0)]))
    steps = []
    run.model.register_forward_hook(
        lambda module, args, output: steps.append(output.carry.steps.tolist()) if module.training else None
    )
    run.model.train()
    train(run)
    # with a halting head that never stops, the nine segments are the first, second and third of three batches
    assert steps == [[segment] * 16 for segment in (1, 1, 1, 2, 2, 2, 3, 3, 3)]


def test_staggered_start_spreads_the_halts(data_folder, tmp_path):
    from hrm_hf.training.loop import prepare, train

    options = TINY | {
        "dataset": data_folder,
        "output_dir": str(tmp_path / "run"),
        "staggered_start": True,
        "batch_size": 60,
    }
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options, halt_exploration_prob=0)]))
    halts = []
    run.model.register_forward_hook(
        lambda module, args, output: halts.append(int(output.carry.halted.sum())) if module.training else None
    )
    train(run)
    # every sequence gets halt_max_steps = 3 segments, so each step from the second on sees about a third of them halt
    assert all(5 < halted < 35 for halted in halts[1:])


def test_grid_positions_take_the_shape_of_the_board(data_folder, tmp_path):
    from hrm_hf.training.grid_task import build_model

    options = TINY | {"dataset": data_folder, "output_dir": "o", "position_embedding_type": "grid"}
    model_args, _, _ = parse_recipe([write_recipe(tmp_path / "r.yaml", **options)])
    model = build_model(model_args, SUDOKU.processor_of_rows(load_rows(data_folder, "train")))
    assert (model.config.grid_shape, model.config.block_shape) == ([4, 4], [2, 2])


def test_evaluations_of_arc_can_vote(tmp_path):
    from hrm_hf.puzzles.arc.build import build_arc
    from train_accelerate import main

    pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
    tasks = {"turn": {"train": pairs[:2], "test": pairs[2:]}}
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    build_arc(tmp_path / "arc", evaluation=[tmp_path / "tasks.json"], num_aug=6)
    options = TINY | {"dataset": str(tmp_path / "arc"), "output_dir": str(tmp_path / "run"), "eval_augmentations": 4}
    options |= {"max_steps": 2, "batch_size": 2, "halt_max_steps": 1, "H_cycles": 1, "L_cycles": 1}
    assert main([write_recipe(tmp_path / "arc.yaml", **options)]) == 0
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert log[-1]["eval_augmentations"] == 4
    assert {log[-1][f"eval_{rule}_pass@{k}"] for rule in ("hrm", "trm") for k in (1, 2)} == {0.0}
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["n"], result["hrm_pass@2"]) == (1, 0.0)


def test_a_run_starts_from_given_weights(run_folder, data_folder, tmp_path):
    from safetensors.torch import load_file

    from train_accelerate import main

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "max_steps": 2}
    options |= {"init_from": str(run_folder / "model"), "learning_rate": 0.0, "puzzle_emb_learning_rate": 0.0}
    main([write_recipe(tmp_path / "tiny.yaml", **options)])
    before, after = (load_file(folder / "model" / "model.safetensors") for folder in (run_folder, tmp_path / "run"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.fixture
def fresh_accelerator_state():
    """Accelerate remembers the mixed precision of a process; forget it before and after."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerator_state")
def test_the_carry_keeps_the_dtype_of_mixed_precision(data_folder, tmp_path):
    from hrm_hf.training.loop import prepare

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "mixed_precision": "bf16"}
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)]))
    batch = next(iter(run.loader))
    output = run.network(**batch, carry=None)
    assert output.carry.state.z_H.dtype == output.carry.state.z_L.dtype == torch.bfloat16
    assert output.logits.dtype == torch.float32  # outputs are cast by Accelerate


# --- several parts of a batch, trackers, the best evaluation


def losses_of(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_batch_in_parts_learns_what_a_whole_one_does(data_folder, tmp_path):
    from hrm_hf.training.loop import prepare, train

    common = TINY | {"dataset": data_folder, "halt_exploration_prob": 0.0, "log_steps": 1, "staggered_start": False}
    for parts in (1, 4):
        options = common | {"output_dir": str(tmp_path / f"{parts}"), "gradient_accumulation_steps": parts}
        train(prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)])))
    assert losses_of(tmp_path / "4") == pytest.approx(losses_of(tmp_path / "1"), rel=1e-5)


def test_a_batch_that_does_not_divide_into_parts_is_refused(tmp_path):
    recipe = write_recipe(
        tmp_path / "r.yaml", dataset="d", output_dir="o", batch_size=10, gradient_accumulation_steps=4
    )
    with pytest.raises(ValueError, match="batch_size=10 does not divide into gradient_accumulation_steps=4"):
        parse_recipe([recipe])


def test_a_cuda_graph_needs_a_gpu(data_folder, tmp_path):
    from hrm_hf.training.loop import prepare

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "cuda_graph": True}
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ValueError, match="cuda_graph=True needs a CUDA GPU, but this run is on cpu"):
        prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)]))


def test_a_run_is_tracked(data_folder, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from hrm_hf.training.loop import prepare, train

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "report_to": "tensorboard"}
    train(prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)])))
    (events,) = (tmp_path / "run/hrm-hf").glob("events*")
    tracked = EventAccumulator(str(events)).Reload()
    wanted = {"lm_loss", "q_halt_loss", "cell_accuracy", "exact_accuracy", "halt_accuracy", "mean_steps", "lr"}
    wanted |= {"grad_norm", "samples_per_s", "tokens_per_s", "memory_gb", "skipped_share", "eval_exact_accuracy"}
    assert wanted <= set(tracked.Tags()["scalars"])
    logged = [scalar.value for scalar in tracked.Scalars("lm_loss")]
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert logged == pytest.approx([line["lm_loss"] for line in lines if "lm_loss" in line])


def test_the_tracker_by_default_is_trackio(data_folder, tmp_path):
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    from hrm_hf.training.loop import prepare, train

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "tracked_run"), "report_to": "auto"}
    train(prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)])))
    lines = [json.loads(line) for line in (tmp_path / "tracked_run/log.jsonl").read_text().splitlines()]
    tracked = SQLiteStorage.get_logs("hrm-hf", "tracked_run")
    assert [line["step"] for line in tracked] == [line["step"] for line in lines]
    for name in ("lm_loss", "samples_per_s", "skipped_share", "eval_exact_accuracy"):
        assert [line[name] for line in tracked if name in line] == [line[name] for line in lines if name in line]
    (run,) = (run for run in trackio.Api().runs("hrm-hf") if run.name == "tracked_run")
    assert run.config["learning_rate"] == TINY["learning_rate"] and run.config["dataset"] == data_folder


def test_an_unknown_tracker_is_refused(tmp_path):
    recipe = write_recipe(tmp_path / "r.yaml", dataset="d", output_dir="o", report_to="paper")
    with pytest.raises(ValueError, match="report_to='paper' is not allowed; it must be 'auto', 'none', 'trackio'"):
        parse_recipe([recipe])


def test_the_model_of_the_best_evaluation_is_kept(data_folder, tmp_path):
    from safetensors.torch import load_file

    from hrm_hf.training.loop import prepare, train

    options = TINY | {"dataset": data_folder, "output_dir": str(tmp_path / "run"), "eval_steps": 4, "keep_best": True}
    run = prepare(*parse_recipe([write_recipe(tmp_path / "r.yaml", **options)]))
    scores = iter([0.25, 0.5, 0.125])
    evaluate, kept = run.task.evaluate, []

    def scripted(model, *args):
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return evaluate(model, *args) | {"exact_accuracy": next(scores)}

    run.task.evaluate = scripted
    train(run)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["best_exact_accuracy"], result["best_step"]) == (0.5, 8)
    best, last = (load_file(tmp_path / "run" / name / "model.safetensors") for name in ("best_model", "model"))
    assert torch.equal(best["lm_head.weight"], kept[1]["lm_head.weight"])
    assert not torch.equal(best["lm_head.weight"], last["lm_head.weight"])


def test_evaluations_leave_boards_to_look_at(run_folder):
    lines = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    boards = [line["eval_boards"] for line in lines if "eval_boards" in line]
    assert boards and all(len(board) == 2 for board in boards)
    board = boards[-1][0]
    assert len(board["puzzle"]) == len(board["prediction"]) == len(board["answer"]) == 16
    assert "boards" not in json.loads((run_folder / "result.json").read_text())


# --- recipes that extend others


def recipes(folder, **texts: str):
    """Recipe files of these texts."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "child.yaml"


def test_a_recipe_extends_another(tmp_path):
    child = recipes(
        tmp_path,
        grandparent="dataset: data/a\nbatch_size: 4\nseed: 1\n",
        parent="extends: grandparent.yaml\nbatch_size: 8\nema_decay: 0.9\n",
        child="extends: parent.yaml\nseed: 3\nema_decay: null\noutput_dir: o\n",
    )
    assert read_recipe(child) == {"dataset": "data/a", "batch_size": 8, "seed": 3, "output_dir": "o"}
    _, data_args, train_args = parse_recipe([str(child), "--seed", "5"])
    assert (data_args.dataset, train_args.batch_size, train_args.seed, train_args.ema_decay) == ("data/a", 8, 5, None)


@pytest.mark.parametrize(
    ("parent", "child", "error", "message"),
    [
        (
            "seed: 1",
            "extends: nowhere.yaml",
            FileNotFoundError,
            "extends nowhere.yaml, but there is no file",
        ),
        ("seed: 1", "extends: 3", ValueError, "child.yaml has extends: 3, expected the name of another recipe"),
        (
            "extends: child.yaml",
            "extends: parent.yaml",
            ValueError,
            "parent.yaml extends child.yaml, which extends it",
        ),
        ("seed: 1", "extends: child.yaml", ValueError, "child.yaml extends child.yaml, which extends it in turn"),
        ("sed: 1", "extends: parent.yaml", ValueError, "parent.yaml has the unknown option 'sed'; did you mean seed"),
    ],
)
def test_a_recipe_that_cannot_be_extended_is_one_sentence(tmp_path, parent, child, error, message):
    with pytest.raises(error, match=message) as raised:
        read_recipe(recipes(tmp_path, parent=parent, child=child))
    assert "\n" not in str(raised.value)
