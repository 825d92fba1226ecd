# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Learns the geometry of mouth motion from prepared clips: `python -m data.shape --cache CACHE` writes
CACHE/geometry.safetensors, the contents of geometry.Basis: the mean face, the principal components of speech, and the
mesh's triangles in drawing order.

Speakers are weighted by the square root of their number of frames. The result is symmetric: every shape is used with
its mirror image."""
import numpy as np
from safetensors.numpy import save_file
from scipy.spatial import Delaunay

from data.clips import load
from data.geometry import (COEFFICIENTS, EYES, INNER, LOWER_OUTER, RIGID, UPPER_OUTER, Basis, Neutral, Pose, opening, smooth,
                           with_rings)
from data.options import parser as options

LIPS = sorted({*INNER, *UPPER_OUTER, *LOWER_OUTER})
LOOKS = 4.0, 2.5, 1.0  # weights of the inner lip edges, the lips, and the rest in the analysis


def mirror(canonical):
    """The index of each of the 468 points' mirror image."""
    flipped = canonical * [-1, 1, 1]
    return np.square(flipped[:, None] - canonical[None]).sum(-1).argmin(1)


def canonical_face(meshes):
    """The mean face [468, 3] of meshes [N, 468, 3]: origin midway between the outer eye corners, unit their distance, x
    along them, z into the head, symmetric."""
    mean = meshes[0] - meshes[0][list(RIGID)].mean(0)
    for _ in range(8):
        shapes = Pose.of(meshes, mean).unposed(meshes)
        mean = shapes.mean(0)
        right, left = mean[list(EYES)]
        across = (left - right) / np.linalg.norm(left - right)
        down = mean[152] - mean[10]
        down -= across * (across @ down)
        down /= np.linalg.norm(down)
        axes = np.stack([across, down, np.cross(across, down)])
        mean = (mean - (right + left) / 2) @ axes.T / np.linalg.norm(left - right)
    return (mean + (mean * [-1, 1, 1])[mirror(mean)]) / 2


def triangles(shape, low):
    """[N, 3]: the Delaunay triangles over an open mouth's points [468, 3] and its rings that speech may move (those
    with a point in low or in the rings), with those on the inner lip edges last, because they cover the opening when
    the mouth is closed."""
    points = with_rings(shape[None, :, :2], shape[None, :, :2])[0][0]
    found = Delaunay(points).simplices
    moved = np.isin(found, low).any(1) | (found >= 468).any(1)
    rim = np.isin(found, INNER)
    order = np.where(rim.all(1), 1, np.where(rim.any(1), 2, 0))
    return found[moved][np.argsort(order[moved], kind="stable")]


def share(canonical):
    """[468]: how much of speech's motion each point gets: 0 down to the tip of the nose, 1 from the upper lip on,
    little for the wings of the nose."""
    y, x = canonical[:, 1], np.abs(canonical[:, 0])
    tip, base, lip = canonical[4, 1], canonical[2, 1], canonical[0, 1]
    wing = np.abs(canonical[129, 0])
    share = smooth((y - tip) / (lip - tip))
    nose = (y < base + 0.2 * (lip - base)) & (x < 1.15 * wing)
    share[nose] *= 0.1
    share[LIPS] = 1
    return share


def principal(clips_of, canonical, low):
    """components and analysis [12, L, 3] (geometry.Basis) from {speaker: [shapes]}. The closed mouth of a clip is the
    mean of its least open tenth."""
    looks = np.full(len(low), LOOKS[2])
    looks[np.isin(low, LIPS)] = LOOKS[1]
    looks[np.isin(low, INNER)] = LOOKS[0]
    swap = mirror(canonical)
    place = {v: i for i, v in enumerate(low)}
    other = np.array([place[swap[v]] for v in low])
    rows, weights = [], []
    for clips in clips_of.values():
        offsets = []
        for shapes in clips:
            gap = opening(shapes)
            offset = shapes[:, low] - shapes[gap <= np.percentile(gap, 10)][:, low].mean(0)
            offsets.append(offset)
        offsets = np.concatenate(offsets)
        offsets = np.concatenate([offsets, (offsets * [-1, 1, 1])[:, other]])
        rows.append(offsets)
        weights.append(np.full(len(offsets), len(offsets) ** -0.25))  # squared below: the square root of the count
    offsets, weights = np.concatenate(rows), np.concatenate(weights)
    flat = (offsets * looks[:, None]).reshape(len(offsets), -1)
    _, spread, basis = np.linalg.svd(flat * weights[:, None], full_matrices=False)
    basis = basis[:COEFFICIENTS]
    kept = flat @ basis.T
    deviation = np.sqrt(np.average(np.square(kept), axis=0, weights=np.square(weights)))
    basis *= np.sign(basis.reshape(COEFFICIENTS, -1)[:, 3 * place[14] + 1])[:, None]  # positive: the lower lip goes down
    components = (basis * deviation[:, None]).reshape(COEFFICIENTS, len(low), 3) / looks[:, None]
    analysis = (basis / deviation[:, None]).reshape(COEFFICIENTS, len(low), 3) * looks[:, None]
    part = np.cumsum(spread ** 2) / np.sum(spread ** 2)
    rest = offsets - ((flat @ basis.T) @ basis).reshape(offsets.shape) / looks[:, None]
    lips = np.isin(low, LIPS)
    size = lambda x: np.sqrt(np.square(x[:, lips, :2]).sum(-1)).mean()
    print(f"{COEFFICIENTS} components explain {part[COEFFICIENTS - 1]:.3f} (4: {part[3]:.3f}); of lips that move by "
          f"{size(offsets):.4f} outer eye distances they leave {size(rest):.4f}")
    return components * share(canonical)[low][:, None], analysis


def main():
    parser = options(__doc__, cache="folder with clips, and for the geometry")
    parser.add_argument("--clips", type=int, default=20, help="maximum clips for each speaker")
    args = parser.parse_args()
    by = {}
    for clip in load(args.cache, False, pictures=False):
        by.setdefault(clip.speaker, []).append(clip.points.astype(np.float64))
    by = {speaker: meshes[:args.clips] for speaker, meshes in by.items()}
    few = np.concatenate([mesh[::10] for meshes in by.values() for mesh in meshes[:4]])
    canonical = canonical_face(few)
    shapes = {speaker: [Pose.of(mesh, canonical).unposed(mesh) for mesh in meshes] for speaker, meshes in by.items()}
    low = np.flatnonzero((share(canonical) > 0) & (canonical[:, 1] > canonical[4, 1]))
    components, analysis = principal(shapes, canonical, low)
    every = np.concatenate([mesh for meshes in shapes.values() for mesh in meshes])
    gap = opening(every)
    wide = every[gap >= np.percentile(gap, 95)].mean(0)
    kept = {"canonical": canonical, "low": low, "components": components, "analysis": analysis,
            "triangles": triangles(wide, low)}
    kept = {name: np.ascontiguousarray(value, np.float32) for name, value in kept.items()}
    save_file(kept, args.cache / "geometry.safetensors")
    basis = Basis(kept)
    for speaker, meshes in shapes.items():
        neutral = Neutral.of(basis, meshes[0])
        made = basis.coefficients(meshes[0], neutral)
        wanted = np.einsum("tk,k->t", made, basis.gap)
        print(f"{speaker}: coefficients' deviation {made.std(0).round(2)[:4]}, mean {made.mean(0).round(2)[:3]}, "
              f"opening r {np.corrcoef(wanted, opening(meshes[0]))[0, 1]:.3f}")


if __name__ == "__main__":
    main()
