# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what Tests/FacesTests compares with: `python -m convert.golden_faces ../../Tests/FacesTests/Golden`.

Needs `pip install scikit-image==0.26.0` besides. picture.safetensors is the face out of NASA's portrait of Eileen Collins
(public domain; skimage.data.astronaut); faces.safetensors holds, all made of it,
  detector.boxes, detector.scores  TFLite's answers to the picture's rows and columns 16 ... 143, in -1 ... 1
  mesh.points, mesh.score          TFLite's answers to FACE of the picture, every pixel twice, in 0 ... 1
  lips.grid                        the grid [3, 2] around those lips: a step right, a step down, the corner, px of the features
  lips.features, lips.answers      what the lips stage sees there in the features, and TFLite's answers to it
  lips.places                      those answers in px of the picture
  lips.refined                     all points after two looks, the skin moved along
  edge.features, edge.grid, edge.samples  numbers in a grid that is turned and lies partly outside of them
  track.points                     the mesh in a frame (landmarks.py), px
  dark.points                      the same, every level a quarter, every pixel six times
  window, crop                     transform and window of track.points (geometry.py)
  window3, crop3                   the same of the picture with every pixel three times: larger than the window
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

FACE = (slice(16, 112), slice(30, 126))  # 96 x 96 px of the picture with the face in the middle


def enlarged(picture, times):
    return picture.repeat(times, 0).repeat(times, 1)


def aligned(picture, points):
    """The window's transform [2, 3] and the window [96, 96, 3] as the element cuts it: bilinear, where training is cubic."""
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
    # bfloat16 holds whole numbers up to 256 exactly
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
