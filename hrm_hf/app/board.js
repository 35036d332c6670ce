// The board of every puzzle: Sudoku, maze, ARC. `element`, `trigger`, `props` and `watch` come from Gradio's gr.HTML.
//
// props.value is what Board of board.py describes: the puzzle (`given`), and the boards after each segment (`steps`).
// Text of a puzzle only ever becomes textContent or an attribute, never HTML.

const host = element.querySelector(".hrm-board");
const BLANK = { sudoku: ".", maze: " ", arc: "0" };
const MAZE_NAMES = { "#": "wall", " ": "floor", S: "start", G: "goal", o: "path", "?": "no answer" };
const ARC_NAMES = ["black", "blue", "red", "green", "yellow", "grey", "pink", "orange", "light blue", "dark red"];
const TOOLS = [["#", "Wall"], [" ", "Floor"], ["S", "Start"], ["G", "Goal"]];
const PLAY_MS = 350;

let shown = 0; // 0: the puzzle, k: the board after segment k
let current = 0; // the cell that the keyboard is at
let tool = "#";
let timer = null;
let view = null; // what build() made

const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const percent = (share) => (share > 0.99 && share < 1 ? "> 99 %" : Math.round(100 * share) + " %");
const digitsOf = (board) => "123456789ABCDEFG".slice(0, board.rows);

// --- reading a board

/** Cells of a Sudoku whose digit stands twice in a row, column or box. */
function conflicts(board, cells) {
  const found = new Set();
  const seen = new Map();
  const [boxRows, boxColumns] = board.box;
  for (let index = 0; index < cells.length; index++) {
    if (cells[index] === ".") continue;
    const row = Math.floor(index / board.columns), column = index % board.columns;
    const box = Math.floor(row / boxRows) + "," + Math.floor(column / boxColumns);
    for (const unit of ["r" + row, "c" + column, "b" + box]) {
      const key = unit + cells[index];
      if (seen.has(key)) found.add(index).add(seen.get(key));
      seen.set(key, index);
    }
  }
  return found;
}

/** Cells that cannot be right, by the rules or, in ARC, by the truth. */
function wrongCells(board, cells) {
  const wrong = board.kind === "sudoku" ? conflicts(board, cells) : new Set();
  for (let index = 0; index < cells.length; index++) {
    const was = board.given[index], now = cells[index];
    if (board.kind === "sudoku" && was !== "." && now !== was) wrong.add(index);
    if (board.kind === "maze" && now !== was && !(was === " " && now === "o")) wrong.add(index);
    if (board.kind === "arc" && board.truth && now !== board.truth[index]) wrong.add(index);
  }
  return wrong;
}

function describe(board, index, symbol, notes) {
  const place = "row " + (Math.floor(index / board.columns) + 1) + ", column " + ((index % board.columns) + 1);
  let name = symbol === "." ? "empty" : symbol;
  if (board.kind === "maze") name = MAZE_NAMES[symbol];
  if (board.kind === "arc") name = ARC_NAMES[symbol];
  return [place + ": " + name, ...notes].join(", ");
}

// --- drawing

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

function paint(board, cells, step) {
  const now = step > 0 ? board.steps[step - 1] : { cells: board.given, sure: null };
  const before = step > 1 ? board.steps[step - 2].cells : board.given;
  const wrong = wrongCells(board, now.cells);
  cells.forEach((cell, index) => {
    const symbol = now.cells[index];
    const isGiven = board.given[index] !== BLANK[board.kind] && board.kind !== "arc";
    const isFilled = step > 0 && symbol !== board.given[index];
    const changed = step > 1 && symbol !== before[index];
    const notes = [];
    if (isGiven && board.kind === "sudoku") notes.push("given");
    if (isFilled && now.sure) notes.push(percent(now.sure[index]) + " sure");
    if (changed) notes.push("changed in this segment");
    if (wrong.has(index)) notes.push(board.kind === "arc" ? "wrong" : "breaks a rule");
    cell.className = cell.className.replace(/ (given|filled|changed|wrong|c-\S+)/g, "");
    if (isGiven) cell.classList.add("given");
    if (isFilled) cell.classList.add("filled");
    if (changed) cell.classList.add("changed");
    if (wrong.has(index)) cell.classList.add("wrong");
    if (board.kind === "arc") cell.classList.add("c-" + symbol);
    if (board.kind === "maze") cell.classList.add("c-" + MAZE_NAMES[symbol].split(" ")[0]);
    cell.style.setProperty("--sure", isFilled && now.sure ? now.sure[index].toFixed(2) : 1);
    const text = board.kind === "sudoku" ? symbol.replace(".", "") : /[SG]/.test(symbol) ? symbol : "";
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

// --- watching the model think

function replay(board) {
  const node = make("div", "replay");
  const last = board.steps.length;
  const label = node.appendChild(make("label", "replay-label"));
  const line = node.appendChild(make("div", "replay-line"));
  const play = line.appendChild(make("button", "small", "Replay"));
  play.type = "button";
  const slider = line.appendChild(make("input"));
  Object.assign(slider, { type: "range", min: 0, max: last, step: 1 });
  slider.setAttribute("aria-label", "Board after segment");
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  play.addEventListener("click", () => start(0));
  const bars = node.appendChild(make("div", "bars"));
  bars.setAttribute("role", "img");
  bars.setAttribute(
    "aria-label",
    "Halting probability by segment: " +
      board.steps.map((step, index) => index + 1 + ": " + percent(step.halt)).join("; ")
  );
  board.steps.forEach((step, index) => {
    const bar = bars.appendChild(make("div", "bar"));
    bar.title = "segment " + (index + 1) + ": " + percent(step.halt) + " sure that the whole board is right";
    bar.appendChild(make("div", "fill")).style.height = Math.max(2, 100 * step.halt) + "%";
    bar.addEventListener("click", () => { stop(); show(index + 1); });
  });
  node.appendChild(make("p", "hint", "Halting probability after each segment: how sure the model is of the whole board."));
  const legend = node.appendChild(make("p", "legend"));
  const wrong = board.kind === "maze" ? "may not change" : "breaks a rule";
  const filled = board.kind === "maze" ? "path (paler: less sure)" : "by the model (paler: less sure)";
  for (const [name, text] of [["filled", filled], ["changed", "changed in this segment"], ["wrong", wrong]]) {
    const entry = legend.appendChild(make("span", "entry"));
    entry.appendChild(make("span", "swatch " + name));
    entry.appendChild(make("span", "", text));
  }
  return { node, label, slider, bars: [...bars.children] };
}

function show(step) {
  const board = props.value;
  shown = step;
  paint(board, view.cells, step);
  if (!view.replay) return;
  const { label, slider, bars } = view.replay;
  slider.value = step;
  const text = step === 0
    ? "The puzzle"
    : (board.steps[step - 1].title || "After segment " + step + " of " + board.steps.length) +
      ": " + percent(board.steps[step - 1].halt) + " sure of the whole board";
  label.textContent = text;
  slider.setAttribute("aria-valuetext", text);
  bars.forEach((bar, index) => bar.classList.toggle("on", index === step - 1));
}

function stop() {
  clearInterval(timer);
  timer = null;
}

/** Show the steps one after the other. */
function start(from) {
  stop();
  const last = props.value.steps.length;
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return show(last);
  show(from);
  timer = setInterval(() => {
    if (!host.isConnected || shown >= props.value.steps.length) return stop();
    show(shown + 1);
  }, PLAY_MS);
}

// --- editing

function edit(cells) {
  stop();
  shown = 0;
  props.value = { ...props.value, given: cells, steps: [] };
  build();
  trigger("input");
}

function put(index, symbol) {
  const board = props.value;
  const cells = [...board.given];
  // there is one start and one goal
  if (board.kind === "maze" && "SG".includes(symbol)) {
    const old = cells.indexOf(symbol);
    if (old >= 0) cells[old] = " ";
  }
  if (cells[index] === symbol && board.steps.length === 0) return;
  cells[index] = symbol;
  edit(cells.join(""));
}

function say(text) {
  view.status.textContent = text;
}

function paste(text) {
  const board = props.value, size = board.rows * board.columns;
  let cells;
  if (board.kind === "sudoku") {
    cells = text.replace(/[\s|+\-\u2500-\u257f]/g, "").replace(/[0_]/g, ".").toUpperCase();
  } else {
    cells = text.replace(/[\r\n]/g, "");
  }
  const legal = board.kind === "sudoku" ? "." + digitsOf(board) : "# SG";
  const bad = [...cells].find((symbol) => !legal.includes(symbol));
  if (cells.length !== size) {
    say("The pasted text has " + cells.length + " cells; this board has " + size + ".");
  } else if (bad !== undefined) {
    say("The pasted text has the sign " + bad + "; a cell is one of " + legal + ".");
  } else {
    edit(cells);
  }
}

function key(event) {
  const board = props.value;
  const moves = { ArrowUp: -board.columns, ArrowDown: board.columns, ArrowLeft: -1, ArrowRight: 1 };
  const column = current % board.columns;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in moves) {
    event.preventDefault();
    const stays =
      (event.key === "ArrowLeft" && column === 0) || (event.key === "ArrowRight" && column === board.columns - 1);
    const next = current + moves[event.key];
    if (!stays && next >= 0 && next < view.cells.length) focusCell(next);
    return;
  }
  if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    focusCell(event.key === "Home" ? current - column : current - column + board.columns - 1);
    return;
  }
  if (!board.editable) return;
  const symbol = event.key.toUpperCase();
  let next = null;
  if (["BACKSPACE", "DELETE"].includes(symbol)) next = BLANK[board.kind];
  else if (board.kind === "sudoku" && (symbol === "0" || symbol === " " || symbol === ".")) next = ".";
  else if (board.kind === "sudoku" && symbol.length === 1 && digitsOf(board).includes(symbol)) next = symbol;
  else if (board.kind === "maze" && symbol === " ") next = board.given[current] === "#" ? " " : "#";
  else if (board.kind === "maze" && ["S", "G", "#"].includes(symbol)) next = symbol;
  if (next === null) return;
  event.preventDefault();
  put(current, next);
  focusCell(current);
}

function focusCell(index) {
  view.cells[current].tabIndex = -1;
  current = index;
  view.cells[index].tabIndex = 0;
  view.cells[index].focus();
}

function pad(board) {
  const node = make("div", "pad");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", board.kind === "sudoku" ? "Put into the chosen cell" : "Draw with");
  const buttons = board.kind === "sudoku" ? [...digitsOf(board)].map((d) => [d, d]).concat([[".", "Erase"]]) : TOOLS;
  for (const [symbol, text] of buttons) {
    const button = node.appendChild(make("button", "small", text));
    button.type = "button";
    if (board.kind === "maze") {
      button.setAttribute("aria-pressed", symbol === tool);
      button.addEventListener("click", () => {
        tool = symbol;
        for (const other of node.children) other.setAttribute("aria-pressed", other === button);
      });
    } else {
      button.setAttribute("aria-label", symbol === "." ? "erase" : "digit " + symbol);
      button.addEventListener("click", () => { put(current, symbol); focusCell(current); });
    }
  }
  return node;
}

/** Draw walls by dragging: only at the end does it become one edit. */
function drawing(node) {
  let cells = null;
  const at = (event) => {
    const under = document.elementFromPoint(event.clientX, event.clientY);
    return under && node.contains(under) && under.dataset.index !== undefined ? Number(under.dataset.index) : null;
  };
  const draw = (index) => {
    if ("SG".includes(tool)) cells = cells.map((symbol) => (symbol === tool ? " " : symbol));
    cells[index] = tool;
    paint({ ...props.value, given: cells.join(""), steps: [] }, view.cells, 0);
  };
  node.addEventListener("pointerdown", (event) => {
    const index = at(event);
    if (index === null || !props.value.editable) return;
    event.preventDefault();
    focusCell(index);
    cells = [...props.value.given];
    draw(index);
  });
  node.addEventListener("pointermove", (event) => {
    const index = cells && at(event);
    if (cells && index !== null) draw(index);
  });
  const finish = () => {
    if (!cells) return;
    const drawn = cells.join("");
    cells = null;
    if (drawn !== props.value.given || props.value.steps.length) edit(drawn);
  };
  node.addEventListener("pointerup", finish);
  node.addEventListener("pointerleave", finish);
  node.addEventListener("pointercancel", finish);
}

// --- putting it together

function build() {
  const board = props.value;
  const hadFocus = host.contains(document.activeElement) && document.activeElement.getAttribute("role") === "gridcell";
  host.replaceChildren();
  view = null;
  if (!board || !board.kind) return;
  if (board.kind === "gallery") {
    host.appendChild(gallery(board.groups));
    return;
  }
  current = Math.min(current, board.rows * board.columns - 1);
  const { node, cells } = grid(board, true);
  host.appendChild(node);
  view = { cells, replay: null, status: null };
  node.addEventListener("keydown", key);
  node.addEventListener("paste", (event) => {
    event.preventDefault();
    if (board.editable) paste(event.clipboardData.getData("text"));
  });
  if (board.kind === "maze" && board.editable) drawing(node);
  else node.addEventListener("click", (event) => {
    if (event.target.dataset.index !== undefined) focusCell(Number(event.target.dataset.index));
  });
  if (board.editable) host.appendChild(pad(board));
  view.status = host.appendChild(make("p", "status"));
  view.status.setAttribute("role", "status");
  if (board.steps.length) {
    view.replay = replay(board);
    host.appendChild(view.replay.node);
  }
  show(Math.min(shown, board.steps.length));
  if (hadFocus) focusCell(current);
}

build();
watch("value", () => {
  stop();
  shown = 0;
  build();
  if (props.value && props.value.steps && props.value.steps.length) start(1);
});
