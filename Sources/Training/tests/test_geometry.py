# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Pose, coefficients and closed mouths of data/geometry.py, on the mesh of the sample portrait."""
import unittest

import numpy as np

from data.geometry import (CLOSED, INNER, LOWER_INNER, MIDDLE, UPPER_INNER, Neutral, Pose, areas, unfolded, with_mouth,
                           with_rings)
from tests.faces import basis, closed, jaw, portrait


def gaps(shape):
    """How far lower lips lie below the upper ones, [T, 9]."""
    return shape[:, LOWER_INNER[1:-1], 1] - shape[:, UPPER_INNER[1:-1], 1]


class PoseTests(unittest.TestCase):
    def test_a_known_pose_is_found_whatever_the_mouth_does(self):
        canonical, angle = basis().canonical, np.array([0.3, -0.2, 0.1])
        x, y, z = angle
        rotation = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]) \
            @ np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]) \
            @ np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
        shapes = np.stack([canonical, canonical + 0.2 * jaw(canonical)])
        pose = Pose(np.array([80.0, 80.0]), np.stack([rotation] * 2), np.array([[40.0, 20.0, 5.0]] * 2))
        points = pose.posed(shapes)
        found = Pose.of(points, canonical)
        np.testing.assert_allclose(found.scale, pose.scale, rtol=1e-6)
        np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-6)
        np.testing.assert_allclose(found.shift, pose.shift, atol=1e-5)
        np.testing.assert_allclose(found.unposed(points), shapes, atol=1e-6)


class MouthTests(unittest.TestCase):
    def test_a_mouth_that_is_given_has_the_coefficients_that_were_wanted(self):
        shape = basis().canonical[None].repeat(2, 0)
        neutral = shape[0, basis().low]
        wanted = np.zeros((2, 12))
        wanted[:, :3] = [0.5, 0, 0], [0.5, -0.5, 0.5]
        now = basis().coefficients(shape, neutral)
        made = basis().coefficients(with_mouth(basis(), shape, now, wanted), neutral)
        np.testing.assert_allclose(now, 0, atol=1e-9)
        self.assertLess(np.abs(made - wanted)[:, :3].max(), 0.05)  # the fade towards nose and cheeks mixes the smaller ones

    def test_the_closed_mouth_of_a_smile_is_closed(self):
        points = portrait()[1][None]
        shape = Pose.of(points, basis().canonical).unposed(points)
        self.assertGreater(gaps(shape)[0, MIDDLE].mean(), 3 * CLOSED)  # she smiles with her teeth
        closed = Neutral.of(basis(), shape)
        shape[0, basis().low] = closed
        self.assertAlmostEqual(gaps(shape)[0, MIDDLE.start - 1:MIDDLE.stop - 1].mean(), CLOSED, 6)

    def test_frames_with_the_mouth_closed_make_the_neutral(self):
        shut = closed(basis().canonical)
        neutral = Neutral.of(basis(), np.stack([shut + 0.1 * jaw(basis().canonical), shut] * 10))
        self.assertLess(np.abs(neutral - shut[basis().low]).max(), 0.001)

    def test_limited_mouths_open_so_far_and_others_stay(self):
        wanted = np.random.default_rng(0).normal(0, 1, (9, 12))
        gap = wanted @ basis().gap
        limited = basis().limited(wanted, np.median(gap))
        np.testing.assert_allclose(limited @ basis().gap, np.minimum(gap, np.median(gap)), atol=1e-9)
        np.testing.assert_array_equal(limited[gap <= np.median(gap)], wanted[gap <= np.median(gap)])
        np.testing.assert_allclose(basis().limited(wanted, gap - 0.1) @ basis().gap, gap - 0.1)

    def test_decided_lips_are_shut_or_open(self):
        one = basis().gap / (basis().gap @ basis().gap)  # opens by one outer eye distance
        openings = np.array([-0.02, 0, 0.01, 0.02, 0.045, 0.07, 0.3])
        other = basis().unopened(np.random.default_rng(0).normal(0, 1, (7, 12)))
        made = basis().decided(other + openings[:, None] * one)
        np.testing.assert_allclose(made @ basis().gap, [-0.02, 0, 0, 0, 0.035, 0.07, 0.3], atol=1e-9)
        np.testing.assert_allclose(basis().unopened(made), other, atol=1e-9)

    def test_lips_never_cross(self):
        shape = basis().canonical[None]
        one = basis().gap / (basis().gap @ basis().gap)  # opens by one outer eye distance
        for much in (0.3, 3):
            made = with_mouth(basis(), shape, np.zeros((1, 12)), -much * one[None])
            self.assertGreaterEqual(gaps(made).min(), 0)
            np.testing.assert_array_equal(gaps(made)[0, 3:6], 0)
        self.assertAlmostEqual(gaps(with_mouth(basis(), shape, np.zeros((1, 12)), 0.1 * one[None]) - shape)[0, 3:6].mean(), 0.1)


class TurnedTests(unittest.TestCase):
    def test_what_is_hidden_stays_and_no_triangle_turns_over(self):
        rng, folds = np.random.default_rng(0), 0
        for turn in np.radians([0, 25, 50, -50]):
            rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
            pose = Pose(np.array([100.0]), rotation[None], np.array([[200.0, 200.0, 0.0]]))
            facing = basis().facing(pose)
            if turn == 0:
                np.testing.assert_allclose(facing, 1)
            elif abs(turn) > 0.8:
                self.assertTrue((facing == 0).any())
            for _ in range(10):
                shape = basis().canonical[None]
                other = with_mouth(basis(), shape, np.zeros((1, 12)), rng.normal(0, 2, (1, 12)), facing)
                (before,), (after,) = with_rings(pose.posed(shape)[..., :2], pose.posed(other)[..., :2])
                made = unfolded(before, after, basis().triangles, 100)
                old = areas(before, basis().triangles)
                for mesh, most in ((after, np.inf), (made, 0.2)):
                    new = areas(mesh, basis().triangles)
                    over = (old * new < 0) & ((old > 0) | ~np.isin(basis().triangles, INNER).all(1))
                    self.assertLessEqual(np.minimum(np.abs(old), np.abs(new))[over].max(initial=0), most)
                    folds += over.sum() if mesh is after else 0
        self.assertGreater(folds, 0)


if __name__ == "__main__":
    unittest.main()
