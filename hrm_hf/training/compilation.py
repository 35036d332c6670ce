"""What of a model is compiled for training."""

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer


# shapes that are compiled of one block before it runs uncompiled; torch's own limit is 8
_MOST_SHAPES = 64


def compile_blocks(model: nn.Module, several_shapes: bool = False):
    """Let torch.compile fuse what is inside of each Transformer block.

    All blocks are compiled as one piece of code for steps with and one for steps without gradient, which takes seconds
    where a whole segment, the same blocks called two dozen times, takes minutes and is no faster.

    Args:
        model: any model of transformers.
        several_shapes: whether batches have a few shapes: each then has code of its own, instead of slower code for
            all of them.
    """
    if several_shapes:
        torch._dynamo.config.recompile_limit = max(_MOST_SHAPES, torch._dynamo.config.recompile_limit)
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):  # the Transformer blocks of any model
            module.compile(dynamic=False if several_shapes else None)
