"""A split of any puzzle data set, in one form for training and evaluation.

puzzles = open_puzzles("data/maze-30x30", "train")
puzzles.processor                                   # for kind and size of the data set
puzzles.draws(num_draws=1000, seed=0)               # training examples, under random symmetries
puzzles.examples(limit=100)                         # labeled examples as tensors, not augmented
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import DatasetCard
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from hrm_hf.data.folder import card_metadata
from hrm_hf.puzzles import registry
from hrm_hf.puzzles.draws import Draws
from hrm_hf.puzzles.kind import CARD_KEY, PuzzleKind
from hrm_hf.puzzles.rows import PuzzleDraws, encode, load_rows
from processing_hrm import HRMGridProcessor


if TYPE_CHECKING:
    import datasets
    from accelerate import Accelerator
    from matplotlib.figure import Figure

    from modeling_hrm import HRMForGridTask


# (input_ids, puzzle_identifiers) -> predictions, (puzzles, tokens) each
Predict = Callable[[torch.LongTensor, torch.LongTensor], torch.LongTensor]


def check_rows(rows: Sequence[int], num_rows: int, what: str) -> None:
    """Raise a `ValueError` for a row that does not exist; `what` names what has the rows."""
    for row in rows:
        if not 0 <= row < num_rows:
            raise ValueError(f"There is no row {row}: {what} has the rows 0 to {num_rows - 1:,}.")


class PuzzleSet(ABC):
    """A split of a puzzle data set.

    Args:
        kind: of the puzzles.
        dataset: name of the data set, for messages.
        processor: for kind and size, with all puzzles that the data set names.
        num_items: draws per epoch.
    """

    # whether it has augmentations of its puzzles, which can vote
    has_augmentations = False

    def __init__(self, kind: PuzzleKind, dataset: str, processor: HRMGridProcessor, num_items: int):
        self.kind, self.dataset, self.processor, self.num_items = kind, dataset, processor, num_items

    @abstractmethod
    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        """The training examples of a run; `augment` puts each under a random symmetry (ARC: a random translation)."""

    @abstractmethod
    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        """The first `limit` examples, not augmented; fewer if there are not as many.

        Returns:
            `input_ids` and `labels` of shape `(examples, tokens)`, `puzzle_identifiers` of shape `(examples,)`.
        """

    @abstractmethod
    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        """More columns of the same examples, as lists: `source`, and `rating` if there is one."""

    @abstractmethod
    def figure(self, rows: Sequence[int], member: int = 0, predict: Predict | None = None) -> "Figure":
        """Draw rows of the split with their answers.

        Args:
            rows: which ones, from 0.
            member: which augmentation of a puzzle, if there are any; 0 is the original puzzle.
            predict: returns a prediction for each puzzle, drawn next to its answer with the errors marked.

        Raises:
            ValueError: if a row or augmentation does not exist.
        """

    def for_model(self, processor: HRMGridProcessor) -> "PuzzleSet":
        """The same split, with examples in the form for the model of a processor.

        Raises:
            ValueError: if the model is for puzzles of another kind or size, or does not know one of them.
        """
        kinds = [(registry.kind_of(part).name, part.height, part.width) for part in (processor, self.processor)]
        if kinds[0] != kinds[1]:
            ours, theirs = ("{} of {}x{}".format(*kind) for kind in kinds)
            raise ValueError(
                f"The model is for {ours}, but {self.dataset} has {theirs}; give a data set of the same kind."
            )
        return self

    def vote_scores(
        self,
        model: "HRMForGridTask",
        processor: HRMGridProcessor,
        accelerator: "Accelerator",
        num_augmentations: int,
        **options: Any,
    ) -> dict[str, float]:
        """Scores after a vote of augmentations of the puzzles, if it has any.

        Args:
            model, processor, accelerator: for the answers.
            num_augmentations: maximum number of votes per puzzle.
            options: for solving.
        """
        raise NotImplementedError(f"{type(self).__name__} has no augmentations.")


class BoardSet(PuzzleSet):
    """Rows with a question and an answer.

    Args:
        kind: of the puzzles.
        dataset, split: as for `open_puzzles`.
        limit: only this many first rows.
        entry: entry of the card about the puzzles; `None` if it has none.
    """

    def __init__(
        self,
        kind: PuzzleKind,
        dataset: str,
        split: str,
        limit: int | None = None,
        entry: Mapping[str, Any] | None = None,
    ):
        self.rows = load_rows(dataset, split, limit)
        processor = processor_of(kind, self.rows) if entry is None else processor_of_entry(kind, entry, dataset)
        super().__init__(kind, dataset, processor, len(self.rows))

    def draws(self, num_draws: int, seed: int, augment: bool = True) -> Draws:
        augmentation = self.kind.augmentation(self.processor, seed) if augment else None
        return PuzzleDraws(encode(self.rows, self.processor), num_draws, seed, augmentation)

    def examples(self, limit: int | None = None) -> dict[str, torch.Tensor]:
        return encode(self._first(limit), self.processor)

    def known_of_examples(self, limit: int | None = None) -> dict[str, list]:
        rows = self._first(limit)
        return {name: rows[name][:] for name in ("source", "rating") if name in rows.column_names}

    def figure(self, rows: Sequence[int], member: int = 0, predict: Predict | None = None) -> "Figure":
        from hrm_hf.drawing import draw_puzzles

        if member:
            raise ValueError(f"member={member} is for ARC tasks, but {self.dataset} has none; leave it out.")
        check_rows(rows, len(self.rows), self.dataset)
        chosen = self.rows.select(rows)
        examples = encode(chosen, self.processor)
        titles = [f"row {row}" for row in rows]
        if "rating" in chosen.column_names:
            titles = [f"{title}, rating {rating}" for title, rating in zip(titles, chosen["rating"], strict=True)]
        predictions = None if predict is None else predict(examples["input_ids"], examples["puzzle_identifiers"])
        return draw_puzzles(self.processor, examples["input_ids"], examples["labels"], predictions, titles)

    def _first(self, limit: int | None):
        return self.rows if limit is None else self.rows.select(range(min(limit, len(self.rows))))


def open_puzzles(dataset: str, split: str, limit: int | None = None) -> PuzzleSet:
    """A split of a puzzle data set of any kind.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of such a data set on the Hub.
        split: name of the split.
        limit: only the first rows of data sets of questions and answers; all by default.

    Raises:
        FileNotFoundError: if the data set does not exist.
        ValueError: if it has no puzzles, no such split or less than `limit`, or a limit is given for ARC.
    """
    kind, entry = kind_of_dataset(dataset, split)
    return kind.open(dataset, split, limit, entry)


def kind_of_dataset(dataset: str, split: str) -> tuple[PuzzleKind, Mapping[str, Any] | None]:
    """The kind of the puzzles of a data set, and the entry of its card; without a card the kind is guessed.

    Args:
        dataset: a folder, or the name of a data set on the Hub.
        split: its first row is used for guessing.

    Raises:
        FileNotFoundError, ValueError: as for `open_puzzles`, and `ValueError` if the kind is not known.
    """
    metadata = _metadata(dataset)
    entry = metadata.get(CARD_KEY)
    if isinstance(entry, Mapping) and isinstance(entry.get("kind"), str):
        return registry.get(entry["kind"]), entry
    for kind in registry.kinds():
        if kind.subset is not None and _has_subset(dataset, metadata, kind.subset):
            return kind, None
    return kind_of_rows(load_rows(dataset, split), dataset), None


def kind_of_rows(rows: "datasets.Dataset", dataset: str = "The data set") -> PuzzleKind:
    """The kind of the puzzles of rows with questions, inferred from the characters of the first.

    Raises:
        ValueError: if there is no row, or the kind of the first cannot be inferred.
    """
    if len(rows) == 0:
        raise ValueError(f"{dataset} is empty; build one with at least one puzzle.")
    question = rows[0]["question"]
    kind = registry.guess(question)
    if kind is None:
        raise ValueError(
            f"{dataset} has no card that says what its puzzles are, and its first question {question[:40]!r} fits no "
            "known kind; build the data set with hrm-hf data."
        )
    return kind


def processor_of(kind: PuzzleKind, rows: "datasets.Dataset") -> HRMGridProcessor:
    """The processor of rows of a kind; raises the errors of `PuzzleKind.processor_of_rows`, and without rows."""
    if len(rows) == 0:
        raise ValueError(f"The data set is empty; build one with at least one of {kind.plural}.")
    return kind.processor_of_rows(rows)


def processor_of_entry(kind: PuzzleKind, entry: Mapping[str, Any], dataset: str) -> HRMGridProcessor:
    """The processor of the puzzles described by a card.

    Raises:
        ValueError: if the entry of the card is not valid.
    """
    try:
        return kind.processor(entry)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ValueError(
            f"The card of {dataset} has an invalid entry about its {kind.plural} ({reason}); build the data set again."
        ) from error


def _metadata(dataset: str) -> dict[str, Any]:
    """The YAML of the card of a data set; empty without a card or data set, for which readers raise later."""
    folder = Path(dataset).expanduser()
    if folder.is_dir():
        return card_metadata(folder) if (folder / "README.md").is_file() else {}
    if dataset.count("/") != 1 or dataset.startswith((".", "/", "~")):
        return {}
    try:
        return DatasetCard.load(dataset, ignore_metadata_errors=True).data.to_dict()
    except EntryNotFoundError:
        return {}
    except (OSError, ValueError, HFValidationError) as error:
        raise FileNotFoundError(
            f"There is no data set folder {dataset}, and no data set of this name can be downloaded from the Hub: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _has_subset(dataset: str, metadata: dict[str, Any], subset: str) -> bool:
    if any(Path(dataset).expanduser().glob(f"data/{subset}-*.parquet")):
        return True
    configs = metadata.get("configs")
    return isinstance(configs, list) and any(
        isinstance(config, Mapping) and config.get("config_name") == subset for config in configs
    )
