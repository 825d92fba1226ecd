# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Plots as PNG or SVG: training curves, contact sheets, and charts for reports."""
import cv2
import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")


def save(figure, path):
    """Writes and closes a figure; the same one makes the same file."""
    import matplotlib.pyplot as plt
    with matplotlib.rc_context({"svg.hashsalt": "syncdiff"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def plot(curve, names, path):
    """One panel for each name, absolute values on a logarithmic axis unless all are 0, from rows (samples, a value for each
    name)."""
    import matplotlib.pyplot as plt
    samples, *values = np.array(curve).reshape(-1, 1 + len(names)).T
    figure, axes = plt.subplots(1, len(names), figsize=(4.5 * len(names), 3), squeeze=False)
    for axis, value, name in zip(axes[0], values, names):
        axis.plot(samples, np.abs(value), ".-")
        axis.set(xlabel="samples", ylabel=name, yscale="log" if value.any() else "linear")
    figure.tight_layout()
    save(figure, path)


def dots(panels, label, path):
    """One panel for each title: the values over each name, and a line through their means. panels: {title: {name:
    [values]}}."""
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 2.8), squeeze=False)
    for axis, (title, values) in zip(axes[0], panels.items()):
        axis.plot([np.mean(v) for v in values.values()], color="tab:blue")
        for place, v in enumerate(values.values()):
            axis.plot([place] * len(v), v, "o", color="tab:blue")
        axis.set(title=title, xlabel=label, xticks=range(len(values)), xticklabels=list(values))
    figure.tight_layout()
    save(figure, path)


def curves(lines, label, path, first=0.0, step=1.0):
    """Lines {name: (colour, [T] values)} on common axes; label is that of the x axis, which runs from first in steps."""
    import matplotlib.pyplot as plt
    figure, axis = plt.subplots(figsize=(6, 2), layout="constrained")
    for name, (colour, values) in lines.items():
        axis.plot(first + step * np.arange(len(values)), values, color=colour, label=name)
    axis.set(xlabel=label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0)
    figure.legend(loc="outside upper left", ncols=len(lines), frameon=False, labelcolor="linecolor")
    save(figure, path)


def lips(kinds, path):
    """A row for each kind: the opening and width of the mouth in each class of phones, predicted and real (means, bars
    of two standard errors), and both at once. kinds: {title: {class: [N, 4 or more]}}, opening real and predicted,
    width real and predicted, outer eye distances."""
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(len(kinds), 3, figsize=(15, 4.2 * len(kinds)), squeeze=False, layout="constrained")
    for row, (title, classes) in zip(axes, kinds.items()):
        means = 100 * np.array([values[:, :4].mean(0) for values in classes.values()])
        errors = 200 * np.array([values[:, :4].std(0) / np.sqrt(len(values)) for values in classes.values()])
        places, names = np.arange(len(classes)), [f"{name} ({len(values)})" for name, values in classes.items()]
        for axis, first, what in ((row[0], 0, "opening"), (row[1], 2, "width")):
            for k, label, look, shift in ((first, "real", "o", -0.13), (first + 1, "told", "D", 0.13)):
                axis.errorbar(means[:, k], places + shift, xerr=errors[:, k], fmt=look, label=label, capsize=2)
            axis.set(xlabel=f"{what}, % of the outer eye distance", yticks=places, yticklabels=names, title=title)
            axis.grid(axis="y", alpha=0.3)
            axis.invert_yaxis()
        row[0].legend()
        for name, (opening, opened, width, widened) in zip(classes, means):
            row[2].annotate("", (widened, opened), (width, opening), arrowprops={"arrowstyle": "->", "color": "grey"})
            row[2].annotate(name, (width, opening), (4, 4), textcoords="offset points")
        row[2].plot(*means[:, [2, 0]].T, "o")
        row[2].plot(*means[:, [3, 1]].T, "D")
        row[2].set(xlabel="rounded ... spread: width", ylabel="opening", title="from real to told")
    save(figure, path)


def sheet(rows, path):
    """A contact sheet: rows of images [N, 3, H, W] in -1 ... 1, equally many in each, at twice their size."""
    picture = torch.cat([torch.cat(list(row), 2) for row in rows], 1).permute(1, 2, 0)
    picture = ((picture.clamp(-1, 1) + 1) * 127.5).byte().cpu().numpy()
    cv2.imwrite(str(path), cv2.cvtColor(picture.repeat(2, 0).repeat(2, 1), cv2.COLOR_RGB2BGR))
