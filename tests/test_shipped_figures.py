"""The shipped models compute the same as when they were shipped."""

import json

import pytest
import torch

from benchmarks.shipped_figures import FILE, ROOT, SEGMENTS, figures_of


CASES = json.loads(FILE.read_text())
# On the CPU of the recording they are equal to 1e-5. Float64 differs from it by up to 6e-5 (maze-16x16), so another
# CPU may differ as much; a change of the computation is far larger.
TOLERANCE = 5e-4


def test_every_shipped_model_has_figures():
    assert set(CASES) == {folder.parent.name for folder in (ROOT / "hrm_hf" / "pretrained").glob("*/config.json")}
    grid = [case["figures"] for case in CASES.values() if "puzzle" in case]
    assert len(grid) == 4 and all(set(figures) == {str(number) for number in SEGMENTS} for figures in grid)


@pytest.mark.parametrize("name", CASES)
def test_a_shipped_model_computes_its_recorded_figures(name):
    computed = figures_of(name, CASES[name])
    assert computed.keys() == CASES[name]["figures"].keys()
    for segments, expected in CASES[name]["figures"].items():
        assert computed[segments].keys() == expected.keys()
        for key, values in expected.items():
            # the sum has values of both signs, so its error is relative to their size
            scale = expected["norm"][0] if key == "sum" else 1
            torch.testing.assert_close(
                torch.tensor(computed[segments][key], dtype=torch.float64) / scale,
                torch.tensor(values, dtype=torch.float64) / scale,
                rtol=1e-4,
                atol=TOLERANCE,
                msg=lambda text, key=key, segments=segments: f"{key} after {segments} segments: {text}",
            )
