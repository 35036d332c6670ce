"""AdamATan2: Adam without an epsilon. Plain PyTorch, with nothing to compile on install."""

from collections.abc import Callable, Iterable

import torch

from hrm_hf.training.device_optimizer import DeviceOptimizer, write
from hrm_hf.training.sharding import local


class AdamATan2(DeviceOptimizer):
    """Adam whose update is `atan2(m_hat, sqrt(v_hat))` (arXiv 2407.05872): bounded, and without an epsilon to choose.

    With decoupled weight decay: `p = p * (1 - lr * weight_decay) - lr * atan2(m_hat, sqrt(v_hat))`.

    Args:
        params: parameters or parameter groups.
        lr (`float` or scalar tensor): learning rate.
        betas (`tuple[float, float]`): decay of the first and second moments.
        weight_decay (`float`): decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
    ):
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas} is not allowed; both must be at least 0 and below 1.")
        super().__init__(params, lr, weight_decay, betas=betas)

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        loss = self._loss(closure)
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            for param in params:
                if param.grad.is_sparse:
                    raise ValueError("AdamATan2 needs dense gradients; use SignSGD for parameters with sparse ones.")
                if not self.state[param]:
                    self.state[param].update(exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param))
            self._update(
                # the arithmetic is elementwise, so a slice works like the whole
                [local(param) for param in params],
                [local(param.grad) for param in params],
                [local(self.state[param]["exp_avg"]) for param in params],
                [local(self.state[param]["exp_avg_sq"]) for param in params],
                self._count_update(group, params[0].device),
                group["lr"],
                *group["betas"],
                group["weight_decay"],
                self.found_inf,
            )
        return loss

    @staticmethod
    def update(
        params: list[torch.Tensor],
        grads: list[torch.Tensor],
        exp_avgs: list[torch.Tensor],
        exp_avg_sqs: list[torch.Tensor],
        updates: torch.Tensor,
        lr: float | torch.Tensor,
        beta1: float,
        beta2: float,
        weight_decay: float,
        found_inf: torch.Tensor | None,
    ):
        """One update in place; with `found_inf` true it changes nothing. Compiled, it is one kernel per parameter."""
        correction1, correction2 = 1 - beta1**updates, 1 - beta2**updates
        for param, grad, exp_avg, exp_avg_sq in zip(params, grads, exp_avgs, exp_avg_sqs, strict=True):
            mean = exp_avg.lerp(grad, 1 - beta1)
            square = exp_avg_sq * beta2 + grad.square() * (1 - beta2)
            direction = torch.atan2(mean / correction1, (square / correction2).sqrt())
            value = param * (1 - lr * weight_decay) - lr * direction
            for old, new in ((param, value), (exp_avg, mean), (exp_avg_sq, square)):
                write(old, new, found_inf)
