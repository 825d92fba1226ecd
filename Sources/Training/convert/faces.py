# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Extracts the face networks from the installed mediapipe package: `python -m convert.faces OUT.safetensors`.

The networks are Apache-2.0 (meta/THIRD_PARTY.md). OUT holds the weights as float16, as in the package, in PyTorch's
layout, under the names used by Sources/Faces/FaceDetector.swift, FaceMesh.swift and Lips.swift. All three networks are
chains of one kind of block, a depthwise 3 x 3 and a pointwise convolution with a residual connection, so operators of
the same kind are identified by their order in the file.
"""
import sys

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator, TensorType
from safetensors.numpy import save_file

from data.landmarks import BASE, DETECTOR, LIPS_STAGE, part


def chain(first, blocks, outputs):
    """Operators by kind: the convolutions `first`, blocks with PReLU, the last of them after `reduce`, then the outputs."""
    names = [f"block{i}" for i in range(1, blocks)] + ["reduce", f"block{blocks}"]
    return {
        "CONV_2D": first + [name if name == "reduce" else f"{name}.pointwise" for name in names] + outputs,
        "DEPTHWISE_CONV_2D": [f"{name}.depthwise" for name in names if name != "reduce"],
        "PRELU": [f"{name}.slope" for name in first + names],
    }


NETWORKS = {  # BlazeFace short range (Bazarevsky et al., arXiv 1907.05047); attention mesh (Grishchenko et al., 2006.10962)
    "detector": (DETECTOR, {
        "CONV_2D": ["input"] + [f"block{i}.pointwise" for i in range(1, 17)]
        + ["scores1", "scores2", "boxes1", "boxes2"],
        "DEPTHWISE_CONV_2D": [f"block{i}.depthwise" for i in range(1, 17)],
        "PRELU": [],
    }),
    "mesh": (BASE, chain(["input"], 18, ["points", "score"])),
    "lips": (LIPS_STAGE, chain([], 12, ["points"])),
}


def operators(model):
    names = {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        yield names[max(code.builtinCode, code.deprecatedBuiltinCode)], operator


def constants(model):
    """{tensor index: array} of every constant, also through the DEQUANTIZE operators that widen float16 to float32."""
    arrays, kinds = {}, {TensorType.FLOAT16: np.float16, TensorType.FLOAT32: np.float32}
    for i, tensor in enumerate(model.subgraphs[0].tensors):
        values = model.buffers[tensor.buffer].data
        if values is not None and tensor.type in kinds:
            arrays[i] = np.asarray(values, np.uint8).view(kinds[tensor.type]).reshape(tensor.shape)
    for kind, operator in operators(model):
        if kind == "DEQUANTIZE":
            arrays[operator.outputs[0]] = arrays[operator.inputs[0]]
    return arrays


def convert(name, source, names):
    """{name: float16 array in PyTorch layout} of one network."""
    model = part(*source)
    arrays, tensors, seen = constants(model), {}, dict.fromkeys(names, 0)
    for kind, operator in operators(model):
        if kind not in names:
            continue
        if seen[kind] == len(names[kind]):
            sys.exit(f"{source[0]}, {name}: {kind} more often than {seen[kind]} times")
        place, weight = f"faces.{name}.{names[kind][seen[kind]]}", arrays[operator.inputs[1]]
        seen[kind] += 1
        if kind == "PRELU":
            tensors[place] = weight.reshape(-1)
            continue
        # TFLite: convolution [O, K, K, I], depthwise [1, K, K, C]; PyTorch: [O, I, K, K], [C, 1, K, K]
        tensors[f"{place}.weight"] = weight.transpose((0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2))
        tensors[f"{place}.bias"] = arrays[operator.inputs[2]]
    if any(seen[kind] < len(names[kind]) for kind in names):
        sys.exit(f"{source[0]}, {name}: {seen}, expected more")
    return {place: np.ascontiguousarray(array, dtype=np.float16) for place, array in tensors.items()}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tensors = {}
    for name, (source, names) in NETWORKS.items():
        tensors |= convert(name, source, names)
    save_file(tensors, sys.argv[1])


if __name__ == "__main__":
    main()
