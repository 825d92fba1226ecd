# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Prepared clips (prepare.py) in memory, and which of them are held out."""
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data.geometry import MARGIN, SIDE
from data.speech import BANDS, log_filterbank

VALIDATION = set((Path(__file__).parent / "validation.txt").read_text().split())
SHORTEST = 15  # frames of a clip: a run and another moment of it must fit (pairs.py)
# In GRID's videos of s1 the pictures come one frame (40 ms) after their sound; the other speakers' are in time.
PICTURE_LAG = {"s1": 1}
LEFT_OUT = {"other/sbwe5n"}  # shows the talker of s32, who is held out


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
        """Filterbank rows to add to 4 n so that sound and picture of frame n belong together."""
        return -4 * PICTURE_LAG.get(self.speaker, 0)


def save(path, **arrays):
    """Writes path whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.rename(path)


def is_validation(speaker, name):
    return f"{speaker}/{name}" in VALIDATION or f"{speaker}/*" in VALIDATION


def load(cache, validation, pictures=True):
    """Clips of the training or of the validation split, without those shorter than SHORTEST; window is None without pictures."""
    clips = []
    for file in sorted((Path(cache) / "clips").glob("*.npz")):
        speaker, name = file.stem.split("__", 1)
        if is_validation(speaker, name) == validation and f"{speaker}/{name}" not in LEFT_OUT:
            with np.load(file) as kept:
                clip = Clip(speaker, name, kept["window"] if pictures else None, kept["points"], kept["sound"])
            if len(clip.points) >= SHORTEST:
                clips.append(clip)
    if not clips:
        raise SystemExit(f"no {'validation' if validation else 'training'} clips in {cache}: prepare.py makes clips, "
                         "validation.txt names those held out as SPEAKER/NAME or SPEAKER/*")
    return clips


def pictures(cache, clip):
    """uint8 [T, 128, 128, 3] of a clip that was loaded without them."""
    with np.load(Path(cache) / "clips" / f"{clip.speaker}__{clip.name}.npz") as kept:
        return kept["window"]


def stills(cache):
    """Portraits as prepare.py found them: window uint8 [N, 128, 128, 3], points float32 [N, 468, 3]; none without stills.npz."""
    path = Path(cache) / "stills.npz"
    if not path.exists():
        return {"window": np.zeros((0, SIDE, SIDE, 3), np.uint8), "points": np.zeros((0, 468, 3), np.float32)}
    with np.load(path) as kept:
        return dict(kept)


def balanced(clips, share=0.35):
    """Sampling weight of each clip: speakers count as their number of clips to the power of `share`."""
    speakers = [c.speaker for c in clips]
    weights = np.array([speakers.count(s) ** (share - 1.0) for s in speakers])
    return weights / weights.sum()


def as_image(window):
    """uint8 [B, H, W, 3] -> float [B, 3, H, W] in -1 ... 1."""
    return torch.from_numpy(np.ascontiguousarray(window)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cut(window):
    """The window without its margin, of kept pictures [..., 128, 128, 3]."""
    return window[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]
