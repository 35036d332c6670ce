"""A kind of puzzle: one object with everything that differs between kinds.

Your own kind is a subclass in your own file, which ends with `register(MyKind())`; see `hrm_hf.puzzles.registry`. It
sets `name`, `title`, `plural`, `processor` and whatever else differs from the defaults here. Methods import heavy
packages (numba, matplotlib, datasets) when they are called, so that listing all kinds is fast.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from processing_hrm import HRMGridProcessor, Verdict


if TYPE_CHECKING:
    import datasets
    from matplotlib.axes import Axes

    from hrm_hf.puzzles.found import PuzzleText
    from hrm_hf.puzzles.rows import Augmentation
    from hrm_hf.puzzles.sets import PuzzleSet

# of the entry in the YAML of a data card that describes its puzzles
CARD_KEY = "hrm"


class Copies(Protocol):
    """A symmetry for each board of a batch, on token ids `(batch, tokens)`."""

    def apply(self, boards: torch.Tensor) -> torch.Tensor:
        """The symmetric boards."""

    def undo(self, boards: torch.Tensor) -> torch.Tensor:
        """The boards that `apply` turns into these."""


@dataclass(frozen=True)
class Framed:
    """A puzzle on a larger board, which a model takes.

    Attributes:
        board: for the model.
        processor: of the puzzle itself.
        cut: the line of the puzzle from one of the board.
    """

    board: str
    processor: HRMGridProcessor
    cut: Callable[[str], str]


class PuzzleKind:
    """A kind of puzzle.

    Attributes:
        name: the `kind` or else the `task` of a processor, and the `kind` of a data card.
        title: as a heading.
        plural: in a sentence.
        symbols: characters in the lines of its questions and answers; none if these are not lines of characters. They
            help to guess the kind of puzzles without a card.
        subset: name of a subset that only data sets of this kind have, if they have subsets.
        has_rules: whether an answer can be checked without the expected one.
        has_one_answer: whether a puzzle has exactly one right answer, so that no other than the expected one keeps the
            rules.
        bad_clues_are_outcomes: whether contradictory clues are an outcome of solving, found by the exact search of
            the processor; otherwise such a puzzle is an error.
        logs_boards: whether the evaluations of a training run log some boards, as lines.
        no_solving: why its puzzles are not solved one by one, as a sentence with an alternative; `None` if they are.
        fills: color of each symbol in the small boards of the monitor.
        reads_texts: whether it finds its puzzles in texts itself (`read_text`); otherwise `hrm_hf.puzzles.text` does.
    """

    name: str
    title: str
    plural: str
    symbols: frozenset[str] = frozenset()
    subset: str | None = None
    has_rules: bool = True
    has_one_answer: bool = False
    bad_clues_are_outcomes: bool = False
    logs_boards: bool = True
    no_solving: str | None = None
    fills: Mapping[str, str] = {}
    reads_texts: bool = False

    def recognizes(self, line: str) -> bool:
        """Whether the cells of a line can be a question or an answer of this kind; a guess, for `registry.guess`."""
        return self.symbols.issuperset(line)

    # --- data sets

    def card_entry(self, processor: HRMGridProcessor) -> dict[str, Any]:
        """The description of its puzzles in the YAML of a data card, from which `processor` can make a processor."""
        return {CARD_KEY: {"kind": self.name, "height": processor.height, "width": processor.width}}

    def processor(self, entry: Mapping[str, Any]) -> HRMGridProcessor:
        """The processor of the puzzles described by a card.

        Args:
            entry: from `card_entry`, below its key.

        Raises:
            ValueError, TypeError, KeyError: if the entry is not valid for this kind.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define how to make its processor.")

    def processor_of_rows(self, rows: "datasets.Dataset") -> HRMGridProcessor:
        """The processor of a data set without such a card, with at least one row.

        Raises:
            ValueError: if it cannot be determined.
        """
        raise ValueError(f"The card of a data set of {self.plural} must describe them; build it again.")

    def open(self, dataset: str, split: str, limit: int | None, entry: Mapping[str, Any] | None) -> "PuzzleSet":
        """A split of a data set of this kind.

        Args:
            dataset, split, limit: as for `open_puzzles`.
            entry: its description on the card; `None` if there is none.
        """
        from hrm_hf.puzzles.sets import BoardSet

        return BoardSet(self, dataset, split, limit, entry)

    def builder(self) -> Callable | None:
        """The function of the command `hrm-hf data NAME`, NAME being the kind's name; `None` if there is none."""
        return None

    def read_text(self, text: str, name: str, processor: HRMGridProcessor) -> "list[PuzzleText]":
        """The puzzles in a text, for a kind with `reads_texts`.

        Args:
            text: with any number of puzzles.
            name: of the text in messages.
            processor: of the model that should solve them.

        Raises:
            ValueError: if there is none, or something looks like a puzzle but is not.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define how to read its puzzles.")

    # --- symmetries

    def augmentation(self, processor: HRMGridProcessor, seed: int) -> "Augmentation | None":
        """Applies a random symmetry to each training example; `None` if there are no symmetries."""
        return None

    def filling(self, processor: HRMGridProcessor, seed: int, share: float) -> "Augmentation | None":
        """Fills in more cells of the answer in a fraction of training examples; `None` if the result is not a puzzle.

        Args:
            processor: of the puzzles.
            seed: for the choice of examples and cells.
            share: fraction of the examples, above 0 and up to 1.
        """
        return None

    def num_copies(self, processor: HRMGridProcessor) -> int | None:
        """Number of different symmetric copies of a puzzle, including itself; `None` for more than anyone needs."""
        return 1

    def check_copies(self, processor: HRMGridProcessor) -> None:
        """Raise a `ValueError` if symmetric copies of a puzzle are not possible."""

    def copies(
        self, processor: HRMGridProcessor, draws: torch.LongTensor, numbers: torch.LongTensor, seed: int
    ) -> Copies:
        """Symmetries for copies of puzzles; that of copy 0 changes nothing.

        Args:
            processor: of the puzzles.
            draws: a number for each, `(batch,)`, which determines its random symmetry.
            numbers: index of each among the copies of its puzzle, `(batch,)`, from 0.
            seed: for random symmetries.
        """
        return _AsTheyAre()

    # --- rules

    def verdicts(self, processor: HRMGridProcessor, puzzles: torch.Tensor, answers: torch.Tensor) -> list[Verdict]:
        """Check answers against the rules of the kind.

        Args:
            processor: of the puzzles.
            puzzles, answers: token ids `(puzzles, tokens)`.
        """
        return processor.check_batch(puzzles, answers)

    def errors(self, processor: HRMGridProcessor, puzzles: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What is wrong with puzzles and their answers, in words: `(puzzles,)` strings, "" if nothing is.

        Args:
            processor: of the puzzles.
            puzzles, answers: token ids `(puzzles, tokens)` int64, none of them padding.
        """
        verdicts = self.verdicts(processor, torch.from_numpy(puzzles), torch.from_numpy(answers))
        return np.array(["" if verdict else verdict.reason for verdict in verdicts], dtype=object)

    # --- examples

    def generate(self, processor: HRMGridProcessor, number: int) -> torch.LongTensor | None:
        """Token ids of new puzzles, `(number, tokens)`, generated in seconds; `None` if there is no generator."""
        return None

    def alphabet(self, processor: HRMGridProcessor) -> list[str]:
        """The meaning of each token id."""
        boards = torch.arange(processor.vocab_size).repeat_interleave(processor.seq_len).view(-1, processor.seq_len)
        return [line[0] for line in processor.batch_decode(boards)]

    def framed(self, board: str, processor: HRMGridProcessor) -> Framed | None:
        """A puzzle on a larger board for a model; `None` if it is as large, or cannot be made larger.

        Args:
            board: of a `PuzzleText`.
            processor: of the model.
        """
        return None

    def shipped_model(self, boards: Sequence[str]) -> Path:
        """The folder of the shipped model for all of these puzzles, boards of `PuzzleText`.

        Raises:
            ValueError: if there is none.
        """
        raise ValueError(f"No model for {self.plural} comes with the package; give one with --model.")

    # --- arrays and checkpoints of the original code

    def fits(self, vocab_size: int, side: int) -> bool:
        """Whether square boards of this side and number of token ids are of this kind in the original's arrays."""
        return False

    def fits_model(self, vocab_size: int, side: int) -> bool:
        """The same for a checkpoint of the original code, which may have other sides than its arrays."""
        return self.fits(vocab_size, side)

    def side_of(self, vocab_size: int) -> int:
        """Side of the boards of a checkpoint of the original code without this information: the published one."""
        return 30

    # --- pictures and words

    def draw(
        self,
        axes: "Axes",
        processor: HRMGridProcessor,
        board: list[list],
        puzzle: list[list],
        answer: list[list] | None,
    ) -> None:
        """Draw a board.

        Args:
            axes: where to draw.
            processor: of the board.
            board: rows of cells, from `HRMGridProcessor.decode` with the format `"grid"`.
            puzzle: the same for the question; `board` itself if that is drawn.
            answer: the same for the expected answer; differences are marked. `None` for no marks.
        """
        from hrm_hf.puzzles.drawing import draw_text_cells

        draw_text_cells(axes, board, puzzle, answer)

    def svg(
        self, board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
    ) -> list[str]:
        """SVG elements of a board with one unit per cell, with the classes of `hrm_hf.app.run_boards`.

        Args:
            board: rows of cells as characters, or the digits of colors.
            puzzle: the same for the question, if it is known.
            wrong: rows and columns of wrong cells; the caller marks them.
        """
        from hrm_hf.puzzles.svg import colored_cells

        return colored_cells(board, self.fills)

    def log_line(self, processor: HRMGridProcessor, tokens: torch.LongTensor) -> str:
        """A board of token ids `(tokens,)` in the log of a run: a line of cells, or rows of cells as JSON."""
        return processor.decode(tokens)

    def model_title(self, size: str) -> str:
        """Heading of the card of a model for boards of a size, such as `9x9`."""
        return f"HRM for {self.plural} of {size}"

    def described(self, size: str) -> str:
        """What a model for boards of a size solves, in words."""
        return f"{self.plural} of {size}"

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        """For the code of a model card: a puzzle as a Python expression, and other arguments of the processor.

        Args:
            processor: its configuration.
        """
        return '"..."  # yours: the cells row by row', ""

    def page(self) -> ModuleType | None:
        """The module of its page in the app, with `add_page(settings, shelf)`; `None` if it has none."""
        return None

    def warm_up(self) -> None:
        """Compile what the first visitor of its page would otherwise wait for."""


class _AsTheyAre:
    """The symmetry that changes nothing."""

    def apply(self, boards: torch.Tensor) -> torch.Tensor:
        return boards

    def undo(self, boards: torch.Tensor) -> torch.Tensor:
        return boards
