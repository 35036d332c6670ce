"""Sudoku.

rules        geometry, text form, broken rules
symmetry     symmetries for training, a fingerprint that they keep
solver       solutions and ratings
generator    new puzzles with one solution
neighbours   new puzzles made of given ones by exchanging clues, not easier
grids        solved boards up to symmetry
build        data set folders from the generator, CSV files or the Hub
"""
