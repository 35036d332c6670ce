"""Builders of data sets that are killed while they write, and called again."""

import json
import subprocess
import sys


# One process imports everything and forks a building process for each moment. The rest of a killed build must not be
# taken for a data set, an existing data set must not be lost, and the next call must make what an unbroken one makes.
SCRIPT = """
import hashlib, json, os, shutil, signal, sys
from pathlib import Path

import pyarrow as pa
from matplotlib.figure import Figure

from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.data.folder import is_dataset_folder, write_dataset_folder
from hrm_hf.puzzles.maze.build import build_maze
from hrm_hf.text.build import build_text

os.chdir(sys.argv[1])
Figure.savefig = lambda self, path, **options: Path(path).write_bytes(b"picture")  # drawing takes longest
pairs = [{"input": [[color, 1]], "output": [[1], [color]]} for color in (3, 5, 7)]
Path("tasks.json").write_text(json.dumps({"turn": {"train": pairs[:2], "test": pairs[2:]}}))
Path("book.txt").write_text("\\n\\n".join(f"The king said {n} words to the queen." for n in range(100)))
table = pa.table({"question": ["a", "b"]})
BUILDERS = {
    # what all of them end with, those of Sudoku too, which take longest
    "folder": lambda out, **o: write_dataset_folder(out, {"train": table, "test": table}, "A card.", {}, **o),
    "maze": lambda out, **o: build_maze(out, height=6, width=6, num_train=4, num_test=2, num_proc=1, **o),
    "arc": lambda out, **o: build_arc(out, evaluation=[Path("tasks.json")], num_aug=3, **o),
    "text": lambda out, **o: build_text(
        out, ["book.txt"], train_bpe=270, block_size=16, document_separator="\\n\\n", num_proc=1, **o
    ),
}
OUT = Path("out")


def content(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".png")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def in_child(function):
    # what a function returns, or None if it was killed
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            result = function()
            os.write(write, json.dumps([result]).encode())
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return json.loads(text)[0] if status == 0 else None


def killed_at(moment, **options):
    # builds, but is killed at that touch of the disk; gives how many there are
    touches = 0

    def hook(event, args):
        nonlocal touches
        writes = event == "open" and isinstance(args[1], str) and args[1][:1] in "wxa"
        if writes or event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree"):
            if str(args[0]).startswith(str(OUT)) or str(args[0]).startswith(str(OUT.absolute())):
                touches += 1
                if touches == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    build(OUT, **options)
    return touches


def clean():
    for path in Path().glob("out*"):
        shutil.rmtree(path)


def whole(path):
    return path.exists() and is_dataset_folder(path) and content(path) == unbroken


def rebuild():
    build(OUT, overwrite=OUT.exists())
    return content(OUT), sorted(str(path) for path in Path().glob("out*"))


tried = {}
for kind, build in BUILDERS.items():
    unbroken = in_child(rebuild)[0]
    over = in_child(lambda: killed_at(0, overwrite=True))
    clean()
    count = in_child(lambda: killed_at(0))
    assert count >= 3 and over > count, (count, over)
    tried[kind] = 0
    for moment in range(1, count + 1) if kind == "folder" else [count // 2, count]:
        clean()
        assert in_child(lambda: killed_at(moment)) is None
        assert not OUT.exists() or whole(OUT), (kind, moment)
        assert in_child(rebuild) == [unbroken, ["out"]], (kind, moment)
        tried[kind] += 1
    for moment in range(1, over + 1) if kind == "folder" else [over - 1]:
        assert in_child(lambda: killed_at(moment, overwrite=True)) is None
        # what was there is there, or lies whole beside its place
        assert whole(OUT) or whole(Path("out.old")), (kind, moment, os.listdir())
        assert in_child(rebuild) == [unbroken, ["out"]], (kind, moment)
        tried[kind] += 1
    clean()
print(json.dumps(tried))
"""


def test_a_killed_build_leaves_nothing_half_and_loses_nothing(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=250
    )
    assert process.returncode == 0, process.stderr[-3000:]
    tried = json.loads(process.stdout.splitlines()[-1])
    assert set(tried) == {"folder", "maze", "arc", "text"}
    assert tried.pop("folder") >= 8 and set(tried.values()) == {3}
