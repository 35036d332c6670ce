"""The README's own code and tables."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables import FILES, render


ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs_as_it_stands(tmp_path):
    import torch

    from configuration_hrm import HRMConfig
    from modeling_hrm import HRMForGridTask
    from processing_hrm import HRMGridProcessor

    # what `make demo` leaves, untrained
    torch.manual_seed(0)
    processor = HRMGridProcessor.for_sudoku(6)
    config = HRMConfig(
        vocab_size=processor.vocab_size, max_position_embeddings=36, hidden_size=32, num_attention_heads=2,
        puzzle_emb_ndim=0, halting="lean",
    )  # fmt: skip
    HRMForGridTask(config).save_pretrained(tmp_path / "runs/demo/model")
    processor.save_pretrained(tmp_path / "runs/demo/model")

    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    (tmp_path / "readme.py").write_text(code)
    process = subprocess.run(
        [sys.executable, "-I", "readme.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert "Verdict(solved=" in process.stdout


@pytest.mark.parametrize("name", FILES)
def test_the_tables_are_what_the_records_say(name):
    text = (ROOT / name).read_text()
    assert "<!-- table: " in text
    assert render(text) == text


def test_links_of_the_readme_lead_somewhere():
    assert (ROOT / "docs/commands.md").read_text().count("```console\n$ hrm-hf") >= 5
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
