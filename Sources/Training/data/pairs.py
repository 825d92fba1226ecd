# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the painter's training data: `python -m data.pairs --cache CACHE` writes CACHE/pairs/*.npz.

A run is FRAMES consecutive frames of one clip, the truth, beside warped versions of other frames of the clip: another
moment of the same face warped to the true mesh, once with its own mouth inside stretched, once with the mouth of a
third moment whose lips were most like the true ones (the exemplar), chosen from a random number of moments. In a third
of the runs the mesh is not the true one but is computed from the coefficients, as at run time. Portraits make runs of
one image, warped to the mouth of some speaker and back, so that the painter sees faces of all kinds; they have no
exemplar, and the audio of the speaker's most similar mouth.

Each run has: truth, own, exemplar uint8 [FRAMES, 104, 104, 3]; lips uint8 [FRAMES, 2, 104, 104] (warp.lips, 255:
inside); clip; frame (the index of its first frame in the clip); still (1: a portrait, for which the clip only provides
the audio)."""
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from data import warp
from data.clips import balanced, load, pictures, save, stills
from data.geometry import INNER, MARGIN, SIDE, Basis, Neutral, Pose, with_mouth, with_rings
from data.options import needed, parser as options, progress

FRAMES = 6  # frames of a run: one for the previous frame, and five for the sync network
KEPT = 12  # px kept around the window, for augmentation
APART = 8  # minimum distance between the truth and the frame that is warped, frames
STILLS = 0.25  # fraction of the runs that are portraits
CHUNK = 100  # runs in a file
COMPUTED = 1 / 3  # fraction of the runs whose mesh is computed from coefficients
CUT = slice(MARGIN - KEPT, SIDE - MARGIN + KEPT)
KEYS = "truth", "own", "exemplar", "lips", "clip", "frame", "still"


class Talker:
    """A clip with its geometry. points: px of the stored image, with rings."""

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
        """Meshes [T, 468, 3] in window px, as px of the stored image, with rings."""
        flat = points[..., :2] + MARGIN
        return with_rings(flat, flat)[0]


def run(basis, talker, rng):
    """truth, own, exemplar, lips of one run and its first frame; None if the clip is too short."""
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
    """The same for a portrait, warped to one of the mouths [N, 12] and back, and the index of the mouth most like its own."""
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
    """`count` runs as arrays {key of KEYS: [count, ...]}. chosen: indices of the clips to draw from, possibly repeated;
    windows(clip): its frames; portraits: as from data.clips.stills, possibly none."""
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
    """The runs as a list, each with its Clip instead of the clip's index."""
    return [{key: values[k] for key, values in made.items()} | {"clip": clips[made["clip"][k]]} for k in range(len(made["clip"]))]


def chunk(cache, seed):
    """Writes CHUNK runs drawn from a quarter as many clips."""
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
    parser = options(__doc__, cache="folder with clips and geometry, and for the pairs",
                     seed=f"the first file of {CHUNK} runs, and its name; each further file has the next number")
    parser.add_argument("--runs", type=int, default=4000, help="total number of runs")
    parser.add_argument("--jobs", type=int, default=2, help="files written in parallel")
    args = parser.parse_args()
    load(args.cache, False, pictures=False)
    needed(args.cache, "geometry.safetensors")
    seeds = range(args.seed, args.seed + -(-args.runs // CHUNK))
    with ProcessPoolExecutor(args.jobs) as pool:
        for _ in progress(pool.map(chunk, [args.cache] * len(seeds), seeds), f"files of {CHUNK} runs", len(seeds)):
            pass


if __name__ == "__main__":
    main()
