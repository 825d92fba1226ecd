# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the painter, SyncDiff's latent diffusion model on the face window: `python -m train.painter --cache CACHE
--perceptual SQUEEZENET.npz`. Needs CACHE/pairs (data/pairs.py), CACHE/lips.pt (lips.py), CACHE/sync.pt (sync.py) and
CACHE/autoencoder.pt; with `--init MODEL` it continues from a model file instead of the autoencoder. Writes and resumes
CACHE/painter.pt; draws CACHE/painter_sheet.png at every checkpoint.

The input is a warped image of the same face, in most samples with the mouth of another frame, and the target position
of the lips; the target is the true image. Only the difference between the decoded latents of the painted and the warped
image reaches the frame, so the losses are computed on the warped image plus that difference.

Flow matching; the two-step sampler evaluates only t = 1 and 0.5. SAMPLED runs of a batch are sampled completely, with
the same noise for a run's five frames, and decoded. The decoded images are compared with the true ones by L1 at a
quarter of the resolution, texture by SqueezeNet's features and a patch discriminator, the local amount of detail by the
Laplacian, and motion by a frozen sync network. These samples are then the previous frames of the frames that follow
them, as at run time; other samples use the true previous frame. The previous frame is dropped half of the time, and the
bottleneck's output is noisy. The audio encoder from lips.py is frozen."""
import numpy as np
import torch
import torch.nn.functional as F

from convert.export import part_of
from data.clips import as_image, load
from data.augmentation import Augmentation
from data.options import existing, needed, parser as options
from data.pairs import FRAMES, KEPT
from data.speech import STACK
from data.voices import degraded
from evaluate import plots
from networks import sync
from networks.config import Config
from networks.model import SyncDiff, autocast, fade, masked, painted, pooled_lips
from networks.perceptual import Perceptual
from networks.unet import CrossAttention
from train import distributed
from train.adversary import Adversary
from train.lips import around, as_sound
from train.loop import Loop, Schedule
from train.pictures import MOUTH, edges, psnr, sharpness

CORRUPTION = 0.5, 0.3, 0.5  # the previous frame: probability of dropping it, noise on its latent, on the bottleneck's output
MOUTH_WEIGHT = 4.0  # weight of latent pixels that the lips reach
SAMPLED = 1  # runs of a batch that are sampled completely
WITH_EXEMPLAR = 0.65        # fraction of the runs with an exemplar
OTHER_SOUND = 0.4  # fraction of the runs with degraded audio
MIDDLE = 0.25  # fraction of the other times that are near 0.5
COLOUR, TEXTURE, DETAIL, FOOLED, SYNC = 4.0, 0.6, 6.0, 0.02, 0.5  # weights of the losses relative to the velocity's
DECODER_RATE = 0.5  # relative to the denoiser's learning rate
RANGE = 1.15  # scales the motion that the lips head predicts, which is too small for voices it has not met
FIGURES = "velocity", "colour", "texture", "detail", "fooled", "sync", "hinge"


class Pairs:
    """Runs of data/pairs.py in memory, each a dict of its arrays and its Clip, with the probability of drawing each."""
    TENTH = 10

    def __init__(self, runs):
        self.runs = runs
        speakers = [r["clip"].speaker if not r["still"] else "still" for r in runs]
        self.weights = np.array([speakers.count(s) ** -0.3 for s in speakers])
        self.weights /= self.weights.sum()

    @classmethod
    def of(cls, cache, held):
        """The runs of CACHE/pairs; one in TENTH of each file is held out."""
        files = sorted(needed(cache, "pairs").glob("*.npz"))
        clips, runs = {f"{c.speaker}__{c.name}": c for c in load(cache, False, pictures=False)}, []
        for file in files:
            with np.load(file) as kept:
                parts = {name: kept[name] for name in kept.files}
            for k, name in enumerate(parts["name"]):
                if (k % cls.TENTH == 0) == held:
                    runs.append({key: parts[key][k] for key in ("truth", "own", "exemplar", "lips", "frame", "still")}
                                | {"clip": clips[str(name)]})
        return cls(runs)


class Slot:
    """A run under one augmentation: latents of the truth and of the warped images (identity) and the masked latent, [6,
    4, 20, 20] each; lips [6, 2, 20, 20] and their coverage in pixels, where [6, 2, 80, 80]; the images truth and warped
    [6, 3, 80, 80]; sound [6, tokens, C], the features of the clip's audio or of the given one; and seen [128], the sync
    network's embedding of the last five true images, None for portraits."""

    @torch.no_grad()
    def __init__(self, model, run, augmentation, exemplar, sync_net, sound=None):
        device = next(model.parameters()).device
        where = torch.from_numpy(run["lips"]).float() / 255
        made = run["exemplar"] if exemplar else run["own"]
        images = torch.cat([as_image(run["truth"]), as_image(made)], 1)
        placed = augmentation.transformed(torch.cat([images, where], 1))
        where = placed[:, 6:].clamp(0, 1)
        rim = (where[:, 1:] - where[:, :1]).clamp(0, 1)
        self.truth, self.warped = (augmentation.recoloured(x, rim).to(device) for x in (placed[:, :3], placed[:, 3:6]))
        self.where = where.to(device)
        with autocast(device.type):
            self.latent, self.identity = (model.encoder(x).float() for x in (self.truth, self.warped))
        self.lips = pooled_lips(self.where)
        self.masked = masked(self.identity, self.lips)
        clip = run["clip"]
        frames = int(run["frame"]) + (np.zeros(FRAMES) if run["still"] else np.arange(FRAMES))
        sound = as_sound(clip.sound) if sound is None else sound
        self.sound = around(model.audio_encoder, sound, frames.astype(int) * STACK + clip.lag_rows, device)
        self.seen = sync_net.embed_video(self.truth[None, 1:])[0] if sync_net and not run["still"] else None


class Pool:
    """A pool of slots: FIRST to begin with, at each step of the training another one until there are `size`, and from
    then on a new one in place of the oldest. strength: of the augmentations; exemplars: fraction of the runs with one;
    slot: the class of the slots."""
    FIRST = 32

    def __init__(self, model, pairs, size, rng, sync_net=None, strength=1.0, exemplars=WITH_EXEMPLAR, slot=Slot):
        self.model, self.pairs, self.rng, self.sync_net = model, pairs, rng, sync_net
        self.strength, self.exemplars, self.slot, self.size = strength, exemplars, slot, size
        self.voices = [as_sound(r["clip"].sound) for r in pairs.runs[:100] if len(r["clip"].sound)]
        self.slots = [self.drawn() for _ in range(min(size, self.FIRST))]

    def drawn(self):
        run = self.pairs.runs[self.rng.choice(len(self.pairs.runs), p=self.pairs.weights)]
        augmentation = Augmentation(self.rng, self.strength if self.rng.random() < 0.9 else 0.0, KEPT, noisy=False)
        sound = as_sound(run["clip"].sound)
        if len(sound) and self.rng.random() < OTHER_SOUND:
            sound = degraded(sound, self.voices, self.rng)
        return self.slot(self.model, run, augmentation, self.rng.random() < self.exemplars, self.sync_net, sound)

    def renew(self):
        if len(self.slots) == self.size:
            self.slots.pop(0)
        self.slots.append(self.drawn())

    def sample(self, batch):
        """A batch as a dict of latent, previous, identity, lips, masked, stacks; truth, warped and where of the SAMPLED
        runs that come first, five images each; and their seen [SAMPLED, 128] and moves [SAMPLED]. The next 4 SAMPLED
        samples follow those, except for the last of each run, and their previous frames are what is sampled for those."""
        runs = [self.slots[i] for i in self.rng.integers(0, len(self.slots), SAMPLED)]
        first = [(slot, k) for slot in runs for k in range(1, FRAMES)]
        after = [(slot, k) for slot in runs for k in range(2, FRAMES)]
        rest = [(self.slots[self.rng.integers(len(self.slots))], int(self.rng.integers(1, FRAMES)))
                for _ in range(batch - len(first) - len(after))]
        take = lambda name, step=0: torch.stack([getattr(slot, name)[k - step] for slot, k in first + after + rest])
        out = {name: take(name) for name in ("latent", "identity", "lips", "masked")} | {"previous": take("latent", 1)}
        device = out["latent"].device
        blank = torch.zeros(128, device=device)
        for name in ("truth", "warped", "where"):
            out[name] = torch.stack([getattr(slot, name)[k] for slot, k in first])
        return out | {"stacks": take("sound"),
                      "seen": torch.stack([blank if slot.seen is None else slot.seen for slot in runs]),
                      "moves": torch.tensor([float(slot.seen is not None) for slot in runs], device=device)}


class Losses:
    """The losses of a model. perceptual: None omits the texture loss; mask [80, 80]: the opacity of the painted
    difference; corruption: see CORRUPTION."""

    def __init__(self, model, perceptual, adversary, sync_net, mask, corruption=CORRUPTION):
        self.model, self.perceptual, self.adversary, self.sync_net = model, perceptual, adversary, sync_net
        self.mask, self.corruption = mask, corruption

    def __call__(self, batch):
        """The velocity, colour, texture, detail, adversarial and sync losses of a Pool's batch; and the sampled images
        without their edges and without gradient, and the true ones."""
        model, z, b = self.model, batch["latent"], len(batch["latent"])
        drop, previous_noise, prior_noise = self.corruption
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
        fine = lambda x: F.avg_pool2d(edges(x).square(), 6, 3).add(1e-4).sqrt()
        detail = (F.max_pool2d(near[..., 1:-1, 1:-1], 6, 3) * (fine(pictures) - fine(truth)).abs()).mean()
        texture = z.new_zeros(())
        if self.perceptual:
            texture = self.perceptual(pictures[..., inner, inner], truth[..., inner, inner]).mean()
        fooled = self.adversary(pictures[..., inner, inner])
        heard = z.new_zeros(())
        if self.sync_net and batch["moves"].any():
            seen = self.sync_net.embed_video(pictures.unflatten(0, (SAMPLED, five)))
            heard = (batch["moves"] * (1 - (seen * batch["seen"]).sum(1))).sum() / batch["moves"].sum()
        return (matching, colour, texture, detail, fooled, heard), pictures[..., inner, inner].detach(), truth[..., inner, inner]


@torch.no_grad()
def ignore_audio(unet):
    """Resets a U-Net's audio input, because it was trained with another audio encoder."""
    for layer in [unet.audio] + [part.out for part in unet.modules() if isinstance(part, CrossAttention)]:
        layer.weight.zero_()


def continues_training(before, now):
    """Whether an audio encoder, {name: tensor}, continues the training of another: the same layers, none of whose
    matrices has changed by more than half its norm. Its tokens are then similar to the other's."""
    matrices = [name for name, value in now.items() if name.endswith("weight") and value.dim() > 1]
    return before.keys() == now.keys() and all(
        before[name].shape == now[name].shape and (before[name] - now[name]).norm() <= now[name].norm() / 2 for name in matrices)


def initial_model(cache, init):
    """The model at the start of the training: audio encoder and lips head from lips.py, scaled by RANGE, the other
    networks from the model file `init`. If that one's audio encoder is unrelated, the U-Net's audio input is reset.
    Without `init` the autoencoder is autoencoder.py's, and the others are new."""
    lips = torch.load(needed(cache, "lips.pt"), "cpu", weights_only=True)
    model = SyncDiff(Config(**lips["config"]))
    model.audio_encoder.load_state_dict(lips["audio_encoder"])
    model.lips.load_state_dict(lips["lips"])
    with torch.no_grad():
        for value in model.lips.fc2.parameters():
            value *= RANGE
    if not init:
        kept = torch.load(needed(cache, "autoencoder.pt"), "cpu", weights_only=True)
        model.encoder.load_state_dict(kept["encoder"])
        model.decoder.load_state_dict(kept["decoder"])
        return model
    for name in ("encoder", "decoder", "bottleneck", "denoiser"):
        getattr(model, name).load_state_dict(part_of(init, name))
    if not continues_training(part_of(init, "audio_encoder"), lips["audio_encoder"]):
        ignore_audio(model.denoiser.unet)
    return model


@torch.no_grad()
def sample_sequence(model, identity, masked, lips, sound):
    """[T, 4, 20, 20]: latents sampled in sequence, each with the one before as its previous frame, from identity and
    masked [T, 4, 20, 20], lips [T, 2, 20, 20] and sound [T, tokens, C]. All start from the same noise."""
    noise = torch.randn(identity[:1].shape, generator=torch.Generator().manual_seed(0)).to(identity)
    previous, made = None, []
    for k in range(len(identity)):
        one, tokens = slice(k, k + 1), model.audio_encoder(sound[k:k + 1].to(identity))
        previous = model.sample(noise, masked[one], lips[one], identity[one], tokens, previous)
        made.append(previous)
    return torch.cat(made)


@torch.no_grad()
def pictures_of(model, slot, mask):
    """[6, 3, 80, 80]: what the model paints for a slot."""
    latents = sample_sequence(model, slot.identity, slot.masked, slot.lips, slot.sound)
    return painted(model, latents, slot.identity, slot.warped, mask)


@torch.no_grad()
def validate(model, slots, mask, sync_net, path):
    """For slots of several kinds, [(kind, slot)]: mean PSNR in dB around the lips of the warped and of the painted
    image, the latter's sharpness relative to the truth's, and, except for portraits, the similarity of both motions to
    the true one by the sync network (1: identical). Draws the true, warped and painted images."""
    rows, figures = [], {}
    for kind, slot in slots:
        made = pictures_of(model, slot, mask)
        real = slot.truth[MOUTH]
        row = [psnr(slot.warped[MOUTH], real), psnr(made[MOUTH], real), sharpness(made[MOUTH], real)]
        if slot.seen is not None:
            row += [(sync_net.embed_video(x[None, 1:])[0] * slot.seen).sum().item() for x in (slot.warped, made)]
        figures.setdefault(kind, []).append(row)
        if len(figures[kind]) <= 3:
            rows += [slot.truth, slot.warped, made]
    plots.sheet(rows, path)
    return {kind: np.round(np.mean(v, 0), 3).tolist() for kind, v in figures.items()}


def make_loop(store, model, adversary, lr, batch, schedule, rng, check=lambda: None):
    """The Loop of a painter's training: all parameters of the model that require gradients are trained, the decoder
    more slowly. Its average, average["average"], is the result; `check` is called after each checkpoint."""
    learning = lambda *parts: [p for part in parts for p in part.parameters() if p.requires_grad]
    groups = [{"params": learning(model.denoiser, model.bottleneck, model.audio_encoder)},
              {"params": learning(model.decoder), "lr": lr * DECODER_RATE}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), weight_decay=0.01)
    return Loop(store, optimizer, schedule, parts={"model": model, "judge": adversary.net, "judge_optimizer": adversary.optimizer},
                averages={"average": model}, rng=rng, batch=batch, figures=FIGURES, follow=0.002, config=model.config,
                validate=check)


def train(loop, losses, pool, adversary):
    """Runs the loop."""
    for _ in loop:
        with autocast(loop.device):
            parts, made, truth = losses(pool.sample(loop.batch))
            weights = 1, COLOUR, TEXTURE, DETAIL, FOOLED * min(1, loop.step / 500), SYNC
            loss = sum(weight * part for weight, part in zip(weights, parts))
        loop.learn(loss)
        loop.note([*parts, adversary.learn(truth, made)])
        pool.renew()


def main():
    parser = options(__doc__, cache="folder with clips, pairs, lips.pt, sync.pt, and autoencoder.pt unless --init is given; also "
                     "for the result", minutes=60, seed="the initial weights and the batches")
    parser.add_argument("--init", type=existing, metavar="MODEL", help="a model file to continue from")
    parser.add_argument("--sync", type=existing, metavar="FILE", help="sync network for the loss instead of CACHE/sync.pt")
    parser.add_argument("--perceptual", type=existing, metavar="FILE",
                        help="SqueezeNet's weights (networks/perceptual.py); without them there is no texture loss")
    parser.add_argument("--batch", type=int, default=32, help="images in a step, at least 9")
    parser.add_argument("--lr", type=float, default=3e-4, help="highest learning rate")
    parser.add_argument("--pool", type=int, default=300, help="runs held as latents")
    args = parser.parse_args()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    model = initial_model(args.cache, args.init).to(device, memory_format=torch.channels_last)
    for part in (model.encoder, model.audio_encoder, model.lips):
        part.requires_grad_(False)
    adversary, mask = Adversary(device), fade(model.config.window).to(device)
    sync_net = sync.load(args.sync or needed(args.cache, "sync.pt")).to(device)
    losses = Losses(model, Perceptual(args.perceptual).to(device) if args.perceptual else None, adversary, sync_net, mask)
    held, quiet, shown = Pairs.of(args.cache, True), np.random.default_rng(1), []
    for kind, still, exemplar in (("exemplar", 0, True), ("own", 0, False), ("portrait", 1, False)):
        runs = [r for r in held.runs if r["still"] == still and (still or len(r["clip"].sound))][:16]
        shown += [(kind, Slot(model, r, Augmentation(quiet, 0.0, KEPT), exemplar, sync_net)) for r in runs]

    def check():
        figures = validate(loop.average["average"], shown, mask, sync_net, args.cache / "painter_sheet.png")
        print("warped, painted, sharp, sync warped, painted:", figures, flush=True)

    loop = make_loop(args.cache / "painter.pt", model, adversary, args.lr, args.batch,
                  Schedule(warm_up=200, fall=0.25, minutes=args.minutes, began=args.began), rng, check=check)
    train(loop, losses, Pool(model, Pairs.of(args.cache, False), args.pool, rng, sync_net), adversary)
    distributed.stop()


if __name__ == "__main__":
    main()
