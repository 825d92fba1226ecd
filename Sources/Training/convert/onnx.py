# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Exports the networks of a model file as ONNX: `python -m convert.onnx --output FOLDER`.

denoiser.onnx (one step), encoder.onnx, decoder.onnx and audio_encoder.onnx: batch 1, static shapes, float32, for ONNX
Runtime and OpenVINO. Each is run once by ONNX Runtime and rejected if it disagrees with PyTorch.
meta/scripts/bench-peers times them against syncdiff."""
import warnings
from pathlib import Path

import torch
from torch import nn

from convert.export import MODEL, load
from data.options import existing, parser as options
from networks.model import masked, pooled_lips

OPSET = 20  # has LayerNormalization and Gelu as operators
TOLERANCE = 1e-4  # largest difference from PyTorch, relative to the largest output


class Step(nn.Module):
    """F of x [1, 14, 20, 20] = noisy, masked, lips, identity; time t [1]; tokens [1, 14, 192]; and the bottleneck's
    output prior [1, 6]: one denoising step, which `syncdiff bench denoiser` reports as network."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, x, t, tokens, prior):
        return self.unet(x, t, tokens, prior, torch.ones(1, dtype=torch.bool))


@torch.no_grad()
def networks(model, seed=1):
    """{name: (module, {input: tensor})}: the networks of one frame, with inputs like those at run time, from noise."""
    config, random = model.config, torch.Generator().manual_seed(seed)
    side = config.window // 4
    image = torch.rand(1, 3, config.window, config.window, generator=random) * 2 - 1
    stacks = torch.randn(1, config.tokens, model.audio_encoder.input.in_features, generator=random)
    latent = torch.randn(1, config.latent_channels, side, side, generator=random)
    lips = torch.zeros(1, 2, config.window, config.window)
    lips[:, 1, 20:40, 24:56] = 1
    lips[:, 0, 26:34, 30:50] = 1
    identity, lips = model.encoder(image), pooled_lips(lips)
    step = {"x": torch.cat([latent, masked(identity, lips), lips, identity], 1), "t": torch.tensor([0.75]),
            "tokens": model.audio_encoder(stacks), "prior": torch.rand(1, config.prior, generator=random) * 2 - 1}
    return {"denoiser": (Step(model.denoiser.unet).eval(), step),
            "encoder": (model.encoder, {"image": image}),
            "decoder": (model.decoder, {"latent": latent}),
            "audio_encoder": (model.audio_encoder, {"stacks": stacks})}


def difference(a, b):
    """The largest difference, relative to the largest value of b."""
    return float((a - b).abs().max() / b.abs().max())


@torch.no_grad()
def export(module, inputs, path):
    """Exports one network and returns the relative difference of ONNX Runtime's output from PyTorch's."""
    import onnxruntime
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns that it is the older one, which needs no further package
        torch.onnx.export(module, tuple(inputs.values()), path, dynamo=False, opset_version=OPSET,
                          input_names=list(inputs), output_names=["output"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    output = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
    return difference(torch.from_numpy(output), module(*inputs.values()))


def main():
    parser = options(__doc__)
    parser.add_argument("--model", type=existing, default=MODEL, help="the model file")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the networks")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name, (module, inputs) in networks(load(args.model)).items():
        path = args.output / f"{name}.onnx"
        error = export(module, inputs, path)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {error:.1e} from PyTorch's")
        if not error < TOLERANCE:
            raise SystemExit(f"{path} is wrong: more than {TOLERANCE:g} from PyTorch's")


if __name__ == "__main__":
    main()
