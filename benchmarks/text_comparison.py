"""Train HRM and Transformers of equal size on the same text and compare them.

    python dataset_scripts/build_text.py data/text-2k --input TRAIN --validation-input VAL \\
        --document-separator '\\n\\n\\n' --train-bpe 2048 --block-size 256
    python -m benchmarks.text_comparison cpu --dataset data/text-2k

All variants see the same blocks in the same order and have the same number of parameters within 1 %, the same width,
heads, tied embeddings, optimizer, schedule and batch; each has the best learning rate of those tried at this size.
Bits per byte are measured on the whole validation split, block by block.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import HrmTextConfig, HrmTextForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.records import processor_name, write_records
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.text_task import TextTask


# `layers` is for a Transformer; HRM gives half of the blocks to each module, or all to the one network of both, or
# three quarters to prelude and coda
SIZES = {
    "tiny": {"hidden_size": 32, "intermediate_size": 96, "num_attention_heads": 2, "layers": 2}
    | {"batch_size": 4, "train_tokens": 16_384, "warmup_steps": 5, "eval_rows": 4},
    "cpu": {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4, "layers": 4}
    | {"batch_size": 8, "train_tokens": 1_000_000, "warmup_steps": 50, "eval_rows": None},
    "gpu": {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8, "layers": 8}
    | {"batch_size": 16, "train_tokens": 8_000_000, "warmup_steps": 50, "eval_rows": None}
    | {"learning_rate_factor": 1 / 3},
    # the text model in the package: at most 16 MB with its tokenizer, as bfloat16
    "default": {"hidden_size": 384, "intermediate_size": 1152, "num_attention_heads": 6, "layers": 2}
    | {"batch_size": 32, "train_tokens": 96_000_000, "warmup_steps": 100, "eval_rows": None}
    | {"optimizer": "muon", "lr_decay_share": 0.5},
}
SEED_SETTINGS = {"H_cycles": 1, "L_cycles": 1}
# L twice and then H, of one network
REPEATED_CORE = {"H_cycles": 1, "L_cycles": 2, "gradient_depth": "all_cycles", "norm_position": "pre"}
REPEATED_CORE |= {"share_modules": True}
# differences from the seed's settings: HRM as published, and changes that were found to help
HRM_VARIANTS = {
    "hrm_seed": SEED_SETTINGS,
    "hrm_published": {"H_cycles": 2, "L_cycles": 2},
    "hrm_no_recurrence": SEED_SETTINGS | {"norm_position": "pre"},
    "hrm_recurrent": {"H_cycles": 2, "L_cycles": 2, "gradient_depth": "all_cycles", "norm_position": "pre"},
    "hrm_last_step": {"H_cycles": 2, "L_cycles": 2, "norm_position": "pre"},
    "hrm_post_norm": {"H_cycles": 2, "L_cycles": 2, "gradient_depth": "all_cycles"},
    "hrm_last_cycle": {"H_cycles": 2, "L_cycles": 2, "gradient_depth": "last_cycle", "norm_position": "pre"},
    "hrm_zero_states": {"H_cycles": 2, "L_cycles": 2, "gradient_depth": "all_cycles", "norm_position": "pre"},
    "hrm_shared": {"H_cycles": 2, "L_cycles": 2, "gradient_depth": "all_cycles", "norm_position": "pre"}
    | {"share_modules": True},
    "hrm_shared_once": SEED_SETTINGS | {"norm_position": "pre", "share_modules": True},
    "hrm_two_segments": {"H_cycles": 1, "L_cycles": 2, "gradient_depth": "all_cycles", "norm_position": "pre"}
    | {"halt_max_steps": 2, "halting": "lean"},
    # only the middle quarter of the layers is repeated, as `core_layers` divides them (recipes/text_core.yaml)
    "hrm_core_twice": REPEATED_CORE | {"L_cycles": 1},
    "hrm_core": REPEATED_CORE,
    "hrm_core_scaled": REPEATED_CORE | {"input_injection": "scaled"},
    "hrm_core_every_block": REPEATED_CORE | {"input_injection": "every_block"},
}
# the best of 3e-4, 1e-3, 1.5e-3, 3e-3, 6e-3 at size cpu (hrm_core: not tuned); at size gpu one third of it, not tuned
LEARNING_RATES = {
    "hrm_seed": 1.5e-3,
    "hrm_published": 1e-3,
    "hrm_no_recurrence": 3e-3,
    "hrm_recurrent": 3e-3,
    "hrm_last_step": 3e-3,
    "hrm_post_norm": 1e-3,
    "hrm_last_cycle": 3e-3,
    "hrm_zero_states": 3e-3,
    "hrm_shared": 3e-3,
    "hrm_shared_once": 3e-3,
    "hrm_two_segments": 3e-3,
    "hrm_core_twice": 3e-3,
    "hrm_core": 3e-3,
    "hrm_core_scaled": 3e-3,
    "hrm_core_every_block": 3e-3,
    "llama": 3e-3,
    "llama_scaled_init": 3e-3,
    "hrm_text": 3e-3,
}
VARIANTS = ["hrm_seed", "hrm_published", "hrm_recurrent", "llama", "hrm_text"]
PROMPTS = ["The king said", "To install the package,", "A function that returns"]


class ComparedModel(TextTask):
    """A text task with the model of a variant."""

    def __init__(self, *args, variant: str, size: dict):
        super().__init__(*args)
        self.variant, self.size = variant, size

    def build_model(self) -> PreTrainedModel:
        if self.variant in HRM_VARIANTS:
            model = super().build_model()
            if self.variant == "hrm_zero_states":
                for buffer in model.buffers():
                    buffer.zero_()
            return model
        size, tokenizer = self.size, self.processing
        common = {
            "vocab_size": len(tokenizer),
            "hidden_size": size["hidden_size"],
            "num_attention_heads": size["num_attention_heads"],
            "max_position_embeddings": self.blocks.block_size,
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        if self.variant == "llama_scaled_init":
            common["initializer_range"] = size["hidden_size"] ** -0.5  # as in our models, instead of 0.02
        if self.variant.startswith("llama"):
            return LlamaForCausalLM(
                LlamaConfig(**common, intermediate_size=size["intermediate_size"], num_hidden_layers=size["layers"])
            )
        # the gate of its attention is one more square matrix, so the SwiGLU is narrower
        return HrmTextForCausalLM(
            HrmTextConfig(
                **common,
                intermediate_size=size["intermediate_size"] - size["hidden_size"] // 3,
                num_hidden_layers=size["layers"] // 2,
                head_dim=size["hidden_size"] // size["num_attention_heads"],
                H_cycles=2,
                L_cycles=2,
                prefix_lm=False,
            )
        )


def core_layers(layers: int) -> dict[str, int]:
    """How a number of layers, at least 2, is divided into prelude, core (a quarter) and coda: 8 into 3, 2 and 3."""
    core = max(1, layers // 4)
    prelude = (layers - core) // 2
    return {"prelude_layers": prelude, "H_layers": core, "L_layers": core, "coda_layers": layers - core - prelude}


def recipe(variant: str, size: dict, learning_rate: float, args: argparse.Namespace, folder: Path) -> list[str]:
    """Command line options of a variant's run."""
    changes = HRM_VARIANTS.get(variant, {})
    layers = size["layers"] if changes.get("share_modules") else size["layers"] // 2
    if variant.startswith("hrm_core"):
        changes = changes | core_layers(size["layers"])
    options = {
        "task": "text",
        "dataset": args.dataset,
        "eval_split": "validation",
        "output_dir": folder,
        "overwrite_output_dir": "true",
        "seed": args.seed,
        "hidden_size": size["hidden_size"],
        "intermediate_size": size["intermediate_size"],
        "num_attention_heads": size["num_attention_heads"],
        "H_layers": layers,
        "L_layers": layers,
        "halt_max_steps": 1,
        "token_loss": "softmax",
        "tie_word_embeddings": "true",
        "batch_size": size["batch_size"],
        "warmup_steps": size["warmup_steps"],
        "learning_rate": learning_rate,
        "weight_decay": 0.1,
        "min_lr_ratio": 0.1,
        "max_grad_norm": 1.0,
        "eval_batch_size": size["batch_size"],
        "eval_steps": 10**9,
        "log_steps": 10,
        "sample_tokens": 40,
    } | changes
    options |= {name: size[name] for name in ("optimizer", "lr_decay_share") if name in size}
    if torch.cuda.is_available():
        options |= {"mixed_precision": "bf16", "compile": "true"}
    if args.cpu_threads is not None:
        options["cpu_threads"] = args.cpu_threads
    argv = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [*argv, "--sample_prompts", *PROMPTS]


def flops_per_token(model: PreTrainedModel, block_size: int) -> float:
    """Floating-point operations of training on one token: forward and backward, as torch counts them.

    Counted on a copy with eager attention, whose products torch can see; masked products count too.
    """
    copy = type(model)(model.config)
    copy.set_attn_implementation("eager")
    copy.train()
    tokens = torch.zeros(1, block_size, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        copy(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    return counter.get_total_flops() / block_size


@torch.no_grad()
@torch.compiler.set_stance("force_eager")
def generation_speed(model: PreTrainedModel, prompt_tokens: int = 32, new_tokens: int = 64, repeats: int = 3) -> float:
    """Tokens per second of greedy generation with cache, one text at a time, not compiled: the median of repeats."""
    model.eval()
    prompt = torch.full((1, prompt_tokens), 5, device=model.device)
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter()
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return new_tokens / statistics.median(seconds[1:])


def compare(variant: str, size_name: str, args: argparse.Namespace) -> dict:
    """Train one variant and measure it: a record."""
    size = SIZES[size_name] | {"train_tokens": args.train_tokens or SIZES[size_name]["train_tokens"]}
    folder = Path(args.output_dir) / f"{size_name}_{variant}"
    learning_rate = args.learning_rate or LEARNING_RATES[variant] * size.get("learning_rate_factor", 1.0)
    model_args, data_args, train_args = parse_recipe(recipe(variant, size, learning_rate, args, folder))
    data_args.max_eval_rows = size["eval_rows"]
    task = ComparedModel(model_args, data_args, args.seed, variant=variant, size=size)
    train_args.max_steps = size["train_tokens"] // (size["batch_size"] * task.blocks.block_size)
    run = prepare(model_args, data_args, train_args, task)
    flops = flops_per_token(task.build_model(), task.blocks.block_size)
    scores = train(run)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    speeds = [line["tokens_per_s"] for line in log if "tokens_per_s" in line]
    on_gpu = run.accelerator.device.type == "cuda"
    return {
        "benchmark": "text_comparison",
        "variant": variant,
        "device": torch.cuda.get_device_name() if on_gpu else processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "size": size_name,
        "parameters": result["parameters"],
        "train_tokens": result["train_tokens"],
        "train_flops": flops * result["train_tokens"],
        "train_tokens_per_s": round(statistics.median(speeds), 1),
        "train_minutes": round(result["train_minutes"], 3),
        "val_bits_per_byte": round(scores["bits_per_byte"], 5),
        "val_loss": round(scores["loss"], 5),
        "val_tokens": scores["n_tokens"],
        "generate_tokens_per_s": round(generation_speed(run.model), 1),
        "optimizer": train_args.optimizer,
        "learning_rate": learning_rate,
        "dtype": train_args.mixed_precision,
        "threads": None if on_gpu else torch.get_num_threads(),
        "seed": args.seed,
        "checkpoint": "last",
    }


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--dataset", required=True, help="folder made by dataset_scripts/build_text.py")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=LEARNING_RATES)
    parser.add_argument("--output-dir", default="runs/text_comparison", help="folder for runs; default %(default)s")
    parser.add_argument("--train-tokens", type=int, help="by default that of the size")
    parser.add_argument("--learning-rate", type=float, help="by default that of the variant in LEARNING_RATES")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu-threads", type=int, help="by default all cores")
    parser.add_argument("--name", help="write the records to benchmarks/results/NAME.json; without it only print them")
    parser.add_argument("--commit", help="commit of the code; the repository's by default")
    args = parser.parse_args()
    records = []
    for variant in args.variants:
        records.append(compare(variant, args.size, args))
        print(json.dumps(records[-1]), flush=True)
        if args.name:
            write_records(args.name, records, commit=args.commit)
    for record in records:
        print(
            f"{record['variant']:<18} {record['parameters'] / 1e6:.2f} M  {record['train_flops']:.2e} FLOP  "
            f"{record['train_tokens_per_s']:>9.0f} tokens/s  {record['val_bits_per_byte']:.4f} bits per byte  "
            f"{record['generate_tokens_per_s']:>6.1f} tokens/s generated"
        )


if __name__ == "__main__":
    main()
