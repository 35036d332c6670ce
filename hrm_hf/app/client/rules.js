// What the cells of a board are, and which of them cannot be correct.

const BLANK = { sudoku: ".", maze: " ", arc: "0" };
const MAZE_NAMES = { "#": "wall", " ": "floor", S: "start", G: "goal", o: "path", "?": "no answer" };
const ARC_NAMES = ["black", "blue", "red", "green", "yellow", "gray", "pink", "orange", "light blue", "dark red"];

const percent = (share) => (share > 0.99 && share < 1 ? "> 99 %" : Math.round(100 * share) + " %");
const digitsOf = (board) => "123456789ABCDEFG".slice(0, board.rows);
const placeOf = (board, index) =>
  "row " + (Math.floor(index / board.columns) + 1) + ", column " + ((index % board.columns) + 1);
const counted = (number, one, many) => number + " " + (number === 1 ? one : many);

/** Cells of a Sudoku whose digit occurs twice in a row, column or box. */
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

/** Cells that cannot be correct, by the rules or, in ARC, by the solution. */
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

/** The puzzle with the reader's entries in its open cells. */
function withOwn(board) {
  return [...board.given].map((symbol, index) => (board.own && board.own[index] !== "." ? board.own[index] : symbol));
}

/** Steps of the shortest path of a maze over the cells that may be entered; Infinity if there is none. */
function stepsOver(board, mayEnter) {
  const start = board.given.indexOf("S"), goal = board.given.indexOf("G");
  const steps = new Map([[start, 0]]);
  const queue = start >= 0 && goal >= 0 ? [start] : [];
  for (const cell of queue) {
    if (cell === goal) return steps.get(cell);
    const column = cell % board.columns;
    const beside = [cell - board.columns, cell + board.columns];
    if (column > 0) beside.push(cell - 1);
    if (column < board.columns - 1) beside.push(cell + 1);
    for (const next of beside) {
      if (next < 0 || next >= board.given.length || steps.has(next) || !(next === goal || mayEnter(next))) continue;
      steps.set(next, steps.get(cell) + 1);
      queue.push(next);
    }
  }
  return Infinity;
}

/** The verdict on the reader's entries, and whether they solve the puzzle; null for nothing yet. */
function judged(board) {
  if (board.kind === "sudoku") {
    const cells = withOwn(board);
    return cells.includes(".") || conflicts(board, cells).size ? null : { solves: true };
  }
  const own = [...(board.own || "")];
  const steps = stepsOver(board, (index) => own[index] === "o");
  const fewest = stepsOver(board, (index) => board.given[index] !== "#");
  if (steps === Infinity) return null;
  if (steps > fewest) return { text: "Your path takes " + steps + " steps; the shortest takes " + fewest + "." };
  const beside = own.filter((symbol) => symbol === "o").length - (fewest - 1);
  if (beside) return { text: "Your path is as short as possible. Erase " + counted(beside, "cell", "cells") + " beside it." };
  return { solves: true };
}

/** What a screen reader says about a cell. */
function describe(board, index, symbol, notes) {
  let name = symbol === "." ? "empty" : symbol;
  if (board.kind === "maze") name = MAZE_NAMES[symbol];
  if (board.kind === "arc") name = ARC_NAMES[symbol];
  return [placeOf(board, index) + ": " + name, ...notes].join(", ");
}

/** What happened in a segment, in one sentence. */
function story(board, step) {
  const { cells, sure, halt, title } = board.steps[step - 1];
  if (title) return title + ": " + percent(halt) + " sure of the whole board.";
  const before = step > 1 ? board.steps[step - 2].cells : board.given;
  const changed = [...cells].filter((symbol, index) => symbol !== before[index]).length;
  const wrong = wrongCells(board, cells).size;
  const parts = [counted(changed, "cell", "cells") + (step > 1 ? " changed" : " filled")];
  if (board.kind === "sudoku") parts.push(wrong ? counted(wrong, "breaks", "break") + " a rule" : "no rule is broken");
  parts.push(percent(halt) + " sure of the whole board");
  let text = "Segment " + step + " of " + board.steps.filter((other) => !other.title).length + ": " + parts.join(", ");
  const open = sure ? sure.map((share, index) => [share, index]).filter(([, index]) => isOpen(board, index)) : [];
  const [least, where] = open.reduce((a, b) => (b[0] < a[0] ? b : a), [1, 0]);
  if (least < 0.9) text += "; least sure of " + placeOf(board, where) + " (" + percent(least) + ")";
  return text + ".";
}

/** Whether the model may fill a cell. */
function isOpen(board, index) {
  return board.given[index] === BLANK[board.kind];
}
