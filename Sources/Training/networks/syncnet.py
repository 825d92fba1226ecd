# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""LSE-C and LSE-D as reported in papers: SyncNet (Chung and Zisserman, "Out of time: automated lip sync in the wild",
2016), evaluated by its published recipe. Its weights (syncnet_v2.model) are not ours to distribute; users provide them.

25 frames a second; the square around the face, widened by 0.4 of its half side, at 224 px, BGR, 0 ... 255; windows of 5
frames against 20 rows of 13 MFCCs; embeddings of 1024 values; L2 distances at shifts of up to 15 frames
(metrics.distances, metrics.lse). One difference: the recipe detects faces with S3FD, whose weights are not available
here. Instead the box is that of all face-mesh points, which like S3FD's reaches from the forehead to the chin and is
smoothed over time. So compare these figures with each other, and with published ones only roughly."""
import cv2
import numpy as np
import torch
from scipy.signal import medfilt
from torch import nn

from data.speech import SAMPLE_RATE

SIDE, WIDER, PADDING = 224, 0.4, 110
FRAMES, ROWS, SHIFTS = 5, 20, 15
BATCH = 8  # windows at a time: the visual network needs 30 MB for each


def stage(conv, norm, cin, cout, kernel, pool=None, **options):
    parts = [conv(cin, cout, kernel, **options), norm(cout), nn.ReLU()]
    return parts + [pool] if pool else parts


class SyncNet(nn.Module):
    """The published network, with the parameter names of the published file."""

    def __init__(self):
        super().__init__()
        two, three = (nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d)
        self.netcnnaud = nn.Sequential(
            *stage(*two, 1, 64, 3, nn.MaxPool2d(1), padding=1),
            *stage(*two, 64, 192, 3, nn.MaxPool2d(3, (1, 2)), padding=1),
            *stage(*two, 192, 384, 3, padding=1),
            *stage(*two, 384, 256, 3, padding=1),
            *stage(*two, 256, 256, 3, nn.MaxPool2d(3, 2), padding=1),
            *stage(*two, 256, 512, (5, 4)))
        flat = dict(padding=(0, 1, 1))
        self.netcnnlip = nn.Sequential(
            *stage(*three, 3, 96, (5, 7, 7), nn.MaxPool3d((1, 3, 3), (1, 2, 2)), stride=(1, 2, 2)),
            *stage(*three, 96, 256, (1, 5, 5), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), stride=(1, 2, 2), **flat),
            *stage(*three, 256, 256, (1, 3, 3), **flat),
            *stage(*three, 256, 256, (1, 3, 3), **flat),
            *stage(*three, 256, 256, (1, 3, 3), nn.MaxPool3d((1, 3, 3), (1, 2, 2)), **flat),
            *stage(*three, 256, 512, (1, 6, 6)))
        head = lambda: nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))
        self.netfcaud, self.netfclip = head(), head()

    def embed_audio(self, mfcc):
        """[B, 1, 13, 20] -> [B, 1024]"""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))

    def embed_video(self, faces):
        """[B, 3, 5, 224, 224] -> [B, 1024]"""
        return self.netfclip(self.netcnnlip(faces).flatten(1))


def load(path):
    """SyncNet with the user's weights. Only tensors are read; a file that contains anything else is rejected without
    executing it."""
    try:
        state = torch.load(path, "cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a file of tensors alone ({str(error).splitlines()[0]}); "
                         "SyncNet's syncnet_v2.model is expected") from None
    net = SyncNet()
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold SyncNet's weights: {str(error).splitlines()[-1].strip()}") from None
    return net.eval().requires_grad_(False)


def face_crops(frames, points):
    """uint8 BGR [T, 224, 224, 3] from RGB frames and mesh points [T, 468, 2]."""
    low, high = points.min(1), points.max(1)
    smooth = lambda values: medfilt(np.pad(values, 6, mode="edge"), 13)[6:-6]
    half = smooth((high - low).max(1) / 2)
    x, y = (smooth(c) for c in ((low + high) / 2).T)
    crops = []
    for frame, s, cx, cy in zip(frames, half, x, y):
        edge = int(s * (1 + 2 * WIDER))
        padded = np.pad(frame[..., ::-1], ((edge, edge), (edge, edge), (0, 0)), constant_values=PADDING)
        rows = slice(int(cy + edge - s), int(cy + edge + s * (1 + 2 * WIDER)))
        columns = slice(int(cx + edge - s * (1 + WIDER)), int(cx + edge + s * (1 + WIDER)))
        crops.append(cv2.resize(padded[rows, columns], (SIDE, SIDE)))
    return np.stack(crops)


@torch.no_grad()
def embeddings(net, crops, sound):
    """The embeddings, video and audio [N, 1024] each, of crops [T, 224, 224, 3] and int16 audio at 16 kHz; N = T - 5,
    as published."""
    from python_speech_features import mfcc
    rows = torch.from_numpy(mfcc(sound, SAMPLE_RATE).T.astype(np.float32))
    n = min(len(crops), len(sound) // (SAMPLE_RATE // 25), (rows.shape[1] - ROWS) // 4 + 1 + FRAMES) - FRAMES
    if n < 1:
        raise ValueError("fewer than 6 pictures with sound: too short for SyncNet")
    images = torch.from_numpy(crops).permute(3, 0, 1, 2)
    seen, heard = [], []
    for start in range(0, n, BATCH):
        batch = range(start, min(start + BATCH, n))
        seen.append(net.embed_video(torch.stack([images[:, t:t + FRAMES] for t in batch]).float()))
        heard.append(net.embed_audio(torch.stack([rows[None, :, 4 * t:4 * t + ROWS] for t in batch])))
    return torch.cat(seen).numpy(), torch.cat(heard).numpy()
