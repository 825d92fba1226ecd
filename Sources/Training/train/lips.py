# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Teaches the audio encoder lips: `python lips.py --cache CACHE --minutes 8` trains encoder and head (model.Lips) to tell the
mouth's coefficients (geometry.py) from sound. Begins with the encoder of `--init MODEL`, or of AV-HuBERT, `--audio-encoder FILE`
(convert_avhubert.py), whose first layers stay as they are, or from nothing; resumes from CACHE/lips.pt; draws
CACHE/lips_curve.png.

Losses over runs of RUN pictures in a row: distance of the coefficients, of the lips' opening they make, and of both's change
from picture to picture; and a sync loss: a network (Motion) that was trained first to tell which motion of the mouth goes with
which sound, on real motion alone, is shown the made motion, which is held to what it sees in the real one. Regression alone
makes lips that move too little."""
import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import nn

import avhubert
import data
import distributed
import plots
from export import part_of
from geometry import Basis, Neutral, Pose
from model import AudioEncoder, Config, Lips, autocast
from speech import BANDS, STACK, stacks

RUN, RUNS = 10, 24        # pictures in a row, runs of a batch
SEEN, ROWS = 7, 28        # pictures and rows of sound of one look of Motion: the same 280 ms
OPENING, CHANGE, SYNC = 2.0, 0.5, 0.5  # weights of the losses beside the coefficients'
RATE = 1e-3


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


class Clips:
    """Coefficients and sound of prepared clips that have sound."""

    def __init__(self, cache, basis, validation):
        self.clips = [c for c in data.load(cache, validation, pictures=False) if len(c.fbank)]
        self.coefficients = []
        for clip in self.clips:
            points = clip.points.astype(np.float64)
            shape = Pose.of(points, basis.canonical).unposed(points)
            self.coefficients.append(basis.coefficients(shape, Neutral.of(basis, shape)).astype(np.float32))

    def sound(self, index, frames, config, pace=1.0):
        """[T, tokens, 104] around these frames."""
        clip = self.clips[index]
        return stacks(clip.fbank, frames * STACK + clip.lag_rows, config.audio_past, config.audio_future, pace)

    def at(self, index, frames):
        """[T, 12] between frames: where they are no whole numbers."""
        made = self.coefficients[index]
        low = np.clip(np.floor(frames).astype(int), 0, len(made) - 1)
        part = np.clip(frames - low, 0, 1)[:, None].astype(np.float32)
        return made[low] * (1 - part) + made[np.minimum(low + 1, len(made) - 1)] * part


def looks(motion, rows):
    """Every SEEN pictures in a row of motion [B, T, 12], with their sound out of rows [B, 4 T, 26]."""
    starts = range(motion.shape[1] - SEEN + 1)
    return (torch.cat([motion[:, k:k + SEEN] for k in starts]),
            torch.cat([rows[:, STACK * k:STACK * k + ROWS] for k in starts]))


class Batches:
    def __init__(self, clips, config, rng):
        self.clips, self.config, self.rng, self.weights = clips, config, rng, data.balanced(clips.clips, 0.6)

    def __call__(self):
        """Sound [RUNS RUN, tokens, 104], coefficients [RUNS, RUN, 12] and the runs' own rows of sound [RUNS, 4 RUN, 26]."""
        heard, wanted = [], []
        for index in self.rng.choice(len(self.weights), RUNS, p=self.weights):
            pace = data.pace(self.rng)
            start = self.rng.integers(0, max(1, len(self.clips.coefficients[index]) - int(RUN * pace) - 1))
            frames = start + pace * np.arange(RUN)
            heard.append(self.clips.sound(index, frames, self.config, pace))
            wanted.append(self.clips.at(index, frames))
        heard = torch.from_numpy(np.stack(heard)).float()
        tokens = self.config.tokens
        whole = torch.cat([heard[:, 0], heard[:, 1:, -1]], 1)  # one row of stacks for a run, so that a voice stays the same
        other = data.other_voice(whole)
        whole = torch.where(torch.rand(RUNS, 1, 1) < 0.5, other, whole)
        heard = whole.unfold(1, tokens, 1).transpose(2, 3)
        own = whole[:, self.config.audio_past:self.config.audio_past + RUN]
        heard = data.some_hidden(heard.flatten(0, 1), self.config.audio_past)
        return heard, torch.from_numpy(np.stack(wanted)), own.reshape(RUNS, RUN * STACK, BANDS)


def train_motion(net, batches, minutes, device):
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    start = time.time()
    losses = []
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, 2 * (1 - progress) + 0.02)
        _, wanted, rows = batches()
        motion, sound = looks(wanted + 0.1 * torch.randn_like(wanted), rows)
        logits = net.log_scale.exp().clamp(max=50) * net.see(motion.to(device)) @ net.hear(sound.to(device)).T
        truth = torch.arange(len(logits), device=device)
        loss = F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval().requires_grad_(False)
    print(f"motion network: {len(losses)} steps, loss {np.mean(losses[:20]):.2f} to {np.mean(losses[-50:]):.2f}", flush=True)


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@torch.no_grad()
def told(parts, clips, index, config, device):
    """[T, 12] that encoder and head tell of a whole clip's sound."""
    encoder, head = parts
    sound = clips.sound(index, np.arange(len(clips.coefficients[index])), config)
    return head(encoder(torch.from_numpy(sound).float().to(device))).cpu().numpy()


def report(parts, clips, basis, config, device):
    """Per talker: correlation of the opening told and real, best of three frames either way, and its range, made / real."""
    by = {}
    for index, clip in enumerate(clips.clips):
        made = np.maximum(told(parts, clips, index, config, device) @ basis.gap, 0)
        real = np.maximum(clips.coefficients[index] @ basis.gap, 0)
        middle = slice(8, len(real) - 8)
        lags = [correlation(made[middle], np.roll(real, -k)[middle]) for k in range(-3, 4)]
        by.setdefault(clip.speaker, []).append([lags[3], max(lags), made[middle].std() / real[middle].std()])
    return {speaker: np.mean(rows, 0).round(3).tolist() for speaker, rows in sorted(by.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--motion-minutes", type=float, default=1.5)
    parser.add_argument("--sync-weight", type=float, default=SYNC)
    parser.add_argument("--seed", type=int, default=0)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--audio-encoder", type=Path, help="AV-HuBERT as convert_avhubert.py wrote it")
    begin.add_argument("--init", type=Path, help="a model file whose encoder to go on from")
    parser.add_argument("--frozen-layers", type=int, help="of AV-HuBERT, from below; without it: three quarters")
    parser.add_argument("--name", default="lips", help="of the file in CACHE")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device, config, store = distributed.device(), Config(), args.cache / f"{args.name}.pt"
    encoder, slower = AudioEncoder(config), 1.0
    if args.audio_encoder:
        encoder, config = avhubert.load(args.audio_encoder)
        encoder.freeze(args.frozen_layers)
        slower = 0.1  # so that it keeps what it knows
    elif args.init:
        encoder.load_state_dict(part_of(args.init, "audio_encoder"))
        slower = 0.3
    basis = Basis(load_file(args.cache / "geometry.safetensors"))
    learned, held = Clips(args.cache, basis, False), Clips(args.cache, basis, True)
    batches = Batches(learned, config, np.random.default_rng(args.seed))
    head, motion = Lips(config).to(device), Motion(config.coefficients).to(device)
    encoder.to(device)
    kept = torch.load(store, "cpu", weights_only=True) if store.exists() else None
    if kept:
        motion.load_state_dict(kept["motion"])
        motion.eval().requires_grad_(False)
    else:
        train_motion(motion, batches, args.motion_minutes, device)
    average = copy.deepcopy(nn.ModuleList([encoder, head]))
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": trained, "scale": slower}, {"params": head.parameters(), "scale": 1.0}], lr=RATE,
                                  weight_decay=0.02)
    step, curve, losses = 0, [], []
    if kept:
        for part, name in ((encoder, "net"), (head, "net_head"), (average[0], "audio_encoder"), (average[1], "lips"),
                           (optimizer, "optimizer")):
            part.load_state_dict(kept[name])
        step, curve = kept["step"], kept["curve"]
    gap = torch.tensor(basis.gap, dtype=torch.float32, device=device)
    gap = gap / gap.norm()
    every = [*trained, *head.parameters()]

    def save():
        """audio_encoder and lips are the averages, which the rest of the training goes by."""
        torch.save({"audio_encoder": average[0].state_dict(), "lips": average[1].state_dict(), "net": encoder.state_dict(),
                    "net_head": head.state_dict(), "optimizer": optimizer.state_dict(), "motion": motion.state_dict(),
                    "step": step, "curve": curve, "config": config.dict()}, store.with_suffix(".tmp"))
        store.with_suffix(".tmp").rename(store)
        plots.plot(curve, ["coefficients", "opening", "change", "sync"], store.with_name(f"{args.name}_curve.png"))

    start = last = time.time()
    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * group["scale"] * min(1, (step + 1) / 200) * min(1, 2 * (1 - progress) + 0.02)
        heard, wanted, _ = batches()
        wanted = wanted.to(device)
        with autocast(device):
            made = head(F.dropout(encoder(heard.to(device)), 0.15)).float().view_as(wanted)
        change = lambda x: x[:, 1:] - x[:, :-1]
        near = lambda a, b: F.smooth_l1_loss(a, b, beta=0.5)
        weight = torch.linspace(1.5, 0.5, made.shape[-1], device=device)
        see = lambda x: motion.see(torch.cat([x[:, k:k + SEEN] for k in range(RUN - SEEN + 1)]))
        parts = (near(made * weight, wanted * weight), near(made @ gap, wanted @ gap), near(change(made), change(wanted)),
                 1 - (see(made) * see(wanted)).sum(1).mean())
        loss = sum(share * part for share, part in zip((1, OPENING, CHANGE, args.sync_weight), parts))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(every, 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for a, p in zip(average.parameters(), [*encoder.parameters(), *head.parameters()]):
                a.lerp_(p, 0.005 if step > 300 else 0.1)
        losses.append([part.item() for part in parts])
        if time.time() - last > 60:
            last = time.time()
            curve.append([step * RUNS * RUN, *np.mean(losses, 0).tolist()])
            losses.clear()
            print(f"{(last - start) / 60:.1f} min, step {step}, {np.round(curve[-1][1:], 3).tolist()}", flush=True)
            save()
    save()
    print("opening r at once, best of 3 frames, range:", report(average.eval(), held, basis, config, device), flush=True)


if __name__ == "__main__":
    main()
