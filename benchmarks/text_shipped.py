"""Put a trained text model into the package, with weights as bfloat16, and measure the cost of rounding.

    python -m benchmarks.text_comparison default --dataset data/text-8k --variants hrm_shared --learning-rate 4e-3
    python -m benchmarks.text_shipped runs/text_comparison/default_hrm_shared --dataset data/text-8k

The files are half as large as in float32; the model loads and computes in float32, as its config.json says. Bits per
byte on the validation split are measured before and after, on this machine. Then `hrm-hf card` writes the card.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
import yaml
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.records import processor_name, write_records
from hrm_hf.checkpoints import SHIPPED_TEXT, load_causal_lm
from hrm_hf.text.blocks import load_text_blocks
from hrm_hf.text.scores import TextScores, evaluate_blocks
from hrm_hf.utils.files import whole_file


# weights and tokenizer; the code is links to the files at the top of the repository
COPIED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def round_weights(source: Path, target: Path):
    """Write a model's weights in bfloat16.

    Args:
        source, target: model.safetensors, to read and to write.
    """
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    weights = {name: weight.to(torch.bfloat16).contiguous() for name, weight in load_file(source).items()}
    with whole_file(target) as partial:
        save_file(weights, partial, metadata=metadata)


def bits_of(folder: Path, dataset: str) -> TextScores:
    """Scores of a saved model on the whole validation split, computed in float32."""
    model, _ = load_causal_lm(str(folder))
    if model.dtype != torch.float32:
        raise ValueError(f"{folder} loads as {model.dtype}, but float32 is expected; look at its config.json.")
    blocks = load_text_blocks(dataset, "validation")
    return evaluate_blocks(model, blocks, Accelerator(cpu=True), batch_size=4)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of the model")
    parser.add_argument("--dataset", required=True, help="folder made by dataset_scripts/build_text.py")
    args = parser.parse_args()
    trained = args.run / "model"
    SHIPPED_TEXT.mkdir(exist_ok=True)
    for name in COPIED:
        with whole_file(SHIPPED_TEXT / name) as partial:
            partial.write_bytes((trained / name).read_bytes())
    round_weights(trained / "model.safetensors", SHIPPED_TEXT / "model.safetensors")
    result = json.loads((args.run / "result.json").read_text())
    recipe = yaml.safe_load((args.run / "recipe.yaml").read_text())
    records = []
    for variant, folder in (("float32", trained), ("bfloat16", SHIPPED_TEXT)):
        scores = bits_of(folder, args.dataset)
        files = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".json")]
        records.append(
            {
                "benchmark": "text_shipped",
                "variant": variant,
                "device": processor_name(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "parameters": result["parameters"],
                "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 2),
                "val_bits_per_byte": round(scores.bits_per_byte, 5),
                "val_tokens": scores.n_tokens,
                "seed": recipe["seed"],
                "checkpoint": "last",
            }
        )
        print(json.dumps(records[-1]), flush=True)
    write_records("text_shipped", records)


if __name__ == "__main__":
    main()
