# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""How far a dubbed face has drifted from the person's: the distance of dlib's face descriptors (D. King; CC0 weights in
the package face-recognition-models; 128 values, below 0.6 counts as the same person). Landmarks come from our face
mesh."""
from importlib.util import find_spec
from pathlib import Path

import numpy as np

EYES_AND_NOSE = (263, 362, 33, 133, 2)  # dlib's five points, in order: outer and inner corners of the eyes, base of the nose
EVERY = 15  # frames


def descriptors(frames, points):
    """[N, 128]: the descriptors of every 15th of the frames [T, H, W, 3]."""
    import dlib
    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    net = dlib.face_recognition_model_v1(str(folder / "models/dlib_face_recognition_resnet_model_v1.dat"))
    out = []
    for frame, face in zip(frames[::EVERY], points[::EVERY]):
        (x0, y0), (x1, y1) = face.min(0).astype(int), face.max(0).astype(int)
        shape = dlib.full_object_detection(dlib.rectangle(int(x0), int(y0), int(x1), int(y1)),
                                           [dlib.point(*face[i].round().astype(int).tolist()) for i in EYES_AND_NOSE])
        out.append(np.array(net.compute_face_descriptor(np.ascontiguousarray(frame), shape)))
    return np.stack(out)


def distance(a, b):
    """Mean distance between descriptors at the same times."""
    n = min(len(a), len(b))
    return float(np.linalg.norm(a[:n] - b[:n], axis=1).mean())
