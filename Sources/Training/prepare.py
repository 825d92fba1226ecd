# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Turns a folder of talking-face videos into training clips: `python prepare.py FOLDER... --cache CACHE`.

Per video, CACHE/clips/SPEAKER__NAME.npz holds
  window  uint8 [T, 128, 128, 3]  aligned RGB lower face, 25 fps: the 96 px window with a margin of 16 px
  lips    float32 [T, 40, 2]      lip outline in window px
  fbank   float32 [100 T', 26]    log filterbank energies, one row per 10 ms from the first picture on
The speaker is the name of the video's folder. Files that exist are kept; a video that is damaged, without sound
or without a face is skipped and named. A video longer than 8 s becomes clips of at most 6 s, NAME-000, NAME-001, ...
"""
import argparse
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from geometry import LIPS, MARGIN, STABLE, TEMPLATE, WINDOW, similarity
from speech import SAMPLE_RATE, log_filterbank

FPS = 25
VIDEOS = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm .wmv".split()
LONGEST, PART = 8, 6  # seconds: what is held in memory at once
WHOLE = 0, 86400  # the span (start, seconds) of any file
SMOOTHING = 1.5  # frames, standard deviation of the Gaussian over the stable points


def ffmpeg(path, part, span, *options):
    """What ffmpeg writes for a span of a file. ValueError that names the part and ffmpeg's reason when there is nothing."""
    start, seconds = map(str, span)
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-ss", start, "-t", seconds, "-i", str(path), *options, "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(": ".join([f"no {part}", *reason[-1:]]))
    return done.stdout


def pictures(path, span=WHOLE):
    """uint8 RGB [T, H, W, 3], upright, at 25 fps from the span's start on."""
    raw = ffmpeg(path, "pictures", span, "-vf", f"fps={FPS}:start_time=0", "-f", "image2pipe", "-c:v", "ppm",
                 "-pix_fmt", "rgb24")
    header = re.match(rb"P6\n(\d+) (\d+)\n255\n", raw)  # before every picture; its size is the turned picture's
    width, height = map(int, header.groups())
    frames = np.frombuffer(raw, np.uint8).reshape(-1, header.end() + height * width * 3)[:, header.end():]
    return frames.reshape(-1, height, width, 3)


def sound(path, span=WHOLE):
    """int16 mono at 16 kHz from the span's start on: where the sound begins later than the picture, silence comes first."""
    raw = ffmpeg(path, "sound", span, "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(SAMPLE_RATE),
                 "-f", "s16le")
    return np.frombuffer(raw, np.int16)


def decode(path, span=WHOLE):
    """Pictures and sound. ValueError when either is missing."""
    return pictures(path, span), sound(path, span)


def duration(path):
    """Seconds, 0 where the file does not tell."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    told = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return float(told) if re.fullmatch(r"[0-9.]+", told) else 0


def parts(path):
    """The spans of the clips that a file becomes."""
    seconds = duration(path)
    return [WHOLE] if seconds <= LONGEST else [(start, PART) for start in range(0, int(seconds), PART)]


def mesh(frames, attention=False):
    """float64 [T, 468, 2] face-mesh points in pixels, NaN where no face was found. attention: the slower network with
    finer lips, not the one that the element runs."""
    import mediapipe as mp
    height, width = frames.shape[1:3]
    points = np.full((len(frames), 468, 2), np.nan)
    with mp.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=attention) as net:
        for t, frame in enumerate(frames):
            found = net.process(frame).multi_face_landmarks
            if found:
                points[t] = [(p.x * width, p.y * height) for p in found[0].landmark[:468]]
    return points


def windows(frames, points):
    """Aligned crops [T, 128, 128, 3] and the lips in window px [T, 40, 2]."""
    stable = gaussian_filter1d(points[:, STABLE], SMOOTHING, axis=0, mode="nearest")
    side = WINDOW + 2 * MARGIN
    crops, lips = [], []
    for frame, steady, now in zip(frames, stable, points):
        matrix = similarity(steady, TEMPLATE)
        lips.append(now[list(LIPS)] @ matrix[:, :2].T + matrix[:, 2])
        scale = np.hypot(matrix[0, 0], matrix[1, 0])
        matrix[:, 2] += MARGIN
        if scale < 0.7:  # a large face: average before sampling, so that nothing aliases
            frame = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale)
        crops.append(cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(crops), np.stack(lips).astype(np.float32)


def interpolated(points):
    """NaN frames filled over time; None when the face is missing in more than a tenth of the frames."""
    good = np.isfinite(points[:, 0, 0])
    if good.mean() < 0.9:
        return None
    t, flat = np.arange(len(points)), points.reshape(len(points), -1).copy()
    for c in range(flat.shape[1]):
        flat[:, c] = np.interp(t, t[good], flat[good, c])
    return flat.reshape(points.shape)


def save(path, **arrays):
    """Writes path whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.rename(path)


def prepare(path, cache):
    """Why the video or parts of it were skipped: a list, empty when all went well."""
    spans, problems = parts(path), []
    for k, span in enumerate(spans):
        name = f"{path.parent.name}__{path.stem}{f'-{k:03d}' if len(spans) > 1 else ''}.npz"
        store, track = cache / "clips" / name, cache / "mesh" / name
        if store.exists():
            continue
        place = str(path) if len(spans) == 1 else f"{path} from {span[0]} s"
        try:
            frames, samples = decode(path, span)
        except ValueError as error:
            problems.append(f"{place}: {error}, skipped")
            continue
        if track.exists():
            points = np.load(track)["points"]
        else:
            points = mesh(frames)
            save(track, points=points)
        points = interpolated(points)
        if points is None:
            problems.append(f"{place}: no face in more than a tenth of the frames, skipped")
            continue
        crops, lips = windows(frames, points)
        save(store, window=crops, lips=lips, fbank=log_filterbank(samples))
    return problems


def prepare_all(folders, cache, jobs=2):
    """Prepares every video in the folders (a folder may be a single file); names on stderr what was skipped."""
    for part in ("clips", "mesh"):
        (cache / part).mkdir(parents=True, exist_ok=True)
    videos = sorted(p for folder in folders for p in ([folder] if folder.is_file() else folder.rglob("*"))
                    if p.suffix.lower() in VIDEOS)
    with ProcessPoolExecutor(jobs) as pool:
        for done, problems in enumerate(pool.map(prepare, videos, [cache] * len(videos)), 1):
            for problem in problems:
                print(problem, file=sys.stderr)
            if done % 20 == 0 or done == len(videos):
                print(f"{done}/{len(videos)} videos", flush=True)


def template(cache):
    """Prints the mean of the stable points, at the window's position and scale."""
    shapes = []
    for file in sorted((cache / "mesh").glob("*.npz")):
        points = np.load(file)["points"][:, STABLE]
        shapes.append(np.nanmean(points[np.isfinite(points[:, 0, 0])], 0))
    mean = shapes[0]
    for _ in range(5):
        placed = []
        for shape in shapes:
            m = similarity(shape, mean)
            placed.append(shape @ m[:, :2].T + m[:, 2])
        mean = np.mean(placed, 0)
        left, right = mean[:2].mean(0), mean[2:4].mean(0)
        target = np.array([[24.0, -12.0], [72.0, -12.0]])
        m = similarity(np.stack([left, right]), target)
        mean = mean @ m[:, :2].T + m[:, 2]
    print(np.round(mean, 2).tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    if args.folders == [Path("template")]:
        return template(args.cache)
    prepare_all(args.folders, args.cache, args.jobs)


if __name__ == "__main__":
    main()
