"""Training on puzzles: ACT segments on sequences in progress.

Each step is one segment. Sequences that have halted get a new puzzle from the batch; the others continue with theirs
(the carry).
"""

from dataclasses import asdict
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from configuration_hrm import HRMConfig
from hrm_hf.evaluation.grid import SolvedPuzzles, applied_threshold, filled_in, keep_rules, score, solve_puzzles
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.rows import ChangedDraws
from hrm_hf.puzzles.sets import open_puzzles
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.carry_pool import CarryPool
from hrm_hf.training.task import Task
from modeling_hrm import IGNORE_INDEX, HRMCarry, HRMForGridTask, HRMGridTaskOutput
from processing_hrm import HRMGridProcessor


class GridTask(Task):
    """Puzzles of one kind and size.

    Raises:
        ValueError, FileNotFoundError: if the data are not available.
    """

    progress = {
        "loss": "{loss:.3f}",
        "exact": "{exact_accuracy:.3f}",
        "steps": "{mean_steps:.1f}",
        "samples_s": "{samples_per_s:.0f}",
    }

    best = ("exact_accuracy", True)
    shown = ("boards",)

    def __init__(self, model_args: ModelArguments, data_args: DataArguments, seed: int):
        self.model_args, self.seed = model_args, seed
        self.puzzles = open_puzzles(data_args.dataset, data_args.train_split, data_args.max_train_rows)
        self.processing = self.puzzles.processor
        self.num_train_items = self.puzzles.num_items
        self.augment = data_args.augment
        self.filling = None
        if data_args.filled_share > 0:
            self.filling = self.puzzles.kind.filling(self.processing, seed, data_args.filled_share)
            if self.filling is None:
                raise ValueError(
                    f"filled_share={data_args.filled_share} is for Sudoku, but {data_args.dataset} has the task "
                    f"{self.puzzles.kind.name}; leave it out."
                )
        self.eval_split = data_args.eval_split
        self.eval_puzzles = open_puzzles(data_args.dataset, data_args.eval_split).examples(data_args.max_eval_rows)
        self.eval_augmentations = data_args.eval_augmentations
        if self.eval_augmentations is not None:
            if not self.puzzles.has_augmentations:
                raise ValueError(
                    f"eval_augmentations={self.eval_augmentations} is for ARC, but {data_args.dataset} has the task "
                    f"{self.puzzles.kind.name}; leave it out."
                )
            self.voting_puzzles = open_puzzles(data_args.dataset, "test")

    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> Draws:
        draws = self.puzzles.draws(num_steps * args.batch_size, self.seed, self.augment)
        return draws if self.filling is None else ChangedDraws(draws, self.filling)

    def build_model(self) -> HRMForGridTask:
        return build_model(self.model_args, self.processing)

    def start(self, args: TrainArguments, model: HRMForGridTask):
        # each part of a batch has its own carries
        size = args.batches_in_work * args.gradient_accumulation_steps
        self.carries = CarryPool(size, args.staggered_start, model.config)
        self.used: list[HRMCarry] = []  # of this step, put back at its end

    def forward(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> HRMGridTaskOutput:
        output = network(**batch, carry=self.carries.take(len(self.used)))
        self.used.append(output.carry)
        return output

    def finish(self, found_inf: torch.Tensor):
        for carry in self.used:
            self.carries.put(carry, found_inf)
        self.used = []

    def segments_changed(self):
        self.carries.stagger_anew()

    def state(self) -> dict:
        return self.carries.state()

    def restore(self, state: dict, device: torch.device):
        self.carries.restore(state, device)

    def sums(self, output: HRMGridTaskOutput, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return segment_sums(output)

    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        sequences, halted = totals["sequences"], max(totals["count"], 1)
        losses = {name: totals[name] / sequences for name in ("lm_loss", "q_halt_loss", "q_continue_loss")}
        return {
            "loss": losses["lm_loss"] + 0.5 * (losses["q_halt_loss"] + losses["q_continue_loss"]),
            **losses,
            "halted": totals["count"],
            **{name: totals[name] / halted for name in ("cell_accuracy", "exact_accuracy", "halt_accuracy")},
            "mean_steps": totals["steps"] / halted,
            "samples_per_s": sequences / seconds,
            "tokens_per_s": sequences * self.processing.seq_len / seconds,
        }

    def evaluate(self, model: HRMForGridTask, accelerator: Accelerator, args: TrainArguments) -> dict:
        max_segments = args.eval_max_segments or model.config.halt_max_steps
        solved = solve_puzzles(
            model,
            self.eval_puzzles,
            accelerator,
            batch_size=args.eval_batch_size,
            max_segments=max_segments,
            early_stop=args.eval_early_stop,
            keep_predictions=True,
        )
        keeps_rules = keep_rules(solved, self.eval_puzzles, self.processing)
        threshold = applied_threshold(model.config)
        scores = score(solved, max_segments, args.eval_early_stop, threshold, keeps_rules).as_dict()
        if self.puzzles.kind.logs_boards:
            scores["boards"] = self.boards(solved)
        if self.eval_augmentations is not None:
            scores |= self.voting_puzzles.vote_scores(
                model,
                self.processing,
                accelerator,
                self.eval_augmentations,
                batch_size=args.eval_batch_size,
                max_segments=max_segments,
                early_stop=args.eval_early_stop,
            )
        return scores

    def boards(self, solved: SolvedPuzzles, count: int = 2) -> list[dict]:
        """The first puzzles with their predictions, as lines of characters to look at, and their kind."""
        count = min(count, len(solved))
        rows = {name: self.eval_puzzles[name][:count] for name in ("input_ids", "labels")}
        predictions, labels = (filled_in(tokens, rows) for tokens in (solved.predictions[:count], rows["labels"]))
        lines = {"puzzle": rows["input_ids"], "prediction": predictions, "answer": labels}
        kind = self.puzzles.kind
        texts = {name: [kind.log_line(self.processing, row) for row in tokens] for name, tokens in lines.items()}
        what = {"kind": kind.name, "width": self.processing.width}
        return [
            {name: texts[name][row] for name in texts} | {"segments": int(solved.segments[row])} | what
            for row in range(count)
        ]

    def headline(self, scores: dict) -> str:
        by_rules = f", {scores['solved']:.1%} by the rules" if "solved" in scores else ""
        return (
            f"{scores['exact_accuracy']:.1%} of {scores['n']} puzzles exactly solved{by_rules}, "
            f"{scores['cell_accuracy']:.1%} of cells correct"
        )

    def counts(self, steps: int, batch_size: int) -> dict[str, int]:
        return {"train_puzzles": self.num_train_items}


def segment_sums(output: HRMGridTaskOutput) -> dict[str, torch.Tensor]:
    """The metrics of the original for one segment, as sums.

    Accuracies and segments count sequences that halted in this segment and have labels; losses count all sequences.

    Returns:
        `sequences`, `count` (halted ones), `cell_accuracy`, `exact_accuracy`, `halt_accuracy`, `steps`, `lm_loss`,
        `q_halt_loss`, `q_continue_loss`: each a scalar tensor on the device of the model.
    """
    carry, batch_size = output.carry, output.logits.shape[0]
    counted = carry.halted & (carry.labels != IGNORE_INDEX).any(-1)
    halts_rightly = (output.q_halt_logits >= 0) == output.exact_accuracy.bool()
    zero = torch.zeros((), device=output.logits.device)
    return {
        "sequences": zero + batch_size,
        "count": counted.sum(),
        "cell_accuracy": torch.where(counted, output.cell_accuracy, 0).sum(),
        "exact_accuracy": torch.where(counted, output.exact_accuracy, 0).sum(),
        "halt_accuracy": (counted & halts_rightly).sum(),
        "steps": torch.where(counted, carry.steps, 0).sum(),
        "lm_loss": output.lm_loss.detach() * batch_size,
        "q_halt_loss": output.q_halt_loss.detach() * batch_size,
        "q_continue_loss": zero if output.q_continue_loss is None else output.q_continue_loss.detach() * batch_size,
    }


def build_model(model_args: ModelArguments, processor: HRMGridProcessor) -> HRMForGridTask:
    """A new model for the puzzles of a processor."""
    grid, positions = {}, model_args.position_embedding_type
    block = (processor.box_height, processor.box_width)
    if positions in ("grid", "rope_2d"):
        grid["grid_shape"] = [processor.height, processor.width]
    if positions == "grid" and None not in block:
        grid["block_shape"] = list(block)
    return HRMForGridTask(HRMConfig(**config_fields(model_args, processor), **grid))


def config_fields(model_args: ModelArguments, processor: HRMGridProcessor) -> dict[str, Any]:
    """Fields of the configuration that come from a recipe and a processor."""
    return asdict(model_args) | {
        "vocab_size": processor.vocab_size,
        "max_position_embeddings": processor.seq_len,
        "num_puzzle_identifiers": processor.num_puzzle_identifiers,
        "pad_token_id": processor.pad_token_id,
    }
