# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Stories of evaluate/journey.py's memory of mouths."""
import unittest

import numpy as np

from evaluate.journey import Memory


def key(opening):
    return np.array([opening, 0.0])


def shown(memory, opening):
    return [(mouth, round(share, 2)) for mouth, share in memory.choose(key(opening))]


class MemoryTests(unittest.TestCase):
    def setUp(self):
        self.memory = Memory()
        for opening, mouth in ((0.0, "shut"), (0.1, "open")):
            self.memory.remember(key(opening), mouth)

    def test_one_mouth_becomes_another_in_three_pictures(self):
        self.assertEqual(shown(self.memory, 0.01), [("shut", 1.0)])
        self.assertEqual([shown(self.memory, 0.1) for _ in range(4)],
                         [[("open", 0.33), ("shut", 0.67)], [("open", 0.67), ("shut", 0.33)], [("open", 1.0)], [("open", 1.0)]])

    def test_a_mouth_stays_while_another_is_hardly_better(self):
        shown(self.memory, 0.0)
        self.assertEqual(shown(self.memory, 0.05 + Memory.SWITCH / 2 - 0.001), [("shut", 1.0)])
        self.assertEqual(shown(self.memory, 0.05 + Memory.SWITCH / 2 + 0.001)[0][0], "open")

    def test_a_mouth_like_one_that_is_known_is_not_kept(self):
        self.memory.remember(key(0.1 + Memory.APART / 2), "again")
        self.assertEqual(self.memory.mouths, ["shut", "open"])

    def test_when_full_the_older_of_the_two_that_are_most_alike_goes(self):
        memory = Memory()
        for number in range(Memory.MOST):
            memory.remember(key(float(number)), number)
        memory.remember(key(5.1), "new")
        self.assertEqual(len(memory.mouths), Memory.MOST)
        self.assertNotIn(5, memory.mouths)
        self.assertIn("new", memory.mouths)

    def test_a_turned_head_is_another_mouth(self):
        shape, level = np.zeros((468, 3)), np.eye(3)
        turned = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
        distance = np.linalg.norm(Memory.key(shape, level) - Memory.key(shape, turned))
        self.assertAlmostEqual(distance, 0.6 * Memory.TURN)


if __name__ == "__main__":
    unittest.main()
