# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Model files of export.py: `python -m unittest`."""
import tempfile
import unittest
from pathlib import Path

import torch

import export


class ModelFileTests(unittest.TestCase):
    def test_what_is_saved_is_loaded_and_damage_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path, model = Path(folder) / "model.safetensors", export.untrained(96)
            export.save(model, Path(__file__).parents[2] / "meta/models/faces.safetensors", path)
            loaded = export.load(path)
            for name, value in model.state_dict().items():
                self.assertTrue(torch.equal(loaded.state_dict()[name], value.half().float()), name)
            damaged = bytearray(path.read_bytes())
            damaged[-1000] ^= 1
            path.write_bytes(damaged)
            with self.assertRaisesRegex(SystemExit, "model.safetensors: damaged.*copy it again"):
                export.load(path)


if __name__ == "__main__":
    unittest.main()
