# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Makes speech of many languages and voices with the synthesisers of Debian's packages espeak-ng and flite (nothing of them is
kept): `python -m data.spoken OUT [--words LANGUAGE=FILE...]` writes OUT/LANGUAGE/NNN-VOICE.wav, for train/teacher.py.
Spoken are sentences.txt, the English ones also by flite, and words in any order out of FILEs, such as those of Debian's packages
wamerican, wngerman, wfrench, wspanish and witalian in /usr/share/dict."""
import subprocess
from pathlib import Path

import numpy as np

from data.options import needs, parser as options, progress

ESPEAK = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5"]
FLITE = ["awb", "rms", "slt", "kal16"]
WORDS = 12  # in a row


def speak(text, language, voice, rng, path):
    """Writes path, a WAV file of any rate."""
    if voice in FLITE:
        pace = f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
        command = ["flite", "-voice", voice, "--setf", pace, "-t", text, "-o", path]
    else:
        command = ["espeak-ng", "-v", f"{language}+{voice}", "-s", str(rng.integers(120, 190)), "-p", str(rng.integers(30, 70)),
                   "-w", path, text]
    subprocess.run(command, check=True)


def main():
    parser = options(__doc__, seed="voices, words and pace")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder for the sounds")
    parser.add_argument("--voices", type=int, default=4, help="of each sentence")
    parser.add_argument("--words", nargs="*", default=[], metavar="LANGUAGE=FILE", help="words of a language, spoken in any order")
    parser.add_argument("--rows", type=int, default=40, help="of words, of each file")
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
            speak(text, language, voice, rng, args.output / language / f"{number:03d}-{voice}.wav")


if __name__ == "__main__":
    main()
