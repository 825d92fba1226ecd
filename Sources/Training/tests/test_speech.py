# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""evaluate/speech.py and data/phones.py: known metrics, and the command end to end with a small network."""
import contextlib
import io
import sys
import tempfile
import unittest
import wave
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from pocketsphinx import get_model_path
from safetensors.numpy import save_file

from convert import export
from data import clips, phones
from data.clips import Clip
from evaluate import speech
from tests.faces import META, basis, clip, geometry, small_model
from train.lips import Clips

NOISE = np.random.default_rng(0).normal(0, 3000, 3 * 16000).astype(np.int16)


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())


class PhoneTests(unittest.TestCase):
    def test_texts_of_names(self):
        self.assertEqual(phones.text_of("bbaf2n"), "bin blue at f two now")
        self.assertEqual(phones.text_of("id2_vcd_swwpzs"), "set white with p zero soon")
        for other in ("bbaf2n-000", "bbaf2x", "abbaf2n", "interview"):
            self.assertIsNone(phones.text_of(other), other)

    def test_every_phone_of_the_dictionary_but_one_has_a_class(self):
        lines = Path(get_model_path("en-us/cmudict-en-us.dict")).read_text().splitlines()
        spoken = {phone for line in lines for phone in line.split()[1:]}
        self.assertEqual(spoken - set(phones.CLASS), {"HH"})
        self.assertEqual(set(phones.CLASS) - spoken, {"SIL"})

    def test_a_known_text_is_aligned_the_same_way_again(self):
        align = phones.Aligner()
        found = align(NOISE, "bin blue at f two now")
        self.assertEqual([name for name, *_ in found if name != "silence"], [phones.CLASS[p] for p in
                         "B IH N B L UW AE T EH F T UW N AW".split()])
        for (_, _, end), (_, start, _) in zip(found, found[1:]):
            self.assertEqual(end, start)
        self.assertEqual(found[0][1], 0)
        self.assertAlmostEqual(found[-1][2], 75, delta=1)  # 3 s
        align(NOISE[::2], "set white with p zero soon")
        self.assertEqual(align(NOISE, "bin blue at f two now"), found)

    def test_what_holds_no_words_is_an_error(self):
        align = phones.Aligner()
        for sound, text in ((NOISE[:800], "bin blue at f two now"), (NOISE[:800], None)):
            with self.assertRaisesRegex(ValueError, "no words were found"):
                align(sound, text)


class Perfect:
    """Tells what the lips did."""
    basis = basis()
    opening, width = speech.Predictor.opening, lambda self, coefficients: coefficients[:, 0]

    def __init__(self, made):
        self.made = made

    def coefficients(self, sound, rows, unknown=0):
        return self.made * (unknown == 0)


class TakeTests(unittest.TestCase):
    def take(self, speaker="somebody", change=lambda made: made, spoken=(("bilabial", 10.2, 12.5), ("open", 12.5, 48))):
        one = clip(60)
        seen = Clips([Clip(speaker, "one", None, one.points, NOISE)], basis())
        align = lambda sound, text: [("silence", 0, spoken[0][1]), *spoken]
        return speech.Take(Perfect(change(seen.coefficients[0])), seen, 0, align, np.random.default_rng(0))

    def test_a_model_that_knows_is_right(self):
        take = self.take()
        self.assertAlmostEqual(take.best, 1)
        self.assertEqual(take.lag, 0)
        self.assertFalse(take.soon.any())
        self.assertEqual(take.span, (10.2, 48))
        for _, *pairs in take.by_phone():
            np.testing.assert_array_equal(pairs[::2], pairs[1::2])

    def test_late_and_small(self):
        take = self.take(change=lambda made: np.roll(made, 2, 0) / 2, spoken=(("open", 4, 50),))
        self.assertAlmostEqual(take.best, 1)
        self.assertEqual(take.lag, 2)
        self.assertLess(take.fit(take.made, [0])[0], 0.9)
        self.assertAlmostEqual(take.range, 0.5, 1)

    def test_phones_of_late_pictures_are_a_frame_later(self):
        self.assertEqual([start for _, start, _ in self.take("s1").phones], [1, 11.2, 13.5])

    def test_wrong_sounds_are_other_clips(self):
        one, other = self.take(), self.take(change=lambda made: -made[::-1])
        other.made = np.roll(one.real, 7)[:20]
        self.assertAlmostEqual(one.wrong([one, other]), one.fit(np.resize(other.made, 60))[0])
        self.assertTrue(np.isnan(one.wrong([one])))

    def test_nobody_speaks(self):
        with self.assertRaisesRegex(ValueError, "nobody speaks"):
            self.take(spoken=((None, 3, 9),))

    def test_figures_of_phones(self):
        take = SimpleNamespace(real=np.full(20, 0.1), made=np.full(20, 0.2), width=np.arange(20.0), wide=-np.arange(20.0))
        take.real[4], take.made[9] = 0.02, 0.01
        # Frames 5 ... 7 and one on both sides: the real mouth closes at 4, the told one only at 9. The last phone is not seen.
        take.phones = [("bilabial", 5.2, 7.9), (None, 8, 9), ("velar", 8.0, 8.6), ("open", 0.0, 2.9), ("open", 19.5, 21)]
        expected = [("bilabial", 0.1, 0.2, 6, -6, True, False), ("velar", 0.1, 0.2, 8, -8, False, True),
                    ("open", 0.1, 0.2, 1, -1, False, False)]
        self.assertEqual(speech.Take.by_phone(take), expected)
        by = speech.phones_of([SimpleNamespace(by_phone=lambda: speech.Take.by_phone(take))] * 2)
        self.assertEqual({name: len(values) for name, values in by.items()}, {"bilabial": 2, "open": 2, "velar": 2})


class SoundTests(unittest.TestCase):
    def test_interference_has_the_level_asked_for(self):
        voice, other = torch.randn(9000), 7 * torch.randn(9000)
        for decibels in (20, 0):
            added = speech.mixed(voice, other, decibels) - voice
            self.assertAlmostEqual(float(20 * torch.log10(voice.std() / added.std())), decibels, 3)

    def test_degradations_are_distinct(self):
        rng = np.random.default_rng(0)
        voices = [torch.from_numpy(rng.normal(0, 0.05, 8000)).float() for _ in range(2)]
        degrade = speech.degradations(voices, rng)
        with mock.patch.object(speech, "babble", side_effect=lambda others, count, rng: others[0]) as babble:
            made = {name: change(voices[0]) for name, change in degrade.items()}
        self.assertEqual(len(made), 10)
        for call in babble.call_args_list:
            self.assertEqual([other is voices[1] for other in call.args[0]], [True])
        for kind in ("music", "babble"):
            far = [float((made[f"{kind} {d}"] - voices[0]).std() / voices[0].std()) for d in speech.DECIBELS]
            np.testing.assert_allclose(far, [0.1, 10 ** -0.5, 10 ** -0.25, 1], rtol=1e-4)
        for kind in ("telephone", "room"):
            self.assertGreater((made[kind] - voices[0]).std(), 0.001)

    def test_languages_are_folders_or_prefixes_of_names(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in [*(f"de-00{k}-f1.wav" for k in range(5)), "el-000.wav", "hindi/more/one.wav"]:
                samples = np.full(20 * 16000 if "hindi" in name else 1600, 1000, np.int16)
                samples[::2] = -100 * int(name[5]) if name.startswith("de") else 0
                write(Path(folder) / name, samples)
            (Path(folder) / "el-notes.txt").write_text("")
            (Path(folder) / "de-000-f1.phones").write_text("b 0.1 0.2\n")
            with mock.patch.object(speech, "scaled", lambda sound: sound):
                found = speech.by_language([Path(folder)], 3)
            self.assertEqual({name: len(part) for name, part in found.items()}, {"de": 3, "el": 1, "hindi": 1})
            self.assertEqual([round(float(-sound[0] * 327.68)) for sound, _ in found["de"]], [0, 2, 4])
            self.assertEqual(len(found["hindi"][0][0]), speech.LONGEST * 16000)
            self.assertEqual([phones for _, phones in found["de"]], [[("bilabial", 2.5, 5)], [], []])
            with self.assertRaisesRegex(SystemExit, "no file of the kinds .*wav"):
                speech.by_language([Path(folder) / "none"], 3)


class CommandTests(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.model, self.report = self.folder / "model.safetensors", self.folder / "report"
        shapes = {name: np.ascontiguousarray(value, np.float32) for name, value in geometry().items()}
        save_file(shapes, self.folder / "geometry.safetensors")
        self.enterContext(contextlib.redirect_stdout(io.StringIO()))
        export.save(small_model(), self.folder / "geometry.safetensors", META / "models/faces.safetensors", self.model)

    def run_with(self, *arguments):
        with mock.patch.object(sys, "argv", ["", "--model", str(self.model), "--output", str(self.report), *map(str, arguments)]):
            speech.main()
        return (self.report / "speech.md").read_text()

    def test_a_report_and_the_same_again(self):
        (self.report / "cache/clips").mkdir(parents=True)
        rng, videos, one = np.random.default_rng(0), self.folder / "s9", clip(75)
        videos.mkdir()
        for name in ("bbaf2n", "lwwp4s"):
            (videos / f"{name}.mp4").touch()
        for name in ("s9__bbaf2n", "s9__lwwp4s", "s8__bbaf2n"):  # the last one is of another report
            sound = rng.normal(0, 2000, 3 * 16000).astype(np.int16)
            clips.save(self.report / f"cache/clips/{name}.npz", window=np.zeros(0), points=one.points, sound=sound)
        for name in ("de-1.wav", "en-1.wav"):
            write(self.folder / "sounds" / name, NOISE[:16000])
        arguments = "--real", videos, "--sounds", self.folder / "sounds"
        found = [("silence", 0, 20), ("bilabial", 20, 23), ("spread", 23, 60.5)]
        aligner = lambda: lambda sound, text: found if text == "bin blue at f two now" else found[::2]
        with mock.patch.object(speech, "prepare_all"), mock.patch.object(speech, "Aligner", aligner), \
                mock.patch.object(speech, "SECONDS", 1):
            first = self.run_with(*arguments), (self.report / "speech.svg").read_bytes()
            again = self.run_with(*arguments), (self.report / "speech.svg").read_bytes()
        self.assertEqual(first, again)
        self.assertIn(f"python -m evaluate.speech --model {self.model}", first[0])
        for row in ("| s9 | 2 | ", "| bilabial | p b m | 1 | ", "Phones of known texts", "| de | 1 | ", "| applause | 10 | "):
            self.assertIn(row, first[0])
        self.assertNotIn("s8", first[0])
        self.assertNotIn("recognised texts", first[0])

    def test_what_cannot_be_measured_is_said(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            for arguments in ((), ("--real", self.folder / "gone.mp4")):
                with self.assertRaises(SystemExit):
                    self.run_with(*arguments)
        self.assertIn("nothing to measure: --real or --sounds", said.getvalue())
        self.assertIn("gone.mp4 does not exist", said.getvalue())
        with mock.patch.object(speech, "prepare_all"), self.assertRaisesRegex(SystemExit, "no clip in which"):
            self.run_with("--real", self.folder)
        self.model.write_bytes(b"a checkpoint")
        with self.assertRaisesRegex(SystemExit, "is no model file of this version, convert.export writes them"):
            self.run_with("--real", self.folder)


if __name__ == "__main__":
    unittest.main()
