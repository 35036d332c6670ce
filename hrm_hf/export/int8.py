"""Weights of a float32 ONNX graph as int8, and the products with them in integers.

Every product of hidden states with a large weight matrix becomes a `MatMulInteger`: the weight rounded to int8 with
one scale per output channel, the hidden states to uint8 with one scale per position. So the answer to a puzzle does
not depend on the rest of the batch, as it would with onnxruntime's `quantize_dynamic`, which has one scale per tensor.
Token head, halting head and embeddings stay float32.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


# 7 bits per weight: 255 * 63 * 2 fits into the 16 bits in which CPUs without VNNI add pairs of products
_LARGEST_WEIGHT = 63
_LEAST_CHANNELS = 32
_HEADS = {"lm_head", "q_head"}


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float32 graph with its large weight matrices as int8.

    Raises:
        ValueError: if the graph has no such matrix.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and min(tensor.dims) >= _LEAST_CHANNELS
    }
    nodes, replaced, rounded = [], {}, {}
    for node in graph.node:
        # the name of a node has the modules that it is in
        is_head = not _HEADS.isdisjoint(node.name.split("/"))
        if node.op_type != "MatMul" or node.input[1] not in weights or is_head:
            nodes.append(node)
            continue
        hidden_states, weight = node.input
        if hidden_states not in rounded:  # one tensor may be in several products
            rounded[hidden_states] = f"{hidden_states}/rounded"
            nodes += _round_states(hidden_states, rounded[hidden_states])
        if weight not in replaced:
            replaced[weight] = _round_weight(numpy_helper.to_array(weights[weight]))
        nodes += _integer_product(rounded[hidden_states], weight, node.output[0])
    if not replaced:
        raise ValueError("The graph has no product with a weight matrix that could be int8; export it without int8.")
    others = [tensor for tensor in graph.initializer if tensor.name not in replaced]
    for weight, (values, scales) in replaced.items():
        others.append(numpy_helper.from_array(values, f"{weight}/int8"))
        others.append(numpy_helper.from_array(scales, f"{weight}/scale"))
    for name, value in _CONSTANTS.items():
        others.append(numpy_helper.from_array(np.array(value), name))
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(others)
    onnx.checker.check_model(result)
    return result


_CONSTANTS = {
    "int8/step": np.float32(1 / 127),
    "int8/least": np.float32(1e-12),  # of a scale: a position may be all zeros
    # a cast truncates, so adding a half rounds
    "int8/middle_and_half": np.float32(128.5),
    "int8/middle": np.uint8(128),
}


def _round_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight `(inputs, outputs)` as int8, and the scales `(outputs,)`."""
    scales = np.maximum(np.abs(weight).max(axis=0) / _LARGEST_WEIGHT, 1e-12).astype(np.float32)
    return np.round(weight / scales).astype(np.int8), scales


def _round_states(name: str, rounded: str) -> list[onnx.NodeProto]:
    """Nodes that make uint8 values `rounded` and the scale of each position of the float tensor `name`."""
    return [
        helper.make_node("Abs", [name], [f"{rounded}/abs"]),
        helper.make_node("ReduceMax", [f"{rounded}/abs"], [f"{rounded}/max"], axes=[-1], keepdims=1),
        helper.make_node("Mul", [f"{rounded}/max", "int8/step"], [f"{rounded}/step"]),
        helper.make_node("Max", [f"{rounded}/step", "int8/least"], [f"{rounded}/scale"]),
        helper.make_node("Div", [name, f"{rounded}/scale"], [f"{rounded}/scaled"]),
        helper.make_node("Add", [f"{rounded}/scaled", "int8/middle_and_half"], [f"{rounded}/shifted"]),
        helper.make_node("Cast", [f"{rounded}/shifted"], [rounded], to=TensorProto.UINT8),
    ]


def _integer_product(rounded: str, weight: str, output: str) -> list[onnx.NodeProto]:
    """Nodes for the product of rounded states with a rounded weight, scaled back to float."""
    return [
        helper.make_node("MatMulInteger", [rounded, f"{weight}/int8", "int8/middle"], [f"{output}/integer"]),
        helper.make_node("Cast", [f"{output}/integer"], [f"{output}/float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}/float", f"{weight}/scale"], [f"{output}/channels"]),
        helper.make_node("Mul", [f"{output}/channels", f"{rounded}/scale"], [output]),
    ]
