// The model, in a thread of its own: loads graphs with onnxruntime-web and runs segments until the halting rule stops.
//
// in   {type: "load", model}                                     out  {type: "loaded", model, ms} or {type: "failed"}
//      {type: "solve", id, model, puzzle, maxSegments, copies}        {type: "refused", id, reason}
//      {type: "stop"}                                                 {type: "segment", id, copy, tokens, sure, halt}
//                                                                     {type: "done", id, solved, reason, ms}

import * as ort from "./runtime/ort.wasm.min.mjs";
import { apply, fault, judge, moveBack, symmetry, undo } from "./puzzles.js";

ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
// more threads need a page that is isolated from others (headers in README.md)
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
ort.env.logLevel = "error";

const models = new Map(); // name: a promise of {manifest, session}
let running = 0; // id of what is asked; another one, or none, stops it

async function load(name) {
  const folder = new URL(`./models/${name}/`, import.meta.url);
  const fetched = async (file) => {
    const response = await fetch(new URL(file, folder));
    if (!response.ok) throw new Error(`${file} of ${name} could not be loaded (${response.status}).`);
    return response;
  };
  const manifest = await (await fetched("manifest.json")).json();
  const bytes = new Uint8Array(await (await fetched(manifest.files.int8.name)).arrayBuffer());
  // the graph is simple already: higher levels load for longer and run no faster
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ["wasm"], graphOptimizationLevel: "basic",
  });
  return { manifest, session };
}

function loaded(name) {
  if (!models.has(name)) {
    const promise = load(name);
    models.set(name, promise);
    promise.catch(() => models.delete(name));
  }
  return models.get(name);
}

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

function startState(manifest, name) {
  const data = new Float32Array(manifest.positions * manifest.hidden_size);
  for (let position = 0; position < manifest.positions; position++) {
    data.set(manifest.start_states[name], position * manifest.hidden_size);
  }
  return new ort.Tensor("float32", data, [1, manifest.positions, manifest.hidden_size]);
}

/** Inputs of the first segment. */
function firstFeeds(manifest, ids) {
  const feeds = { input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]) };
  for (const name of ["z_H", "z_L"]) feeds[name] = startState(manifest, name);
  return feeds;
}

/** A segment of nothing while nobody waits: the first ones of a graph are several times slower. */
async function warmUp(name) {
  const { manifest, session } = await loaded(name);
  await new Promise((resolve) => setTimeout(resolve, 300));
  if (running === 0) await session.run(firstFeeds(manifest, new Array(manifest.cells).fill(1)));
}

/** The likeliest token of each cell, and its probability. */
function readBoard(logits, vocabulary) {
  const tokens = [], sure = [];
  for (let start = 0; start < logits.length; start += vocabulary) {
    let best = 0, sum = 0;
    for (let token = 1; token < vocabulary; token++) if (logits[start + token] > logits[start + best]) best = token;
    for (let token = 0; token < vocabulary; token++) sum += Math.exp(logits[start + token] - logits[start + best]);
    tokens.push(best);
    sure.push(1 / sum);
  }
  return { tokens, sure };
}

async function solve({ id, model, puzzle, maxSegments, copies }) {
  const { manifest, session } = await loaded(model);
  const kind = manifest.task, side = manifest.width;
  const begin = performance.now();
  const reason = fault(kind, side, puzzle);
  if (reason !== null) return postMessage({ type: "refused", id, reason });
  let verdict = null;
  for (let copy = 0; copy < copies; copy++) {
    const turned = symmetry(kind, side, copy);
    const feeds = firstFeeds(manifest, apply(turned, puzzle));
    let board = null;
    for (let segment = 0; segment < maxSegments; segment++) {
      const outputs = await session.run(feeds);
      const halting = outputs.halting_value.data[0];
      const read = readBoard(outputs.logits.data, manifest.alphabet.length);
      board = undo(turned, read.tokens);
      postMessage({
        type: "segment", id, copy, tokens: board, sure: moveBack(turned, read.sure), halt: sigmoid(halting),
      });
      for (const [output, input] of Object.entries(manifest.next_states)) feeds[input] = outputs[output];
      // lets messages in: one may say stop
      await new Promise((resolve) => setTimeout(resolve));
      if (running !== id) return undefined;
      if (halting > manifest.halting.threshold_value) break;
    }
    verdict = judge(kind, side, puzzle, board);
    if (verdict.solved) break;
  }
  return postMessage({ type: "done", id, ...verdict, ms: performance.now() - begin });
}

onmessage = async ({ data }) => {
  const begin = performance.now();
  running = data.type === "solve" ? data.id : data.type === "stop" ? 0 : running;
  try {
    if (data.type === "load") {
      await loaded(data.model);
      postMessage({ type: "loaded", model: data.model, ms: performance.now() - begin });
      await warmUp(data.model);
    } else if (data.type === "solve") {
      await solve(data);
      if (running === data.id) running = 0;
    }
  } catch (error) {
    postMessage({ type: "failed", id: data.id, model: data.model, reason: String(error.message || error) });
  }
};
