# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the audio encoder's teacher (networks/teacher.py) on the clips: `python -m train.teacher --cache CACHE
--speech FOLDER...` writes and resumes CACHE/teacher.pt. Then it lets the teacher predict the mouth's coefficients for
speech without video, audio files of up to 26 s: CACHE/spoken/NAME.npz with sound int16 [N] and coefficients float32 [T,
12], from which train/lips.py learns words, voices and languages that the clips do not have.

The lips of p, b and m are closed where their times are known: in the output of data/spoken.py, and in other English
speech, --english FOLDER..., where pocketsphinx finds them (data/phones.py). The teacher, trained on a few hundred
words, leaves some of them open."""
import contextlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from data.clips import balanced, load, save
from data.geometry import Basis
from data.options import existing, needed, needs, parser as options, progress
from data.phones import Aligner, written
from data.prepare import FPS, sound
from data.speech import SAMPLE_RATE, STACK
from data.voices import pace, degraded
from networks.config import Config
from networks.model import autocast
from networks.teacher import Teacher
from train import distributed
from train.lips import CHANGE, OPENING, Clips, as_sound, report
from train.loop import Loop, Schedule

RUN, RUNS = 12, 16  # consecutive frames, runs of a batch
LONGEST = 26        # s
SOUNDS = ".flac .m4a .mp3 .oga .ogg .opus .wav".split()


@torch.no_grad()
def predicted(teacher, heard, rows):
    """[T, 12]: the coefficients that a teacher predicts at rows [T] from its features [K, 384]."""
    return teacher(teacher.around(heard, torch.from_numpy(rows).float())).float().cpu().numpy()


def closed(coefficients, phones, basis):
    """Coefficients [T, 12] with lips shut in the frames of the first halves of p, b and m, and half as open next to
    them, by the smallest motion. phones: as from data/phones.py."""
    kept = np.ones(len(coefficients))
    for kind, start, end in phones:
        if kind == "bilabial":
            first, last = int(start), int((start + end) / 2)
            kept[max(first - 1, 0):last + 2] = np.minimum(kept[max(first - 1, 0):last + 2], 0.5)
            kept[first:last + 1] = 0
    opening = np.maximum(coefficients @ basis.gap, 0)
    return (coefficients - basis.likeliest((1 - kept) * opening)).astype(np.float32)


def tell(teacher, path, cache, device, basis, aligner=None):
    """Writes CACHE/spoken/NAME.npz for an audio file; p, b and m are closed if NAME.phones or an aligner says where
    they are."""
    samples = sound(path)[:LONGEST * SAMPLE_RATE]
    heard = teacher.extract(as_sound(samples).to(device))
    made = predicted(teacher, heard, STACK * np.arange(len(samples) * FPS // SAMPLE_RATE))
    if path.with_suffix(".phones").exists():
        made = closed(made, written(path.with_suffix(".phones")), basis)
    elif aligner:
        with contextlib.suppress(ValueError):  # no words were found
            made = closed(made, aligner(samples), basis)
    save(cache / "spoken" / f"{path.parent.name}__{path.stem}.npz", sound=samples, coefficients=made)


def sound_files(args):
    """The files in English, and all others."""
    files = lambda folders: sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in SOUNDS)
    english = files(args.english)
    others = [path for path in files(args.speech) if path not in english]
    if (args.speech or args.english) and not english + others:
        raise SystemExit(f"no sound files ({' '.join(SOUNDS)}) in {' '.join(map(str, args.speech + args.english))}")
    return english, others


def main():
    parser = options(__doc__, cache="folder with clips and geometry, and for the results", minutes=4,
                     seed="the initial weights and the batches")
    for name, what in ("--speech", "in any language"), ("--english", "in English"):
        parser.add_argument(name, type=existing, nargs="+", default=[], metavar="FOLDER", help=f"folder of audio files, {what}")
    args = parser.parse_args()
    needs("ffmpeg")
    english, others = sound_files(args)
    device = distributed.start()
    rng = distributed.seed(args.seed)
    learned, held = (load(args.cache, v, pictures=False, heard=True) for v in (False, True))
    basis, config = Basis(load_file(needed(args.cache, "geometry.safetensors"))), Config()
    learned, held = Clips(learned, basis), Clips(held, basis)
    teacher = Teacher(config.coefficients).to(device)
    hear = lambda samples: teacher.extract(samples.to(device))
    heard = [[hear(one), hear(degraded(one, learned.sounds, rng))] for one in learned.sounds]
    heard_held = [hear(one) for one in held.sounds]
    every = torch.cat([plain for plain, _ in heard])
    teacher.mean.copy_(every.mean(0))
    teacher.deviation.copy_(every.std(0) + 1e-3)

    def tells(index):
        rows = STACK * np.arange(len(held.coefficients[index])) + held.clips[index].lag_rows
        return predicted(loop.average["teacher"], heard_held[index], rows)

    def validate():
        print("opening r at once, best of 3 frames, range:", report(tells, held, basis), flush=True)

    optimizer = torch.optim.AdamW([p for p in teacher.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.03)
    schedule = Schedule(warm_up=100, fall=0.5, minutes=args.minutes, began=args.began)
    loop = Loop(args.cache / "teacher.pt", optimizer, schedule, parts={"net": teacher}, averages={"teacher": teacher}, rng=rng,
                batch=RUN * RUNS, figures=["coefficients", "opening", "change"], follow=0.005, validate=validate)
    gap = torch.tensor(basis.gap, dtype=torch.float32, device=device)
    gap, weight = gap / gap.norm(), torch.linspace(1.5, 0.5, config.coefficients, device=device)
    change = lambda x: x[:, 1:] - x[:, :-1]
    near = lambda a, b: F.smooth_l1_loss(a, b, beta=0.5)
    share = balanced(learned.clips, 0.6)
    for _ in loop:
        stacks, wanted = [], []
        for index in rng.choice(len(share), RUNS, p=share):
            speed = pace(rng)
            start = rng.integers(0, max(1, len(learned.coefficients[index]) - int(RUN * speed) - 1))
            frames = start + speed * np.arange(RUN)
            rows = torch.from_numpy(STACK * frames + learned.clips[index].lag_rows).float()
            stacks.append(teacher.around(heard[index][rng.integers(2)], rows))
            wanted.append(learned.at(index, frames))
        stacks, wanted = torch.cat(stacks), torch.from_numpy(np.stack(wanted)).to(device)
        with autocast(device):
            made = teacher(stacks + 0.1 * torch.randn_like(stacks)).float().view_as(wanted)
        parts = near(made * weight, wanted * weight), near(made @ gap, wanted @ gap), near(change(made), change(wanted))
        loop.learn(parts[0] + OPENING * parts[1] + CHANGE * parts[2])
        loop.note(parts)
    if distributed.first():
        (args.cache / "spoken").mkdir(exist_ok=True)
        aligner = Aligner() if english else None
        for done, path in enumerate(progress(english + others, "sounds")):
            tell(loop.average["teacher"], path, args.cache, device, basis, aligner if done < len(english) else None)
    distributed.stop()


if __name__ == "__main__":
    main()
