# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""data/prepare.py on a second of the sample portrait in motion."""
import contextlib
import io
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

from data import prepare
from data.clips import stills
from data.geometry import LIPS, MOUTH, STABLE, TEMPLATE
from tests.faces import PORTRAIT


def film(path, *inputs):
    subprocess.run(["ffmpeg", "-v", "error", *inputs, "-t", "0.8", "-pix_fmt", "yuv420p", path], check=True)


class PrepareTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "somebody").mkdir()
        self.video, self.cache = self.folder / "somebody/talks.mp4", self.folder / "cache"

    def test_a_video_becomes_a_clip(self):
        film(self.video, "-loop", "1", "-framerate", "25", "-i", PORTRAIT, "-f", "lavfi", "-i",
             "sine=frequency=440:sample_rate=16000", "-vf", "crop=iw-16:ih-16:8+4*sin(n/3):8,scale=256:-2")
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.prepare_all([self.folder], self.cache, jobs=1)
        kept = np.load(self.cache / "clips/somebody__talks.npz")
        self.assertEqual((kept["window"].dtype, kept["window"].shape), (np.uint8, (20, 128, 128, 3)))
        self.assertEqual((kept["points"].dtype, kept["points"].shape), (np.float32, (20, 468, 3)))
        self.assertEqual(kept["sound"].dtype, np.int16)
        self.assertLess(abs(len(kept["sound"]) - 640 * 20), 640)
        points = kept["points"][..., :2]
        self.assertLess(np.abs(points[:, STABLE] - TEMPLATE).mean(), 3)
        self.assertLess(np.linalg.norm(points[:, LIPS].mean((0, 1)) - MOUTH), 8)
        self.assertLess(points[:, STABLE].std(0).max(), 2)  # the window goes with the head
        before = (self.cache / "clips/somebody__talks.npz").stat().st_mtime_ns
        self.assertEqual(prepare.prepare(self.video, self.cache), [])
        self.assertEqual((self.cache / "clips/somebody__talks.npz").stat().st_mtime_ns, before)

    def test_what_cannot_be_used_is_named(self):
        film(self.video, "-f", "lavfi", "-i", "color=gray:size=128x128:rate=25")
        for part in ("clips", "mesh"):
            (self.cache / part).mkdir(parents=True)
        self.assertEqual(prepare.prepare(self.video, self.cache),
                         [f"{self.video}: no face in more than a tenth of the frames, skipped"])
        self.video.write_bytes(b"no video")
        self.assertIn("no pictures", prepare.prepare(self.video, self.cache)[0])

    def test_portraits(self):
        self.cache.mkdir()
        with contextlib.redirect_stdout(io.StringIO()) as said:
            prepare.prepare_stills([PORTRAIT.parent], self.cache)
        self.assertEqual(said.getvalue(), "1 of 1 pictures show a face\n")
        self.assertEqual(stills(self.cache)["window"].shape, (1, 128, 128, 3))
        self.assertEqual(len(stills(self.folder)["window"]), 0)


if __name__ == "__main__":
    unittest.main()
