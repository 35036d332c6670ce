"""Sudoku and mazes: what the pages and the API do with them, as plain JSON."""

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from hrm_hf.app.context import AppSettings, Deadline
from hrm_hf.app.models import ModelShelf


if TYPE_CHECKING:
    from processing_hrm import HRMGridProcessor

MAX_SEGMENTS = 64
MAX_COPIES = 32
MAX_SIDE = 30  # of a maze
MAX_CHARACTERS = 4000  # of a puzzle, with all frames and line breaks

DIFFICULTIES = ("easy", "medium", "hard")
# given cells; None is as few as removing one by one reaches
_CLUES = {
    4: {"easy": 9, "medium": 7, "hard": 5},
    6: {"easy": 26, "medium": 22, "hard": 18},
    9: {"easy": 45, "medium": 34, "hard": None},
    16: {"easy": 200, "medium": 170, "hard": 150},
}
# share of the steps that are rare in mazes of a size
_STEPS = {"easy": 0.3, "medium": 0.6, "hard": 1.0}


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A number from a page or a client as an integer.

    Raises:
        ValueError: if it is none within the bounds.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or not least <= value <= most or value != int(value):
        raise ValueError(f"{name}={str(value)[:40]} is not allowed; it must be a whole number from {least} to {most}.")
    return int(value)


def _difficulty(value: Any) -> str:
    if not isinstance(value, str) or value not in DIFFICULTIES:
        raise ValueError(
            f"difficulty={str(value)[:40]!r} is not allowed; it must be one of {', '.join(DIFFICULTIES)}."
        )
    return value


class PuzzleDesk:
    """Solves and makes puzzles.

    Args:
        settings: of the app.
        shelf: its models.
    """

    def __init__(self, settings: AppSettings, shelf: ModelShelf):
        self._settings, self._shelf = settings, shelf

    def solve_puzzle(
        self, model: str, puzzle: str, max_segments: int = 16, copies: int = 1, early_stop: bool = True
    ) -> dict[str, Any]:
        """Solve a Sudoku or a maze, and tell what the model thought on the way.

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
        grid_model, processor = self._shelf.load_grid(model)
        if processor.task == "arc":
            raise ValueError(f"The model {model} is for ARC; choose a task on its page.")
        line = one_puzzle(puzzle, processor)
        inputs = processor(line, check_rules=processor.task != "sudoku").to(grid_model.device)
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
        boards = processor.batch_decode(processor.keep_clues(clues, thinking.boards))
        steps = [
            {"cells": cells, "sure": [round(share, 4) for share in sure], "halt": round(halt, 4), "title": None}
            for cells, sure, halt in zip(
                boards, thinking.confidence.tolist(), thinking.halt_probabilities.tolist(), strict=True
            )
        ]
        answer, asked, segments = boards[-1], 1, len(boards)
        verdict = processor.check(line, answer)
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
            answer = processor.decode(processor.keep_clues(clues, chosen.predictions)[0])
            asked, segments = int(chosen.num_samples[0]), int(chosen.segments[0])
            halt = round(chosen.halt_probabilities[0].item(), 4)
            steps.append({"cells": answer, "sure": None, "halt": halt, "title": f"The best of {asked} copies"})
            verdict = processor.check(line, answer)
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

    def random_sudoku(self, size: int = 9, difficulty: str = "medium", seed: int = -1) -> str:
        """A Sudoku with exactly one solution, as a line with `.` for an open cell.

        Args:
            size: 4, 6, 9 or 16.
            difficulty: "easy", "medium" or "hard": how few cells are given.
            seed: equal seeds give equal puzzles; -1 is any.

        Raises:
            ValueError: if a value is not allowed.
        """
        from hrm_hf.puzzles.sudoku.generator import generate
        from hrm_hf.puzzles.sudoku.rules import format_boards

        size = whole_number("size", size, 4, 16)
        if size not in _CLUES:
            raise ValueError(f"size={size} is not allowed; it must be one of {', '.join(map(str, _CLUES))}.")
        clues = _CLUES[size][_difficulty(difficulty)]
        questions, _, _ = generate(1, size, clues, seed=_seed(seed), progress=False)
        return format_boards(questions)[0]

    def random_maze(self, height: int = 30, width: int = 30, difficulty: str = "hard", seed: int = -1) -> str:
        """A maze with exactly one shortest path, as a line of `# SG`, row by row.

        Args:
            height, width: rows and columns.
            difficulty: "easy", "medium" or "hard": how long its path is.
            seed: equal seeds give equal mazes; -1 is any.

        Raises:
            ValueError: if a value is not allowed.
        """
        from hrm_hf.puzzles.maze.generator import generate, hard_steps
        from hrm_hf.puzzles.maze.rules import format_mazes

        height, width = (
            whole_number(name, side, 4, MAX_SIDE) for name, side in (("height", height), ("width", width))
        )
        steps = max(2, round(hard_steps(height, width) * _STEPS[_difficulty(difficulty)]))
        mazes, _, _ = generate(1, height, width, steps, seed=_seed(seed), progress=False)
        return format_mazes(mazes)[0]


def _seed(seed: Any) -> int:
    seed = whole_number("seed", seed, -1, 2**31 - 1)
    return random.randrange(2**31) if seed == -1 else seed


def one_puzzle(text: str, processor: "HRMGridProcessor") -> str:
    """The one puzzle of a text, as a line of the processor.

    Args:
        text: in any form that `hrm-hf solve` takes.
        processor: of the model that it is for.

    Raises:
        ValueError: if there is none or more than one, or it is none for this processor.
    """
    from hrm_hf.puzzles.text import read_puzzles

    # what comes from a board is a line as it is, be it a maze that lacks its goal
    boards = [text] if len(text) == processor.seq_len else [puzzle.board for puzzle in read_puzzles(text).puzzles]
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
