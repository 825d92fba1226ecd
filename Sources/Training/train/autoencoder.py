# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the autoencoder on clips and portraits: `python -m train.autoencoder --cache CACHE`. Writes and resumes
CACHE/autoencoder.pt; draws CACHE/autoencoder_sheet.png at every checkpoint.

The loss is L1, L1 of the image gradients, and a discriminator, with noise on the latent so that small errors of the
diffusion stay small in pixels. The painter's training (painter.py) trains the decoder further."""
import numpy as np
import torch
import torch.nn.functional as F

from convert.export import load as load_model
from data.clips import as_image, balanced, cut, load, stills
from data.augmentation import Augmentation
from data.options import existing, parser as options
from evaluate import plots
from networks.autoencoder import Decoder, Encoder
from networks.config import Config
from networks.model import autocast
from train import distributed, pictures
from train.adversary import Adversary
from train.loop import Loop, Schedule

CROP = 64  # px: the networks are local, so a crop is as good as a window
STILLS = 0.25  # fraction of portraits
NOISE = 0.1  # noise on the latent, in standard deviations
FOOLED = 0.01   # weight of the discriminator's loss


def gradients(x):
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def reconstruction(a, b):
    return F.l1_loss(a, b) + sum(F.l1_loss(p, q) for p, q in zip(gradients(a), gradients(b)))


class Batches:
    """Frames of clips, and portraits if the cache has any."""

    def __init__(self, clips, portraits, rng):
        self.clips, self.portraits, self.rng, self.weights = clips, portraits, rng, balanced(clips, 0.5)

    def __call__(self, batch):
        """[batch, 3, CROP, CROP], where batch is a multiple of 4: every four images share an augmentation; crops are
        concentrated on the mouth."""
        images, rng = [], self.rng
        for _ in range(batch // 4):
            source = self.clips[rng.choice(len(self.clips), p=self.weights)].window
            if len(self.portraits) and rng.random() < STILLS:
                source = self.portraits
            window = source[rng.integers(0, len(source), 4)]
            augmentation = Augmentation(rng)(as_image(window)) if rng.random() < 0.7 else as_image(cut(window))
            x, y = (int(np.clip(rng.normal(middle, 8), 0, augmentation.shape[-1] - CROP)) for middle in (8, 4))
            images.append(augmentation[..., y:y + CROP, x:x + CROP])
        return torch.cat(images)


@torch.no_grad()
def validate(encoder, decoder, clips):
    """For each speaker: PSNR in dB and the fraction of the Laplacian variance that is preserved, around the mouth."""
    out, device = {}, next(encoder.parameters()).device
    for clip in clips:
        x = as_image(cut(clip.window[::15])).to(device)
        made, real = decoder(encoder(x))[pictures.MOUTH], x[pictures.MOUTH]
        out.setdefault(clip.speaker, []).append((pictures.psnr(made, real), pictures.sharpness(made, real)))
    return {s: tuple(np.round(np.mean(v, 0), 3)) for s, v in out.items()}


@torch.no_grad()
def draw(encoder, decoder, clips, path):
    """Six frames of each of four clips: the original above the reconstruction."""
    rows = []
    for i in np.linspace(0, len(clips) - 1, min(4, len(clips))).astype(int):
        moments = np.linspace(0, len(clips[i].window) - 1, 6).astype(int)
        x = as_image(cut(clips[i].window[moments])).to(next(encoder.parameters()).device)
        rows += [x, decoder(encoder(x))]
    plots.sheet(rows, path)


@torch.no_grad()
def normalise(encoder, decoders, clips, device):
    """Normalises the latent to mean 0 and standard deviation 1 over the clips; a no-op if an earlier training has done so."""
    z = torch.cat([encoder(as_image(cut(c.window[::25])).to(device)) for c in clips[::4]])
    for net in (encoder, *decoders):
        net.mean += z.mean((0, 2, 3)) * net.deviation
        net.deviation *= z.std((0, 2, 3))
    print("latent mean", encoder.mean.tolist(), "deviation", encoder.deviation.tolist())


def main():
    parser = options(__doc__, cache="folder with clips, and for the result", minutes=12, seed="the initial weights and the batches")
    parser.add_argument("--init", type=existing, metavar="MODEL", help="a model file to continue from")
    parser.add_argument("--batch", type=int, default=32, help="images in a step, a multiple of 4")
    args = parser.parse_args()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    encoder, decoder = Encoder(Config()), Decoder(Config())
    if args.init:
        model = load_model(args.init)
        encoder.load_state_dict(model.encoder.state_dict())
        decoder.load_state_dict(model.decoder.state_dict())
    for net in (encoder, decoder):
        net.to(device, memory_format=torch.channels_last)
    adversary = Adversary(device)
    clips, held = load(args.cache, False), load(args.cache, True)[::3]
    batches = Batches(clips, stills(args.cache)["window"], rng)
    optimizer = torch.optim.AdamW([*decoder.parameters(), *encoder.parameters()], lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)

    def check():
        print(validate(encoder, loop.average["decoder"], held), flush=True)
        draw(encoder, loop.average["decoder"], held, args.cache / "autoencoder_sheet.png")

    # decoder is the average, which later trainings use.
    loop = Loop(args.cache / "autoencoder.pt", optimizer, Schedule(warm_up=100, fall=0.25, minutes=args.minutes, began=args.began),
                parts={"encoder": encoder, "net_decoder": decoder, "judge": adversary.net, "judge_optimizer": adversary.optimizer},
                averages={"decoder": decoder}, rng=rng, batch=args.batch, figures=["reconstruction", "hinge"], follow=0.01,
                validate=check)
    for _ in loop:
        real = batches(args.batch).to(device, memory_format=torch.channels_last)
        with autocast(device):
            latent = encoder(real).float()
            noisy = latent + NOISE * latent.detach().std() * torch.randn_like(latent)
            made = decoder(noisy).float()
            error = reconstruction(made, real)
            loss = error + 1e-4 * latent.square().mean() + FOOLED * adversary(made)
        loop.learn(loss)
        loop.note([error, adversary.learn(real, made)])
    if distributed.first():
        normalise(encoder, (decoder, loop.average["decoder"]), clips, device)
        loop.save(0.0)
    distributed.stop()


if __name__ == "__main__":
    main()
