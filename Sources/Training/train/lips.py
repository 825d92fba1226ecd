# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Teaches the audio encoder lips: `python -m train.lips --cache CACHE` trains encoder and head (networks.model.Lips) to tell the
mouth's coefficients (data/geometry.py) from sound. Begins with the encoder of `--init MODEL`, or of AV-HuBERT, `--audio-encoder
FILE` (convert/avhubert.py), whose first layers stay as they are, or from nothing. Writes and resumes CACHE/lips.pt.

Losses over runs of RUN pictures in a row: distance of the coefficients, of the lips' opening they make, and of both's change
from picture to picture; and a sync loss: a network (networks/motion.py) that was trained first to tell which motion of the mouth
goes with which sound, on real motion alone, is shown the made motion, which is held to what it sees in the real one. Regression
alone makes lips that move too little."""
import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from convert.export import part_of
from data.clips import balanced, load
from data.geometry import Basis, Neutral, Pose
from data.speech import BANDS, STACK, stacks
from data.voices import other_voice, pace, some_hidden
from networks import avhubert
from networks.model import AudioEncoder, Config, Lips, autocast
from networks.motion import ROWS, SEEN, Motion
from train import distributed
from train.loop import Loop, Schedule

RUN, RUNS = 10, 24        # pictures in a row, runs of a batch
OPENING, CHANGE, SYNC = 2.0, 0.5, 0.5  # weights of the losses beside the coefficients'
RATE = 1e-3


class Clips:
    """Coefficients [T, 12] and sound of those clips that have sound."""

    def __init__(self, clips, basis):
        self.clips, self.coefficients = [c for c in clips if len(c.fbank)], []
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
        self.clips, self.config, self.rng, self.weights = clips, config, rng, balanced(clips.clips, 0.6)

    def __call__(self):
        """Sound [RUNS RUN, tokens, 104], coefficients [RUNS, RUN, 12] and the runs' own rows of sound [RUNS, 4 RUN, 26]."""
        heard, wanted = [], []
        for index in self.rng.choice(len(self.weights), RUNS, p=self.weights):
            speed = pace(self.rng)
            start = self.rng.integers(0, max(1, len(self.clips.coefficients[index]) - int(RUN * speed) - 1))
            frames = start + speed * np.arange(RUN)
            heard.append(self.clips.sound(index, frames, self.config, speed))
            wanted.append(self.clips.at(index, frames))
        heard = torch.from_numpy(np.stack(heard)).float()
        tokens = self.config.tokens
        whole = torch.cat([heard[:, 0], heard[:, 1:, -1]], 1)  # one row of stacks for a run, so that a voice stays the same
        other = other_voice(whole)
        whole = torch.where(torch.rand(RUNS, 1, 1) < 0.5, other, whole)
        heard = whole.unfold(1, tokens, 1).transpose(2, 3)
        own = whole[:, self.config.audio_past:self.config.audio_past + RUN]
        heard = some_hidden(heard.flatten(0, 1), self.config.audio_past)
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
    parser.add_argument("--motion-minutes", type=float, default=1.5, help="for the network of the sync loss, before")
    parser.add_argument("--sync-weight", type=float, default=SYNC, help="of the sync loss (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--audio-encoder", type=Path, help="AV-HuBERT as convert/avhubert.py wrote it")
    begin.add_argument("--init", type=Path, help="a model file whose encoder to go on from")
    parser.add_argument("--frozen-layers", type=int, help="of AV-HuBERT, from below; without it: three quarters")
    parser.add_argument("--name", default="lips", help="of the file in CACHE")
    args = parser.parse_args()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    config = Config()
    encoder, slower = AudioEncoder(config), 1.0
    if args.audio_encoder:
        encoder, config = avhubert.load(args.audio_encoder)
        encoder.freeze(args.frozen_layers)
        slower = 0.1  # so that it keeps what it knows
    elif args.init:
        encoder.load_state_dict(part_of(args.init, "audio_encoder"))
        slower = 0.3
    basis = Basis(load_file(args.cache / "geometry.safetensors"))
    learned, held = (Clips(load(args.cache, v, pictures=False), basis) for v in (False, True))
    batches = Batches(learned, config, rng)
    encoder.to(device)
    head, motion = Lips(config).to(device), Motion(config.coefficients).to(device)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([{"params": trained, "lr": slower * RATE}, {"params": head.parameters()}], lr=RATE,
                                  weight_decay=0.02)

    def validate():
        parts = loop.average["audio_encoder"], loop.average["lips"]
        print("opening r at once, best of 3 frames, range:", report(parts, held, basis, config, device), flush=True)

    # audio_encoder and lips are the averages, by which the painter goes.
    loop = Loop(args.cache / f"{args.name}.pt", optimizer, Schedule(warm_up=200, fall=0.5, minutes=args.minutes),
                parts={"net": encoder, "net_head": head, "motion": motion}, averages={"audio_encoder": encoder, "lips": head},
                rng=rng, batch=RUNS * RUN, figures=["coefficients", "opening", "change", "sync"], follow=0.005, config=config,
                validate=validate)
    if not loop.resumed:
        train_motion(motion, batches, args.motion_minutes, device)
        distributed.share(motion.state_dict().values())
    motion.eval().requires_grad_(False)
    gap = torch.tensor(basis.gap, dtype=torch.float32, device=device)
    gap = gap / gap.norm()
    change = lambda x: x[:, 1:] - x[:, :-1]
    near = lambda a, b: F.smooth_l1_loss(a, b, beta=0.5)
    see = lambda x: motion.see(torch.cat([x[:, k:k + SEEN] for k in range(RUN - SEEN + 1)]))
    weight = torch.linspace(1.5, 0.5, config.coefficients, device=device)
    for _ in loop:
        heard, wanted, _ = batches()
        wanted = wanted.to(device)
        with autocast(device):
            made = head(F.dropout(encoder(heard.to(device)), 0.15)).float().view_as(wanted)
        parts = (near(made * weight, wanted * weight), near(made @ gap, wanted @ gap), near(change(made), change(wanted)),
                 1 - (see(made) * see(wanted)).sum(1).mean())
        loop.learn(sum(share * part for share, part in zip((1, OPENING, CHANGE, args.sync_weight), parts)))
        loop.note(parts)
    distributed.stop()


if __name__ == "__main__":
    main()
