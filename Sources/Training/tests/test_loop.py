# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""train/loop.py with a network of six weights."""
import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from train import distributed, loop
from train.loop import Loop, Schedule


class Stopped(Exception):
    pass


class LoopTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for patch in (mock.patch.object(loop, "CHECK", 0), mock.patch.object(loop.plots, "plot"),
                      contextlib.redirect_stdout(io.StringIO())):
            self.enterContext(patch)

    def begun(self, name, steps=20):
        """A loop, and the function that runs it, up to a step."""
        rng = distributed.seed(0)
        net = nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        made = Loop(self.folder / name, optimizer, Schedule(warm_up=5, fall=0.5, steps=steps), {"net": net}, {"average": net},
                    rng=rng, batch=4, figures=["loss"], follow=0.01)

        def run(until=None):
            for _ in made:
                x = torch.from_numpy(rng.normal(size=(4, 2))).float() + torch.randn(4, 2)
                loss = (net(x) - x.flip(1)).square().mean()
                made.learn(loss)
                made.note([loss])
                if made.step == until:
                    raise Stopped
            return made

        return made, run

    def test_a_training_that_is_interrupted_ends_like_one_that_is_not(self):
        whole = self.begun("whole.pt")[1]()
        with self.assertRaises(Stopped):
            self.begun("parts.pt")[1](until=8)
        part, run = self.begun("parts.pt")
        self.assertEqual((part.resumed, part.step, part.spent), (True, 8, 8))
        run()
        for name, value in whole.average["average"].state_dict().items():
            self.assertTrue(torch.equal(value, part.average["average"].state_dict()[name]))
        for a, b in zip(whole.parameters, part.parameters):
            self.assertTrue(torch.equal(a, b))

    def test_a_training_that_has_ended_begins_another(self):
        self.begun("one.pt")[1]()
        again, run = self.begun("one.pt")
        self.assertEqual((again.step, again.spent), (20, 0))
        self.assertEqual(run().step, 40)

    def test_a_checkpoint_is_whole_or_the_one_before(self):
        made, run = self.begun("one.pt")
        run()
        before = (self.folder / "one.pt").read_bytes()

        def breaks(value, path):
            path.write_bytes(b"half")
            raise OSError("no space left")

        with mock.patch.object(torch, "save", breaks), self.assertRaises(OSError):
            made.save(0.0)
        self.assertEqual((self.folder / "one.pt").read_bytes(), before)

    def test_checkpoints_of_before_the_loop_are_taken(self):
        made, run = self.begun("old.pt")
        run()
        kept = torch.load(self.folder / "old.pt", weights_only=True)
        for name in ("spent", "random", "curve", "config"):
            del kept[name]
        torch.save(kept, self.folder / "old.pt")
        self.assertEqual(self.begun("old.pt")[1]().step, 40)

    def test_minutes_are_those_of_the_command(self):
        for before, steps in ((0, 6), (4, 2), (60, 1)):  # minutes that something else took; each step takes one
            now = [0.0]
            with mock.patch.object(loop, "time", mock.Mock(time=lambda: now[0])):
                made, run = self.begun(f"{before}.pt", steps=0)
                made.schedule.minutes, made.schedule.began, now[0] = 6, 0, 60.0 * before
                rates = []
                for _ in made:
                    rates.append(made.optimizer.param_groups[0]["lr"])
                    made.note([torch.zeros(())])
                    now[0] += 60
            self.assertEqual(made.step, steps)
            self.assertGreater(rates[0], 0.01)  # of 0.1, warming up

    def test_minutes_include_the_last_validation_however_short(self):
        now = [0.0]

        def validate():
            now[0] += 60

        with mock.patch.object(loop, "time", mock.Mock(time=lambda: now[0])), mock.patch.object(loop, "CHECK", 5):
            made, run = self.begun("short.pt", steps=0)
            made.schedule.minutes, made.schedule.began, made.validate = 4, 0, validate
            for _ in made:
                made.note([torch.zeros(())])
                now[0] += 15
        self.assertEqual(now[0], 4 * 60)

    def test_another_configuration_is_refused(self):
        made, run = self.begun("one.pt")
        made.config = {"window": 96}
        run()
        with self.assertRaisesRegex(SystemExit, "another configuration, {'window': 96}"):
            self.begun("one.pt")

    def test_the_average_follows(self):
        made, run = self.begun("one.pt", steps=1)
        before = [value.clone() for value in made.average["average"].parameters()]
        run()
        for was, now, net in zip(before, made.average["average"].parameters(), made.parameters):
            torch.testing.assert_close(now, was + 9 / 11 * (net - was))

    def test_learning_rates_rise_and_fall(self):
        schedule = Schedule(warm_up=10, fall=0.25, minutes=1)
        self.assertAlmostEqual(schedule.rate(0, 0), 0.1)
        self.assertEqual(schedule.rate(9, 0.7), 1)
        self.assertAlmostEqual(schedule.rate(99, 0.875), 0.5 + loop.LAST)
        self.assertAlmostEqual(schedule.rate(99, 1), loop.LAST)


if __name__ == "__main__":
    unittest.main()
