# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Makes what the painter learns from: `python -m data.pairs --cache CACHE` writes CACHE/pairs/*.npz.

A run is FRAMES pictures in a row of one clip, the truth, beside what the warp makes of other pictures of the clip: other
moments of the same face brought to the true mesh, once with their own inside of the mouth stretched, once with the mouth of a
third moment whose lips were most like the true ones (the exemplar), out of as many moments as chance gives. In a third of the
runs the mesh is not the true one but what the coefficients make of it, as when the element runs. Portraits make runs of
one picture: warped to the mouth of some talker and back, so that the painter sees faces of all kinds; they have no
exemplar, and the sound of a talker's most similar mouth.

Of each run: truth, own, exemplar uint8 [FRAMES, 104, 104, 3]; lips uint8 [FRAMES, 2, 104, 104] (warp.lips, 255: inside);
clip, frame (the first one's place in it), still (1: a portrait, the clip only lends its sound)."""
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from data import warp
from data.clips import balanced, load, pictures, save, stills
from data.geometry import INNER, MARGIN, SIDE, Basis, Neutral, Pose, with_mouth, with_rings
from data.options import made as needed, parser as options, progress

FRAMES = 6     # of a run: one that was made before, and five for the sync network
KEPT = 12      # px around the window that are kept, for augmentation
APART = 8      # frames between the truth and the picture that is warped, at least
STILLS = 0.25  # share of the portraits' pictures
CHUNK = 100    # runs of a file
COMPUTED = 1 / 3  # share of the runs whose mesh is made of coefficients
CUT = slice(MARGIN - KEPT, SIDE - MARGIN + KEPT)
KEYS = "truth", "own", "exemplar", "lips", "clip", "frame", "still"


class Talker:
    """A clip with its geometry. points are px of the kept picture, with rings."""

    def __init__(self, basis, window, points):
        points = points.astype(np.float64)
        self.window, self.pose = window, Pose.of(points, basis.canonical)
        self.shape = self.pose.unposed(points)
        self.neutral = Neutral.of(basis, self.shape)
        self.coefficients = basis.coefficients(self.shape, self.neutral)
        self.points = points
        rim = self.shape[:, INNER, :2]
        self.rims = rim - rim.mean(1, keepdims=True)

    def mesh(self, points):
        """With rings, px of the kept picture, of meshes [T, 468, 3] in window px."""
        flat = points[..., :2] + MARGIN
        return with_rings(flat, flat)[0]


def run(basis, talker, rng):
    """truth, own, exemplar, lips of one run and its first frame; None where the clip is too short."""
    count = len(talker.window)
    if count < FRAMES + APART:
        return None
    frame = int(rng.integers(0, count - FRAMES + 1))
    starts = np.arange(count - FRAMES + 1)
    far = starts[np.abs(starts - frame) >= APART]
    source = int(rng.choice(far if len(far) else starts))
    true, from_ = frame + np.arange(FRAMES), source + np.arange(FRAMES)
    after = talker.points[true]
    if rng.random() < COMPUTED:
        shape = with_mouth(basis, talker.shape[from_], talker.coefficients[from_], talker.coefficients[true])
        pose = Pose(talker.pose.scale[true], talker.pose.rotation[true], talker.pose.shift[true])
        after = pose.posed(shape)
    before, after = talker.mesh(talker.points[from_]), talker.mesh(after)
    seen = np.flatnonzero(np.abs(np.arange(count)[:, None] - true).min(1) >= 3)
    bank = rng.choice(seen, int(np.ceil(len(seen) ** rng.random())), replace=False)
    distance = np.sqrt(np.square(talker.rims[true][:, None] - talker.rims[bank]).sum(-1).mean(-1))
    chosen = bank[distance.argmin(1)]
    meshes = talker.mesh(talker.points[chosen])
    unit = float(talker.pose.scale.mean())
    own = [warp.warped(talker.window[s], b, a, basis.triangles, unit) for s, b, a in zip(from_, before, after)]
    other = [warp.with_exemplar(o, a, talker.window[c], m, basis.triangles, unit)
             for o, a, c, m in zip(own, after, chosen, meshes)]
    lips = [warp.lips(a, (SIDE, SIDE)) for a in after]
    return talker.window[true], np.stack(own), np.stack(other), np.stack(lips), frame


def still(basis, talker, mouths, rng):
    """The same of a portrait, brought to one of the mouths [N, 12] and back; and that mouth's nearest index."""
    shape, now = talker.shape, talker.coefficients
    away = with_mouth(basis, shape, now, mouths[rng.integers(len(mouths))][None])
    there = talker.mesh(talker.pose.posed(away))[0]
    here = talker.mesh(talker.points)[0]
    unit = float(talker.pose.scale[0])
    source = warp.warped(talker.window[0], here, there, basis.triangles, unit)
    own = warp.warped(source, there, here, basis.triangles, unit)
    lips = warp.lips(here, (SIDE, SIDE))
    near = int(np.square((mouths - now)[:, :4]).sum(1).argmin())
    repeat = lambda x: np.repeat(x[None], FRAMES, 0)
    return repeat(talker.window[0]), repeat(own), repeat(own), repeat(lips), near


def runs(basis, clips, chosen, windows, portraits, count, rng):
    """`count` runs as arrays {key of KEYS: [count, ...]}. chosen: the indices of the clips to take them from, one may come
    several times; windows(clip): its pictures; portraits: as data.clips.stills has them, N may be 0."""
    heard = [i for i in range(len(clips)) if len(clips[i].sound)]
    faces, meshes = portraits["window"], portraits["points"]
    out, talkers = {key: [] for key in KEYS}, {}

    def add(values, **fields):
        truth, own, exemplar, lips = values
        cut = lambda x: x[..., CUT, CUT, :]
        for key, value in zip(KEYS, (cut(truth), cut(own), cut(exemplar), (lips[..., CUT, CUT] * 255).round().astype(np.uint8))):
            out[key].append(value)
        for key, value in fields.items():
            out[key].append(value)

    def talker(index):
        if index not in talkers:
            talkers[index] = Talker(basis, windows(clips[index]), clips[index].points)
        return talkers[index]

    while len(out["clip"]) < count:
        if len(faces) and rng.random() < STILLS:
            index = int(rng.choice(np.intersect1d(chosen, heard)))
            place = int(rng.integers(len(faces)))
            portrait = Talker(basis, faces[place][None], meshes[place][None])
            *values, near = still(basis, portrait, talker(index).coefficients, rng)
            add(values, clip=index, frame=near, still=1)
        else:
            index = int(rng.choice(chosen))
            made = run(basis, talker(index), rng)
            if made:
                *values, frame = made
                add(values, clip=index, frame=frame, still=0)
    return {key: np.stack(value) for key, value in out.items()}


def separate(made, clips):
    """The runs one by one, each with its Clip in the place of its index."""
    return [{key: values[k] for key, values in made.items()} | {"clip": clips[made["clip"][k]]} for k in range(len(made["clip"]))]


def chunk(cache, seed):
    """Writes CHUNK runs of a quarter as many clips."""
    path = Path(cache) / "pairs" / f"{seed:05d}.npz"
    if path.exists():
        return
    rng = np.random.default_rng(seed)
    basis = Basis(load_file(Path(cache) / "geometry.safetensors"))
    clips = load(cache, False, pictures=False)
    chosen = rng.choice(len(clips), CHUNK // 4, p=balanced(clips, 0.6))
    made = runs(basis, clips, chosen, lambda clip: pictures(cache, clip), stills(cache), CHUNK, rng)
    names = np.array([f"{clips[i].speaker}__{clips[i].name}" for i in made["clip"]])
    path.parent.mkdir(exist_ok=True)
    save(path, **made, name=names)


def main():
    parser = options(__doc__, cache="folder with clips and geometry, for the pairs",
                     seed=f"the first file of {CHUNK} runs, which is called so; that of the next one is one more")
    parser.add_argument("--runs", type=int, default=4000, help="in all")
    parser.add_argument("--jobs", type=int, default=2, help="files at the same time")
    args = parser.parse_args()
    load(args.cache, False, pictures=False)
    needed(args.cache, "geometry.safetensors")
    seeds = range(args.seed, args.seed + -(-args.runs // CHUNK))
    with ProcessPoolExecutor(args.jobs) as pool:
        for _ in progress(pool.map(chunk, [args.cache] * len(seeds), seeds), f"files of {CHUNK} runs", len(seeds)):
            pass


if __name__ == "__main__":
    main()
