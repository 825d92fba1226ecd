# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Which phones are spoken when. pocketsphinx (BSD) aligns a known text; where the text is not known it recognises words first.
Its only model is American English."""
import re

import numpy as np
from pocketsphinx import Decoder

from data.prepare import FPS

# By what the lips do. The mouth of +HH+ is that of the vowel after it: no class.
CLASSES = {"silence": "SIL", "bilabial": "P B M", "labiodental": "F V", "rounded": "UW UH OW AO OY W", "open": "AA AE AY AW",
           "mid": "AH EH ER", "spread": "IY IH EY Y", "dental, alveolar": "TH DH T D S Z N L", "postalveolar": "SH ZH CH JH R",
           "velar": "K G NG"}
CLASS = {phone: name for name, phones in CLASSES.items() for phone in phones.split()}

# GRID's sentences have six words of one character each in the file's name; the fourth is a letter.
DIGITS = dict(zip("z123456789", "zero one two three four five six seven eight nine".split()))
GRID = ({"b": "bin", "l": "lay", "p": "place", "s": "set"}, {"b": "blue", "g": "green", "r": "red", "w": "white"},
        {"a": "at", "b": "by", "i": "in", "w": "with"}, {}, DIGITS, {"a": "again", "n": "now", "p": "please", "s": "soon"})
SENTENCE = re.compile(r"(?:^|_)([blps][bgrw][abiw][a-z][z1-9][anps])$")


def text_of(name):
    """What is said in a clip of GRID, by its name; None of any other."""
    found = SENTENCE.search(name)
    return found and " ".join(words.get(letter, letter) for letter, words in zip(found[1], GRID))


class Aligner:
    def __init__(self):
        # Without bestpath: the words' times are then those that the second pass can find phones for. Without beams nothing that a
        # known text could be is given up.
        options = {"bestpath": False, "loglevel": "FATAL"}
        self.known = Decoder(lm=None, beam=0.0, pbeam=0.0, wbeam=0.0, **options)
        self.recogniser = Decoder(**options)

    def __call__(self, sound, text=None):
        """[(class, start, end)] of the phones in int16 [N] at 16 kHz, in frames at 25 fps; class None: of none. ValueError where no
        words are found."""
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
    """[(class, start, end)] of a file of data/spoken.py, in frames at 25 fps: bilabial or None. espeak-ng's and flite's names of
    p, b and m in all languages begin with these letters; pau is flite's pause."""
    phones = [line.split() for line in path.read_text().splitlines()]
    return [("bilabial" if name[0] in "pbm" and name != "pau" else None, float(start) * FPS, float(end) * FPS)
            for name, start, end in phones]


def listen(decoder, sound):
    decoder.reinit_feat()  # forgets the noise of the sound before
    decoder.start_utt()
    decoder.process_raw(sound.astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
