# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Tells which motion of a mouth goes with which sound. It learns from real motion alone (train/lips.py) and then holds the
motion that the audio encoder tells to what it sees in the real one. It serves the training alone."""
import torch
import torch.nn.functional as F
from torch import nn

from data.speech import BANDS

SEEN, ROWS = 7, 28  # pictures and rows of sound of one look: the same 280 ms


class Motion(nn.Module):
    """Tells whether the motion of a mouth [B, 7, 12] and the sound of the same 280 ms [B, 28, 26] belong together."""

    def __init__(self, coefficients=12, width=96):
        super().__init__()
        self.motion = nn.Sequential(nn.Conv1d(coefficients, 64, 3), nn.SiLU(), nn.Conv1d(64, 96, 3), nn.SiLU(), nn.Flatten(),
                                    nn.Dropout(0.1), nn.Linear(96 * 3, width))
        self.sound = nn.Sequential(nn.Conv1d(BANDS, 96, 5, 2), nn.SiLU(), nn.Conv1d(96, 128, 5, 2), nn.SiLU(), nn.Flatten(),
                                   nn.Dropout(0.2), nn.Linear(128 * 4, width))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def see(self, motion):
        return F.normalize(self.motion(motion.transpose(1, 2)), dim=1)

    def hear(self, rows):
        return F.normalize(self.sound((rows.transpose(1, 2) - rows.amax((1, 2), keepdim=True) + 8) / 4), dim=1)
