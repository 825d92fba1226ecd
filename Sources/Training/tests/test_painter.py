# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The losses and batches of train/painter.py, and what adapt and the ablations change."""
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from data import pairs
from data.augmentation import Augmentation
from evaluate import ablate
from networks.model import fade
from networks.perceptual import Perceptual
from networks.sync import Sync
from tests.faces import basis, clip, small_model, squeezenet
from train import painter
from train.adapt import LARGEST, calibrate, calibration
from train.adversary import Adversary


def runs():
    """Four runs of the clip with pictures of noise in the place of its colours."""
    rng = np.random.default_rng(0)
    window = rng.integers(0, 255, (30, 128, 128, 3)).astype(np.uint8)
    made = pairs.runs(basis(), [clip()], np.arange(1), lambda clip: window, {"window": (), "points": ()}, 4, rng)
    return pairs.separate(made, [clip()])


def pool(model, sync_net):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    return painter.Pool(model, painter.Pairs(runs()), 4, rng, sync_net)


class PainterTests(unittest.TestCase):
    def setUp(self):
        self.model = small_model()
        self.sync_net = Sync().eval().requires_grad_(False)

    def test_an_untrained_network_copies_the_warped_picture(self):
        slot = painter.Slot(self.model, runs()[0], Augmentation(np.random.default_rng(0), 0.0, pairs.KEPT), True, self.sync_net)
        made = painter.pictures_of(self.model, slot, fade(80))
        torch.testing.assert_close(made, slot.warped, atol=1e-4, rtol=0)
        self.assertGreater((slot.truth - slot.warped).abs().mean(), 0.01)

    def test_runs_come_first_and_what_follows_them_next(self):
        source = pool(self.model, self.sync_net)
        for slot in source.slots:
            slot.latent = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 20, 20)
        count = painter.SAMPLED
        batch = source.sample(9 * count + 2)
        numbers = batch["latent"][:, 0, 0, 0].tolist()
        self.assertEqual(numbers[:9 * count], [1, 2, 3, 4, 5] * count + [2, 3, 4, 5] * count)
        torch.testing.assert_close(batch["previous"], batch["latent"] - 1)

    def test_a_pool_begins_small_and_grows_to_its_size(self):
        with mock.patch.object(painter.Pool, "FIRST", 2):
            source = pool(self.model, self.sync_net)
        counts, first = [len(source.slots)], source.slots[0]
        for _ in range(4):
            source.renew()
            counts.append(len(source.slots))
        self.assertEqual(counts, [2, 3, 4, 4, 4])
        self.assertNotIn(first, source.slots)

    def test_gradients_reach_what_learns_and_nothing_else(self):
        model = self.model
        for value in model.parameters():
            if not value.any():
                torch.nn.init.normal_(value, std=0.02)
        for part in (model.encoder, model.audio_encoder, model.lips):
            part.requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            squeezenet(Path(folder) / "weights.npz")
            perceptual = Perceptual(Path(folder) / "weights.npz")
        losses = painter.Losses(model, perceptual, Adversary("cpu"), self.sync_net, fade(80))
        parts, made, truth = losses(pool(model, self.sync_net).sample(18))
        self.assertEqual(made.shape, (5 * painter.SAMPLED, 3, 72, 72))
        self.assertEqual(made.shape, truth.shape)
        for name, part in zip(painter.FIGURES, parts):
            model.zero_grad()
            part.backward(retain_graph=True)
            reached = {child for child, net in model.named_children()
                       if any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())}
            expected = {"denoiser", "bottleneck"} | ({"decoder"} if name != "velocity" else set())
            self.assertEqual(reached, expected, name)

    def test_true_pictures_have_no_loss_of_texture_or_sync(self):
        batch = pool(self.model, self.sync_net).sample(18)
        seen = self.sync_net.embed_video(batch["truth"].unflatten(0, (painter.SAMPLED, 5)))
        torch.testing.assert_close(seen, batch["seen"], atol=1e-5, rtol=0)
        self.assertEqual(batch["moves"].tolist(), [1] * painter.SAMPLED)


class CalibrationTests(unittest.TestCase):
    def test_it_is_found_and_folded_into_the_head(self):
        rng, head = np.random.default_rng(0), small_model().lips
        told = [rng.normal(0, 1, (40, 12)).astype(np.float32) for _ in range(2)]
        scale, offset = calibration(told, [1.3 * clip + 0.2 for clip in told])
        np.testing.assert_allclose(scale, 1.3, rtol=1e-5)
        np.testing.assert_allclose(offset, 0.2, rtol=1e-4)
        np.testing.assert_allclose(calibration(told, [9 * clip for clip in told])[0], LARGEST)
        tokens = torch.randn(3, 14, 16)
        with torch.no_grad():
            before = head(tokens)
            calibrate(head, scale, offset)
            torch.testing.assert_close(head(tokens), 1.3 * before + 0.2, atol=1e-4, rtol=1e-4)


class LookTests(unittest.TestCase):
    def test_a_third_of_the_cameras_sharpen(self):
        augmentations = [Augmentation(np.random.default_rng(seed)) for seed in range(200)]
        sharp = [one for one in augmentations if one.sharp > 0]
        self.assertAlmostEqual(len(sharp) / 200, 1 / 3, delta=0.1)
        self.assertFalse(any(look.poor for look in sharp))
        one, picture = max(sharp, key=lambda one: one.sharp), 0.3 * torch.randn(1, 3, 80, 80).clamp(-1, 1)
        made, one.sharp = one.recoloured(picture), 0.0
        self.assertGreater(made.std(), 1.2 * one.recoloured(picture).std())


class AblationTests(unittest.TestCase):
    def test_the_papers_inputs_do_not_know_the_mouth(self):
        model, (run, *_) = small_model(), runs()
        ablate.with_others([run], lambda clip: np.zeros((30, 128, 128, 3), np.uint8))
        plain = Augmentation(np.random.default_rng(0), 0.0, pairs.KEPT)
        before = ablate.PaperSlot(model, run, plain, True, None)
        run["truth"] = run["truth"].copy()
        run["truth"][:, pairs.KEPT + 4 * ablate.HIDDEN + 2:] = 0
        run["lips"] = 255 - run["lips"]
        after = ablate.PaperSlot(model, run, plain, True, None)
        for name in ("masked", "lips", "identity"):
            torch.testing.assert_close(getattr(after, name), getattr(before, name), msg=name)
        self.assertGreater(before.masked.abs().sum(), 0)

    def test_every_variant_paints(self):
        base = small_model()
        known = torch.randn(2, 4, 20, 20), torch.rand(2, 2, 20, 20), torch.randn(2, 4, 20, 20)
        identity, lips, seen = known
        for name, variant in ablate.VARIANTS.items():
            model = ablate.build(base, variant)
            for value in model.parameters():
                if not value.any():
                    torch.nn.init.normal_(value, std=0.1)
            sound = torch.randn(2, 14, model.audio_encoder.input.in_features)
            made = painter.sample_sequence(model, identity, seen, lips, sound)
            self.assertEqual(made.shape, identity.shape, name)
            alone = painter.sample_sequence(model, identity[1:], seen[1:], lips[1:], sound[1:])
            forgets = torch.allclose(made[1:], alone)
            self.assertEqual(forgets, variant.prior == 0, name)  # the others go by the frame before


if __name__ == "__main__":
    unittest.main()
