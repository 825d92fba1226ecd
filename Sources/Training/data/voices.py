# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation of sound: other paces, other voices and microphones, parts that are not heard."""
import numpy as np
import torch
import torch.nn.functional as F

from data.speech import BANDS, SILENCE


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
