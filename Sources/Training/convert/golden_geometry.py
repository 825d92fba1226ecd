# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden values of the geometry in Tests/FacesTests: `python -m convert.golden_geometry GEOMETRY`, where
GEOMETRY is shape.py's file or a model file.

Tests/FacesTests/Golden/geometry.safetensors holds geometry.*, rounded to float16 as in a model file. shape.safetensors
holds what is computed from it for T frames of a synthetic speaker who turns, nods and moves the lips:
  points, pose.scale, pose.turn, shape       the mesh [T, 468, 3] px, its pose, and the mesh without it
  opening                                    mean gap between the lips [T]
  neutral, own                               the closed mouth after each frame [T, L, 3], the coefficients [T, 12]
  wanted, limited, decided                   other coefficients [T, 12], those limited to an opening of 0.05, decided ones
  expression                                 after each frame, with audio that predicts `wanted` [T, 12]
  facing                                     the fraction of its motion that each lower point gets [T, L]
  before, after                              the mesh, and that with the limited mouth, unfolded, with rings [T, 540, 2]
  inset, mouth, lips                         of `after`: inset meshes, the enlarged outline [T, 20, 2], lips [T, 20, 20, 2]
  choices                                    of a memory that is given the mouths and asked for the moved ones [T, 4]
  fade                                       the opacity of the painted difference [80, 80]
"""
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from data import warp
from data.geometry import OUTER, WINDOW, Basis, Expression, Neutral, Pose, opening, unfolded, with_mouth, with_rings
from evaluate.frame_pipeline import MouthMemory
from networks.model import fade, pooled_lips

GOLDEN = Path(__file__).parents[3] / "Tests/FacesTests/Golden"
FRAMES = 12


def talker(basis):
    """Meshes [T, 468, 3], px of the window: a synthetic face that turns, with noise, and speaks."""
    rng = np.random.default_rng(1)
    t = np.arange(FRAMES) / FRAMES
    mouth = rng.normal(0, 0.4, (FRAMES, len(basis.gap))) + 2 * np.maximum(np.sin(9 * t), 0)[:, None] * np.eye(1, len(basis.gap))
    face = basis.canonical * [1.05, 0.97, 1.1] + rng.normal(0, 0.002, basis.canonical.shape)
    shape = np.repeat(face[None], FRAMES, 0) + rng.normal(0, 0.001, (FRAMES, 468, 3))
    shape[:, basis.low] += basis.offsets(mouth)
    yaw, pitch, roll = 0.5 * np.sin(7 * t), 0.2 * np.cos(5 * t), 0.3 * np.sin(3 * t)
    one, zero = np.ones(FRAMES), np.zeros(FRAMES)
    turn = lambda rows: np.array(rows).transpose(2, 0, 1)
    rotation = (turn([[np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one]])
                @ turn([[one, zero, zero], [zero, np.cos(pitch), -np.sin(pitch)], [zero, np.sin(pitch), np.cos(pitch)]])
                @ turn([[np.cos(yaw), zero, np.sin(yaw)], [zero, one, zero], [-np.sin(yaw), zero, np.cos(yaw)]]))
    shift = np.stack([40 + 4 * np.sin(4 * t), -40 + 3 * np.cos(6 * t), 5 * t], 1)
    return Pose(92 * (1 + 0.1 * t), rotation, shift).posed(shape).astype(np.float32)


def choices(keys, wanted):
    """[T, 4]: the two frames whose mouths are shown (the second is -1 if there is only one), and their weights."""
    memory, rows = MouthMemory(), []
    for t, (key, other) in enumerate(zip(keys, wanted)):
        memory.remember(key, (t,), 1_000_000)
        shown = [(mouth[0], share) for mouth, share in memory.choose(other)] + [(-1, 0)]
        rows.append([shown[0][0], shown[1][0], shown[0][1], shown[1][1]])
    return np.array(rows)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    kept = {name.removeprefix("geometry."): value for name, value in load_file(sys.argv[1]).items()
            if name.startswith("geometry.") or "." not in name}
    geometry = {name: value.half().contiguous() for name, value in kept.items()}
    save_file({f"geometry.{name}": value for name, value in geometry.items()}, GOLDEN / "geometry.safetensors")
    basis = Basis({name: value.float().numpy() for name, value in geometry.items()})

    points = talker(basis)
    pose = Pose.of(points.astype(np.float64), basis.canonical)
    shape = pose.unposed(points)
    seen = Neutral(basis)
    neutral = np.stack([seen(s) for s in shape])
    own = basis.coefficients(shape, neutral)
    wanted = np.random.default_rng(2).normal(0, 1.2, own.shape)
    wanted[::5] -= 4 * basis.gap / np.linalg.norm(basis.gap)  # lips that would cross
    expression = Expression(basis)
    expressions = np.stack([expression(mouth, predicted) for mouth, predicted in zip(own, wanted)])
    less, facing = basis.limited(wanted, 0.05), basis.facing(pose)
    other = with_mouth(basis, shape, own, less, facing)
    moved = pose.posed(other)
    before, after = with_rings(points[..., :2].astype(np.float64), moved[..., :2])
    after = np.stack([unfolded(b, a, basis.triangles, unit) for b, a, unit in zip(before, after, pose.scale)])
    inset = np.stack([warp.inset(p, unit) for p, unit in zip(after, pose.scale)])
    outline = after[:, OUTER]
    middle = outline.mean(1, keepdims=True)
    lips = torch.from_numpy(np.stack([warp.lips(p, (WINDOW, WINDOW)) for p in after]))
    keys, sought = (np.stack([MouthMemory.key(s, r) for s, r in zip(shapes, pose.rotation)]) for shapes in (shape, other))
    rng = np.random.default_rng(3)
    skins = rng.uniform(90, 110, (2, 66, 3))
    skins[1] += [9, -60, 0]  # the second one beyond the limit
    skins[1, :9] += rng.uniform(-40, 40, (9, 3))
    offset, gates = warp.compare_skin(*skins)
    made = {"skins": skins, "skin.offset": offset, "skin.gates": gates,
            "skin.spread": warp.spread(gates, after[0][warp.SKIN_POINTS], 7.3, (WINDOW, WINDOW)), "points": points,
            "pose.scale": pose.scale, "pose.turn": pose.rotation[:, :2, 2], "shape": shape,
            "opening": opening(shape), "neutral": neutral, "own": own, "wanted": wanted, "limited": less,
            "decided": basis.decided(wanted), "facing": facing, "expression": expressions,
            "before": before, "after": after, "inset": inset, "mouth": middle + (outline - middle) * warp.GROWN,
            "lips": pooled_lips(lips).permute(0, 2, 3, 1), "choices": choices(keys, sought),
            "fade": fade(WINDOW)}
    tensors = {name: torch.as_tensor(value).float().contiguous() for name, value in made.items()}
    save_file(tensors, GOLDEN / "shape.safetensors")
    print(f"{FRAMES} frames; openings {opening(shape).round(3).tolist()}; choices\n{made['choices'].round(2)}")


if __name__ == "__main__":
    main()
