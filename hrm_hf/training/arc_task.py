"""Training on ARC tasks on canvases of several sizes: each step has boards of one size, with a pool per size.

The data are described in `hrm_hf.puzzles.arc.canvases`.
"""

import math

import torch
from accelerate import Accelerator
from torch import nn

from configuration_hrm import HRMConfig
from hrm_hf.puzzles.arc import evaluation as arc
from hrm_hf.puzzles.arc.canvases import CONDITION_SIZES, CanvasDraws, load_canvases
from hrm_hf.puzzles.arc.puzzles import VOCAB_SIZE
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.carry_pool import CarryPool
from hrm_hf.training.grid_task import GridTask, config_fields
from modeling_hrm import HRMCarry, HRMForGridTask, HRMGridTaskOutput
from processing_hrm import HRMGridProcessor


class ArcCanvasTask(GridTask):
    """ARC on canvases.

    Raises:
        ValueError, FileNotFoundError: if the data are not available, or options do not fit together.
    """

    progress = GridTask.progress | {"tokens_s": "{tokens_per_s:.3g}"}
    best = ("trm_pass@2", True)
    shown = ()
    several_shapes = True

    def __init__(self, model_args: ModelArguments, data_args: DataArguments, seed: int):
        self.model_args, self.data_args, self.seed = model_args, data_args, seed
        self.canvases = load_canvases(
            data_args.dataset,
            data_args.arc_canvases,
            model_args.num_token_roles > 0,
            data_args.arc_without,
            with_generated=data_args.arc_share_generated > 0,
            tells_views=data_args.arc_tell_views,
        )
        self.pairs, self.tests = self.canvases.pairs("train"), self.canvases.pairs("test")
        self.num_train_items = len(self.pairs)
        self.eval_split = "test"
        self.processing = HRMGridProcessor.for_arc(
            self.canvases.names,
            list(self.canvases.sides),
            self.canvases.with_roles,
            self.canvases.tells_views,
            shown_answers=data_args.arc_share_shown > 0,
        )

    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> CanvasDraws:
        if args.batch_tokens is None:
            raise ValueError(
                f"arc_canvases={list(self.canvases.sides)} needs batch_tokens, the positions per step; give for "
                "instance 98304."
            )
        return CanvasDraws(
            self.pairs,
            args.batch_tokens,
            self.config().num_prefix_positions,
            num_steps,
            self.seed,
            share_as_given=self.data_args.arc_share_as_given,
            share_translated=self.data_args.arc_share_translated,
            share_generated=self.data_args.arc_share_generated,
            share_shown=self.data_args.arc_share_shown,
            weights=self.data_args.arc_canvas_weights or None,
            multiple_of=parts,
        )

    def config(self) -> HRMConfig:
        """Configuration of the model."""
        side = max(self.canvases.sides)
        return HRMConfig(
            **config_fields(self.model_args, self.processing),
            grid_shape=[side, side],
            condition_sizes=list(CONDITION_SIZES),
            num_answer_tokens=VOCAB_SIZE if self.processing.shown_answers else None,
        )

    def build_model(self) -> HRMForGridTask:
        return HRMForGridTask(self.config())

    def start(self, args: TrainArguments, model: HRMForGridTask):
        size = args.batches_in_work * args.gradient_accumulation_steps
        self.pools = {side: CarryPool(size, args.staggered_start, model.config) for side in self.canvases.sides}
        self.saves_carries = args.checkpoint_carries
        self.used: list[HRMCarry] = []
        self.side = 0

    def forward(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> HRMGridTaskOutput:
        self.side = math.isqrt(batch["input_ids"].shape[1])
        carry = self.pools[self.side].take(len(self.used))
        output = network(**batch, carry=carry, grid_shape=(self.side, self.side))
        self.used.append(output.carry)
        return output

    def finish(self, found_inf: torch.Tensor):
        for carry in self.used:
            self.pools[self.side].put(carry, found_inf)
        self.used = []

    def segments_changed(self):
        for pool in self.pools.values():
            pool.stagger_anew()

    def state(self) -> dict:
        return {str(side): pool.state() for side, pool in self.pools.items()} if self.saves_carries else {}

    def restore(self, state: dict, device: torch.device):
        for side, pool_state in state.items():
            self.pools[int(side)].restore(pool_state, device)

    def sums(self, output: HRMGridTaskOutput, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        cells = torch.full((), float(batch["input_ids"].numel()), device=output.logits.device)
        return super().sums(output, batch) | {"cells": cells}

    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        return super().means(totals, seconds) | {"tokens_per_s": totals["cells"] / seconds}

    def evaluate(self, model: HRMForGridTask, accelerator: Accelerator, args: TrainArguments) -> dict:
        """pass@K of the test pairs by a vote of `eval_augmentations` copies (7 by default: only the symmetries)."""
        augmentations = 7 if self.data_args.eval_augmentations is None else self.data_args.eval_augmentations
        model.eval()
        answers = arc.vote(
            model.solve,
            self.tests,
            self.processing,
            accelerator,
            batch_size=args.eval_batch_size,
            max_segments=args.eval_max_segments or model.config.halt_max_steps,
            early_stop=args.eval_early_stop,
            num_augmentations=augmentations,
        )
        scores = arc.score(answers, range(1, arc.NUM_ATTEMPTS + 1)).as_dict()
        for source, of_source in arc.by_source(answers, self.canvases.tasks).items():
            scores[f"{source} trm_pass@2"] = arc.score(of_source, [2]).trm_pass_at[2]
        return scores | {"exact_accuracy": scores["single"], "augmentations": augmentations}

    def headline(self, scores: dict) -> str:
        return (
            f"pass@1 {scores['trm_pass@1']:.1%}, pass@2 {scores['trm_pass@2']:.1%} of {scores['n_tasks']} tasks, "
            f"{scores['single']:.1%} of test inputs without a vote"
        )

    def counts(self, steps: int, batch_size: int) -> dict[str, int]:
        return {
            "train_tasks": len(self.canvases.tasks),
            "train_pairs": self.num_train_items,
            "generated_pairs": int(self.pairs.num_generated.sum()),
            "pairs_left_out": self.pairs.num_left_out,
        }
