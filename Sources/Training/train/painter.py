# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the painter, SyncDiff's latent diffusion on the mouth's window: `python -m train.painter --cache CACHE
--perceptual SQUEEZENET.npz`. Needs CACHE/pairs (data/pairs.py), CACHE/lips.pt (lips.py), CACHE/sync.pt (sync.py) and
CACHE/autoencoder.pt, or goes on from a model file, `--init MODEL`. Writes and resumes CACHE/painter.pt; draws
CACHE/painter_sheet.png at every checkpoint.

What it is given is a warped picture of the same face, in most samples with the mouth of another frame, and where the lips are
to be; what it has to make is the true picture. Only the difference between the two pictures that the decoder makes of its latent
and of the warped picture's reaches the frame, so losses look at the warped picture with that difference added.

Flow matching; the two-step sampler asks at t = 1 and 0.5 only. SAMPLED runs of a batch are sampled wholly, with one noise
for a run's five pictures, and decoded: at a quarter of its size the picture is held to the true one by L1, its texture by
SqueezeNet's features and by a discriminator on patches, how much fine detail each place has by the Laplacian's size, its motion
by what a frozen sync network sees in the true pictures. What was sampled so is the previous frame of the pictures that follow, as
when the element runs; others take the true one. It is dropped half of the time, and what passes its bottleneck is noisy. The audio
encoder stays as lips.py left it."""
import numpy as np
import torch
import torch.nn.functional as F

from convert.export import part_of
from data.clips import as_image, load
from data.looks import Look
from data.options import existing, made as needed, parser as options
from data.pairs import FRAMES, KEPT
from data.speech import STACK
from data.voices import spoiled
from evaluate import plots
from networks import sync
from networks.model import Config, CrossAttention, SyncDiff, autocast, fade, masked, painted, small
from networks.perceptual import Perceptual
from train import distributed
from train.judge import Judge
from train.lips import around, as_sound
from train.loop import Loop, Schedule
from train.pictures import MOUTH, edges, psnr, sharpness

CORRUPTION = 0.5, 0.3, 0.5  # of the previous frame: how often it is dropped, noise on its latent, on what the bottleneck passes
MOUTH_WEIGHT = 4.0          # of a latent's places that the lips reach
SAMPLED = 1                 # runs of a batch that are sampled wholly
WITH_EXEMPLAR = 0.65        # share of the runs
OTHER_SOUND = 0.4           # share of the runs whose sound is spoiled
MIDDLE = 0.25               # share of the other times that lie near 0.5
COLOUR, TEXTURE, DETAIL, FOOLED, SYNC = 4.0, 0.6, 6.0, 0.02, 0.5  # weights of the losses beside the velocity's
DECODER_RATE = 0.5          # of the denoiser's learning rate
RANGE = 1.15                # of the motion that lips.py's head tells: of voices it has not met it tells too little
FIGURES = "velocity", "colour", "texture", "detail", "fooled", "sync", "hinge"


class Pairs:
    """Runs of data/pairs.py in memory, each a dict of its arrays with its Clip, and how likely each is drawn."""
    TENTH = 10

    def __init__(self, runs):
        self.runs = runs
        speakers = [r["clip"].speaker if not r["still"] else "still" for r in runs]
        self.weights = np.array([speakers.count(s) ** -0.3 for s in speakers])
        self.weights /= self.weights.sum()

    @classmethod
    def of(cls, cache, held):
        """Those of CACHE/pairs; in each file every TENTH is held out."""
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
    """A run under one look: latents of the truth and of the warped pictures (identity), the latter also masked [6, 4, 20, 20],
    lips [6, 2, 20, 20], and where [6, 2, 80, 80] they are; the pictures truth and warped [6, 3, 80, 80], what is heard,
    sound [6, tokens, C], of a sound in place of the clip's where one is given, and what the sync network sees in the last five true
    pictures [128], None for portraits."""

    @torch.no_grad()
    def __init__(self, model, run, look, exemplar, sync_net, sound=None):
        device = next(model.parameters()).device
        where = torch.from_numpy(run["lips"]).float() / 255
        made = run["exemplar"] if exemplar else run["own"]
        images = torch.cat([as_image(run["truth"]), as_image(made)], 1)
        placed = look.placed(torch.cat([images, where], 1))
        where = placed[:, 6:].clamp(0, 1)
        rim = (where[:, 1:] - where[:, :1]).clamp(0, 1)
        self.truth, self.warped = (look.coloured(x, rim).to(device) for x in (placed[:, :3], placed[:, 3:6]))
        self.where = where.to(device)
        with autocast(device.type):
            self.latent, self.identity = (model.encoder(x).float() for x in (self.truth, self.warped))
        self.lips = small(self.where)
        self.masked = masked(self.identity, self.lips)
        clip = run["clip"]
        frames = int(run["frame"]) + (np.zeros(FRAMES) if run["still"] else np.arange(FRAMES))
        sound = as_sound(clip.sound) if sound is None else sound
        self.sound = around(model.audio_encoder, sound, frames.astype(int) * STACK + clip.lag_rows, device)
        self.seen = sync_net.see(self.truth[None, 1:])[0] if sync_net and not run["still"] else None


class Pool:
    """Slots of so many runs, one of which is renewed at each step of the training. look: strength of the looks; exemplars: share
    of the runs with one; slot: the class of the slots."""

    def __init__(self, model, pairs, size, rng, sync_net=None, look=1.0, exemplars=WITH_EXEMPLAR, slot=Slot):
        self.model, self.pairs, self.rng, self.sync_net = model, pairs, rng, sync_net
        self.look, self.exemplars, self.slot, self.next = look, exemplars, slot, 0
        self.voices = [as_sound(r["clip"].sound) for r in pairs.runs[:100] if len(r["clip"].sound)]
        self.slots = [self.drawn() for _ in range(size)]

    def drawn(self):
        run = self.pairs.runs[self.rng.choice(len(self.pairs.runs), p=self.pairs.weights)]
        look = Look(self.rng, self.look if self.rng.random() < 0.9 else 0.0, KEPT, noisy=False)
        sound = as_sound(run["clip"].sound)
        if len(sound) and self.rng.random() < OTHER_SOUND:
            sound = spoiled(sound, self.voices, self.rng)
        return self.slot(self.model, run, look, self.rng.random() < self.exemplars, self.sync_net, sound)

    def renew(self):
        self.slots[self.next] = self.drawn()
        self.next = (self.next + 1) % len(self.slots)

    def sample(self, batch):
        """A batch as a dict of latent, previous, identity, lips, masked, stacks; truth, warped and where of the SAMPLED runs that
        come first, five pictures each; seen [SAMPLED, 128] and moves [SAMPLED] of these. The next 4 SAMPLED follow those, but for
        the last of each run, and take what is made of them as their previous frames."""
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
    """Of a model; perceptual: None leaves the texture out; mask [80, 80]: how much of the painted difference counts; corruption:
    as CORRUPTION."""

    def __init__(self, model, perceptual, judge, sync_net, mask, corruption=CORRUPTION):
        self.model, self.perceptual, self.judge, self.sync_net = model, perceptual, judge, sync_net
        self.mask, self.corruption = mask, corruption

    def __call__(self, batch):
        """Velocity, colour, texture, detail, fooled and sync loss of a Pool's batch; the sampled pictures without their edges, without
        gradient, and the true ones."""
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
        fooled = self.judge(pictures[..., inner, inner])
        heard = z.new_zeros(())
        if self.sync_net and batch["moves"].any():
            seen = self.sync_net.see(pictures.unflatten(0, (SAMPLED, five)))
            heard = (batch["moves"] * (1 - (seen * batch["seen"]).sum(1))).sum() / batch["moves"].sum()
        return (matching, colour, texture, detail, fooled, heard), pictures[..., inner, inner].detach(), truth[..., inner, inner]


@torch.no_grad()
def deaf(unet):
    """Makes a U-Net begin without sound: it learned to listen to another encoder."""
    for layer in [unet.audio] + [part.out for part in unet.modules() if isinstance(part, CrossAttention)]:
        layer.weight.zero_()


def related(before, now):
    """Whether an audio encoder, {name: tensor}, has gone on to learn from another: the same layers, none of whose matrices has
    changed by more than half its length. Its tokens are then much like the other's."""
    matrices = [name for name, value in now.items() if name.endswith("weight") and value.dim() > 1]
    return before.keys() == now.keys() and all(
        before[name].shape == now[name].shape and (before[name] - now[name]).norm() <= now[name].norm() / 2 for name in matrices)


def begun(cache, init):
    """The model that the training begins with: audio encoder and lips as lips.py left them, but for RANGE, the other networks out of
    the model file `init`; if it listened with an audio encoder that this one did not go on from, it begins without sound. Without
    one the autoencoder is autoencoder.py's, the others are new."""
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
    if not related(part_of(init, "audio_encoder"), lips["audio_encoder"]):
        deaf(model.denoiser.unet)
    return model


@torch.no_grad()
def in_a_row(model, identity, masked, lips, sound):
    """[T, 4, 20, 20]: latents made one after the other, each with the one before as its previous frame, of identity and masked
    [T, 4, 20, 20], lips [T, 2, 20, 20] and sound [T, tokens, C]. All begin with the same noise."""
    noise = torch.randn(identity[:1].shape, generator=torch.Generator().manual_seed(0)).to(identity)
    previous, made = None, []
    for k in range(len(identity)):
        one, tokens = slice(k, k + 1), model.audio_encoder(sound[k:k + 1].to(identity))
        previous = model.sample(noise, masked[one], lips[one], identity[one], tokens, previous)
        made.append(previous)
    return torch.cat(made)


@torch.no_grad()
def pictures_of(model, slot, mask):
    """[6, 3, 80, 80] that the model paints for a slot."""
    latents = in_a_row(model, slot.identity, slot.masked, slot.lips, slot.sound)
    return painted(model, latents, slot.identity, slot.warped, mask)


@torch.no_grad()
def validate(model, slots, mask, sync_net, path):
    """Of slots of several kinds, [(kind, slot)]: mean PSNR in dB around the lips of the warped and of the painted picture, its
    sharpness against the truth's, and, but for portraits, how near the motion of both is to the true one for the sync network (1:
    the same). Draws truth, warped and painted pictures."""
    rows, figures = [], {}
    for kind, slot in slots:
        made = pictures_of(model, slot, mask)
        real = slot.truth[MOUTH]
        row = [psnr(slot.warped[MOUTH], real), psnr(made[MOUTH], real), sharpness(made[MOUTH], real)]
        if slot.seen is not None:
            row += [(sync_net.see(x[None, 1:])[0] * slot.seen).sum().item() for x in (slot.warped, made)]
        figures.setdefault(kind, []).append(row)
        if len(figures[kind]) <= 3:
            rows += [slot.truth, slot.warped, made]
    plots.sheet(rows, path)
    return {kind: np.round(np.mean(v, 0), 3).tolist() for kind, v in figures.items()}


def looped(store, model, judge, lr, batch, schedule, rng, check=lambda: None):
    """The Loop of a painter's training: what of the model takes gradients learns, the decoder slower. Its average is
    average["average"], by which the model goes on; `check` is called after each checkpoint."""
    learning = lambda *parts: [p for part in parts for p in part.parameters() if p.requires_grad]
    groups = [{"params": learning(model.denoiser, model.bottleneck, model.audio_encoder)},
              {"params": learning(model.decoder), "lr": lr * DECODER_RATE}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.99), weight_decay=0.01)
    return Loop(store, optimizer, schedule, parts={"model": model, "judge": judge.net, "judge_optimizer": judge.optimizer},
                averages={"average": model}, rng=rng, batch=batch, figures=FIGURES, follow=0.002, config=model.config,
                validate=check)


def train(loop, losses, pool, judge):
    """Runs the loop."""
    for _ in loop:
        with autocast(loop.device):
            parts, made, truth = losses(pool.sample(loop.batch))
            weights = 1, COLOUR, TEXTURE, DETAIL, FOOLED * min(1, loop.step / 500), SYNC
            loss = sum(weight * part for weight, part in zip(weights, parts))
        loop.learn(loss)
        loop.note([*parts, judge.learn(truth, made)])
        pool.renew()


def main():
    parser = options(__doc__, cache="folder with clips, pairs, lips.pt, sync.pt, and autoencoder.pt unless there is --init; for what is "
                     "learned", minutes=60, seed="the first weights and the batches")
    parser.add_argument("--init", type=existing, metavar="MODEL", help="a model file to go on from")
    parser.add_argument("--sync", type=existing, metavar="FILE", help="another network than CACHE/sync.pt for the sync loss")
    parser.add_argument("--perceptual", type=existing, metavar="FILE",
                        help="SqueezeNet's weights (networks/perceptual.py); without them textures are not looked at")
    parser.add_argument("--batch", type=int, default=32, help="pictures of a step, at least 9")
    parser.add_argument("--lr", type=float, default=3e-4, help="highest learning rate")
    parser.add_argument("--pool", type=int, default=300, help="runs held as latents")
    args = parser.parse_args()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    model = begun(args.cache, args.init).to(device, memory_format=torch.channels_last)
    for part in (model.encoder, model.audio_encoder, model.lips):
        part.requires_grad_(False)
    judge, mask = Judge(device), fade(model.config.window).to(device)
    sync_net = sync.load(args.sync or needed(args.cache, "sync.pt")).to(device)
    losses = Losses(model, Perceptual(args.perceptual).to(device) if args.perceptual else None, judge, sync_net, mask)
    held, quiet, shown = Pairs.of(args.cache, True), np.random.default_rng(1), []
    for kind, still, exemplar in (("exemplar", 0, True), ("own", 0, False), ("portrait", 1, False)):
        runs = [r for r in held.runs if r["still"] == still and (still or len(r["clip"].sound))][:16]
        shown += [(kind, Slot(model, r, Look(quiet, 0.0, KEPT), exemplar, sync_net)) for r in runs]

    def check():
        figures = validate(loop.average["average"], shown, mask, sync_net, args.cache / "painter_sheet.png")
        print("warped, painted, sharp, sync warped, painted:", figures, flush=True)

    loop = looped(args.cache / "painter.pt", model, judge, args.lr, args.batch,
                  Schedule(warm_up=200, fall=0.25, minutes=args.minutes, began=args.began), rng, check=check)
    train(loop, losses, Pool(model, Pairs.of(args.cache, False), args.pool, rng, sync_net), judge)
    distributed.stop()


if __name__ == "__main__":
    main()
