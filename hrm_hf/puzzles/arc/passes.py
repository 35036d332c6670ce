"""Answers in several passes: after each, the model is shown the cells of its own answer that it is surest of.

    solve = SeveralPasses(model, 4)
    answers = vote(solve, tests, processor, accelerator, max_segments=1)

All cells of an answer are predicted at the same time, so uncertain cells may not fit each other. A model that was
trained with parts of the answers shown (`arc_share_shown`) can decide some cells, look at them, and then decide the
others, like the decoding of masked language models (MaskGIT, arXiv 2202.04200, section 3.2).
"""

import torch

from hrm_hf.puzzles.arc.canvases import SHOWN_VOCAB_SIZE, show_cells
from modeling_hrm import HRMForGridTask, HRMSolveOutput


class SeveralPasses:
    """Solves like `HRMForGridTask.solve`, in several passes.

    Args:
        model: trained with `arc_share_shown`.
        num_passes: at least 1; 1 is `solve`. After each pass but the last, half of the cells that are still hidden
            are shown.

    Raises:
        ValueError: if the model cannot be shown answers, or there is no pass.
    """

    def __init__(self, model: HRMForGridTask, num_passes: int):
        if model.config.vocab_size != SHOWN_VOCAB_SIZE:
            raise ValueError(
                f"The model has vocab_size={model.config.vocab_size}, so it cannot be shown cells of an answer; give "
                "one that was trained with arc_share_shown."
            )
        if num_passes < 1:
            raise ValueError(f"num_passes={num_passes} is not allowed; it must be at least 1.")
        self.model, self.num_passes = model, num_passes

    @torch.no_grad()
    def __call__(self, input_ids: torch.LongTensor, **options) -> HRMSolveOutput:
        """Solve puzzles `(batch, cells)`; options as in `HRMForGridTask.solve`."""
        questions, shown = input_ids, torch.zeros_like(input_ids, dtype=torch.bool)
        answers = torch.zeros_like(input_ids)
        total = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        for number in range(1, self.num_passes + 1):
            logits = torch.empty(*input_ids.shape, self.model.config.num_answer_tokens, device=input_ids.device)
            halting = torch.empty(len(input_ids), device=input_ids.device)
            for segment in self.model.segments(show_cells(questions, answers, shown), **options):
                logits[segment.rows] = segment.logits.float()
                halting[segment.rows] = torch.sigmoid(segment.q_halt)
                total[segment.rows] += 1
            probabilities, predictions = logits.softmax(-1).max(-1)
            answers = torch.where(shown, answers, predictions)
            if number < self.num_passes:
                hidden = input_ids.shape[1] // 2**number
                order = probabilities.masked_fill(shown, 2.0).argsort(dim=1, descending=True)
                shown = torch.zeros_like(shown).scatter(1, order[:, : input_ids.shape[1] - hidden], True)
        return HRMSolveOutput(
            predictions=answers,
            segments=total,
            halted=torch.ones_like(total, dtype=torch.bool),
            halt_probabilities=halting,
        )
