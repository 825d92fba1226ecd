# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the model file that the element loads: `python export.py --cache CACHE --output ../../meta/models/syncdiff.safetensors`.

One safetensors file, float16: audio_encoder.*, encoder.*, decoder.*, bottleneck.*, denoiser.* (names of model.SyncDiff) from
the training's moving averages, and faces.* as convert_faces.py wrote them. Its metadata: format "syncdiff", version
"1", config (JSON of model.Config), crc32 of the tensors' bytes in hexadecimal digits, and licence where there is something to
say whenever the model is loaded. Sources/SyncDiff/Model.swift reads it and refuses anything else; `load` reads it back.

`--untrained WINDOW` instead of `--cache` writes seeded random weights: such a file paints noise, but takes as long as a
trained one, so that `syncdiff bench journey --model FILE` tells what a larger window will cost."""
import argparse
import json
import zlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open

from avhubert import LICENCE
from model import CONFIGS, Config, SyncDiff

VERSION = "1"


def same_encoder(kept, model):
    """Whether what a decoder's training kept belongs to this model's encoder."""
    return all(torch.equal(value, kept["encoder"][name]) for name, value in model.encoder.state_dict().items())


def trained(cache):
    """model.SyncDiff with the averaged weights of the training, and the decoder as decoder.py left it."""
    kept = torch.load(cache / "diffusion.pt", "cpu", weights_only=True)
    model = SyncDiff(Config.of(kept["config"]))
    model.load_state_dict(kept["average"])
    if (cache / "decoder.pt").exists():
        sharpened = torch.load(cache / "decoder.pt", "cpu", weights_only=True)
        if same_encoder(sharpened, model):
            model.decoder.load_state_dict(sharpened["decoder"])
    return model.eval()


def between(old, new, share):
    """model.SyncDiff with the decoder of new and all other weights this far on the way from old, with which training began, to
    new: often better than both (Wortsman et al., arXiv 2109.01903)."""
    begin, end = old.state_dict(), new.state_dict()
    new.load_state_dict({name: value if name.startswith("decoder.") else begin[name].lerp(value, share)
                         for name, value in end.items()})
    return new


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
        model = SyncDiff(Config.of(json.loads(metadata["config"])))
        model.load_state_dict({name: file.get_tensor(name).float() for name in model.state_dict()})
    return model.eval()


def untrained(window):
    """model.SyncDiff as training begins it, with nothing left at zero that would be skipped or copied."""
    torch.manual_seed(0)
    model = SyncDiff(CONFIGS[window])
    for value in model.parameters():
        if not value.any():
            torch.nn.init.normal_(value, std=0.02)
    return model.eval()


def save(model, faces, output):
    """Writes a model and the face networks as one model file."""
    tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with safe_open(faces, "pt") as file:
        tensors |= {name: file.get_tensor(name).half().contiguous() for name in file.keys() if name.startswith("faces.")}
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise SystemExit(f"not finite in float16: {', '.join(bad)}")
    metadata = {"format": "syncdiff", "version": VERSION, "config": json.dumps(model.config.dict())}
    if model.config.av_hubert:
        metadata["licence"] = LICENCE
        print(LICENCE)
    metadata["crc32"] = checksum(safetensors.torch.save(tensors))
    safetensors.torch.save_file(tensors, output, metadata)
    print(f"{output}: {len(tensors)} tensors, {output.stat().st_size / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--cache", type=Path, help="where the training left its weights")
    weights.add_argument("--untrained", type=int, choices=CONFIGS, metavar="WINDOW",
                         help=f"random weights for a window of {' or '.join(map(str, CONFIGS))} px, for timing")
    parser.add_argument("--faces", type=Path, default=Path(__file__).parents[2] / "meta/models/faces.safetensors")
    parser.add_argument("--from", dest="old", type=Path, metavar="MODEL", help="with --share: the --init of diffusion.py")
    parser.add_argument("--share", type=float, default=1, help="how far on the way from there to what training made, 0 to 1")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if args.share != 1 and not (args.old and args.cache):
        parser.error("--share needs --cache and --from")
    model = trained(args.cache) if args.cache else untrained(args.untrained)
    if args.share != 1:
        model = between(load(args.old), model, args.share)
    save(model, args.faces, args.output)


if __name__ == "__main__":
    main()
