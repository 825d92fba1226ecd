# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Sound, augmentation, Whisper's layers and the audio encoder."""
import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from convert import whisper
from data import voices
from data.speech import ROW, SAMPLE_RATE, log_mel
from networks.audio import AudioEncoder, CausalLayer, Front
from networks.config import Config
from train import lips


def tone(hertz, seconds=1.0, loud=0.1):
    return loud * torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


class LogMelTests(unittest.TestCase):
    def test_a_tone_is_loudest_in_its_band(self):
        # Slaney's scale: 15 mels to 1 kHz, 27 more for each factor of 6.4; 81 steps to 8 kHz
        steps = 81 / (15 + 27 * np.log(8) / np.log(6.4))
        for hertz in (300, 1000, 3000):
            mel = 3 * hertz / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)
            self.assertAlmostEqual(log_mel(tone(hertz)[None])[0, 50].argmax().item() + 1, mel * steps, delta=1)

    def test_loudness_changes_nothing(self):
        sound = torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
        loud, faint = log_mel((0.1 * sound)[None]), log_mel((0.01 * sound)[None])
        torch.testing.assert_close(loud, faint, atol=1e-4, rtol=0)

    def test_silence_is_the_least(self):
        rows = log_mel(torch.zeros(1, 4000))
        self.assertTrue(torch.equal(rows, torch.full_like(rows, -0.625)))
        self.assertGreater(log_mel(tone(500)[None]).max(), 1.37)


class CausalTests(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def test_each_hears_no_further_than_it_may(self):
        layer = CausalLayer(64, 2, after=3).eval()
        torch.nn.init.normal_(layer.near)
        torch.nn.init.normal_(layer.carry)
        x = torch.randn(1, 120, 64)
        before = CausalLayer.BEFORE
        for place, heard in ((60 + 3, True), (60 + 4, False), (60 - before, True), (60 - before - 1, False)):
            other = x.clone()
            other[0, place] += torch.randn(64)
            same = torch.allclose(layer(x)[0, 60], layer(other)[0, 60], atol=1e-6)
            self.assertEqual(same, not heard, place)

    def test_shaws_positions(self):
        """The same as keys and values that have the vectors of their distance added."""
        layer = CausalLayer(8, 2, after=1)
        torch.nn.init.normal_(layer.near)
        torch.nn.init.normal_(layer.carry)
        x = torch.randn(1, 5, 8)
        q, k, v = layer.qkv(layer.norm1(x))[0].view(5, 3, 2, 4).permute(1, 2, 0, 3)
        rows = []
        for i in range(5):
            others = range(0, min(5, i + 2))
            distance = [j - i + CausalLayer.BEFORE for j in others]
            keys, values = k[:, list(others)] + layer.near[:, distance], v[:, list(others)] + layer.carry[:, distance]
            share = (torch.einsum("hd,hjd->hj", q[:, i], keys) / 2).softmax(-1)
            rows.append(torch.einsum("hj,hjd->hd", share, values).flatten())
        h = x + layer.out(torch.stack(rows))
        expected = h + layer.fc2(F.gelu(layer.fc1(layer.norm2(h))))
        torch.testing.assert_close(layer(x), expected)


class EncoderTests(unittest.TestCase):
    def test_what_is_heard_ends_where_the_look_ahead_does(self):
        torch.manual_seed(0)
        config = Config()
        encoder = AudioEncoder(config).eval()
        sound = 0.1 * torch.randn(2 * SAMPLE_RATE)
        row = 60
        last = ROW * (row + 4 * config.audio_future + 2 + 2 * sum(Front.AFTER)) + 400
        self.assertLessEqual(last - ROW * row + ROW // 2, 0.255 * SAMPLE_RATE)
        heard = lambda s: lips.around(encoder, s, np.array([row]), "cpu")
        before, after = sound.clone(), sound.clone()
        before[last - 200:] = 0
        after[last:] = 0
        self.assertFalse(torch.allclose(heard(sound), heard(before), atol=1e-5))
        torch.testing.assert_close(heard(sound), heard(after))

    def test_stacks_are_two_features(self):
        encoder = AudioEncoder(Config(audio_past=1, audio_future=1))
        features = torch.arange(20.0)[None, :, None].expand(1, 20, Front.WIDTH)
        stacks = encoder.around(features, torch.tensor([[10, 11]]))
        self.assertEqual(stacks.shape, (1, 2, 3, 2 * Front.WIDTH))
        self.assertEqual(stacks[0, :, :, [0, -1]].tolist(), 2 * [[[2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]])


    def test_what_is_not_known_yet_is_zero(self):
        stacks = 1 + torch.arange(2 * 3 * 4.0).view(2, 3, 4)  # of two features of two values
        made = AudioEncoder.mask_unknown(stacks, torch.tensor([0, 3]))
        torch.testing.assert_close(made[0], stacks[0])
        self.assertEqual(made[1].flatten().tolist(), [13, 14, 15, 16, 17, 18] + 6 * [0])


class WhisperTests(unittest.TestCase):
    def test_a_file_is_read_as_it_was_written(self):
        weight = np.arange(6, dtype=np.float16).reshape(2, 3)
        text = lambda s: struct.pack("<H", len(s) + 1) + s.encode() + b"\0"
        one = lambda name, kind, shape, values: text(name) + struct.pack("<B", len(shape)) + struct.pack(f"<{len(shape)}I", *shape) \
            + struct.pack("<BI", kind, len(values)) + values
        parts = [one("encoder/conv1/weight", 4, (2, 3), weight.tobytes()), one("encoder/scale", 1, (1,), b"\0" * 4),
                 one("decoder/conv1/weight", 4, (2, 3), weight.tobytes())]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.bin"
            path.write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 3) + b"".join(parts))
            got = whisper.tensors(path)
        self.assertEqual(list(got), ["conv1/weight"])
        self.assertEqual(got["conv1/weight"].tolist(), weight.tolist())


class VoicesTests(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(0)
        torch.manual_seed(0)

    def test_a_telephone_keeps_its_band(self):
        level = lambda hertz: np.mean([voices.telephone(tone(hertz), self.rng).std().item() for _ in range(20)])
        self.assertGreater(level(1000), 0.95 * tone(1000).std())
        self.assertLess(level(6000), 0.05 * tone(6000).std())

    def test_other_sounds_have_deviation_one(self):
        for _ in range(20):
            other = voices.interference([torch.randn(SAMPLE_RATE)], 8000, self.rng)
            self.assertEqual(other.shape, (8000,))
            self.assertAlmostEqual(other.std().item(), 1, places=3)

    def test_what_nobody_speaks_is_of_all_kinds(self):
        rng = np.random.default_rng(0)
        pauses = [float((loud < 0.2 * loud.max()).float().mean())
                  for loud in (voices.non_speech(80000, rng).unfold(0, 800, 800).std(1) for _ in range(40))]
        self.assertGreater(np.mean(np.array(pauses) == 0), 0.2)   # noise, applause of a hall
        self.assertGreater(np.mean(np.array(pauses) > 0.2), 0.2)  # breath, a few hands

    def test_degraded_audio_keeps_its_length(self):
        for sound in (torch.randn(8000), torch.zeros(8000)):
            for _ in range(40):
                made = voices.degraded(sound, [torch.randn(16000)], self.rng)
                self.assertEqual(made.shape, sound.shape)
                self.assertTrue(torch.isfinite(made).all())
                self.assertLessEqual(made.abs().max(), 1)

    def test_a_room_rings_on(self):
        click = torch.zeros(SAMPLE_RATE)
        click[1000] = 1
        made = voices.in_room(click, self.rng)
        self.assertEqual(made[:999].abs().max().item() < 1e-5, True)
        self.assertGreater(made[1200:5000].abs().max(), 1e-4)


class ClosingTests(unittest.TestCase):
    def test_lips_that_shut_for_a_moment(self):
        openings = torch.tensor([[0.2] * 3 + [0.01] * 2 + [0.2] * 2 + [0.02] * 8, [0.0] * 15])
        self.assertEqual(lips.closings(openings).tolist(), [[0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0], [0] * 15])


class CutTests(unittest.TestCase):
    def test_silence_where_there_is_no_sound(self):
        sound = torch.arange(1.0, 11)
        self.assertEqual(lips.cut_out(sound, -2, 5, 1).tolist(), [0, 0, 1, 2, 3])
        self.assertEqual(lips.cut_out(sound, 8, 4, 1).tolist(), [9, 10, 0, 0])
        self.assertEqual(lips.cut_out(sound, -9, 4, 1).tolist(), [0, 0, 0, 0])
        self.assertEqual(lips.cut_out(sound, 20, 3, 1).tolist(), [0, 0, 0])

    def test_pace(self):
        sound = torch.linspace(0, 1, 1000)
        self.assertAlmostEqual(lips.cut_out(sound, 100, 100, 2)[50].item(), 0.2, places=2)


if __name__ == "__main__":
    unittest.main()
