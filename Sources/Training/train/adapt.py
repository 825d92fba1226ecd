# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Fits a model to one presenter: `python adapt.py VIDEO... --output mine.safetensors`, with 1 to 5 minutes of footage that
shows and lets hear the presenter alone (files or folders; prepare.py's limits). The file goes where the model file went:
`syncdiff model=mine.safetensors`.

Every fifth clip of the footage (at least two) is held out: before and after, each held-out face is driven by the sound of
the next one, and by its own. Printed for both: correlation of the lip opening with the real lips of the sound, and,
with the own sound, PSNR in the mouth in dB and the share of its Laplacian variance that is kept. Lips are read off latents
by a probe that is trained on the same footage. Denoiser, bottleneck and audio encoder are fine-tuned as diffusion.py trains
them, with weaker augmentation; the autoencoder stays."""
import argparse
import time
from pathlib import Path

import numpy as np
import torch

import data
import distributed
import export
import prepare
from audio import Lips
from autoencoder import laplacian_energy
from diffusion import FRAMES, Pool, Probe, Training, Validation, train_probe

ROOT = Path(__file__).parents[2]
LOOK = 0.3  # of data.Look's strength: the same face, camera and light


def footage(cache):
    """Clips to learn from, and those held out."""
    clips = [data.Clip(*file.stem.split("__", 1), *(np.load(file)[name] for name in ("window", "lips", "fbank")))
             for file in sorted((cache / "clips").glob("*.npz"))]
    long = [clip for clip in clips if len(clip.window) >= FRAMES]
    held = long[::5] if len(long) > 5 else long[:2]
    learned = [clip for clip in clips if not any(clip is h for h in held) and len(clip.window) >= data.SHORTEST]
    if len(held) < 2 or not learned:
        raise SystemExit(f"too little footage: {len(clips)} clips with a face, of them {len(long)} of {FRAMES / 25:g} s or more; "
                         "needed are two of these to hold out, and more to learn from")
    return learned, held


def own(validation, model):
    """Mouth PSNR in dB and share of the Laplacian variance kept, with each clip's own sound."""
    made = validation.generate(model, validation.faces)
    figures = []
    with torch.no_grad():
        for images, latents in zip(validation.images, made):
            a, b = images[..., 40:84, 20:76], model.decoder(latents).clamp(-1, 1)[..., 40:84, 20:76]
            mse = (a - b).square().mean() * 127.5 ** 2
            figures.append([10 * torch.log10(255 ** 2 / mse).item(), (laplacian_energy(b) / laplacian_energy(a)).median().item()])
    return np.mean(figures, 0)


def report(when, validation, model, probe, sheet):
    cross = [v[0] for v in validation.report(model, probe, sheet).values()]
    psnr, sharpness = own(validation, model)
    print(f"{when}: correlation {np.mean(cross):.3f}, mouth {psnr:.2f} dB, sharpness {sharpness:.2f}; {sheet}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--output", type=Path, required=True, help="the model file to write")
    parser.add_argument("--model", type=Path, default=ROOT / "meta/models/syncdiff.safetensors")
    parser.add_argument("--cache", type=Path, help="folder for prepared clips and sheets; default: OUTPUT with .cache")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=16, help="even, at least 10")
    parser.add_argument("--lr", type=float, default=3e-5)
    args = parser.parse_args()
    cache = args.cache or args.output.with_suffix(".cache")
    prepare.prepare_all(args.videos, cache)
    learned, held = footage(cache)
    seconds = sum(len(c.window) for c in learned) / prepare.FPS
    print(f"learning from {seconds:.0f} s of footage, measured on {len(held)} other clips", flush=True)
    device = distributed.device()
    model = export.load(args.model).to(device, memory_format=torch.channels_last)
    for part in (model.encoder, model.decoder):
        part.requires_grad_(False)
    if model.config.av_hubert:
        model.audio_encoder.freeze()
    validation = Validation(model, held)
    pool = Pool(model, learned, Lips(learned), min(64, 4 * len(learned)), np.random.default_rng(), LOOK)
    while len(pool.slots) < pool.size:
        pool.renew()
    probe = Probe(model.config).to(device)
    training = Training(model, probe, args.lr, args.batch)
    train_probe(probe, pool, min(2, args.minutes / 10))
    report("before", validation, model, probe, cache / "before.png")
    start = last = time.time()
    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        velocity, lips, picture, _ = training.step(pool, progress)
        if time.time() - last > 60:
            last = time.time()
            print(f"{(last - start) / 60:.0f} min, {training.count} steps, velocity {velocity:.3f}, lips {lips:.3f}, "
                  f"picture {picture:.4f}", flush=True)
    report("after", validation, training.average, probe, cache / "after.png")
    export.save(training.average, args.model, args.output)


if __name__ == "__main__":
    main()
