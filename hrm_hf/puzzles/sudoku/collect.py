"""Collects puzzles from chunks, until there are enough that differ up to the symmetries of Sudoku."""

from collections.abc import Callable
from contextlib import closing

import numpy as np
from tqdm import tqdm

from hrm_hf.puzzles.sudoku.grids import solution_fingerprint
from hrm_hf.puzzles.sudoku.symmetry import fingerprint
from hrm_hf.utils.parallel import in_order


def collect(
    make_chunk: Callable[[int], tuple[np.ndarray, ...]],
    num: int,
    size: int,
    name: str,
    num_threads: int,
    patience: int,
    too_few: Callable[[int], str],
    known: np.ndarray | None = None,
    apart: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = True,
) -> tuple[tuple[np.ndarray, ...], int]:
    """The first puzzles in a series of chunks that are new up to symmetry.

    Args:
        make_chunk: arrays of a chunk by its number, starting with questions and answers `(puzzles, cells)`.
        num: how many puzzles.
        size: number of digits.
        name: of the progress bar.
        num_threads: chunks to make at a time; the result is the same for any number.
        patience: consecutive chunks without a new puzzle, before giving up.
        too_few: the error message by the number of puzzles found.
        known: puzzles `(puzzles, cells)` that are not new.
        apart: questions and answers, `(puzzles, cells)` each, to avoid: a puzzle that equals one of them, or has
            such a solution, is left out.
        progress: show a progress bar.

    Returns:
        The arrays of `make_chunk` for `num` puzzles, and how many were left out because of `apart`.

    Raises:
        ValueError: if too few are found.
    """
    seen = set() if known is None else set(fingerprint(known, size).tolist())
    apart_marks = apart_grids = None
    if apart is not None:
        apart_marks, apart_grids = fingerprint(apart[0], size), solution_fingerprint(apart[1], num_threads)

    def make_marked(number: int) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
        made = make_chunk(number)
        marks = fingerprint(made[0].astype(np.uint8), size)
        if apart is None:
            return made, marks, np.zeros(len(marks), dtype=bool)
        return made, marks, np.isin(marks, apart_marks) | np.isin(solution_fingerprint(made[1]), apart_grids)

    kept: list[tuple[np.ndarray, ...]] = []
    found, removed, fruitless = 0, 0, 0
    with (
        tqdm(total=num, desc=name, unit="puzzle", disable=not progress) as bar,
        closing(in_order(make_marked, num_threads)) as chunks,
    ):
        while found < num:
            made, marks, is_apart = next(chunks)
            new = []
            for index, mark in enumerate(marks.tolist()):
                if found + len(new) == num:
                    break
                if mark in seen:
                    continue
                seen.add(mark)
                if is_apart[index]:
                    removed += 1
                else:
                    new.append(index)
            kept.append(tuple(part[new] for part in made))
            found += len(new)
            bar.update(len(new))
            fruitless = 0 if new else fruitless + 1
            if fruitless == patience:
                raise ValueError(too_few(found))
    return tuple(np.concatenate(parts) for parts in zip(*kept, strict=True)), removed
