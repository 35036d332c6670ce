"""Depth that grows during training, and what the log says of the time that a run takes."""

import itertools
import json
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from configuration_hrm import HRMConfig
from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.text.build import build_text
from hrm_hf.training import loop
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.carry_pool import CarryPool
from hrm_hf.training.compilation import CompileWatch
from hrm_hf.training.growth import Growth
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.meter import Meter, TrainingClock
from hrm_hf.utils.cuda_graph import GraphedCall, shapes_of
from tests.tiny import NETWORK
from train_accelerate import main


TRAIN = Path(__file__).parent.parent / "train_accelerate.py"
TINY = NETWORK | {
    "halt_max_steps": 6,
    "H_cycles": 2,
    "puzzle_emb_ndim": 32,
    "batch_size": 16,
    "max_steps": 20,
    "warmup_steps": 2,
    "learning_rate": 1e-3,
    "log_steps": 4,
    "eval_steps": 1000,
    "max_eval_rows": 8,
    "checkpoint_minutes": None,
    "cpu_threads": 1,
}
GROWS = {
    "grow_halt_max_steps": "1 until 0.2, 3 until 0.5",
    "grow_H_cycles": "1 until 0.25",
    "grow_gradient_depth": "all_cycles until 0.5",
}


def log_of(run: Path) -> list[dict]:
    """The log, without what depends on the machine."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith(("minutes", "memory_gb", "_per_s"))} for line in lines]


def changes_of(run: Path) -> dict[int, tuple]:
    """Steps from which on the log has other values."""
    names = ("halt_max_steps", "H_cycles", "gradient_depth")
    return {line["step"]: tuple(line.get(name) for name in names) for line in log_of(run) if names[0] in line}


def depth_at_steps(run) -> list[tuple]:
    """Where the values that each step is made with will be noted."""
    seen, forward = [], run.task.forward

    def noting(network, batch):
        config = run.model.config
        seen.append((config.halt_max_steps, config.H_cycles, config.gradient_depth))
        return forward(network, batch)

    run.task.forward = noting
    return seen


# --- the option


def growth_of(**options: str) -> Growth:
    words = [f"--grow_{name}={text}" for name, text in options.items()]
    _, _, args = parse_recipe(["--dataset", "d", "--output_dir", "o", *words])
    return Growth(args.stages(), HRMConfig(halt_max_steps=16, H_cycles=3))


def test_values_hold_until_their_share_of_the_run_and_then_the_field_itself():
    growth = growth_of(halt_max_steps="2 until 0.2,4 until 0.5, 8 until 0.8", gradient_depth="last_step until 0.3")
    assert growth.final == {"halt_max_steps": 16, "gradient_depth": "last_step"}
    of_ten = [growth.values(step / 10)["halt_max_steps"] for step in range(10)]
    assert of_ten == [2, 2, 4, 4, 4, 8, 8, 8, 16, 16]
    assert growth.values(1.01)["halt_max_steps"] == 16  # a run by the clock may end a little late


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("halt_max_steps", "2, 4 until 0.5", "'2, 4 until 0.5' is not allowed; .* such as '2 until 0.2, 4 until 0.5'"),
        ("halt_max_steps", "0.2:2", "grow_halt_max_steps='0.2:2' is not allowed; it must be values of halt_max_steps"),
        ("H_cycles", "two until 0.5", "grow_H_cycles='two until 0.5' is not allowed"),
        ("H_cycles", "1 until half", "grow_H_cycles='1 until half' is not allowed"),
        ("L_cycles", "1 until 1.5", "has the fraction 1.5, but a fraction must be above 0 and below 1"),
        ("L_cycles", "1 until 1", "has the fraction 1, but a fraction must be above 0 and below 1"),
        ("L_cycles", "1 until -0.5", "has the fraction -0.5, but a fraction must be above 0 and below 1"),
        ("L_cycles", "1 until nan", "has the fraction nan, but a fraction must be above 0 and below 1"),
        ("halt_max_steps", "2 until 0.5, 4 until 0.5", "has the fraction 0.5 after 0.5, but fractions must ascend"),
        ("halt_max_steps", "0 until 0.5", "a value that is not allowed: HRMConfig: halt_max_steps=0 is not allowed"),
        ("gradient_depth", "3 until 0.5", "gradient_depth='3' is not allowed; it must be 'last_step' or 'last_cycle'"),
    ],
)
def test_a_bad_growth_is_one_sentence(name, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        growth_of(**{name: text})
    assert "\n" not in str(raised.value)


def test_a_field_that_cannot_grow_is_an_unknown_option(recipe):
    with pytest.raises(ValueError, match="unknown option 'grow_hidden_size'"):
        parse_recipe([recipe(grow_hidden_size="16 until 0.5")])


# --- the run


def test_steps_have_the_values_of_their_share_and_the_log_says_when_they_change(recipe, tmp_path):
    run = prepare(*parse_recipe([recipe(**GROWS)]))
    seen = depth_at_steps(run)
    train(run)
    expected = [(1, 1, "all_cycles")] * 4 + [(3, 1, "all_cycles")] + [(3, 2, "all_cycles")] * 5
    expected += [(6, 2, "last_step")] * 10
    assert seen == expected
    assert changes_of(tmp_path / "run") == {step: expected[step - 1] for step in (1, 5, 6, 11)}
    # lines end where values change, so that none is of two depths
    training = [line for line in log_of(tmp_path / "run") if "loss" in line]
    assert [line["step"] for line in training] == [4, 5, 8, 10, 12, 16, 20]
    assert [line["mean_steps"] for line in training[:1]] == [1]  # every segment is a puzzle of its own


def test_evaluations_and_the_saved_model_have_the_final_values(recipe, tmp_path):
    run = prepare(*parse_recipe([recipe(**GROWS, eval_steps=3, eval_H_cycles=5, keep_best=True)]))
    seen, evaluate = [], run.task.evaluate

    def noting(model, *args):
        seen.append((model.config.halt_max_steps, model.config.H_cycles, model.config.gradient_depth))
        return evaluate(model, *args)

    run.task.evaluate = noting
    train(run)
    assert seen == [(6, 5, "last_step")] * 7
    for name in ("model", "best_model"):
        config = load_checkpoint(str(tmp_path / "run" / name))[0].config
        assert (config.halt_max_steps, config.H_cycles, config.gradient_depth) == seen[0]
    lines = [line for line in log_of(tmp_path / "run") if "eval_max_segments" in line]
    assert {line["eval_max_segments"] for line in lines} == {6}


def test_a_moving_average_is_evaluated_with_the_final_values_too(recipe, tmp_path):
    run = prepare(*parse_recipe([recipe(**GROWS, eval_steps=3, ema_decay=0.9, max_steps=4)]))
    train(run)
    assert {line["eval_max_segments"] for line in log_of(tmp_path / "run") if "eval_n" in line} == {6}


def test_shares_are_of_the_minutes_where_the_learning_rate_follows_them(recipe, monkeypatch):
    run = prepare(*parse_recipe([recipe(**GROWS, schedule_by_minutes=True, max_minutes=10.0)]))
    seen = depth_at_steps(run)
    # a minute a step, whatever has gone on
    monkeypatch.setattr(TrainingClock, "minutes", lambda clock: float(len(seen)))
    train(run)
    assert [segments for segments, _, _ in seen] == [1, 1, 3, 3, 3, 6, 6, 6, 6, 6]


class Interruption(Exception):
    pass


@pytest.mark.parametrize("halting", ["q_learning", "lean"])
@pytest.mark.parametrize("broken_in", [5, 6, 12])  # the first step of another depth, twice; and far from one
def test_a_resumed_run_ends_as_one_that_was_never_stopped(recipe, tmp_path, halting, broken_in):
    options = GROWS | {"halting": halting, "batches_in_work": 2, "staggered_start": True, "checkpoint_steps": 1}
    path = recipe(**options)
    whole = recipe(**options, output_dir=str(tmp_path / "whole"))
    assert main([whole]) == 0
    run = prepare(*parse_recipe([path]))
    forward, count = run.task.forward, itertools.count(1)

    def failing(network, batch):
        if next(count) == broken_in:
            raise Interruption
        return forward(network, batch)

    run.task.forward = failing
    with pytest.raises(Interruption):
        train(run)
    assert main([path, "--resume", "auto"]) == 0
    expected, found = (load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "run")


def test_a_run_goes_on_without_what_grew(recipe, tmp_path):
    with pytest.raises(Interruption):
        run = prepare(*parse_recipe([recipe(**GROWS, checkpoint_steps=1)]))
        run.task.evaluate = lambda *args: (_ for _ in ()).throw(Interruption())
        run.args.eval_steps = 3
        train(run)
    run = prepare(*parse_recipe([recipe(checkpoint_steps=1), "--resume", "auto"]))
    seen = depth_at_steps(run)
    train(run)
    assert set(seen) == {(6, 2, "last_step")}


def test_a_checkpoint_without_times_is_refused_in_one_sentence(recipe, tmp_path, capsys):
    assert main([recipe(checkpoint_steps=2, max_steps=2, eval_steps=2)]) == 0
    assert main([recipe(checkpoint_steps=1, max_steps=2, output_dir=str(tmp_path / "old"))]) == 0
    old = tmp_path / "old/checkpoints/step_00000001"
    own = torch.load(old / "process_00000.pt", weights_only=True)
    del own["clock"]
    torch.save(own, old / "process_00000.pt")
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["sha256"].pop("process_00000.pt")
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert main([recipe(max_steps=3, output_dir=str(tmp_path / "new")), "--resume", str(old)]) == 1
    error = capsys.readouterr().err
    assert "is from an older version of hrm-hf, which did not keep compilation times" in error
    assert "Traceback" not in error


def losses_of(run: Path) -> list[float]:
    return [line["loss"] for line in log_of(run) if "loss" in line]


def test_a_batch_in_parts_grows_as_a_whole_one(recipe, tmp_path):
    for parts in (1, 4):
        options = GROWS | {"halt_exploration_prob": 0.0, "log_steps": 1, "output_dir": str(tmp_path / f"{parts}")}
        train(prepare(*parse_recipe([recipe(**options, gradient_accumulation_steps=parts)])))
    assert changes_of(tmp_path / "4") == changes_of(tmp_path / "1")
    assert losses_of(tmp_path / "4") == pytest.approx(losses_of(tmp_path / "1"), rel=1e-5)


def test_two_processes_grow_as_one(recipe, launch, tmp_path):
    for processes in (1, 2):
        options = GROWS | {"halt_exploration_prob": 0.0, "log_steps": 1, "output_dir": str(tmp_path / f"{processes}")}
        process = launch(TRAIN, recipe(**options), processes=processes)
        assert process.returncode == 0, process.stderr[-3000:]
    assert changes_of(tmp_path / "2") == changes_of(tmp_path / "1")
    assert losses_of(tmp_path / "2") == pytest.approx(losses_of(tmp_path / "1"), rel=1e-5)


def test_text_grows_from_one_segment_to_several(tmp_path):
    text = tmp_path / "book.txt"
    text.write_text("\n\n".join(f"The king said {number} words to the queen." for number in range(300)))
    build_text(tmp_path / "text", [str(text)], train_bpe=300, block_size=32, document_separator=r"\n\n")
    options = TINY | {"task": "text", "dataset": str(tmp_path / "text"), "eval_split": "validation"}
    options |= {"halt_max_steps": 2, "token_loss": "softmax", "batch_size": 4, "max_steps": 8, "eval_steps": 2}
    options |= {"grow_halt_max_steps": "1 until 0.5", "output_dir": str(tmp_path / "run")}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({k: v for k, v in options.items() if v is not None}))
    assert main([str(tmp_path / "r.yaml")]) == 0
    log = log_of(tmp_path / "run")
    # with one segment there is none after it to be worth going on for
    assert ["q_continue_loss" in line for line in log if "loss" in line] == [False, True]
    assert [line["step"] for line in log if "halt_max_steps" in line] == [1, 5]
    assert {line["eval_mean_segments"] for line in log if "eval_mean_segments" in line} <= {2.0}
    assert json.loads((tmp_path / "run/model/config.json").read_text())["halt_max_steps"] == 2


# --- sequences in work when the limit changes


def halts_of_steps(recipe, max_steps: int, **options) -> list[int]:
    """How many sequences of each step halt, in a run whose halting head never stops one."""
    run = prepare(*parse_recipe([recipe(halt_exploration_prob=0, max_steps=max_steps, **options)]))
    halts, steps = [], []

    def note(module, args, output):
        if module.training:
            halts.append(int(output.carry.halted.sum()))
            steps.append(int(output.carry.steps.max()))

    run.model.register_forward_hook(note)
    train(run)
    return halts, steps


def test_sequences_in_work_go_on_when_the_limit_rises(recipe):
    halts, steps = halts_of_steps(recipe, 9, grow_halt_max_steps="2 until 0.34", halt_max_steps=5)
    # two segments, then one of the next puzzles when the limit rises, which have five in all
    assert steps == [1, 2, 1, 2, 1, 2, 3, 4, 5]
    assert halts == [0, 16, 0, 16, 0, 0, 0, 0, 16]


def test_sequences_that_are_beyond_a_lower_limit_halt_with_the_next_segment(recipe):
    halts, steps = halts_of_steps(recipe, 8, grow_halt_max_steps="6 until 0.5", halt_max_steps=2)
    assert steps == [1, 2, 3, 4, 5, 1, 2, 1]
    assert halts == [0, 0, 0, 0, 16, 0, 16, 0]


def test_halts_are_spread_anew_when_the_limit_changes(recipe):
    options = {"grow_halt_max_steps": "2 until 0.25", "halt_max_steps": 4, "batch_size": 60, "staggered_start": True}
    halts, _ = halts_of_steps(recipe, 16, **options)
    # a quarter of 60 a step; without spreading them none and half of them by turns
    assert all(5 < halted < 28 for halted in halts[5:]), halts


def test_the_first_sequences_are_spread_over_the_limit_of_the_time(small_model, batch):
    model = small_model().train()
    pool = CarryPool(2, staggered_start=True, config=model.config)
    is_finite = torch.tensor(False)
    for limit in (2, 100):
        model.config.halt_max_steps = limit
        carry = model(**batch, carry=pool.take()).carry
        pool.put(carry, is_finite)
    of_first, of_second = pool.fields["steps"]
    assert of_first.max() <= 2 < of_second.max()


# --- recorded and compiled steps


class Recorder:
    """In the place of CUDA graphs: what would be recorded at the first call with each shape, and forgotten."""

    def __init__(self, function, prepare=None):
        self.function, self.calls, self.recorded = function, [], set()

    def __call__(self, batch):
        self.calls.append(self.has_recorded(batch))
        self.recorded.add(shapes_of(batch))
        self.function(batch)

    def has_recorded(self, batch):
        return shapes_of(batch) in self.recorded

    def forget(self):
        self.recorded = set()


def test_a_recorded_step_is_recorded_anew_when_a_value_changes(recipe, monkeypatch):
    recorders = []
    monkeypatch.setattr(loop, "GraphedCall", lambda *args, **kwargs: recorders.append(Recorder(*args)) or recorders[0])
    run = prepare(*parse_recipe([recipe(**GROWS)]))
    run.args.cuda_graph = True  # what is prepared stays as it is
    train(run)
    (recorder,) = recorders
    assert [step for step, is_replayed in enumerate(recorder.calls, start=1) if not is_replayed] == [1, 5, 6, 11]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_that_is_forgotten_is_recorded_anew():
    factor, total = [2.0], torch.zeros(3, device="cuda")

    def add(inputs):
        total.add_(inputs["x"] * factor[0])

    call = GraphedCall(add, warmup_calls=1)
    inputs = {"x": torch.ones(3, device="cuda")}
    for _ in range(3):
        call(inputs)
    factor[0] = 10.0
    call(inputs)
    assert call.has_recorded(inputs) and total.tolist() == [8.0] * 3  # the value of before is in the recording
    call.forget()
    for _ in range(3):
        call(inputs)
    assert call.has_recorded(inputs) and total.tolist() == [38.0] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_inputs_of_several_shapes_have_their_own_cuda_graphs():
    weights = {kind: torch.ones(64, 64, device="cuda", requires_grad=True) for kind in ("plain", "recorded")}

    def descend(weight, inputs):
        weight.grad = None
        (inputs["x"] @ weight).tanh().mean().backward()
        with torch.no_grad():
            weight -= weight.grad

    call = GraphedCall(
        lambda inputs: descend(weights["recorded"], inputs),
        warmup_calls=2,
        prepare=lambda: setattr(weights["recorded"], "grad", None),
    )
    generator = torch.Generator("cuda").manual_seed(0)
    sizes = [5, 300, 5, 5, 5, 300, 5, 300, 300, 5, 1000, 300, 1000, 5, 1000, 300, 5, 1000]
    for size in sizes:
        inputs = {"x": torch.randn(size, 64, device="cuda", generator=generator)}
        descend(weights["plain"], inputs)
        call(inputs)
        torch.testing.assert_close(weights["recorded"], weights["plain"])
    assert len(call.recordings) == 3 and call.has_recorded(inputs)
    assert len({recording.graph.pool() for recording in call.recordings.values()}) == 1
    call.forget()
    assert not call.has_recorded(inputs)
    for size in sizes:
        inputs = {"x": torch.randn(size, 64, device="cuda", generator=generator)}
        descend(weights["plain"], inputs)
        call(inputs)
    torch.testing.assert_close(weights["recorded"], weights["plain"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_growing_run_learns_the_same_with_cuda_graphs(recipe, tmp_path):
    for graph in (False, True):
        options = GROWS | {"halt_exploration_prob": 0.0, "log_steps": 1, "max_steps": 60, "halting": "lean"}
        options |= {"puzzle_emb_ndim": 0, "cuda_graph": graph, "output_dir": str(tmp_path / str(graph))}
        train(prepare(*parse_recipe([recipe(**options)])))
    assert losses_of(tmp_path / "True") == pytest.approx(losses_of(tmp_path / "False"), rel=1e-3)


def test_what_is_compiled_for_a_new_depth_counts_as_compilation(recipe, tmp_path, monkeypatch):
    torch.compiler.reset()
    slow_step = []

    def backend(graph, example_inputs):
        time.sleep(0.05)
        slow_step.append(len(seen))
        return graph

    # what is compiled does not matter here, and the real backend takes half a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    grows = {"grow_H_cycles": "1 until 0.4", "grow_halt_max_steps": "2 until 0.7", "halting": "lean", "L_cycles": 1}
    run = prepare(*parse_recipe([recipe(**grows, compile=True, log_steps=1, warmup_steps=0)]))
    seen = depth_at_steps(run)
    train(run)
    torch.compiler.reset()
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    compiled = {line["step"]: 60 * line["compile_minutes"] for line in lines if "loss" in line}
    for step in range(2, 20):  # the evaluation after the last one compiles, too
        pieces = slow_step.count(step)
        if pieces == 0:
            assert compiled[step] == compiled[step - 1]
        else:
            assert compiled[step] - compiled[step - 1] >= 0.05 * pieces
    assert compiled[1] >= 0.05 and slow_step.count(9) > 0  # with two H cycles the first runs without gradient
    # segments are none of compiled code's business
    assert not {*range(3, 9), *range(11, 20)} & {*slow_step}


def test_the_clock_tells_apart_where_the_time_goes():
    clock = TrainingClock()
    with clock.paused(evaluates=True):
        time.sleep(0.02)
    with clock.paused():
        time.sleep(0.01)
    graphed = Recorder(lambda batch: time.sleep(0.03))
    watch = CompileWatch(clock, False, graphed, has_kernels=False)
    for _ in range(3):
        with watch.step({}):
            graphed({})
    found = {name: 60 * minutes for name, minutes in clock.record().items()}
    assert 0.03 <= found["compile_minutes"] < 0.06 <= found["minutes"] - found["compile_minutes"]
    assert found["evaluation_minutes"] >= 0.02
    assert found["total_minutes"] - found["minutes"] - found["evaluation_minutes"] >= 0.01
    later = TrainingClock()
    later.restore(clock.state())
    assert later.record() == pytest.approx(clock.record(), abs=0.01 / 60)


def test_speeds_are_of_the_steps_that_do_not_compile():
    meter = Meter(Accelerator(cpu=True), lambda totals, seconds: {"per_s": totals["sequences"] / seconds})
    clock, zero = TrainingClock(), torch.tensor(0.0)

    def take_steps(seconds: float, compiles: bool, steps: int = 1):
        for _ in range(steps):
            clock.start -= seconds
            clock.compile_minutes += seconds / 60 * compiles
            clock.compile_steps += compiles
            meter.add({"sequences": torch.tensor(10.0)}, zero, zero.bool())

    take_steps(100.0, compiles=True)
    take_steps(2.0, compiles=False, steps=4)
    assert meter.read(clock)["per_s"] == pytest.approx(5.0, rel=0.05)
    take_steps(2.0, compiles=False)
    assert meter.read(clock)["per_s"] == pytest.approx(5.0, rel=0.05)
    take_steps(100.0, compiles=True)  # nothing else to go by
    assert meter.read(clock)["per_s"] == pytest.approx(0.1, rel=0.05)


def test_the_first_steps_of_kernels_count_as_compilation_for_every_shape():
    clock = TrainingClock()
    watch = CompileWatch(clock, False, None, has_kernels=True)
    counted = []
    for size in (2, 2, 3, 2, 3):
        before = clock.compile_minutes
        with watch.step({"input_ids": torch.zeros(size)}):
            time.sleep(0.001)
        counted.append(clock.compile_minutes > before)
    assert counted == [True, False, True, False, False]


def test_a_result_says_where_the_time_went(recipe, tmp_path):
    assert main([recipe(max_steps=4, eval_steps=2)]) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["compile_minutes"] == 0  # nothing is compiled
    assert result["total_minutes"] == pytest.approx(result["train_minutes"] + result["evaluation_minutes"], rel=1e-2)


def test_the_first_step_of_each_shape_counts_as_compilation():
    clock = TrainingClock()
    graphed = Recorder(lambda batch: None)
    watch = CompileWatch(clock, False, graphed, has_kernels=False)
    counts = []
    for size in (3, 3, 5, 3, 5):
        with watch.step({"x": torch.zeros(size)}):
            graphed({"x": torch.zeros(size)})
        counts.append(clock.compile_steps)
    assert counts == [1, 1, 2, 2, 2]
