"""Grids of any kind: a data set says what its cells are, and nothing else is known of it.

`reading` turns tables into boards, `build` boards into a data set folder, `puzzle_set` opens that for training and
evaluation, and `symmetry` has the symmetries that an owner says his task has.
"""
