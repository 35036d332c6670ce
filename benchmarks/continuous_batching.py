"""Speed for many prompts: `generate_batch` (continuous batching) against `generate`, prompt by prompt.

    python -m benchmarks.continuous_batching

Greedy, with the text model of the package or that of `--model`; prompts are pieces of its own generated text, with
different lengths. Both must write the same tokens, or the benchmark fails.
"""

import statistics
from typing import Annotated

import torch
import transformers
import typer
from transformers import ContinuousBatchingConfig

from benchmarks.records import processor_name, write_records
from benchmarks.timing import durations
from hrm_hf.checkpoints import SHIPPED_TEXT, load_causal_lm


def prompts_of(model, count: int, longest: int) -> list[list[int]]:
    """Prompts of 1 to `longest` tokens, sampled from the model."""
    start = torch.full((count, 1), model.config.bos_token_id, device=model.device)
    torch.manual_seed(0)
    texts = model.generate(start, max_new_tokens=longest - 1, do_sample=True, eos_token_id=None)
    return [text[: 1 + row * (longest - 1) // max(1, count - 1)].tolist() for row, text in enumerate(texts)]


def measure(model, prompts: list[list[int]], new_tokens: int, repeats: int) -> list[dict[str, float]]:
    """Speed of both methods, one after the other in every round.

    Raises:
        RuntimeError: if they write different tokens.
    """
    options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
    # no more pages than the prompts can fill; by default they take most of the memory
    page_size, most = 32, max(map(len, prompts)) + new_tokens
    num_blocks = len(prompts) * (-(-most // page_size) + 1)
    pages = ContinuousBatchingConfig(page_size=page_size, num_blocks=num_blocks, max_batch_tokens=512)
    # continuous batching has no setting for "never"; -1 is not a token
    generation = transformers.GenerationConfig(max_new_tokens=new_tokens, do_sample=False, eos_token_id=-1)
    written = {}

    def one_by_one(_):
        inputs = [torch.tensor([prompt], device=model.device) for prompt in prompts]
        written["generate"] = [model.generate(ids, **options)[0, ids.shape[1] :].tolist() for ids in inputs]

    def together(_):
        outputs = model.generate_batch(prompts, generation_config=generation, continuous_batching_config=pages)
        written["generate_batch"] = [list(output.generated_tokens) for output in outputs.values()]

    calls = {"generate": one_by_one, "generate_batch": together}
    seconds = {variant: [] for variant in calls}
    for round_number in range(1 + repeats):
        for variant, call in calls.items():
            found = durations(call, 0, 1, model.device)
            seconds[variant] += found if round_number > 0 else []  # the first is a warm-up
    records = [
        {
            "variant": variant,
            "prompts": len(prompts),
            "new_tokens": new_tokens,
            "seconds": round(statistics.median(found), 3),
            "tokens_per_s": round(len(prompts) * new_tokens / statistics.median(found), 1),
        }
        for variant, found in seconds.items()
    ]
    if written["generate"] != written["generate_batch"]:
        raise RuntimeError("generate_batch and generate wrote different tokens; nothing was measured.")
    records[1]["ratio"] = round(records[0]["seconds"] / records[1]["seconds"], 2)
    return records


def main(
    model: Annotated[str, typer.Option(help="Folder of a text model, or its name on the Hub.")] = str(SHIPPED_TEXT),
    prompts: Annotated[int, typer.Option(help="Number of prompts at a time.")] = 16,
    longest: Annotated[int, typer.Option(help="Tokens of the longest prompt.")] = 64,
    new_tokens: Annotated[int, typer.Option(help="Tokens to write after each prompt.")] = 64,
    repeats: Annotated[int, typer.Option(help="Rounds; the median is recorded.")] = 3,
):
    """Measure, print, and write a record."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load_causal_lm(model)[0].to(device)
    measured = measure(loaded, prompts_of(loaded, prompts, longest), new_tokens, repeats)
    common = {
        "benchmark": "continuous_batching",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else processor_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }
    records = [common | record for record in measured]
    for record in records:
        print({name: record[name] for name in ("variant", "seconds", "tokens_per_s", "ratio") if name in record})
    print(write_records(f"continuous_batching_{device.type if device.type == 'cpu' else 'gpu'}", records))


if __name__ == "__main__":
    typer.run(main)
