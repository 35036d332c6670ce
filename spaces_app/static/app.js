// The page: boards, editing, the replay. What is right is decided in puzzles.js, what is thought in worker.js.

import { MAZE, SUDOKU, fault, fromLink, kindOf, parse, randomMaze, toLink, wrongCells } from "./puzzles.js";

const MODELS = { 9: "sudoku-hard", 16: "maze-16x16", 30: "maze-30x30" };
const MAX_SEGMENTS = 64, COPIES = 8; // as `hrm-hf solve`
const PLAY_MS = 380;
const EXAMPLES = [
  "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..", // AI Escargot
  "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..", // Inkala 2012
  ".......1.4.........2...........5.4.7..8...3....1.9....3..4..2...5.1........8.6...", // 17 clues
  "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9", // against brute force
  "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79", // an easy one
];
const NAMES = { [MAZE.WALL]: "wall", [MAZE.FLOOR]: "floor", [MAZE.START]: "start", [MAZE.GOAL]: "goal", [MAZE.PATH]: "path" };
const TOOLS = [[MAZE.WALL, "Wall"], [MAZE.FLOOR, "Floor"], [MAZE.START, "Start"], [MAZE.GOAL, "Goal"]];

const $ = (id) => document.getElementById(id);
const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const percent = (share) => (share > 0.995 && share < 1 ? ">99 %" : `${Math.round(100 * share)} %`);

let side = 9, kind = "sudoku";
let puzzle = [];
let steps = []; // boards after each segment, as the worker sends them
let shown = 0; // 0: the puzzle, k: after segment k
let current = 0; // cell that the keyboard is at
let tool = MAZE.WALL;
let isKept = false, asked = 0, timer = null, cells = [], exampleNumber = 0;
const kept = {}; // puzzle of each side, for coming back to a tab

// --- the worker

const worker = new Worker("worker.js", { type: "module" });

function ask() {
  stopPlaying();
  const reason = fault(kind, side, puzzle);
  steps = [];
  asked += 1;
  show(0);
  if (reason !== null) return verdict("bad", "Not solved", reason);
  verdict("", "Thinking …", "");
  $("solve").textContent = "Stop";
  return worker.postMessage({
    type: "solve", id: asked, model: MODELS[side], puzzle, maxSegments: MAX_SEGMENTS, copies: COPIES,
  });
}

function stop(text) {
  asked += 1;
  worker.postMessage({ type: "stop" });
  $("solve").textContent = "Solve";
  if (text) verdict("", text, "");
}

const seconds = (ms) => (ms < 995 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 1000).toFixed(1)} s`);
const isBusy = () => $("solve").textContent === "Stop";

worker.onmessage = ({ data }) => {
  if (data.type === "loaded") {
    setTimeout(keepOffline, 3000);
    if (data.model === MODELS[side]) $("loading").textContent = `Model loaded in ${seconds(data.ms)}.`;
    return;
  }
  if (data.id !== asked && data.type !== "failed") return;
  if (data.type === "segment") {
    // each copy of the puzzle starts anew
    if (steps.length && steps.at(-1).copy !== data.copy) steps = [];
    steps.push(data);
    show(steps.length);
    verdict("", "Thinking …", `segment ${steps.length}` + (data.copy ? `, copy ${data.copy + 1}` : ""));
    return;
  }
  $("solve").textContent = "Solve";
  if (data.type === "refused") return verdict("bad", "Not solved", data.reason);
  if (data.type === "failed") return verdict("bad", "The model could not be run", data.reason);
  const count = `${steps.length} segment${steps.length === 1 ? "" : "s"}`;
  const where = data.copy ? `, on copy ${data.copy + 1} of the puzzle` : "";
  document.body.dataset.solveMs = data.ms.toFixed(1);
  if (data.solved) verdict("good", `Solved in ${seconds(data.ms)}`, `${count} of thinking${where}; ${data.reason}.`);
  else verdict("bad", "Not solved", `In the last answer of the model ${data.reason}.`);
  // the answer itself, without the marks of what changed last
  $("board").firstChild.classList.add("settled");
};
worker.onerror = (event) => verdict("bad", "The page could not start", event.message || "This browser is too old for it.");

function verdict(className, title, text) {
  const box = $("verdict");
  box.className = className;
  box.replaceChildren(make("strong", "", title), make("span", "", text));
}

// --- the board

function buildBoard() {
  const grid = make("div", `grid ${kind}`);
  grid.style.setProperty("--side", side);
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-label", kind === "sudoku" ? "Sudoku" : `Maze of ${side} rows and columns`);
  cells = [];
  for (let row = 0; row < side; row++) {
    const line = grid.appendChild(make("div", "row"));
    line.setAttribute("role", "row");
    for (let column = 0; column < side; column++) {
      const cell = line.appendChild(make("div", "cell"));
      cell.setAttribute("role", "gridcell");
      cell.dataset.index = cells.length;
      cell.dataset.box = kind === "sudoku"
        ? `${row && row % 3 === 0 ? "box-top" : ""} ${column && column % 3 === 0 ? "box-left" : ""}`.trim() : "";
      cell.tabIndex = -1;
      cells.push(cell);
    }
  }
  current = Math.min(current, cells.length - 1);
  cells[current].tabIndex = 0;
  grid.addEventListener("keydown", onKey);
  if (kind === "maze") addDrawing(grid);
  else grid.addEventListener("click", ({ target }) => { if (target.dataset.index) focusCell(Number(target.dataset.index)); });
  $("board").replaceChildren(grid);
  buildPad();
}

function paint() {
  const now = shown > 0 ? steps[shown - 1] : { tokens: puzzle, sure: null };
  const before = shown > 1 ? steps[shown - 2].tokens : puzzle;
  const wrong = wrongCells(kind, puzzle, now.tokens);
  cells.forEach((cell, index) => {
    const token = now.tokens[index];
    const isGiven = kind === "sudoku" && puzzle[index] !== SUDOKU.BLANK;
    const isFilled = shown > 0 && token !== puzzle[index];
    const names = ["cell", cell.dataset.box];
    if (kind === "maze") names.push(NAMES[token] || "floor");
    if (isGiven) names.push("given");
    if (isFilled) names.push("filled");
    if (shown > 1 && token !== before[index]) names.push("changed");
    if (wrong.has(index)) names.push("wrong");
    cell.className = names.filter(Boolean).join(" ");
    cell.style.setProperty("--sure", isFilled ? now.sure[index].toFixed(2) : 1);
    const text = kind === "sudoku" ? (token > SUDOKU.BLANK ? String(token - 1) : "")
      : token === MAZE.START ? "S" : token === MAZE.GOAL ? "G" : "";
    if (cell.textContent !== text) cell.textContent = text;
    const what = kind === "sudoku" ? text || "empty" : NAMES[token] || "no answer";
    const notes = [isGiven ? "given" : "", isFilled ? `${percent(now.sure[index])} sure` : "", wrong.has(index) ? "breaks a rule" : ""];
    const label = [`row ${Math.floor(index / side) + 1}, column ${(index % side) + 1}: ${what}`, ...notes.filter(Boolean)].join(", ");
    cell.setAttribute("aria-label", label);
  });
}

// --- the replay

function show(step) {
  shown = step;
  $("board").firstChild.classList.remove("settled");
  paint();
  $("replay").hidden = steps.length === 0;
  if (steps.length === 0) return;
  const slider = $("step");
  slider.max = steps.length;
  slider.value = step;
  $("shown").textContent = step === 0 ? "the puzzle" : `segment ${step} of ${steps.length}`;
  slider.setAttribute("aria-valuetext", $("shown").textContent);
  const bars = $("bars");
  while (bars.children.length > steps.length) bars.lastChild.remove();
  while (bars.children.length < steps.length) {
    const bar = bars.appendChild(make("div", "bar"));
    const number = bars.children.length;
    bar.appendChild(make("div", "fill"));
    bar.addEventListener("click", () => { stopPlaying(); show(number); });
  }
  [...bars.children].forEach((bar, index) => {
    bar.firstChild.style.height = `${Math.max(3, 100 * steps[index].halt)}%`;
    bar.classList.toggle("on", index === step - 1);
    bar.title = `segment ${index + 1}: ${percent(steps[index].halt)} sure of the whole board`;
  });
  bars.setAttribute("aria-label", "Sure of the whole board: " + steps.map((each) => percent(each.halt)).join(", "));
}

function stopPlaying() {
  clearInterval(timer);
  timer = null;
  $("again").textContent = "▶";
}

function play() {
  if (timer !== null) return stopPlaying();
  show(0);
  $("again").textContent = "❚❚";
  timer = setInterval(() => {
    if (shown >= steps.length) return stopPlaying();
    return show(shown + 1);
  }, PLAY_MS);
  return undefined;
}

function buildLegend() {
  const entries = [["filled", kind === "sudoku" ? "by the model; paler: less sure" : "path; paler: less sure"],
    ["changed", "changed in this segment"], ["wrong", kind === "sudoku" ? "breaks a rule" : "may not change"]];
  $("legend").replaceChildren(...entries.map(([name, text]) => {
    const entry = make("li");
    entry.append(make("span", `swatch ${name}`), make("span", "", text));
    return entry;
  }));
}

// --- editing

/** Another puzzle, or the same with a change; `note` stays empty where nothing went wrong. */
function setPuzzle(tokens, note = "") {
  stopPlaying();
  if (isBusy()) stop();
  puzzle = tokens;
  kept[side] = tokens;
  steps = [];
  show(0);
  $("note").textContent = note;
  verdict("", "Ready", kind === "sudoku" ? "Press Solve, or change the puzzle." : "Press Solve, or draw with a finger.");
  history.replaceState(null, "", `#s=${toLink(kind, side, puzzle)}`);
}

function withCell(tokens, index, token) {
  const result = [...tokens];
  // there is one start and one goal
  if (kind === "maze" && (token === MAZE.START || token === MAZE.GOAL)) {
    const old = result.indexOf(token);
    if (old >= 0) result[old] = MAZE.FLOOR;
  }
  result[index] = token;
  return result;
}

function put(token) {
  if (puzzle[current] !== token || steps.length) setPuzzle(withCell(puzzle, current, token));
}

function focusCell(index) {
  cells[current].tabIndex = -1;
  current = index;
  cells[index].tabIndex = 0;
  cells[index].focus({ preventScroll: true });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const column = current % side;
  const moves = { ArrowUp: -side, ArrowDown: side, ArrowLeft: column > 0 ? -1 : 0, ArrowRight: column < side - 1 ? 1 : 0,
    Home: -column, End: side - 1 - column };
  const key = event.key.toUpperCase();
  let token = null;
  if (event.key in moves) {
    const next = current + moves[event.key];
    if (next >= 0 && next < cells.length) focusCell(next);
  } else if (event.key === "Enter") ask();
  else if (kind === "sudoku" && /^[1-9]$/.test(key)) token = Number(key) + 1;
  else if (kind === "sudoku" && ["0", ".", " ", "BACKSPACE", "DELETE"].includes(key)) token = SUDOKU.BLANK;
  else if (kind === "maze" && ["BACKSPACE", "DELETE"].includes(key)) token = MAZE.FLOOR;
  else if (kind === "maze" && key === " ") token = puzzle[current] === MAZE.WALL ? MAZE.FLOOR : MAZE.WALL;
  else if (kind === "maze" && ["S", "G", "#"].includes(key)) token = { S: MAZE.START, G: MAZE.GOAL, "#": MAZE.WALL }[key];
  else return;
  event.preventDefault();
  if (token !== null) put(token);
}

function buildPad() {
  const pad = $("pad");
  pad.setAttribute("aria-label", kind === "sudoku" ? "Put into the chosen cell" : "Draw with");
  const entries = kind === "sudoku"
    ? [...Array(9).keys()].map((digit) => [digit + 2, String(digit + 1)]).concat([[SUDOKU.BLANK, "⌫"]]) : TOOLS;
  pad.replaceChildren(...entries.map(([token, text]) => {
    const button = make("button", "", text);
    button.type = "button";
    if (kind === "sudoku") {
      button.setAttribute("aria-label", token === SUDOKU.BLANK ? "erase" : `digit ${text}`);
      button.addEventListener("click", () => { put(token); focusCell(current); });
    } else {
      button.setAttribute("aria-pressed", token === tool);
      button.addEventListener("click", () => {
        tool = token;
        for (const other of pad.children) other.setAttribute("aria-pressed", other === button);
      });
    }
    return button;
  }));
}

/** Draw by dragging: one change at the end. */
function addDrawing(grid) {
  let drawn = null;
  const draw = (event) => {
    const under = document.elementFromPoint(event.clientX, event.clientY);
    if (!under || !grid.contains(under) || !under.dataset.index) return;
    drawn = withCell(drawn, Number(under.dataset.index), tool);
    const real = puzzle;
    puzzle = drawn;
    steps = [];
    show(0);
    puzzle = real;
  };
  grid.addEventListener("pointerdown", (event) => {
    if (!event.target.dataset.index) return;
    event.preventDefault();
    focusCell(Number(event.target.dataset.index));
    drawn = [...puzzle];
    draw(event);
  });
  grid.addEventListener("pointermove", (event) => { if (drawn) draw(event); });
  const finish = () => {
    if (drawn) setPuzzle(drawn);
    drawn = null;
  };
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) grid.addEventListener(name, finish);
}

// --- the frame

function example() {
  if (kind === "maze") return randomMaze(side);
  exampleNumber = (exampleNumber + 1) % EXAMPLES.length;
  return parse(kind, side, EXAMPLES[exampleNumber]);
}

function openSide(wanted, tokens) {
  const isNew = side !== wanted || cells.length === 0;
  side = wanted;
  kind = kindOf(side);
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", Number(tab.dataset.side) === side);
  }
  $("parameters").textContent = side === 16 ? "170 thousand" : "1.7 million";
  stopPlaying();
  steps = [];
  shown = 0;
  if (isNew) {
    if (isBusy()) stop();
    buildBoard();
    buildLegend();
  }
  setPuzzle(tokens || kept[side] || (side === 9 ? parse(kind, side, EXAMPLES[0]) : randomMaze(side)));
  if (isNew) {
    $("loading").textContent = "Loading the model …";
    worker.postMessage({ type: "load", model: MODELS[side] });
  }
}

function openLink() {
  const text = new URLSearchParams(location.hash.slice(1)).get("s");
  if (text === null) return openSide(9);
  try {
    const link = fromLink(text);
    return openSide(link.side, link.puzzle);
  } catch (error) {
    openSide(9);
    $("note").textContent = `The link holds no puzzle: ${error.message}`;
    return undefined;
  }
}

$("solve").addEventListener("click", () => (isBusy() ? stop("Stopped") : ask()));
$("example").addEventListener("click", () => setPuzzle(example()));
$("clear").addEventListener("click", () =>
  setPuzzle(new Array(side * side).fill(kind === "sudoku" ? SUDOKU.BLANK : MAZE.FLOOR)));
$("share").addEventListener("click", async () => {
  const button = $("share");
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy the address";
  }
  setTimeout(() => { button.textContent = "Copy link"; }, 1600);
});
$("again").addEventListener("click", play);
$("step").addEventListener("input", ({ target }) => { stopPlaying(); show(Number(target.value)); });
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = getComputedStyle(root).colorScheme === "dark";
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it holds for this visit */ }
});
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => openSide(Number(tab.dataset.side)));
}
document.addEventListener("paste", (event) => {
  const text = event.clipboardData.getData("text");
  try {
    setPuzzle(parse(kind, side, kind === "sudoku" ? text : text.replace(/^\n+|\n+$/g, "")));
  } catch (error) {
    $("note").textContent = error.message;
  }
  event.preventDefault();
});
addEventListener("hashchange", openLink);
openLink();

/** Keep all files for later, once the first model is there: before, it would only be slower. */
function keepOffline() {
  if (isKept || !("serviceWorker" in navigator)) return;
  isKept = true;
  navigator.serviceWorker.register("sw.js").then(() => navigator.serviceWorker.ready).then(() => {
    document.body.dataset.offline = "ready";
  }).catch(() => { /* without it the page needs its server */ });
}
