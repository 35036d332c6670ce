"""A split of a data set of grids, for training and evaluation."""

import torch

from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.grid.description import GridDescription
from hrm_hf.puzzles.grid.symmetry import random_symmetries
from hrm_hf.puzzles.rows import Augmentation, PuzzleDraws, encode, load_rows
from hrm_hf.puzzles.sets import BoardSet
from modeling_hrm import IGNORE_INDEX
from processing_hrm import HRMGridProcessor


class GridSet(BoardSet):
    """Grids of any kind: rows with a question, an answer and, if not all cells are asked for, a mask.

    Args:
        dataset, split, limit: as for `open_puzzles`.
        description: what the card of the data set says.
    """

    def __init__(self, dataset: str, split: str, description: GridDescription, limit: int | None = None):
        self.dataset, self.description = dataset, description
        self.rows = load_rows(dataset, split, limit)
        self.num_items = len(self.rows)
        self.processor = description.processor()

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        augmentation = None
        if augment and self.description.symmetries != "none":
            augmentation = grid_augmentation(self.description, seed)
        return PuzzleDraws(self._encoded(self.rows), num_draws, seed, augmentation)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        return self._encoded(self._first(limit))

    def for_model(self, processor: HRMGridProcessor) -> "GridSet":
        """The same split in the token ids of a model, whose alphabet may have more symbols or another order.

        Raises:
            ValueError: if the model is for boards of another shape, or does not know a symbol.
        """
        shapes = [f"{part.height}x{part.width}" for part in (processor, self.processor)]
        unknown = [symbol for symbol in self.processor.symbols if symbol not in processor.symbols]
        if shapes[0] != shapes[1] or unknown:
            reason = f"grids of {shapes[1]}" if not unknown else f"the symbol {unknown[0]!r}"
            raise ValueError(
                f"The model is for grids of {shapes[0]} with the symbols {' '.join(processor.symbols[:40])}, but "
                f"{self.dataset} has {reason}; give a data set of the same task."
            )
        self.processor = processor
        return self

    def _encoded(self, rows) -> dict[str, torch.Tensor]:
        batch = encode(rows, self.processor)
        if "mask" in rows.column_names:
            asked = HRMGridProcessor.for_grid(
                self.processor.height, self.processor.width, ["0", "1"], smaller_boards=self.processor.smaller_boards
            )(list(rows["mask"]))["input_ids"]
            batch["labels"] = torch.where(asked == 2, batch["labels"], IGNORE_INDEX)
        return batch


def grid_augmentation(description: GridDescription, seed: int) -> Augmentation:
    """Apply to draw d the symmetry that is a function of (seed, d) alone."""
    processor = description.processor()
    answer_tokens = torch.tensor([1 + description.symbols.index(symbol) for symbol in description.answer_symbols])

    def augment(draws, input_ids, labels):
        symmetry = random_symmetries(
            draws,
            seed,
            processor.height,
            processor.width,
            processor.vocab_size,
            description.symmetries,
            answer_tokens,
        )
        return symmetry.apply(input_ids), symmetry.apply(labels)

    return augment
