# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Dubs prepared clips frame by frame, as the element does (twin of Sources/SyncDiff/FramePipeline.swift), on the
aligned crops of prepare.py instead of whole frames: geometry, exemplar memory, warp, painter."""
import numpy as np
import torch

from data import warp
from data.clips import as_image
from data.geometry import (INNER, LOWER_INNER, LOWER_OUTER, MARGIN, SIDE, UPPER_INNER, UPPER_OUTER, WINDOW, Expression, Neutral, Pose,
                           opening, unfolded, with_mouth, with_rings)
from networks.model import fade, masked, painted, pooled_lips

CUT = slice(MARGIN, SIDE - MARGIN)
ANY_MOUTH = 0.14  # outer eye distances, an opening that any mouth may have
WIDER = 1.15  # times the widest opening seen, the limit for a mouth


class MouthMemory:
    """The mouths of one face, at most MOST of them and BUDGET bytes (twin of Sources/Faces/MouthMemory.swift). A new
    mouth is kept if no kept one is like it, or if those that are were lit differently; it then replaces them. When
    there are too many, the older of the two most similar mouths is dropped. key: the inner lip edge [20, 2] in face
    coordinates, centred, the direction of the face, and how much of the upper and of the lower lip shows: pressed lips
    are shut like resting ones, but have too little skin to be made into those."""
    MOST = 32
    BUDGET = 15e6  # maximum bytes of all that is kept or shown and of one being added, which has at most a quarter
    APART = 0.004  # outer eye distances: mouths closer than this are the same
    LIT = 0.12  # colours of -1 ... 1: smaller differences count as the same light
    TURN = 0.3  # outer eye distances that a turn by one radian counts as
    THICKNESS = 1  # the weight of how much of each lip shows
    # Outer eye distances: hysteresis before another mouth is shown, once what is wanted has changed by CHANGE, and as
    # long as it has not. The latter is large, because otherwise mouths would follow what has just been seen.
    SWITCH, SWITCH_UNCHANGED, CHANGE = 0.01, 0.04, 0.02
    FADE = 3  # frames over which one mouth crossfades to another

    def __init__(self):
        self.keys, self.mouths, self.sizes, self.lights = [], [], [], []
        self.now, self.before, self.age = None, None, 0
        self.wanted = None  # what was wanted when it last had changed

    @staticmethod
    def key(shape, rotation):
        rim = shape[list(INNER), :2]
        thickness = [np.abs(shape[list(outer), 1] - shape[list(inner), 1]).mean()
                     for outer, inner in ((UPPER_OUTER, UPPER_INNER), (LOWER_OUTER, LOWER_INNER))]
        return np.concatenate([((rim - rim.mean(0)) / np.sqrt(len(rim))).ravel(), MouthMemory.TURN * rotation[:2, 2],
                               MouthMemory.THICKNESS * np.array(thickness)])

    def remember(self, key, mouth, size=0, light=0.0):
        """size: bytes of the mouth; light: mean colours of the quarters around it, -1 ... 1."""
        alike = [i for i, other in enumerate(self.keys) if np.linalg.norm(other - key) < self.APART]
        if size > self.BUDGET / 4 or any(np.abs(self.lights[i] - light).max() <= self.LIT for i in alike):
            return
        for i in reversed(alike):
            self.drop(i)
        self.keys.append(key)
        self.mouths.append(mouth)
        self.sizes.append(size)
        self.lights.append(np.asarray(light))
        while len(self.keys) > self.MOST or self.held() > 0.75 * self.BUDGET:
            keys = np.stack(self.keys)
            apart = np.linalg.norm(keys[:, None] - keys[None], axis=2) + 9 * np.eye(len(keys))
            self.drop(min(np.unravel_index(apart.argmin(), apart.shape)))

    def drop(self, i):
        for values in self.keys, self.mouths, self.sizes, self.lights:
            del values[i]

    def held(self):
        """Bytes of the kept mouths, and of those still shown but no longer kept."""
        kept = [id(mouth) for mouth in self.mouths]
        return sum(self.sizes) + sum(shown[1] for shown in (self.now, self.before) if shown and id(shown[0]) not in kept)

    def choose(self, key):
        """The mouths to show and their weights. A crossfade always completes before the next one begins, so that no
        weight jumps; it may use mouths that are no longer kept."""
        if not self.mouths:
            return []
        distances = {id(m): np.linalg.norm(k - key) for k, m in zip(self.keys, self.mouths)}
        best = min(zip(self.mouths, self.sizes), key=lambda m: distances[id(m[0])])
        if self.before is None:
            changed = self.wanted is None or np.linalg.norm(self.wanted - key) > self.CHANGE
            if changed:
                self.wanted = key
            most = distances[id(best[0])] + (self.SWITCH if changed else self.SWITCH_UNCHANGED)
            if self.now is None or distances.get(id(self.now[0]), np.inf) > most:
                self.before, self.now, self.age = self.now, best, 0
        self.age += 1
        if self.age >= self.FADE:
            self.before = None
        share = self.age / self.FADE
        return [(self.now[0], 1.0)] if self.before is None else [(self.now[0], share), (self.before[0], 1 - share)]


def light(picture):
    """[2, 2, 3] in -1 ... 1: the mean colours of the four quarters of a prepared window [128, 128, 3]."""
    window = picture[CUT, CUT][10:70, 10:70].reshape(2, 30, 2, 30, 3)  # without its edges, as in Visibility
    return window.mean((1, 3)) / 127.5 - 1


class Dub:
    """Dubs a clip of frames uint8 [T, 128, 128, 3] and meshes [T, 468, 3] (window px) by coefficients [T, 12]."""

    def __init__(self, basis, window, points):
        self.basis, self.window = basis, window
        points = points.astype(np.float64)
        self.points, self.pose = points, Pose.of(points, basis.canonical)
        self.shape = self.pose.unposed(points)
        neutral = Neutral(basis)
        self.neutral = np.stack([neutral(shape) for shape in self.shape])
        self.own = basis.coefficients(self.shape, self.neutral)

    def warped(self, predicted, exemplar=True):
        """The images [T, 128, 128, 3] warped to predicted coefficients [T, 12] and the face's expression, lips [T, 2, 128, 128],
        and their meshes [T, 540, 2]."""
        basis, count = self.basis, min(len(predicted), len(self.window))
        expression = Expression(basis)
        wanted = np.stack([mouth + expression(own, mouth) for own, mouth in zip(self.own[:count], basis.decided(predicted))])
        widest = np.maximum.accumulate(opening(self.shape[:count]))  # so far
        wanted = basis.limited(wanted, np.maximum(ANY_MOUTH, WIDER * widest))
        pose = Pose(self.pose.scale[:count], self.pose.rotation[:count], self.pose.shift[:count])
        shape = with_mouth(basis, self.shape[:count], self.own[:count], wanted, basis.facing(pose))
        before, after = with_rings(self.points[:count, :, :2] + MARGIN, pose.posed(shape)[..., :2] + MARGIN)
        memory, pictures, lips = MouthMemory(), [], []
        key = lambda s, t: MouthMemory.key(s, self.pose.rotation[t])
        for t in range(count):
            memory.remember(key(self.shape[t], t), (self.window[t], before[t]), light=light(self.window[t]))
            unit = float(self.pose.scale[t])
            mesh = unfolded(before[t], after[t], basis.triangles, unit)
            after[t] = before[t] if mesh is None else mesh
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
        """uint8 [T, 128, 128, 3]: the warped images after painting, given the audio features [T, tokens, C]."""
        noise = torch.randn((1, model.config.latent_channels, WINDOW // 4, WINDOW // 4),
                            generator=torch.Generator().manual_seed(seed))
        previous, mask, out = None, fade(WINDOW), pictures.copy()
        for t in range(len(pictures)):
            picture = as_image(pictures[t:t + 1, CUT, CUT])
            identity = model.encoder(picture)
            where = pooled_lips(torch.from_numpy(lips[t:t + 1, :, CUT, CUT]).float())
            tokens = model.audio_encoder(stacks[t:t + 1])
            previous = model.sample(noise, masked(identity, where), where, identity, tokens, previous)
            made = painted(model, previous, identity, picture, mask).clamp(-1, 1)
            out[t, CUT, CUT] = ((made[0].permute(1, 2, 0).numpy() + 1) * 127.5 + 0.5).astype(np.uint8)
        return out
