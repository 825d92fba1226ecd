# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Fits a model to one presenter: `python -m train.adapt VIDEO... --perceptual SQUEEZENET.npz --output
mine.safetensors`, with 1 to 5 minutes of footage (files or folders; see data/prepare.py for the limits) in which only
the presenter is seen and heard. The result replaces the model file: `syncdiff model=mine.safetensors`.

Two parts are trained. The lips head: each coefficient it predicts gets a scale and an offset, so that on average the
mouth moves as far as the presenter's, around the same mean; both are folded into its last layer. The painter: denoiser,
bottleneck and decoder are trained further as in painter.py, with weaker augmentation and without the sync loss. The
closed mouth needs no fitting, because it is estimated in every video.

Every fifth clip of the footage (at least two) is held out and dubbed with its own audio, before and after. For both it
prints: the correlation of the predicted lip opening with the real one and its range, predicted / real; PSNR around the
mouth in dB and the fraction of its Laplacian variance that is preserved."""
from pathlib import Path

import numpy as np
import torch

from convert import export
from data import pairs
from data.clips import SHORTEST, Clip, cut
from data.geometry import Basis
from data.options import existing, needs, parser as options
from data.prepare import FPS, prepare_all
from evaluate import metrics
from evaluate.frame_pipeline import Dub
from networks.model import fade
from networks.perceptual import Perceptual
from train import distributed, painter
from train.adversary import Adversary
from train.lips import Clips, predicted
from train.loop import Schedule
from train.pictures import MOUTH

STRENGTH = 0.3  # strength of the augmentations: face, camera and light stay the same
LONG = 2 * FPS  # minimum frames of a held-out clip
LARGEST = 1.5  # largest scale of a coefficient, and the inverse of the smallest
RUNS_OF_A_CLIP, MOST_RUNS = 10, 300


def footage(cache):
    """The clips to learn from and those held out, all with audio."""
    clips = []
    for file in sorted((cache / "clips").glob("*.npz")):
        with np.load(file) as kept:
            clips.append(Clip(*file.stem.split("__", 1), *(kept[name] for name in ("window", "points", "sound"))))
    clips = [clip for clip in clips if len(clip.sound) and len(clip.window) >= SHORTEST]
    long = [clip for clip in clips if len(clip.window) >= LONG]
    held = long[::5] if len(long) > 5 else long[:2]
    learned = [clip for clip in clips if not any(clip is h for h in held)]
    if len(held) < 2 or not learned:
        raise SystemExit(f"too little footage: {len(clips)} clips with a face and sound, of them {len(long)} of {LONG / FPS:g} s "
                         "or more; needed are two of these to hold out, and more to learn from")
    return learned, held


def calibration(made, real):
    """The scale and offset [12] that give the predicted coefficients, a list of [T, 12], the mean of the real ones and
    their standard deviation within a clip."""
    deviation = lambda clips: np.concatenate([clip - clip.mean(0) for clip in clips]).std(0)
    scale = np.clip(deviation(real) / np.maximum(deviation(made), 1e-6), 1 / LARGEST, LARGEST)
    return scale, np.concatenate(real).mean(0) - scale * np.concatenate(made).mean(0)


@torch.no_grad()
def calibrate(head, scale, offset):
    """Folds both into the head (networks.audio.LipsHead)."""
    scale, offset = (torch.from_numpy(x).to(head.fc2.weight) for x in (scale, offset))
    head.fc2.weight *= scale[:, None]
    head.fc2.bias.mul_(scale).add_(offset)


def figures(model, basis, clips):
    """Means over clips dubbed with their own audio, see the module's docstring."""
    model, rows = model.cpu().eval(), []
    held = Clips(clips, basis)
    for index, clip in enumerate(clips):
        frames = np.arange(len(clip.window))
        wanted = predicted((model.audio_encoder, model.lips), held, index)
        opening, real = (np.maximum(c @ basis.gap, 0) for c in (basis.decided(wanted), held.coefficients[index]))
        dub = Dub(basis, clip.window, clip.points)
        pictures, lips, _ = dub.warped(wanted)
        made = cut(dub.painted(model, pictures, lips, held.features(index, frames, model.audio_encoder)))
        box = (slice(None), *MOUTH[1:])
        made, truth = made[box].astype(float), cut(clip.window)[box].astype(float)
        sharp = np.median([metrics.detail(a.mean(2)) / metrics.detail(b.mean(2)) for a, b in zip(made, truth)])
        rows.append([metrics.pearson(opening, real), np.std(opening) / max(np.std(real), 1e-9),
                     metrics.psnr(np.square(made - truth).mean()), sharp])
    return dict(zip(("correlation", "range", "mouth dB", "sharpness"), np.mean(rows, 0).round(3).tolist()))


def main():
    parser = options(__doc__, minutes=30, seed="the batches")
    parser.add_argument("videos", nargs="+", type=existing, metavar="VIDEO", help="a video of the presenter, or a folder of them")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL", help="the model file to write")
    parser.add_argument("--perceptual", type=existing, required=True, metavar="FILE",
                        help="SqueezeNet's weights (networks/perceptual.py)")
    parser.add_argument("--model", type=existing, default=export.MODEL, help="the model file to fit")
    parser.add_argument("--consent", metavar="TEXT", help="who confirmed that the presenter consents, for the model file")
    parser.add_argument("--cache", type=Path, help="folder for prepared data and checkpoints; without it: OUTPUT with .cache")
    args = parser.parse_args()
    needs("ffmpeg")
    cache, device = args.cache or args.output.with_suffix(".cache"), distributed.device()
    rng = distributed.seed(args.seed)
    prepare_all(args.videos, cache)
    learned, held = footage(cache)
    seconds = sum(len(c.window) for c in learned) / FPS
    print(f"learning from {seconds:.0f} s of footage, measured on {len(held)} other clips", flush=True)
    model, basis = export.load(args.model), Basis(export.part_of(args.model, "geometry"))
    print("before:", figures(model, basis, held), flush=True)
    model.to(device, memory_format=torch.channels_last)
    clips = Clips(learned, basis)
    said = [predicted((model.audio_encoder, model.lips), clips, index) for index in range(len(learned))]
    calibrate(model.lips, *calibration(said, clips.coefficients))
    for part in (model.encoder, model.audio_encoder, model.lips):
        part.requires_grad_(False)
    count = min(RUNS_OF_A_CLIP * len(learned), MOST_RUNS)
    no_portraits = {"window": (), "points": ()}
    made = pairs.runs(basis, learned, np.arange(len(learned)), lambda clip: clip.window, no_portraits, count, rng)
    runs = painter.Pairs(pairs.separate(made, learned))
    adversary, mask = Adversary(device), fade(model.config.window).to(device)
    losses = painter.Losses(model, Perceptual(args.perceptual).to(device), adversary, None, mask)
    schedule = Schedule(warm_up=50, fall=0.25, minutes=args.minutes, began=args.began)
    loop = painter.make_loop(cache / "adapt.pt", model, adversary, 3e-5, 32, schedule, rng)
    painter.train(loop, losses, painter.Pool(model, runs, min(64, count), rng, strength=STRENGTH), adversary)
    fitted = loop.average["average"]
    print("after:", figures(fitted, basis, held), flush=True)
    export.save(fitted, args.model, args.model, args.output, args.consent)


if __name__ == "__main__":
    main()
