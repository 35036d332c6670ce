// Changing a board: clues, the reader's own digits and notes, walls; undo and redo.

const PATH = "o";
const TOOLS = [["#", "Wall"], [" ", "Floor"], ["S", "Start"], ["G", "Goal"], [PATH, "My path"]];
const MODES = [["puzzle", "Puzzle"], ["own", "My digits"], ["notes", "Notes"]];

let mode = "puzzle"; // what a typed digit is
let tool = null; // what a finger or a mouse draws; without a tool, a finger scrolls
let past = [], future = []; // boards for undo and redo
let begun = null; // when the reader entered the first digit, or the race began
let clock = null; // shows the time of a race

const kept = (board) => ({ given: board.given, own: board.own, notes: board.notes, steps: board.steps, copies: board.copies });
const blanks = (board) => ".".repeat(board.rows * board.columns);

/** Change the board; the change can be undone. */
function change(changes) {
  stop();
  past.push(kept(props.value));
  future = [];
  const isSame = changes.given === undefined || changes.given === props.value.given;
  // the model's thinking belongs to one puzzle
  if (!isSame) Object.assign(changes, { steps: [], copies: null, rival: null });
  replace(changes, !isSame);
}

function replace(changes, tell) {
  shown = 0;
  hand(changes);
  build();
  if (tell) trigger("input");
}

/** Give the page a value made by the reader, which `take` does not mistake for one from the server. */
function hand(changes) {
  stamp += 1;
  // pasted text is read once
  const { pasted, ...board } = props.value;
  props.value = { ...board, ...changes, stamp };
  known = kept(props.value);
}

function goBack(from, to) {
  if (!from.length) return;
  stop();
  to.push(kept(props.value));
  const before = from.pop();
  const isSame = before.given === props.value.given;
  const size = before.given.length;
  if (size !== props.value.rows * props.value.columns) return say("That puzzle was for a model of another size.");
  replace(before, !isSame);
}

/** A digit, a wall or a note for a cell. */
function put(index, symbol) {
  const board = props.value;
  if (board.kind === "maze") return symbol === PATH ? putPath(index) : putInto("given", index, symbol);
  if (mode === "puzzle") return putInto("given", index, symbol);
  if (!isOpen(board, index)) return say("This cell is a clue. Choose Puzzle to change clues.");
  if (mode === "own") {
    begun = begun || Date.now();
    putInto("own", index, symbol);
    return judge();
  }
  const notes = board.notes ? [...board.notes] : Array(board.given.length).fill("");
  const had = notes[index];
  if (symbol === ".") notes[index] = "";
  else notes[index] = had.includes(symbol) ? had.replace(symbol, "") : [...had, symbol].sort().join("");
  change({ notes });
}

function putInto(field, index, symbol) {
  const board = props.value;
  const cells = [...(board[field] || blanks(board))];
  // there is one start and one goal
  if (board.kind === "maze" && "SG".includes(symbol)) {
    const old = cells.indexOf(symbol);
    if (old >= 0) cells[old] = " ";
  }
  if (cells[index] === symbol && shown === 0) return;
  cells[index] = symbol;
  const changes = { [field]: cells.join("") };
  if (field === "given" && board.own && board.own[index] !== ".") {
    changes.own = board.own.slice(0, index) + "." + board.own.slice(index + 1);
  }
  change(changes);
}

/** Add a cell of a maze to the reader's path, or remove it. */
function putPath(index) {
  const board = props.value;
  if (!isOpen(board, index)) return say("The path must stay on floor cells.");
  begun = begun || Date.now();
  putInto("own", index, board.own && board.own[index] === PATH ? "." : PATH);
  judge();
}

/** Say so when the reader has solved the puzzle. */
function judge() {
  const board = props.value, found = judged(board);
  if (!found) return;
  if (!found.solves) return say(found.text);
  const next = board.rival ? "The model took " + board.rival + "." : "Press Solve to see how the model does.";
  const time = timeSince(begun);
  if (board.rival) hand({ rival: null });
  endRace();
  say("Solved by you in " + time + ". " + next, true);
}

function timeSince(moment) {
  const seconds = Math.round((Date.now() - moment) / 1000);
  return Math.floor(seconds / 60) + ":" + String(seconds % 60).padStart(2, "0");
}

/** Show the reader's time against that of the model, while there is a race. */
function race() {
  endRace();
  if (!props.value.rival) return;
  showTime();
  clock = setInterval(() => (host.isConnected && props.value.rival ? showTime() : endRace()), 1000);
}

function showTime() {
  view.clock.textContent = "Your time: " + timeSince(begun) + ". The model took " + props.value.rival + ".";
}

function endRace() {
  clearInterval(clock);
  clock = null;
  if (view && view.clock) view.clock.textContent = "";
}

function say(text, isGood = false) {
  view.status.textContent = text;
  view.status.classList.toggle("good", isGood);
}

function key(event) {
  const board = props.value;
  const moves = { ArrowUp: -board.columns, ArrowDown: board.columns, ArrowLeft: -1, ArrowRight: 1 };
  const column = current % board.columns;
  if (event.ctrlKey || event.metaKey) {
    const name = event.key.toLowerCase();
    if (!board.editable || !["z", "y"].includes(name)) return;
    event.preventDefault();
    if (name === "y" || event.shiftKey) goBack(future, past);
    else goBack(past, future);
    return focusCell(current);
  }
  if (event.altKey) return;
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
  else if (board.kind === "maze" && symbol === "O") next = PATH;
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

/** Buttons of which one is selected. */
function choice(label, options, chosen, choose) {
  const node = make("div", "choice");
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
  for (const [value, text] of options) {
    const button = node.appendChild(
      smallButton(text, () => {
        const now = choose(value);
        for (const [index, other] of [...node.children].entries()) {
          other.setAttribute("aria-pressed", options[index][0] === now);
        }
      })
    );
    button.setAttribute("aria-pressed", value === chosen);
  }
  return node;
}

function pad(board) {
  const node = make("div", "pad");
  if (board.kind === "sudoku") {
    node.appendChild(choice("Enter digits as", MODES, mode, (value) => (mode = value)));
    const digits = node.appendChild(make("div", "choice"));
    digits.setAttribute("role", "group");
    digits.setAttribute("aria-label", "Enter into the selected cell");
    for (const digit of digitsOf(board)) {
      digits.appendChild(smallButton(digit, () => { put(current, digit); focusCell(current); }, "digit " + digit));
    }
    digits.appendChild(smallButton("Erase", () => { put(current, "."); focusCell(current); }, "erase"));
  } else {
    node.appendChild(
      choice("Draw with", TOOLS, tool, (value) => {
        tool = tool === value ? null : value;
        view.grid.classList.toggle("drawn-on", tool !== null);
        return tool;
      })
    );
  }
  const steps = node.appendChild(make("div", "choice"));
  const undo = steps.appendChild(smallButton("Undo", () => goBack(past, future)));
  const redo = steps.appendChild(smallButton("Redo", () => goBack(future, past)));
  undo.disabled = past.length === 0;
  redo.disabled = future.length === 0;
  return node;
}

/** Draw walls by dragging; the whole drag is one edit. A finger needs a tool, or it scrolls. */
function drawing(node) {
  let cells = null; // of the maze, or of the reader's path
  let erases = false; // a drag that begins on the path erases it
  const at = (event) => {
    const under = document.elementFromPoint(event.clientX, event.clientY);
    return under && node.contains(under) && under.dataset.index !== undefined ? Number(under.dataset.index) : null;
  };
  const draw = (index) => {
    const symbol = tool || "#";
    if (symbol === PATH) {
      if (isOpen(props.value, index)) cells[index] = erases ? "." : PATH;
      return paint({ ...props.value, own: cells.join(""), steps: [] }, view.cells, 0);
    }
    if ("SG".includes(symbol)) cells = cells.map((other) => (other === symbol ? " " : other));
    cells[index] = symbol;
    paint({ ...props.value, given: cells.join(""), steps: [] }, view.cells, 0);
  };
  node.addEventListener("pointerdown", (event) => {
    const index = at(event);
    if (index === null || !props.value.editable || (event.pointerType === "touch" && tool === null)) return;
    event.preventDefault();
    focusCell(index);
    cells = [...(tool === PATH ? props.value.own || blanks(props.value) : props.value.given)];
    erases = cells[index] === PATH;
    draw(index);
  });
  node.addEventListener("pointermove", (event) => {
    const index = cells && at(event);
    if (cells && index !== null) draw(index);
  });
  const finish = () => {
    if (!cells) return;
    const drawn = cells.join(""), { given, own } = props.value;
    cells = null;
    if (tool === PATH) {
      begun = begun || Date.now();
      change({ own: drawn });
      return judge();
    }
    if (drawn === given) return;
    // a wall drawn over the path removes those cells from it
    const left = own && [...own].map((symbol, index) => (drawn[index] === " " ? symbol : ".")).join("");
    change({ given: drawn, own: left });
  };
  node.addEventListener("pointerup", finish);
  node.addEventListener("pointerleave", finish);
  node.addEventListener("pointercancel", finish);
}
