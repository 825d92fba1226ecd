# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of how a training goes, as PNG: curves and contact sheets."""
import cv2
import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")


def plot(curve, names, path):
    """One panel per name, logarithmic, from rows (samples, a value per name)."""
    import matplotlib.pyplot as plt
    samples, *values = np.array(curve).reshape(-1, 1 + len(names)).T
    figure, axes = plt.subplots(1, len(names), figsize=(4.5 * len(names), 3), squeeze=False)
    for axis, value, name in zip(axes[0], values, names):
        axis.plot(samples, value, ".-")
        axis.set(xlabel="samples", ylabel=name, yscale="log")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def sheet(rows, path):
    """Rows of as many pictures [N, 3, H, W] each, in -1 ... 1, at twice their size."""
    picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1).permute(1, 2, 0)
    picture = ((picture.clamp(-1, 1) + 1) * 127.5).byte().cpu().numpy()
    cv2.imwrite(str(path), cv2.cvtColor(picture.repeat(2, 0).repeat(2, 1), cv2.COLOR_RGB2BGR))
