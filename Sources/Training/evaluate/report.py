# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The report of evaluate.py as a self-contained folder: report.html with tables, curves, contact sheets and videos, and
report.json."""
import html
import json
import subprocess
from dataclasses import dataclass, field

import cv2
import numpy as np

from data.prepare import FPS

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
MOMENTS = 8  # frames in a contact sheet
STYLE = """body { font: 14px sans-serif; margin: 2em; max-width: 1200px }
td, th { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd }
td:first-child { text-align: left }"""


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
        """Writes the contact sheet (the original above the dub) and both videos side by side with the new audio."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.speaker}_{self.clip}_{self.kind.replace(' ', '_')}"
        self.files = {"sheet": f"{name}.jpg", "video": f"{name}_beside.mp4"}
        picture = np.vstack([np.hstack(faces(v.frames, original.points)) for v in (original, made)])
        cv2.imwrite(str(folder / self.files["sheet"]), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        beside = f"[0:v]fps={FPS},scale=-2:360[a];[1:v]fps={FPS},scale=-2:360[b];[a][b]hstack=shortest=1"
        inputs = []
        for video in (original, made):
            inputs += ["-ss", str(video.span[0]), "-t", str(video.span[1]), "-i", video.path]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", beside, "-map", "1:a", "-pix_fmt",
                        "yuv420p", "-movflags", "+faststart", folder / self.files["video"]], check=True)


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


def plot(lines, x0=0.0, step=1.0, width=560, height=140):
    """An SVG of lines [(label, colour, values)] on common axes; x runs from x0 in steps."""
    count = max(len(v) for _, _, v in lines)
    low, high = (f(f(v) for _, _, v in lines) for f in (min, max))
    y = lambda v: height - 18 - (height - 40) * (v - low) / max(high - low, 1e-9)
    x = lambda n: 40 + (width - 60) * n / max(count - 1, 1)
    parts = [f'<svg width="{width}" height="{height}" font-size="10" fill="none">',
             f'<path d="M40 22V{height - 18}H{width - 20}" stroke="#999"/>']
    for value in (low, high):
        parts.append(f'<text x="36" y="{y(value) + 3:.0f}" text-anchor="end" fill="#555">{value:.2f}</text>')
    for n in (0, count // 2, count - 1):
        parts.append(f'<text x="{x(n):.0f}" y="{height - 5}" text-anchor="middle" fill="#555">{x0 + n * step:g}</text>')
    for k, (label, colour, values) in enumerate(lines):
        points = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in enumerate(values))
        parts.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{50 + 110 * k}" y="12" fill="{colour}">{html.escape(label)}</text>')
    return "".join(parts) + "</svg>"


def table(kinds):
    names = [n for n in FIGURES if any(n in k for k in kinds.values())]
    head = "".join(f"<th>{kind}<br><small>{f.get('clips', '')}</small></th>" for kind, f in kinds.items())
    rows = [f"<tr><td>{html.escape(FIGURES[n])}</td>" +
            "".join(f"<td>{f[n]:.3g}</td>" if n in f else "<td></td>" for f in kinds.values()) for n in names]
    return f"<table><tr><th></th>{head}{''.join(rows)}</table>"


def section(case):
    """A clip's section of the report: sheet, video, curves, metrics."""
    parts = [f"<h3>{html.escape(case.clip)}, {case.kind}</h3>"]
    if case.files:
        parts.append(f'<img src="{case.files["sheet"]}" alt="above the original, below the dub"><br>'
                     f'<video src="{case.files["video"]}" controls preload="none" width="560"></video><br>')
    lines = [("lip opening", COLOURS["cross"], case.curves["opening"])]
    if "donor" in case.curves:
        lines.append(("of the sound's talker", COLOURS["real"], case.curves["donor"]))
    parts.append(plot(lines, step=1 / FPS))
    parts.append("<p><small>" + ", ".join(f"{n} {v:.3g}" for n, v in rounded(case.figures).items()) + "</small></p>")
    return "".join(parts)


def write(cases, folder, title):
    means = summary(cases)
    figures = {"speakers": means, "clips": [c.rounded() for c in cases]}
    (folder / "report.json").write_text(json.dumps(figures, indent=1))
    parts = ["<!doctype html><meta charset=utf-8>", f"<title>{html.escape(title)}</title>", f"<style>{STYLE}</style>",
             f"<h1>{html.escape(title)}</h1>",
             "<p>cross: another sound, own: its own sound again, real: the original, mismatched: lips with a sound "
             "that is not theirs, silent: dubbed with silence; below, the number of clips. "
             "Definitions: meta/metrics.md.</p>"]
    for speaker, kinds in means.items():
        parts += [f"<h2>{html.escape(speaker)}</h2>", table(kinds)]
        for name, label in (("sync", "own sync network"), ("lse", "SyncNet")):
            by = {kind: [c.curves[name] for c in cases if (c.speaker, c.kind) == (speaker, kind) and name in c.curves]
                  for kind in COLOURS}
            lines = [(kind, COLOURS[kind], np.mean(curves, 0)) for kind, curves in by.items() if curves]
            if lines:
                middle = len(lines[0][2]) // 2
                parts += [f"<p>Distance by shift of the sound in frames, {label}</p>", plot(lines, x0=-middle)]
        parts += [section(c) for c in cases if c.speaker == speaker and c.files]
    (folder / "report.html").write_text("\n".join(parts))
