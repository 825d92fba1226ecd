# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Model files of convert/export.py."""
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from convert import export
from tests.faces import META, geometry


class ModelFileTests(unittest.TestCase):
    def test_what_is_saved_is_loaded_and_damage_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path, model = Path(folder) / "model.safetensors", export.untrained(80)
            shapes = {name: np.ascontiguousarray(value, np.float32) for name, value in geometry().items()}
            save_file(shapes, Path(folder) / "geometry.safetensors")
            export.save(model, Path(folder) / "geometry.safetensors", META / "models/faces.safetensors", path)
            loaded = export.load(path)
            for name, value in model.state_dict().items():
                self.assertTrue(torch.equal(loaded.state_dict()[name], value.half().float()), name)
            for name, value in export.part_of(path, "geometry").items():
                np.testing.assert_array_equal(value, shapes[name].astype(np.float16), name)
            again = Path(folder) / "again.safetensors"
            export.save(loaded, path, path, again)  # geometry and faces out of a model file, as adapt has them
            self.assertEqual(set(export.part_of(again, "faces")), set(export.part_of(path, "faces")))
            for name, value in export.part_of(again, "geometry").items():
                np.testing.assert_array_equal(value, shapes[name].astype(np.float16), name)
            damaged = bytearray(path.read_bytes())
            damaged[-1000] ^= 1
            path.write_bytes(damaged)
            with self.assertRaisesRegex(SystemExit, "model.safetensors: damaged.*copy it again"):
                export.load(path)


if __name__ == "__main__":
    unittest.main()
