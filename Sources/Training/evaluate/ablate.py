# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's ablations on our data and design: `python -m evaluate.ablate --cache CACHE --model MODEL --sync
CACHE/sync.pt --judge OTHER/sync.pt --perceptual SQUEEZENET.npz --output ../../meta/ablations`. For each variant and
seed it trains a smaller denoiser (channels 32/64/96) from scratch as in train/painter.py, on the same number of samples
in the same order, and measures it on held-out clips, of speakers seen in training and of others. Autoencoder, audio
encoder and lips head are the given model's, frozen. Results are kept in CACHE/ablations.json; a second run continues
from there, and within a variant from its checkpoint. OUTPUT.md gets the table, OUTPUT.svg the chart over the
bottleneck's widths.

Variants, compared with "full", the current design:
  no warp             the paper's inputs: the true image with its lower part masked, and an identity frame of another moment
  no exemplar         the inside of the warped mouth is stretched from its own
  no previous frame   no bottleneck
  raw previous frame  the previous latent goes into the U-Net directly, without bottleneck or noise
  bottleneck N        width of the bottleneck; full has 6
  filterbank          stacks of the filterbank through one trained linear layer instead of an audio encoder
  no painter          the warped image with its exemplar
  no exemplar or painter  the warped image alone, as at the start of a stream
  the given model     the shipped design with its larger denoiser and longer training; also without an exemplar

Metrics, means over held-out clips. On runs of frames warped from other moments with the true geometry: psnr, dB around
the mouth; sharpness, relative Laplacian variance; texture, distance of SqueezeNet's features. On clips dubbed with the
audio of another clip of the same speakers, with the model's predicted lips: sync, metrics.contrast of the judge network
with that audio; leak, the same with the clip's own audio; flicker, mean change from frame to frame relative to the
original's."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from convert import export
from data import pairs
from data.clips import as_image, cut, load, pictures
from data.geometry import Basis
from data.augmentation import Augmentation
from data.options import existing, parser as options
from evaluate import metrics, plots
from evaluate.frame_pipeline import CUT, Dub
from networks import sync
from networks.avhubert import Stacked
from networks.config import Config
from networks.model import Denoiser, SyncDiff, fade, masked, painted, pooled_lips
from networks.perceptual import Perceptual
from train import distributed, painter
from train.adversary import Adversary
from train.lips import Clips, predicted
from train.loop import Schedule
from train.pictures import MOUTH, psnr, sharpness

BATCH, LEARNING_RATE, POOL = 32, 6e-4, 300
CHANNELS = (32, 64, 96)
RUNS, DUBS = 24, 6  # measured for each kind of speaker
HIDDEN = 3  # the latent row at which the paper's mask begins
FIGURES = "psnr", "sharpness", "texture", "sync", "leak", "flicker"


@dataclass
class Variant:
    prior: int | str = 6  # width of the bottleneck, 0 for no previous frame, or "raw"
    exemplar: bool = True
    warp: bool = True
    encoder: bool = True
    painter: bool = True
    learns: bool = True  # False: the painter is the given model's


VARIANTS = {"full": Variant(), "no warp": Variant(warp=False), "no exemplar": Variant(exemplar=False),
            "no previous frame": Variant(prior=0), "raw previous frame": Variant(prior="raw")} \
    | {f"bottleneck {width}": Variant(prior=width) for width in (4, 8, 16, 32)} \
    | {"filterbank": Variant(encoder=False), "no painter": Variant(painter=False),
       "no exemplar or painter": Variant(exemplar=False, painter=False), "the given model": Variant(learns=False),
       "the given model, no exemplar": Variant(exemplar=False, learns=False)}
WIDTHS = {"0": "no previous frame", "4": "bottleneck 4", "6": "full", "8": "bottleneck 8", "16": "bottleneck 16",
          "32": "bottleneck 32", "raw": "raw previous frame"}


# variants

class RawPrevious(nn.Module):
    """A denoiser that takes the flattened previous latent itself instead of the bottleneck's values."""

    def __init__(self, config):
        super().__init__()
        self.inner = Denoiser(config)
        self.inner.unet.input = nn.Conv2d(4 * config.latent_channels + 2, config.unet_channels[0], 3, padding=1)
        self.inner.unet.prior = nn.Linear(1, config.embedding)

    def forward(self, x, t, masked, lips, identity, tokens, previous, has_prior):
        known = previous.view_as(x) * has_prior.view(-1, 1, 1, 1)
        f = self.inner.unet(torch.cat([x, masked, lips, identity, known], 1), t, tokens, x.new_zeros(len(x), 1),
                            torch.zeros_like(has_prior))
        return (x - identity - f) / t[:, None, None, None]


class WithoutPrevious(SyncDiff):
    """Without a previous frame."""

    def sample(self, noise, masked, lips, identity, tokens, previous=None, steps=None):
        return super().sample(noise, masked, lips, identity, tokens, None, steps)


class Filterbank(Stacked):
    """One linear layer over the stacks [B, T, 104] instead of an encoder."""

    def __init__(self, config):
        super().__init__(config)
        self.input = nn.Linear(104, config.audio_width)
        self.position = nn.Parameter(torch.randn(config.tokens, config.audio_width) * 0.02)

    def forward(self, stacks):
        return self.input(nn.functional.layer_norm(stacks, (104,))) + self.position


def build(base, variant):
    """A model with a new, small denoiser; everything else is the given model's, frozen."""
    size = base.config.latent_channels * (base.config.window // 4) ** 2
    width = {0: 1, "raw": size}.get(variant.prior, variant.prior)
    config = Config(**base.config.dict() | {"unet_channels": CHANNELS, "prior": width})
    model = (WithoutPrevious if variant.prior == 0 else SyncDiff)(Config(**config.dict() | {"prior": min(config.prior, 64)}))
    model.config = config
    for name in ("encoder", "decoder", "audio_encoder", "lips"):
        part = getattr(model, name)
        part.load_state_dict(getattr(base, name).state_dict())
        part.requires_grad_(False)
    if variant.prior == "raw":
        model.bottleneck, model.denoiser = nn.Flatten(), RawPrevious(config)
    if not variant.encoder:
        model.audio_encoder = Filterbank(config)
    return model


def paper_inputs(model, pictures):
    """The paper's masked frame [B, 4, 20, 20] and, in place of the lips, its mask [B, 2, 20, 20], for images [B, 3, 80,
    80]: the whole lower part is hidden regardless of the mouth, and before encoding, so that the encoder cannot leak
    the mouth."""
    seen = pictures.clone()
    seen[:, :, 4 * HIDDEN:] = 0
    latent = model.encoder(seen)
    latent[:, :, HIDDEN:] = 0
    mask = torch.zeros_like(latent[:, :2])
    mask[:, :, HIDDEN:] = 1
    return latent, mask


class PaperSlot(painter.Slot):
    """A run with the inputs of the paper's denoiser. warped is the decoded identity frame, so that, without fading,
    painting gives the decoded image itself."""

    @torch.no_grad()
    def __init__(self, model, run, augmentation, exemplar, sync_net, sound=None):
        super().__init__(model, run | {"own": np.repeat(run["other"][None], pairs.FRAMES, 0)}, augmentation, False, sync_net, sound)
        self.masked, self.lips = paper_inputs(model, self.truth)
        self.warped = model.decoder(self.identity)


def with_others(runs, windows):
    """Runs of data/pairs.py, each with an image of another moment of its clip, other [104, 104, 3]. windows(clip): its
    frames."""
    by = {}
    for run in runs:
        by.setdefault(id(run["clip"]), []).append(run)
    for group in by.values():
        window = windows(group[0]["clip"])[:, pairs.CUT, pairs.CUT]
        for run in group:
            run["other"] = window[(run["frame"] + len(window) // 2) % len(window)].copy()
    return runs


# measuring

class Held:
    """Held-out clips of some speakers: runs of frames, and clips with the audio of the next one."""

    def __init__(self, clips, base, basis, judge, perceptual):
        self.base, self.basis, self.judge, self.perceptual = base, basis, judge, perceptual
        step = max(1, len(clips) // DUBS)
        self.clips = Clips(clips[::step][:DUBS], basis)
        clips, no_portraits = self.clips.clips, {"window": (), "points": ()}
        made = pairs.runs(basis, clips, np.arange(len(clips)), lambda clip: clip.window, no_portraits, RUNS,
                          np.random.default_rng(0))
        self.runs = with_others(pairs.separate(made, clips), lambda clip: clip.window)
        self.told = [predicted((base.audio_encoder, base.lips), self.clips, i)
                     for i in range(len(clips))]

    def figures(self, model, variant, mask):
        """{name: mean}, see the module's docstring."""
        device, plain = mask.device, Augmentation(np.random.default_rng(0), 0.0, pairs.KEPT)
        slot_of, rows, dubs = painter.Slot if variant.warp else PaperSlot, [], []
        for run in self.runs:
            slot = slot_of(model, run, plain, variant.exemplar, None)
            made = painter.pictures_of(model, slot, mask) if variant.painter else slot.warped
            made, real = made[MOUTH].clamp(-1, 1), slot.truth[MOUTH]
            rows.append([psnr(made, real), sharpness(made, real), self.perceptual(made, real).mean().item()])
        for index, clip in enumerate(self.clips.clips):
            donor = (index + 1) % len(self.clips.clips)
            made = self.dubbed(model, variant, mask, clip, donor).cpu()
            count = len(made)
            seen = sync.video_embeddings(self.judge, made.to(device)).cpu().numpy()
            heard = [sync.embeddings(self.judge, cut(c.window[:count]), c.fbank, c.lag_rows)[1]
                     for c in (self.clips.clips[donor], clip)]
            change = lambda x: (x[1:] - x[:-1])[MOUTH].abs().mean().item()
            dubs.append([*(metrics.contrast(seen, sound) for sound in heard),
                         change(made) / change(as_image(cut(clip.window[:count])))])
        return dict(zip(FIGURES, np.concatenate([np.mean(rows, 0), np.nanmean(dubs, 0)]).round(4).tolist()))

    @torch.no_grad()
    def dubbed(self, model, variant, mask, clip, donor):
        """[T, 3, 80, 80]: a clip dubbed with the audio of the clip with index `donor`."""
        device = mask.device
        sound = self.clips.features(donor, np.arange(len(self.told[donor])), model.audio_encoder)
        warped, where, _ = Dub(self.basis, clip.window, clip.points).warped(self.told[donor], variant.exemplar)
        count = len(warped)
        shown = as_image(warped[:, CUT, CUT]).to(device)
        if not variant.painter:
            return shown
        lips = pooled_lips(torch.from_numpy(where[..., CUT, CUT]).float()).to(device)
        if variant.warp:
            identity = model.encoder(shown)
            seen = masked(identity, lips)
        else:
            own = as_image(cut(clip.window[:count])).to(device)
            identity = model.encoder(own[count // 2:count // 2 + 1]).expand(count, -1, -1, -1)
            (seen, lips), shown = paper_inputs(model, own), model.decoder(identity)
        latents = painter.sample_sequence(model, identity, seen, lips, sound[:count])
        return painted(model, latents, identity, shown, mask).clamp(-1, 1)


def write(measured, output):
    """Writes OUTPUT.md, a table for each kind of speaker with a row for each variant, metrics as mean +- half the range
    over the seeds; and OUTPUT.svg."""
    samples = max(row["samples"] for row in measured)
    of = lambda talkers, variant, key: [row[key] for row in measured if (row["talkers"], row["variant"]) == (talkers, variant)]
    lines = ["# The paper's ablations", "",
             "Made by `Sources/Training/evaluate/ablate.py`, which defines the variants and the metrics: a denoiser with "
             f"{'/'.join(map(str, CHANNELS))} channels, trained from scratch on {samples} samples for each variant and seed. "
             "The value after +- is half the range over the seeds."]
    for talkers in dict.fromkeys(row["talkers"] for row in measured):
        lines += ["", f"## Speakers {talkers} in training", "", "| variant | seeds | " + " | ".join(FIGURES) + " |",
                  "|---" * (2 + len(FIGURES)) + "|"]
        for variant in VARIANTS:
            cells = [of(talkers, variant, key) for key in FIGURES]
            if cells[0]:
                told = [f"{np.mean(values):.3f} +- {np.ptp(values) / 2:.3f}" for values in cells]
                lines.append(f"| {variant} | {len(cells[0])} | {' | '.join(told)} |")
    output.with_suffix(".md").write_text("\n".join(lines) + "\n")
    every = lambda variant, key: [row[key] for row in measured if row["variant"] == variant]
    panels = {key: {width: every(name, key) for width, name in WIDTHS.items() if every(name, key)} for key in FIGURES}
    if all(panels.values()):
        plots.dots(panels, "width of the bottleneck", output.with_suffix(".svg"))


def main():
    parser = options(__doc__, cache="folder with clips and pairs (data/pairs.py)")
    parser.add_argument("--output", type=Path, required=True, help="path of table and chart, without suffix")
    parser.add_argument("--model", type=existing, default=export.MODEL, help="the model file that provides the other parts")
    parser.add_argument("--sync", type=existing, required=True, metavar="FILE", help="sync network for the loss (train/sync.py)")
    parser.add_argument("--judge", type=existing, required=True, metavar="FILE",
                        help="another sync network, trained with another seed, for measuring")
    parser.add_argument("--perceptual", type=existing, required=True, metavar="FILE",
                        help="SqueezeNet's weights (networks/perceptual.py)")
    parser.add_argument("--samples", type=int, default=20000, help="training samples for each variant")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each variant, with seeds from 0")
    args = parser.parse_args()
    device = distributed.device()
    base, basis = export.load(args.model).to(device), Basis(export.part_of(args.model, "geometry"))
    sync_net, judge = (sync.load(path).to(device) for path in (args.sync, args.judge))
    perceptual = Perceptual(args.perceptual).to(device)
    store = args.cache / "ablations.json"
    measured = json.loads(store.read_text()) if store.exists() else []
    runs = [run for run in painter.Pairs.of(args.cache, False).runs if not run["still"] and len(run["clip"].sound)]
    learned = painter.Pairs(with_others(runs, lambda clip: pictures(args.cache, clip)))
    speakers = {clip.speaker for clip in load(args.cache, False, pictures=False)}
    clips = [clip for clip in load(args.cache, True) if len(clip.sound)]
    groups = {kind: [clip for clip in clips if (clip.speaker in speakers) == (kind == "seen")] for kind in ("seen", "unseen")}
    held = {kind: Held(chosen, base, basis, judge, perceptual) for kind, chosen in groups.items() if len(chosen) > 1}
    for seed in range(args.seeds):
        for name, variant in VARIANTS.items():
            done = any((row["variant"], row["seed"], row["samples"]) == (name, seed, args.samples) for row in measured)
            learns = variant.painter and variant.learns
            if done or seed and not learns:
                continue
            rng, path = distributed.seed(seed), args.cache / f"ablation-{name.replace(' ', '-')}-{seed}.pt"
            model = build(base, variant).to(device) if learns else base
            mask = fade(base.config.window).to(device) if variant.warp else torch.ones(2 * [base.config.window], device=device)
            if learns:
                corruption = {0: (1, 0, 0), "raw": (painter.CORRUPTION[0], 0, 0)}.get(variant.prior, painter.CORRUPTION)
                adversary = Adversary(device)
                losses = painter.Losses(model, perceptual, adversary, sync_net, mask, corruption)
                pool = painter.Pool(model, learned, POOL, rng, sync_net, exemplars=painter.WITH_EXEMPLAR * variant.exemplar,
                                    slot=painter.Slot if variant.warp else PaperSlot)
                loop = painter.make_loop(path, model, adversary, LEARNING_RATE, BATCH,
                                      Schedule(warm_up=200, fall=0.25, steps=args.samples // BATCH), rng)
                painter.train(loop, losses, pool, adversary)
                model = loop.average["average"]
            for talkers, clips in held.items():
                measured.append({"variant": name, "seed": seed, "talkers": talkers, "samples": args.samples}
                                | clips.figures(model, variant, mask))
                print(measured[-1], flush=True)
            store.write_text(json.dumps(measured, indent=1))
            write(measured, args.output)
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
