"""Solved boards of Sudoku up to symmetry: their canonical form, compiled by numba, and its fingerprint.

`hrm_hf.puzzles.sudoku.symmetry.fingerprint` is for puzzles. It cannot distinguish solved boards: every digit, row,
column and box of one looks like every other.
"""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from hrm_hf.puzzles.hashing import combine


_ORDERS = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])


@numba.njit(cache=True)
def _fill(board, top, labels, columns, arranged):
    """The board with its digits relabeled, columns in order, and rows below the top band (its rows: `top`) sorted."""
    for row in range(3):
        for place in range(9):
            arranged[row, place] = labels[board[top[row], columns[place]]]
    next_row = 3
    bands = np.empty((2, 3), dtype=np.int64)  # rows of the other bands, in order of their first digits
    firsts = np.empty(2, dtype=np.int64)
    number = 0
    for band in range(3):
        if band != top[0] // 3:
            rows = bands[number]
            for row in range(3):
                rows[row] = band * 3 + row
            for last in range(2, 0, -1):
                for row in range(last):
                    if labels[board[rows[row], columns[0]]] > labels[board[rows[row + 1], columns[0]]]:
                        rows[row], rows[row + 1] = rows[row + 1], rows[row]
            firsts[number] = labels[board[rows[0], columns[0]]]
            number += 1
    for turn in range(2):
        band = turn if firsts[0] < firsts[1] else 1 - turn
        for row in range(3):
            for place in range(9):
                arranged[next_row, place] = labels[board[bands[band, row], columns[place]]]
            next_row += 1


@numba.njit(cache=True)
def _is_less(arranged, best):
    for row in range(9):
        for place in range(9):
            if arranged[row, place] != best[row, place]:
                return arranged[row, place] < best[row, place]
    return False


@numba.njit(cache=True)
def _canonical(board, orders, best):
    """The smallest of all boards `(9, 9)` equal to `board` up to symmetry, read row by row, into `best`.

    Its first row is 1 to 9, and its second starts with 4 5: of three digits, two are together in one box of the row
    above. Boards that cannot start like this are skipped early.
    """
    best[:] = 10
    arranged = np.empty((9, 9), dtype=np.int64)
    labels, columns = np.zeros(10, dtype=np.int64), np.empty(9, dtype=np.int64)
    top = np.empty(3, dtype=np.int64)
    for transposed in range(2):
        turned = board.T.copy() if transposed else board.copy()
        for band in range(3):
            for rows in range(6):
                for row in range(3):
                    top[row] = band * 3 + orders[rows, row]
                first, second = turned[top[0]], turned[top[1]]
                for stacks in range(6):
                    for left in range(6):
                        for place in range(3):
                            columns[place] = orders[stacks, 0] * 3 + orders[left, place]
                        for middle in range(6):
                            for place in range(3):
                                columns[3 + place] = orders[stacks, 1] * 3 + orders[middle, place]
                            if first[columns[3]] != second[columns[0]] or first[columns[4]] != second[columns[1]]:
                                continue
                            for right in range(6):
                                for place in range(3):
                                    columns[6 + place] = orders[stacks, 2] * 3 + orders[right, place]
                                for place in range(9):
                                    labels[first[columns[place]]] = place + 1
                                # most arrangements lose in the second row
                                order = 0
                                for place in range(9):
                                    label = labels[second[columns[place]]]
                                    if label != best[1, place]:
                                        order = -1 if label < best[1, place] else 1
                                        break
                                if order <= 0:
                                    _fill(turned, top, labels, columns, arranged)
                                    if _is_less(arranged, best):
                                        best[:] = arranged


@numba.njit(cache=True, nogil=True)
def _all_canonical(boards, orders):
    forms = np.empty(boards.shape, dtype=np.int64)
    for index in range(len(boards)):
        _canonical(boards[index], orders, forms[index])
    return forms


def canonical_grids(answers: np.ndarray, num_threads: int = 1) -> np.ndarray:
    """The canonical form of solved boards of size 9: equal for two of them exactly if they are equal up to symmetry.

    The form is the smallest of all boards that symmetries (of digits, rows, columns, bands, stacks and the diagonal)
    make from the board, read row by row.

    Args:
        answers: `(boards, 81)` of digits 1 to 9.
        num_threads: chunks of boards at a time.

    Returns:
        `(boards, 81)` uint8.
    """
    boards = np.ascontiguousarray(answers, dtype=np.int64).reshape(-1, 9, 9)
    chunks = np.array_split(boards, max(1, len(boards) // 1000))
    with ThreadPoolExecutor(num_threads) as pool:
        forms = list(pool.map(lambda chunk: _all_canonical(chunk, _ORDERS), chunks))
    return np.concatenate(forms).reshape(-1, 81).astype(np.uint8)


def solution_fingerprint(answers: np.ndarray, num_threads: int = 1) -> np.ndarray:
    """A number `(boards,)` uint64 for each solved board `(boards, 81)`: the hash of its canonical form."""
    return combine(*canonical_grids(answers, num_threads).T.astype(np.uint64))
