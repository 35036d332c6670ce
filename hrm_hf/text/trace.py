"""Traces of a causal language model at every token: depth, entropy, alternatives, and changes of its states.

for text in continue_text(model, tokenizer, "The king", sampling, depth):    # grows while it is written
    print(text)
trace = trace_text(model, tokenizer, token_ids, depth)
trace.tokens[5].segments, trace.tokens[5].alternatives
trace.states[3].change       # of the 4th module call, averaged over positions

Depth: `max_segments`, `early_stop` and `halt_threshold` of `HRMForCausalLM.forward`; other models have none.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hrm_hf.text.scores import begin_token
from modeling_hrm import CACHE_NAME


_POSITIONS_AT_A_TIME = 64  # with distributions in float32
_PIECE_CONTEXT = 4  # tokens before a token that can change its text


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the most likely token.
        top_k: sample only from this many most likely tokens; 0 for all.
        top_p: sample only from the most likely tokens up to this total probability.
        min_p: sample only from tokens with at least this share of the highest probability.
        max_new_tokens: maximum number of new tokens.
        seed: for sampling.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    max_new_tokens: int = 100
    seed: int = 0

    def __post_init__(self):
        for name, lowest, highest in (
            ("temperature", 0, 10),
            ("top_k", 0, math.inf),
            ("top_p", 0, 1),
            ("min_p", 0, 1),
            ("max_new_tokens", 0, math.inf),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name}={value} is not allowed; it must be from {lowest} to {highest}.")
        if self.top_p == 0:
            raise ValueError("top_p=0 leaves no token; give more than 0.")

    def warpers(self) -> LogitsProcessorList:
        """Processors of the distribution, in the same order as in `generate` of transformers."""
        warpers = LogitsProcessorList()
        if self.temperature not in (0, 1):
            warpers.append(TemperatureLogitsWarper(float(self.temperature)))
        if self.top_k > 0:
            warpers.append(TopKLogitsWarper(int(self.top_k)))
        if self.top_p < 1:
            warpers.append(TopPLogitsWarper(float(self.top_p)))
        if self.min_p > 0:
            warpers.append(MinPLogitsWarper(float(self.min_p)))
        return warpers


@dataclass(frozen=True)
class Continuation:
    """A text while it is being written.

    Attributes:
        token_ids: begin token, prompt and new tokens.
        num_prompt: how many of them are not new.
        text: of the new tokens.
        end: why it ended; empty until then.
    """

    token_ids: list[int]
    num_prompt: int
    text: str
    end: str = ""


@dataclass(frozen=True)
class TokenTrace:
    """A token and the model's prediction of it.

    Attributes:
        number: its place in the text, from 1; the begin token is not counted.
        text: its characters.
        probability: predicted by the model, at temperature 1.
        entropy: of the model's distribution, in bits.
        segments: thinking depth, `None` for models without it.
        halt_probability: of the most likely token being right, from the halting head; `None` without such a head.
        alternatives: the most likely tokens and their probabilities.
    """

    number: int
    text: str
    probability: float
    entropy: float
    segments: int | None
    halt_probability: float | None
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class StateTrace:
    """A state after one call of its module.

    Attributes:
        module: "H" or "L".
        segment: from 1.
        norms: root mean square of the output of the blocks, before the final norm of a model with
            `norm_position="pre"`, at each position that is still thinking; otherwise `None`.
        changes: length of the state's change in this call, as a share of its length before; otherwise `None`.
    """

    module: str
    segment: int
    norms: list[float | None]
    changes: list[float | None]

    @property
    def norm(self) -> float:
        """Mean over the positions."""
        return _mean(self.norms)

    @property
    def change(self) -> float:
        """Mean over the positions."""
        return _mean(self.changes)


@dataclass(frozen=True)
class TextTrace:
    """The tokens of a text, and the states in order of the module calls; position p predicts token p + 1."""

    tokens: list[TokenTrace]
    states: list[StateTrace]


@torch.inference_mode()
def continue_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    sampling: Sampling,
    depth: dict[str, Any] | None = None,
    seconds: float | None = None,
) -> Iterator[Continuation]:
    """Continue a text token by token, like `generate` of transformers after `torch.manual_seed(seed)`.

    It has its own random numbers, so several can run at a time. Closing the generator ends it.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        prompt: not empty.
        sampling: how to choose tokens.
        depth: thinking depth as arguments of the model.
        seconds: time limit.

    Yields:
        The text so far, after the prompt was read and after every token.

    Raises:
        ValueError: if the prompt is empty or longer than the model allows.
    """
    prompt_ids = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    if not prompt_ids:
        raise ValueError("The prompt is empty; give some text to continue.")
    token_ids = [begin_token(tokenizer), *prompt_ids]
    num_prompt = len(token_ids)
    longest = getattr(model.config, "max_position_embeddings", None) or 2**31
    if num_prompt > longest:
        raise ValueError(
            f"The prompt has {num_prompt} tokens, but the model was made for texts of {longest}; shorten it."
        )
    start = time.monotonic()
    generator = torch.Generator(model.device).manual_seed(int(sampling.seed))
    warpers, cache, wanted = sampling.warpers(), None, sampling.max_new_tokens
    fed = torch.tensor([token_ids], device=model.device)
    end = "" if wanted else "all tokens"
    while True:
        new = token_ids[num_prompt:]
        # part of a character is held back until the rest arrives
        text = tokenizer.decode(new, skip_special_tokens=True).rstrip("\ufffd" if not end else "")
        yield Continuation(list(token_ids), num_prompt, text, end)
        if end:
            return
        if len(token_ids) >= longest:
            end = f"the model's limit of {longest} tokens"
            continue
        if seconds is not None and time.monotonic() - start > seconds:
            end = f"the limit of {seconds:.0f} seconds"
            continue
        output = model(input_ids=fed, cache=cache, use_cache=True, **(depth or {}))
        cache, logits = getattr(output, CACHE_NAME), output.logits[:, -1].float()
        if sampling.temperature == 0:
            token = int(logits.argmax(-1))
        else:
            scores = warpers(torch.tensor([token_ids], device=model.device), logits)
            token = int(torch.multinomial(scores.softmax(-1), 1, generator=generator))
        token_ids.append(token)
        fed = torch.tensor([[token]], device=model.device)
        if token == tokenizer.eos_token_id:
            end = "the end of the text, as the model has it"
        elif len(token_ids) - num_prompt >= wanted:
            end = "all tokens"


@torch.inference_mode()
def trace_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    token_ids: list[int],
    depth: dict[str, Any] | None = None,
    num_alternatives: int = 10,
) -> TextTrace:
    """Run a model over a text once and keep a trace.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        token_ids: begin token and text, as in `Continuation`.
        depth: thinking depth as arguments of the model.
        num_alternatives: number of most likely tokens to keep per position.

    Raises:
        ValueError: if there is no token after the begin token.
    """
    if len(token_ids) < 2:
        raise ValueError("There are no tokens to trace; give some text.")
    is_hrm = model.config.model_type == "hrm"
    input_ids = torch.tensor([token_ids], device=model.device)
    output = model(input_ids=input_ids, use_cache=False, output_hidden_states=is_hrm, **(depth or {}))
    segments = output.segments[0].tolist() if is_hrm else None
    halting = None
    if is_hrm and output.q_halt_logits is not None:
        halting = output.q_halt_logits[0].sigmoid().tolist()

    tokens = []
    for first in range(0, len(token_ids) - 1, _POSITIONS_AT_A_TIME):
        logits = output.logits[0, first : min(first + _POSITIONS_AT_A_TIME, len(token_ids) - 1)].float()
        log_probabilities = F.log_softmax(logits, dim=-1)
        probabilities = log_probabilities.exp()
        # 0 * -inf is NaN, but should add nothing to the entropy
        entropies = -(probabilities * log_probabilities.clamp_min(-1e9)).sum(-1) / math.log(2)
        best = probabilities.topk(min(num_alternatives, logits.shape[-1]), dim=-1)
        for row in range(len(logits)):
            position = first + row
            tokens.append(
                TokenTrace(
                    number=position + 1,
                    text=piece(tokenizer, token_ids, position + 1),
                    probability=probabilities[row, token_ids[position + 1]].item(),
                    entropy=max(0.0, entropies[row].item()),
                    segments=None if segments is None else segments[position],
                    halt_probability=None if halting is None else halting[position],
                    alternatives=[
                        (piece(tokenizer, [*token_ids[: position + 1], token], position + 1), probability)
                        for token, probability in zip(
                            best.indices[row].tolist(), best.values[row].tolist(), strict=True
                        )
                    ],
                )
            )
    states = _trace_states(model, output.hidden_states, output.segments[0]) if is_hrm else []
    return TextTrace(tokens, states)


def piece(tokenizer: PreTrainedTokenizerBase, token_ids: list[int], index: int) -> str:
    """The characters that a token adds to those before it; part of a character is a replacement character."""
    before = token_ids[max(1, index - _PIECE_CONTEXT) : index]
    start = tokenizer.decode(before)
    text = tokenizer.decode([*before, token_ids[index]])
    return text[len(start) :] if text.startswith(start) else tokenizer.decode([token_ids[index]])


def _trace_states(
    model: PreTrainedModel, hidden_states: tuple[torch.Tensor, ...], segments: torch.LongTensor
) -> list[StateTrace]:
    """States after every module call, from the outputs of all block calls, in the order of `HRMModel.run_cycles`."""
    config, modules = model.config, {"L": model.model.low_level_module, "H": model.model.H_module}
    outputs = hidden_states[1:]  # the first is the input of the first block call
    initial = model.model.initial_state(1, segments.shape[0])
    state = {"L": initial.z_L[0].float(), "H": initial.z_H[0].float()}
    states, block = [], 0
    for segment in range(1, len(outputs) // config.calls_per_segment + 1):
        is_thinking = (segments >= segment).tolist()

        def where_thinking(values: torch.Tensor, is_thinking: list[bool] = is_thinking) -> list[float | None]:
            return [value if thinks else None for value, thinks in zip(values.tolist(), is_thinking, strict=True)]

        block += config.prelude_layers
        for module in (["L"] * config.L_cycles + ["H"]) * config.H_cycles:
            block += len(modules[module].layers)
            summed = outputs[block - 1][0].float()
            old, new = state[module], modules[module].final_norm(summed)
            norms = summed.square().mean(-1).sqrt()
            if config.norm_position == "pre" and block == len(outputs):
                # the library returns the last output after the final norm
                norms = torch.full_like(norms, math.nan)
            changes = (new - old).norm(dim=-1) / old.norm(dim=-1).clamp_min(1e-9)
            states.append(StateTrace(module, segment, where_thinking(norms), where_thinking(changes)))
            state[module] = new
        block += config.coda_layers
    return states


def _mean(values: list[float | None]) -> float:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else math.nan
