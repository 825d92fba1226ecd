# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The face's geometry, in training and at run time (twin of Sources/Faces/Alignment.swift, Pose.swift,
FaceShape.swift and Geometry.swift).

Window. A similarity transform brings ten points of the face mesh that do not move with the mouth (eye corners, nose bridge,
forehead) onto TEMPLATE by least squares. The window is 80 x 80 px: from under the nose to under the chin of most faces, eye
centres 64 px apart and 40 px above its top edge.

Shape. A mesh [468, 3] (x right, y down, z away from the camera, all in px) is brought into the face's own coordinates by its
pose: origin between the outer eye corners, unit their distance. What speech does to it are COEFFICIENTS numbers c: offsets of
the lower face from this person's closed mouth, along principal components, in standard deviations of the training talkers
(shape.py). A face is given another mouth c' by adding the difference of the two mouths to where its points are, so that
whatever is not speech, and the noise of the landmarks, stays as it is.
"""
from dataclasses import dataclass

import numpy as np

WINDOW = 80      # px, width and height of the window
MARGIN = 24      # px kept around the window in prepared clips, room for warp and augmentation
SIDE = WINDOW + 2 * MARGIN
STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 9, 151)  # face-mesh points that do not move with the mouth

# Mean of the STABLE points over the training clips, mirrored and brought to the window's position and scale
# (`python -m data.prepare template --cache CACHE` prints the mean). [10, 2], x right, y down, px in the window.
TEMPLATE = np.array([[-6.07, -40.76], [22.07, -39.25], [57.93, -39.25], [86.07, -40.76], [40.0, -44.76],
                     [40.0, -36.29], [40.0, -28.16], [40.0, -20.55], [40.0, -61.95], [40.0, -80.85]])

MOUTH = 40, 29   # px in the window: where the middle of the mouth lies

# Points that speech does not move, by which the pose is found.
RIGID = (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284, 162, 389, 21, 251)
# The lips' rims, from the right corner of the mouth to the left one, upper and lower.
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
INNER = UPPER_INNER + LOWER_INNER[-2:0:-1]  # closed outlines, in order
OUTER = UPPER_OUTER + LOWER_OUTER[-2:0:-1]
LIPS = OUTER + INNER
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
        136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
RINGS = (1.14, 0.45), (1.42, 0.0)  # outside of the oval: how far from the nose, how much of the oval's motion they share
NOSE = (4, 195, 1)                 # their mean is the centre of the rings
COEFFICIENTS = 12
MIDDLE = slice(4, 7)               # of the inner rims: three pairs of points, whose mean gap is the opening


def similarity(points, template):
    """[2, 3] matrix of the least-squares similarity that takes points [N, 2] to template [N, 2] (Umeyama 1991)."""
    mp, mt = points.mean(0), template.mean(0)
    p, q = points - mp, template - mt
    scale = (p * p).sum()
    a = (p * q).sum() / scale
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / scale
    r = np.array([[a, -b], [b, a]])
    return np.column_stack([r, mt - r @ mp])


@dataclass
class Pose:
    """points = scale * shape @ rotation.T + shift, for T frames: scale [T] px, rotation [T, 3, 3], shift [T, 3] px."""
    scale: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, points, canonical):
        """The least-squares pose of meshes [T, 468, 3] by their RIGID points (Umeyama 1991)."""
        p, c = points[:, RIGID], canonical[list(RIGID)]
        mp, mc = p.mean(1, keepdims=True), c.mean(0)
        u, s, v = np.linalg.svd(np.swapaxes(p - mp, 1, 2) @ (c - mc))
        d = np.ones((len(p), 3))
        d[:, 2] = np.sign(np.linalg.det(u @ v))
        rotation = (u * d[:, None]) @ v
        scale = (s * d).sum(1) / np.square(c - mc).sum()
        return cls(scale, rotation, mp[:, 0] - scale[:, None] * (rotation @ mc))

    def unposed(self, points):
        """The face's own coordinates of meshes [T, N, 3]."""
        return (points - self.shift[:, None]) @ self.rotation / self.scale[:, None, None]

    def posed(self, shape):
        return self.scale[:, None, None] * shape @ np.swapaxes(self.rotation, 1, 2) + self.shift[:, None]

    def turned(self, offsets):
        """Offsets [T, N, 3] in the face's own coordinates, in px of the frame."""
        return self.scale[:, None, None] * offsets @ np.swapaxes(self.rotation, 1, 2)


def areas(points, triangles):
    """[N] twice the areas of triangles [N, 3] over points [P, 2]: above 0 where they face the camera."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def normals(points, triangles):
    """[468, 3]: where points [468, 3] look, out of the face; smoothed, since lips are small hills."""
    faces = triangles[(triangles < len(points)).all(1)]

    def sums(shares):
        out = np.zeros(points.shape)
        for corner in faces.T:
            np.add.at(out, corner, shares)
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    a, b, c = (points[corner] for corner in faces.T)
    normal = np.cross(b - a, c - a)
    return sums(sums(np.where(normal[:, 2:] > 0, -normal, normal))[faces].sum(1))


def opening(shape):
    """[T] mean gap between the lips of shapes [T, 468, 3], in outer eye distances."""
    gap = shape[:, LOWER_INNER[MIDDLE]] - shape[:, UPPER_INNER[MIDDLE]]
    return np.linalg.norm(gap[..., :2], axis=-1).mean(1)


class Basis:
    """The mouth's coefficients. low [L]: the points that they move; weights [L]: how much the analysis looks at each;
    components [12, L, 3]: offset of every point for one unit of a coefficient, faded out towards nose and cheeks;
    analysis [12, L, 3]: its dot product with the offsets gives the coefficients; gap [12]: how far each opens the lips;
    normals [L, 3]: where the mean face's lower points look; triangles [N, 3], all wound alike."""
    FACING = 0.05, 0.25  # cosines: from where on a point that a face shows when it looks into the camera counts as facing it

    def __init__(self, tensors):
        self.canonical = np.asarray(tensors["canonical"], np.float64)
        self.low = np.asarray(tensors["low"]).astype(int)
        self.components = np.asarray(tensors["components"], np.float64)
        self.analysis = np.asarray(tensors["analysis"], np.float64)
        triangles = np.asarray(tensors["triangles"]).astype(int)
        turned = areas(with_rings(*[self.canonical[None, :, :2]] * 2)[0][0], triangles) < 0
        self.triangles = np.where(turned[:, None], triangles[:, [0, 2, 1]], triangles)
        self.normals = normals(self.canonical, self.triangles)[self.low]
        place = {v: i for i, v in enumerate(self.low)}
        upper, lower = ([place[v] for v in rim[MIDDLE]] for rim in (UPPER_INNER, LOWER_INNER))
        self.gap = (self.components[:, lower, 1] - self.components[:, upper, 1]).mean(1)

    def coefficients(self, shape, neutral):
        """[T, 12] of shapes [T, 468, 3] against a closed mouth [L, 3], or one for each."""
        return np.einsum("tlj,klj->tk", shape[:, self.low] - neutral, self.analysis)

    def offsets(self, coefficients):
        """[T, L, 3] of coefficients [T, 12]."""
        return np.einsum("tk,klj->tlj", coefficients, self.components)

    def limited(self, coefficients, most):
        """Coefficients [T, 12] whose mouths open at most so far ([T] or one, outer eye distances): changed in the likeliest way."""
        excess = np.maximum(coefficients @ self.gap - most, 0)
        return coefficients - excess[:, None] * self.gap / (self.gap @ self.gap)

    def unopened(self, coefficients):
        """Coefficients [T, 12] without what opens the lips."""
        return coefficients - (coefficients @ self.gap / (self.gap @ self.gap))[..., None] * self.gap

    def facing(self, pose):
        """[T, L]: how much of its motion each point is given: 1 where it faces the camera, 0 where it is hidden."""
        t = (-pose.rotation[:, 2] @ self.normals.T) / np.clip(-self.normals[:, 2], *self.FACING)
        t = np.clip(t, 0, 1)
        return t * t * (3 - 2 * t)

    def closed(self, neutral):
        """A mouth [L, 3] brought to a gap of at most CLOSED by the likeliest change of coefficients."""
        place = {v: i for i, v in enumerate(self.low)}
        upper, lower = ([place[v] for v in rim[MIDDLE]] for rim in (UPPER_INNER, LOWER_INNER))
        gap = (neutral[lower, 1] - neutral[upper, 1]).mean()
        excess = max(gap - CLOSED, 0.0)
        return neutral - self.offsets((excess * self.gap / (self.gap @ self.gap))[None])[0]


CLOSED = 0.004  # outer eye distances: the gap that the landmarks leave between closed lips


class Neutral:
    """The closed mouth of a person [L, 3], found as the stream runs: the mean of the lower face, where each frame counts
    the more the less its mouth is open, and the less the longer ago; what is left of the gap is closed (Basis.closed)."""
    SOFT = 0.015    # outer eye distances: the opening at which a frame counts 1 / e
    MEMORY = 20.0   # seconds

    def __init__(self, basis):
        self.basis, self.total, self.weight = basis, 0.0, 0.0

    def __call__(self, shape, seconds=0.04):
        """The closed mouth after one more frame, of shape [468, 3]."""
        weight = max(np.exp(-opening(shape[None])[0] / self.SOFT), 1e-4) * seconds
        keep = np.exp(-seconds / self.MEMORY)
        self.total = keep * self.total + weight * shape[self.basis.low]
        self.weight = keep * self.weight + weight
        return self.basis.closed(self.total / self.weight)

    @classmethod
    def of(cls, basis, shapes):
        """The closed mouth of a whole clip of shapes [T, 468, 3]."""
        neutral = cls(basis)
        for shape in shapes:
            mouth = neutral(shape)
        return mouth


class Expression:
    """What a face's mouth does besides speaking, found as the stream runs: a smile, drawn-down corners, a jaw pushed forward. It
    is the slow part of the difference between the mouth that the face has and the one that the sound tells, without what opens
    the lips."""
    MEMORY = 1.5  # seconds
    MOST = 3.0    # deviations: more is no expression but a face found in the wrong place

    def __init__(self, basis):
        self.basis, self.mean, self.weight = basis, 0.0, 0.0

    def __call__(self, own, told, seconds=0.04):
        """Coefficients [12] to add to those that the sound tells, after one more frame; own: of the mouth that the face has."""
        keep = self.weight * np.exp(-seconds / self.MEMORY)
        self.weight = keep + seconds
        now = np.clip(self.basis.unopened(own - told), -self.MOST, self.MOST)
        self.mean = (keep * self.mean + seconds * now) / self.weight
        return self.mean


def with_mouth(basis, shape, now, wanted, facing=1.0):
    """Shapes [T, 468, 3] whose mouths have the coefficients `now`, given `wanted` [T, 12]; lips do not cross. facing: how much
    of its motion each point is given (Basis.facing)."""
    out = shape.copy()
    out[:, basis.low] += np.asarray(facing)[..., None] * basis.offsets(wanted - now)
    for upper, lower in zip(UPPER_INNER[1:-1], LOWER_INNER[1:-1]):
        middle = (out[:, upper, 1] + out[:, lower, 1]) / 2
        crossed = out[:, upper, 1] > out[:, lower, 1]
        for point in (upper, lower):
            out[:, point, 1] = np.where(crossed, middle, out[:, point, 1])
    return out


def with_rings(points, moved):
    """Meshes [T, 468, 2] before and after a move, with the rings around the oval: two of [T, 540, 2]."""
    centre = points[:, NOSE].mean(1, keepdims=True)
    spoke, motion = points[:, OVAL] - centre, moved[:, OVAL] - points[:, OVAL]
    before = [centre + far * spoke for far, _ in RINGS]
    after = [ring + share * motion for ring, (_, share) in zip(before, RINGS)]
    return np.concatenate([points, *before], 1), np.concatenate([moved, *after], 1)


TRACE = 1e-5  # squared outer eye distances: triangles of less have turned neither way
ROUNDS = 24   # in which moves are shortened


def unfolded(before, after, triangles, unit):
    """Meshes [540, 2] before and after a move -> that after moves so much shorter that no triangle turns over: those of its
    corners end where it becomes flat. None when that cannot be had. unit: outer eye distance, px."""
    between = np.isin(triangles, INNER).all(1)  # the rims of a closed mouth may lie in any order
    old, trace, after = areas(before, triangles), TRACE * unit * unit, after.copy()
    for _ in range(ROUNDS):
        new = areas(after, triangles)
        folded = triangles[np.where(old > 0, new < -trace, (new > trace) & (old < 0) & ~between)]
        if not len(folded):
            return after
        e, f = (before[folded[:, i]] - before[folded[:, 0]] for i in (1, 2))
        u, v = (after[folded[:, i]] - after[folded[:, 0]] - way for i, way in ((1, e), (2, f)))
        a, b, c = np.cross(e, f), np.cross(e, v) + np.cross(u, f), np.cross(u, v)
        q = -(b + np.where(b < 0, -1, 1) * np.sqrt(np.maximum(b * b - 4 * a * c, 0))) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            roots = np.stack([q / c, a / q])
        roots = np.where((roots > 0) & (roots < 1), roots, 2).min(0)
        shares = np.ones(len(before))
        for corner in folded.T:
            np.minimum.at(shares, corner, np.where(roots > 1, 0, roots))
        after = before + shares[:, None] * (after - before)
    return None
