"""Puzzles on a grid: what they are, how they are made, stored and read. A folder for each kind; what they share:

kind       what a kind of puzzle is: one object that says all that differs from kind to kind
registry   the kinds that are known, those of plug-ins among them
rows       rows with question and answer as tensors, and the sequence of training examples made of them
sets       a split of any puzzle data set, in the one form that training and evaluation take
draws      the sequence of training examples, of single ones and of groups
build      what the builders share: splits without leaks, parts of the card
files      rows of CSV, Parquet and JSON files as others publish them
text       puzzles in texts as people keep them
voting     one answer out of several
dihedral   symmetries of the square
hashing    random numbers that are functions of a place
drawing    what drawings of several kinds share, with matplotlib
svg        small boards as elements of SVG
"""
