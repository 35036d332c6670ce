// Drawing boards: the large one, small ones side by side, and pictures to save.

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

function smallButton(text, onClick, label) {
  const button = make("button", "small", text);
  button.type = "button";
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", onClick);
  return button;
}

/** Empty cells of a board; one of them is reachable by Tab if it is `interactive`. */
function grid(board, interactive) {
  const node = make("div", "grid " + board.kind);
  node.style.setProperty("--columns", board.columns);
  node.setAttribute("role", "grid");
  node.setAttribute("aria-label", board.title);
  if (!board.editable) node.setAttribute("aria-readonly", "true");
  const cells = [];
  for (let row = 0; row < board.rows; row++) {
    const line = node.appendChild(make("div", "row"));
    line.setAttribute("role", "row");
    for (let column = 0; column < board.columns; column++) {
      const cell = line.appendChild(make("div", "cell"));
      cell.setAttribute("role", "gridcell");
      cell.dataset.index = cells.length;
      if (interactive) cell.tabIndex = cells.length === current ? 0 : -1;
      if (board.kind === "sudoku") {
        cell.classList.toggle("box-top", row > 0 && row % board.box[0] === 0);
        cell.classList.toggle("box-left", column > 0 && column % board.box[1] === 0);
      }
      cells.push(cell);
    }
  }
  return { node, cells };
}

/** Show the puzzle (step 0) or the board after a segment in its cells. */
function paint(board, cells, step) {
  const now = step > 0 ? board.steps[step - 1] : { cells: withOwn(board), sure: null };
  const before = step > 1 ? board.steps[step - 2].cells : board.given;
  const wrong = wrongCells(board, now.cells);
  cells.forEach((cell, index) => {
    const symbol = now.cells[index];
    const isGiven = !isOpen(board, index) && board.kind !== "arc";
    const isOwn = step === 0 && symbol !== board.given[index];
    const isFilled = step > 0 && symbol !== board.given[index];
    const changed = step > 1 && symbol !== before[index];
    const pencil = step === 0 && board.notes && symbol === "." ? board.notes[index] : "";
    const notes = [];
    if (isGiven && board.kind === "sudoku") notes.push("given");
    if (isOwn) notes.push("yours");
    if (pencil) notes.push("notes " + [...pencil].join(" "));
    if (isFilled && now.sure) notes.push(percent(now.sure[index]) + " sure");
    if (now.second && isOpen(board, index) && now.second_sure[index] >= 0.01) {
      const other = board.kind === "maze" ? MAZE_NAMES[now.second[index]] : now.second[index];
      notes.push("second choice " + other + " (" + percent(now.second_sure[index]) + ")");
    }
    if (changed) notes.push("changed in this segment");
    if (wrong.has(index)) notes.push(board.kind === "arc" ? "wrong" : "breaks a rule");
    cell.className = cell.className.replace(/ (given|own|pencil|filled|changed|wrong|c-\S+)/g, "");
    if (isGiven) cell.classList.add("given");
    if (isOwn) cell.classList.add("own");
    if (pencil) cell.classList.add("pencil");
    if (isFilled) cell.classList.add("filled");
    if (changed) cell.classList.add("changed");
    if (wrong.has(index)) cell.classList.add("wrong");
    if (board.kind === "arc") cell.classList.add("c-" + symbol);
    if (board.kind === "maze") cell.classList.add("c-" + MAZE_NAMES[symbol].split(" ")[0]);
    cell.style.setProperty("--sure", isFilled && now.sure ? now.sure[index].toFixed(2) : 1);
    let text = board.kind === "sudoku" ? symbol.replace(".", "") : /[SG]/.test(symbol) ? symbol : "";
    if (pencil) text = pencil;
    if (cell.textContent !== text) cell.textContent = text;
    const label = describe(board, index, symbol, notes);
    cell.setAttribute("aria-label", label);
    cell.title = label;
  });
}

function gallery(groups) {
  const node = make("div", "gallery");
  for (const group of groups) {
    const line = node.appendChild(make("div", "group"));
    for (const board of group) line.appendChild(picture(board));
  }
  return node;
}

function picture(board) {
  const figure = make("figure", board.mark || "");
  figure.appendChild(make("figcaption", "", board.title));
  if (board.rows * board.columns === 0) {
    figure.appendChild(make("div", "no-grid", "no grid"));
    return figure;
  }
  const drawn = grid(board, false);
  drawn.node.style.setProperty("--side", Math.max(board.rows, board.columns));
  paint(board, drawn.cells, 0);
  figure.appendChild(drawn.node);
  return figure;
}

/** A small board whose cells are darker for larger values. */
function heatMap(board, title) {
  const figure = make("figure");
  figure.appendChild(make("figcaption", "", title));
  const map = figure.appendChild(make("div", "heat"));
  map.style.setProperty("--columns", board.columns);
  map.setAttribute("role", "img");
  const cells = Array.from({ length: board.rows * board.columns }, () => map.appendChild(make("div")));
  return {
    figure,
    fill(values) {
      const largest = values ? Math.max(...values, 1e-6) : 1;
      cells.forEach((cell, index) => cell.style.setProperty("--heat", values ? (values[index] / largest).toFixed(2) : 0));
      const where = values ? values.indexOf(Math.max(...values)) : 0;
      map.setAttribute("aria-label", title + (values ? ": most in " + placeOf(board, where) : ": nothing yet"));
    },
  };
}
