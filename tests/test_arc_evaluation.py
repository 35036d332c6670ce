"""ARC scoring: votes, ranks and pass@K against values computed by hand, and end to end with known predictions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from accelerate import Accelerator

from hrm_hf.puzzles.arc.evaluation import (
    ArcAnswer,
    draw_answers,
    score,
    submission,
    vote,
    write_pictures,
    write_submission,
)
from hrm_hf.puzzles.arc.plans import Plans, make_plans
from hrm_hf.puzzles.arc.puzzles import ArcPuzzles, puzzle_names
from hrm_hf.puzzles.arc.tasks import UNKNOWN, ArcPair, ArcTask
from hrm_hf.puzzles.voting import Candidate, Votes
from modeling_hrm import HRMForGridTask, HRMSolveOutput
from processing_hrm import HRMGridProcessor


ROOT = Path(__file__).parent.parent
CANVAS = HRMGridProcessor.for_arc()


def grid(*rows: str) -> np.ndarray:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


WRONG, OTHER = grid("777"), grid("8", "8")


def task(name: str, seed: int, tests: int = 1) -> ArcTask:
    """An evaluation task of random pairs without symmetry."""
    random = np.random.default_rng(seed)
    pairs = [ArcPair(*random.integers(0, 10, (2, 3, 4)).astype(np.uint8)) for _ in range(2 + tests)]
    return ArcTask(name, "tests", "evaluation", tuple(pairs[:2]), tuple(pairs[2:]))


def arc_puzzles(*tasks: ArcTask, num_aug: int = 7) -> ArcPuzzles:
    """Their test split, with identifiers from 11."""
    plans = [make_plans(each, num_aug, seed=0) for each in tasks]
    assert all(len(symmetries) == 1 + num_aug for symmetries, _ in plans)
    count = len(tasks) * (1 + num_aug)
    return ArcPuzzles(
        list(tasks),
        Plans(
            tasks=np.repeat(np.arange(len(tasks), dtype=np.int32), 1 + num_aug),
            symmetries=np.concatenate([symmetries for symmetries, _ in plans]),
            colors=np.concatenate([colors for _, colors in plans]),
            identifiers=np.arange(11, 11 + count, dtype=np.int32),
        ),
        "test",
    )


class Stub:
    """Gives fixed predictions, under the augmentation of each puzzle.

    Args:
        puzzles: all known puzzles.
        predict: from group, member and test input to the grid to predict, before augmentation, or `None` for a
            prediction without a grid, and the halting probability.
    """

    def __init__(self, puzzles: ArcPuzzles, predict: Callable[[int, int, int], tuple[np.ndarray | None, float]]):
        self.calls: list[dict] = []
        self.known = {}
        for row in range(puzzles.num_examples):
            place = tuple(int(part[0]) for part in puzzles.locate(np.array([row])))
            batch = puzzles.batch(*(np.array([part]) for part in place))
            answer, probability = predict(*place)
            tokens = torch.ones(900, dtype=torch.long)
            if answer is not None:
                (tokens,) = CANVAS(puzzles.plan(*place[:2]).apply(answer))["input_ids"]
            key = (batch["puzzle_identifiers"].item(), tuple(batch["input_ids"][0].tolist()))
            self.known[key] = (tokens, probability)

    def solve(self, input_ids, puzzle_identifiers, **options) -> HRMSolveOutput:
        self.calls.append({"size": len(input_ids), "identifiers": puzzle_identifiers.tolist(), **options})
        rows = zip(puzzle_identifiers.tolist(), input_ids.tolist(), strict=True)
        predictions, probabilities = zip(*(self.known[number, tuple(cells)] for number, cells in rows), strict=True)
        return HRMSolveOutput(
            predictions=torch.stack(predictions),
            segments=torch.full((len(input_ids),), 3),
            halt_probabilities=torch.tensor(probabilities),
        )


def votes_of(puzzles: ArcPuzzles, predict, **options) -> list[ArcAnswer]:
    return vote(Stub(puzzles, predict).solve, puzzles, CANVAS, Accelerator(cpu=True), **options)


def tops(answer: ArcAnswer) -> list[tuple[list, int]]:
    return [(each.answer.tolist(), each.votes) for each in answer.attempts]


# --- votes


def test_candidates_are_ranked_by_votes_and_then_by_mean_halting_probability():
    votes = Votes()
    for answer, probability in [(1, 0.9), (2, 0.1), (3, 0.5), (2, 0.2), (3, 0.3), (4, 0.9)]:
        votes.add(np.array([[answer]]), probability)
    ranked = [(each.answer.item(), each.votes, each.halt_probability) for each in votes.ranked()]
    # 3 and 2 have two votes, with means of 0.4 and 0.15; 1 came before its equal 4
    expected = [(3, 2, 0.4), (2, 2, 0.15), (1, 1, 0.9), (4, 1, 0.9)]
    assert [entry[:2] for entry in ranked] == [entry[:2] for entry in expected]
    assert [entry[2] for entry in ranked] == pytest.approx([entry[2] for entry in expected])


def test_grids_of_one_content_and_two_shapes_are_two_candidates():
    votes = Votes()
    for answer in (grid("11"), grid("1", "1"), grid("11")):
        votes.add(answer, 0.5)
    assert [each.votes for each in votes.ranked()] == [2, 1]


def test_an_answer_that_keeps_the_rules_is_before_all_others():
    votes = Votes()
    for answer, probability, keeps_rules in [(1, 0.9, False), (1, 0.9, False), (2, 0.1, True)]:
        votes.add(np.array([answer]), probability, keeps_rules)
    assert [each.answer.item() for each in votes.ranked()] == [2, 1]


# --- end to end with known predictions


def test_right_predictions_of_all_augmentations_are_one_candidate():
    tasks = task("a", 1, tests=2), task("b", 2)
    puzzles = arc_puzzles(*tasks)
    answers = votes_of(puzzles, lambda group, member, test: (tasks[group].test[test].output, 0.75))
    assert [(each.task, each.test, each.rank) for each in answers] == [("a", 0, 1), ("a", 1, 1), ("b", 0, 1)]
    for each in answers:
        truth = tasks["ab".index(each.task)].test[each.test].output
        assert tops(each) == [(truth.tolist(), 8)]
        assert (each.num_votes, each.num_candidates, each.segments) == (8, 1, 24)
        assert each.attempts[0].halt_probability == 0.75
    scores = score(answers).as_dict()
    assert scores["n_tasks"] == 2 and scores["n_test_inputs"] == 3 and scores["num_predictions"] == 24
    assert {scores[f"{rule}_pass@{k}"] for rule in ("hrm", "trm") for k in (1, 2, 10, 100, 1000)} == {1.0}
    assert scores["mean_segments"] == 3


def test_wrong_predictions_solve_nothing():
    puzzles = arc_puzzles(task("a", 1))
    (answer,) = votes_of(puzzles, lambda *_: (WRONG, 0.5))
    assert answer.rank is None and tops(answer) == [(WRONG.tolist(), 8)]
    scores = score([answer]).as_dict()
    assert {scores[f"{rule}_pass@{k}"] for rule in ("hrm", "trm") for k in (1, 1000)} == {0.0}


def test_half_of_the_augmentations_wrong():
    one = task("a", 1)
    puzzles = arc_puzzles(one)
    truth = one.test[0].output

    def equally_wrong(group, member, test):
        # 4 votes each: the more certain one is first
        return (WRONG, 0.25) if member % 2 else (truth, 0.5)

    def more_often_wrong(group, member, test):
        return (truth, 0.9) if member < 3 else (WRONG, 0.1)

    def wrong_in_several_ways(group, member, test):
        return (truth, 0.1) if member < 3 else (grid(str(member)), 0.9)

    (answer,) = votes_of(puzzles, equally_wrong)
    assert tops(answer) == [(truth.tolist(), 4), (WRONG.tolist(), 4)] and answer.rank == 1
    (answer,) = votes_of(puzzles, more_often_wrong)
    assert tops(answer) == [(WRONG.tolist(), 5), (truth.tolist(), 3)] and answer.rank == 2
    scores = score([answer])
    assert (scores.hrm_pass_at[1], scores.hrm_pass_at[2]) == (0.0, 1.0)
    (answer,) = votes_of(puzzles, wrong_in_several_ways)
    assert answer.rank == 1 and answer.num_candidates == 6 and tops(answer)[0] == (truth.tolist(), 3)


def test_predictions_are_mapped_back_before_they_are_compared():
    one = task("a", 1)
    puzzles = arc_puzzles(one)
    truth = one.test[0].output

    def ignores_the_augmentation(group, member, test):
        # the stub augments the inverse of the truth, so it predicts the truth itself
        return puzzles.plan(group, member).invert(truth), 0.5

    (answer,) = votes_of(puzzles, ignores_the_augmentation)
    # only the original task is right; all others are other candidates
    assert answer.num_candidates == 8 and answer.rank == 1 and tops(answer)[0] == (truth.tolist(), 1)


def test_a_prediction_without_a_grid_is_ranked_but_no_attempt():
    one = task("a", 1)
    truth = one.test[0].output
    (answer,) = votes_of(arc_puzzles(one), lambda group, member, test: (None if member < 5 else truth, 0.5))
    # as in the original, the empty grid takes the first place
    assert answer.rank == 2 and answer.num_candidates == 2 and tops(answer) == [(truth.tolist(), 3)]


def test_the_answer_does_not_depend_on_the_batch_size():
    tasks = task("a", 1, tests=2), task("b", 2), task("c", 3, tests=3)
    puzzles = arc_puzzles(*tasks)

    def predict(group, member, test):
        return [tasks[group].test[test].output, WRONG, OTHER][(group + member * member + test) % 3], member / 10

    def summary(batch_size):
        answers = votes_of(puzzles, predict, batch_size=batch_size)
        return [(each.task, each.test, each.rank, tops(each), each.num_votes) for each in answers]

    assert len({entry[2] for entry in summary(1000)}) > 1
    assert summary(1000) == summary(5) == summary(1)


def test_the_options_of_solve_are_handed_on_and_augmentations_can_be_left_out():
    puzzles = arc_puzzles(task("a", 1, tests=2))
    stub = Stub(puzzles, lambda *_: (WRONG, 0.5))
    answers = vote(
        stub.solve,
        puzzles,
        CANVAS,
        Accelerator(cpu=True),
        batch_size=4,
        max_segments=5,
        early_stop=False,
        halt_threshold=0.9,
        num_augmentations=2,
        num_attempts=1,
    )
    assert [call["size"] for call in stub.calls] == [4, 2]
    assert {call["max_segments"] for call in stub.calls} == {5}
    assert {call["halt_threshold"] for call in stub.calls} == {0.9}
    assert {call["early_stop"] for call in stub.calls} == {False}
    # the original task comes first
    assert stub.calls[0]["identifiers"] == [11, 11, 12, 12]
    assert [each.num_votes for each in answers] == [3, 3]


def test_puzzles_are_told_apart_by_name():
    puzzles = arc_puzzles(task("a", 1))
    stub = Stub(puzzles, lambda *_: (WRONG, 0.5))
    asked = []

    def solve(input_ids, puzzle_identifiers, **options):
        asked.extend(puzzle_identifiers.tolist())
        return stub.solve(input_ids, puzzle_identifiers - 89, **options)

    names = puzzle_names(puzzles.tasks, [puzzles.plans])[11:]
    processor = HRMGridProcessor.for_arc({name: 100 + number for number, name in enumerate(names)})
    vote(solve, puzzles, processor, Accelerator(cpu=True))
    assert asked == list(range(100, 108))
    lacking = HRMGridProcessor.for_arc({name: 100 + number for number, name in enumerate(names[1:])})
    with pytest.raises(ValueError, match=r"^The model does not know 1 of the 8 puzzles \(for example a\)"):
        vote(solve, puzzles, lacking, Accelerator(cpu=True))


def test_what_cannot_be_scored_is_refused():
    puzzles = arc_puzzles(task("a", 1))
    stub, accelerator = Stub(puzzles, lambda *_: (WRONG, 0.5)), Accelerator(cpu=True)
    with pytest.raises(ValueError, match="split 'train'"):
        vote(stub.solve, ArcPuzzles(puzzles.tasks, puzzles.plans, "train"), CANVAS, accelerator)
    with pytest.raises(ValueError, match="processor is for maze"):
        vote(stub.solve, puzzles, HRMGridProcessor.for_maze(), accelerator)
    with pytest.raises(ValueError, match="num_augmentations=-1"):
        vote(stub.solve, puzzles, CANVAS, accelerator, num_augmentations=-1)
    with pytest.raises(ValueError, match="There are no answers"):
        score([])


def test_a_real_model_votes(small_config):
    torch.manual_seed(0)
    puzzles = arc_puzzles(task("a", 1, tests=2), num_aug=3)
    config = small_config(vocab_size=12, max_position_embeddings=900, num_puzzle_identifiers=15)
    model = HRMForGridTask(config).eval()
    answers = vote(model.solve, puzzles, CANVAS, Accelerator(cpu=True), batch_size=3, max_segments=2)
    assert [(each.task, each.test, each.num_votes) for each in answers] == [("a", 0, 4), ("a", 1, 4)]
    assert all(4 <= each.segments <= 8 for each in answers)


def test_two_processes_share_the_tasks(tmp_path, launch):
    script = tmp_path / "vote.py"
    script.write_text(
        f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from accelerate import Accelerator
from test_arc_evaluation import CANVAS, WRONG, Stub, arc_puzzles, task, vote

tasks = task("a", 1, tests=2), task("b", 2), task("c", 3)
puzzles, accelerator = arc_puzzles(*tasks), Accelerator(cpu=True)
stub = Stub(puzzles, lambda group, member, test: (WRONG if group == 1 else tasks[group].test[test].output, 0.5))
answers = vote(stub.solve, puzzles, CANVAS, accelerator, batch_size=5)
result = [accelerator.num_processes, sum(call["size"] for call in stub.calls)]
result.append([(each.task, each.test, each.rank) for each in answers])
open(f"{tmp_path}/{{accelerator.process_index}}.json", "w").write(json.dumps(result))
accelerator.wait_for_everyone()
accelerator.end_training()
"""
    )
    done = launch(script, processes=2)
    assert done.returncode == 0, done.stderr
    results = [json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2)]
    # 8 members: tasks a and c on the first, b on the second
    assert [result[:2] for result in results] == [[2, 24], [2, 8]]
    assert results[0][2] == results[1][2] == [["a", 0, 1], ["a", 1, 1], ["b", 0, None], ["c", 0, 1]]


# --- scores by hand


def answer(task: str, test: int, rank: int | None, *attempts: np.ndarray) -> ArcAnswer:
    candidates = tuple(Candidate(attempt, votes=1, halt_probability=0.5) for attempt in attempts)
    return ArcAnswer(task, test, rank, candidates, num_votes=10, num_candidates=10, segments=40)


def test_a_task_with_several_test_inputs_is_counted_by_both_rules():
    # a: solved at 1 and at 5; b: never and at 2; c: at 101
    answers = [answer("a", 0, 1), answer("a", 1, 5), answer("b", 0, None), answer("b", 1, 2), answer("c", 0, 101)]
    scores = score(answers)
    third = pytest.approx(1 / 3)
    assert scores.hrm_pass_at == {1: 0.0, 2: 0.0, 10: third, 100: third, 1000: pytest.approx(2 / 3)}
    assert scores.trm_pass_at == {
        1: pytest.approx(0.5 / 3),
        2: pytest.approx(1 / 3),
        10: pytest.approx(1.5 / 3),
        100: pytest.approx(1.5 / 3),
        1000: pytest.approx(2.5 / 3),
    }
    assert (scores.n_tasks, scores.n_test_inputs, scores.num_predictions, scores.mean_segments) == (3, 5, 50, 4.0)
    assert score(answers, pass_at=(5,)).as_dict()["hrm_pass@5"] == third


def test_tasks_whose_outputs_are_not_known_are_not_scored():
    known, unknown = task("known", 1), task("unknown", 2)
    unknown = replace(unknown, test=(ArcPair(unknown.test[0].input, UNKNOWN),))

    def predict(group, member, test):
        return (None if group else known.test[0].output), 0.5

    answers = votes_of(arc_puzzles(known, unknown), predict)
    assert [(answer.rank, answer.is_known) for answer in answers][1] == (None, False)
    scores = score(answers).as_dict()
    assert (scores["n_tasks"], scores["n_test_inputs"]) == (1, 1)
    nothing = score(answers[1:]).as_dict()
    assert nothing["n_tasks"] == 0 and "hrm_pass@1" not in nothing
    assert submission(answers).keys() == {"known", "unknown"}
    assert "not known" in draw_answers(unknown, answers[1:]).get_suptitle()


def test_the_metric_for_evaluate_gives_the_same():
    tasks = task("a", 1, tests=2), task("b", 2)
    puzzles = arc_puzzles(*tasks)

    def predict(group, member, test):
        wrong = {0: 0, 1: 5, 2: 3}[group + test * 2]  # how many members are
        return (WRONG if member < wrong else tasks[group].test[test].output), 0.5

    answers = votes_of(puzzles, predict)
    metric = evaluate.load(str(ROOT / "metrics" / "arc_pass_at_k"))
    scores = metric.compute(
        predictions=[[each.answer.tolist() for each in given.attempts] for given in answers],
        references=[pair.output.tolist() for each in tasks for pair in each.test],
        tasks=[given.task for given in answers],
        k=[1, 2],
    )
    assert scores["hrm_pass@1"] == 0.5 and scores["hrm_pass@2"] == 1.0
    ours = score(answers, pass_at=(1, 2)).as_dict()
    assert scores == {name: ours[name] for name in scores}


# --- submission and pictures


def test_a_submission_has_two_attempts_for_every_test_input(tmp_path):
    answers = [answer("a", 1, None, WRONG), answer("a", 0, 1, OTHER, WRONG, OTHER), answer("b", 0, None)]
    write_submission(tmp_path / "submission.json", answers)
    assert json.loads((tmp_path / "submission.json").read_text()) == {
        "a": [
            {"attempt_1": [[8], [8]], "attempt_2": [[7, 7, 7]]},
            {"attempt_1": [[7, 7, 7]], "attempt_2": [[7, 7, 7]]},
        ],
        "b": [{"attempt_1": [[0]], "attempt_2": [[0]]}],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["submission.json"]
    with pytest.raises(ValueError, match="There are no answers"):
        submission([])


def test_a_picture_shows_the_first_two_attempts(tmp_path):
    one = task("a/1", 1, tests=2)
    right = one.test[0].output
    answers = [answer("a/1", 1, None, WRONG), answer("a/1", 0, 2, WRONG, right, OTHER)]
    figure = draw_answers(one, answers)
    assert figure.get_suptitle() == "a/1: 1 of 2 test inputs solved in 2 attempts"
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert sorted(title for title in titles if "attempt" in title) == [
        "attempt 1: wrong",
        "attempt 1: wrong",
        "attempt 2: right",
    ]
    (path,) = write_pictures(tmp_path / "pictures", [one], answers)
    assert path.parent == tmp_path / "pictures" and path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="There are 1 answers for 2 test inputs of a/1"):
        draw_answers(one, answers[:1])
    with pytest.raises(ValueError, match="answers for the task a/1, which is not among the 0 given"):
        write_pictures(tmp_path, [], answers)
