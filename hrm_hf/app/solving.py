"""Solving puzzles for the pages and the API, as plain JSON."""

import random
import time
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import AppSettings, out_of_time
from hrm_hf.app.limits import check_cost
from hrm_hf.app.models import ModelShelf
from hrm_hf.utils.time_limit import TimeLimit


if TYPE_CHECKING:
    from hrm_hf.evaluation.trace import Thinking
    from processing_hrm import HRMGridProcessor

MAX_SEGMENTS = 64
MAX_COPIES = 32
MAX_CHARACTERS = 4000  # of a puzzle, with all frames and line breaks

DIFFICULTIES = ("easy", "medium", "hard")


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A number from a page or a client as an integer.

    Raises:
        ValueError: if it is not a whole number within the bounds.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or not least <= value <= most or value != int(value):
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a whole number from {least} to {most}.")
    return int(value)


def checked_difficulty(value: Any) -> str:
    """A difficulty from a page or a client.

    Raises:
        ValueError: if it is not one of `DIFFICULTIES`.
    """
    if not isinstance(value, str) or value not in DIFFICULTIES:
        raise ValueError(
            f"difficulty={str(value)[:40]!r} is not allowed; it must be one of {', '.join(DIFFICULTIES)}."
        )
    return value


def any_seed(seed: Any) -> int:
    """A seed from a page or a client; a random one for -1.

    Raises:
        ValueError: if it is not a whole number from -1.
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
        """Solve a puzzle, and report the model's thinking.

        Args:
            model: one of `models`.
            puzzle: as a line or drawn, in any form that `hrm-hf solve` accepts.
            max_segments: maximum number of segments of thinking.
            copies: maximum number of symmetric copies of the puzzle to try, until an answer keeps the rules.
            early_stop: let the halting head stop the thinking.

        Returns:
            `puzzle` and `answer` as lines; `outcome` ("solved", "not solved", "no solution", "more than one solution",
            or "answered" if there are no rules); `solved` (`None` without rules) and `reason`; total `segments` and
            `copies`, both 0 if an exact search found the outcome; `seconds` of solving; `ballots`, the answers of
            all copies; and `steps`, one per segment: its board (`cells`), for each cell `sure` (its probability),
            `second` and `second_sure` (the second choice), `change_H` and `change_L` (how much its slow and fast
            state changed), `halt` (the halting probability) and `title`. The best answer of copies is a last step
            with only `cells`, `halt` and `title`, without `sure`.

        Raises:
            ValueError: if the model or a number is not allowed, or the text is not a puzzle for this model.
            TimeoutError: if it takes too long.
        """
        max_segments = whole_number("max_segments", max_segments, 1, MAX_SEGMENTS)
        copies = whole_number("copies", copies, 1, MAX_COPIES)
        if not isinstance(puzzle, str) or len(puzzle) > MAX_CHARACTERS:
            raise ValueError(f"The puzzle must be text of at most {MAX_CHARACTERS} characters.")
        from hrm_hf.evaluation.checked_solving import solve_checked
        from hrm_hf.puzzles.registry import kind_of

        grid_model, processor = self._shelf.load_grid(model)
        kind = kind_of(processor)
        if kind.no_solving is not None:
            raise ValueError(f"The model {model} is for {kind.title}; choose a task on its page.")
        check_cost(max_segments, copies, processor.seq_len)
        limit = TimeLimit(self._settings.seconds_per_request)
        started = time.perf_counter()
        (result,) = solve_checked(
            grid_model,
            processor,
            [one_puzzle(puzzle, processor)],
            num_samples=copies,
            max_segments=max_segments,
            early_stop=bool(early_stop),
            keep_thinking=True,
            limit=limit,
        )
        if limit.is_over() and result.outcome == "not solved":
            raise out_of_time(limit.seconds)
        steps = [] if result.thinking is None else thinking_steps(result.thinking, processor)
        if result.copies > 1:
            title = f"The best of {result.copies} copies"
            steps.append(
                {"cells": result.best, "sure": None, "halt": round(result.halt_probability, 4), "title": title}
            )
        return {
            "puzzle": result.puzzle,
            # if the exact search found the outcome, the board stays unchanged
            "answer": result.best or result.puzzle,
            "solved": result.solved,
            "outcome": result.outcome,
            "reason": result.reason,
            "segments": result.segments,
            "copies": result.copies,
            "ballots": result.ballots or [],
            "seconds": round(time.perf_counter() - started, 3),
            "steps": steps,
        }


def thinking_steps(thinking: "Thinking", processor: "HRMGridProcessor") -> list[dict[str, Any]]:
    """The segments of a puzzle for the board, see `hrm_hf.app.board`.

    Args:
        thinking: of one puzzle.
        processor: that was used to solve it.
    """
    boards, seconds = processor.batch_decode(thinking.boards), processor.batch_decode(thinking.second_boards)
    columns = {
        "sure": thinking.confidence,
        "second_sure": thinking.second_confidence,
        "change_H": thinking.cell_change_H,
        "change_L": thinking.cell_change_L,
    }
    rounded = {name: [[round(value, 3) for value in row] for row in rows.tolist()] for name, rows in columns.items()}
    return [
        {"cells": boards[number], "second": seconds[number], "halt": round(halt, 4), "title": None}
        | {name: rows[number] for name, rows in rounded.items()}
        for number, halt in enumerate(thinking.halt_probabilities.tolist())
    ]


def one_puzzle(text: str, processor: "HRMGridProcessor") -> str:
    """The only puzzle of a text, as a line of the processor.

    Args:
        text: in any form that `hrm-hf solve` accepts.
        processor: of the model that should solve it.

    Raises:
        ValueError: if the text holds no puzzle or several, or one that this processor does not accept.
    """
    from hrm_hf.puzzles.registry import kind_of
    from hrm_hf.puzzles.text import read_puzzles

    kind = kind_of(processor)
    if len(text) == processor.seq_len:
        # a board sends a line, which is kept even if it is a maze without a goal
        boards = [text]
    elif kind.reads_texts:
        boards = [puzzle.board for puzzle in kind.read_text(text, "", processor)]
    else:
        boards = [puzzle.board for puzzle in read_puzzles(text).puzzles]
    if len(boards) > 1:
        raise ValueError(f"The text holds {len(boards)} puzzles; give one here.")
    return processor.decode(processor(boards[0], check_rules=False)["input_ids"][0])


def rival_of(result: dict[str, Any]) -> str | None:
    """The model's effort for a result of `PuzzleDesk.solve_puzzle`, in words, for readers who race it.

    `None` if there is nothing to race: the model has no answer, or did not run.
    """
    from hrm_hf.evaluation.checked_solving import effort_text

    if not result["solved"] or result["segments"] == 0:
        return None
    return f"{effort_text(result['segments'], result['copies'])} and {result['seconds']:.2g} seconds"


def verdict_text(result: dict[str, Any]) -> str:
    """What the page says about a result of `PuzzleDesk.solve_puzzle`, as Markdown."""
    from hrm_hf.evaluation.checked_solving import effort_text

    reason = result["reason"][0].upper() + result["reason"][1:]
    verdict = f"**{result['outcome'].capitalize()}**"
    if result["segments"] > 0:
        verdict += f" in {effort_text(result['segments'], result['copies'])}, {result['seconds']:.2g} seconds"
    advice = " More segments or copies may help." if result["outcome"] == "not solved" else ""
    return f"{verdict}. {reason}.{advice}"
