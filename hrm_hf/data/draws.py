"""The sequence of training examples: draw d of a run is a pure function of (seed, d).

Each epoch visits every item once, in a random order of its own. Nothing depends on how draws are batched or which
process or worker makes them, so a run continues anywhere and gives the same data on any number of processes.
"""

from collections.abc import Sequence

import torch


class EpochOrder:
    """Which item each draw takes: draw d is item `d % items` of the order of epoch `d // items`.

    Args:
        num_items: items to draw from.
        seed: of the orders.

    Raises:
        ValueError: if there is no item.
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
            # a batch spans two epochs at most when it is no larger than the data set; older orders are not needed
            self._orders = {old: order for old, order in self._orders.items() if old == epoch - 1}
            generator = torch.Generator().manual_seed((self.seed << 32) + epoch)
            self._orders[epoch] = torch.randperm(self.num_items, generator=generator)
        return self._orders[epoch]

    def items(self, draws: Sequence[int]) -> torch.LongTensor:
        """The items of some draws, of shape `(draws,)`."""
        return torch.stack([self.order(draw // self.num_items)[draw % self.num_items] for draw in draws])


class Draws(torch.utils.data.Dataset):
    """What a `DataLoader` of a run reads: its draws, a whole batch at a time.

    Args:
        num_items: items to draw from.
        num_draws: length of the run in draws.
        seed: of the order.
    """

    def __init__(self, num_items: int, num_draws: int, seed: int):
        self.epochs = EpochOrder(num_items, seed)
        self.num_draws = num_draws

    def __len__(self) -> int:
        return self.num_draws

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch; its tensors have a first dimension of `len(draws)`."""
        raise NotImplementedError
