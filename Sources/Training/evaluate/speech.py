# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the audio encoder and lips head of a model on any speech: the predicted mouth against real mouths, file by
file and phone by phone. Nothing is painted.

    python -m evaluate.speech --model MODEL --output REPORT [--real VIDEO...] [--sounds FOLDER...]

writes REPORT/speech.md, tables, and REPORT/speech.svg, a chart of lips by phone; meta/metrics.md defines the metrics.
--real: videos of people speaking, or folders of them, that the model was not trained on; one row for each folder. They
are prepared in REPORT/cache. --sounds: speech without video, of which --most files in each language are used. The
language is the folder in FOLDER that a file is in, or the part of its name before the first "-"."""
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
CORNERS = 61, 291  # mesh points of the mouth's corners
LONGEST = 12  # seconds of a file that are used
LEVEL = 0.05  # standard deviation to which every file is scaled, -26 dB; interference is added on top
DECIBELS = 20, 10, 5, 0  # of the voice above the interference
BELOW = 0, 20, 40  # dB: the audio's peak below full scale
ALONE, SECONDS = 10, 8  # number and length of pieces of music, noise and so on
SOON = 7  # unknown features at a look-ahead of 120 ms
SEED = 0


class Predictor:
    """The predictions of a model file."""

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
        """[T, 12]: the coefficients predicted from audio float32 [N] at its rows [T] (10 ms); `unknown`: how many of
        the last features are unknown."""
        encoder, head = self.parts
        stacks = around(encoder, sound, rows, "cpu")
        if unknown:
            stacks = encoder.mask_unknown(stacks, torch.tensor(unknown))
        return self.basis.decided(head(encoder(stacks)).numpy())

    def predicted_opening(self, sound):
        """[T]: the opening predicted for a whole file."""
        return self.opening(self.coefficients(sound, np.arange(0, len(sound) * 100 // SAMPLE_RATE, STACK)))

    def opening(self, coefficients):
        """[T]: the opening for coefficients [T, 12], outer eye distances."""
        return np.maximum(coefficients @ self.basis.gap, 0)

    def width(self, coefficients):
        """[T]: how much wider than closed the mouth is, outer eye distances."""
        return coefficients @ self.across


def scaled(sound):
    return sound * LEVEL / sound.std().clamp(min=1e-6)


def mixed(voice, other, decibels):
    """The voice mixed with a sound this many dB quieter."""
    return voice + other * 10 ** (-decibels / 20) * voice.std() / other.std().clamp(min=1e-6)


# people on video

def clips_of(folders, cache):
    """The clips with audio of all videos in the folders, prepared in the cache."""
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
    """Whether an opening [T] falls below SHUT during a phone, from `start` to `end` in frames, or one frame before or
    after."""
    return opening[max(0, int(start) - 1):int(end) + 2].min() < SHUT


class Take:
    """A clip of a speaker: the prediction from its audio against the real lips. ValueError if nobody speaks."""

    def __init__(self, predictor, clips, index, align, rng):
        clip = self.clip = clips.clips[index]
        self.text = text_of(clip.name)
        late = -clip.lag_rows // STACK
        self.phones = [(name, start + late, end + late) for name, start, end in align(clip.sound, self.text)]
        spoken = [phone for phone in self.phones if phone[0] not in (None, "silence")]
        if not spoken:
            raise ValueError("nobody speaks")
        self.span = spoken[0][1], spoken[-1][2]
        rows, voice = STACK * np.arange(len(clip.points)) + clip.lag_rows, scaled(clips.sounds[index])
        made, real = predictor.coefficients(voice, rows), clips.coefficients[index]
        self.made, self.real = predictor.opening(made), predictor.opening(real)
        self.wide, self.width = predictor.width(made), predictor.width(real)
        self.soon = predictor.opening(predictor.coefficients(voice, rows, SOON))
        self.with_music = predictor.opening(predictor.coefficients(mixed(voice, music(len(voice), rng), 5), rows))
        (self.best, self.lag), self.range = self.fit(self.made), spread(self.made, self.real, self.span)

    def by_phone(self):
        """[(class, opening real and predicted, width real and predicted, closes real and predicted)] for each phone,
        with opening and width in its middle."""
        out = []
        for name, start, end in self.phones:
            at = int((start + end) / 2)
            if name and at < len(self.real):
                closes = [closes_in(opening, start, end) for opening in (self.real, self.made)]
                out.append((name, self.real[at], self.made[at], self.width[at], self.wide[at], *closes))
        return out

    def fit(self, made, lags=LAGS):
        """The best correlation of an opening with the real one, and its lag."""
        return correlation(made, self.real, self.span, lags)

    def wrong(self, takes):
        """The mean correlation with the predictions for the other clips' audio, repeated where that is shorter."""
        return np.mean([self.fit(np.resize(take.made, len(self.real)))[0] for take in takes if take is not self] or [np.nan])


def takes_of(predictor, folders, cache):
    """The Takes of the videos; reports on stderr the clips that cannot be measured."""
    rng, align, takes = np.random.default_rng(SEED), Aligner(), []
    torch.manual_seed(SEED)
    clips = Clips(clips_of(folders, cache), predictor.basis)
    for index, clip in enumerate(clips.clips):
        try:
            takes.append(Take(predictor, clips, index, align, rng))
        except ValueError as error:
            print(f"{clip.speaker}/{clip.name}: {error}, skipped", file=sys.stderr)
    if not takes:
        raise SystemExit("--real: no clip in which somebody is seen and heard speaking for a second")
    return takes


def phones_of(takes):
    """{class: [N, 6]} from by_phone."""
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
            "r: correlation of the predicted lip opening with the real one, during speech, at the best lag of 5 frames either way "
            "and at lag 0; with the audio of the other clips (wrong); with music 5 dB below the voice; with 120 ms of look-ahead. "
            "Range: standard deviation of the opening, predicted / real.", "",
            *table(["folder", "clips", "r", "r at lag 0", "lag, median", "within 1 frame", "r, wrong", "range", "r, music",
                    "r, 120 ms", "p b m", "predicted close", "real close"], rows)]


def phone_tables(kinds):
    """kinds: {how the phones were found: {class: [N, 6]}}"""
    lines = ["## Lips by phone", "",
             "Opening and width (minus that of the closed mouth) in the middle of the phones, hundredths of the outer eye "
             "distance; the fraction that closes (below 3) during the phone or one frame before or after.", ""]
    for kind, by in kinds.items():
        head = ["class", "phones", "number", "opening, real", "predicted", "width, real", "predicted", "closes, real", "predicted"]
        rows = [[name, CLASSES[name].lower(), len(values), *(values.mean(0) * [100, 100, 100, 100, 1, 1])]
                for name, values in by.items()]
        lines += [f"Phones of {kind}:", "", *table(head, rows), ""]
    return lines[:-1]


# audio only

def by_language(folders, most):
    """{language: [(float32 [N], phones)]}: at most `most` files in each language, evenly spaced in the list. phones:
    read by data/phones.py from data/spoken.py's file, empty without one."""
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


def degradations(voices, rng):
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


def sound_tables(predictor, folders, most):
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    files = by_language(folders, most)
    degrade = degradations([voice for part in files.values() for voice, _ in part], rng)
    plain, agreement, loudness = [], [], []
    for language, spoken in files.items():
        part = [voice for voice, _ in spoken]
        clean = [predictor.predicted_opening(voice) for voice in part]
        joined = np.concatenate(clean)
        closes = [closes_in(opening, start, end) for opening, (_, phones) in zip(clean, spoken)
                  for kind, start, end in phones if kind == "bilabial" and int(start) < len(opening)]
        plain.append([language, len(part), 100 * np.mean([c.std() for c in clean]), 100 * joined.mean(), (joined < SHUT).mean(),
                      len(closes), np.mean(closes or [np.nan])])
        agrees = lambda change: np.mean([pearson(predictor.predicted_opening(change(voice)), c) for voice, c in zip(part, clean)])
        agreement.append([language, *map(agrees, degrade.values())])
        quiet = [[predictor.predicted_opening(voice / voice.abs().max() * 10 ** (-below / 20)).std() for below in BELOW]
                 for voice in part]
        loudness.append([language, *(np.mean(quiet, 0) / np.mean(quiet, 0)[0])])
    alone = []
    for name, make in {"silence": lambda count, rng: torch.zeros(count), "music": music, "noise": noise, "breath": breath,
                       "applause": applause}.items():
        openings = np.concatenate([predictor.predicted_opening(scaled(make(SECONDS * SAMPLE_RATE, rng))) for _ in range(ALONE)])
        alone.append([name, ALONE * SECONDS, (openings > SHUT).mean(), 100 * openings.mean()])
    return ["## Speech without pictures", "",
            "The predicted opening: standard deviation and mean, hundredths of the outer eye distance; the fraction of closed "
            "frames (below 3); if the phones are known, the fraction of p, b and m that close as above.", "",
            *table(["language", "files", "deviation", "mean", "closed", "p b m", "close"], plain), "",
            "Correlation of the opening predicted from degraded and from clean audio; numbers: dB of the voice above the music or "
            "babble.", "", *table(["language", *degrade], agreement), "",
            "Standard deviation of the opening by loudness, with the peak this many dB below full scale, relative to 0 dB.", "",
            *table(["language", *(f"{-below} dB" for below in BELOW)], loudness), "",
            "Audio without speech: the fraction of open frames (above 3), and the mean opening.", "",
            *table(["sound", "seconds", "open", "mean"], alone)]


# ---------------------------------------------------------------- the report

def table(head, rows):
    """A Markdown table; numbers with two decimals, unknown values as a dash."""
    number = lambda value: f"{round(value, 2) + 0:.2f}" if np.isfinite(value) else "-"
    cell = lambda value: str(value) if isinstance(value, (str, int)) else number(value)
    return [f"| {' | '.join(map(cell, row))} |" for row in (head, ["---"] * len(head), *rows)]


def main():
    parser = options(__doc__)
    parser.add_argument("--model", type=existing, required=True, help="a model file")
    parser.add_argument("--output", type=Path, required=True, metavar="REPORT", help="folder for the report")
    parser.add_argument("--real", type=existing, nargs="+", default=[], metavar="VIDEO",
                        help="a video of somebody speaking, or a folder of them")
    parser.add_argument("--sounds", type=existing, nargs="+", default=[], metavar="FOLDER", help="of audio files without video")
    parser.add_argument("--most", type=int, default=8, help="files in each language")
    args = parser.parse_args()
    if not args.real and not args.sounds:
        parser.error("nothing to measure: --real or --sounds")
    args.output.mkdir(parents=True, exist_ok=True)
    predictor = Predictor(args.model)
    lines = ["# The mouth that the model predicts from speech", "", f"    python -m evaluate.speech {shlex.join(sys.argv[1:])}"]
    if args.real:
        takes = takes_of(predictor, args.real, args.output / "cache")
        known = {"known texts": True, "recognised texts": False}
        kinds = {kind: phones_of([take for take in takes if bool(take.text) == is_known]) for kind, is_known in known.items()}
        kinds = {kind: by for kind, by in kinds.items() if by}
        lines += ["", *real_tables(takes), "", *phone_tables(kinds)]
        plots.lips(kinds, args.output / "speech.svg")
    if args.sounds:
        lines += ["", *sound_tables(predictor, args.sounds, args.most)]
    (args.output / "speech.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
