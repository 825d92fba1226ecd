# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The face mesh of every frame of a video, computed as in the element: twin of Sources/Faces/FaceMesh.swift and
FaceTracker.swift.

MediaPipe's attention mesh (Grishchenko et al., arXiv 2006.10962) without the eye refinement: 468 points from an upright
square around the face, with the lips refined from the network's features around them. The networks are those of the
mediapipe package, run by TFLite on one thread; MediaPipe's three custom operations between them are implemented here.

As in Swift, a transform is a [2, 3] matrix, integer coordinates are pixel centres, and a detection is (box, score,
keypoints): box x, y, width, height; keypoints [6, 2] the person's right eye, left eye, nose tip, mouth, right ear, left
ear; all in px of the frame.
"""
import functools
import importlib.util
from pathlib import Path

import cv2
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from data.geometry import EYES, MOUTH, STABLE, TEMPLATE, similarity

MESH_FILE = "modules/face_landmark/face_landmark_with_attention.tflite"
# File, inputs, outputs.
DETECTOR = "modules/face_detection/face_detection_short_range.tflite", ["input"], ["regressors", "classificators"]
BASE = MESH_FILE, ["input_1"], ["output_mesh", "p_re_lu_3", "conv_faceflag"]
LIPS_STAGE = MESH_FILE, ["transform_tensor_bilinear_v2"], ["conv_lips"]

SIDE = 192  # px, the mesh network's input
GRID, FEATURES = 16, 48  # rows and columns of the lip network's grid, and of the features it is sampled from
BRIGHTNESS = 0.45  # the mean to which darker inputs are brightened
DARKEST = 0.05  # the darkest mean that is fully brightened, which limits the gain to 9
REACH = 0.4  # distance from the lips within which skin moves along, in widths of the lips
TILE = 128  # px, the detector's input
SURE = 0.5  # minimum score of a detection and of a mesh
SAME_FACE = 0.3  # IoU above which two boxes are the same face
CORNERS = 61, 291  # points: corners of the lips
# The lip network's points, in order: the outer lip edge, the inner lip edge, and two rings between them.
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
        76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
        62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407)


def package_file(name):
    """A file of the installed mediapipe package, located without importing it."""
    return Path(importlib.util.find_spec("mediapipe").submodule_search_locations[0]) / name


def part(name, inputs, outputs):
    """schema.ModelT: the part of a TFLite file between the tensors with these names."""
    model = schema.ModelT.InitFromPackedBuf(package_file(name).read_bytes())
    graph = model.subgraphs[0]
    index = {tensor.name.decode(): i for i, tensor in enumerate(graph.tensors)}
    begin, end = [index[name] for name in inputs], [index[name] for name in outputs]
    needed, kept = set(end), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs) and not set(begin).intersection(operator.outputs):
            needed.update(operator.inputs)
            kept.insert(0, operator)
    # An interpreter rejects a file that lists operators it does not know, even unused ones.
    codes = sorted({operator.opcodeIndex for operator in kept})
    for operator in kept:
        operator.opcodeIndex = codes.index(operator.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[code] for code in codes]
    model.signatureDefs = model.metadata = None
    graph.operators, graph.inputs, graph.outputs = kept, np.int32(begin), np.int32(end)
    return model


class Network:
    """Part of a TFLite file: input [...] without the leading 1 -> its outputs in order, likewise."""

    def __init__(self, name, inputs, outputs):
        builder = flatbuffers.Builder()
        builder.Finish(part(name, inputs, outputs).Pack(builder), b"TFL3")
        self.net = Interpreter(model_content=bytes(builder.Output()), num_threads=1)
        self.net.allocate_tensors()
        self.input = self.net.get_input_details()[0]["index"]
        self.outputs = [output["index"] for output in self.net.get_output_details()]

    def __call__(self, x):
        self.net.set_tensor(self.input, x[None].astype(np.float32))
        self.net.invoke()
        return [self.net.get_tensor(i)[0] for i in self.outputs]


# Created on first use in each process.
@functools.cache
def detector():
    """[128, 128, 3] in -1 ... 1 -> boxes and keypoints [896, 16] around the anchors in px, scores [896, 1] before the sigmoid."""
    return Network(*DETECTOR)


@functools.cache
def base():
    """[192, 192, 3] in 0 ... 1 -> points [1, 1, 1404], features [48, 48, 32], score [1, 1, 1] before the sigmoid."""
    return Network(*BASE)


@functools.cache
def lips():
    """Features [16, 16, 32] -> points [1, 1, 160] in quarters of grid px."""
    return Network(*LIPS_STAGE)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix, points):
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


# Lip refinement

def lips_transform(points):
    """Landmarks2TransformMatrix: the transform from px of the lip network's grid to px of all features, for points
    [468, 2] in px of the input. The grid is parallel to the line between the lips' corners, and 1.5 times as wide and
    high as the lips."""
    points = points * (FEATURES / SIDE)
    along = points[CORNERS[1]] - points[CORNERS[0]]
    c, s = along / max(np.hypot(*along), 1e-6)
    turn = np.array([[c, -s], [s, c]])  # upright -> as in the input
    level = points[list(LIPS)] @ turn
    low, high = level.min(0), level.max(0)
    linear = turn * (1.5 * (high - low) / GRID)
    return np.column_stack([linear, turn @ ((low + high) / 2) - linear @ [GRID / 2, GRID / 2]])


def sampled(features, matrix):
    """TransformTensorBilinear: samples features [H, W, C] on the grid [16, 16, C], zero outside. Grids align at their
    edges, so pixel centres are at halves."""
    height, width = features.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(GRID), np.arange(GRID)), -1) + 0.5
    place = apply(matrix, grid) - 0.5
    inside = (place >= 0).all(-1) & (place <= [width - 1, height - 1]).all(-1)
    place = np.where(inside[..., None], place, 0)
    x, y = np.moveaxis(place.astype(int), -1, 0)
    u, v = np.moveaxis((place % 1).astype(np.float32)[..., None], -2, 0)
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    above = features[y, x] * (1 - u) + features[y, right] * u
    under = features[below, x] * (1 - u) + features[below, right] * u
    return (above * (1 - v) + under * v) * inside[..., None]


def lips_places(answers, matrix):
    """TransformLandmarks: the lip network's output [80, 2] in px of the input. It is in quarters of grid px, and input
    px are quarters of feature px."""
    return answers @ matrix[:, :2].T + SIDE / FEATURES * matrix[:, 2]


def refined(points, features):
    """Points [468, 3] with refined lips, in px of the input. It runs twice, the second time around the lips that the
    first run found, which halves the gap that it leaves in a closed mouth. Depth stays the mesh's."""
    moved = points.copy()
    for _ in range(2):
        matrix = lips_transform(moved[:, :2])
        moved[list(LIPS), :2] = lips_places(lips()(sampled(features, matrix))[0].reshape(-1, 2), matrix)
    return spread(points, moved)


def spread(points, moved):
    """moved [468, 3], which differs from points only in the lips, with the skin around the lips moved along so that no
    triangle folds. Skin moves by the mean of the outline's motions, weighted by 1 / distance^4, and less with the
    distance from the nearest outline point, down to nothing at REACH widths of the lips."""
    outline, lip = list(LIPS[:20]), np.zeros(len(points), bool)
    lip[list(LIPS)] = True
    distance = ((points[~lip, None, :2] - points[outline, :2]) ** 2).sum(-1) + 1e-6  # squared
    weight = 1 / distance ** 2
    move = weight @ (moved[outline, :2] - points[outline, :2]) / weight.sum(1, keepdims=True)
    reach = REACH * np.hypot(*(points[CORNERS[1], :2] - points[CORNERS[0], :2]))
    share = 1 - np.sqrt(distance.min(1)) / max(reach, 1e-6)
    result = moved.copy()
    result[~lip, :2] += np.clip(share, 0, 1)[:, None] * move
    return result


# The mesh

def region(middle, size, right, left):
    """The input region for a face: frame px -> input px of an upright square 1.5 times as wide as the face, in which
    the line between the eyes is horizontal."""
    angle, scale = np.arctan2(left[1] - right[1], left[0] - right[0]), SIDE / (1.5 * size)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, s], [-s, c]])
    return np.column_stack([turn, (SIDE - 1) / 2 - turn @ middle])


def region_of_points(points):
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return region((low + high) / 2, (high - low).max(), points[EYES[0], :2], points[EYES[1], :2])


def region_of_detection(detection):
    box, _, keypoints = detection
    return region(box[:2] + box[2:] / 2, box[2:].max(), keypoints[0], keypoints[1])


def picture(frame, matrix):
    """The mesh network's input [192, 192, 3] in 0 ... 1. Bilinear, or the mean of 2 x 2 samples when downscaling by
    more than 2; brightened if dark."""
    fine = 2 if np.hypot(matrix[0, 0], matrix[1, 0]) < 0.5 else 1
    dense = np.column_stack([matrix[:, :2] * fine, matrix[:, 2] * fine + (fine - 1) / 2])
    crop = cv2.warpAffine(frame, dense, (SIDE * fine, SIDE * fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    crop = cv2.resize(crop.astype(np.float32) / 255, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.minimum(crop * BRIGHTNESS / min(max(crop.mean(), DARKEST), BRIGHTNESS), 1)


def run_mesh(frame, matrix):
    """Points [468, 3] in frame px, with depth in the same unit (smaller is nearer), and the score of the face in a region."""
    answers, features, score = base()(picture(frame, matrix))
    points = refined(answers.reshape(468, 3).astype(float), features)
    # The network's coordinates start at the image's corner, a frame's at the centre of its first pixel.
    places = inverse(matrix, points[:, :2] - 0.5)
    depth = points[:, 2:] / np.hypot(matrix[0, 0], matrix[1, 0])
    return np.column_stack([places, depth]), sigmoid(score.item())


def fit_mesh(frame, matrix):
    """The points of the face in a region; None if the mesh finds none, or its mouth is outside the frame."""
    points, score = run_mesh(frame, matrix)
    if score < SURE or not np.isfinite(points).all():
        return None
    x, y = inverse(similarity(points[list(STABLE), :2], TEMPLATE), np.array(MOUTH))
    return points if 0 <= x < frame.shape[1] and 0 <= y < frame.shape[0] else None


# The detector

def anchors():
    """[896, 2], relative to the input: the centres of 16 x 16 cells with two boxes each, and of 8 x 8 cells with six
    boxes each."""
    return np.array([((x + 0.5) / cells, (y + 0.5) / cells) for cells, boxes in ((16, 2), (8, 6))
                     for y in range(cells) for x in range(cells) for _ in range(boxes)])


def tile(frame, x, y, side):
    """A square of the frame, downscaled to the detector's input [128, 128, 3] in -1 ... 1, black outside the frame. A
    pixel is the mean of 2 x 2 of the frame's."""
    scale, inside, samples = side / TILE, [], []
    for start, size in ((y, frame.shape[0]), (x, frame.shape[1])):
        centers = start + np.arange(TILE) * scale
        inside.append((centers > -0.5) & (centers < size - 0.5))
        pairs = centers[inside[-1], None] + [-scale / 4, scale / 4]
        samples.append(np.clip(np.floor(pairs + 0.5), 0, size - 1).astype(int).ravel())
    colors = frame[np.ix_(*samples)].reshape(len(samples[0]) // 2, 2, len(samples[1]) // 2, 2, 3).mean((1, 3))
    result = np.full((TILE, TILE, 3), -1, np.float32)
    result[np.ix_(*inside)] = colors / 127.5 - 1
    return result


def overlap(a, b):
    """Intersection over union of two boxes."""
    width, height = np.maximum(np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2]), 0)
    return width * height / max(a[2] * a[3] + b[2] * b[3] - width * height, 1e-30)


def detections(frame, x, y, side):
    """The detections in a square of the frame."""
    pairs, scores = detector()(tile(frame, x, y, side))
    pairs, scores = pairs.reshape(-1, 8, 2) / TILE, sigmoid(scores[:, 0].astype(float))
    corner, found = np.array([x, y]), []
    for pair, anchor, score in zip(pairs, anchors(), scores):
        if score >= SURE and (pair[1] > 0).all():
            size = pair[1] * side
            box = np.concatenate([corner + (anchor + pair[0]) * side - size / 2, size])
            found.append((box, score, corner + (anchor + pair[2:]) * side))
    return found


def merged(found):
    """Weighted non-maximum suppression: overlapping boxes become their mean, weighted by score. Best first."""
    rest, faces = sorted(found, key=lambda detection: -detection[1]), []
    while rest:
        best = rest[0]
        same = [d for d in rest if d is best or overlap(d[0], best[0]) > SAME_FACE]
        rest = [d for d in rest if d is not best and overlap(d[0], best[0]) <= SAME_FACE]
        box, keypoints = (np.average([d[k] for d in same], 0, [d[1] for d in same]) for k in (0, 2))
        faces.append((box, best[1], keypoints))
    return faces


def levels(width, height):
    """The squares (x, y, side) to search: the whole frame, then tiles of a third and of a sixth of its longer side that
    overlap by at least a third."""
    longer = max(width, height)

    def starts(length, side):
        rest = length - side
        return np.linspace(0, rest, int(np.ceil(rest / (side * 2 / 3))) + 1) if rest > 0 else [rest / 2]

    for side in [longer] + [part for part in (longer / 3, longer / 6) if part >= TILE]:
        yield [(x, y, side) for y in starts(height, side) for x in starts(width, side)]


# A video

def box_of(points):
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return np.concatenate([low, high - low])


def find(frame):
    """The points of the largest face in a frame, None if there is none. Unlike the element, it searches every frame
    completely."""
    for squares in levels(frame.shape[1], frame.shape[0]):
        seen = merged([detection for square in squares for detection in detections(frame, *square)])
        faces = [face for face in (fit_mesh(frame, region_of_detection(d)) for d in seen) if face is not None]
        if faces:
            # The detector's region is rough; run the mesh again on the region it will be tracked in.
            return track(frame, max(faces, key=lambda face: box_of(face)[2:].prod()))
    return None


def track(frame, points):
    """The points of the face that was at `points` in the previous frame; if the mesh finds none, of the one the
    detector finds there."""
    face = fit_mesh(frame, region_of_points(points))
    if face is not None:
        return face
    box = box_of(points)
    side = 3 * box[2:].max()
    for detection in merged(detections(frame, *(box[:2] + box[2:] / 2 - side / 2), side)):
        if overlap(detection[0], box) > SAME_FACE:
            face = fit_mesh(frame, region_of_detection(detection))
            if face is not None:
                return face
    return None


def mesh(frames):
    """float32 [T, 468, 3] from RGB frames uint8 [T, H, W, 3]: x, y in frame px, depth in the same unit, NaN where no
    face is found. The largest face is tracked until it is lost."""
    result, points = np.full((len(frames), 468, 3), np.nan, np.float32), None
    for t, frame in enumerate(frames):
        points = track(frame, points) if points is not None else None
        if points is None:
            points = find(frame)
        if points is not None:
            result[t] = points
    return result
