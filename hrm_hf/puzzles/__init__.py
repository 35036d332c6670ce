"""Puzzles on a grid: what they are, how they are made, stored and read. A folder for each kind; what they share:

rows       rows with question and answer as tensors, and the sequence of training examples made of them
sets       a split of any puzzle data set, in the one form that training and evaluation take
draws      the sequence of training examples, of single ones and of groups
build      what the builders share: splits without leaks, parts of the card
files      rows of CSV, Parquet and JSON files as others publish them
text       puzzles in texts as people keep them
voting     one answer out of several
dihedral   symmetries of the square
hashing    random numbers that are functions of a place
"""
