# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what Tests/FacesTests compares marks with: `python -m convert.golden_mark`.

Tests/FacesTests/Golden/mark.safetensors holds, for the public key and the payload (2, 89, 4660):
  pattern, large           the mark [80, 80] and for a window of 96 px [96, 96], faded out
  picture, difference      made-up windows [80, 80, 3]
  added                    the difference with the mark
  flattened, spectrum      of the picture with that difference: [80, 80] and [N]
  scores                   [2]: how far its payload's signs and another's agree
"""
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data import mark
from data.geometry import WINDOW
from networks.model import fade

GOLDEN = Path(__file__).parents[3] / "Tests/FacesTests/Golden"
PAYLOAD = 2, 89, 4660


def main():
    if len(sys.argv) != 1:
        sys.exit(__doc__)
    rng, faded = np.random.default_rng(1), fade(WINDOW).numpy()
    y, x = np.mgrid[:WINDOW, :WINDOW] / WINDOW
    shape = np.stack([0.3 * np.sin(9 * x + 4 * y), 0.2 * np.cos(11 * y), 0.3 * x], -1)
    picture = (shape + rng.normal(0, 0.04, shape.shape) * x[..., None]).astype(np.float32)
    difference = (0.1 * faded[..., None] * np.sin(20 * x * y)[..., None] * np.ones(3)).astype(np.float32)
    patterns = {side: mark.pattern(mark.PUBLIC, PAYLOAD, side) * fade(side).numpy() for side in (WINDOW, 96)}
    added = mark.added(difference, picture, patterns[WINDOW], faded)
    flat = mark.flattened((picture + added).astype(np.float32), faded)
    scores = [mark.score(flat, mark.PUBLIC, payload) for payload in (PAYLOAD, (2, 89, 4661))]
    made = {"pattern": patterns[WINDOW], "large": patterns[96], "picture": picture, "difference": difference, "added": added,
            "flattened": flat, "spectrum": mark.spectrum(flat), "scores": np.array(scores)}
    save_file({name: torch.as_tensor(value).float().contiguous() for name, value in made.items()}, GOLDEN / "mark.safetensors")
    print(f"{len(mark.WAVES)} waves, scores {np.round(scores, 2)}, "
          f"rms {127.5 * np.sqrt(np.square((added - difference)[mark.BOX]).mean()):.3f}")


if __name__ == "__main__":
    main()
