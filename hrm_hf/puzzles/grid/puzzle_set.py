"""A split of a data set of grids, for training and evaluation."""

from collections.abc import Mapping
from typing import Any

import torch

from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.grid.description import GridDescription
from hrm_hf.puzzles.grid.symmetry import random_symmetries
from hrm_hf.puzzles.kind import PuzzleKind
from hrm_hf.puzzles.rows import Augmentation, PuzzleDraws, encode
from hrm_hf.puzzles.sets import BoardSet
from modeling_hrm import IGNORE_INDEX
from processing_hrm import HRMGridProcessor


class GridSet(BoardSet):
    """Grids: rows with a question, an answer and, if not all cells are to be filled in, a mask.

    Args:
        kind, dataset, split, limit, entry: as for `BoardSet`; there must be an entry.
    """

    def __init__(
        self,
        kind: PuzzleKind,
        dataset: str,
        split: str,
        limit: int | None = None,
        entry: Mapping[str, Any] | None = None,
    ):
        super().__init__(kind, dataset, split, limit, entry)
        self.description = GridDescription.of_entry(entry)

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        augmentation = self.kind.augmentation(self.processor, seed) if augment else None
        if augment and augmentation is None and self.description.symmetries != "none":
            augmentation = grid_augmentation(self.description, seed)
        return PuzzleDraws(self._encoded(self.rows), num_draws, seed, augmentation)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        return self._encoded(self._first(limit))

    def for_model(self, processor: HRMGridProcessor) -> "GridSet":
        """The same split with the token ids of a model, whose alphabet may have more symbols or another order.

        Raises:
            ValueError: if the model is for another kind or shape, or does not know a symbol.
        """
        super().for_model(processor)
        unknown = [symbol for symbol in self.processor.symbols if symbol not in processor.symbols]
        if unknown:
            raise ValueError(
                f"{self.dataset} has the symbol {unknown[0]!r}, but the model only knows "
                f"{' '.join(processor.symbols[:40])}; give a data set for the same kind of puzzle."
            )
        self.processor = processor
        return self

    def _encoded(self, rows) -> dict[str, torch.Tensor]:
        batch = encode(rows, self.processor)
        if "mask" in rows.column_names:
            marks = HRMGridProcessor.for_grid(
                self.processor.height, self.processor.width, ["0", "1"], smaller_boards=self.processor.smaller_boards
            )
            # the tokens are 1 for 0 and 2 for 1
            asked = marks(list(rows["mask"]))["input_ids"] == 2
            batch["labels"] = torch.where(asked, batch["labels"], IGNORE_INDEX)
        return batch


def grid_augmentation(description: GridDescription, seed: int) -> Augmentation:
    """Apply a symmetry to draw d that depends only on (seed, d)."""
    vocab_size = description.processor().vocab_size
    answer_tokens = torch.tensor([1 + description.symbols.index(symbol) for symbol in description.answer_symbols])

    def augment(draws, input_ids, labels):
        symmetry = random_symmetries(
            draws, seed, description.height, description.width, vocab_size, description.symmetries, answer_tokens
        )
        return symmetry.apply(input_ids), symmetry.apply(labels)

    return augment
