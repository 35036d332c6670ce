"""What the card of a data set says about its grids; training needs nothing else."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hrm_hf.puzzles.kind import CARD_KEY
from processing_hrm import HRMGridProcessor


@dataclass(frozen=True)
class GridDescription:
    """Grids of one kind of puzzle.

    Attributes:
        height, width: of the boards, or of the largest.
        symbols: what a cell can be, in the order of the token ids from 1 on.
        answer_symbols: the symbols that occur in answers.
        answer_mask: `1` for each cell to be filled in and `0` for the others, row by row; `None` if all are, or if
            they differ from board to board.
        smaller_boards: whether boards may be smaller.
        symmetries: of the puzzles, named as in `hrm_hf.puzzles.grid.symmetry`.
        kind: of the puzzles; not `grid` if a plugin has their rules.
    """

    height: int
    width: int
    symbols: list[str]
    answer_symbols: list[str]
    answer_mask: str | None = None
    smaller_boards: bool = False
    symmetries: str = "none"
    kind: str = "grid"

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "GridDescription":
        """The description from a card.

        Raises:
            TypeError: if an entry is missing or unknown.
        """
        return cls(**entry)

    def processor(self) -> HRMGridProcessor:
        """The processor for these grids; raises the errors of `HRMGridProcessor`."""
        return HRMGridProcessor.for_grid(
            self.height,
            self.width,
            self.symbols,
            self.answer_mask,
            self.smaller_boards,
            None if self.kind == "grid" else self.kind,
        )

    def as_metadata(self) -> dict[str, Any]:
        """The entry in the YAML of a card, below its key."""
        return {CARD_KEY: asdict(self)}
