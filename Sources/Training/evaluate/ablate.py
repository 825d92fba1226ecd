# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations on our data: `python ablate.py --cache CACHE --output ../../meta/ablations`. Trains a smaller denoiser
(channels 32/64/96) from nothing once for each variant and seed, each on the same number of samples in the same order, and
measures it as diffusion.py's validation does, each held-out face with another clip's sound. Encoder, decoder and audio
encoder are the given model's. What was measured is kept in CACHE/ablations.json; a second run goes on from there and
trains what is missing. OUTPUT.md gets the table, OUTPUT.svg the chart of the bottleneck's widths.

Variants. prior: width of the bottleneck, 0 for no previous frame; "raw": the previous latent goes into the U-Net as it is,
without bottleneck or noise. audio: "filterbank" gives the denoiser the stacks through one linear layer, "frozen" our
encoder as it came, "tuned" lets it learn along. Steps and guidance are those of the sampler, on the tuned model. "shipped" is
the given model itself, with what passes its bottleneck and without.

Figures, means over held-out clips, of the lip opening that the probe reads off the latents: cross, correlation with the
lips that belong to the sound; own, with the face's own (shared words alone give some 0.3 to 0.5); lag, frames by which the
best correlation comes late; jitter, mean step of the opening between frames where the sound pauses, against the real
one's; drift, dB by which the error with the own sound grows from a clip's first third to its last."""
import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

import data
import distributed
import export
import metrics
import plots
from audio import Lips, aperture, correlation
from diffusion import CORRUPTION, FRAMES, Pool, Probe, Training, Validation, train_probe
from model import Config, Denoiser, SyncDiff
from speech import SILENCE

WIDTHS = (0, 4, 6, 8, 16, 32, 64, "raw")
AUDIO = ("filterbank", "frozen", "tuned")
STEPS = (1, 2, 4, 10, 50)
GUIDANCE = (1.0, 1.5, 2.0)
BATCH, LEARNING_RATE = 32, 6e-4
CHANNELS = (32, 64, 96)


class Raw(nn.Module):
    """A denoiser that takes the previous latent itself, flat, where others take a bottleneck's values."""

    def __init__(self, config):
        super().__init__()
        self.inner = Denoiser(config)
        self.inner.unet.input = nn.Conv2d(4 * config.latent_channels + 1, config.unet_channels[0], 3, padding=1)
        self.inner.unet.prior = nn.Linear(1, config.embedding)

    def forward(self, x, t, masked, mask, identity, tokens, previous, has_prior):
        known = previous.view_as(x) * has_prior.view(-1, 1, 1, 1)
        seen = torch.cat([x, masked, mask, identity, known], 1)
        return x - identity - self.inner.unet(seen, t, tokens, x.new_zeros(len(x), 1), torch.zeros_like(has_prior))


class Guided(nn.Module):
    """A denoiser led away from silence (Ho and Salimans, arXiv 2207.12598)."""

    def __init__(self, denoiser, silence, scale):
        super().__init__()
        self.denoiser, self.silence, self.scale = denoiser, silence, scale

    def forward(self, x, t, masked, mask, identity, tokens, prior, has_prior):
        heard, silent = (self.denoiser(x, t, masked, mask, identity, sound, prior, has_prior)
                         for sound in (tokens, self.silence.expand_as(tokens)))
        return silent + self.scale * (heard - silent)


class Filterbank(nn.Module):
    """One linear layer over the stacks [B, T, 104] instead of an encoder."""

    def __init__(self, config):
        super().__init__()
        self.input = nn.Linear(104, config.audio_width)
        self.position = nn.Parameter(torch.randn(config.tokens, config.audio_width) * 0.02)

    def forward(self, stacks):
        return self.input(nn.functional.layer_norm(stacks, (104,))) + self.position


def variants():
    """{name: (prior, audio)} of what is trained; steps and guidance need no training of their own."""
    return {f"prior {width}": (width, "tuned") for width in WIDTHS} | {f"audio {kind}": (6, kind) for kind in AUDIO[:2]}


def build(base, prior, audio):
    """A model with a new, small denoiser; the given model's autoencoder and, but for "filterbank", audio encoder."""
    size = base.config.latent_channels * (base.config.window // 4) ** 2
    config = Config(**base.config.dict() | {"unet_channels": CHANNELS, "prior": {0: 1, "raw": size}.get(prior, prior)})
    model = SyncDiff(Config(**config.dict() | {"prior": min(config.prior, 64)}))
    model.config = config
    for part in ("encoder", "decoder", "audio_encoder"):
        getattr(model, part).load_state_dict(getattr(base, part).state_dict())
    if prior == "raw":
        model.bottleneck, model.denoiser = nn.Flatten(), Raw(config)
    if audio == "filterbank":
        model.audio_encoder = Filterbank(config)
    for part in (model.encoder, model.decoder, *([model.audio_encoder] if audio == "frozen" else [])):
        part.requires_grad_(False)
    return model


class Sampling:
    """A trained variant as Validation.generate asks for it, with so many steps and such guidance."""

    def __init__(self, model, prior, steps=None, guidance=1.0):
        self.prior, self.steps, self.config, self.audio_encoder = prior, steps, model.config, model.audio_encoder
        self.model = model
        if guidance != 1:
            with torch.no_grad():
                device = next(model.parameters()).device
                silence = model.audio_encoder(torch.full((1, model.config.tokens, 104), SILENCE, device=device))
            self.model = copy.copy(model)
            self.model._modules = model._modules | {"denoiser": Guided(model.denoiser, silence, guidance)}

    def sample(self, noise, masked, mask, identity, tokens, previous):
        return self.model.sample(noise, masked, mask, identity, tokens, None if self.prior == 0 else previous, self.steps)


def figures(validation, sampling, probe):
    """{name: mean over the held-out clips}, see the file's head."""
    with torch.no_grad():
        cross, own = (validation.generate(sampling, clips) for clips in (validation.donors, validation.faces))
        read = lambda z: probe(z.flatten(0, 1))[:, 0].view(z.shape[:2]).cpu().numpy()
        made, real = read(cross), read(validation.latents)
    third, rows = FRAMES // 3, []
    error = (own - validation.latents)[:, :, :, 7:20, 5:19].square().mean((2, 3, 4)).cpu().numpy()
    for i, (face, donor) in enumerate(zip(validation.faces, validation.donors)):
        truth, lips = aperture(donor.lips[:FRAMES]), made[i]
        by = {lag: correlation(lips[6 + lag:FRAMES - 6 + lag], truth[6:FRAMES - 6]) for lag in range(-4, 5)}
        pauses = metrics.still(metrics.loudness(donor.fbank, FRAMES))
        steps = lambda opening: np.abs(np.diff(opening))[pauses[1:]].mean() if pauses[1:].any() else np.nan
        rows.append([by[0], correlation(lips[6:-6], real[i][6:-6]), max(by, key=by.get), steps(lips) / steps(real[i]),
                     10 * np.log10(error[i][-third:].mean() / error[i][1:third + 1].mean())])
    return dict(zip(("cross", "own", "lag", "jitter", "drift"), np.round(np.nanmean(rows, 0), 4).tolist()))


def write(measured, output):
    """OUTPUT.md: a row for each variant, its figures as mean and, after +-, half the range over the seeds. OUTPUT.svg."""
    names = sorted(dict.fromkeys(row["variant"] for row in measured),
                   key=lambda name: ("prior", "audio", "steps", "guidance", "shipped").index(name.split()[0]))
    figures_of = lambda name, key: [row[key] for row in measured if row["variant"] == name]
    keys = ("cross", "own", "lag", "jitter", "drift")
    samples = max(row["samples"] or 0 for row in measured)
    lines = ["# The paper's ablations on GRID", "",
             "Made by `Sources/Training/ablate.py`, which says what is varied and what the figures mean: a denoiser of "
             f"{'/'.join(map(str, CHANNELS))} channels trained from nothing on {samples} samples for each variant and seed; shipped is "
             "the model as it is, with its previous frame and without. After +- half the range over the seeds.", "",
             "| variant | seeds | " + " | ".join(keys) + " |", "|---" * (2 + len(keys)) + "|"]
    for name in names:
        cells = [f"{np.mean(v):.3f} +- {np.ptp(v) / 2:.3f}" for v in (figures_of(name, key) for key in keys)]
        lines.append(f"| {name} | {len(figures_of(name, 'cross'))} | " + " | ".join(cells) + " |")
    output.with_suffix(".md").write_text("\n".join(lines) + "\n")
    widths = [name for name in names if name.startswith("prior")]
    plots.dots({key: {name.split()[1]: figures_of(name, key) for name in widths} for key in keys},
               "values that pass the bottleneck", output.with_suffix(".svg"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="without ending")
    parser.add_argument("--model", type=Path, default=Path(__file__).parents[2] / "meta/models/syncdiff.safetensors")
    parser.add_argument("--samples", type=int, default=20000, help="that each variant learns from")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pool", type=int, default=300, help="clips held as latents")
    parser.add_argument("--probe-minutes", type=float, default=1.5)
    args = parser.parse_args()
    device = distributed.device()
    base, store = export.load(args.model).to(device), args.cache / "ablations.json"
    measured = json.loads(store.read_text()) if store.exists() else []
    clips, validation = data.load(args.cache, False), Validation(base, data.load(args.cache, True))
    lips, probe = Lips(clips), Probe(base.config).to(device)
    pool = Pool(base, clips, lips, args.pool, np.random.default_rng(0))
    while len(pool.slots) < args.pool:
        pool.renew()
    train_probe(probe, pool, args.probe_minutes)

    def measure(variant, seed, sampling, samples=args.samples):
        measured.append({"variant": variant, "seed": seed, "samples": samples} | figures(validation, sampling, probe))
        print(measured[-1], flush=True)
        store.write_text(json.dumps(measured, indent=1))
        write(measured, args.output)

    for prior in (base.config.prior, 0):
        if not any(row["variant"] == f"shipped {prior}" for row in measured):
            measure(f"shipped {prior}", 0, Sampling(base, prior), samples=None)
    for seed in range(args.seeds):
        for variant, (prior, audio) in variants().items():
            if any((row["variant"], row["seed"]) == (variant, seed) for row in measured):
                continue
            torch.manual_seed(seed)
            model = build(base, prior, audio).to(device)
            slots, pool = pool.slots, Pool(model, clips, lips, args.pool, np.random.default_rng(seed))
            pool.slots = slots
            corruption = (1, 0, 0) if prior == 0 else (CORRUPTION[0], 0, 0) if prior == "raw" else CORRUPTION
            training = Training(model, probe, LEARNING_RATE, BATCH, corruption)
            steps = args.samples // BATCH
            for step in range(steps):
                training.step(pool, step / steps)
            measure(variant, seed, Sampling(training.average, prior))
            if (prior, audio) == (base.config.prior, "tuned"):
                for count in STEPS:
                    measure(f"steps {count}", seed, Sampling(training.average, prior, count))
                for scale in GUIDANCE:
                    measure(f"guidance {scale}", seed, Sampling(training.average, prior, guidance=scale))


if __name__ == "__main__":
    main()
