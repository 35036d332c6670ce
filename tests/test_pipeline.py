"""The pipeline `grid-solving` on a model that knows one puzzle by heart."""

import datasets
import numpy as np
import pytest
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

import hrm_hf.auto  # noqa: F401  registers the pipeline
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
    # longer than necessary, because the speed of learning differs between processors
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


@pytest.mark.parametrize(
    "several",
    [
        (PUZZLE, PUZZLE),
        np.array([BOARD, BOARD]),
        torch.tensor([BOARD, BOARD]),
        datasets.Dataset.from_dict({"question": [PUZZLE, PUZZLE]})["question"],
        np.array([PUZZLE, PUZZLE]),
    ],
    ids=["tuple", "3-D array", "3-D tensor", "column", "array of strings"],
)
def test_several_puzzles_give_a_list(solver, several):
    results = solver(several)
    assert [result["answer"] for result in results] == [ANSWER, ANSWER]


def test_one_puzzle_gives_a_dictionary(solver):
    for one in (PUZZLE, np.array(BOARD), torch.tensor(BOARD)):
        assert solver(one)["answer"] == ANSWER
    assert [result["answer"] for result in solver((PUZZLE,))] == [ANSWER]


def test_a_generator_and_a_data_set_are_solved_in_turn(solver):
    taken = []

    def puzzles():
        for _ in range(5):
            taken.append(1)
            yield PUZZLE

    results = solver(puzzles(), batch_size=2)
    assert next(results)["answer"] == ANSWER and len(taken) == 2
    assert len(list(results)) == 4
    rows = datasets.Dataset.from_dict({"question": [PUZZLE] * 3})
    assert [result["answer"] for result in solver(KeyDataset(rows, "question"))] == [ANSWER] * 3
    with pytest.raises(ValueError, match="batch_size=-1"):
        solver(puzzles(), batch_size=-1)


def test_what_exact_search_tells_is_told_without_the_model(solver, monkeypatch):
    monkeypatch.setattr(solver.model, "solve", None)
    several, full, none = solver(["." * 16, ANSWER, "123....4........"])
    assert (several["outcome"], several["solved"], several["answer"]) == ("more than one solution", False, None)
    assert (full["outcome"], full["solved"], full["answer"]) == ("solved", True, ANSWER)
    assert (none["outcome"], none["solved"], none["segments"]) == ("no solution", False, 0)
    assert solver(ANSWER, return_steps=True)["steps"] == []


def test_a_maze_without_a_way_has_no_solution(solver, monkeypatch):
    monkeypatch.setattr(solver, "processor", HRMGridProcessor.for_maze(3, 3))
    result = solver("S# ## # G")
    assert (result["outcome"], result["solved"], result["answer"]) == ("no solution", False, None)


def test_an_answer_never_changes_a_clue(solver, monkeypatch):
    def wrong_where_clues_are(input_ids, **options):
        right = solver.processor([ANSWER] * len(input_ids))["input_ids"]
        return {
            "predictions": torch.where(input_ids > 1, 2, right),
            "segments": torch.ones(len(input_ids), dtype=torch.long),
            "halt_probabilities": torch.ones(len(input_ids)),
        }

    monkeypatch.setattr(solver.model, "solve", wrong_where_clues_are)
    assert solver(PUZZLE)["answer"] == ANSWER
