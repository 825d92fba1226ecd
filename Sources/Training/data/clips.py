# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Prepared clips (prepare.py) in memory, and which of them are held out."""
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.geometry import MARGIN, SIDE
from data.options import needed
from data.speech import BANDS, log_filterbank

# The GRID clips held out from the training of the shipped model, so that its figures can be reproduced.
GRID = Path(__file__).parent / "grid.txt"
SHORTEST = 15  # frames: a run and another moment must fit (pairs.py)
HELD, MEASURED = 10, 25  # one in this many clips is held out, of those with at least this many frames
# In GRID's videos of s1 the video is one frame (40 ms) late; other speakers are in sync.
PICTURE_LAG = {"s1": 1}
LEFT_OUT = {"other/sbwe5n"}  # shows the speaker of s32, who is held out


@dataclass
class Clip:
    speaker: str
    name: str
    window: np.ndarray  # uint8 [T, 128, 128, 3]
    points: np.ndarray  # float32 [T, 468, 3], the face mesh in window px
    sound: np.ndarray   # int16 [samples], 16 kHz; empty if it has none

    @functools.cached_property
    def fbank(self):
        """float32 [rows, 26], one row every 10 ms."""
        return log_filterbank(self.sound) if len(self.sound) else np.zeros((0, BANDS), np.float32)

    @property
    def lag_rows(self):
        """Filterbank rows to add to 4 n for the row that belongs to frame n."""
        return -4 * PICTURE_LAG.get(self.speaker, 0)


def save(path, **arrays):
    """Writes a file atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.rename(path)


def named(path):
    """The (speaker, name) of each clip in a cache, sorted."""
    return [tuple(file.stem.split("__", 1)) for file in sorted(needed(path, "clips").glob("*.npz"))]


def is_of(speaker, name, names):
    """Whether a clip is in names, a set of SPEAKER/NAME and SPEAKER/*."""
    return f"{speaker}/{name}" in names or f"{speaker}/*" in names


def held_out(cache):
    """The names of the held-out clips, SPEAKER/NAME or SPEAKER/*, from CACHE/validation.txt. The file is created once
    and may be edited before the first training: it lists GRID's held-out clips if the cache has any, else every tenth
    clip with audio, at least two, chosen by a hash of their names."""
    path, clips = Path(cache) / "validation.txt", named(cache)
    if not path.exists():
        names = GRID.read_text().split()
        if not any(f"{speaker}/{name}" in names for speaker, name in clips):
            names = sorted(chosen(cache, clips))
        temporary = path.with_suffix(".tmp")
        temporary.write_text("\n".join(names) + "\n")
        temporary.rename(path)
    return set(path.read_text().split())


def chosen(cache, clips):
    """The SPEAKER/NAME of the clips that held_out() picks. SystemExit if there are too few."""
    fit = []
    for speaker, name in clips:
        with np.load(Path(cache) / "clips" / f"{speaker}__{name}.npz") as kept:
            if len(kept["sound"]) and len(kept["points"]) >= MEASURED:
                fit.append(f"{speaker}/{name}")
    if len(fit) < 3:
        raise SystemExit(f"{cache} holds {len(fit)} clips with a face and sound for a second or more: three are the least, one to "
                         "learn from and two to measure with")
    fit.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    return fit[:max(2, len(fit) // HELD)]


def load(cache, validation, pictures=True, heard=False):
    """The clips of the training or validation split, without those shorter than SHORTEST and, if `heard`, those without
    audio. window is None unless `pictures`. SystemExit if there are none."""
    clips, names = [], held_out(cache)
    for speaker, name in named(cache):
        if is_of(speaker, name, names) == validation and f"{speaker}/{name}" not in LEFT_OUT:
            with np.load(Path(cache) / "clips" / f"{speaker}__{name}.npz") as kept:
                clip = Clip(speaker, name, kept["window"] if pictures else None, kept["points"], kept["sound"])
            if len(clip.points) >= SHORTEST and (len(clip.sound) or not heard):
                clips.append(clip)
    if not clips:
        what = f"{'with sound ' if heard else ''}to {'measure with' if validation else 'learn from'}"
        raise SystemExit(f"no clips {what} in {cache}: its validation.txt names those held out, SPEAKER/NAME or SPEAKER/*")
    return clips


def pictures(cache, clip):
    """uint8 [T, 128, 128, 3]: the frames of a clip that was loaded without them."""
    with np.load(Path(cache) / "clips" / f"{clip.speaker}__{clip.name}.npz") as kept:
        return kept["window"]


def stills(cache):
    """The portraits found by prepare.py: window uint8 [N, 128, 128, 3], points float32 [N, 468, 3]; empty without
    stills.npz."""
    path = Path(cache) / "stills.npz"
    if not path.exists():
        return {"window": np.zeros((0, SIDE, SIDE, 3), np.uint8), "points": np.zeros((0, 468, 3), np.float32)}
    with np.load(path) as kept:
        return dict(kept)


def balanced(clips, share=0.35):
    """Sampling weight of each clip; a speaker's total is proportional to their number of clips to the power of `share`."""
    speakers = [c.speaker for c in clips]
    weights = np.array([speakers.count(s) ** (share - 1.0) for s in speakers])
    return weights / weights.sum()


def as_image(window):
    """uint8 [B, H, W, 3] -> float [B, 3, H, W] in -1 ... 1."""
    return torch.from_numpy(np.ascontiguousarray(window)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cut(window):
    """The window without its margin, from stored frames [..., 128, 128, 3]."""
    return window[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]
