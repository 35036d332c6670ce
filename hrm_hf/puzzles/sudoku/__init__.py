"""Sudoku.

kind         Sudoku as a kind of puzzle
rules        geometry, text form, broken rules
symmetry     symmetries for training, and a fingerprint that is invariant to them
filling      more cells of the solution filled in, for training
solver       solutions and ratings
generator    new puzzles with one solution
collect      collects puzzles from chunks, until there are enough different ones
hard         hard 9x9 puzzles from only a seed
neighbors    new puzzles made from given ones by exchanging clues, not easier
grids        solved boards up to symmetry
build        data set folders from the generator, CSV files or the Hub
drawing      boards with matplotlib; `svg` for those of the monitor
examples     example puzzles for the app
page         the page of the app
"""
