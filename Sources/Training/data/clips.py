# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Prepared clips (prepare.py) in memory, the validation split, and augmentation of pictures and of sound."""
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from geometry import MARGIN, WINDOW
from speech import BANDS, SILENCE

VALIDATION = set((Path(__file__).parent / "validation.txt").read_text().split())
SHORTEST = 15  # frames of a clip: an identity frame lies at least 6 away from the frame that is made
# In GRID's videos of s1 the pictures come one frame (40 ms) after their sound; the other speakers' are in time.
PICTURE_LAG = {"s1": 1}
LEFT_OUT = {"other/sbwe5n"}  # shows the talker of s32, who is held out


@dataclass
class Clip:
    speaker: str
    name: str
    window: np.ndarray  # uint8 [T, 128, 128, 3]
    points: np.ndarray  # float32 [T, 468, 3], the face mesh in window px
    fbank: np.ndarray   # float32 [rows, 26]

    @property
    def lag_rows(self):
        """Filterbank rows to add to 4 n so that sound and picture of frame n belong together."""
        return -4 * PICTURE_LAG.get(self.speaker, 0)


def is_validation(speaker, name):
    return f"{speaker}/{name}" in VALIDATION or f"{speaker}/*" in VALIDATION


def load(cache, validation, pictures=True):
    """Clips of the training or of the validation split, without those shorter than SHORTEST; window is None without pictures."""
    clips = []
    for file in sorted((Path(cache) / "clips").glob("*.npz")):
        speaker, name = file.stem.split("__", 1)
        if is_validation(speaker, name) == validation and f"{speaker}/{name}" not in LEFT_OUT:
            with np.load(file) as kept:
                clip = Clip(speaker, name, kept["window"] if pictures else None, kept["points"], kept["fbank"])
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


def through_jpeg(picture, quality):
    """uint8 RGB [H, W, 3], as JPEG of this quality (0 to 100) keeps it."""
    coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


class Look:
    """One random camera, light and face: applied alike to all frames of a clip, so that a few talkers become many. Pictures
    come with `margin` px around the window.

    Geometry: flip, roll, scale, shift, a nod (the picture narrows upwards or downwards), and a smooth warp that changes the
    proportions of the face. Colour: exposure, gamma, white balance, saturation, a light from one side; lips of another colour
    in half of the faces whose lips are given. A third of the cameras are poor: fewer pixels, and, if `noisy`, noise and JPEG.
    Strength 0 leaves pictures as they are."""

    def __init__(self, rng, strength=1.0, margin=MARGIN, noisy=True):
        n = lambda s: float(rng.normal(0, s) * strength)
        self.flip = bool(rng.random() < 0.5 * min(strength * 10, 1))
        side = WINDOW + 2 * margin
        axis = torch.linspace(-1, 1, side)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        angle, scale = math.radians(n(2.0)), math.exp(n(0.03))
        sx, sy = scale * math.exp(n(0.07)), scale * math.exp(n(0.05))
        u = (math.cos(angle) * x - math.sin(angle) * y) * sx * (1 + n(0.03) * y) + n(0.012)
        v = (math.sin(angle) * x + math.cos(angle) * y) * sy + n(0.012)
        coarse = torch.from_numpy(rng.normal(0, 0.035 * strength, (1, 2, 4, 4)).astype(np.float32))
        if rng.random() < 0.5:  # half of the faces keep their symmetry
            mirror = coarse.flip(3) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
            coarse = (coarse + mirror) / math.sqrt(2)
        warp = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)[0]
        grid = torch.stack([u + warp[0], v + warp[1]], -1)
        if self.flip:
            grid[..., 0] = -grid[..., 0]
        self.grid = grid[margin:-margin, margin:-margin]
        self.gamma, self.gain, self.offset = math.exp(n(0.18)), math.exp(n(0.12)), n(0.04)
        self.balance = torch.tensor([math.exp(n(0.08)) for _ in range(3)]).view(3, 1, 1)
        self.saturation = math.exp(n(0.25))
        slope = (n(0.12) * x + n(0.08) * y)[margin:-margin, margin:-margin]
        self.light = torch.exp(slope)
        lipstick = n(0.15) + torch.tensor([n(0.1), n(0.17), n(0.17)])
        self.lipstick = torch.exp(lipstick).view(3, 1, 1) if rng.random() < min(strength, 1) / 2 else None
        self.poor, self.noisy = None, noisy
        if rng.random() < min(strength, 1) / 3:
            self.poor = rng.uniform(0.5, 1), rng.uniform(0, 0.02), int(rng.integers(35, 95))

    def placed(self, images):
        """[B, C, H, W] with the margin, of any kind, -> [B, C, 80, 80]: geometry alone."""
        return F.grid_sample(images, self.grid.expand(len(images), -1, -1, -1), mode="bicubic", padding_mode="border",
                             align_corners=True)

    def coloured(self, images, lips=None):
        """[B, 3, 80, 80] in -1 ... 1, placed -> the same in the look's colours; lips [B, 1, 80, 80], 0 ... 1, may get their own."""
        if lips is not None and self.lipstick is not None:
            painted = ((images + 1) / 2 * self.lipstick).clamp(0, 1) * 2 - 1
            images = torch.lerp(images, painted, lips)
        out = ((images + 1) / 2).clamp(1e-3, 1) ** self.gamma
        grey = out.mean(1, keepdim=True)
        out = grey + (out - grey) * self.saturation
        out = (out * self.balance * self.light * self.gain + self.offset).clamp(0, 1)
        return (self.through_poor(out) if self.poor else out) * 2 - 1

    def __call__(self, images):
        """[B, 3, H, W] with the margin -> [B, 3, 80, 80], both in -1 ... 1."""
        return self.coloured(self.placed(images))

    def through_poor(self, images):
        """[B, 3, H, W] in 0 ... 1 as a camera with fewer pixels, noise and JPEG shows them."""
        scale, noise, quality = self.poor
        side = images.shape[-2:]
        small = F.interpolate(images, [round(scale * n) for n in side], mode="bicubic", antialias=True)
        if not self.noisy:
            return F.interpolate(small, side, mode="bicubic").clamp(0, 1)
        out = F.interpolate(small + noise * torch.randn_like(small), side, mode="bicubic")
        pixels = (out.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return as_image(np.stack([through_jpeg(p, quality) for p in pixels])) / 2 + 0.5


def pace(rng):
    """How many times as fast a clip is to be spoken. Lips go with the sound's middle, whatever the pace: the same words come
    with other lengths (Ko et al., "Audio augmentation for speech recognition", Interspeech 2015)."""
    return float(np.exp(rng.normal(0, 0.12))) if rng.random() < 0.6 else 1.0


def some_hidden(stacks, centre):
    """Up to 6 neighbouring bands and up to 2 stacks of [B, T, 104] hidden by the mean (SpecAugment, arXiv 1904.08779),
    others for each of the batch; never the stack `centre`, which is the picture's own."""
    b, t, _ = stacks.shape
    bands = stacks.reshape(b, t, 4, BANDS)

    def span(size, longest, beyond=0):
        start, length = torch.randint(size + beyond, (b, 1)), torch.randint(longest + 1, (b, 1))
        place = torch.arange(size)
        return (place >= start) & (place < start + length)

    rows = span(t, 2, beyond=6) & (torch.arange(t) != centre)
    hidden = span(BANDS, 6)[:, None, None] | rows[:, :, None, None]
    return torch.where(hidden, bands.mean((1, 2, 3), keepdim=True), bands).reshape(b, t, 104)


def other_voice(stacks, generator=None):
    """Another microphone and another vocal tract for stacks [B, T, 104]: bands shifted along the frequency axis by up
    to +-12 %, a random smooth equaliser, and noise."""
    b, t, _ = stacks.shape
    bands = stacks.reshape(b, t, 4, BANDS)
    silent = bands <= SILENCE + 1e-3
    rand = lambda *shape: torch.randn(*shape, generator=generator)
    position = torch.arange(BANDS).float() * torch.exp(0.06 * rand(b, 1)) + 0.4 * rand(b, 1)
    position = position.clamp(0, BANDS - 1)
    low = position.floor().long().clamp(max=BANDS - 2)
    part = (position - low)[:, None, None]
    index = low[:, None, None].expand(b, t, 4, BANDS)
    out = bands.gather(3, index) * (1 - part) + bands.gather(3, index + 1) * part
    knots = F.interpolate(rand(b, 1, 5), size=BANDS, mode="linear", align_corners=True)[:, :, None]
    out = out + 0.8 * knots
    level = out.flatten(1).amax(1)[:, None, None, None] - 5 - 5 * torch.rand(b, 1, 1, 1, generator=generator)
    noise = level + 1.0 * F.interpolate(rand(b, 1, 3), size=BANDS, mode="linear", align_corners=True)[:, :, None] \
        + 0.6 * rand(b, t, 4, BANDS)
    noisy = (torch.rand(b, 1, 1, 1, generator=generator) < 0.5).float()
    out = torch.logaddexp(out, noise - 50 * (1 - noisy))
    return torch.where(silent, bands, out).reshape(b, t, 104)
