"""Samples at test time: symmetric copies and noise, mapped back, checked by the rules, voted on and counted."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from hrm_hf.evaluation.test_time_compute import (
    Samples,
    choose,
    compute_curve,
    draw_samples,
    gaussian_pairs,
    solve_with_samples,
)
from modeling_hrm import HRMForGridTask, HRMSolveOutput, HRMState
from processing_hrm import HRMGridProcessor


ROOT = Path(__file__).parent.parent
SUDOKU = HRMGridProcessor.for_sudoku(4)


def sudoku_boards() -> torch.Tensor:
    """All 288 full 4x4 boards as token ids, `(288, 16)`."""
    rows = list(itertools.permutations(range(2, 6)))

    def fits(board: tuple) -> bool:
        columns = all(len({row[column] for row in board}) == len(board) for column in range(4))
        boxes = [board[top][left : left + 2] + board[top + 1][left : left + 2] for top in (0, 2) for left in (0, 2)]
        return columns and all(len(set(box)) == 4 for box in boxes)

    return torch.tensor([board for board in itertools.product(rows, repeat=4) if fits(board)]).flatten(1)


BOARDS = sudoku_boards()


def unique_puzzles(number: int) -> dict[str, torch.Tensor]:
    """Sudoku with one solution each."""
    generator = torch.Generator().manual_seed(0)
    puzzles, labels = [], []
    while len(puzzles) < number:
        label = BOARDS[torch.randint(len(BOARDS), (), generator=generator)]
        puzzle = torch.where(torch.rand(16, generator=generator) < 0.55, 1, label)
        if len(solutions(puzzle)) == 1:
            puzzles.append(puzzle)
            labels.append(label)
    return {
        "input_ids": torch.stack(puzzles),
        "puzzle_identifiers": torch.zeros(number, dtype=torch.long),
        "labels": torch.stack(labels),
    }


def solutions(puzzle: torch.Tensor) -> torch.Tensor:
    return BOARDS[((puzzle == 1) | (BOARDS == puzzle)).all(1)]


class Stub:
    """Answers every board by a function of the board, in as many segments as the board has open cells.

    Args:
        answer: from the token ids of a board to those of its answer.
        probability: from the answer to the halting probability.
    """

    def __init__(self, answer: Callable, probability: Callable = lambda answer: 0.5):
        self.answer, self.probability = answer, probability
        self.calls: list[dict] = []

    def solve(self, input_ids, puzzle_identifiers, **options) -> HRMSolveOutput:
        self.calls.append({"boards": input_ids, "identifiers": puzzle_identifiers, **options})
        answers = torch.stack([self.answer(board) for board in input_ids])
        return HRMSolveOutput(
            predictions=answers,
            segments=(input_ids == 1).sum(1).clamp(min=1),
            halt_probabilities=torch.tensor([self.probability(answer) for answer in answers]),
        )

    @property
    def boards(self) -> torch.Tensor:
        """All boards that were passed in."""
        return torch.cat([call["boards"] for call in self.calls])


def right_if(predicate: Callable) -> Callable:
    """The solution of boards that satisfy a predicate; the board itself for the others."""
    return lambda board: solutions(board)[0] if predicate(board) else board


def draw(stub, puzzles, num_samples, processor=SUDOKU, **options) -> Samples:
    solve = stub.solve if isinstance(stub, Stub) else stub
    return draw_samples(solve, puzzles, processor, Accelerator(cpu=True), num_samples, **options)


def is_equal(first: Samples, second: Samples) -> bool:
    names = ("predictions", "halt_probabilities", "segments", "keeps_rules")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


# --- Sudoku


def test_all_boards_are_there():
    assert len(BOARDS) == 288
    assert all(SUDOKU.check_batch(torch.ones_like(BOARDS), BOARDS))


def test_answers_to_copies_are_mapped_back_exactly():
    puzzles = unique_puzzles(20)
    stub = Stub(right_if(lambda board: True))
    samples = draw(stub, puzzles, 6, stop_when_solved=False)
    assert torch.equal(samples.predictions.long(), puzzles["labels"].unsqueeze(1).expand(-1, 6, -1))
    assert samples.keeps_rules.all() and (samples.segments > 0).all()
    # the first sample is the original puzzle, and the others are not
    asked = stub.boards.view(6, 20, 16)
    assert torch.equal(asked[0], puzzles["input_ids"])
    assert (asked[1:] != puzzles["input_ids"]).any(2).all()
    # a copy has as many clues, and is a puzzle with one solution
    assert torch.equal((asked > 1).sum(2), (puzzles["input_ids"] > 1).sum(1).expand(6, 20))


def test_padding_and_open_cells_are_mapped_back_too():
    puzzles = unique_puzzles(5)
    # clues are lost, and open cells become padding
    samples = draw(Stub(lambda board: torch.where(board == 1, 0, 1)), puzzles, 4)
    expected = torch.where(puzzles["input_ids"] == 1, 0, 1)
    assert torch.equal(samples.predictions.long(), expected.unsqueeze(1).expand(-1, 4, -1))


def test_a_model_that_is_right_under_some_symmetries_solves_all():
    puzzles = unique_puzzles(60)

    def begins_with_a_low_digit(board):
        return board[board > 1][0] <= 3

    stub = Stub(right_if(begins_with_a_low_digit))
    samples = draw(stub, puzzles, 32)
    chosen = choose(samples)
    assert chosen.keeps_rules.all() and torch.equal(chosen.predictions, puzzles["labels"])
    # samples until the first that the stub solves correctly
    right = torch.tensor([bool(begins_with_a_low_digit(board)) for board in stub.boards])
    assert len(right) == chosen.num_samples.sum() and right.sum() == 60
    first_clues = [board[board > 1][0].item() for board in puzzles["input_ids"]]
    assert ((chosen.num_samples == 1) == torch.tensor([clue <= 3 for clue in first_clues])).all()
    assert len(chosen.num_samples.unique()) > 3
    # and they are counted
    open_cells = (puzzles["input_ids"] == 1).sum(1)
    assert torch.equal(chosen.segments, chosen.num_samples * open_cells)
    assert ((samples.segments > 0).sum(1) == chosen.num_samples).all()


def test_without_the_rules_the_majority_of_samples_is_chosen():
    puzzles = unique_puzzles(40)

    def mostly_right(board):
        # wrong in one cell, which depends on the copy
        return solutions(board)[0] if board[0] != 3 else torch.where(torch.arange(16) == 15, 1, solutions(board)[0])

    # as if there were no rules, so that only votes decide
    samples = draw(Stub(mostly_right), puzzles, 9, stop_when_solved=False)
    blind = Samples(
        samples.predictions, samples.halt_probabilities, samples.segments, torch.zeros_like(samples.keeps_rules)
    )
    single, voted = choose(blind, 1), choose(blind)
    wrong = (single.predictions != puzzles["labels"]).any(1)
    assert wrong.any() and torch.equal(voted.predictions, puzzles["labels"])
    right = (samples.predictions == puzzles["labels"].unsqueeze(1)).all(2)
    assert torch.equal(voted.votes, right.sum(1)) and (voted.votes < 9).any()


def test_samples_are_a_function_of_seed_puzzle_and_number():
    puzzles = unique_puzzles(12)
    draw_it = lambda number, **options: draw(Stub(lambda board: board.roll(1)), puzzles, number, **options)  # noqa: E731
    eight = draw_it(8)
    assert is_equal(eight, draw_it(8))
    assert is_equal(eight, draw_it(8, batch_size=5))
    assert is_equal(eight, draw_it(8, batch_size=7, samples_at_once=3))
    assert torch.equal(eight.predictions[:, :3], draw_it(3).predictions)
    other = draw_it(8, seed=1)
    assert torch.equal(eight.predictions[:, 0], other.predictions[:, 0])
    assert not torch.equal(eight.predictions[:, 1:], other.predictions[:, 1:])


def test_samples_drawn_at_once_are_all_paid_for():
    puzzles = unique_puzzles(3)
    stub = Stub(right_if(lambda board: True))
    samples = draw(stub, puzzles, 8, samples_at_once=4)
    assert ((samples.segments > 0).sum(1) == 4).all() and len(stub.boards) == 12
    # the cost of one sample
    assert torch.equal(choose(samples, 1).segments, (puzzles["input_ids"] == 1).sum(1))


def test_the_options_of_solve_are_handed_on():
    puzzles = unique_puzzles(3)
    puzzles["puzzle_identifiers"] = torch.tensor([0, 1, 2])
    stub = Stub(right_if(lambda board: True))
    draw(stub, puzzles, 1, max_segments=7, early_stop=False, halt_threshold=0.25)
    (call,) = stub.calls
    assert call["identifiers"].tolist() == [0, 1, 2]
    assert {name: call[name] for name in call if name not in ("boards", "identifiers")} == {
        "max_segments": 7,
        "early_stop": False,
        "halt_threshold": 0.25,
    }


# --- mazes

MAZE = np.array([list("S  #"), list(" # #"), list("   #"), list("## G")])
PATH = np.array([list("S  #"), list("o# #"), list("ooo#"), list("##oG")])


def maze_images(board: np.ndarray) -> list[np.ndarray]:
    """The 8 images of a square board, written out, in the order of `dihedral`."""
    turned = [np.rot90(board, k) for k in range(4)]
    return [*turned, board[:, ::-1], board[::-1], board.T, np.rot90(board)[:, ::-1]]


def maze_inputs(processor, *boards) -> dict[str, torch.Tensor]:
    return dict(processor(["".join(board.reshape(-1)) for board in boards]))


@pytest.mark.parametrize("right", range(8))
def test_a_maze_is_solved_through_the_one_image_that_the_model_is_right_on(right):
    processor = HRMGridProcessor.for_maze(4, 4)
    puzzles = maze_inputs(processor, MAZE)
    asked = ["".join(image.reshape(-1)) for image in maze_images(MAZE)]
    assert len(set(asked)) == 8
    answer = processor("".join(maze_images(PATH)[right].reshape(-1)), check_rules=False)["input_ids"][0]

    def solve_one_image(board):
        return answer if processor.decode(board) == asked[right] else board

    chosen = choose(draw(Stub(solve_one_image), puzzles, 8, processor))
    assert chosen.keeps_rules.tolist() == [True] and chosen.num_samples.tolist() == [right + 1]
    assert processor.decode(chosen.predictions[0]) == "".join(PATH.reshape(-1))


def test_a_maze_that_is_no_square_has_four_images():
    processor = HRMGridProcessor.for_maze(3, 4)
    board = MAZE[[0, 2, 3]]
    puzzles = maze_inputs(processor, board)
    stub = Stub(lambda board: board)
    samples = draw(stub, puzzles, 4, processor)
    asked = set(processor.batch_decode(stub.boards))
    images = (board, board[::-1], board[:, ::-1], board[::-1, ::-1])
    assert asked == {"".join(image.reshape(-1)) for image in images}
    assert torch.equal(samples.predictions[0].long(), puzzles["input_ids"].expand(4, -1))
    with pytest.raises(ValueError, match=r"num_samples=5 is not allowed for mazes of 3x4: they have 4 symmetries"):
        draw(stub, puzzles, 5, processor)


# --- noise


@pytest.fixture
def noisy_model(small_model) -> HRMForGridTask:
    """A model whose answers differ between cells."""
    model = small_model()
    torch.nn.init.normal_(model.lm_head.weight, std=1.0)
    return model


def test_rollouts_of_a_real_model(noisy_model):
    puzzles = unique_puzzles(6)
    options = {"symmetries": False, "noise_std": 1.0, "max_segments": 3, "early_stop": False}
    samples = draw(noisy_model.solve, puzzles, 4, **options)
    assert samples.predictions.shape == (6, 4, 16) and samples.predictions.dtype == torch.uint8
    assert (samples.segments == 3).all()
    # the first is without noise
    plain = noisy_model.solve(puzzles["input_ids"], max_segments=3, early_stop=False)
    assert torch.equal(samples.predictions[:, 0].long(), plain.predictions)
    torch.testing.assert_close(samples.halt_probabilities[:, 0], plain.halt_probabilities)
    # the others differ from it and from each other
    for first, second in itertools.combinations(range(4), 2):
        assert ((samples.halt_probabilities[:, first] - samples.halt_probabilities[:, second]).abs() > 1e-6).all()
    # and batches make no difference except for rounding
    batched = draw(noisy_model.solve, puzzles, 4, **options, batch_size=5, samples_at_once=2)
    torch.testing.assert_close(batched.halt_probabilities, samples.halt_probabilities, rtol=1e-3, atol=1e-4)
    other = draw(noisy_model.solve, puzzles, 4, **options, seed=1)
    assert not torch.allclose(other.halt_probabilities[:, 1:], samples.halt_probabilities[:, 1:], atol=1e-3)


def test_noise_is_fresh_in_every_segment_of_every_sample():
    seen = []

    def solve(input_ids, puzzle_identifiers, perturb, **options) -> HRMSolveOutput:
        rows = torch.arange(len(input_ids))
        state = HRMState(z_H=torch.ones(len(rows), 18, 32), z_L=torch.zeros(len(rows), 18, 32))
        for segment in range(2):
            changed = perturb(state, rows, segment)
            seen.extend((changed.z_H - 1, changed.z_L))
            # rows that have stopped make no difference to the others
            some = perturb(HRMState(z_H=state.z_H[1:2], z_L=state.z_L[1:2]), rows[1:2], segment)
            assert torch.equal(some.z_H, changed.z_H[1:2]) and torch.equal(some.z_L, changed.z_L[1:2])
        return HRMSolveOutput(predictions=input_ids, segments=rows + 1, halt_probabilities=torch.zeros(len(rows)))

    draw(solve, unique_puzzles(2), 3, symmetries=False, noise_std=0.5)
    # 3 rounds of 2 puzzles, 2 segments and 2 states
    noise = torch.stack(seen).view(3, 2, 2, 2, -1)
    assert (noise[0] == 0).all()
    drawn = noise[1:].flatten(0, 3)
    assert drawn.shape == (16, 18 * 32)
    assert (drawn.std(1) - 0.5).abs().max() < 0.06 and drawn.mean(1).abs().max() < 0.08
    correlations = torch.corrcoef(drawn) - torch.eye(16)
    assert correlations.abs().max() < 0.2


def test_little_noise_changes_little(noisy_model):
    puzzles = unique_puzzles(6)

    def spread(noise_std):
        samples = draw(noisy_model.solve, puzzles, 3, symmetries=False, noise_std=noise_std, max_segments=2)
        return (samples.halt_probabilities[:, 1:] - samples.halt_probabilities[:, :1]).abs().max()

    assert spread(1e-6) < 1e-3 < spread(0.5)


def test_noise_stays_with_its_puzzle_when_others_stop_early(noisy_model):
    puzzles = unique_puzzles(6)
    options = {"symmetries": False, "noise_std": 0.5, "max_segments": 4}
    first = noisy_model.solve(puzzles["input_ids"], max_segments=1).halt_probabilities
    together = draw(noisy_model.solve, puzzles, 3, **options, halt_threshold=first.median().item())
    assert len(together.segments.unique()) > 1
    alone = draw(noisy_model.solve, puzzles, 3, **options, halt_threshold=first.median().item(), batch_size=1)
    assert torch.equal(together.segments, alone.segments)
    torch.testing.assert_close(alone.halt_probabilities, together.halt_probabilities, rtol=1e-3, atol=1e-4)


def test_the_noise_is_a_fresh_standard_normal():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(-(2**63), 2**63 - 1, (200_000,), generator=generator)
    first, second = gaussian_pairs(keys)
    for values in (first, second):
        assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01
        assert abs((values > 1.96).float().mean() - 0.025) < 0.002
    assert abs((first * second).mean()) < 0.01 and abs((first.square() * second.square()).mean() - 1) < 0.03
    # by hand: halves of 2^-25, and of a quarter turn
    (cosine,), (sine,) = gaussian_pairs(torch.tensor([1 << 22 << 16]))
    assert sine.item() == pytest.approx(math.sqrt(50 * math.log(2)), rel=1e-5) and abs(cosine.item()) < 1e-4


# --- choosing and counting by hand


def hand_made(*rows: list[tuple]) -> Samples:
    """Samples of boards of one cell: prediction, halting probability, segments and verdict of each."""
    predictions, probabilities, segments, verdicts = (
        torch.tensor([[entry[part] for entry in row] for row in rows]) for part in range(4)
    )
    return Samples(predictions.unsqueeze(-1).to(torch.uint8), probabilities, segments, verdicts)


HAND_MADE = hand_made(
    # two votes for 3 against three for 2
    [(3, 0.9, 4, False), (2, 0.2, 4, False), (3, 0.9, 4, False), (2, 0.2, 4, False), (2, 0.2, 4, False)],
    # a tie of votes; the mean halting probability of 5 is higher
    [(4, 0.4, 1, False), (5, 0.7, 2, False), (4, 0.4, 3, False), (5, 0.3, 4, False), (6, 0.9, 5, False)],
    # the third keeps the rules, and no more are drawn
    [(7, 0.9, 2, False), (7, 0.9, 2, False), (8, 0.1, 2, True), (0, 0.0, 0, False), (0, 0.0, 0, False)],
)
LABELS = torch.tensor([[2], [5], [8]])


def test_the_best_is_chosen_by_rules_votes_and_halting_probability():
    chosen = choose(HAND_MADE)
    assert chosen.predictions.tolist() == [[2], [5], [8]]
    assert chosen.votes.tolist() == [3, 2, 1]
    assert chosen.halt_probabilities.tolist() == pytest.approx([0.2, 0.5, 0.1])
    assert chosen.keeps_rules.tolist() == [False, False, True]
    assert chosen.num_samples.tolist() == [5, 5, 3]
    assert chosen.segments.tolist() == [20, 15, 6]
    first_two = choose(HAND_MADE, 2)
    assert first_two.predictions.tolist() == [[3], [5], [7]]
    assert first_two.votes.tolist() == [1, 1, 2] and first_two.segments.tolist() == [8, 3, 4]
    with pytest.raises(ValueError, match="num_samples=6 is not allowed; 1 to 5 were drawn"):
        choose(HAND_MADE, 6)


def test_accuracy_against_compute_comes_from_one_run():
    points = [point.as_dict() for point in compute_curve(HAND_MADE, LABELS)]
    assert [point["max_samples"] for point in points] == [1, 2, 4, 5]
    # chosen: 3 4 7, then 3 5 7, then 3 5 8, then 2 5 8
    assert [point["exact_accuracy"] for point in points] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [point["cell_accuracy"] for point in points] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert [point["keeps_rules"] for point in points] == pytest.approx([0, 0, 1 / 3, 1 / 3])
    assert [point["total_segments"] for point in points] == [7, 15, 32, 41]
    assert [point["mean_segments"] for point in points] == pytest.approx([7 / 3, 5, 32 / 3, 41 / 3])
    assert [point["mean_samples"] for point in points] == pytest.approx([1, 2, 11 / 3, 13 / 3])
    low, high = points[1]["exact_ci95"]
    assert low < 1 / 3 < high
    assert [point.max_samples for point in compute_curve(HAND_MADE, LABELS, budgets=[3])] == [3]
    with pytest.raises(ValueError, match=r"labels have the shape \(3,\); expected \(3, 1\)"):
        compute_curve(HAND_MADE, LABELS[:, 0])


def test_exact_and_cell_accuracy_are_not_the_same():
    puzzles = unique_puzzles(10)
    stub = Stub(lambda board: torch.where(torch.arange(16) < 4, 2, solutions(board)[0]))
    (point,) = compute_curve(draw(stub, puzzles, 1), puzzles["labels"])
    assert point.exact_accuracy == 0 and point.cell_accuracy == pytest.approx(13 / 16)


def test_a_point_of_the_curve_is_what_a_run_with_that_budget_gives():
    puzzles = unique_puzzles(30)
    make = lambda: Stub(right_if(lambda board: board[board > 1][0] == 2))  # noqa: E731
    curve = compute_curve(draw(make(), puzzles, 8), puzzles["labels"])
    for point in curve:
        chosen = solve_with_samples(make().solve, puzzles, SUDOKU, Accelerator(cpu=True), point.max_samples)
        assert chosen.segments.sum() == point.total_segments
        assert (chosen.predictions == puzzles["labels"]).all(1).double().mean() == point.exact_accuracy
    assert curve[0].exact_accuracy < curve[-1].exact_accuracy
    # here, answers that keep the rules are right
    assert all(point.keeps_rules == point.exact_accuracy for point in curve)


def test_two_processes_draw_what_one_does(tmp_path, launch):
    script = tmp_path / "draw.py"
    script.write_text(
        f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from accelerate import Accelerator
from test_test_time_compute import SUDOKU, Stub, draw_samples, right_if, unique_puzzles

accelerator, stub = Accelerator(cpu=True), Stub(right_if(lambda board: board[board > 1][0] == 2))
samples = draw_samples(stub.solve, unique_puzzles(7), SUDOKU, accelerator, 4)
result = [accelerator.num_processes, len(stub.boards), samples.predictions.tolist(), samples.segments.tolist()]
open(f"{tmp_path}/{{accelerator.process_index}}.json", "w").write(json.dumps(result))
accelerator.wait_for_everyone()
accelerator.end_training()
"""
    )
    done = launch(script, processes=2)
    assert done.returncode == 0, done.stderr
    one, other = (json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2))
    stub = Stub(right_if(lambda board: board[board > 1][0] == 2))
    alone = draw(stub, unique_puzzles(7), 4)
    assert one[0] == other[0] == 2 and one[1] + other[1] == len(stub.boards) and one[1] and other[1]
    assert one[2] == other[2] == alone.predictions.tolist()
    assert one[3] == other[3] == alone.segments.tolist()


# --- refusals


@pytest.mark.parametrize(
    ("processor", "options", "message"),
    [
        (SUDOKU, {"num_samples": 0}, "num_samples=0 is not allowed"),
        (SUDOKU, {"num_samples": 2, "samples_at_once": 0}, "samples_at_once=0 is not allowed"),
        (SUDOKU, {"num_samples": 2, "noise_std": -1.0}, "noise_std=-1.0 is not allowed"),
        (SUDOKU, {"num_samples": 2, "symmetries": False}, "All of num_samples=2 would be equal"),
        (HRMGridProcessor("sudoku", 4, 4, 1, 4), {"num_samples": 2}, "boxes of 2x2, but these have 1x4"),
        (HRMGridProcessor.for_arc(), {"num_samples": 2}, "let them vote with hrm_hf.puzzles.arc.evaluation.vote"),
    ],
)
def test_what_cannot_be_drawn_is_refused(processor, options, message):
    with pytest.raises(ValueError, match=message):
        draw(Stub(lambda board: board), unique_puzzles(1), processor=processor, **options)


def test_no_puzzle_is_refused():
    puzzles = {"input_ids": torch.zeros(0, 16, dtype=torch.long), "puzzle_identifiers": torch.zeros(0).long()}
    with pytest.raises(ValueError, match="There are no puzzles to solve"):
        draw(Stub(lambda board: board), puzzles, 1)


def test_arc_has_no_rules_to_stop_by(small_config):
    torch.manual_seed(0)
    processor = HRMGridProcessor.for_arc()
    puzzles = dict(processor([[[1, 2], [3, 4]]]))
    model = HRMForGridTask(small_config(vocab_size=12, max_position_embeddings=900)).eval()
    samples = draw(model.solve, puzzles, 2, processor, symmetries=False, noise_std=0.5, max_segments=1)
    assert (samples.segments == 1).all() and not samples.keeps_rules.any()
