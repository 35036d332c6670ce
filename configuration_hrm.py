# Copyright 2026 The hrm-hf authors. Licensed under the Apache License, Version 2.0.
"""Configuration of the Hierarchical Reasoning Model (HRM, arXiv 2506.21734).

A single file: it works as remote code on the Hub, as a plain module and inside the package.
Every field of the original code is here, under the name that transformers uses for it, if any:

    original            here                          original            here
    seq_len             max_position_embeddings       num_heads           num_attention_heads
    expansion           intermediate_size             rope_theta          rope_parameters
    pos_encodings       position_embedding_type       forward_dtype       dtype (or torch.autocast)
    loss_type           token_loss                    causal              is_causal
    mlp_t (TRM)         token_mixer                   no_ACT_continue     halting

The rest (H_cycles, L_cycles, H_layers, L_layers, halt_max_steps, halt_exploration_prob, puzzle_emb_ndim,
num_puzzle_identifiers, rms_norm_eps, vocab_size, hidden_size, puzzle_emb_len) keeps its name. A Tiny Recursive Model
(TRM, arXiv 2510.04871) is `share_modules=True, gradient_depth="last_cycle", halting="lean"`.
"""

import math
import os
import shutil
from pathlib import Path

from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import cached_file, logging


logger = logging.get_logger(__name__)


# properties of `HRMConfig`
_DERIVED = ("head_dim", "num_prefix_positions", "num_puzzle_positions", "calls_per_segment", "num_hidden_layers")


def swiglu_intermediate_size(hidden_size: int, expansion: float, multiple_of: int = 256) -> int:
    """Width of the SwiGLU for the original's `expansion`: 2/3 of `expansion * hidden_size`, rounded up.

    Args:
        hidden_size (`int`): width of the model.
        expansion (`float`): the original's expansion factor (4 in all published models).
        multiple_of (`int`, defaults to 256): the width is rounded up to a multiple of this.

    Returns:
        `int`: the `intermediate_size` of [`HRMConfig`], for instance 1536 for `hidden_size=512, expansion=4`.
    """
    return -(-round(expansion * hidden_size * 2 / 3) // multiple_of) * multiple_of


class HRMConfig(PreTrainedConfig):
    r"""
    Configuration of [`HRMModel`], [`HRMForGridTask`] and [`HRMForCausalLM`]. The defaults are the published 27 M
    model for 9x9 Sudoku. Text needs `is_causal=True`, `puzzle_emb_ndim=0` and, to start with, `token_loss="softmax"`.

    Args:
        vocab_size (`int`, defaults to 11):
            Number of token ids. Sudoku 9x9: 0 is padding, 1 a blank cell, 2..10 the digits.
        num_answer_tokens (`int`, *optional*):
            Number of token ids, from 0 on, that an answer of a grid model can have; by default `vocab_size`. The
            others occur only in questions.
        max_position_embeddings (`int`, defaults to 81):
            Longest sequence of tokens, without the puzzle prefix (the original's `seq_len`).
        hidden_size (`int`, defaults to 512):
            Width of both modules. A multiple of `num_attention_heads`.
        intermediate_size (`int`, defaults to 1536):
            Width of the SwiGLU. `swiglu_intermediate_size` computes it from the original's `expansion`.
        num_attention_heads (`int`, defaults to 8):
            Heads of each attention layer.
        hidden_act (`str`, defaults to `"silu"`):
            Activation of the gate in the SwiGLU.
        token_mixer (`str`, defaults to `"attention"`):
            How information is mixed between positions: `"attention"`, or `"mlp"`, a SwiGLU over the positions of each
            channel (as in MLP-Mixer and TRM's `mlp_t`), which needs sequences of exactly `max_position_embeddings`
            tokens.
        token_mixer_intermediate_size (`int`, *optional*):
            Width of the SwiGLU over positions; by default for the published expansion of 4, which is 512 for 97
            positions.
        H_layers (`int`, defaults to 4), L_layers (`int`, defaults to 4):
            Transformer blocks in the slow (high-level) and in the fast (low-level) module.
        H_cycles (`int`, defaults to 2), L_cycles (`int`, defaults to 2):
            In one segment the slow module is called `H_cycles` times, and the fast one `L_cycles` times before each.
        prelude_layers (`int`, defaults to 0), coda_layers (`int`, defaults to 0):
            Transformer blocks that run once in a segment, before and after the recurrence, with the terms of arXiv
            2502.05171: the prelude turns the embeddings into what the recurrence takes as its input, and the coda
            turns z_H into what the heads read. Only the two modules, the core, are repeated in a segment, and only
            their states go on to the next segment, in which both run again.
        input_injection (`str`, defaults to `"add"`):
            How the input (embeddings, or output of the prelude) is mixed in again at every call of the fast module:
            `"add"`, the sum with both states (the original); `"scaled"`, the same with one trained weight per channel
            for the states and one for the input, initially 1 (the diagonal injection of arXiv 2604.12946, without its
            bounds); or `"every_block"`, which also does this before each further block of both modules, where the
            weight of the input is initially 0.
        share_modules (`bool`, defaults to `False`):
            Whether one stack of `H_layers` blocks serves as both modules, as in TRM (arXiv 2510.04871), which halves
            the parameters but not the operations. `L_layers` must then be equal to `H_layers`.
        gradient_depth (`str`, defaults to `"last_step"`):
            Which part of a segment is differentiated: `"last_step"` is the last call of each module (the one-step
            gradient of the original), `"last_cycle"` all calls of the last H cycle, `"all_cycles"` every call
            (back-propagation through the whole segment).
        norm_position (`str`, defaults to `"post"`):
            Where a block normalizes: `"post"`, after each residual sum (the original), or `"pre"`, before attention
            and SwiGLU, with one more norm at the end of each module (as in transformers' HrmText).
        position_embedding_type (`str`, defaults to `"rope"`):
            `"rope"` (rotary, over prefix and tokens), `"rope_2d"` (rotary, half of each head by the row of a cell and
            half by its column; half of the heads initially attend to the cell above, below, left or right),
            `"learned"` (one trained vector per position), `"grid"` (trained vectors for row, column and block, at
            the input and in the queries and keys of every layer) or `"none"`.
        grid_shape (`list[int]`, *optional*):
            Rows and columns of the board, for `"grid"` and `"rope_2d"`; their product is `max_position_embeddings`.
            With `"rope_2d"` a batch may have boards of another shape; with `learned_grid_positions` only smaller ones.
        block_shape (`list[int]`, *optional*):
            Rows and columns of a block of the board (a Sudoku box), for `"grid"` positions; `None` for no blocks.
        learned_grid_positions (`bool`, defaults to `False`):
            Whether `"rope_2d"` also adds trained vectors for row and column to the tokens at the input.
        rope_2d_max_frequency (`float`, defaults to 2.5):
            Highest frequency of `"rope_2d"`, in radians per cell.
        neighbor_score (`float`, defaults to 60.0):
            With `"rope_2d"`, the initial attention score, before the softmax, of half of the heads for the cell above,
            below, left or right; 0 for none.
        rope_parameters (`dict`, *optional*):
            Rotary embedding in the format of transformers; by default
            `{"rope_type": "default", "rope_theta": 10000.0}`, and 100.0 for `"rope_2d"`, since boards are short.
        rms_norm_eps (`float`, defaults to 1e-5):
            Epsilon of the weightless RMSNorm.
        hidden_dropout_prob (`float`, defaults to 0.0):
            In training, the share of the outputs of attention and SwiGLU that is dropped before the residual sum.
        is_causal (`bool`, defaults to `False`):
            Whether a position sees only itself and earlier ones. `False` for grids, `True` for text.
        use_cache (`bool`, defaults to `True`):
            Whether a causal model returns keys and values for the next call, except in training.
        puzzle_emb_ndim (`int`, defaults to 512):
            Width of the puzzle embedding. 0 means no puzzle embedding.
        puzzle_emb_placement (`str`, defaults to `"prefix"`):
            Where the puzzle embedding goes: `"prefix"`, before the tokens as `ceil(puzzle_emb_ndim / hidden_size)`
            positions, as in the original; or `"everywhere"`, added at every position, which needs
            `puzzle_emb_ndim = hidden_size`.
        puzzle_emb_len (`int`, *optional*):
            Prefix positions of the puzzle embedding, if more than it fills (16 in TRM): the rest is zero, as working
            space for the model. By default as many as it fills.
        condition_sizes (`list[int]`, *optional*):
            Numbers of values of other conditions of a sequence, one entry per condition, for instance `[8, 2]` for a
            symmetry of the square and a flag. Each value has a trained vector that is added at every position.
        num_token_roles (`int`, defaults to 0):
            Number of roles that a token can have in a puzzle, for instance the 10 original colors of an ARC task with
            permuted colors. Each puzzle has a trained vector per role, which is added to tokens with that role, and
            each role has a prefix position. Needs `puzzle_emb_placement="everywhere"`.
        num_registers (`int`, defaults to 0):
            Trained prefix positions that belong to no puzzle.
        num_puzzle_identifiers (`int`, defaults to 1):
            Rows of the puzzle embedding. Identifier 0 is the blank one ("no particular puzzle").
        halt_max_steps (`int`, defaults to 16):
            Maximum number of segments of a sequence in training (adaptive computation time, ACT). For text: the
            segments of every position, in training and, by default, in generation; 1 means no halting head.
        halt_exploration_prob (`float`, defaults to 0.1):
            In training, the probability that a sequence gets a random minimum number of segments.
        halting (`str`, defaults to `"q_learning"`):
            `"q_learning"`: the original. Two outputs (halt, continue), halt when `q_halt > q_continue`; the target of
            `q_continue` is bootstrapped from one more forward pass. `"lean"`: one output, halt when its sigmoid is
            above `halt_threshold`, no extra forward pass.
        halting_pooling (`str`, defaults to `"first"`):
            What the halting head of a grid model reads: the `"first"` position of z_H, as in the original, or the
            `"mean"` of all positions. (A causal model has a separate halting value at every position.)
        halt_threshold (`float`, defaults to 0.5):
            Probability of being right above which `"lean"` halts; 0.5 is the same as `q_halt > 0`. A higher value
            means more segments and fewer wrong answers. `"q_learning"` does not use it.
        token_loss (`str`, defaults to `"stablemax"`):
            Cross entropy over `"stablemax"` or `"softmax"` probabilities.
        pad_loss_weight (`float`, defaults to 1.0):
            Weight in the token loss of a grid model for cells whose label is `pad_token_id` (cells outside the grid,
            if they have labels).
        pad_token_id (`int`, *optional*, defaults to 0):
            Token id of padding.
        bos_token_id (`int`, *optional*), eos_token_id (`int` or `list[int]`, *optional*):
            Token ids at the start and the end of a text.
        tie_word_embeddings (`bool`, defaults to `False`):
            Whether the token head shares the weight of the token embedding.

    Raises:
        ValueError: if a value has the wrong type or is not allowed; the message says what is allowed.
    """

    model_type = "hrm"
    # so that Trainer passes only the logits as predictions to compute_metrics
    keys_to_ignore_at_inference = (
        "carry state cache past_key_values segments q_halt_logits q_continue_logits target_q_continue lm_loss "
        "q_halt_loss q_continue_loss cell_accuracy exact_accuracy"
    ).split()

    vocab_size: int = 11
    max_position_embeddings: int = 81
    hidden_size: int = 512
    intermediate_size: int = 1536
    num_attention_heads: int = 8
    hidden_act: str = "silu"
    token_mixer: str = "attention"
    token_mixer_intermediate_size: int | None = None
    H_layers: int = 4
    L_layers: int = 4
    H_cycles: int = 2
    L_cycles: int = 2
    prelude_layers: int = 0
    coda_layers: int = 0
    input_injection: str = "add"
    share_modules: bool = False
    gradient_depth: str = "last_step"
    norm_position: str = "post"
    position_embedding_type: str = "rope"
    grid_shape: list[int] | None = None
    block_shape: list[int] | None = None
    learned_grid_positions: bool = False
    rope_2d_max_frequency: float = 2.5
    neighbor_score: float = 60.0
    rope_parameters: dict | None = None
    rms_norm_eps: float = 1e-5
    hidden_dropout_prob: float = 0.0
    is_causal: bool = False
    use_cache: bool = True
    puzzle_emb_ndim: int = 512
    puzzle_emb_placement: str = "prefix"
    puzzle_emb_len: int | None = None
    condition_sizes: list[int] | None = None
    num_token_roles: int = 0
    num_registers: int = 0
    num_answer_tokens: int | None = None
    num_puzzle_identifiers: int = 1
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    halting: str = "q_learning"
    halting_pooling: str = "first"
    halt_threshold: float = 0.5
    token_loss: str = "stablemax"
    pad_loss_weight: float = 1.0
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        # derived fields cannot be set; a config.json may have them if they agree
        derived = {name: kwargs.pop(name) for name in _DERIVED if name in kwargs}
        for name in ("rope_parameters", "rope_scaling"):
            value = kwargs.get(name, getattr(self, name, None))
            if value is not None and not isinstance(value, dict):
                raise ValueError(
                    f"HRMConfig: {name}={value!r} is not allowed; it must be None or a dictionary with rope_type and "
                    "rope_theta."
                )
        if self.rope_parameters is None and self.position_embedding_type == "rope_2d":
            self.rope_parameters = {"rope_type": "default", "rope_theta": 100.0}
        try:
            super().__post_init__(**kwargs)
        except _OF_GENERAL_FIELDS as error:
            raise _bad_general_field(error) from error
        self.validate_architecture()
        if self.token_mixer == "mlp" and self.token_mixer_intermediate_size is None:
            num_positions = self.num_prefix_positions + self.max_position_embeddings
            self.token_mixer_intermediate_size = swiglu_intermediate_size(num_positions, expansion=4)
        for name, value in derived.items():
            if value != getattr(self, name):
                raise ValueError(
                    f"HRMConfig: {name}={value!r} is not allowed; it follows from the other fields and is "
                    f"{getattr(self, name)}, so leave it out or correct those."
                )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def num_prefix_positions(self) -> int:
        """Positions before the tokens (P in the paper's code): puzzle embedding, token roles, registers."""
        return self.num_puzzle_positions + self.num_token_roles + self.num_registers

    @property
    def num_puzzle_positions(self) -> int:
        """Prefix positions of the puzzle embedding, including those that are zero."""
        if self.puzzle_emb_placement != "prefix":
            return 0
        filled = math.ceil(self.puzzle_emb_ndim / self.hidden_size)
        return filled if self.puzzle_emb_len is None else self.puzzle_emb_len

    @property
    def calls_per_segment(self) -> int:
        """Calls of a Transformer block in one segment, each with its own attention."""
        core = self.H_cycles * (self.L_cycles * self.L_layers + self.H_layers)
        return self.prelude_layers + core + self.coda_layers

    @property
    def num_hidden_layers(self) -> int:
        """Calls of a Transformer block in one forward pass: the slots of `output_hidden_states` and of a cache.

        A grid model runs one segment per forward pass, a causal one all `halt_max_steps`.
        """
        return self.calls_per_segment * (self.halt_max_steps if self.is_causal else 1)

    @num_hidden_layers.setter
    def num_hidden_layers(self, value: int):
        """For a causal model, full segments: changes `halt_max_steps`, as early-exit assistance needs it."""
        segments, rest = divmod(value, self.calls_per_segment)
        if rest or segments < 1 or (segments > 1 and not self.is_causal):
            raise ValueError(
                f"HRMConfig: num_hidden_layers={value} is not allowed; it counts the block calls of a forward pass, "
                f"{self.calls_per_segment} per segment, so it must be "
                + (f"a multiple of {self.calls_per_segment}." if self.is_causal else f"{self.calls_per_segment}.")
            )
        if self.is_causal:
            self.halt_max_steps = segments

    def validate_architecture(self):
        """Raise a `ValueError` that names the first bad value and what is allowed."""
        for name in (
            "vocab_size max_position_embeddings hidden_size intermediate_size num_attention_heads H_layers L_layers "
            "H_cycles L_cycles num_puzzle_identifiers halt_max_steps"
        ).split():
            self._require(name, _is_int(getattr(self, name)) and getattr(self, name) >= 1, "an integer of at least 1")
        self._require(
            "puzzle_emb_ndim",
            _is_int(self.puzzle_emb_ndim) and self.puzzle_emb_ndim >= 0,
            "an integer of at least 0 (0: no puzzle embedding)",
        )
        for name in ("prelude_layers", "coda_layers", "num_token_roles", "num_registers"):
            self._require(name, _is_int(getattr(self, name)) and getattr(self, name) >= 0, "an integer of at least 0")
        self._require(
            "condition_sizes",
            self.condition_sizes is None
            or (
                isinstance(self.condition_sizes, (list, tuple))
                and all(_is_int(size) and size >= 1 for size in self.condition_sizes)
            ),
            "None or a list of integers of at least 1, one per condition",
        )
        self._require(
            "hidden_size",
            self.hidden_size % self.num_attention_heads == 0,
            f"a multiple of num_attention_heads, which is {self.num_attention_heads}",
        )
        for name, allowed in {
            "gradient_depth": ("last_step", "last_cycle", "all_cycles"),
            "norm_position": ("post", "pre"),
            "input_injection": ("add", "scaled", "every_block"),
            "position_embedding_type": ("rope", "learned", "grid", "rope_2d", "none"),
            "token_mixer": ("attention", "mlp"),
            "puzzle_emb_placement": ("prefix", "everywhere"),
            "halting": ("q_learning", "lean"),
            "halting_pooling": ("first", "mean"),
            "token_loss": ("stablemax", "softmax"),
        }.items():
            self._require(name, getattr(self, name) in allowed, " or ".join(map(repr, allowed)))
        if self.puzzle_emb_placement == "everywhere":
            self._require(
                "puzzle_emb_ndim",
                self.puzzle_emb_ndim == self.hidden_size,
                f"equal to hidden_size={self.hidden_size}, because with puzzle_emb_placement='everywhere' it is added "
                "to the hidden states",
            )
        filled = math.ceil(self.puzzle_emb_ndim / self.hidden_size)
        self._require(
            "puzzle_emb_len",
            self.puzzle_emb_len is None
            or (
                _is_int(self.puzzle_emb_len)
                and self.puzzle_emb_len >= filled
                and self.puzzle_emb_placement == "prefix"
            ),
            f"None, or an integer of at least {filled} (the positions that puzzle_emb_ndim={self.puzzle_emb_ndim} "
            "fills), with puzzle_emb_placement='prefix'",
        )
        answers = self.num_answer_tokens
        self._require(
            "num_answer_tokens",
            answers is None
            or (
                _is_int(answers)
                and 1 <= answers <= self.vocab_size
                and not (self.is_causal or self.tie_word_embeddings)
            ),
            f"None, or an integer from 1 to vocab_size={self.vocab_size} in a grid model (is_causal=False) with "
            "tie_word_embeddings=False",
        )
        width = self.token_mixer_intermediate_size
        self._require(
            "token_mixer_intermediate_size",
            width is None or (_is_int(width) and width >= 1 and self.token_mixer == "mlp"),
            "None, or an integer of at least 1 with token_mixer='mlp'",
        )
        self._require(
            "token_mixer",
            self.token_mixer == "attention"
            or (not self.is_causal and self.position_embedding_type in ("learned", "grid", "none")),
            "'attention', except in a grid model (is_causal=False) with position_embedding_type 'learned', 'grid' or "
            "'none', because rotary positions need attention",
        )
        self._require(
            "num_token_roles",
            self.num_token_roles == 0 or self.puzzle_emb_placement == "everywhere",
            "0 unless puzzle_emb_placement is 'everywhere'",
        )
        # not at the top: a configuration can be read without torch, which activations need
        from transformers.activations import ACT2FN

        self._require(
            "hidden_act",
            isinstance(self.hidden_act, str) and self.hidden_act in ACT2FN,
            f"an activation of transformers, one of {', '.join(sorted(ACT2FN))}",
        )
        rope = self.rope_parameters or {}
        self._require(
            "rope_parameters",
            isinstance(rope.get("rope_type"), str)
            and _is_number(rope.get("rope_theta"))
            and rope["rope_theta"] > 0
            and (rope["rope_type"] == "default" or "factor" in rope),
            "a dictionary with a rope_type, a rope_theta above 0 and, for types other than 'default', a factor",
        )
        if self.share_modules:
            self._require(
                "L_layers",
                self.L_layers == self.H_layers,
                f"equal to H_layers={self.H_layers}, because with share_modules=True both are the same blocks",
            )
        if self.position_embedding_type == "rope":
            self._require(
                "hidden_size",
                self.head_dim % 2 == 0,
                f"such that each of the {self.num_attention_heads} heads has an even width for rotary embeddings "
                f"(now {self.head_dim})",
            )
        if self.position_embedding_type == "rope_2d":
            self._require(
                "hidden_size",
                self.head_dim % 4 == 0,
                f"such that the width of each of the {self.num_attention_heads} heads is a multiple of 4 for rotary "
                f"embeddings of rows and columns (now {self.head_dim})",
            )
            self._require(
                "rope_parameters",
                self.rope_parameters["rope_type"] == "default",
                "of rope_type 'default', since boards do not grow",
            )
        if self.position_embedding_type in ("grid", "rope_2d"):
            self._require(
                "grid_shape",
                _is_pair(self.grid_shape) and math.prod(self.grid_shape) == self.max_position_embeddings,
                f"[rows, columns] of the board, with {self.max_position_embeddings} cells (max_position_embeddings)",
            )
        if self.position_embedding_type == "grid":
            self._require(
                "block_shape",
                self.block_shape is None
                or (
                    _is_pair(self.block_shape)
                    and all(cells % part == 0 for cells, part in zip(self.grid_shape, self.block_shape, strict=True))
                ),
                f"None or [rows, columns] of blocks that tile a board of {self.grid_shape}",
            )
        for name in ("rope_2d_max_frequency", "pad_loss_weight"):
            self._require(name, _is_number(getattr(self, name)) and getattr(self, name) > 0, "a positive number")
        self._require(
            "neighbor_score",
            _is_number(self.neighbor_score) and self.neighbor_score >= 0,
            "a number of at least 0 (0: no head initially attends to a neighbor)",
        )
        self._require("rms_norm_eps", _is_number(self.rms_norm_eps) and self.rms_norm_eps > 0, "a positive number")
        self._require(
            "halt_exploration_prob",
            _is_number(self.halt_exploration_prob) and 0 <= self.halt_exploration_prob <= 1,
            "a probability between 0 and 1",
        )
        self._require(
            "hidden_dropout_prob",
            _is_number(self.hidden_dropout_prob) and 0 <= self.hidden_dropout_prob < 1,
            "a probability of at least 0 and below 1",
        )
        self._require(
            "halt_threshold",
            _is_number(self.halt_threshold) and 0 < self.halt_threshold < 1,
            "a probability above 0 and below 1",
        )
        for name in (
            "share_modules is_causal use_cache tie_word_embeddings learned_grid_positions output_hidden_states"
        ).split():
            self._require(name, isinstance(getattr(self, name), bool), "True or False")
        self._require("return_dict", self.return_dict is True, "True, because outputs are read by name")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            ids = value if name == "eos_token_id" and isinstance(value, list) else [value]
            self._require(
                name,
                value is None or all(_is_int(token) and 0 <= token < self.vocab_size for token in ids),
                f"None or a token id below vocab_size, which is {self.vocab_size}",
            )

    def _require(self, name: str, satisfied: bool, wanted: str):
        if not satisfied:
            raise ValueError(f"HRMConfig: {name}={getattr(self, name)!r} is not allowed; it must be {wanted}.")

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs):
        """As in transformers, with the code of the pipelines that this configuration names."""
        sources = {}
        for pipeline in (getattr(self, "custom_pipelines", None) or {}).values():
            # as transformers writes it: `module.Class`, after `owner/name--` if it came from the Hub
            repository, _, implementation = pipeline["impl"].rpartition("--")
            file = f"{implementation.split('.')[0]}.py"
            sources[file] = self._find_code(file)
            if sources[file] is not None:
                pipeline["impl"] = implementation
            elif not repository:
                logger.warning(
                    f"The configuration names {file}, which is neither next to {__file__} nor in "
                    f"{self.name_or_path or 'a model folder'}; copy it to {save_directory}, or its pipeline will not "
                    "load."
                )
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        for file, source in sources.items():
            target = Path(save_directory, file)
            if source is not None and not (target.exists() and source.samefile(target)):
                shutil.copyfile(source, target)

    def _find_code(self, file: str) -> Path | None:
        """A code file next to this one, or where the model came from; `None` if it is in neither place."""
        beside = Path(__file__).with_name(file)
        if beside.is_file() or not self.name_or_path:
            return beside if beside.is_file() else None
        try:
            found = cached_file(self.name_or_path, file)
        except OSError:
            return None
        return None if found is None else Path(found)

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """As in transformers, but another model's configuration is an error instead of a warning.

        Raises:
            ValueError: if `config_dict` has the `model_type` of another model, or an impossible value.
        """
        model_type = config_dict.get("model_type", cls.model_type)
        if model_type != cls.model_type:
            raise ValueError(
                f"This checkpoint has model_type={model_type!r}, but {cls.__name__} loads only {cls.model_type!r}; "
                "load it with the Auto classes of transformers or give the folder of an HRM checkpoint."
            )
        try:
            return super().from_dict(config_dict, **kwargs)
        except _OF_GENERAL_FIELDS as error:
            raise _bad_general_field(error) from error


# raised by transformers for a general field (dtype, id2label, ...) of a wrong type
_OF_GENERAL_FIELDS = (AttributeError, TypeError, IndexError, KeyError)


def _bad_general_field(error: Exception) -> ValueError:
    return ValueError(
        f"HRMConfig: the configuration has a field of a wrong type ({error}); correct it, or use the config.json of "
        "save_pretrained."
    )


def _is_int(value) -> bool:
    # bool is an int in Python, but `hidden_size=True` is a mistake
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(_is_int(part) and part >= 1 for part in value)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


HRMConfig.register_for_auto_class()

__all__ = ["HRMConfig", "swiglu_intermediate_size"]
