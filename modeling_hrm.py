# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""PyTorch Hierarchical Reasoning Model (HRM, arXiv 2506.21734).

Works as remote code on the Hub, as a plain module and inside the package; it only imports `configuration_hrm.py`. Read
from top to bottom, in the order that data flows:

    norm, rotary positions, attention, SwiGLU, block, stack of blocks, module (a stack with a state), then
    HRMModel         segments: prelude, H/L recurrence, coda; states in and out, a cache for text
    HRMSolving       `solve`: segments until the halting head says stop
    HRMForGridTask   token head, halting head, adaptive computation time (ACT), losses
    HRMForCausalLM   token head and a halting value at every position, for text; `generate`

Notable choices:
- Attention goes through transformers' attention interface (`eager`, `sdpa`, `flash_attention_2`, `flex_attention`).
- The dtype of the hidden states is the autocast dtype if autocast is on, otherwise that of the weights; norms, rotary
  angles, halting values and losses are always computed in float32.
- Gradients flow only through the last call of each module, or through the whole last H cycle, or through all
  (`config.gradient_depth`); everything before runs without gradient, so memory does not grow with the cycles. Prelude
  and coda, which run once in a segment, always have a gradient.
- For text, every block call of every segment has its own slot in a standard cache: segment * calls + call.
- The initial states are fixed random vectors: saved buffers that are never trained, the same for every seed.
"""

import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import register_dataclass
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.generation import GenerationMixin
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, can_return_tuple
from transformers.utils.generic import TransformersKwargs, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs


try:
    from .configuration_hrm import HRMConfig
except ImportError:
    # inside a package (remote code) the sibling must exist, and its own import errors must be visible
    if __package__:
        raise
    from configuration_hrm import HRMConfig


# --- outputs ----------------------------------------------------------------------------------------------------


@dataclass
class HRMState:
    """States of the two modules between segments.

    Like a cache, and unlike the outputs below, it is not a `ModelOutput`: wrappers that cast or gather outputs (such
    as mixed precision in Accelerate) pass it on unchanged.

    Args:
        z_H (`torch.FloatTensor` of shape `(batch, prefix + tokens, hidden_size)`): the slow, high-level state.
        z_L (`torch.FloatTensor` of the same shape): the fast, low-level state.
    """

    z_H: torch.FloatTensor
    z_L: torch.FloatTensor


# The name of the cache in arguments and outputs: `past_key_values` until transformers 5.23, `cache` since 5.24.
# Outputs inherit the field; every forward here accepts both names.
CACHE_NAME = "cache" if any(field.name == "cache" for field in fields(BaseModelOutputWithPast)) else "past_key_values"


@dataclass
class HRMModelOutput(BaseModelOutputWithPast):
    """Output of [`HRMModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, prefix + tokens, hidden_size)`): z_H, or the output of
            the coda in a model with one, with its graph.
        cache (`Cache`, causal with `use_cache`): keys and values of every block call of every segment
            (`past_key_values` before transformers 5.24).
        state ([`HRMState`]): both states, detached, to start the next segment.
        segment_hidden_states (`tuple(torch.FloatTensor)`): the same after each segment, each with its own graph.
        segments (`torch.LongTensor` of shape `(batch, prefix + tokens)`, with `stop`): segments of each position.
        hidden_states (`tuple(torch.FloatTensor)`, with `output_hidden_states=True`): input of the first block call
            and output of every block call, in the order in which they run.
        attentions (`tuple(torch.FloatTensor)`, with `output_attentions=True`): attention weights of every block call,
            each of shape `(batch, heads, positions, positions)`.
    """

    state: HRMState | None = None
    segment_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    segments: torch.LongTensor | None = None


@dataclass
class HRMCarry:
    """What each sequence of a training batch carries to the next segment (ACT). Not a `ModelOutput`, like its state.

    Args:
        state ([`HRMState`]): states after the last segment.
        steps (`torch.IntTensor` of shape `(batch,)`): segments of the sequence so far.
        halted (`torch.BoolTensor` of shape `(batch,)`): whether the next segment starts a new sequence here.
        input_ids (`torch.LongTensor` of shape `(batch, tokens)`): the current sequence.
        puzzle_identifiers (`torch.LongTensor` of shape `(batch,)`): its puzzle identifiers.
        labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): its labels.
        conditions (`torch.LongTensor` of shape `(batch, conditions)`, *optional*): its other conditions.
        token_roles (`torch.LongTensor` of shape `(batch, vocab_size)`, *optional*): roles of the tokens in its puzzle.
    """

    state: HRMState
    steps: torch.IntTensor
    halted: torch.BoolTensor
    input_ids: torch.LongTensor
    puzzle_identifiers: torch.LongTensor
    labels: torch.LongTensor | None = None
    conditions: torch.LongTensor | None = None
    token_roles: torch.LongTensor | None = None


# so that torch.export accepts and returns them, and exports can be saved; remote code may be loaded more than once, so
# each class has its own name
for _type in (HRMState, HRMCarry):
    register_dataclass(_type, serialized_type_name=f"{_type.__module__}.{_type.__qualname__}")
    torch.serialization.add_safe_globals([_type])


@dataclass
class HRMGridTaskOutput(ModelOutput):
    """Output of [`HRMForGridTask`]: one segment.

    Args:
        loss (`torch.FloatTensor` of shape `()`, with `labels`): `lm_loss + 0.5 * (q_halt_loss + q_continue_loss)`.
        logits (`torch.FloatTensor` of shape `(batch, tokens, vocab_size)`): token scores.
        q_halt_logits (`torch.FloatTensor` of shape `(batch,)`): halting value in float32; its sigmoid estimates the
            probability that the prediction is exactly right.
        q_continue_logits (`torch.FloatTensor` of shape `(batch,)`, with `halting="q_learning"`): value of continuing.
        target_q_continue (`torch.FloatTensor` of shape `(batch,)`, in training): bootstrapped target of the latter.
        lm_loss, q_halt_loss, q_continue_loss (`torch.FloatTensor` of shape `()`, with `labels`): parts of the loss,
            averaged over sequences.
        cell_accuracy (`torch.FloatTensor` of shape `(batch,)`, with `labels`): share of the labeled cells that are
            right.
        exact_accuracy (`torch.FloatTensor` of shape `(batch,)`, with `labels`): 1 if all labeled cells are right,
            otherwise 0.
        carry ([`HRMCarry`]): for the next call.
        hidden_states, attentions: as in [`HRMModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    q_halt_logits: torch.FloatTensor | None = None
    q_continue_logits: torch.FloatTensor | None = None
    target_q_continue: torch.FloatTensor | None = None
    lm_loss: torch.FloatTensor | None = None
    q_halt_loss: torch.FloatTensor | None = None
    q_continue_loss: torch.FloatTensor | None = None
    cell_accuracy: torch.FloatTensor | None = None
    exact_accuracy: torch.FloatTensor | None = None
    carry: HRMCarry | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class HRMSolveOutput(ModelOutput):
    """Output of [`HRMForGridTask.solve`].

    Args:
        predictions (`torch.LongTensor` of shape `(batch, tokens)`): predicted token ids after the last segment.
        segments (`torch.LongTensor` of shape `(batch,)`): number of segments of each sequence.
        halted (`torch.BoolTensor` of shape `(batch,)`): whether the halting head stopped the sequence; `False` if it
            reached `max_segments`.
        halt_probabilities (`torch.FloatTensor` of shape `(batch,)`): sigmoid of the last halting value: how sure the
            model is that its prediction is right.
        prediction_history (`torch.LongTensor` of shape `(batch, segments, tokens)`, on request): prediction after
            each segment; rows that stopped earlier repeat their last one.
        halt_probability_history (`torch.FloatTensor` of shape `(batch, segments)`, on request): the same for halting.
    """

    predictions: torch.LongTensor | None = None
    segments: torch.LongTensor | None = None
    halted: torch.BoolTensor | None = None
    halt_probabilities: torch.FloatTensor | None = None
    prediction_history: torch.LongTensor | None = None
    halt_probability_history: torch.FloatTensor | None = None


@dataclass
class HRMSegment:
    """One segment of the unfinished puzzles, from `HRMForGridTask.segments`.

    Args:
        rows (`torch.LongTensor` of shape `(rows,)`): which puzzles of the batch they are.
        start ([`HRMState`]): states before the segment.
        state ([`HRMState`]): states after it.
        logits (`torch.FloatTensor` of shape `(rows, tokens, vocab_size)`): token scores.
        q_halt (`torch.FloatTensor` of shape `(rows,)`): halting value in float32.
        stops (`torch.BoolTensor` of shape `(rows,)`): whether the halting head says stop.
        q_continue (`torch.FloatTensor` of shape `(rows,)`, *optional*): the value of continuing, with Q-learning.
    """

    rows: torch.LongTensor
    start: HRMState
    state: HRMState
    logits: torch.FloatTensor
    q_halt: torch.FloatTensor
    stops: torch.BoolTensor
    q_continue: torch.FloatTensor | None = None


@dataclass
class HRMCausalLMOutput(CausalLMOutputWithPast):
    """Output of [`HRMForCausalLM`], in addition to `loss`, `logits`, `cache`, `hidden_states` and `attentions`.

    Args:
        loss (`torch.FloatTensor` of shape `()`, with `labels`): the training loss, the mean over all segments of the
            cross entropy and of half the halting losses. With one segment it is the cross entropy.
        lm_loss (`torch.FloatTensor` of shape `()`, with `labels`): cross entropy of `logits`, in nats per token; its
            exponential is the perplexity.
        q_halt_loss, q_continue_loss (`torch.FloatTensor` of shape `()`, with `labels` and a halting head): means over
            tokens and segments.
        q_halt_logits (`torch.FloatTensor` of shape `(batch, tokens)`, with a halting head): halting value of each
            position in float32; its sigmoid estimates the probability that the most likely next token is right.
        segments (`torch.LongTensor` of shape `(batch, tokens)`): thinking depth: number of segments of each position.
    """

    lm_loss: torch.FloatTensor | None = None
    q_halt_loss: torch.FloatTensor | None = None
    q_continue_loss: torch.FloatTensor | None = None
    q_halt_logits: torch.FloatTensor | None = None
    segments: torch.LongTensor | None = None


# --- one Transformer block --------------------------------------------------------------------------------------


class HRMRMSNorm(nn.Module):
    """Root mean square norm without a weight, computed in float32."""

    def __init__(self, eps: float):
        super().__init__()
        self.eps = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        values = hidden_states.float()
        variance = values.square().mean(-1, keepdim=True)
        return (values * torch.rsqrt(variance + self.eps)).to(hidden_states.dtype)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


# row and column of all positions before the cells, for a model whose prefix has no order
_PREFIX_CELL = -4


class HRMRotaryEmbedding(nn.Module):
    """Rotary position angles, in the half-split form; on a board half of them by row and half by column."""

    inv_freq: torch.Tensor

    def __init__(self, config: HRMConfig):
        super().__init__()
        self.config = config
        self.max_seq_len_cached = config.num_prefix_positions + config.max_position_embeddings
        self.original_max_seq_len = self.max_seq_len_cached
        self.rope_type = config.rope_parameters["rope_type"]
        rope_init_fn = self.compute_default_rope_parameters
        if self.rope_type != "default":
            rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = rope_init_fn(config)
        # PreTrainedModel._init_weights refills both after loading on the meta device
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.register_buffer("original_inv_freq", inv_freq.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config: HRMConfig, **kwargs) -> tuple[torch.Tensor, float]:
        """
        Inverse frequencies of shape `(head_dim / 2,)`, on a board `(head_dim / 4,)` for both rows and columns, and the
        scaling of attention (unused here: 1).
        """
        # high on a board, so that a head can tell adjacent cells apart
        is_board = config.position_embedding_type == "rope_2d"
        step, fastest = (4, config.rope_2d_max_frequency) if is_board else (2, 1.0)
        exponents = torch.arange(0, config.head_dim, step, dtype=torch.float) / config.head_dim
        return fastest / (config.rope_parameters["rope_theta"] ** exponents), 1.0

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x: torch.Tensor, position_ids: torch.LongTensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`cos` and `sin` in float32, each of shape `(batch or 1, positions, head_dim)`.

        On a board `position_ids` has rows and columns, `(batch or 1, positions, 2)`.
        """
        inv_freq = self.inv_freq.to(device=x.device, dtype=torch.float)
        angles = (position_ids[..., None].float() * inv_freq).flatten(2)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling


def grid_positions(config: HRMConfig, position_ids: torch.LongTensor, grid_shape: tuple[int, int]) -> torch.LongTensor:
    """Row and column of each position, `(batch or 1, positions, 2)`."""
    # the prefix of a puzzle has negative numbers: cells in rows above the board
    cells = position_ids - config.num_prefix_positions
    places = torch.stack((cells.div(grid_shape[1], rounding_mode="floor"), cells.remainder(grid_shape[1])), dim=-1)
    if config.num_token_roles + config.num_registers > 0:
        # roles and registers have no order; all are at one place that is not next to any cell
        places = torch.where(cells.unsqueeze(-1) < 0, _PREFIX_CELL, places)
    return places


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    """Swap the two halves of the last dimension and negate the new first one."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def apply_rotary_pos_emb(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate `query` and `key` of shape `(batch, heads, positions, head_dim)` in float32, keeping their dtype."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    rotated_query = query.float() * cos + rotate_half(query.float()) * sin
    rotated_key = key.float() * cos + rotate_half(key.float()) * sin
    return rotated_query.to(query.dtype), rotated_key.to(key.dtype)


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention in plain PyTorch; the only implementation that returns its weights."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = F.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class HRMGridPositions(nn.Module):
    """Vectors for the cells of a board: each is the sum of trained vectors for its row, its column and its block.

    Args:
        config ([`HRMConfig`]): with `grid_shape` and `block_shape`.
        for_attention (`bool`): two vectors per cell, added to its query and its key, instead of one.
    """

    def __init__(self, config: HRMConfig, for_attention: bool):
        super().__init__()
        self.config = config
        self.for_attention = for_attention
        (rows, columns), blocks = config.grid_shape, 0
        if config.block_shape is not None:
            blocks = rows * columns // math.prod(config.block_shape)
        for kind, units in {"row": rows, "column": columns, "block": blocks}.items():
            if units > 0:
                shape = (units, 2 if for_attention else 1, config.hidden_size)
                self.register_parameter(kind, nn.Parameter(torch.empty(shape)))

    @torch.no_grad()
    def init_parameters(self):
        """
        At the input: like the token embeddings. In the attention: heads initially attend to their own row, column or
        block, in turn, and every last one anywhere. Query and key of a cell start with the same random vector in the
        heads for this kind of unit, and with zeros in the other heads.
        """
        parameters = dict(self.named_parameters())
        for index, parameter in enumerate(parameters.values()):
            if not self.for_attention:
                truncated_normal_(parameter, std=self.config.hidden_size**-0.5)
                continue
            units, head_dim = parameter.shape[0], self.config.head_dim
            vectors = torch.zeros(units, self.config.num_attention_heads, head_dim, device=parameter.device)
            heads = slice(index, None, len(parameters) + 1)
            vectors[:, heads] = torch.randn_like(vectors[:, heads])
            init.copy_(parameter, vectors.flatten(1).unsqueeze(1).expand_as(parameter))

    def forward(self) -> torch.Tensor:
        """The vectors of all cells, row by row: `(cells, 2 or 1, hidden_size)`."""
        rows, columns = (torch.arange(cells, device=self.row.device) for cells in self.config.grid_shape)
        vectors = self.row[rows].unsqueeze(1) + self.column[columns]
        if self.config.block_shape is not None:
            height, width = self.config.block_shape
            blocks_in_a_row = len(columns) // width
            vectors = vectors + self.block[(rows // height * blocks_in_a_row).unsqueeze(1) + columns // width]
        return vectors.flatten(0, 1)


class HRMNeighborBias(nn.Module):
    """Trained biases of query and key on a board with rotary positions: what a head attends to relative to its cell.

    After the rotation their product depends only on the offset between two cells, so on a board of any size heads can
    attend to the cell above, below, left or right.
    """

    _WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1))

    def __init__(self, config: HRMConfig):
        super().__init__()
        self.config = config
        self.bias = nn.Parameter(torch.empty(2, config.hidden_size))

    @torch.no_grad()
    def init_parameters(self):
        """
        Four of every eight heads initially attend to the cells above, below, left and right, in turn, and the others
        anywhere. Only the higher half of the frequencies is used: a score is a sum of cosines of the distance to the
        neighbor, and low frequencies would hardly tell it from the cells around it.
        """
        frequencies, _ = HRMRotaryEmbedding.compute_default_rope_parameters(self.config)
        num_fast = (len(frequencies) + 1) // 2
        amplitude = torch.zeros_like(frequencies)
        amplitude[:num_fast] = math.sqrt(self.config.neighbor_score * math.sqrt(self.config.head_dim) / (2 * num_fast))
        amplitude = amplitude.repeat(2)
        vectors = torch.zeros(2, self.config.num_attention_heads, 2, len(amplitude))
        for head in range(self.config.num_attention_heads):
            if head % 8 < len(self._WAYS):
                angles = torch.cat([cells * frequencies for cells in self._WAYS[head % 8]])
                vectors[0, head] = amplitude * torch.stack((angles.cos(), angles.sin()))
                vectors[1, head, 0] = amplitude
        init.copy_(self.bias, vectors.flatten(1))

    def forward(self) -> torch.Tensor:
        """The biases, the same for all cells: `(1, 2, hidden_size)`."""
        return self.bias.unsqueeze(0)


class HRMAttentionCall:
    """One call of an attention layer, for attention implementations that keep keys and values by `module.layer_idx`.

    The same layer runs many times in a forward pass, each time with its own keys and values. Everything except
    `layer_idx` comes from the layer.

    Args:
        layer (`HRMAttention`): to call.
        layer_idx (`int`): slot of the call.
    """

    def __init__(self, layer: "HRMAttention", layer_idx: int):
        self.layer = layer
        self.layer_idx = layer_idx

    def __getattr__(self, name: str):
        return getattr(self.layer, name)


class HRMAttention(nn.Module):
    """Multi-head attention with one matrix for query, key and value."""

    def __init__(self, config: HRMConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = 1
        self.scaling = self.head_dim**-0.5
        self.is_causal = config.is_causal
        # all heads of the query first, then of the key, then of the value
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.positions: HRMGridPositions | HRMNeighborBias | None = None
        if config.position_embedding_type == "grid":
            self.positions = HRMGridPositions(config, for_attention=True)
        elif config.position_embedding_type == "rope_2d":
            self.positions = HRMNeighborBias(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        cache: Cache | None = None,
        frozen: "HRMFrozenPositions | None" = None,
        segment: int = 0,
        call_idx: int = 0,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        batch, length, hidden_size = hidden_states.shape
        qkv = self.qkv_proj(hidden_states).view(batch, length, 3, -1, self.head_dim)
        if self.positions is not None:
            qkv = qkv + self.position_offsets(length).to(qkv.dtype)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, heads, positions, head_dim)
        if position_embeddings is not None:
            query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if frozen is not None:
            key, value = frozen.keep_keys_values(call_idx, key, value)
        # compiled code is specific to the number of cycles once it has read it; there only caches look at the slot
        uses_slot = cache is not None or not torch.compiler.is_compiling()
        slot = segment * self.config.calls_per_segment + call_idx if uses_slot else 0
        if isinstance(cache, Cache):
            key, value = cache.update(key, value, slot)
        elif cache is not None and CACHE_NAME == "cache":
            # pages of continuous batching, which also tell the attention where to find them
            key, value = cache.update(key, value, slot, kwargs)
        elif cache is not None:
            kwargs["cache"] = cache  # before transformers 5.24 the attention itself writes and reads the pages

        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attn_output, attn_weights = attention_interface(
            HRMAttentionCall(self, slot),
            query,
            key,
            value,
            attention_mask,
            dropout=0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(attn_output.reshape(batch, length, hidden_size)), attn_weights

    def position_offsets(self, length: int) -> torch.Tensor:
        """Offsets added to query, key and value of every position: `(length, 3, heads, head_dim)`.

        0 for the value and, if cells have their own vectors, in the prefix.
        """
        offsets = F.pad(self.positions().unflatten(-1, (-1, self.head_dim)), (0, 0, 0, 0, 0, 1))
        if isinstance(self.positions, HRMNeighborBias):
            return offsets.expand(length, -1, -1, -1)
        return F.pad(offsets, (0, 0, 0, 0, 0, 0, length - offsets.shape[0], 0))


class HRMMLP(nn.Module):
    """SwiGLU with one matrix for gate and up projection, the gate first.

    Args:
        width (`int`): of input and output.
        intermediate_size (`int`): width in between.
        hidden_act (`str`): activation of the gate.
    """

    def __init__(self, width: int, intermediate_size: int, hidden_act: str):
        super().__init__()
        self.gate_up_proj = nn.Linear(width, 2 * intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, width, bias=False)
        self.act_fn = ACT2FN[hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up_proj(hidden_states).chunk(2, dim=-1)
        return self.down_proj(self.act_fn(gate) * up)


class HRMTokenMixer(HRMMLP):
    """SwiGLU over the positions of each channel, instead of attention (`mlp_t` of TRM, arXiv 2510.04871)."""

    def __init__(self, config: HRMConfig):
        num_positions = config.num_prefix_positions + config.max_position_embeddings
        super().__init__(num_positions, config.token_mixer_intermediate_size, config.hidden_act)

    def forward(self, channels: torch.Tensor) -> torch.Tensor:
        """`(batch, hidden_size, positions)` in and out; a `ValueError` for another number of positions."""
        wanted, length = self.gate_up_proj.in_features, channels.shape[-1]
        if length != wanted:
            raise ValueError(
                f"The sequence has {length} positions with the prefix, but this model mixes exactly {wanted} "
                "(token_mixer='mlp'); give sequences of the right length."
            )
        return super().forward(channels)


class HRMBlock(GradientCheckpointingLayer):
    """Transformer block with the norm after each residual sum (post-norm), or before each sublayer (pre-norm).

    With `token_mixer="mlp"` a SwiGLU mixes positions instead of attention; the norm of that half is also over
    positions.
    """

    def __init__(self, config: HRMConfig, layer_idx: int):
        super().__init__()
        self.norm_position = config.norm_position
        self.mixes_by_mlp = config.token_mixer == "mlp"
        if self.mixes_by_mlp:
            self.token_mixer = HRMTokenMixer(config)
        else:
            self.self_attn = HRMAttention(config, layer_idx)
        self.mlp = HRMMLP(config.hidden_size, config.intermediate_size, config.hidden_act)
        self.norm = HRMRMSNorm(config.rms_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        if self.mixes_by_mlp:
            if attention_mask is not None:
                raise ValueError("attention_mask is for models with attention, but this one has token_mixer='mlp'.")
            hidden_states = self.add(self.token_mixer, hidden_states.mT).mT
        else:
            hidden_states = self.add(
                self.attend,
                hidden_states,
                attention_mask=attention_mask,
                position_embeddings=position_embeddings,
                **kwargs,
            )
        return self.add(self.mlp, hidden_states)

    def attend(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """The output of attention, without its weights."""
        return self.self_attn(hidden_states, **kwargs)[0]

    def add(self, sublayer: Callable[..., torch.Tensor], hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """The sum of `hidden_states` and the output of `sublayer`, with the norm over the last dimension."""
        if self.norm_position == "pre":
            return hidden_states + self.dropout(sublayer(self.norm(hidden_states), **kwargs))
        return self.norm(hidden_states + self.dropout(sublayer(hidden_states, **kwargs)))


# --- the recurrence ---------------------------------------------------------------------------------------------


class HRMStack(nn.Module):
    """Transformer blocks one after another, such as the prelude and the coda.

    Args:
        config ([`HRMConfig`]): of the model.
        num_layers (`int`): number of blocks.
        first_layer_idx (`int`): number of the first among all blocks of the model.
    """

    def __init__(self, config: HRMConfig, num_layers: int, first_layer_idx: int):
        super().__init__()
        self.layers = nn.ModuleList(HRMBlock(config, first_layer_idx + idx) for idx in range(num_layers))
        # pre-norm blocks do not normalize their sum
        self.final_norm = HRMRMSNorm(config.rms_norm_eps) if config.norm_position == "pre" else nn.Identity()

    def forward(
        self,
        hidden_states: torch.Tensor,
        first_call_idx: int = 0,
        mix_input: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """Run the blocks on `(batch, positions, hidden_size)`; `mix_input` is called before each, with its number."""
        for index, layer in enumerate(self.layers):
            if mix_input is not None:
                hidden_states = mix_input(hidden_states, index)
            hidden_states = layer(hidden_states, call_idx=first_call_idx + index, **kwargs)
        return self.final_norm(hidden_states)


class HRMModule(HRMStack):
    """One of the two recurrent modules: adds the injection to its state, then runs its blocks."""

    def forward(
        self, state: torch.Tensor, injection: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> torch.Tensor:
        """The next state, from the state and what is added to it, all `(batch, positions, hidden_size)`."""
        return super().forward(state + injection, **kwargs)


class HRMInputInjection(nn.Module):
    """Mixes the input into the hidden states before blocks of a module: `a * hidden_states + b * input`.

    `a` and `b` are trained, one of each per block and channel. At the first block this is the diagonal injection of
    Parcae (arXiv 2604.12946) without its bound on `a`, as norms bound the states here; at all blocks it is what
    nanochat (gpt.py) calls `resid_lambdas` and `x0_lambdas`, which there are scalars.

    Args:
        num_blocks (`int`): blocks of the module, from the first on, before which the input is mixed in.
        takes_input (`bool`): whether the input is a summand of the module's first block in the original recurrence: so
            it is initially, and the input has no weight elsewhere.
        hidden_size (`int`): number of channels.
    """

    def __init__(self, num_blocks: int, takes_input: bool, hidden_size: int):
        super().__init__()
        self.takes_input = takes_input
        # `a` and `b` of each block
        self.weight = nn.Parameter(torch.empty(num_blocks, 2, hidden_size))

    @torch.no_grad()
    def init_parameters(self):
        """As without trained weights."""
        values = torch.zeros(self.weight.shape)
        values[:, 0] = 1.0
        values[0, 1] = float(self.takes_input)
        init.copy_(self.weight, values)

    def forward(self, hidden_states: torch.Tensor, index: int, embeddings: torch.Tensor) -> torch.Tensor:
        """`hidden_states` before block `index` with the input; both `(batch, positions, hidden_size)`."""
        if index >= self.weight.shape[0]:
            return hidden_states
        of_state, of_input = self.weight[index].to(hidden_states.dtype)
        return of_state * hidden_states + of_input * embeddings


class HRMFrozenPositions:
    """What a position that has stopped thinking contributes to later segments.

    Its states, and what the heads read of it, do not change after it stops. In every block call of a later segment,
    the positions after it see the keys and values from the same block call of its last segment. Both depend only on
    the positions before it, whatever else is computed at the same time; so it makes no difference whether tokens come
    one by one with a cache, in chunks, or all at once without a cache.
    """

    def __init__(self, batch_size: int, num_positions: int, device: torch.device):
        self.halted = torch.zeros(batch_size, num_positions, dtype=torch.bool, device=device)
        self.segments = torch.ones(batch_size, num_positions, dtype=torch.long, device=device)
        self.keys_values: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by block call of a segment

    def stop_at(self, stops: torch.BoolTensor):
        """Stop at positions `(batch, positions)`; the others run one more segment."""
        self.halted = self.halted | stops
        self.segments = self.segments + ~self.halted

    def keep_keys_values(
        self, call_idx: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`key` and `value` `(batch, heads, positions, head_dim)`, unchanged at stopped positions."""
        if call_idx in self.keys_values:
            halted = self.halted[:, None, :, None]
            old_key, old_value = self.keys_values[call_idx]
            key, value = torch.where(halted, old_key, key), torch.where(halted, old_value, value)
        self.keys_values[call_idx] = key, value
        return key, value

    def keep(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Hidden states `new` `(batch, positions, hidden_size)`, at stopped positions those of `old`."""
        return torch.where(self.halted.unsqueeze(-1), old, new)

    def fill(self, cache: Cache, first_slot: int, num_slots: int):
        """Write the slots of segments after all positions have stopped."""
        for slot in range(first_slot, num_slots):
            cache.update(*self.keys_values[slot % len(self.keys_values)], slot)


class HRMPuzzleEmbedding(nn.Embedding):
    """One row per puzzle identifier, zero at first.

    A trainer that updates only the rows of the batch sets `sparse = True` (an attribute of `nn.Embedding`): the
    gradient then has only those rows.
    """


class HRMAddedEmbedding(nn.Embedding):
    """Trained vectors that are added to hidden states unscaled.

    Args:
        num_embeddings (`int`), embedding_dim (`int`): as in `nn.Embedding`.
        std (`float`): of the initial values. Token embeddings have unit variance after scaling.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, std: float = 0.3):
        self.std = std
        super().__init__(num_embeddings, embedding_dim)


class HRMHaltingHead(nn.Linear):
    """Halting values of states of z_H: (halt, continue), or only halt with `halting="lean"`.

    Starts at -5 everywhere, so that early in training nothing halts before `halt_max_steps`. A plain linear layer that
    can be wrapped or replaced (LoRA, quantization); [`HRMHalting`] says what its values mean.
    """

    def __init__(self, config: HRMConfig):
        super().__init__(config.hidden_size, 2 if config.halting == "q_learning" else 1)


class HRMHalting:
    """How a model with a halting head `q_head` uses its values."""

    config: HRMConfig
    q_head: nn.Module | None

    def q_values(self, z_H: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """q_halt and, with Q-learning, q_continue in float32, with the shape of `z_H` without its last dimension."""
        q_values = self.q_head(z_H).float()
        return q_values[..., 0], q_values[..., 1] if self.config.halting == "q_learning" else None

    def wants_to_halt(
        self, q_halt: torch.Tensor, q_continue: torch.Tensor | None, threshold: float | None = None
    ) -> torch.BoolTensor:
        """The decision to halt, with the shape of `q_halt`: at a probability of at least `threshold` if given,
        otherwise by the rule of training."""
        if threshold is not None:
            return q_halt.sigmoid() >= threshold
        if q_continue is not None:
            return q_halt > q_continue
        return q_halt > math.log(self.config.halt_threshold / (1 - self.config.halt_threshold))

    @staticmethod
    def halting_losses(
        q_halt: torch.Tensor,
        q_continue: torch.Tensor | None,
        is_right: torch.Tensor,
        target_q_continue: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Binary cross entropies of q_halt with `is_right` (0 or 1) and of q_continue with its target, if it has
        one; each with the shape of `q_halt`."""
        q_halt_loss = F.binary_cross_entropy_with_logits(q_halt, is_right, reduction="none")
        if target_q_continue is None:
            return q_halt_loss, None
        return q_halt_loss, F.binary_cross_entropy_with_logits(q_continue, target_q_continue, reduction="none")

    @staticmethod
    def target_q_continue(
        next_q_halt: torch.Tensor, next_q_continue: torch.Tensor, must_halt: torch.BoolTensor
    ) -> torch.Tensor:
        """Q-learning target of q_continue: the best value in the next segment (eq. 8 of the paper), or the value of
        halting if it must halt there."""
        return torch.where(must_halt, next_q_halt, torch.maximum(next_q_halt, next_q_continue)).sigmoid()


class HRMPreTrainedModel(PreTrainedModel):
    config_class = HRMConfig
    config: HRMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["HRMBlock"]
    # a device map that splits HRMModel has no place for its buffers: they stay on the CPU and are moved on use
    _no_placement_params = ["model.H_init", "model.L_init"]
    _skip_keys_device_placement = ["cache", "past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": HRMBlock, "attentions": HRMAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, HRMHaltingHead):
            init.zeros_(module.weight)
            init.constant_(module.bias, -5.0)
        elif isinstance(module, HRMAddedEmbedding):
            truncated_normal_(module.weight, std=module.std)
        elif isinstance(module, HRMPuzzleEmbedding):
            init.zeros_(module.weight)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            # LeCun normal; for embeddings, whose output is scaled by sqrt(hidden_size), unit variance after scaling
            truncated_normal_(module.weight, std=module.weight.shape[1] ** -0.5)
        elif isinstance(module, HRMModel):
            module.init_states()
        elif isinstance(module, (HRMGridPositions, HRMNeighborBias, HRMInputInjection)):
            module.init_parameters()
        else:
            super()._init_weights(module)


def truncated_normal_(tensor: torch.Tensor, std: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Fill with a normal truncated at two standard deviations whose std *after* truncation is `std` (as in JAX)."""
    # the std of a standard normal truncated at +-2
    std = std / 0.87962566103423978
    return init.trunc_normal_(tensor, mean=0.0, std=std, a=-2 * std, b=2 * std, generator=generator)


class HRMModel(HRMPreTrainedModel):
    """The recurrence of the two modules, between prelude and coda if the model has them, without a head."""

    def __init__(self, config: HRMConfig):
        super().__init__(config)
        # the library changes is_causal of the configuration during a call that brings its own mask
        self.is_causal = config.is_causal
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.puzzle_emb_ndim > 0:
            kind = HRMPuzzleEmbedding if config.puzzle_emb_placement == "prefix" else HRMAddedEmbedding
            self.puzzle_embeddings = kind(config.num_puzzle_identifiers, config.puzzle_emb_ndim)
        if config.condition_sizes:
            self.embed_conditions = HRMAddedEmbedding(sum(config.condition_sizes), config.hidden_size)
        if config.num_token_roles > 0:
            num_roles = config.num_puzzle_identifiers * config.num_token_roles
            self.role_embeddings = HRMAddedEmbedding(num_roles, config.hidden_size)
        if config.num_registers > 0:
            self.registers = HRMAddedEmbedding(config.num_registers, config.hidden_size, std=1.0)
        if config.learned_grid_positions and config.position_embedding_type == "rope_2d":
            self.embed_rows, self.embed_columns = (
                HRMAddedEmbedding(cells, config.hidden_size) for cells in config.grid_shape
            )
        if config.position_embedding_type == "learned":
            num_positions = config.num_prefix_positions + config.max_position_embeddings
            self.embed_positions = nn.Embedding(num_positions, config.hidden_size)
        elif config.position_embedding_type == "grid":
            self.embed_positions = HRMGridPositions(config, for_attention=False)
        elif config.position_embedding_type != "none":
            self.rotary_emb = HRMRotaryEmbedding(config)
        self.H_module = HRMModule(config, config.H_layers, first_layer_idx=0)
        if not config.share_modules:
            self.L_module = HRMModule(config, config.L_layers, first_layer_idx=config.H_layers)
        num_core = config.H_layers + (0 if config.share_modules else config.L_layers)
        if config.prelude_layers > 0:
            self.prelude = HRMStack(config, config.prelude_layers, first_layer_idx=num_core)
        if config.coda_layers > 0:
            self.coda = HRMStack(config, config.coda_layers, first_layer_idx=num_core + config.prelude_layers)
        if config.input_injection != "add":
            num_blocks = config.L_layers if config.input_injection == "every_block" else 1
            self.L_injection = HRMInputInjection(num_blocks, takes_input=True, hidden_size=config.hidden_size)
        if config.input_injection == "every_block":
            self.H_injection = HRMInputInjection(config.H_layers, takes_input=False, hidden_size=config.hidden_size)
        self.register_buffer("H_init", torch.empty(config.hidden_size))
        self.register_buffer("L_init", torch.empty(config.hidden_size))
        self.init_states()
        self.gradient_checkpointing = False
        self.post_init()

    @torch.no_grad()
    def init_states(self):
        """Truncated normals of std 1, with their own seeds, because buffers are not expected to be random."""
        for seed, buffer in enumerate((self.H_init, self.L_init)):
            values = torch.empty(buffer.shape, dtype=torch.float32, device="cpu")
            truncated_normal_(values, std=1.0, generator=torch.Generator().manual_seed(seed))
            init.copy_(buffer, values)

    @property
    def low_level_module(self) -> HRMModule:
        """The network of L; with `share_modules` it is that of H."""
        return self.H_module if self.config.share_modules else self.L_module

    def compute_dtype(self, device: torch.device) -> torch.dtype:
        """Dtype of the hidden states: that of autocast if it is on, otherwise that of the weights."""
        if device.type != "meta" and torch.is_autocast_enabled(device.type):
            return torch.get_autocast_dtype(device.type)
        return self.H_init.dtype

    def initial_state(self, batch_size: int, num_positions: int, device: torch.device | None = None) -> HRMState:
        """The fixed initial states, broadcast to `(batch_size, num_positions, hidden_size)` without a copy.

        On the device of the buffers, unless one is given.
        """
        shape = (batch_size, num_positions, self.config.hidden_size)
        device = self.H_init.device if device is None else device
        dtype = self.compute_dtype(device)
        z_H, z_L = (values.to(device, dtype).expand(shape) for values in (self.H_init, self.L_init))
        return HRMState(z_H=z_H, z_L=z_L)

    def embed(
        self,
        input_ids: torch.LongTensor | None,
        puzzle_identifiers: torch.LongTensor | None,
        inputs_embeds: torch.FloatTensor | None,
        position_ids: torch.LongTensor | None = None,
        grid_shape: tuple[int, int] | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
    ) -> torch.Tensor:
        """Prefix and tokens with all added vectors, with unit variance of the tokens.

        Returns:
            `torch.FloatTensor` of shape `(batch, prefix + tokens, hidden_size)`.
        """
        if inputs_embeds is None:
            check_ids("input_ids", input_ids, self.config.vocab_size)
            inputs_embeds = self.embed_tokens(input_ids)
        batch_size, length = inputs_embeds.shape[:2]
        embeddings = inputs_embeds.to(self.compute_dtype(inputs_embeds.device))

        if self.config.puzzle_emb_ndim > 0:
            if puzzle_identifiers is None:
                # identifier 0 is "no particular puzzle"
                puzzle_identifiers = torch.zeros(batch_size, dtype=torch.long, device=embeddings.device)
            check_ids("puzzle_identifiers", puzzle_identifiers, self.config.num_puzzle_identifiers)
        num_prefix = self.config.num_puzzle_positions
        if self.config.puzzle_emb_ndim > 0 and num_prefix > 0:
            prefix = self.puzzle_embeddings(puzzle_identifiers).to(embeddings.dtype)
            prefix = F.pad(prefix, (0, num_prefix * self.config.hidden_size - self.config.puzzle_emb_ndim))
            prefix = prefix.view(batch_size, num_prefix, self.config.hidden_size)
            embeddings = torch.cat((prefix, embeddings), dim=1)
        elif num_prefix > 0:
            embeddings = F.pad(embeddings, (0, 0, num_prefix, 0))
        if self.config.position_embedding_type == "learned":
            num_learned = self.config.num_prefix_positions + self.config.max_position_embeddings
            check_ids("position_ids", position_ids, num_learned)
            # roles and registers, which come before these positions, have vectors of their own
            positions = self.embed_positions(position_ids[:, -embeddings.shape[1] :])
            # 1 / sqrt(2) keeps unit variance
            embeddings = (embeddings + positions.to(embeddings.dtype)) * math.sqrt(0.5)
        elif self.config.position_embedding_type == "grid":
            if length != self.config.max_position_embeddings:
                raise ValueError(
                    f"The sequence has {length} tokens, but the board of this model is "
                    f"{self.config.grid_shape[0]}x{self.config.grid_shape[1]}; give all of its cells."
                )
            positions = F.pad(self.embed_positions().squeeze(1), (0, 0, num_prefix, 0))
            embeddings = embeddings + positions.to(embeddings.dtype)
        embeddings = embeddings * math.sqrt(self.config.hidden_size)
        return self.add_vectors(embeddings, input_ids, puzzle_identifiers, grid_shape, conditions, token_roles)

    def add_vectors(
        self,
        embeddings: torch.Tensor,
        input_ids: torch.LongTensor | None,
        puzzle_identifiers: torch.LongTensor | None,
        grid_shape: tuple[int, int] | None,
        conditions: torch.LongTensor | None,
        token_roles: torch.LongTensor | None,
    ) -> torch.Tensor:
        """`embeddings` `(batch, tokens, hidden_size)` with roles, registers, grid positions and other added vectors.

        Unchanged in a model without these.

        Raises:
            ValueError: if conditions or roles are missing or not expected.
        """
        config, dtype = self.config, embeddings.dtype
        for name, given, wanted in (
            ("conditions", conditions, len(config.condition_sizes or ())),
            ("token_roles", token_roles, config.vocab_size if config.num_token_roles else 0),
        ):
            if (given is None) != (wanted == 0) or (given is not None and given.shape[-1] != wanted):
                raise ValueError(
                    f"{name} has the shape {None if given is None else tuple(given.shape)}; this model takes "
                    f"{f'(batch, {wanted})' if wanted else 'none'}; use the processor that was saved with it."
                )
        if config.learned_grid_positions and grid_shape is not None:
            rows, columns = grid_shape
            cells = first_rows(self.embed_rows, rows, embeddings).unsqueeze(1) + first_rows(
                self.embed_columns, columns, embeddings
            )
            # a puzzle embedding in a prefix has no place on the board
            cells = F.pad(cells.flatten(0, 1), (0, 0, embeddings.shape[1] - rows * columns, 0))
            embeddings = embeddings + cells.to(dtype)
        prefix = []
        if token_roles is not None:
            if input_ids is None:
                raise ValueError("A model with token roles needs token ids; give input_ids, not inputs_embeds.")
            check_ids("token_roles", token_roles + 1, config.num_token_roles + 1)
            # the vector of each token of the vocabulary in each puzzle: (batch, vocab_size, hidden_size)
            rows = puzzle_identifiers.unsqueeze(1) * config.num_token_roles + token_roles.clamp(min=0)
            vectors = torch.where(token_roles.unsqueeze(-1) >= 0, self.role_embeddings(rows), 0.0).to(dtype)
            # as a product with one-hot vectors, because the gradient of an index is slow for equal entries
            embeddings = embeddings + F.one_hot(input_ids, config.vocab_size).to(dtype) @ vectors
            of_tokens = first_rows(self.embed_tokens, config.vocab_size, embeddings)
            tokens = of_tokens.to(dtype) * math.sqrt(config.hidden_size) + vectors
            has_role = F.one_hot(token_roles + 1, config.num_token_roles + 1)[..., 1:].to(dtype)
            prefix.append(has_role.transpose(1, 2) @ tokens)
        if config.num_registers > 0:
            registers = first_rows(self.registers, config.num_registers, embeddings)
            prefix.append(registers.to(dtype).expand(embeddings.shape[0], -1, -1))
        embeddings = torch.cat([*prefix, embeddings], dim=1) if prefix else embeddings
        everywhere = 0.0
        if config.puzzle_emb_ndim > 0 and config.puzzle_emb_placement == "everywhere":
            everywhere = self.puzzle_embeddings(puzzle_identifiers)
        first_row = 0
        for index, size in enumerate(config.condition_sizes or ()):
            check_ids(f"conditions[:, {index}]", conditions[:, index], size)
            everywhere = everywhere + self.embed_conditions(conditions[:, index] + first_row)
            first_row += size
        if isinstance(everywhere, torch.Tensor):
            embeddings = embeddings + everywhere.to(dtype).unsqueeze(1)
        return embeddings

    def shape_of_board(self, num_cells: int, grid_shape: tuple[int, int] | None) -> tuple[int, int]:
        """Rows and columns of boards with this many cells: as given, as in the configuration, or a square.

        Raises:
            ValueError: if the board does not have this many cells, or is too large for the model.
        """
        largest = tuple(self.config.grid_shape)
        if grid_shape is None:
            side = math.isqrt(num_cells)
            grid_shape = largest if num_cells == math.prod(largest) else (side, side)
        if math.prod(grid_shape) != num_cells:
            raise ValueError(
                f"The sequence has {num_cells} cells, which is not a board of {grid_shape[0]}x{grid_shape[1]}; give "
                "grid_shape=(rows, columns)."
            )
        if self.config.learned_grid_positions and any(a > b for a, b in zip(grid_shape, largest, strict=True)):
            raise ValueError(
                f"The board has {grid_shape[0]}x{grid_shape[1]} cells, but the model was made for at most "
                f"{largest[0]}x{largest[1]}; give a smaller one."
            )
        return tuple(grid_shape)

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        puzzle_identifiers: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        state: HRMState | None = None,
        num_segments: int | None = None,
        stop: Callable[[torch.Tensor], torch.Tensor] | None = None,
        past_key_values: Cache | None = None,
        grid_shape: tuple[int, int] | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> HRMModelOutput:
        r"""
        One segment, or several in a row: each starts from the detached states of the one before it.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): token ids.
            puzzle_identifiers (`torch.LongTensor` of shape `(batch,)`, *optional*): rows of the puzzle embedding;
                0, the blank identifier, by default.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 0 at tokens that are masked out;
                with a cache, of all tokens so far.
            position_ids (`torch.LongTensor` of shape `(batch, prefix + tokens)`, *optional*): positions for rotary
                and learned embeddings; consecutive by default.
            cache (`Cache`, *optional*): for a causal model: keys and values of the tokens before.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): instead of
                `input_ids`, unscaled token embeddings.
            use_cache (`bool`, *optional*): whether a causal model without puzzle prefix returns a cache; by default
                `config.use_cache`, but never in training.
            state ([`HRMState`], *optional*): states to start from; the fixed initial ones by default.
            num_segments (`int`, *optional*): segments to run; by default `config.halt_max_steps` for a causal model
                and 1 otherwise.
            stop (`Callable`, *optional*): maps z_H, or the output of the coda, `(batch, positions, hidden_size)` to
                the positions that stop thinking, `(batch, positions)`. It must decide for each position separately.
            past_key_values (`Cache`, *optional*): the older name of `cache`.
            grid_shape (`tuple[int, int]`, *optional*): rows and columns of the boards of a `"rope_2d"` model; by
                default as in the configuration, or a square if the number of cells differs.
            conditions (`torch.LongTensor` of shape `(batch, len(condition_sizes))`): values of the other conditions,
                for a model that has some.
            token_roles (`torch.LongTensor` of shape `(batch, vocab_size)`): role of each token of the vocabulary in
                its puzzle, -1 for none, for a model with `num_token_roles`.

        Raises:
            ValueError: for a cache that has too few slots or is given to a model that cannot use it, ids outside the
                vocabulary, or sequences too long for learned positions.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give exactly one of input_ids and inputs_embeds.")
        cache = one_cache(cache, past_key_values)
        inputs = input_ids if inputs_embeds is None else inputs_embeds
        (batch_size, length), device = inputs.shape[:2], inputs.device
        num_positions = self.config.num_prefix_positions + length
        if num_segments is None:
            num_segments = self.config.halt_max_steps if self.is_causal else 1
        use_cache = use_cache and self.is_causal and self.config.num_prefix_positions == 0
        if cache is None and use_cache and not self.training:
            cache = DynamicCache()  # without a config it grows to any number of slots
        if cache is not None:
            self.check_cache(cache, num_segments, stop is not None)
        if position_ids is None:
            past_length = 0 if cache is None else cache.get_seq_length()
            if self.config.position_embedding_type == "learned" and length > self.config.max_position_embeddings:
                raise ValueError(
                    f"The sequence has {length} tokens, but the model only has learned positions for "
                    f"{self.config.max_position_embeddings}; give shorter sequences or train a larger model."
                )
            position_ids = torch.arange(num_positions, device=device).unsqueeze(0) + past_length
        is_board = self.config.position_embedding_type == "rope_2d"
        if is_board:
            grid_shape = self.shape_of_board(length, grid_shape)
        embeddings = self.embed(
            input_ids, puzzle_identifiers, inputs_embeds, position_ids, grid_shape, conditions, token_roles
        )
        if state is None:
            state = self.initial_state(batch_size, num_positions, device)

        if attention_mask is not None and attention_mask.dim() == 2 and self.config.num_prefix_positions > 0:
            attention_mask = F.pad(attention_mask, (self.config.num_prefix_positions, 0), value=1)
        if cache is not None and not isinstance(cache, Cache):
            mask = attention_mask  # continuous batching brings its own mask, which separates requests
        elif self.config.is_causal:
            mask = create_causal_mask(
                config=self.config,
                inputs_embeds=embeddings,
                attention_mask=attention_mask,
                position_ids=position_ids,
                **{CACHE_NAME: cache},
            )
        elif attention_mask is not None:
            mask = create_bidirectional_mask(
                config=self.config, inputs_embeds=embeddings, attention_mask=attention_mask
            )
        else:
            mask = None  # nothing to mask; the library would still make a mask while recording a CUDA graph
        position_embeddings = None
        if is_board:
            position_embeddings = self.rotary_emb(embeddings, grid_positions(self.config, position_ids, grid_shape))
        elif self.config.position_embedding_type == "rope":
            position_embeddings = self.rotary_emb(embeddings, position_ids)
        kwargs.update(attention_mask=mask, position_embeddings=position_embeddings, cache=cache)

        frozen = None if stop is None else HRMFrozenPositions(batch_size, num_positions, embeddings.device)
        segment_hidden_states = []
        for segment in range(num_segments):
            kwargs.update(segment=segment, frozen=frozen)
            inputs = self.prelude(embeddings, **kwargs) if self.config.prelude_layers > 0 else embeddings
            z_H, z_L = self.run_cycles(inputs, state, **kwargs)
            hidden_states = z_H
            if self.config.coda_layers > 0:
                first_call_idx = self.config.calls_per_segment - self.config.coda_layers
                hidden_states = self.coda(z_H, first_call_idx=first_call_idx, **kwargs)
            if frozen is not None:
                # the coda, too, would see other states of positions before one that has stopped
                before = segment_hidden_states[-1].detach() if segment > 0 else hidden_states
                hidden_states = frozen.keep(before, hidden_states)
                z_H, z_L = frozen.keep(state.z_H, z_H), frozen.keep(state.z_L, z_L)
            segment_hidden_states.append(hidden_states)
            state = HRMState(z_H=z_H.detach(), z_L=z_L.detach())
            if frozen is not None and segment + 1 < num_segments:
                frozen.stop_at(stop(hidden_states))
                # this check waits for the device, which a compiled graph cannot do, so it runs every segment
                if not torch.compiler.is_compiling() and frozen.halted.all():
                    if cache is not None:
                        calls = self.config.calls_per_segment
                        frozen.fill(cache, (segment + 1) * calls, num_segments * calls)
                    break

        return HRMModelOutput(
            last_hidden_state=hidden_states,
            state=state,
            segment_hidden_states=tuple(segment_hidden_states),
            segments=None if frozen is None else frozen.segments,
            **{CACHE_NAME: cache},
        )

    def check_cache(self, cache: Cache, num_segments: int, stops: bool):
        """Raise a `ValueError` unless the cache suits this model and has a slot for every block call.

        Args:
            cache: any from transformers, including that of continuous batching.
            num_segments: to run.
            stops: whether positions may stop early.
        """
        if not self.is_causal or self.config.num_prefix_positions > 0:
            raise ValueError(
                "A cache is for causal models without a puzzle prefix; this one has "
                f"is_causal={self.is_causal} and puzzle_emb_ndim={self.config.puzzle_emb_ndim}."
            )
        if not isinstance(cache, Cache):
            self.check_batched_depth(num_segments, stops)
            return
        slots, wanted = len(cache.layers), num_segments * self.config.calls_per_segment
        if slots < wanted and cache.layer_class_to_replicate is None:
            raise ValueError(
                f"The cache has {slots} slots, but {num_segments} segments of {self.config.calls_per_segment} block "
                f"calls need {wanted}; use DynamicCache(), or a cache of a config with halt_max_steps={num_segments}."
            )

    def check_batched_depth(self, num_segments: int, stops: bool):
        """Raise a `ValueError` for a thinking depth that continuous batching does not support; as `check_cache`."""
        if stops or num_segments != self.config.halt_max_steps:
            given = "early_stop or halt_threshold" if stops else f"max_segments={num_segments}"
            raise ValueError(
                f"Continuous batching lets every token think for the {self.config.halt_max_steps} segments of "
                f"training (halt_max_steps), so {given} is not allowed; leave it out, or use generate."
            )

    def run_cycles(
        self, embeddings: torch.Tensor, state: HRMState, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The recurrence of one segment (section 2 of arXiv 2506.21734).

        For each of `H_cycles`: `L_cycles` times `z_L = L(z_L, z_H + embeddings)`, then `z_H = H(z_H, z_L)`. With
        trained weights [`HRMInputInjection`] mixes in the embeddings, or what the prelude makes of them, instead.
        """
        z_H, z_L = state.z_H, state.z_L
        depth, call_idx = self.config.gradient_depth, self.config.prelude_layers
        mix_L = mix_H = None
        if self.config.input_injection != "add":
            mix_L = partial(self.L_injection, embeddings=embeddings)
        if self.config.input_injection == "every_block":
            mix_H = partial(self.H_injection, embeddings=embeddings)
        for H_cycle in range(self.config.H_cycles):
            in_last_cycle = H_cycle == self.config.H_cycles - 1
            # the same for all L cycles of this H cycle
            injection = z_H + embeddings if mix_L is None else z_H
            for L_cycle in range(self.config.L_cycles):
                is_last_step = in_last_cycle and L_cycle == self.config.L_cycles - 1
                with gradient_if(is_last_step or depth == "all_cycles" or (depth == "last_cycle" and in_last_cycle)):
                    z_L = self.low_level_module(z_L, injection, first_call_idx=call_idx, mix_input=mix_L, **kwargs)
                call_idx += self.config.L_layers
            with gradient_if(in_last_cycle or depth == "all_cycles"):
                z_H = self.H_module(z_H, z_L, first_call_idx=call_idx, mix_input=mix_H, **kwargs)
            call_idx += self.config.H_layers
        return z_H, z_L


def one_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """The cache, given by its name or its older name.

    Warns:
        FutureWarning: for the older name if transformers has the newer one.

    Raises:
        ValueError: if two were given.
    """
    if past_key_values is None:
        return cache
    if cache is not None:
        raise ValueError("Give one cache: past_key_values is the older name of cache.")
    if CACHE_NAME == "cache" and not torch.compiler.is_compiling():
        warnings.warn("`past_key_values` is deprecated; give the cache as `cache`.", FutureWarning, stacklevel=3)
    return past_key_values


def first_rows(embedding: nn.Module, num_rows: int, like: torch.Tensor) -> torch.Tensor:
    """The first rows of an embedding, by a call, because a wrapper (LoRA) changes what it returns."""
    return embedding(torch.arange(num_rows, device=like.device))


def gradient_if(wanted: bool) -> torch.set_grad_enabled:
    """Context in which gradients are recorded if wanted here and enabled outside."""
    if wanted and torch.is_autocast_cache_enabled() and not torch.compiler.is_compiling():
        # autocast caches low-precision copies of weights that it made without a graph; reused here, they would cut
        # the gradient of every weight
        torch.clear_autocast_cache()
    return torch.set_grad_enabled(wanted and torch.is_grad_enabled())


def check_ids(name: str, ids: torch.LongTensor, num_rows: int):
    """Raise a `ValueError` naming the first id outside `0 <= id < num_rows`.

    Only on the CPU, where checking does not stall: on a GPU or with torch.compile the lookup itself reports it.
    """
    if torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    outside = ids[(ids < 0) | (ids >= num_rows)]
    if outside.numel() > 0:
        raise ValueError(f"{name} has the value {outside[0].item()}, but this model only knows 0 to {num_rows - 1}.")


def check_depth(max_segments: int, halt_threshold: float | None):
    """Raise a `ValueError` for an impossible thinking depth."""
    if isinstance(max_segments, bool) or not isinstance(max_segments, int) or max_segments < 1:
        raise ValueError(f"max_segments={max_segments!r} is not allowed; it must be an integer of at least 1.")
    if halt_threshold is not None and not 0 <= halt_threshold <= 1:
        raise ValueError(f"halt_threshold={halt_threshold} is not allowed; it must be a probability, 0 to 1.")


# --- heads ------------------------------------------------------------------------------------------------------

IGNORE_INDEX = -100


def stablemax_cross_entropy(logits: torch.Tensor, labels: torch.LongTensor) -> torch.Tensor:
    """Cross entropy over stablemax probabilities s(x) / sum(s), s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    Written as `log1p(sum of the other s / s of the label)`: no difference of nearly equal logarithms, so float32 is
    as good as the original's float64.

    Args:
        logits (`torch.FloatTensor` of shape `(..., vocab_size)`), labels (`torch.LongTensor` of shape `(...)`).

    Returns:
        `torch.FloatTensor` with the shape of `labels`; 0 where the label is -100.
    """
    logits = logits.float()
    # the branch not taken must not divide by zero, or its gradient is NaN
    scores = torch.where(logits < 0, 1 / (1 - logits.clamp(max=0)), logits + 1)
    valid = labels != IGNORE_INDEX
    index = torch.where(valid, labels, 0).unsqueeze(-1)
    label_score = scores.gather(-1, index)
    other_scores = scores.scatter(-1, index, 0.0).sum(-1, keepdim=True)
    return torch.where(valid, torch.log1p(other_scores / label_score).squeeze(-1), 0.0)


def softmax_cross_entropy(logits: torch.Tensor, labels: torch.LongTensor) -> torch.Tensor:
    """Cross entropy over softmax probabilities; arguments and result as in `stablemax_cross_entropy`."""
    losses = F.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
    )
    return losses.view(labels.shape)


TOKEN_LOSSES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}


class HRMSolving(HRMHalting):
    """Solving puzzles; a segment is computed by [`HRMForGridTask`] or by a graph exported from it."""

    def first_state(self, input_ids: torch.LongTensor) -> HRMState:
        """The initial states for puzzles `(batch, tokens)`, on their device."""
        raise NotImplementedError

    def run_segment(
        self, inputs: dict[str, torch.Tensor], state: HRMState, grid_shape: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, HRMState]:
        """One segment of puzzles: logits `(batch, tokens, vocab_size)`, float32 values q_halt and, with Q-learning,
        q_continue, each `(batch,)`, and the states after it."""
        raise NotImplementedError

    def check_inputs(self, inputs: dict[str, torch.Tensor], grid_shape: tuple[int, int] | None = None):
        """Raise a `ValueError` for puzzles `(batch, tokens)` that cannot be solved."""
        raise NotImplementedError

    def describe_non_finite(self) -> str:
        """The message for values that are not finite."""
        raise NotImplementedError

    def check_puzzles(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None = None,
        max_segments: int | None = None,
        halt_threshold: float | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
        grid_shape: tuple[int, int] | None = None,
    ) -> dict[str, torch.Tensor]:
        """The inputs of a segment by name, including identifiers, from arguments of `solve`.

        Raises:
            ValueError: for arguments that `solve` refuses.
        """
        check_depth(self.config.halt_max_steps if max_segments is None else max_segments, halt_threshold)
        if input_ids.dim() != 2 or input_ids.shape[0] == 0:
            raise ValueError(
                f"input_ids has the shape {tuple(input_ids.shape)}; expected (puzzles, tokens), at least one puzzle."
            )
        if puzzle_identifiers is None:
            puzzle_identifiers = torch.zeros(input_ids.shape[0], dtype=torch.long, device=input_ids.device)
        inputs = {"input_ids": input_ids, "puzzle_identifiers": puzzle_identifiers}
        others = {"conditions": conditions, "token_roles": token_roles}
        inputs |= {name: tensor for name, tensor in others.items() if tensor is not None}
        self.check_inputs(inputs, grid_shape)
        return inputs

    def segments(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None = None,
        max_segments: int | None = None,
        early_stop: bool = True,
        halt_threshold: float | None = None,
        perturb: Callable[[HRMState, torch.LongTensor, int], HRMState] | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
        grid_shape: tuple[int, int] | None = None,
    ) -> Iterator[HRMSegment]:
        """The segments that `solve` runs, one after another; its arguments and errors."""
        inputs = self.check_puzzles(
            input_ids, puzzle_identifiers, max_segments, halt_threshold, conditions, token_roles, grid_shape
        )
        max_segments = self.config.halt_max_steps if max_segments is None else max_segments
        return self._run_segments(inputs, max_segments, early_stop, halt_threshold, perturb, grid_shape)

    @torch.no_grad()
    def _run_segments(
        self,
        inputs: dict[str, torch.Tensor],
        max_segments: int,
        early_stop: bool,
        halt_threshold: float | None,
        perturb: Callable[[HRMState, torch.LongTensor, int], HRMState] | None,
        grid_shape: tuple[int, int] | None,
    ) -> Iterator[HRMSegment]:
        rows = torch.arange(len(inputs["input_ids"]), device=inputs["input_ids"].device)  # not yet finished
        state = self.first_state(inputs["input_ids"])
        for number in range(max_segments):
            start = state if perturb is None else perturb(state, rows, number)
            logits, q_halt, q_continue, state = self.run_segment(inputs, start, grid_shape)
            if not torch.isfinite(q_halt).all() or not torch.isfinite(logits).all():
                raise ValueError(self.describe_non_finite())
            stops = self.wants_to_halt(q_halt, q_continue, halt_threshold)
            yield HRMSegment(
                rows=rows,
                start=start,
                state=state,
                logits=logits,
                q_halt=q_halt,
                stops=stops,
                q_continue=q_continue,
            )
            if early_stop and stops.any():
                goes_on = ~stops
                rows = rows[goes_on]
                if rows.numel() == 0:
                    return
                state = HRMState(z_H=state.z_H[goes_on], z_L=state.z_L[goes_on])
                inputs = {name: tensor[goes_on] for name, tensor in inputs.items()}

    @torch.no_grad()
    def solve(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None = None,
        max_segments: int | None = None,
        early_stop: bool = True,
        halt_threshold: float | None = None,
        return_history: bool = False,
        perturb: Callable[[HRMState, torch.LongTensor, int], HRMState] | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
        grid_shape: tuple[int, int] | None = None,
    ) -> HRMSolveOutput:
        """
        Run segments until the halting head says stop or `max_segments` is reached.

        Finished sequences leave the batch, so easy puzzles cost few segments.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): puzzles from the processor.
            puzzle_identifiers (`torch.LongTensor` of shape `(batch,)`, *optional*): 0, the blank one, by default.
            max_segments (`int`, *optional*): at least 1; `config.halt_max_steps` by default. May exceed it.
            early_stop (`bool`, defaults to `True`): `False` runs `max_segments` for all, like the original.
            halt_threshold (`float`, *optional*): a puzzle is finished when its halting probability is at least this;
                by default the rule of training decides.
            return_history (`bool`, defaults to `False`): also return prediction and halting probability after each
                segment.
            perturb (`Callable`, *optional*): called before each segment with the states of the unfinished sequences,
                their rows `(rows,)` in the batch and the number of the segment, from 0 on; returns the states to
                start the segment with. For restarts and noise at test time.
            conditions, token_roles, grid_shape (*optional*): as in [`HRMModel`].

        Raises:
            ValueError: for a wrong shape, an unknown token id or puzzle identifier, `max_segments` below 1, a
                `halt_threshold` outside 0 to 1, or weights that give values that are not finite.
        """
        found = self.segments(
            input_ids,
            puzzle_identifiers,
            max_segments,
            early_stop,
            halt_threshold,
            perturb,
            conditions,
            token_roles,
            grid_shape,
        )
        batch_size, device = input_ids.shape[0], input_ids.device
        predictions = torch.empty_like(input_ids)
        halt_probabilities = torch.empty(batch_size, dtype=torch.float32, device=device)
        segments = torch.zeros(batch_size, dtype=torch.long, device=device)
        halted = torch.zeros(batch_size, dtype=torch.bool, device=device)
        prediction_history, probability_history = [], []
        for segment in found:
            predictions[segment.rows] = segment.logits.argmax(-1)
            halt_probabilities[segment.rows] = torch.sigmoid(segment.q_halt)
            segments[segment.rows] += 1
            halted[segment.rows] = segment.stops
            if return_history:
                prediction_history.append(predictions.clone())
                probability_history.append(halt_probabilities.clone())

        return HRMSolveOutput(
            predictions=predictions,
            segments=segments,
            halted=halted,
            halt_probabilities=halt_probabilities,
            prediction_history=torch.stack(prediction_history, dim=1) if return_history else None,
            halt_probability_history=torch.stack(probability_history, dim=1) if return_history else None,
        )


class HRMForGridTask(HRMSolving, HRMPreTrainedModel):
    """HRM for puzzles on a grid: one token is predicted for every cell of the input.

    In training, each call is one ACT segment on a batch of unfinished sequences (the `carry`); `solve` runs segments
    until the halting head says stop.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: HRMConfig):
        super().__init__(config)
        self.model = HRMModel(config)
        num_answer_tokens = config.vocab_size if config.num_answer_tokens is None else config.num_answer_tokens
        self.lm_head = nn.Linear(config.hidden_size, num_answer_tokens, bias=False)
        self.q_head = HRMHaltingHead(config)
        self.post_init()

    def initial_carry(
        self,
        input_ids: torch.LongTensor,
        puzzle_identifiers: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
    ) -> HRMCarry:
        """A carry with the shape of a batch in which every sequence has halted: the next call starts them all."""
        batch_size, length = input_ids.shape
        if puzzle_identifiers is None:
            puzzle_identifiers = torch.zeros(batch_size, dtype=torch.long, device=input_ids.device)
        return HRMCarry(
            state=self.model.initial_state(batch_size, self.config.num_prefix_positions + length, input_ids.device),
            steps=torch.zeros(batch_size, dtype=torch.int32, device=input_ids.device),
            halted=torch.ones(batch_size, dtype=torch.bool, device=input_ids.device),
            input_ids=input_ids,
            puzzle_identifiers=puzzle_identifiers,
            labels=labels,
            conditions=conditions,
            token_roles=token_roles,
        )

    def replace_halted(self, carry: HRMCarry, incoming: HRMCarry) -> HRMCarry:
        """`carry` with every halted sequence replaced by the incoming one, with initial states and zero steps."""

        def choose(new: torch.Tensor | None, old: torch.Tensor | None) -> torch.Tensor | None:
            if new is None:
                return None
            return torch.where(carry.halted.view(-1, *[1] * (old.dim() - 1)), new, old)

        return HRMCarry(
            state=HRMState(
                z_H=choose(incoming.state.z_H, carry.state.z_H), z_L=choose(incoming.state.z_L, carry.state.z_L)
            ),
            steps=choose(incoming.steps, carry.steps),
            halted=carry.halted,
            input_ids=choose(incoming.input_ids, carry.input_ids),
            puzzle_identifiers=choose(incoming.puzzle_identifiers, carry.puzzle_identifiers),
            labels=choose(incoming.labels, carry.labels),
            conditions=choose(incoming.conditions, carry.conditions),
            token_roles=choose(incoming.token_roles, carry.token_roles),
        )

    def read_out(self, z_H: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Token logits `(batch, tokens, vocab_size)` and float32 values q_halt and q_continue, each `(batch,)`."""
        return self.lm_head(z_H[:, self.config.num_prefix_positions :]), *self.halting_values(z_H)

    def halting_values(self, z_H: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Float32 values q_halt and q_continue, each `(batch,)`, of position 0 or of the mean over positions."""
        return self.q_values(z_H[:, 0] if self.config.halting_pooling == "first" else z_H.mean(1))

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        puzzle_identifiers: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        carry: HRMCarry | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        conditions: torch.LongTensor | None = None,
        token_roles: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> HRMGridTaskOutput:
        r"""
        One ACT segment.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): the incoming puzzles. With a `carry`, they only
                replace halted sequences.
            puzzle_identifiers (`torch.LongTensor` of shape `(batch,)`, *optional*): 0, the blank one, by default.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): right answers; -100 is ignored.
            carry ([`HRMCarry`], *optional*): from the previous call; without it all sequences are new.
            attention_mask (`torch.Tensor` of shape `(batch, tokens)`, *optional*): 0 at tokens that are masked out.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): instead of
                `input_ids`; not with a `carry`, which has token ids.
            num_items_in_batch (`int`, *optional*): sequences in the whole batch (all processes and accumulation
                steps); the loss is the sum over sequences divided by it. The batch size by default.
            conditions, token_roles, grid_shape (*optional*): as in [`HRMModel`].
        """
        if inputs_embeds is not None and carry is not None:
            raise ValueError("A carry has token ids; give input_ids instead of inputs_embeds with it.")
        if inputs_embeds is None:
            incoming = self.initial_carry(input_ids, puzzle_identifiers, labels, conditions, token_roles)
            carry = incoming if carry is None else self.replace_halted(carry, incoming)
            input_ids, puzzle_identifiers, labels = carry.input_ids, carry.puzzle_identifiers, carry.labels
            conditions, token_roles = carry.conditions, carry.token_roles
        kwargs.update(
            puzzle_identifiers=puzzle_identifiers,
            attention_mask=attention_mask,
            conditions=conditions,
            token_roles=token_roles,
        )

        outputs = self.model(
            input_ids=input_ids,
            inputs_embeds=inputs_embeds,
            state=None if carry is None else carry.state,
            num_segments=1,
            **kwargs,
        )
        logits, q_halt, q_continue = self.read_out(outputs.last_hidden_state)

        steps = 1 if carry is None else carry.steps + 1
        with torch.no_grad():
            is_last_step = steps >= self.config.halt_max_steps
            halted, target_q_continue = is_last_step, None
            if carry is not None and self.training and self.config.halt_max_steps > 1:
                halted = is_last_step | self.wants_to_halt(q_halt, q_continue)
                halted = halted & (steps >= self.draw_minimum_steps(q_halt))
                if q_continue is not None and labels is not None:
                    target_q_continue = self.bootstrap_q_continue(carry, outputs.state, is_last_step, **kwargs)

        result = HRMGridTaskOutput(
            logits=logits,
            q_halt_logits=q_halt,
            q_continue_logits=q_continue,
            target_q_continue=target_q_continue,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        if carry is not None:
            result.carry = HRMCarry(
                state=outputs.state,
                steps=steps,
                halted=halted,
                input_ids=input_ids,
                puzzle_identifiers=puzzle_identifiers,
                labels=labels,
                conditions=conditions,
                token_roles=token_roles,
            )
        if labels is not None:
            self.add_losses(result, labels, num_items_in_batch)
        return result

    def draw_minimum_steps(self, q_halt: torch.Tensor) -> torch.Tensor:
        """Exploration: with `halt_exploration_prob` a number from 2..halt_max_steps, otherwise 0. `(batch,)`."""
        explores = torch.rand_like(q_halt) < self.config.halt_exploration_prob
        drawn = torch.randint_like(q_halt, low=2, high=self.config.halt_max_steps + 1)
        return torch.where(explores, drawn, 0)

    def bootstrap_q_continue(
        self, carry: HRMCarry, next_state: HRMState, is_last_step: torch.Tensor, **kwargs
    ) -> torch.Tensor:
        """Q-learning target of q_continue, `(batch,)`, from one more segment."""
        outputs = self.model(input_ids=carry.input_ids, state=next_state, num_segments=1, **kwargs)
        next_q_halt, next_q_continue = self.halting_values(outputs.last_hidden_state)
        return self.target_q_continue(next_q_halt, next_q_continue, is_last_step)

    def add_losses(
        self, result: HRMGridTaskOutput, labels: torch.LongTensor, num_items_in_batch: torch.Tensor | int | None
    ):
        """Fill in the losses and per-sequence accuracies of `result`."""
        valid = labels != IGNORE_INDEX
        counts = valid.sum(-1)
        divisor = counts.clamp(min=1)
        num_sequences = labels.shape[0] if num_items_in_batch is None else num_items_in_batch

        with torch.no_grad():
            correct = (valid & (result.logits.argmax(-1) == labels)).sum(-1)
            result.cell_accuracy = correct / divisor
            result.exact_accuracy = (correct == counts).float()

        token_losses = TOKEN_LOSSES[self.config.token_loss](result.logits, labels)
        if self.config.pad_loss_weight != 1:
            weights = valid * torch.where(labels == self.config.pad_token_id, self.config.pad_loss_weight, 1.0)
            token_losses, divisor = token_losses * weights, weights.sum(-1).clamp(min=1e-6)
        result.lm_loss = (token_losses.sum(-1) / divisor).sum() / num_sequences
        q_halt_losses, q_continue_losses = self.halting_losses(
            result.q_halt_logits, result.q_continue_logits, result.exact_accuracy, result.target_q_continue
        )
        result.q_halt_loss = q_halt_losses.sum() / num_sequences
        result.loss = result.lm_loss + 0.5 * result.q_halt_loss
        if q_continue_losses is not None:
            result.q_continue_loss = q_continue_losses.sum() / num_sequences
            result.loss = result.loss + 0.5 * result.q_continue_loss

    def first_state(self, input_ids: torch.LongTensor) -> HRMState:
        num_positions = self.config.num_prefix_positions + input_ids.shape[1]
        return self.model.initial_state(input_ids.shape[0], num_positions, input_ids.device)

    def run_segment(
        self, inputs: dict[str, torch.Tensor], state: HRMState, grid_shape: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, HRMState]:
        outputs = self.model(state=state, num_segments=1, grid_shape=grid_shape, **inputs)
        return *self.read_out(outputs.last_hidden_state), outputs.state

    def check_inputs(self, inputs: dict[str, torch.Tensor], grid_shape: tuple[int, int] | None = None):
        input_ids = inputs["input_ids"]
        if self.config.position_embedding_type != "rope_2d" and (
            input_ids.shape[1] != self.config.max_position_embeddings
        ):
            raise ValueError(
                f"Each puzzle has {input_ids.shape[1]} cells, but this model is for "
                f"{self.config.max_position_embeddings}; use the processor that was saved with it."
            )
        check_ids("input_ids", input_ids.cpu(), self.config.vocab_size)
        check_ids("puzzle_identifiers", inputs["puzzle_identifiers"].cpu(), self.config.num_puzzle_identifiers)

    def describe_non_finite(self) -> str:
        for name, tensor in self.state_dict().items():
            if not torch.isfinite(tensor).all():
                return f"The weight {name} has values that are not finite: the checkpoint is damaged."
        return "The model computes values that are not finite, but its weights are finite; use float32 or bfloat16."


class HRMForCausalLM(HRMHalting, HRMPreTrainedModel, GenerationMixin):
    """HRM for text: predicts the next token at every position, only from earlier positions.

    Each position thinks for `config.halt_max_steps` segments, in training with a loss after each of them (deep
    supervision). With more than one segment there is a halting value at every position: `early_stop` then lets a
    position stop as soon as it is sure of its most likely next token; [`HRMFrozenPositions`] says what later positions
    see of it.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: HRMConfig):
        super().__init__(config)
        for name, wanted in {"is_causal": True, "puzzle_emb_ndim": 0}.items():
            if getattr(config, name) != wanted:
                raise ValueError(
                    f"HRMForCausalLM: {name}={getattr(config, name)} is not allowed; a text model needs a "
                    f"configuration with {name}={wanted}."
                )
        self.model = HRMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.q_head = HRMHaltingHead(config) if config.halt_max_steps > 1 else None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        max_segments: int | None = None,
        early_stop: bool | None = None,
        halt_threshold: float | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> HRMCausalLMOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, tokens)`): token ids.
            attention_mask (`torch.Tensor` of shape `(batch, all tokens so far)`, *optional*): 0 at padding.
            position_ids (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): consecutive by default.
            cache (`Cache`, *optional*): keys and values of the tokens before. All calls that use a cache need the same
                thinking depth: `max_segments`, `early_stop` and `halt_threshold`.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, tokens, hidden_size)`, *optional*): instead of
                `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, tokens)`, *optional*): the tokens again; they are shifted
                here. -100 is ignored.
            use_cache (`bool`, *optional*): whether to return a cache; by default as in the configuration.
            logits_to_keep (`int` or `torch.Tensor`, defaults to 0): only compute logits of this many last positions,
                or of these positions; 0 for all. All are needed for `labels`.
            max_segments (`int`, *optional*): thinking depth, `config.halt_max_steps` by default. May exceed it.
            early_stop (`bool`, *optional*): whether a position stops when its halting value says so; by default only
                if a `halt_threshold` is given.
            halt_threshold (`float`, *optional*): probability of being right at which a position stops; by default the
                rule of training decides.
            past_key_values (`Cache`, *optional*): the older name of `cache`.
        """
        max_segments = self.config.halt_max_steps if max_segments is None else max_segments
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("The loss needs the logits of all positions; give either labels or logits_to_keep.")
        outputs: HRMModelOutput = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=one_cache(cache, past_key_values),
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            num_segments=max_segments,
            stop=self.stopping_rule(max_segments, early_stop, halt_threshold),
            **kwargs,
        )
        z_H = outputs.last_hidden_state
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        result = HRMCausalLMOutput(
            logits=self.token_logits(z_H[:, kept]),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            q_halt_logits=None if self.q_head is None else self.q_values(z_H)[0],
            segments=torch.full(z_H.shape[:2], max_segments, device=z_H.device)
            if outputs.segments is None
            else outputs.segments,
            **{CACHE_NAME: getattr(outputs, CACHE_NAME)},
        )
        if labels is not None:
            self.add_losses(result, outputs.segment_hidden_states, labels, **kwargs)
        return result

    def token_logits(self, z_H: torch.Tensor) -> torch.Tensor:
        """Scores of the next token, `(batch, positions, vocab_size)`: their softmax is the model's distribution."""
        logits = self.lm_head(z_H)
        if self.config.token_loss == "stablemax":
            # stablemax(x) = softmax(sign(x) * log(1 + |x|)), so loss and generation need no special case
            logits = logits.sign() * logits.abs().log1p()
        return logits

    def stopping_rule(
        self, max_segments: int, early_stop: bool | None, halt_threshold: float | None
    ) -> Callable[[torch.Tensor], torch.BoolTensor] | None:
        """A function from z_H to the positions that stop, or `None` if all think for `max_segments`.

        Raises:
            ValueError: for options that are out of range, contradict each other, or need a halting head.
        """
        check_depth(max_segments, halt_threshold)
        if early_stop is False and halt_threshold is not None:
            raise ValueError(f"halt_threshold={halt_threshold} needs early_stop=True, or leave early_stop out.")
        if not early_stop and halt_threshold is None:
            return None
        if self.q_head is None:
            raise ValueError(
                "This model has no halting head, because it has halt_max_steps=1; leave out early_stop and "
                "halt_threshold, or train a model with halt_max_steps of at least 2."
            )
        return lambda z_H: self.wants_to_halt(*self.q_values(z_H), halt_threshold)

    def add_losses(
        self,
        result: HRMCausalLMOutput,
        segment_hidden_states: tuple[torch.Tensor, ...],
        labels: torch.LongTensor,
        shift_labels: torch.LongTensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ):
        """Fill in the losses of `result`: deep supervision, a cross entropy and halting losses after each segment."""
        if shift_labels is None:
            shift_labels = F.pad(labels, (0, 1), value=IGNORE_INDEX)[:, 1:].contiguous()
        valid = shift_labels != IGNORE_INDEX
        num_tokens = valid.sum() if num_items_in_batch is None else num_items_in_batch

        lm_losses, q_values, is_right = [], [], []
        for z_H in segment_hidden_states:
            is_last = z_H is segment_hidden_states[-1]
            logits = result.logits if is_last else self.token_logits(z_H)
            lm_losses.append(
                self.loss_function(
                    logits=logits,
                    labels=labels,
                    vocab_size=self.config.vocab_size,
                    shift_labels=shift_labels,
                    num_items_in_batch=num_items_in_batch,
                    **kwargs,
                )
            )
            if self.q_head is not None:
                q_values.append(self.q_values(z_H))
                is_right.append((logits.argmax(-1) == shift_labels).float())

        result.lm_loss = lm_losses[-1].detach()
        result.loss = torch.stack(lm_losses).mean()
        if self.q_head is None:
            return
        q_halt_losses, q_continue_losses = [], []
        for segment, (q_halt, q_continue) in enumerate(q_values):
            target = None
            if q_continue is not None and segment + 1 < len(q_values):
                must_halt = torch.tensor(segment + 2 == len(q_values), device=q_halt.device)
                next_values = (value.detach() for value in q_values[segment + 1])
                target = self.target_q_continue(*next_values, must_halt)
            for losses, tokens in zip(
                (q_halt_losses, q_continue_losses),
                self.halting_losses(q_halt, q_continue, is_right[segment], target),
                strict=True,
            ):
                if tokens is not None:
                    losses.append(torch.where(valid, tokens, 0.0).sum() / num_tokens)
        result.q_halt_loss = torch.stack(q_halt_losses).mean()
        result.loss = result.loss + 0.5 * result.q_halt_loss
        if q_continue_losses:
            result.q_continue_loss = torch.stack(q_continue_losses).mean()
            result.loss = result.loss + 0.5 * result.q_continue_loss

    def save_pretrained(self, save_directory: str | os.PathLike, *args, **kwargs):
        """As in transformers; the folder also loads with `AutoModel`, as the [`HRMModel`] in this model."""
        auto_map = getattr(self.config, "auto_map", None) or {}
        self.config.auto_map = auto_map | {"AutoModel": f"{HRMModel.__module__.split('.')[-1]}.{HRMModel.__name__}"}
        super().save_pretrained(save_directory, *args, **kwargs)

    def generate(self, inputs: torch.Tensor | None = None, *args, **kwargs):
        """
        As in transformers ([`~generation.GenerationMixin.generate`]), with the thinking depth as arguments:
        `max_segments`, `early_stop` and `halt_threshold` of `forward`.

        The depth of each token depends only on the text before it, so one call on the generated text returns it:
        `model(sequences, halt_threshold=0.9).segments`.

        Raises:
            ValueError: for a prompt that is empty, longer than the trained length, or has unknown token ids.
        """
        prompt = kwargs.get("inputs_embeds", kwargs.get("input_ids") if inputs is None else inputs)
        if prompt is not None:
            self.check_prompt(prompt)
        cache = one_cache(kwargs.pop("cache", None), kwargs.pop("past_key_values", None))
        if cache is not None:
            kwargs[CACHE_NAME] = cache
        return super().generate(inputs, *args, **kwargs)

    def generate_batch(
        self,
        inputs: list[list[int]],
        *args,
        max_segments: int | None = None,
        early_stop: bool | None = None,
        halt_threshold: float | None = None,
        **kwargs,
    ):
        """
        As in transformers (continuous batching), with the thinking depth of training.

        Args:
            inputs (`list[list[int]]`): token ids of the prompts.
            max_segments, early_stop, halt_threshold: as in `generate`, but only the depth of training is allowed.

        Raises:
            ValueError: for another thinking depth, or a prompt that `generate` refuses.
        """
        depth = self.config.halt_max_steps if max_segments is None else max_segments
        stops = self.stopping_rule(depth, early_stop, halt_threshold) is not None
        # the library ignores unknown arguments and would use the depth of training
        self.model.check_batched_depth(depth, stops)
        for prompt in inputs:
            self.check_prompt(torch.as_tensor(prompt, dtype=torch.long).unsqueeze(0))
        return super().generate_batch(inputs, *args, **kwargs)

    def check_prompt(self, prompt: torch.Tensor):
        """Raise a `ValueError` for token ids `(batch, tokens)`, or embeddings, that cannot be continued."""
        length, longest = prompt.shape[1], self.config.max_position_embeddings
        if length == 0:
            raise ValueError("The prompt is empty; give at least one token, for instance the BOS token.")
        is_rope = self.config.position_embedding_type == "rope"
        may_be_longer = is_rope and self.config.rope_parameters["rope_type"] != "default"
        if length > longest and not may_be_longer:
            raise ValueError(
                f"The prompt has {length} tokens, but the model is for texts of at most {longest} "
                f"(max_position_embeddings); give its last {longest - 1} tokens or fewer."
            )
        if prompt.dim() == 2:
            check_ids("input_ids", prompt.cpu(), self.config.vocab_size)

    def _prepare_cache_for_generation(self, generation_config, model_kwargs: dict, *args, **kwargs):
        # The library makes a cache with config.num_hidden_layers slots, which is the depth of training. A shallow copy
        # of the model with a deeper configuration makes the cache large enough for the requested depth; the model
        # itself does not change for others that use it at the same time.
        model, depth = self, model_kwargs.get("max_segments")
        if depth is not None and depth > self.config.halt_max_steps:
            model = copy.copy(self)
            model.config = copy.deepcopy(self.config)
            model.config.halt_max_steps = depth
        return super(HRMForCausalLM, model)._prepare_cache_for_generation(
            generation_config, model_kwargs, *args, **kwargs
        )


# save_pretrained then writes `auto_map` and these files, so that the folder loads with trust_remote_code=True.
# For the checkpoint of a grid model, AutoModel returns the grid model itself: it is the class that solves.
HRMModel.register_for_auto_class("AutoModel")
HRMForGridTask.register_for_auto_class("AutoModel")
HRMForCausalLM.register_for_auto_class("AutoModelForCausalLM")

__all__ = [
    "CACHE_NAME",
    "HRMCarry",
    "HRMCausalLMOutput",
    "HRMForCausalLM",
    "HRMForGridTask",
    "HRMGridTaskOutput",
    "HRMModel",
    "HRMModelOutput",
    "HRMPreTrainedModel",
    "HRMSegment",
    "HRMSolveOutput",
    "HRMSolving",
    "HRMState",
    "softmax_cross_entropy",
    "stablemax_cross_entropy",
]
