"""Record what the shipped models compute for one input each, for tests/test_shipped_figures.py.

    python -m benchmarks.shipped_figures

Rewrites the figures of tests/golden/shipped.json from the inputs in it. Run it when a shipped model is replaced, not
when its figures have changed for another reason: the test exists to detect that.
"""

import json
from pathlib import Path

import torch

from hrm_hf.checkpoints import load_causal_lm, load_checkpoint
from hrm_hf.utils.files import whole_file


ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests" / "golden" / "shipped.json"
SEGMENTS = (1, 2)
NUM_LOGITS = 12


def summary(logits: torch.Tensor, **values: torch.Tensor | None) -> dict[str, list[float]]:
    """Figures that change with any change of the logits: their norm, their sum and some of them.

    Args:
        logits: of one puzzle, `(1, tokens, vocab_size)`.
        values: one more figure each; `None` is left out.
    """
    flat = logits.float().flatten()
    chosen = torch.linspace(0, len(flat) - 1, NUM_LOGITS).long()
    return {
        "norm": [flat.double().norm().item()],
        "sum": [flat.double().sum().item()],
        "logits": flat[chosen].tolist(),
    } | {name: [value.item()] for name, value in values.items() if value is not None}


@torch.no_grad()
def grid_figures(name: str, puzzle: str | list, identifier: str | None) -> dict[str, dict[str, list[float]]]:
    """Logits and halting values of a shipped grid model after 1 and after 2 segments, in float32 on the CPU.

    Args:
        name: folder of the model in hrm_hf/pretrained.
        puzzle: input of its processor.
        identifier: of the puzzle, for a model that distinguishes puzzles.
    """
    model, processor = load_checkpoint(str(ROOT / "hrm_hf" / "pretrained" / name))
    inputs = dict(processor(puzzle, identifiers=identifier, return_tensors="pt"))
    carry, figures = None, {}
    for segment in range(1, max(SEGMENTS) + 1):
        # without the carry's rule that a sequence starts again after halting
        output = model.float()(**inputs, carry=carry)
        carry = output.carry
        carry.halted = torch.zeros_like(carry.halted)
        if segment in SEGMENTS:
            figures[str(segment)] = summary(
                output.logits, q_halt=output.q_halt_logits, q_continue=output.q_continue_logits
            )
    return figures


@torch.no_grad()
def text_figures(name: str, text: str) -> dict[str, dict[str, list[float]]]:
    """Logits of a shipped language model after the segments of its configuration, in float32 on the CPU."""
    model, tokenizer = load_causal_lm(str(ROOT / "hrm_hf" / "pretrained" / name))
    logits = model.float()(**tokenizer(text, return_tensors="pt")).logits
    return {str(model.config.halt_max_steps): summary(logits)}


def figures_of(name: str, case: dict) -> dict[str, dict[str, list[float]]]:
    """Figures of a shipped model for its input in the golden file, by number of segments."""
    if "text" in case:
        return text_figures(name, case["text"])
    return grid_figures(name, case["puzzle"], case.get("identifier"))


def main():
    """Rewrite the records."""
    torch.set_num_threads(1)
    cases = json.loads(FILE.read_text())
    for name, case in cases.items():
        case["figures"] = figures_of(name, case)
    with whole_file(FILE) as partial:
        partial.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
