"""Render the tables of README.md and docs from benchmarks/results, so that they cannot drift.

    python -m benchmarks.tables            rewrite the files
    python -m benchmarks.tables --check    exit code 1 if a file is not up to date (a test runs this)

A table is between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable

from benchmarks.records import ROOT, read_records


FILES = ["README.md", "docs/lab.md", "docs/text.md", "docs/training.md", "docs/clients.md", "docs/export.md"]
FILES += ["docs/app.md", "docs/own_puzzle.md", "docs/results.md", "docs/data.md"]
FILES += [
    f"hrm_hf/pretrained/{name}/README.md" for name in ("sudoku-hard", "maze-30x30", "maze-16x16", "arc-1", "text")
]


def percent(share: float, decimals: int = 1) -> str:
    """`0.153` as `15.3 %`."""
    return f"{100 * share:.{decimals}f} %"


def accuracy(record: dict) -> str:
    """Exact accuracy with its 95 % interval."""
    low, high = record["ci95"]
    return f"**{percent(record['exact_accuracy'])}** ({100 * low:.1f} to {100 * high:.1f})"


def training(record: dict) -> str:
    """How long a model was trained, and on what."""
    minutes = next(record[name] for name in ("gpu_minutes", "train_minutes", "minutes") if name in record)
    return f"{minutes:.1f} min, {record['device']}"


def markdown_table(header: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def headline_table() -> str:
    """One line per benchmark, starting with those that anyone can repeat."""

    def row(task: str, repeat: str, record: dict, result: str, more: str, papers: str) -> list[str]:
        count = f"{record['n']:,} puzzles" if "n" in record else f"{record['tasks']} tasks"
        return [
            task,
            f"{record['parameters'] / 1e6:.1f} M",
            training(record),
            count,
            f"**{result}**",
            more,
            repeat,
            papers,
        ]

    def exact(name: str, samples: int = 1) -> tuple[dict, str]:
        record = next(
            record for record in read_records(name) if record["checkpoint"] == "last" and record["samples"] == samples
        )
        return record, percent(record["exact_accuracy"])

    rows = []
    for task, name, repeat, papers in (
        ("Sudoku 6x6, 22 clues", "demo", "`make demo`", ""),
        ("mazes 10x10", "maze_10x10_demo", "[maze_demo](recipes/maze_demo.yaml)", ""),
        ("mazes 30x30, paths of 2 to 134 steps", "maze_30x30_default", "[maze_30x30](recipes/maze_30x30.yaml)", ""),
        ("the same model, 111 steps or more", "maze_30x30_on_hard", "", "Maze-Hard: 74.5 / 85.3 %"),
        (
            "hard Sudoku 9x9 (sudoku-hard)",
            "sudoku_hard_default",
            "puzzles not public",
            "Sudoku-Extreme, 1,000 puzzles: 55.0 / 87.4 %",
        ),
    ):
        record, single = exact(name)
        if name == "demo":
            copies = next(r for r in read_records("test_time_compute") if r["max_samples"] == 8)["exact_accuracy"]
            more = f"{percent(copies)} with 8 copies"
        elif name == "sudoku_hard_default":
            more = f"{exact(name, 8)[1]} with 8 copies, 64 segments"
        else:
            more = f"{exact(name, 8)[1]} with 8 copies"
        rows.append(row(task, repeat, record, single, more, papers))
    arc = next(
        record
        for record in read_records("arc_canvases")
        if record["rule"] == "share of test inputs" and record["segments"] == 4
    )
    more = f"{arc['votes']} copies vote; one answer alone {percent(arc['single'])}"
    rows.append(
        row(
            "ARC-AGI-1, two attempts",
            "[arc_1](recipes/arc_1.yaml)",
            arc,
            percent(arc["pass_at_2"]),
            more,
            "40.3 / 44.6 %",
        )
    )
    header = ["task", "parameters", "training", "tested on", "solved", "and with copies", "recipe"]
    return markdown_table([*header, "papers, on their data: HRM / TRM"], rows)


def sudoku_table() -> str:
    """Results of our runs, one line per evaluation."""
    rows = []
    for name, task in (
        ("sudoku_4x4", "4x4, 6 clues, generated"),
        ("demo", "6x6, 22 clues, generated"),
        ("sudoku_16x16", "16x16, 150 clues, generated"),
        ("sudoku_hard_1k_published", "9x9, sudoku-hard, published configuration"),
        ("sudoku_hard_1k_neighbors", "9x9, sudoku-hard, 1000 and 100,000 neighbors of them"),
        ("sudoku_hard_1k_neighbors_seed1", "the same, another seed"),
        ("sudoku_hard_1k_neighbors_seed2", "the same, a third seed"),
        ("sudoku_hard_1k_neighbors_seed2_eight_cycles", "this model with segments of 48 layers instead of 24"),
        ("sudoku_hard_default", "9x9, sudoku-hard, shipped model"),
    ):
        for record in read_records(name)[:1]:  # the others are of more segments, or of several copies
            rows.append(
                [
                    task,
                    f"{record['parameters'] / 1e6:.2f} M",
                    f"{record['train_puzzles']:,}",
                    accuracy(record),
                    percent(record["cell_accuracy"]),
                    f"{record['n']:,}" + (" (validation)" if record.get("split") == "validation" else ""),
                    f"at most {record['segments']}, mean {record['mean_segments']:.1f}",
                    training(record),
                    str(record["seed"]),
                ]
            )
    return markdown_table(
        [
            "task",
            "parameters",
            "training puzzles",
            "exactly solved (95 % interval)",
            "cells correct",
            "unseen puzzles",
            "segments",
            "training",
            "seed",
        ],
        rows,
    )


def mazes_table() -> str:
    """Results of our runs on mazes, one line per evaluation."""
    rows = []
    for name, task in (
        ("maze_10x10_demo", "10x10, at least 20 steps"),
        ("maze_16x16_default", "16x16, 2 to 70 steps, shipped"),
        ("maze_30x30_default", "30x30, 2 to 134 steps, shipped"),
        ("maze_30x30_on_hard", "30x30, at least 111 steps, the same model"),
        ("maze_hard_default", "30x30, at least 111 steps, trained on such alone"),
    ):
        for record in read_records(name):
            if record["checkpoint"] != "last" or record["samples"] not in (1, 8):
                continue
            rows.append(
                [
                    task,
                    f"{record['parameters'] / 1e6:.2f} M",
                    f"{record['train_puzzles']:,}",
                    str(record["segments"]),
                    str(record["samples"]),
                    accuracy(record),
                    percent(record["cell_accuracy"]),
                    f"{record['n']:,}",
                    f"{record['mean_segments']:.1f}",
                    training(record),
                    str(record["seed"]),
                ]
            )
    header = ["mazes", "parameters", "training mazes", "segments at most", "copies at most"]
    header += ["exactly solved (95 % interval)", "cells correct", "unseen mazes", "segments on average, all copies"]
    return markdown_table([*header, "training", "seed"], rows)


def maze_positions_table() -> str:
    """Runs on 10x10 mazes that only differ in their position encoding."""
    rows = []
    for name, positions in (
        ("grid", "`grid`: vectors of row and column, heads that start out looking along them"),
        ("rope", "`rope`: rotary along the line of cells"),
        ("demo", "`rope_2d`: rotary by row and column, heads that start out looking at the next cell"),
    ):
        record = read_records(f"maze_10x10_{name}")[0]
        rows.append([positions, accuracy(record), percent(record["cell_accuracy"]), f"{record['n']:,}"])
    return markdown_table(["positions", "exactly solved (95 % interval)", "cells correct", "unseen mazes"], rows)


ABLATIONS = {
    "full": "nothing: the whole recipe",
    "halting_from_first_cell": "the halting head on the mean of all cells (on the first one instead)",
    "two_networks": "one network for both levels (two instead)",
    "gradient_of_last_step": "the gradient of the whole last H cycle (of its last step instead)",
    "no_pool": "16 batches in work, begun at different segments (one instead)",
    "adam_atan2": "Muon (AdamATan2 instead)",
    "q_learning": "lean halting (Q-learning instead)",
    "rope": "positions that know the grid (RoPE along the line of cells instead)",
    "published": "everything: the published recipe",
}
TRM_ABLATIONS = {
    "trm": "TRM as published (`trm_sudoku.yaml`)",
    "trm_trained_as_full": "its network, trained like the recipe",
    "trm_trained_as_full_grid": "the same, with positions that know the grid",
    "full": "the recipe (`sudoku_hard.yaml`)",
}


def ablations_table() -> str:
    """The recipe for hard Sudoku with one part removed at a time."""
    records = read_records("ablations")
    # the recipe was measured again for TRM, on another GPU
    return _ablations(records, "taken away", ABLATIONS, records[0]["device"])


def trm_ablations_table() -> str:
    """TRM and the recipe for hard Sudoku in the same minutes on the same GPU."""
    records = read_records("ablations")
    (device,) = (record["device"] for record in records if record["variant"] == "trm")
    return _ablations(records, "network and training", TRM_ABLATIONS, device)


def _ablations(records: list[dict], first_column: str, titles: dict[str, str], device: str) -> str:
    on_device = {record["variant"]: record for record in records if record["device"] == device}
    rows = []
    for name, title in titles.items():
        record = on_device[name]
        rows.append(
            [
                title,
                f"{record['parameters'] / 1e6:.2f} M",
                f"{record['steps']:,}",
                accuracy(record),
                percent(record["cell_accuracy"]),
                f"{record['validation_n']:,}",
                training(record),
            ]
        )
    header = [first_column, "parameters", "steps", "exactly solved (95 % interval)", "cells correct"]
    return markdown_table([*header, "validation puzzles", "training"], rows)


ARC_VARIANTS = {
    "canvases": "`arc_1.yaml`, shipped",
    "token_roles": "the same, each color told its original one",
    "extra_tasks": "the same with 346 more tasks, of ARC-AGI-2",
    "deep": "these tasks, two networks of four layers of width 768",
}
ARC_RUNS_WITH_PLANS = {
    "small": "a row of the puzzle table per augmentation, small network",
    "original": "`arc_1_original.yaml`, as published",
}


def arc_table() -> str:
    """The runs on ARC-1: those on canvases, at several depths, and the ones with a row per augmentation."""
    rows = []
    for variant, title in ARC_VARIANTS.items():
        records = read_records(f"arc_{variant}")
        for share in (record for record in records if record["rule"] == "share of test inputs"):
            (whole,) = (
                record
                for record in records
                if record["rule"] == "all test inputs" and record["segments"] == share["segments"]
            )
            rows.append(
                [
                    title,
                    f"{share['parameters'] / 1e6:.1f} M",
                    f"{share['gpu_minutes']:.1f}, {share['device']}",
                    f"{share['segments']}",
                    f"{share['votes']}",
                    percent(share["single"]),
                    percent(share["pass_at_1"]),
                    f"**{percent(share['pass_at_2'])}**",
                    percent(whole["pass_at_2"]),
                    percent(share["pass_at_2_without_leaks"]),
                    f"{share['seed']}",
                ]
            )
    for variant, title in ARC_RUNS_WITH_PLANS.items():
        record = read_records(f"arc_1_{variant}")[0]
        rows.append(
            [
                title,
                f"{record['parameters'] / 1e6:.0f} M",
                f"{record['gpu_minutes']:.1f}, {record['device']}",
                f"{record['segments']}",
                f"{record['augmentations'] + 1}",
                percent(record["exact_accuracy"]),
                percent(record["trm_pass@1"], decimals=2),
                f"**{percent(record['trm_pass@2'], decimals=2)}**",
                percent(record["hrm_pass@2"], decimals=2),
                "not measured",
                f"{record['seed']}",
            ]
        )
    header = ["run, last checkpoint", "parameters, embeddings included", "minutes", "segments", "votes"]
    header += ["one answer, no vote", "pass@1", "pass@2", "pass@2, all test inputs", "pass@2 without leaks", "seed"]
    return markdown_table(header, rows)


# by variant and number of passes over an answer
ARC_LEADS = {
    ("recipe", 1): "`arc_1.yaml`, at most two segments",
    ("dropout", 1): "dropout 0.1",
    ("untold", 1): "the model is not told symmetry and colors of a copy",
    ("one_segment", 1): "one segment",
    ("half_batch_one_segment", 1): "one segment, half the positions per step, rate 7e-4",
    ("quarter_batch_one_segment", 1): "one segment, a quarter of the positions per step, rate 5e-4, CUDA graph",
    (
        "half_batch_shown_one_segment_graph",
        1,
    ): "one segment, half the positions, CUDA graph, a part of the answer shown in 60 % of visits",
    ("half_batch_shown_one_segment_graph", 4): "the same model, answers in four passes",
    ("half_batch_shown_one_segment_graph", 8): "the same model, answers in eight passes",
}


def arc_leads_table() -> str:
    """Short runs on ARC-1 with one change each."""
    records = {
        (record["variant"], record.get("passes", 1)): record
        for record in read_records("arc_leads")
        if record["rule"] == "share of test inputs"
    }
    rows = [
        [
            title,
            f"{record['steps']:,}",
            f"{record['gpu_minutes']:.1f}, {record['device']}",
            f"{record['segments']}",
            f"{record['votes']}",
            percent(record["single"]),
            percent(record["pass_at_1"]),
            f"**{percent(record['pass_at_2'])}**",
            f"{record['seed']}",
        ]
        for record, title in ((records[place], title) for place, title in ARC_LEADS.items())
    ]
    header = ["change", "steps", "minutes", "segments", "votes", "one answer, no vote", "pass@1", "pass@2", "seed"]
    return markdown_table(header, rows)


TEXT_VARIANTS = {
    "hrm_seed": "HRM as HRM-TextLM sets it: no recurrence, post-norm",
    "hrm_published": "HRM as for puzzles: 2 x 2 cycles, gradient of the last step, post-norm",
    "hrm_two_segments": "HRM, 1 x 2 cycles, 2 segments, gradient of all cycles, pre-norm",
    "hrm_no_recurrence": "HRM, no recurrence, pre-norm",
    "hrm_recurrent": "HRM, 2 x 2 cycles, gradient of all cycles, pre-norm",
    "hrm_shared": "HRM, 2 x 2 cycles of one shared network, gradient of all cycles, pre-norm",
    "hrm_shared_once": "HRM, one shared network without recurrence, pre-norm",
    "hrm_last_step": "HRM, 2 x 2 cycles, gradient of the last step, pre-norm",
    "hrm_last_cycle": "HRM, 2 x 2 cycles, gradient of the last H cycle, pre-norm",
    "hrm_post_norm": "HRM, 2 x 2 cycles, gradient of all cycles, post-norm",
    "hrm_core_twice": "HRM, the middle quarter of the layers twice, gradient of all calls, pre-norm",
    "hrm_core": "HRM, the middle quarter of the layers three times, gradient of all calls, pre-norm",
    "hrm_core_scaled": "HRM, the middle quarter three times, input injected with trained weights at every call of L",
    "hrm_core_every_block": "HRM, the middle quarter three times, input injected with trained weights at every block",
    "llama": "`LlamaForCausalLM`",
    "llama_scaled_init": "`LlamaForCausalLM`, weights of scale 1/sqrt(width) at the start",
    "hrm_text": "`HrmTextForCausalLM`, 2 x 2 cycles",
}


def text_table(name: str) -> str:
    """Language models of equal size, trained on the same blocks, one line per variant.

    Args:
        name: of the file of records.
    """
    rows = [
        [
            TEXT_VARIANTS[record["variant"]],
            f"{record['train_flops']:.1e}".replace("e+", "e"),
            f"**{record['val_bits_per_byte']:.3f}**",
            f"{record['val_loss']:.3f}",
            f"{record['train_tokens_per_s']:,.0f}",
            f"{record['generate_tokens_per_s']:,.0f}",
            f"{record['learning_rate']:.2g}",
        ]
        for record in read_records(name)
    ]
    header = ["model", "training FLOP", "bits per byte", "nats per token", "tokens/s in training"]
    return markdown_table([*header, "tokens/s generated, with cache", "learning rate"], rows)


def text_shipped_table() -> str:
    """The text model of the package before and after its weights were rounded."""
    rows = [
        [
            record["variant"],
            f"{record['megabytes']:.1f} MB",
            f"**{record['val_bits_per_byte']:.4f}**",
            record["device"],
        ]
        for record in read_records("text_shipped")
    ]
    return markdown_table(["weights", "files", "bits per byte", "on"], rows)


def text_sweep_table() -> str:
    """Bits per byte by variant and learning rate."""
    cells = {
        (record["variant"], record["learning_rate"]): f"{record['val_bits_per_byte']:.3f}"
        for record in read_records("text_sweep_cpu")
    }
    rates = sorted({rate for _, rate in cells})
    rows = [
        [TEXT_VARIANTS[name], *(cells.get((name, rate), "") for rate in rates)]
        for name in TEXT_VARIANTS
        if any(variant == name for variant, _ in cells)
    ]
    return markdown_table(["bits per byte at learning rate", *(f"{rate:g}" for rate in rates)], rows)


def samples_table() -> str:
    """Accuracy against samples at test time."""
    rows = [
        [
            str(record["max_samples"]),
            f"**{percent(record['exact_accuracy'])}** "
            f"({100 * record['exact_ci95'][0]:.1f} to {100 * record['exact_ci95'][1]:.1f})",
            f"{record['mean_samples']:.2f}",
            f"{record['mean_segments']:.2f}",
        ]
        for record in read_records("test_time_compute")
    ]
    return markdown_table(
        ["copies at most", "exactly solved (95 % interval)", "copies on average", "segments on average, all copies"],
        rows,
    )


def hard_samples_table() -> str:
    """The shipped model against segments and symmetric copies at test time."""
    rows = [
        [
            str(record["segments"]),
            str(record["samples"]),
            accuracy(record),
            percent(record["cell_accuracy"]),
            f"{record['mean_segments']:.1f}",
        ]
        for record in read_records("sudoku_hard_default")
    ]
    header = ["segments at most", "copies at most", "exactly solved (95 % interval)", "cells correct"]
    return markdown_table([*header, "segments on average, all copies"], rows)


def sudoku_kinds_table() -> str:
    """The shipped model on easy puzzles and on those with 17 clues."""
    rows = []
    for record in read_records("sudoku_kinds"):
        if record["variant"] not in ("easy", "17 clues"):
            continue
        copies = record["samples"]
        low, high = record["distinct_ci95"]
        rows.append(
            [
                f"{record['clues']} clues, rating {record['mean_rating']:.1f} (at most {record['max_rating']})",
                f"at most {record['segments']}{f', {copies} copies' if copies > 1 else ''}",
                f"{record['mean_segments']:.1f}",
                f"{percent(record['exact_accuracy'])} of {record['n']:,}",
                f"**{percent(record['distinct_accuracy'])}** ({100 * low:.1f} to {100 * high:.1f}) of "
                f"{record['distinct']:,}",
                str(record["wrong_boards_that_keep_the_rules"]),
            ]
        )
    header = ["9x9 puzzles", "segments", "mean of all copies", "exactly solved, with symmetric copies"]
    return markdown_table(
        [*header, "exactly solved of distinct ones (95 % interval)", "wrong boards that keep the rules"], rows
    )


def sudoku_wait_table() -> str:
    """How long `hrm-hf solve` takes for one hard puzzle."""
    rows = [
        [
            str(record["n"]),
            f"{record['mean_rating']:.0f} ({record['max_rating']})",
            str(record["solved"]),
            f"**{record['seconds_median']:.2f}**",
            f"{record['within_2_seconds']} of {record['n']}",
            f"{record['seconds_mean']:.2f}",
            f"{record['seconds_most']:.1f}",
            record["device"],
        ]
        for record in read_records("sudoku_kinds")
        if record["variant"] == "time of one hard puzzle"
    ]
    header = ["hard puzzles", "mean rating (most)", "solved", "median seconds", "within 2 seconds", "mean", "most"]
    return markdown_table([*header, "on"], rows)


def throughput_table() -> str:
    """Training steps, on a GPU and on a CPU."""
    rows = [
        [
            record["variant"],
            f"{record['device']}, {record['dtype']}",
            record["setting"],
            f"{record['batch_size']}",
            f"**{record['ms_per_step']:,.1f}**",
            f"{record['samples_per_s']:,.{0 if record['samples_per_s'] >= 100 else 1}f}",
            "" if record["peak_gb"] is None else f"{record['peak_gb']:.1f}",
            f"{record['tflops']:.3g} ({percent(record['matmul_share'])})",
        ]
        for name in ("train_throughput_gpu", "train_throughput_trm", "train_throughput_cpu")
        for record in read_records(name)
    ]
    header = ["variant", "device", "setting", "batch", "ms per step", "samples/s", "peak GB"]
    return markdown_table([*header, "TFLOP/s (share of the device's matrix product)"], rows)


def inference_table() -> str:
    """Puzzles solved per second, on a GPU and on a CPU."""
    rows = [
        [
            record["variant"],
            record["device"],
            record["dtype"],
            f"{record['batch_size']:,}",
            f"{record['mean_segments']:.1f}",
            f"{record['puzzles_per_s']:,.1f}",
            f"{record['ms_per_puzzle']:,.2f}",
        ]
        for name in ("inference_gpu", "inference_cpu")
        for record in read_records(name)
    ]
    return markdown_table(["model", "device", "dtype", "batch", "mean segments", "puzzles/s", "ms a puzzle"], rows)


def exported_table() -> str:
    """Exported models against PyTorch, one hard Sudoku at a time on one core."""
    rows = [
        [
            record["variant"],
            f"at most {record['segments']}" + (f", {record['samples']} copies" if record["samples"] > 1 else ""),
            f"{record['solved']} of {record['n']}",
            f"{record['mean_segments']:.1f}",
            f"**{record['cpu_ms_per_segment']:.0f}**",
            f"{record['cpu_ms_per_puzzle']:,.0f}",
        ]
        for record in read_records("exported")
    ]
    header = ["run by", "segments", "hard puzzles solved", "mean segments", "CPU ms a segment", "CPU ms a puzzle"]
    return markdown_table(header, rows)


def int8_table() -> str:
    """The int8 graph against the float32 one on the same puzzles."""
    records = read_records("int8")
    rows = []
    for record in records:
        if "lost" not in record:
            continue
        (first,) = (other for other in records if other["method"] == record["method"] and "lost" not in other)
        low, high = (100 * bound for bound in record["difference_ci95"])
        rows.append(
            [
                f"at most {record['segments']}" + (f", {record['samples']} copies" if record["samples"] > 1 else ""),
                f"{first['solved']:,} of {first['n']:,}",
                f"{record['solved']:,}",
                f"{record['lost']} / {record['won']}",
                f"{100 * record['difference']:+.2f} ({low:+.2f} to {high:+.2f})",
                f"{first['cpu_ms_per_puzzle']:,.0f}",
                f"**{record['cpu_ms_per_puzzle']:,.0f}**",
            ]
        )
    header = ["segments", "float32 solves", "int8 solves", "float32 / int8 alone", "difference, % (95 %)"]
    return markdown_table([*header, "CPU ms a puzzle, float32", "int8"], rows)


def static_page_table() -> str:
    """The static page in headless Chromium."""
    (record,) = read_records("static_page")
    models = record["model_bytes"].values()
    rows = [
        [label, f"{record[f'{name}_s{median}']} s by the clock, {record[f'{name}_cpu_s{median}']} s of CPU"]
        for label, name, median in (
            ("from nothing to the first solved puzzle", "first_solve", ""),
            (f"one of {record['hard_puzzles']} famous hard puzzles, median", "solve", "_median"),
        )
    ]
    rows += [
        ["solved", f"{record['solved']} of {record['asked']}"],
        ["the page itself", f"{record['page_bytes'] / 1e3:.0f} KB"],
        ["the models", f"{sum(models) / 1e6:.1f} MB, the largest {max(models) / 1e6:.1f} MB"],
        ["onnxruntime-web", f"{record['runtime_bytes'] / 1e6:.1f} MB"],
        ["measured on", f"{record['device']}, load average {record['load_average']}"],
    ]
    return markdown_table(["int8, Chromium", ""], rows)


def app_load_table() -> str:
    """The app with many clients at a time."""
    rows = [
        [
            f"{record['device']}",
            f"{record['first_solve_s']:.1f}",
            f"{1000 * record['solve_s_median']:.0f}",
            f"{record['clients']}, {record['requests']:,} requests of {record['sessions']} sessions",
            f"**{record['requests_per_s']:.1f}**",
            f"{record['latency_s_p50']:.1f} / {record['latency_s_p99']:.1f}",
            f"{record['unanswered']}",
            f"{record['memory_mb'][0]} / {record['memory_mb'][-1]}",
        ]
        for record in read_records("app_load")
    ]
    header = ["device", "first solve, s", "alone, ms", "clients", "solves/s", "median / 99 % within, s", "unanswered"]
    return markdown_table([*header, "memory before / after, MB"], rows)


_WAYS = {"one": "one process", "ddp": "DDP", "fsdp2": "FSDP2"}
_SHAPES = {
    "published": "the published shape",
    "small": "the small network",
    "arc": "ARC on canvases",
    "large": "300 M parameters",
}


def several_gpus_table() -> str:
    """Losses of the same steps on one GPU and on several."""
    forms = {"steps_compared": "{}", "last_loss": "{:.6f}", "largest_relative_difference": "{:.1e}"}
    return _several_gpus(
        [record for record in read_records("several_gpus") if record["line"] == "losses"],
        forms,
        ["steps compared", "last loss", "largest relative difference to one process"],
    )


def several_gpus_speed_table() -> str:
    """Speed of training on one GPU and on several."""
    forms = {"ms_per_step": "{:.1f}", "samples_per_s": "{:,.0f}", "speedup": "{:.2f}", "memory_gb": "{:.1f}"}
    return _several_gpus(
        [record for record in read_records("several_gpus") if record["line"] != "losses"],
        forms,
        ["ms per step", "samples/s", "times one GPU", "GB on each"],
    )


def _several_gpus(records: list[dict], forms: dict[str, str], header: list[str]) -> str:
    rows = []
    for record in records:
        way = _WAYS[record["way"]] + {"grown": ", batch grown", "split": ", batch split"}.get(record["batch"], "")
        if record["line"] == "large" and record["fused_kernels"]:
            way += ", kernels"
        if record["shape"] == "small" and record["way"] != "fsdp2":
            way += ", CUDA graph"
        cells = [form.format(record[name]) if name in record else "" for name, form in forms.items()]
        if "failed" in record:
            cells[0] = f"not measured: {record['failed']}"
        rows.append([_SHAPES[record["shape"]], way, f"{record['processes']} x {record['device']}", *cells])
    return markdown_table(["network", "way", "on", *header], rows)


def puzzle_table_table() -> str:
    """Steps with tables of puzzle embeddings of several sizes."""
    rows = [
        [
            f"{record['rows']:,}",
            f"{record['table_mb']:,.0f} MB",
            f"{record['gradient_mb']:.2f} MB",
            f"{record['optimizer_state_mb']:.0f} MB",
            f"{record['peak_mb']:,} MB",
            f"{record['ms_per_step']:,.0f}",
        ]
        for record in read_records("puzzle_table_cpu")
    ]
    header = ["rows", "table", "its gradient", "its optimizer state", "peak memory of the process"]
    return markdown_table([*header, f"ms per step ({read_records('puzzle_table_cpu')[0]['device']})"], rows)


DATA_SETS = {
    "sudoku-9x9": "Sudoku 9x9",
    "maze-30x30": "mazes 30x30, at least 111 steps",
    "arc-1": "ARC-1: ARC-AGI-1 and ConceptARC, 960 tasks",
    "arc-2": "ARC-2: ARC-AGI-2, 1120 tasks",
}


def data_table() -> str:
    """Puzzle data sets: sizes, and how fast they are read."""
    records = {record["variant"]: record for record in read_records("data_reading")}
    rows = []
    for name, title in DATA_SETS.items():
        ours, plain = records[name], records[f"{name}, plain tensors"]
        drawn = ours["augmentations"] == "drawn"
        rows.append(
            [
                title,
                f"{ours['examples']:,}" + (", symmetries drawn when read" if drawn else ", stored as plans"),
                f"{ours['bytes_on_disk'] / 1e6:.1f} MB",
                f"{plain['bytes_on_disk'] / 1e6:,.1f} MB" + (" without augmentation" if drawn else ""),
                f"{ours['examples_per_s']:,}",
                f"{plain['examples_per_s']:,}",
            ]
        )
    header = ["data set", "examples", "on disk", "as the original's arrays"]
    return markdown_table([*header, "examples/s of one worker", "the same, plain tensors in memory"], rows)


def continuous_batching_table() -> str:
    """Several prompts continued together and one by one."""
    rows = [
        [
            f"`{record['variant']}`",
            record["device"],
            f"{record['prompts']} x {record['new_tokens']}",
            f"{record['seconds']:,.1f}",
            f"**{record['tokens_per_s']:,.1f}**",
        ]
        for record in read_records("continuous_batching_cpu")
    ]
    return markdown_table(["call", "device", "prompts x new tokens", "seconds", "tokens/s"], rows)


def reasoning_gym_table() -> str:
    """Small models on tasks of Reasoning Gym, one line per task."""
    rows = [
        [
            f"`{record['variant']}`",
            record["board"],
            str(record["symbols"]),
            str(record["asked_cells"]),
            f"{record['train_puzzles']:,}",
            f"{accuracy(record)} of {record['n']:,}",
            percent(record["cell_accuracy"]),
            percent(record["question_is_answer"]),
            f"{record['mean_segments']:.1f}",
            f"{record['cpu_minutes']:.1f}",
        ]
        for record in read_records("reasoning_gym")
    ]
    header = ["task", "board", "symbols", "cells asked for", "training rows", "exactly right (95 % interval)"]
    header += ["cells correct", "question is answer", "segments on average"]
    return markdown_table([*header, f"minutes of {read_records('reasoning_gym')[0]['device']}"], rows)


def minutes_to_table() -> str:
    """How long runs trained until they reached given accuracies on hard Sudoku."""
    names = {
        "sudoku_hard_default": "the shipped run, 48,976 puzzles",
        "sudoku_hard_1k_neighbors": "1000 puzzles and neighbors, seed 0",
        "sudoku_hard_1k_neighbors_seed1": "the same, seed 1",
        "sudoku_hard_1k_neighbors_seed2": "the same, seed 2",
    }
    rows = []
    for record in read_records("minutes_to"):
        before, total = record["before"], record["total_minutes"]
        minutes = "not reached" if record["step"] is None else f"**{record['minutes']:.1f}**"
        if record["step"] is not None and "compilation" not in record["minutes_exclude"]:
            minutes += ", compilation included"
        rows.append(
            [
                names.get(record["variant"], record["variant"]),
                percent(record["accuracy"]),
                minutes,
                "" if before is None else f"{before['minutes']:.1f} ({percent(before['reached'])})",
                "not recorded" if total is None else f"{total:.1f}",
                f"{record['n']:,} ({record['split']})",
                record["device"],
            ]
        )
    header = ["run", "exactly solved", "minutes of training", "evaluation before it", "in all, minutes"]
    return markdown_table([*header, "puzzles", "on"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "headline": headline_table,
    "sudoku": sudoku_table,
    "mazes": mazes_table,
    "maze_positions": maze_positions_table,
    "ablations": ablations_table,
    "trm_ablations": trm_ablations_table,
    "arc": arc_table,
    "text_cpu": lambda: text_table("text_comparison_cpu"),
    "text_gpu": lambda: text_table("text_comparison_gpu"),
    "text_default": lambda: text_table("text_default"),
    "text_shipped": text_shipped_table,
    "text_sweep": text_sweep_table,
    "samples": samples_table,
    "hard_samples": hard_samples_table,
    "sudoku_kinds": sudoku_kinds_table,
    "sudoku_wait": sudoku_wait_table,
    "throughput": throughput_table,
    "inference": inference_table,
    "exported": exported_table,
    "int8": int8_table,
    "static_page": static_page_table,
    "app_load": app_load_table,
    "arc_leads": arc_leads_table,
    "several_gpus": several_gpus_table,
    "several_gpus_speed": several_gpus_speed_table,
    "continuous_batching": continuous_batching_table,
    "puzzle_table": puzzle_table_table,
    "data": data_table,
    "reasoning_gym": reasoning_gym_table,
    "minutes_to": minutes_to_table,
}


def render(text: str) -> str:
    """The text with all its tables rewritten.

    Raises:
        ValueError: if it names an unknown table.
    """

    def fill(match: re.Match) -> str:
        if match["name"] not in TABLES:
            raise ValueError(f"There is no table {match['name']!r}; there are {', '.join(TABLES)}.")
        return f"<!-- table: {match['name']} -->\n{TABLES[match['name']]()}\n<!-- end -->"

    return re.sub(r"<!-- table: (?P<name>\w+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, say what is not up to date")
    args = parser.parse_args()
    stale = 0
    for name in FILES:
        path = ROOT / name
        before = path.read_text()
        after = render(before)
        if args.check and before != after:
            print(f"{name} is not up to date; run make tables.", file=sys.stderr)
            stale += 1
        elif before != after:
            path.write_text(after)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
