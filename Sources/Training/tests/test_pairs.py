# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of data/pairs.py from a clip whose frames encode their index as a colour."""
import unittest

import numpy as np

from data import pairs
from tests.faces import basis, clip

NOBODY = {"window": (), "points": ()}
SIDE = 80 + 2 * pairs.KEPT


class RunTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runs = pairs.runs(basis(), [clip()], np.arange(1), lambda clip: clip.window, NOBODY, 6, np.random.default_rng(0))

    def test_shapes(self):
        for name, channels in (("truth", 3), ("own", 3), ("exemplar", 3)):
            self.assertEqual((self.runs[name].dtype, self.runs[name].shape), (np.uint8, (6, pairs.FRAMES, SIDE, SIDE, channels)))
        self.assertEqual((self.runs["lips"].dtype, self.runs["lips"].shape), (np.uint8, (6, pairs.FRAMES, 2, SIDE, SIDE)))
        self.assertTrue((self.runs["lips"][:, :, 0] <= self.runs["lips"][:, :, 1]).all())
        self.assertGreater(self.runs["lips"][:, :, 1].max(), 250)

    def test_the_truth_is_the_clip_in_order_and_the_warped_picture_is_of_another_moment(self):
        middle = (..., SIDE // 2, SIDE // 2, 0)
        numbers, sources = self.runs["truth"][middle] / 3, self.runs["own"][middle] / 3
        np.testing.assert_array_equal(numbers, self.runs["frame"][:, None] + np.arange(pairs.FRAMES))
        np.testing.assert_array_equal(sources - sources[:, :1], numbers - numbers[:, :1])
        self.assertGreaterEqual(np.abs(sources - numbers).min(), pairs.APART)

    def test_a_portrait_comes_back_from_another_mouth(self):
        talker = pairs.Talker(basis(), clip().window, clip().points)
        portrait = pairs.Talker(basis(), np.random.default_rng(0).integers(0, 255, (1, 128, 128, 3)).astype(np.uint8),
                                clip().points[:1])
        truth, own, exemplar, lips, near = pairs.still(basis(), portrait, talker.coefficients, np.random.default_rng(1))
        self.assertEqual(len(truth), pairs.FRAMES)
        self.assertLess(np.abs(own[:, :20].astype(int) - truth[:, :20]).max(), 8)  # nothing above the mouth has moved
        self.assertGreater(np.abs(own[0, 50:80, 50:80].astype(int) - truth[0, 50:80, 50:80]).mean(), 1)
        self.assertEqual(near, 0)


if __name__ == "__main__":
    unittest.main()
