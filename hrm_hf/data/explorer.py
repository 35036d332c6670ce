"""A look into a data set of ours: one function that draws rows of any of them.

figure = explore("data/maze-30x30", "test", rows=[0, 7])
figure.savefig("mazes.png")
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from hrm_hf.data.folder import local_folder
from hrm_hf.drawing import draw_puzzles, draw_texts
from hrm_hf.puzzles.arc.drawing import draw_arc_task
from hrm_hf.puzzles.arc.puzzles import ArcPuzzles
from hrm_hf.puzzles.rows import encode
from hrm_hf.puzzles.sets import BoardSet, open_puzzles
from hrm_hf.text.blocks import load_text_blocks, load_text_tokenizer
from processing_hrm import HRMGridProcessor


# (input_ids, puzzle_identifiers) -> predictions, (puzzles, tokens) each
Predict = Callable[[torch.LongTensor, torch.LongTensor], torch.LongTensor]


def explore(
    dataset: str, split: str = "train", rows: Sequence[int] = (0,), member: int = 0, predict: Predict | None = None
) -> Figure:
    """Draw rows of a data set: puzzles with their answers, ARC tasks with all their pairs, or blocks of text.

    Args:
        dataset: a folder written by a builder of `dataset_scripts/`, or the name of such a data set on the Hub.
        split: name of the split.
        rows: which rows, from 0; of ARC which task of the split, one at a time.
        member: of ARC, which augmentation of the task; 0 is the task as it is.
        predict: gives a prediction for each puzzle, drawn beside its answer with what is wrong marked.

    Raises:
        FileNotFoundError: if there is no such data set.
        ValueError: if it has no such split or row, or what is asked for does not suit it.
    """
    if not rows:
        raise ValueError("There are no rows to draw; give at least one.")
    if _is_text(dataset):
        if predict is not None:
            raise ValueError(f"{dataset} is text, for which there are no predictions to draw; leave the model out.")
        return _explore_text(dataset, split, rows)
    puzzles = open_puzzles(dataset, split)
    if puzzles.has_augmentations:
        if len(rows) > 1:
            raise ValueError(f"{len(rows)} rows of {dataset} were asked for; ARC tasks are drawn one at a time.")
        return draw_arc_member(puzzles.puzzles, rows[0], member, dataset, puzzles.processor, predict)
    if member:
        raise ValueError(f"member={member} is for ARC tasks, but {dataset} has none; leave it out.")
    return draw_board_rows(puzzles, rows, dataset, predict)


def _check_rows(rows: Sequence[int], num_rows: int, what: str):
    for row in rows:
        if not 0 <= row < num_rows:
            raise ValueError(f"There is no row {row}: {what} has the rows 0 to {num_rows - 1:,}.")


def _is_text(dataset: str) -> bool:
    try:
        return (local_folder(dataset, ["tokenizer/*"], "a builder") / "tokenizer").is_dir()
    except FileNotFoundError:
        return False  # what reads puzzles says why


def _explore_text(dataset: str, split: str, rows: Sequence[int]) -> Figure:
    blocks, tokenizer = load_text_blocks(dataset, split), load_text_tokenizer(dataset)
    _check_rows(rows, len(blocks), f"the split {split!r} of {dataset}")
    chosen = [blocks[row] for row in rows]
    return draw_texts(
        [tokenizer.decode(block["input_ids"]) for block in chosen],
        [
            f"block {row}: {len(block['input_ids']):,} tokens, {block['num_bytes']:,} bytes"
            for row, block in zip(rows, chosen, strict=True)
        ],
    )


def draw_board_rows(puzzles: BoardSet, rows: Sequence[int], dataset: str, predict: Predict | None = None) -> Figure:
    """Draw rows of Sudoku or mazes that are open already.

    Args:
        puzzles: the split.
        rows: which.
        dataset: its name, for messages.
        predict: as for `explore`.

    Raises:
        ValueError: if there is no such row.
    """
    _check_rows(rows, len(puzzles.rows), dataset)
    chosen = puzzles.rows.select(rows)
    examples = encode(chosen, puzzles.processor)
    titles = [f"row {row}" for row in rows]
    if "rating" in chosen.column_names:
        titles = [f"{title}, rating {rating}" for title, rating in zip(titles, chosen["rating"], strict=True)]
    predictions = None if predict is None else predict(examples["input_ids"], examples["puzzle_identifiers"])
    return draw_puzzles(puzzles.processor, examples["input_ids"], examples["labels"], predictions, titles)


def draw_arc_member(
    arc: ArcPuzzles,
    group: int,
    member: int,
    dataset: str,
    processor: HRMGridProcessor | None = None,
    predict: Predict | None = None,
) -> Figure:
    """Draw a task of a split of ARC that is open already, or one of its augmentations.

    Args:
        arc: the split.
        group: which task of it.
        member: which augmentation; 0 is the task as it is.
        dataset: its name, for messages.
        processor, predict: both or none; `predict` as for `explore`.

    Raises:
        ValueError: if there is no such task or augmentation.
    """
    _check_rows([group], arc.num_groups, f"the split {arc.split!r} of {dataset}")
    if not 0 <= member < arc.group_members[group]:
        raise ValueError(
            f"There is no member {member} of the task in row {group}, which has the members 0 to "
            f"{arc.group_members[group] - 1:,}."
        )
    plan = arc.plan(group, member)
    task = plan.apply_to_task(arc.tasks[arc.group_tasks[group]])
    attempts = ()
    if predict is not None:
        inputs = processor([pair.input.tolist() for pair in task.test], identifiers=plan.name)
        predictions = predict(inputs["input_ids"], inputs["puzzle_identifiers"])
        attempts = [[np.array(grid, dtype=np.uint8)] for grid in processor.batch_decode(predictions, "grid")]
    return draw_arc_task(task, attempts, title=f"{plan.name} ({task.source}, {task.role})")
