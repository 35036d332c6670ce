"""Versions: promised by pyproject.toml, tested, and printed by `hrm-hf env`; errors explained by versions."""

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from hrm_hf.utils import environment
from hrm_hf.utils.environment import PACKAGES, environment_lines, pins, untested


ROOT = Path(__file__).parent.parent


@pytest.fixture
def requirements() -> dict[str, list[Requirement]]:
    """Requirements of pyproject.toml, by the name of the extra; "" for always."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"]} | project["optional-dependencies"]
    read = {extra: list(map(Requirement, wanted)) for extra, wanted in groups.items()}
    # an extra can name others
    return {extra: [need for need in needs if need.name != project["name"]] for extra, needs in read.items()}


@pytest.fixture
def installed(monkeypatch):
    """Make packages appear installed in other versions, by keyword."""

    def change(**versions: str):
        found = environment.installed_versions()
        monkeypatch.setattr(environment, "installed_versions", lambda: found | versions)

    return change


# packages that only tests and pages need, always in the tested version, and packages that no test machine has
NOT_IN_THE_OLDEST = {
    "evaluate",
    "hypothesis",
    "playwright",
    "ruff",
    "flash-attn",
    "lm-eval",
    "peft",
    "trl",
    "onnx",
    "onnxruntime",
    "pdoc",
}


def test_the_floors_are_the_oldest_versions_that_are_tested(requirements):
    oldest = pins("constraints-oldest.txt")
    for requirement in {requirement for wanted in requirements.values() for requirement in wanted}:
        if requirement.name in NOT_IN_THE_OLDEST:
            continue
        (floor,) = (part.version for part in requirement.specifier if part.operator == ">=")
        assert Version(floor) == Version(oldest[requirement.name]), requirement
        assert requirement.specifier.contains(pins("constraints.txt")[requirement.name])


def test_env_knows_every_dependency(requirements):
    wanted = {
        need.name
        for extra, needs in requirements.items()
        if extra not in ("test", "clients", "docs")
        for need in needs
    }
    assert wanted <= set(PACKAGES)
    assert set(PACKAGES) - {"flash-attn"} == environment.tested_versions().keys()


def test_this_environment_is_within_what_is_tested():
    assert untested(environment.installed_versions(), f"{environment.TESTED_PYTHON}.9") == {}


def test_versions_on_either_side_are_untested():
    torch, numpy = environment.tested_versions()["torch"], environment.tested_versions()["numpy"]
    inside = {"torch": f"{torch[1]}+cpu", "numpy": numpy[0], "gradio": None, "hrm-hf": "99"}
    assert untested(inside, environment.TESTED_PYTHON) == {}
    outside = untested({"torch": "99.1+cu130", "numpy": "1.26"}, "3.99.1")
    assert outside == {
        "python": f"newer than the tested {environment.TESTED_PYTHON}",
        "torch": f"newer than the tested {torch[0]} to {torch[1]}",
        "numpy": f"older than the tested {numpy[0]} to {numpy[1]}",
    }


def test_env_says_what_is_untested(hrm_hf, installed):
    code, out, _ = hrm_hf("env")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0 and rows["transformers"][0] == "5" and set(PACKAGES) < rows.keys()
    installed(transformers="99.0", numpy="1.0")
    found = json.loads(hrm_hf("env", "--json")[1])
    assert found["packages"]["transformers"] == "99.0" and {"transformers", "numpy"} <= found["untested"].keys()
    rows = dict(line.split(maxsplit=1) for line in environment_lines(found))
    assert "99.0, newer than" in rows["transformers"] and "numpy" in rows["untested"]


@pytest.mark.parametrize(
    "raised", ["TypeError('unexpected keyword')", "AttributeError('no attribute')", "ImportError('cannot import')"]
)
def test_a_failure_in_a_library_names_untested_versions(hrm_hf, installed, monkeypatch, raised):
    def fail(name):
        raise eval(raised)

    monkeypatch.setattr("hrm_hf.checkpoints.load_checkpoint", fail)
    code, _, err = hrm_hf("solve", "1" + "." * 80)
    assert code == 1 and raised.split("'")[1] in err and "not tested" not in err
    installed(transformers="99.0")
    code, _, err = hrm_hf("solve", "1" + "." * 80)
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith("hrm-hf: ") and raised.split("'")[1] in last
    assert "transformers 99.0 is newer than the tested" in last


def test_a_value_that_a_library_refuses_names_them_and_our_own_refusals_do_not(hrm_hf, installed, tmp_path):
    from transformers import AutoModel

    installed(transformers="99.0")
    code, _, err = hrm_hf("solve", "12..34")
    assert code == 1 and "6 cells" in err and "99.0" not in err
    code, _, err = hrm_hf("solve", "1" + "." * 80, "--model", "./nowhere")
    assert code == 1 and "nowhere" in err and "99.0" not in err
    with pytest.raises(ValueError, match="config") as refused:
        (tmp_path / "config.json").write_text("{}")
        AutoModel.from_pretrained(tmp_path)
    assert "transformers 99.0" in environment.untested_note(refused.value)
