"""The puzzles of 17 clues, and how the benchmark of kinds of Sudoku counts."""

import numpy as np

from benchmarks.records import read_records
from benchmarks.seventeen_clues import ROYLE, boards_of, read_puzzles, swap_one
from benchmarks.sudoku_kinds import keep_rules, scores, seventeen_clue_puzzles
from hrm_hf.puzzles.sudoku.solver import solve
from hrm_hf.puzzles.sudoku.symmetry import fingerprint


def test_the_list_holds_distinct_puzzles_of_17_clues_with_one_solution_each():
    puzzles = read_puzzles()
    assert (puzzles[: len(ROYLE)] == boards_of(ROYLE)).all()
    assert ((puzzles > 0).sum(1) == 17).all()
    assert (solve(puzzles, 9)[1] == 1).all()
    assert len(set(fingerprint(puzzles, 9).tolist())) == len(puzzles)


def test_a_swap_of_one_clue_leads_to_the_neighbors_that_are_known():
    neighbors = swap_one(boards_of(ROYLE)[1])
    assert (solve(neighbors, 9)[1] == 1).all() and ((neighbors > 0).sum(1) == 17).all()
    # itself, and others of the list
    marks = set(fingerprint(neighbors, 9).tolist())
    assert len(marks) > 1 and marks <= set(fingerprint(read_puzzles(), 9).tolist())


def test_copies_are_of_the_puzzle_whose_number_they_bear():
    boards, groups = seventeen_clue_puzzles(150, seed=3)
    known = read_puzzles()
    assert (boards[: len(known)] == known).all()
    assert len(np.unique(boards, axis=0)) == 150
    assert (fingerprint(boards, 9) == fingerprint(known, 9)[groups]).all()


def test_an_answer_keeps_the_rules_only_with_all_clues_all_cells_and_no_digit_twice():
    boards = np.repeat(boards_of(ROYLE[:1]), 5, axis=0)
    answers = solve(boards, 9)[0].astype(np.int64)
    assert keep_rules(boards, answers).all()
    answers[1, np.flatnonzero(boards[0])[0]] = 9  # a clue changed
    answers[2, np.flatnonzero(boards[0] == 0)[0]] = 0  # blank
    answers[3, np.flatnonzero(boards[0] == 0)[0]] = -1  # padding
    blank = np.flatnonzero(boards[0] == 0)[0]
    answers[4, blank] = answers[4, blank] % 9 + 1  # another digit
    assert keep_rules(boards, answers).tolist() == [True, False, False, False, False]


def test_accuracy_of_distinct_puzzles_counts_each_once():
    boards = boards_of(ROYLE[:2] * 2)
    solutions = solve(boards, 9)[0]
    answers = solutions.astype(np.int64)
    answers[3] = 1  # the copy of the second
    found = {"answers": answers, "segments": np.array([2, 2, 4, 16]), "copies": np.array([1, 1, 1, 5])}
    result = scores(found, boards, solutions, np.array([0, 1, 0, 1]))
    assert (result["exact_accuracy"], result["mean_segments"], result["mean_copies"]) == (0.75, 6.0, 2.0)
    assert (result["distinct"], result["distinct_solved_as_listed"]) == (2, 2)
    assert result["distinct_solved_in_every_copy"] == 1
    assert (result["unsolved"], result["wrong_boards_that_keep_the_rules"]) == (1, 0)


def test_no_wrong_board_of_the_record_kept_the_rules():
    records = [record for record in read_records("sudoku_kinds") if "exact_accuracy" in record]
    assert {record["variant"] for record in records} == {"easy", "17 clues"}
    assert all(record["n"] >= 1000 and record["wrong_boards_that_keep_the_rules"] == 0 for record in records)
