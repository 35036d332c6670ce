"""Grids of any kind: a data set says what its cells are, and nothing else is known about it.

`reading` turns tables into boards, `build` turns boards into a data set folder, `puzzle_set` opens it for training and
evaluation, and `symmetry` has the symmetries that its author may declare.
"""
