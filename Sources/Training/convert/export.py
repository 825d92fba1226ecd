# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the model file that the element loads: `python -m convert.export --cache CACHE --output
../../meta/models/syncdiff.safetensors`.

One safetensors file, float16: audio_encoder.*, lips.*, encoder.*, decoder.*, bottleneck.*, denoiser.* (names of
networks.model.SyncDiff) from the training's moving averages, geometry.* as data/shape.py wrote it, and faces.* as
convert/faces.py wrote them. Its metadata: format "syncdiff", version "3", config (JSON of Config), crc32 of the tensors' bytes in
hexadecimal digits, and licence where there is something to say whenever the model is loaded. Sources/SyncDiff/Model.swift reads
it and refuses anything else; `load` reads it back.

`--untrained WINDOW` instead of the training's weights writes seeded random ones: such a file paints noise, but takes as long as a
trained one, so that `syncdiff bench journey --model FILE` tells what a larger window will cost."""
import json
import zlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open

from data.options import existing, made as needed, parser as options
from networks.avhubert import LICENCE
from networks.model import Config, SyncDiff

VERSION = "3"
ROOT = Path(__file__).parents[3]
MODEL = ROOT / "meta/models/syncdiff.safetensors"  # the one that comes with the project


def trained(cache):
    """model.SyncDiff with the averaged weights of the training."""
    kept = torch.load(needed(cache, "painter.pt"), "cpu", weights_only=True)
    model = SyncDiff(Config(**kept["config"]))
    model.load_state_dict(kept["average"])
    return model.eval()


def checksum(values):
    """CRC-32 of the tensors' bytes of a safetensors file, in hexadecimal digits."""
    return f"{zlib.crc32(values[8 + int.from_bytes(values[:8], 'little'):]):08x}"


def load(path):
    """model.SyncDiff of a model file, in float32. Altered weights end the program with an error."""
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
    """The weights of one part of a model file, float32 by their names inside of it."""
    with safe_open(path, "pt") as file:
        return {key[len(name) + 1:]: file.get_tensor(key).float() for key in file.keys() if key.startswith(f"{name}.")}


def untrained(window):
    """model.SyncDiff as training begins it, with nothing left at zero that would be skipped or copied."""
    torch.manual_seed(0)
    model = SyncDiff(Config(window=window))
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.02)
    return model.eval()


def save(model, geometry, faces, output, consent=None):
    """Writes a model, the face's geometry and the face networks as one model file; the latter two out of any file that has
    them, under the names geometry.* and faces.*; shape.py's file has the former without a prefix. consent: who has confirmed that
    there is some."""
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
                        help="random weights for a window of so many px, a multiple of 16, for timing")
    parser.add_argument("--faces", type=existing, default=ROOT / "meta/models/faces.safetensors", metavar="FILE",
                        help="the face networks, of convert.faces or any model file")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL", help="the model file to write")
    args = parser.parse_args()
    model = untrained(args.untrained) if args.untrained else trained(args.cache)
    save(model, needed(args.cache, "geometry.safetensors"), args.faces, args.output)


if __name__ == "__main__":
    main()
