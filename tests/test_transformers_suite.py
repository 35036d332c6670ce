"""The runner of transformers' generic tests, on three-line tests instead of transformers' own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parent.parent

COMMON = """
import unittest

from .exporters.test_export import ExportTesterMixin
from .generation.test_utils import GenerationTesterMixin

MODEL_MAPPING_NAMES, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES = {}, {}, {}


class ModelTesterMixin(ExportTesterMixin):
    def test_that_all_pass(self):
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            assert model_class(config)(**inputs)[0].shape[:2] == inputs["input_ids"].shape

    def test_num_layers_is_small(self):
        assert self.model_tester.num_hidden_layers <= 2

    def test_retain_grad_hidden_states_attentions(self):
        assert self.model_tester.num_hidden_layers <= 2

    def test_with_parts(self):
        for model_class in self.all_model_classes:
            with self.subTest(model_class.__name__):
                assert model_class.__name__ != "HRMForGridTask", "a grid is no text"

    def test_that_the_reference_fails(self):
        assert self.model_tester.get_config().model_type == "hrm"
"""
TRAINING = """
class TrainingTesterMixin:
    def test_training(self):
        self.skipTest("no time")
"""
EXPORT = """
import unittest

from transformers import AutoModelForCausalLM


class ExecutorchTest(unittest.TestCase):
    def setUp(self):
        self.model = AutoModelForCausalLM.from_pretrained("name/on-the-hub")

    def test_that_the_model_is_tiny(self):
        assert self.model.config.hidden_size == 32
"""
GENERATION = """
class GenerationTesterMixin:
    def test_generation(self):
        assert self.all_model_classes[-1].can_generate()
"""


@pytest.fixture
def suite(tmp_path):
    """Run the suite on a source with some of transformers' tests; gives exit code and output."""
    (tmp_path / "parameterized.py").touch()  # transformers' own tests need it

    def run(files: dict[str, str]) -> tuple[int, str]:
        for name, text in files.items():
            (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tests" / name).write_text(text)
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.transformers_suite", str(tmp_path)],
            cwd=ROOT,
            env=os.environ
            | {"COLUMNS": "200", "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return process.returncode, process.stdout + process.stderr

    return run


FILES = {"test_modeling_common.py": COMMON, "test_training_mixin.py": TRAINING, "test_executorch.py": EXPORT}


def test_it_tells_what_fails_where_the_reference_passes(suite):
    code, output = suite(FILES)
    assert code == 1, output
    assert "missing: tests/exporters/test_export.py, tests/generation/test_utils.py" in output
    assert "Llama: 5 passed, 1 failed, 1 skipped\n  fails test_that_the_reference_fails" in output
    assert "text, 1 segment: 6 passed, 0 failed, 1 skipped" in output
    assert "text, 2 segments: 4 passed, 2 failed, 1 skipped\n  fails test_num_layers_is_small: asks for" in output
    # some parts of a test fail: the test fails
    assert "grid: 4 passed, 1 failed, 0 skipped\n  FAILS test_with_parts: AssertionError: a grid is no text" in output
    assert output.endswith("1 to fix\n")


def test_tests_that_only_a_checkout_has_run_too(suite):
    code, output = suite(FILES | {"generation/__init__.py": "", "generation/test_utils.py": GENERATION})
    assert "missing: tests/exporters/test_export.py\n" in output
    assert "Llama: 6 passed" in output and "text, 1 segment: 7 passed" in output and "grid: 4 passed" in output


def test_a_test_that_passes_after_all_is_told(suite):
    always = COMMON.replace("assert self.model_tester.num_hidden_layers <= 2", "pass")
    code, output = suite(FILES | {"test_modeling_common.py": always})
    assert code == 1
    assert "PASSES test_num_layers_is_small, although it is in CANNOT_HOLD: remove it" in output


def test_another_folder_is_refused(suite):
    code, output = suite({})
    assert code == 2 and "has no tests/test_modeling_common.py; give the unpacked source" in output
