"""Draw what a model believes after each segment: the picture in the README.

python examples/draw_thinking.py runs/demo/model data/sudoku-6x6 runs/demo/thinking.png --max-segments 16

Takes the first test puzzle that the model solves in the most common number of segments above one, or a row by --row.
"""

import argparse
import sys
from collections import Counter

import hrm_hf  # noqa: F401  registers the classes
from hrm_hf.checkpoints import load_checkpoint
from hrm_hf.data.puzzles import load_rows
from hrm_hf.evaluation.drawing import draw_thinking


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a model, or its name on the Hub")
    parser.add_argument("dataset", help="data set folder; its test split is used")
    parser.add_argument("picture", help="file to write, .png or .svg")
    parser.add_argument("--max-segments", type=int, help="most segments for a puzzle")
    parser.add_argument("--row", type=int, help="row of the test split, from 0")
    args = parser.parse_args()

    model, processor = load_checkpoint(args.model)
    rows = load_rows(args.dataset, "test")
    rows = rows.select(range(min(200, len(rows)))) if args.row is None else rows.select([args.row])
    puzzles, answers = rows["question"][:], rows["answer"][:]
    output = model.solve(**processor(puzzles), max_segments=args.max_segments, return_history=True)
    solved = [board == answer for board, answer in zip(processor.batch_decode(output.predictions), answers, strict=True)]
    segments = output.segments.tolist()
    usable = [row for row in range(len(rows)) if solved[row] and (segments[row] > 1 or args.row is not None)]
    if not usable:
        print("None of these puzzles was solved in more than one segment; train longer or give --row.", file=sys.stderr)
        return 1
    common = Counter(segments[row] for row in usable).most_common(1)[0][0]
    row = next(row for row in usable if segments[row] == common)

    figure = draw_thinking(
        processor,
        puzzles[row],
        processor.batch_decode(output.prediction_history[row, : segments[row]]),
        output.halt_probability_history[row, : segments[row]].tolist(),
        answers[row],
    )
    figure.savefig(args.picture, dpi=150)
    print(f"puzzle {row} of the test split, {segments[row]} segments: {args.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
