"""Futoshiki 4x4 as your own kind of puzzle, in one file: generator, rules and symmetries.

    python examples/futoshiki.py data/futoshiki
    accelerate launch train_accelerate.py recipes/futoshiki.yaml
    hrm-hf solve --plugin examples/futoshiki.py --model runs/futoshiki/model PUZZLE

Each row and column has each digit once, and signs between neighbors say which is smaller: a board has digits in every
second row and column, `.` for a blank one, and between them `<` `>` (left and right), `^` `v` (above and below: the
tip is at the smaller digit) or a space.
"""

import json
import sys
import tempfile
from itertools import permutations, product
from pathlib import Path

import numpy as np
import torch

from hrm_hf.puzzles.dihedral import NUM_DIHEDRAL, dihedral
from hrm_hf.puzzles.grid.build import build_grid
from hrm_hf.puzzles.grid.kind import GridKind
from hrm_hf.puzzles.grid.symmetry import GridSymmetry
from hrm_hf.puzzles.hashing import random_keys, shift_right
from hrm_hf.puzzles.maze.symmetry import symmetry_cells
from hrm_hf.puzzles.registry import register
from processing_hrm import HRMGridProcessor, Verdict


SIZE = 4
SIDE = 2 * SIZE - 1
SMALLER = {"<": (0, -1), ">": (0, 1), "^": (-1, 0), "v": (1, 0)}  # where the smaller neighbor of a sign is
PLACES = list(product(range(SIDE), repeat=2))
DIGITS = [(i, j) for i, j in PLACES if i % 2 == j % 2 == 0]
SIGNS = [(i, j) for i, j in PLACES if i % 2 != j % 2]
NUM_SYMMETRIES = 2 * NUM_DIHEDRAL  # each with the original digits, and with the digits reversed


def _is_whole(group) -> bool:
    return sorted(group) == list("1234")


def all_solutions() -> np.ndarray:
    """All full boards, `(576, SIDE, SIDE)` of characters: Latin squares with every sign."""
    rows = list(permutations("1234"))
    squares = [square for square in product(rows, repeat=SIZE) if all(map(_is_whole, zip(*square, strict=True)))]
    boards = np.full((len(squares), SIDE, SIDE), " ")
    boards[:, ::2, ::2] = squares
    for i, j in SIGNS:
        first, second = ((i, j - 1), (i, j + 1)) if j % 2 else ((i - 1, j), (i + 1, j))
        is_less = boards[:, *first] < boards[:, *second]
        boards[:, i, j] = np.where(is_less, "<^"[i % 2], ">v"[i % 2])
    return boards


def generate(number: int, seed: int) -> list[dict]:
    """Puzzles with one solution: clues are shown in random order until only one board has them all."""
    generator, solutions, clues, puzzles = np.random.default_rng(seed), all_solutions(), DIGITS + SIGNS, []
    asked = np.zeros((SIDE, SIDE), dtype=int)
    asked[::2, ::2] = 1
    for answer in solutions[generator.integers(len(solutions), size=number)]:
        question, left = np.full((SIDE, SIDE), " "), solutions
        question[::2, ::2] = "."
        for place in (clues[number] for number in generator.permutation(len(clues))):
            question[place] = answer[place]
            left = left[left[:, *place] == answer[place]]
            if len(left) == 1:
                break
        puzzles.append({"input": question.tolist(), "output": answer.tolist(), "mask": asked.tolist()})
    return puzzles


def broken_rule(puzzle: list[list[str]], answer: list[list[str]]) -> str | None:
    """The first rule that an answer breaks, in words; `None` if it is right."""
    for i, j in DIGITS:
        if puzzle[i][j] not in (".", answer[i][j]):
            return f"the clue {puzzle[i][j]} became {answer[i][j]}"
    lines = [row[::2] for row in answer[::2]]
    for name, groups in (("row", lines), ("column", list(zip(*lines, strict=True)))):
        for number, group in enumerate(groups, start=1):
            if not _is_whole(group):
                return f"{name} {number} of digits is {' '.join(group)}"
    for i, j in SIGNS:
        if puzzle[i][j] != " ":
            di, dj = SMALLER[puzzle[i][j]]
            if answer[i + di][j + dj] >= answer[i - di][j - dj]:
                return f"the sign {puzzle[i][j]} in row {i + 1}, column {j + 1} does not hold"
    return None


def turned_sign(sign: str, symmetry: int) -> str:
    """What a sign becomes: the smaller neighbor moves, and becomes the larger one if digits are reversed."""
    around = np.zeros((3, 3))
    around[tuple(1 + step for step in SMALLER[sign])] = 1
    steps = np.argwhere(dihedral(around, symmetry % NUM_DIHEDRAL))[0] - 1
    return {smaller: other for other, smaller in SMALLER.items()}[tuple(-steps if symmetry >= NUM_DIHEDRAL else steps)]


class Futoshiki(GridKind):
    """Grids with rules and symmetries; everything else is as for grids of any kind."""

    name = "futoshiki"
    title = "Futoshiki"
    plural = "Futoshiki"
    has_rules = True

    def verdicts(self, processor: HRMGridProcessor, puzzles: torch.Tensor, answers: torch.Tensor) -> list[Verdict]:
        boards = (processor.batch_decode(tokens, "grid") for tokens in (puzzles, answers))
        broken = [broken_rule(*pair) for pair in zip(*boards, strict=True)]
        return [Verdict(rule is None, rule or "rows, columns and signs are right") for rule in broken]

    def symmetries(self, processor: HRMGridProcessor, numbers: torch.LongTensor) -> GridSymmetry:
        """The symmetries with the given numbers, `(batch,)`; 0 changes nothing."""
        token = {symbol: number for number, symbol in enumerate(processor.symbols, start=1)}
        tokens = torch.arange(processor.vocab_size).repeat(NUM_SYMMETRIES, 1)
        for number in range(NUM_SYMMETRIES):
            for sign in SMALLER.keys() & token.keys():
                tokens[number, token[sign]] = token[turned_sign(sign, number)]
            for digit in "1234" if number >= NUM_DIHEDRAL else "":
                tokens[number, token[digit]] = token[str(SIZE + 1 - int(digit))]
        return GridSymmetry(tokens[numbers], symmetry_cells(SIDE, SIDE)[numbers % NUM_DIHEDRAL])

    def augmentation(self, processor: HRMGridProcessor, seed: int):
        def augment(draws, input_ids, labels):
            symmetry = self.symmetries(processor, shift_right(random_keys(draws, seed, 1)[:, 0], 32) % NUM_SYMMETRIES)
            return symmetry.apply(input_ids), symmetry.apply(labels)

        return augment

    def num_copies(self, processor: HRMGridProcessor) -> int:
        return NUM_SYMMETRIES

    def copies(self, processor, draws, numbers, seed):
        return self.symmetries(processor, numbers % NUM_SYMMETRIES)


register(Futoshiki())


def main(folder: str, number: int = 3000):
    """Generate puzzles and write their data set."""
    with tempfile.TemporaryDirectory() as rows:
        table = Path(rows, "futoshiki.jsonl")
        table.write_text("".join(json.dumps(puzzle) + "\n" for puzzle in generate(number, seed=0)))
        build_grid(str(table), output_dir=Path(folder), kind="futoshiki", overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["data/futoshiki"])
