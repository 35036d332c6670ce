"""Make docs/images/thinking.gif, the animation in the README: the shipped model on a famous hard Sudoku.

python docs/thinking_gif.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from hrm_hf.checkpoints import SHIPPED_SUDOKU, load_checkpoint
from hrm_hf.evaluation.trace import trace_thinking
from hrm_hf.puzzles.sudoku.rules import units_of


# AI Escargot, by Arto Inkala, 2006
PUZZLE = "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3.."
PICTURE = Path(__file__).parent / "images" / "thinking.gif"
SECONDS, SECONDS_AT_LAST = 1.1, 3.5
CLUE, SURE, UNSURE, WRONG, CHANGED = "#111827", "#0f62b5", "#9dbfe3", "#c81e1e", "#fef3c7"


def broken(board: np.ndarray) -> np.ndarray:
    """Cells `(81,)` whose digit is repeated in their row, column or box."""
    units = units_of(9)
    same = (board[:, None] == board[None]) & (board[:, None] > 0) & ~np.eye(81, dtype=bool)
    return (same & (units[:, :, None] == units[:, None]).any(0)).any(1)


def draw(board: np.ndarray, clues: np.ndarray, sure: np.ndarray, before: np.ndarray, title: str) -> Image.Image:
    """One frame.

    Args:
        board, before: digits now and one frame before, 0 for blank, `(81,)`.
        clues: whether a cell is given, `(81,)`.
        sure: probability of each digit, `(81,)`.
        title: text above.
    """
    figure, axes = plt.subplots(figsize=(3.6, 4.0), dpi=110)
    axes.set(xlim=(-0.05, 9.05), ylim=(9.05, -0.05), aspect="equal")
    axes.axis("off")
    axes.set_title(title, fontsize=10, color="#374151")
    wrong = broken(board)
    for cell in range(81):
        row, column = divmod(cell, 9)
        if clues[cell]:
            axes.add_patch(Rectangle((column, row), 1, 1, color="#f3f4f6"))
        elif before[cell] != board[cell] and before.any():
            axes.add_patch(Rectangle((column, row), 1, 1, color=CHANGED))
        if board[cell]:
            color = CLUE if clues[cell] else WRONG if wrong[cell] else SURE if sure[cell] > 0.99 else UNSURE
            weight = "bold" if clues[cell] else "normal"
            axes.text(
                column + 0.5,
                row + 0.54,
                str(board[cell]),
                ha="center",
                va="center",
                fontsize=15,
                color=color,
                fontweight=weight,
            )
    for line in range(10):
        width = 1.8 if line % 3 == 0 else 0.5
        axes.plot([0, 9], [line, line], color="#374151", lw=width)
        axes.plot([line, line], [0, 9], color="#374151", lw=width)
    figure.tight_layout(pad=0.4)
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    plt.close(figure)
    return image


def main():
    """Trace the model and write the picture."""
    model, processor = load_checkpoint(str(SHIPPED_SUDOKU))
    thinking = trace_thinking(model, **processor(PUZZLE), max_segments=32)
    clues = np.array([symbol != "." for symbol in PUZZLE])
    given = np.array([0 if symbol == "." else int(symbol) for symbol in PUZZLE])
    frames = [draw(given, clues, np.ones(81), np.zeros(81), "the puzzle")]
    before = np.where(clues, given, 0)
    number = len(thinking.boards)
    for segment in range(number):
        lines = processor.decode(thinking.boards[segment])
        board = np.array([int(symbol) if symbol.isdigit() else 0 for symbol in lines])
        halt = f"{100 * float(thinking.halt_probabilities[segment]):.0f} %"
        title = f"after segment {segment + 1} of {number}: {halt} sure that it is right"
        frames.append(draw(board, clues, thinking.confidence[segment].numpy(), before, title))
        before = board
    seconds = [SECONDS] * (len(frames) - 1) + [SECONDS_AT_LAST]
    small = [frame.quantize(colors=64, method=Image.Quantize.MEDIANCUT) for frame in frames]
    small[0].save(
        PICTURE,
        save_all=True,
        append_images=small[1:],
        duration=[int(1000 * one) for one in seconds],
        loop=0,
        optimize=True,
    )
    solved = processor.check(PUZZLE, processor.decode(thinking.boards[-1])).solved
    print(f"{number} segments, solved: {solved}: {PICTURE.name}")


if __name__ == "__main__":
    main()
