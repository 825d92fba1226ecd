# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the latent diffusion model: `python diffusion.py --cache CACHE --minutes 60`. Needs CACHE/autoencoder.pt and
CACHE/audio.pt, or goes on from a model file, `--init MODEL`; resumes from CACHE/diffusion.pt; draws CACHE/curve.png and
CACHE/sheet.png at every validation.

Recipe (method.md): flow matching; the two-step sampler asks at t = 1 and 0.5 only, so 30 % of the times are 1, 20 % are near 0.5,
the others logit-normal; velocity error with the mouth four times as heavy, plus the distance of the lips that a frozen
probe reads off the predicted and the true clean latent. Where the time is 1 the second step is taken too, from where the
first one led, and the picture and its lips are compared as well: a step trained on noisy truth alone trusts the lips it is
shown, and those of a first step are blurred. What was made so is the previous frame of the clip's next frame in the same
batch, as when the element runs; the others take the true one. It is dropped half of the time, and what passes its bottleneck
is noisy. The lip loss counts less while the learning rate falls, so that pictures become sharp again. What is sampled comes in
runs of five pictures, which are decoded and held to the true ones at a quarter of their size: colours, light and shapes, which
weigh little among a latent's textures. With --sync what a frozen sync network (sync.py) sees in them is held to what it sees in
the true ones: lips that move as real ones do, not lips that please it more than real ones. Validation drives each
held-out face with the sound of another held-out clip, frame after frame, and correlates the probe's lip opening with that of
the clip the sound is from. `torchrun --nproc-per-node N diffusion.py ...` trains on several GPUs or machines: each process
takes its own batches, and minutes count as before.
"""
import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import avhubert
import data
import distributed
import plots
import sync
from audio import COMPONENTS, Lips, aperture, clip_stacks, correlation
from data import BANDS, SILENCE
from export import load
from model import Config, SyncDiff, autocast

CORRUPTION = 0.5, 0.3, 0.5  # of the previous frame: how often it is dropped, noise on its latent, on what the bottleneck passes
PROBE_WEIGHT, MOUTH_WEIGHT = (0.6, 0.15), 4.0  # of the lip loss: at first, at the end
FIRST, MIDDLE = 0.3, 0.2  # shares of a batch at t = 1 (in whole runs) and near t = 0.5
PICTURE_WEIGHT, SYNC_WEIGHT = 3.0, 0.4
MOUTH = slice(4, 24), slice(2, 22)  # of a latent: what is decoded, two places more on each side than the sync network sees
FRAMES = 75  # of a clip, from its start, that the validation looks at


class Probe(nn.Module):
    """Latent [B, 4, 24, 24] -> lip targets of audio.Lips. Trained once, then frozen; a training loss, never shipped."""

    def __init__(self, config):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(config.latent_channels, 32, 3, 2, 1), nn.SiLU(), nn.Conv2d(32, 64, 3, 2, 1),
                                 nn.SiLU(), nn.Flatten(), nn.Linear(64 * (config.window // 16) ** 2, 64), nn.SiLU(),
                                 nn.Linear(64, 1 + COMPONENTS))

    def forward(self, latent):
        return self.net(latent)


class Pool:
    """Latents of clips under random looks, renewed bit by bit while the training runs."""

    def __init__(self, model, clips, lips, size, rng, look=1.0, sync_net=None):
        self.model, self.clips, self.rng, self.size, self.look, self.sync_net = model, clips, rng, size, look, sync_net
        self.mask = model.mask().cpu()
        self.weights = data.balanced(clips, 0.55)
        self.quiet = [self._quiet(c) for c in clips]
        self.targets = [torch.from_numpy(lips(c.lips)) for c in clips]
        self.slots = []
        self.next = 0

    def _quiet(self, clip):
        """Loudness (log energy) below which a row of the clip counts as a pause."""
        loud = np.logaddexp.reduce(clip.fbank, axis=1)
        low, high = np.percentile(loud, [5, 95])
        return float(low + 0.3 * (high - low))

    @torch.no_grad()
    def renew(self):
        """Encodes one more clip under a new look: its latents and what of them the model may see [T, 4, 24, 24],
        bfloat16, and what the sync network sees in each five of its pictures in a row [T - 4, 128]."""
        index = self.rng.choice(len(self.clips), p=self.weights)
        device = next(self.model.parameters()).device
        clip = self.clips[index]
        images = data.as_image(clip.window)
        images = data.Look(self.rng, self.look)(images, clip.lips) if self.rng.random() < 0.85 else images[..., 16:112, 16:112]
        images = images.to(device)
        with autocast(device.type):
            latents, masked = self.model.encoder(images), self.model.masked(images)[0]
        seen = sync.seen(self.sync_net, images) if self.sync_net else None
        slot = (index, latents.bfloat16(), masked.bfloat16(), seen)
        if len(self.slots) < self.size:
            self.slots.append(slot)
        else:
            self.slots[self.next] = slot
            self.next = (self.next + 1) % self.size

    def sample(self, batch):
        """A training batch on the model's device: dict of latent, previous, identity, masked, mask, stacks, and, with a sync
        network, seen. Frames 2 i and 2 i + 1 of the batch follow each other in a clip; so do the first sync.FRAMES of such
        pairs, and the second, as often as runs(batch) says. seen: what the network sees in each of these runs."""
        config = self.model.config
        parts = {"latent": [], "previous": [], "identity": [], "masked": [], "mask": [], "stacks": []}
        pairs, targets = [], []
        while len(pairs) < batch // 2:
            slot = self.slots[self.rng.integers(len(self.slots))]
            length = sync.FRAMES if len(pairs) < sync.FRAMES * runs(batch) else 1
            start, pace = self.rng.integers(1, len(slot[1]) - length), data.pace(self.rng)
            pairs += [(slot, start + k + np.arange(2), pace) for k in range(length)]
            if length > 1 and self.sync_net:
                targets.append(slot[3][start])
        for (index, latents, masked, _), frames, pace in pairs:
            heard = torch.from_numpy(clip_stacks(self.clips[index], config, frames, pace))
            for n, sound in zip(frames, heard):
                other = (n + self.rng.integers(6, len(latents) - 6)) % len(latents)
                if self.rng.random() < 0.3:  # a noise gate: pauses become digital silence
                    bands = sound.view(-1, BANDS)
                    quiet = torch.logsumexp(bands, 1, keepdim=True) < self.quiet[index]
                    sound = torch.where(quiet, torch.tensor(SILENCE), bands).view_as(sound).float()
                for name, value in zip(parts, (latents[n], latents[n - 1], latents[other], masked[n], self.mask, sound)):
                    parts[name].append(value)
        device = next(self.model.parameters()).device
        out = {name: torch.stack(v).float() for name, v in parts.items()}
        voices = torch.rand(batch, 1, 1) < 0.4
        sound = torch.where(voices, data.other_voice(out["stacks"]), out["stacks"])
        out["stacks"] = data.some_hidden(sound, config.audio_past)
        if targets:
            out["seen"] = torch.stack(targets)
        return {name: v.to(device) for name, v in out.items()}


def train_probe(probe, pool, minutes):
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-3, weight_decay=0.01)
    start = time.time()
    while time.time() - start < 60 * minutes:
        index, latents = pool.slots[pool.rng.integers(len(pool.slots))][:2]
        n = torch.from_numpy(pool.rng.integers(0, len(latents), 16))
        more, other = pool.slots[pool.rng.integers(len(pool.slots))][:2]
        m = torch.from_numpy(pool.rng.integers(0, len(other), 16))
        z = torch.cat([latents[n], other[m]]).float()
        target = torch.cat([pool.targets[index][n], pool.targets[more][m]]).to(z.device)
        loss = F.smooth_l1_loss(probe(z + 0.1 * torch.randn_like(z)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probe.requires_grad_(False)
    print(f"probe: last loss {loss.item():.3f}", flush=True)


def lip_distance(made, real):
    """Smooth L1 of lip targets [B, 1 + COMPONENTS]; the opening counts four times."""
    weight = torch.ones_like(real[:1])
    weight[:, 0] = 4
    return F.smooth_l1_loss(made * weight, real * weight)


def runs(batch):
    """How often sync.FRAMES pictures in a row are wholly sampled in a batch of this size."""
    if batch < 2 * sync.FRAMES or batch % 2:
        raise SystemExit(f"--batch {batch}: an even number from {2 * sync.FRAMES} on is needed, since pictures come in pairs and "
                         f"in runs of {sync.FRAMES} pairs")
    return max(1, round(FIRST * batch / sync.FRAMES))


def decoded(decoder, latents):
    """RGB pictures [N, 3, 80, 80] of latents [N, 4, 24, 24], of their places MOUTH."""
    return decoder(latents[..., MOUTH[0], MOUTH[1]]).float()


def sync_distance(net, pictures, seen):
    """1 - cosine of what the sync network sees in runs of made pictures [5 N, 3, 80, 80] and in the true ones [N, 128]."""
    top, left = sync.TOP - 4 * MOUTH[0].start, sync.LEFT - 4 * MOUTH[1].start
    mouths = pictures.mean(1)[:, top:top + sync.SIDE, left:left + sync.SIDE].unflatten(0, (-1, sync.FRAMES))
    return 1 - (net.see_grey(mouths) * seen).sum(1).mean()


def loss_of(model, probe, batch, weight, corruption, sync_net=None):
    """Velocity, probe, picture and sync loss of a batch, see the file's head."""
    z, b = batch["latent"], len(batch["latent"])
    drop, previous_noise, prior_noise = corruption
    tokens = model.audio_encoder(batch["stacks"])
    known = batch["masked"], batch["mask"], batch["identity"], tokens
    has_prior = torch.rand(b, device=z.device) >= drop
    noise = torch.randn_like(z)
    first = torch.arange(0, 2 * sync.FRAMES * runs(b), 2, device=z.device)
    noise[first] = noise[first[::sync.FRAMES]].repeat_interleave(sync.FRAMES, 0)  # one for a run, as the sampler has
    others = torch.ones(b, dtype=torch.bool, device=z.device)
    others[first] = False
    others = others.nonzero()[:, 0]

    def squeezed(previous):
        prior = model.bottleneck(previous + previous_noise * torch.randn_like(previous))
        return prior + prior_noise * torch.randn_like(prior)

    def velocity(x, t, which, prior):
        return model.denoiser(x, t, *(value[which] for value in known), prior, has_prior[which]).float()

    def error(made, true):
        return ((made - true).square() * weight).mean((1, 2, 3))

    def at(time, which):
        return torch.full_like(z[which, 0, 0, 0], time)

    # both steps of the sampler, see SyncDiff.sample
    prior = squeezed(batch["previous"][first])
    start = velocity(noise[first], at(1, first), first, prior)
    half = noise[first] - start.detach() / 2
    after = velocity(half, at(0.5, first), first, prior)
    sampled = half - (1.5 * after - 0.5 * start.detach()) / 2
    # the frames that follow them, and the rest
    previous = batch["previous"].clone()
    previous[first + 1] = sampled.detach()
    t = torch.sigmoid(torch.randn_like(z[others, 0, 0, 0]))
    near = torch.rand_like(t) < MIDDLE / (1 - FIRST)
    t = torch.where(near, 0.5 + 0.06 * torch.randn_like(t), t)
    share = t.view(-1, 1, 1, 1)
    x = (1 - share) * z[others] + share * noise[others]
    rest = velocity(x, t, others, squeezed(previous[others]))
    true = noise - z
    matching = torch.cat([error(start, true[first]), error(sampled, z[first]), error(rest, true[others])]).sum() / b
    clean = torch.cat([noise[first] - start, x - share * rest])
    real = probe(z[torch.cat([first, others])])
    lips = lip_distance(probe(clean), real) + lip_distance(probe(sampled), real[:len(first)])
    pictures = decoded(model.decoder, sampled)
    with torch.no_grad():
        truth = decoded(model.decoder, z[first])
    picture = F.l1_loss(F.avg_pool2d(pictures, 4), F.avg_pool2d(truth, 4))
    heard = sync_distance(sync_net, pictures, batch["seen"]) if sync_net else torch.zeros(())
    return matching, lips, picture, heard


class Training:
    """The model that learns, the moving average that is kept of it, and the optimizer. Under torchrun every process draws
    its own batches; their gradients are averaged, so that all hold the same weights."""

    def __init__(self, model, probe, lr, batch, corruption=CORRUPTION):
        self.model, self.probe, self.lr, self.batch, self.corruption = model, probe, lr, batch, corruption
        runs(batch)  # refuses what cannot be a batch
        self.average = copy.deepcopy(model)
        groups = [{"params": [*model.denoiser.parameters(), *model.bottleneck.parameters()], "scale": 1.0},
                  {"params": [p for p in model.audio_encoder.parameters() if p.requires_grad], "scale": 0.1}]
        self.parameters = [p for group in groups for p in group["params"]]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), weight_decay=0.01)
        self.device = next(model.parameters()).device
        self.weight = torch.ones(24, 24, device=self.device)
        self.weight[:7] = 0.25
        self.weight[7:20, 5:19] = MOUTH_WEIGHT
        self.count, self.curve = 0, []

    def state(self):
        return {"model": self.model.state_dict(), "average": self.average.state_dict(), "probe": self.probe.state_dict(),
                "optimizer": self.optimizer.state_dict(), "step": self.count, "curve": self.curve,
                "config": self.model.config.dict()}

    def restore(self, kept):
        if json.dumps(kept["config"]) != json.dumps(self.model.config.dict()):
            raise SystemExit(f"diffusion.pt was trained with another configuration, {kept['config']}: take another cache, or "
                             "move it away")
        for part, name in ((self.model, "model"), (self.average, "average"), (self.probe, "probe"),
                           (self.optimizer, "optimizer")):
            part.load_state_dict(kept[name])
        self.count = kept["step"]
        self.curve = [row[:3] + [0.0] * (5 - len(row)) + row[3:] for row in kept["curve"]]  # older: no sync, no picture loss

    def step(self, pool, progress):
        """Learns from one batch of the pool; progress 0 ... 1 of the time is over. Returns velocity, lip, picture and sync
        loss."""
        decay = min(1, 4 * (1 - progress) + 0.02)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["scale"] * min(1, (self.count + 1) / 300) * decay
        with autocast(self.device.type):
            parts = loss_of(self.model, self.probe, pool.sample(self.batch), self.weight, self.corruption, pool.sync_net)
            weights = 1, np.interp(decay, (0, 1), PROBE_WEIGHT[::-1]), PICTURE_WEIGHT, SYNC_WEIGHT
            loss = sum(share * part for share, part in zip(weights, parts))
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average([p.grad for p in self.parameters])
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.count += 1
        with torch.no_grad():
            keep = min(0.998, (1 + self.count) / (10 + self.count))
            for a, p in zip(self.average.parameters(), self.model.parameters()):
                a.lerp_(p, 1 - keep)
        if self.count % 10 == 0:
            pool.renew()
        return tuple(part.item() for part in parts)


class Validation:
    """Held-out faces, each driven by the sound of the next held-out clip of the same speaker, on the model's device."""

    def __init__(self, model, clips, per_speaker=8):
        by = {}
        for clip in clips:
            if len(clip.window) >= FRAMES:
                by.setdefault(clip.speaker, []).append(clip)
        if not by:
            raise SystemExit(f"no validation clip has {FRAMES} frames or more: prepare longer ones")
        self.faces, self.donors = [], []
        for group in by.values():
            group = group[:per_speaker]
            self.faces += group
            self.donors += group[1:] + group[:1]
        images = torch.stack([data.as_image(c.window[:FRAMES, 16:112, 16:112]) for c in self.faces])
        images = images.to(next(model.parameters()).device)
        with torch.no_grad():
            self.latents = torch.stack([model.encoder(i) for i in images])
            self.masked = torch.stack([model.masked(i)[0] for i in images])
        self.mask = model.mask().to(images).expand(len(images), -1, -1, -1)
        self.images = images

    @torch.no_grad()
    def generate(self, model, clips):
        """Latents [N, FRAMES, 4, 24, 24] of the faces with these clips' sounds, one noise for each, frame after frame."""
        sounds = torch.stack([torch.from_numpy(clip_stacks(c, model.config)[:FRAMES]) for c in clips]).to(self.images.device)
        noise = torch.randn(self.latents[:, 0].shape, generator=torch.Generator().manual_seed(0)).to(sounds.device)
        previous, out = None, []
        for n in range(FRAMES):
            with autocast(noise.device.type):
                tokens = model.audio_encoder(sounds[:, n])
                previous = model.sample(noise, self.masked[:, n], self.mask, self.latents[:, 0], tokens, previous)
            out.append(previous := previous.float())
        return torch.stack(out, 1)

    def report(self, model, probe, sheet):
        z = self.generate(model, self.donors)
        read = lambda latent: probe(latent.flatten(0, 1))[:, 0].view(latent.shape[:2]).cpu().numpy()
        with torch.no_grad():
            made, own = read(z), read(self.latents)
        out = {}
        for i, (face, donor) in enumerate(zip(self.faces, self.donors)):
            truth = aperture(donor.lips[:FRAMES])  # clip_stacks pairs sound and picture
            loud = np.logaddexp.reduce(donor.fbank, axis=1)[::4][:FRAMES]
            spoken = np.flatnonzero(loud >= np.percentile(loud, 5) + 0.35 * np.ptp(np.percentile(loud, [5, 95])))
            span = slice(max(3, spoken[0]), min(FRAMES - 3, spoken[-1]))
            out.setdefault(face.speaker, []).append((correlation(made[i][span], truth[span]),
                                                     correlation(made[i][span], own[i][span]),
                                                     made[i].std() / own[i].std()))
        self.draw(model, z, sheet)
        return {s: tuple(np.round(np.mean(v, 0), 3).tolist()) for s, v in out.items()}

    @torch.no_grad()
    def draw(self, model, z, path):
        """Per row: a face, 6 moments: above the original, below the one driven by the other sound."""
        rows = []
        for i in np.linspace(0, len(z) - 1, min(4, len(z))).astype(int):
            moments = [20, 26, 32, 38, 44, 50]
            rows += [self.images[i, moments], model.decoder(z[i, moments])]
        plots.sheet(rows, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=32, help=f"even, at least {2 * sync.FRAMES}")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--pool", type=int, default=400, help="clips held as latents")
    parser.add_argument("--probe-minutes", type=float, default=1.5)
    parser.add_argument("--validate-every", type=float, default=6, help="minutes")
    parser.add_argument("--init", type=Path, help="a model file to go on from")
    parser.add_argument("--seen-rows", type=int, help="px from the window's top that the model may see, if not as --init")
    parser.add_argument("--sync", type=Path, help="sync.py's network, for the sync loss")
    parser.add_argument("--frozen-layers", type=int, help="of AV-HuBERT, from below; without it: three quarters")
    args = parser.parse_args()
    device = distributed.start()
    if args.init:
        model = load(args.init)
    else:
        heard = torch.load(args.cache / "audio.pt", "cpu", weights_only=True)
        model = SyncDiff(Config(**heard.get("config", {})))
        coder = torch.load(args.cache / "autoencoder.pt", "cpu", weights_only=True)
        model.encoder.load_state_dict(coder["encoder"])
        model.decoder.load_state_dict(coder["decoder"])
        model.audio_encoder.load_state_dict(heard["audio_encoder"])
    if args.seen_rows:
        if args.seen_rows not in range(4, model.config.mask_top + 1, 4):
            parser.error(f"--seen-rows {args.seen_rows}: multiples of 4 up to {model.config.mask_top} are possible")
        model.config.seen_rows = args.seen_rows
    for part in (model.encoder, model.decoder):
        part.requires_grad_(False)
    if model.config.av_hubert:
        print(avhubert.LICENCE, flush=True)
        model.audio_encoder.freeze(args.frozen_layers)
    probe, store = Probe(model.config), args.cache / "diffusion.pt"
    rng = np.random.default_rng()
    clips = data.load(args.cache, False)
    held = data.load(args.cache, True)
    model.to(device, memory_format=torch.channels_last)
    validation = Validation(model, held) if distributed.first() else None
    training = Training(model, probe.to(device), args.lr, args.batch)
    kept = torch.load(store, "cpu", weights_only=True) if store.exists() else None
    sync_net = sync.load(args.sync).to(device) if args.sync else None
    pool = Pool(model, clips, Lips(clips), args.pool, rng, sync_net=sync_net)
    while len(pool.slots) < args.pool:
        pool.renew()
    if kept:
        training.restore(kept)
        probe.requires_grad_(False)
    else:
        train_probe(probe, pool, args.probe_minutes)
        distributed.share([*probe.parameters(), *model.parameters()])
    start = checked = printed = time.time()
    losses = []
    while True:
        progress = distributed.same((time.time() - start) / (60 * args.minutes), device)
        losses.append(training.step(pool, progress))
        if distributed.first() and training.count % 200 == 0:
            rate = len(losses) * args.batch * distributed.processes() / (time.time() - printed)
            training.curve.append([training.count * args.batch * distributed.processes(), *np.mean(losses, 0).tolist()])
            print(f"{(time.time() - start) / 60:5.1f} min, step {training.count}, {rate:.0f} samples/s, "
                  f"velocity, lips, picture, sync {np.round(training.curve[-1][1:], 4).tolist()}", flush=True)
            losses.clear()
            printed = time.time()
        if distributed.first() and (time.time() - checked > 60 * args.validate_every or progress >= 1):
            print("  cross, own, range:", validation.report(training.average, probe, args.cache / "sheet.png"), flush=True)
            torch.save(training.state(), store.with_suffix(".tmp"))
            store.with_suffix(".tmp").rename(store)
            plots.plot(training.curve, ["velocity loss", "lip loss", "picture loss", "sync loss"], args.cache / "curve.png")
            checked = time.time()
        if progress >= 1:
            break
    distributed.stop()


if __name__ == "__main__":
    main()
