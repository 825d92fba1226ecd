# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Our audio-visual sync network: do five video frames belong to these 200 ms of audio?

Two small convolutional encoders map both to the unit sphere (after SyncNet: Chung and Zisserman 2016). The visual
encoder is differentiable and costs 8 million multiplications for each window, so it also serves as a training loss.
train/sync.py trains it.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data.clips import as_image
from data.speech import SILENCE, STACK

FRAMES = 5  # video frames in one window, at 25 fps
ROWS = FRAMES * STACK        # filterbank rows of one window: the same 200 ms
SEEN = 48  # px, size of the network's images
SHIFTS = 15  # frames by which the audio is shifted either way, as in SyncNet's evaluation


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

    def embed_grey(self, mouths):
        """Grey mouths [B, 5, 80, 80] of any brightness and contrast -> unit vectors [B, 128]."""
        mouths = F.interpolate(mouths, size=(SEEN, SEEN), mode="bilinear", align_corners=False)
        mean = mouths.mean((1, 2, 3), keepdim=True)
        deviation = (mouths - mean).square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-2
        return F.normalize(self.picture((mouths - mean) / deviation), dim=1)

    def embed_video(self, windows):
        """Five consecutive windows [B, 5, 3, 80, 80] in -1 ... 1 -> unit vectors [B, 128]."""
        return self.embed_grey(windows.mean(2))

    def embed_audio(self, rows):
        """Log filterbank energies [B, 20, 26] of the same 200 ms -> unit vectors [B, 128]."""
        level = rows.amax((1, 2), keepdim=True)
        return F.normalize(self.sound(((rows.maximum(level - 12).clamp(min=0) - 10) / 4)[:, None]), dim=1)


def load(path):
    """The trained network, frozen, but differentiable with respect to its inputs."""
    net = Sync()
    net.load_state_dict(torch.load(path, "cpu", weights_only=True)["average"])
    return net.eval().requires_grad_(False)


def sound_windows(fbank, starts):
    """[N, 20, 26]: the filterbank rows from each start on; rows outside are digital silence."""
    rows = np.asarray(starts)[:, None] + np.arange(ROWS)
    inside = ((rows >= 0) & (rows < len(fbank)))[..., None]
    return torch.from_numpy(np.where(inside, fbank[np.clip(rows, 0, len(fbank) - 1)], np.float32(SILENCE)))


@torch.no_grad()
def video_embeddings(net, images):
    """The embeddings [T - 4, 128] of every five consecutive images of [T, 3, 80, 80] in -1 ... 1."""
    out = []
    for start in range(0, len(images) - FRAMES + 1, 64):
        part = images[start:start + 64 + FRAMES - 1]
        out.append(net.embed_video(torch.stack([part[k:len(part) - FRAMES + 1 + k] for k in range(FRAMES)], 1)))
    return torch.cat(out)


@torch.no_grad()
def embeddings(net, windows, fbank, lag_rows=0):
    """The embeddings of a whole clip, video and audio [T - 4, 128] each, from uint8 windows [T, 80, 80, 3] and the
    filterbank."""
    starts, device = STACK * np.arange(len(windows) - FRAMES + 1) + lag_rows, net.log_scale.device
    heard = net.embed_audio(sound_windows(fbank, starts).to(device))
    return video_embeddings(net, as_image(windows).to(device)).cpu().numpy(), heard.cpu().numpy()
