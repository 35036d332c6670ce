"""The generic tests that transformers has for its own models, run on those of this project and on Llama.

pip download --no-deps --no-binary :all: transformers==5.24.0      # and unpack it
pip install parameterized
python -m benchmarks.transformers_suite transformers-5.24.0

FOLDER is the source of the installed release. The archive on PyPI has the tests of models, of training and of the
static cache for export; a checkout of the repository also has those of generation and of the exporters, which then
run too. The tests themselves download nothing; they skip if something is missing.

It prints the tests that fail or are skipped while those of Llama pass. Exit code 1 if a test fails that is not in
`CANNOT_HOLD`, or passes although it is.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Annotated, Any


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RUN_TRAINING_TESTS"] = "1"

import pytest
import torch
import transformers
import typer
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

import hrm_hf  # noqa: F401  registers the classes
from configuration_hrm import HRMConfig
from modeling_hrm import HRMForCausalLM, HRMForGridTask, HRMModel


# Tests whose assumption a recurrent model cannot meet: kind of model, name of the test, reason
CANNOT_HOLD = {
    (
        "text, 2 segments",
        "test_num_layers_is_small",
    ): "asks for at most 2 layers; each block call of each segment is one",
    ("text, 2 segments", "test_retain_grad_hidden_states_attentions"): (
        "asks for a gradient of the first block call; the gradient flows only through the last call of each module"
    ),
}

BATCH, LENGTH = 13, 7  # as in transformers' own testers
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TEXT = {**SIZES, "H_layers": 1, "L_layers": 1, "is_causal": True, "puzzle_emb_ndim": 0, "token_loss": "softmax"}


@dataclass(frozen=True)
class Kind:
    """A model to test.

    Attributes:
        config: arguments of its configuration.
        classes: of the model; the first has no head.
        config_class: of the configuration.
        overfit_steps: for the test that trains on one batch until loss and gradient are a tenth of the first ones.
    """

    config: dict[str, Any]
    classes: tuple[type, ...]
    config_class: type = HRMConfig
    overfit_steps: int = 300


REFERENCE = "Llama"
KINDS = {
    REFERENCE: Kind({**SIZES, "num_hidden_layers": 2}, (LlamaModel, LlamaForCausalLM), LlamaConfig),
    # as many block calls as Llama has layers, so every assumption about layers can hold
    "text, 1 segment": Kind({**TEXT, "H_cycles": 1, "L_cycles": 1, "halt_max_steps": 1}, (HRMModel, HRMForCausalLM)),
    "text, 2 segments": Kind(
        {**TEXT, "H_cycles": 2, "L_cycles": 2, "halt_max_steps": 2, "halting": "lean"},
        (HRMModel, HRMForCausalLM),
        overfit_steps=500,  # the halting head also has to learn, and only can once the tokens are right
    ),
    "grid": Kind(
        {**SIZES, "H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1, "puzzle_emb_ndim": 0},
        (HRMModel, HRMForGridTask),
    ),
}


class Tester:
    """The `model_tester` of transformers' tests: tiny configurations and inputs.

    Args:
        kind: of model.
    """

    is_training = True
    batch_size, seq_length = BATCH, LENGTH

    def __init__(self, kind: Kind):
        self.kind = kind
        config = self.get_config()
        self.vocab_size, self.hidden_size = config.vocab_size, config.hidden_size
        self.num_hidden_layers, self.num_attention_heads = config.num_hidden_layers, config.num_attention_heads
        self.causal_lm_class = kind.classes[-1]

    def get_config(self) -> Any:
        """A new configuration."""
        return self.kind.config_class(**self.kind.config)

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """A configuration and inputs of a model."""
        # no token is padding, start or end
        input_ids = torch.randint(3, self.vocab_size, (BATCH, LENGTH))
        return self.get_config(), {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


def cases(common: ModuleType, training: ModuleType, export: ModuleType) -> dict[str, type]:
    """Test classes by name, from modules of transformers' tests.

    Args:
        common: test_modeling_common, with the mixins for generation and export.
        training: test_training_mixin.
        export: test_executorch.
    """
    # the tests recognize heads by lists of names, which lack models outside of the library
    common.MODEL_MAPPING_NAMES = {**common.MODEL_MAPPING_NAMES, "hrm": "HRMModel"}
    common.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = {
        **common.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "hrm": "HRMForCausalLM",
    }
    # which also has a label for every position
    common.MODEL_FOR_MASKED_LM_MAPPING_NAMES = {**common.MODEL_FOR_MASKED_LM_MAPPING_NAMES, "hrm": "HRMForGridTask"}
    found = {}
    for name, kind in KINDS.items():
        is_text = kind.classes[-1] is not HRMForGridTask
        mixins = [common.ModelTesterMixin]
        mixins += [common.GenerationTesterMixin, training.TrainingTesterMixin] if is_text else []
        attributes = {
            "all_model_classes": kind.classes,
            "model_tester": Tester(kind),
            "suite_kind": name,
            "training_overfit_steps": kind.overfit_steps,
        }
        found[f"Test{len(found)}"] = type(f"Test{len(found)}", (*mixins, common.unittest.TestCase), attributes)
        if is_text:
            found[f"Test{len(found)}"] = _static_cache_case(f"Test{len(found)}", name, kind, export)
    return found


def _static_cache_case(class_name: str, name: str, kind: Kind, export: ModuleType) -> type:
    """The tests of export with a static cache, without downloading their model."""

    class OfFolder:
        @staticmethod
        def from_pretrained(_: str) -> torch.nn.Module:
            return kind.classes[-1](kind.config_class(**kind.config))

    def set_up(self):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "AutoModelForCausalLM", OfFolder)
            export.ExecutorchTest.setUp(self)

    return type(class_name, (export.ExecutorchTest,), {"setUp": set_up, "suite_kind": name})


# collected by pytest; next to transformers' own files, whose imports are relative
_TEST_FILE = """
from benchmarks.transformers_suite import cases
from . import test_executorch, test_modeling_common, test_training_mixin

globals().update(cases(test_modeling_common, test_training_mixin, test_executorch))
"""
_MIXINS = {"exporters/test_export.py": "ExportTesterMixin", "generation/test_utils.py": "GenerationTesterMixin"}


@contextmanager
def package_of_tests(source: Path) -> Iterator[tuple[Path, list[str]]]:
    """A package `tests` of the tests in a source of transformers, including ours.

    Yields:
        The file for pytest, and the tests missing from the source.
    """
    missing = []
    with TemporaryDirectory() as scratch:
        package = Path(scratch) / "tests"
        package.mkdir()
        for path in (source / "tests").iterdir():
            (package / path.name).symlink_to(path.resolve(), target_is_directory=path.is_dir())
        (package / "__init__.py").touch()
        for file, mixin in _MIXINS.items():
            if (source / "tests" / file).is_file():
                continue
            missing.append(f"tests/{file}")
            (package / file).parent.mkdir(exist_ok=True)
            (package / file).parent.joinpath("__init__.py").touch()
            (package / file).write_text(f"class {mixin}:\n    pass\n")
        (package / "test_of_hrm.py").write_text(_TEST_FILE)
        (Path(scratch) / "pytest.ini").write_text("[pytest]\n")
        sys.path.insert(0, scratch)
        try:
            yield package / "test_of_hrm.py", missing
        finally:
            sys.path.remove(scratch)


@dataclass
class Outcomes:
    """A plugin of pytest that keeps the outcome of each test, by kind of model and name."""

    passed: set[tuple[str, str]] = field(default_factory=set)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    skipped: set[tuple[str, str]] = field(default_factory=set)
    kind_of: dict[str, str] = field(default_factory=dict)

    def pytest_itemcollected(self, item):
        self.kind_of[item.nodeid] = item.cls.suite_kind

    def pytest_runtest_logreport(self, report):
        test = self.kind_of[report.nodeid], report.nodeid.split("::")[-1]
        if report.failed:
            lines = str(report.longrepr).splitlines()
            told = [line[2:].strip() for line in lines if line.startswith("E ")]
            self.failed.setdefault(test, told[0] if told else lines[-1])
        elif report.skipped:
            self.skipped.add(test)
        elif report.when == "call":
            self.passed.add(test)

    def of(self, kind: str) -> tuple[set[str], dict[str, str], set[str]]:
        """Names of tests that passed, failed (and why) and were skipped; a test fails if a part of it fails."""
        failed = {name: why for (of, name), why in self.failed.items() if of == kind}
        skipped = {name for of, name in self.skipped if of == kind} - failed.keys()
        return {name for of, name in self.passed if of == kind} - failed.keys() - skipped, failed, skipped


def main(
    folder: Annotated[Path, typer.Argument(help="Unpacked source of the installed transformers.")],
    only: Annotated[str | None, typer.Option("-k", help="Run only tests that match this pytest expression.")] = None,
):
    """Run transformers' generic tests."""
    if not (folder / "tests" / "test_modeling_common.py").is_file():
        raise typer.BadParameter(
            f"{folder} has no tests/test_modeling_common.py; give the unpacked source of transformers "
            f"{transformers.__version__}: pip download --no-deps --no-binary :all: "
            f"transformers=={transformers.__version__}"
        )
    if importlib.util.find_spec("parameterized") is None:
        raise typer.BadParameter("transformers' tests need parameterized; run pip install parameterized.")
    outcomes = Outcomes()
    with package_of_tests(folder) as (file, missing):
        options = ["-q", "-p", "no:cacheprovider", "--tb=short", "--disable-warnings", "--no-header", "-rN"]
        options += ["--rootdir", str(file.parent.parent), "-c", str(file.parent.parent / "pytest.ini")]
        pytest.main([str(file), *options, *(["-k", only] if only else [])], plugins=[outcomes])
    if not outcomes.passed:
        raise typer.Exit(2)
    passed_by_reference = outcomes.of(REFERENCE)[0]
    bad = 0
    print(f"\ntransformers {transformers.__version__}; missing: {', '.join(missing) or 'nothing'}")
    for kind in KINDS:
        passed, failed, skipped = outcomes.of(kind)
        print(f"{kind}: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
        for name, why in sorted(failed.items()):
            reason = CANNOT_HOLD.get((kind, name))
            is_bad = kind != REFERENCE and name in passed_by_reference and reason is None
            bad += is_bad
            if name not in passed_by_reference:
                reason = f"Llama also fails: {why}" if kind != REFERENCE else why
            print(f"  {'FAILS' if is_bad else 'fails'} {name}: {why if is_bad else reason}")
        for name in sorted(skipped & passed_by_reference):
            print(f"  skips {name}")
        for name in sorted(name for of, name in CANNOT_HOLD if of == kind and name in passed):
            bad += 1
            print(f"  PASSES {name}, although it is in CANNOT_HOLD: remove it")
    print(f"{bad} to fix")
    raise typer.Exit(1 if bad else 0)


if __name__ == "__main__":
    typer.run(main)
