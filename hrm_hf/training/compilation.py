"""What of a model is compiled for training."""

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


def compile_blocks(model: nn.Module):
    """Let torch.compile fuse what is inside of each Transformer block.

    All blocks are compiled as one piece of code for steps with and one for steps without gradient, which takes seconds
    where a whole segment, the same blocks called two dozen times, takes minutes and is no faster.
    """
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):  # the Transformer blocks of any model
            module.compile()
