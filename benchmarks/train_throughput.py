"""How fast a grid model trains: milliseconds a step, samples/s, memory, arithmetic, for several shapes and settings.

python -m benchmarks.train_throughput                                 # all variants that this machine can run
python -m benchmarks.train_throughput --variant lean --batch-size 768 --profile profile.txt
python -m benchmarks.train_throughput --measured trm.json --record train_throughput_trm

A step is that of train_accelerate.py (`TrainingStep`) on random boards that are on the device already. Variants:

original    the published model: Q-learning, with the extra forward for the target of q_continue
lean        the same network with lean halting: no q_continue, no extra forward
small       1.7 M parameters, the network of recipes/sudoku_hard_1k.yaml
trm         TRM as published for Sudoku: one network, a SwiGLU over 97 positions, 42 layers a segment
trm_attention  the same with attention and rotary positions

and settings, each with what the one before it has:

plain       PyTorch as it is
compiled    torch.compile of blocks and optimizers
graph       the whole step recorded as one CUDA graph
attention   a Triton kernel for rotary positions and attention
fused       another for the SwiGLU of calls without gradient
"""

import json
import statistics
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer
from accelerate import Accelerator

from benchmarks.records import processor_name, write_records
from benchmarks.timing import durations
from configuration_hrm import HRMConfig
from hrm_hf.training.arguments import TrainArguments
from hrm_hf.training.average import MovingAverage
from hrm_hf.training.compilation import compile_blocks
from hrm_hf.training.grid_task import GridTask
from hrm_hf.training.meter import Meter
from hrm_hf.training.optim import build_optimizers
from hrm_hf.training.step import TrainingStep
from hrm_hf.utils.cuda_graph import GraphedCall
from modeling_hrm import HRMForGridTask


PUBLISHED = {"vocab_size": 11, "max_position_embeddings": 81, "puzzle_emb_ndim": 512}
LEAN = {"halting": "lean"}
SMALL = LEAN | {
    "vocab_size": 11,
    "max_position_embeddings": 81,
    "puzzle_emb_ndim": 0,
    "hidden_size": 256,
    "intermediate_size": 768,
    "H_layers": 2,
    "L_layers": 2,
    "share_modules": True,
    "halting_pooling": "mean",
    "gradient_depth": "last_cycle",
    "position_embedding_type": "grid",
    "grid_shape": [9, 9],
    "block_shape": [3, 3],
    "token_loss": "softmax",
}
TRM = LEAN | {
    "vocab_size": 11,
    "max_position_embeddings": 81,
    "puzzle_emb_ndim": 512,
    "puzzle_emb_len": 16,
    "H_layers": 2,
    "L_layers": 2,
    "H_cycles": 3,
    "L_cycles": 6,
    "share_modules": True,
    "gradient_depth": "last_cycle",
}
# what is trained, and how
VARIANTS: dict[str, tuple[dict, dict]] = {
    "original": (PUBLISHED, {}),
    "lean": (PUBLISHED | LEAN, {}),
    "small": (SMALL, {"batches_in_work": 16, "ema_decay": 0.999, "optimizer": "muon"}),
    "trm": (TRM | {"token_mixer": "mlp", "position_embedding_type": "none"}, {"ema_decay": 0.999}),
    "trm_attention": (TRM, {"ema_decay": 0.999}),
}
SETTINGS = ("plain", "compiled", "graph", "attention", "fused")
NUM_BATCHES = 4  # that are visited in turn, because one and the same could stay in a cache


class RandomBoards(GridTask):
    """The task of training on boards, without a data set."""

    def __init__(self, config: HRMConfig):
        self.config = config

    def build_model(self) -> HRMForGridTask:
        return HRMForGridTask(self.config)

    def batch(self, size: int, device: torch.device) -> dict[str, torch.Tensor]:
        """Random `input_ids` and `labels`, `(size, tokens)`, and `puzzle_identifiers`, `(size,)`."""
        shape = (size, self.config.max_position_embeddings)
        return {
            "input_ids": torch.randint(1, self.config.vocab_size, shape, device=device),
            "labels": torch.randint(1, self.config.vocab_size, shape, device=device),
            "puzzle_identifiers": torch.randint(self.config.num_puzzle_identifiers, shape[:1], device=device),
        }


def step_flop(config: HRMConfig, batch_size: int) -> float:
    """Floating-point operations of the matrix products of a step, attention included; 2 for each multiply-add."""
    positions = config.num_prefix_positions + config.max_position_embeddings
    tokens = batch_size * positions
    if config.token_mixer == "mlp":
        mixing = 6 * tokens * config.hidden_size * config.token_mixer_intermediate_size
    else:
        mixing = 8 * tokens * config.hidden_size**2 + 4 * tokens * positions * config.hidden_size
    block = mixing + 6 * tokens * config.hidden_size * config.intermediate_size
    calls = config.calls_per_segment
    with_gradient = config.L_layers + config.H_layers
    if config.gradient_depth == "last_cycle":
        with_gradient = config.L_cycles * config.L_layers + config.H_layers
    elif config.gradient_depth == "all_cycles":
        with_gradient = calls - config.prelude_layers - config.coda_layers
    with_gradient += config.prelude_layers + config.coda_layers
    forwards = 2 * calls if config.halting == "q_learning" and config.halt_max_steps > 1 else calls
    head = 3 * 2 * tokens * config.hidden_size * config.vocab_size
    return block * (forwards + 2 * with_gradient) + head


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a large matrix product of random numbers."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = statistics.median(durations(lambda _: left @ right, 5, 10, device))
    return 2 * size**3 / seconds / 1e12


def build_step(
    task: RandomBoards, options: dict, batch_size: int, accelerator: Accelerator, setting: str
) -> TrainingStep | GraphedCall:
    """A step as `hrm_hf.training.loop` builds it."""
    args = TrainArguments(output_dir="unused", batch_size=batch_size, report_to="none", **options)
    level = SETTINGS.index(setting)
    torch.manual_seed(0)
    model = task.build_model().to(accelerator.device)
    average = None if args.ema_decay is None else MovingAverage(model, args.ema_decay)
    if level >= SETTINGS.index("attention"):
        from hrm_hf.kernels import use_fused_kernels

        use_fused_kernels(model, swiglu=setting == "fused")
    optimizers = build_optimizers(model, args)
    if level >= SETTINGS.index("compiled"):
        compile_blocks(model)
        for optimizer in optimizers:
            optimizer.compile()
    network = accelerator.prepare(model)
    task.start(args, model)
    network.train()
    step = TrainingStep(accelerator, task, model, network, optimizers, average, Meter(accelerator, task.means))
    if level >= SETTINGS.index("graph"):
        return GraphedCall(step, prepare=step.drop_gradients)
    return step


def measure(
    variant: str,
    batch_size: int,
    accelerator: Accelerator,
    setting: str,
    repeats: int,
    profile: Path | None = None,
) -> dict:
    """The record of one line: a variant in a setting at a batch size."""
    fields, options = VARIANTS[variant]
    config = HRMConfig(**fields)
    task, device = RandomBoards(config), accelerator.device
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = build_step(task, options, batch_size, accelerator, setting)
    batches = [task.batch(batch_size, device) for _ in range(NUM_BATCHES)]
    warmup = 20 if device.type == "cuda" else 1
    seconds = statistics.median(durations(lambda number: step(batches[number % NUM_BATCHES]), warmup, repeats, device))
    if profile is not None:
        _write_profile(step, batches[0], profile, device)
    flop = step_flop(config, batch_size)
    return {
        "batch_size": batch_size,
        "positions": config.num_prefix_positions + config.max_position_embeddings,
        "parameters": sum(param.numel() for param in task.build_model().parameters()),
        "ms_per_step": round(1e3 * seconds, 2),
        "samples_per_s": round(batch_size / seconds, 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
        "tflops": round(flop / seconds / 1e12, 4),
        "repeats": repeats,
    }


def _write_profile(step, batch: dict[str, torch.Tensor], path: Path, device: torch.device):
    """Which kernels take the time of three steps."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as profiler:
        for _ in range(3):
            step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    path.write_text(profiler.key_averages().table(sort_by=key, row_limit=60, max_name_column_width=90))


def main(
    variant: Annotated[list[str] | None, typer.Option(help="Variants to measure; all by default.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="768 and 384 by default, 16 on a CPU.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(help="As listed above; all by default, on a CPU 'plain'.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Steps that are timed.")] = 30,
    profile: Annotated[Path | None, typer.Option(help="Write what the kernels of the last line take.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write here instead of into benchmarks/results.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Record what --output wrote into these files; without --variant measure nothing."),
    ] = None,
    record: Annotated[
        str | None, typer.Option(help="Name of the record; by default train_throughput_gpu or train_throughput_cpu.")
    ] = None,
    commit: Annotated[str | None, typer.Option(help="Commit of the code, if this is a copy of it.")] = None,
):
    """Measure and write a record of each line."""
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no")
    device = accelerator.device
    if on_gpu:
        torch.set_float32_matmul_precision("high")
    records = [line for file in measured or [] for line in json.loads(file.read_text())]
    variants = variant or ([] if measured else list(VARIANTS))
    rate = matmul_rate(device, torch.bfloat16 if on_gpu else torch.float32) if variants else None
    for name in variants:
        for size in batch_size or ([768, 384] if on_gpu else [16]):
            for how in setting or (list(SETTINGS) if on_gpu else ["plain"]):
                line = measure(name, size, accelerator, how, repeats, profile)
                records.append(
                    {
                        "benchmark": "train_throughput",
                        "variant": name,
                        "setting": how,
                        "device": torch.cuda.get_device_name() if on_gpu else processor_name(),
                        "torch": torch.__version__,
                        "transformers": transformers.__version__,
                        "dtype": "bfloat16" if on_gpu else "float32",
                        **line,
                        "matmul_tflops": round(rate, 2),
                        "matmul_share": round(line["tflops"] / rate, 3),
                    }
                )
                print(json.dumps(records[-1]), flush=True)
    if output is None:
        name = "train_throughput_gpu" if on_gpu else "train_throughput_cpu"
        print(f"written to {write_records(record or name, records, commit=commit)}")
    else:
        output.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
