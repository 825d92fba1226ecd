# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The coefficients made by train/teacher.py."""
import tempfile
import unittest
from pathlib import Path

import numpy as np

from data import phones
from data.geometry import Basis
from train import teacher


def opening(gap):
    """A geometry whose lips open along coefficients."""
    basis = Basis.__new__(Basis)
    basis.gap = np.array(gap)
    return basis


class ClosedTests(unittest.TestCase):
    def test_lips_are_shut_in_the_first_half_of_p_b_and_m(self):
        basis = opening([2.0, 1.0, 0.0])
        open_lips = np.tile([0.4, 0.2, 0.7], (12, 1))  # opening 1
        made = teacher.closed(open_lips, [("bilabial", 4.2, 7.0), ("open", 7.0, 10.0), (None, 0.0, 4.2)], basis)
        np.testing.assert_allclose(made @ basis.gap, [1, 1, 1, 0.5, 0, 0, 0.5, 1, 1, 1, 1, 1], atol=1e-6)
        self.assertTrue((made[:, 2] == np.float32(0.7)).all())  # what does not open the lips stays

    def test_shut_lips_stay_as_they_are(self):
        basis, shut = opening([1.0, 0.0]), np.tile([-0.3, 0.5], (5, 1))
        np.testing.assert_allclose(teacher.closed(shut, [("bilabial", 0.0, 20.0)], basis), shut, atol=1e-6)

    def test_phones_as_the_synthesisers_name_them(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.phones"
            path.write_text("pau 0.000 0.200\nph 0.200 0.280\nB 0.280 0.300\nm 0.300 0.400\n_: 0.400 0.500\n")
            found = phones.written(path)
        self.assertEqual([kind for kind, _, _ in found], [None, "bilabial", None, "bilabial", None])
        np.testing.assert_allclose(found[1][1:], [5, 7])


if __name__ == "__main__":
    unittest.main()
