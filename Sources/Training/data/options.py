# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""What all commands share: their options, progress bars, and advice on missing files."""
import argparse
import shutil
import sys
import time
from pathlib import Path

from tqdm import tqdm

# The command that makes each file in CACHE.
MAKERS = {"clips": "data.prepare FOLDER...", "geometry.safetensors": "data.shape", "sync.pt": "train.sync", "lips.pt": "train.lips",
          "autoencoder.pt": "train.autoencoder", "pairs": "data.pairs", "painter.pt": "train.painter"}


class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Prints the description verbatim, and the default of each option that has one."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


def parser(text, cache=None, minutes=None, seed=None):
    """The parser for a command with the docstring text; its namespace holds `began`, the current time. cache: the help
    of --cache; minutes: the default of --minutes; seed: what is random. An option whose argument is missing does not
    exist."""
    made = argparse.ArgumentParser(description=text, formatter_class=Help)
    made.set_defaults(began=time.time())
    if cache:
        made.add_argument("--cache", type=Path, required=True, help=cache)
    if minutes:
        made.add_argument("--minutes", type=float, default=minutes,
                          help="time limit for everything including the last checkpoint; at least one step is taken")
    if seed:
        made.add_argument("--seed", type=int, default=0, help=f"seed for {seed}")
    return made


def needed(cache, name):
    """CACHE/name. If it is missing or an empty folder, SystemExit with the command that makes it."""
    path = Path(cache) / name
    if path.is_file() or path.is_dir() and any(path.iterdir()):
        return path
    raise SystemExit(f"{path} is missing: `python -m {MAKERS[name]} --cache {cache}` makes it")


def existing(path):
    """The type of an option that is an existing file or folder."""
    if not Path(path).exists():
        raise argparse.ArgumentTypeError(f"{path} does not exist")
    return Path(path)


def needs(*programs):
    """SystemExit if one of these programs, each in the Debian package of the same name, is missing."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise SystemExit(f"{' and '.join(missing)} must be installed: apt-get install {' '.join(missing)}")


def progress(things, what, total=None):
    """Iterates over things with a progress bar on stderr, which outside a terminal is updated once a minute."""
    return tqdm(things, desc=what, total=total, mininterval=0.2 if sys.stderr.isatty() else 60)
