# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Audio augmentation: other paces, voices, microphones, rooms and lines, and interfering sounds. Audio is float32
tensors in -1 ... 1 at 16 kHz unless stated otherwise."""
import numpy as np
import torch
import torch.nn.functional as F

from data.speech import BANDS, SAMPLE_RATE, SILENCE


def pace(rng):
    """A random speed factor for a clip. The lips belong to the middle of the audio whatever the pace, so the same words
    come with other durations (Ko et al., "Audio augmentation for speech recognition", Interspeech 2015)."""
    return float(np.exp(rng.normal(0, 0.12))) if rng.random() < 0.6 else 1.0


def other_voice(stacks, generator=None):
    """Another microphone and vocal tract for stacks [B, T, 104]: bands shifted along the frequency axis by up to +-12
    %, a random smooth equaliser, and noise."""
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


def filtered(sound, gain):
    """Audio [N] with its spectrum multiplied by gain(frequencies in Hz)."""
    spectrum = torch.fft.rfft(sound)
    frequencies = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return torch.fft.irfft(spectrum * torch.from_numpy(gain(frequencies)).to(spectrum), len(sound))


def equalised(sound, rng, decibels=5.0):
    """A random equaliser: another microphone and timbre."""
    knots, places = rng.normal(0, decibels, 6), np.log(np.geomspace(100, 8100, 6))
    return filtered(sound, lambda hertz: 10 ** (np.interp(np.log(hertz + 1), places, knots) / 20))


def telephone(sound, rng):
    """Telephone quality: band-limited to 3.4 or 4 kHz, in most cases also from below, and in half of them after 8-bit
    mu-law (ITU-T G.711)."""
    low, high = rng.choice([0, 200, 300]), rng.choice([3400, 4000])
    sound = filtered(sound, lambda hertz: 1 / (1 + np.exp(np.clip((hertz - high) / 40, -50, 50)))
                     / (1 + np.exp(np.clip((low - hertz) / 20, -50, 50))))
    if rng.random() < 0.5:
        peak = sound.abs().max().clamp(min=1e-6)
        curved = torch.sign(sound) * torch.log1p(255 * sound.abs() / peak) / np.log(256)
        curved = (127 * curved).round() / 127
        sound = torch.sign(curved) * ((256 ** curved.abs()) - 1) / 255 * peak
    return sound


def in_room(sound, rng):
    """Reverberation of 0.15 to 0.8 s: decaying noise after the direct sound."""
    n, decay = SAMPLE_RATE // 2, rng.uniform(0.15, 0.8)
    echo = torch.randn(n) * 10 ** (-3 * torch.arange(n) / SAMPLE_RATE / decay)
    echo[:int(rng.uniform(0.001, 0.01) * SAMPLE_RATE)] = 0
    echo *= rng.uniform(0.1, 0.7) / echo.norm().clamp(min=1e-6)
    echo[0] = 1
    size = len(sound) + n
    return torch.fft.irfft(torch.fft.rfft(sound, size) * torch.fft.rfft(echo, size), size)[:len(sound)]


def noise(count, rng):
    """Noise, white to brown."""
    tilt = rng.uniform(0, 1)
    return filtered(torch.randn(count), lambda hertz: (hertz + 50) ** -tilt)


def music(count, rng):
    """Random music: chords, a melody and a beat, of notes with some harmonics and a decay."""
    out, beat = torch.zeros(count), int(rng.uniform(0.18, 0.6) * SAMPLE_RATE)
    scale = 55 * 2 ** ((rng.integers(0, 12) + np.array([0, 2, 3, 5, 7, 8, 10])) / 12)
    harmonics, decay, drums = rng.uniform(0.2, 0.8), rng.uniform(0.1, 1.5), rng.random() < 0.6
    for start in range(-beat * 4, count, beat):
        length = min(4 * beat, count - start)
        times = torch.arange(length) / SAMPLE_RATE
        sounding = torch.zeros(length)
        for note in rng.choice(scale, rng.integers(1, 4)) * 2 ** rng.integers(0, 4):
            shape = torch.exp(-times / decay) * (1 - torch.exp(-times / 0.01))
            for h in range(1, 7):
                if h * note < SAMPLE_RATE / 2:
                    sounding += harmonics ** h * shape * torch.sin(2 * np.pi * h * note * times + rng.uniform(0, 6))
        if drums:
            sounding += rng.uniform(0.5, 3) * torch.exp(-times / rng.uniform(0.01, 0.08)) * torch.randn(length)
        first = max(0, -start)
        out[start + first:start + length] += sounding[first:]
    return out


def breath(count, rng):
    """Breathing through the mouth: coloured noise that swells and fades, with or without pauses."""
    middle, broad, swell = rng.uniform(600, 3000), rng.uniform(0.5, 1.3), rng.uniform(1, 6)
    air = filtered(torch.randn(count), lambda hertz: np.exp(-0.5 * np.square(np.log((hertz + 1) / middle) / broad)) + 0.02)
    times = torch.arange(count) / SAMPLE_RATE / rng.uniform(0.5, 2.5)
    return air * torch.sin(np.pi * times + rng.uniform(0, 3)).abs().pow(swell)


def applause(count, rng):
    """Applause: short bursts of noise, from a few hands to a hall."""
    middle, often = rng.uniform(1000, 2500), 10 ** rng.uniform(1, 3)  # Hz; claps per second
    claps = torch.from_numpy(rng.poisson(often / SAMPLE_RATE, count) * rng.lognormal(0, 0.7, count)).float()
    clap = torch.randn(800) * torch.exp(-torch.arange(800) / rng.uniform(50, 200))
    size = count + len(clap)
    out = torch.fft.irfft(torch.fft.rfft(claps, size) * torch.fft.rfft(clap, size), size)[:count]
    return filtered(out, lambda hertz: np.exp(-0.5 * np.square(np.log((hertz + 1) / middle) / 0.8)))


def non_speech(count, rng):
    """Sound without speech, with standard deviation 1: noise, music, breath or applause."""
    out = (noise, music, breath, applause)[rng.integers(4)](count, rng)
    return out / out.std().clamp(min=1e-6)


def babble(voices, count, rng):
    """Some of the voices, a list of audio clips, at once."""
    out = torch.zeros(count)
    for index in rng.integers(0, len(voices), rng.integers(3, 7)):
        voice = voices[index]
        start = int(rng.integers(0, max(1, len(voice) - count)))
        part = voice[start:start + count]
        out[:len(part)] += part * 10 ** (rng.normal(0, 3) / 20) / part.std().clamp(min=1e-4)
    return out


def interference(voices, count, rng):
    """An interfering sound, with standard deviation 1: noise, music or babble."""
    kind = rng.random()
    other = noise(count, rng) if kind < 0.4 else music(count, rng) if kind < 0.75 else babble(voices, count, rng)
    return other / other.std().clamp(min=1e-6)


def degraded(sound, voices, rng):
    """Audio [N] as if recorded, transmitted and mixed by others; in one of four cases almost unchanged."""
    if rng.random() < 0.75:
        sound = equalised(sound, rng)
        if rng.random() < 0.35:
            sound = in_room(sound, rng)
        if rng.random() < 0.5:
            decibels = rng.uniform(0, 30)
            sound = sound + sound.std() * 10 ** (-decibels / 20) * interference(voices, len(sound), rng)
        if rng.random() < 0.2:
            sound = telephone(sound, rng)
    loudness = rng.uniform(-35, -12)
    return (sound * 10 ** (loudness / 20) / sound.std().clamp(min=1e-5)).clamp(-1, 1)
