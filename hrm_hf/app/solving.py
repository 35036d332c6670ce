"""Puzzles: what the pages and the API do with them, as plain JSON."""

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import AppSettings, Deadline
from hrm_hf.app.models import ModelShelf


if TYPE_CHECKING:
    from processing_hrm import HRMGridProcessor

MAX_SEGMENTS = 64
MAX_COPIES = 32
MAX_CHARACTERS = 4000  # of a puzzle, with all frames and line breaks

DIFFICULTIES = ("easy", "medium", "hard")


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A number from a page or a client as an integer.

    Raises:
        ValueError: if it is none within the bounds.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or not least <= value <= most or value != int(value):
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a whole number from {least} to {most}.")
    return int(value)


def checked_difficulty(value: Any) -> str:
    """A difficulty from a page or a client.

    Raises:
        ValueError: if it is none of `DIFFICULTIES`.
    """
    if not isinstance(value, str) or value not in DIFFICULTIES:
        raise ValueError(
            f"difficulty={str(value)[:40]!r} is not allowed; it must be one of {', '.join(DIFFICULTIES)}."
        )
    return value


def any_seed(seed: Any) -> int:
    """A seed from a page or a client; a random one for -1.

    Raises:
        ValueError: if it is no whole number from -1 on.
    """
    seed = whole_number("seed", seed, -1, 2**31 - 1)
    return random.randrange(2**31) if seed == -1 else seed


class PuzzleDesk:
    """Solves puzzles.

    Args:
        settings: of the app.
        shelf: its models.
    """

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        self._settings, self._shelf = settings, shelf

    def solve_puzzle(
        self, model: str, puzzle: str, max_segments: int = 16, copies: int = 1, early_stop: bool = True
    ) -> dict[str, Any]:
        """Solve a puzzle, and tell what the model thought on the way.

        Args:
            model: one of `models`.
            puzzle: as a line or as drawn, in any form that `hrm-hf solve` takes.
            max_segments: most segments of thinking.
            copies: symmetric copies of the puzzle to ask at most, until an answer keeps the rules.
            early_stop: let the halting head stop the thinking.

        Returns:
            `puzzle` and `answer` as lines, `solved` and `reason` by the rules, `outcome` ("solved", "not solved", "no
            solution" or "more than one solution"), `segments` in all, `copies` asked (both 0 where an exact search
            told the outcome), and `steps`: for each segment its board (`cells`), `sure` (the probability of each
            cell), `halt` (the halting probability) and `title`; the answer of copies is a last step, without `sure`.

        Raises:
            ValueError: if the model or a number is not allowed, the puzzle is none, or it is none for this model.
            TimeoutError: if it takes too long.
        """
        max_segments = whole_number("max_segments", max_segments, 1, MAX_SEGMENTS)
        copies = whole_number("copies", copies, 1, MAX_COPIES)
        if not isinstance(puzzle, str) or len(puzzle) > MAX_CHARACTERS:
            raise ValueError(f"The puzzle must be text of at most {MAX_CHARACTERS} characters.")
        from hrm_hf.puzzles.registry import kind_of

        grid_model, processor = self._shelf.load_grid(model)
        kind = kind_of(processor)
        if kind.no_solving is not None:
            raise ValueError(f"The model {model} is for {kind.title}; choose a task on its page.")
        line = one_puzzle(puzzle, processor)
        inputs = processor(line, check_rules=not kind.bad_clues_are_outcomes).to(grid_model.device)
        (check,) = processor.exact_checks(inputs["input_ids"])
        if check is not None:
            return {
                "puzzle": line,
                "answer": line,
                "solved": check.outcome == "solved",
                "outcome": check.outcome,
                "reason": check.reason,
                "segments": 0,
                "copies": 0,
                "steps": [],
            }
        clues = inputs["input_ids"].cpu()
        (remark,) = processor.remarks(clues)
        inputs["input_ids"] = processor.without_spare_clues(inputs["input_ids"])
        deadline = Deadline(self._settings.seconds_per_request)

        from hrm_hf.evaluation.trace import trace_thinking

        thinking = trace_thinking(
            grid_model, **inputs, max_segments=max_segments, early_stop=bool(early_stop), perturb=deadline
        )
        tokens = processor.keep_clues(clues, thinking.boards)
        boards = processor.batch_decode(tokens)
        steps = [
            {"cells": cells, "sure": [round(share, 4) for share in sure], "halt": round(halt, 4), "title": None}
            for cells, sure, halt in zip(
                boards, thinking.confidence.tolist(), thinking.halt_probabilities.tolist(), strict=True
            )
        ]
        answer, asked, segments = boards[-1], 1, len(boards)
        (verdict,) = kind.verdicts(processor, clues, tokens[-1:])
        if copies > 1 and not verdict.solved:
            from accelerate import Accelerator

            from hrm_hf.evaluation.checked_solving import keeping_clues
            from hrm_hf.evaluation.test_time_compute import solve_with_samples

            chosen = solve_with_samples(
                keeping_clues(partial(grid_model.solve, perturb=deadline), processor),
                dict(inputs.to("cpu")),
                processor,
                Accelerator(),
                copies,
                max_segments=max_segments,
                early_stop=bool(early_stop),
            )
            tokens = processor.keep_clues(clues, chosen.predictions)
            answer = processor.decode(tokens[0])
            asked, segments = int(chosen.num_samples[0]), int(chosen.segments[0])
            halt = round(chosen.halt_probabilities[0].item(), 4)
            steps.append({"cells": answer, "sure": None, "halt": halt, "title": f"The best of {asked} copies"})
            (verdict,) = kind.verdicts(processor, clues, tokens)
        return {
            "puzzle": line,
            "answer": answer,
            "solved": verdict.solved,
            "outcome": "solved" if verdict.solved else "not solved",
            "reason": verdict.reason if verdict.solved or remark is None else f"{verdict.reason}; {remark}",
            "segments": segments,
            "copies": asked,
            "steps": steps,
        }


def one_puzzle(text: str, processor: "HRMGridProcessor") -> str:
    """The one puzzle of a text, as a line of the processor.

    Args:
        text: in any form that `hrm-hf solve` takes.
        processor: of the model that it is for.

    Raises:
        ValueError: if there is none or more than one, or it is none for this processor.
    """
    from hrm_hf.puzzles.registry import kind_of
    from hrm_hf.puzzles.text import read_puzzles

    kind = kind_of(processor)
    if len(text) == processor.seq_len:
        # what comes from a board is a line as it is, be it a maze that lacks its goal
        boards = [text]
    elif kind.reads_texts:
        boards = [puzzle.board for puzzle in kind.read_text(text, "", processor)]
    else:
        boards = [puzzle.board for puzzle in read_puzzles(text).puzzles]
    if len(boards) > 1:
        raise ValueError(f"The text holds {len(boards)} puzzles; give one here.")
    return processor.decode(processor(boards[0], check_rules=False)["input_ids"][0])


def verdict_text(result: dict[str, Any]) -> str:
    """What the page says of a result of `PuzzleDesk.solve_puzzle`, as Markdown."""
    from hrm_hf.evaluation.checked_solving import effort_text

    reason = result["reason"][0].upper() + result["reason"][1:]
    if result["segments"] == 0:
        return f"**{result['outcome'].capitalize()}.** {reason}."
    effort = effort_text(result["segments"], result["copies"])
    if result["solved"]:
        return f"**Solved** in {effort}. {reason}."
    return f"**Not solved** in {effort}. {reason}. More segments or copies may help."
