# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Fits a model to one presenter: `python -m train.adapt VIDEO... --perceptual SQUEEZENET.npz --output mine.safetensors`, with 1
to 5 minutes of footage that shows and lets hear the presenter alone (files or folders; data/prepare.py's limits). The file goes
where the model file went: `syncdiff model=mine.safetensors`.

Two things learn. The lips' head: each of the coefficients that it tells gets a scale and an offset, so that on average the
presenter's mouth moves as far as it really does, and from where it really does; they are folded into its last layer. The painter:
denoiser, bottleneck and decoder go on as painter.py trains them, with weaker looks and without the sync loss. The closed mouth
needs no fitting, it is found anew in every video.

Every fifth clip of the footage (at least two) is held out and dubbed with its own sound, before and after. Printed for both:
correlation of the lip opening told with the real one and its range, made / real; PSNR around the mouth in dB and the share of its
Laplacian variance that is kept."""
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
from evaluate.journey import Dub
from networks.model import fade
from networks.perceptual import Perceptual
from train import distributed, painter
from train.judge import Judge
from train.lips import Clips, told
from train.loop import Schedule
from train.pictures import MOUTH

LOOK = 0.3             # strength of the looks: the same face, camera and light
LONG = 2 * FPS         # frames of a clip that may be held out
LARGEST = 1.5          # scale of a coefficient, and its inverse the smallest
RUNS_OF_A_CLIP, MOST_RUNS = 10, 300


def footage(cache):
    """Clips to learn from, and those held out, all with sound."""
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
    """scale and offset [12] that bring the coefficients told, a list of [T, 12], to the mean of the real ones and to their
    deviation within a clip."""
    deviation = lambda clips: np.concatenate([clip - clip.mean(0) for clip in clips]).std(0)
    scale = np.clip(deviation(real) / np.maximum(deviation(made), 1e-6), 1 / LARGEST, LARGEST)
    return scale, np.concatenate(real).mean(0) - scale * np.concatenate(made).mean(0)


@torch.no_grad()
def calibrate(head, scale, offset):
    """Folds them into the head (networks.model.Lips)."""
    scale, offset = (torch.from_numpy(x).to(head.fc2.weight) for x in (scale, offset))
    head.fc2.weight *= scale[:, None]
    head.fc2.bias.mul_(scale).add_(offset)


def figures(model, basis, clips):
    """Means over clips dubbed with their own sound, see the file's head."""
    model, rows = model.cpu().eval(), []
    held = Clips(clips, basis)
    for index, clip in enumerate(clips):
        frames = np.arange(len(clip.window))
        wanted = told((model.audio_encoder, model.lips), held, index)
        opening, real = (np.maximum(c @ basis.gap, 0) for c in (wanted, held.coefficients[index]))
        dub = Dub(basis, clip.window, clip.points)
        pictures, lips, _ = dub.warped(wanted)
        made = cut(dub.painted(model, pictures, lips, held.heard(index, frames, model.audio_encoder)))
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
    parser.add_argument("--consent", metavar="TEXT", help="who has confirmed that the presenter consents; the model file says so")
    parser.add_argument("--cache", type=Path, help="folder for what is prepared and learned; without it: OUTPUT with .cache")
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
    said = [told((model.audio_encoder, model.lips), clips, index) for index in range(len(learned))]
    calibrate(model.lips, *calibration(said, clips.coefficients))
    for part in (model.encoder, model.audio_encoder, model.lips):
        part.requires_grad_(False)
    count = min(RUNS_OF_A_CLIP * len(learned), MOST_RUNS)
    nobody = {"window": (), "points": ()}
    made = pairs.runs(basis, learned, np.arange(len(learned)), lambda clip: clip.window, nobody, count, rng)
    runs = painter.Pairs(pairs.separate(made, learned))
    judge, mask = Judge(device), fade(model.config.window).to(device)
    losses = painter.Losses(model, Perceptual(args.perceptual).to(device), judge, None, mask)
    schedule = Schedule(warm_up=50, fall=0.25, minutes=args.minutes, began=args.began)
    loop = painter.looped(cache / "adapt.pt", model, judge, 3e-5, 32, schedule, rng)
    painter.train(loop, losses, painter.Pool(model, runs, min(64, count), rng, look=LOOK), judge)
    fitted = loop.average["average"]
    print("after:", figures(fitted, basis, held), flush=True)
    export.save(fitted, args.model, args.model, args.output, args.consent)


if __name__ == "__main__":
    main()
