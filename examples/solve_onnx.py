"""Solve a Sudoku with an exported model, only with numpy and onnxruntime.

hrm-hf export hrm_hf/pretrained/sudoku-hard --format onnx --out onnx/sudoku-hard
python examples/solve_onnx.py onnx/sudoku-hard PUZZLE      # a line of 81 cells, . for a blank one
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


folder, puzzle = Path(sys.argv[1]), sys.argv[2]
precision = sys.argv[3] if len(sys.argv) > 3 else "int8"
manifest = json.loads((folder / "manifest.json").read_text())
session = onnxruntime.InferenceSession(str(folder / manifest["files"][precision]["name"]))
alphabet = manifest["alphabet"]
# padding and a blank cell look the same, so the last token with this symbol is meant
token_of = {symbol: token for token, symbol in enumerate(alphabet)}
inputs = {"input_ids": np.array([[token_of[symbol] for symbol in puzzle]])}
for name, start in manifest["start_states"].items():
    inputs[name] = np.tile(np.float32(start), (1, manifest["positions"], 1))
names = [output["name"] for output in manifest["outputs"]]
segments = 0
while segments < 64:
    segments += 1
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    inputs |= {state: outputs[output] for output, state in manifest["next_states"].items()}
    if outputs["halting_value"][0] > manifest["halting"]["threshold_value"]:
        break

size = manifest["width"]
board = outputs["logits"][0].argmax(-1).reshape(size, size)
print("\n".join(" ".join(alphabet[token] for token in row) for row in board))
boxes = board.reshape(size // manifest["box_height"], manifest["box_height"], -1, manifest["box_width"])
units = [*board, *board.T, *boxes.swapaxes(1, 2).reshape(size, size)]
keeps_clues = all(clue in (".", alphabet[token]) for clue, token in zip(puzzle, board.flat, strict=True))
solved = keeps_clues and all(set(unit) == set(range(2, size + 2)) for unit in units)
print(f"{'solved' if solved else 'not solved'} after {segments} segments")
sys.exit(0 if solved else 2)
