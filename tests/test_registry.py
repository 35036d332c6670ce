"""Kinds of puzzles: where they are named, how they are inferred, and how to add one from outside the package."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from hrm_hf.data.folder import card_metadata, write_dataset_folder
from hrm_hf.puzzles import registry
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.puzzles.sets import kind_of_dataset, open_puzzles
from hrm_hf.puzzles.sudoku.build import build_sudoku
from processing_hrm import HRMGridProcessor
from train_accelerate import main as train_main


ROOT = Path(__file__).resolve().parent.parent
# files outside of the kinds' own folders that name one in code
NAMED_IN = {
    "processing_hrm.py": "remote code, which stands alone",
    "hrm_hf/original/checkpoint.py": "names of the published checkpoints",
}

PLUGIN = """
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.registry import register
from processing_hrm import HRMGridProcessor, Verdict


class Corridors(PuzzleKind):
    name, title, plural = "corridor", "Corridor", "corridors"

    def processor(self, entry):
        return HRMGridProcessor("maze", entry["height"], entry["width"], kind=self.name)

    def verdicts(self, processor, puzzles, answers):
        return [Verdict(True, "everything is allowed") for _ in puzzles]


register(Corridors())
"""


@pytest.fixture
def restored(monkeypatch):
    """Restore the registry after the test."""
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    monkeypatch.setattr(registry, "_plugins", set(registry._plugins))


@pytest.fixture
def plugin(tmp_path, restored) -> Path:
    """A file that registers a kind."""
    file = tmp_path / "corridors.py"
    file.write_text(PLUGIN)
    return file


def corridors(folder: Path) -> str:
    """A data set of the plugin's kind."""
    question, answer = ["S  G", "G  S"] * 4, ["SooG", "GooS"] * 4
    table = pa.table({"question": question, "answer": answer})
    entry = {"hrm": {"kind": "corridor", "height": 1, "width": 4}}
    write_dataset_folder(folder, {"train": table, "test": table}, "# Corridors\n", entry)
    return str(folder)


# --- where kinds are named


def test_no_file_outside_of_its_folder_names_a_kind():
    # "grid" is also a format of boards, a kind of position embedding and a recipe's word for all puzzles
    names = {kind.name for kind in registry.kinds()} - {"grid"}
    found = {}
    modules = [*ROOT.glob("*_hrm.py"), ROOT / "train_accelerate.py", *(ROOT / "hrm_hf").rglob("*.py")]
    for path in modules:
        place = path.relative_to(ROOT)
        of_a_kind = place.parts[:2] == ("hrm_hf", "puzzles") and place.parts[2] in names
        if of_a_kind or place.parts[:2] == ("hrm_hf", "pretrained"):
            continue
        literals = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        if literals & names:
            found[place.as_posix()] = sorted(literals & names)
    assert found.keys() == NAMED_IN.keys(), found


def test_listing_the_kinds_is_quick():
    code = (
        "import sys, hrm_hf.puzzles.registry as registry; registry.kinds();"
        "print([name for name in ('gradio', 'matplotlib', 'numba', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- how a kind is inferred


def test_a_card_says_what_its_puzzles_are(tmp_path):
    build_sudoku(tmp_path / "sudoku", size=4, clues=8, num_train=4, num_test=2)
    build_maze(tmp_path / "maze", height=4, width=6, min_steps=[4], num_train=4, num_test=2)
    for name, height, width in (("sudoku", 4, 4), ("maze", 4, 6)):
        entry = {"kind": name, "height": height, "width": width}
        assert card_metadata(tmp_path / name)["hrm"] == entry
        kind, described = kind_of_dataset(str(tmp_path / name), "train")
        assert (kind.name, described) == (name, entry)
        processor = open_puzzles(str(tmp_path / name), "test").processor
        assert (registry.kind_of(processor), processor.height, processor.width) == (kind, height, width)


# folders have different names, because `datasets` caches by name and file time
def test_the_card_is_believed_and_not_the_cells(tmp_path):
    """Of a 4x4 Sudoku in a folder whose card says that it is a maze, the first cell is not a cell of a maze."""
    table = pa.table({"question": ["1..." * 4], "answer": ["1234" * 4]})
    entry = {"hrm": {"kind": "maze", "height": 4, "width": 4}}
    write_dataset_folder(tmp_path / "believed", {"train": table}, "# Odd\n", entry)
    with pytest.raises(ValueError, match="illegal character '1'"):
        open_puzzles(str(tmp_path / "believed"), "train").examples()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "futoshiki"}, "kind of puzzle 'futoshiki' is not known; known are sudoku, maze, arc"),
        ({"kind": "maze", "height": 4}, "has an invalid entry about its mazes \\('width' is missing\\)"),
        ({"kind": "sudoku", "height": 5}, "has an invalid entry about its Sudoku .* must be 4, 6, 9 or 16"),
    ],
)
def test_a_card_that_says_what_cannot_be_is_one_sentence(tmp_path, entry, message):
    table = pa.table({"question": ["S  G"], "answer": ["SooG"]})
    folder = tmp_path / f"{entry['kind']} that cannot be"
    write_dataset_folder(folder, {"train": table}, "# Odd\n", {"hrm": entry})
    with pytest.raises(ValueError, match=message):
        open_puzzles(str(folder), "train")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("S  G", "maze"),
        ("S?oG", "maze"),
        ("1..4", "sudoku"),
        ("G" + "." * 255, "sudoku"),
        ("A" + "." * 255, "sudoku"),
        ("1..45", None),
        ("<  >", None),
        ("", None),
    ],
)
def test_without_a_card_the_cells_tell(line, kind):
    guessed = registry.guess(line)
    assert (None if guessed is None else guessed.name) == kind


def test_cells_of_no_kind_are_one_sentence(tmp_path):
    table = pa.table({"question": ["<<>>"], "answer": ["<<>>"]})
    write_dataset_folder(tmp_path / "no kind", {"train": table}, "# Odd\n", {})
    with pytest.raises(ValueError, match="first question '<<>>' fits no known kind"):
        open_puzzles(str(tmp_path / "no kind"), "train")


# --- plugins


def test_a_kind_of_a_plugin_is_trained_on_and_evaluated(tmp_path, plugin, hrm_hf):
    dataset, run = corridors(tmp_path / "data"), tmp_path / "run"
    argv = f"--dataset {dataset} --plugin {plugin} --output_dir {run} --hidden_size 32 --intermediate_size 64".split()
    argv += "--num_attention_heads 2 --H_layers 1 --L_layers 1 --halt_max_steps 2 --batch_size 4 --max_steps 2".split()
    assert train_main([*argv, "--warmup_steps", "1", "--eval_steps", "2"]) == 0
    processor = HRMGridProcessor.from_pretrained(run / "model")
    assert registry.kind_of(processor).name == "corridor"
    boards = [
        board
        for line in (run / "log.jsonl").read_text().splitlines()
        for board in json.loads(line).get("eval_boards", [])
    ]
    assert {(board["kind"], board["width"]) for board in boards} == {("corridor", 4)}

    code, out, _ = hrm_hf("evaluate", run / "model", dataset, "--plugin", plugin)
    assert code == 0 and json.loads(out)["n"] == 8
    code, out, _ = hrm_hf("solve", "S  G", "--model", run / "model", "--plugin", plugin, "--json")
    # by the rules of the plugin, not those of mazes
    assert code == 0 and json.loads(out)["reason"] == "everything is allowed"


def test_without_its_plugin_a_kind_is_not_known(tmp_path):
    with pytest.raises(ValueError, match="kind of puzzle 'corridor' is not known.*--plugin"):
        open_puzzles(corridors(tmp_path / "data"), "train")


def test_a_plugin_is_loaded_once(plugin):
    registry.load_plugin(plugin)
    kind = registry.get("corridor")
    registry.load_plugin(str(plugin))
    assert registry.get("corridor") is kind


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "import nothing_of_this_name",
            ValueError,
            "cannot be imported .ModuleNotFoundError: No module",
        ),
        ("def (", ValueError, "cannot be imported .SyntaxError: invalid syntax"),
        ("x = 1", ValueError, "registers no kind of puzzle; end it with"),
        (PLUGIN.replace('"corridor"', '"maze"'), ValueError, "There is already a kind of puzzle named 'maze'"),
        (PLUGIN.replace("Corridors())", "3)"), ValueError, "TypeError: 3 is not a kind of puzzle"),
        (PLUGIN + "\nraise RuntimeError('too late')", ValueError, "RuntimeError: too late"),
        (None, FileNotFoundError, "There is no plugin"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_one_sentence(tmp_path, restored, text, error, message):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text)
    known = [kind.name for kind in registry.kinds()]
    with pytest.raises(error, match=message) as raised:
        registry.load_plugin(file)
    assert "\n" not in str(raised.value)
    assert [kind.name for kind in registry.kinds()] == known


def test_a_bad_plugin_is_one_sentence_on_the_command_line(tmp_path, hrm_hf, capsys):
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0")
    code, _, err = hrm_hf("solve", "1" * 16, "--plugin", bad)
    assert code == 1 and "cannot be imported (ZeroDivisionError: division by zero); correct it." in err
    assert train_main(["--dataset", "data/nowhere", "--plugin", str(bad), "--output_dir", str(tmp_path / "run")]) == 1
    assert "cannot be imported (ZeroDivisionError" in capsys.readouterr().err


def test_kinds_of_installed_packages_are_found(monkeypatch, restored):
    class Installed(PuzzleKind):
        name, title, plural = "installed", "Installed", "installed puzzles"

    class Point:
        name, value = "installed", "a_package:KIND"

        def __init__(self, load):
            self.load = load

    def found(load):
        monkeypatch.setattr(registry, "entry_points", lambda group: [Point(load)] if group == registry.GROUP else [])
        registry._load_installed.cache_clear()

    assert importlib.metadata.entry_points(group=registry.GROUP) is not None
    found(Installed)
    assert registry.get("installed").plural == "installed puzzles"
    found(lambda: 1 / 0)
    with pytest.raises(ValueError, match=r"The installed plugin installed \(a_package:KIND\).*ZeroDivisionError"):
        registry.kinds()
    registry._load_installed.cache_clear()
