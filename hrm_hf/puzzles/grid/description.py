"""What the card of a data set of grids says of them, which is all that training needs to know."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hrm_hf.puzzles.kind import CARD_KEY
from processing_hrm import HRMGridProcessor


@dataclass(frozen=True)
class GridDescription:
    """Grids of one task.

    Attributes:
        height, width: of the boards, or of the largest.
        symbols: what a cell can be, in the order of the token ids from 1 on.
        answer_symbols: those of them that answers have.
        answer_mask: `1` for each cell that is asked for and `0` for the others, row by row; `None` if all are, or
            those that are differ from board to board.
        smaller_boards: whether boards may be smaller.
        symmetries: those that the task has, as `hrm_hf.puzzles.grid.symmetry` names them.
        kind: of the puzzles; another one than `grid` if a plug-in knows more of them.
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
        """What a card says.

        Raises:
            TypeError: if an entry is missing or unknown.
        """
        return cls(**entry)

    def processor(self) -> HRMGridProcessor:
        """The processor of these grids; errors as of `HRMGridProcessor`."""
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
