# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Turns folders of talking-face videos into training clips: `python -m data.prepare FOLDER... --cache CACHE`.

For each video, CACHE/clips/SPEAKER__NAME.npz holds
  window  uint8 [T, 128, 128, 3]  aligned RGB lower face, 25 fps: the 80 px window with a margin of 24 px
  points  float32 [T, 468, 3]     face mesh in window px
  sound   int16 [640 T']          mono, 16 kHz, from the first frame on; empty for a video without audio, which shows
                                  how a face looks but not what it says

Images (portraits) are collected in one file, CACHE/stills.npz, with window [N, 128, 128, 3] and points [N, 468, 3] of
those in which a face was found. The speaker is the name of the video's folder. Existing files are kept; videos that are
damaged or show no face are skipped and reported. A video longer than 8 s becomes clips of at most 6 s, NAME-000,
NAME-001, ... CACHE/validation.txt names the clips that are held out from training for validation (data/clips.py).
"""
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from data.clips import held_out, is_of, named, save
from data.geometry import MARGIN, SIDE, STABLE, TEMPLATE, similarity
from data.landmarks import mesh
from data.options import existing, needs, parser as options, progress
from data.speech import SAMPLE_RATE

FPS = 25
VIDEOS = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm .wmv".split()
PICTURES = ".jpg .jpeg .png .webp".split()
LONGEST, PART = 8, 6  # seconds: from which length a video is split, and the length of its clips, which are held in memory
WHOLE = 0, 86400  # a span (start, seconds) that covers any file
SMOOTHING = 1.5  # frames, standard deviation of the Gaussian that smooths the stable points


def ffmpeg(path, part, span, *options):
    """ffmpeg's output for a span of a file. ValueError with the part and ffmpeg's reason if there is none."""
    start, seconds = map(str, span)
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-ss", start, "-t", seconds, "-i", str(path), *options, "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(": ".join([f"no {part}", *reason[-1:]]))
    return done.stdout


def pictures(path, span=WHOLE):
    """uint8 RGB [T, H, W, 3], upright, at 25 fps from the start of the span."""
    raw = ffmpeg(path, "pictures", span, "-vf", f"fps={FPS}:start_time=0", "-f", "image2pipe", "-c:v", "ppm",
                 "-pix_fmt", "rgb24")
    header = re.match(rb"P6\n(\d+) (\d+)\n255\n", raw)  # precedes every frame, with its size after rotation
    width, height = map(int, header.groups())
    frames = np.frombuffer(raw, np.uint8).reshape(-1, header.end() + height * width * 3)[:, header.end():]
    return frames.reshape(-1, height, width, 3)


def sound(path, span=WHOLE):
    """int16 mono at 16 kHz from the start of the span; padded with silence if the audio starts later than the video."""
    raw = ffmpeg(path, "sound", span, "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", str(SAMPLE_RATE),
                 "-f", "s16le")
    return np.frombuffer(raw, np.int16)


def has_sound(path):
    command = ["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "stream=index", "-of", "csv=p=0", str(path)]
    return bool(subprocess.run(command, capture_output=True, text=True).stdout.strip())


def duration(path):
    """The duration in seconds, 0 if the file does not say."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    told = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return float(told) if re.fullmatch(r"[0-9.]+", told) else 0


def parts(path):
    """The spans of the clips into which a file is split."""
    seconds = duration(path)
    return [WHOLE] if seconds <= LONGEST else [(start, PART) for start in range(0, int(seconds), PART)]


def windows(frames, points):
    """Aligned crops uint8 [T, 128, 128, 3], and the mesh in window px, float32 [T, 468, 3]."""
    stable = gaussian_filter1d(points[:, STABLE, :2], SMOOTHING, axis=0, mode="nearest")
    crops, meshes = [], []
    for frame, steady, now in zip(frames, stable, points):
        matrix = similarity(steady, TEMPLATE)
        scale = np.hypot(matrix[0, 0], matrix[1, 0])
        meshes.append(np.column_stack([now[:, :2] @ matrix[:, :2].T + matrix[:, 2], scale * now[:, 2]]))
        matrix[:, 2] += MARGIN
        if scale < 0.7:  # a large face: blur before sampling, against aliasing
            frame = cv2.GaussianBlur(frame, (0, 0), 0.4 / scale)
        crops.append(cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(crops), np.stack(meshes).astype(np.float32)


def interpolated(points):
    """Interpolates NaN frames over time; None if the face is missing in more than a tenth of the frames."""
    good = np.isfinite(points[:, 0, 0])
    if good.mean() < 0.9:
        return None
    t, flat = np.arange(len(points)), points.reshape(len(points), -1).copy()
    for c in range(flat.shape[1]):
        flat[:, c] = np.interp(t, t[good], flat[good, c])
    return flat.reshape(points.shape)


def prepare(path, cache):
    """Prepares a video. Returns the reasons for which it or parts of it were skipped; empty if all went well."""
    spans, problems = parts(path), []
    for k, span in enumerate(spans):
        name = f"{path.parent.name}__{path.stem}{f'-{k:03d}' if len(spans) > 1 else ''}.npz"
        store, track = cache / "clips" / name, cache / "mesh" / name
        if store.exists():
            continue
        place = str(path) if len(spans) == 1 else f"{path} from {span[0]} s"
        try:
            frames = pictures(path, span)
            heard = sound(path, span) if has_sound(path) else np.zeros(0, np.int16)
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
        crops, meshes = windows(frames, points)
        save(store, window=crops, points=meshes, sound=heard)
    return problems


def files(folders, endings):
    """The files in the folders with one of these suffixes, sorted; a folder may be a single file."""
    return sorted(p for folder in folders for p in ([folder] if folder.is_file() else folder.rglob("*"))
                  if p.suffix.lower() in endings)


def prepare_all(folders, cache, jobs=2):
    """Prepares every video in the folders (a folder may be a single file); reports on stderr what was skipped."""
    for part in ("clips", "mesh"):
        (cache / part).mkdir(parents=True, exist_ok=True)
    videos = files(folders, VIDEOS)
    with ProcessPoolExecutor(jobs) as pool:
        for problems in progress(pool.map(prepare, videos, [cache] * len(videos)), "videos", len(videos)):
            for problem in problems:
                tqdm.write(problem, sys.stderr)


def prepare_stills(folders, cache):
    """Writes CACHE/stills.npz from all images in the folders."""
    crops, meshes, paths = [], [], files(folders, PICTURES)
    for path in progress(paths, "pictures"):
        picture = cv2.imread(str(path))
        points = None if picture is None else mesh(picture[None, ..., ::-1])
        if points is not None and np.isfinite(points).all():
            crop, placed = windows(picture[None, ..., ::-1], points)
            crops.append(crop[0])
            meshes.append(placed[0])
    if crops:
        save(cache / "stills.npz", window=np.stack(crops), points=np.stack(meshes))
    print(f"{len(crops)} of {len(paths)} pictures show a face", flush=True)


def main():
    parser = options(__doc__, cache="folder for the training data")
    parser.add_argument("folders", nargs="+", type=existing, metavar="FOLDER",
                        help="folder of videos and portraits, or a single such file")
    parser.add_argument("--jobs", type=int, default=2, help="videos processed in parallel")
    args = parser.parse_args()
    needs("ffmpeg")
    if not files(args.folders, VIDEOS + PICTURES):
        raise SystemExit(f"neither videos ({' '.join(VIDEOS)}) nor pictures ({' '.join(PICTURES)}) in "
                         f"{' '.join(map(str, args.folders))}")
    prepare_all(args.folders, args.cache, args.jobs)
    if files(args.folders, PICTURES):
        prepare_stills(args.folders, args.cache)
    if not any((args.cache / "clips").iterdir()):
        raise SystemExit("no clip was made: of the videos none could be used")
    names, clips = held_out(args.cache), named(args.cache)
    held = sum(is_of(*clip, names) for clip in clips)
    print(f"{len(clips)} clips, of which {held} are held out: {args.cache / 'validation.txt'} names them")


if __name__ == "__main__":
    main()
