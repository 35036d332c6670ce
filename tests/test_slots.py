"""Solving in slots against `HRMForGridTask.solve`; recording as a CUDA graph needs a GPU and is not tested here."""

import functools

import pytest
import torch
from accelerate import Accelerator

from configuration_hrm import HRMConfig
from hrm_hf.evaluation.slots import solve_in_slots
from hrm_hf.evaluation.test_time_compute import draw_samples
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


NUM_PUZZLES = 11


@pytest.fixture(scope="module")
def model() -> HRMForGridTask:
    """A random model whose halting value is about 0, so that puzzles stop at different segments."""
    torch.manual_seed(0)
    config = HRMConfig(
        vocab_size=6, max_position_embeddings=9, hidden_size=32, num_attention_heads=2, puzzle_emb_ndim=8,
        num_puzzle_identifiers=4, halting="lean", H_layers=1, L_layers=1, halt_max_steps=6,
    )  # fmt: skip
    model = HRMForGridTask(config).eval()
    torch.nn.init.normal_(model.q_head.weight)
    torch.nn.init.zeros_(model.q_head.bias)
    torch.nn.init.normal_(model.model.puzzle_embeddings.weight)
    return model


@pytest.fixture(scope="module")
def puzzles() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(6, (NUM_PUZZLES, 9), generator=generator)
    return ids, torch.arange(NUM_PUZZLES) % 4


@pytest.mark.parametrize("num_slots", [1, 4, NUM_PUZZLES, 50])
@pytest.mark.parametrize("options", [{}, {"early_stop": False}, {"halt_threshold": 0.9, "max_segments": 9}])
def test_results_are_those_of_solve(model, puzzles, num_slots, options):
    wanted = model.solve(*puzzles, **options)
    got = solve_in_slots(model, *puzzles, num_slots=num_slots, **options)
    if options.get("early_stop", True):
        assert len(wanted.segments.unique()) > 2
    for name in ("predictions", "segments", "halted"):
        assert torch.equal(got[name], wanted[name]), name
    torch.testing.assert_close(got.halt_probabilities, wanted.halt_probabilities, rtol=1e-3, atol=1e-3)


def test_identifiers_may_be_left_out(model, puzzles):
    wanted = model.solve(puzzles[0])
    assert torch.equal(solve_in_slots(model, puzzles[0], num_slots=3).predictions, wanted.predictions)


def test_symmetric_copies_are_solved_in_slots_too(small_model):
    model, generator = small_model(halting="lean"), torch.Generator().manual_seed(0)
    puzzles = {
        "input_ids": torch.randint(1, 6, (7, 16), generator=generator),
        "puzzle_identifiers": torch.zeros(7, dtype=torch.long),
    }
    processor, accelerator = HRMGridProcessor.for_sudoku(4), Accelerator(cpu=True)
    wanted = draw_samples(model.solve, puzzles, processor, accelerator, num_samples=3)
    in_slots = functools.partial(solve_in_slots, model, num_slots=2)
    got = draw_samples(in_slots, puzzles, processor, accelerator, num_samples=3)
    assert torch.equal(got.predictions, wanted.predictions) and torch.equal(got.segments, wanted.segments)
    assert (got.segments > 0).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_slots": 0}, "num_slots=0"),
        ({"max_segments": 0}, "max_segments=0"),
        ({"halt_threshold": 2.0}, "halt_threshold=2.0"),
        ({"input_ids": torch.zeros(0, 9, dtype=torch.long)}, "at least one puzzle"),
        ({"input_ids": torch.full((2, 9), 6)}, "input_ids has the value 6"),
    ],
)
def test_what_cannot_be_solved_is_said(model, puzzles, change, message):
    with pytest.raises(ValueError, match=message):
        solve_in_slots(model, **{"input_ids": puzzles[0]} | change)


def test_values_that_are_not_finite_are_an_error(model, puzzles):
    weight = model.lm_head.weight
    kept = weight[0, 0].item()
    with torch.no_grad():
        weight[0, 0] = torch.nan
    try:
        with pytest.raises(ValueError, match="lm_head.weight"):
            solve_in_slots(model, *puzzles)
    finally:
        with torch.no_grad():
            weight[0, 0] = kept
