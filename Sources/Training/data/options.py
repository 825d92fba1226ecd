# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""What all commands share: how they tell of their options and of what is done, and what to run where a file of CACHE is missing."""
import argparse
import shutil
import sys
import time
from pathlib import Path

from tqdm import tqdm

# Which command makes what in CACHE.
MAKERS = {"clips": "data.prepare FOLDER...", "geometry.safetensors": "data.shape", "sync.pt": "train.sync", "lips.pt": "train.lips",
          "autoencoder.pt": "train.autoencoder", "pairs": "data.pairs", "painter.pt": "train.painter"}


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The text as it is written, and the default of each option that has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


def parser(text, cache=None, minutes=None, seed=None):
    """The parser of a command whose docstring is text; its arguments hold `began`, the time of now. cache: what --cache is for;
    minutes: the default of --minutes; seed: what is random. Without them there is no such option."""
    made = argparse.ArgumentParser(description=text, formatter_class=Help)
    made.set_defaults(began=time.time())
    if cache:
        made.add_argument("--cache", type=Path, required=True, help=cache)
    if minutes:
        made.add_argument("--minutes", type=float, default=minutes,
                          help="that all of it may take, from here to the last checkpoint; at least one step is taken")
    if seed:
        made.add_argument("--seed", type=int, default=0, help=f"of {seed}")
    return made


def made(cache, name):
    """CACHE/name; SystemExit that names the command that makes it, if it is missing or an empty folder."""
    path = Path(cache) / name
    if path.is_file() or path.is_dir() and any(path.iterdir()):
        return path
    raise SystemExit(f"{path} is missing: `python -m {MAKERS[name]} --cache {cache}` makes it")


def existing(path):
    """The type of an option that is a file or folder of the user's."""
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return Path(path)


def needs(*programs):
    """SystemExit if one of these Debian packages, which bring a program of their name, is missing."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise SystemExit(f"{' and '.join(missing)} must be installed: apt-get install {' '.join(missing)}")


def progress(things, what, total=None):
    """The things, while a bar on stderr tells how many are done: on a terminal always, elsewhere once a minute."""
    return tqdm(things, desc=what, total=total, mininterval=0.2 if sys.stderr.isatty() else 60)
