# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The commands adapt and ablate end to end, with small networks, a few frames and one training step."""
import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from convert import export
from data import clips, pairs
from data.geometry import Basis
from evaluate import ablate
from networks.sync import Sync
from tests.faces import META, clip, geometry, small_model, squeezenet
from train import adapt, loop


class CommandTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model, self.weights = self.folder / "model.safetensors", self.folder / "squeezenet.npz"
        (self.folder / "clips").mkdir()
        shapes = {name: np.ascontiguousarray(value, np.float32) for name, value in geometry().items()}
        save_file(shapes, self.folder / "geometry.safetensors")
        squeezenet(self.weights)
        for context in (contextlib.redirect_stdout(io.StringIO()), mock.patch.object(loop.plots, "plot")):
            self.enterContext(context)
        export.save(small_model(), self.folder / "geometry.safetensors", META / "models/faces.safetensors", self.model)

    def write(self, *names, frames=24):
        """Clips of these names, SPEAKER__NAME, of the speaking portrait with pictures of noise."""
        rng, one = np.random.default_rng(0), clip()
        for name in names:
            window = rng.integers(0, 255, (frames, 128, 128, 3)).astype(np.uint8)
            clips.save(self.folder / f"clips/{name}.npz", window=window, points=one.points[:frames], sound=one.sound[:640 * frames])

    def run_with(self, command, *arguments, **constants):
        with contextlib.ExitStack() as stack:
            for name, value in constants.items():
                stack.enter_context(mock.patch.object(command, name, value))
            stack.enter_context(mock.patch.object(sys, "argv", ["", *map(str, arguments)]))
            command.main()

    def test_adapt_writes_a_model_that_has_learned(self):
        self.write("me__a", "me__b", "me__c")
        output = self.folder / "mine.safetensors"
        self.run_with(adapt, self.folder, "--model", self.model, "--perceptual", self.weights, "--cache", self.folder, "--output",
                      output, "--minutes", "0.001", "--consent", "the presenter, by letter",
                      prepare_all=lambda videos, cache: None, LONG=15, MOST_RUNS=2)
        before, after = (export.load(path).state_dict() for path in (self.model, output))
        changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        self.assertLessEqual({"lips", "denoiser"}, changed)  # the others learn from the second step on
        with safe_open(output, "np") as file:
            self.assertEqual(file.metadata()["consent"], "the presenter, by letter")

    def test_ablations_are_measured_and_not_again(self):
        self.write("s2__a", "s2__b", "s32__a", "s32__b")
        (self.folder / "validation.txt").write_text("s32/*\n")
        learned = clips.load(self.folder, False)
        made = pairs.runs(Basis(geometry()), learned, np.arange(2), lambda c: c.window, clips.stills(self.folder), 4,
                          np.random.default_rng(0))
        (self.folder / "pairs").mkdir()
        names = np.array([f"s2__{learned[i].name}" for i in made["clip"]])
        clips.save(self.folder / "pairs/00000.npz", **made, name=names)
        torch.save({"average": Sync().state_dict()}, self.folder / "sync.pt")
        few = {name: ablate.VARIANTS[name]
               for name in ("full", "no warp", "raw previous frame", "filterbank", "no painter", "the given model")}
        arguments = ("--cache", self.folder, "--model", self.model, "--sync", self.folder / "sync.pt", "--judge",
                     self.folder / "sync.pt", "--perceptual", self.weights, "--output", self.folder / "table", "--samples", 9,
                     "--seeds", 1)
        constants = {"VARIANTS": few, "CHANNELS": (8, 16, 16), "BATCH": 9, "POOL": 2, "RUNS": 2, "DUBS": 2}
        self.run_with(ablate, *arguments, **constants)
        rows = json.loads((self.folder / "ablations.json").read_text())
        self.assertEqual([(row["variant"], row["talkers"]) for row in rows], [(name, "unseen") for name in few])
        self.assertTrue(all(row["psnr"] > 0 for row in rows))
        table = (self.folder / "table.md").read_text()
        for name in few:
            self.assertIn(f"| {name} | 1 |", table)
        self.assertEqual(list(self.folder.glob("ablation-*.pt")), [])
        with mock.patch.object(ablate.painter, "train", side_effect=AssertionError("trained again")):
            self.run_with(ablate, *arguments, **constants)


if __name__ == "__main__":
    unittest.main()
