# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the face networks out of the installed mediapipe package: `python -m convert.faces OUT.safetensors`.

Needs `pip install mediapipe==0.10.21 tflite==2.18.0 safetensors`; the networks are Apache-2.0 (meta/THIRD_PARTY.md).
OUT holds the weights as float16, as they are in the package, in PyTorch's layout, under the names that
Sources/Faces/FaceDetector.swift and FaceMesh.swift ask for. Both networks are chains of one block, a depthwise 3 x 3 and
a pointwise convolution beside a shortcut, so the operators of one kind, in the order of the file, are told apart by counting.
"""
import importlib.util
import sys
from pathlib import Path

import numpy as np
import tflite
from safetensors.numpy import save_file

BLOCKS = [f"block{i}" for i in range(1, 15)]
DETECTOR = {  # BlazeFace short range, 128 x 128 px, 896 anchors (Bazarevsky et al., arXiv 1907.05047)
    "file": "modules/face_detection/face_detection_short_range.tflite",
    "CONV_2D": ["input"] + [f"block{i}.pointwise" for i in range(1, 17)]
    + ["scores1", "scores2", "boxes1", "boxes2"],
    "DEPTHWISE_CONV_2D": [f"block{i}.depthwise" for i in range(1, 17)],
    "PRELU": [],
}
BRANCHES = ["points.block1", "points.block2", "score.block1", "points.block3"]
MESH = {  # 468-point face mesh, 192 x 192 px (Kartynnik et al., arXiv 1907.06724)
    "file": "modules/face_landmark/face_landmark.tflite",
    "CONV_2D": ["input"] + [f"{b}.pointwise" for b in BLOCKS + BRANCHES] + ["score.reduce", "points.reduce"]
    + ["score.block2.pointwise", "points.block4.pointwise", "score.output", "points.output"],
    "DEPTHWISE_CONV_2D": [f"{b}.depthwise" for b in BLOCKS + BRANCHES + ["score.block2", "points.block4"]],
    "PRELU": ["input.slope"] + [f"{b}.slope" for b in BLOCKS + BRANCHES]
    + ["score.reduce.slope", "points.reduce.slope", "score.block2.slope", "points.block4.slope"],
}


def package_file(name):
    """A file of the installed mediapipe package, found without importing it."""
    return Path(importlib.util.find_spec("mediapipe").submodule_search_locations[0]) / name


def constants(model, graph):
    """{tensor index: array} of every constant, through the DEQUANTIZE operators that widen float16 to float32."""
    arrays = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength() and tensor.Type() in (tflite.TensorType.FLOAT16, tflite.TensorType.FLOAT32):
            kind = np.float16 if tensor.Type() == tflite.TensorType.FLOAT16 else np.float32
            arrays[i] = buffer.DataAsNumpy().view(kind).reshape(tensor.ShapeAsNumpy())
    for name, operator in operators(model, graph):
        if name == "DEQUANTIZE":
            arrays[operator.Outputs(0)] = arrays[operator.Inputs(0)]
    return arrays


def operators(model, graph):
    names = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        yield names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())], operator


def convert(network, prefix):
    """{name: float16 array in PyTorch layout} of one network."""
    model = tflite.Model.GetRootAsModel(package_file(network["file"]).read_bytes(), 0)
    graph = model.Subgraphs(0)
    arrays, tensors, seen = constants(model, graph), {}, {}
    for kind, operator in operators(model, graph):
        if kind not in network:
            continue
        place = seen[kind] = seen.get(kind, -1) + 1
        name, weight = f"{prefix}.{network[kind][place]}", arrays[operator.Inputs(1)]
        if kind == "PRELU":
            tensors[name] = weight.reshape(-1)
            continue
        # TFLite: convolution [O, K, K, I], depthwise [1, K, K, C]; PyTorch: [O, I, K, K], [C, 1, K, K]
        tensors[f"{name}.weight"] = weight.transpose((0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2))
        tensors[f"{name}.bias"] = arrays[operator.Inputs(2)]
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "PRELU"):
        if seen.get(kind, -1) + 1 != len(network[kind]):
            sys.exit(f"{network['file']}: {kind} {seen[kind] + 1} times, expected {len(network[kind])}")
    return {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in tensors.items()}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    save_file(convert(DETECTOR, "faces.detector") | convert(MESH, "faces.mesh"), sys.argv[1])


if __name__ == "__main__":
    main()
