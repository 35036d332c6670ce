"""The training loop: ACT segments on sequences in work, two optimizers, evaluation, a saved model.

Each step is one segment. Sequences that have halted take a new puzzle from the batch; the others go on with the one
they have (the carry). `prepare` builds and checks everything, `train` is the loop.
"""

import os
from dataclasses import asdict, dataclass

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from configuration_hrm import HRMConfig
from hrm_hf.data.puzzles import PuzzleDraws, encode, load_rows, sudoku_augmentation, sudoku_processor
from hrm_hf.evaluation.grid import GridScores, evaluate_grid
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.meter import SegmentMeter, TrainingClock
from hrm_hf.training.optim import build_optimizers, learning_rate_factor
from hrm_hf.training.run_folder import RunFolder
from modeling_hrm import HRMCarry, HRMForGridTask
from processing_hrm import HRMGridProcessor


@dataclass
class Run:
    """A training run that is ready to start: everything a recipe can get wrong has been checked."""

    args: TrainArguments
    accelerator: Accelerator
    folder: RunFolder
    processor: HRMGridProcessor
    model: HRMForGridTask
    network: nn.Module  # the model, wrapped by Accelerate
    average: AveragedModel | None  # moving average of the weights
    optimizers: list[Optimizer]
    schedules: list[LambdaLR]
    loader: DataLoader
    eval_puzzles: dict[str, torch.Tensor]
    eval_split: str
    num_train_puzzles: int

    @property
    def result(self) -> HRMForGridTask:
        """The model to evaluate and to save: the moving average, if there is one."""
        return self.model if self.average is None else self.average.module


def prepare(model_args: ModelArguments, data_args: DataArguments, train_args: TrainArguments) -> Run:
    """Load the data, build model and optimizers, open the run folder.

    Args:
        model_args, data_args, train_args: as `parse_recipe` gives them.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: for a recipe that cannot work.
    """
    accelerator = Accelerator(
        mixed_precision=train_args.mixed_precision,
        # batch_size counts the sequences of all processes, each takes its slice of every batch
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )
    if train_args.batch_size % accelerator.num_processes != 0:
        raise ValueError(
            f"batch_size={train_args.batch_size} does not divide among {accelerator.num_processes} processes; give a "
            "multiple."
        )

    if accelerator.device.type == "cpu":
        torch.set_num_threads(train_args.cpu_threads or share_of_cores(accelerator))

    rows = load_rows(data_args.dataset, data_args.train_split, data_args.max_train_puzzles)
    processor = sudoku_processor(rows)
    draws = PuzzleDraws(
        encode(rows, processor),
        num_draws=train_args.max_steps * train_args.batch_size,
        seed=train_args.seed,
        augment=sudoku_augmentation(processor.height, train_args.seed) if data_args.augment else None,
    )
    loader = DataLoader(
        draws,
        batch_size=train_args.batch_size,
        drop_last=True,
        num_workers=data_args.num_workers,
        collate_fn=_as_it_is,
    )
    eval_rows = load_rows(data_args.dataset, data_args.eval_split)
    if data_args.max_eval_puzzles is not None:
        eval_rows = eval_rows.select(range(min(data_args.max_eval_puzzles, len(eval_rows))))

    set_seed(train_args.seed)
    model = build_model(model_args, processor)
    average = None
    if train_args.ema_decay is not None:
        average = AveragedModel(model, accelerator.device, multi_avg_fn=moving_average(train_args.ema_decay))
    if train_args.compile:
        for module in (model.model.H_module, model.model.L_module):
            for layer in module.layers:
                layer.compile()
    optimizers = build_optimizers(
        model,
        learning_rate=train_args.learning_rate,
        weight_decay=train_args.weight_decay,
        betas=(train_args.adam_beta1, train_args.adam_beta2),
        puzzle_emb_learning_rate=train_args.puzzle_emb_learning_rate,
        puzzle_emb_weight_decay=train_args.puzzle_emb_weight_decay,
    )
    if model.config.puzzle_emb_ndim > 0:
        # SignSGD sums its sparse gradient over the processes itself
        nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
            model, ["model.puzzle_embeddings.weight"]
        )
    # the weights are made, equal on every process; from here on exploration must differ
    set_seed(train_args.seed, device_specific=True)
    network, loader, *optimizers = accelerator.prepare(model, loader, *optimizers)

    def factor(updates_done: int) -> float:
        return learning_rate_factor(
            updates_done + 1, train_args.warmup_steps, train_args.max_steps, train_args.min_lr_ratio
        )

    folder = RunFolder(train_args.output_dir, train_args.overwrite_output_dir, accelerator.is_main_process)
    folder.write_recipe(model_args, data_args, train_args)
    return Run(
        args=train_args,
        accelerator=accelerator,
        folder=folder,
        processor=processor,
        model=model,
        network=network,
        average=average,
        optimizers=optimizers,
        schedules=[LambdaLR(optimizer.optimizer, factor) for optimizer in optimizers],
        loader=loader,
        eval_puzzles=encode(eval_rows, processor),
        eval_split=data_args.eval_split,
        num_train_puzzles=len(rows),
    )


def train(run: Run) -> GridScores:
    """Run the training loop and fill the run folder.

    Returns:
        [`GridScores`] of the last evaluation.
    """
    args, accelerator = run.args, run.accelerator
    dense_parameters = [param for group in run.optimizers[0].param_groups for param in group["params"]]
    meter, clock = SegmentMeter(accelerator), TrainingClock(args.max_minutes)
    progress = tqdm(total=args.max_steps, desc="train", disable=not accelerator.is_main_process, unit="step")

    run.network.train()
    carries: list[HRMCarry | None] = [None] * args.batches_in_work
    for step, batch in enumerate(run.loader, start=1):
        turn = step % args.batches_in_work
        is_first_segment = carries[turn] is None
        output = run.network(**batch, carry=carries[turn])
        carries[turn] = output.carry
        accelerator.backward(output.loss)
        if args.max_grad_norm is not None:
            accelerator.clip_grad_norm_(dense_parameters, args.max_grad_norm)
        for optimizer, schedule in zip(run.optimizers, run.schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if run.average is not None:
            run.average.update_parameters(run.model)
        meter.add(output)
        if is_first_segment and args.staggered_start:
            stagger(output.carry, run.model.config.halt_max_steps)
        progress.update()

        is_last = step == args.max_steps or clock.is_over(accelerator)
        if step % args.log_steps == 0 or is_last:
            minutes = clock.minutes()
            record = {"step": step, "minutes": minutes, "lr": run.schedules[0].get_last_lr()[0]} | meter.read(minutes)
            run.folder.log(record)
            progress.set_postfix(
                loss=f"{record['loss']:.3f}",
                exact=f"{record['exact_accuracy']:.3f}",
                steps=f"{record['mean_steps']:.1f}",
                samples_s=f"{record['samples_per_s']:.0f}",
            )
        if step % args.eval_steps == 0 or is_last:
            with clock.paused():
                scores = evaluate_grid(
                    run.result,
                    run.eval_puzzles,
                    accelerator,
                    batch_size=args.eval_batch_size,
                    max_segments=args.eval_max_segments,
                    early_stop=args.eval_early_stop,
                )
            run.folder.log(
                {"step": step, "minutes": clock.minutes()}
                | {f"eval_{name}": value for name, value in scores.as_dict().items()}
            )
            progress.write(
                f"step {step}, {clock.minutes():.1f} min: {scores.exact_accuracy:.1%} of {scores.n} puzzles exactly "
                f"solved, {scores.cell_accuracy:.1%} of cells right"
            )
            good_enough = args.stop_at_exact_accuracy
            if is_last or (good_enough is not None and scores.exact_accuracy >= good_enough):
                break
    progress.close()

    run.folder.save_model(run.result, run.processor)
    run.folder.write_result(
        {
            "steps": step,
            "train_minutes": clock.minutes(),
            "train_puzzles": run.num_train_puzzles,
            "parameters": sum(param.numel() for param in run.model.parameters()),
            "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
            "processes": accelerator.num_processes,
            "eval_split": run.eval_split,
        }
        | scores.as_dict()
    )
    accelerator.end_training()
    return scores


def _as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # PuzzleDraws makes whole batches; there is nothing to collate
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


def stagger(carry: HRMCarry, halt_max_steps: int):
    """Give sequences random step counts, in place, so that in every later step about equally many halt."""
    carry.steps = torch.randint_like(carry.steps, 1, halt_max_steps + 1)
    carry.halted = carry.steps >= halt_max_steps


def build_model(model_args: ModelArguments, processor: HRMGridProcessor) -> HRMForGridTask:
    """A new model for the puzzles of a processor."""
    grid = {}
    if model_args.position_embedding_type == "grid":
        block = (processor.box_height, processor.box_width)
        grid = {
            "grid_shape": [processor.height, processor.width],
            "block_shape": None if None in block else list(block),
        }
    return HRMForGridTask(
        HRMConfig(
            **asdict(model_args),
            **grid,
            vocab_size=processor.vocab_size,
            max_position_embeddings=processor.seq_len,
            num_puzzle_identifiers=processor.num_puzzle_identifiers,
            pad_token_id=processor.pad_token_id,
        )
    )
