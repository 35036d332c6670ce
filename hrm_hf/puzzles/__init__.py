"""Puzzles on a grid: what they are, how they are made, stored and read. One folder per kind; shared by all kinds:

kind       a kind of puzzle: one object with everything that differs between kinds
registry   the known kinds, including those of plugins
rows       rows with question and answer as tensors, and the sequence of training examples
sets       a split of any puzzle data set, in one form for training and evaluation
draws      the sequence of training examples, single or in groups
build      for the builders: splits without leaks, parts of the card
files      rows of CSV, Parquet and JSON files in common formats
text       puzzles in texts in common notations
voting     one answer out of several
dihedral   symmetries of the square
hashing    random numbers that depend only on a place
drawing    for drawings of several kinds, with matplotlib
svg        small boards as SVG elements
"""
