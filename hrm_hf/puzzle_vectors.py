"""The vectors that a grid model has for each puzzle it knows, for a model that knows others."""

from collections.abc import Mapping, Sequence

import torch

from modeling_hrm import HRMAddedEmbedding, HRMForGridTask


# tables with a row, or an equal number of rows, per puzzle identifier
_TABLES = ("puzzle_embeddings", "role_embeddings")


def rows_by_name(known: Mapping[str, int], wanted: Mapping[str, int]) -> list[int | None]:
    """The row of each wanted puzzle in the tables of a model.

    Args:
        known: identifiers of the puzzles that the model knows, by name.
        wanted: identifiers of the puzzles that it should know, by name.

    Returns:
        The row for each identifier from 0 on, or `None` for a new puzzle.
    """
    names = {number: name for name, number in wanted.items()}
    return [known.get(names[number]) if number in names else None for number in range(max(names) + 1)]


@torch.no_grad()
def choose_puzzles(model: HRMForGridTask, rows: Sequence[int | None]) -> None:
    """Let a model know other puzzles; new ones get the mean of all vectors except the blank one, row 0.

    Args:
        model: with puzzle vectors trained by the optimizer (`puzzle_emb_placement="everywhere"`); changed in place.
        rows: the current row of each puzzle, or `None` if it is new.
    """
    for name in _TABLES:
        table = getattr(model.model, name, None)
        if table is None:
            continue
        by_puzzle = table.weight.view(model.config.num_puzzle_identifiers, -1, table.embedding_dim)
        mean = by_puzzle[1:].mean(0) if len(by_puzzle) > 1 else by_puzzle[0]
        weight = torch.cat([mean if row is None else by_puzzle[row] for row in rows])
        chosen = HRMAddedEmbedding(len(weight), table.embedding_dim, std=table.std).to(table.weight)
        chosen.weight.copy_(weight)
        setattr(model.model, name, chosen)
    model.config.num_puzzle_identifiers = len(rows)
