"""The sequence of training examples: draw d of a run depends only on (seed, d).

Each epoch visits every item once, in its own random order. Nothing depends on how draws are batched or which process
or worker makes them, so a run can resume anywhere and has the same data on any number of processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hrm_hf.puzzles.hashing import random_keys, shift_right


class EpochOrder:
    """Which item each draw takes: draw d is item `d % items` of the order of epoch `d // items`.

    Args:
        num_items: items to draw from.
        seed: for the orders.

    Raises:
        ValueError: if there are no items.
    """

    def __init__(self, num_items: int, seed: int):
        if num_items == 0:
            raise ValueError("There is nothing to train on; give a split with at least one row.")
        self.num_items = num_items
        self.seed = seed
        self._orders: dict[int, torch.LongTensor] = {}

    def order(self, epoch: int) -> torch.LongTensor:
        """The permutation of the items in an epoch, of shape `(items,)`."""
        if epoch not in self._orders:
            # a batch not larger than the data set spans at most two epochs; older orders are not needed
            self._orders = {old: order for old, order in self._orders.items() if old == epoch - 1}
            generator = torch.Generator().manual_seed((self.seed << 32) + epoch)
            self._orders[epoch] = torch.randperm(self.num_items, generator=generator)
        return self._orders[epoch]

    def items(self, draws: Sequence[int]) -> torch.LongTensor:
        """The items of some draws, of shape `(draws,)`."""
        draws = torch.as_tensor(draws)
        epochs, places = draws // self.num_items, draws % self.num_items
        items = torch.empty_like(draws)
        for epoch in epochs.unique().tolist():
            is_here = epochs == epoch
            items[is_here] = self.order(epoch)[places[is_here]]
        return items


class Draws(torch.utils.data.Dataset):
    """The draws of a run for a `DataLoader`, a whole batch at a time.

    Args:
        num_items: items to draw from.
        num_draws: length of the run in draws.
        seed: for the order.
    """

    def __init__(self, num_items: int, num_draws: int, seed: int):
        self.epochs = EpochOrder(num_items, seed)
        self.num_draws = num_draws

    def __len__(self) -> int:
        return self.num_draws

    def of_step(self, step: int, batch_size: int) -> range:
        """The draws of a step, counted from 0: the next `batch_size` draws."""
        return range(step * batch_size, (step + 1) * batch_size)

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch; its tensors have a first dimension of `len(draws)`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Visits:
    """The examples of some draws from groups; `(draws,)` each.

    Attributes:
        numbers: of the visit, equal for the examples of one member in one epoch and different for all others.
        groups, members, examples: of each draw.
    """

    numbers: torch.LongTensor
    groups: torch.LongTensor
    members: torch.LongTensor
    examples: torch.LongTensor


class GroupedDraws(Draws):
    """Draws of examples that come in groups of members, as in the original (puzzle_dataset.py).

    Each epoch visits every group once, in its own random order, takes one random member of it and draws all of that
    member's examples, one after the other. All members of a group have the same number of examples, so all epochs have
    the same length. The original drops the rest of a member that does not fit into a batch; here it goes to the next
    batch.

    Args:
        group_sizes: examples of each member of a group, `(groups,)`.
        group_members: members of each group, `(groups,)`.
        num_draws: length of the run in draws.
        seed: for orders and members.
    """

    def __init__(self, group_sizes: torch.LongTensor, group_members: torch.LongTensor, num_draws: int, seed: int):
        super().__init__(len(group_sizes), num_draws, seed)
        self.group_sizes = group_sizes
        self.group_members = group_members
        self.epoch_length = int(group_sizes.sum())

    def visits(self, draws: Sequence[int]) -> Visits:
        """Groups, members and examples of some draws."""
        draws = torch.as_tensor(draws)
        epochs, places = draws // self.epoch_length, draws % self.epoch_length
        groups, examples = torch.empty_like(draws), torch.empty_like(draws)
        for epoch in epochs.unique().tolist():
            order = self.epochs.order(epoch)
            sizes = self.group_sizes[order]
            ends = sizes.cumsum(0)
            is_here = epochs == epoch
            turns = torch.searchsorted(ends, places[is_here], right=True)
            groups[is_here] = order[turns]
            examples[is_here] = places[is_here] - (ends - sizes)[turns]
        numbers = epochs * len(self.group_sizes) + groups
        members = shift_right(random_keys(numbers, self.epochs.seed, 1)[:, 0], 1) % self.group_members[groups]
        return Visits(numbers, groups, members, examples)
