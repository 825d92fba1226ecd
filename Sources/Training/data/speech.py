# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Audio features: rows every 10 ms from 16 kHz audio, of which row r covers the 400 samples from 160 r on.

log_mel: 80 bands, Whisper's log-mel spectrogram (twin of Sources/Speech/LogMel.swift), for our audio encoder.
log_filterbank and stacks: 26 bands, AV-HuBERT's front end (twin of Sources/Speech/Filterbank.swift):
python_speech_features.logfbank at its defaults on int16, mel filters, FFT of 512, pre-emphasis 0.97, natural logarithm.
Four rows form a stack of 104 values, 40 ms. Our sync networks use these too.
"""
import functools

import numpy as np
import torch
import torch.nn.functional as F

SAMPLE_RATE = 16000
BANDS = 26
STACK = 4
SILENCE = float(np.log(np.finfo(float).eps))  # the front end's value for digital silence
ROW, WINDOW, POINTS = 160, 400, 512  # samples between rows, samples in a row's window, points of its Fourier transform
MELS = 80
LOUDEST = 400  # rows, 4 s, before a row over which the loudest band is taken
FAINTEST = -4.0  # log10 of the least power that counts as the loudest: quieter audio is not amplified
RANGE = 8.0  # dynamic range below the loudest band, in powers of ten


def log_filterbank(sound):
    """float32 [rows, 26] from int16 mono audio at 16 kHz."""
    from python_speech_features import logfbank
    return logfbank(sound.astype(np.float64), samplerate=SAMPLE_RATE).astype(np.float32)


def stacks(fbank, centres, past, future):
    """[N, past + 1 + future, 104]: for each row index in centres (running time x 100), the stacks that begin 4 k rows
    from it, k = -past ... future. Rows outside are digital silence."""
    rows = np.asarray(centres)[:, None] + np.arange(-past * STACK, (future + 1) * STACK)
    inside = (rows >= 0) & (rows < len(fbank))
    out = np.where(inside[..., None], fbank[np.clip(rows, 0, len(fbank) - 1)], np.float32(SILENCE))
    return out.reshape(len(rows), past + 1 + future, STACK * BANDS)


@functools.cache
def mel_filters():
    """float32 [257, 80]: triangles of unit area, evenly spaced on Slaney's mel scale (linear below 1 kHz, logarithmic
    above), as in Whisper (Radford et al., arXiv 2212.04356) and librosa, over the bins of a 512-point transform."""
    to_mel = lambda hertz: np.where(hertz < 1000, 3 * hertz / 200, 15 + 27 * np.log(np.maximum(hertz, 1) / 1000) / np.log(6.4))
    to_hertz = lambda mel: np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)))
    bins = np.linspace(0, SAMPLE_RATE / 2, POINTS // 2 + 1)
    corners = to_hertz(np.linspace(0, to_mel(SAMPLE_RATE / 2), MELS + 2))
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))) * 2 / (high - low)
    return torch.from_numpy(filters.T.astype(np.float32) * (WINDOW / POINTS))


def log_mel(sound):
    """[..., R, 80] from audio [..., N] in -1 ... 1, R = (N - 240) // 160. Each row is normalised to the loudest band of
    the 4 s that end with it, so it does not depend on the volume; what lies RANGE powers of ten below is silence.
    Scaled as in Whisper: -0.6 ... 1.4."""
    power = torch.fft.rfft(sound.unfold(-1, WINDOW, ROW) * torch.hann_window(WINDOW).to(sound), POINTS).abs().square()
    rows = (power @ mel_filters().to(sound)).clamp(min=1e-12).log10()
    loudest = rows.amax(-1).flatten(0, -2)[:, None] if rows.dim() > 2 else rows.amax(-1)[None, None]
    loudest = F.max_pool1d(F.pad(loudest, (LOUDEST, 0), value=-12), LOUDEST + 1, 1).view(rows.shape[:-1])
    loudest = loudest.clamp(min=FAINTEST)[..., None]
    return (torch.maximum(rows - loudest, rows.new_tensor(-RANGE)) + 5.5) / 4
