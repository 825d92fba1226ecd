# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Tests convert/avhubert.py.

The official checkpoint cannot be had here, so one with its keys, shapes and nesting is made, of few channels and with made-up
weights. That the converter runs nothing is watched with an audit hook: no unpickling, evaluation or command, whatever
the file says."""
import argparse
import collections
import contextlib
import copyreg
import io
import os
import pickle
import random
import struct
import sys
import tempfile
import types
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F

import convert.avhubert as convert_avhubert
from convert.avhubert import Checkpoint, Refused, converted, unpickled
from networks import avhubert

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


# ---------------------------------------------------------------- conversion

class Conversion(Folder):
    @torch.no_grad()
    def test_hears_what_the_checkpoint_hears(self):
        for prefix, legacy, layer in (("", False, None), ("", True, None), ("encoder.w2v_model.", False, None),
                                      ("encoder.w2v_model.", True, 2), ("", False, 1), ("", False, LAYERS)):
            with self.subTest(prefix=prefix, legacy=legacy, layer=layer):
                weights = checkpoint(self.folder / "in.pt", prefix, legacy)
                weights = {name.removeprefix(prefix): value for name, value in weights.items()}
                SEEN.clear()
                with contextlib.redirect_stdout(io.StringIO()) as said, mock.patch.object(
                        sys, "argv", ["", "in.pt", "--output", "out.safetensors"] + (["--layer", str(layer)] if layer else [])):
                    convert_avhubert.main()
                    encoder, config = avhubert.load(self.folder / "out.safetensors")
                self.assertEqual(SEEN, [])
                self.assertEqual(said.getvalue().count(avhubert.LICENCE), 2)
                self.assertEqual((config.av_hubert, config.audio_layers), (WIDTH, layer or LAYERS))
                for length in (1, 14, 150):
                    stacks = 3 * torch.randn(2, length, 104) - 8
                    expected = reference(weights, stacks, layer or LAYERS)
                    difference = (encoder.features(stacks) - expected).abs().max() / expected.abs().max()
                    self.assertLess(difference, 2e-3)  # float16
                exact = converted(Checkpoint(self.folder / "in.pt"), layer)
                encoder.load_state_dict(exact | {n: v for n, v in encoder.state_dict().items() if n.startswith("output.")})
                difference = (encoder.features(stacks) - expected).abs().max() / expected.abs().max()
                self.assertLess(difference, 1e-5)

    def test_reads_every_number_format_and_views(self):
        for kind in (torch.float16, torch.bfloat16, torch.float64):
            def change(weights):
                name = "encoder.layers.0.fc1.weight"
                weights[name] = torch.stack([weights[name].to(kind).T] * 2)[1].T  # a transposed view that begins further on
            for legacy in (False, True):
                weights = checkpoint(self.folder / "in.pt", legacy=legacy, changed=change)
                got = converted(Checkpoint(self.folder / "in.pt"))["layers.0.fc1.weight"]
                self.assertTrue(torch.equal(got, weights["encoder.layers.0.fc1.weight"].float()))

    def test_freezes_the_first_layers(self):
        config = avhubert.Config(av_hubert=WIDTH, audio_layers=12, audio_width=16)
        encoder = avhubert.AVHuBERT(config)
        encoder.freeze()
        learning = {name.split(".")[1] if name.startswith("layers") else name.split(".")[0]
                    for name, value in encoder.named_parameters() if value.requires_grad}
        self.assertEqual(learning, {"9", "10", "11", "norm", "output"})
        with self.assertRaises(SystemExit):
            encoder.freeze(13)

    def test_refuses_other_models(self):
        path = self.folder / "in.pt"
        without = lambda name: lambda weights: weights.pop(name)
        for change, words in ((without("feature_extractor_audio.proj.weight"), "not AV-HuBERT"),
                              (without("post_extract_proj.bias"), "post_extract_proj.bias is missing"),
                              (lambda w: w.update({"layer_norm.weight": torch.ones(WIDTH)}), "layer_norm.weight: it holds"),
                              (lambda w: w.update({"layer_norm.weight": 3}), "layer_norm.weight: it holds no tensor"),
                              (lambda w: w["layer_norm.bias"].fill_(float("nan")), "not finite"),
                              (lambda w: w.update({"layer_norm.bias": torch.ones(2 * WIDTH).long()}), "layer_norm.bias")):
            checkpoint(path, changed=change)
            self.refuses(path, words)
        for settings in ({"layer_norm_first": False}, {"modality_fuse": "add"}, {"encoder_attention_heads": 4}):
            checkpoint(path, settings=settings)
            self.refuses(path, "its")
        checkpoint(path)
        self.refuses(path, "no layer 4", lambda path: converted(Checkpoint(path), 4))
        checkpoint(path, model=[])
        self.refuses(path, "no dictionary called model")
        torch.save([1], path)
        self.refuses(path, "no dictionary called model")

    def test_says_so_and_writes_nothing(self):
        path = self.folder / "in.pt"
        checkpoint(path, task_state=Canary())
        with self.assertRaisesRegex(SystemExit, "in.pt is not converted: it asks for posix.system"), mock.patch.object(
                sys, "argv", ["", "in.pt", "--output", "out"]), contextlib.redirect_stdout(io.StringIO()):
            convert_avhubert.main()
        self.assertEqual([p.name for p in self.folder.iterdir()], ["in.pt"])


# ---------------------------------------------------------------- hostile files

def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def name(value):
    """STACK_GLOBAL of "module name"."""
    return b"".join(map(text, value.split(" "))) + b"\x93"


TOUCH = text("touch canary")
STORAGE = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
HOSTILE = {
    "reduce": b"cos\nsystem\n(" + TOUCH + b"tR",
    "reduce of posix": b"cposix\nsystem\n" + TOUCH + b"\x85R",
    "eval": b"cbuiltins\neval\n" + text("__import__('os').system('touch canary')") + b"\x85R",
    "exec": name("builtins exec") + text("open('canary', 'w')") + b"\x85R",
    "import": b"c__builtin__\n__import__\n" + text("os") + b"\x85R",
    "getattr": b"cbuiltins\ngetattr\n" + name("collections OrderedDict") + text("__init__") + b"\x86R",
    "nested": b"}" + text("model") + b"](cos\nsystem\n" + TOUCH + b"\x85Res",
    "inst": b"(" + TOUCH + b"ios\nsystem\n",
    "obj": b"(cos\nsystem\n" + TOUCH + b"o",
    "newobj": b"csubprocess\nPopen\n" + TOUCH + b"\x85\x81",
    "newobj_ex": b"csubprocess\nPopen\n" + TOUCH + b"\x85}\x92",
    "stack_global": name("os system") + TOUCH + b"\x85R",
    "a dotted name": name("collections OrderedDict.fromkeys.__globals__") + b")R",
    "a dotted name of a known package": name("fairseq.data Dictionary.load") + TOUCH + b"\x85R",
    "a function of a known package": b"cfairseq.utils\nimport_user_module\n" + TOUCH + b"\x85R",
    "a name that is no text": b"]" + text("system") + b"\x93",
    "a name with a line in it": name("fairseq.data Dict\nos") + b")R",
    "torch.load": b"ctorch\nload\n" + text("other.pt") + b"\x85R",
    "torch.hub": b"ctorch.hub\nload\n" + text("x") + b"\x85R",
    "numpy.load": b"cnumpy\nload\n" + text("x.npy") + b"\x85R",
    "runpy": b"crunpy\nrun_path\n" + text("x.py") + b"\x85R",
    "a call of what a call gave": b"cargparse\nNamespace\n)R)R",
    "a call of a text": text("os.system") + TOUCH + b"\x85R",
    "setstate of a name": b"cargparse\nNamespace\n}" + text("__setstate__") + b"cos\nsystem\nsb" + TOUCH + b"b",
    "attributes of a class": b"ccollections\nOrderedDict\n}" + text("__init__") + text("x") + b"sb",
    "extension 1": b"\x82\x07" + TOUCH + b"\x85R",
    "extension 2": b"\x83\x07\x00" + TOUCH + b"\x85R",
    "extension 4": b"\x84\x07\x00\x00\x00" + TOUCH + b"\x85R",
    "persistent text": b"Pcanary\n",
    "a storage of another type": b"(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x04tQ",
    "a storage of no type": b"(" + text("storage") + text("os.system") + text("0") + text("cpu") + b"K\x04tQ",
    "a module": b"(" + text("module") + b"cos\nsystem\n" + text("a.py") + text("x") + b"tQ",
    "a tensor of negative size":
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00J\xff\xff\xff\xff\x85K\x01\x85\x89}tR",
    "a tensor of no storage": b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89}tR",
    "a tensor of little": b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"tR",
    "out of band": b"\x97", "nothing": b"", "no mark": b"t", "no memo": b"h\x05", "cut off": text("abc")[:-1],
    "huge text": b"\x8d" + struct.pack("<Q", 1 << 62), "huge bytes": b"\x8e" + struct.pack("<Q", 1 << 40),
    "huge number": b"\x8b" + struct.pack("<i", 0x7FFFFFFF), "negative number": b"\x8b" + struct.pack("<i", -5),
    "many digits": b"I" + b"9" * 100_000 + b"\n", "no opcode": b"\xff", "another protocol": b"\x80\xff\x80",
}


class Hostile(Folder):
    def archive(self, data, names=("archive/data.pkl",), **how):
        with zipfile.ZipFile(self.folder / "in.pt", "w", **how) as file:
            for inner in names:
                file.writestr(inner, data)
        return self.folder / "in.pt"

    def test_every_trick_in_both_formats_and_in_every_place(self):
        copyreg.add_extension("os", "system", 7)
        self.addCleanup(copyreg.remove_extension, "os", "system", 7)
        good = [pickle.dumps(value, 2) for value in (convert_avhubert.Stream.MAGIC, 1001, {}, {"model": {}}, [])]
        for trick, code in HOSTILE.items():
            for data in (code + b".", b"\x80\x02" + code + b".", b"\x80\x04" + code + b"."):
                with self.subTest(trick=trick):
                    self.refuses(self.archive(data))
                    for place in range(5):
                        (self.folder / "in.pt").write_bytes(b"".join(good[:place] + [data] + good[place + 1:]))
                        self.refuses(self.folder / "in.pt")

    def test_the_tricks_work_on_others(self):
        """Or they would show nothing."""
        copyreg.add_extension("os", "system", 7)
        self.addCleanup(copyreg.remove_extension, "os", "system", 7)
        for trick in ("reduce", "eval", "exec", "nested", "inst", "obj", "stack_global", "extension 1"):
            with self.subTest(trick=trick):
                with contextlib.suppress(Exception):
                    pickle.loads(HOSTILE[trick] + b".")
                (self.folder / "canary").unlink()

    def test_objects_that_reduce_to_commands(self):
        for legacy in (False, True):
            for where in ({"cfg": Canary()}, {"task_state": {"dictionaries": [Canary()]}}, {"extra_state": {1: Canary()}},
                          {"optimizer_history": [{"a": (Canary(),)}]}, {"model": Canary()}):
                checkpoint(self.folder / "in.pt", legacy=legacy, **where)
                self.refuses(self.folder / "in.pt", "it asks for posix.system")
            checkpoint(self.folder / "in.pt", legacy=legacy, changed=lambda w: w.update(canary=Canary()))
            self.refuses(self.folder / "in.pt", "it asks for posix.system")

    def test_names_in_archives(self):
        good = pickle.dumps({"model": {}})
        for names in (["archive/../../canary", "archive/data.pkl"], ["/archive/data.pkl"], ["../data.pkl"], ["data.pkl"],
                      ["archive/data.pkl", "other/data.pkl"], ["archive\\data.pkl"], ["archive/./data.pkl"],
                      ["archive/data.pkl", "archive//x"], []):
            with self.subTest(names=names):
                self.refuses(self.archive(good, names), "names|no checkpoint")
        with self.assertWarns(UserWarning):
            self.archive(good, ["archive/data.pkl"] * 2)
        self.refuses(self.folder / "in.pt", "names")
        self.refuses(self.archive(good, ["archive/data"]))
        self.refuses(self.archive(b"\0" * 1_000_000, compression=zipfile.ZIP_DEFLATED), "compressed")

    def test_archives_that_lie_about_sizes(self):
        checkpoint(self.folder / "in.pt")
        whole = (self.folder / "in.pt").read_bytes()
        directory = whole.rindex(b"archive/data.pkl") if b"archive/data.pkl" in whole else whole.rindex(b"in/data.pkl")
        entry = directory - 46
        self.assertEqual(whole[entry:entry + 4], b"PK\1\2")
        for size in (1, 0x7FFFFFFF):
            lie = struct.pack("<II", size, size)
            (self.folder / "in.pt").write_bytes(whole[:entry + 20] + lie + whole[entry + 28:])
            self.refuses(self.folder / "in.pt")

    def test_tensors_beyond_their_storage(self):
        for legacy in (False, True):
            for field, value in (("offset", 1), ("stride", (1 << 40, 1)), ("stride", (208, 1)), ("count", 1 << 46), ("count", 5)):
                checkpoint(self.folder / "in.pt", legacy=legacy)
                file = Checkpoint(self.folder / "in.pt")
                view = file.value["model"]["feature_extractor_audio.proj.weight"]
                target = view.storage if field == "count" else view
                object.__setattr__(target, field, value)
                with self.subTest(field=field, value=value, legacy=legacy):
                    self.refuses(None, "feature_extractor_audio.proj.weight|cut off", lambda _: converted(file))

    def test_structures_without_end(self):
        twice = b"(" + b"K\x01" + b"2t(" * 60 + b"tt"  # unbalanced on purpose
        laughs = text("lol") + b"2\x86" * 60  # 2^60 texts, if somebody followed them
        deep = b"(" * 200_000 + b"l" * 200_000
        loop = b"]q\x00h\x00a"
        for code in (twice, laughs, deep, loop):
            for whole in (code, b"}" + text("model") + code + b"s", b"}" + text("cfg") + code + b"s",
                          b"}" + code + b"K\x01s", code + text("x") + b"\x93", code + b"Q",
                          b"ctorch._utils\n_rebuild_tensor_v2\n" + code + b"\x85R"):
                self.refuses(self.archive(whole + b"."))

    def test_damage_never_does_more_than_be_refused(self):
        """Cut anywhere, and with some bytes changed."""
        dice = random.Random(1)
        small = {"cfg": {"model": {}}, "model": collections.OrderedDict(a=torch.ones(3)),
                 "task_state": {"x": (1, 2.5, None, "t")}}
        torch.save(small, self.folder / "a.pt")
        torch.save(small, self.folder / "b.pt", _use_new_zipfile_serialization=False)
        for source in ("a.pt", "b.pt"):
            whole = (self.folder / source).read_bytes()
            for round in range(1500):
                data = bytearray(whole)
                if round % 3 == 0:
                    data = data[:dice.randrange(len(data))]
                else:
                    for _ in range(dice.randint(1, 4)):
                        data[dice.randrange(len(data))] = dice.randrange(256)
                (self.folder / "in.pt").write_bytes(data)
                self.refuses(self.folder / "in.pt")

    def test_nothing_of_the_known_names_is_imported(self):
        value = unpickled(io.BytesIO(b"cfairseq.data.dictionary\nDictionary\n)\x81}" + text("symbols") + b"]sb."))
        self.assertIs(value, convert_avhubert.OBJECT)
        self.assertNotIn("fairseq", sys.modules)


if __name__ == "__main__":
    unittest.main()
