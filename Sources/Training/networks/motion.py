# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""A network that tells whether a mouth's motion belongs to some audio. It learns from real motion alone (train/lips.py)
and then compares the motion predicted by the audio encoder with the real one. Used in training only."""
import torch
import torch.nn.functional as F
from torch import nn

from data.speech import BANDS

SEEN, ROWS = 7, 28  # video frames and audio rows in one window: the same 280 ms


class Motion(nn.Module):
    """Embeds the motion of a mouth [B, 7, 12] and the audio of the same 280 ms [B, 28, 26] as unit vectors; they are
    close if the two belong together."""

    def __init__(self, coefficients=12, width=96):
        super().__init__()
        self.motion = nn.Sequential(nn.Conv1d(coefficients, 64, 3), nn.SiLU(), nn.Conv1d(64, 96, 3), nn.SiLU(), nn.Flatten(),
                                    nn.Dropout(0.1), nn.Linear(96 * 3, width))
        self.sound = nn.Sequential(nn.Conv1d(BANDS, 96, 5, 2), nn.SiLU(), nn.Conv1d(96, 128, 5, 2), nn.SiLU(), nn.Flatten(),
                                   nn.Dropout(0.2), nn.Linear(128 * 4, width))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def embed_video(self, motion):
        return F.normalize(self.motion(motion.transpose(1, 2)), dim=1)

    def embed_audio(self, rows):
        return F.normalize(self.sound((rows.transpose(1, 2) - rows.amax((1, 2), keepdim=True) + 8) / 4), dim=1)
