"""Load a trained model with nothing but transformers, solve puzzles, show them and check them against the rules.

    python examples/solve_sudoku.py runs/demo/model 4...2..1....3.24 ...
    python examples/solve_sudoku.py runs/demo/model --dataset data/sudoku-6x6 --count 3

Needs neither this repository nor its package: the code comes with the model's folder.
"""

import argparse

import torch
from transformers import AutoModel, AutoProcessor


def solve(model_folder: str, puzzles: list[str], max_segments: int | None = None) -> int:
    """Solve puzzles and print each as a board with a verdict.

    Returns:
        Number of answers that obey all rules.
    """
    model = AutoModel.from_pretrained(model_folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(model_folder, trust_remote_code=True)
    output = model.solve(**processor(puzzles), max_segments=max_segments)
    solved = 0
    for puzzle, ids, segments, probability in zip(
        puzzles, output.predictions, output.segments, output.halt_probabilities, strict=True
    ):
        answer = processor.decode(ids)
        verdict = processor.check(puzzle, answer)
        solved += verdict.solved
        print(processor.pretty(answer, given=puzzle))
        judgement = "solved, all rules hold" if verdict.solved else f"NOT SOLVED: {verdict.reason}"
        print(f"{judgement} ({segments} segments, the model is {probability:.0%} sure)\n")
    print(f"{solved} of {len(puzzles)} puzzles solved (clues in brackets)")
    return solved


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a model, or its name on the Hub")
    parser.add_argument("puzzles", nargs="*", help="puzzles as lines, with . for blank cells")
    parser.add_argument("--dataset", help="take puzzles from the test split of this data set folder")
    parser.add_argument("--count", type=int, default=3, help="how many of them")
    parser.add_argument("--max-segments", type=int, help="maximum number of segments per puzzle")
    args = parser.parse_args()
    puzzles = args.puzzles
    if args.dataset:
        from datasets import load_dataset

        puzzles = puzzles + load_dataset(args.dataset, split=f"test[:{args.count}]")["question"][:]
    if not puzzles:
        parser.error("give puzzles or --dataset")
    torch.manual_seed(0)
    solve(args.model, puzzles, args.max_segments)


if __name__ == "__main__":
    main()
