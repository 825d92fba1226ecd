# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the model file that the element loads: `python -m convert.export --cache CACHE --output
../../meta/models/syncdiff.safetensors`.

It is one safetensors file in float16: audio_encoder.*, lips.*, encoder.*, decoder.*, bottleneck.*, denoiser.* (the
names of networks.model.SyncDiff) from the training's moving averages, geometry.* from data/shape.py, and faces.* from
convert/faces.py. Its metadata: format "syncdiff", version "3", config (JSON of Config), crc32 of the tensors' bytes in
hexadecimal, and licence if users must see a notice when the model is loaded. Sources/SyncDiff/Model.swift reads it and
rejects anything else; `load` reads it back.

`--untrained WINDOW` writes seeded random weights instead. Such a file paints noise but takes as long as a trained one,
so `syncdiff bench frame --model FILE` shows the cost of a larger window."""
import json
import zlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open

from data.options import existing, needed, parser as options
from networks.avhubert import LICENCE
from networks.config import Config
from networks.model import SyncDiff

VERSION = "3"
ROOT = Path(__file__).parents[3]
MODEL = ROOT / "meta/models/syncdiff.safetensors"  # the shipped model


def trained(cache):
    """A SyncDiff with the averaged weights of the training."""
    kept = torch.load(needed(cache, "painter.pt"), "cpu", weights_only=True)
    model = SyncDiff(Config(**kept["config"]))
    model.load_state_dict(kept["average"])
    return model.eval()


def checksum(values):
    """The CRC-32 of the tensors' bytes in a safetensors file, in hexadecimal."""
    return f"{zlib.crc32(values[8 + int.from_bytes(values[:8], 'little'):]):08x}"


def load(path):
    """The SyncDiff in a model file, in float32. SystemExit if its weights are damaged."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        found = checksum(path.read_bytes())
        if metadata.get("crc32", found) != found:
            raise SystemExit(f"{path}: damaged, its weights have the checksum {found}, those written had {metadata['crc32']}; "
                             "copy it again")
        if "licence" in metadata:
            print(f"{path}: {metadata['licence']}", flush=True)
        model = SyncDiff(Config(**json.loads(metadata["config"])))
        model.load_state_dict({name: file.get_tensor(name).float() for name in model.state_dict()})
    return model.eval()


def part_of(path, name):
    """The weights of one part of a model file, in float32, by their names within it."""
    with safe_open(path, "pt") as file:
        return {key[len(name) + 1:]: file.get_tensor(key).float() for key in file.keys() if key.startswith(f"{name}.")}


def untrained(window):
    """A SyncDiff as initialised for training, but without zero weights, whose layers would be trivial."""
    torch.manual_seed(0)
    model = SyncDiff(Config(window=window))
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.02)
    return model.eval()


def save(model, geometry, faces, output, consent=None):
    """Writes a model, the geometry and the face networks as one model file. The latter two come from any file that has
    them as geometry.* and faces.*; shape.py's file has the geometry without a prefix. consent: who confirmed that the
    presenter consents."""
    tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    for path, part in ((geometry, "geometry"), (faces, "faces")):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{part}.")]
            plain = [] if names else file.keys()
            tensors |= {name: file.get_tensor(name).half().contiguous() for name in names}
            tensors |= {f"{part}.{name}": file.get_tensor(name).half().contiguous() for name in plain}
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise SystemExit(f"not finite in float16: {', '.join(bad)}")
    metadata = {"format": "syncdiff", "version": VERSION, "config": json.dumps(model.config.dict())}
    if model.config.av_hubert:
        metadata["licence"] = LICENCE
        print(LICENCE)
    if consent:
        metadata["consent"] = consent
    metadata["crc32"] = checksum(safetensors.torch.save(tensors))
    safetensors.torch.save_file(tensors, output, metadata)
    print(f"{output}: {len(tensors)} tensors, {output.stat().st_size / 1e6:.1f} MB")


def main():
    parser = options(__doc__, cache="folder with painter.pt and geometry.safetensors")
    parser.add_argument("--untrained", type=int, metavar="WINDOW",
                        help="write random weights for a window of this many px, a multiple of 16, for timing")
    parser.add_argument("--faces", type=existing, default=ROOT / "meta/models/faces.safetensors", metavar="FILE",
                        help="the face networks, from convert.faces or any model file")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL", help="the model file to write")
    args = parser.parse_args()
    model = untrained(args.untrained) if args.untrained else trained(args.cache)
    save(model, needed(args.cache, "geometry.safetensors"), args.faces, args.output)


if __name__ == "__main__":
    main()
