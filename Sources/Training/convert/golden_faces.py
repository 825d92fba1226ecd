# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden values of Tests/FacesTests: `python -m convert.golden_faces ../../Tests/FacesTests/Golden`.

Also needs `pip install scikit-image==0.26.0`. picture.safetensors is the face from NASA's portrait of Eileen Collins
(public domain; skimage.data.astronaut). faces.safetensors holds, all computed from it,
  detector.boxes, detector.scores  TFLite's output for the image's rows and columns 16 ... 143, in -1 ... 1
  mesh.points, mesh.score          TFLite's output for FACE, every pixel doubled, in 0 ... 1
  lips.grid                        the grid [3, 2] around those lips: a step right, a step down, the corner, px of the features
  lips.features, lips.answers      the features sampled on the grid, and TFLite's output for them
  lips.places                      that output in px of the image
  lips.refined                     all points after two refinements, with the skin moved along
  edge.features, edge.grid, edge.samples  numbers sampled on a rotated grid that is partly outside
  track.points                     the mesh in a frame (landmarks.py), px
  dark.points                      the same with every level quartered and every pixel enlarged six times
  window, crop                     the alignment and crop for track.points (geometry.py)
  window3, crop3                   the same with every pixel enlarged three times: larger than the window
"""
import sys
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from safetensors.torch import save_file

from data import landmarks
from data.geometry import STABLE, TEMPLATE, WINDOW, similarity

FACE = (slice(16, 112), slice(30, 126))  # 96 x 96 px of the image, with the face in the middle


def enlarged(picture, times):
    return picture.repeat(times, 0).repeat(times, 1)


def aligned(picture, points):
    """The window's transform [2, 3] and its crop [80, 80, 3], bilinear as in the element; training uses cubic
    interpolation."""
    matrix = similarity(points[list(STABLE)], TEMPLATE)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    if scale < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    return matrix, cv2.warpAffine(picture, matrix, (WINDOW, WINDOW), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def networks(picture):
    boxes, scores = landmarks.detector()(picture[16:144, 16:144] / 127.5 - 1)
    points, features, score = landmarks.base()(enlarged(picture[FACE], 2) / 255)
    points = points.reshape(468, 3).astype(float)
    grid = landmarks.lips_transform(points[:, :2])
    seen = landmarks.sampled(features, grid)
    answers = landmarks.lips()(seen)[0].reshape(80, 2)
    return {
        "detector.boxes": boxes, "detector.scores": scores[:, 0],
        "mesh.points": points, "mesh.score": landmarks.sigmoid(score.ravel()),
        "lips.grid": grid.T, "lips.features": seen, "lips.answers": answers,
        "lips.places": landmarks.lips_places(answers, grid), "lips.refined": landmarks.refined(points, features),
    }


def edge():
    features = np.random.default_rng(0).random((7, 6, 2))
    grid = np.array([[0.4, -0.1, 0.7], [0.15, 0.5, -0.8]])
    return {"edge.features": features, "edge.grid": grid.T, "edge.samples": landmarks.sampled(features, grid)}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    picture = cv2.resize(skimage.data.astronaut()[:288, 80:368], (160, 160), interpolation=cv2.INTER_AREA)
    # bfloat16 represents integers up to 256 exactly
    save_file({"picture": torch.tensor(picture).bfloat16()}, folder / "picture.safetensors")

    points = landmarks.mesh(picture[None])[0]
    golden = networks(picture) | edge()
    golden |= {"track.points": points, "dark.points": landmarks.mesh(enlarged(picture // 4, 6)[None])[0]}
    places = points[:, :2].astype(float)
    golden["window"], crop = aligned(picture, places)
    golden["window3"], crop3 = aligned(enlarged(picture, 3), 3 * places + 1)
    tensors = {name: torch.tensor(np.asarray(value)).float().contiguous() for name, value in golden.items()}
    tensors |= {"crop": torch.tensor(crop).bfloat16(), "crop3": torch.tensor(crop3).bfloat16()}
    save_file(tensors, folder / "faces.safetensors")


if __name__ == "__main__":
    main()
