# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The face window: where the lower face is cut out of a frame, in training and at run time (Sources/Faces/Alignment.swift).

A window is 96 x 96 px. A similarity transform brings ten points of the face mesh that do not move with the mouth
(eye corners, nose bridge, forehead) onto TEMPLATE by least squares, so that the eye centres lie 48 px apart and 12 px
above the window's top edge. Rows from MASK_TOP down are what the model paints.
"""
import numpy as np

WINDOW = 96      # px, width and height of the window
MARGIN = 16      # px kept around the window in prepared clips, room for augmentation
MASK_TOP = 28    # px, first row that is painted: just under the nose
STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 9, 151)  # face-mesh points that do not move with the mouth
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
        78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415)

# Mean of the STABLE points over the training clips, mirrored and brought to the window's position and scale
# (`python prepare.py template --cache CACHE` prints the mean). [10, 2], x right, y down, px in the window.
TEMPLATE = np.array([[13.45, -12.57], [34.55, -11.44], [61.45, -11.44], [82.55, -12.57], [48.0, -15.57],
                     [48.0, -9.22], [48.0, -3.12], [48.0, 2.59], [48.0, -28.46], [48.0, -42.64]])


def similarity(points, template):
    """[2, 3] matrix of the least-squares similarity that takes points [N, 2] to template [N, 2] (Umeyama 1991)."""
    mp, mt = points.mean(0), template.mean(0)
    p, q = points - mp, template - mt
    scale = (p * p).sum()
    a = (p * q).sum() / scale
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / scale
    r = np.array([[a, -b], [b, a]])
    return np.column_stack([r, mt - r @ mp])
