"""Mazes.

kind        mazes as a kind of puzzle
paths       shortest paths, the search for long ones
rules       text form, validation of answers
symmetry    symmetries of the square for training, a fingerprint that they keep
generator   new mazes with one shortest path
mixed       new mazes of several kinds and sizes, which may have several shortest paths
puzzle_set  data sets of these, whose answers depend on how a maze is turned
build       data set folders from the generator, CSV files or the Hub
drawing     boards with matplotlib
examples    mazes for the app to begin with
page        the page of the app
"""
