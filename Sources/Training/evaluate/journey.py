# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Dubs prepared clips, frame after frame, as the element does (twin of Sources/SyncDiff/Journey.swift), on the aligned pictures
of prepare.py instead of whole frames: geometry, memory of mouths, warp, painter."""
import numpy as np
import torch

from data import warp
from data.clips import as_image
from data.geometry import INNER, MARGIN, SIDE, WINDOW, Neutral, Pose, with_mouth, with_rings
from networks.model import fade, masked, painted, small

CUT = slice(MARGIN, SIDE - MARGIN)


class Memory:
    """Mouths of one face, at most MOST and BUDGET: a new one is kept if none is like it, and when they become too many the
    older one of the two that are most alike goes. key: the inner rim [20, 2] in the face's own coordinates, its middle taken
    away, beside the direction in which the face looks."""
    MOST = 32
    BUDGET = 14e6   # bytes
    APART = 0.004   # outer eye distances: mouths that differ less are the same
    TURN = 0.3      # what a turn by one radian counts
    SWITCH = 0.01   # how much better another mouth must be
    FADE = 3        # pictures in which one mouth becomes another

    def __init__(self):
        self.keys, self.mouths, self.sizes = [], [], []
        self.now, self.before, self.age = None, None, 0

    @staticmethod
    def key(shape, rotation):
        rim = shape[list(INNER), :2]
        return np.concatenate([((rim - rim.mean(0)) / np.sqrt(len(rim))).ravel(), Memory.TURN * rotation[:2, 2]])

    def remember(self, key, mouth, size=0):
        """size: bytes of the mouth; one that is larger than all may be together is not kept."""
        if size > self.BUDGET or any(np.linalg.norm(k - key) < self.APART for k in self.keys):
            return
        self.keys.append(key)
        self.mouths.append(mouth)
        self.sizes.append(size)
        while len(self.keys) > self.MOST or sum(self.sizes) > self.BUDGET:
            keys = np.stack(self.keys)
            apart = np.linalg.norm(keys[:, None] - keys[None], axis=2) + 9 * np.eye(len(keys))
            drop = min(np.unravel_index(apart.argmin(), apart.shape))
            del self.keys[drop], self.mouths[drop], self.sizes[drop]

    def choose(self, key):
        """The mouths to show and their shares. While one takes another's place no third one begins to, so that no share jumps;
        what is shown until then may no longer be kept."""
        if not self.mouths:
            return []
        distances = {id(m): np.linalg.norm(k - key) for k, m in zip(self.keys, self.mouths)}
        best = min(self.mouths, key=lambda m: distances[id(m)])
        held = self.before is not None or (
            self.now is not None and distances.get(id(self.now), np.inf) <= distances[id(best)] + self.SWITCH)
        if not held:
            self.before, self.now, self.age = self.now, best, 0
        self.age += 1
        if self.age >= self.FADE:
            self.before = None
        share = self.age / self.FADE
        return [(self.now, 1.0)] if self.before is None else [(self.now, share), (self.before, 1 - share)]


class Dub:
    """A clip's pictures uint8 [T, 128, 128, 3] and meshes [T, 468, 3] (window px), to be driven by coefficients [T, 12].
    whole: all mouths of the clip are known from the start, as when a file was looked through before."""

    def __init__(self, basis, window, points, whole=False):
        self.basis, self.window = basis, window
        points = points.astype(np.float64)
        self.points, self.pose = points, Pose.of(points, basis.canonical)
        self.shape = self.pose.unposed(points)
        neutral = Neutral(basis)
        if whole:
            for shape in self.shape:
                neutral(shape)
        self.neutral = np.stack([neutral(shape) for shape in self.shape])
        self.whole = whole
        self.own = basis.coefficients(self.shape, self.neutral)

    def mesh(self, points):
        flat = points[..., :2] + MARGIN
        return with_rings(flat, flat)[0]

    def warped(self, wanted, exemplar=True):
        """The warped pictures [T, 128, 128, 3], lips [T, 2, 128, 128] and the meshes they have [T, 540, 2]."""
        basis, count = self.basis, min(len(wanted), len(self.window))
        shape = with_mouth(basis, self.shape[:count], self.own[:count], wanted[:count])
        pose = Pose(self.pose.scale[:count], self.pose.rotation[:count], self.pose.shift[:count])
        before, after = with_rings(self.points[:count, :, :2] + MARGIN, pose.posed(shape)[..., :2] + MARGIN)
        memory, pictures, lips = Memory(), [], []
        key = lambda s, t: Memory.key(s, self.pose.rotation[t])
        if self.whole:
            for t in range(len(self.window)):
                memory.remember(key(self.shape[t], t), (self.window[t], self.mesh(self.points[t])))
        for t in range(count):
            if not self.whole:
                memory.remember(key(self.shape[t], t), (self.window[t], before[t]))
            unit = float(self.pose.scale[t])
            own = warp.warped(self.window[t], before[t], after[t], basis.triangles, unit)
            if exemplar:
                parts = [(share, warp.with_exemplar(own, after[t], picture, mesh, basis.triangles, unit))
                         for (picture, mesh), share in memory.choose(key(shape[t], t))]
                own = (sum(share * picture.astype(np.float32) for share, picture in parts) + 0.5).astype(np.uint8)
            pictures.append(own)
            lips.append(warp.lips(after[t], (SIDE, SIDE)))
        return np.stack(pictures), np.stack(lips), after

    @torch.no_grad()
    def painted(self, model, pictures, lips, stacks, seed=0):
        """uint8 [T, 128, 128, 3]: the warped pictures as the painter leaves them, with what is heard [T, tokens, C]."""
        noise = torch.randn((1, model.config.latent_channels, WINDOW // 4, WINDOW // 4),
                            generator=torch.Generator().manual_seed(seed))
        previous, mask, out = None, fade(WINDOW), pictures.copy()
        for t in range(len(pictures)):
            picture = as_image(pictures[t:t + 1, CUT, CUT])
            identity = model.encoder(picture)
            where = small(torch.from_numpy(lips[t:t + 1, :, CUT, CUT]).float())
            tokens = model.audio_encoder(stacks[t:t + 1])
            previous = model.sample(noise, masked(identity, where), where, identity, tokens, previous)
            made = painted(model, previous, identity, picture, mask).clamp(-1, 1)
            out[t, CUT, CUT] = ((made[0].permute(1, 2, 0).numpy() + 1) * 127.5 + 0.5).astype(np.uint8)
        return out


def limited(basis, wanted, most):
    """Coefficients [T, 12] whose mouths open at most so far (outer eye distances)."""
    excess = np.maximum(wanted @ basis.gap - most, 0)
    return wanted - excess[:, None] * basis.gap / (basis.gap @ basis.gap)
