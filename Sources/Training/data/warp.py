# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""A person's own pixels, moved: piecewise-affine warps over the face mesh, and mouths taken from other frames of the same
face. The training's twin of Sources/Faces/Warp.swift: the same geometry.

Pictures are uint8 [H, W, 3]; points are px, whole numbers at pixel centres, meshes with rings [540, 2] (geometry.with_rings)."""
import cv2
import numpy as np

from data.geometry import INNER, LOWER_INNER, LOWER_OUTER, OUTER, UPPER_INNER, UPPER_OUTER

cv2.setNumThreads(1)
INSET = 0.14             # of the lip's height: how far the inner rim of an open mouth is moved into the lip where it is read
INSET_FROM = 0.04        # outer eye distances: the gap from which on that counts fully
GROWN = 1.10, 1.22       # across, down: the lips' outline, enlarged, inside of which the mouth is another frame's
FEATHER = 0.03           # outer eye distances, deviation of that outline's blur
TRACE = 1e-6             # of a pixel: what counts as nothing
KEYS = -1.0              # of the cubics: at -0.5 they are truest, at -1 they keep most of a face's detail (decision 31)
FIX = 4                  # bits of OpenCV's sub-pixel coordinates


def inset(points, unit):
    """The mesh with its inner rim moved into the lips, so that no tooth shows on the rim of a mouth that is closed by a
    warp. unit: outer eye distance, px."""
    out = points.copy()
    for a, b, c, d in zip(UPPER_INNER[1:-1], UPPER_OUTER[1:-1], LOWER_INNER[1:-1], LOWER_OUTER[1:-1]):
        k = INSET * min(np.linalg.norm(points[a] - points[c]) / (INSET_FROM * unit), 1)
        out[a] += k * (points[b] - points[a])
        out[c] += k * (points[d] - points[c])
    return out


def field(after, before, triangles, size):
    """float32 [H, W, 2]: where each pixel of a picture of `size` (H, W) comes from when the mesh `before` becomes `after`;
    itself where no triangle lies. Later triangles cover earlier ones."""
    h, w = size
    corners = after[triangles]
    low, high = corners.min(1), corners.max(1)
    seen = (high > -1).all(1) & (low < [w, h]).all(1)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    triangles = triangles[seen & (np.abs(area) > 1e-3)]
    index = np.full((h, w), -1, np.int32)
    for k, corners in enumerate((after[triangles] * (1 << FIX)).round().astype(np.int32)):
        cv2.fillConvexPoly(index, corners, k, shift=FIX)
    homogeneous = np.concatenate([after[triangles], np.ones((len(triangles), 3, 1))], 2)
    matrices = np.linalg.solve(homogeneous, before[triangles]).astype(np.float32)  # [N, 3, 2]: (x, y, 1) -> source
    y, x = np.mgrid[:h, :w].astype(np.float32)
    out = np.stack([x, y], -1)
    inside = index >= 0
    m = matrices[index[inside]]
    out[inside] = m[:, 0] * x[inside, None] + m[:, 1] * y[inside, None] + m[:, 2]
    return out


def cubic(t):
    """[4, ...]: the shares of four neighbours, at `t` behind the second; Keys, Cubic convolution interpolation, 1981, equation 5."""
    t = np.stack([1 + t, t, 1 - t, 2 - t])
    near = ((KEYS + 2) * t - (KEYS + 3)) * t * t + 1
    far = KEYS * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, near, far)


def moved(picture, field):
    """A uint8 picture [H, W, 3] whose pixels come from the places field [H, W, 2]: by cubics through 4 x 4 pixels, limited to the
    least and the greatest of these; pixels that stay are copied."""
    height, width = picture.shape[:2]
    stays = (field == np.moveaxis(np.indices((height, width))[::-1], 0, -1)).all(-1)
    place = field[~stays]
    first = np.floor(place).astype(int)
    across, down = cubic((place - first).T.astype(np.float32)).swapaxes(0, 1)
    x, y = (np.clip(first[:, i] + np.arange(-1, 3)[:, None], 0, size - 1) for i, size in enumerate((width, height)))
    pixels, total, least, greatest = picture.reshape(-1, 3), 0, 255, 0
    for i in range(4):
        for j in range(4):
            taken = pixels.take(y[i] * width + x[j], 0)
            least, greatest = np.minimum(least, taken), np.maximum(greatest, taken)
            total += (down[i] * across[j])[:, None] * taken
    out = picture.copy()
    out[~stays] = (np.clip(total, least, greatest) + 0.5).astype(np.uint8)
    return out


def filled(outline, size):
    """float32 [H, W], 0 ... 1: the share of each pixel that a closed outline [N, 2] covers, exactly; 0 for a flat one.

    The sum over the edges of what lies right of them in the pixel, downward edges less upward ones. ramp is the integral of
    what lies right of x = 0 in a pixel that ends at x = u."""
    size = np.array(size[::-1])
    low = np.clip(np.floor(outline.min(0) + 0.5), 0, size).astype(int)
    high = np.clip(np.ceil(outline.max(0) + 0.5), low, size).astype(int)
    p = outline + 0.5 - low  # whole numbers where pixels meet
    q = np.roll(p, -1, 0)
    columns, rows = (np.arange(n) for n in high - low)
    start, end = (np.clip(end[:, 1:], rows, rows + 1) for end in (p, q))
    edge, row = np.nonzero(start != end)  # where edges pass rows
    p, q, start, end = p[edge], q[edge], start[edge, row], end[edge, row]
    slope = (q[:, 0] - p[:, 0]) / (q[:, 1] - p[:, 1])
    ramp = lambda u: np.square(np.clip(u, 0, 1)) / 2 + np.maximum(u - 1, 0)
    a, b = (columns + 1 - (p[:, 0] + (y - p[:, 1]) * slope)[:, None] for y in (start, end))
    steep = np.abs(a - b) < 1e-6
    share = np.where(steep, np.clip((a + b) / 2, 0, 1), (ramp(a) - ramp(b)) / np.where(steep, 1, a - b))
    covered = np.zeros((len(rows), len(columns)))
    np.add.at(covered, row, (end - start)[:, None] * share)
    covered = np.minimum(np.abs(covered), 1)
    out = np.zeros(size[::-1], np.float32)
    out[low[1]:high[1], low[0]:high[0]] = np.where(covered < TRACE, 0, covered)
    return out


def lips(points, size):
    """float32 [2, H, W]: between the lips, and lips with what is between them."""
    return np.stack([filled(points[list(outline)], size) for outline in (INNER, OUTER)])


def mouth(points, size, unit):
    """float32 [H, W], 0 ... 1: where the picture is another frame's mouth."""
    outline = points[list(OUTER)]
    middle = outline.mean(0)
    return cv2.GaussianBlur(filled(middle + (outline - middle) * GROWN, size), (0, 0), FEATHER * unit)


def warped(picture, before, after, triangles, unit):
    """The picture with its mesh moved; between the lips its own inside, stretched."""
    return moved(picture, field(after, inset(before, unit), triangles, picture.shape[:2]))


def with_exemplar(own, after, exemplar, points, triangles, unit):
    """A warped picture, its mesh at `after`, with the mouth of another picture whose mesh is `points`."""
    size = own.shape[:2]
    share = mouth(after, size, unit)[..., None]
    other = moved(exemplar, field(after, inset(points, unit), triangles, size)).astype(np.float32)
    edge = 4 * share * (1 - share)
    cast = (edge * (own - other)).sum((0, 1)) / max(edge.sum(), 1)
    return (own + share * (other + np.clip(cast, -30, 30) - own) + 0.5).clip(0, 255).astype(np.uint8)
