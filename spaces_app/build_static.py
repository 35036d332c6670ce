"""Build the static page: a folder for a static Hugging Face Space, or any web server.

    python spaces_app/build_static.py build/static-space
    python -m http.server --directory build/static-space

Copies the page from spaces_app/static, exports the shipped models with int8 weights (`hrm-hf export --format onnx`,
compared with PyTorch on --puzzles puzzles each), and downloads onnxruntime-web with npm. Takes minutes.
"""

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hrm_hf.checkpoints import SHIPPED_MAZES, SHIPPED_SUDOKU
from hrm_hf.export.graphs import MANIFEST
from hrm_hf.export.grid import export_onnx
from hrm_hf.utils.files import check_replaceable, whole_folder


PAGE = Path(__file__).resolve().parent / "static"
MODELS = {folder.name: folder for folder in (SHIPPED_SUDOKU, *SHIPPED_MAZES.values())}
RUNTIME = "onnxruntime-web@1.30.0"
RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
CARD = "README.md"  # of the Space; the page does not need it
WORKER = "sw.js"


def fetch_runtime(folder: Path) -> None:
    """Put the files of onnxruntime-web into a new folder.

    Raises:
        ValueError: if there is no npm, it cannot download the package, or the package is not the tested one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError("npm is needed to download onnxruntime-web and was not found; install Node.js.")
    with TemporaryDirectory() as scratch:
        command = [npm, "pack", RUNTIME, "--pack-destination", scratch, "--silent"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode != 0 or len(archives) != 1:
            raise ValueError(f"npm could not download {RUNTIME}: {done.stderr.strip() or 'it wrote no archive'}")
        digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if digest != RUNTIME_SHA512:
            raise ValueError(f"The archive of {RUNTIME} has the SHA-512 {digest}; expected {RUNTIME_SHA512}.")
        folder.mkdir()
        with tarfile.open(archives[0]) as archive:
            for name in RUNTIME_FILES:
                member = archive.extractfile(f"package/dist/{name}")
                (folder / name).write_bytes(member.read())


def add_model(name: str, folder: Path, num_puzzles: int) -> None:
    """Export a shipped model into a new folder, without the float32 graph, which the page does not use."""
    export_onnx(str(MODELS[name]), folder, num_puzzles=num_puzzles)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    unused = manifest["files"].pop("float32")
    (folder / unused["name"]).unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def fill_service_worker(folder: Path) -> None:
    """Put the names of all files of the page, and their hash as a version, into its service worker."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (CARD, WORKER))
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    names = ["./", *(path.relative_to(folder).as_posix() for path in files)]
    text = (folder / WORKER).read_text(encoding="utf-8")
    text = text.replace('["@FILES@"]', json.dumps(names)).replace("@VERSION@", digest.hexdigest()[:16])
    (folder / WORKER).write_text(text, encoding="utf-8")


def build(output: Path, models: list[str], num_puzzles: int = 64, overwrite: bool = False) -> None:
    """Build the folder.

    Args:
        output: to write.
        models: names of shipped models.
        num_puzzles: puzzles to compare per model.
        overwrite: whether an existing static page may be replaced.

    Raises:
        FileExistsError: if the folder is in use.
        ValueError, RuntimeError: as `fetch_runtime` and `export_onnx`.
    """
    check_replaceable(output, overwrite, WORKER, "static page")
    with whole_folder(output) as partial:
        shutil.copytree(PAGE, partial, dirs_exist_ok=True)
        fetch_runtime(partial / "runtime")
        (partial / "models").mkdir()
        for name in models:
            add_model(name, partial / "models" / name, num_puzzles)
        fill_service_worker(partial)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--model", action="append", choices=MODELS, help="model; can be repeated; by default all")
    parser.add_argument("--puzzles", type=int, default=64, help="puzzles per model to compare with PyTorch")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing static page")
    args = parser.parse_args()
    try:
        build(args.output, args.model or list(MODELS), args.puzzles, args.overwrite)
    except (ValueError, RuntimeError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    files = [path for path in args.output.rglob("*") if path.is_file()]
    print(f"{args.output}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
