"""Data sets of all kinds: how they are stored, published and shown.

folder       Parquet folders with a card that `load_dataset` opens
recipe       how a data set was made, for its card
publish      such folders on the Hub, and the options of builders that push
bad_input    bad rows, tasks and files: stop, or leave them out and count them
row_filter   rows of a split by source and rating
explorer     a figure of rows of any data set: input, label and prediction
script       functions as command lines of dataset_scripts/
commands     the builders as `hrm-hf data`
"""
