# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Warping a person's own pixels: piecewise-affine warps over the face mesh, and mouths taken from other frames of the
same face. The training twin of Sources/Faces/Warp.swift, with the same geometry.

Images are uint8 [H, W, 3]; points are px, with integers at pixel centres; meshes with rings are [540, 2]
(geometry.with_rings)."""
import cv2
import numpy as np

from data.geometry import EYES, INNER, LOWER_INNER, LOWER_OUTER, OUTER, UPPER_INNER, UPPER_OUTER, smooth

cv2.setNumThreads(1)
INSET = 0.14  # of the lip's height: how far the edge of an open mouth is moved into the lip when reading pixels
INSET_FROM = 0.04  # outer eye distances: the gap from which the inset is full
GROWN = 1.10, 1.22  # horizontally, vertically: enlargement of the lip outline, inside which the mouth is another frame's
FEATHER = 0.03  # outer eye distances, standard deviation of that outline's blur
SKIN = [2, 97, 98, 203, 206, 207, 214, 135, 169, 170, 140, 171,  # the outline of the skin that comes with a mouth
        175, 396, 369, 395, 394, 364, 434, 427, 426, 423, 327, 326]
SKIN_POINTS = [  # the points inside and on it, without the lips
    2, 18, 32, 43, 57, 83, 92, 97, 98, 106, 135, 140, 164, 165, 167, 169, 170, 171, 175, 182, 186, 194, 199, 200, 201,
    202, 203, 204, 206, 207, 208, 210, 211, 212, 214, 216, 262, 273, 287, 313, 322, 326, 327, 335, 364, 369, 391, 393,
    394, 395, 396, 406, 410, 418, 421, 422, 423, 424, 426, 427, 428, 430, 431, 432, 434, 436]
SKIN_FEATHER = 0.2  # outer eye distances: its soft border
SKIN_REACH = 0.04  # outer eye distances around a point over which its colour is averaged
SKIN_CELL = 0.08  # outer eye distances between neighbouring points, about
ALIKE, UNLIKE = 0.06, 0.12  # of the range: speech makes differences up to ALIKE, and none from UNLIKE on
MOST_OFFSET = 0.12  # of the range: the largest offset between two frames
TRACE = 1e-6  # area of a pixel that counts as 0
KEYS = -1.0  # the cubics' parameter a: -0.5 is the most accurate, -1 keeps the most detail (decision 31)
FIX = 4  # bits of OpenCV's subpixel coordinates


def inset(points, unit):
    """The mesh with its inner lip edges moved into the lips. Reading pixels there keeps teeth off the lip edges of a
    mouth that a warp closes. unit: outer eye distance, px."""
    out = points.copy()
    for a, b, c, d in zip(UPPER_INNER[1:-1], UPPER_OUTER[1:-1], LOWER_INNER[1:-1], LOWER_OUTER[1:-1]):
        k = INSET * min(np.linalg.norm(points[a] - points[c]) / (INSET_FROM * unit), 1)
        out[a] += k * (points[b] - points[a])
        out[c] += k * (points[d] - points[c])
    return out


def field(after, before, triangles, size):
    """float32 [H, W, 2]: the source position of each pixel of an image of `size` (H, W) when the mesh `before` becomes
    `after`; its own position outside all triangles. Later triangles cover earlier ones."""
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
    """[4, ...]: the weights of four neighbours for a position `t` after the second one (Keys, Cubic convolution
    interpolation, 1981, equation 5)."""
    t = np.stack([1 + t, t, 1 - t, 2 - t])
    near = ((KEYS + 2) * t - (KEYS + 3)) * t * t + 1
    far = KEYS * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, near, far)


def moved(picture, field):
    """The uint8 image [H, W, 3] sampled at the positions field [H, W, 2], with cubic interpolation over 4 x 4 pixels,
    limited to the least and greatest of these. Pixels that do not move are copied."""
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
    """float32 [H, W], 0 ... 1: the exact area that a closed outline [N, 2] covers in each pixel; 0 for a flat one.

    It sums over the edges the area to their right in the pixel, downward edges positive, upward ones negative. ramp is
    the integral of the area right of x = 0 in a pixel that ends at x = u."""
    size = np.array(size[::-1])
    low = np.clip(np.floor(outline.min(0) + 0.5), 0, size).astype(int)
    high = np.clip(np.ceil(outline.max(0) + 0.5), low, size).astype(int)
    p = outline + 0.5 - low  # here pixels begin at integers
    q = np.roll(p, -1, 0)
    columns, rows = (np.arange(n) for n in high - low)
    start, end = (np.clip(end[:, 1:], rows, rows + 1) for end in (p, q))
    edge, row = np.nonzero(start != end)  # where edges cross rows
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
    """float32 [2, H, W]: the coverage of the opening between the lips, and of the lips including it."""
    return np.stack([filled(points[list(outline)], size) for outline in (INNER, OUTER)])


def mouth(points, size, unit):
    """float32 [H, W], 0 ... 1: the opacity of another frame's mouth."""
    outline = points[list(OUTER)]
    middle = outline.mean(0)
    return cv2.GaussianBlur(filled(middle + (outline - middle) * GROWN, size), (0, 0), FEATHER * unit)


def warped(picture, before, after, triangles, unit):
    """The image with its mesh moved; the inside of the mouth is stretched from its own."""
    return moved(picture, field(after, inset(before, unit), triangles, picture.shape[:2]))


def skin_levels(picture, points):
    """[66, 3]: the mean levels around each point of the skin; NaN where the picture ends. points: a mesh, px."""
    reach = max(SKIN_REACH * np.linalg.norm(points[EYES[1]] - points[EYES[0]]), 0.5)
    low, high = (np.ceil(points[SKIN_POINTS] + side * reach).astype(int) for side in (-1, 1))
    inside = (low >= 0).all(1) & (high <= picture.shape[1::-1]).all(1)
    return np.stack([picture[b:d, a:c].mean((0, 1)) if whole else np.full(3, np.nan)
                     for (a, b), (c, d), whole in zip(low, high, inside)])


def compare_skin(own, other, levels=255):
    """How the colours [66, 3] of two frames' skin compare, NaN where unknown. offset [3]: the difference that most points
    share, which is light and white balance. gates [66]: 1 where they are the same but for that, 0 where a hand, a
    microphone or a shadow is in one of them; all 0 if any is unknown."""
    difference = (own - other) / levels
    known = difference[~np.isnan(difference).any(1)]
    if not len(known):
        return np.zeros(3), np.zeros(len(own))
    offset = np.clip(np.sort(known, 0)[len(known) // 2], -MOST_OFFSET, MOST_OFFSET)
    gates = smooth((UNLIKE - np.abs(difference - offset).max(1)) / (UNLIKE - ALIKE))
    return offset * levels, gates if len(known) == len(own) else np.zeros(len(own))


def spread(gates, points, cell, size):
    """float32 [H, W]: gates at points, spread over an image: on a grid `cell` px wide their means weighted by nearness,
    linear in between. Means up to 0.5 are 0, so that a point that is not the same closes its surroundings."""
    rows, columns = (int(n / cell) + 2 for n in size)
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)[:, :, None]
    near = np.maximum(1 - np.square(grid - points / cell).sum(-1) / 9, 0) ** 4
    means = np.maximum(2 * (near * gates).sum(-1) / (near.sum(-1) + 1e-6) - 1, 0).astype(np.float32)
    for n, axis in zip(size, (0, 1)):
        place = np.arange(n) / cell
        first, share = place.astype(int), np.expand_dims((place % 1).astype(np.float32), 1 - axis)
        means = (1 - share) * means.take(first, axis) + share * means.take(first + 1, axis)
    return means


def skin(points, gates, size, unit):
    """float32 [H, W], 0 ... 1: the opacity of another frame's skin."""
    inside = np.zeros(size, np.uint8)
    cv2.fillPoly(inside, [(points[SKIN] * (1 << FIX)).round().astype(np.int32)], 1, shift=FIX)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return smooth(depth / (SKIN_FEATHER * unit)) * spread(gates, points[SKIN_POINTS], SKIN_CELL * unit, size)


def with_exemplar(own, after, exemplar, points, triangles, unit):
    """A warped image, whose mesh is now `after`, with the mouth of another image, whose mesh is `points`, and the skin
    around it where that is like its own."""
    size = own.shape[:2]
    other = moved(exemplar, field(after, inset(points, unit), triangles, size)).astype(np.float32)
    offset, gates = compare_skin(skin_levels(own, after), skin_levels(other, after))
    share = np.maximum(mouth(after, size, unit), skin(after, gates, size, unit))[..., None]
    return (own + share * (other + offset - own) + 0.5).clip(0, 255).astype(np.uint8)
