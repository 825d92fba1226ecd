# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains our sync network (networks/sync.py) on the training split: `python -m train.sync --cache CACHE` writes and
resumes CACHE/sync.pt and reports how well it tells right from wrong audio on the validation split.

The loss is InfoNCE (van den Oord et al., arXiv 1807.03748). Negatives are other moments of the same clip, which neither
voice nor face gives away, and other clips."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from data.clips import balanced, cut, load
from data.augmentation import Augmentation
from data.options import parser as options
from data.speech import BANDS, STACK
from data.voices import other_voice
from evaluate.metrics import distances
from networks.sync import FRAMES, ROWS, SHIFTS, Sync, embeddings, sound_windows
from train import distributed
from train.loop import Loop, Schedule

CLIPS, TIMES = 16, 16  # in a batch
LEARNING_RATE = 2e-3


class Batches:
    """Training windows: augmented clips, with balanced speakers."""

    def __init__(self, clips, rng):
        self.clips, self.rng, self.weights = clips, rng, balanced(clips)
        self.grey = [torch.from_numpy(c.window.mean(3).round().astype(np.uint8)) for c in clips]

    def augmented(self, grey):
        """uint8 [T, 128, 128] -> windows [T, 80, 80] in 0 ... 1, augmented: another camera, light and codec."""
        augmentation = Augmentation(self.rng)
        out = F.grid_sample(grey[:, None].float() / 255, augmentation.grid.expand(len(grey), -1, -1, -1), padding_mode="border",
                            align_corners=True)
        out = out.clamp(1e-3, 1) ** augmentation.gamma * augmentation.light
        if self.rng.random() < 0.5:
            sigma = self.rng.uniform(0.4, 1.5)
            taps = torch.exp(-torch.arange(-3, 4).float() ** 2 / (2 * sigma ** 2))
            taps = taps / taps.sum()
            out = F.conv2d(F.conv2d(out, taps.view(1, 1, 1, 7), padding="same"), taps.view(1, 1, 7, 1), padding="same")
        out = out + self.rng.uniform(0, 0.03) * torch.randn_like(out)
        return out[:, 0]

    def __call__(self):
        """Mouths [CLIPS TIMES, 5, 80, 80] and their audio [CLIPS TIMES, 20, 26]."""
        mouths, sounds = [], []
        for index in self.rng.choice(len(self.clips), CLIPS, p=self.weights):
            clip = self.clips[index]
            n = len(clip.window) - FRAMES + 1
            starts = self.rng.choice(n, TIMES, replace=n < TIMES)
            used = torch.from_numpy(starts)[:, None] + torch.arange(FRAMES)
            mouths.append(self.augmented(self.grey[index])[used])
            sounds.append(sound_windows(clip.fbank, STACK * starts + clip.lag_rows))
        sounds = torch.cat(sounds)
        if self.rng.random() < 0.7:
            sounds = other_voice(sounds.view(-1, FRAMES, STACK * BANDS)).view(-1, ROWS, BANDS)
        return torch.cat(mouths), sounds


def contrast(seen, heard, scale):
    """Symmetric InfoNCE: each window against the whole batch, and against its own clip only."""
    def both(logits):
        truth = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1]).reshape(-1)
        side = lambda x: F.cross_entropy(x.reshape(len(truth), -1), truth)
        return (side(logits) + side(logits.transpose(-1, -2))) / 2
    inside = seen.view(CLIPS, TIMES, -1) @ heard.view(CLIPS, TIMES, -1).transpose(1, 2)
    return both(scale * seen @ heard.T) / 2 + both(scale * inside)


def accuracy(net, clips):
    """For each speaker: the fraction of five-frame windows closer to their own audio than to that of a random moment of
    the same clip at least 3 frames away ("moment"); of clips closer to their own audio than to the next clip's
    ("clip"); and of clips whose audio fits best within a frame of its true offset ("offset")."""
    rng, out = np.random.default_rng(0), {}
    kept = [embeddings(net, cut(c.window), c.fbank, c.lag_rows) for c in clips]
    for i, (clip, (seen, heard)) in enumerate(zip(clips, kept)):
        n = len(seen)
        other = (np.arange(n) + rng.integers(3, n - 2, n)) % n
        near = lambda sound: np.linalg.norm(seen[:len(sound)] - sound[:n], axis=1)
        same = [j for j, c in enumerate(clips) if c.speaker == clip.speaker]
        foreign = kept[same[(same.index(i) + 1) % len(same)]][1]
        mean = distances(seen, heard, SHIFTS)
        row = out.setdefault(clip.speaker, [])
        row.append([(near(heard) < near(heard[other])).mean(), near(heard).mean() < near(foreign).mean(),
                    abs(int(mean.argmin()) - SHIFTS) <= 1, mean.min(), np.median(mean) - mean.min()])
    names = "moment", "clip", "offset", "distance", "confidence"
    return {s: dict(zip(names, np.mean(rows, 0).round(3).tolist())) for s, rows in out.items()}


def main():
    parser = options(__doc__, cache="folder with clips, and for the result", minutes=12, seed="the initial weights and the batches")
    parser.add_argument("--name", default="sync", help="name of the file in CACHE: a loss and a judge need separate networks")
    args = parser.parse_args()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    clips, held = (load(args.cache, v, heard=True) for v in (False, True))
    batches, net = Batches(clips, rng), Sync().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.05)

    def validate():
        for speaker, figures in accuracy(loop.average["average"], held).items():
            print(speaker, figures, flush=True)

    loop = Loop(args.cache / f"{args.name}.pt", optimizer, Schedule(warm_up=50, fall=0.5, minutes=args.minutes, began=args.began),
                parts={"net": net}, averages={"average": net}, rng=rng, batch=CLIPS * TIMES, figures=["loss", "scale"],
                follow=0.01, clip=math.inf, validate=validate)
    for _ in loop:
        mouths, sounds = (x.to(device) for x in batches())
        scale = net.log_scale.exp().clamp(max=50)
        loss = contrast(net.embed_grey(mouths), net.embed_audio(sounds), scale)
        loop.learn(loss)
        loop.note([loss, scale])
    distributed.stop()


if __name__ == "__main__":
    main()
