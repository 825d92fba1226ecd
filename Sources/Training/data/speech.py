# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Sound -> log filterbank -> stacks of 104 values: AV-HuBERT's front end (twin of Sources/Speech/Filterbank.swift).

python_speech_features.logfbank at its defaults on 16 kHz int16: 25 ms windows every 10 ms, 26 mel filters, FFT of 512,
pre-emphasis 0.97, natural logarithm. Four rows make one stack of 104 values, 40 ms.
"""
import numpy as np

SAMPLE_RATE = 16000
BANDS = 26
STACK = 4
SILENCE = float(np.log(np.finfo(float).eps))  # what the front end gives for digital silence


def log_filterbank(sound):
    """float32 [rows, 26] of int16 mono sound at 16 kHz."""
    from python_speech_features import logfbank
    return logfbank(sound.astype(np.float64), samplerate=SAMPLE_RATE).astype(np.float32)


def stacks(fbank, centres, past, future, pace=1.0):
    """[N, past + 1 + future, 104]: for each row index in centres (running time x 100), the stacks that begin
    4 k rows from it, k = -past ... future, of sound that runs `pace` times as fast. Rows before the start or after the end
    are digital silence."""
    rows = np.asarray(centres)[:, None] + pace * np.arange(-past * STACK, (future + 1) * STACK)
    low = np.floor(rows).astype(int)
    part = (rows - low).astype(np.float32)[..., None]
    row = lambda index: fbank[np.clip(index, 0, len(fbank) - 1)]
    inside = (rows >= 0) & (rows < len(fbank))
    out = np.where(inside[..., None], row(low) * (1 - part) + row(low + 1) * part, np.float32(SILENCE))
    return out.reshape(len(rows), past + 1 + future, STACK * BANDS)
