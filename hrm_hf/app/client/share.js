// Saving and sharing: a link with puzzle, model and segment, and the thinking as a file.

/** Address of this page with the contents of the board. */
function linkTo(board, step) {
  const link = new URL(window.location.href);
  link.search = "";
  link.hash = "";
  link.searchParams.set("kind", board.kind);
  link.searchParams.set("puzzle", board.given);
  if (board.model) link.searchParams.set("model", board.model);
  if (step > 0) link.searchParams.set("step", step);
  return link.href;
}

async function copyLink() {
  const link = linkTo(props.value, shown);
  try {
    await navigator.clipboard.writeText(link);
    say("The link is copied to the clipboard.", true);
  } catch (error) {
    // without https there is no clipboard; show a box to copy from
    window.prompt("Copy this link:", link);
  }
}

function save(blob, ending) {
  const anchor = make("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = "hrm-" + props.value.kind + "." + ending;
  anchor.click();
  URL.revokeObjectURL(anchor.href);
}

function saveJson() {
  const { kind, model, given, steps } = props.value;
  save(new Blob([JSON.stringify({ kind, model, puzzle: given, steps }, null, 1)], { type: "application/json" }), "json");
}

/** The board as shown, on a canvas. */
function drawn() {
  const board = props.value, edge = 4;
  const side = Math.max(16, Math.min(48, Math.floor(432 / board.columns)));
  const canvas = make("canvas");
  canvas.width = board.columns * side + 2 * edge;
  canvas.height = board.rows * side + 2 * edge;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  view.cells.forEach((cell, index) => {
    const x = edge + (index % board.columns) * side, y = edge + Math.floor(index / board.columns) * side;
    const style = getComputedStyle(cell);
    const tint = style.backgroundImage.match(/rgba?\([^)]*\)/);
    for (const fill of [style.backgroundColor, tint && tint[0]]) {
      if (!fill) continue;
      pen.fillStyle = fill;
      pen.fillRect(x, y, side, side);
    }
    if (board.kind !== "maze") {
      pen.strokeStyle = "#cbd5e1";
      pen.strokeRect(x + 0.5, y + 0.5, side, side);
    }
    pen.fillStyle = style.color;
    const size = Math.round(side * (cell.classList.contains("pencil") ? 0.27 : 0.54));
    pen.font = (cell.classList.contains("given") ? "bold " : "") + size + "px sans-serif";
    pen.fillText(cell.textContent, x + side / 2, y + side / 2 + 1);
  });
  pen.strokeStyle = "#475569";
  pen.lineWidth = 2;
  const [boxRows, boxColumns] = board.box || [board.rows, board.columns];
  for (let row = 0; row < board.rows; row += boxRows) {
    for (let column = 0; column < board.columns; column += boxColumns) {
      pen.strokeRect(edge + column * side, edge + row * side, boxColumns * side, boxRows * side);
    }
  }
  return canvas;
}

/** All segments as a GIF; the last one stays longer. */
function saveGif() {
  stop();
  const before = shown, frames = [], delays = [];
  let canvas = null;
  for (let step = 0; step <= props.value.steps.length; step++) {
    show(step);
    canvas = drawn();
    frames.push(inPalette(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data));
    delays.push(step === props.value.steps.length ? 250 : Math.round(pace / 10));
  }
  show(before);
  save(encodeGif(frames, delays, canvas.width, canvas.height), "gif");
}

function keeping(board) {
  const node = make("div", "choice");
  node.appendChild(smallButton("Copy link", copyLink, "Copy link to this puzzle and segment"));
  node.appendChild(smallButton("Picture", () => drawn().toBlob((blob) => save(blob, "png")), "Save as a picture"));
  if (board.steps.length) {
    node.appendChild(smallButton("GIF", saveGif, "Save all segments as a GIF"));
    node.appendChild(smallButton("JSON", saveJson, "Save all segments as JSON"));
  }
  return node;
}
