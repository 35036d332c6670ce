"""The training loop: steps of a task, optimizers, evaluation, checkpoints, a saved model.

`prepare` builds and checks everything, `train` is the loop. The tasks define what is trained: `grid_task` and
`text_task`.
"""

import copy
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import FullyShardedDataParallelPlugin, set_seed
from torch import nn
from torch.utils.data import DataLoader, Sampler
from tqdm import tqdm
from transformers import PreTrainedModel

from hrm_hf.checkpoints import load_weights
from hrm_hf.puzzles.draws import Draws
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.average import MovingAverage
from hrm_hf.training.best import Best
from hrm_hf.training.checkpoint import Checkpoint, Checkpoints, random_states, restore_random_states
from hrm_hf.training.compilation import CompileWatch, compile_blocks
from hrm_hf.training.device_optimizer import DeviceOptimizer
from hrm_hf.training.growth import Growth, Value
from hrm_hf.training.meter import Meter, TrainingClock
from hrm_hf.training.optim import build_optimizers, puzzle_embedding
from hrm_hf.training.rank_watch import RankWatch
from hrm_hf.training.run_folder import RunFolder
from hrm_hf.training.schedule import learning_rate_factor
from hrm_hf.training.sharding import (
    load_whole_state,
    shard,
    shard_like,
    sharding_wanted,
    whole_model,
    whole_state,
)
from hrm_hf.training.step import SplitStep, TrainingStep
from hrm_hf.training.stopping import SignalWatch, Stopped, any_process, disk_error, on_main
from hrm_hf.training.task import Task
from hrm_hf.training.trackers import choose_tracker, start_tracker, track
from hrm_hf.utils.cuda_graph import GraphedCall


# options that must not change on resume
_FIXED_BY_CHECKPOINT = ("batch_size", "batch_tokens", "batches_in_work", "gradient_accumulation_steps", "optimizer")


@dataclass
class Run:
    """A training run that is ready to start, with a checked recipe."""

    args: TrainArguments
    groups: list[Any]  # of all options, for recipe.yaml
    goes_on: bool  # resumes the run in its folder
    accelerator: Accelerator
    folder: RunFolder
    task: Task
    model: PreTrainedModel
    growth: Growth  # of fields of its config
    network: nn.Module  # called by a step, wrapped by Accelerate or sharded
    average: MovingAverage | None  # of the weights
    empty: PreTrainedModel | None  # holds whole weights, if they are sharded
    optimizers: list[DeviceOptimizer]
    loader: DataLoader
    max_steps: int
    checkpoints: Checkpoints
    resumed: Checkpoint | None  # where the run resumes

    @contextmanager
    def result(self) -> Iterator[PreTrainedModel]:
        """The model to evaluate and save: the moving average, if there is one. Entered by all processes."""
        model = self.model if self.average is None else self.average.module
        with ExitStack() as stack:
            if self.empty is not None:
                model = stack.enter_context(whole_model(self.empty, model, self.accelerator.device))
            stack.enter_context(changed_config(model, self.growth.final | self.args.eval_config()))
            yield model


@contextmanager
def changed_config(model: PreTrainedModel, changes: dict[str, int | float | str]) -> Iterator[None]:
    """Change values of the config of a model for a while."""
    before = {name: getattr(model.config, name) for name in changes}
    try:
        set_config(model, changes)
        yield
    finally:
        set_config(model, before)


def set_config(model: PreTrainedModel, values: dict[str, int | float | str]):
    """Change values of the config of a model."""
    for name, value in values.items():
        setattr(model.config, name, value)


def make_task(model_args: ModelArguments, data_args: DataArguments, seed: int) -> Task:
    """The task that a recipe names.

    Raises:
        ValueError, FileNotFoundError: if the data or a plug-in are not available.
    """
    if data_args.plugin is not None:
        from hrm_hf.puzzles.registry import load_plugin

        load_plugin(data_args.plugin)
    if data_args.task == "text":
        # import only what is needed, because text trains without the package `datasets`
        from hrm_hf.training.text_task import TextTask

        return TextTask(model_args, data_args, seed)
    if data_args.arc_canvases:
        from hrm_hf.training.arc_task import ArcCanvasTask

        return ArcCanvasTask(model_args, data_args, seed)
    from hrm_hf.training.grid_task import GridTask

    return GridTask(model_args, data_args, seed)


def prepare(
    model_args: ModelArguments, data_args: DataArguments, train_args: TrainArguments, task: Task | None = None
) -> Run:
    """Load the data, build model and optimizers, open the run folder.

    Args:
        model_args, data_args, train_args: from `parse_recipe`.
        task: what to train; by default the task of the recipe.

    Raises:
        ValueError, OSError: if the recipe cannot work, or a folder cannot be written.
        Stopped: with `resume="auto"`, if the run is finished.
    """
    if train_args.fused_kernels and not torch.cuda.is_available():
        raise ValueError("fused_kernels=True needs a CUDA GPU, but there is none here; leave it out.")
    tracker = choose_tracker(train_args.report_to)
    accelerator = Accelerator(
        mixed_precision=train_args.mixed_precision,
        log_with=tracker,
        project_dir=train_args.output_dir,
    )
    sharding = sharding_wanted(train_args, accelerator)
    if data_args.task == "grid" and train_args.epochs is not None:
        raise ValueError(f"epochs={train_args.epochs} is for text; give max_steps to train on puzzles.")
    if data_args.task == "text" and train_args.stop_at_exact_accuracy is not None:
        raise ValueError(
            f"stop_at_exact_accuracy={train_args.stop_at_exact_accuracy} is for puzzles; leave it out for text."
        )
    parts = accelerator.num_processes * train_args.gradient_accumulation_steps
    if train_args.batch_size % parts != 0:
        raise ValueError(
            f"batch_size={train_args.batch_size} is not divisible by {accelerator.num_processes} processes times "
            f"gradient_accumulation_steps={train_args.gradient_accumulation_steps}; give a multiple of {parts}."
        )
    if train_args.schedule_by_minutes and accelerator.num_processes > 1:
        raise ValueError(
            f"schedule_by_minutes=True is for one process, but there are {accelerator.num_processes}, whose clocks "
            "differ; leave it out and give max_steps."
        )
    if train_args.cuda_graph:
        check_cuda_graph(accelerator, sharding)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(train_args.cpu_threads or share_of_cores(accelerator))
    folder = RunFolder(train_args, accelerator)
    try:
        return _build_run(model_args, data_args, train_args, task, accelerator, sharding, tracker, folder)
    except BaseException:
        folder.close()
        raise


def check_cuda_graph(accelerator: Accelerator, sharding: FullyShardedDataParallelPlugin | None):
    """Raise a `ValueError` if the steps of a run cannot be recorded as CUDA graphs."""
    if accelerator.device.type != "cuda":
        raise ValueError(
            f"cuda_graph=True needs a CUDA GPU, but this run is on {accelerator.device.type}; leave it out."
        )
    if sharding is not None:
        raise ValueError("cuda_graph=True is not supported with FSDP2; leave it out, or train with DDP.")


def _build_run(
    model_args: ModelArguments,
    data_args: DataArguments,
    train_args: TrainArguments,
    task: Task | None,
    accelerator: Accelerator,
    sharding: FullyShardedDataParallelPlugin | None,
    tracker: str | None,
    folder: RunFolder,
) -> Run:
    """The slow part of `prepare`: data, model, optimizers, checkpoint."""
    if task is None:
        task = make_task(model_args, data_args, train_args.seed)
    max_steps = train_args.steps(task.num_train_items)
    if train_args.resume == "auto":
        folder.check_finished(max_steps)
    checkpoints = Checkpoints(
        folder.path / "checkpoints",
        train_args.keep_checkpoints,
        accelerator,
        # a checkpoint depends on the number and size of its carries, and on the draws of its steps
        {"task": data_args.task, "arc_canvases": data_args.arc_canvases}
        | {name: getattr(train_args, name) for name in _FIXED_BY_CHECKPOINT},
    )
    resumed = None if train_args.resume is None else checkpoints.find(train_args.resume)
    if resumed is not None and "clock" not in resumed.own:
        raise ValueError(
            f"{resumed.path} is from an older version of hrm-hf, which did not keep compilation times; resume with "
            "that version, or start a new run."
        )
    steps_done = 0 if resumed is None else resumed.step
    # a run that could not save its model has a checkpoint after the last step
    if steps_done > max_steps:
        raise ValueError(
            f"{resumed.path} is at step {steps_done}, but the run has only {max_steps} steps, so nothing is left to "
            "do; give more steps, or start a new run."
        )
    goes_on = resumed is not None and resumed.path.resolve().parent == checkpoints.folder.resolve()
    if not goes_on:
        folder.check_start()
    draws = task.draws(train_args, max_steps, accelerator.num_processes * train_args.gradient_accumulation_steps)
    loader = DataLoader(
        draws,
        batch_sampler=StepSampler(
            draws,
            train_args.batch_size,
            range(steps_done, max_steps),
            accelerator.process_index,
            accelerator.num_processes,
        ),
        num_workers=data_args.num_workers,
        collate_fn=_as_it_is,
        pin_memory=accelerator.device.type == "cuda",
    )
    # the sampler gives each process its share, so batches only have to be moved to the device
    loader = prepare_data_loader(
        loader, accelerator.device, num_processes=1, process_index=0, put_on_device=True, non_blocking=True
    )

    set_seed(train_args.seed)
    model = task.build_model()
    if train_args.init_from is not None and resumed is None:
        load_weights(model, train_args.init_from, getattr(task.processing, "puzzle_identifiers", None))
    average = None if train_args.ema_decay is None else MovingAverage(model, train_args.ema_decay)
    empty = None if sharding is None else copy.deepcopy(model)
    if train_args.fused_kernels:
        from hrm_hf.kernels import use_fused_kernels  # imports Triton, which exists only for GPUs

        use_fused_kernels(model)
    if train_args.compile:
        compile_blocks(model, task.several_shapes)
    # SignSGD sums the sparse gradient over the processes itself
    sparse = puzzle_embedding(model)
    # the weights are equal on every process; from here on exploration must differ
    set_seed(train_args.seed, device_specific=True)
    sums_itself = train_args.cuda_graph and accelerator.num_processes > 1
    if sums_itself and sparse is not None:
        raise ValueError(
            "cuda_graph=True on several processes does not support puzzle embeddings in a prefix, whose gradients are "
            "sparse; leave it out, or use puzzle_emb_ndim=0 or puzzle_emb_placement=everywhere."
        )
    if sharding is not None:
        network = shard(task.network(model), sharding, accelerator, kept_whole=sparse)
        if average is not None:
            shard_like(average.module, model)
    elif sums_itself:
        # `SplitStep` sums the gradients; Accelerate only adds autocast
        network = accelerator.prepare_model(task.network(model), evaluation_mode=True)
    else:
        if sparse is not None:
            nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
                model, ["model.puzzle_embeddings.weight"]
            )
        network = accelerator.prepare(task.network(model))
    if average is not None:
        average.to(accelerator.device)
    # not earlier: sharding replaces the parameters
    optimizers = build_optimizers(model, train_args)
    for optimizer in optimizers:
        if train_args.compile or train_args.cuda_graph:
            optimizer.compile()
    if resumed is not None:
        restore_shared(resumed, model, average, optimizers)
    folder.check_space(bytes_to_write(model, average, train_args))
    groups = [model_args, data_args, train_args]
    if not goes_on:
        folder.start(*groups)
    start_tracker(accelerator, tracker, folder.path, groups)
    return Run(
        args=train_args,
        groups=groups,
        goes_on=goes_on,
        accelerator=accelerator,
        folder=folder,
        task=task,
        model=model,
        growth=Growth(train_args.stages(), model.config),
        network=network,
        average=average,
        empty=empty,
        optimizers=optimizers,
        loader=loader,
        max_steps=max_steps,
        checkpoints=checkpoints,
        resumed=resumed,
    )


def train(run: Run) -> dict:
    """Run the training loop and fill the run folder.

    Returns:
        The scores of the last evaluation.

    Raises:
        Stopped: if a signal, nonfinite gradients or a full disk end the run; if possible, a checkpoint is saved.
    """
    with RankWatch(run.accelerator, run.args.rank_timeout_seconds):
        try:
            return run_loop(run)
        except OSError as error:
            # prints may also go to the full disk; with several processes, the others do not know about it
            if run.accelerator.num_processes > 1:
                raise
            raise Stopped(f"The run cannot write: {error} {where_weights_are(run)}", exit_code=1) from error
        finally:
            # free whatever holds the process group before the interpreter shuts down, and then leave the group
            # together: processes that leave it one by one, or at exit, may wait for each other
            run.folder.close()
            run.network = run.model
            run.accelerator.free_memory()
            gc.collect()
            if sys.exc_info()[0] is None:
                run.accelerator.wait_for_everyone()
            run.accelerator.end_training()


def run_loop(run: Run) -> dict:
    """The loop itself; see `train` for what it returns and raises."""
    args, accelerator, task, max_steps = run.args, run.accelerator, run.task, run.max_steps
    meter, clock = Meter(accelerator, task.means), TrainingClock(args.max_minutes, accelerator.device)
    best = Best(*task.best)

    task.start(args, run.model)
    steps_done = 0
    depth: dict[str, Value] = {}  # current values of the fields that grow
    if run.resumed is not None:
        steps_done = run.resumed.step
        task.restore(run.resumed.own["task"], accelerator.device)
        meter.restore(run.resumed.own["meter"], accelerator.device)
        clock.restore(run.resumed.own["clock"])
        best.restore(run.resumed.own["best"])
        depth = {name: value for name, value in run.resumed.own["depth"].items() if name in run.growth.final}
        set_config(run.model, depth)
    progress = tqdm(
        total=max_steps, initial=steps_done, desc="train", disable=not accelerator.is_main_process, unit="step"
    )
    take_step = TrainingStep(
        accelerator,
        task,
        run.model,
        run.network,
        run.optimizers,
        run.average,
        meter,
        args.max_grad_norm,
        args.gradient_accumulation_steps,
    )
    graphed = None
    if args.cuda_graph and accelerator.num_processes > 1:
        graphed = SplitStep(take_step)
    elif args.cuda_graph:
        graphed = GraphedCall(take_step, prepare=take_step.drop_gradients)
    watch_compilation = CompileWatch(clock, args.compile, graphed, args.fused_kernels)
    saved_at = clock.minutes()

    def share_over() -> float | None:
        """Fraction of the run that is over, if it ends by time and not by step."""
        return clock.minutes() / args.max_minutes if args.schedule_by_minutes else None

    def rate_factor(step: int, share: float | None) -> float:
        return learning_rate_factor(step, args.warmup_steps, max_steps, args.min_lr_ratio, args.lr_decay_share, share)

    def log(record: dict):
        run.folder.log(record)
        track(accelerator, record)

    def read_meter(step: int) -> dict:
        """A record of the steps since the last one."""
        sums = meter.read(clock)  # waits for the device
        record = {"step": step} | clock.record() | {"lr": args.learning_rate * factor}
        return record | sums | {"memory_gb": peak_memory_gb(accelerator.device)}

    def change_depth(step: int, values: dict[str, Value]) -> list[dict]:
        """Change fields of the config from the given step on, which comes next; returns records to log."""
        # a log line never mixes steps of both depths
        records = [read_meter(step - 1)] if meter.has_steps() else []
        meter.forget_names()
        segments = run.model.config.halt_max_steps
        set_config(run.model, values)
        if run.model.config.halt_max_steps != segments:
            task.segments_changed()
        # a recorded step contains the old values
        if graphed is not None:
            graphed.forget()
        said = ", ".join(f"{name} {value}" for name, value in values.items())
        progress.write(f"from step {step}: {said}")
        return [*records, {"step": step} | clock.record() | values]

    def save_checkpoint(step: int) -> tuple[Path | None, str]:
        """The new checkpoint, or `None` and the disk error."""
        with clock.paused():
            try:
                return run.checkpoints.save(step, *everything(run, meter, clock, best, depth)), ""
            except OSError as error:
                accelerator.print(f"{error} Training continues.")
                return None, str(error)

    def evaluate(step: int) -> dict:
        with clock.paused(evaluates=True), run.result() as result:
            scores = task.evaluate(result, accelerator, args)
            run.network.train()
            if best.update(step, scores) and args.keep_best:
                save = partial(run.folder.save_model, result, task.processing, "best_model")
                if said := disk_error(accelerator, save):
                    accelerator.print(f"The best model so far cannot be saved: {said} Training continues.")
        log({"step": step} | clock.record() | {f"eval_{name}": value for name, value in scores.items()})
        progress.write(f"step {step}, {clock.minutes():.1f} min: {task.headline(scores)}")
        return scores

    step, factor = steps_done, rate_factor(steps_done, share_over())
    if steps_done == max_steps:
        begin_to_go_on(run)
        scores = evaluate(step)
    run.network.train()
    with SignalWatch() as watch:
        # Accelerate makes one batch of an empty loader
        for step, batch in enumerate(run.loader if steps_done < max_steps else (), start=steps_done + 1):
            if run.resumed is not None and step == steps_done + 1:
                # not earlier, because the loader itself draws random numbers when it starts
                restore_random_states(run.resumed.own["random"])
            share, to_log = share_over(), []
            values = run.growth.values((step - 1) / max_steps if share is None else share)
            if values != depth:
                to_log, depth = change_depth(step, values), values
            factor = rate_factor(step, share)
            for optimizer in run.optimizers:
                optimizer.set_learning_rate(factor)
            with watch_compilation.step(batch):
                (graphed or take_step)(batch)
            progress.update()
            if step == steps_done + 1:
                # not earlier, so that a run which cannot resume has changed nothing
                begin_to_go_on(run)
            for record in to_log:
                log(record)

            # processes may see the clock and signals at different moments, but must agree on one answer, for which
            # they wait for the device; so they ask each other only when they log
            asks = accelerator.num_processes == 1 or step % args.log_steps == 0
            is_last = step == max_steps or (asks and clock.is_over(accelerator))
            if step % args.log_steps == 0 or is_last:
                record = read_meter(step)
                log(record)
                if record["skipped_in_a_row"] >= args.max_skipped_steps:
                    remedy = "lower the learning rate or clip the gradient"
                    if args.compile:
                        remedy += ", or leave out compile"
                    raise Stopped(
                        f"The gradients of {record['skipped_in_a_row']} steps in a row, up to step {step}, are not "
                        f"finite; {remedy}, and resume from a checkpoint, if {run.checkpoints.folder} has any.",
                        exit_code=1,
                    )
                if "grad_norm" in record:  # not every step was skipped
                    progress.set_postfix({name: form.format(**record) for name, form in task.progress.items()})
                known_by_heart = args.stop_at_train_exact_accuracy
                if known_by_heart is not None and record.get("exact_accuracy", 0.0) >= known_by_heart:
                    is_last = True
            if step % args.eval_steps == 0 or is_last:
                scores = evaluate(step)
                good_enough = args.stop_at_exact_accuracy
                if is_last or (good_enough is not None and scores["exact_accuracy"] >= good_enough):
                    break

            is_due = args.checkpoint_minutes is not None and clock.minutes() - saved_at >= args.checkpoint_minutes
            is_due = asks and any_process(accelerator, is_due)
            is_stopped = asks and any_process(accelerator, watch.received is not None)
            if is_due or is_stopped or (args.checkpoint_steps is not None and step % args.checkpoint_steps == 0):
                path, said = save_checkpoint(step)
                saved_at = clock.minutes()
            if is_stopped:
                number = watch.received or signal.SIGTERM  # another process has got it
                came = f"{signal.Signals(number).name} came at step {step}"
                if path is None:
                    raise Stopped(f"{came}. {said} {where_weights_are(run)}", exit_code=128 + number)
                raise Stopped(f"{came}; --resume auto continues from {path}.", exit_code=128 + number)
    progress.close()

    result = {
        "steps": step,
        "train_minutes": clock.minutes(),
        **{name: value for name, value in clock.record().items() if name != "minutes"},
        **task.counts(step, args.batch_size),
        "parameters": sum(param.numel() for param in run.model.parameters()),
        "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
        "processes": accelerator.num_processes,
        "eval_split": task.eval_split,
        f"best_{best.name}": best.value,
        "best_step": best.step,
    } | {name: value for name, value in scores.items() if name not in task.shown}
    if said := save_result(run, result):
        path, _ = save_checkpoint(step)
        raise Stopped(f"{said} {where_weights_are(run, path)}", exit_code=1)
    return scores


def begin_to_go_on(run: Run):
    """Let a resumed run write into its folder; called by all processes, before anything else is changed."""
    if run.goes_on and run.accelerator.is_main_process:
        run.checkpoints.set_aside_after(run.resumed.step)
        run.folder.go_on(run.resumed.step, *run.groups)


def save_result(run: Run, result: dict) -> str | None:
    """Save the model and result.json, if necessary by removing older checkpoints; returns the disk error, if any."""

    def save():
        run.folder.save_model(model, run.task.processing)
        run.folder.write_result(result)

    def make_room_and_save():
        if run.accelerator.is_main_process:
            run.checkpoints.make_room()
        save()

    with run.result() as model:
        return disk_error(run.accelerator, save) and disk_error(run.accelerator, make_room_and_save)


def where_weights_are(run: Run, checkpoint: Path | None = None) -> str:
    """Save the weights wherever there is space, if their own folder cannot be written, and say where they are.

    Args:
        run: the run; called by all processes.
        checkpoint: of this same step, if there is one.
    """
    if checkpoint is not None:
        return f"The trained weights are in {checkpoint}; free some space, and --resume auto saves the model."
    with run.result() as model:
        save = partial(run.folder.save_elsewhere, model, run.task.processing)
        elsewhere = on_main(run.accelerator, save)
    newest = run.checkpoints.newest()
    before = "there is no checkpoint" if newest is None else f"the newest checkpoint is {newest}"
    if elsewhere is not None:
        return f"The trained weights are in {elsewhere}; move them before the machine is cleaned; {before}."
    return f"The weights of this step are lost, because no other disk of this machine has space; {before}."


def bytes_to_write(model: PreTrainedModel, average: MovingAverage | None, args: TrainArguments) -> int:
    """Approximate size of the model and a checkpoint on disk, if checkpoints are saved."""
    weights = sum(param.numel() * param.element_size() for param in model.parameters())
    if args.checkpoint_steps is None and args.checkpoint_minutes is None:
        return weights
    # the optimizer keeps two moments
    return weights * (1 + 3 + (average is not None))


def everything(run: Run, meter: Meter, clock: TrainingClock, best: Best, depth: dict[str, Value]) -> tuple[dict, dict]:
    """The contents of a checkpoint: the state shared by all processes, and the state of this one."""
    shared = {
        "model": run.model.state_dict(),
        "average": None if run.average is None else run.average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
    }
    shared = whole_state(shared, keep=run.accelerator.is_main_process)
    own = {
        "task": run.task.state(),
        "meter": meter.state(),
        "clock": clock.state(),
        "best": best.state(),
        "depth": depth,
        "random": random_states(),
    }
    return shared, own


def restore_shared(
    checkpoint: Checkpoint,
    model: PreTrainedModel,
    average: MovingAverage | None,
    optimizers: list[DeviceOptimizer],
):
    """Restore the state shared by all processes.

    Raises:
        ValueError: if it is from another model or recipe.
    """
    shared = checkpoint.shared
    if (average is None) != (shared["average"] is None) or len(optimizers) != len(shared["optimizers"]):
        raise ValueError(
            f"{checkpoint.path} is from a recipe with {'a' if average is None else 'no'} moving average, or other "
            "optimizers; resume with the recipe.yaml of its run."
        )
    try:
        load_whole_state(model, shared["model"])
        if average is not None:
            load_whole_state(average, shared["average"])
        for optimizer, state in zip(optimizers, shared["optimizers"], strict=True):
            optimizer.load_state_dict(state)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{checkpoint.path} is from a model of another shape or from another recipe ({reason[:200]}); resume "
            "with the recipe.yaml of its run."
        ) from error


def peak_memory_gb(device: torch.device) -> float:
    """Peak memory so far, in GB: of tensors on the GPU, or on a CPU of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # in bytes on macOS, elsewhere in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


class StepSampler(Sampler[list[int]]):
    """The draws of each step, of which every process takes its share. Draws depend only on their number, so a resumed
    run just continues to count.

    Args:
        draws: of the run.
        batch_size: sequences per step, over all processes.
        steps: which steps, counted from 0.
        process, num_processes: index of this one, and their number.
    """

    def __init__(self, draws: Draws, batch_size: int, steps: range, process: int, num_processes: int):
        self.draws, self.batch_size, self.steps = draws, batch_size, steps
        self.process, self.num_processes = process, num_processes

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            numbers = self.draws.of_step(step, self.batch_size)
            share = len(numbers) // self.num_processes
            yield list(numbers[self.process * share : (self.process + 1) * share])


def _as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Draws return whole batches; there is nothing to collate
    return batch


def share_of_cores(accelerator: Accelerator) -> int:
    """Threads for this process: the cores it may use, divided among the processes of this machine.

    `accelerate launch` sets one thread per process, which on a CPU leaves most of the machine idle.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    return max(1, cores // processes_here)
