"""ARC grids and tasks with matplotlib, in the colors of the official viewer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hrm_hf.colors import ARC_FILLS
from hrm_hf.puzzles.arc.puzzles import ArcPuzzles
from hrm_hf.puzzles.arc.tasks import ArcTask
from hrm_hf.puzzles.drawing import WRONG, draw_cells
from hrm_hf.puzzles.sets import Predict, check_rows
from processing_hrm import HRMGridProcessor


_MOST_EXAMPLES, _MOST_TESTS = 10, 4  # per task; the sets of ARC have no more


def draw_grid(axes: Axes, board: list, answer: list | None) -> None:
    """Draw a grid with a red frame around wrong cells, or around all of it if its shape differs from the answer.

    Args:
        axes, board, answer: as for `PuzzleKind.draw`.
    """
    if not board:
        axes.text(0.5, 0.5, "no grid", ha="center", va="center", fontsize=9, color=WRONG, transform=axes.transAxes)
        axes.axis("off")
        return
    rows, columns = len(board), len(board[0])
    draw_cells(axes, [[ARC_FILLS[color] for color in row] for row in board])
    for line in range(rows + 1):
        axes.plot((0, columns), (line, line), color="#777777", lw=0.3)
    for line in range(columns + 1):
        axes.plot((line, line), (0, rows), color="#777777", lw=0.3)
    if answer is None:
        return
    if (len(answer), len(answer[0])) != (rows, columns):
        axes.add_patch(Rectangle((0, 0), columns, rows, fill=False, edgecolor=WRONG, lw=2.5))
        return
    for row in range(rows):
        for column in range(columns):
            if board[row][column] != answer[row][column]:
                axes.add_patch(
                    Rectangle((column + 0.1, row + 0.1), 0.8, 0.8, fill=False, edgecolor="white", lw=1.6, zorder=3)
                )
                axes.add_patch(
                    Rectangle((column + 0.1, row + 0.1), 0.8, 0.8, fill=False, edgecolor=WRONG, lw=0.9, zorder=3)
                )


def draw_arc_task(task: ArcTask, attempts: Sequence[Sequence[np.ndarray]] = (), title: str | None = None) -> Figure:
    """An ARC task: one column per pair, demonstrations first, with the input above the output.

    If a task has more pairs than those of ARC, only the first ones are drawn, and the title says so: a pair takes half
    a second or more.

    Args:
        task: the task, or an augmentation of it.
        attempts: for each test pair the grids from a model, best first; drawn below the truth, with errors marked.
        title: above all; by default the name of the task.

    Raises:
        ValueError: if there are attempts, but not for every test pair.
    """
    if len(attempts) and len(attempts) != len(task.test):
        raise ValueError(
            f"There are attempts for {len(attempts)} test pairs, but {task.name} has {len(task.test)}; give attempts "
            "for each test pair, or none."
        )
    title = task.name if title is None else title
    for most, whole, kind in ((_MOST_EXAMPLES, task.train, "examples"), (_MOST_TESTS, task.test, "tests")):
        if len(whole) > most:
            title += f", the first {most} of {len(whole):,} {kind}"
    pairs = [(f"example {number}", pair, ()) for number, pair in enumerate(task.train[:_MOST_EXAMPLES], start=1)]
    pairs += [
        (f"test {number}", pair, attempts[number - 1] if len(attempts) else ())
        for number, pair in enumerate(task.test[:_MOST_TESTS], start=1)
    ]
    rows = 2 + max(len(tries) for _, _, tries in pairs)
    figure = Figure(figsize=(1.5 * len(pairs), 1.65 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, len(pairs), squeeze=False)
    for column, (name, pair, tries) in enumerate(pairs):
        truth = pair.output if pair.output.size else None
        grids = [(name, pair.input, None), ("output" if truth is not None else "output unknown", pair.output, None)]
        grids += [(f"attempt {number}", grid, truth) for number, grid in enumerate(tries, start=1)]
        for row in range(rows):
            axes = panels[row, column]
            axes.axis("off")
            if row < len(grids):
                heading, grid, truth = grids[row]
                if grid.size:
                    draw_grid(axes, grid.tolist(), None if truth is None else truth.tolist())
                verdict = "" if truth is None else ": right" if np.array_equal(grid, truth) else ": wrong"
                axes.set_title(heading + verdict, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def draw_member(
    arc: ArcPuzzles,
    group: int,
    member: int,
    dataset: str,
    processor: HRMGridProcessor | None = None,
    predict: Predict | None = None,
) -> Figure:
    """Draw a task of an open split of ARC, or one of its augmentations.

    Args:
        arc: the split.
        group: which task.
        member: which augmentation; 0 is the original task.
        dataset: its name, for messages.
        processor, predict: both or none; `predict` as for `PuzzleSet.figure`.

    Raises:
        ValueError: if there is no such task or augmentation.
    """
    check_rows([group], arc.num_groups, f"the split {arc.split!r} of {dataset}")
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
