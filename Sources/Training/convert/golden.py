# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden values of Tests/SpeechTests and Tests/DiffusionTests: `python -m convert.golden`.

They come from the networks of networks/ with small sizes and random non-zero weights, rounded to float16 so that the
files hold them exactly; inputs and outputs of every part are float32. Images are in Swift's layout, [H, W, C]."""
import functools
import json
import math
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from data.speech import SAMPLE_RATE, log_filterbank, log_mel, stacks
from networks.audio import Front
from networks.avhubert import AVHuBERT
from networks.config import Config
from networks.model import SyncDiff, masked, pooled_lips
from networks.unet import timestep_embedding
from train.lips import around

TESTS = Path(__file__).parents[3] / "Tests"
CONFIG = Config(window=48, ae_channels=(6, 8, 12), unet_channels=(8, 12, 16), groups=4, head=4,
                embedding=16, audio_width=32, audio_layers=2, steps=4)
Front.WIDTH, Front.HEADS = 32, 2
PICTURES = np.array([0, 1, 50, 101, 250, 452, 520, 559, 600, 607])  # rows of the frames that use `voices`
SEED = 7  # of the noise, which the tests draw again


def write(suite, name, tensors, **metadata):
    path = TESTS / suite / "Golden" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path, metadata)
    print(f"{path.relative_to(TESTS)}: {len(tensors)} tensors, {path.stat().st_size / 1000:.0f} kB")


def sound():
    """int16 [400 + 160 * 69]: a chirp in noise, digital silence, faint noise, loud noise."""
    rng = np.random.default_rng(1)
    t = np.arange(4800) / SAMPLE_RATE
    chirp = 0.5 * np.sin(2 * np.pi * (100 * t + 10000 * t * t)) + 0.02 * rng.standard_normal(4800)
    parts = [chirp, np.zeros(2400), 1e-4 * rng.standard_normal(1600), 0.8 * rng.uniform(-1, 1, 2640)]
    return np.round(32767 * np.concatenate(parts)).astype(np.int16)


def voices(part):
    """The audio, then again 290 rows later and 16 times fainter."""
    return torch.cat([part, torch.zeros(46400), part / 16])


def voice():
    """float32 [25600], all exact in float16: a voice that rises and falls, in noise, then noise alone, then faint noise."""
    rng = np.random.default_rng(2)
    t = np.arange(12800) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(9 * t)) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k * (1 + np.sin(5 * t * k)) for k in range(1, 30))
    parts = [0.15 * tone + 0.003 * rng.standard_normal(12800), 0.1 * rng.standard_normal(6400), 1e-4 * rng.standard_normal(6400)]
    return torch.from_numpy(np.concatenate(parts)).half().float()


def front(model):
    """The outputs of the front end's parts: rows, convolutions, a layer, silence; and the features around frames."""
    part, front = voice(), model.front
    sound = voices(part)
    rows, x = log_mel(sound), torch.randn(1, 71, Front.WIDTH)
    once = F.gelu(front.conv1(rows[None, :41].transpose(1, 2)))
    twice = F.gelu(front.conv2(once)).transpose(1, 2) + front.place
    before = front.layers[0].BEFORE
    return {"voice": part.half(), "rows": rows[::5], "once": once[0].T[1:-1], "twice": twice[0, 1:-1], "x": x[0],
            "causal": front.layers[0](x)[0, before:-front.layers[0].after],
            "silence": model.extract(torch.zeros(1, 60000))[0, 140:141],
            "heard": around(model, sound, PICTURES, "cpu")}


def network():
    """A SyncDiff with activations near 1 throughout."""
    model = SyncDiff(CONFIG).eval()
    for module in model.modules():
        for name, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            value.data.normal_()
            if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)) and name == "weight":
                value.data /= value[0].numel() ** 0.5
            elif name in ("weight", "deviation"):
                value.data.mul_(0.1).add_(1)
            elif name == "bias":
                value.data *= 0.1
    return model.half().float()


@functools.cache
def hashed(name, *shape):
    """float32 in -1 ... 1, multiples of 2^-10, from a hash of the name and index. Tests/SpeechTests/AVHuBERTTests.swift
    computes the same, so that no file has to hold the weights of a large network."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 & 0xFFFFFFFF
    x = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    x = (x ^ x >> 15) * np.uint32(2246822519)
    x = (x ^ x >> 13) * np.uint32(3266489917)
    x = (x ^ x >> 16) >> 21
    return torch.from_numpy((x.astype(np.float32) - 1024) / 1024).view(shape)


def hashed_av_hubert(width, layers):
    """An AVHuBERT with activations near 1 throughout; its layers repeat from the third on."""
    with torch.device("meta"):
        model = AVHuBERT(Config(av_hubert=width, audio_layers=layers, audio_width=16)).eval()
    weights = {}
    for name, like in model.state_dict().items():
        value = hashed(re.sub(r"layers\.(\d+)", lambda m: f"layers.{int(m[1]) % 3}", name), *like.shape)
        if like.dim() > 1:
            weights[name] = value * 2.0 ** -round(math.log2(like[0].numel() ** 0.5 / 1.7))
        else:
            weights[name] = value / 8 + ("norm" in name and name.endswith("weight"))
    model.load_state_dict(weights, assign=True)
    return model


def av_hubert():
    """{NAME.T: AV-HuBERT's features of T stacks, for the first, middle and last of them}, and the tokens."""
    out = {}
    for name, width, layers, lengths in (("small", 128, 4, (1, 2, 14, 31, 65, 150)), ("base", 768, 12, (31, 140)),
                                         ("large", 1024, 24, (31,))):
        model = hashed_av_hubert(width, layers)
        for length in lengths:
            stacks = 8 * hashed(f"stacks.{length}", 1, length, 104) - 10
            out[f"{name}.{length}"] = model.features(stacks)[0, [0, length // 2, length - 1]]
            out[f"{name}.{length}.tokens"] = model(stacks)[0, [0, length // 2, length - 1]]
    return out


def picture(x):
    """[1, C, H, W] -> [H, W, C]."""
    return x[0].permute(1, 2, 0)


@torch.no_grad()
def weights(model, *parts):
    """The weights in float16 whose names begin with one of `parts`."""
    return {name: value.half() for name, value in model.state_dict().items() if name.startswith(parts)}


def write_speech(model):
    """The goldens of SpeechTests. Returns tokens [1, T, C] for the denoiser."""
    samples = sound()
    fbank = log_filterbank(samples)
    window = stacks(fbank, [20], 8, 5)[0]
    write("SpeechTests", "filterbank", {
        "sound": torch.from_numpy(samples / np.float32(32768)), "rows": torch.from_numpy(fbank),
        "stacks": torch.from_numpy(window)})

    hearing = front(model.audio_encoder)
    tokens = model.audio_encoder(hearing["heard"])
    write("SpeechTests", "audio_encoder", {
        **weights(model, "audio_encoder.", "lips."), **hearing, "tokens": tokens, "coefficients": model.lips(tokens),
        "layer": model.audio_encoder.layers[0](tokens[2:3])[0]})
    write("SpeechTests", "av_hubert", av_hubert())
    return tokens[2:3]


def main():
    torch.manual_seed(1)
    model, z, side = network(), CONFIG.latent_channels, CONFIG.window // 4
    a, b, c = CONFIG.unet_channels
    unet = model.denoiser.unet
    tokens = write_speech(model)
    write("DiffusionTests", "autoencoder", weights(model, "encoder.", "decoder."))
    write("DiffusionTests", "denoiser", weights(model, "bottleneck.", "denoiser."), config=json.dumps(CONFIG.dict()))

    image = torch.rand(1, 3, CONFIG.window, CONFIG.window) * 2 - 1
    identity = model.encoder(image.flip(3))
    mouth = torch.zeros(1, 2, CONFIG.window, CONFIG.window)
    mouth[:, 1, 18:30, 9:38], mouth[:, 0, 22:25, 14:33] = 1, 0.5
    lips = pooled_lips(mouth)
    hidden = masked(identity, lips)
    previous = torch.randn(1, z, side, side)
    prior = model.bottleneck(previous)
    e = torch.randn(1, CONFIG.embedding)
    x1, x2, x3 = (torch.randn(1, n, s, s) for n, s in [(a, side), (b, side // 2), (c, side // 4)])
    x = torch.randn(1, z, side, side)
    seen = torch.cat([x, hidden, lips, identity], 1)
    t = torch.tensor([0.75])
    yes, no = torch.tensor([True]), torch.tensor([False])
    times = torch.tensor([1, 0.75, 2 / 3, 0.5, 0.1, 0])
    torch.manual_seed(SEED)
    noise = torch.randn(side, side, z).permute(2, 0, 1)[None]
    given = hidden, lips, identity, tokens
    write("DiffusionTests", "parts", {
        "image": picture(image), "identity": picture(identity), "masked": picture(hidden), "lips": picture(lips),
        "latent": picture(model.encoder(image)), "decoded": picture(model.decoder(x)),
        "previous": picture(previous), "prior": prior, "tokens": tokens[0], "e": e,
        "times": times, "timestep_embedding": timestep_embedding(times, CONFIG.embedding // 2),
        "x": picture(x), "x1": picture(x1), "x2": picture(x2), "x3": picture(x3),
        "down1_res1": picture(unet.down1_res1(x1, e)), "down2_res1": picture(unet.down2_res1(x1, e)),
        "down2_attn1": picture(unet.down2_attn1(x2, tokens)), "mid_self": picture(unet.mid_self(x3)),
        "unet": picture(unet(seen, t, tokens, prior, yes)),
        "unet_without_prior": picture(unet(seen, t, tokens, prior, no)),
        "velocity": picture(model.denoiser(x, t, *given, prior, yes)),
        "noise": picture(noise),
        "sample": picture(model.sample(noise, *given, previous, steps=4)),
        "sample_without_previous": picture(model.sample(noise, *given, None, steps=4)),
        "sample_3_steps": picture(model.sample(noise, *given, previous, steps=3))})


if __name__ == "__main__":
    main()
