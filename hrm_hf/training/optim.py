"""Optimizers and learning-rate schedule of HRM: AdamATan2 for the network, SignSGD for the puzzle embeddings.

Plain PyTorch, nothing is compiled on install. `build_optimizers` says which parameter goes where.
"""

import math
from collections.abc import Iterable

import torch
import torch.distributed
from torch import nn
from torch.optim import Optimizer


class AdamATan2(Optimizer):
    """Adam whose update is `atan2(m_hat, sqrt(v_hat))` (arXiv 2407.05872): bounded, and there is no epsilon to choose.

    With decoupled weight decay: `p = p * (1 - lr * weight_decay) - lr * atan2(m_hat, sqrt(v_hat))`.

    Args:
        params: parameters or parameter groups.
        lr (`float`): learning rate.
        betas (`tuple[float, float]`): decay of the first and of the second moment.
        weight_decay (`float`): decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ):
        if lr < 0:
            raise ValueError(f"lr={lr} is not allowed; it must be at least 0.")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas} is not allowed; both must be at least 0 and below 1.")
        if weight_decay < 0:
            raise ValueError(f"weight_decay={weight_decay} is not allowed; it must be at least 0.")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group, [param for param in group["params"] if param.grad is not None])
        return loss

    def _update(self, group: dict, params: list[torch.Tensor]):
        if not params:
            return
        for param in params:
            if param.grad.is_sparse:
                raise ValueError("AdamATan2 takes dense gradients; give parameters with sparse ones to SignSGD.")
            if not self.state[param]:
                self.state[param].update(step=0, exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
        states = [self.state[param] for param in params]
        for state in states:
            state["step"] += 1
        lr, (beta1, beta2) = group["lr"], group["betas"]
        grads = [param.grad for param in params]
        exp_avgs = [state["exp_avg"] for state in states]
        exp_avg_sqs = [state["exp_avg_sq"] for state in states]

        torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
        torch._foreach_mul_(exp_avg_sqs, beta2)
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)

        means = torch._foreach_div(exp_avgs, [1 - beta1 ** state["step"] for state in states])
        deviations = torch._foreach_div(exp_avg_sqs, [1 - beta2 ** state["step"] for state in states])
        torch._foreach_sqrt_(deviations)
        for mean, deviation in zip(means, deviations, strict=True):  # there is no _foreach_atan2
            torch.atan2(mean, deviation, out=mean)

        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_add_(params, means, alpha=-lr)


class SignSGD(Optimizer):
    """SignSGD with decoupled weight decay on the rows of an embedding that are in the batch, and on no others.

    Gradients of equal rows are summed over the whole batch (all processes) before the sign is taken:
    `row = row * (1 - lr * weight_decay) - lr * sign(sum)`. Neither the gradient nor any state is ever dense.

    Args:
        params: embedding weights whose module has `sparse = True`.
        lr (`float`): learning rate.
        weight_decay (`float`): decoupled weight decay.
    """

    def __init__(self, params: Iterable, lr: float = 1e-2, weight_decay: float = 0.1):
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr={lr}, weight_decay={weight_decay} is not allowed; both must be at least 0.")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not weight.grad.is_sparse:
                    raise ValueError(
                        "SignSGD takes sparse gradients, because a dense one does not tell which rows were in the "
                        "batch; set `sparse = True` on the embedding module."
                    )
                rows, sums = sum_over_processes(weight.grad)
                decayed = weight[rows] * (1 - group["lr"] * group["weight_decay"])
                weight[rows] = decayed - group["lr"] * sums.sign()
        return loss


def sum_over_processes(grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct rows `(rows,)` of a sparse gradient and their sums `(rows, width)` over all processes.

    Every process must have the same number of entries (the same local batch size).
    """
    rows, values = grad._indices()[0], grad._values()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        all_rows = [torch.empty_like(rows) for _ in range(processes)]
        all_values = [torch.empty_like(values) for _ in range(processes)]
        torch.distributed.all_gather(all_rows, rows.contiguous())
        torch.distributed.all_gather(all_values, values.contiguous())
        # DDP averages the dense gradients over processes, so the same is done here
        rows, values = torch.cat(all_rows), torch.cat(all_values) / processes
    distinct, inverse = rows.unique(return_inverse=True)
    return distinct, values.new_zeros(len(distinct), values.shape[1]).index_add_(0, inverse, values)


def build_optimizers(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
    puzzle_emb_learning_rate: float,
    puzzle_emb_weight_decay: float,
) -> list[Optimizer]:
    """AdamATan2 for the network and, if the model has puzzle embeddings, SignSGD for those.

    Trained positions and the weights of norms (of other models than ours) get no weight decay. Sets the puzzle
    embedding to sparse gradients.
    """
    puzzle_embeddings = getattr(model.base_model, "puzzle_embeddings", None)
    puzzle_weight = None if puzzle_embeddings is None else puzzle_embeddings.weight
    spared = [
        param
        for name, param in model.named_parameters()
        if "positions." in name or (param.ndim == 1 and "norm" in name)
    ]
    others = {puzzle_weight, *spared}
    network = [param for param in model.parameters() if param not in others]
    groups = [{"params": network}, {"params": spared, "weight_decay": 0.0}]
    optimizers = [
        AdamATan2(
            [group for group in groups if group["params"]], lr=learning_rate, betas=betas, weight_decay=weight_decay
        )
    ]
    if puzzle_embeddings is not None:
        puzzle_embeddings.sparse = True
        optimizers.append(SignSGD([puzzle_weight], lr=puzzle_emb_learning_rate, weight_decay=puzzle_emb_weight_decay))
    return optimizers


def learning_rate_factor(step: int, warmup_steps: int, total_steps: int, min_ratio: float) -> float:
    """Linear warm-up, then a cosine from 1 down to `min_ratio` (1.0: constant, the original's default).

    Args:
        step (`int`): 0 before the first update; the update number `n` uses the factor of step `n`.
        warmup_steps (`int`), total_steps (`int`): where warm-up and schedule end.
        min_ratio (`float`): factor at the end.

    Returns:
        `float`: factor of the base learning rate.
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return min_ratio + max(0.0, (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))
