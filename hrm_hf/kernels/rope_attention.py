"""Attention over short sequences with rotary positions, from the packed projection to the packed gradient.

Plain PyTorch reads and writes query and key an extra time to rotate them, and again in the backward pass to undo this
and to copy three gradients into that of the projection. Here one program does everything for one head of a sequence:

forward     reads its part of `qkv`, rotates in registers, writes its part of the output
backward    recomputes the softmax weights from the saved logsumexp and writes its part of the gradient of `qkv`

Notable choices:
- At most 128 positions, so keys and values of a head stay on chip: no running maximum, no atomics, no second pass.
- Keys are split into 64 and a rest of 16, 32 or 64 (blocks are powers of 2): 82 positions cost 96 columns, not 128.
- Position offsets are added in the kernel too: a separate sum would read and write all of `qkv` once more.
- A rotated vector is kept as two halves, as half-split RoPE mixes them: query times key is the sum of two products
  with half the depth, and no half has to be moved.
- Rotation, softmax and sums are in float32; inputs of products are in bfloat16, rounded where the model rounds them.
"""

import torch
import triton
import triton.language as tl


MAX_POSITIONS = 128
HEAD_DIMS = (32, 64)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
FIRST_KEYS = tl.constexpr(64)


# --- kernels ----------------------------------------------------------------------------------------------------


@triton.jit
def _load_moved(
    base, offsets, rows, columns, ROW: tl.constexpr, OFFSETS_ROW: tl.constexpr, S: tl.constexpr, MOVE: tl.constexpr
):
    """Some columns at some positions, with their offsets added; 0 from position S on."""
    inside = rows[:, None] < S
    values = tl.load(base + rows[:, None] * ROW + columns, mask=inside, other=0.0)
    if MOVE:
        moves = tl.load(offsets + rows[:, None] * OFFSETS_ROW + columns, mask=inside, other=0.0)
        values = (values.to(tl.float32) + moves.to(tl.float32)).to(values.dtype)
    return values


@triton.jit
def _load_vectors(
    base, offsets, cos, sin, rows, ROW: tl.constexpr, S: tl.constexpr, D: tl.constexpr, MOVE: tl.constexpr,
    ROTATE: tl.constexpr,
):  # fmt: skip
    """Query or key at some positions, with offsets added and rotated; 0 from position S on.

    Returns its halves, each `(rows, D / 2)`, if rotated, otherwise all of it, `(rows, D)`, twice.
    """
    OFFSETS_ROW: tl.constexpr = ROW // 3 * 2
    if ROTATE:
        columns = tl.arange(0, D // 2)[None, :]
        inside = rows[:, None] < S
        first = _load_moved(base, offsets, rows, columns, ROW, OFFSETS_ROW, S, MOVE)
        second = _load_moved(base, offsets, rows, D // 2 + columns, ROW, OFFSETS_ROW, S, MOVE)
        c = tl.load(cos + rows[:, None] * D + columns, mask=inside, other=0.0)
        s = tl.load(sin + rows[:, None] * D + columns, mask=inside, other=0.0)
        x, y = first.to(tl.float32), second.to(tl.float32)
        first = (x * c - y * s).to(first.dtype)
        second = (y * c + x * s).to(second.dtype)
    else:
        first = _load_moved(base, offsets, rows, tl.arange(0, D)[None, :], ROW, OFFSETS_ROW, S, MOVE)
        second = first
    return first, second


@triton.jit
def _store_gradient(
    base, cos, sin, rows, x, y, ROW: tl.constexpr, S: tl.constexpr, D: tl.constexpr, ROTATE: tl.constexpr
):
    """Store the gradient before the rotation, given the one after it; parts as in `_load_vectors`, in float32."""
    inside = rows[:, None] < S
    if ROTATE:
        columns = tl.arange(0, D // 2)[None, :]
        c = tl.load(cos + rows[:, None] * D + columns, mask=inside, other=0.0)
        s = tl.load(sin + rows[:, None] * D + columns, mask=inside, other=0.0)
        first = x * c + y * s
        second = y * c - x * s
        tl.store(base + rows[:, None] * ROW + columns, first.to(base.dtype.element_ty), mask=inside)
        tl.store(base + rows[:, None] * ROW + D // 2 + columns, second.to(base.dtype.element_ty), mask=inside)
    else:
        columns = tl.arange(0, D)[None, :]
        tl.store(base + rows[:, None] * ROW + columns, x.to(base.dtype.element_ty), mask=inside)


@triton.jit
def _load_rows(base, rows, ROW: tl.constexpr, S: tl.constexpr, D: tl.constexpr):
    """`(rows, D)`; 0 from position S on."""
    return tl.load(base + rows[:, None] * ROW + tl.arange(0, D)[None, :], mask=rows[:, None] < S, other=0.0)


@triton.jit
def _masked_scores(q1, q2, k1, k2, keys, S: tl.constexpr, ROTATE: tl.constexpr):
    """Query times key without the scale, `(rows, keys)` in float32; -inf at keys from position S on."""
    scores = tl.dot(q1, tl.trans(k1))
    if ROTATE:
        scores = tl.dot(q2, tl.trans(k2), scores)
    return tl.where(keys[None, :] < S, scores, float("-inf"))


@triton.jit
def _forward_kernel(
    qkv,  # (batch, S, 3 * H * D)
    offsets,  # (S, 2 * H * D), added to query and key; anything if not MOVE
    cos,  # (S, D), or anything if not ROTATE
    sin,  # (S, D)
    out,  # (batch, S, H * D)
    logsumexp,  # (batch, H, S), written if SAVE_LOGSUMEXP
    scale,
    S: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    LAST_KEYS: tl.constexpr,
    MOVE: tl.constexpr,
    ROTATE: tl.constexpr,
    SAVE_LOGSUMEXP: tl.constexpr,
    BLOCK_Q: tl.constexpr,
):
    # heads of one sequence follow each other: they share cache lines and angles
    sequence, head = tl.program_id(0) // H, tl.program_id(0) % H
    ROW: tl.constexpr = 3 * H * D
    query = qkv + sequence.to(tl.int64) * (S * ROW) + head * D
    key, value = query + H * D, query + 2 * H * D
    q_offsets, k_offsets = offsets + head * D, offsets + H * D + head * D
    out += sequence.to(tl.int64) * (S * H * D) + head * D
    logsumexp += tl.program_id(0).to(tl.int64) * S
    scale_log2 = scale * LOG2_E

    keys_a = tl.arange(0, FIRST_KEYS)
    keys_b = FIRST_KEYS + tl.arange(0, LAST_KEYS)
    k1_a, k2_a = _load_vectors(key, k_offsets, cos, sin, keys_a, ROW, S, D, MOVE, ROTATE)
    k1_b, k2_b = _load_vectors(key, k_offsets, cos, sin, keys_b, ROW, S, D, MOVE, ROTATE)
    v_a = _load_rows(value, keys_a, ROW, S, D)
    v_b = _load_rows(value, keys_b, ROW, S, D)

    for start in range(0, S, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        q1, q2 = _load_vectors(query, q_offsets, cos, sin, rows, ROW, S, D, MOVE, ROTATE)
        scores_a = _masked_scores(q1, q2, k1_a, k2_a, keys_a, S, ROTATE)
        scores_b = _masked_scores(q1, q2, k1_b, k2_b, keys_b, S, ROTATE)
        # position 0 exists, so the maximum is finite
        maximum = tl.maximum(tl.max(scores_a, 1), tl.max(scores_b, 1)) * scale_log2
        weights_a = tl.exp2(scores_a * scale_log2 - maximum[:, None])
        weights_b = tl.exp2(scores_b * scale_log2 - maximum[:, None])
        total = tl.sum(weights_a, 1) + tl.sum(weights_b, 1)
        acc = tl.dot(weights_a.to(v_a.dtype), v_a)
        acc = tl.dot(weights_b.to(v_b.dtype), v_b, acc)
        acc = acc / total[:, None]
        places = rows[:, None] * (H * D) + tl.arange(0, D)[None, :]
        tl.store(out + places, acc.to(out.dtype.element_ty), mask=rows[:, None] < S)
        if SAVE_LOGSUMEXP:
            tl.store(logsumexp + rows, (maximum + tl.log2(total)) * LN_2, mask=rows < S)


@triton.jit
def _backward_kernel(
    qkv,  # (batch, S, 3 * H * D)
    offsets,  # (S, 2 * H * D), added to query and key; anything if not MOVE
    cos,  # (S, D), or anything if not ROTATE
    sin,  # (S, D)
    out,  # (batch, S, H * D)
    logsumexp,  # (batch, H, S)
    d_out,  # (batch, S, H * D)
    d_qkv,  # (batch, S, 3 * H * D), written
    scale,
    S: tl.constexpr,
    H: tl.constexpr,
    D: tl.constexpr,
    BLOCK_Q: tl.constexpr,  # at least S
    MOVE: tl.constexpr,
    ROTATE: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    sequence, head = tl.program_id(0) // H, tl.program_id(0) % H
    ROW: tl.constexpr = 3 * H * D
    packed = sequence.to(tl.int64) * (S * ROW) + head * D
    query, key, value = qkv + packed, qkv + packed + H * D, qkv + packed + 2 * H * D
    q_offsets, k_offsets = offsets + head * D, offsets + H * D + head * D
    d_query, d_key, d_value = d_qkv + packed, d_qkv + packed + H * D, d_qkv + packed + 2 * H * D
    out += sequence.to(tl.int64) * (S * H * D) + head * D
    d_out += sequence.to(tl.int64) * (S * H * D) + head * D
    logsumexp += tl.program_id(0).to(tl.int64) * S
    scale_log2 = scale * LOG2_E

    rows = tl.arange(0, BLOCK_Q)
    q1, q2 = _load_vectors(query, q_offsets, cos, sin, rows, ROW, S, D, MOVE, ROTATE)
    # rows that do not exist have a gradient of 0: whatever their weights are adds nothing
    d_o = _load_rows(d_out, rows, H * D, S, D)
    o = _load_rows(out, rows, H * D, S, D)
    delta = tl.sum(d_o.to(tl.float32) * o.to(tl.float32), 1)
    lse_log2 = tl.load(logsumexp + rows, mask=rows < S, other=0.0) * LOG2_E
    dq1 = tl.zeros((BLOCK_Q, q1.shape[1]), tl.float32)
    dq2 = tl.zeros((BLOCK_Q, q1.shape[1]), tl.float32)

    for start in range(0, S, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        k1, k2 = _load_vectors(key, k_offsets, cos, sin, keys, ROW, S, D, MOVE, ROTATE)
        v = _load_rows(value, keys, ROW, S, D)
        scores = _masked_scores(q1, q2, k1, k2, keys, S, ROTATE)
        weights = tl.exp2(scores * scale_log2 - lse_log2[:, None])
        d_weights = tl.dot(d_o, tl.trans(v))
        dv = tl.dot(tl.trans(weights.to(d_o.dtype)), d_o)
        d_scores = (weights * (d_weights - delta[:, None])).to(q1.dtype)
        d_scores_t = tl.trans(d_scores)
        dq1 = tl.dot(d_scores, k1, dq1)
        dk1 = tl.dot(d_scores_t, q1)
        dk2 = dk1
        if ROTATE:
            dq2 = tl.dot(d_scores, k2, dq2)
            dk2 = tl.dot(d_scores_t, q2)
        _store_gradient(d_key, cos, sin, keys, dk1 * scale, dk2 * scale, ROW, S, D, ROTATE)
        places = keys[:, None] * ROW + tl.arange(0, D)[None, :]
        tl.store(d_value + places, dv.to(d_qkv.dtype.element_ty), mask=keys[:, None] < S)

    _store_gradient(d_query, cos, sin, rows, dq1 * scale, dq2 * scale, ROW, S, D, ROTATE)


def _configurations(*choices: tuple[dict, dict]) -> list[triton.Config]:
    """What the autotuner measures, once for each key; the interpreter takes the first."""
    configs = [triton.Config(blocks, **options) for blocks, options in choices]
    return configs[:1] if triton.knobs.runtime.interpret else configs


# Compiled for an H100 with 82 positions of 64: 100 registers forward. Backward needs 220, so one program fits on a
# multiprocessor; with 128, two fit and one computes while the other waits for memory, at the cost of a few spills.
_forward = triton.autotune(
    _configurations(
        ({"BLOCK_Q": 64}, {"num_warps": 4, "num_stages": 1}),
        ({"BLOCK_Q": 64}, {"num_warps": 4, "num_stages": 2}),
        ({"BLOCK_Q": 128}, {"num_warps": 4, "num_stages": 1}),
        ({"BLOCK_Q": 128}, {"num_warps": 8, "num_stages": 1}),
    ),
    key=["S", "D", "ROTATE"],
)(_forward_kernel)
_backward = triton.autotune(
    _configurations(
        ({"BLOCK_K": 64}, {"num_warps": 8, "num_stages": 1, "maxnreg": 128}),
        ({"BLOCK_K": 64}, {"num_warps": 8, "num_stages": 2, "maxnreg": 128}),
        ({"BLOCK_K": 64}, {"num_warps": 8, "num_stages": 1}),
        ({"BLOCK_K": 32}, {"num_warps": 4, "num_stages": 1}),
        ({"BLOCK_K": 64}, {"num_warps": 4, "num_stages": 1}),
        ({"BLOCK_K": 128}, {"num_warps": 8, "num_stages": 1}),
    ),
    key=["S", "D", "ROTATE"],
)(_backward_kernel)


# --- operators --------------------------------------------------------------------------------------------------


@torch.library.custom_op(
    "hrm_hf::rope_attention",
    mutates_args=(),
    schema=(
        "(Tensor qkv, Tensor? offsets, Tensor? cos, Tensor? sin, int num_heads, bool save_logsumexp) "
        "-> (Tensor, Tensor)"
    ),
)
def _rope_attention(qkv, offsets, cos, sin, num_heads, save_logsumexp):
    batch, length, width = qkv.shape
    head_dim = width // 3 // num_heads
    qkv = qkv.contiguous()
    out, logsumexp = _empty_outputs(qkv, offsets, cos, sin, num_heads, save_logsumexp)
    _forward[(batch * num_heads,)](
        qkv,
        *_or_any(qkv, offsets, cos, sin),
        out,
        logsumexp,
        head_dim**-0.5,
        S=length,
        H=num_heads,
        D=head_dim,
        # without keys beyond the first 64, a block of 16 that is fully masked
        LAST_KEYS=max(16, triton.next_power_of_2(length - FIRST_KEYS.value)),
        MOVE=offsets is not None,
        ROTATE=cos is not None,
        SAVE_LOGSUMEXP=save_logsumexp,
    )
    return out, logsumexp


@_rope_attention.register_fake
def _empty_outputs(qkv, offsets, cos, sin, num_heads, save_logsumexp):
    batch, length, width = qkv.shape
    out = qkv.new_empty(batch, length, width // 3)
    shape = (batch, num_heads, length) if save_logsumexp else (0,)
    return out, qkv.new_empty(shape, dtype=torch.float32)


@torch.library.custom_op(
    "hrm_hf::rope_attention_backward",
    mutates_args=(),
    schema=(
        "(Tensor d_out, Tensor qkv, Tensor? offsets, Tensor? cos, Tensor? sin, Tensor out, Tensor logsumexp, "
        "int num_heads) -> Tensor"
    ),
)
def _rope_attention_backward(d_out, qkv, offsets, cos, sin, out, logsumexp, num_heads):
    batch, length, width = qkv.shape
    head_dim = width // 3 // num_heads
    qkv = qkv.contiguous()
    d_qkv = torch.empty_like(qkv)
    _backward[(batch * num_heads,)](
        qkv,
        *_or_any(qkv, offsets, cos, sin),
        out.contiguous(),
        logsumexp.contiguous(),
        d_out.contiguous(),
        d_qkv,
        head_dim**-0.5,
        S=length,
        H=num_heads,
        D=head_dim,
        # the products of a warp group have 64 rows
        BLOCK_Q=max(64, triton.next_power_of_2(length)),
        MOVE=offsets is not None,
        ROTATE=cos is not None,
    )
    return d_qkv


@_rope_attention_backward.register_fake
def _(d_out, qkv, offsets, cos, sin, out, logsumexp, num_heads):
    return qkv.new_empty(qkv.shape)


def _or_any(qkv: torch.Tensor, *tensors: torch.Tensor | None) -> list[torch.Tensor]:
    """Tensors for a kernel; it does not read those that are `None`."""
    return [qkv if tensor is None else tensor.contiguous() for tensor in tensors]


def _save_for_backward(ctx, inputs, output):
    qkv, offsets, cos, sin, ctx.num_heads, ctx.has_logsumexp = inputs
    ctx.save_for_backward(qkv, offsets, cos, sin, *output)
    ctx.set_materialize_grads(False)


def _differentiate(ctx, d_out, _):
    if not ctx.has_logsumexp:
        raise RuntimeError("This rope_attention was called with save_logsumexp=False, so it has no gradient.")
    qkv, offsets, cos, sin, out, logsumexp = ctx.saved_tensors
    d_qkv = torch.ops.hrm_hf.rope_attention_backward(d_out, qkv, offsets, cos, sin, out, logsumexp, ctx.num_heads)
    d_offsets = None
    if ctx.needs_input_grad[1]:
        d_offsets = d_qkv[..., : offsets.shape[1]].sum(0)
    return d_qkv, d_offsets, None, None, None, None


_rope_attention.register_autograd(_differentiate, setup_context=_save_for_backward)


def rope_attention(
    qkv: torch.Tensor,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    num_heads: int,
    offsets: torch.Tensor | None = None,
) -> torch.Tensor:
    """Softmax attention of every position to all positions, with rotary positions (half-split form) or offsets.

    One operator for torch.compile, forward and backward, that can be captured in a CUDA graph once a first call with
    the same shapes has chosen the kernels. Scores are scaled by `1 / sqrt(D)`.

    Args:
        qkv (`torch.Bfloat16Tensor` of shape `(batch, S, 3 * heads * D)`): query of all heads, then key, then value.
        cos, sin (`torch.FloatTensor` of shape `(S, D)`): of the angles; both halves of a row are the same, and only
            the first is read. `None`: nothing is rotated. They get no gradient.
        num_heads (`int`): heads, each of width D.
        offsets (`torch.Bfloat16Tensor` of shape `(S, 2 * heads * D)`, *optional*): added to query and key of every
            sequence, before a rotation.

    Returns:
        `torch.Bfloat16Tensor` of shape `(batch, S, heads * D)`.

    Raises:
        ValueError: if the dtype, the length, the width of the heads or the shape of the angles or offsets is not as
            above, with S at most 128 and D 32 or 64.
    """
    length, width = qkv.shape[-2:]
    if qkv.dim() != 3 or width % (3 * num_heads) or width // 3 // num_heads not in HEAD_DIMS:
        raise ValueError(
            f"qkv has the shape {tuple(qkv.shape)}, but {num_heads} heads need (batch, positions, "
            f"3 * {num_heads} * D) with D 32 or 64."
        )
    if length > MAX_POSITIONS or qkv.dtype != torch.bfloat16:
        raise ValueError(
            f"qkv has {length} positions of {qkv.dtype}, but rope_attention is for at most {MAX_POSITIONS} positions "
            "of torch.bfloat16; use the attention of PyTorch."
        )
    for name, angles in (("cos", cos), ("sin", sin)):
        if (angles is None) != (cos is None):
            raise ValueError("Give both of cos and sin, or neither.")
        if angles is not None and (angles.shape != (length, width // 3 // num_heads) or angles.dtype != torch.float32):
            raise ValueError(
                f"{name} has the shape {tuple(angles.shape)} and {angles.dtype}, but must be "
                f"{(length, width // 3 // num_heads)} of torch.float32."
            )
    if offsets is not None and (offsets.shape != (length, width // 3 * 2) or offsets.dtype != qkv.dtype):
        raise ValueError(
            f"offsets has the shape {tuple(offsets.shape)} and {offsets.dtype}, but must be "
            f"{(length, width // 3 * 2)} of torch.bfloat16."
        )
    with_gradient = torch.is_grad_enabled() and (qkv.requires_grad or (offsets is not None and offsets.requires_grad))
    return torch.ops.hrm_hf.rope_attention(qkv, offsets, cos, sin, num_heads, with_gradient)[0]
