# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Synthesises speech in many languages and voices with the Debian packages espeak-ng and flite (none of their data is
stored): `python -m data.spoken OUT [--words LANGUAGE=FILE...]` writes OUT/LANGUAGE/NNN-VOICE.wav and, beside each,
NNN-VOICE.phones with a line `NAME START END` for every phone, in seconds, for train/teacher.py.

It speaks sentences.txt, the English ones also with flite, and random sequences of words from FILEs, such as those of
the Debian packages wamerican, wngerman, wfrench, wspanish and witalian in /usr/share/dict."""
import ctypes
import subprocess
import wave
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from data.options import needs, parser as options, progress

ESPEAK = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5"]
FLITE = ["awb", "rms", "slt", "kal16"]
WORDS = 12  # words in a sequence


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""
    END, PHONE = 0, 7

    class Detail(ctypes.Union):
        _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]

    _fields_ = [("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int),
                ("user", ctypes.c_void_p), ("detail", Detail)]


class Espeak:
    """espeak-ng's library, which reports when each phone begins; its command does not."""
    SYNCHRONOUS, PHONE_EVENTS = 2, 1         # of espeak_Initialize
    RATE, PITCH = 1, 3                       # of espeak_SetParameter
    CHARACTERS, UTF8 = 1, 1                  # of espeak_Synth

    def __init__(self):
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        self.sample_rate = self.library.espeak_Initialize(self.SYNCHRONOUS, 0, None, self.PHONE_EVENTS)
        if self.sample_rate <= 0:
            raise SystemExit("espeak-ng finds no data: install Debian's package espeak-ng")
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
        self.callback = kind(self.hear)  # the library keeps no reference
        self.library.espeak_SetSynthCallback(self.callback)

    def hear(self, samples, count, events):
        if samples and count > 0:
            self.samples += ctypes.string_at(samples, 2 * count)
        i = 0
        while events[i].type != Event.END:
            if events[i].type == Event.PHONE:
                self.phones.append((events[i].detail.string.decode(errors="replace"), events[i].sample / self.sample_rate))
            i += 1
        return 0

    def speak(self, text, voice, pace, pitch, path):
        """Writes path and returns the phones' names and start times in seconds, and the duration."""
        self.samples, self.phones = bytearray(), []
        if self.library.espeak_SetVoiceByName(voice.encode()):
            raise SystemExit(f"espeak-ng has no voice {voice}")
        for parameter, value in ((self.RATE, pace), (self.PITCH, pitch)):
            self.library.espeak_SetParameter(parameter, int(value), 0)
        spoken = text.encode() + b"\0"
        self.library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, self.CHARACTERS, 0, self.UTF8, None, None)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(self.samples)
        return self.phones, len(self.samples) / 2 / self.sample_rate


espeak = cache(Espeak)


def speak(text, language, voice, rng, path):
    """Writes path, a WAV file of any sample rate; returns its phones [(name, start, end)] in seconds."""
    if voice in FLITE:
        pace = f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
        told = subprocess.run(["flite", "-voice", voice, "--setf", pace, "-psdur", "-t", text, "-o", path], check=True,
                              capture_output=True, text=True).stdout
        ends = [(name, float(end)) for name, end in (phone.rsplit(":", 1) for phone in told.split())]
        return [(name, start, end) for (_, start), (name, end) in pairwise([("", 0.0), *ends])]
    phones, end = espeak().speak(text, f"{language}+{voice}", rng.integers(120, 190), rng.integers(30, 70), path)
    return [(name, start, after) for (name, start), (_, after) in pairwise([*phones, ("", end)])]


def main():
    parser = options(__doc__, seed="voices, words and pace")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for the audio files")
    parser.add_argument("--voices", type=int, default=4, help="voices for each sentence")
    parser.add_argument("--words", nargs="*", default=[], metavar="LANGUAGE=FILE",
                        help="a list of words in a language, spoken in random order")
    parser.add_argument("--rows", type=int, default=40, help="sequences of words from each file")
    args = parser.parse_args()
    needs("espeak-ng", "flite")
    rng = np.random.default_rng(args.seed)
    lines = [line.split("\t") for line in (Path(__file__).parent / "sentences.txt").read_text().splitlines()]
    for named in args.words:
        language, _, path = named.partition("=")
        if not Path(path).is_file():
            parser.error(f"--words {named}: there is no file {path or 'named'}")
        words = [word for word in Path(path).read_text().split() if len(word) > 2 and "'" not in word]
        lines += [(language, " ".join(rng.choice(words, WORDS))) for _ in range(args.rows)]
    for number, (language, text) in enumerate(progress(lines, "sentences")):
        voices = rng.choice(ESPEAK + 3 * FLITE if language == "en" else ESPEAK, args.voices, replace=False)
        for voice in dict.fromkeys(voices):
            (args.output / language).mkdir(parents=True, exist_ok=True)
            path = args.output / language / f"{number:03d}-{voice}.wav"
            phones = speak(text, language, voice, rng, path)
            path.with_suffix(".phones").write_text("".join(f"{name} {start:.3f} {end:.3f}\n" for name, start, end in phones))


if __name__ == "__main__":
    main()
