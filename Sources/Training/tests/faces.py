# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: a real face (the sample portrait, NASA), a synthetic geometry over its mesh, a clip of it speaking,
and small networks."""
import functools
from pathlib import Path

import cv2
import numpy as np
import torch

from data import shape
from data.clips import Clip
from data.geometry import LOWER_INNER, UPPER_INNER, Basis, Pose
from data.landmarks import mesh
from data.prepare import windows
from networks.config import Config
from networks.model import SyncDiff

META = Path(__file__).parents[3] / "meta"
PORTRAIT = META / "sample/portrait.jpg"


@functools.cache
def portrait():
    """RGB [H, W, 3] and its mesh [468, 3], px."""
    picture = cv2.imread(str(PORTRAIT))[..., ::-1]
    return picture, mesh(picture[None])[0].astype(np.float64)


def jaw(canonical):
    """[468, 3]: what one unit of an opening mouth does: all from the lower lip down goes down, by an outer eye distance in the
    middle, less towards the corners of the mouth."""
    (x, y), rim = canonical[:, :2].T, canonical[list(LOWER_INNER)]
    out = np.zeros((468, 3))
    out[:, 1] = (y > np.interp(x, rim[:, 0], rim[:, 1]) - 1e-9) * np.clip(1 - (x / rim[-1, 0]) ** 2, 0, 1)
    return out


def closed(points):
    """Meshes [..., 468, N] whose lips meet half-way."""
    out = points.copy()
    middle = (points[..., UPPER_INNER, :] + points[..., LOWER_INNER, :]) / 2
    out[..., UPPER_INNER, :] = out[..., LOWER_INNER, :] = middle
    return out


@functools.cache
def geometry():
    """The tensors of a Basis, as shape.py would learn them from mouths that open and do a little of many other things."""
    rng = np.random.default_rng(0)
    canonical = shape.canonical_face(portrait()[1][None])
    low = np.flatnonzero((shape.share(canonical) > 0) & (canonical[:, 1] > canonical[4, 1]))
    centres = canonical[rng.choice(low, 15)]
    bumps = np.exp(-np.square(canonical[None] - centres[:, None]).sum(-1) / 0.02)[..., None] * rng.normal(0, 0.006, (15, 1, 3))
    moves = np.concatenate([0.05 * jaw(canonical)[None], bumps])
    clips = [canonical + np.einsum("tm,mvd->tvd", np.abs(rng.normal(0, 1, (50, 16))), moves) for _ in range(2)]
    components, analysis = shape.principal({"a": clips[:1], "b": clips[1:]}, canonical, low)
    return {"canonical": canonical, "low": low, "components": components, "analysis": analysis,
            "triangles": shape.triangles(canonical + 0.1 * jaw(canonical), low)}


@functools.cache
def basis():
    return Basis(geometry())


@functools.cache
def clip(frames=30):
    """The portrait opens and closes its mouth. Each picture is of one colour, 3 times its number."""
    points = windows(portrait()[0][None], portrait()[1][None])[1].astype(np.float64)
    pose = Pose.of(points, basis().canonical)
    opening = 0.1 * np.abs(np.sin(np.arange(frames) / 3))
    mesh = points + pose.turned(opening[:, None, None] * jaw(basis().canonical)[None])
    window = np.broadcast_to((3 * np.arange(frames, dtype=np.uint8))[:, None, None, None], (frames, 128, 128, 3))
    sound = np.random.default_rng(1).normal(0, 2000, 640 * frames).astype(np.int16)
    return Clip("somebody", "one", window, mesh.astype(np.float32), sound)


def small_model():
    """A small SyncDiff as initialised for training."""
    torch.manual_seed(0)
    return SyncDiff(Config(ae_channels=(4, 8, 8), unet_channels=(8, 16, 16), groups=4, head=8, embedding=16, audio_width=16,
                           audio_layers=1))


def squeezenet(path):
    """Writes weights that are no network's under SqueezeNet's names."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (96, 3, 7, 7)}
    fires = (("fire2", 96, 16, 64), ("fire3", 128, 16, 64), ("fire4", 128, 32, 128), ("fire5", 256, 32, 128))
    for name, cin, squeeze, out in fires:
        shapes |= {f"{name}/conv1x1_1": (squeeze, cin, 1, 1), f"{name}/conv1x1_2": (out, squeeze, 1, 1),
                   f"{name}/conv3x3_2": (out, squeeze, 3, 3)}
    weights = {}
    for name, size in shapes.items():
        weights[f"{name}.weight"] = rng.normal(0, np.prod(size[1:]) ** -0.5, size).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(size[0], np.float32)
    np.savez(path, **weights)
