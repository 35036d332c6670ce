"""ARC as a kind of puzzle."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hrm_hf.colors import ARC_FILLS
from hrm_hf.puzzles.kind import CARD_KEY, PuzzleKind
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hrm_hf.puzzles.sets import PuzzleSet

# a puzzle and its name; for a model on canvases a whole task, whose demonstrations tell the size of the canvas
_CODE = {
    False: ("[[0, 0, 3], [0, 3, 0]]  # rows of colors 0 to 9", ', identifiers="name of the task"'),
    True: ('open("c7d4e6ad.json").read()  # {"train": [...], "test": [...]}', ', identifiers="c7d4e6ad"'),
}


class ArcKind(PuzzleKind):
    """Tasks of ARC that a model has learned; they have no rules in common."""

    name = "arc"
    title = "ARC"
    plural = "ARC tasks"
    subset = "tasks"
    has_rules = False
    # JSON of up to 900 cells
    logs_boards = False
    no_solving = "ARC has no rules that tell whether an answer is right; score such a model with hrm-hf evaluate-arc."
    fills = {str(color): fill for color, fill in enumerate(ARC_FILLS)}

    def card_entry(self, processor: HRMGridProcessor | None = None) -> dict[str, Any]:
        """The entry of a card; grids can have all sizes of ARC."""
        return {CARD_KEY: {"kind": self.name}}

    def open(self, dataset: str, split: str, limit: int | None, entry: Mapping[str, Any] | None) -> "PuzzleSet":
        from hrm_hf.puzzles.arc.sets import ArcSet

        if limit is not None:
            raise ValueError(f"A limit of {limit} rows is for Sudoku and mazes, not for ARC tasks; leave it out.")
        return ArcSet(self, dataset, split)

    def builder(self) -> Callable:
        from hrm_hf.puzzles.arc.build import build_arc

        return build_arc

    def check_copies(self, processor: HRMGridProcessor) -> None:
        raise ValueError(
            "The symmetric copies of an ARC task are separate puzzles, with identifiers that the model was trained "
            "on; let them vote with hrm_hf.puzzles.arc.evaluation.vote, or set symmetries=False and noise_std."
        )

    def alphabet(self, processor: HRMGridProcessor) -> list[str]:
        from hrm_hf.puzzles.arc.tasks import NUM_COLORS

        return ["padding", "end of grid", *map(str, range(NUM_COLORS))]

    def fits(self, vocab_size: int, side: int) -> bool:
        from hrm_hf.puzzles.arc.puzzles import VOCAB_SIZE
        from hrm_hf.puzzles.arc.tasks import MAX_SIZE

        return side == MAX_SIZE and vocab_size == VOCAB_SIZE

    def fits_model(self, vocab_size: int, side: int) -> bool:
        from hrm_hf.puzzles.arc.puzzles import VOCAB_SIZE

        return vocab_size == VOCAB_SIZE

    def draw(
        self,
        axes: "Axes",
        processor: HRMGridProcessor,
        board: list[list],
        puzzle: list[list],
        answer: list[list] | None,
    ) -> None:
        from hrm_hf.puzzles.arc.drawing import draw_grid

        draw_grid(axes, board, answer)

    def model_title(self, size: str) -> str:
        return "HRM for ARC"

    def described(self, size: str) -> str:
        return f"ARC tasks on a canvas of {size}"

    def example_code(self, processor: Mapping[str, Any]) -> tuple[str, str]:
        return _CODE[processor.get("canvas_sides") is not None]

    def page(self) -> ModuleType:
        from hrm_hf.puzzles.arc import page

        return page


ARC = ArcKind()
