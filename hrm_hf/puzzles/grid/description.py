"""What the card of a data set of grids says of them, which is all that training needs to know."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard
from huggingface_hub.errors import EntryNotFoundError

from hrm_hf.data.folder import card_metadata
from processing_hrm import HRMGridProcessor


KIND = "grid"
_KEY = "hrm"  # of the entry in the YAML of a card


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
    """

    height: int
    width: int
    symbols: list[str]
    answer_symbols: list[str]
    answer_mask: str | None = None
    smaller_boards: bool = False
    symmetries: str = "none"
    kind: str = field(default=KIND, init=False)

    def processor(self) -> HRMGridProcessor:
        """The processor of these grids."""
        return HRMGridProcessor.for_grid(self.height, self.width, self.symbols, self.answer_mask, self.smaller_boards)

    def as_metadata(self) -> dict[str, Any]:
        """The entry in the YAML of a card."""
        return {_KEY: asdict(self)}


def read_description(dataset: str) -> GridDescription | None:
    """What the card of a data set says of its grids; `None` if they are of no such kind.

    Args:
        dataset: a folder, or the name of a data set on the Hub.

    Raises:
        ValueError: if the card says what cannot be.
    """
    folder = Path(dataset).expanduser()
    if folder.is_dir():
        metadata = card_metadata(folder) if (folder / "README.md").is_file() else {}
    elif dataset.count("/") != 1 or dataset.startswith((".", "/", "~")):
        return None  # neither a folder nor a name on the Hub
    else:
        try:
            metadata = DatasetCard.load(dataset, ignore_metadata_errors=True).data.to_dict()
        except EntryNotFoundError:
            return None
    entry = metadata.get(_KEY)
    if not isinstance(entry, dict) or entry.get("kind") != KIND:
        return None
    try:
        description = GridDescription(**{name: value for name, value in entry.items() if name != "kind"})
        description.processor()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The card of {dataset} says of its grids what cannot be ({error}); build the data set anew with hrm-hf "
            "data grid."
        ) from error
    return description
