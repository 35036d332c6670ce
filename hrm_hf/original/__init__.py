"""The formats of the published code.

checkpoint   checkpoint folders of HRM and TRM: reading, checking, writing
layout       directories of arrays that the original code reads
data         data set folders as such directories, and back
convert      checkpoints as model folders, and back
"""
