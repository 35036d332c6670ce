"""Sudoku.

kind         Sudoku as a kind of puzzle
rules        geometry, text form, broken rules
symmetry     symmetries for training, a fingerprint that they keep
filling      further cells of the solution filled in, for training
solver       solutions and ratings
generator    new puzzles with one solution
collect      puzzles that turn up in chunks, until there are enough that differ
hard         hard 9x9 puzzles from a seed alone
neighbors   new puzzles made of given ones by exchanging clues, not easier
grids        solved boards up to symmetry
build        data set folders from the generator, CSV files or the Hub
drawing      boards with matplotlib; `svg` those of the monitor
examples     puzzles for the app to begin with
page         the page of the app
"""
