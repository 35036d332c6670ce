"""Training a causal language model on blocks of tokens: every step runs all segments, with a loss after each."""

import math
from dataclasses import asdict

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from configuration_hrm import HRMConfig
from hrm_hf.puzzles.draws import Draws
from hrm_hf.text.blocks import TextBlocks, load_text_blocks, load_text_tokenizer
from hrm_hf.text.scores import IGNORE_INDEX, begin_token, evaluate_blocks
from hrm_hf.training.arguments import DataArguments, ModelArguments, TrainArguments
from hrm_hf.training.task import Task
from modeling_hrm import HRMForCausalLM


class BlockDraws(Draws):
    """The training blocks of a run, in order.

    Args:
        blocks: rows of a data set folder.
        num_rows: number of rows to train on, from the first.
        num_draws: length of the run in blocks.
        seed: of the order.
    """

    def __init__(self, blocks: TextBlocks, num_rows: int, num_draws: int, seed: int):
        super().__init__(num_rows, num_draws, seed)
        self.blocks = blocks

    def __getitems__(self, draws: list[int]) -> dict[str, torch.Tensor]:
        """One batch: `input_ids` and `labels` of shape `(draws, block_size)`.

        A shorter block, the tail of the corpus, is padded with token 0; its labels are -100 there, and in a causal
        model no earlier token sees it.
        """
        input_ids = torch.zeros(len(draws), self.blocks.block_size, dtype=torch.long)
        labels = torch.full_like(input_ids, IGNORE_INDEX)
        for index, row in enumerate(self.epochs.items(draws).tolist()):
            tokens = torch.from_numpy(self.blocks[row]["input_ids"].astype(np.int64))
            input_ids[index, : len(tokens)] = labels[index, : len(tokens)] = tokens
        return {"input_ids": input_ids, "labels": labels}


class TextLoss(nn.Module):
    """A causal language model for a step: it returns its losses but not the logits.

    Accelerate casts everything that a wrapped model returns to float32, which for logits would take more time and
    memory than anything else in a step.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.LongTensor, labels: torch.LongTensor) -> ModelOutput:
        output = self.model(input_ids=input_ids, labels=labels, use_cache=False)
        names = ("loss", "lm_loss", "q_halt_loss", "q_continue_loss")
        losses = {name: output[name] for name in names if output.get(name) is not None}
        # for models of transformers the loss is the cross entropy
        return ModelOutput({"lm_loss": output.loss.detach()} | losses)


class TextTask(Task):
    """A causal language model on a data set folder of `dataset_scripts/build_text.py`.

    Raises:
        ValueError, FileNotFoundError: if the data are not available.
    """

    progress = {"loss": "{lm_loss:.3f}", "bits_per_byte": "{bits_per_byte:.3f}", "tokens_s": "{tokens_per_s:.0f}"}

    best = ("bits_per_byte", False)

    def __init__(self, model_args: ModelArguments, data_args: DataArguments, seed: int):
        self.model_args, self.data_args, self.seed = model_args, data_args, seed
        self.processing: PreTrainedTokenizerBase = load_text_tokenizer(data_args.dataset)
        self.blocks = load_text_blocks(data_args.dataset, data_args.train_split)
        self.num_train_items = len(self.blocks) if data_args.max_train_rows is None else data_args.max_train_rows
        if self.num_train_items > len(self.blocks):
            raise ValueError(
                f"The split {data_args.train_split!r} of {data_args.dataset} has {len(self.blocks)} rows, but "
                f"{self.num_train_items} were asked for."
            )
        largest, vocab_size = int(self.blocks.tokens.max()), len(self.processing)
        if largest >= vocab_size:
            raise ValueError(
                f"The data set {data_args.dataset} has the token {largest}, but its tokenizer has {vocab_size} "
                "tokens; build it again with a single tokenizer."
            )
        self.eval_split = data_args.eval_split
        self.eval_blocks = load_text_blocks(data_args.dataset, data_args.eval_split)
        for prompt in data_args.sample_prompts:
            length = 1 + len(self.processing(prompt, add_special_tokens=False)["input_ids"]) + data_args.sample_tokens
            if length > self.blocks.block_size:
                raise ValueError(
                    f"The prompt {prompt!r} and sample_tokens={data_args.sample_tokens} need {length} tokens, but "
                    f"the blocks of {data_args.dataset} have {self.blocks.block_size}; shorten one of the two."
                )
        self.tokens_per_byte = len(self.blocks.tokens) / int(self.blocks.num_bytes.sum(dtype=np.int64))

    def draws(self, args: TrainArguments, num_steps: int, parts: int) -> BlockDraws:
        return BlockDraws(self.blocks, self.num_train_items, num_steps * args.batch_size, self.seed)

    def build_model(self) -> PreTrainedModel:
        tokenizer = self.processing
        options = asdict(self.model_args) | {"is_causal": True, "puzzle_emb_ndim": 0}
        return HRMForCausalLM(
            HRMConfig(
                **options,
                vocab_size=len(tokenizer),
                max_position_embeddings=self.blocks.block_size,
                pad_token_id=tokenizer.pad_token_id,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )

    def network(self, model: PreTrainedModel) -> TextLoss:
        return TextLoss(model)

    def start(self, args: TrainArguments, model: PreTrainedModel):
        pass

    def forward(self, network: nn.Module, batch: dict[str, torch.Tensor]) -> ModelOutput:
        return network(**batch)

    def sums(self, output: ModelOutput, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        # losses are means over the batch; the tail of the corpus, a short block, counts as a whole block here
        steps = {"steps": torch.ones_like(output.loss), "tokens": (batch["labels"] != IGNORE_INDEX).sum()}
        return steps | {name: loss.detach() for name, loss in output.items()}

    def means(self, totals: dict[str, float], seconds: float) -> dict[str, float]:
        steps, tokens = totals.pop("steps"), totals.pop("tokens")
        losses = {name: total / steps for name, total in totals.items()}
        return losses | {
            "perplexity": math.exp(losses["lm_loss"]),
            "bits_per_byte": losses["lm_loss"] / math.log(2) * self.tokens_per_byte,
            "tokens_per_s": tokens / seconds,
        }

    def evaluate(self, model: PreTrainedModel, accelerator: Accelerator, args: TrainArguments) -> dict:
        model.eval()
        depth = {} if args.eval_max_segments is None else {"max_segments": args.eval_max_segments}
        if args.eval_early_stop:
            depth["early_stop"] = True
        # blocks compiled for training would be compiled again for every text length
        with torch.compiler.set_stance("force_eager"):
            scores = evaluate_blocks(
                model,
                self.eval_blocks,
                accelerator,
                batch_size=args.eval_batch_size,
                max_blocks=self.data_args.max_eval_rows,
                **depth,
            ).as_dict()
            if self.data_args.sample_prompts:
                with accelerator.autocast():
                    scores["samples"] = continue_prompts(
                        model, self.processing, self.data_args.sample_prompts, self.data_args.sample_tokens, **depth
                    )
        return scores

    def headline(self, scores: dict) -> str:
        text = (
            f"{scores['bits_per_byte']:.4f} bits per byte, loss {scores['loss']:.4f}, perplexity "
            f"{scores['perplexity']:.2f} on {scores['n_tokens']} tokens"
        )
        for sample in scores.get("samples", []):
            text += f"\n    {sample['prompt']!r} -> {sample['continuation']!r}"
        return text

    def counts(self, steps: int, batch_size: int) -> dict[str, int]:
        return {
            "train_blocks": self.num_train_items,
            "train_tokens": steps * batch_size * self.blocks.block_size,
        }


def continue_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    max_new_tokens: int,
    seed: int = 0,
    **depth,
) -> list[dict[str, str]]:
    """One sampled continuation (temperature 0.8) of each prompt, always with the same random numbers.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        prompts: texts to continue, each as the beginning of a document.
        max_new_tokens: length of a continuation.
        seed: for sampling; the random state of the caller does not change.
        depth: thinking depth of our models.

    Returns:
        A dictionary with `prompt` and `continuation` for each.
    """
    begin = [begin_token(tokenizer)]
    samples = []
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        for prompt in prompts:
            tokens = begin + tokenizer(prompt, add_special_tokens=False)["input_ids"]
            text = model.generate(
                torch.tensor([tokens], device=model.device),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.long, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=True,
                temperature=0.8,
                pad_token_id=tokenizer.eos_token_id,
                **depth,
            )
            continuation = tokenizer.decode(text[0, len(tokens) :], skip_special_tokens=True)
            samples.append({"prompt": prompt, "continuation": continuation})
    return samples
