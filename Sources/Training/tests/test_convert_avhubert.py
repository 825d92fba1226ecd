# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""convert/avhubert.py on a synthetic checkpoint."""
import contextlib
import io
import sys
import unittest
from unittest import mock

import torch

import convert.avhubert as convert_avhubert
from convert.avhubert import converted
from convert.checkpoint import Checkpoint
from networks import avhubert
from networks.config import Config
from tests.checkpoints import LAYERS, SEEN, WIDTH, Canary, Folder, checkpoint, reference


class Conversion(Folder):
    @torch.no_grad()
    def test_hears_what_the_checkpoint_hears(self):
        for prefix, legacy, layer in (("", False, None), ("", True, None), ("encoder.w2v_model.", False, None),
                                      ("encoder.w2v_model.", True, 2), ("", False, 1), ("", False, LAYERS)):
            with self.subTest(prefix=prefix, legacy=legacy, layer=layer):
                weights = checkpoint(self.folder / "in.pt", prefix, legacy)
                weights = {name.removeprefix(prefix): value for name, value in weights.items()}
                SEEN.clear()
                with contextlib.redirect_stdout(io.StringIO()) as said, mock.patch.object(
                        sys, "argv", ["", "in.pt", "--output", "out.safetensors"] + (["--layer", str(layer)] if layer else [])):
                    convert_avhubert.main()
                    encoder, config = avhubert.load(self.folder / "out.safetensors")
                self.assertEqual(SEEN, [])
                self.assertEqual(said.getvalue().count(avhubert.LICENCE), 2)
                self.assertEqual((config.av_hubert, config.audio_layers), (WIDTH, layer or LAYERS))
                for length in (1, 14, 150):
                    stacks = 3 * torch.randn(2, length, 104) - 8
                    expected = reference(weights, stacks, layer or LAYERS)
                    difference = (encoder.features(stacks) - expected).abs().max() / expected.abs().max()
                    self.assertLess(difference, 2e-3)  # float16
                exact = converted(Checkpoint(self.folder / "in.pt"), layer)
                encoder.load_state_dict(exact | {n: v for n, v in encoder.state_dict().items() if n.startswith("output.")})
                difference = (encoder.features(stacks) - expected).abs().max() / expected.abs().max()
                self.assertLess(difference, 1e-5)

    def test_reads_every_number_format_and_views(self):
        for kind in (torch.float16, torch.bfloat16, torch.float64):
            def change(weights):
                name = "encoder.layers.0.fc1.weight"
                weights[name] = torch.stack([weights[name].to(kind).T] * 2)[1].T  # a transposed view that begins further on
            for legacy in (False, True):
                weights = checkpoint(self.folder / "in.pt", legacy=legacy, changed=change)
                got = converted(Checkpoint(self.folder / "in.pt"))["layers.0.fc1.weight"]
                self.assertTrue(torch.equal(got, weights["encoder.layers.0.fc1.weight"].float()))

    def test_freezes_the_first_layers(self):
        config = Config(av_hubert=WIDTH, audio_layers=12, audio_width=16)
        encoder = avhubert.AVHuBERT(config)
        encoder.freeze()
        learning = {name.split(".")[1] if name.startswith("layers") else name.split(".")[0]
                    for name, value in encoder.named_parameters() if value.requires_grad}
        self.assertEqual(learning, {"9", "10", "11", "norm", "output"})
        with self.assertRaises(SystemExit):
            encoder.freeze(13)

    def test_refuses_other_models(self):
        path = self.folder / "in.pt"
        without = lambda name: lambda weights: weights.pop(name)
        for change, words in ((without("feature_extractor_audio.proj.weight"), "not AV-HuBERT"),
                              (without("post_extract_proj.bias"), "post_extract_proj.bias is missing"),
                              (lambda w: w.update({"layer_norm.weight": torch.ones(WIDTH)}), "layer_norm.weight: it holds"),
                              (lambda w: w.update({"layer_norm.weight": 3}), "layer_norm.weight: it holds no tensor"),
                              (lambda w: w["layer_norm.bias"].fill_(float("nan")), "not finite"),
                              (lambda w: w.update({"layer_norm.bias": torch.ones(2 * WIDTH).long()}), "layer_norm.bias")):
            checkpoint(path, changed=change)
            self.refuses(path, words)
        for settings in ({"layer_norm_first": False}, {"modality_fuse": "add"}, {"encoder_attention_heads": 4}):
            checkpoint(path, settings=settings)
            self.refuses(path, "its")
        checkpoint(path)
        self.refuses(path, "no layer 4", lambda path: converted(Checkpoint(path), 4))
        checkpoint(path, model=[])
        self.refuses(path, "no dictionary called model")
        torch.save([1], path)
        self.refuses(path, "no dictionary called model")

    def test_says_so_and_writes_nothing(self):
        path = self.folder / "in.pt"
        checkpoint(path, task_state=Canary())
        with self.assertRaisesRegex(SystemExit, "in.pt is not converted: it asks for posix.system"), mock.patch.object(
                sys, "argv", ["", "in.pt", "--output", "out"]), contextlib.redirect_stdout(io.StringIO()):
            convert_avhubert.main()
        self.assertEqual([p.name for p in self.folder.iterdir()], ["in.pt"])


if __name__ == "__main__":
    unittest.main()
