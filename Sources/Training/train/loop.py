# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop that all trainings share, with its schedule, averages, checkpoints, log and curves.

    loop = Loop(store, optimizer, Schedule(warm_up=200, fall=0.25, minutes=60), {"net": net}, {"average": net}, ...)
    for _ in loop:
        loop.learn(loss of a batch)
        loop.note([figures of this step])

A checkpoint is written atomically every CHECK minutes and at the end. An interrupted training resumes from its last
checkpoint, including the state of the random numbers; a finished one starts another of the same length from the learned
weights. Minutes include everything the command does before the loop, and validation. Under torchrun each process draws
its own batches and gradients are averaged; the first process reports and saves; after an interruption the random
numbers start over."""
import copy
import json
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from evaluate import plots
from train import distributed

CHECK = 5  # minutes between checkpoints, each with a validation; in a short training the first is halfway
LOG = 1  # minutes between log lines, each a point of the curves
LAST = 0.02  # fraction of the learning rate at the end


@dataclass
class Schedule:
    """The length of a training, in minutes since `began` or in steps, and the learning rate: it rises over the first
    `warm_up` steps and falls over the last `fall` (a fraction) of the training."""
    warm_up: int
    fall: float
    minutes: float = 0
    steps: int = 0
    began: float = field(default_factory=time.time)

    def rate(self, step, progress):
        """The factor of the learning rate at a step (from 0), when `progress` (0 to 1) of the training is done."""
        return min(1, (step + 1) / self.warm_up) * min(1, (1 - progress) / self.fall + LAST)


def finished(store):
    """Whether there is a checkpoint of a finished training."""
    return store.exists() and torch.load(store, "cpu", weights_only=True).get("spent") == 0


class Loop:
    """store: the checkpoint's path; NAME_curve.png is drawn beside it. optimizer: its learning rates are the maximum.
    parts {name: network or optimizer}: saved in addition to the optimizer. averages {name: network}: networks with a
    moving average `self.average[name]`, which each step moves by `follow` towards the network. rng: the NumPy generator
    for batches. batch: samples in a step. figures: the names of the values passed to note(). clip: the largest norm of
    the gradient. config: the networks' configuration. validate: called after each checkpoint to print and draw.

    SystemExit if the checkpoint's networks have another configuration."""

    def __init__(self, store, optimizer, schedule, parts, averages, rng, batch, figures, follow, config=None, clip=1.0,
                 validate=lambda: None):
        self.store, self.optimizer, self.schedule, self.rng = store, optimizer, schedule, rng
        self.batch, self.figures, self.follow, self.clip, self.validate = batch, figures, follow, clip, validate
        self.config = config.dict() if config else {}
        self.device = distributed.device()
        self.average = {name: copy.deepcopy(net).eval().requires_grad_(False) for name, net in averages.items()}
        self.networks = averages
        self.parts = parts | self.average | {"optimizer": optimizer}
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.step, self.curve, self.rows, self.spent, self.random = 0, [], [], 0.0, None
        self.resumed = store.exists()
        if self.resumed:
            self.restore(torch.load(store, "cpu", weights_only=True))
        distributed.share([tensor for part in self.parts.values() if isinstance(part, nn.Module)
                           for tensor in part.state_dict().values()])

    def restore(self, kept):
        config = kept.get("config", {})  # trainings without a config save none
        if json.dumps(config) != json.dumps(self.config):
            raise SystemExit(f"{self.store} was trained with another configuration, {config}: move it away, or take "
                             "another cache")
        for name, part in self.parts.items():
            part.load_state_dict(kept[name])
        self.step = kept["step"]
        # Checkpoints from before train/loop.py lack these.
        self.curve, self.spent, self.random = kept.get("curve", []), kept.get("spent", 0.0), kept.get("random")

    def save(self, spent):
        """Writes the checkpoint. spent: minutes or steps of the schedule done, 0 after the last."""
        temporary = self.store.with_suffix(".tmp")
        random = {"torch": torch.get_rng_state(), "numpy": self.rng.bit_generator.state}
        torch.save({name: part.state_dict() for name, part in self.parts.items()}
                   | {"step": self.step, "curve": self.curve, "spent": spent, "random": random, "config": self.config}, temporary)
        temporary.rename(self.store)

    def __iter__(self):
        if self.random and distributed.processes() == 1:
            torch.set_rng_state(self.random["torch"])
            self.rng.bit_generator.state = self.random["numpy"]
        began, first, start = self.schedule.began, self.step, time.time()
        checked = logged = start
        log_step, last = first, 0.0  # minutes that the last checkpoint will take, as far as known
        whole = self.schedule.steps or max(self.schedule.minutes - (start - began) / 60, 1e-3)
        spent = lambda: self.spent + (self.step - first if self.schedule.steps else (time.time() - start) / 60)
        every = CHECK if self.schedule.steps else min(CHECK, whole / 2)
        unit = "step" if self.schedule.steps else "min"
        bar = tqdm(total=whole, unit=unit, bar_format="{percentage:3.0f}% {bar} {n:.1f} of {total:.1f} {unit}", leave=False,
                   initial=min(self.spent, whole), disable=None if distributed.first() else True)
        while (progress := distributed.same((spent() + last) / whole, self.device)) < 1 or self.step == first:
            for group, rate in zip(self.optimizer.param_groups, self.rates):
                group["lr"] = rate * self.schedule.rate(self.step, min(progress, 1))
            yield
            self.step += 1
            self.move_averages()
            bar.update(min(spent(), whole) - bar.n)
            now = time.time()
            if distributed.first() and now - logged >= 60 * LOG:
                bar.clear()
                self.log(now - began, (self.step - log_step) * self.batch * distributed.processes() / (now - logged))
                logged, log_step = now, self.step
            if distributed.first() and now - checked >= 60 * every:
                bar.clear()
                self.check(spent())
                checked = time.time()
                last = 0.0 if self.schedule.steps else max(last, (checked - now) / 60)
        bar.close()
        if distributed.first():
            if self.rows:
                now = time.time()
                self.log(now - began, (self.step - log_step) * self.batch * distributed.processes() / (now - logged))
            self.check(0.0)
            if not self.schedule.steps and self.step < self.schedule.warm_up:
                print(f"only {self.step} steps: with more --minutes it learns more", flush=True)

    def learn(self, loss):
        """Takes one step of the optimizer."""
        self.optimizer.zero_grad()
        loss.backward()
        distributed.average([p.grad for p in self.parameters if p.grad is not None])
        nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()

    def note(self, figures):
        """Records the figures of a step, tensors of one number each."""
        self.rows.append([figure.item() for figure in figures])

    @torch.no_grad()
    def move_averages(self):
        """Early steps move it further, so that it soon forgets its initial value."""
        share = max(self.follow, 9 / (10 + self.step))
        for name, net in self.networks.items():
            for a, b in zip(self.average[name].state_dict().values(), net.state_dict().values()):
                a.lerp_(b, share) if a.is_floating_point() else a.copy_(b)

    def log(self, seconds, speed):
        means = np.mean(self.rows, 0)
        self.rows.clear()
        self.curve.append([self.step * self.batch * distributed.processes(), *means.tolist()])
        told = ", ".join(f"{name} {mean:.4g}" for name, mean in zip(self.figures, means))
        print(f"{seconds / 60:5.1f} min, step {self.step}, {speed:.3g} samples/s: {told}", flush=True)

    def check(self, spent):
        self.save(spent)
        self.validate()
        if self.curve:
            plots.plot(self.curve, self.figures, self.store.with_name(f"{self.store.stem}_curve.png"))
