# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The mark in what is painted, and how it is read: twin of Sources/Faces/Watermark.swift and MarkReader.swift, which say what it is.

A payload is (version, model, user): 8, 8 and 16 bits. Windows are [80, 80, 3], RGB in -1 ... 1.
"""
import cv2
import numpy as np

from data.geometry import WINDOW

PUBLIC = "syncdiff"
LOW, HIGH = 16, 40               # half waves across the window
RMS = 1.5                        # levels of 8 bits
BOX = slice(12, 60), slice(15, 65)
TEXTURE = 0.6, 0.25, 2.5         # least, for a level of texture, most
REACH, FINE, WIDE = 4, 2, 3      # px: around which texture, coarse shape and contrast are measured
MOST = 0.5                       # of the picture's own fine detail that may give way
NOISE = 0.7                      # levels
RING = 3                         # half waves
WAVES = [(u, v) for v in range(HIGH + 1) for u in range(HIGH + 1) if LOW ** 2 < u * u + v * v <= HIGH ** 2]
HALVES = [len(WAVES[half::2]) for half in range(2)]
WORDS = (len(WAVES) // 2 + 64) // 64
MASK = 2 ** 64 - 1
LUMA = np.float32([0.299, 0.587, 0.114])


def seed(key):
    state = 0xCBF29CE484222325
    for byte in key.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    return state


def word(state, n):
    z = state + (n + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def row(key, half, byte, value):
    """Signs [n] of a byte's value for the cosines of a half."""
    first, state = ((2 * half + byte) * 256 + value) * WORDS, seed(key)
    bits = [word(state, first + k // 64) >> k % 64 & 1 for k in range(HALVES[half])]
    return np.float32(bits) * 2 - 1


def signs(key, payload):
    """[N], one for each of WAVES."""
    version, model, user = payload
    out = np.zeros(len(WAVES), np.float32)
    out[0::2] = row(key, 0, 0, version) * row(key, 0, 1, model)
    out[1::2] = row(key, 1, 0, user >> 8) * row(key, 1, 1, user & 255)
    return out


def cosines(side=WINDOW):
    """[41, side]"""
    x = np.arange(side) * WINDOW / side + 0.5
    return np.cos(np.pi * np.arange(HIGH + 1)[:, None] * x / WINDOW)


def pattern(key, payload, side=WINDOW):
    """[side, side], before it fades out."""
    amplitudes = np.zeros((HIGH + 1, HIGH + 1))
    for (u, v), sign in zip(WAVES, signs(key, payload)):
        amplitudes[v, u] = sign
    return cosines(side).T @ amplitudes @ cosines(side)


def mean(x, reach):
    return cv2.blur(x, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)


def edges(x):
    """[78, 78]: the Laplacian at all places but the outermost."""
    return x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]


def softened(luma, mark, faded):
    """The part of the picture's own fine detail [80, 80] that gives way to the mark [80, 80]: with it the edges are as strong as
    before."""
    fine = (luma - mean(luma, FINE)) * faded
    box = slice(BOX[0].start - 1, BOX[0].stop - 1), slice(BOX[1].start - 1, BOX[1].stop - 1)
    before, after, less = (edges(x)[box] for x in (luma, luma + mark, fine))
    power, shared = np.square(less).sum(), (after * less).sum()
    root = np.sqrt(max(shared ** 2 - power * (np.square(after).sum() - np.square(before).sum()), 0))
    return np.clip((shared - root) / max(power, 1e-6), 0, MOST) * fine


def added(difference, picture, faded, window):
    """The difference with the mark, whose pattern [80, 80] has been faded out like the window [80, 80]."""
    luma = 127.5 * (difference + picture) @ LUMA
    least, slope, most = TEXTURE
    mark = faded * np.minimum(least + slope * mean(np.abs(luma - mean(luma, REACH)), REACH), most)
    mark *= RMS / np.sqrt(np.square(mark[BOX]).mean())
    return difference + ((mark - softened(luma, mark, window)) / 127.5)[..., None]


def flattened(picture, fade):
    """[80, 80]: a window at one contrast."""
    luma = 127.5 * picture @ LUMA
    fine = luma - mean(luma, FINE)
    return fade * fine / (mean(fine * fine, WIDE) + NOISE ** 2) ** 0.75


def spectrum(total):
    """[N], square sum 1, of a sum of flattened windows."""
    transform = cosines() @ total @ cosines().T  # [v, u]
    transform[0] *= np.sqrt(0.5)
    transform[:, 0] *= np.sqrt(0.5)
    values = np.array([transform[v, u] for u, v in WAVES])
    rings = np.array([(int(np.hypot(u, v)) - LOW) // RING for u, v in WAVES])
    for ring in range(rings.max() + 1):
        values[rings == ring] /= np.sqrt(np.square(values[rings == ring]).mean())
    values = np.sign(values) * np.sqrt(np.abs(values))
    return values / np.linalg.norm(values)


def score(total, key, payload):
    """How far a payload's signs agree with a sum, standard deviations of chance."""
    return float(spectrum(total) @ signs(key, payload))
