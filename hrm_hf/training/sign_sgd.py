"""SignSGD for the puzzle embeddings: only the rows in the batch are touched."""

from collections.abc import Callable, Iterable

import torch
import torch.distributed

from hrm_hf.training.device_optimizer import DeviceOptimizer


class SignSGD(DeviceOptimizer):
    """SignSGD with decoupled weight decay, only on the rows of an embedding that are in the batch.

    Gradients of equal rows are summed over the whole batch (all processes) before the sign is taken:
    `row = row * (1 - lr * weight_decay) - lr * sign(sum)`. Neither the gradient nor any state is ever dense.

    Args:
        params: embedding weights whose module has `sparse = True`.
        lr (`float` or scalar tensor): learning rate.
        weight_decay (`float`): decoupled weight decay.
    """

    def __init__(self, params: Iterable, lr: float | torch.Tensor = 1e-2, weight_decay: float = 0.1):
        super().__init__(params, lr, weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        loss = self._loss(closure)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not weight.grad.is_sparse:
                    raise ValueError(
                        "SignSGD needs sparse gradients, because a dense one does not show which rows were in the "
                        "batch; set `sparse = True` on the embedding module."
                    )
                self._update(
                    weight,
                    *of_all_processes(weight.grad._indices()[0], weight.grad._values()),
                    group["lr"],
                    group["weight_decay"],
                    self.found_inf,
                )
        return loss

    @staticmethod
    def update(
        weight: torch.Tensor,
        rows: torch.LongTensor,
        values: torch.Tensor,
        lr: float | torch.Tensor,
        weight_decay: float,
        found_inf: torch.Tensor | None,
    ):
        """One update in place, from the gradient's entries: `rows` `(entries,)` and `values` `(entries, width)`."""
        sums = sums_of_equal_rows(rows, values)
        old = weight[rows]
        new = old * (1 - lr * weight_decay) - lr * sums.sign()
        # entries of equal rows write the same values
        weight.index_copy_(0, rows, new if found_inf is None else torch.where(found_inf, old, new))


def of_all_processes(rows: torch.LongTensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The entries of the gradients of all processes, one after the other, `(all entries,)` and `(all entries, width)`.

    Every process must have the same number of entries (the same local batch size).
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows, values
    processes = torch.distributed.get_world_size()
    all_rows = [torch.empty_like(rows) for _ in range(processes)]
    all_values = [torch.empty_like(values) for _ in range(processes)]
    torch.distributed.all_gather(all_rows, rows.contiguous())
    torch.distributed.all_gather(all_values, values.contiguous())
    # DDP averages the dense gradients over processes, so do the same here
    return torch.cat(all_rows), torch.cat(all_values) / processes


def sums_of_equal_rows(rows: torch.LongTensor, values: torch.Tensor) -> torch.Tensor:
    """For each entry, the sum of the values of all entries of its row, `(entries, width)`.

    Uses sorting and not `unique`, because the host would have to wait for the size of its result.
    """
    order = rows.argsort(stable=True)
    is_first = torch.ones_like(rows, dtype=torch.bool)
    is_first[1:] = rows[order[1:]] != rows[order[:-1]]
    places = torch.empty_like(rows)
    places[order] = is_first.cumsum(0) - 1  # number of the row among the distinct ones
    return torch.zeros_like(values).index_add_(0, places, values)[places]
