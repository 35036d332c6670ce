"""Colors that more than one part of the package draws with; imports nothing, so that a page can use it at once."""

# of the official viewer of ARC tasks, which people describe tasks with; app/client/board.css has them as CSS
ARC_FILLS = (
    *("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00"),
    *("#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25"),
)
