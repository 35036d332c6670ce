"""What a kind of puzzle is: one object that says all that differs from kind to kind.

A kind of one's own is a subclass in a file of one's own, which ends in `register(MyKind())`; see
`hrm_hf.puzzles.registry`. It gives `name`, `title`, `plural`, `processor` and what else differs from what is here.
Methods import what is heavy (numba, matplotlib, datasets) when they are called, so that listing all kinds is quick.
"""

from collections.abc import Callable, Mapping, Sequence
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

# of the entry in the YAML of a data card that says what its puzzles are
CARD_KEY = "hrm"


class Copies(Protocol):
    """A symmetry for each board of a batch, on token ids `(batch, tokens)`."""

    def apply(self, boards: torch.Tensor) -> torch.Tensor:
        """The symmetric boards."""

    def undo(self, boards: torch.Tensor) -> torch.Tensor:
        """The boards that `apply` makes these of."""


class PuzzleKind:
    """A kind of puzzle.

    Attributes:
        name: what a processor has as its `kind` or else as its `task`, and a data card as `kind`.
        title: as a heading.
        plural: in a sentence.
        symbols: characters that the lines of its questions and answers are made of; none if these are no lines of
            characters. They tell puzzles without a card, which is guesswork.
        subset: name of a subset that only data sets of this kind have, if they have subsets.
        has_rules: whether an answer can be judged without the expected one.
        bad_clues_are_outcomes: whether clues that contradict each other are an outcome of solving, found by the exact
            search of the processor; else such a puzzle is an error.
        logs_boards: whether the evaluations of a training run log some boards, as lines.
        no_solving: why answers to its puzzles are not given one by one, as a sentence with what to do instead; `None`
            if they are.
        fills: color of each symbol in the small boards of the monitor.
        reads_texts: whether it finds its puzzles in texts itself (`read_text`); else `hrm_hf.puzzles.text` does.
    """

    name: str
    title: str
    plural: str
    symbols: frozenset[str] = frozenset()
    subset: str | None = None
    has_rules: bool = True
    bad_clues_are_outcomes: bool = False
    logs_boards: bool = True
    no_solving: str | None = None
    fills: Mapping[str, str] = {}
    reads_texts: bool = False

    def recognizes(self, line: str) -> bool:
        """Whether the cells of a line can be a question or an answer of this kind; guesswork, for `registry.guess`."""
        return self.symbols.issuperset(line)

    # --- data sets

    def card_entry(self, processor: HRMGridProcessor) -> dict[str, Any]:
        """What the YAML of a data card says of its puzzles, enough for `processor` to make one of it."""
        return {CARD_KEY: {"kind": self.name, "height": processor.height, "width": processor.width}}

    def processor(self, entry: Mapping[str, Any]) -> HRMGridProcessor:
        """The processor of the puzzles that a card describes.

        Args:
            entry: what `card_entry` gives below its key.

        Raises:
            ValueError, TypeError, KeyError: if the entry is not as this kind has it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how its processor is made.")

    def processor_of_rows(self, rows: "datasets.Dataset") -> HRMGridProcessor:
        """The processor of a data set without such a card, of at least one row.

        Raises:
            ValueError: if it cannot be told.
        """
        raise ValueError(f"The card of a data set of {self.plural} must say what they are; build it anew.")

    def open(self, dataset: str, split: str, limit: int | None, entry: Mapping[str, Any] | None) -> "PuzzleSet":
        """A split of a data set of this kind.

        Args:
            dataset, split, limit: as for `open_puzzles`.
            entry: what its card says of it; `None` if it says nothing.
        """
        from hrm_hf.puzzles.sets import BoardSet

        return BoardSet(self, dataset, split, limit, entry)

    def builder(self) -> Callable | None:
        """The function that is the command `hrm-hf data` and the kind's name; `None` if there is none."""
        return None

    def read_text(self, text: str, name: str, processor: HRMGridProcessor) -> "list[PuzzleText]":
        """The puzzles of a text that someone wrote, of a kind with `reads_texts`.

        Args:
            text: of any number of puzzles.
            name: of the text in messages.
            processor: of the model that they are for.

        Raises:
            ValueError: if there is none, or something looks like a puzzle and is none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how its puzzles are read.")

    # --- symmetries

    def augmentation(self, processor: HRMGridProcessor, seed: int) -> "Augmentation | None":
        """What puts each training example under a random symmetry; `None` if there are no symmetries."""
        return None

    def filling(self, processor: HRMGridProcessor, seed: int, share: float) -> "Augmentation | None":
        """What fills further cells of the answer into a share of the training examples; `None` if it makes no puzzle.

        Args:
            processor: of the puzzles.
            seed: of which examples and cells.
            share: of the examples, above 0 and up to 1.
        """
        return None

    def num_copies(self, processor: HRMGridProcessor) -> int | None:
        """How many different symmetric copies of a puzzle there are, with itself; `None` for more than anyone asks."""
        return 1

    def check_copies(self, processor: HRMGridProcessor) -> None:
        """Raise a `ValueError` if symmetric copies of a puzzle cannot be asked for."""

    def copies(
        self, processor: HRMGridProcessor, draws: torch.LongTensor, numbers: torch.LongTensor, seed: int
    ) -> Copies:
        """Symmetries for copies of puzzles; that of copy 0 changes nothing.

        Args:
            processor: of the puzzles.
            draws: a number for each, `(batch,)`, of which a random symmetry is a function.
            numbers: which copy of its puzzle each is, `(batch,)`, from 0.
            seed: of random ones.
        """
        return _AsTheyAre()

    # --- rules

    def verdicts(self, processor: HRMGridProcessor, puzzles: torch.Tensor, answers: torch.Tensor) -> list[Verdict]:
        """Judge answers by the rules of the kind.

        Args:
            processor: of the puzzles.
            puzzles, answers: token ids `(puzzles, tokens)`.
        """
        return processor.check_batch(puzzles, answers)

    def errors(self, processor: HRMGridProcessor, puzzles: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What is wrong with puzzles and their answers, in words: `(puzzles,)` strings, "" where nothing is.

        Args:
            processor: of the puzzles.
            puzzles, answers: token ids `(puzzles, tokens)` int64, none of them padding.
        """
        verdicts = self.verdicts(processor, torch.from_numpy(puzzles), torch.from_numpy(answers))
        return np.array(["" if verdict else verdict.reason for verdict in verdicts], dtype=object)

    # --- examples

    def generate(self, processor: HRMGridProcessor, number: int) -> torch.LongTensor | None:
        """Token ids of new puzzles, `(number, tokens)`, made in seconds; `None` if nobody can make any."""
        return None

    def alphabet(self, processor: HRMGridProcessor) -> list[str]:
        """What each token id stands for."""
        boards = torch.arange(processor.vocab_size).repeat_interleave(processor.seq_len).view(-1, processor.seq_len)
        return [line[0] for line in processor.batch_decode(boards)]

    def shipped_model(self, cells: set[int]) -> Path:
        """The folder of the model that comes with the package for puzzles of these numbers of cells.

        Raises:
            ValueError: if there is none.
        """
        raise ValueError(f"No model for {self.plural} comes with the package; name one by --model.")

    # --- arrays and checkpoints of the original code

    def fits(self, vocab_size: int, side: int) -> bool:
        """Whether square boards of this side and so many token ids are of this kind in the original's arrays."""
        return False

    def fits_model(self, vocab_size: int, side: int) -> bool:
        """The same of a checkpoint of the original code, which may be for other sides than its arrays have."""
        return self.fits(vocab_size, side)

    def side_of(self, vocab_size: int) -> int:
        """Side of the boards of a checkpoint of the original code that does not say it: as they are published."""
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
            board: rows of cells, as `HRMGridProcessor.decode` gives them with the format `"grid"`.
            puzzle: the same of the question; `board` itself if that is drawn.
            answer: the same of the expected answer; what differs from it is marked. `None` if nothing is to be.
        """
        from hrm_hf.puzzles.drawing import draw_text_cells

        draw_text_cells(axes, board, puzzle, answer)

    def svg(
        self, board: Sequence[Sequence[str]], puzzle: Sequence[Sequence[str]] | None, wrong: set[tuple[int, int]]
    ) -> list[str]:
        """Elements of SVG of a board of one unit a cell, of the classes that `hrm_hf.app.run_boards` has.

        Args:
            board: rows of cells as characters, or the digits of colors.
            puzzle: the same of the question, if it is known.
            wrong: rows and columns of cells that are wrong; they are marked by the caller.
        """
        from hrm_hf.puzzles.svg import colored_cells

        return colored_cells(board, self.fills)

    def log_line(self, processor: HRMGridProcessor, tokens: torch.LongTensor) -> str:
        """A board of token ids `(tokens,)` in the log of a run: a line of cells, or rows of cells as JSON."""
        return processor.decode(tokens)

    def model_title(self, size: str) -> str:
        """Heading of the card of a model for boards of a size, as `9x9`."""
        return f"HRM for {self.plural} of {size}"

    def described(self, size: str) -> str:
        """What a model for boards of a size solves, in words."""
        return f"{self.plural} of {size}"

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        """For the code of a model card: a puzzle as an expression of Python, and further arguments of the processor.

        Args:
            processor: its configuration.
        """
        return '"..."  # yours: the cells row by row', ""

    def page(self) -> ModuleType | None:
        """The module of its page in the app, with `add_page(settings, shelf)`; `None` if it has none."""
        return None

    def warm_up(self) -> None:
        """Compile what the first visitor of its page would wait for."""


class _AsTheyAre:
    """The symmetry that changes nothing."""

    def apply(self, boards: torch.Tensor) -> torch.Tensor:
        return boards

    def undo(self, boards: torch.Tensor) -> torch.Tensor:
        return boards
