# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the audio encoder and the lips head (networks.audio.LipsHead) to predict the mouth's coefficients
(data/geometry.py) from audio: `python -m train.lips --cache CACHE`. The encoder starts from Whisper's first layers
(convert/whisper.py), from a model file, `--init MODEL`, or from AV-HuBERT, `--audio-encoder FILE`
(convert/avhubert.py), whose first layers are frozen. Writes and resumes CACHE/lips.pt.

The losses are computed on runs of RUN consecutive frames: the distance of the coefficients, of the lip opening that
they produce, and of the change of both from frame to frame; and a sync loss. For the latter, a network
(networks/motion.py) is first trained on real motion to tell which motion belongs to which audio; the predicted motion
must then look to it like the real one. Regression alone gives lips that move too little.

TALKING of a batch's runs are clips. SPOKEN are speech without video, CACHE/spoken, for which a teacher that hears whole
utterances has predicted the coefficients (train/teacher.py), or clips if there is none. In QUIET runs nobody speaks:
the mouth is closed. The audio is degraded as in practice (data/voices.py). In a fraction SHORT of the runs the last
features are unknown, because the encoder also serves shorter look-aheads."""
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from convert import whisper
from convert.export import part_of
from data.clips import balanced, load
from data.geometry import Basis, Neutral, Pose
from data.options import existing, needed, parser as options
from data.speech import BANDS, ROW, STACK, log_mel
from data.voices import other_voice, pace, degraded, non_speech
from evaluate.metrics import SHUT
from networks import avhubert
from networks.audio import AudioEncoder, LipsHead
from networks.config import Config
from networks.model import autocast
from networks.motion import ROWS, SEEN, Motion
from train import distributed
from train.loop import Loop, Schedule

RUN = 25  # consecutive frames, 1 s
TALKING, SPOKEN, QUIET = 6, 5, 1  # runs of a batch
BEFORE, BEHIND = 170, 40  # rows of audio before and after a run's
OPENING, CHANGE, SYNC = 2.0, 0.5, 0.5  # weights of the losses relative to the coefficients'
CLOSING = 4.0  # additional weight of openings where lips shut for a moment
SHORT, UNKNOWN = 0.25, 8  # fraction of the runs in which up to UNKNOWN of the last features are unknown
RATE = 1e-3


def as_sound(samples):
    """int16 [N] -> float32 [N] in -1 ... 1."""
    return torch.from_numpy(samples.astype(np.float32) / 32768)


def cut_out(samples, start, count, speed):
    """float32 [count]: the audio float32 [N] from sample `start` on, at `speed` times its pace; silence where there is
    none."""
    first, last = int(np.floor(start)), int(np.ceil(start + speed * count))
    part = samples[max(first, 0):max(last, 0)]
    part = F.pad(part, (max(-first, 0), last - max(first, 0) - len(part)) if last > 0 else (last - first, 0))
    if speed == 1:
        return part[:count]
    return F.interpolate(part[None, None], count, mode="linear")[0, 0]


def between(made, frames):
    """Coefficients [T, 12] interpolated at fractional frames, from those of all frames [N, 12]."""
    low = np.clip(np.floor(frames).astype(int), 0, len(made) - 1)
    part = np.clip(frames - low, 0, 1)[:, None].astype(np.float32)
    return made[low] * (1 - part) + made[np.minimum(low + 1, len(made) - 1)] * part


class Clips:
    """Coefficients [T, 12] and audio of the clips that have audio."""

    def __init__(self, clips, basis):
        self.clips, self.coefficients = [c for c in clips if len(c.sound)], []
        self.sounds = [as_sound(c.sound) for c in self.clips]
        for clip in self.clips:
            points = clip.points.astype(np.float64)
            shape = Pose.of(points, basis.canonical).unposed(points)
            self.coefficients.append(basis.coefficients(shape, Neutral.of(basis, shape)).astype(np.float32))

    @torch.no_grad()
    def features(self, index, frames, encoder):
        """[T, tokens, C]: the encoder's input around these frames of a clip."""
        clip, device = self.clips[index], next(encoder.parameters()).device
        return around(encoder, self.sounds[index], STACK * frames + clip.lag_rows, device)

    def at(self, index, frames):
        """[T, 12]: the coefficients at fractional frames."""
        return between(self.coefficients[index], frames)


@torch.no_grad()
def around(encoder, sound, rows, device):
    """[T, tokens, C]: the encoder's input from audio [N] around rows [T], even numbers. Outside the audio is silence."""
    before = encoder.BEFORE
    padded = F.pad(sound, (ROW * before, ROW * (BEHIND + max(0, int(rows.max()) + 1 - len(sound) // ROW))))
    return encoder.around(encoder.extract(padded[None].to(device)), torch.from_numpy(rows)[None] + before)[0]


def motion_windows(motion, rows):
    """All windows of SEEN consecutive frames of motion [B, T, 12], with their audio from rows [B, 4 T, 26]."""
    starts = range(motion.shape[1] - SEEN + 1)
    return (torch.cat([motion[:, k:k + SEEN] for k in starts]),
            torch.cat([rows[:, STACK * k:STACK * k + ROWS] for k in starts]))


class Spoken:
    """The audio and coefficients [T, 12] of CACHE/spoken."""

    def __init__(self, cache):
        self.sounds, self.coefficients = [], []
        for path in sorted((cache / "spoken").glob("*.npz")):
            with np.load(path) as kept:
                self.sounds.append(as_sound(kept["sound"]))
                self.coefficients.append(kept["coefficients"])


class Batches:
    def __init__(self, clips, spoken, rng):
        self.clips, self.spoken, self.rng, self.weights = clips, spoken, rng, balanced(clips.clips, 0.6)
        self.voices = spoken.sounds + clips.sounds

    def frames(self, coefficients, run):
        """The position of a run of `run` consecutive frames, as fractional frames, and its pace."""
        speed = pace(self.rng)
        return self.rng.integers(-3, max(1, len(coefficients) - int(run * speed) + 3)) + speed * np.arange(run), speed

    def clip(self):
        return int(self.rng.choice(len(self.weights), p=self.weights))

    def motions(self, runs=24, run=10):
        """For the motion network: coefficients [runs, run, 12] and their audio rows [runs, 4 run, 26]."""
        wanted, rows = [], []
        for _ in range(runs):
            index = self.clip()
            clip = self.clips.clips[index]
            frames, speed = self.frames(self.clips.coefficients[index], run)
            place = np.clip(STACK * frames[0] + clip.lag_rows + speed * np.arange(STACK * run), 0, len(clip.fbank) - 1)
            rows.append(clip.fbank[place.astype(int)])
            wanted.append(self.clips.at(index, frames))
        rows = torch.from_numpy(np.stack(rows))
        other = other_voice(rows.view(runs, run, STACK * BANDS)).view_as(rows)
        return torch.from_numpy(np.stack(wanted)), torch.where(torch.rand(runs, 1, 1) < 0.5, other, rows)

    def __call__(self):
        """Audio [12, N] and coefficients [12, RUN, 12]. The frames of a run begin at row BEFORE."""
        count, heard, wanted = ROW * (BEFORE + STACK * RUN + BEHIND), [], []

        def add(sound, coefficients, lag):
            frames, speed = self.frames(coefficients, RUN)
            part = cut_out(sound, ROW * (STACK * frames[0] + lag - speed * BEFORE), count, speed)
            heard.append(degraded(part, self.voices, self.rng))
            wanted.append(between(coefficients, frames))

        spoken = SPOKEN if self.spoken.sounds else 0
        for _ in range(TALKING + SPOKEN - spoken):
            index = self.clip()
            add(self.clips.sounds[index], self.clips.coefficients[index], self.clips.clips[index].lag_rows)
        for index in self.rng.integers(0, max(len(self.spoken.sounds), 1), spoken):
            add(self.spoken.sounds[index], self.spoken.coefficients[index], 0)
        for _ in range(QUIET):
            loud = 10 ** (self.rng.uniform(-90, -15) / 20)
            heard.append((loud * non_speech(count, self.rng)).clamp(-1, 1))
            wanted.append(np.zeros_like(wanted[0]))
        return torch.stack(heard), torch.from_numpy(np.stack(wanted))


def closings(openings):
    """[B, T]: 1 where lips shut for a moment, from openings in outer eye distances: shut here, and open within 4 frames."""
    widest = F.max_pool1d(openings[:, None], 9, 1, 4)[:, 0]
    return ((openings < SHUT) & (widest > 2 * SHUT)).float()


def train_motion(net, batches, minutes, device):
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    start = time.time()
    losses = []
    while (progress := (time.time() - start) / (60 * minutes)) < 1 or not losses:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, 2 * max(1 - progress, 0) + 0.02)
        wanted, rows = batches.motions()
        motion, sound = motion_windows(wanted + 0.1 * torch.randn_like(wanted), rows)
        logits = net.log_scale.exp().clamp(max=50) * net.embed_video(motion.to(device)) @ net.embed_audio(sound.to(device)).T
        truth = torch.arange(len(logits), device=device)
        loss = F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"motion network: {len(losses)} steps, loss {np.mean(losses[:20]):.2f} to {np.mean(losses[-50:]):.2f}", flush=True)


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@torch.no_grad()
def predicted(parts, clips, index):
    """[T, 12]: the coefficients that encoder and head predict for a whole clip."""
    encoder, head = parts
    return head(encoder(clips.features(index, np.arange(len(clips.coefficients[index])), encoder))).cpu().numpy()


def report(predict, clips, basis):
    """For each speaker: correlation of the predicted and real opening, at lag 0 and at the best of three frames either
    way, and its range, predicted / real. predict(index): coefficients [T, 12] for a clip's audio."""
    by = {}
    for index, clip in enumerate(clips.clips):
        made = np.maximum(predict(index) @ basis.gap, 0)
        real = np.maximum(clips.coefficients[index] @ basis.gap, 0)
        middle = slice(8, len(real) - 8)
        lags = [correlation(made[middle], np.roll(real, -k)[middle]) for k in range(-3, 4)]
        by.setdefault(clip.speaker, []).append([lags[3], max(lags), made[middle].std() / real[middle].std()])
    return {speaker: np.mean(rows, 0).round(3).tolist() for speaker, rows in sorted(by.items())}


def arguments():
    parser = options(__doc__, cache="folder with clips, geometry and, for other words than theirs, spoken; also for the result",
                     minutes=30, seed="the initial weights and the batches")
    parser.add_argument("--motion-minutes", type=float,
                        help="minutes of these for the sync loss's network, trained first; without it: a twentieth")
    parser.add_argument("--sync-weight", type=float, default=SYNC, help="weight of the sync loss")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--audio-encoder", type=existing, metavar="FILE", help="AV-HuBERT, from convert/avhubert.py")
    begin.add_argument("--init", type=existing, metavar="MODEL", help="a model file whose encoder to continue from")
    parser.add_argument("--frozen-layers", type=int, help="AV-HuBERT's first layers to freeze; without it: three quarters")
    parser.add_argument("--name", default="lips", help="name of the file in CACHE")
    return parser.parse_args()


def initial_networks(args, batches, device):
    """The audio encoder and the lips head to train, and their Config."""
    config = Config()
    if args.audio_encoder:
        encoder, config = avhubert.load(args.audio_encoder)
        encoder.freeze(args.frozen_layers)
    else:
        encoder = AudioEncoder(config)
        if args.init:
            encoder.load_state_dict(part_of(args.init, "audio_encoder"))
        else:
            whisper.begin(encoder.front, log_mel(torch.cat([batches()[0] for _ in range(4)])))
    encoder.to(device)
    head = LipsHead(config).to(device)
    if args.init:
        head.load_state_dict(part_of(args.init, "lips"))
    return encoder, head, config


class Losses:
    """The losses of predicted coefficients [N, RUN, C]: of the coefficients, the opening, their change and the sync loss."""

    def __init__(self, basis, motion, config, device):
        self.motion = motion
        self.opens = torch.tensor(basis.gap, dtype=torch.float32, device=device)
        self.gap = self.opens / self.opens.norm()
        self.weight = torch.linspace(1.5, 0.5, config.coefficients, device=device)

    def embed(self, x):
        return self.motion.embed_video(torch.cat([x[:, k:k + SEEN] for k in range(RUN - SEEN + 1)]))

    def opening(self, made, wanted):
        return F.smooth_l1_loss(made @ self.gap, wanted @ self.gap, beta=0.5)

    def __call__(self, made, wanted):
        near = lambda a, b: F.smooth_l1_loss(a, b, beta=0.5)
        change = lambda x: x[:, 1:] - x[:, :-1]
        speaking = slice(0, TALKING + SPOKEN)
        opening = F.smooth_l1_loss(made @ self.gap, wanted @ self.gap, beta=0.5, reduction="none")
        return (near(made * self.weight, wanted * self.weight),
                (opening * (1 + CLOSING * closings(wanted @ self.opens))).mean(),
                near(change(made), change(wanted)),
                1 - (self.embed(made[speaking]) * self.embed(wanted[speaking])).sum(1).mean())


def main():
    args = arguments()
    device = distributed.start()
    rng = distributed.seed(args.seed)
    learned, held = (load(args.cache, v, pictures=False, heard=True) for v in (False, True))
    basis = Basis(load_file(needed(args.cache, "geometry.safetensors")))
    learned, held = Clips(learned, basis), Clips(held, basis)
    batches = Batches(learned, Spoken(args.cache), rng)
    if not batches.spoken.sounds and distributed.first():
        print(f"no speech in {args.cache / 'spoken'}, so the words of the clips are all that is learned: "
              "`python -m train.teacher --speech FOLDER...` adds other speech", flush=True)
    encoder, head, config = initial_networks(args, batches, device)
    motion = Motion(config.coefficients).to(device)
    # The pretrained part learns more slowly, so that it keeps what it knows of speech.
    known = list((encoder.front if config.av_hubert == 0 else encoder).parameters())
    fresh = [p for p in encoder.parameters() if all(p is not k for k in known)] + list(head.parameters())
    optimizer = torch.optim.AdamW([{"params": [p for p in known if p.requires_grad], "lr": 0.1 * RATE}, {"params": fresh}],
                                  lr=RATE, weight_decay=0.02)

    def validate():
        parts = loop.average["audio_encoder"], loop.average["lips"]
        figures = report(lambda index: predicted(parts, held, index), held, basis)
        print("opening r at once, best of 3 frames, range:", figures, flush=True)

    # audio_encoder and lips are the averages, which the painter uses.
    loop = Loop(args.cache / f"{args.name}.pt", optimizer, Schedule(warm_up=200, fall=0.5, minutes=args.minutes, began=args.began),
                parts={"net": encoder, "net_head": head, "motion": motion}, averages={"audio_encoder": encoder, "lips": head},
                rng=rng, batch=RUN * (TALKING + SPOKEN + QUIET), figures=["coefficients", "opening", "change", "sync", "spoken"],
                follow=0.005, config=config, validate=validate)
    if not loop.resumed:
        train_motion(motion, batches, args.motion_minutes or args.minutes / 20, device)
        distributed.share(motion.state_dict().values())
    motion.eval().requires_grad_(False)
    losses = Losses(basis, motion, config, device)
    rows = torch.arange(BEFORE, BEFORE + STACK * RUN, STACK)
    for _ in loop:
        heard, wanted = (x.to(device) for x in batches())
        with autocast(device):
            taken = encoder.around(encoder.extract(heard), rows.expand(len(heard), -1))
            if config.av_hubert == 0:
                short = torch.rand(len(heard)) < SHORT
                taken = encoder.mask_unknown(taken, (short * torch.randint(1, UNKNOWN + 1, short.shape))[:, None].expand(-1, RUN))
            made = head(F.dropout(encoder(taken.flatten(0, 1)), 0.15)).float().view_as(wanted)
        parts = losses(made, wanted)
        loop.learn(sum(weight * part for weight, part in zip((1, OPENING, CHANGE, args.sync_weight), parts)))
        loop.note([*parts, losses.opening(made[TALKING:], wanted[TALKING:])])
    distributed.stop()


if __name__ == "__main__":
    main()
