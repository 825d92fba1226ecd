# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Phone alignment. pocketsphinx (BSD) aligns a known text; for an unknown one it recognises the words first. Its only
model is American English."""
import re

import numpy as np
from pocketsphinx import Decoder

from data.prepare import FPS

# Grouped by lip shape. HH is in no class: its mouth is that of the following vowel.
CLASSES = {"silence": "SIL", "bilabial": "P B M", "labiodental": "F V", "rounded": "UW UH OW AO OY W", "open": "AA AE AY AW",
           "mid": "AH EH ER", "spread": "IY IH EY Y", "dental, alveolar": "TH DH T D S Z N L", "postalveolar": "SH ZH CH JH R",
           "velar": "K G NG"}
CLASS = {phone: name for name, phones in CLASSES.items() for phone in phones.split()}

# GRID's file names encode six words, one character each; the fourth is a letter.
DIGITS = dict(zip("z123456789", "zero one two three four five six seven eight nine".split()))
GRID = ({"b": "bin", "l": "lay", "p": "place", "s": "set"}, {"b": "blue", "g": "green", "r": "red", "w": "white"},
        {"a": "at", "b": "by", "i": "in", "w": "with"}, {}, DIGITS, {"a": "again", "n": "now", "p": "please", "s": "soon"})
SENTENCE = re.compile(r"(?:^|_)([blps][bgrw][abiw][a-z][z1-9][anps])$")


def text_of(name):
    """The sentence of a GRID clip, from its name; None for other names."""
    found = SENTENCE.search(name)
    return found and " ".join(words.get(letter, letter) for letter, words in zip(found[1], GRID))


class Aligner:
    def __init__(self):
        # bestpath is off, so that word times match what the second pass can find phones for. Beams are off, so that
        # nothing compatible with a known text is pruned.
        options = {"bestpath": False, "loglevel": "FATAL"}
        self.known = Decoder(lm=None, beam=0.0, pbeam=0.0, wbeam=0.0, **options)
        self.recogniser = Decoder(**options)

    def __call__(self, sound, text=None):
        """[(class, start, end)] of the phones in int16 [N] at 16 kHz, in frames at 25 fps; class None: in no class.
        ValueError if no words are found."""
        if text:
            self.known.set_align_text(text)
        else:
            self.recogniser.activate_search()
        decoder = self.known if text else self.recogniser
        try:
            listen(decoder, sound)
            decoder.set_alignment()
            listen(decoder, sound)
        except RuntimeError:
            raise ValueError("no words were found in the sound") from None
        return [(CLASS.get(phone.name), phone.start * FPS / 100, (phone.start + phone.duration) * FPS / 100)
                for word in decoder.get_alignment() for phone in word]


def written(path):
    """[(class, start, end)] from a file of data/spoken.py, in frames at 25 fps: bilabial or None. In all languages,
    espeak-ng's and flite's names for p, b and m begin with these letters; pau is flite's pause."""
    phones = [line.split() for line in path.read_text().splitlines()]
    return [("bilabial" if name[0] in "pbm" and name != "pau" else None, float(start) * FPS, float(end) * FPS)
            for name, start, end in phones]


def listen(decoder, sound):
    decoder.reinit_feat()  # resets the noise estimate from earlier audio
    decoder.start_utt()
    decoder.process_raw(sound.astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
