"""Data: what puzzles are, how they are made, stored and read.

sudoku_rules       geometry, text form, broken rules
sudoku_symmetry    symmetries for training, a fingerprint that they keep
sudoku_solver      solutions and ratings
sudoku_generator   new puzzles with one solution
sudoku_builder     data set folders from the generator, CSV files or the Hub
folder             Parquet folders with a card that `load_dataset` opens
puzzles            rows as tensors, and the sequence of training examples
"""
