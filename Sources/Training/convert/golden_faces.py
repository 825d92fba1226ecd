# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what Tests/FacesTests compares with: `python -m convert.golden_faces ../../Tests/FacesTests/Golden`.

Needs `pip install mediapipe==0.10.21 ai-edge-litert==2.3.0 scikit-image==0.26.0`. picture.safetensors is the face out of
NASA's portrait of Eileen Collins (public domain; skimage.data.astronaut); faces.safetensors holds, all made of it,
  detector.boxes, detector.scores  TFLite's answers to the picture's rows and columns 16 ... 143, in -1 ... 1
  mesh.points, mesh.score          TFLite's answers to FACE of the picture, every pixel twice, in 0 ... 1
  track.points                     MediaPipe's mesh in the second of two equal frames, px
  window, crop                     transform and window of those points (geometry.py, prepare.py)
  window3, crop3                   the same of the picture with every pixel three times: larger than the window
"""
import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np
import skimage.data
import torch
from ai_edge_litert.interpreter import Interpreter
from safetensors.torch import save_file

from convert.faces import DETECTOR, MESH, package_file
from data.geometry import MARGIN, STABLE, TEMPLATE, WINDOW, similarity
from data.prepare import windows

FACE = (slice(16, 112), slice(30, 126))  # 96 x 96 px of the picture with the face in the middle


def network(description, picture):
    """Outputs by name of a TFLite network for one picture [H, W, 3]."""
    net = Interpreter(str(package_file(description["file"])))
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], picture[None].astype(np.float32))
    net.invoke()
    return {o["name"]: net.get_tensor(o["index"])[0] for o in net.get_output_details()}


def enlarged(picture, times):
    return picture.repeat(times, 0).repeat(times, 1)


def aligned(picture, points):
    """The window's transform [2, 3] and the window [96, 96, 3]."""
    crop = windows(picture[None], points[None])[0][0, MARGIN:MARGIN + WINDOW, MARGIN:MARGIN + WINDOW]
    return similarity(points[list(STABLE)], TEMPLATE), crop


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    picture = cv2.resize(skimage.data.astronaut()[:288, 80:368], (160, 160), interpolation=cv2.INTER_AREA)
    # bfloat16 holds whole numbers up to 256 exactly
    save_file({"picture": torch.tensor(picture).bfloat16()}, folder / "picture.safetensors")

    found = network(DETECTOR, picture[16:144, 16:144] / 127.5 - 1)
    golden = {"detector.boxes": found["regressors"], "detector.scores": found["classificators"][:, 0]}
    found = network(MESH, enlarged(picture[FACE], 2) / 255)
    golden |= {"mesh.points": found["conv2d_21"].reshape(468, 3), "mesh.score": 1 / (1 + np.exp(-found["conv2d_31"].ravel()))}
    with mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=False) as net:
        for _ in range(2):
            landmarks = net.process(picture).multi_face_landmarks[0].landmark
    points = np.array([(p.x * 160, p.y * 160) for p in landmarks])
    golden["track.points"] = points
    golden["window"], crop = aligned(picture, points)
    golden["window3"], crop3 = aligned(enlarged(picture, 3), 3 * points + 1)
    tensors = {name: torch.tensor(np.asarray(value)).float().contiguous() for name, value in golden.items()}
    tensors |= {"crop": torch.tensor(crop).bfloat16(), "crop3": torch.tensor(crop3).bfloat16()}
    save_file(tensors, folder / "faces.safetensors")


if __name__ == "__main__":
    main()
