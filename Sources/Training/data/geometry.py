# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The geometry of the face, for training and run time (twin of Sources/Faces/Alignment.swift, Pose.swift,
FaceShape.swift and Geometry.swift).

Window. A least-squares similarity transform maps ten points of the face mesh that do not move with the mouth (eye
corners, nose bridge, forehead) onto TEMPLATE. The window is 80 x 80 px, from under the nose to under the chin of most
faces; the eye centres are 64 px apart and 40 px above its top edge.

Shape. The pose transforms a mesh [468, 3] (x right, y down, z away from the camera, all in px) to face coordinates:
origin midway between the outer eye corners, unit their distance. Speech moves it by COEFFICIENTS numbers c: offsets of
the lower face from the person's closed mouth, along principal components, in standard deviations of the training
speakers (shape.py). To give a face another mouth c', the difference of the two mouths' offsets is added to its points,
so everything that is not speech is preserved, including the landmarks' noise.
"""
from dataclasses import dataclass

import numpy as np

WINDOW = 80      # px, width and height of the window
MARGIN = 24  # px kept around the window in prepared clips, for warps and augmentation
SIDE = WINDOW + 2 * MARGIN
EYES = 33, 263  # outer corners of the eyes
STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 9, 151)  # mesh points that do not move with the mouth

# The mean of the STABLE points over the training clips, symmetrised and moved to the window's position and scale
# (`python -m data.prepare template --cache CACHE` prints the mean). [10, 2], x right, y down, px in the window.
TEMPLATE = np.array([[-6.07, -40.76], [22.07, -39.25], [57.93, -39.25], [86.07, -40.76], [40.0, -44.76],
                     [40.0, -36.29], [40.0, -28.16], [40.0, -20.55], [40.0, -61.95], [40.0, -80.85]])

MOUTH = 40, 29  # px in the window, the middle of the mouth

# Points that speech does not move, which determine the pose.
RIGID = (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284, 162, 389, 21, 251)
# The edges of the lips, from the right corner of the mouth to the left one, upper and lower.
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
INNER = UPPER_INNER + LOWER_INNER[-2:0:-1]  # closed outlines
OUTER = UPPER_OUTER + LOWER_OUTER[-2:0:-1]
LIPS = OUTER + INNER
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
        136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
RINGS = (1.14, 0.45), (1.42, 0.0)  # outside the oval: relative distance from the nose, fraction of the oval's motion
NOSE = (4, 195, 1)                 # their mean is the centre of the rings
COEFFICIENTS = 12
MIDDLE = slice(4, 7)  # three pairs of the inner lip edges, whose mean gap is the opening


def similarity(points, template):
    """The [2, 3] matrix of the least-squares similarity from points [N, 2] to template [N, 2] (Umeyama 1991)."""
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
        """The least-squares pose of meshes [T, 468, 3] from their RIGID points (Umeyama 1991)."""
        p, c = points[:, RIGID], canonical[list(RIGID)]
        mp, mc = p.mean(1, keepdims=True), c.mean(0)
        u, s, v = np.linalg.svd(np.swapaxes(p - mp, 1, 2) @ (c - mc))
        d = np.ones((len(p), 3))
        d[:, 2] = np.sign(np.linalg.det(u @ v))
        rotation = (u * d[:, None]) @ v
        scale = (s * d).sum(1) / np.square(c - mc).sum()
        return cls(scale, rotation, mp[:, 0] - scale[:, None] * (rotation @ mc))

    def unposed(self, points):
        """Meshes [T, N, 3] in face coordinates."""
        return (points - self.shift[:, None]) @ self.rotation / self.scale[:, None, None]

    def posed(self, shape):
        return self.scale[:, None, None] * shape @ np.swapaxes(self.rotation, 1, 2) + self.shift[:, None]

    def turned(self, offsets):
        """Offsets [T, N, 3] of the face in px of the frame."""
        return self.scale[:, None, None] * offsets @ np.swapaxes(self.rotation, 1, 2)


def areas(points, triangles):
    """[N]: twice the signed areas of triangles [N, 3] over points [P, 2], positive if they face the camera."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def normals(points, triangles):
    """[468, 3]: outward unit normals at points [468, 3], smoothed because lips are convex."""
    faces = triangles[(triangles < len(points)).all(1)]

    def sums(values):
        out = np.zeros(points.shape)
        for corner in faces.T:
            np.add.at(out, corner, values)
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    a, b, c = (points[corner] for corner in faces.T)
    normal = np.cross(b - a, c - a)
    return sums(sums(np.where(normal[:, 2:] > 0, -normal, normal))[faces].sum(1))


def opening(shape):
    """[T]: the mean gap between the lips of shapes [T, 468, 3], outer eye distances."""
    gap = shape[:, LOWER_INNER[MIDDLE]] - shape[:, UPPER_INNER[MIDDLE]]
    return np.linalg.norm(gap[..., :2], axis=-1).mean(1)


def smooth(t):
    """3 t^2 - 2 t^3, with t limited to 0 ... 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


class Basis:
    """The basis of the mouth's coefficients. low [L]: the points that they move. components [12, L, 3]: the offset of
    every point for one unit of a coefficient, faded out towards nose and cheeks. analysis [12, L, 3]: the dot product
    with offsets gives the coefficients. gap [12]: how far one unit of each opens the lips. normals [L, 3]: unit normals
    of the mean face's lower points. triangles [N, 3], all with the same winding."""
    UNDECIDED = 0.02, 0.07  # outer eye distances: openings that audio leaves undecided, see decided
    FACING = 0.05, 0.25  # cosines: the lower limit, and above which a point in a frontal face counts as facing the camera fully

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
        """[T, 12]: the coefficients of shapes [T, 468, 3] relative to a closed mouth [L, 3], or one for each."""
        return np.einsum("tlj,klj->tk", shape[:, self.low] - neutral, self.analysis)

    def offsets(self, coefficients):
        """[T, L, 3]: the offsets for coefficients [T, 12]."""
        return np.einsum("tk,klj->tlj", coefficients, self.components)

    def limited(self, coefficients, most):
        """Coefficients [T, 12], changed by the smallest amount that limits the opening to `most` ([T] or one, outer eye
        distances)."""
        return coefficients - self.likeliest(np.maximum(coefficients @ self.gap - most, 0))

    def decided(self, coefficients):
        """Predicted coefficients [T, 12], changed by the smallest amount that makes the lips either shut or open. Where
        audio does not tell whether lips are shut, a prediction is the mean of both, half open, as real lips are only in
        passing. Openings of 0 ... 0.02 outer eye distances become 0, those up to 0.07 are spread over 0 ... 0.07, others
        are kept."""
        opening, (shut, open) = coefficients @ self.gap, self.UNDECIDED
        changed = opening - open * smooth((opening - shut) / (open - shut))
        return coefficients - self.likeliest(np.where((opening > 0) & (opening < open), changed, 0))

    def unopened(self, coefficients):
        """Coefficients [T, 12] without their component along the opening."""
        return coefficients - self.likeliest(coefficients @ self.gap)

    def likeliest(self, opening):
        """The smallest coefficients [T, 12] (least squares) that open the lips this far [T], outer eye distances."""
        return np.asarray(opening)[..., None] * self.gap / (self.gap @ self.gap)

    def facing(self, pose):
        """[T, L]: the fraction of its motion that each point gets: 1 where it faces the camera, 0 where it is hidden."""
        return smooth((-pose.rotation[:, 2] @ self.normals.T) / np.clip(-self.normals[:, 2], *self.FACING))

    def closed(self, neutral):
        """A mouth [L, 3] with its gap reduced to at most CLOSED by the smallest change of coefficients."""
        place = {v: i for i, v in enumerate(self.low)}
        upper, lower = ([place[v] for v in rim[MIDDLE]] for rim in (UPPER_INNER, LOWER_INNER))
        gap = (neutral[lower, 1] - neutral[upper, 1]).mean()
        return neutral - self.offsets(self.likeliest([max(gap - CLOSED, 0.0)]))[0]


CLOSED = 0.004  # outer eye distances: the gap that the landmarks leave between closed lips


class Neutral:
    """Estimates a person's closed mouth [L, 3] while the stream runs: a weighted mean of the lower face, in which
    frames count more the less the mouth is open and the more recent they are. The gap that remains is then closed
    (Basis.closed)."""
    SOFT = 0.015  # outer eye distances: the opening at which a frame's weight is 1 / e
    MEMORY = 20.0   # seconds

    def __init__(self, basis):
        self.basis, self.total, self.weight = basis, 0.0, 0.0

    def __call__(self, shape, seconds=0.04):
        """Adds a frame of shape [468, 3] and returns the closed mouth."""
        weight = max(np.exp(-opening(shape[None])[0] / self.SOFT), 1e-4) * seconds
        keep = np.exp(-seconds / self.MEMORY)
        self.total = keep * self.total + weight * shape[self.basis.low]
        self.weight = keep * self.weight + weight
        return self.basis.closed(self.total / self.weight)

    @classmethod
    def of(cls, basis, shapes):
        """The closed mouth after a whole clip of shapes [T, 468, 3]."""
        neutral = cls(basis)
        for shape in shapes:
            mouth = neutral(shape)
        return mouth


class Expression:
    """The expression of a face besides its speech, estimated while the stream runs: a smile, drawn-down corners, a jaw pushed
    forward. It is the slowly varying part of the difference between the face's own mouth and the predicted one, without its
    component along the opening."""
    MEMORY = 1.5  # seconds
    MOST = 3.0  # standard deviations; more is not an expression but a misplaced mesh

    def __init__(self, basis):
        self.basis, self.mean, self.weight = basis, 0.0, 0.0

    def __call__(self, own, predicted, seconds=0.04):
        """Coefficients [12] to add to the predicted ones after one more frame. own: of the face's own mouth."""
        keep = self.weight * np.exp(-seconds / self.MEMORY)
        self.weight = keep + seconds
        now = np.clip(self.basis.unopened(own - predicted), -self.MOST, self.MOST)
        self.mean = (keep * self.mean + seconds * now) / self.weight
        return self.mean


def with_mouth(basis, shape, now, wanted, facing=1.0):
    """Shapes [T, 468, 3] with their mouths' coefficients changed from `now` to `wanted` [T, 12]; lips are kept from
    crossing. facing: the fraction of its motion that each point gets (Basis.facing)."""
    out = shape.copy()
    out[:, basis.low] += np.asarray(facing)[..., None] * basis.offsets(wanted - now)
    for upper, lower in zip(UPPER_INNER[1:-1], LOWER_INNER[1:-1]):
        middle = (out[:, upper, 1] + out[:, lower, 1]) / 2
        crossed = out[:, upper, 1] > out[:, lower, 1]
        for point in (upper, lower):
            out[:, point, 1] = np.where(crossed, middle, out[:, point, 1])
    return out


def with_rings(points, moved):
    """Meshes [T, 468, 2] before and after a motion, both with the rings around the oval: two of [T, 540, 2]."""
    centre = points[:, NOSE].mean(1, keepdims=True)
    spoke, motion = points[:, OVAL] - centre, moved[:, OVAL] - points[:, OVAL]
    before = [centre + far * spoke for far, _ in RINGS]
    after = [ring + share * motion for ring, (_, share) in zip(before, RINGS)]
    return np.concatenate([points, *before], 1), np.concatenate([moved, *after], 1)


TRACE = 1e-5  # squared outer eye distances: smaller triangles count as flat
ROUNDS = 24  # maximum iterations of shortening


def unfolded(before, after, triangles, unit):
    """The mesh `after` [540, 2], moved from `before`, with motions shortened until no triangle flips: the corners of
    such a triangle stop where it becomes flat. None if that fails. unit: outer eye distance, px."""
    between = np.isin(triangles, INNER).all(1)  # the points of a closed mouth may be in any order
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
        limits = np.ones(len(before))
        for corner in folded.T:
            np.minimum.at(limits, corner, np.where(roots > 1, 0, roots))
        after = before + limits[:, None] * (after - before)
    return None
