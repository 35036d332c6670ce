// Sudoku 9x9 and mazes: tokens, rules, exact checks, symmetric copies, links. No drawing and no model here, so that the
// page, its worker and node share it. A board is a list of token ids as the model has them; see ALPHABETS.

export const SUDOKU = { BLANK: 1 };
export const MAZE = { WALL: 1, FLOOR: 2, START: 3, GOAL: 4, PATH: 5 };
const ALPHABETS = { sudoku: "..123456789", maze: "?# SGo" };
// a search that long says nothing
const MOST_NODES = 400000;

export const kindOf = (side) => (side === 9 ? "sudoku" : "maze");
export const lineOf = (kind, tokens) => Array.from(tokens, (token) => ALPHABETS[kind][token]).join("");

const place = (index, side) => `row ${Math.floor(index / side) + 1}, column ${(index % side) + 1}`;
const broken = (reason) => ({ solved: false, reason });

/** Tokens of a puzzle as people write it, or an Error with one sentence. Blank cells of Sudoku are . 0 or _ */
export function parse(kind, side, text) {
  const symbols = kind === "sudoku"
    ? text.replace(/[\s|+\-\u2500-\u257f]/g, "").replace(/[0_]/g, ".")
    : text.replace(/[\r\n]/g, "");
  if (symbols.length !== side * side) {
    throw new Error(`The text has ${symbols.length} cells; this board has ${side * side}.`);
  }
  return Array.from(symbols, (symbol, index) => {
    const token = ALPHABETS[kind].lastIndexOf(symbol);
    if (token < 1 || token === (kind === "maze" ? MAZE.PATH : -1)) {
      throw new Error(`“${symbol}” in ${place(index, side)} is no cell of this board.`);
    }
    return token;
  });
}

// --- Sudoku

const BOX = (index) => Math.floor(index / 27) * 3 + Math.floor((index % 9) / 3);
const UNITS_OF = Array.from({ length: 81 }, (_, index) => [Math.floor(index / 9), 9 + (index % 9), 18 + BOX(index)]);
const UNIT_NAMES = (unit) => ["row", "column", "box"][Math.floor(unit / 9)] + " " + ((unit % 9) + 1);

/** Cells whose digit stands twice in a row, column or box. */
export function conflicts(tokens) {
  const found = new Set(), seen = new Map();
  tokens.forEach((token, index) => {
    if (token <= SUDOKU.BLANK) return;
    for (const unit of UNITS_OF[index]) {
      const key = unit * 16 + token;
      if (seen.has(key)) found.add(index).add(seen.get(key));
      seen.set(key, index);
    }
  });
  return found;
}

/** How many solutions: 0, 1, 2 for more than one, or null if the search would be too long. */
export function countSolutions(tokens) {
  const used = new Int32Array(27);
  const open = [];
  for (let index = 0; index < 81; index++) {
    if (tokens[index] <= SUDOKU.BLANK) { open.push(index); continue; }
    const bit = 1 << (tokens[index] - 2);
    for (const unit of UNITS_OF[index]) {
      if (used[unit] & bit) return 0;
      used[unit] |= bit;
    }
  }
  let found = 0, nodes = 0;
  const search = (count) => {
    if (count === 0) { found += 1; return; }
    if (++nodes > MOST_NODES) return;
    // the cell with fewest digits left
    let best = -1, least = 10, left = 0;
    for (let slot = 0; slot < count && least > 1; slot++) {
      const [row, column, box] = UNITS_OF[open[slot]];
      const free = 511 & ~(used[row] | used[column] | used[box]);
      let digits = 0;
      for (let rest = free; rest; rest &= rest - 1) digits++;
      if (digits < least) { best = slot; least = digits; left = free; }
    }
    const cell = open[best], units = UNITS_OF[cell];
    open[best] = open[count - 1];
    for (; left && found < 2 && nodes <= MOST_NODES; left &= left - 1) {
      const bit = left & -left;
      for (const unit of units) used[unit] |= bit;
      search(count - 1);
      for (const unit of units) used[unit] &= ~bit;
    }
    open[count - 1] = open[best];
    open[best] = cell;
  };
  search(open.length);
  return nodes > MOST_NODES && found < 2 ? null : Math.min(found, 2);
}

function judgeSudoku(puzzle, answer) {
  for (let index = 0; index < 81; index++) {
    if (puzzle[index] > SUDOKU.BLANK && answer[index] !== puzzle[index]) {
      return broken(`the clue in ${place(index, 9)} was changed`);
    }
    if (answer[index] <= SUDOKU.BLANK) return broken(`${place(index, 9)} is blank`);
  }
  const wrong = [...conflicts(answer)];
  if (wrong.length === 0) return { solved: true, reason: "every row, column and box has each digit once" };
  const twice = UNITS_OF[wrong[0]].find((unit) =>
    wrong.some((other) => other !== wrong[0] && answer[other] === answer[wrong[0]] && UNITS_OF[other].includes(unit)));
  return broken(`${UNIT_NAMES(twice)} has two ${answer[wrong[0]] - 1}s`);
}

// --- mazes

function neighbors(index, side) {
  const cells = [];
  if (index >= side) cells.push(index - side);
  if (index < side * (side - 1)) cells.push(index + side);
  if (index % side > 0) cells.push(index - 1);
  if (index % side < side - 1) cells.push(index + 1);
  return cells;
}

/** Steps from a cell to every cell over those that are passable; -1 where no way leads. */
function distances(passable, side, from) {
  const steps = new Int32Array(side * side).fill(-1);
  steps[from] = 0;
  const queue = [from];
  for (const cell of queue) {
    for (const next of neighbors(cell, side)) {
      if (passable(next) && steps[next] < 0) { steps[next] = steps[cell] + 1; queue.push(next); }
    }
  }
  return steps;
}

/** Cells of all shortest ways by their steps from S, or null if there is no way. */
function shortestLayers(puzzle, side) {
  const passable = (cell) => puzzle[cell] !== MAZE.WALL;
  const start = puzzle.indexOf(MAZE.START), goal = puzzle.indexOf(MAZE.GOAL);
  const fromStart = distances(passable, side, start), fromGoal = distances(passable, side, goal);
  if (fromStart[goal] < 0) return null;
  const layers = Array.from({ length: fromStart[goal] + 1 }, () => []);
  puzzle.forEach((_, cell) => {
    if (fromStart[cell] >= 0 && fromStart[cell] + fromGoal[cell] === fromStart[goal]) layers[fromStart[cell]].push(cell);
  });
  return layers;
}

function judgeMaze(puzzle, answer, side) {
  for (let index = 0; index < puzzle.length; index++) {
    const drawn = puzzle[index] === MAZE.FLOOR && answer[index] === MAZE.PATH;
    if (answer[index] !== puzzle[index] && !drawn) return broken(`${place(index, side)} was changed`);
  }
  const isWay = (cell) => answer[cell] >= MAZE.START;
  const goal = puzzle.indexOf(MAZE.GOAL);
  const steps = distances(isWay, side, puzzle.indexOf(MAZE.START))[goal];
  if (steps < 0) return broken("the path does not lead from S to G");
  const drawn = answer.filter((token) => token === MAZE.PATH).length;
  if (drawn > steps - 1) return broken("there are stray path cells");
  const least = shortestLayers(puzzle, side).length - 1;
  if (steps > least) return broken(`the path takes ${steps} steps, the shortest ${least}`);
  return { solved: true, reason: `the path leads from S to G in the fewest steps, ${steps}` };
}

/** A random maze with exactly one shortest way. */
export function randomMaze(side, random = Math.random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  for (;;) {
    const share = 0.3 + 0.2 * random();
    const maze = Array.from({ length: side * side }, () => (random() < share ? MAZE.WALL : MAZE.FLOOR));
    const start = Math.floor(random() * maze.length);
    const steps = distances((cell) => maze[cell] !== MAZE.WALL, side, start);
    const far = [...steps.keys()].filter((cell) => steps[cell] >= 1.6 * side);
    if (far.length === 0) continue;
    maze[start] = MAZE.START;
    maze[pick(far)] = MAZE.GOAL;
    for (;;) {
      const wide = shortestLayers(maze, side).filter((layer) => layer.length > 1);
      if (wide.length === 0) return maze;
      maze[pick(pick(wide))] = MAZE.WALL;
    }
  }
}

// --- both

/** What an exact search says before the model is asked: null if it may be, or a sentence. */
export function fault(kind, side, puzzle) {
  if (kind === "sudoku") {
    const wrong = [...conflicts(puzzle)];
    if (wrong.length > 0) return `The clue in ${place(wrong[0], 9)} stands twice, so there is no solution.`;
    const count = countSolutions(puzzle);
    if (count === 0) return "These clues have no solution: an exact search found no board that keeps the rules.";
    if (count === 2) return "These clues have more than one solution; add some.";
    return null;
  }
  for (const [token, name] of [[MAZE.START, "S (start)"], [MAZE.GOAL, "G (goal)"]]) {
    if (!puzzle.includes(token)) return `The maze has no ${name}; place one.`;
  }
  return shortestLayers(puzzle, side) === null ? "There is no path from S to G, so there is no solution." : null;
}

/** Whether an answer solves its puzzle by the rules, and why. */
export const judge = (kind, side, puzzle, answer) =>
  kind === "sudoku" ? judgeSudoku(puzzle, answer) : judgeMaze(puzzle, answer, side);

/** Cells that cannot be right, whatever the others are. */
export function wrongCells(kind, puzzle, cells) {
  const wrong = kind === "sudoku" ? conflicts(cells) : new Set();
  cells.forEach((token, index) => {
    if (kind === "sudoku" && puzzle[index] > SUDOKU.BLANK && token !== puzzle[index]) wrong.add(index);
    const drawn = puzzle[index] === MAZE.FLOOR && token === MAZE.PATH;
    if (kind === "maze" && token !== puzzle[index] && !drawn) wrong.add(index);
  });
  return wrong;
}

/** A symmetry of boards: `cells[i]` is where cell i of the copy comes from, `tokens` the copy's names of the digits. */
export function symmetry(kind, side, number, random = Math.random) {
  const cells = Array.from({ length: side * side }, (_, index) => index);
  const tokens = Array.from({ length: 11 }, (_, token) => token);
  if (number === 0) return { cells, tokens };
  if (kind === "maze") {
    // the eight of the square
    return { tokens, cells: cells.map((index) => {
      let row = Math.floor(index / side), column = index % side;
      if (number & 1) column = side - 1 - column;
      if (number & 2) row = side - 1 - row;
      return number & 4 ? column * side + row : row * side + column;
    }) };
  }
  const shuffled = (list) => {
    const result = [...list];
    for (let last = result.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [result[last], result[other]] = [result[other], result[last]];
    }
    return result;
  };
  const lines = () => shuffled([0, 1, 2]).flatMap((group) => shuffled([0, 1, 2]).map((line) => 3 * group + line));
  const [rows, columns, turned] = [lines(), lines(), random() < 0.5];
  const digits = [0, 1, ...shuffled([2, 3, 4, 5, 6, 7, 8, 9, 10])];
  return { tokens: digits, cells: cells.map((index) => {
    const [row, column] = [rows[Math.floor(index / 9)], columns[index % 9]];
    return turned ? column * 9 + row : row * 9 + column;
  }) };
}

export const apply = ({ cells, tokens }, board) => cells.map((from) => tokens[board[from]]);

/** The values of a copy's cells at the places of the board itself. */
export function moveBack({ cells }, values) {
  const result = new Array(cells.length);
  cells.forEach((from, index) => { result[from] = values[index]; });
  return result;
}

/** The board that a copy was made of. */
export const undo = (copy, board) => moveBack(copy, board.map((token) => copy.tokens.indexOf(token)));

// --- links

/** What stands behind #s= for a puzzle: a line for Sudoku; side, start, goal and walls in base64 for a maze. */
export function toLink(kind, side, puzzle) {
  if (kind === "sudoku") return lineOf(kind, puzzle);
  const bytes = new Uint8Array(Math.ceil(puzzle.length / 8));
  puzzle.forEach((token, index) => { if (token === MAZE.WALL) bytes[index >> 3] |= 1 << (index & 7); });
  const walls = btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  return [`m${side}`, puzzle.indexOf(MAZE.START), puzzle.indexOf(MAZE.GOAL), walls].join(".");
}

/** Side and tokens of a link's text, or an Error with one sentence. */
export function fromLink(text) {
  const parts = text.match(/^m(16|30)\.(-1|\d+)\.(-1|\d+)\.([\w-]+)$/);
  if (!parts) return { side: 9, puzzle: parse("sudoku", 9, text) };
  const side = Number(parts[1]), cells = side * side;
  const bytes = atob(parts[4].replace(/-/g, "+").replace(/_/g, "/"));
  if (bytes.length !== Math.ceil(cells / 8)) throw new Error("The link's maze is cut off.");
  const puzzle = Array.from({ length: cells }, (_, index) =>
    (bytes.charCodeAt(index >> 3) >> (index & 7)) & 1 ? MAZE.WALL : MAZE.FLOOR);
  [[parts[2], MAZE.START], [parts[3], MAZE.GOAL]].forEach(([at, token]) => {
    if (Number(at) >= cells) throw new Error("The link's maze is damaged.");
    if (Number(at) >= 0) puzzle[Number(at)] = token;
  });
  return { side, puzzle };
}
