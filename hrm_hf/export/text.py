"""Language models as one ONNX graph for prefill and decode, with a cache, and a manifest with everything else.

    model.onnx         (input_ids, past_key.0, past_value.0, ...) -> (logits, present_key.0, present_value.0, ...)
    model.int8.onnx    the same with int8 weights (see `int8`)
    manifest.json      shapes, tokens, and what was checked
    tokenizer.json     of the model

A client starts with a past of length 0 for the whole prompt (prefill), then passes one token and the previous present
as past (decode). Every block call of every segment has its slot, as in PyTorch; the thinking depth is as in training.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoConfig, DynamicCache

from hrm_hf.checkpoints import load_causal_lm
from hrm_hf.export.graphs import FILES, TOLERANCE, Step, as_traced, check_request, need_onnx, write_step
from hrm_hf.utils.files import whole_folder
from modeling_hrm import HRMForCausalLM


NEW_TOKENS = 16  # generated from each prompt for the comparison
MOST_LOSS = 0.02  # maximum loss that int8 may add, in nats per token


@dataclass(frozen=True)
class TextExport:
    """What was exported, and what was compared.

    Attributes:
        model: the exported model.
        output: the folder.
        files: bytes of each graph by precision.
        prompts: number of prompts that were continued greedily, by `NEW_TOKENS` tokens each.
        largest_difference: between the float32 logits and those of the model, over all of these texts.
        equal_texts: prompts that a graph continues like the model, by precision.
        loss: of these texts, in nats per token, by precision, and `torch`.
    """

    model: str
    output: str
    files: dict[str, int]
    prompts: int
    largest_difference: float
    equal_texts: dict[str, int]
    loss: dict[str, float]


def is_language_model(name: str) -> bool:
    """Whether a folder, or a model on the Hub, is a language model of this package."""
    if Path(name).is_dir():
        return (Path(name) / "tokenizer_config.json").is_file()
    config = AutoConfig.from_pretrained(name)
    return config.model_type == "hrm" and config.is_causal


class TextStep(Step):
    """Some tokens after a past of any length."""

    kind = "text"

    def __init__(self, model: HRMForCausalLM):
        super().__init__(model)
        config = model.config
        self.num_slots = config.num_hidden_layers

        def slots(kind: str, length: str) -> dict[str, list[int | str]]:
            shape = ["batch", config.num_attention_heads, length, config.head_dim]
            return {f"{kind}_{part}.{slot}": shape for slot in range(self.num_slots) for part in ("key", "value")}

        self.inputs = {"input_ids": ["batch", "tokens"]} | slots("past", "past")
        self.outputs = {"logits": ["batch", "tokens", config.vocab_size]} | slots("present", "past + tokens")

    def forward(self, input_ids: torch.LongTensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs in order."""
        cache = DynamicCache()
        for slot in range(self.num_slots):
            cache.update(past[2 * slot], past[2 * slot + 1], slot)
        past_length, length = past[0].shape[2], input_ids.shape[1]
        positions = torch.arange(length) + past_length
        hidden = torch.arange(past_length + length) > positions.unsqueeze(1)
        mask = hidden.float() * torch.finfo(torch.float32).min
        outputs = self.model(
            input_ids=input_ids, attention_mask=mask[None, None], position_ids=positions.unsqueeze(0), cache=cache
        )
        present = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        return outputs.logits, *present

    def example(self) -> tuple[torch.Tensor, ...]:
        return torch.ones(2, 3, dtype=torch.long), *self.past(2, 4)

    def past(self, batch_size: int, length: int) -> list[torch.Tensor]:
        """Zero keys and values in every slot."""
        config = self.model.config
        shape = (batch_size, config.num_attention_heads, length, config.head_dim)
        return [torch.zeros(shape) for _ in range(2 * self.num_slots)]


def export_text_onnx(
    model: str, output: Path, overwrite: bool = False, int8: bool = True, num_prompts: int = 64
) -> TextExport:
    """Write a language model as an ONNX graph with its manifest, and compare it with the model.

    Args:
        model: a model folder, or a model on the Hub.
        output: the folder to write.
        overwrite: whether an existing folder of an exported model may be replaced.
        int8: whether to also write the graph with int8 weights.
        num_prompts: number of random prompts to continue for the comparison.

    Raises:
        FileNotFoundError, FileExistsError: for a missing model and an output folder that is in use.
        ValueError: if onnx and onnxruntime are not installed, there is no prompt, or the model is of another family.
        RuntimeError: if a graph does not agree with the model.
    """
    check_request(output, overwrite, num_prompts, "num_prompts")
    text_model, tokenizer = load_causal_lm(model)
    config = text_model.config
    if config.model_type != "hrm":
        raise ValueError(f"{model} has model_type {config.model_type!r}; only 'hrm' can be exported.")
    step = TextStep(as_traced(text_model))
    precisions = ["float32", "int8"] if int8 else ["float32"]
    description = {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "slots": config.num_hidden_layers,
        "segments": config.halt_max_steps,
    }
    with whole_folder(output) as partial:
        manifest = write_step(
            step, partial, precisions, description, lambda: _compare(step, partial, precisions, num_prompts)
        )
        if Path(model).is_dir() and (Path(model) / "tokenizer.json").is_file():
            shutil.copyfile(Path(model) / "tokenizer.json", partial / "tokenizer.json")
        else:
            tokenizer.save_pretrained(partial)
    files = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    return TextExport(model=model, output=str(output), files=files, **manifest["compared"])


class OnnxTextModel:
    """A written graph and its cache: the first call is a prefill, later ones are decodes.

    Args:
        file: of the graph.
        step: of the graph.
    """

    def __init__(self, file: Path, step: TextStep):
        onnxruntime = need_onnx("onnxruntime")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.step = step
        self.past: list[np.ndarray] | None = None

    def __call__(self, input_ids: np.ndarray) -> np.ndarray:
        """Logits `(batch, tokens, vocab_size)` of tokens `(batch, tokens)` after those of earlier calls."""
        if self.past is None:
            self.past = [past.numpy() for past in self.step.past(len(input_ids), 0)]
        inputs = dict(zip(self.step.inputs, [input_ids, *self.past], strict=True))
        logits, *self.past = self.session.run(list(self.step.outputs), inputs)
        return logits


def _compare(step: TextStep, folder: Path, precisions: list[str], num_prompts: int) -> dict[str, Any]:
    model = step.model
    generator = torch.Generator().manual_seed(0)
    length = min(16, model.config.max_position_embeddings // 2)
    new_tokens = min(NEW_TOKENS, model.config.max_position_embeddings - length)
    prompts = torch.randint(model.config.vocab_size, (num_prompts, length), generator=generator)
    # no token ends a text here, so all are equally long
    wanted = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        eos_token_id=None,
    )
    with torch.no_grad():
        logits = {"torch": model(wanted, use_cache=False).logits}
    equal = {}
    for precision in precisions:
        graph = OnnxTextModel(folder / FILES[precision], step)
        text, parts = prompts.numpy(), []
        tokens = text
        for _ in range(new_tokens):
            parts.append(graph(tokens))
            tokens = parts[-1][:, -1:].argmax(-1)
            text = np.concatenate((text, tokens), axis=1)
        equal[precision] = int((text == wanted.numpy()).all(1).sum())
        # of the model's own texts: the prompt, then token by token
        graph.past = None
        pieces = [wanted[:, :length], *wanted[:, length:].split(1, dim=1)]
        logits[precision] = torch.from_numpy(np.concatenate([graph(piece.numpy()) for piece in pieces], axis=1))
    loss = {
        name: F.cross_entropy(values[:, length - 1 : -1].flatten(0, 1), wanted[:, length:].flatten()).item()
        for name, values in logits.items()
    }
    largest = float((logits["float32"] - logits["torch"]).abs().max())
    scale = max(1.0, float(logits["torch"].abs().max()))
    if largest > TOLERANCE * scale or loss["float32"] - loss["torch"] > TOLERANCE:
        raise RuntimeError(
            f"The logits of the float32 graph differ by {largest:.2g} from those of the model; allowed is {TOLERANCE} "
            f"of the largest, {scale:.3g}."
        )
    if "int8" in loss and loss["int8"] - loss["torch"] > MOST_LOSS:
        raise RuntimeError(
            f"The int8 graph has a loss of {loss['int8']:.4f} on texts of the model, the model {loss['torch']:.4f}; "
            "export it without int8."
        )
    return {"prompts": num_prompts, "largest_difference": largest, "equal_texts": equal, "loss": loss}
