# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the audio half of an AV-HuBERT checkpoint, pretrained or fine-tuned, Base or Large, that you have from its authors:
`python -m convert.avhubert CHECKPOINT.pt --output avhubert.safetensors`, for `train.lips --audio-encoder`. Nothing in the
checkpoint is executed (checkpoint.py).

The file holds float16 tensors under the names of networks.avhubert.AVHuBERT, with the positions' weight norm multiplied out."""
from pathlib import Path

import torch
from safetensors.torch import save_file

from convert.checkpoint import Checkpoint, Refused, View
from data.options import existing, parser as options
from networks.avhubert import FORMAT, GROUPS, HEAD, KERNEL, LICENCE

PREFIXES = "", "encoder.w2v_model."  # pretrained, fine-tuned
LAYER = {"norm1": "self_attn_layer_norm", "out": "self_attn.out_proj", "norm2": "final_layer_norm", "fc1": "fc1",
         "fc2": "fc2"}


def settings(value):
    """The model's own settings, if the checkpoint has them as text: `cfg`, or those of the model it was fine-tuned from."""
    cfg = value.get("cfg")
    for name in ("model", "w2v_args", "model"):
        inner = cfg.get(name) if isinstance(cfg, dict) else None
        cfg = inner if isinstance(inner, dict) else cfg
    return cfg if isinstance(cfg, dict) and cfg.get("_name") == "av_hubert" else {}


def converted(checkpoint, layer=None):
    """{name: tensor} for networks.avhubert.AVHuBERT without `output`, up to a layer (from 1; None: the last)."""
    value = checkpoint.value
    state = value.get("model") if isinstance(value, dict) else None
    if not isinstance(state, dict):
        raise Refused("it has no dictionary called model")
    prefix = next((p for p in PREFIXES if f"{p}feature_extractor_audio.proj.weight" in state), None)
    if prefix is None:
        raise Refused("it is not AV-HuBERT: there is no feature_extractor_audio.proj.weight")

    def take(name, *shape):
        if prefix + name not in state:
            raise Refused(f"{prefix}{name} is missing")
        try:
            return checkpoint.tensor(state[prefix + name], *shape)
        except Refused as problem:
            raise Refused(f"{prefix}{name}: {problem}") from None

    first = state[f"{prefix}feature_extractor_audio.proj.weight"]
    width = first.shape[0] if isinstance(first, View) and first.shape else 0
    count = next(n for n in range(len(state) + 1) if f"{prefix}encoder.layers.{n}.fc1.weight" not in state)
    if not 128 <= width <= 1024 or width % HEAD or not 1 <= count <= 24:
        raise Refused(f"it has {count} layers of {width} channels; Base has 12 of 768, Large has 24 of 1024")
    known = settings(value)
    for name, expected in (("layer_norm_first", True), ("modality_fuse", "concat"), ("encoder_layers", count),
                           ("encoder_attention_heads", width // HEAD), ("activation_fn", "gelu")):
        if known.get(name, expected) != expected:
            raise Refused(f"its {name} is not {expected}")
    kept = count if layer is None else layer
    if not 1 <= kept <= count:
        raise Refused(f"it has no layer {kept}, only 1 to {count}")

    def affine(ours, theirs, *shape):
        return {f"{ours}.weight": take(f"{theirs}.weight", *shape), f"{ours}.bias": take(f"{theirs}.bias", shape[0])}

    out = affine("input", "feature_extractor_audio.proj", width, 104)
    out |= affine("fusion_norm", "layer_norm", 2 * width) | affine("fusion", "post_extract_proj", width, 2 * width)
    v = take("encoder.pos_conv.0.weight_v", width, width // GROUPS, KERNEL).double()
    g = take("encoder.pos_conv.0.weight_g", 1, 1, KERNEL).double()  # the norm of each tap's weights
    out["position.weight"] = (v * (g / v.square().sum((0, 1), keepdim=True).sqrt())).float()
    out["position.bias"] = take("encoder.pos_conv.0.bias", width)
    for i in range(kept):
        theirs = f"encoder.layers.{i}"
        shapes = {"out": (width, width), "fc1": (4 * width, width), "fc2": (width, 4 * width)}
        for ours, name in LAYER.items():
            out |= affine(f"layers.{i}.{ours}", f"{theirs}.{name}", *shapes.get(ours, (width,)))
        parts = [affine(name, f"{theirs}.self_attn.{name}_proj", width, width) for name in "qkv"]
        for end in ("weight", "bias"):
            out[f"layers.{i}.qkv.{end}"] = torch.cat([part[f"{n}.{end}"] for n, part in zip("qkv", parts)])
    if kept == count:
        return out | affine("norm", "encoder.layer_norm", width)
    return out | {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}


def main():
    parser = options(__doc__)
    parser.add_argument("checkpoint", type=existing, help="checkpoint of AV-HuBERT")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--layer", type=int, help="the last layer to keep, from 1; without it all layers")
    args = parser.parse_args()
    print(LICENCE)
    try:
        tensors = {name: value.half().contiguous() for name, value in converted(Checkpoint(args.checkpoint), args.layer).items()}
        if not all(torch.isfinite(value).all() for value in tensors.values()):
            raise Refused("it holds values that are not finite in float16")
    except (Refused, OSError) as problem:
        raise SystemExit(f"{args.checkpoint} is not converted: {problem}")
    save_file(tensors, args.output, {"format": FORMAT, "licence": LICENCE})
    layers = sum(name.endswith("qkv.weight") for name in tensors)
    print(f"{args.output}: {layers} layers of {len(tensors['input.bias'])} channels, "
          f"{args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
