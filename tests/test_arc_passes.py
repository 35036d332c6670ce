"""ARC on canvases without the view of a copy, and with a part of the answer shown: draws, passes, training, votes."""

import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.puzzles.arc import evaluation as arc
from hrm_hf.puzzles.arc.canvases import SHOWN_VOCAB_SIZE, ArcCanvases, CanvasDraws, show_cells
from hrm_hf.puzzles.arc.passes import SeveralPasses
from modeling_hrm import HRMForGridTask, HRMHaltingHead, HRMSegment
from processing_hrm import IGNORE_INDEX, HRMGridProcessor
from tests.test_arc_canvases import TURN, WIDE, trained  # noqa: F401 (a fixture)


SIDES = (5, 8)


def draw(share_shown: float, step: int = 0, **options) -> dict[str, torch.Tensor]:
    pairs = ArcCanvases([TURN, WIDE], SIDES, **options).pairs("train")
    draws = CanvasDraws(pairs, 4000, 0, 20, seed=3, share_shown=share_shown)
    return draws.__getitems__(list(draws.of_step(step, 0)))


def test_shown_cells_are_those_of_the_answer_and_have_no_label():
    plain, batch = draw(0.0), draw(0.6)
    shown = batch["input_ids"] != plain["input_ids"]
    assert torch.equal(batch["input_ids"], show_cells(plain["input_ids"], plain["labels"], shown))
    assert batch["input_ids"].max() < SHOWN_VOCAB_SIZE and batch["input_ids"][shown].min() >= 12
    # what is shown, and with which question
    assert torch.equal(batch["input_ids"][shown] // 12 - 1, plain["labels"][shown])
    assert torch.equal(batch["input_ids"][shown] % 12, plain["input_ids"][shown])
    assert torch.equal(batch["labels"], plain["labels"].masked_fill(shown, IGNORE_INDEX))


def test_the_share_of_examples_and_cells_is_as_said():
    shares = [(draw(0.6, step)["labels"] == IGNORE_INDEX).float().mean(1) for step in range(20)]
    of_examples = torch.cat(shares)
    assert len(of_examples) > 1000
    assert abs((of_examples > 0).float().mean() - 0.6) < 0.05
    # from hardly any to nearly all
    some = of_examples[of_examples > 0]
    assert abs(some.mean() - 0.5) < 0.05 and some.min() < 0.1 and some.max() > 0.9
    assert torch.equal(draw(0.6)["input_ids"], draw(0.6)["input_ids"])


def test_half_of_what_is_shown_lies_on_one_side_of_a_line():
    on_a_side, num_shown = 0, 0
    for step in range(20):
        shown = draw(1.0, step)["labels"] == IGNORE_INDEX
        side = int(shown.shape[1] ** 0.5)
        places = torch.cartesian_prod(torch.arange(side), torch.arange(side)).double()
        for cells in shown[(shown.sum(1) > 3) & ((~shown).sum(1) > 3)]:
            # the line between the middles of both parts keeps them apart
            between = places[cells].mean(0) - places[~cells].mean(0)
            heights = places @ between
            on_a_side += heights[cells].min() > heights[~cells].max() - 0.5 * between.norm()
            num_shown += 1
    assert num_shown > 300 and abs(on_a_side / num_shown - 0.5) < 0.1


def test_a_model_that_is_not_told_views_gets_the_same_conditions_for_all_copies():
    told, untold = draw(0.0), draw(0.0, tells_views=False)
    assert len(told["conditions"].unique(dim=0)) > 8
    assert (untold["conditions"] == 0).all() and torch.equal(told["input_ids"], untold["input_ids"])
    canvases = ArcCanvases([TURN], SIDES, tells_views=False)
    assert (canvases.pairs("test").copies(np.zeros(9, int), np.arange(9))["conditions"] == 0).all()
    processor = HRMGridProcessor.for_arc(canvases.names, list(SIDES), told_views=False)
    assert processor([[1, 2]], identifiers="turn")["conditions"].tolist() == [[0, 0]]


class Stub:
    """Predicts 2 + number of shown cells, and is surer of cells further to the right; counts its calls."""

    def __init__(self, num_answer_tokens: int = 12):
        self.config = HRMConfig(vocab_size=SHOWN_VOCAB_SIZE, num_answer_tokens=num_answer_tokens)
        self.asked: list[torch.Tensor] = []

    def segments(self, input_ids, **options):
        self.asked.append(input_ids)
        num_shown = (input_ids >= 12).sum(1)
        logits = torch.zeros(*input_ids.shape, 12)
        sure = torch.arange(1.0, 1 + input_ids.shape[1]).expand(input_ids.shape)
        logits.scatter_(2, (2 + num_shown).view(-1, 1, 1).expand(-1, input_ids.shape[1], 1), sure.unsqueeze(2))
        rows = torch.arange(len(input_ids))
        yield HRMSegment(rows=rows, start=None, state=None, logits=logits, q_halt=num_shown.float(), stops=rows > -1)


def test_each_pass_shows_half_of_the_hidden_cells_the_surest_first():
    model = Stub()
    questions = torch.full((2, 8), 3)
    solved = SeveralPasses(model, 4)(questions)
    assert [(asked >= 12).sum(1).tolist() for asked in model.asked] == [[0, 0], [4, 4], [6, 6], [7, 7]]
    # decided in the pass when nothing, four, six and seven cells were shown
    assert solved.predictions[0].tolist() == [9, 8, 6, 6, 2, 2, 2, 2]
    assert torch.equal(model.asked[1][0], torch.tensor([3] * 4 + [3 + 12 * 3] * 4))
    assert solved.segments.tolist() == [4, 4]
    torch.testing.assert_close(solved.halt_probabilities, torch.sigmoid(torch.tensor([7.0, 7.0])))


def test_one_pass_is_solve_and_what_cannot_be_is_one_sentence():
    torch.manual_seed(0)
    config = HRMConfig(
        vocab_size=SHOWN_VOCAB_SIZE,
        num_answer_tokens=12,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        max_position_embeddings=25,
        puzzle_emb_ndim=0,
        halt_max_steps=3,
    )
    model = HRMForGridTask(config).eval()
    for head in model.modules():
        if isinstance(head, HRMHaltingHead):
            torch.nn.init.normal_(head.weight)
    boards = torch.randint(0, 12, (6, 25))
    expected, solved = model.solve(boards), SeveralPasses(model, 1)(boards)
    for name in ("predictions", "segments", "halt_probabilities"):
        assert torch.equal(solved[name], expected[name]), name
    assert solved.predictions.max() < 12
    with pytest.raises(ValueError, match="num_passes=0 .* at least 1"):
        SeveralPasses(model, 0)
    plain = HRMForGridTask(HRMConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2))
    with pytest.raises(ValueError, match="vocab_size=11.*arc_share_shown"):
        SeveralPasses(plain, 2)
    for wrong in ({"num_answer_tokens": 0}, {"num_answer_tokens": 12}, {"tie_word_embeddings": True}):
        with pytest.raises(ValueError, match="num_answer_tokens"):
            HRMConfig(**{"vocab_size": 11, "num_answer_tokens": 5} | wrong)
    with pytest.raises(ValueError, match="canvas_sides"):
        HRMGridProcessor("arc", 30, 30, shown_answers=True)
    with pytest.raises(ValueError, match="exclude each other"):
        HRMGridProcessor.for_arc({"a": 1}, [5], token_roles=True, shown_answers=True)


def test_a_run_with_both_trains_and_its_model_is_loaded_and_scored(trained, hrm_hf):  # noqa: F811
    root, run = trained
    result = run("--output_dir", str(root / "both"), "--arc_share_shown", "0.5", "--arc_tell_views", "false")
    assert result["n_tasks"] == 2
    model, processor = load_checkpoint(str(root / "both" / "model"))
    assert (model.config.vocab_size, model.lm_head.out_features) == (SHOWN_VOCAB_SIZE, 12)
    assert (processor.shown_answers, processor.told_views, processor.vocab_size) == (True, False, SHOWN_VOCAB_SIZE)
    tests = arc.open_tests(root / "data", processor)
    assert not tests.canvases.tells_views
    for solve in (model.solve, SeveralPasses(model, 3)):
        answers = arc.vote(
            solve, tests, processor, Accelerator(cpu=True), max_segments=1, early_stop=False, num_augmentations=3
        )
        assert [answer.num_votes for answer in answers] == [4, 4]
    options = {"max_segments": 1, "early_stop": False, "num_augmentations": 3}
    alone, together = (
        arc.vote(solvers, tests, processor, Accelerator(cpu=True), **options)
        for solvers in (model.solve, [model.solve, model.solve])
    )
    for one, two in zip(alone, together, strict=True):
        assert (two.num_votes, two.num_candidates) == (8, one.num_candidates)
        assert [each.votes for each in two.attempts] == [2 * each.votes for each in one.attempts]
    code, output, errors = hrm_hf("evaluate-arc", root / "both" / "model", root / "data", "--num-augmentations", "1")
    assert code == 0 and json.loads(output)["n_tasks"] == 2, errors
