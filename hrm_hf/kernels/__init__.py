"""Triton kernels for the slow parts of a Transformer block in bfloat16; `use_fused_kernels(model)` enables them.

rope_attention  rotary positions, softmax attention and the packed layout of its gradient, one kernel per direction
swiglu          the feed-forward layer, with SwiGLU fused into the product before it, forward and backward
patch           replaces the forward of attention and SwiGLU in the blocks of a model

Triton comes with PyTorch for CUDA; without it the import of this package raises an `ImportError`.
"""

try:
    import triton  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hrm_hf.kernels needs triton, which comes with PyTorch for CUDA on Linux; without it, use the kernels of "
        "PyTorch."
    ) from error

from hrm_hf.kernels.patch import use_fused_kernels
from hrm_hf.kernels.rope_attention import rope_attention
from hrm_hf.kernels.swiglu import swiglu_matmul, swiglu_mlp


__all__ = ["rope_attention", "swiglu_matmul", "swiglu_mlp", "use_fused_kernels"]
