# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The commands' help, their errors for missing files, and which clips are held out."""
import argparse
import contextlib
import importlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.numpy import load_file

from convert.export import MODEL, part_of
from data import clips
from tests.faces import clip
from train import all as every
from train.loop import finished

COMMANDS = ("data.prepare", "data.shape", "data.pairs", "data.spoken", "train.teacher", "train.lips", "train.sync",
            "train.autoencoder", "train.painter", "train.adapt", "train.all", "convert.export", "convert.onnx", "convert.avhubert",
            "evaluate.evaluate", "evaluate.speech", "evaluate.ablate")


class Parsed(Exception):
    """Instead of what a command does."""


def parser_of(name):
    """The ArgumentParser of a command."""
    def stop(parser, *rest):
        raise Parsed(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            importlib.import_module(name).main()
        except Parsed as parsed:
            return parsed.args[0]


def options_of(parser):
    """Its options, and those of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options_of(one)
        else:
            yield action


class OptionTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = Path(folder.name) / "cache"
        self.cache.mkdir()

    def write(self, *names, heard=True, frames=30):
        (self.cache / "clips").mkdir(exist_ok=True)
        one = clip()
        for name in names:
            sound = one.sound[:640 * frames] if heard else one.sound[:0]
            clips.save(self.cache / f"clips/{name}.npz", window=one.window[:frames], points=one.points[:frames], sound=sound)

    def ended(self, command, *arguments):
        """What a command says that ends by itself."""
        module = importlib.import_module(command)
        with mock.patch.object(sys, "argv", [command, *map(str, arguments)]), contextlib.redirect_stderr(io.StringIO()) as said:
            with contextlib.redirect_stdout(io.StringIO()), self.assertRaises(SystemExit) as end:
                module.main()
        return f"{end.exception.code} {said.getvalue()}"

    # Options

    def test_every_option_says_what_it_is_and_its_default(self):
        for name in COMMANDS:
            parser = parser_of(name)
            for action in options_of(parser):
                self.assertTrue(action.help, f"{name}: {action.dest}")
            told = "".join(parser.format_help().split())  # lines break anywhere
            for action in parser._actions:
                if action.option_strings and action.default not in (None, False, [], argparse.SUPPRESS):
                    self.assertIn("".join(f"(default: {action.default})".split()), told, f"{name}: {action.dest}")

    def test_trainings_have_minutes_and_a_seed(self):
        for name in COMMANDS:
            if name.startswith("train."):
                self.assertLessEqual({"minutes", "seed"}, {action.dest for action in parser_of(name)._actions}, name)

    # What is missing

    def test_a_missing_step_is_named(self):
        for name in ("data.shape", "data.pairs", "train.sync", "train.lips", "train.teacher", "train.autoencoder"):
            self.assertIn("`python -m data.prepare", self.ended(name, "--cache", self.cache), name)
        self.write("a__1", "a__2", "a__3")
        for name in ("data.pairs", "train.lips", "train.teacher"):
            self.assertIn("`python -m data.shape", self.ended(name, "--cache", self.cache), name)
        self.assertIn(f"{self.cache / 'lips.pt'} is missing: `python -m train.lips --cache {self.cache}` makes it",
                      self.ended("train.painter", "--cache", self.cache))
        self.assertIn("`python -m train.painter", self.ended("convert.export", "--cache", self.cache, "--output", "x"))

    def test_clips_without_sound_teach_no_lips(self):
        self.write("a__1", "a__2", heard=False)
        (self.cache / "validation.txt").write_text("a/2\n")
        for name in ("train.sync", "train.lips", "train.teacher"):
            self.assertIn("no clips with sound to learn from", self.ended(name, "--cache", self.cache), name)

    def test_empty_folders_and_files_that_are_not_there_are_errors(self):
        empty = self.cache / "empty"
        empty.mkdir()
        self.assertIn("neither videos", self.ended("data.prepare", empty, "--cache", self.cache))
        self.assertIn("no sound files", self.ended("train.teacher", "--cache", self.cache, "--speech", empty))
        gone = self.cache / "gone"
        for name, arguments in (("data.prepare", (gone, "--cache", self.cache)), ("train.all", (gone, "--cache", self.cache)),
                                ("train.painter", ("--cache", self.cache, "--init", gone)),
                                ("train.teacher", ("--cache", self.cache, "--english", gone))):
            self.assertIn(f"{gone} does not exist", self.ended(name, *arguments), name)

    # What is held out

    def test_clips_of_grid_are_held_out_as_they_always_were(self):
        self.write("s1__bbas2p", "s1__bbaf2n", "s32__x", "s2__x")
        held = {f"{c.speaker}/{c.name}" for c in clips.load(self.cache, True)}
        self.assertEqual(held, {"s1/bbas2p", "s32/x"})

    def test_of_other_clips_two_or_every_tenth_are_held_out_and_stay_so(self):
        self.write(*(f"me__{i}" for i in range(5)))
        self.write("me__silent", heard=False)
        self.write("me__short", frames=20)
        held = clips.held_out(self.cache)
        self.assertEqual(len(held), 2)
        self.assertFalse(held & {"me/silent", "me/short"})
        self.write(*(f"you__{i}" for i in range(35)))
        self.assertEqual(clips.held_out(self.cache), held)
        (self.cache / "validation.txt").unlink()
        self.assertEqual(len(clips.held_out(self.cache)), 4)
        names = [f"{c.speaker}/{c.name}" for part in (False, True) for c in clips.load(self.cache, part, pictures=False)]
        self.assertEqual((len(names), len(set(names))), (42, 42))

    def test_too_few_clips_are_an_error(self):
        self.write("me__a", "me__b")
        self.assertIn("three are the least", self.ended("train.sync", "--cache", self.cache))

    # All steps

    def all(self, *arguments, fails=None):
        """The steps that train.all runs; each trains its network at once."""
        steps = []

        def step(module, *words):
            if module == fails:
                raise SystemExit("failed")
            steps.append(module)
            if module in ("train.sync", "train.lips", "train.painter"):
                torch.save({"spent": 0.0}, self.cache / f"{module.split('.')[1]}.pt")
            if module == "train.teacher":
                (self.cache / "spoken").mkdir(exist_ok=True)

        with mock.patch.object(every, "step", step), mock.patch.object(sys, "argv", ["all", str(self.cache), "--cache",
                                                                                       str(self.cache), *arguments]):
            with contextlib.suppress(SystemExit):
                every.main()
        return steps

    def test_all_steps_are_taken_once_and_go_on_where_they_stopped(self):
        self.write("me__a", "me__b", "me__c")
        output = "--output", str(self.cache / "mine.safetensors")
        self.assertEqual(self.all(*output, fails="train.lips"), ["data.prepare", "train.sync"])
        for name, value in load_file(self.cache / "geometry.safetensors").items():
            self.assertTrue(np.array_equal(value, part_of(MODEL, "geometry")[name].numpy()))
        self.assertEqual(self.all(*output, "--speech", str(self.cache)), [
            "data.prepare", "train.teacher", "train.lips", "data.pairs", "train.painter", "convert.export"])
        self.assertEqual(self.all(*output), ["data.prepare", "data.pairs", "convert.export"])

    def test_a_training_has_ended_when_nothing_of_it_is_left(self):
        for spent, ended in ((0.0, True), (3.5, False)):
            torch.save({"spent": spent}, self.cache / "x.pt")
            self.assertEqual(finished(self.cache / "x.pt"), ended)
        self.assertFalse(finished(self.cache / "y.pt"))


if __name__ == "__main__":
    unittest.main()
