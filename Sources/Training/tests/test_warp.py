# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""data/warp.py on the mesh of the sample portrait, aligned to the window, with an image of noise."""
import unittest

import cv2
import numpy as np

from data import warp
from data.geometry import INNER, SIDE, with_rings
from tests.faces import basis, clip, closed

UNIT = 92.0  # px, about the outer eye distance in the window


def meshes(frame):
    points = clip().points[frame:frame + 1, :, :2].astype(np.float64) + 24
    return with_rings(points, points)[0][0]


def noise():
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), (0, 0), 1)


class FieldTests(unittest.TestCase):
    def test_a_mesh_that_does_not_move_leaves_the_picture(self):
        mesh = meshes(0)
        field = warp.field(mesh, mesh, basis().triangles, (SIDE, SIDE))
        np.testing.assert_array_equal(warp.moved(noise(), field), noise())

    def test_a_shift_by_whole_pixels_shifts_what_the_triangles_cover(self):
        mesh, picture = meshes(0), noise()
        made = warp.moved(picture, warp.field(mesh + [3, -2], mesh, basis().triangles, (SIDE, SIDE)))
        x, y = (mesh[14] + [3, -2]).round().astype(int)
        inner = slice(y - 15, y + 15), slice(x - 15, x + 15)
        np.testing.assert_array_equal(made[inner], np.roll(picture, (-2, 3), (0, 1))[inner])


class LipsTests(unittest.TestCase):
    def test_closed_lips_show_hardly_anything_of_the_inside(self):
        mesh = meshes(5)
        inside = warp.filled(mesh[list(INNER)], (SIDE, SIDE))
        picture = (60 + 190 * inside[..., None].repeat(3, 2)).astype(np.uint8)
        made = warp.warped(picture, mesh, closed(mesh), basis().triangles, UNIT)
        self.assertLess((made > 110).sum(), 0.08 * (picture > 200).sum())  # dots in the corners

    def test_lips_of_an_open_and_of_a_closed_mouth(self):
        mesh = meshes(5)
        inside, whole = warp.lips(mesh, (SIDE, SIDE))
        area = cv2.contourArea(mesh[list(INNER)].astype(np.float32))
        self.assertLess(abs(inside.sum() / area - 1), 0.1)
        self.assertTrue((inside <= whole + 1e-6).all())
        self.assertEqual(warp.lips(closed(mesh), (SIDE, SIDE))[0].max(), 0)

    def test_an_exemplar_gives_its_mouth_and_takes_the_colours_around_it(self):
        mesh = meshes(5)
        own, other = np.full((SIDE, SIDE, 3), 100, np.uint8), np.full((SIDE, SIDE, 3), 120, np.uint8)
        x, y = mesh[list(INNER)].mean(0).round().astype(int)
        cv2.circle(other, (x, y), 3, (220, 220, 220), -1)
        made = warp.with_exemplar(own, mesh, other, mesh, basis().triangles, UNIT)
        self.assertGreater(made[y, x].min(), 180)
        self.assertLess(np.abs(made[:24].astype(int) - 100).max(), 2)
        self.assertLess(abs(int(made[y + 12, x, 0]) - 100), 12)

    def test_skin_comes_along_unless_something_is_before_it(self):
        mesh = meshes(5)
        cheek = tuple(mesh[[212, 57, 214, 207]].mean(0).round().astype(int))
        own = (90 + 0.1 * noise()).astype(np.uint8)
        shaded, covered = own + np.uint8(20), own + np.uint8(20)
        cv2.circle(shaded, cheek, 9, (121, 121, 121), -1)  # as light as speech makes it
        cv2.circle(covered, cheek, 9, (20, 20, 20), -1)
        made = [warp.with_exemplar(own, mesh, other, mesh, basis().triangles, UNIT) for other in (shaded, covered)]
        near = lambda picture, value: abs(picture[cheek[1], cheek[0]].astype(int) - value).max()
        self.assertLess(near(made[0], 101), 3)
        self.assertLess(near(made[1], own[cheek[1], cheek[0]].astype(int)), 8)

    def test_a_chin_outside_the_picture_leaves_the_skin(self):
        mesh = meshes(5)
        own = np.full((SIDE, SIDE, 3), 100, np.uint8)
        other = own.copy()
        x, y = mesh[200].round().astype(int)
        other[y - 2:y + 3, x - 2:x + 3] = 108
        made = [warp.with_exemplar(own[:rows], mesh, other[:rows], mesh, basis().triangles, UNIT)[y, x, 0]
                for rows in (SIDE, int(mesh[152, 1]) - 8)]
        self.assertGreater(made[0], 106)
        self.assertEqual(made[1], 100)


if __name__ == "__main__":
    unittest.main()
