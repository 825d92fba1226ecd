# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Measures dubs: lips against audio, images against the original. meta/metrics.md defines every metric.

    python -m evaluate.evaluate pair GENERATED ORIGINAL [--donor VIDEO [--align FILE]]
        any two videos of one face; for long ones the first and the last minute
    python -m evaluate.evaluate folder FOLDER --output REPORT [-- OPTIONS OF syncdiff dub]

`pair` prints the metrics as JSON. `folder` takes SPEAKER/NAME.mp4 with SPEAKER/NAME.align, as in GRID, and dubs the
held-out clips with `syncdiff dub`: with the audio of the clip of that speaker that shares the fewest words ("cross"),
with its own ("own"), and the first two of a speaker with silence ("silent"); "real" is the original with its own audio,
"mismatched" the original with the cross audio. With --sounds the cross audio comes from a folder of audio files
instead; then there are no lips to compare with, and "mismatched" is the dub with the audio of another clip's dub. Both
write REPORT/report.html with curves, contact sheets and videos, and the metrics as REPORT/report.json.
"""
import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from data.clips import GRID, is_of
from data.options import Help, existing, parser as options
from data.prepare import FPS, WHOLE, duration
from evaluate import metrics, report
from evaluate.footage import Footage, bilabials, silence, words
from networks import identity, sync, syncnet

SILENT = 2  # clips of a speaker that are dubbed with silence
LONG = 150  # seconds: from this length on, only the first and the last minute of a pair are measured, side by side


class Ruler:
    """The sync networks that measure, each optional: our own, and SyncNet."""

    def __init__(self, own=None, published=None):
        self.own = sync.load(own) if own else None
        self.published = syncnet.load(published) if published else None

    def sync(self, made, sound):
        """Metrics and curves of distance by shift, of one video's frames with another's audio."""
        figures, curves = {}, {}
        parts = []
        if self.own:
            parts.append(("sync", *sync.embeddings(self.own, made.windows, sound.fbank)))
        if self.published:
            crops = syncnet.face_crops(made.frames, made.points)
            parts.append(("lse", *syncnet.embeddings(self.published, crops, sound.sound)))
        for name, seen, heard in parts:
            curves[name] = metrics.distances(seen, heard, sync.SHIFTS)
            for part, value in zip("dco", metrics.lse(curves[name])):
                figures[f"{name}_{part}"] = value
            figures[f"{name}_contrast"] = metrics.contrast(seen, heard)
        return figures, curves


def lips_and_sound(ruler, made, sound, level, donor=None, spoken=()):
    """How well the lips of `made` fit the audio of `sound`: metrics, curves. donor: the video of that audio's speaker;
    spoken: its words; level: the opening of this face's shut mouth."""
    figures, curves = ruler.sync(made, sound)
    pauses = metrics.still(metrics.loudness(sound.fbank, len(made)))
    figures["jitter"] = metrics.jitter(made.lips, pauses)
    figures["energy"] = metrics.energy_correlation(made.opening, sound.fbank)
    curves["opening"] = made.opening
    if donor:
        span = (spoken[0][0], spoken[-1][1]) if spoken else None
        figures["correlation"], figures["lag"] = metrics.correlation(made.opening, donor.opening, span)
        figures["range"] = metrics.spread(made.opening, donor.opening, span)
        figures["lip_distance"] = metrics.landmark_distance(metrics.moves(made.lips), metrics.moves(donor.lips))
        curves["donor"] = donor.opening
        events = metrics.closures(made.opening, bilabials(spoken), level)
        if events:
            figures["closed"], figures["shut"] = np.mean(events, 0)
            figures["onsets"] = len(events)
    return figures, curves


def against_original(made, original):
    """Metrics of the images of `made` against those of the video it was made from."""
    if made.frames.shape[1:] != original.frames.shape[1:]:
        raise SystemExit(f"{made.path} and {original.path} differ in size: {made.frames.shape[2:0:-1]}, "
                         f"{original.frames.shape[2:0:-1]}")
    rows = metrics.picture_figures(made.frames, original.frames, original.mouth_boxes, original.changed)
    flicker = rows["flicker"].mean(0)
    faces = [identity.descriptors(f.frames, f.points) for f in (made, original)]
    return {"mouth_psnr": metrics.psnr(rows["mouth_error"].mean()), "mouth_ssim": rows["mouth_ssim"].mean(),
            "outside_psnr": metrics.psnr(rows["outside_error"].mean()), "outside_ssim": rows["outside_ssim"].mean(),
            "sharpness": np.median(rows["sharpness"]), "flicker": flicker[0] / max(flicker[1], 1e-9),
            "lip_colour": metrics.colour_distance(made.lip_colours, original.lip_colours), "identity": identity.distance(*faces)}


def pair(args):
    ruler, cases = Ruler(args.sync, args.syncnet), []
    seconds = int(min(duration(args.generated), duration(args.original)))
    spans = {"first minute": (0, 60), "last minute": (seconds - 60, 60)} if seconds >= LONG else {None: WHOLE}
    for kind, span in spans.items():
        made, original = Footage(args.generated, span), Footage(args.original, span)
        donor = Footage(args.donor, span) if args.donor else original
        spoken = words(args.align, span) if args.align else []
        level = metrics.closed_level(original.opening)
        figures, curves = lips_and_sound(ruler, made, made, level, donor, spoken)
        if args.donor:
            figures["own_mouth"] = metrics.correlation(made.opening, original.opening)[0]
        figures |= against_original(made, original)
        cases.append(report.Case("pair", made.path.stem, kind or ("cross" if args.donor else "own"), figures, curves))
        if args.output:
            cases[-1].show(original, made, args.output)
    if args.output:
        report.write(cases, args.output, f"{args.generated.name} beside {args.original.name}")
    print(json.dumps(report.summary(cases)["pair"], indent=1))


def donor_of(clip, clips):
    """The clip whose words differ most from those of `clip`, position by position; of several the next one in order."""
    i, said = clips.index(clip), {c: [w for _, _, w in words(align_of(c))] for c in clips}
    common = lambda c: sum(a == b for a, b in zip(said[clip], said[c]))
    return min(clips[i + 1:] + clips[:i], key=common)


def align_of(clip):
    return clip.with_suffix(".align")


class Speaker:
    """The held-out clips of one speaker, dubbed by `syncdiff` and measured."""

    def __init__(self, name, clips, ruler, args):
        self.name, self.clips, self.ruler, self.args = name, clips, ruler, args
        self.real = {clip: Footage(clip) for clip in clips}
        self.level = {clip: metrics.closed_level(self.real[clip].opening) for clip in clips}
        self.cases = []

    def dub(self, clip, sound, kind):
        output = self.args.output / f"{self.name}_{clip.stem}_{kind}.mp4"
        command = [self.args.tool, "dub", "--video", clip, "--audio", sound, "-o", output, *self.args.dub_options]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"syncdiff dub {clip.name}: {done.stderr.strip()}")
        return Footage(output)

    def add(self, clip, kind, figures, curves):
        self.cases.append(report.Case(self.name, clip.stem, kind, figures, curves))
        return self.cases[-1]

    def heard(self, clip, kind, made, sound, donor=None):
        """Adds a case: the lips of `made`, footage of the face of `clip`, against audio. donor: the clip the audio is
        from."""
        lips = (self.real[donor], words(align_of(donor))) if donor else ()
        return self.add(clip, kind, *lips_and_sound(self.ruler, made, sound, self.level[clip], *lips))

    def dubbed(self, clip, kind, made, donor=None):
        """Adds a case: a dub of clip, lips and images."""
        case = self.heard(clip, kind, made, made, donor)
        case.figures |= against_original(made, self.real[clip])
        return case

    def leak_of(self, made, clip):
        """The correlation with the lips of a clip whose audio was not used, over its speech."""
        spoken = words(align_of(clip))
        return metrics.correlation(made.opening, self.real[clip].opening, (spoken[0][0], spoken[-1][1]))[0]

    def crossed(self):
        """Adds all kinds of cases, with the audio of each clip replaced by another's."""
        for i, clip in enumerate(self.clips):
            donor = donor_of(clip, self.clips)
            third = next(c for c in self.clips[i + 1:] + self.clips if c not in (clip, donor))
            cross, own = self.dub(clip, donor, "cross"), self.dub(clip, clip, "own")
            case = self.dubbed(clip, "cross", cross, donor)
            case.figures["own_mouth"] = self.leak_of(cross, clip)
            case.figures["shuffled"] = self.leak_of(cross, third)
            lips = [footage.lips for footage in (cross, own, self.real[donor], self.real[clip])]
            case.figures["shortcut"] = metrics.shortcut(*lips)
            case.show(self.real[clip], cross, self.args.output)
            self.dubbed(clip, "own", own, clip)
            self.heard(clip, "real", self.real[clip], self.real[clip], clip)
            self.heard(clip, "mismatched", self.real[clip], self.real[donor], donor)
            if i < SILENT:
                nothing = self.args.output / f"{self.name}_{clip.stem}_silence.wav"
                silence(nothing, len(self.real[clip]) / FPS)
                leak = metrics.silence_leak(self.dub(clip, nothing, "silent").opening, self.level[clip])
                self.add(clip, "silent", dict(zip(("leak", "leak_share"), leak)), {})
            print(self.name, clip.stem, json.dumps(case.rounded()["figures"]), flush=True)

    def open_speech(self, sounds):
        """Adds clips with the audio of files; mismatched is each dub with the audio of the next one."""
        made = [self.dub(clip, sound, "cross") for clip, sound in zip(self.clips, sounds)]
        for clip, cross, other in zip(self.clips, made, made[1:] + made[:1]):
            self.dubbed(clip, "cross", cross).show(self.real[clip], cross, self.args.output)
            self.heard(clip, "real", self.real[clip], self.real[clip], clip)
            self.heard(clip, "mismatched", cross, other)


def folder(args):
    args.output.mkdir(parents=True, exist_ok=True)
    speakers, names = {}, set(args.held_out.read_text().split())
    for video in sorted(args.folder.rglob("*.mp4")):
        if is_of(video.parent.name, video.stem, names) and align_of(video).exists():
            speakers.setdefault(video.parent.name, []).append(video)
    speakers = {name: clips[:args.limit] for name, clips in speakers.items() if len(clips[:args.limit]) > 2}
    if not speakers:
        raise SystemExit(f"no speaker in {args.folder} with three clips that {args.held_out} names and that have words in GRID's "
                         "format (.align), or --limit below 3")
    sounds = sorted(p for p in args.sounds.iterdir() if p.is_file()) if args.sounds else []
    if args.sounds and len(sounds) < max(map(len, speakers.values())):
        raise SystemExit(f"{args.sounds} holds {len(sounds)} files, fewer than a speaker has clips; lower --limit")
    ruler, cases = Ruler(args.sync, args.syncnet), []
    title = f"Dubs of {args.folder.name}" + (f" with the sounds of {args.sounds.name}" if sounds else "")
    for name, clips in speakers.items():
        speaker = Speaker(name, clips, ruler, args)
        speaker.open_speech(sounds) if sounds else speaker.crossed()
        cases += speaker.cases
        report.write(cases, args.output, title)
    print(json.dumps(report.summary(cases), indent=1))


def main():
    parser = options(__doc__)
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--sync", type=existing, metavar="FILE", help="our sync network: CACHE/sync.pt from train/sync.py")
    shared.add_argument("--syncnet", type=existing, metavar="FILE",
                        help="syncnet_v2.model from SyncNet's authors, for LSE-C and LSE-D")
    one = commands.add_parser("pair", parents=[shared], help="measures a dub against the video it was made from")
    one.add_argument("generated", type=existing, help="the dub")
    one.add_argument("original", type=existing, help="the video that it was made from")
    one.add_argument("--donor", type=existing, metavar="VIDEO", help="the video that the audio is from, if not the original")
    one.add_argument("--align", type=existing, metavar="FILE",
                     help="words of the donor in GRID's format: start, end (1/25,000 s), word")
    one.add_argument("--output", type=Path, help="folder for the report")
    one.set_defaults(run=pair)
    many = commands.add_parser("folder", parents=[shared], help="dubs the held-out clips of a folder and measures them",
                               formatter_class=Help)
    many.add_argument("folder", type=existing, help="folder of videos, each with its words as NAME.align")
    many.add_argument("--output", type=Path, required=True, help="folder for the report")
    many.add_argument("--held-out", type=existing, default=GRID, metavar="FILE",
                      help="list of the held-out clips, SPEAKER/NAME or SPEAKER/*: CACHE/validation.txt for your own training")
    many.add_argument("--tool", type=existing, default=Path(__file__).parents[3] / ".build/release/syncdiff",
                      help="the built syncdiff")
    many.add_argument("--limit", type=int, default=30, help="maximum clips for each speaker")
    many.add_argument("--sounds", type=existing, metavar="FOLDER", help="folder of audio files, for open speech")
    many.set_defaults(run=folder)
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args = parser.parse_args(sys.argv[1:cut])
    args.dub_options = sys.argv[cut + 1:]
    try:
        args.run(args)
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
