"""One function that draws rows of any of our data sets.

figure = explore("data/maze-30x30", "test", rows=[0, 7])
figure.savefig("mazes.png")
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from hrm_hf.data.folder import local_folder
from hrm_hf.drawing import draw_texts
from hrm_hf.puzzles.sets import Predict, check_rows, open_puzzles
from hrm_hf.text.blocks import load_text_blocks, load_text_tokenizer


def explore(
    dataset: str, split: str = "train", rows: Sequence[int] = (0,), member: int = 0, predict: Predict | None = None
) -> Figure:
    """Draw rows of a data set: puzzles with their answers, ARC tasks with all their pairs, or blocks of text.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of such a data set on the Hub.
        split: name of the split.
        rows: which rows, from 0; for ARC which task of the split, one at a time.
        member: for ARC, which augmentation of the task; 0 is the original task.
        predict: returns a prediction for each puzzle, drawn next to its answer with the errors marked.

    Raises:
        FileNotFoundError: if the data set does not exist.
        ValueError: if it has no such split or row, or an option does not apply to it.
    """
    if not rows:
        raise ValueError("There are no rows to draw; give at least one.")
    if _is_text(dataset):
        if predict is not None:
            raise ValueError(f"{dataset} is text, and predictions are not drawn for text; leave the model out.")
        return _explore_text(dataset, split, rows)
    return open_puzzles(dataset, split).figure(rows, member, predict)


def _is_text(dataset: str) -> bool:
    try:
        return (local_folder(dataset, ["tokenizer/*"], "a builder") / "tokenizer").is_dir()
    except FileNotFoundError:
        return False  # the reader of puzzles says why


def _explore_text(dataset: str, split: str, rows: Sequence[int]) -> Figure:
    blocks, tokenizer = load_text_blocks(dataset, split), load_text_tokenizer(dataset)
    check_rows(rows, len(blocks), f"the split {split!r} of {dataset}")
    chosen = [blocks[row] for row in rows]
    return draw_texts(
        [tokenizer.decode(block["input_ids"]) for block in chosen],
        [
            f"block {row}: {len(block['input_ids']):,} tokens, {block['num_bytes']:,} bytes"
            for row, block in zip(rows, chosen, strict=True)
        ],
    )
