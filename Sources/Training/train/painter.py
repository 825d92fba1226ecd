# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the painter, the latent diffusion of SyncDiff on the mouth's window: `python painter.py --cache CACHE --init MODEL --sync
CACHE/sync.pt --perceptual SQUEEZENET.npz --minutes 90`. Needs CACHE/pairs (pairs.py) and CACHE/lips.pt (lips.py); resumes from
CACHE/painter.pt; draws CACHE/painter_curve.png and CACHE/painter_sheet.png at every validation.

What it is given is a warped picture of the same face (pairs.py), in most samples with the mouth of another frame, and where the
lips are to be; what it has to make is the true picture. Only the difference between the two pictures that the decoder makes of
its latent and of the warped picture's reaches the frame, so losses look at the warped picture with that difference added.

Flow matching; the two-step sampler asks at t = 1 and 0.5 only. SAMPLED runs of a batch are sampled wholly, with one noise
for a run's five pictures, and decoded: at a quarter of its size the picture is held to the true one by L1, its texture by
SqueezeNet's features and by a discriminator on patches, its motion by what a frozen sync network sees in the true
pictures. What was sampled so is the previous frame of the pictures that follow, as when the element runs; others take the true
one. It is dropped half of the time, and what passes its bottleneck is noisy. The audio encoder stays as lips.py left it."""
import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import data
import distributed
import plots
import sync
from autoencoder import Discriminator, laplacian_energy
from export import part_of
from model import Config, SyncDiff, autocast, fade, masked, painted, small
from pairs import FRAMES, KEPT
from perceptual import Perceptual
from speech import BANDS, SILENCE, STACK, stacks

CORRUPTION = 0.5, 0.3, 0.5  # of the previous frame: how often it is dropped, noise on its latent, on what the bottleneck passes
MOUTH_WEIGHT = 4.0          # of a latent's places that the lips reach
SAMPLED = 2                 # runs of a batch that are sampled wholly
WITH_EXEMPLAR = 0.65        # share of the runs
MIDDLE = 0.25               # share of the other times that lie near 0.5
COLOUR, TEXTURE, FOOLED, SYNC = 4.0, 0.6, 0.02, 0.5  # weights of the losses beside the velocity's
DECODER_RATE = 0.2          # of the denoiser's learning rate


class Pairs:
    """Runs of CACHE/pairs in memory, those whose number leaves this rest on division by TENTH held out."""
    TENTH = 10

    def __init__(self, cache, held):
        files = sorted((cache / "pairs").glob("*.npz"))
        if not files:
            raise SystemExit(f"no pairs in {cache}: run pairs.py first")
        clips = {f"{c.speaker}__{c.name}": c for c in data.load(cache, False, pictures=False)}
        self.runs = []
        for file in files:
            with np.load(file) as kept:
                parts = {name: kept[name] for name in kept.files}
            for k, name in enumerate(parts["name"]):
                if (k % self.TENTH == 0) == held:
                    self.runs.append({key: parts[key][k] for key in ("truth", "own", "exemplar", "lips", "frame", "still")}
                                     | {"clip": clips[str(name)]})
        speakers = [r["clip"].speaker if not r["still"] else "still" for r in self.runs]
        self.weights = np.array([speakers.count(s) ** -0.3 for s in speakers])
        self.weights /= self.weights.sum()


class Slot:
    """A run under one look: latents of the truth and of the warped pictures [6, 4, 20, 20], lips [6, 2, 20, 20], pictures
    [6, 3, 80, 80], sound [6, tokens, 104], and what the sync network sees in the last five [128], None for portraits."""

    @torch.no_grad()
    def __init__(self, model, run, look, exemplar, rng, sync_net):
        config, device = model.config, next(model.parameters()).device
        lips = torch.from_numpy(run["lips"]).float() / 255
        made = run["exemplar"] if exemplar else run["own"]
        images = torch.cat([data.as_image(run["truth"]), data.as_image(made)], 1)
        placed = look.placed(torch.cat([images, lips], 1))
        self.lips = placed[:, 6:].clamp(0, 1)
        rim = (self.lips[:, 1:] - self.lips[:, :1]).clamp(0, 1)
        self.truth, self.warped = (look.coloured(x, rim).to(device) for x in (placed[:, :3], placed[:, 3:6]))
        self.lips = self.lips.to(device)
        with autocast(device.type):
            self.latent, self.identity = (model.encoder(x).float() for x in (self.truth, self.warped))
        clip, pace = run["clip"], 1.0
        frames = int(run["frame"]) + (np.zeros(FRAMES) if run["still"] else np.arange(FRAMES))
        if len(clip.fbank):
            sound = stacks(clip.fbank, frames * STACK + clip.lag_rows, config.audio_past, config.audio_future, pace)
            self.sound = torch.from_numpy(sound).float()
        else:
            self.sound = torch.full((FRAMES, config.tokens, STACK * BANDS), SILENCE)
        self.moves = not run["still"]
        self.seen = sync_net.see(self.truth[None, 1:])[0] if sync_net and self.moves else None


class Pool:
    """Slots, renewed bit by bit while the training runs."""

    def __init__(self, model, pairs, size, rng, sync_net=None, look=1.0):
        self.model, self.pairs, self.size, self.rng, self.sync_net, self.look = model, pairs, size, rng, sync_net, look
        self.slots, self.next = [], 0

    def renew(self):
        run = self.pairs.runs[self.rng.choice(len(self.pairs.runs), p=self.pairs.weights)]
        look = data.Look(self.rng, self.look if self.rng.random() < 0.9 else 0.0, KEPT, noisy=False)
        slot = Slot(self.model, run, look, self.rng.random() < WITH_EXEMPLAR, self.rng, self.sync_net)
        if len(self.slots) < self.size:
            self.slots.append(slot)
        else:
            self.slots[self.next] = slot
            self.next = (self.next + 1) % self.size

    def sample(self, batch):
        """A batch as a dict of latent, previous, identity, lips, masked, stacks; truth and warped pictures of the SAMPLED runs
        that come first, five pictures each; seen [SAMPLED, 128] and moves [SAMPLED] of these. The next 4 SAMPLED follow
        those, but for the last of each run, and take what is made of them as their previous frames."""
        runs = [self.slots[i] for i in self.rng.integers(0, len(self.slots), SAMPLED)]
        first = [(slot, k) for slot in runs for k in range(1, FRAMES)]
        after = [(slot, k) for slot in runs for k in range(2, FRAMES)]
        rest = [(self.slots[self.rng.integers(len(self.slots))], int(self.rng.integers(1, FRAMES)))
                for _ in range(batch - len(first) - len(after))]
        chosen = first + after + rest
        take = lambda name, step=0: torch.stack([getattr(slot, name)[k - step] for slot, k in chosen])
        lips = small(take("lips"))
        identity = take("identity")
        sound = take("sound")
        voices = torch.rand(batch, 1, 1) < 0.4
        sound = data.some_hidden(torch.where(voices, data.other_voice(sound), sound), self.model.config.audio_past)
        pictures = lambda name: torch.stack([getattr(slot, name)[k] for slot, k in first])
        blank = torch.zeros(128, device=identity.device)
        return {"latent": take("latent"), "previous": take("latent", 1), "identity": identity, "lips": lips,
                "masked": masked(identity, lips), "stacks": sound.to(identity.device), "truth": pictures("truth"),
                "warped": pictures("warped"), "where": pictures("lips"),
                "seen": torch.stack([blank if slot.seen is None else slot.seen for slot in runs]),
                "moves": torch.tensor([slot.seen is not None for slot in runs], device=identity.device).float()}


class Losses:
    def __init__(self, model, perceptual, judge, sync_net, mask):
        self.model, self.perceptual, self.judge, self.sync_net, self.mask = model, perceptual, judge, sync_net, mask

    def __call__(self, batch):
        """Velocity, colour, texture, fooled and sync loss, and the sampled pictures."""
        model, z, b = self.model, batch["latent"], len(batch["latent"])
        drop, previous_noise, prior_noise = CORRUPTION
        with torch.no_grad():
            tokens = model.audio_encoder(batch["stacks"])
        known = batch["masked"], batch["lips"], batch["identity"], tokens
        has_prior = torch.rand(b, device=z.device) >= drop
        five = FRAMES - 1
        first, rest = slice(0, SAMPLED * five), slice(SAMPLED * five, b)
        noise = torch.randn_like(z)
        noise[first] = noise[:SAMPLED].repeat_interleave(five, 0)
        weight = 1 + (MOUTH_WEIGHT - 1) * F.max_pool2d(batch["lips"][:, 1:], 3, 1, 1)

        def squeezed(previous):
            prior = model.bottleneck(previous + previous_noise * torch.randn_like(previous))
            return prior + prior_noise * torch.randn_like(prior)

        def velocity(x, t, which, prior):
            return model.denoiser(x, t, *(value[which] for value in known), prior, has_prior[which]).float()

        def error(made, true, which, time=1):
            return ((time * (made - true)).square() * weight[which]).mean((1, 2, 3))

        at = lambda time: torch.full_like(z[first, 0, 0, 0], time)
        # both steps of the sampler, see SyncDiff.sample
        prior = squeezed(batch["previous"][first])
        start = velocity(noise[first], at(1), first, prior)
        half = noise[first] - start.detach() / 2
        middle = velocity(half, at(0.5), first, prior)
        sampled = half - (1.5 * middle - 0.5 * start.detach()) / 2
        # the frames that follow them, and the others
        previous = batch["previous"].clone()
        follow = sampled.detach().unflatten(0, (SAMPLED, five))[:, :-1].flatten(0, 1)
        previous[SAMPLED * five:SAMPLED * five + len(follow)] = follow
        t = torch.sigmoid(torch.randn_like(z[rest, 0, 0, 0]))
        t = torch.where(torch.rand_like(t) < MIDDLE, 0.5 + 0.06 * torch.randn_like(t), t).clamp(min=0.05)
        share = t.view(-1, 1, 1, 1)
        made = velocity((1 - share) * z[rest] + share * noise[rest], t, rest, squeezed(previous[rest]))
        true = noise - z
        matching = torch.cat([error(start, true[first], first), error(sampled, z[first], first),
                              error(made, true[rest], rest, share)]).sum() / b
        pictures = painted(model, sampled, batch["identity"][first], batch["warped"], self.mask)
        truth = batch["truth"]
        near = 0.3 + F.max_pool2d(batch["where"][:, 1:], 9, 1, 4)
        quarter = lambda x: F.avg_pool2d(x, 4)
        colour = (quarter(near) * (quarter(pictures) - quarter(truth)).abs()).mean()
        inner = slice(4, -4)
        texture = self.perceptual(pictures[..., inner, inner], truth[..., inner, inner]).mean()
        fooled = -self.judge(pictures[..., inner, inner]).mean()
        heard = z.new_zeros(())
        if self.sync_net and batch["moves"].any():
            seen = self.sync_net.see(pictures.unflatten(0, (SAMPLED, five)))
            heard = (batch["moves"] * (1 - (seen * batch["seen"]).sum(1))).sum() / batch["moves"].sum()
        return (matching, colour, texture, fooled, heard), pictures[..., inner, inner].detach(), truth[..., inner, inner]


def begun(init, lips, config):
    """The model that training begins with: networks of the model file `init`, of the old kind or of this one, where they fit;
    audio encoder and lips as lips.py left them."""
    model = SyncDiff(config)
    for name in ("encoder", "decoder", "bottleneck", "denoiser"):
        part, kept = getattr(model, name), part_of(init, name)
        own = part.state_dict()
        key = "unet.input.weight"
        if key in kept and kept[key].shape != own[key].shape:  # it had one mask in place of the lips
            old, new = kept[key], torch.zeros_like(own[key])
            new[:, :8], new[:, -4:] = old[:, :8], old[:, -4:]
            kept[key] = new
            for last in ("unet.output.weight", "unet.output.bias"):  # it begins with a copy of the warped picture
                kept.pop(last)
        part.load_state_dict({n: kept[n] if n in kept and kept[n].shape == v.shape else v for n, v in own.items()})
    model.audio_encoder.load_state_dict(lips["audio_encoder"])
    model.lips.load_state_dict(lips["lips"])
    return model


@torch.no_grad()
def validate(model, slots, mask, sync_net, path):
    """Of held-out runs of GRID with and without exemplar and of portraits: mean PSNR in dB around the lips of the warped and of
    the painted picture, its sharpness against the truth's, and how near its motion is to the true one for the sync network
    (1: the same). Draws truth, warped and painted pictures."""
    rows, figures = [], {}
    for kind, slot in slots:
        noise = torch.randn(slot.latent[:1].shape, generator=torch.Generator().manual_seed(0)).to(slot.latent)
        previous, made = None, []
        for k in range(FRAMES):
            identity, lips = slot.identity[k:k + 1], small(slot.lips[k:k + 1])
            tokens = model.audio_encoder(slot.sound[k:k + 1].to(noise))
            previous = model.sample(noise, masked(identity, lips), lips, identity, tokens, previous)
            made.append(painted(model, previous, identity, slot.warped[k:k + 1], mask))
        made = torch.cat(made)
        box = (..., slice(14, 66), slice(10, 70))
        psnr = lambda x: 10 * torch.log10(4 / (x[box].clamp(-1, 1) - slot.truth[box]).square().mean()).item()
        sharp = (laplacian_energy(made[box]) / laplacian_energy(slot.truth[box])).median().item()
        row = [psnr(slot.warped), psnr(made), sharp]
        if slot.seen is not None:
            row += [(sync_net.see(x[None, 1:])[0] * slot.seen).sum().item() for x in (slot.warped, made)]
        figures.setdefault(kind, []).append(row)
        if len(figures[kind]) <= 3:
            rows += [slot.truth, slot.warped, made]
    plots.sheet(rows, path)
    return {kind: np.round(np.mean(v, 0), 3).tolist() for kind, v in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True, help="a model file to go on from")
    parser.add_argument("--sync", type=Path, help="sync.py's network, for the sync loss")
    parser.add_argument("--perceptual", type=Path, required=True, help="SqueezeNet's weights (.npz)")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--pool", type=int, default=300, help="runs held as latents")
    parser.add_argument("--validate-every", type=float, default=8, help="minutes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device, rng = distributed.start(), np.random.default_rng(args.seed)
    lips = torch.load(args.cache / "lips.pt", "cpu", weights_only=True)
    model = begun(args.init, lips, Config(**lips["config"])).to(device, memory_format=torch.channels_last)
    for part in (model.encoder, model.audio_encoder, model.lips):
        part.requires_grad_(False)
    average = copy.deepcopy(model)
    judge, mask = Discriminator().to(device), fade(model.config.window).to(device)
    sync_net = sync.load(args.sync).to(device) if args.sync else None
    groups = [{"params": [*model.denoiser.parameters(), *model.bottleneck.parameters()], "scale": 1.0},
              {"params": list(model.decoder.parameters()), "scale": DECODER_RATE}]
    every = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01)
    judge_optimizer = torch.optim.AdamW(judge.parameters(), lr=4e-4, betas=(0.5, 0.9))
    store, count, curve = args.cache / "painter.pt", 0, []
    if store.exists():
        kept = torch.load(store, "cpu", weights_only=True)
        for part, name in ((model, "model"), (average, "average"), (judge, "judge"), (optimizer, "optimizer"),
                           (judge_optimizer, "judge_optimizer")):
            part.load_state_dict(kept[name])
        count, curve = kept["step"], kept["curve"]
    losses = Losses(model, Perceptual(args.perceptual).to(device), judge, sync_net, mask)
    held, quiet = Pairs(args.cache, True), np.random.default_rng(1)
    shown = []
    for kind, still, exemplar in (("exemplar", 0, True), ("own", 0, False), ("portrait", 1, False)):
        runs = [r for r in held.runs if r["still"] == still and (still or len(r["clip"].fbank))][:16]
        shown += [(kind, Slot(model, r, data.Look(quiet, 0.0, KEPT), exemplar, quiet, sync_net)) for r in runs]
    pool = Pool(model, Pairs(args.cache, False), args.pool, rng, sync_net)
    while len(pool.slots) < args.pool:
        pool.renew()

    def save():
        torch.save({"model": model.state_dict(), "average": average.state_dict(), "judge": judge.state_dict(),
                    "optimizer": optimizer.state_dict(), "judge_optimizer": judge_optimizer.state_dict(), "step": count,
                    "curve": curve, "config": model.config.dict()}, store.with_suffix(".tmp"))
        store.with_suffix(".tmp").rename(store)

    start = checked = printed = time.time()
    rows = []
    while True:
        progress = distributed.same((time.time() - start) / (60 * args.minutes), device)
        decay = min(1, 4 * (1 - progress) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * group["scale"] * min(1, (count + 1) / 200) * decay
        with autocast(device):
            parts, made, truth = losses(pool.sample(args.batch))
            loss = sum(share * part for share, part in zip((1, COLOUR, TEXTURE, FOOLED * min(1, count / 500), SYNC), parts))
        optimizer.zero_grad()
        loss.backward()
        distributed.average([p.grad for p in every])
        nn.utils.clip_grad_norm_(every, 1.0)
        optimizer.step()
        hinge = F.relu(1 - judge(truth)).mean() + F.relu(1 + judge(made)).mean()
        judge_optimizer.zero_grad()
        hinge.backward()
        judge_optimizer.step()
        count += 1
        with torch.no_grad():
            keep = min(0.998, (1 + count) / (10 + count))
            for a, p in zip(average.parameters(), model.parameters()):
                a.lerp_(p, 1 - keep)
        pool.renew()
        rows.append([part.item() for part in parts] + [hinge.item()])
        if distributed.first() and count % 100 == 0:
            curve.append([count * args.batch, *np.mean(rows, 0).tolist()])
            print(f"{(time.time() - start) / 60:5.1f} min, step {count}, {100 * args.batch / (time.time() - printed):.0f} samples/s, "
                  f"velocity, colour, texture, fooled, sync, hinge {np.round(curve[-1][1:], 4).tolist()}", flush=True)
            rows.clear()
            printed = time.time()
        if distributed.first() and (time.time() - checked > 60 * args.validate_every or progress >= 1):
            print("  warped, painted, sharp, sync warped, painted:",
                  validate(average, shown, mask, sync_net, args.cache / "painter_sheet.png"), flush=True)
            save()
            positive = [[row[0], *np.abs(row[1:]).tolist()] for row in curve]
            plots.plot(positive, ["velocity", "colour", "texture", "fooled", "sync", "hinge"], args.cache / "painter_curve.png")
            checked = time.time()
        if progress >= 1:
            break
    distributed.stop()


if __name__ == "__main__":
    main()
