# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the shipped model through the product: `python evaluate.py FOLDER --output DIR` dubs the validation clips of
FOLDER (SPEAKER/NAME.mp4 with SPEAKER/NAME.align, as GRID has them) with `syncdiff dub` and writes DIR/report.json and
DIR/sheet.png (above the original, below the same moments speaking the other sound).

Each clip speaks the sound of the next validation clip of its speaker ("cross"), its own sound ("own"), and is compared with
the sound of a third clip ("shuffled", the floor). Lip opening = mean gap of three inner-lip pairs / distance of the outer
eye corners (MediaPipe's attention mesh, which follows lips more finely than the plain one); correlation = best Pearson
r over +-3 frames between the first and the last word.
"""
import argparse
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from data import VALIDATION, is_validation
from geometry import LIPS
from prepare import decode, interpolated, mesh

LAGS = range(-3, 4)
BILABIAL = 6, 1, 0.2, 0.015  # frames of context, frames of tolerance, share of the range, least range


def opening(points):
    gap = points[:, [87, 14, 317]] - points[:, [82, 13, 312]]
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    return np.linalg.norm(gap, axis=-1).mean(1) / eyes


def words(path):
    """[(start, end, word)] in frames at 25 fps."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(int(a) / 1000, int(b) / 1000, w) for a, b, w in rows if w not in ("sil", "sp")]


def correlation(made, donor, align):
    """Best r over the lags, and its lag (positive: the made lips come late)."""
    n = min(len(made), len(donor))
    spoken = words(align)
    first, last = int(spoken[0][0]), min(n, int(np.ceil(spoken[-1][1])))
    by = {}
    for lag in LAGS:
        a, b = max(first, -lag), min(last, n - lag)
        by[lag] = float(np.corrcoef(made[a + lag:b + lag], donor[a:b])[0, 1])
    lag = max(by, key=by.get)
    return by[lag], lag


def closures(made, align):
    """For each word in b or p: does the mouth close within a frame of its onset, relative to its range nearby?"""
    context, near, share, least = BILABIAL
    out = []
    for start, _, word in words(align):
        t = round(start)
        if word[0] not in "bp" or t < context or t + context >= len(made):
            continue
        window = made[t - context:t + context + 1]
        span = window.max() - window.min()
        out.append(bool(span >= least and made[t - near:t + near + 1].min() - window.min() <= share * span))
    return out


def mouth_box(points, size):
    lips = points[:, list(LIPS)]
    low, high = lips.min(1), lips.max(1)
    pad = 0.35 * (high[:, :1] - low[:, :1])
    return np.column_stack([np.clip(low - pad, 0, size), np.clip(high + pad, 0, size)]).round().astype(int)


def picture_figures(made, original, points):
    """Mouth PSNR in dB, share of the Laplacian variance kept (median), flicker against the original's."""
    errors, sharp, flicker = [], [], []
    size = np.array(original.shape[2:0:-1])
    boxes = mouth_box(points, size)
    steady = [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]
    previous = None
    for a, b, (x0, y0, x1, y1) in zip(made, original, boxes):
        errors.append(((a[y0:y1, x0:x1].astype(np.float32) - b[y0:y1, x0:x1]) ** 2).mean())
        grey = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (a, b)]
        detail = [cv2.Laplacian(g[y0:y1, x0:x1], cv2.CV_64F).var() for g in grey]
        sharp.append(detail[0] / max(detail[1], 1e-9))
        mouths = [g[steady[1]:steady[3], steady[0]:steady[2]].astype(np.float32) for g in grey]
        if previous is not None:
            flicker.append([np.abs(m - p).mean() for m, p in zip(mouths, previous)])
        previous = mouths
    flicker = np.mean(flicker, 0)
    return {"psnr": 10 * np.log10(255 ** 2 / np.mean(errors)), "sharpness": float(np.median(sharp)),
            "flicker": flicker[0] / flicker[1]}


def faces(video, points):
    """Seven moments of a face, 144 px square: what the contact sheet shows."""
    low, high = points[0].min(0), points[0].max(0)
    x, y = (low + high) / 2
    half = 0.75 * (high - low).max()
    grid = np.float32([[72 / half, 0, 72 - 72 / half * x], [0, 72 / half, 72 - 72 / half * y]])
    return [cv2.warpAffine(video[n], grid, (144, 144), flags=cv2.INTER_AREA) for n in range(18, 58, 6)]


def dub(tool, video, sound, output, extra):
    done = subprocess.run([tool, "dub", "--video", video, "--audio", sound, "-o", output, *extra], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"syncdiff dub {video.name}: {done.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tool", type=Path, default=Path(__file__).parents[2] / ".build/release/syncdiff")
    parser.add_argument("--limit", type=int, default=30, help="clips of each speaker")
    parser.add_argument("dub_options", nargs="*", help="after --: passed on to syncdiff dub")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    speakers = {}
    for video in sorted(args.folder.rglob("*.mp4")):
        if is_validation(video.parent.name, video.stem) and video.with_suffix(".align").exists():
            speakers.setdefault(video.parent.name, []).append(video)
    if not speakers:
        raise SystemExit(f"no clips of the validation list in {args.folder}: {' '.join(sorted(VALIDATION))}")
    report, rows = {}, []
    for speaker, clips in speakers.items():
        clips = clips[:args.limit]
        donors, others = clips[1:] + clips[:1], clips[2:] + clips[:2]
        figures = {name: [] for name in ("cross", "lag", "own_mouth", "shuffled", "closures", "psnr", "sharpness", "flicker",
                                         "cross_sharpness", "cross_flicker")}
        pictures = {clip: decode(clip)[0] for clip in clips}
        points = {clip: interpolated(mesh(pictures[clip], attention=True)) for clip in clips}
        lips = {clip: opening(points[clip]) for clip in clips if points[clip] is not None}
        for clip, donor, other in zip(clips, donors, others):
            if not {clip, donor, other} <= set(lips):
                continue
            cross, own = (args.output / f"{speaker}_{clip.stem}_{name}.mp4" for name in (donor.stem, "own"))
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda job: dub(args.tool, clip, *job, args.dub_options), [(donor, cross), (clip, own)]))
            made, made_own = decode(cross)[0], decode(own)[0]
            lip = opening(interpolated(mesh(made, attention=True)))
            r, lag = correlation(lip, lips[donor], donor.with_suffix(".align"))
            figures["cross"].append(r)
            figures["lag"].append(lag)
            figures["own_mouth"].append(correlation(lip, lips[clip], clip.with_suffix(".align"))[0])
            figures["shuffled"].append(correlation(lip, lips[other], other.with_suffix(".align"))[0])
            figures["closures"] += closures(lip, donor.with_suffix(".align"))
            for name, value in picture_figures(made_own, pictures[clip], points[clip]).items():
                figures[name].append(value)
            crossed = picture_figures(made, pictures[clip], points[clip])
            figures["cross_sharpness"].append(crossed["sharpness"])
            figures["cross_flicker"].append(crossed["flicker"])
            if len(figures["cross"]) <= 2:
                rows += [np.hstack(faces(video, points[clip])) for video in (pictures[clip], made)]
        report[speaker] = {name: round(float(np.mean(values)), 3) for name, values in figures.items() if values}
        report[speaker]["clips"] = len(figures["cross"])
        print(speaker, json.dumps(report[speaker]), flush=True)
    (args.output / "report.json").write_text(json.dumps(report, indent=1))
    sheet = np.vstack(rows)
    cv2.imwrite(str(args.output / "sheet.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
