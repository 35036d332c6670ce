"""`hrm-hf space`: the folder of the Space. `make test-versions` starts it in an environment with its requirements."""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from zipfile import ZipFile

import pytest

from hrm_hf import space
from hrm_hf.utils.environment import TESTED_PYTHON, pins


ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A Space, written from the clone."""
    folder = tmp_path_factory.mktemp("spaces") / "space"
    space.build_space(folder)
    return folder


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_the_requirements_are_the_wheel_and_what_was_tested(folder):
    (wheel,) = folder.glob("*.whl")
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == f"./{wheel.name}"
    assert {"torch", "transformers", "numpy", "gradio"} <= {line.split("==")[0] for line in lines[1:]}
    assert {tuple(line.split("==")) for line in lines[1:]} <= set(pins("constraints.txt").items())
    # from the test extra
    assert not any(line.startswith(("pytest", "ruff", "tensorboard")) for line in lines)


def test_the_readme_has_the_versions_of_the_requirements(folder):
    text = (folder / "README.md").read_text()
    assert f"sdk_version: {pins('constraints.txt')['gradio']}\n" in text
    assert f'python_version: "{TESTED_PYTHON}"\n' in text and "$" not in text
    assert re.search(r"^app_file: app.py$", text, re.MULTILINE) and (folder / "app.py").is_file()


def test_the_wheel_has_all_that_the_package_needs(folder):
    (wheel,) = folder.glob("*.whl")
    names = contents(wheel).keys()
    for name in ("modeling_hrm.py", "hrm_hf/app/client/main.js", "hrm_hf/constraints.txt", "hrm_hf/spaces_app/app.py"):
        assert name in names
    assert "hrm_hf/pretrained/sudoku-hard/model.safetensors" in names
    assert not any(name.startswith(("tests", "build", "benchmarks")) for name in names)


def test_an_installed_package_gives_the_wheel_it_came_from(folder, tmp_path, monkeypatch):
    (wheel,) = folder.glob("*.whl")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target"]
    subprocess.run([*command, str(tmp_path / "site"), str(wheel)], check=True, timeout=300)
    (installed,) = Distribution.discover(name="hrm-hf", path=[str(tmp_path / "site")])
    monkeypatch.setattr(space, "_HERE", tmp_path / "site" / "hrm_hf")
    monkeypatch.setattr(space, "distribution", lambda name: installed)
    again = space.write_wheel(tmp_path)
    assert again.name == wheel.name
    first, second = contents(wheel), contents(again)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name] and not name.endswith("RECORD")] == []
    # and pip accepts it after comparing it with its own record
    subprocess.run([*command, str(tmp_path / "again"), str(again)], check=True, timeout=300)
    (tmp_path / "site/modeling_hrm.py").unlink()
    with pytest.raises(FileNotFoundError, match="modeling_hrm.py is missing; install it again"):
        space.write_wheel(tmp_path)


def test_without_clone_and_installation_it_is_said_what_to_do(hrm_hf, tmp_path, monkeypatch):
    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(space, "_HERE", tmp_path / "hrm_hf")
    monkeypatch.setattr(space, "distribution", nothing)
    code, _, err = hrm_hf("space", "--out", tmp_path / "space")
    assert code == 1 and "setup.py" in err and "install it with pip" in err
    assert not (tmp_path / "space").exists() and len(err.strip().splitlines()) == 1


def test_only_a_space_is_replaced_and_only_on_request(hrm_hf, folder, tmp_path):
    code, _, err = hrm_hf("space", "--out", folder)
    assert code == 1 and "--overwrite" in err
    (tmp_path / "mine.txt").write_text("mine")
    code, _, err = hrm_hf("space", "--out", tmp_path, "--overwrite")
    assert code == 1 and "not a Space" in err and (tmp_path / "mine.txt").is_file()
    (folder / "old").write_text("old")
    code, out, _ = hrm_hf("space", "--out", folder, "--overwrite", "--json")
    files = json.loads(out)["files"]
    assert code == 0 and {Path(file) for file in files} == set(folder.iterdir()) and len(files) == 4
