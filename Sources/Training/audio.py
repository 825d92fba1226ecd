# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the audio encoder facial-informative: trains it to predict the lips from sound alone, before the diffusion model
listens to it. `python audio.py --cache CACHE --minutes 4` writes CACHE/audio.pt, from which it resumes, and
CACHE/audio_curve.png every minute and at the end; `--init MODEL` goes on from a model file's encoder.

Target: lip opening and the first principal components of the lip outline, each clip's mean taken away, so that how a
talker looks does not count, only how the lips move. `--audio-encoder FILE` begins with AV-HuBERT (convert_avhubert.py)
instead of an encoder of ours; its first layers stay as they are."""
import argparse
import copy
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import avhubert
import data
import distributed
import plots
from export import load
from model import AudioEncoder, Config, autocast
from speech import STACK, stacks

COMPONENTS = 8
BATCH = 256  # pictures, 8 from each clip


def aperture(lips):
    """Lip opening [T] of lips [T, 40, 2] as a share of the eye distance: mean gap of three inner-lip pairs."""
    from geometry import LIPS
    index = lambda points: [LIPS.index(p) for p in points]
    gap = lips[:, index((87, 14, 317))] - lips[:, index((82, 13, 312))]
    return np.linalg.norm(gap, axis=-1).mean(1) / 48.0


class Lips:
    """Lip targets [T, 1 + COMPONENTS], of deviation 1 over the training clips."""

    def __init__(self, clips):
        flat = np.concatenate([self._moves(c.lips) for c in clips])
        _, _, basis = np.linalg.svd(flat[::7], full_matrices=False)
        self.basis = basis[:COMPONENTS]
        self.scale = 1.0
        self.scale = np.concatenate([self(c.lips) for c in clips]).std(0)

    @staticmethod
    def _moves(lips):
        flat = lips.reshape(len(lips), -1)
        return flat - flat.mean(0)

    def __call__(self, lips):
        opening = aperture(lips)
        out = np.column_stack([opening - opening.mean(), self._moves(lips) @ self.basis.T])
        return (out / self.scale).astype(np.float32)


def clip_stacks(clip, config, frames=None, pace=1.0):
    """[T, tokens, 104] of these frames of a clip, or of all, spoken `pace` times as fast."""
    frames = np.arange(len(clip.window)) if frames is None else frames
    return stacks(clip.fbank, frames * STACK + clip.lag_rows, config.audio_past, config.audio_future, pace)


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--audio-encoder", type=Path, help="AV-HuBERT as convert_avhubert.py wrote it")
    begin.add_argument("--init", type=Path, help="a model file to go on from")
    parser.add_argument("--frozen-layers", type=int, help="of AV-HuBERT, from below; without it: three quarters")
    args = parser.parse_args()
    device = distributed.device()
    if args.audio_encoder:
        net, config = avhubert.load(args.audio_encoder)
        rate = 1e-4  # so that it keeps what it knows
    elif args.init:
        model = load(args.init)
        net, config, rate = model.audio_encoder, replace(model.config, seen_rows=Config().seen_rows), 7e-4
    else:
        config, rate = Config(), 1e-3
        net = AudioEncoder(config)
    if config.av_hubert:
        net.freeze(args.frozen_layers)
    clips, held = data.load(args.cache, False), data.load(args.cache, True)
    lips = Lips(clips)
    net, head = net.to(device), nn.Linear(config.audio_width, 1 + COMPONENTS).to(device)
    targets = [torch.from_numpy(lips(c.lips)) for c in clips]
    weights, rng = data.balanced(clips, 0.65), np.random.default_rng()
    parameters = list(net.parameters()) + list(head.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.02)
    average = copy.deepcopy(nn.ModuleList([net, head]))
    step, curve, losses, store = 0, [], [], args.cache / "audio.pt"
    if store.exists():
        kept = torch.load(store, "cpu", weights_only=True)
        for part, name in ((net, "net"), (head, "net_head"), (average[0], "audio_encoder"), (average[1], "head"),
                           (optimizer, "optimizer")):
            part.load_state_dict(kept[name])
        step, curve = kept["step"], kept["curve"]
    start = last = time.time()

    def save():
        """audio_encoder and head are the averages, which the rest of the training goes by."""
        curve.append([step * BATCH, float(np.mean(losses))])
        losses.clear()
        torch.save({"audio_encoder": average[0].state_dict(), "head": average[1].state_dict(), "net": net.state_dict(),
                    "net_head": head.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "curve": curve,
                    "config": config.dict()},
                   store.with_suffix(".tmp"))
        store.with_suffix(".tmp").rename(store)
        plots.plot(curve, ["lip loss"], args.cache / "audio_curve.png")

    def report():
        with torch.no_grad():
            by = {}
            for c in held + clips[::12]:
                x = torch.from_numpy(clip_stacks(c, config)).to(device)
                y = average[1](average[0](x)[:, config.audio_past]).cpu().numpy()[:, 0]
                truth = lips(c.lips)[:, 0]
                label = ("val " if data.is_validation(c.speaker, c.name) else "") + c.speaker
                lags = [correlation(y[3:-3], np.roll(truth, -k)[3:-3]) for k in range(-3, 4)]
                by.setdefault(label, []).append(lags)
            for s, v in sorted(by.items()):
                m = np.mean(v, 0)
                print(f"  {s}: opening r {m[3]:.3f}, best lag {int(np.argmax(m)) - 3} ({m.max():.3f})")

    while (progress := (time.time() - start) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / 200) * min(1, 2 * (1 - progress) + 0.02)
        chosen = rng.choice(len(clips), BATCH // 8, p=weights)
        pick = [rng.integers(0, len(targets[i]), 8) for i in chosen]
        x = torch.from_numpy(np.concatenate([clip_stacks(clips[i], config, p, data.pace(rng))
                                             for i, p in zip(chosen, pick)]))
        y = torch.cat([targets[i][p] for i, p in zip(chosen, pick)]).to(device)
        voices = torch.rand(len(x), 1, 1) < 0.3
        x = data.some_hidden(torch.where(voices, data.other_voice(x), x), config.audio_past)
        with autocast(device):
            out = head(F.dropout(net(x.to(device)), 0.2)[:, config.audio_past])
        loss = F.smooth_l1_loss(out.float(), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), parameters):
                a.lerp_(p, 0.005 if step > 300 else 0.1)
        step += 1
        losses.append(loss.item())
        if time.time() - last > 60:
            last = time.time()
            print(f"{(last - start) / 60:.1f} min, step {step}, loss {np.mean(losses):.3f}", flush=True)
            save()
    if losses:
        save()
    report()


if __name__ == "__main__":
    main()
