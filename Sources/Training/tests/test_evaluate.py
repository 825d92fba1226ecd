# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Known values of every figure that evaluate.py reports. Each expected value is derived beside it."""
import pickle
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

from data.geometry import INNER, LIPS, OUTER
from data.speech import SILENCE
from evaluate import evaluate, footage, metrics
from networks import sync, syncnet
from train.sync import CLIPS, TIMES, contrast


class Lips(unittest.TestCase):
    def test_opening_is_the_mean_gap_over_the_eye_distance(self):
        points = np.zeros((2, 468, 2))
        points[:, 263] = 30, 40                        # 50 from the other corner at 0, 0
        points[:, [87, 14, 317], 1] = 1, 2, 6          # mean gap 3
        np.testing.assert_allclose(metrics.aperture(points), 3 / 50)

    def test_pearson(self):
        # (1,2,3) and (1,3,2) less their mean: (-1,0,1), (-1,1,0): 1 / sqrt(2 * 2)
        self.assertAlmostEqual(metrics.pearson(np.array([1, 2, 3]), np.array([1, 3, 2])), 0.5)
        self.assertEqual(metrics.pearson(np.ones(3), np.arange(3)), 0)

    def test_correlation_finds_late_lips(self):
        truth = np.sin(np.arange(60) ** 1.3)
        late = np.concatenate([[9, -9], truth[:-2]])
        r, lag = metrics.correlation(late, truth, (10, 50))
        self.assertEqual(lag, 2)
        self.assertAlmostEqual(r, 1)
        r, lag = metrics.correlation(truth[1:], truth)
        self.assertEqual(lag, -1)
        with self.assertRaisesRegex(ValueError, "12 frames of speech"):
            metrics.correlation(truth, truth, (3, 15))

    def test_spread_is_that_of_the_speech(self):
        truth = np.array([9, 1, -1, 1, -1, 9.0])
        self.assertAlmostEqual(metrics.spread(truth / 4 + 3, truth, (1, 4.5)), 0.25)
        self.assertAlmostEqual(metrics.spread(np.zeros(6), truth), 0)

    def test_closures(self):
        opening = np.full(40, 0.2)
        opening[[9, 20, 30]] = 0.02, 0.1, 0.16
        # Onset 10: 0.02 lies a frame before it, the lowest of 0.02 ... 0.2. Onset 20: the lowest nearby, but 0.1 open.
        # Onset 32: 0.16 is two frames away; within one there is 0.2. Onset 36: no six frames after it.
        expected = [(True, True), (True, False), (False, False)]
        self.assertEqual(metrics.closures(opening, [10, 20, 32, 36], 0.0), expected)
        self.assertEqual(metrics.closures(np.full(20, 0.01), [10], 0.0), [(False, True)])  # shut, but did not move
        self.assertEqual(metrics.closures(opening, [10], -0.02), [(True, False)])          # 0.02 > -0.02 + 0.03

    def test_landmark_distance_and_moves(self):
        lips = np.random.default_rng(0).normal(size=(5, 40, 2))
        self.assertAlmostEqual(metrics.landmark_distance(lips + [3, 4], lips), 5)
        self.assertAlmostEqual(metrics.landmark_distance(metrics.moves(lips + [3, 4]), metrics.moves(lips)), 0)

    def test_shortcut(self):
        rng = np.random.default_rng(0)
        one, two = rng.normal(size=(2, 30, 40, 2))
        self.assertAlmostEqual(metrics.shortcut(one, two, one, two), 1)
        self.assertAlmostEqual(metrics.shortcut(one, one, one, two), 0)
        self.assertAlmostEqual(metrics.shortcut(one / 2 + 7, two / 2, one, two), 0.5)

    def test_still_frames_have_no_sound_within_three(self):
        fbank = np.full((4 * 30, 26), -30.0)
        fbank[4 * 10:4 * 20] = 10                       # frames 10 ... 19 speak
        loud = metrics.loudness(fbank, 30)
        # log of 26 equal energies adds ln 26; quiet ones count as 15 below the loud ones
        np.testing.assert_allclose(loud[[0, 10, 19, 20]], np.array([-5, 10, 10, -5]) + np.log(26))
        np.testing.assert_array_equal(np.flatnonzero(metrics.still(loud)), [*range(7), *range(23, 30)])

    def test_jitter_is_the_second_difference_where_still(self):
        lips = np.zeros((10, 40, 2))
        lips[..., 0] = np.arange(10)[:, None]           # steady motion
        everywhere = np.ones(10, bool)
        self.assertEqual(metrics.jitter(lips, everywhere), 0)
        lips[::2, :, 1] = 1                             # up and down by 1: 1 - 2 * 0 + 1 = 2
        self.assertAlmostEqual(metrics.jitter(lips, everywhere), 2)
        self.assertTrue(np.isnan(metrics.jitter(lips, ~everywhere)))

    def test_silence_leak(self):
        mean, share = metrics.silence_leak(np.array([0.1, 0.1, 0.1, 0.2]), 0.1)
        self.assertAlmostEqual(mean, 0.025)
        self.assertEqual(share, 0.25)

    def test_energy_correlation_listens_between_500_and_1500_hz(self):
        opening = 0.1 + 0.05 * np.sin(np.arange(50) ** 1.2)
        fbank = np.random.default_rng(0).normal(5, 3, (200, 26))
        fbank[:, metrics.ENERGY_BANDS] = np.repeat(20 * opening, 4)[:, None]
        self.assertAlmostEqual(metrics.energy_correlation(opening, fbank), 1)


class Distances(unittest.TestCase):
    def test_shifts_and_lse(self):
        # Four orthogonal unit vectors: 0 apart in place; a step away three are sqrt(2) apart and one is 1 from zero.
        axes = np.eye(4)
        mean = metrics.distances(axes, axes, 1)
        away = (3 * np.sqrt(2) + 1) / 4
        np.testing.assert_allclose(mean, [away, 0, away])
        least, confidence, offset = metrics.lse(mean)
        self.assertEqual((least, offset), (0, 0))
        self.assertAlmostEqual(confidence, away)

    def test_late_pictures_have_a_positive_offset(self):
        heard = np.random.default_rng(0).normal(size=(40, 8))
        seen = np.roll(heard, 3, axis=0)                # what is seen now was heard three windows ago
        self.assertEqual(metrics.lse(metrics.distances(seen, heard, 15))[2], 3)

    def test_contrast_is_against_other_times(self):
        axes = np.eye(60)
        self.assertAlmostEqual(metrics.contrast(axes, axes), np.sqrt(2))
        late = np.roll(axes, 1, 0)
        self.assertGreater(metrics.contrast(axes, late), 1.3)  # by a frame: in time
        self.assertAlmostEqual(metrics.contrast(axes, np.roll(axes, 30, 0)), 0)
        self.assertTrue(np.isnan(metrics.contrast(axes[:15], axes[:15])))

    def test_median_less_minimum(self):
        self.assertEqual(metrics.lse(np.array([9.0, 8, 3, 7, 10])), (3, 5, 0))


class Pictures(unittest.TestCase):
    def test_psnr(self):
        self.assertAlmostEqual(metrics.psnr(1), 48.1308, 4)  # 20 log10 255
        self.assertEqual(metrics.psnr(0), 100)

    def test_ssim(self):
        a = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
        np.testing.assert_allclose(metrics.ssim(a, a), 1)
        # Without any variance only brightness counts: (2 100 110 + C1) / (100^2 + 110^2 + C1), C1 = 2.55^2
        flat = np.full((20, 30), 100, np.uint8)
        np.testing.assert_allclose(metrics.ssim(flat, flat + 10), (22000 + 6.5025) / (22100 + 6.5025))

    def test_ssim_of_one_brighter_pixel(self):
        # Weights exp(-x^2 / 4.5), 11 wide: w is the middle one's. Mean 100 + 50 w, variance 50^2 (w - w^2), covariance 0.
        a = np.full((31, 31), 100, np.uint8)
        b = a.copy()
        b[15, 15] = 150
        w = 1 / np.exp(-np.arange(-5, 6) ** 2 / 4.5).sum() ** 2
        mean, variance, c1, c2 = 100 + 50 * w, 2500 * (w - w * w), 2.55 ** 2, 7.65 ** 2
        similar = metrics.ssim(a, b)
        expected = (200 * mean + c1) * c2 / ((100 ** 2 + mean ** 2 + c1) * (variance + c2))
        self.assertAlmostEqual(similar[15, 15], expected)
        away = np.ones((31, 31), bool)
        away[10:21, 10:21] = False
        np.testing.assert_allclose(similar[away], 1)
        self.assertLess(similar[~away].max(), 1)

    def test_mouth_box_is_padded_by_a_third_and_clipped(self):
        points = np.zeros((1, 468, 2))
        points[:, list(LIPS)] = 50, 50
        points[:, 61], points[:, 291] = (40, 50), (60, 50)    # 20 wide: 7 more on each side
        np.testing.assert_array_equal(metrics.mouth_boxes(points, np.array([64, 100])), [[33, 43, 64, 57]])

    def test_lips_have_their_own_colour(self):
        circle = lambda n, r: 50 + r * np.stack([np.cos(np.arange(n) / n * 2 * np.pi), np.sin(np.arange(n) / n * 2 * np.pi)], 1)
        points = np.zeros((2, 468, 2))
        points[:, list(OUTER)], points[:, list(INNER)] = circle(20, 30), circle(20, 15)
        frames = np.zeros((2, 100, 100, 3), np.uint8)
        y, x = np.mgrid[:100, :100] - 50
        radius = np.hypot(x, y)
        frames[:, (radius < 32)] = 255, 0, 0
        frames[:, (radius < 15)] = 255, 255, 255             # teeth
        colours = metrics.lip_colours(frames, points)
        np.testing.assert_allclose(colours, [[53.2, 80.1, 67.2]] * 2, atol=0.2)  # red in CIE L*a*b*
        self.assertAlmostEqual(metrics.colour_distance(colours, colours + [3, 4, 0]), 5, 5)

    def test_mouth_outside_sharpness_and_flicker(self):
        rng = np.random.default_rng(0)
        original = np.repeat(rng.integers(60, 180, (1, 64, 64, 1)), 3, 3).repeat(4, 0).astype(np.uint8)
        original[1::2, 40:50, 20:40] += 3
        made = original.copy()
        made[1::2, 40:50, 20:40] += 3  # twice the original's flicker; an error of 3 in every other frame
        made[:, 5, 5] += 2             # one changed pixel outside
        boxes = np.tile([20, 40, 40, 50], (4, 1))
        rows = metrics.picture_figures(made, original, boxes, [18, 38, 42, 52])
        np.testing.assert_allclose(rows["mouth_error"], [0, 9, 0, 9])
        np.testing.assert_allclose(rows["outside_error"], 4 / (64 * 64 - 24 * 14))
        np.testing.assert_allclose(rows["flicker"], [[6, 3]] * 3)
        np.testing.assert_allclose(rows["mouth_ssim"][::2], 1)
        self.assertLess(rows["outside_ssim"].max(), 1)
        blurred = original.copy()
        blurred[:, 40:50, 20:40] = 100
        self.assertLess(metrics.picture_figures(blurred, original, boxes, [18, 38, 42, 52])["sharpness"].max(), 0.5)


class Published(unittest.TestCase):
    """SyncNet. Its weights are not here: random ones of the same names and shapes stand in."""

    def test_names_and_shapes_of_the_published_file(self):
        state = syncnet.SyncNet().state_dict()
        convs = {"netcnnaud": [(0, (64, 1, 3, 3)), (4, (192, 64, 3, 3)), (8, (384, 192, 3, 3)), (11, (256, 384, 3, 3)),
                               (14, (256, 256, 3, 3)), (18, (512, 256, 5, 4))],
                 "netcnnlip": [(0, (96, 3, 5, 7, 7)), (4, (256, 96, 1, 5, 5)), (8, (256, 256, 1, 3, 3)),
                               (11, (256, 256, 1, 3, 3)), (14, (256, 256, 1, 3, 3)), (18, (512, 256, 1, 6, 6))],
                 "netfcaud": [(0, (512, 512)), (3, (1024, 512))], "netfclip": [(0, (512, 512)), (3, (1024, 512))]}
        for part, layers in convs.items():
            for index, shape in layers:
                self.assertEqual(tuple(state[f"{part}.{index}.weight"].shape), shape)
                self.assertIn(f"{part}.{index}.bias", state)
        norms = [f"{part}.{index + 1}" for part in convs for index, _ in convs[part] if index != 3]
        for norm in norms:
            self.assertIn(f"{norm}.running_mean", state)
        self.assertEqual(len(state), 2 * 16 + 5 * len(norms))

    def test_windows_and_loading(self):
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "syncnet_v2.model"
            torch.save(syncnet.SyncNet().state_dict(), path, _use_new_zipfile_serialization=False)
            net = syncnet.load(path)
        rng = np.random.default_rng(0)
        crops = rng.integers(0, 255, (8, 224, 224, 3)).astype(np.uint8)
        seen, heard = syncnet.embeddings(net, crops, rng.integers(-999, 999, 16000).astype(np.int16))
        self.assertEqual((seen.shape, heard.shape), ((3, 1024), (3, 1024)))
        with torch.no_grad():
            third = net.embed_video(torch.from_numpy(crops[2:7]).permute(3, 0, 1, 2)[None].float())
        np.testing.assert_allclose(seen[2], third[0], atol=1e-5)
        with self.assertRaisesRegex(ValueError, "too short"):
            syncnet.embeddings(net, crops[:5], np.zeros(16000, np.int16))

    def test_hostile_and_wrong_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path, mark = Path(folder) / "model", Path(folder) / "executed"

            class Hostile:
                def __reduce__(self):
                    return Path.touch, (mark,)

            path.write_bytes(pickle.dumps(Hostile()))
            with self.assertRaisesRegex(ValueError, "not a file of tensors"):
                syncnet.load(path)
            torch.save({"netcnnaud.0.weight": torch.zeros(2), "x": Hostile()}, path)
            with self.assertRaisesRegex(ValueError, "not a file of tensors"):
                syncnet.load(path)
            self.assertFalse(mark.exists())
            torch.save({"netcnnaud.0.weight": torch.zeros(2)}, path)
            with self.assertRaisesRegex(ValueError, "does not hold SyncNet's weights"):
                syncnet.load(path)

    def test_face_crop(self):
        # A face box of 40 x 60 around (100, 90): half side 30, so rows 60 ... 144 and columns 58 ... 142 are cut.
        frames = np.zeros((3, 200, 300, 3), np.uint8)
        frames[:, 60:144, 58:142] = 10, 20, 30
        points = np.full((3, 468, 2), 100.0)
        points[..., 1] = 90
        points[:, 0], points[:, 1] = (80, 60), (120, 120)
        crops = syncnet.face_crops(frames, points)
        self.assertEqual(crops.shape, (3, 224, 224, 3))
        np.testing.assert_array_equal(np.unique(crops.reshape(-1, 3), axis=0), [[30, 20, 10]])  # BGR, and nothing else
        points[..., 0] -= 100                                  # half outside of the frame: filled with 110
        self.assertEqual(syncnet.face_crops(frames, points)[0, 0, 0].tolist(), [110, 110, 110])


class Own(unittest.TestCase):
    """Our own sync network."""

    def setUp(self):
        torch.manual_seed(0)
        self.net = sync.Sync().eval()

    def test_sound_windows_outside_are_silent(self):
        fbank = np.arange(60, dtype=np.float32).reshape(30, 2)
        got = sync.sound_windows(fbank, [-2, 15]).numpy()
        np.testing.assert_array_equal(got[0, :2], np.full((2, 2), np.float32(SILENCE)))
        np.testing.assert_array_equal(got[0, 2:], fbank[:18])
        np.testing.assert_array_equal(got[1, :15], fbank[15:])
        self.assertTrue((got[1, 15:] == np.float32(SILENCE)).all())

    def test_embeddings_of_a_clip_are_those_of_its_windows(self):
        rng = np.random.default_rng(0)
        windows = rng.integers(0, 255, (9, 80, 80, 3)).astype(np.uint8)
        fbank = rng.normal(8, 3, (36, 26)).astype(np.float32)
        seen, heard = sync.embeddings(self.net, windows, fbank)
        self.assertEqual((seen.shape, heard.shape), ((5, 128), (5, 128)))
        np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, rtol=1e-5)
        image = torch.from_numpy(windows[2:7]).permute(0, 3, 1, 2)[None] / 127.5 - 1
        with torch.no_grad():
            np.testing.assert_allclose(self.net.embed_video(image)[0], seen[2], atol=1e-5)
            np.testing.assert_allclose(self.net.embed_audio(torch.from_numpy(fbank[None, 8:28]))[0], heard[2], atol=1e-5)

    def test_brightness_contrast_and_level_do_not_count(self):
        mouths = torch.rand(2, 5, 64, 64)
        torch.testing.assert_close(self.net.embed_grey(mouths), self.net.embed_grey(0.9 * mouths + 0.3), atol=0.02, rtol=0)

    def test_gradient_reaches_the_pictures(self):
        windows = (torch.rand(2, 5, 3, 80, 80) * 2 - 1).requires_grad_()
        (self.net.embed_video(windows) * torch.randn(2, 128)).sum().backward()
        self.assertGreater(windows.grad.abs().sum((0, 2, 3, 4)).min().item(), 0)

    def test_contrast_of_perfect_and_of_blind_embeddings(self):
        count = CLIPS * TIMES
        perfect = torch.eye(count)
        self.assertAlmostEqual(contrast(perfect, perfect, 100.0).item(), 0, 5)
        blind = torch.ones(count, 4) / 2
        # Half of ln 256 against the whole batch, and ln 16 against the own clip
        self.assertAlmostEqual(contrast(blind, blind, 1.0).item(), np.log(count) / 2 + np.log(TIMES), 4)


class Words(unittest.TestCase):
    def test_words_onsets_and_the_most_different_donor(self):
        with tempfile.TemporaryDirectory() as folder:
            said = {"a": "bin blue at m two", "b": "bin blue at p two", "c": "lay my by b two"}
            clips = []
            for name, sentence in said.items():
                clips.append(Path(folder) / f"{name}.mp4")
                rows = [f"{5000 * i} {5000 * i + 5000} {w}" for i, w in enumerate(["sil", *sentence.split(), "sil"])]
                clips[-1].with_suffix(".align").write_text("\n".join(rows))
            spoken = footage.words(clips[0].with_suffix(".align"))
            self.assertEqual(spoken[0], (5, 10, "bin"))
            later = footage.words(clips[0].with_suffix(".align"), (0.4, 0.5))            # frames 10 to 22
            self.assertEqual(later, [(0, 5, "blue"), (5, 10, "at"), (10, 15, "m")])
            self.assertEqual(footage.bilabials(spoken), [5, 10])                     # bin, blue; the letter m is "em"
            self.assertEqual(footage.bilabials(footage.words(clips[2].with_suffix(".align"))), [10, 15, 20])
            self.assertEqual(evaluate.donor_of(clips[0], clips), clips[2])
            self.assertEqual(evaluate.donor_of(clips[2], clips), clips[0])


if __name__ == "__main__":
    unittest.main()
