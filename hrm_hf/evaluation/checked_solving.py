"""Solving puzzles for a user: the model thinks, the rules judge, and no wrong board leaves as an answer.

for result in solve_checked(model, processor, ["8..........36......7..9.2...5...7......."], num_samples=8):
    print(result.outcome, result.answer or result.reason)

What solves is the model alone. An exact search looks only at Sudoku that its first answer has not solved: one with no
solution, or with several, is called so and costs no more thinking.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator

from hrm_hf.data.sudoku_validity import can_count, count_solutions
from hrm_hf.evaluation.test_time_compute import choose, draw_samples
from hrm_hf.export.solver import OnnxGridModel
from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


Outcome = Literal["solved", "not solved", "no solution", "more than one solution"]


@dataclass(frozen=True)
class CheckedAnswer:
    """What became of a puzzle.

    Attributes:
        puzzle: as a line.
        answer: its solution as a line; `None` unless it is solved.
        outcome: "solved" if the answer keeps all rules; "no solution" and "more than one solution" are faults of the
            puzzle that an exact search has found, after the model had not solved it.
        reason: of the outcome, in words.
        segments: of thinking, those of all copies together; 0 where the clues contradict each other.
        copies: of the puzzle that were asked, the puzzle itself among them.
        halt_probability: how sure the model is of its best answer, 0 to 1; `None` if it was not asked.
        steps: the board after each segment as a line, if they were asked for.
    """

    puzzle: str
    answer: str | None
    outcome: Outcome
    reason: str
    segments: int
    copies: int
    halt_probability: float | None
    steps: list[str] | None = None

    @property
    def solved(self) -> bool:
        """Whether there is an answer that keeps all rules."""
        return self.outcome == "solved"

    def as_dict(self) -> dict[str, Any]:
        """The fields as a plain dictionary, with `solved`; `steps` only where there are any."""
        fields = {"solved": self.solved} | asdict(self)
        if self.steps is None:
            del fields["steps"]
        return fields


def solve_checked(
    model: HRMForGridTask | OnnxGridModel,
    processor: HRMGridProcessor,
    puzzles: Any,
    num_samples: int = 1,
    max_segments: int | None = None,
    halt_threshold: float | None = None,
    keep_steps: bool = False,
    seed: int = 0,
) -> list[CheckedAnswer]:
    """Solve Sudoku or mazes and check every answer by the rules.

    Args:
        model: that solves; it is moved to the GPU, if there is one. Exported ones run on the CPU.
        processor: that belongs to it.
        puzzles: one or several, in any form that the processor takes.
        num_samples: answers to draw at most: the first of the puzzle as it is, the others of symmetric copies of it,
            until one keeps the rules.
        max_segments, halt_threshold: as in `HRMForGridTask.solve`.
        keep_steps: also give the board after each segment; for one sample.
        seed: of the symmetric copies.

    Returns:
        One for each puzzle, in their order.

    Raises:
        ValueError, TypeError: if a puzzle cannot be read, a maze contradicts itself, a number is out of range, or the
            model is for ARC, which has no rules to judge an answer by.
    """
    if processor.task == "arc":
        raise ValueError(
            "ARC has no rules that tell whether an answer is right; score such a model by hrm-hf evaluate-arc."
        )
    if keep_steps and num_samples > 1:
        raise ValueError(f"The steps are kept of one answer a puzzle, not of num_samples={num_samples}; ask for 1.")
    # what a Sudoku's clues have against each other is an outcome, so that the other puzzles are solved all the same
    inputs = processor(puzzles, check_rules=processor.task != "sudoku")
    lines = processor.batch_decode(inputs["input_ids"])
    contradictions = [_contradiction(processor, line) if processor.task == "sudoku" else None for line in lines]
    asked = [row for row, contradiction in enumerate(contradictions) if contradiction is None]
    results = {
        row: CheckedAnswer(lines[row], None, "no solution", contradiction, 0, 0, None)
        for row, contradiction in enumerate(contradictions)
        if contradiction is not None
    }
    if asked:
        answers = _ask(
            model,
            processor,
            {name: tensor[asked] for name, tensor in inputs.items()},
            num_samples,
            keep_steps,
            {"max_segments": max_segments, "halt_threshold": halt_threshold, "seed": seed},
        )
        results |= dict(zip(asked, answers, strict=True))
    return [results[row] for row in range(len(lines))]


def effort_text(segments: int, copies: int) -> str:
    """What an answer took, in words: `3 segments`, or `40 segments on 8 copies`."""
    text = f"{segments} segment{'' if segments == 1 else 's'}"
    return f"{text} on {copies} copies" if copies > 1 else text


def _contradiction(processor: HRMGridProcessor, line: str) -> str | None:
    """What the clues of a Sudoku that can be read have against each other, if anything."""
    try:
        processor(line)
    except ValueError as error:
        return str(error).removeprefix("The puzzle: ").rstrip(".")
    return None


def _ask(
    model: HRMForGridTask | OnnxGridModel,
    processor: HRMGridProcessor,
    inputs: dict[str, torch.Tensor],
    num_samples: int,
    keep_steps: bool,
    options: dict[str, Any],
) -> list[CheckedAnswer]:
    """Answers of the model to puzzles `(puzzles, tokens)` whose clues do not contradict each other."""
    accelerator = Accelerator()
    model.to(accelerator.device)
    # token 1 is the blank cell
    boards = (inputs["input_ids"] - 1).numpy().astype(np.uint8)
    counts: dict[int, int] = {}
    histories: list[torch.Tensor] = []

    def solve(*arguments, **keywords):
        output = model.solve(*arguments, **keywords, return_history=keep_steps)
        if keep_steps:
            histories.extend(output.prediction_history.cpu())
        return output

    def has_one_solution(rows: torch.Tensor) -> torch.Tensor:
        found = count_solutions(boards[rows.numpy()], processor.height)
        counts.update(zip(rows.tolist(), found.tolist(), strict=True))
        return torch.from_numpy(found == 1)

    countable = processor.task == "sudoku" and can_count(processor.height, processor.box_height, processor.box_width)
    samples = draw_samples(
        solve,
        inputs,
        processor,
        accelerator,
        num_samples,
        symmetries=num_samples > 1,
        worth_more=has_one_solution if countable else None,
        **options,
    )
    chosen = choose(samples)
    verdicts = processor.check_batch(inputs["input_ids"], chosen.predictions)
    puzzles, answers = (processor.batch_decode(ids) for ids in (inputs["input_ids"], chosen.predictions))
    results = []
    for row, verdict in enumerate(verdicts):
        segments = int(chosen.segments[row])
        outcome, reason = _judge(verdict.solved, verdict.reason, counts.get(row))
        results.append(
            CheckedAnswer(
                puzzle=puzzles[row],
                answer=answers[row] if verdict.solved else None,
                outcome=outcome,
                reason=reason,
                segments=segments,
                copies=int(chosen.num_samples[row]),
                halt_probability=chosen.halt_probabilities[row].item(),
                steps=processor.batch_decode(histories[row][:segments]) if keep_steps else None,
            )
        )
    return results


def _judge(solved: bool, reason: str, count: int | None) -> tuple[Outcome, str]:
    """Outcome and reason, of the verdict on the best answer and the number of solutions, where it was counted."""
    if solved:
        return "solved", reason
    if count == 0:
        return "no solution", "an exact search found no board that keeps these clues and the rules"
    if count == 2:
        return "more than one solution", "an exact search found two boards that keep these clues and the rules"
    return "not solved", f"in the best answer of the model {reason}"
