// The board of every puzzle: Sudoku, maze, ARC. `element`, `trigger`, `props` and `watch` come from Gradio's gr.HTML,
// which runs these files as one: rules, draw, replay, edit, gif, share, main.
//
// props.value is described in board.py. Text of a puzzle only becomes textContent or an attribute, never HTML.

const host = element.querySelector(".hrm-board");

let shown = 0; // 0: the puzzle, k: the board after segment k
let current = 0; // the cell with the keyboard focus
let timer = null;
let view = null; // what build() made
let stamp = 0; // counts the values made by the reader
let known = null; // the last board, from the reader or the server

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
  view = { grid: node, cells, replay: null, status: null, clock: null };
  node.addEventListener("keydown", key);
  // a screen reader moves the focus on its own
  node.addEventListener("focusin", (event) => {
    if (event.target.dataset.index !== undefined) current = Number(event.target.dataset.index);
  });
  node.addEventListener("paste", (event) => {
    event.preventDefault();
    // the server reads it, as for the command and the text box
    if (board.editable) {
      hand({ pasted: event.clipboardData.getData("text") });
      trigger("input");
    }
  });
  if (board.kind === "maze" && board.editable) {
    node.classList.toggle("drawn-on", tool !== null);
    drawing(node);
  } else {
    node.addEventListener("click", (event) => {
      if (event.target.dataset.index !== undefined) focusCell(Number(event.target.dataset.index));
    });
  }
  view.status = host.appendChild(make("p", "status"));
  view.status.setAttribute("role", "status");
  view.clock = host.appendChild(make("p", "clock"));
  view.clock.setAttribute("role", "timer");
  if (board.steps.length) {
    view.replay = replay(board);
    host.appendChild(view.replay.node);
  }
  if (board.editable) {
    host.appendChild(pad(board));
    if (!board.steps.length) host.appendChild(keeping(board));
  }
  if (clock && board.rival) showTime();
  show(Math.min(shown, board.steps.length));
  if (hadFocus) focusCell(current);
}

/** Take a board that the server sent. */
function take() {
  const board = props.value;
  if (board && board.stamp === stamp && stamp > 0) return;
  stop();
  shown = 0;
  const isEditable = Boolean(board && board.editable);
  const isNew = isEditable && (!known || known.given !== board.given);
  if (isNew && known) {
    // an example, another size or a pasted puzzle never discards the previous board
    past.push(known);
    future = [];
  }
  if (isNew) begun = null;
  if (isNew && board.kind === "sudoku") mode = isBlank(board) ? "puzzle" : "own";
  if (isEditable && board.rival) {
    mode = "own";
    tool = board.kind === "maze" ? PATH : tool;
    begun = Date.now();
  }
  if (isEditable) known = kept(board);
  build();
  if (isEditable) race();
  if (!board || !board.steps || !board.steps.length) return;
  if (board.show) show(Math.min(board.show, board.steps.length));
  else start(1);
}

const isBlank = (board) => [...board.given].every((symbol) => symbol === ".");

take();
watch("value", take);
