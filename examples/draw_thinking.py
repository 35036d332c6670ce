"""Draw what a model believes after each segment: the picture in the README.

python examples/draw_thinking.py runs/demo/model data/sudoku-6x6 runs/demo/thinking.png --max-segments 16

Draws the test puzzle of --row, or of the first 200 the solved one with the most wrong cells after the first segment.
"""

import argparse
import sys

import torch

from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.drawing import draw_thinking
from hrm_hf.puzzles.rows import load_rows


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a model, or its name on the Hub")
    parser.add_argument("dataset", help="data set folder; its test split is used")
    parser.add_argument("picture", help="file to write, .png or .svg")
    parser.add_argument("--max-segments", type=int, help="maximum number of segments per puzzle")
    parser.add_argument("--row", type=int, help="row of the test split, from 0")
    args = parser.parse_args()

    model, processor = load_checkpoint(args.model)
    rows = load_rows(args.dataset, "test")
    rows = rows.select(range(min(200, len(rows)))) if args.row is None else rows.select([args.row])
    puzzles, answers = rows["question"][:], rows["answer"][:]
    inputs = processor(puzzles, answers)
    labels = inputs.pop("labels")
    output = model.solve(**inputs, max_segments=args.max_segments, return_history=True)
    solved = (output.predictions == labels).all(-1)
    if args.row is None and not solved.any():
        print("The model solved none of these puzzles; train longer or give --row.", file=sys.stderr)
        return 1
    # most wrong cells after the first segment
    wrong_at_first = (output.prediction_history[:, 0] != labels).sum(-1)
    row = 0 if args.row is not None else int(torch.where(solved, wrong_at_first, -1).argmax())
    segments = int(output.segments[row])

    figure = draw_thinking(
        processor,
        inputs["input_ids"][row],
        output.prediction_history[row, :segments],
        output.halt_probability_history[row, :segments].tolist(),
        labels[row],
    )
    figure.savefig(args.picture, dpi=150)
    print(f"puzzle {row if args.row is None else args.row} of the test split, {segments} segments: {args.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
