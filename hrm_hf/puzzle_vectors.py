"""The vectors that a grid model has of each puzzle it knows, for a model that knows others."""

from collections.abc import Mapping, Sequence

import torch

from modeling_hrm import HRMAddedEmbedding, HRMForGridTask


# tables with a row, or an equal number of rows, per puzzle identifier
_TABLES = ("puzzle_embeddings", "role_embeddings")


def rows_by_name(known: Mapping[str, int], wanted: Mapping[str, int]) -> list[int | None]:
    """The row of each wanted puzzle in the tables of a model that knows some.

    Args:
        known: identifiers of the puzzles that the model knows, by name.
        wanted: the same of those to be known.

    Returns:
        For each identifier from 0 on its row, or `None` for a puzzle that is new.
    """
    names = {number: name for name, number in wanted.items()}
    return [known.get(names[number]) if number in names else None for number in range(max(names) + 1)]


@torch.no_grad()
def choose_puzzles(model: HRMForGridTask, rows: Sequence[int | None]) -> None:
    """Let a model know other puzzles; those that are new get the mean of what it has of all but the blank one, row 0.

    Args:
        model: with vectors of puzzles that are trained by the optimizer (`puzzle_emb_placement="everywhere"`); changed
            in place.
        rows: of each puzzle, the row that it has now, or `None` if it is new.
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
