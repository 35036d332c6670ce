"""Data: what puzzles are, how they are made, stored and read.

sudoku_rules       geometry, text form, broken rules
sudoku_symmetry    symmetries for training, a fingerprint that they keep
sudoku_solver      solutions and ratings
sudoku_generator   new puzzles with one solution
sudoku_builder     data set folders from the generator, CSV files or the Hub
folder             Parquet folders with a card that `load_dataset` opens
puzzles            rows as tensors, and the sequence of training examples

text_sources       documents from files, folders, globs and data sets; train and validation
text_tokenizers    any of the Hub, Mistral v0.1, or a new byte-level BPE
text_packer        documents as blocks of tokens, with the bytes that they stand for
text_builder       data set folders of blocks
text_blocks        blocks and tokenizer of such a folder, for training
"""
