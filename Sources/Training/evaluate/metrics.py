# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of every metric that evaluate.py reports, on arrays only: no files, no networks. meta/metrics.md
defines each metric, tests/test_evaluate.py tests them on known values.

T counts frames at 25 fps. Points are pixels, [T, 468, 2] of MediaPipe's face mesh. Lips are [T, 40, 2] in the aligned
window of data/geometry.py (64 px between the eye centres). Images are uint8 RGB [T, H, W, 3].
"""
import cv2
import numpy as np
from skimage.metrics import structural_similarity

from data.geometry import INNER, LIPS, OUTER

LAGS = range(-3, 4)  # frames
CONTEXT, NEAR, SHARE, LEAST, SHUT = 6, 1, 0.2, 0.015, 0.03  # see closures
PAUSE = 3  # frames around a still frame that must be quiet as well
NEAREST_OTHER, FARTHEST_OTHER = 5, 15  # windows between a frame and the audio that counts as another time's
ENERGY_BANDS = slice(5, 11)  # filterbank bands centred from 525 to 1445 Hz


def aperture(points):
    """Lip opening [T]: mean gap of three inner-lip pairs / distance of the outer eye corners."""
    gap = points[:, [87, 14, 317]] - points[:, [82, 13, 312]]
    return np.linalg.norm(gap, axis=-1).mean(1) / np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)


def pearson(a, b):
    """Correlation of two series; 0 if one of them is constant."""
    a, b = a - np.mean(a), b - np.mean(b)
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 1e-12 else 0.0


def spoken_frames(made, truth, span):
    """The first frame of speech that both series have, and one past the last. span: in frames, None for all."""
    n = min(len(made), len(truth))
    return (0, n) if span is None else (max(0, int(span[0])), min(n, int(np.ceil(span[1]))))


def correlation(made, truth, span=None, lags=LAGS):
    """The best correlation over lags, and its lag (positive: the dub is late). span: the frames of truth that count."""
    n = min(len(made), len(truth))
    first, last = spoken_frames(made, truth, span)
    least = 2 * max(lags) + 10
    if last - first < least:
        raise ValueError(f"{max(0, last - first)} frames of speech in both videos: too few to correlate, {least} are needed")
    by = {}
    for lag in lags:
        a, b = max(first, -lag), min(last, n - lag)
        by[lag] = pearson(made[a + lag:b + lag], truth[a:b])
    lag = max(by, key=by.get)
    return by[lag], lag


def spread(made, truth, span=None):
    """Standard deviation of the dub's opening relative to the true one's, during speech."""
    first, last = spoken_frames(made, truth, span)
    return float(np.std(made[first:last]) / max(np.std(truth[first:last]), 1e-9))


def closed_level(opening):
    """The opening of a shut mouth: the 5th percentile over a video of the speaker."""
    return float(np.percentile(opening, 5))


def closures(opening, onsets, level):
    """(closed, shut) for each onset (in frames) of b, p or m with CONTEXT frames on both sides. closed is relative: the
    smallest opening within NEAR frames is in the lowest SHARE of the nearby range, which is at least LEAST. shut is
    absolute: it is at most SHUT above the closed level."""
    out = []
    for onset in onsets:
        t = round(onset)
        if t < CONTEXT or t + CONTEXT >= len(opening):
            continue
        window, least = opening[t - CONTEXT:t + CONTEXT + 1], opening[t - NEAR:t + NEAR + 1].min()
        span = window.max() - window.min()
        out.append((bool(span >= LEAST and least - window.min() <= SHARE * span), bool(least <= level + SHUT)))
    return out


def landmark_distance(lips, truth):
    """Mean distance of lip points, px of the window."""
    n = min(len(lips), len(truth))
    return float(np.linalg.norm(lips[:n] - truth[:n], axis=-1).mean())


def moves(lips):
    """Lips minus their mean over time: their motion, not their shape."""
    return lips - lips.mean(0)


def shortcut(first, second, real_first, real_second):
    """How much the lips change when only the audio changes, relative to real lips. first and second: lips of one face
    dubbed with two audio tracks; real_*: lips of the videos that these are from. 0: the mouth ignores the audio."""
    n = min(map(len, (first, second, real_first, real_second)))
    change = lambda a, b: np.sqrt(((moves(a[:n]) - moves(b[:n])) ** 2).mean())
    return float(change(first, second) / max(change(real_first, real_second), 1e-9))


def loudness(fbank, frames):
    """[frames]: the log energy of each frame's 40 ms of audio, limited to 15 below the loud frames."""
    rows = np.logaddexp.reduce(fbank, axis=1)
    loud = np.array([rows[4 * n:4 * n + 4].max(initial=-36) for n in range(frames)])
    return loud.clip(np.percentile(loud, 95) - 15)


def still(loud):
    """[T] bool: no sound in this frame and within PAUSE frames. Quiet: in the lowest 30 % of the range of loudness."""
    low, high = np.percentile(loud, [5, 95])
    quiet = np.pad(loud <= low + 0.3 * (high - low), PAUSE, mode="edge")
    return np.array([quiet[t:t + 2 * PAUSE + 1].all() for t in range(len(loud))])


def jitter(lips, pauses):
    """Root mean square of the second difference of the lip points over still frames, px of the window; NaN if there are
    none."""
    second = lips[2:] - 2 * lips[1:-1] + lips[:-2]
    chosen = second[pauses[1:len(lips) - 1]]
    return float(np.sqrt((chosen ** 2).sum(-1).mean())) if len(chosen) else float("nan")


def silence_leak(opening, level):
    """(mean opening above the closed level, fraction of frames more than SHUT above it) of a video dubbed with silence."""
    return float((opening - level).mean()), float((opening - level > SHUT).mean())


def energy_correlation(opening, fbank):
    """The best correlation, over LAGS, of lip opening with the log energy of the audio between 500 and 1500 Hz."""
    n = min(len(opening), len(fbank) // 4)
    energy = np.logaddexp.reduce(fbank[:4 * n, ENERGY_BANDS].reshape(n, -1), axis=1)
    return correlation(opening[:n], energy.clip(energy.max() - 15))[0]


def distances(seen, heard, most):
    """[2 most + 1]: the mean distance between video and audio embeddings [N, E] with the audio shifted by -most ...
    most windows, zeros beyond its ends, as in SyncNet's published evaluation."""
    padded = np.pad(heard, ((most, most), (0, 0)))
    return np.array([np.linalg.norm(seen - padded[k:k + len(seen)], axis=1).mean() for k in range(2 * most + 1)])


def lse(mean):
    """LSE-D, LSE-C and the offset in frames (positive: the video is late) from mean distances by shift."""
    return float(mean.min()), float(np.median(mean) - mean.min()), len(mean) // 2 - int(mean.argmin())


def contrast(seen, heard):
    """How much closer frames are to the audio of their own time than to that of other times of the same video: the
    difference of mean distances between embeddings [N, E]; one frame early or late counts as in time. 0: the mouth is
    unrelated to the audio."""
    n = min(len(seen), len(heard))
    if n <= FARTHEST_OTHER:
        return float("nan")
    away = lambda s: np.linalg.norm(seen[max(0, -s):n - max(0, s)] - heard[max(0, s):n - max(0, -s)], axis=1).mean()
    others = [away(sign * s) for s in range(NEAREST_OTHER, FARTHEST_OTHER + 1) for sign in (-1, 1)]
    return float(np.mean(others) - min(map(away, (-1, 0, 1))))


# ---------------------------------------------------------------- pictures

def psnr(square):
    """PSNR in dB of a mean squared error of 8-bit values; identical images count as 100 dB so that means stay finite."""
    return float(10 * np.log10(255 ** 2 / max(square, 255 ** 2 * 1e-10)))


def ssim(a, b):
    """Structural similarity [H, W] of grey uint8 images of at least 11 x 11 (Wang et al. 2004: Gaussian window 11 wide,
    standard deviation 1.5)."""
    return structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True)[1]


def mouth_boxes(points, size):
    """int [T, 4] x0, y0, x1, y1: boxes around the lips, wider by 0.35 of the mouth's width on each side, clipped to
    size (W, H)."""
    lips = points[:, list(LIPS)]
    low, high = lips.min(1), lips.max(1)
    pad = 0.35 * (high[:, :1] - low[:, :1])
    return np.column_stack([np.clip(low - pad, 0, size), np.clip(high + pad, 0, size)]).round().astype(int)


def lip_colours(frames, points):
    """[T, 3]: mean colour of the lips, between their outer and inner outlines, CIE L*a*b*."""
    out = []
    for frame, face in zip(frames, points):
        outlines = [face[list(outline)].round().astype(np.int32) for outline in (OUTER, INNER)]
        area = np.zeros(frame.shape[:2], np.uint8)
        cv2.fillPoly(area, outlines[:1], 1)
        cv2.fillPoly(area, outlines[1:], 0)
        lips = frame[area > 0].astype(np.float32)[None] / 255
        out.append(cv2.cvtColor(lips, cv2.COLOR_RGB2LAB)[0].mean(0) if lips.size else np.full(3, np.nan))
    return np.stack(out)


def colour_distance(a, b):
    """Median CIE76 distance of colours [T, 3] at the same times."""
    n = min(len(a), len(b))
    return float(np.nanmedian(np.linalg.norm(a[:n] - b[:n], axis=1)))


def detail(grey):
    """The variance of the Laplacian, which blur reduces."""
    return cv2.Laplacian(grey, cv2.CV_64F).var()


def picture_figures(made, original, boxes, changed):
    """For each frame [T]: squared error and SSIM in the mouth box and outside of `changed` (x0, y0, x1, y1; NaN if that
    is everything), and the detail of the mouth relative to the original's; flicker [T - 1, 2] of the dub's and the
    original's mouth (mean absolute grey difference of consecutive frames in the box that contains all mouths)."""
    outside = np.ones(original.shape[1:3], bool)
    outside[changed[1]:changed[3], changed[0]:changed[2]] = False
    clear = cv2.erode(outside.astype(np.uint8), np.ones((11, 11))).astype(bool)  # no SSIM window overlaps `changed`
    x0, y0, x1, y1 = [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]
    mean = lambda values, area: values[area].mean() if area.any() else np.nan
    out = {name: [] for name in ("mouth_error", "mouth_ssim", "outside_error", "outside_ssim", "sharpness", "flicker")}
    before = None
    for a, b, (l, t, r, d) in zip(made, original, boxes):
        square = (a.astype(np.float32) - b) ** 2
        ga, gb = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (a, b))
        similar = ssim(ga, gb)
        out["mouth_error"].append(square[t:d, l:r].mean())
        out["mouth_ssim"].append(similar[t:d, l:r].mean())
        out["outside_error"].append(mean(square, outside))
        out["outside_ssim"].append(mean(similar, clear))
        out["sharpness"].append(detail(ga[t:d, l:r]) / max(detail(gb[t:d, l:r]), 1e-9))
        mouths = np.stack([g[y0:y1, x0:x1] for g in (ga, gb)]).astype(np.float32)
        if before is not None:
            out["flicker"].append(np.abs(mouths - before).mean((1, 2)))
        before = mouths
    return {name: np.array(values) for name, values in out.items()}
