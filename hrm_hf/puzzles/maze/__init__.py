"""Mazes.

kind        mazes as a kind of puzzle
paths       shortest paths, and the search for long ones
rules       text form, validation of answers
symmetry    symmetries of the square for training, and a fingerprint that is invariant to them
generator   new mazes with one shortest path
mixed       new mazes of several kinds and sizes, which may have several shortest paths
puzzle_set  data sets of these, with answers that depend on the orientation of a maze
build       data set folders from the generator, CSV files or the Hub
drawing     boards with matplotlib
examples    example mazes for the app
page        the page of the app
"""
