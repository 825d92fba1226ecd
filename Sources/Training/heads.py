# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic presenters, training clips of faces that nobody has: `python heads.py HEADS --cache CACHE --clips 200` adds
CACHE/clips/synthetic__NUMBER.npz to what prepare.py wrote there. Each clip is one new head under a light and a camera of
its own. Its lips move as those of a training clip do, whose sound it takes: a face's moves are fitted to the lip outline
frame by frame, less the outline of the closed mouth. The lips that are saved are the mesh's own, not a detector's.

HEADS holds MakeHuman's parts: makehuman/core (base mesh and targets), makehuman/assets_geometry (teeth, tongue),
makehuman/arkit_viseme_targets (moves made for that mesh), and teeth/, tongue/, makehuman_skins*/ with textures.
"""
import argparse
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls
from scipy.sparse import csr_matrix

import data
from audio import aperture
from geometry import LIPS, MARGIN, WINDOW, similarity
from prepare import save
from speech import STACK

SIDE = WINDOW + 2 * MARGIN
FRAMES = 50                  # of a clip: more heads instead of longer ones
DETAIL = 2                   # px of the raster per px of the window
SKIN, CELL = 1024, 256       # px, sides of the skin in the texture and of the cells for teeth, tongue and eyes beside it
LOWEST, WIDEST = 5.3, 1.7    # of the body, in the base mesh's units: the shoulders
EYE = (0.3077, 7.2842)       # centre of the base mesh's left eye
# Vertices of the base mesh where MediaPipe sees geometry.STABLE and geometry.LIPS, on the mean of 14 rendered heads, and the
# mean place of the former in a window that is aligned by what MediaPipe sees.
STABLE_VERTICES = (4854, 64, 6848, 11472, 132, 134, 131, 5063, 227, 5320)
PLACES = np.array([[13.4, -12.5], [34.7, -11.7], [61.3, -11.7], [82.6, -12.5], [48, -14.7], [48, -8.9], [48, -2.3], [48, 2],
                   [48, -30.5], [48, -45.4]])
LIP_VERTICES = (407, 3705, 478, 484, 490, 496, 7245, 7239, 7233, 10373, 7167, 408, 411, 5354, 456, 466, 7215, 11956, 7171, 7168,
                414, 419, 519, 518, 517, 523, 7264, 7265, 7266, 7179, 7174, 504, 5353, 470, 472, 474, 7228, 7226, 11955, 7253)
LOWER = [LIPS.index(p) for p in (95, 88, 178, 87, 14, 317, 402, 318, 324)]
UPPER = [LIPS.index(p) for p in (191, 80, 81, 82, 13, 312, 311, 310, 415)]
OUTER = [LIPS.index(p) for p in (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)]
INNER = [LIPS.index(78), *LOWER, LIPS.index(308), *UPPER[::-1]]
MOVES = ("jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthLeft", "mouthRight",
         *(f"mouth{move}{side}" for move in "Press LowerDown UpperUp Smile Frown Stretch Dimple".split()
           for side in ("Left", "Right")))
GAP_WEIGHT = 3.0             # how much more the gap between the lips counts than their outline
COST = np.array([1.5] + [5.0] * (len(MOVES) - 1))  # of a move, px: the jaw opens a mouth before the lips do


def rasterize(points, triangles, side):
    """What is seen of triangles [F, 3] with corners points [V, 3] (px right, px down, depth): index [side, side] of the
    nearest triangle, -1 for none, and its corners' weights [side, side, 3]. Corners run clockwise on what faces us."""
    a, b, c = (points[corner] for corner in triangles.T)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    low = np.minimum(np.minimum(a, b), c)[:, :2]
    high = np.maximum(np.maximum(a, b), c)[:, :2]
    low = np.maximum(np.ceil(low - 0.5), 0).astype(np.int32)  # first and last pixels whose centre may be inside
    high = np.minimum(np.floor(high - 0.5), side - 1).astype(np.int32)
    span = high - low
    seen = np.flatnonzero((area > 1e-9) & (span[:, 0] >= 0) & (span[:, 1] >= 0))
    size = np.ceil(np.log2(span[seen].max(1) + 1)).astype(int)
    found = []
    for exponent in np.unique(size):  # triangles of about the same size at once
        t = seen[size == exponent]
        steps = np.arange(2 ** exponent, dtype=np.float32)
        x, y = ((low[t, axis] + np.float32(0.5) - a[t, axis])[:, None] + steps for axis in (0, 1))
        (bx, by), (cx, cy) = ((edge[t, :2] / area[t, None]).T[..., None] for edge in (ab, ac))
        wb = (x * cy)[:, None] - (y * cx)[:, :, None]
        wc = (y * bx)[:, :, None] - (x * by)[:, None]
        n, i, j = np.nonzero((wb >= 0) & (wc >= 0) & (wb + wc <= 1))
        wb, wc, t, column, row = wb[n, i, j], wc[n, i, j], t[n], low[t[n], 0] + j, low[t[n], 1] + i
        depth = a[t, 2] + wb * ab[t, 2] + wc * ac[t, 2]
        found.append([v[(column < side) & (row < side)] for v in (row * side + column, t, 1 - wb - wc, wb, wc, depth)])
    index, weights = np.full(side * side, -1), np.zeros((side * side, 3), np.float32)
    if found:
        pixel, t, *w, depth = (np.concatenate(v) for v in zip(*found))
        order = np.argsort(-depth)  # of a pixel's writers the last one stays
        index[pixel[order]] = t[order]
        weights[pixel[order]] = np.stack(w, 1)[order]
    return index.reshape(side, side), weights.reshape(side, side, 3)


def wavefront(path):
    """Vertices [V, 3], texture points [T, 2] and {group: quads [F, 4, 2] of their indices} of an OBJ file."""
    vertices, places, groups, group = [], [], {}, ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in rest])
        elif kind == "vt":
            places.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest]
            groups.setdefault(group, []).append((corners + corners[-1:])[:4])
    return np.array(vertices), np.array(places), {name: np.array(quads) for name, quads in groups.items()}


def attachment(path, base):
    """What is worn: a sparse matrix [N, V] and offsets [N, 3] that place an MHCLO file's vertices on the base mesh's [V, 3]."""
    lines = [line.split() for line in path.read_text().splitlines()]
    scales = {line[0]: abs(base[int(line[1])] - base[int(line[2])]) / float(line[3]) for line in lines
              if line and line[0].endswith("_scale")}
    start = next(i for i, line in enumerate(lines) if line[:1] == ["verts"]) + 1
    rows = [[float(x) for x in line] for line in lines[start:] if line and line[0].isdigit()]
    rows = np.array([row if len(row) > 1 else row * 3 + [1, 0, 0, 0, 0, 0] for row in rows])  # one vertex alone, or three
    place = np.repeat(np.arange(len(rows)), 3)
    matrix = csr_matrix((rows[:, 3:6].ravel(), (place, rows[:, :3].astype(int).ravel())), (len(rows), len(base)))
    return matrix, rows[:, 6:] * [scales[f"{axis}_scale"][i] for i, axis in enumerate("xyz")]


class Parts:
    """The mesh of a head down to the shoulders, with eyes, teeth and tongue; its shapes, moves and skins."""

    def __init__(self, folder):
        core, worn = folder / "makehuman/core/makehuman/data", folder / "makehuman/assets_geometry/base"
        self.base, places, groups = wavefront(core / "3dobjs/base.obj")
        body = groups["body"]
        at = self.base[body[..., 0]]
        body = body[(at[..., 1] > LOWEST).all(1) & (abs(at[..., 0]) < WIDEST).all(1)]
        eyes = np.concatenate([groups["helper-l-eye"], groups["helper-r-eye"]])[..., 0]
        looks = (abs(self.base[eyes][..., :1]) - EYE[0], EYE[1] - self.base[eyes][..., 1:2])
        quads = [body[..., 0], eyes]
        maps = [places[body[..., 1]] * [SKIN, -SKIN] + [0, SKIN], np.concatenate(looks, -1) * 600 + [SKIN + CELL / 2, 2.5 * CELL]]
        self.worn, count, self.first_worn = [], len(self.base), 2 * sum(map(len, quads))  # first triangle of teeth and tongue
        for n, name in enumerate(("teeth/teeth_base/teeth_base", "tongue/tongue01/tongue01")):
            self.worn.append(attachment(worn / f"{name}.mhclo", self.base))
            _, places, group = wavefront(worn / f"{name}.obj")
            more, = group.values()
            quads.append(more[..., 0] + count)
            maps.append(places[more[..., 1]] * [CELL, -CELL] + [SKIN, CELL * (n + 1)])
            count += len(self.worn[-1][1])
        clockwise = [0, 2, 1, 0, 3, 2]
        self.kept, self.triangles = np.unique(np.concatenate(quads)[:, clockwise].reshape(-1, 3), return_inverse=True)
        self.triangles = self.triangles.reshape(-1, 3)
        self.map = np.concatenate(maps)[:, clockwise].reshape(-1, 3, 2).astype(np.float32)  # texture px of the corners
        self.stable, self.lips = (np.searchsorted(self.kept, v) for v in (STABLE_VERTICES, LIP_VERTICES))
        self.lip_map = np.zeros((len(self.kept), 2))
        self.lip_map[self.triangles] = self.map  # a corner's place; those of the lips have but one
        self.lip_map = self.lip_map[self.lips][OUTER].round().astype(np.int32)
        corner = np.repeat(np.arange(len(self.triangles)), 3)
        self.around = csr_matrix((np.ones(len(corner), np.float32), (self.triangles.ravel(), corner)))  # triangles of a vertex
        self.moves = np.stack([self.whole(self.target(folder / f"makehuman/arkit_viseme_targets/{m}.target"), 0) for m in MOVES])
        self.low_teeth = (self.kept >= len(self.base)) & (self.moves[0, :, 1] < -0.05)  # what the jaw takes along, tongue too
        targets = core / "targets"
        self.races = [p for p in sorted(targets.glob("macrodetails/*-*-*.target")) if p.stem.endswith(("young", "old"))
                      and not p.stem.startswith("universal")]
        self.weights = sorted(targets.glob("macrodetails/universal-*-young-averagemuscle-m*weight.target"))
        self.shapes = [p for part in ("nose", "mouth", "chin", "cheek", "head", "forehead", "neck", "asym")
                       for p in sorted((targets / part).glob("*.target")) if "trans" not in p.stem]
        skins = {p.stem: p for pattern in ("makehuman_skins/**/textures/*.png", "makehuman_skins_2048/*.png")
                 for p in sorted(folder.glob(pattern)) if "suit" not in p.stem}
        self.skins = list(skins.values())
        self.cells = [folder / "teeth/materials/teeth.png", folder / "tongue/tongue01/tongue01_diffuse.png"]

    def whole(self, base, offsets=1):
        """The kept vertices [N, 3], when the base mesh's are at base [V, 3]. offsets 0: of a difference."""
        return np.concatenate([base, *(m @ base + offsets * o for m, o in self.worn)])[self.kept].astype(np.float32)

    @lru_cache(200)
    def target(self, path):
        """A shape's or a move's differences [V, 3]."""
        rows = np.array([line.split() for line in path.read_text().splitlines() if line[:1].isdigit()], float).reshape(-1, 4)
        out = np.zeros_like(self.base)
        out[rows[:, 0].astype(int)] = rows[:, 1:]
        return out


@lru_cache(40)
def picture(path, side):
    """RGB, linear light, [side, side, 3]."""
    return (cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_AREA)[..., ::-1] / np.float32(255)) ** 2.2


def rotation(yaw, pitch):
    """[3, 3], degrees: to the left of the picture, down."""
    return cv2.Rodrigues(np.radians([pitch, 0, 0]))[0] @ cv2.Rodrigues(np.radians([0, yaw, 0]))[0]


class Presenter:
    """One head with its light and camera, drawn by rng."""

    def __init__(self, parts, rng):
        self.parts, self.rng = parts, rng
        base = parts.base.copy()
        for path, share in zip(parts.races, rng.dirichlet(np.full(len(parts.races), 0.3))):
            base += share * parts.target(path)
        for path in [*rng.choice(parts.weights, 1), *rng.choice(parts.shapes, 12, replace=False)]:
            base += rng.uniform(0, 0.6) * parts.target(path)
        self.rest = parts.whole(base)
        self.rest[parts.low_teeth, 1] -= rng.uniform(0, 0.1)
        # turned about the middle of the stable points, seen from a distance of about 10 to 40 eye distances
        self.middle = self.rest[parts.stable].mean(0)
        self.distance = rng.uniform(6, 25)
        self.pose = rng.normal(0, (5, 4))
        self.texture = self._texture()
        self.collar, self.cloth = self.middle[1] - rng.uniform(1.25, 1.6), rng.uniform(0, 0.6, 3).astype(np.float32) ** 2
        self.key = rotation(rng.normal(0, 35), rng.normal(25, 15)).T @ [0, 0, 1]
        warm = rng.normal(0, 0.12)
        strengths = rng.uniform((0.2, 0.3, 0.1), (0.8, 0.7, 0.4))[:, None]  # of key, sky and ground
        self.lights = strengths / strengths.sum() * np.exp(rng.normal(0, 0.05, (3, 3)) + warm * np.array([1, 0, -1]))
        self.gloss, self.cave = rng.uniform(0.02, 0.2), rng.uniform((0.5, 4), (1, 10))
        self.background = cv2.resize(rng.uniform(0.05, 0.6) * np.exp(rng.normal(0, 0.4, 3)) + rng.normal(0, 0.03, (4, 4, 3)),
                                     (SIDE * DETAIL,) * 2, interpolation=cv2.INTER_CUBIC).clip(0.02, 0.8).astype(np.float32)
        self.exposure = rng.uniform(0.8, 1.5) * np.exp(rng.normal(0, 0.12, 3) * [1, 0.5, 1.5])
        self.blur, self.noise, self.quality = rng.uniform(0.1, 0.6), rng.uniform(0, 2), int(rng.integers(60, 95))

    def _texture(self):
        rng, parts = self.rng, self.parts
        one, two = (picture(p, SKIN) for p in rng.choice(parts.skins, 2))
        share = rng.uniform()
        texture = np.zeros((SKIN, SKIN + CELL, 3), np.float32)
        skin = (one * share + two * (1 - share)) ** np.exp(rng.normal(0.15, 0.15)) * np.exp(rng.normal(0, 0.08, 3))
        lips = np.zeros((SKIN, SKIN), np.float32)
        cv2.fillPoly(lips, [parts.lip_map], 1)
        red = cv2.GaussianBlur(lips, (0, 0), 2)[..., None] * rng.uniform(0, 1) * (0.1, 0.5, 0.4)
        texture[:, :SKIN] = skin * (1 - red)
        for n, (path, tint) in enumerate(zip(parts.cells, ((0.75, 0.68, 0.55), (0.7, 0.6, 0.6)))):
            texture[n * CELL:(n + 1) * CELL, SKIN:] = picture(path, CELL) * tint * np.exp(rng.normal(0, 0.1))
        eye = np.full((CELL, CELL, 3), 0.5, np.float32)
        cv2.circle(eye, (CELL // 2,) * 2, 36, rng.uniform(0.02, 0.2, 3).tolist(), -1)
        texture[2 * CELL:3 * CELL, SKIN:] = cv2.circle(eye, (CELL // 2,) * 2, 14, (0, 0, 0), -1)
        return texture

    def seen(self, vertices, pose):
        """Vertices [N, 3] of the mesh in the picture: window px right and down, depth in units of the mesh."""
        turned = (vertices - self.middle) @ rotation(*pose).T
        flat = turned[:, :2] * [1, -1] / (1 - turned[:, 2:] / self.distance)
        matrix = similarity(flat[self.parts.stable], PLACES)
        return np.column_stack([flat @ matrix[:, :2].T + matrix[:, 2], -turned[:, 2]])

    def follow(self, lips):
        """Weights [T, MOVES] of the moves with which the mouth does what lips [T, 40, 2] of a clip do. The gaps between the
        lips are those of the clip, 0 where it is closed; the outline moves as much as the clip's from its closed mouth."""
        lips = gaussian_filter1d(lips, 0.5, axis=0, mode="nearest")
        rest = self.seen(self.rest, (0, 0))[self.parts.lips, :2]
        effect = np.stack([self.seen(self.rest + m, (0, 0))[self.parts.lips, :2] - rest for m in self.parts.moves])
        opening = aperture(lips)
        shut = lips[opening <= np.percentile(opening, 10)].mean(0)
        width = lambda outline: np.ptp(outline[..., 0], -1)
        size = width(rest) / width(shut) * self.rng.uniform(0.9, 1.15)
        gap = lambda outline: outline[..., LOWER, 1] - outline[..., UPPER, 1]
        wanted = size * np.maximum(gap(lips) - gap(shut), 0) - gap(rest)
        wanted = np.concatenate([(size * (lips - shut)).reshape(len(lips), -1), GAP_WEIGHT * wanted], 1)
        matrix = np.concatenate([effect.reshape(len(effect), -1), GAP_WEIGHT * gap(effect), np.diag(COST)], 1).T
        return np.stack([nnls(matrix, np.append(w, np.zeros(len(effect))))[0] for w in wanted])

    def frame(self, weights, pose):
        """A picture [128, 128, 3] as prepare.py cuts it, and its lips [40, 2]."""
        parts = self.parts
        vertices = self.rest + np.tensordot(weights.astype(np.float32), parts.moves, 1)
        points = self.seen(vertices, pose)
        lips, shown = points[parts.lips, :2], points.copy()
        shown[:, :2] = (shown[:, :2] + MARGIN) * DETAIL
        index, shares = rasterize(shown.astype(np.float32), parts.triangles, SIDE * DETAIL)
        hit = index >= 0
        corners, shares = parts.triangles[index[hit]], shares[hit]
        one, two, three = vertices[parts.triangles].swapaxes(0, 1)
        normals = parts.around @ np.cross(three - one, two - one)
        blend = lambda values: np.einsum("nij,ni->nj", values, shares)
        place = np.zeros((*index.shape, 2), np.float32)
        place[hit] = blend(parts.map[index[hit]]) - 0.5
        colour = cv2.remap(self.texture, place, None, cv2.INTER_LINEAR)[hit]
        colour[blend(self.rest[corners, 1:2])[:, 0] < self.collar] = self.cloth
        normal = blend(normals[corners])
        normal = normal @ rotation(*pose).T.astype(np.float32) / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9)
        up, key = 0.5 + 0.5 * normal[:, 1:2], np.maximum(normal @ self.key[:, None], 0)
        half = self.key + [0, 0, 1]
        shine = np.maximum(normal @ (half / np.linalg.norm(half)), 0)[:, None] ** 25
        light = np.concatenate([key, up, 1 - up], 1) @ self.lights
        # between the lips less light arrives the deeper it is
        outline = np.round(shown[parts.lips][INNER, :2] - 0.5).astype(np.int32)
        inside = cv2.GaussianBlur(cv2.fillPoly(np.zeros(index.shape, np.float32), [outline], 1), (0, 0), DETAIL)[hit]
        inside[index[hit] >= parts.first_worn] = 1
        deep = blend(shown[corners, 2:])[:, 0] - shown[parts.lips][INNER, 2].mean()
        cave = 1 - inside * (1 - np.clip(self.cave[0] * np.exp(-self.cave[1] * deep), 0.03, 1))
        image = self.background.copy()
        image[hit] = (colour * light + shine * self.gloss * self.lights[0]) * cave[:, None]
        return self._taken(image), lips

    def _taken(self, image):
        """A picture of the raster's size in linear light, as a camera and a codec leave it."""
        image = cv2.GaussianBlur(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), self.blur)
        image = np.clip(image * self.exposure, 0, 1) ** (1 / 2.2) * 255
        image = np.clip(image + self.rng.normal(0, self.noise, image.shape), 0, 255).astype(np.uint8)
        return data.through_jpeg(image, self.quality)

    def clip(self, lips):
        """Windows [T, 128, 128, 3] and lips [T, 40, 2] of the head that speaks as a clip's lips do."""
        sway = gaussian_filter1d(self.rng.normal(0, 1, (len(lips), 2)), 8, axis=0, mode="nearest") * 8
        made = [self.frame(w, self.pose + s) for w, s in zip(self.follow(lips), sway)]
        return (np.stack(part) for part in zip(*made))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=200)
    args = parser.parse_args()
    parts = Parts(args.heads)
    clips = [c for c in data.load(args.cache, False) if c.speaker != "synthetic"]
    weights = data.balanced(clips)
    for n in range(args.clips):
        store = args.cache / "clips" / f"synthetic__{n:04d}.npz"
        if store.exists():
            continue
        rng = np.random.default_rng(n)
        clip = clips[rng.choice(len(clips), p=weights)]
        start = rng.integers(1, max(len(clip.lips) - FRAMES, 1) + 1)
        window, lips = Presenter(parts, rng).clip(clip.lips[start:start + FRAMES])
        sound = clip.fbank[STACK * start + clip.lag_rows:STACK * (start + len(lips) + 5)]
        save(store, window=window, lips=lips.astype(np.float32), fbank=sound)
        if n % 10 == 9:
            print(f"{n + 1}/{args.clips} clips", flush=True)


if __name__ == "__main__":
    main()
