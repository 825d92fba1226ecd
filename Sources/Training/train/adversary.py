# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The adversarial loss: a discriminator that is trained alongside the network it judges."""
import torch
import torch.nn.functional as F

from networks.discriminator import Discriminator
from train import distributed


class Adversary:
    """networks.discriminator.Discriminator with its optimizer."""

    def __init__(self, device):
        self.net = Discriminator().to(device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=4e-4, betas=(0.5, 0.9))

    def __call__(self, made):
        """The generator's loss for images [B, 3, H, W]: low if they pass for real."""
        return -self.net(made).float().mean()

    def learn(self, real, made):
        """Trains the discriminator on real and generated images, after the generator's step, with the hinge loss (Lim
        and Ye, arXiv 1705.02894)."""
        loss = F.relu(1 - self.net(real)).mean() + F.relu(1 + self.net(made.detach())).mean()
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average([p.grad for p in self.net.parameters()])
        self.optimizer.step()
        return loss
