# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes noise.safetensors and layers.safetensors beside itself: python Tests/TensorsTests/Golden/golden.py

Pictures are stored as Swift holds them, [H, W, C]; weights as PyTorch does."""
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

here = Path(__file__).parent


def noise():
    out = {}
    for seed in (0, 7, (1 << 40) + 5):
        torch.manual_seed(seed)
        out[f"seed{seed}"] = torch.randn(2304)
        out[f"seed{seed}.second"] = torch.randn(37)  # the same generator goes on; not a multiple of 16
    save_file(out, here / "noise.safetensors")


def layers():
    torch.manual_seed(1)
    picture = lambda x: x[0].permute(1, 2, 0).contiguous()
    x, y = torch.randn(1, 24, 7, 5), torch.randn(1, 24, 7, 5)
    out = {"x": picture(x), "y": picture(y)}
    for name, cout, kernel, stride in (("conv3", 13, 3, 1), ("conv3s2", 32, 3, 2), ("conv1", 16, 1, 1)):
        w, b = torch.randn(cout, 24, kernel, kernel) / 8, torch.randn(cout)
        out |= {f"{name}.weight": w, f"{name}.bias": b}
        out[f"{name}.out"] = picture(F.silu(F.conv2d(x, w, b, stride, kernel // 2)))
    w, b = torch.randn(24, 1, 3, 3), torch.randn(24)
    out |= {"depthwise.weight": w, "depthwise.bias": b}
    out["depthwise.out"] = picture(F.relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), w, b, 2, groups=24)))
    w, b, scale, shift = torch.randn(4, 24)
    out |= {"norm.weight": w, "norm.bias": b, "norm.scale": scale, "norm.shift": shift}
    h = F.group_norm(x, 8, w, b)
    out["norm.out"] = picture(F.silu(h * (1 + scale[:, None, None]) + shift[:, None, None]))
    tokens = out["x"].view(35, 24)
    out["layernorm.out"] = F.layer_norm(tokens, (24,), w, b)
    out["layernorm.plain"] = F.layer_norm(tokens, (24,))
    w, b = torch.randn(40, 24) / 5, torch.randn(40)
    out |= {"linear.weight": w, "linear.bias": b}
    out["linear.out"] = F.gelu(F.linear(tokens, w, b), approximate="tanh")
    k, v = torch.randn(14, 24), torch.randn(14, 24)
    split = lambda z: z.view(-1, 3, 8).transpose(0, 1)
    out |= {"k": k, "v": v}
    out["attention.out"] = F.scaled_dot_product_attention(split(tokens), split(k), split(v)).transpose(0, 1) \
        .reshape(35, 24)
    out["prelu.out"] = picture(F.prelu(x, out["norm.scale"]))
    out["upsample.out"] = picture(F.interpolate(x, scale_factor=2))
    out["pool.out"] = picture(F.max_pool2d(x, 2))
    out["concat.out"] = picture(torch.cat([x, y], 1))
    save_file({k: v.contiguous() for k, v in out.items()}, here / "layers.safetensors")


noise()
layers()
