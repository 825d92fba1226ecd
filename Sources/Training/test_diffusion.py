# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""What a training batch of diffusion.py holds, its losses, and the looks of data.py: `python -m unittest`."""
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
        distance = lambda z: diffusion.sync_distance(net, diffusion.decoded(grow, z), seen).item()
        self.assertAlmostEqual(distance(latents), 0, 5)
        self.assertGreater(distance(latents.flip(3)), 1e-3)
        corner = latents.clone()
        corner[..., :4, :] = 0  # above what the network sees
        self.assertAlmostEqual(distance(corner), 0, 5)

    def test_it_teaches(self):
        torch.manual_seed(0)
        net, grow = sync.Sync().eval().requires_grad_(False), torch.nn.Upsample(scale_factor=4)
        latents = torch.rand(sync.FRAMES, 3, 24, 24, requires_grad=True)
        seen = torch.nn.functional.normalize(torch.rand(1, 128), dim=1)
        diffusion.sync_distance(net, diffusion.decoded(grow, latents), seen).backward()
        self.assertGreater(latents.grad[:, :, 8:20, 6:18].abs().min(), 0)


def loss_of(denoiser, batch, decoder=torch.nn.Upsample(scale_factor=4)):
    """The losses of a batch of batch_of with this denoiser and what else is needed in its simplest form."""
    model = SimpleNamespace(audio_encoder=lambda stacks: stacks, bottleneck=lambda latent: latent[:, :1, 0, :6],
                            denoiser=denoiser, decoder=decoder)
    probe = lambda latent: latent.flatten(1)[:, :1 + COMPONENTS]
    return diffusion.loss_of(model, probe, batch, torch.ones(24, 24), diffusion.CORRUPTION)


class PictureLossTests(unittest.TestCase):
    def test_it_is_the_error_of_the_sampled_pictures_at_a_quarter_of_their_size(self):
        batch, grow = batch_of(32), torch.nn.Upsample(scale_factor=4)
        columns = 1 + 3 * (-1.0) ** torch.arange(80)  # a texture that the mean over four columns is free of
        error = torch.tensor(0.5, requires_grad=True)

        def denoiser(x, t, *known):  # leads the ten from any noise to the truth and the error
            return (x - batch["latent"][:20:2] - error) / t.view(-1, 1, 1, 1) if len(x) == 10 else x

        picture = loss_of(denoiser, batch, lambda z: grow(z) * columns)[2]
        self.assertAlmostEqual(picture.item(), 0.5, 3)
        picture.backward()
        self.assertGreater(error.grad, 0.4)


class RunTests(unittest.TestCase):
    def test_the_pictures_of_a_run_begin_with_one_noise_each_run_with_its_own(self):
        asked = []

        def denoiser(x, t, *known):
            asked.append((x, t))
            return torch.zeros_like(x)

        loss_of(denoiser, batch_of(32))
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

    def test_lips_alone_are_coloured(self):
        """Lips as two ellipses in the order of geometry.LIPS: the lower half from the left corner on, then the upper."""
        angles = np.concatenate([np.linspace(np.pi, 0, 11), np.linspace(-np.pi, 0, 11)[1:-1]])
        ellipse = lambda a, b: np.stack([48 + a * np.cos(angles), 60 + b * np.sin(angles)], 1)
        lips = np.concatenate([ellipse(20, 10), ellipse(12, 4)])[None].astype(np.float32)
        mask = data.lip_mask(lips)[0, 0]
        row = lambda y: mask[16 + y, 16 + 48].item()  # window px, the face's middle
        for y, on in ((60, 0), (53, 1), (67, 1), (47, 0), (73, 0)):
            self.assertAlmostEqual(row(y), on, 1, y)
        places = torch.arange(128.0) - 16
        for axis, middle in ((0, 48), (1, 60)):
            self.assertLess(abs((mask.sum(axis) @ places / mask.sum()).item() - middle), 0.3)
        look = data.Look(np.random.default_rng(0), 0)
        grey = torch.zeros(1, 3, 128, 128)
        self.assertTrue(torch.equal(look(grey, lips), look(grey)))
        look.lipstick = torch.tensor([1.5, 1, 0.5]).view(3, 1, 1)
        red, green, blue = look(grey, lips)[0, :, 67, 48].tolist()
        self.assertAlmostEqual(red, 0.5, 1)
        self.assertAlmostEqual(green, 0, 3)
        self.assertAlmostEqual(blue, -0.5, 1)


if __name__ == "__main__":
    unittest.main()
