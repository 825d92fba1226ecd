# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Image augmentation: other cameras, other light, other faces."""
import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from data.clips import as_image
from data.geometry import MARGIN, WINDOW


def through_jpeg(picture, quality):
    """uint8 RGB [H, W, 3] after JPEG compression at this quality (0 to 100)."""
    coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


class Augmentation:
    """A random camera, light and face, the same for all frames of a clip, which turns a few speakers into many. Images
    come with `margin` px around the window.

    Geometry: flip, roll, scale, shift, a nod (the image narrows upwards or downwards), and a smooth warp that changes
    the proportions of the face. Colour: exposure, gamma, white balance, saturation, a light from one side; another lip
    colour in half of the faces whose lips are given. A third of the cameras are poor: lower resolution and, if `noisy`,
    noise and JPEG; a third sharpen, as phones do. Strength 0 changes nothing."""

    def __init__(self, rng, strength=1.0, margin=MARGIN, noisy=True):
        n = lambda s: float(rng.normal(0, s) * strength)
        self.flip = bool(rng.random() < 0.5 * min(strength * 10, 1))
        side = WINDOW + 2 * margin
        axis = torch.linspace(-1, 1, side)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        angle, scale = math.radians(n(2.0)), math.exp(n(0.03))
        sx, sy = scale * math.exp(n(0.07)), scale * math.exp(n(0.05))
        u = (math.cos(angle) * x - math.sin(angle) * y) * sx * (1 + n(0.03) * y) + n(0.012)
        v = (math.sin(angle) * x + math.cos(angle) * y) * sy + n(0.012)
        coarse = torch.from_numpy(rng.normal(0, 0.035 * strength, (1, 2, 4, 4)).astype(np.float32))
        if rng.random() < 0.5:  # half of the faces stay symmetric
            mirror = coarse.flip(3) * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
            coarse = (coarse + mirror) / math.sqrt(2)
        warp = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)[0]
        grid = torch.stack([u + warp[0], v + warp[1]], -1)
        if self.flip:
            grid[..., 0] = -grid[..., 0]
        self.grid = grid[margin:-margin, margin:-margin]
        self.gamma, self.gain, self.offset = math.exp(n(0.18)), math.exp(n(0.12)), n(0.04)
        self.balance = torch.tensor([math.exp(n(0.08)) for _ in range(3)]).view(3, 1, 1)
        self.saturation = math.exp(n(0.25))
        slope = (n(0.12) * x + n(0.08) * y)[margin:-margin, margin:-margin]
        self.light = torch.exp(slope)
        lipstick = n(0.15) + torch.tensor([n(0.1), n(0.17), n(0.17)])
        self.lipstick = torch.exp(lipstick).view(3, 1, 1) if rng.random() < min(strength, 1) / 2 else None
        self.poor, self.sharp, self.noisy = None, 0.0, noisy
        camera = rng.random()
        if camera > 1 - min(strength, 1) / 3:
            self.sharp = rng.uniform(0, 2)
        if camera < min(strength, 1) / 3:
            self.poor = rng.uniform(0.5, 1), rng.uniform(0, 0.02), int(rng.integers(35, 95))

    def transformed(self, images):
        """Images of any kind [B, C, H, W] with the margin -> [B, C, 80, 80]: geometry only."""
        return F.grid_sample(images, self.grid.expand(len(images), -1, -1, -1), mode="bicubic", padding_mode="border",
                             align_corners=True)

    def recoloured(self, images, lips=None):
        """Transformed images [B, 3, 80, 80] in -1 ... 1 in this augmentation's colours; lips [B, 1, 80, 80], 0 ... 1,
        may get a colour of their own."""
        if lips is not None and self.lipstick is not None:
            painted = ((images + 1) / 2 * self.lipstick).clamp(0, 1) * 2 - 1
            images = torch.lerp(images, painted, lips)
        out = ((images + 1) / 2).clamp(1e-3, 1) ** self.gamma
        grey = out.mean(1, keepdim=True)
        out = grey + (out - grey) * self.saturation
        out = out * self.balance * self.light * self.gain + self.offset
        out = (out + self.sharp * (out - F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1))).clamp(0, 1)
        return (self.degraded(out) if self.poor else out) * 2 - 1

    def __call__(self, images):
        """Images [B, 3, H, W] with the margin -> [B, 3, 80, 80], both in -1 ... 1."""
        return self.recoloured(self.transformed(images))

    def degraded(self, images):
        """Images [B, 3, H, W] in 0 ... 1 as seen by a camera with fewer pixels, noise and JPEG."""
        scale, noise, quality = self.poor
        side = images.shape[-2:]
        small = F.interpolate(images, [round(scale * n) for n in side], mode="bicubic", antialias=True)
        if not self.noisy:
            return F.interpolate(small, side, mode="bicubic").clamp(0, 1)
        out = F.interpolate(small + noise * torch.randn_like(small), side, mode="bicubic")
        pixels = (out.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return as_image(np.stack([through_jpeg(p, quality) for p in pixels])) / 2 + 0.5
