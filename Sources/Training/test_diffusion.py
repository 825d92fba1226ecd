# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""What a training batch of diffusion.py holds, and its sync loss: `python -m unittest`."""
import unittest
from types import SimpleNamespace

import numpy as np
import torch

import data
import diffusion
import sync
from audio import COMPONENTS
from model import Config, SyncDiff

LENGTH = 40  # frames of the clip


def batch_of(count):
    """A batch of a clip whose latents hold the frame's number, and whose windows of five hold that of their first frame."""
    rng = np.random.default_rng(0)
    clip = data.Clip("s2", "one", np.zeros((LENGTH, 128, 128, 3), np.uint8), rng.normal(size=(LENGTH, 40, 2)),
                     rng.normal(10, 3, (4 * LENGTH, 26)).astype(np.float32))
    pool = diffusion.Pool(SyncDiff(Config()), [clip], lambda lips: lips.reshape(LENGTH, -1), 1, rng, sync_net=sync.Sync().eval())
    numbers = torch.arange(LENGTH).view(-1, 1, 1, 1).expand(-1, 4, 24, 24)
    pool.slots = [(0, numbers.bfloat16(), numbers.bfloat16(), numbers[:LENGTH - sync.FRAMES + 1, 0, 0, :1])]
    return pool.sample(count)


class BatchTests(unittest.TestCase):
    def test_pairs_and_runs_follow_each_other(self):
        batch = batch_of(32)
        frames, before = batch["latent"][:, 0, 0, 0], batch["previous"][:, 0, 0, 0]
        self.assertTrue(torch.equal(frames[1::2], frames[::2] + 1))
        self.assertTrue(torch.equal(before, frames - 1))
        starts = frames[:20:2].view(2, 5)
        self.assertTrue(torch.equal(starts, starts[:, :1] + torch.arange(5)))
        self.assertTrue(torch.equal(batch["seen"][:, 0].float(), starts[:, 0]))
        self.assertTrue(((batch["identity"][:, 0, 0, 0] - frames).abs() >= 6).all())

    def test_a_batch_too_small_for_a_run_is_refused(self):
        for count in (8, 25):
            with self.assertRaisesRegex(SystemExit, "even number from 10 on"):
                batch_of(count)


class SyncDistanceTests(unittest.TestCase):
    def test_true_pictures_are_at_no_distance_and_others_are(self):
        torch.manual_seed(0)
        net, grow = sync.Sync().eval().requires_grad_(False), torch.nn.Upsample(scale_factor=4)
        latents = torch.rand(2 * sync.FRAMES, 3, 24, 24)
        seen = net.see(grow(latents).unflatten(0, (2, sync.FRAMES)))
        distance = lambda z: diffusion.sync_distance(net, grow, z, seen).item()
        self.assertAlmostEqual(distance(latents), 0, 5)
        self.assertGreater(distance(latents.flip(3)), 1e-3)
        corner = latents.clone()
        corner[..., :4, :] = 0  # above what the network sees
        self.assertAlmostEqual(distance(corner), 0, 5)

    def test_it_teaches(self):
        torch.manual_seed(0)
        net, grow = sync.Sync().eval().requires_grad_(False), torch.nn.Upsample(scale_factor=4)
        latents = torch.rand(sync.FRAMES, 3, 24, 24, requires_grad=True)
        diffusion.sync_distance(net, grow, latents, torch.nn.functional.normalize(torch.rand(1, 128), dim=1)).backward()
        self.assertGreater(latents.grad[:, :, 8:20, 6:18].abs().min(), 0)


class RunTests(unittest.TestCase):
    def test_the_pictures_of_a_run_begin_with_one_noise_each_run_with_its_own(self):
        asked = []

        def denoiser(x, t, *known):
            asked.append((x, t))
            return torch.zeros_like(x)

        model = SimpleNamespace(audio_encoder=lambda stacks: stacks, bottleneck=lambda latent: latent[:, :1, 0, :6],
                                denoiser=denoiser)
        probe = lambda latent: latent.flatten(1)[:, :1 + COMPONENTS]
        diffusion.loss_of(model, probe, batch_of(32), torch.ones(24, 24), diffusion.CORRUPTION)
        noise, t = asked[0]
        self.assertTrue((t == 1).all())
        first, second = noise.unflatten(0, (2, sync.FRAMES))
        for run in (first, second):
            self.assertTrue(torch.equal(run, run[:1].expand_as(run)))
        self.assertFalse(torch.equal(first, second))


class LookTests(unittest.TestCase):
    def test_a_poor_camera_keeps_shape_range_and_colour(self):
        look = data.Look(np.random.default_rng(0), 0)
        look.poor = 0.5, 0, 95
        x, y = torch.meshgrid(*[torch.linspace(0, 1, 96)] * 2, indexing="ij")
        picture = torch.stack([x, y, (x + y) / 2])[None]
        through = look.through_poor(picture)
        self.assertEqual(through.shape, picture.shape)
        self.assertLess((through - picture).abs().mean(), 0.01)
        look.poor = 0.7, 0.5, 50
        through = look.through_poor(picture)
        self.assertEqual((through.min(), through.max()), (0, 1))


if __name__ == "__main__":
    unittest.main()
