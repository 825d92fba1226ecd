# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The rasteriser of heads.py on triangles whose pixels can be counted by hand: `python -m unittest test_heads` in this
folder."""
import unittest

import numpy as np

from heads import rasterize

FAR = [[0, 0, 5], [4, 0, 5], [0, 4, 5]]   # the upper left half of 4 x 4 px; centres on its long side count
NEAR = [[0, 0, 1], [2, 0, 1], [0, 2, 1]]


class Rasterizer(unittest.TestCase):
    def test_a_triangle_covers_the_pixels_whose_centres_it_holds(self):
        index, weights = rasterize(np.array(FAR, np.float32), np.array([[0, 1, 2]]), 4)
        np.testing.assert_array_equal(index, [[0, 0, 0, 0], [0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]])
        # The centre (0.5, 1.5) is 0.5 / 4 of the way to the second corner and 1.5 / 4 to the third.
        np.testing.assert_allclose(weights[1, 0], [0.5, 0.125, 0.375], atol=1e-6)

    def test_the_nearer_one_is_seen_whatever_the_order(self):
        for first, second, near in ((FAR, NEAR, 1), (NEAR, FAR, 0)):
            index, _ = rasterize(np.array(first + second, np.float32), np.array([[0, 1, 2], [3, 4, 5]]), 4)
            np.testing.assert_array_equal(index == near, [[1, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4])

    def test_depth_is_compared_in_each_pixel(self):
        # One leans from depth 0 at the left to 4 at the right, the other is 2 deep: they cross between the columns.
        leaning, flat = ([[0, 0, a], [4, 0, b], [4, 4, b], [0, 4, a]] for a, b in ((0, 4), (2, 2)))
        quads = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
        index, _ = rasterize(np.array(leaning + flat, np.float32), quads, 4)
        np.testing.assert_array_equal(index // 2, [[0, 0, 1, 1]] * 4)

    def test_backs_and_what_is_outside_are_not_seen(self):
        index, weights = rasterize(np.array(FAR, np.float32), np.array([[0, 2, 1]]), 4)
        self.assertTrue((index == -1).all() and (weights == 0).all())
        index, _ = rasterize(np.array(FAR, np.float32) - [2, 2, 0], np.array([[0, 1, 2]]), 4)
        self.assertTrue((index == -1).all())
        index, _ = rasterize(np.array(FAR, np.float32) * [9, 9, 1] - [2, 2, 0], np.array([[0, 1, 2]]), 4)
        self.assertTrue((index == 0).all())


if __name__ == "__main__":
    unittest.main()
