# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""A video as evaluate.py measures it: frames, audio, face mesh, and quantities derived from them."""
from functools import cached_property
from pathlib import Path

import numpy as np

from data.clips import cut
from data.geometry import LIPS, with_rings
from data.landmarks import mesh
from data.prepare import FPS, WHOLE, interpolated, pictures, sound, windows
from data.speech import SAMPLE_RATE, log_filterbank
from evaluate import metrics

BRIDGE = 6  # mesh point between the eyes, above every triangle that speech moves


class Footage:
    """A span (start, seconds) at 25 fps, one face, held in memory (a minute of 1080p: 9 GB). ValueError if there are no
    frames, or no face in more than a tenth of them."""

    def __init__(self, path, span=WHOLE):
        self.path, self.span = Path(path), span
        self.frames = pictures(path, span)
        self.mesh = interpolated(mesh(self.frames))  # [T, 468, 3], px of the frame
        if self.mesh is None:
            raise ValueError(f"{path}: no face in more than a tenth of the frames")
        self.points = self.mesh[..., :2]

    def __len__(self):
        return len(self.frames)

    @cached_property
    def sound(self):
        """int16 mono at 16 kHz."""
        return sound(self.path, self.span)

    @cached_property
    def fbank(self):
        return log_filterbank(self.sound)

    @cached_property
    def opening(self):
        return metrics.aperture(self.points)

    @cached_property
    def _aligned(self):
        return windows(self.frames, self.mesh)

    @property
    def windows(self):
        """uint8 [T, 80, 80, 3]"""
        return cut(self._aligned[0])

    @property
    def lips(self):
        """[T, 40, 2], px of the window"""
        return self._aligned[1][:, LIPS, :2]

    @cached_property
    def lip_colours(self):
        """[T, 3]: mean colour of the lips, CIE L*a*b*."""
        return metrics.lip_colours(self.frames, self.points)

    @property
    def mouth_boxes(self):
        return metrics.mouth_boxes(self.points, self.frames.shape[2:0:-1])

    @cached_property
    def changed(self):
        """x0, y0, x1, y1: the box that contains, in every frame, everything that a warp of the lower face and painting
        may change: from the bridge of the nose to the outer ring around the face."""
        points = with_rings(self.points, self.points)[0]
        height, width = self.frames.shape[1:3]
        low = np.floor([points[..., 0].min(), self.points[:, BRIDGE, 1].min()])
        high = np.ceil(points.max((0, 1)))
        return [*np.clip(low, 0, (width, height)).astype(int), *np.clip(high, 0, (width, height)).astype(int)]


def words(path, span=WHOLE):
    """[(start, end, word)] of a GRID alignment that begin in a span, in frames at 25 fps from its start, without pauses."""
    rows = [line.split() for line in Path(path).read_text().splitlines()]
    zero, end = span[0] * FPS, (span[0] + span[1]) * FPS
    return [(int(a) / 1000 - zero, int(b) / 1000 - zero, w) for a, b, w in rows
            if w not in ("sil", "sp") and zero <= int(a) / 1000 < end]


def bilabials(spoken):
    """Onsets of words that begin with b, p or m. The letter m is pronounced "em"."""
    return [start for start, _, word in spoken if word[0] in "bpm" and word != "m"]


def silence(path, seconds):
    """Writes a WAV file of digital silence."""
    import wave
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(2 * int(seconds * SAMPLE_RATE)))
