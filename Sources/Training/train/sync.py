# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Our own audio-visual sync network: do these five pictures belong to this fifth of a second of sound?
`python sync.py --cache CACHE --minutes 12` trains it on the training split, resumes from and writes CACHE/sync.pt, and
reports how well it tells right from wrong sound on the validation split.

Two small convolutional halves meet on the unit sphere (after SyncNet: Chung and Zisserman 2016; the loss is InfoNCE:
van den Oord et al. 2018). Wrong sounds are other moments of the same clip, which no voice or face gives away, and
other clips. The visual half can be differentiated and costs 8 million multiplications a window: it can also serve as a
training loss.
"""
import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data
import distributed
from metrics import distances
from speech import BANDS, SILENCE, STACK

FRAMES = 5                   # pictures of one window, at 25 fps
ROWS = FRAMES * STACK        # filterbank rows of one window: the same 200 ms
SEEN = 48                    # px, what the window is shrunk to
SHIFTS = 15                  # frames that the sound is moved either way, as SyncNet's evaluation does
CLIPS, TIMES = 16, 16        # of a training batch
LEARNING_RATE = 2e-3


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
    starts = STACK * np.arange(len(windows) - FRAMES + 1) + lag_rows
    return seen(net, data.as_image(windows)).numpy(), net.hear(sound_windows(fbank, starts)).numpy()


class Batches:
    """Training windows: clips under random looks, speakers balanced."""

    def __init__(self, clips, rng):
        self.clips, self.rng, self.weights = clips, rng, data.balanced(clips)
        self.grey = [torch.from_numpy(c.window.mean(3).round().astype(np.uint8)) for c in clips]

    def look(self, grey):
        """uint8 [T, 128, 128] -> windows [T, 80, 80] in 0 ... 1 as another camera, light and codec would show them."""
        look = data.Look(self.rng)
        out = F.grid_sample(grey[:, None].float() / 255, look.grid.expand(len(grey), -1, -1, -1), padding_mode="border",
                            align_corners=True)
        out = out.clamp(1e-3, 1) ** look.gamma * look.light
        if self.rng.random() < 0.5:
            sigma = self.rng.uniform(0.4, 1.5)
            taps = torch.exp(-torch.arange(-3, 4).float() ** 2 / (2 * sigma ** 2))
            taps = taps / taps.sum()
            out = F.conv2d(F.conv2d(out, taps.view(1, 1, 1, 7), padding="same"), taps.view(1, 1, 7, 1), padding="same")
        out = out + self.rng.uniform(0, 0.03) * torch.randn_like(out)
        return out[:, 0]

    def __call__(self):
        """Mouths [CLIPS TIMES, 5, 80, 80] and their sound [CLIPS TIMES, 20, 26]."""
        mouths, sounds = [], []
        for index in self.rng.choice(len(self.clips), CLIPS, p=self.weights):
            clip = self.clips[index]
            n = len(clip.window) - FRAMES + 1
            starts = self.rng.choice(n, TIMES, replace=n < TIMES)
            used = torch.from_numpy(starts)[:, None] + torch.arange(FRAMES)
            mouths.append(self.look(self.grey[index])[used])
            sounds.append(sound_windows(clip.fbank, STACK * starts + clip.lag_rows))
        sounds = torch.cat(sounds)
        if self.rng.random() < 0.7:
            sounds = data.other_voice(sounds.view(-1, FRAMES, STACK * BANDS)).view(-1, ROWS, BANDS)
        return torch.cat(mouths), sounds


def contrast(seen, heard, scale):
    """InfoNCE both ways: each window against all of the batch, and against its own clip's alone."""
    def both(logits):
        truth = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1]).reshape(-1)
        side = lambda x: F.cross_entropy(x.reshape(len(truth), -1), truth)
        return (side(logits) + side(logits.transpose(-1, -2))) / 2
    inside = seen.view(CLIPS, TIMES, -1) @ heard.view(CLIPS, TIMES, -1).transpose(1, 2)
    return both(scale * seen @ heard.T) / 2 + both(scale * inside)


def accuracy(net, clips):
    """Per speaker: share of five-picture windows nearer to their own sound than to that of a random moment of the same
    clip at least 3 frames away ("moment"); share of clips whose own sound is nearer than the next clip's ("clip");
    share of clips whose sound fits best within a frame of where it belongs ("offset")."""
    rng, out = np.random.default_rng(0), {}
    kept = [embeddings(net, data.cut(c.window), c.fbank, c.lag_rows) for c in clips]
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="sync", help="of the file in CACHE: a loss and a judge need networks of their own")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    store = args.cache / f"{args.name}.pt"
    device = distributed.device()
    clips, held = ([c for c in data.load(args.cache, v) if len(c.fbank)] for v in (False, True))
    batches, net = Batches(clips, np.random.default_rng(args.seed)), Sync()
    net.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    step, losses = 0, []
    if store.exists():
        kept = torch.load(store, "cpu", weights_only=True)
        for part, name in ((net, "net"), (average, "average"), (optimizer, "optimizer")):
            part.load_state_dict(kept[name])
        step = kept["step"]
    start = last = time.time()
    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / 50) * min(1, 2 * (1 - progress) + 0.02)
        mouths, sounds = (x.to(device) for x in batches())
        loss = contrast(net.see_grey(mouths), net.hear(sounds), net.log_scale.exp().clamp(max=50))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        losses.append(loss.item())
        with torch.no_grad():
            for a, p in zip(average.state_dict().values(), net.state_dict().values()):
                a.lerp_(p, max(0.01, 1 / step)) if a.is_floating_point() else a.copy_(p)
        if time.time() - last > 60:
            last = time.time()
            print(f"{(last - start) / 60:.1f} min, step {step}, loss {np.mean(losses):.3f}, "
                  f"scale {net.log_scale.exp().item():.1f}", flush=True)
            losses.clear()
    torch.save({"average": average.state_dict(), "net": net.state_dict(), "optimizer": optimizer.state_dict(),
                "step": step}, store.with_suffix(".tmp"))
    store.with_suffix(".tmp").rename(store)
    for speaker, figures in accuracy(average.eval().cpu(), held).items():
        print(speaker, figures)


if __name__ == "__main__":
    main()
