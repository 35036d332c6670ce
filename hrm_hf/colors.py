"""Colors shared by several parts of the package; imports nothing, so that a page can use it at once."""

# of the official viewer of ARC tasks, known from descriptions of tasks; app/client/board.css has them as CSS
ARC_FILLS = (
    *("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00"),
    *("#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25"),
)
