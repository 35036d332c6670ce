"""SwiGLU in one kernel: `silu(x @ gate.T) * (x @ up.T)` without writing the two products; for calls without gradient.

A program computes one tile of gate and the same tile of up, both from one tile of `x`, and writes a third of what the
separate kernels move. Backward would need the two products again, so training keeps the plain layers where it
differentiates.

The products stay in float32 until the result is rounded to bfloat16; the unfused model rounds gate, up and silu(gate)
as well, so the two differ by a few roundings and this one is the closer to exact.
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _swiglu_kernel(
    x,  # (tokens, K)
    weight,  # (2 * N, K), gate rows first
    out,  # (tokens, N)
    tokens,
    K: tl.constexpr,
    N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    # programs that run at the same time share GROUP_M blocks of x and a few of the weight in the L2 cache
    num_m, num_n = tl.cdiv(tokens, BLOCK_M), N // BLOCK_N
    group = tl.program_id(0) // (GROUP_M * num_n)
    group_m = min(num_m - group * GROUP_M, GROUP_M)
    within = tl.program_id(0) % (GROUP_M * num_n)
    m = group * GROUP_M + within % group_m
    n = within // group_m

    # the last block reads its last row again instead of what is beyond: no masks in the loop
    rows = tl.minimum(tl.arange(0, BLOCK_M), tokens - 1 - m * BLOCK_M)
    columns = tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    x_pointers = x + m.to(tl.int64) * (BLOCK_M * K) + rows[:, None] * K + depth[None, :]
    gate_pointers = weight + n * (BLOCK_N * K) + columns[None, :] * K + depth[:, None]
    gate = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        block = tl.load(x_pointers + start)
        gate = tl.dot(block, tl.load(gate_pointers + start), gate)
        up = tl.dot(block, tl.load(gate_pointers + N * K + start), up)

    values = gate / (1.0 + tl.exp(-gate)) * up
    rows = tl.arange(0, BLOCK_M)
    pointers = out + m.to(tl.int64) * (BLOCK_M * N) + n * BLOCK_N + rows[:, None] * N + columns[None, :]
    tl.store(pointers, values.to(out.dtype.element_ty), mask=rows[:, None] < tokens - m * BLOCK_M)


def _configurations() -> list[triton.Config]:
    """What the autotuner measures, once for each K and N; the interpreter takes the first.

    The two accumulators take 128 registers of a thread in all of these. The first three run alone on a multiprocessor
    of an H100, with 144 or 192 KB of its shared memory; of the last, two run at once, and one multiplies while the
    other starts or ends, which counts where K is small.
    """
    configs = [
        triton.Config({"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": 64, "GROUP_M": 8}, num_warps=warps, num_stages=stages)
        for m, n, warps, stages in ((128, 128, 8, 4), (128, 128, 8, 3), (256, 64, 8, 3), (128, 64, 4, 3))
    ]
    return configs[:1] if triton.knobs.runtime.interpret else configs


_swiglu = triton.autotune(_configurations(), key=["K", "N"])(_swiglu_kernel)


@torch.library.custom_op("hrm_hf::swiglu_matmul", mutates_args=(), schema="(Tensor x, Tensor weight) -> Tensor")
def _swiglu_matmul(x, weight):
    tokens, depth = x.shape
    x, weight = x.contiguous(), weight.contiguous()
    out = _empty_output(x, weight)
    width = out.shape[1]
    if tokens > 0:
        _swiglu[lambda meta: (triton.cdiv(tokens, meta["BLOCK_M"]) * (width // meta["BLOCK_N"]),)](
            x, weight, out, tokens, K=depth, N=width
        )
    return out


@_swiglu_matmul.register_fake
def _empty_output(x, weight):
    return x.new_empty(x.shape[0], weight.shape[0] // 2)


def swiglu_matmul(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`silu(x @ gate.T) * (x @ up.T)`, with gate and up the halves of `weight`. Has no gradient.

    Args:
        x (`torch.Bfloat16Tensor` of shape `(tokens, hidden)`): hidden a multiple of 64.
        weight (`torch.Bfloat16Tensor` of shape `(2 * intermediate, hidden)`): intermediate a multiple of 128; the rows
            of gate, then those of up.

    Returns:
        `torch.Bfloat16Tensor` of shape `(tokens, intermediate)`.

    Raises:
        ValueError: if the shapes or dtypes are not as above, or a gradient is asked for.
    """
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x has the shape {tuple(x.shape)} and weight {tuple(weight.shape)}, but they must be (tokens, hidden) "
            "and (2 * intermediate, hidden)."
        )
    if x.shape[1] % 64 or weight.shape[0] % 256:
        raise ValueError(
            f"weight has the shape {tuple(weight.shape)}, but swiglu_matmul wants a multiple of 256 rows (twice the "
            "intermediate size) and of 64 columns; use the layers of PyTorch."
        )
    if x.dtype != torch.bfloat16 or weight.dtype != torch.bfloat16:
        raise ValueError(f"x is {x.dtype} and weight {weight.dtype}, but both must be torch.bfloat16.")
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        raise ValueError("swiglu_matmul has no gradient; call it under torch.no_grad().")
    return torch.ops.hrm_hf.swiglu_matmul(x, weight)
