# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The report of evaluate.py as a self-contained folder: report.html with tables, curves, contact sheets and videos, and
report.json."""
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from data.prepare import FPS
from evaluate import plots

FIGURES = {  # name: the table's label
    "correlation": "lip opening against the lips of the sound's talker, r",
    "lag": "lips come late by, frames",
    "range": "spread of the lip opening (the talker's: 1)",
    "own_mouth": "r against the face's old lips (floor: mismatched)",
    "shuffled": "r against the lips of a third clip (floor)",
    "closed": "closed at b, p, m", "shut": "shut at b, p, m", "onsets": "of so many onsets",
    "lip_distance": "distance of lip points, px",
    "shortcut": "lips change with the sound (real lips: 1)",
    "sync_d": "distance, own sync network", "sync_c": "confidence, own sync network", "sync_o": "offset, frames",
    "sync_contrast": "nearer to its own time's sound than to others' by, own sync network",
    "place": "confidence from mismatched (0) to real (1)",
    "lse_d": "LSE-D", "lse_c": "LSE-C", "lse_o": "offset by SyncNet, frames",
    "lse_contrast": "nearer to its own time's sound than to others' by, SyncNet",
    "energy": "r of lip opening and energy of the sound",
    "leak": "lip opening in silence", "leak_share": "frames open in silence",
    "jitter": "jitter in pauses, px",
    "mouth_psnr": "mouth PSNR, dB", "mouth_ssim": "mouth SSIM", "outside_psnr": "outside PSNR, dB",
    "outside_ssim": "outside SSIM", "sharpness": "sharpness (original: 1)", "flicker": "flicker (original: 1)",
    "lip_colour": "colour of the lips against the original's, CIE76",
    "identity": "identity distance (same person below 0.6)",
}
KINDS = "cross", "own", "real", "mismatched", "silent", "first minute", "last minute"
COLOURS = {"cross": "#c33", "own": "#c93", "real": "#393", "mismatched": "#888"}
NETWORKS = {"sync": "own sync network", "lse": "SyncNet"}  # name of the curve: of the network
MOMENTS = 8  # frames in a contact sheet


@dataclass
class Case:
    """One clip measured in one way."""
    speaker: str
    clip: str
    kind: str
    figures: dict
    curves: dict
    files: dict = field(default_factory=dict)

    def rounded(self):
        return {"speaker": self.speaker, "clip": self.clip, "kind": self.kind, "figures": rounded(self.figures)}

    def show(self, original, made, folder):
        """Writes the contact sheet (the original above the dub), both videos side by side with the new audio, and the
        curves of the lip opening."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.speaker}_{self.clip}_{self.kind.replace(' ', '_')}"
        self.files = {"sheet": f"{name}.jpg", "video": f"{name}_beside.mp4", "opening": f"{name}_opening.svg"}
        picture = np.vstack([np.hstack(faces(v.frames, original.points)) for v in (original, made)])
        cv2.imwrite(str(folder / self.files["sheet"]), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        beside = f"[0:v]fps={FPS},scale=-2:360[a];[1:v]fps={FPS},scale=-2:360[b];[a][b]hstack=shortest=1"
        inputs = []
        for video in (original, made):
            inputs += ["-ss", str(video.span[0]), "-t", str(video.span[1]), "-i", video.path]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", beside, "-map", "1:a", "-pix_fmt",
                        "yuv420p", "-movflags", "+faststart", folder / self.files["video"]], check=True)
        lines = {"lip opening": (COLOURS["cross"], self.curves["opening"])}
        if "donor" in self.curves:
            lines["of the sound's talker"] = COLOURS["real"], self.curves["donor"]
        plots.curves(lines, "time, s", folder / self.files["opening"], step=1 / FPS)


def faces(frames, points):
    """MOMENTS lower faces from all over a video, 144 px square."""
    low, high = points[0].min(0), points[0].max(0)
    x, y = low + [0.5, 0.67] * (high - low)
    half = 0.45 * (high - low).max()
    grid = np.float32([[72 / half, 0, 72 - 72 / half * x], [0, 72 / half, 72 - 72 / half * y]])
    last = min(len(frames), len(points)) - 1
    return [cv2.warpAffine(frames[round(t)], grid, (144, 144), flags=cv2.INTER_AREA)
            for t in np.linspace(0.15 * last, 0.85 * last, MOMENTS)]


def rounded(figures):
    return {name: round(float(value), 4) for name, value in figures.items() if np.isfinite(value)}


def summary(cases):
    """{speaker: {kind: mean metrics}}; closures are weighted by their onsets; "place" is that of the mean confidence.
    For a long pair, "drift" is the relative change from the first minute to the last."""
    out = {}
    for speaker in dict.fromkeys(c.speaker for c in cases):
        kinds = out[speaker] = {}
        for kind in KINDS:
            chosen = [c.figures for c in cases if (c.speaker, c.kind) == (speaker, kind)]
            if not chosen:
                continue
            means = {}
            for name in dict.fromkeys(n for f in chosen for n in f):
                values = [(f[name], f["onsets"] if name in ("closed", "shut") else 1) for f in chosen
                          if name in f and np.isfinite(f[name])]
                if values:
                    value, weight = np.array(values, float).T
                    means[name] = value.sum() if name == "onsets" else (value * weight).sum() / weight.sum()
            kinds[kind] = rounded(means) | {"clips": len(chosen)}
        if all("sync_c" in kinds.get(kind, {}) for kind in ("cross", "real", "mismatched")):
            low, high = kinds["mismatched"]["sync_c"], kinds["real"]["sync_c"]
            kinds["cross"]["place"] = round((kinds["cross"]["sync_c"] - low) / (high - low), 4)
        if "last minute" in kinds:
            first, last = kinds["first minute"], kinds["last minute"]
            names = [n for n in FIGURES if n in last and first.get(n)]
            kinds["drift"] = rounded({n: (last[n] - first[n]) / abs(first[n]) for n in names})
    return out


def distances(speaker, cases, folder):
    """Draws a speaker's mean distance by shift of the sound, a figure for each sync network: [(network, file name)]."""
    drawn = []
    for name, network in NETWORKS.items():
        by = {kind: [c.curves[name] for c in cases if c.kind == kind and name in c.curves] for kind in COLOURS}
        lines = {kind: (COLOURS[kind], np.mean(curves, 0)) for kind, curves in by.items() if curves}
        if lines:
            shifts = max(len(values) for _, values in lines.values())
            drawn.append((network, f"{speaker}_{name}.svg"))
            plots.curves(lines, "shift, frames", folder / drawn[-1][1], first=-(shifts // 2))
    return drawn


def write(cases, folder, title):
    """Writes report.html, the figures of each speaker, and report.json."""
    means = summary(cases)
    figures = {"speakers": means, "clips": [c.rounded() for c in cases]}
    (folder / "report.json").write_text(json.dumps(figures, indent=1))
    speakers = []
    for name, kinds in means.items():
        chosen = [c for c in cases if c.speaker == name]
        rows = {figure: label for figure, label in FIGURES.items() if any(figure in k for k in kinds.values())}
        speakers.append({"name": name, "kinds": kinds, "rows": rows, "distances": distances(name, chosen, folder),
                         "clips": [c for c in chosen if c.files]})
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                        trim_blocks=True, lstrip_blocks=True)
    page = pages.get_template("report.html").render(title=title, speakers=speakers)
    (folder / "report.html").write_text(page, encoding="utf-8")
