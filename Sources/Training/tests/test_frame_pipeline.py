# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The exemplar memory of evaluate/frame_pipeline.py, and how far its dubs open."""
import unittest

import numpy as np

from data.geometry import INNER, LOWER_INNER, LOWER_OUTER, MIDDLE, UPPER_INNER, UPPER_OUTER, opening
from evaluate.frame_pipeline import ANY_MOUTH, WIDER, Dub, MouthMemory
from tests.faces import basis, clip


def key(opening):
    return np.array([opening, 0.0])


def shown(memory, opening):
    return [(mouth, round(share, 2)) for mouth, share in memory.choose(key(opening))]


class MemoryTests(unittest.TestCase):
    def setUp(self):
        self.memory = MouthMemory()
        for opening, mouth in ((0.0, "shut"), (0.1, "open")):
            self.memory.remember(key(opening), mouth)

    def test_one_mouth_becomes_another_in_three_pictures(self):
        self.assertEqual(shown(self.memory, 0.01), [("shut", 1.0)])
        self.assertEqual([shown(self.memory, 0.1) for _ in range(4)],
                         [[("open", 0.33), ("shut", 0.67)], [("open", 0.67), ("shut", 0.33)], [("open", 1.0)], [("open", 1.0)]])

    def test_pressed_lips_are_not_resting_ones(self):
        rest = basis().canonical.copy()
        pressed = rest.copy()
        for outer, inner in ((UPPER_OUTER, UPPER_INNER), (LOWER_OUTER, LOWER_INNER)):
            pressed[list(outer), 1] = 0.4 * rest[list(outer), 1] + 0.6 * rest[list(inner), 1]
        apart = MouthMemory.key(rest, np.eye(3)) - MouthMemory.key(pressed, np.eye(3))
        np.testing.assert_allclose(apart[:-2], 0, atol=1e-9)
        self.assertGreater(np.linalg.norm(apart), MouthMemory.SWITCH)

    def test_a_mouth_stays_while_another_is_hardly_better(self):
        shown(self.memory, 0.0)
        self.assertEqual(shown(self.memory, 0.05 + MouthMemory.SWITCH / 2 - 0.001), [("shut", 1.0)])
        shown(self.memory, 0.0)  # so that what is wanted changes
        self.assertEqual(shown(self.memory, 0.05 + MouthMemory.SWITCH / 2 + 0.001)[0][0], "open")

    def test_while_the_same_is_wanted_a_mouth_stays_longer(self):
        shown(self.memory, 0.04)
        self.memory.remember(key(0.04), "better")
        self.assertEqual(shown(self.memory, 0.04), [("shut", 1.0)])
        self.assertEqual(shown(self.memory, 0.04 + MouthMemory.CHANGE + 0.001)[0][0], "better")
        memory = MouthMemory()
        memory.remember(key(0.0), "shut")
        shown(memory, 0.05)
        memory.remember(key(0.05), "much better")
        self.assertEqual(shown(memory, 0.05)[0][0], "much better")

    def test_a_mouth_like_one_that_is_known_is_not_kept(self):
        self.memory.remember(key(0.1 + MouthMemory.APART / 2), "again")
        self.assertEqual(self.memory.mouths, ["shut", "open"])

    def test_when_full_the_older_of_the_two_that_are_most_alike_goes(self):
        memory = MouthMemory()
        for number in range(MouthMemory.MOST):
            memory.remember(key(float(number)), number)
        memory.remember(key(5.1), "new")
        self.assertEqual(len(memory.mouths), MouthMemory.MOST)
        self.assertNotIn(5, memory.mouths)
        self.assertIn("new", memory.mouths)

    def test_what_is_shown_but_no_longer_kept_counts(self):
        memory = MouthMemory()
        size = MouthMemory.BUDGET / 4
        memory.remember(key(0.0), "shut", size)
        shown(memory, 0.0)
        for number in range(1, 4):
            memory.remember(key(0.01 * number ** 3), number, size)
        self.assertEqual(memory.mouths, [2, 3])
        self.assertEqual(memory.held(), 3 * size)
        memory.remember(key(5.0), "too large", size + 1)
        self.assertEqual(memory.mouths, [2, 3])

    def test_a_mouth_in_another_light_takes_the_old_ones_place(self):
        self.memory.remember(key(0.1), "much the same", light=MouthMemory.LIT / 2)
        self.assertEqual(self.memory.mouths, ["shut", "open"])
        self.memory.remember(key(0.1), "lit", light=2 * MouthMemory.LIT)
        self.assertEqual(self.memory.mouths, ["shut", "lit"])

    def test_a_turned_head_is_another_mouth(self):
        shape, level = np.zeros((468, 3)), np.eye(3)
        turned = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
        distance = np.linalg.norm(MouthMemory.key(shape, level) - MouthMemory.key(shape, turned))
        self.assertAlmostEqual(distance, 0.6 * MouthMemory.TURN)


class DubTests(unittest.TestCase):
    def test_no_mouth_opens_much_wider_than_it_was_seen(self):
        """The portrait opens its mouth up to 0.1 and is to open it by 1; the frames before the first wide one know less."""
        talk = clip()
        wanted = np.tile(basis().gap / (basis().gap @ basis().gap), (len(talk.window), 1))
        dub = Dub(basis(), talk.window, talk.points)
        rim = dub.warped(wanted, exemplar=False)[2][:, INNER]
        made = np.linalg.norm(rim[:, MIDDLE] - rim[:, -MIDDLE.start:-MIDDLE.stop:-1], axis=-1).mean(1) / dub.pose.scale
        most = np.maximum(ANY_MOUTH, WIDER * np.maximum.accumulate(opening(dub.shape)))
        neutral = 0.05  # what the closed mouth, and turned lips, make of it at most
        self.assertLess((made - most).max(), neutral)
        self.assertGreater(made.min(), ANY_MOUTH - neutral)


if __name__ == "__main__":
    unittest.main()
