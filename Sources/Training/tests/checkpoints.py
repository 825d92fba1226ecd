# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Shared fixtures: a synthetic AV-HuBERT checkpoint, with the official one's keys, shapes and nesting but few channels and random
weights; and an audit hook that records any unpickling, evaluation or command."""
import argparse
import collections
import contextlib
import os
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

from convert.avhubert import converted
from convert.checkpoint import Checkpoint, Refused

WIDTH, LAYERS = 128, 3
SEEN = []  # what the audit hook saw


def audit(event, arguments):
    """All but that Python imports a part of its standard library, which it does when something first needs it."""
    if event == "exec" and arguments[0].co_filename.startswith(("<frozen", os.path.dirname(os.__file__))):
        return
    if event in ("pickle.find_class", "exec", "compile", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
                 "os.remove", "os.mkdir", "os.rename", "socket.connect", "ctypes.dlopen", "code.__new__"):
        SEEN.append(event)


sys.addaudithook(audit)


class Canary:
    """Would leave a trace."""

    def __reduce__(self):
        return os.system, ("touch canary",)


# ---------------------------------------------------------------- a checkpoint as fairseq saves it

def names(width, layers):
    """{key: shape} of the pretrained model. Of the lip reader in front there is only what its keys look like."""
    shapes = {"mask_emb": [104], "label_embs_concat": [2000, 256], "final_proj.weight": [256, width], "final_proj.bias": [256],
              "feature_extractor_audio.proj.weight": [width, 104], "feature_extractor_audio.proj.bias": [width],
              "feature_extractor_video.resnet.frontend3D.0.weight": [64, 1, 5, 7, 7],
              "feature_extractor_video.resnet.frontend3D.1.running_mean": [64],
              "feature_extractor_video.resnet.trunk.layer1.0.conv1.weight": [64, 64, 3, 3],
              "feature_extractor_video.proj.weight": [width, 512], "feature_extractor_video.proj.bias": [width],
              "layer_norm.weight": [2 * width], "layer_norm.bias": [2 * width],
              "post_extract_proj.weight": [width, 2 * width], "post_extract_proj.bias": [width],
              "encoder.pos_conv.0.bias": [width], "encoder.pos_conv.0.weight_g": [1, 1, 128],
              "encoder.pos_conv.0.weight_v": [width, width // 16, 128],
              "encoder.layer_norm.weight": [width], "encoder.layer_norm.bias": [width]}
    for i in range(layers):
        inner = {f"self_attn.{p}_proj": [width, width] for p in ("k", "v", "q", "out")}
        inner |= {"self_attn_layer_norm": [width], "fc1": [4 * width, width], "fc2": [width, 4 * width],
                  "final_layer_norm": [width]}
        for name, shape in inner.items():
            shapes[f"encoder.layers.{i}.{name}.weight"] = shape
            shapes[f"encoder.layers.{i}.{name}.bias"] = shape[:1]
    return shapes


def state(width=WIDTH, layers=LAYERS, prefix=""):
    torch.manual_seed(1)
    out = collections.OrderedDict()
    for name, shape in names(width, layers).items():
        value = torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5
        out[prefix + name] = value.abs() + 0.5 if "norm.weight" in name or name.endswith("_g") else value
    out[prefix + "feature_extractor_video.resnet.frontend3D.1.num_batches_tracked"] = torch.tensor(7)
    out._metadata = collections.OrderedDict({"": {"version": 1}})
    return out


@contextlib.contextmanager
def fairseq():
    """Modules with classes as fairseq and omegaconf have them, for as long as a checkpoint is saved."""
    made = {name: types.ModuleType(name) for name in ("fairseq", "fairseq.data", "omegaconf", "avhubert")}
    for module, name in (("fairseq.data.dictionary", "Dictionary"), ("omegaconf.dictconfig", "DictConfig"),
                         ("avhubert.hubert_pretraining", "LabelEncoder")):
        made[module] = types.ModuleType(module)
        setattr(made[module], name, type(name, (), {"__module__": module, "__qualname__": name}))
    with mock.patch.dict(sys.modules, made):
        yield made


def checkpoint(path, prefix="", legacy=False, changed=lambda state: None, settings=None, **extra):
    weights = state(prefix=prefix)
    if prefix:
        weights["decoder.embed_tokens.weight"] = torch.randn(10, 8)
    changed(weights)
    model = {"_name": "av_hubert", "layer_norm_first": True, "modality_fuse": "concat", "encoder_layers": LAYERS,
             "encoder_attention_heads": WIDTH // 64, "activation_fn": "gelu"} | (settings or {})
    with fairseq() as modules:
        words = modules["fairseq.data.dictionary"].Dictionary()
        words.__dict__ |= {"symbols": ["<s>", "<pad>"], "indices": {"<s>": 0}, "count": [1, 1], "bos_index": 0}
        labels = modules["avhubert.hubert_pretraining"].LabelEncoder()
        labels.dictionary = words
        config = modules["omegaconf.dictconfig"].DictConfig()
        config._content = {"a": collections.defaultdict(list)}
        whole = {"args": None, "cfg": {"model": {"_name": "av_hubert_seq2seq", "w2v_args": {"model": model}} if prefix else model,
                                       "task": {"normalize": True}, "common": argparse.Namespace(seed=1), "hydra": config},
                 "model": weights, "optimizer_history": [{"num_updates": 3}],
                 "extra_state": {"loss": 1.5, "size": torch.Size([2])},
                 "task_state": {"dictionaries": [words], "target_dictionary": words, "s2s_tokenizer": labels}} | extra
        torch.save(whole, path, _use_new_zipfile_serialization=not legacy)
    return weights


def reference(weights, stacks, layer=LAYERS):
    """AV-HuBERT on sound alone by the checkpoint's own names, with PyTorch's own attention and weight norm."""
    norm = lambda x, name: F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])
    linear = lambda x, name: F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
    x = linear(F.layer_norm(stacks, (104,)), "feature_extractor_audio.proj")
    x = linear(norm(torch.cat([x, torch.zeros_like(x)], -1), "layer_norm"), "post_extract_proj")
    conv = torch.nn.utils.weight_norm(torch.nn.Conv1d(WIDTH, WIDTH, 128, padding=64, groups=16), dim=2)
    conv.load_state_dict({name: weights[f"encoder.pos_conv.0.{name}"] for name in ("bias", "weight_g", "weight_v")})
    x = x + F.gelu(conv(x.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
    x = x.transpose(0, 1)
    for i in range(layer):
        n = f"encoder.layers.{i}"
        h = norm(x, f"{n}.self_attn_layer_norm")
        h, _ = F.multi_head_attention_forward(
            h, h, h, WIDTH, WIDTH // 64, None, torch.cat([weights[f"{n}.self_attn.{p}_proj.bias"] for p in "qkv"]), None, None,
            False, 0.0, weights[f"{n}.self_attn.out_proj.weight"], weights[f"{n}.self_attn.out_proj.bias"], False,
            use_separate_proj_weight=True, **{f"{p}_proj_weight": weights[f"{n}.self_attn.{p}_proj.weight"] for p in "qkv"})
        x = x + h
        x = x + linear(F.gelu(linear(norm(x, f"{n}.final_layer_norm"), f"{n}.fc1")), f"{n}.fc2")
    return norm(x, "encoder.layer_norm").transpose(0, 1) if layer == LAYERS else F.layer_norm(x, (WIDTH,)).transpose(0, 1)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)

    def refuses(self, path, words="", read=lambda path: converted(Checkpoint(path))):
        """The file is refused, and nothing of it has run."""
        before = {p.name for p in self.folder.iterdir()}
        SEEN.clear()
        with self.assertRaisesRegex(Refused, words):
            read(path)
        self.assertEqual(SEEN, [])
        self.assertEqual({p.name for p in self.folder.iterdir()}, before)
