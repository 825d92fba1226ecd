# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Measures what a model hears in any speech: the mouth that its audio encoder and lips head tell, beside real mouths, sound by
sound and phone by phone. Nothing is painted.

    python -m evaluate.speech --model MODEL --output REPORT [--real VIDEO...] [--sounds FOLDER...]

writes REPORT/speech.md, tables, and REPORT/speech.svg, a chart of lips by phone; meta/metrics.md defines the figures. --real:
videos, or folders of them, of people who speak, none of which the model has learned from; a row for each folder. They are
prepared in REPORT/cache. --sounds: speech without pictures, of which --most files of each language are heard. The language is the
folder in FOLDER that a file lies in, or what its name has before the first "-"."""
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from convert.export import load, part_of
from data.clips import SHORTEST, Clip
from data.geometry import Basis
from data.options import existing, parser as options
from data.phones import CLASSES, Aligner, text_of, written
from data.prepare import VIDEOS, prepare_all, sound
from data.speech import SAMPLE_RATE, STACK
from data.voices import applause, babble, breath, in_room, music, noise, telephone
from evaluate import plots
from evaluate.metrics import SHUT, correlation, pearson, spread
from train.lips import Clips, around, as_sound
from train.teacher import SOUNDS

LAGS = range(-5, 6)       # frames
CORNERS = 61, 291         # mesh points of the mouth's corners
LONGEST = 12              # seconds of a sound that are heard
LEVEL = 0.05              # deviation of every sound that is heard, -26 dB; spoiled ones are louder by what is added
DECIBELS = 20, 10, 5, 0   # of the voice above what spoils it
BELOW = 0, 20, 40         # dB: how far a sound's peak lies below the loudest possible
ALONE, SECONDS = 10, 8    # pieces of music, noise and so on, and how long they are
SOON = 7                  # features that are not known yet at a look-ahead of 120 ms
SEED = 0


class Ear:
    """What a model file tells of sounds."""

    def __init__(self, path):
        try:
            model = load(path)
        except SafetensorError as error:
            raise SystemExit(f"{path} is no model file of this version, convert.export writes them: {error}") from None
        self.parts = model.audio_encoder, model.lips
        self.basis = basis = Basis({name: value.numpy() for name, value in part_of(path, "geometry").items()})
        right, left = (int(np.flatnonzero(basis.low == point)[0]) for point in CORNERS)
        self.across = basis.components[:, left, 0] - basis.components[:, right, 0]

    @torch.no_grad()
    def coefficients(self, sound, rows, unknown=0):
        """[T, 12] that are told of sound float32 [N] at its rows [T] (10 ms); `unknown`: of the last features."""
        encoder, head = self.parts
        stacks = around(encoder, sound, rows, "cpu")
        if unknown:
            stacks = encoder.unheard(stacks, torch.tensor(unknown))
        return head(encoder(stacks)).numpy()

    def told(self, sound):
        """[T]: the opening told of a whole sound."""
        return self.opening(self.coefficients(sound, np.arange(0, len(sound) * 100 // SAMPLE_RATE, STACK)))

    def opening(self, coefficients):
        """[T] of coefficients [T, 12], in outer eye distances."""
        return np.maximum(coefficients @ self.basis.gap, 0)

    def width(self, coefficients):
        """[T]: how much wider than closed the mouth is, in outer eye distances."""
        return coefficients @ self.across


def scaled(sound):
    return sound * LEVEL / sound.std().clamp(min=1e-6)


def mixed(voice, other, decibels):
    """The voice with something else that is so many dB less loud."""
    return voice + other * 10 ** (-decibels / 20) * voice.std() / other.std().clamp(min=1e-6)


# ---------------------------------------------------------------- people who are seen

def clips_of(folders, cache):
    """Clips with sound of all videos in the folders, prepared in the cache."""
    prepare_all(folders, cache)
    videos = [p for folder in folders for p in ([folder] if folder.is_file() else folder.rglob("*"))
              if p.suffix.lower() in VIDEOS]
    names, clips = {f"{video.parent.name}__{video.stem}" for video in videos}, []
    for file in sorted((cache / "clips").glob("*.npz")):
        if file.stem in names or file.stem[:-len("-000")] in names:
            with np.load(file) as kept:
                clip = Clip(*file.stem.split("__", 1), None, kept["points"], kept["sound"])
            if len(clip.points) >= SHORTEST and len(clip.sound):
                clips.append(clip)
    return clips


def closes_in(opening, start, end):
    """Whether an opening [T] is below SHUT while a phone lasts or a frame before or after; from `start` to `end` in frames."""
    return opening[max(0, int(start) - 1):int(end) + 2].min() < SHUT


class Take:
    """A clip of somebody who speaks: what is told of its sound beside what the lips do. ValueError where nobody speaks."""

    def __init__(self, ear, clips, index, align, rng):
        clip = self.clip = clips.clips[index]
        self.text = text_of(clip.name)
        late = -clip.lag_rows // STACK
        self.phones = [(name, start + late, end + late) for name, start, end in align(clip.sound, self.text)]
        spoken = [phone for phone in self.phones if phone[0] not in (None, "silence")]
        if not spoken:
            raise ValueError("nobody speaks")
        self.span = spoken[0][1], spoken[-1][2]
        rows, voice = STACK * np.arange(len(clip.points)) + clip.lag_rows, scaled(clips.sounds[index])
        made, real = ear.coefficients(voice, rows), clips.coefficients[index]
        self.made, self.real, self.wide, self.width = ear.opening(made), ear.opening(real), ear.width(made), ear.width(real)
        self.soon = ear.opening(ear.coefficients(voice, rows, SOON))
        self.with_music = ear.opening(ear.coefficients(mixed(voice, music(len(voice), rng), 5), rows))
        (self.best, self.lag), self.range = self.fit(self.made), spread(self.made, self.real, self.span)

    def by_phone(self):
        """[(class, opening real and told, width real and told, closes real and told)] of each phone: opening and width in its
        middle."""
        out = []
        for name, start, end in self.phones:
            at = int((start + end) / 2)
            if name and at < len(self.real):
                closes = [closes_in(opening, start, end) for opening in (self.real, self.made)]
                out.append((name, self.real[at], self.made[at], self.width[at], self.wide[at], *closes))
        return out

    def fit(self, made, lags=LAGS):
        """Best correlation of an opening with the real one, and its lag."""
        return correlation(made, self.real, self.span, lags)

    def wrong(self, takes):
        """Mean correlation with what is told of the other clips' sounds, again from the start where they are shorter."""
        return np.mean([self.fit(np.resize(take.made, len(self.real)))[0] for take in takes if take is not self] or [np.nan])


def takes_of(ear, folders, cache):
    """Takes of the videos, and names on stderr those clips that cannot be measured."""
    rng, align, takes = np.random.default_rng(SEED), Aligner(), []
    torch.manual_seed(SEED)
    clips = Clips(clips_of(folders, cache), ear.basis)
    for index, clip in enumerate(clips.clips):
        try:
            takes.append(Take(ear, clips, index, align, rng))
        except ValueError as error:
            print(f"{clip.speaker}/{clip.name}: {error}, skipped", file=sys.stderr)
    if not takes:
        raise SystemExit("--real: no clip in which somebody is seen and heard to speak for a second")
    return takes


def phones_of(takes):
    """{class: [N, 6]} of by_phone."""
    rows = [row for take in takes for row in take.by_phone()]
    by = {name: np.array([row[1:] for row in rows if row[0] == name], float) for name in CLASSES}
    return {name: values for name, values in by.items() if len(values)}


def real_tables(takes):
    rows = []
    for speaker in sorted({take.clip.speaker for take in takes}):
        chosen = [take for take in takes if take.clip.speaker == speaker]
        figures = [(take.best, take.fit(take.made, [0])[0], abs(take.lag) <= 1, take.wrong(takes),
                    take.range, take.fit(take.with_music)[0], take.fit(take.soon)[0]) for take in chosen]
        bilabial = phones_of(chosen).get("bilabial", np.empty((0, 6)))
        closes = bilabial[:, :3:-1].mean(0) if len(bilabial) else (np.nan, np.nan)
        best, now, near, *rest = np.mean(figures, 0)
        rows.append([speaker, len(chosen), best, now, round(np.median([take.lag for take in chosen])), near, *rest,
                     len(bilabial), *closes])
    return ["## People who speak", "",
            "r: correlation of the lips' opening told of the sound with the real one, in speech, at the best lag of 5 frames either "
            "way and at none; with the sounds of the other clips (wrong); with music 5 dB below the voice; with a look-ahead "
            "of 120 ms. Range: deviation of the opening, told / real.", "",
            *table(["folder", "clips", "r", "r at lag 0", "lag, median", "within 1 frame", "r, wrong", "range", "r, music",
                    "r, 120 ms", "p b m", "told close", "real close"], rows)]


def phone_tables(kinds):
    """kinds: {how the phones were found: {class: [N, 6]}}"""
    lines = ["## Lips by phone", "",
             "Opening and width (less that of the closed mouth) in the middle of the phones, hundredths of the outer eye distance; "
             "the share that closes (below 3) while the phone lasts or a frame before or after.", ""]
    for kind, by in kinds.items():
        head = ["class", "phones", "number", "opening, real", "told", "width, real", "told", "closes, real", "told"]
        rows = [[name, CLASSES[name].lower(), len(values), *(values.mean(0) * [100, 100, 100, 100, 1, 1])]
                for name, values in by.items()]
        lines += [f"Phones of {kind}:", "", *table(head, rows), ""]
    return lines[:-1]


# ---------------------------------------------------------------- sounds alone

def by_language(folders, most):
    """{language: [(float32 [N], phones)]}: at most so many files of each, from all over its list. phones: as data/phones.py reads
    them in the file of data/spoken.py, none where there is no such file."""
    files = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS):
            name = path.stem.split("-")[0] if path.parent == folder else path.relative_to(folder).parts[0]
            files.setdefault(name, []).append(path)
    if not files:
        raise SystemExit(f"--sounds: no file of the kinds {' '.join(SOUNDS)}")
    chosen = {name: [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]
              for name, paths in sorted(files.items())}
    phones = lambda path: written(path) if path.exists() else []
    return {name: [(scaled(as_sound(sound(path, (0, LONGEST)))), phones(path.with_suffix(".phones"))) for path in paths]
            for name, paths in chosen.items()}


def spoilings(voices, rng):
    """{name: function of a voice}"""
    made = {}
    for decibels in DECIBELS:
        made[f"music {decibels}"] = lambda voice, d=decibels: mixed(voice, music(len(voice), rng), d)
    for decibels in DECIBELS:
        made[f"babble {decibels}"] = lambda voice, d=decibels: mixed(
            voice, babble([other for other in voices if other is not voice] or voices, len(voice), rng), d)
    made["telephone"] = lambda voice: telephone(voice, rng)
    made["room"] = lambda voice: in_room(voice, rng)
    return made


def sound_tables(ear, folders, most):
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    files = by_language(folders, most)
    spoil = spoilings([voice for part in files.values() for voice, _ in part], rng)
    plain, agreement, loudness = [], [], []
    for language, spoken in files.items():
        part = [voice for voice, _ in spoken]
        clean = [ear.told(voice) for voice in part]
        joined = np.concatenate(clean)
        closes = [closes_in(opening, start, end) for opening, (_, phones) in zip(clean, spoken)
                  for kind, start, end in phones if kind == "bilabial" and int(start) < len(opening)]
        plain.append([language, len(part), 100 * np.mean([c.std() for c in clean]), 100 * joined.mean(), (joined < SHUT).mean(),
                      len(closes), np.mean(closes or [np.nan])])
        agreement.append([language, *(np.mean([pearson(ear.told(change(voice)), c) for voice, c in zip(part, clean)])
                                      for change in spoil.values())])
        quiet = [[ear.told(voice / voice.abs().max() * 10 ** (-below / 20)).std() for below in BELOW] for voice in part]
        loudness.append([language, *(np.mean(quiet, 0) / np.mean(quiet, 0)[0])])
    alone = []
    for name, make in {"silence": lambda count, rng: torch.zeros(count), "music": music, "noise": noise, "breath": breath,
                       "applause": applause}.items():
        openings = np.concatenate([ear.told(scaled(make(SECONDS * SAMPLE_RATE, rng))) for _ in range(ALONE)])
        alone.append([name, ALONE * SECONDS, (openings > SHUT).mean(), 100 * openings.mean()])
    return ["## Speech without pictures", "",
            "The opening that is told: deviation and mean, hundredths of the outer eye distance; share of frames that are closed "
            "(below 3); where the phones are known, share of p, b and m that close as above.", "",
            *table(["language", "files", "deviation", "mean", "closed", "p b m", "close"], plain), "",
            "Correlation of the opening told of the spoiled sound with that told of the clean one; numbers: dB of the voice above "
            "the music or the babble.", "", *table(["language", *spoil], agreement), "",
            "Deviation of the opening by loudness: the sound's peak so many dB below the loudest possible, against 0.", "",
            *table(["language", *(f"{-below} dB" for below in BELOW)], loudness), "",
            "Sounds that nobody speaks: share of frames that are open (above 3), mean opening.", "",
            *table(["sound", "seconds", "open", "mean"], alone)]


# ---------------------------------------------------------------- the report

def table(head, rows):
    """Lines of Markdown; figures with two decimals, what is not known as a dash."""
    number = lambda value: f"{round(value, 2) + 0:.2f}" if np.isfinite(value) else "-"
    cell = lambda value: str(value) if isinstance(value, (str, int)) else number(value)
    return [f"| {' | '.join(map(cell, row))} |" for row in (head, ["---"] * len(head), *rows)]


def main():
    parser = options(__doc__)
    parser.add_argument("--model", type=existing, required=True, help="a model file")
    parser.add_argument("--output", type=Path, required=True, metavar="REPORT", help="a folder")
    parser.add_argument("--real", type=existing, nargs="+", default=[], metavar="VIDEO", help="with real lips, or a folder of such")
    parser.add_argument("--sounds", type=existing, nargs="+", default=[], metavar="FOLDER", help="of sounds without pictures")
    parser.add_argument("--most", type=int, default=8, help="sounds of each language")
    args = parser.parse_args()
    if not args.real and not args.sounds:
        parser.error("nothing to measure: --real or --sounds")
    args.output.mkdir(parents=True, exist_ok=True)
    ear = Ear(args.model)
    lines = ["# What the model hears in speech", "", f"    python -m evaluate.speech {shlex.join(sys.argv[1:])}"]
    if args.real:
        takes = takes_of(ear, args.real, args.output / "cache")
        known = {"known texts": True, "recognised texts": False}
        kinds = {kind: phones_of([take for take in takes if bool(take.text) == is_known]) for kind, is_known in known.items()}
        kinds = {kind: by for kind, by in kinds.items() if by}
        lines += ["", *real_tables(takes), "", *phone_tables(kinds)]
        plots.lips(kinds, args.output / "speech.svg")
    if args.sounds:
        lines += ["", *sound_tables(ear, args.sounds, args.most)]
    (args.output / "speech.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
