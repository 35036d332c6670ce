"""The pipeline `grid-solving` on a model that knows one puzzle by heart."""

import pytest
import torch
from transformers import pipeline

import hrm_hf  # noqa: F401  registers the pipeline
from configuration_hrm import HRMConfig
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


PUZZLE, ANSWER = "12..34..2143432.", "1234341221434321"
BOARD = [[1, 2, 0, 0], [3, 4, 0, 0], [2, 1, 4, 3], [4, 3, 2, 0]]
OTHER = "..............12"


@pytest.fixture(scope="module")
def solver():
    torch.manual_seed(0)
    processor = HRMGridProcessor.for_sudoku(4)
    model = HRMForGridTask(
        HRMConfig(
            vocab_size=processor.vocab_size,
            max_position_embeddings=16,
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=2,
            H_layers=1,
            L_layers=1,
            halting="lean",
            halt_max_steps=3,
            puzzle_emb_ndim=0,
            token_loss="softmax",
        )
    )
    optimizer, inputs, carry = torch.optim.Adam(model.parameters(), lr=3e-3), processor(PUZZLE, ANSWER), None
    # longer than it takes: how fast it learns differs from processor to processor
    for _ in range(400):
        output = model(**inputs, carry=carry)
        carry = output.carry
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return pipeline("grid-solving", model=model.eval(), processor=processor, device="cpu")


@pytest.mark.parametrize("form", [PUZZLE, [PUZZLE], [BOARD]], ids=["line", "list of lines", "list of boards"])
def test_a_puzzle_in_any_form(solver, form):
    result = solver(form)
    result = result[0] if isinstance(form, list) else result
    assert (result["answer"], result["solved"]) == (ANSWER, True)
    assert 1 <= result["segments"] <= 3 and 0 <= result["halt_probability"] <= 1
    assert "steps" not in result


def test_what_breaks_the_rules_is_no_answer(solver):
    right, wrong = solver([PUZZLE, OTHER])
    assert right["solved"] and not wrong["solved"]
    assert wrong["answer"] is None and wrong["reason"]


def test_options_reach_the_model(solver):
    result = solver(PUZZLE, max_segments=7, early_stop=False, return_steps=True)
    assert result["segments"] == 7 and len(result["steps"]) == 7 and result["steps"][0] == ANSWER
    assert solver(PUZZLE, halt_threshold=0.0)["segments"] == 1
    again = pipeline(
        "grid-solving", model=solver.model, processor=solver.processor, device="cpu", max_segments=2, early_stop=False
    )
    assert again(PUZZLE)["segments"] == 2


@pytest.mark.parametrize(
    ("puzzles", "options", "message"),
    [
        (PUZZLE, {"max_segment": 3}, "no option max_segment; it has max_segments"),
        ("12", {}, "cells"),
        ([], {}, "empty"),
        ("11..............", {}, "two 1s"),
        (PUZZLE, {"max_segments": 0}, "max_segments=0"),
    ],
)
def test_bad_input_is_one_sentence(solver, puzzles, options, message):
    with pytest.raises(ValueError, match=message):
        solver(puzzles, **options)


def test_arc_answers_are_not_judged():
    torch.manual_seed(0)
    processor = HRMGridProcessor.for_arc({"<blank>": 0, "known": 1})
    config = HRMConfig(
        vocab_size=processor.vocab_size,
        max_position_embeddings=900,
        num_puzzle_identifiers=2,
        hidden_size=16,
        num_attention_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        puzzle_emb_ndim=16,
    )
    solver = pipeline("grid-solving", model=HRMForGridTask(config).eval(), processor=processor, device="cpu")
    result = solver([[[1, 2], [3, 4]]], identifiers="known", max_segments=1)[0]
    assert result["solved"] is None and isinstance(result["answer"], str)
    with pytest.raises(ValueError, match="stranger"):
        solver([[[1, 2]]], identifiers="stranger")
