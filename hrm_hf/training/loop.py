"""The training loop: steps of a task, optimizers, evaluation, a saved model.

`prepare` builds and checks everything, `train` is the loop. What is trained stands in the tasks: `grid_task` and
`text_task`.
"""

import os
from dataclasses import dataclass

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.meter import Meter, TrainingClock
from hrm_hf.training.optim import build_optimizers, learning_rate_factor
from hrm_hf.training.run_folder import RunFolder
from hrm_hf.training.task import Task


@dataclass
class Run:
    """A training run that is ready to start: everything a recipe can get wrong has been checked."""

    args: TrainArguments
    accelerator: Accelerator
    folder: RunFolder
    task: Task
    model: PreTrainedModel
    network: nn.Module  # what a step calls, wrapped by Accelerate
    average: AveragedModel | None  # moving average of the weights
    optimizers: list[Optimizer]
    schedules: list[LambdaLR]
    loader: DataLoader

    @property
    def result(self) -> PreTrainedModel:
        """The model to evaluate and to save: the moving average, if there is one."""
        return self.model if self.average is None else self.average.module


def make_task(model_args: ModelArguments, data_args: DataArguments, seed: int) -> Task:
    """The task that a recipe names."""
    if data_args.task == "text":
        # only what is needed is imported, because text trains without the package `datasets`
        from hrm_hf.training.text_task import TextTask

        return TextTask(model_args, data_args, seed)
    from hrm_hf.training.grid_task import GridTask

    return GridTask(model_args, data_args, seed)


def prepare(
    model_args: ModelArguments, data_args: DataArguments, train_args: TrainArguments, task: Task | None = None
) -> Run:
    """Load the data, build model and optimizers, open the run folder.

    Args:
        model_args, data_args, train_args: as `parse_recipe` gives them.
        task: what to train; by default what the recipe names.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: for a recipe that cannot work.
    """
    accelerator = Accelerator(
        mixed_precision=train_args.mixed_precision,
        # batch_size counts the sequences of all processes, each takes its slice of every batch
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    if data_args.task == "grid" and train_args.epochs is not None:
        raise ValueError(f"epochs={train_args.epochs} is for text; give max_steps to train on puzzles.")
    if data_args.task == "text" and train_args.stop_at_exact_accuracy is not None:
        raise ValueError(
            f"stop_at_exact_accuracy={train_args.stop_at_exact_accuracy} is for puzzles; leave it out for text."
        )
    if train_args.batch_size % accelerator.num_processes != 0:
        raise ValueError(
            f"batch_size={train_args.batch_size} does not divide among {accelerator.num_processes} processes; give a "
            "multiple."
        )
    if accelerator.device.type == "cpu":
        torch.set_num_threads(train_args.cpu_threads or share_of_cores(accelerator))

    if task is None:
        task = make_task(model_args, data_args, train_args.seed)
    max_steps = train_args.steps(task.num_train_items)
    loader = DataLoader(
        task.draws(max_steps * train_args.batch_size),
        batch_size=train_args.batch_size,
        drop_last=True,
        num_workers=data_args.num_workers,
        collate_fn=_as_it_is,
    )

    set_seed(train_args.seed)
    model = task.build_model()
    average = None
    if train_args.ema_decay is not None:
        average = AveragedModel(model, accelerator.device, multi_avg_fn=moving_average(train_args.ema_decay))
    if train_args.compile:
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):  # the Transformer blocks of any model
                module.compile()
    optimizers = build_optimizers(
        model,
        learning_rate=train_args.learning_rate,
        weight_decay=train_args.weight_decay,
        betas=(train_args.adam_beta1, train_args.adam_beta2),
        puzzle_emb_learning_rate=train_args.puzzle_emb_learning_rate,
        puzzle_emb_weight_decay=train_args.puzzle_emb_weight_decay,
    )
    if len(optimizers) == 2:
        # SignSGD sums its sparse gradient over the processes itself
        nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
            model, ["model.puzzle_embeddings.weight"]
        )
    # the weights are made, equal on every process; from here on exploration must differ
    set_seed(train_args.seed, device_specific=True)
    network, loader, *optimizers = accelerator.prepare(task.network(model), loader, *optimizers)

    def factor(updates_done: int) -> float:
        return learning_rate_factor(updates_done + 1, train_args.warmup_steps, max_steps, train_args.min_lr_ratio)

    folder = RunFolder(train_args.output_dir, train_args.overwrite_output_dir, accelerator.is_main_process)
    folder.write_recipe(model_args, data_args, train_args)
    return Run(
        args=train_args,
        accelerator=accelerator,
        folder=folder,
        task=task,
        model=model,
        network=network,
        average=average,
        optimizers=optimizers,
        schedules=[LambdaLR(optimizer.optimizer, factor) for optimizer in optimizers],
        loader=loader,
    )


def train(run: Run) -> dict:
    """Run the training loop and fill the run folder.

    Returns:
        The scores of the last evaluation.
    """
    args, accelerator, task = run.args, run.accelerator, run.task
    max_steps = len(run.loader)
    dense_parameters = [param for group in run.optimizers[0].param_groups for param in group["params"]]
    meter, clock = Meter(accelerator, task.means), TrainingClock(args.max_minutes)
    progress = tqdm(total=max_steps, desc="train", disable=not accelerator.is_main_process, unit="step")

    task.start(args, run.model)
    run.network.train()
    for step, batch in enumerate(run.loader, start=1):
        output = task.forward(run.network, batch, step)
        accelerator.backward(output.loss)
        if args.max_grad_norm is not None:
            accelerator.clip_grad_norm_(dense_parameters, args.max_grad_norm)
        for optimizer, schedule in zip(run.optimizers, run.schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if run.average is not None:
            run.average.update_parameters(run.model)
        meter.add(task.sums(output, batch))
        progress.update()

        is_last = step == max_steps or clock.is_over(accelerator)
        if step % args.log_steps == 0 or is_last:
            minutes = clock.minutes()
            record = {"step": step, "minutes": minutes, "lr": run.schedules[0].get_last_lr()[0]} | meter.read(minutes)
            run.folder.log(record)
            progress.set_postfix({name: form.format(**record) for name, form in task.progress.items()})
        if step % args.eval_steps == 0 or is_last:
            with clock.paused():
                scores = task.evaluate(run.result, accelerator, args)
                run.network.train()
            run.folder.log(
                {"step": step, "minutes": clock.minutes()} | {f"eval_{name}": value for name, value in scores.items()}
            )
            progress.write(f"step {step}, {clock.minutes():.1f} min: {task.headline(scores)}")
            good_enough = args.stop_at_exact_accuracy
            if is_last or (good_enough is not None and scores["exact_accuracy"] >= good_enough):
                break
    progress.close()

    run.folder.save_model(run.result, task.processing)
    run.folder.write_result(
        {
            "steps": step,
            "train_minutes": clock.minutes(),
            **task.counts(step, args.batch_size),
            "parameters": sum(param.numel() for param in run.model.parameters()),
            "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
            "processes": accelerator.num_processes,
            "eval_split": task.eval_split,
        }
        | scores
    )
    accelerator.end_training()
    return scores


def _as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Draws make whole batches; there is nothing to collate
    return batch


def share_of_cores(accelerator: Accelerator) -> int:
    """Threads for this process: the cores it may use, shared by the processes of this machine.

    `accelerate launch` sets one thread a process, which on a CPU leaves most of the machine idle.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
    return max(1, cores // processes_here)


def moving_average(decay: float):
    """Update of an exponential moving average that forgets its start: the decay grows as (1 + n) / (10 + n)."""

    def update(averages: list[torch.Tensor], weights: list[torch.Tensor], num_averaged: torch.Tensor):
        updates = int(num_averaged)
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + updates) / (10 + updates)))

    return torch.no_grad()(update)
