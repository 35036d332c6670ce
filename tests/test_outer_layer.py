"""User errors in a recipe, an option or an output location: one sentence and exit code 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrm_hf.outer_layer import run_command
from hrm_hf.training.arguments import parse_recipe
from train_accelerate import main


ROOT = Path(__file__).parent.parent


def said(capsys, argv: list[str]) -> str:
    """The trainer's message."""
    assert main(argv) == 1
    out, err = capsys.readouterr()
    # progress bars of `datasets` can come before it
    last = err.strip().splitlines()[-1]
    assert out == "" and last.startswith("train_accelerate.py: ") and "Traceback" not in err and "usage" not in err
    return last


# --- recipe files


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a: [", "is not a recipe: while parsing"),
        (b"a: b: c", "is not a recipe: mapping values are not allowed"),
        (b"dataset: d\n\x00", "is not a recipe: unacceptable character #x0000"),
        (b"[" * 5000, "is not a recipe: maximum recursion depth"),
        (b"a: \xff", "is not a recipe: 'utf-8' codec can't decode byte 0xff"),
        (b"seed: 2026-13-45", "is not a recipe: month must be in 1..12"),
        (b"- dataset", "is not a recipe; expected"),
    ],
)
def test_a_recipe_that_cannot_be_read(tmp_path, capsys, text, sentence):
    path = tmp_path / "r.yaml"
    path.write_bytes(text)
    assert f"{path} {sentence}" in said(capsys, [str(path)])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("output_dir: true", "output_dir: True, which YAML does not read as text; put it in quotes"),
        ("mixed_precision: no", "mixed_precision: False, which YAML does not read as text; put it in quotes"),
        ("dataset: 2026-11-29", "dataset: datetime.date(2026, 11, 29), which YAML does not read as text"),
        ("sample_prompts: [a, off]", "sample_prompts: False, which YAML does not read as text"),
        ('output_dir: "a\\0b"', r"output_dir='a\x00b' is not allowed"),
        ('dataset: ""', "dataset='' is not allowed"),
        ("max_steps: true", "max_steps: True, expected a number"),
        ("max_steps: 1.5", "argument --max_steps/--max-steps: invalid int value: '1.5'"),
        ("seed: x", "argument --seed: invalid int value: 'x'"),
        ("compile: maybe", "argument --compile: Truthy value expected: got maybe"),
        ("arc_canvases: [11, 1.5]", "arc_canvases: 1.5, expected values of the type int"),
        ("learning_rate: nan", "learning_rate=nan is not allowed; it must be a finite number at least 0"),
        ("learning_rate: .inf", "learning_rate=inf is not allowed"),
        ("max_grad_norm: -1", "max_grad_norm=-1.0 is not allowed; it must be above 0"),
        ("warmup_steps: -1", "warmup_steps=-1 is not allowed; it must be at least 0"),
        ("max_minutes: .nan", "max_minutes=nan is not allowed; it must be a finite number above 0"),
        ("weight_decay: -0.1", "weight_decay=-0.1 is not allowed"),
        ("adam_beta2: 1", "adam_beta2=1.0 is not allowed; it must be at least 0 and below 1"),
        (
            "stop_at_exact_accuracy: 95",
            "stop_at_exact_accuracy=95.0 is not allowed; it must be at least 0 and at most",
        ),
        ("seed: -1", "seed=-1 is not allowed; it must be at least 0"),
        ("num_workers: -1", "num_workers=-1 is not allowed"),
        ("max_eval_rows: 0", "max_eval_rows=0 is not allowed"),
        ("batch_size: 0", "batch_size=0 is not allowed"),
    ],
)
def test_a_value_that_an_option_does_not_take(tmp_path, capsys, line, sentence):
    name = line.partition(":")[0]
    rest = {"dataset": "d", "output_dir": str(tmp_path / "run")}
    path = tmp_path / "r.yaml"
    path.write_text("\n".join([line, *(f"{key}: {value}" for key, value in rest.items() if key != name)]))
    assert sentence in said(capsys, [str(path)])
    assert not (tmp_path / "run").exists()


def test_values_of_a_recipe_may_begin_with_a_dash(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("dataset: -d\noutput_dir: -o\nsample_prompts: [-x y, z]\n")
    _, data_args, train_args = parse_recipe([str(path)])
    assert (data_args.dataset, train_args.output_dir, data_args.sample_prompts) == ("-d", "-o", ["-x y", "z"])
    assert parse_recipe([str(path), "--sample_prompts", "a"])[1].sample_prompts == ["a"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: --dataset, --output_dir"),
        (
            ["--dataset", "d", "--output_dir", "o", "--seed", "x"],
            "argument --seed: invalid int value: 'x'; see --help",
        ),
        (["--dataset", "d", "--output_dir", "o", "--lerning_rate", "1"], "--lerning_rate"),
    ],
)
def test_a_bad_command_line_is_no_page_of_usage(capsys, argv, sentence):
    assert sentence in said(capsys, argv)


# --- errors found later


def recipe(folder: Path, **options) -> str:
    from hrm_hf.puzzles.sudoku.build import build_sudoku

    if not (folder / "data").exists():
        build_sudoku(folder / "data", size=4, num_train=8, num_test=2)
    defaults = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "H_layers": 1, "L_layers": 1}
    defaults |= {"puzzle_emb_ndim": 0, "batch_size": 4, "max_steps": 1, "report_to": "none", "halt_max_steps": 2}
    defaults |= {"dataset": folder / "data", "output_dir": folder / "run"}
    path = folder / "r.yaml"
    path.write_text("\n".join(f"{name}: {value}" for name, value in (defaults | options).items()))
    return str(path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hidden_act": "relux"}, "hidden_act='relux' is not allowed; it must be an activation of transformers"),
        ({"max_steps": 10**19}, "steps of batch_size=4 is not possible"),
        ({"output_dir": "/dev/null/run"}, "/dev/null/run cannot be written (Not a directory); give another --output"),
        ({"output_dir": "/dev/null"}, "/dev/null cannot be written (it is a file); give another --output_dir"),
    ],
)
def test_errors_of_model_and_folder(tmp_path, capsys, options, sentence):
    path = recipe(tmp_path, **options)
    capsys.readouterr()
    assert sentence in said(capsys, [path])
    assert not (tmp_path / "run").exists()


def test_a_home_folder_that_cannot_be_written(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    process = subprocess.run(
        [sys.executable, str(ROOT / "train_accelerate.py"), recipe(tmp_path)],
        env=environment | {"HOME": "/dev/null", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 1 and "Traceback" not in process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("train_accelerate.py: The home folder cannot be used (") and "/dev/null/.cache" in last


def test_a_data_set_folder_that_is_a_whole_tree_is_refused_at_once(tmp_path, capsys):
    tree = tmp_path / "tree"
    for number in range(30):
        (tree / f"{number}").mkdir(parents=True)
        for file in range(40):
            (tree / f"{number}" / f"{file}.csv").touch()
    path = recipe(tmp_path, dataset=tree / "0" / "..")
    capsys.readouterr()
    assert "is not a data set folder (with README.md and data/)" in said(capsys, [path])


# --- the layer itself


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("two\nlines"), 1, "x: two lines\n"),
        (PermissionError(13, "Permission denied", "file"), 1, "x: [Errno 13] Permission denied: 'file'\n"),
        (RecursionError("maximum recursion depth exceeded"), 1, "nested too deeply"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "not enough memory"),
        (ModuleNotFoundError("No module named 'gradio'"), 1, "No module named 'gradio'"),
        (KeyboardInterrupt(), 130, "x: interrupted\n"),
    ],
)
def test_errors_of_users_are_one_sentence(capsys, error, code, sentence):
    def fail():
        raise error

    assert run_command("x", fail) == code
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


def test_errors_of_the_program_have_a_traceback_too(capsys):
    def fail():
        raise RuntimeError("a bug")

    assert run_command("x", fail) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "x: RuntimeError: a bug; please report it" in err
    assert run_command("x", lambda: None) == 0
    assert run_command("x", lambda: 2) == 2
