# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""convert/checkpoint.py on hostile files: all are refused, and nothing in them is executed."""
import collections
import contextlib
import copyreg
import io
import pickle
import random
import struct
import sys
import unittest
import zipfile

import torch

from convert.avhubert import converted
from convert.checkpoint import OBJECT, Checkpoint, Stream, unpickled
from tests.checkpoints import Canary, Folder, checkpoint


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
        good = [pickle.dumps(value, 2) for value in (Stream.MAGIC, 1001, {}, {"model": {}}, [])]
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
        self.assertIs(value, OBJECT)
        self.assertNotIn("fairseq", sys.modules)


if __name__ == "__main__":
    unittest.main()
