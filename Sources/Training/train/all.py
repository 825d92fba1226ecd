# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Trains a model on your own videos, all steps in one command: `python -m train.all FOLDER... --cache CACHE --output
mine.safetensors`. It continues from the shipped model and keeps its geometry of mouths, so a few clips are enough to
begin with.

Each step is a command of its own, which is printed before it runs. What is in CACHE already is not made again, so after
any interruption the same command continues; to train a network again, remove its file from CACHE. --minutes is divided
among the trainings; preparing the videos and the pairs takes additional time."""
import shlex
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import save_file

from convert.export import MODEL, part_of
from data.clips import named
from data.options import existing, parser as options
from data.pairs import CHUNK
from train.loop import finished

# The trainings, and their fractions of the minutes.
SHARES = {"teacher": 0.05, "sync": 0.15, "lips": 0.3, "painter": 0.5}
RUNS, MOST_RUNS = 40, 4000  # pairs for each clip, and the maximum in total


def geometry(cache, model):
    """Writes CACHE/geometry.safetensors from a model file."""
    path = cache / "geometry.safetensors"
    if not path.exists():
        save_file({name: value.numpy() for name, value in part_of(model, "geometry").items()}, path)


def step(module, *arguments):
    """Runs a command of this project; SystemExit if it fails."""
    words = ["-m", module, *map(str, arguments)]
    print(f"\n$ python {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, *words], cwd=Path(__file__).parents[1]).returncode
    if status:
        raise SystemExit(f"{module} has failed ({status}); the same command goes on from there")


def main():
    parser = options(__doc__, cache="folder for all intermediate results", minutes=90, seed="everything random")
    parser.add_argument("folders", type=existing, nargs="+", metavar="FOLDER",
                        help="folder of videos and portraits, or a single such file")
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL", help="the model file to write")
    parser.add_argument("--init", type=existing, default=MODEL, metavar="MODEL", help="the model file to continue from")
    parser.add_argument("--speech", type=existing, nargs="+", default=[], metavar="FOLDER",
                        help="folder of audio files in any language, for words that the videos do not have")
    parser.add_argument("--english", type=existing, nargs="+", default=[], metavar="FOLDER", help="the same, in English")
    parser.add_argument("--perceptual", type=existing, metavar="FILE",
                        help="SqueezeNet's weights (networks/perceptual.py), for sharper results")
    parser.add_argument("--jobs", type=int, default=2, help="videos or files of pairs processed in parallel")
    args = parser.parse_args()
    absolute = lambda paths: [path.resolve() for path in paths]
    cache, init = args.cache.resolve(), args.init.resolve()
    speech = [word for name in ("speech", "english") if getattr(args, name)
              for word in (f"--{name}", *absolute(getattr(args, name)))]
    shared = "--cache", cache

    def train(name, *arguments):
        minutes = args.minutes * SHARES[name] / (1 - (0 if speech else SHARES["teacher"]))
        step(f"train.{name}", *shared, "--minutes", f"{minutes:.3g}", "--seed", args.seed, *arguments)

    step("data.prepare", *absolute(args.folders), *shared, "--jobs", args.jobs)
    geometry(cache, init)
    told = cache / "spoken/complete"
    if speech and not told.exists():
        train("teacher", *speech)
        told.touch()
    if not finished(cache / "sync.pt"):
        train("sync")
    if not finished(cache / "lips.pt"):
        train("lips", "--init", init)
    runs = min(MOST_RUNS, max(CHUNK, RUNS * len(named(cache))))
    step("data.pairs", *shared, "--runs", runs, "--jobs", args.jobs, "--seed", args.seed)
    if not finished(cache / "painter.pt"):
        train("painter", "--init", init, *(["--perceptual", args.perceptual.resolve()] if args.perceptual else []))
    step("convert.export", *shared, "--output", args.output.resolve())


if __name__ == "__main__":
    main()
