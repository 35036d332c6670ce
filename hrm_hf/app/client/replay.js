// Watching the model think: play, pause and step through the segments, and look inside.

const SPEEDS = [["Slow", 1200], ["Normal", 450], ["Fast", 150]];
let pace = SPEEDS[1][1];

function replay(board) {
  const node = make("div", "replay");
  const last = board.steps.length;
  const label = node.appendChild(make("p", "replay-label"));
  const line = node.appendChild(make("div", "replay-line"));
  const play = line.appendChild(smallButton("Play", () => (timer ? stop() : start(shown < last ? shown : 0))));
  line.appendChild(smallButton("‹", () => { stop(); show(Math.max(0, shown - 1)); }, "One segment back"));
  const slider = line.appendChild(make("input"));
  Object.assign(slider, { type: "range", min: 0, max: last, step: 1 });
  slider.setAttribute("aria-label", "Board after segment");
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  line.appendChild(smallButton("›", () => { stop(); show(Math.min(last, shown + 1)); }, "One segment forward"));
  const speed = line.appendChild(make("select", "small"));
  speed.setAttribute("aria-label", "Speed");
  for (const [name, ms] of SPEEDS) speed.appendChild(new Option(name, ms, ms === pace, ms === pace));
  speed.addEventListener("change", () => {
    pace = Number(speed.value);
    if (timer) start(shown);
  });
  const bars = node.appendChild(make("div", "bars"));
  bars.setAttribute("role", "img");
  bars.setAttribute(
    "aria-label",
    "Halting probability by segment: " +
      board.steps.map((step, index) => index + 1 + ": " + percent(step.halt)).join("; ")
  );
  board.steps.forEach((step, index) => {
    const bar = bars.appendChild(make("div", "bar"));
    bar.title = (step.title || "Segment " + (index + 1)) + ": " + percent(step.halt) + " sure of the whole board";
    bar.appendChild(make("div", "fill")).style.height = Math.max(2, 100 * step.halt) + "%";
    bar.addEventListener("click", () => { stop(); show(index + 1); });
  });
  node.appendChild(
    make("p", "hint", "Bars: halting probability after each segment, how sure the model is of the whole board.")
  );
  const legend = node.appendChild(make("p", "legend"));
  const wrong = board.kind === "maze" ? "may not change" : "breaks a rule";
  const filled = board.kind === "maze" ? "path (paler: less sure)" : "by the model (paler: less sure)";
  for (const [name, text] of [["filled", filled], ["changed", "changed in this segment"], ["wrong", wrong]]) {
    const entry = legend.appendChild(make("span", "entry"));
    entry.appendChild(make("span", "swatch " + name));
    entry.appendChild(make("span", "", text));
  }
  const maps = inside(board, node);
  votes(board, node);
  node.appendChild(keeping(board));
  return { node, label, slider, play, maps, bars: [...bars.children] };
}

/** Heat maps of doubt and of both states, collapsed. */
function inside(board, node) {
  if (!board.steps.some((step) => step.change_H)) return [];
  const details = node.appendChild(make("details", "inside"));
  details.appendChild(make("summary", "", "See inside"));
  const row = details.appendChild(make("div", "maps"));
  const maps = [["doubt", "Doubt"], ["change_L", "Fast state: change"], ["change_H", "Slow state: change"]].map(
    ([name, title]) => [name, heatMap(board, title)]
  );
  for (const [, map] of maps) row.appendChild(map.figure);
  details.appendChild(
    make("p", "hint", "Darker: more, within each map. Each cell has two states, vectors that the network updates.")
  );
  return maps;
}

/** The answers of symmetric copies as small boards. */
function votes(board, node) {
  if (!board.copies || board.copies.length < 2) return;
  const details = node.appendChild(make("details", "inside"));
  details.appendChild(make("summary", "", "The " + board.copies.length + " copies and their answers"));
  const row = details.appendChild(make("div", "gallery"));
  board.copies.forEach((cells, index) => {
    const title = (index ? "Copy " + (index + 1) : "As given") + (wrongCells(board, cells).size ? ": breaks rules" : "");
    row.appendChild(picture({ ...board, given: cells, own: null, notes: null, steps: [], editable: false, title }));
  });
}

function show(step) {
  const board = props.value;
  shown = step;
  paint(board, view.cells, step);
  if (!view.replay) return;
  const { label, slider, bars, maps } = view.replay;
  slider.value = step;
  const text = step === 0 ? "The puzzle." : story(board, step);
  label.textContent = text;
  slider.setAttribute("aria-valuetext", text);
  bars.forEach((bar, index) => bar.classList.toggle("on", index === step - 1));
  const now = step > 0 ? board.steps[step - 1] : {};
  for (const [name, map] of maps) {
    const doubt = now.sure && now.sure.map((share, index) => (isOpen(board, index) ? 1 - share : 0));
    map.fill((name === "doubt" ? doubt : now[name]) || null);
  }
}

function stop() {
  clearInterval(timer);
  timer = null;
  if (view && view.replay) view.replay.play.textContent = shown < props.value.steps.length ? "Play" : "Replay";
}

/** Play the segments in order. */
function start(from) {
  stop();
  const last = props.value.steps.length;
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return show(last);
  show(from);
  view.replay.play.textContent = "Pause";
  timer = setInterval(() => {
    if (!host.isConnected || shown >= props.value.steps.length) return stop();
    show(shown + 1);
    if (shown >= props.value.steps.length) stop();
  }, pace);
}
