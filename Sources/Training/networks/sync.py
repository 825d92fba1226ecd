# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Our own audio-visual sync network: do these five pictures belong to this fifth of a second of sound?

Two small convolutional halves meet on the unit sphere (after SyncNet: Chung and Zisserman 2016). The visual half can be
differentiated and costs 8 million multiplications a window: it also serves as a training loss. train/sync.py trains it.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data.clips import as_image
from data.speech import SILENCE, STACK

FRAMES = 5                   # pictures of one window, at 25 fps
ROWS = FRAMES * STACK        # filterbank rows of one window: the same 200 ms
SEEN = 48                    # px, what the window is shrunk to
SHIFTS = 15                  # frames that the sound is moved either way, as SyncNet's evaluation does


def unit(cin, cout, stride, kernel=3):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout), nn.ReLU())


class Sync(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.picture = nn.Sequential(unit(FRAMES, 32, 2, 5), unit(32, 64, 2), unit(64, 96, 2), unit(96, 128, 2),
                                     nn.Flatten(), nn.Dropout(0.2), nn.Linear(128 * 9, width))
        self.sound = nn.Sequential(unit(1, 24, 1), unit(24, 48, 2), unit(48, 64, 2), unit(64, 96, 2),
                                   nn.Flatten(), nn.Dropout(0.2), nn.Linear(96 * 12, width))
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def see_grey(self, mouths):
        """[B, 5, 80, 80], any brightness and contrast -> unit vectors [B, 128]."""
        mouths = F.interpolate(mouths, size=(SEEN, SEEN), mode="bilinear", align_corners=False)
        mean = mouths.mean((1, 2, 3), keepdim=True)
        deviation = (mouths - mean).square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-2
        return F.normalize(self.picture((mouths - mean) / deviation), dim=1)

    def see(self, windows):
        """Five windows in a row [B, 5, 3, 80, 80] in -1 ... 1 -> unit vectors [B, 128]."""
        return self.see_grey(windows.mean(2))

    def hear(self, rows):
        """Log filterbank energies [B, 20, 26] of the same 200 ms -> unit vectors [B, 128]."""
        level = rows.amax((1, 2), keepdim=True)
        return F.normalize(self.sound(((rows.maximum(level - 12).clamp(min=0) - 10) / 4)[:, None]), dim=1)


def load(path):
    """The trained network, frozen. It keeps gradients of its inputs."""
    net = Sync()
    net.load_state_dict(torch.load(path, "cpu", weights_only=True)["average"])
    return net.eval().requires_grad_(False)


def sound_windows(fbank, starts):
    """[N, 20, 26] of the filterbank rows from each start on; rows outside are digital silence."""
    rows = np.asarray(starts)[:, None] + np.arange(ROWS)
    inside = ((rows >= 0) & (rows < len(fbank)))[..., None]
    return torch.from_numpy(np.where(inside, fbank[np.clip(rows, 0, len(fbank) - 1)], np.float32(SILENCE)))


@torch.no_grad()
def seen(net, images):
    """Of every five pictures in a row of [T, 3, 80, 80] in -1 ... 1 -> [T - 4, 128]."""
    out = []
    for start in range(0, len(images) - FRAMES + 1, 64):
        part = images[start:start + 64 + FRAMES - 1]
        out.append(net.see(torch.stack([part[k:len(part) - FRAMES + 1 + k] for k in range(FRAMES)], 1)))
    return torch.cat(out)


@torch.no_grad()
def embeddings(net, windows, fbank, lag_rows=0):
    """Of a whole clip: uint8 windows [T, 80, 80, 3] and its filterbank -> pictures and sounds [T - 4, 128] each."""
    starts, device = STACK * np.arange(len(windows) - FRAMES + 1) + lag_rows, net.log_scale.device
    heard = net.hear(sound_windows(fbank, starts).to(device))
    return seen(net, as_image(windows).to(device)).cpu().numpy(), heard.cpu().numpy()
