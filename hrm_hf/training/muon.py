"""Muon: momentum with matrices orthogonalized before each update."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch

from hrm_hf.training.device_optimizer import DeviceOptimizer, write
from hrm_hf.training.sharding import join_like, local, slice_like


class Muon(DeviceOptimizer):
    """Muon (Jordan et al., 2024) for the matrices of Transformer blocks.

    Nesterov momentum, orthogonalized by Newton-Schulz steps and scaled by `0.2 * sqrt(largest dimension)`, so that
    entries are about as large as those of Adam's updates and the same learning rate fits both (arXiv 2502.16982); with
    decoupled weight decay. Matrices of equal shape are orthogonalized together.

    Of sharded matrices (FSDP2) each process keeps a slice of the momentum; every process gathers and orthogonalizes
    the whole matrices.

    Args:
        params: matrices, or parameter groups of them. `parts` of a group is the number of matrices, one below the
            other, in each of its parameters: 3 for query, key and value, 2 for gate and up projection.
        lr (`float` or scalar tensor): learning rate.
        momentum (`float`): decay of the momentum.
        weight_decay (`float`): decoupled weight decay.
        num_iterations (`int`): Newton-Schulz steps.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float | torch.Tensor = 5e-4,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        num_iterations: int = 5,
    ):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum={momentum} is not allowed; it must be at least 0 and below 1.")
        super().__init__(params, lr, weight_decay, momentum=momentum, num_iterations=num_iterations, parts=1)
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2 or param.shape[0] % group["parts"] != 0:
                    raise ValueError(
                        f"Muon needs matrices of {group['parts']} equal parts, not a parameter of shape "
                        f"{tuple(param.shape)}; use AdamATan2 for others."
                    )

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        loss = self._loss(closure)
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None and not self.state[param]:
                    self.state[param]["momentum"] = torch.zeros_like(param)
        with_parts = [
            (param, group["parts"])
            for group in self.param_groups
            for param in group["params"]
            if param.grad is not None
        ]
        if with_parts:
            # all groups together, because several groups may have matrices of the same shape
            first = self.param_groups[0]
            self._update(
                [param for param, _ in with_parts],
                [param.grad for param, _ in with_parts],
                [self.state[param]["momentum"] for param, _ in with_parts],
                [parts for _, parts in with_parts],
                first["lr"],
                first["momentum"],
                first["weight_decay"],
                first["num_iterations"],
                self.found_inf,
            )
        return loss

    @staticmethod
    def update(
        params: list[torch.Tensor],
        grads: list[torch.Tensor],
        momenta: list[torch.Tensor],
        parts: list[int],
        lr: float | torch.Tensor,
        momentum: float,
        weight_decay: float,
        num_iterations: int,
        found_inf: torch.Tensor | None,
    ):
        """One update in place; with `found_inf` true it changes nothing."""
        old_averages = [local(old) for old in momenta]
        slices = [local(grad) for grad in grads]
        averages = [old.lerp(grad, 1 - momentum) for old, grad in zip(old_averages, slices, strict=True)]
        nesterov = [grad.lerp(average, momentum) for grad, average in zip(slices, averages, strict=True)]
        matrices = [join_like(part, param) for part, param in zip(nesterov, params, strict=True)]
        directions = orthogonal_all(matrices, parts, num_iterations)
        for param, direction, old, average in zip(params, directions, old_averages, averages, strict=True):
            weight = local(param)
            value = weight * (1 - lr * weight_decay) - lr * local(slice_like(direction, param))
            write(weight, value, found_inf)
            write(old, average, found_inf)


def orthogonal_all(matrices: list[torch.Tensor], parts: list[int], num_iterations: int) -> list[torch.Tensor]:
    """Each matrix, or each of its parts, orthogonalized and scaled; those of one shape in one batch."""
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    pieces = []  # wide ones, (parts, rows, columns)
    for index, (matrix, count) in enumerate(zip(matrices, parts, strict=True)):
        piece = matrix.unflatten(0, (count, -1))
        pieces.append(piece.mT if piece.shape[1] > piece.shape[2] else piece)
        by_shape[tuple(pieces[-1].shape[1:])].append(index)
    results: list[torch.Tensor] = [torch.empty(0)] * len(matrices)
    for (_, columns), indices in by_shape.items():
        batch = orthogonal(torch.cat([pieces[index] for index in indices]), num_iterations)
        batch = batch * (0.2 * math.sqrt(columns))
        for index, piece in zip(indices, batch.split([parts[index] for index in indices]), strict=True):
            is_tall = matrices[index].shape[0] // parts[index] > matrices[index].shape[1]
            results[index] = (piece.mT if is_tall else piece).reshape(matrices[index].shape)
    return results


def orthogonal(matrices: torch.Tensor, num_iterations: int = 5) -> torch.Tensor:
    """About `U V^T` of the singular value decomposition `U S V^T` of each matrix, by Newton-Schulz steps.

    With the coefficients of Jordan et al. (2024), singular values end up between about 0.7 and 1.2, which works as
    well as convergence and takes fewer steps. In bfloat16 on a GPU.

    Args:
        matrices (`torch.FloatTensor` of shape `(matrices, rows, columns)`): with rows <= columns.
    """
    x = matrices.to(torch.bfloat16) if matrices.is_cuda else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(num_iterations):
        gram = x @ x.mT
        polynomial = -4.7750 * gram + 2.0315 * gram @ gram
        x = 3.4445 * x + polynomial @ x
    return x.to(matrices.dtype)
