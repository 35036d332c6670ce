"""SwiGLU in Triton: its two products never leave the chip unless a backward pass needs them.

swiglu_matmul  `silu(x @ gate.T) * (x @ up.T)` in one kernel, for calls without gradient
swiglu_mlp     the whole feed-forward layer with its gradient: one kernel for the products and the activation in the
               forward pass, one from the gradient of the output to those of both products in the backward pass

Notable choices:
- Gate and up are one product: blocks of 64 of their rows alternate, so that a tile has part of each in registers.
- Forward is persistent: a program processes tile after tile and loads the next while it writes the last. Operands are
  loaded by the copy engine of Hopper (TMA).
- The products stay in float32 until a result is rounded to bfloat16; the unfused model also rounds gate, up,
  silu(gate) and the gradient in between, so the two differ by a few roundings, and this one is more exact.
"""

import functools

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor


ALTERNATE = 64  # rows of gate, then the same number of up


# --- kernels ----------------------------------------------------------------------------------------------------


@triton.jit
def _place_of(tile, num_m, num_n: tl.constexpr):
    """Row and column of a tile: concurrent tiles share GROUP_M row blocks and few column blocks in the L2 cache."""
    GROUP_M: tl.constexpr = 8
    group = tile // (GROUP_M * num_n)
    group_m = min(num_m - group * GROUP_M, GROUP_M)
    within = tile % (GROUP_M * num_n)
    return group * GROUP_M + within % group_m, within // group_m


@triton.jit
def _forward_kernel(
    x,  # (tokens, K)
    weight,  # (2 * N, K), blocks of gate and up alternate
    out,  # (tokens, N)
    products,  # (tokens, 2 * N), gate first; written if SAVE
    tokens,
    K: tl.constexpr,
    N: tl.constexpr,
    SAVE: tl.constexpr,
    ALTERNATE: tl.constexpr,
    MULTIPROCESSORS: tl.constexpr,
    PROGRAMS_EACH: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    num_m = tl.cdiv(tokens, BLOCK_M)
    num_n: tl.constexpr = N // BLOCK_N
    for tile in tl.range(tl.program_id(0), num_m * num_n, MULTIPROCESSORS * PROGRAMS_EACH, flatten=True):
        m, n = _place_of(tile, num_m, num_n)
        both = tl.zeros((BLOCK_M, 2 * BLOCK_N), tl.float32)
        for start in range(0, K, BLOCK_K):
            both = tl.dot(x.load([m * BLOCK_M, start]), weight.load([n * 2 * BLOCK_N, start]).T, both)
        both = tl.reshape(both, (BLOCK_M, BLOCK_N // ALTERNATE, 2, ALTERNATE))
        gate, up = tl.split(tl.permute(both, (0, 1, 3, 2)))
        gate = tl.reshape(gate, (BLOCK_M, BLOCK_N))
        up = tl.reshape(up, (BLOCK_M, BLOCK_N))
        if SAVE:
            products.store([m * BLOCK_M, n * BLOCK_N], gate.to(tl.bfloat16))
            products.store([m * BLOCK_M, N + n * BLOCK_N], up.to(tl.bfloat16))
        values = gate / (1.0 + tl.exp(-gate)) * up
        out.store([m * BLOCK_M, n * BLOCK_N], values.to(tl.bfloat16))


@triton.jit
def _backward_kernel(
    d_out,  # (tokens, K)
    down,  # (K, N)
    products,  # (tokens, 2 * N), gate first
    d_products,  # (tokens, 2 * N), written
    tokens,
    K: tl.constexpr,
    N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    m, n = _place_of(tl.program_id(0), tl.cdiv(tokens, BLOCK_M), N // BLOCK_N)
    d_values = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        d_values = tl.dot(d_out.load([m * BLOCK_M, start]), down.load([start, n * BLOCK_N]), d_values)
    gate = products.load([m * BLOCK_M, n * BLOCK_N]).to(tl.float32)
    up = products.load([m * BLOCK_M, N + n * BLOCK_N]).to(tl.float32)
    sigmoid = 1.0 / (1.0 + tl.exp(-gate))
    silu = gate * sigmoid
    d_products.store([m * BLOCK_M, N + n * BLOCK_N], (d_values * silu).to(tl.bfloat16))
    d_gate = d_values * up * (sigmoid + silu * (1.0 - sigmoid))
    d_products.store([m * BLOCK_M, n * BLOCK_N], d_gate.to(tl.bfloat16))


def _set_forward_blocks(arguments: dict):
    m, n, k = (arguments[f"BLOCK_{axis}"] for axis in "MNK")
    arguments["x"].block_shape = [m, k]
    arguments["weight"].block_shape = [2 * n, k]
    for name in ("out", "products"):
        arguments[name].block_shape = [m, n]


def _set_backward_blocks(arguments: dict):
    m, n, k = (arguments[f"BLOCK_{axis}"] for axis in "MNK")
    arguments["d_out"].block_shape = [m, k]
    arguments["down"].block_shape = [k, n]
    for name in ("products", "d_products"):
        arguments[name].block_shape = [m, n]


def _configuration(m: int, n: int, warps: int, stages: int, set_blocks, **more: int) -> triton.Config:
    blocks = {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": 64}
    return triton.Config(blocks | more, num_warps=warps, num_stages=stages, pre_hook=set_blocks)


# The autotuner measures these once for each key; the interpreter takes the first. With 8 warps one program uses a
# multiprocessor of an H100, with 4 warps two share it. There, for 62,976 tokens with K 512 and N 1536, the first takes
# 0.309 ms and the second 0.351, with SAVE 0.431 and 0.412.
_FORWARD = [
    _configuration(128, 128, 8, 3, _set_forward_blocks, PROGRAMS_EACH=1),
    _configuration(128, 64, 4, 3, _set_forward_blocks, PROGRAMS_EACH=2),
]
_BACKWARD = [
    _configuration(128, 64, 4, 3, _set_backward_blocks),
    _configuration(128, 64, 4, 2, _set_backward_blocks),
    _configuration(128, 128, 8, 4, _set_backward_blocks),
]
_NUM_MEASURED = 1 if triton.knobs.runtime.interpret else None
_forward = triton.autotune(_FORWARD[:_NUM_MEASURED], key=["K", "N", "SAVE"])(_forward_kernel)
_backward = triton.autotune(_BACKWARD[:_NUM_MEASURED], key=["K", "N"])(_backward_kernel)


# --- operators --------------------------------------------------------------------------------------------------


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    if device.type == "cpu":
        return 2  # interpreted
    return torch.cuda.get_device_properties(device).multi_processor_count


def _described(tensor: torch.Tensor) -> TensorDescriptor:
    """A matrix for the copy engine; its blocks are set with the configuration."""
    return TensorDescriptor.from_tensor(tensor, [1, 1])


def _alternate(weight: torch.Tensor) -> torch.Tensor:
    """The rows of gate and up in alternating blocks; torch.compile can fuse this with the cast before it."""
    blocks = weight.view(2, weight.shape[0] // 2 // ALTERNATE, ALTERNATE, weight.shape[1])
    return blocks.transpose(0, 1).reshape(weight.shape)


def _run_forward(x: torch.Tensor, blocks: torch.Tensor, save: bool) -> tuple[torch.Tensor, torch.Tensor]:
    out, products = _empty_results(x, blocks, save)
    tokens, depth = x.shape
    if tokens > 0:
        multiprocessors = _multiprocessors(x.device)
        _forward[lambda meta: (multiprocessors * meta["PROGRAMS_EACH"],)](
            _described(x),
            _described(blocks),
            _described(out),
            _described(products if save else out),
            tokens,
            K=depth,
            N=out.shape[1],
            SAVE=save,
            ALTERNATE=ALTERNATE,
            MULTIPROCESSORS=multiprocessors,
        )
    return out, products


def _empty_results(x: torch.Tensor, blocks: torch.Tensor, save: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Empty tensors for `silu(gate) * up`, and for the products if they are saved."""
    tokens = x.shape[0]
    return x.new_empty(tokens, blocks.shape[0] // 2), x.new_empty(tokens, blocks.shape[0]) if save else x.new_empty(0)


@torch.library.custom_op("hrm_hf::swiglu_matmul", mutates_args=(), schema="(Tensor x, Tensor blocks) -> Tensor")
def _swiglu_matmul(x, blocks):
    return _run_forward(x.contiguous(), blocks.contiguous(), save=False)[0]


@_swiglu_matmul.register_fake
def _(x, blocks):
    return _empty_results(x, blocks, save=False)[0]


@torch.library.custom_op(
    "hrm_hf::swiglu_mlp",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor blocks, Tensor down) -> (Tensor, Tensor, Tensor)",
)
def _swiglu_mlp(x, weight, blocks, down):
    values, products = _run_forward(x.contiguous(), blocks.contiguous(), save=True)
    return values @ down.T, values, products


@_swiglu_mlp.register_fake
def _(x, weight, blocks, down):
    return x.new_empty(x.shape[0], down.shape[0]), *_empty_results(x, blocks, save=True)


@torch.library.custom_op(
    "hrm_hf::swiglu_mlp_backward",
    mutates_args=(),
    schema="(Tensor d_out, Tensor down, Tensor products) -> Tensor",
)
def _swiglu_mlp_backward(d_out, down, products):
    d_products = torch.empty_like(products)
    tokens, depth = d_out.shape
    width = down.shape[1]
    if tokens > 0:
        _backward[lambda meta: (triton.cdiv(tokens, meta["BLOCK_M"]) * (width // meta["BLOCK_N"]),)](
            _described(d_out.contiguous()),
            _described(down.contiguous()),
            _described(products),
            _described(d_products),
            tokens,
            K=depth,
            N=width,
        )
    return d_products


@_swiglu_mlp_backward.register_fake
def _(d_out, down, products):
    return torch.empty_like(products)


def _save_for_backward(ctx, inputs, output):
    x, weight, _, down = inputs
    _, values, products = output
    ctx.save_for_backward(x, weight, down, values, products)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, d_out, *_):
    if d_out is None:
        return None, None, None, None
    x, weight, down, values, products = ctx.saved_tensors
    d_products = torch.ops.hrm_hf.swiglu_mlp_backward(d_out, down, products)
    return d_products @ weight, d_products.T @ x, None, d_out.T @ values


_swiglu_mlp.register_autograd(_differentiate, setup_context=_save_for_backward)


def _check(x: torch.Tensor, weight: torch.Tensor):
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x has the shape {tuple(x.shape)} and weight {tuple(weight.shape)}, but they must be (tokens, hidden) "
            "and (2 * intermediate, hidden)."
        )
    if x.shape[1] % 64 or weight.shape[0] % 256:
        raise ValueError(
            f"weight has the shape {tuple(weight.shape)}, but the SwiGLU kernels want a multiple of 256 rows (twice "
            "the intermediate size) and of 64 columns; use the layers of PyTorch."
        )
    if x.dtype != torch.bfloat16 or weight.dtype != torch.bfloat16:
        raise ValueError(f"x is {x.dtype} and weight {weight.dtype}, but both must be torch.bfloat16.")


def swiglu_matmul(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`silu(x @ gate.T) * (x @ up.T)`, with gate and up the halves of `weight`. Has no gradient.

    Args:
        x (`torch.Bfloat16Tensor` of shape `(tokens, hidden)`): hidden a multiple of 64.
        weight (`torch.Bfloat16Tensor` of shape `(2 * intermediate, hidden)`): intermediate a multiple of 128; the rows
            of gate, then those of up.

    Returns:
        `torch.Bfloat16Tensor` of shape `(tokens, intermediate)`.

    Raises:
        ValueError: if the shapes or dtypes are not as above, or a gradient is needed.
    """
    _check(x, weight)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        raise ValueError("swiglu_matmul has no gradient; call it under torch.no_grad(), or call swiglu_mlp.")
    return torch.ops.hrm_hf.swiglu_matmul(x, _alternate(weight))


def swiglu_mlp(x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """`(silu(x @ gate.T) * (x @ up.T)) @ down.T`, with gradients of all three arguments.

    For the backward pass it keeps the products with gate and up and the input of the last product, `6 * intermediate`
    bytes per token; layers that recompute the latter keep `4 * intermediate`.

    Args:
        x (`torch.Bfloat16Tensor` of shape `(tokens, hidden)`): hidden a multiple of 64.
        weight (`torch.Bfloat16Tensor` of shape `(2 * intermediate, hidden)`): intermediate a multiple of 128; the rows
            of gate, then those of up.
        down (`torch.Bfloat16Tensor` of shape `(hidden, intermediate)`).

    Returns:
        `torch.Bfloat16Tensor` of shape `(tokens, hidden)`.

    Raises:
        ValueError: if the shapes or dtypes are not as above.
    """
    _check(x, weight)
    wanted = (weight.shape[1], weight.shape[0] // 2)
    if down.shape != wanted or down.dtype != torch.bfloat16:
        raise ValueError(f"down has the shape {tuple(down.shape)} of {down.dtype}, but must be {wanted} of bfloat16.")
    return torch.ops.hrm_hf.swiglu_mlp(x, weight, _alternate(weight.detach()), down)[0]
