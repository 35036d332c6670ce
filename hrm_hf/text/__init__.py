"""Text: documents, tokens, and the scores of language models.

sources      documents from files, folders, globs and data sets; train and validation
tokenizers   any on the Hub, Mistral v0.1, or a new byte-level BPE
packer       documents as blocks of tokens, with the bytes that they stand for
build        data set folders of blocks
blocks       blocks and tokenizer of such a folder, for training
scores       loss, perplexity and bits per byte
trace        what a model thinks at every token
"""
