"""Use the fused kernels in a model: bound methods instead of the forward of attention and SwiGLU."""

from types import MethodType

import torch
import triton
from torch import nn
from transformers.activations import ACT2FN

from hrm_hf.kernels.rope_attention import HEAD_DIMS, MAX_POSITIONS, rope_attention
from hrm_hf.kernels.swiglu import swiglu_matmul, swiglu_mlp
from modeling_hrm import HRMMLP, HRMAttention, HRMBlock


SILU = type(ACT2FN["silu"])
# on import, because torch.compile cannot read the environment; in the interpreter kernels run on the CPU
DEVICE_TYPE = "cpu" if triton.knobs.runtime.interpret else "cuda"


def use_fused_kernels(model: nn.Module, swiglu: bool = True):
    """Let the blocks of a model use `rope_attention`, `swiglu_matmul` and `swiglu_mlp` where they apply.

    Call it before torch.compile. Weights, their names and saved files do not change. A call uses

    - `rope_attention` on a GPU in bfloat16 (hidden states or autocast), in a bidirectional model, over at most 128
      positions with heads of 32 or 64, without mask, cache, stopped positions, `output_attentions` or position
      ids that differ between sequences; with gradient and without;
    - `swiglu_mlp`, or without gradient `swiglu_matmul`, on a GPU of the Hopper generation or later in bfloat16, with
      silu, a hidden size that is a multiple of 64 and an intermediate size that is a multiple of 128;

    and otherwise the forward of its class. The choice depends only on shapes and settings, so torch.compile makes it
    once, without graph breaks.

    Args:
        model (`nn.Module`): changed in place.
        swiglu (`bool`, defaults to `True`): `False` does not change the SwiGLU.

    Raises:
        ValueError: if the model has no `HRMBlock` (for instance because its code came from the Hub).
    """
    blocks = [module for module in model.modules() if isinstance(module, HRMBlock)]
    if not blocks:
        raise ValueError(
            f"{type(model).__name__} has no HRMBlock of modeling_hrm.py in which to use the fused kernels; build or "
            "load the model with the classes of this package instead of remote code."
        )
    # without a copy engine Triton loads tiles one by one, slower than the layers of PyTorch
    has_copy_engine = not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] >= 9
    for block in blocks:
        if not block.mixes_by_mlp:
            block.self_attn.forward = MethodType(_attention_forward, block.self_attn)
        if swiglu and has_copy_engine:
            block.mlp.forward = MethodType(_mlp_forward, block.mlp)


def _computes_in_bfloat16(hidden_states: torch.Tensor) -> bool:
    """Whether the linear layers return bfloat16, on a device supported by Triton."""
    if hidden_states.device.type != DEVICE_TYPE:
        return False
    if torch.is_autocast_enabled(DEVICE_TYPE):
        return torch.get_autocast_dtype(DEVICE_TYPE) == torch.bfloat16
    return hidden_states.dtype == torch.bfloat16


def _attention_forward(
    self: HRMAttention,
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    cache=None,
    frozen=None,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `HRMAttention.forward`: `(batch, positions, hidden_size)` in and out, and no attention weights."""
    length = hidden_states.shape[1]
    wants_weights = kwargs.get("output_attentions", getattr(self.config, "output_attentions", False))
    if (
        not _computes_in_bfloat16(hidden_states)
        or self.is_causal
        or length > MAX_POSITIONS
        or self.head_dim not in HEAD_DIMS
        or attention_mask is not None
        or cache is not None
        or frozen is not None
        or wants_weights
        or (position_embeddings is not None and position_embeddings[0].shape[0] != 1)
    ):
        return HRMAttention.forward(
            self,
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            cache=cache,
            frozen=frozen,
            **kwargs,
        )
    qkv = self.qkv_proj(hidden_states)
    cos = sin = offsets = None
    if self.positions is not None:
        offsets = self.position_offsets(length)[:, :2].flatten(1).to(qkv.dtype).contiguous()
    if position_embeddings is not None:
        cos, sin = position_embeddings[0][0], position_embeddings[1][0]
    return self.o_proj(rope_attention(qkv, cos, sin, self.config.num_attention_heads, offsets)), None


def _mlp_forward(self: HRMMLP, hidden_states: torch.Tensor) -> torch.Tensor:
    """As `HRMMLP.forward`: `(batch, positions, hidden_size)` in and out."""
    width, hidden_size = self.gate_up_proj.weight.shape
    if (
        not _computes_in_bfloat16(hidden_states)
        or not isinstance(self.act_fn, SILU)
        or width % 256
        or hidden_size % 64
    ):
        return HRMMLP.forward(self, hidden_states)
    x = hidden_states.to(torch.bfloat16).flatten(0, -2)
    weight = self.gate_up_proj.weight.to(torch.bfloat16)
    if torch.is_grad_enabled():
        out = swiglu_mlp(x, weight, self.down_proj.weight.to(torch.bfloat16))
    else:
        out = self.down_proj(swiglu_matmul(x, weight))
    return out.unflatten(0, hidden_states.shape[:-1])
