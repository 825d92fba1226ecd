# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the autoencoder: `python autoencoder.py --cache CACHE --minutes 12`. Resumes from CACHE/autoencoder.pt; draws
CACHE/autoencoder_curve.png and CACHE/autoencoder_sheet.png every minute and at the end.

Loss: L1 + L1 of the image gradients + hinge GAN on patches, with noise of deviation 0.1 on the latent so that small
errors of the diffusion model stay small in pixels (method.md). decoder.py sharpens the decoder afterwards."""
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
import plots
from export import load
from model import Config, Decoder, Encoder, autocast

CROP = 64  # px: the networks are local, so a crop teaches as much as a window


class Discriminator(nn.Module):
    """Real or decoded, per 16 px patch."""

    def __init__(self):
        super().__init__()
        conv = lambda i, o, s: nn.utils.parametrizations.spectral_norm(nn.Conv2d(i, o, 4, s, 1))
        self.layers = nn.ModuleList([conv(3, 32, 2), conv(32, 64, 2), conv(64, 96, 1), conv(96, 1, 1)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        return self.layers[-1](x)


def gradients(x):
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def reconstruction(a, b):
    return F.l1_loss(a, b) + sum(F.l1_loss(p, q) for p, q in zip(gradients(a), gradients(b)))


def batches(clips, batch, rng):
    """[batch, 3, CROP, CROP]: each row of eight shares a look; crops gather around the mouth."""
    weights = data.balanced(clips, 0.5)
    while True:
        images = []
        for _ in range(batch // 4):
            clip = clips[rng.choice(len(clips), p=weights)]
            frames = data.as_image(clip.window[rng.integers(0, len(clip.window), 4)])
            look = data.Look(rng)(frames) if rng.random() < 0.7 else frames[..., 16:112, 16:112]
            x = int(np.clip(rng.normal(16, 12), 0, 32))
            y = int(np.clip(rng.normal(20, 12), 0, 32))
            images.append(look[..., y:y + CROP, x:x + CROP])
        yield torch.cat(images)


def laplacian(x, padding=0):
    """Edges of the grey of pictures: [B, 3, H, W] -> [B, 1, H - 2, W - 2], or of the same size with a padding of 1."""
    kernel = x.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(x.mean(1, keepdim=True), kernel, padding=padding)


def laplacian_energy(x):
    return laplacian(x).var(dim=(1, 2, 3))


def fidelity(made, real):
    """Mean PSNR in dB of pictures in -1 ... 1, and the median share of the Laplacian variance that is kept."""
    mse = ((made - real) ** 2).mean(dim=(1, 2, 3)) * 127.5 ** 2
    return (10 * torch.log10(255 ** 2 / mse).mean().item(),
            (laplacian_energy(made) / laplacian_energy(real)).median().item())


@torch.no_grad()
def validate(encoder, decoder, clips):
    """PSNR in dB and share of the Laplacian variance that is kept, in the mouth's 48 x 64 px, per speaker."""
    out, device = {}, next(encoder.parameters()).device
    for clip in clips:
        x = data.as_image(clip.window[::15, 16:112, 16:112]).to(device)
        y = decoder(encoder(x)).clamp(-1, 1)
        out.setdefault(clip.speaker, []).append(fidelity(y[..., 28:76, 16:80], x[..., 28:76, 16:80]))
    return {s: tuple(np.round(np.mean(v, 0), 3)) for s, v in out.items()}


@torch.no_grad()
def draw(encoder, decoder, clips, path):
    """Four clips, six frames of each: above the original, below the reconstruction."""
    rows = []
    for i in np.linspace(0, len(clips) - 1, min(4, len(clips))).astype(int):
        moments = np.linspace(0, len(clips[i].window) - 1, 6).astype(int)
        x = data.as_image(clips[i].window[moments, 16:112, 16:112]).to(next(encoder.parameters()).device)
        rows += [x, decoder(encoder(x))]
    plots.sheet(rows, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--init", type=Path, help="a model file to go on from")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--gan", type=float, default=0.01)
    args = parser.parse_args()
    device = distributed.device()
    config = Config()
    encoder, decoder, judge = Encoder(config), Decoder(config), Discriminator()
    store = args.cache / "autoencoder.pt"
    kept = torch.load(store, "cpu", weights_only=True) if store.exists() else {}
    if args.init and not kept:
        model = load(args.init)
        encoder.load_state_dict(model.encoder.state_dict())
        decoder.load_state_dict(model.decoder.state_dict())
    if kept:
        for net, name in ((encoder, "encoder"), (decoder, "net_decoder"), (judge, "judge")):
            net.load_state_dict(kept[name])
    for net in (encoder, decoder, judge):
        net.to(device, memory_format=torch.channels_last)
    clips, held = data.load(args.cache, False), data.load(args.cache, True)[::3]
    rng = np.random.default_rng()
    trained = [*decoder.parameters(), *encoder.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    judge_optimizer = torch.optim.AdamW(judge.parameters(), lr=4e-4, betas=(0.5, 0.9))
    average = copy.deepcopy(decoder)
    step, curve, losses = 0, kept.get("curve", []), []
    seen = curve[-1][0] if curve else 0
    if kept:
        average.load_state_dict(kept["decoder"])
        optimizer.load_state_dict(kept["optimizer"])
        judge_optimizer.load_state_dict(kept["judge_optimizer"])
        step = kept["step"]
    start = last = time.time()

    def report():
        """Prints, saves (decoder: the average, which the rest of the training goes by) and draws."""
        if losses:
            curve.append([seen, *np.mean(losses, 0).tolist()])
            rate = len(losses) * args.batch / (time.time() - last)
            print(f"{(time.time() - start) / 60:5.1f} min {rate:5.0f} samples/s loss {curve[-1][1]:.4f} "
                  f"judge {curve[-1][2]:.2f} {validate(encoder, average, held)}", flush=True)
            losses.clear()
        torch.save({"encoder": encoder.state_dict(), "decoder": average.state_dict(), "judge": judge.state_dict(),
                    "net_decoder": decoder.state_dict(), "optimizer": optimizer.state_dict(),
                    "judge_optimizer": judge_optimizer.state_dict(), "step": step, "curve": curve}, store.with_suffix(".tmp"))
        store.with_suffix(".tmp").rename(store)
        plots.plot(curve, ["reconstruction loss", "judge loss"], args.cache / "autoencoder_curve.png")
        draw(encoder, average, held, args.cache / "autoencoder_sheet.png")

    source = batches(clips, args.batch, rng)
    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, step / 100) * min(1, 4 * (1 - progress) + 0.02)
        x = next(source).to(device, memory_format=torch.channels_last)
        with autocast(device):
            z = encoder(x).float()
            noisy = z + 0.1 * z.detach().std() * torch.randn_like(z)
            y = decoder(noisy).float()
            error = reconstruction(y, x)
            loss = error + 1e-4 * z.square().mean() - args.gan * judge(y).float().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with autocast(device):
            hinge = F.relu(1 - judge(x).float()).mean() + F.relu(1 + judge(y.detach()).float()).mean()
        judge_optimizer.zero_grad()
        hinge.backward()
        judge_optimizer.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), decoder.parameters()):
                a.lerp_(p, 0.01 if step > 200 else 0.2)
        losses.append([error.item(), hinge.item()])
        step, seen = step + 1, seen + len(x)
        if time.time() - last > 60:
            report()
            last = time.time()
    # normalise the latent, which already is by what an earlier run found
    with torch.no_grad():
        z = torch.cat([encoder(data.as_image(c.window[::25, 16:112, 16:112]).to(device)) for c in clips[::4]])
    for net in (encoder, decoder, average):
        net.mean += z.mean((0, 2, 3)) * net.deviation
        net.deviation *= z.std((0, 2, 3))
    print("latent mean", encoder.mean.tolist(), "deviation", encoder.deviation.tolist())
    report()


if __name__ == "__main__":
    main()
