# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Sharpens the decoder against a patch discriminator, on latents of pictures and on those that the diffusion model makes:
`python decoder.py --cache CACHE --minutes 30`, after diffusion.py. Encoder and denoiser stay as they are; writes
CACHE/decoder.pt, from which it resumes and which export.py takes, and draws CACHE/decoder_sheet.png.

A few steps of diffusion give latents that lie between several possible ones, and a decoder that knows only encoded pictures
makes them soft. Half of each batch are encoded pictures (L1, L1 of gradients), half are made with the picture's own sound:
those may differ in place, so they are held to the picture at a quarter of its size. Both are held to its texture, the
local energy of the Laplacian, with as much more of it as warping back into the frame will take away, and to the discriminator
(hinge loss)."""
import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import distributed
import plots
from audio import clip_stacks
from autoencoder import Discriminator, fidelity, laplacian, reconstruction
from export import load, same_encoder, trained
from model import autocast

CROP = 64  # px
TEXTURE = 0.45  # weight of the difference of local energies
WARPING = 0.72  # what is reckoned with as the share of the Laplacian variance that survives the way back into the frame
BANK = 1536  # made latents that are kept, renewed 8 at a time


def energy(x):
    """Local Laplacian energy of grey pictures, square-rooted: [B, 3, H, W] -> [B, 1, H / 8, W / 8]."""
    return (F.avg_pool2d(laplacian(x, padding=1).square(), 16, 8) + 1e-5).sqrt()


def texture(made, real):
    """How far made pictures are from the texture that real ones need before they are warped back."""
    return F.l1_loss(energy(made).log(), energy(real).log() - 0.5 * math.log(WARPING))


class Bank:
    """Pairs of a picture and the latent that the model made for it with the picture's own sound."""

    def __init__(self, model, clips, rng):
        self.model, self.clips, self.rng = model, clips, rng
        self.weights, self.device = data.balanced(clips, 0.55), next(model.parameters()).device
        self.made, self.images, self.next = [], [], 0

    @torch.no_grad()
    def renew(self, count=8):
        """One clip under a new look: `count` moments of it, true latents as identity and previous frame."""
        model, rng = self.model, self.rng
        clip = self.clips[rng.choice(len(self.clips), p=self.weights)]
        n = rng.integers(1, len(clip.window), count)
        other = (n + rng.integers(6, len(clip.window) - 6, count)) % len(clip.window)
        pick = np.concatenate([n, n - 1, other])
        frames = data.as_image(clip.window[pick])
        look = data.Look(rng)(frames, clip.lips[pick]) if rng.random() < 0.8 else frames[..., 16:112, 16:112]
        look = look.to(self.device)
        images = look[:count]
        sound = torch.from_numpy(clip_stacks(clip, model.config)[n]).to(self.device)
        with autocast(self.device.type):
            z, previous, identity = model.encoder(look).float().chunk(3)
            masked, mask = model.masked(images)
            tokens = model.audio_encoder(sound)
            noise = torch.randn_like(z)
            made = model.sample(noise, masked, mask, identity, tokens, previous if rng.random() < 0.8 else None)
        for a, b in zip(made, images):
            if len(self.made) < BANK:
                self.made.append(a)
                self.images.append(b)
            else:
                self.made[self.next], self.images[self.next] = a, b
                self.next = (self.next + 1) % BANK

    def batch(self, count):
        pick = self.rng.integers(0, len(self.made), count)
        return torch.stack([self.made[i] for i in pick]), torch.stack([self.images[i] for i in pick])


def crops(latents, images, rng):
    """The same random place of latents [B, 4, 24, 24] and pictures [B, 3, 96, 96], around the mouth."""
    y = int(np.clip(rng.normal(6, 2), 0, 8))
    x = int(np.clip(rng.normal(4, 2), 0, 8))
    side = CROP // 4
    return latents[..., y:y + side, x:x + side], images[..., 4 * y:4 * y + CROP, 4 * x:4 * x + CROP]


@torch.no_grad()
def validate(model, decoder, held, sheet):
    """Of encoded and of made latents of held-out clips: PSNR in dB, share of the Laplacian variance kept, in the mouth."""
    out, rows, device = {}, [], next(model.parameters()).device
    for k, clip in enumerate(held):
        n = np.arange(20, min(60, len(clip.window)), 8)
        images = data.as_image(clip.window[np.concatenate([n, n - 1, [0]]), 16:112, 16:112]).to(device)
        z = model.encoder(images)
        count = len(n)
        masked, mask = model.masked(images[:count])
        tokens = model.audio_encoder(torch.from_numpy(clip_stacks(clip, model.config)[n]).to(device))
        noise = torch.randn(z[:1].shape, generator=torch.Generator().manual_seed(0)).to(device).expand(count, -1, -1, -1)
        made = model.sample(noise, masked, mask, z[-1:].expand(count, -1, -1, -1), tokens, z[count:2 * count])
        figures = []
        for latent in (z[:count], made):
            y = decoder(latent).clamp(-1, 1)
            figures += fidelity(y[..., 40:84, 20:76], images[:count, :, 40:84, 20:76])
        out.setdefault(clip.speaker, []).append(figures)
        if k in (0, 8, len(held) - 1):
            rows += [images[:count], decoder(z[:count]), y]
    plots.sheet(rows, sheet)
    return {s: np.round(np.mean(v, 0), 3).tolist() for s, v in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--gan", type=float, default=0.03)
    parser.add_argument("--init", type=Path, help="a model file instead of CACHE/diffusion.pt")
    args = parser.parse_args()
    device = distributed.device()
    model = (load(args.init) if args.init else trained(args.cache)).to(device)
    model.requires_grad_(False)
    decoder, judge = copy.deepcopy(model.decoder).requires_grad_(True), Discriminator().to(device)
    store = args.cache / "decoder.pt"
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=args.lr, betas=(0.5, 0.99), weight_decay=1e-4)
    judge_optimizer = torch.optim.AdamW(judge.parameters(), lr=4e-4, betas=(0.5, 0.9))
    average = copy.deepcopy(decoder)
    step = 0
    if store.exists():
        kept = torch.load(store, device, weights_only=True)
        if not same_encoder(kept, model):
            raise SystemExit(f"{store} belongs to another encoder: move it away to begin anew")
        for part, name in ((decoder, "net"), (average, "decoder"), (judge, "judge"), (optimizer, "optimizer"),
                           (judge_optimizer, "judge_optimizer")):
            part.load_state_dict(kept[name])
        step = kept["step"]
    rng = np.random.default_rng()
    clips, held = data.load(args.cache, False), data.load(args.cache, True)[::3]
    bank = Bank(model, clips, rng)
    print("before", validate(model, average, held, args.cache / "decoder_sheet.png"), flush=True)
    while len(bank.made) < BANK // 4:
        bank.renew()
    start = last = time.time()
    losses = []

    def report():
        print(f"{(time.time() - start) / 60:5.1f} min, step {step}, error, texture, fooled, hinge "
              f"{np.round(np.mean(losses, 0), 4).tolist()} {validate(model, average, held, args.cache / 'decoder_sheet.png')}",
              flush=True)
        losses.clear()
        torch.save({"encoder": model.encoder.state_dict(), "decoder": average.state_dict(), "net": decoder.state_dict(),
                    "judge": judge.state_dict(), "optimizer": optimizer.state_dict(),
                    "judge_optimizer": judge_optimizer.state_dict(), "step": step},
                   store.with_suffix(".tmp"))
        store.with_suffix(".tmp").rename(store)

    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 100) * min(1, 4 * (1 - progress) + 0.02)
        bank.renew()
        half = args.batch // 2
        made, images = crops(*bank.batch(half), rng)
        _, more = bank.batch(half)
        with torch.no_grad():
            z = model.encoder(more)
        z, more = crops(z + 0.1 * torch.randn_like(z), more, rng)
        real = torch.cat([more, images])
        with autocast(device):
            y = decoder(torch.cat([z, made]))
        y = y.float()
        small = lambda x: F.avg_pool2d(x, 4)
        error = reconstruction(y[:half], real[:half]) + reconstruction(small(y[half:]), small(real[half:]))
        rough = texture(y, real)
        fooled = judge(y).mean()
        optimizer.zero_grad()
        (error + TEXTURE * rough - args.gan * min(1, step / 200) * fooled).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        hinge = F.relu(1 - judge(real)).mean() + F.relu(1 + judge(y.detach())).mean()
        judge_optimizer.zero_grad()
        hinge.backward()
        judge_optimizer.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), decoder.parameters()):
                a.lerp_(p, 0.005 if step > 200 else 0.05)
        losses.append([error.item(), rough.item(), fooled.item(), hinge.item()])
        step += 1
        if time.time() - last > 120:
            report()
            last = time.time()
    report()


if __name__ == "__main__":
    main()
