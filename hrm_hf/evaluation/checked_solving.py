"""Solving puzzles for a user: the model thinks, the rules judge, and a wrong board is never returned as an answer.

for result in solve_checked(model, processor, ["8..........36......7..9.2...5...7......."], num_samples=8):
    print(result.outcome, result.answer or result.reason)

Only the model solves. Before it runs, an exact search finds puzzles with no solution or several, and full boards;
these are reported without thinking. An answer never changes a clue.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from accelerate import Accelerator
from tqdm import tqdm

from hrm_hf.evaluation.test_time_compute import OutOfTime, choose, draw_samples
from hrm_hf.evaluation.trace import Thinking, trace_thinking
from hrm_hf.export.solver import OnnxGridModel
from hrm_hf.puzzles.found import PuzzleText
from hrm_hf.puzzles.registry import kind_of
from hrm_hf.utils.time_limit import TimeLimit
from modeling_hrm import HRMForGridTask, HRMSolveOutput, HRMState
from processing_hrm import HRMGridProcessor


_MOST_AT_ONCE = 64
NO_RULES = "no rules tell whether it is right"

Outcome = Literal["solved", "not solved", "no solution", "more than one solution", "answered"]


@dataclass(frozen=True)
class CheckedAnswer:
    """What became of a puzzle.

    Attributes:
        puzzle: as a line.
        answer: its solution as a line; `None` unless it is solved, or there are no rules to check it.
        outcome: "solved" if the answer keeps all rules; "no solution" and "more than one solution" are faults of the
            puzzle found by an exact search; "answered" if there are no rules to check it.
        reason: of the outcome, in words.
        segments: of all copies together; 0 if the model did not run.
        copies: number of copies that were tried, including the puzzle itself.
        halt_probability: how sure the model is of its best answer, 0 to 1; `None` if it did not run.
        steps: the board after each segment as a line, if requested.
        best: the model's best answer as a line, whether or not it keeps the rules; `None` if it has none.
        thinking: the trace for the original puzzle, with its clues kept; if requested.
        ballots: the answer of each copy, mapped back to the puzzle, as lines; with `thinking`.
    """

    puzzle: str
    answer: str | None
    outcome: Outcome
    reason: str
    segments: int
    copies: int
    halt_probability: float | None
    steps: list[str] | None = None
    best: str | None = None
    thinking: Thinking | None = None
    ballots: list[str] | None = None

    @property
    def solved(self) -> bool | None:
        """Whether there is an answer that keeps all rules; `None` if there are no rules."""
        return None if self.outcome == "answered" else self.outcome == "solved"

    def cut(self, cut: Callable[[str], str]) -> "CheckedAnswer":
        """The same with all lines of boards cut, for a puzzle on a larger board; without `thinking`.

        Args:
            cut: gives the line of the puzzle for one of the board.
        """
        lines = {name: getattr(self, name) for name in ("puzzle", "answer", "best")}
        lists = {name: getattr(self, name) for name in ("steps", "ballots")}
        return replace(
            self,
            thinking=None,
            **{name: None if line is None else cut(line) for name, line in lines.items()},
            **{name: None if boards is None else [cut(line) for line in boards] for name, boards in lists.items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """`solved` and the fields as a dictionary, without those only for watching; `steps` if there are any."""
        left_out = {"best", "thinking", "ballots"} | ({"steps"} if self.steps is None else set())
        names = [field.name for field in fields(self) if field.name not in left_out]
        return {"solved": self.solved} | {name: getattr(self, name) for name in names}


def solve_checked(
    model: HRMForGridTask | OnnxGridModel,
    processor: HRMGridProcessor,
    puzzles: Any,
    num_samples: int = 1,
    max_segments: int | None = None,
    halt_threshold: float | None = None,
    early_stop: bool = True,
    keep_steps: bool = False,
    keep_thinking: bool = False,
    seed: int = 0,
    limit: TimeLimit | None = None,
    progress: str | None = None,
) -> list[CheckedAnswer]:
    """Solve puzzles and check every answer against the rules, if any.

    Args:
        model: moved to the GPU, if there is one. Exported models run on the CPU.
        processor: of the model.
        puzzles: one or several, in any form that the processor accepts.
        num_samples: maximum number of answers to draw: the first for the original puzzle, the others for symmetric
            copies, until one keeps the rules.
        max_segments, halt_threshold, early_stop: as in `HRMForGridTask.solve`.
        keep_steps: also return the board after each segment; for one sample.
        keep_thinking: also return the trace of the first sample; for one puzzle.
        seed: for the symmetric copies.
        limit: time limit; puzzles without an answer by then are not solved.
        progress: label of a progress bar that a terminal shows after two seconds; none by default.

    Returns:
        One per puzzle, in order.

    Raises:
        ValueError, TypeError: if a puzzle cannot be read, a maze contradicts itself, a number is out of range, or the
            model is for ARC, which has no rules to check an answer.
    """
    kind = kind_of(processor)
    if kind.no_solving is not None:
        raise ValueError(kind.no_solving)
    if keep_steps and num_samples > 1:
        raise ValueError(f"Steps are kept for one answer per puzzle, not for num_samples={num_samples}; use 1.")
    # contradictions between clues are an outcome, so that the other puzzles are still solved
    inputs = processor(puzzles, check_rules=not kind.bad_clues_are_outcomes)
    lines = processor.batch_decode(inputs["input_ids"])
    if keep_thinking and len(lines) != 1:
        raise ValueError(f"There are {len(lines)} puzzles; give one to watch the model think about.")
    # impossible options are an error even if the model does not run
    model.check_puzzles(**inputs, max_segments=max_segments, halt_threshold=halt_threshold)
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples} is not allowed; it must be at least 1.")
    checks = processor.exact_checks(inputs["input_ids"])
    results = {
        row: CheckedAnswer(
            puzzle=lines[row],
            answer=lines[row] if check.outcome == "solved" else None,
            outcome=check.outcome,
            reason=check.reason,
            segments=0,
            copies=0,
            halt_probability=None,
        )
        for row, check in enumerate(checks)
        if check is not None
    }
    asked = [row for row, check in enumerate(checks) if check is None]
    if asked:
        answers = _ask(
            model,
            processor,
            {name: tensor[asked] for name, tensor in inputs.items()},
            num_samples,
            keep_steps,
            keep_thinking,
            limit or TimeLimit(None),
            progress,
            {
                "max_segments": max_segments,
                "halt_threshold": halt_threshold,
                "early_stop": early_stop,
                "seed": seed,
            },
        )
        results |= dict(zip(asked, answers, strict=True))
    return [results[row] for row in range(len(lines))]


def solve_in_turn(
    model: HRMForGridTask,
    processor: HRMGridProcessor,
    puzzles: Sequence[PuzzleText],
    progress: bool = False,
    **options,
) -> Iterator[tuple[CheckedAnswer, Callable[..., str]]]:
    """Solve puzzles that were read, some at a time, and yield each answer as soon as it is available.

    Args:
        model, processor: as for `solve_checked`.
        puzzles: in order.
        progress: show progress in a terminal.
        options: other options of `solve_checked`.

    Yields:
        The answer to each puzzle, in the digits and the size of the puzzle, and the function that draws its boards:
        `HRMGridProcessor.pretty`. A puzzle smaller than the boards of the model is solved on a board, if its kind can
        (`PuzzleKind.framed`).
    """
    first, most = 0, 1
    while first < len(puzzles):
        part = list(puzzles[first : first + most])
        # all of a part have the same notation
        part = part[: next((i for i, puzzle in enumerate(part) if puzzle.notation != part[0].notation), len(part))]
        kind = kind_of(processor)
        frames = [kind.framed(puzzle.board, processor) for puzzle in part]
        label = f"puzzles {first + 1}-{first + len(part)} of {len(puzzles)}" if len(puzzles) > 1 else "solve"
        own = processor
        boards = [puzzle.board if frame is None else frame.board for puzzle, frame in zip(part, frames, strict=True)]
        if part[0].notation is not None and processor.seq_len == part[0].cells:
            own = processor.in_notation(part[0].notation)
            # puzzles are read with the digits of the original processor
            ids = processor(boards, check_rules=False)["input_ids"]
            boards = own.batch_decode(ids)
        answers = solve_checked(model, own, boards, progress=label if progress else None, **options)
        for answer, frame in zip(answers, frames, strict=True):
            if frame is None:
                yield answer, own.pretty
            else:
                yield answer.cut(frame.cut), frame.processor.pretty
        # the first answers come soon, the later ones in large batches, which are faster
        first, most = first + len(part), min(2 * most, _MOST_AT_ONCE)


def effort_text(segments: int, copies: int) -> str:
    """The effort for an answer in words: `3 segments`, or `40 segments on 8 copies`."""
    text = f"{segments} segment{'' if segments == 1 else 's'}"
    return f"{text} on {copies} copies" if copies > 1 else text


def keeping_clues(solve: Callable[..., HRMSolveOutput], processor: HRMGridProcessor) -> Callable[..., HRMSolveOutput]:
    """`HRMForGridTask.solve`, or a function with its interface, with answers that never change a clue."""

    def solve_and_keep(input_ids: torch.LongTensor, *arguments, **options) -> HRMSolveOutput:
        output = solve(input_ids, *arguments, **options)
        output.predictions = processor.keep_clues(input_ids, output.predictions)
        if output.prediction_history is not None:
            output.prediction_history = processor.keep_clues(input_ids[:, None], output.prediction_history)
        return output

    return solve_and_keep


class _Watched:
    """`HRMForGridTask.solve` that keeps the trace of its first call, which is for one puzzle."""

    def __init__(self, model: HRMForGridTask):
        self._model = model
        self._thinking: Thinking | None = None

    def __call__(self, input_ids, puzzle_identifiers=None, return_history: bool = False, **options) -> HRMSolveOutput:
        if self._thinking is not None:
            return self._model.solve(input_ids, puzzle_identifiers, return_history=return_history, **options)
        thinking = self._thinking = trace_thinking(self._model, input_ids, puzzle_identifiers, **options)
        return HRMSolveOutput(
            predictions=thinking.boards[-1:].to(input_ids.device),
            segments=torch.tensor([len(thinking.boards)]),
            halted=torch.tensor([thinking.halted]),
            halt_probabilities=thinking.halt_probabilities[-1:],
            prediction_history=thinking.boards[None].to(input_ids.device) if return_history else None,
        )

    def kept(self, processor: HRMGridProcessor, clues: torch.LongTensor) -> Thinking:
        """The trace, with the clues `(1, tokens)` of the puzzle kept."""
        return replace(self._thinking, boards=processor.keep_clues(clues.cpu(), self._thinking.boards))


class _Watch:
    """Looks at the clock before every segment and moves a progress bar: `perturb` of `HRMForGridTask.solve`."""

    def __init__(self, limit: TimeLimit, bar: tqdm):
        self._limit, self._bar = limit, bar

    def __call__(self, state: HRMState, rows: torch.LongTensor, segment: int) -> HRMState:
        if self._limit.is_over():
            raise OutOfTime
        self._bar.update()
        return state


def _ask(
    model: HRMForGridTask | OnnxGridModel,
    processor: HRMGridProcessor,
    inputs: dict[str, torch.Tensor],
    num_samples: int,
    keep_steps: bool,
    keep_thinking: bool,
    limit: TimeLimit,
    progress: str | None,
    options: dict[str, Any],
) -> list[CheckedAnswer]:
    """Answers of the model to puzzles `(puzzles, tokens)` in which an exact search found no fault."""
    accelerator = Accelerator()
    model.to(accelerator.device)
    histories: list[torch.Tensor] = []
    watched = _Watched(model) if keep_thinking else None
    keep_and_solve = keeping_clues(watched or model.solve, processor)
    # the full puzzle checks the answer and keeps its clues; a nearly full board is made harder for the model
    asked = inputs | {"input_ids": processor.without_spare_clues(inputs["input_ids"])}
    most = (options["max_segments"] or model.config.halt_max_steps) * num_samples
    with tqdm(
        desc=progress, total=most, unit="segment", leave=False, delay=2, disable=None if progress else True
    ) as bar:

        def solve(*arguments, **keywords) -> HRMSolveOutput:
            output = keep_and_solve(*arguments, **keywords, return_history=keep_steps, perturb=_Watch(limit, bar))
            if keep_steps:
                histories.extend(output.prediction_history.cpu())
            return output

        samples = draw_samples(
            solve,
            asked,
            processor,
            accelerator,
            num_samples,
            symmetries=num_samples > 1,
            **options,
        )
    was_drawn = samples.segments > 0
    rows = was_drawn.any(1).nonzero().squeeze(1)
    out_of_time = f"the time limit of {limit.seconds:g} seconds was reached" if limit.is_over() else None
    puzzles, remarks = processor.batch_decode(inputs["input_ids"]), processor.remarks(inputs["input_ids"])
    results = [
        CheckedAnswer(puzzle, None, "not solved", f"{out_of_time} before the model had an answer", 0, 0, None)
        for puzzle in puzzles
    ]
    if len(rows) == 0:
        return results
    chosen = choose(replace(samples, **{name: getattr(samples, name)[rows] for name in vars(samples)}))
    answers = processor.batch_decode(chosen.predictions)
    kind, verdicts = kind_of(processor), [None] * len(rows)
    if kind.has_rules:
        verdicts = kind.verdicts(processor, inputs["input_ids"][rows], chosen.predictions)
    for index, (row, verdict) in enumerate(zip(rows.tolist(), verdicts, strict=True)):
        segments = int(chosen.segments[index])
        reason = NO_RULES if verdict is None else verdict.reason
        outcome: Outcome = "answered" if verdict is None else "solved" if verdict.solved else "not solved"
        if outcome == "not solved":
            reason = f"in the model's best answer, {verdict.reason}"
            if remarks[row] is not None:
                reason += f"; {remarks[row]}"
            if out_of_time and int(chosen.num_samples[index]) < num_samples:
                reason += f"; {out_of_time}"
        results[row] = CheckedAnswer(
            puzzle=puzzles[row],
            answer=None if outcome == "not solved" else answers[index],
            outcome=outcome,
            reason=reason,
            segments=segments,
            best=answers[index],
            thinking=None if watched is None else watched.kept(processor, inputs["input_ids"]),
            ballots=None
            if watched is None
            else processor.batch_decode(samples.predictions[row, was_drawn[row]].long()),
            copies=int(chosen.num_samples[index]),
            halt_probability=chosen.halt_probabilities[index].item(),
            steps=processor.batch_decode(histories[row][:segments]) if keep_steps else None,
        )
    return results
