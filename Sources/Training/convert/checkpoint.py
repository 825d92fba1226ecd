# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Reads checkpoints of torch.save without executing them.

A checkpoint is a pickle, and unpickling executes whatever a file says. `unpickled` instead interprets the opcodes with a machine
that cannot import, call or construct anything. The few names that a checkpoint needs are mapped to what they stand for, tensors
and dictionaries; objects of fairseq's classes are skipped; any other name is refused. It reads both of PyTorch's formats, the zip
archive and the older one. Names in an archive are only looked up, never written."""
import mmap
import pickletools
import re
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO

import torch

STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
            "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
            "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool}
# Other names that may occur; what they would construct is skipped.
HARMLESS = {"builtins": "object set frozenset dict list tuple int float bool str bytes bytearray complex slice",
            "__builtin__": "object set frozenset dict list tuple int long float bool str unicode bytearray complex slice",
            "collections": "defaultdict Counter", "copyreg": "_reconstructor", "copy_reg": "_reconstructor",
            "_codecs": "encode", "argparse": "Namespace", "typing": "Any", "torch": "Size device",
            "torch._utils": "_rebuild_parameter", "numpy": "dtype ndarray",
            "numpy.core.multiarray": "scalar _reconstruct", "numpy._core.multiarray": "scalar _reconstruct"}
# Classes of these packages, that is, names with a capital, may also occur.
CLASSES = {"fairseq", "avhubert", "av_hubert", "omegaconf", "sentencepiece"}


class Refused(Exception):
    """The file is not a checkpoint that can be read safely; the message says why."""


# pickle without execution

@dataclass(frozen=True)
class Global:
    """A name that the pickle would import."""
    module: str
    name: str


@dataclass(frozen=True)
class Storage:
    dtype: torch.dtype
    key: str
    count: int  # elements


@dataclass(frozen=True)
class View:
    """A tensor: a view of a storage."""
    storage: Storage
    offset: int
    shape: tuple
    stride: tuple


MARK, OBJECT = object(), object()  # OBJECT stands for any skipped object
LITERALS = set("INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
               "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8".split())
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def imported(module, name):
    """The Global for a permitted name; otherwise Refused."""
    if isinstance(module, str) and isinstance(name, str):
        known = name in HARMLESS.get(module, "").split() or (module, name) == ("collections", "OrderedDict") \
            or module == "torch" and name in STORAGES or (module, name) == ("torch._utils", "_rebuild_tensor_v2")
        if known or module.split(".")[0] in CLASSES and re.fullmatch(r"[A-Z]\w*", name, re.ASCII):
            return Global(module, name)
        raise Refused(f"it asks for {module}.{name}, which no checkpoint needs")
    raise Refused("it asks for something by a name that is no text")


def made(callable, arguments):
    """The result of a call, without calling anything."""
    if not isinstance(callable, Global) or not isinstance(arguments, (tuple, list)):
        raise Refused("it calls something that is no name")
    if callable == Global("collections", "OrderedDict") and not arguments:
        return {}
    if callable == Global("torch._utils", "_rebuild_parameter") and arguments and isinstance(arguments[0], View):
        return arguments[0]
    if callable == Global("torch._utils", "_rebuild_tensor_v2"):
        storage, offset, shape, stride = (*arguments[:4], *[None] * 4)[:4]
        sizes = (offset, *shape, *stride) if isinstance(shape, tuple) and isinstance(stride, tuple) else (None,)
        if isinstance(storage, Storage) and all(map(is_size, sizes)) and len(shape) == len(stride):
            return View(storage, offset, shape, stride)
        raise Refused("it describes a tensor that cannot be")
    return OBJECT


def is_size(value):
    return isinstance(value, int) and 0 <= value < 1 << 48


def persistent(name):
    """The storage that a persistent id of torch.save refers to. Older files add the offset of a view, which is None."""
    if isinstance(name, tuple) and len(name) in (5, 6) and name[0] == "storage" and (len(name) == 5 or name[5] is None):
        _, kind, key, _, count = name[:5]
        if isinstance(kind, Global) and kind.module == "torch" and kind.name in STORAGES and isinstance(key, str) \
                and is_size(count):
            return Storage(STORAGES[kind.name], key, count)
    raise Refused("it refers to something that is no storage of a tensor")


class Machine:
    """The stack and memo of a pickle. Holds dictionaries (with text keys), lists, tuples, numbers, texts and `View`s; OBJECT in
    place of anything else."""

    def __init__(self):
        self.stack, self.memo = [], {}

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        return self.stack.pop()

    def take(self, count):
        items = tuple(self.stack[len(self.stack) - count:])
        del self.stack[len(self.stack) - count:]
        return items

    def cut(self):
        """Pops everything down to the last MARK."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
        items = self.stack[at + 1:]
        del self.stack[at:]
        return items

    def put(self, values):
        """Adds pairs to the dictionary on top of the stack; pairs whose key is not text are skipped."""
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update((k, v) for k, v in zip(values[::2], values[1::2]) if isinstance(k, str))

    def add(self, values):
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def new_dictionary(self):
        items = self.cut()
        self.push({})
        self.put(items)

    def set_item(self):
        item = self.pop()
        self.put([self.pop(), item])

    def stack_global(self):
        name = self.pop()
        self.push(imported(self.pop(), name))

    def reduce(self):
        arguments = self.pop()
        self.push(made(self.pop(), arguments))

    def reduce_with_keywords(self):
        self.pop()
        self.reduce()

    def instance(self):
        what, *arguments = self.cut()
        self.push(made(what, arguments))

    def build(self):
        """Skips the state of an object, or the attributes of a dictionary."""
        self.pop()
        if isinstance(self.stack[-1], Global):
            raise Refused("it changes something that it imports")


# What each opcode does to a machine, given its argument.
OPCODES = {name: Machine.push for name in LITERALS} \
    | {name: lambda m, _, value=value: m.push(value) for name, value in CONSTANTS.items()} \
    | {"PROTO": lambda m, _: None, "FRAME": lambda m, _: None, "MARK": lambda m, _: m.push(MARK), "POP": lambda m, _: m.pop(),
       "POP_MARK": lambda m, _: m.cut(), "DUP": lambda m, _: m.push(m.stack[-1]),
       "EMPTY_LIST": lambda m, _: m.push([]), "EMPTY_SET": lambda m, _: m.push([]), "LIST": lambda m, _: m.push(m.cut()),
       "FROZENSET": lambda m, _: m.push(m.cut()), "TUPLE": lambda m, _: m.push(tuple(m.cut())),
       "TUPLE1": lambda m, _: m.push(m.take(1)), "TUPLE2": lambda m, _: m.push(m.take(2)),
       "TUPLE3": lambda m, _: m.push(m.take(3)), "EMPTY_DICT": lambda m, _: m.push({}),
       "DICT": lambda m, _: m.new_dictionary(), "SETITEM": lambda m, _: m.set_item(), "SETITEMS": lambda m, _: m.put(m.cut()),
       "APPEND": lambda m, _: m.add([m.pop()]), "APPENDS": lambda m, _: m.add(m.cut()), "ADDITEMS": lambda m, _: m.add(m.cut()),
       "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
       "GLOBAL": lambda m, value: m.push(imported(*value.split(" ", 1))), "STACK_GLOBAL": lambda m, _: m.stack_global(),
       "REDUCE": lambda m, _: m.reduce(), "NEWOBJ": lambda m, _: m.reduce(), "NEWOBJ_EX": lambda m, _: m.reduce_with_keywords(),
       "INST": lambda m, value: m.push(made(imported(*value.split(" ", 1)), m.cut())), "OBJ": lambda m, _: m.instance(),
       "BUILD": lambda m, _: m.build(), "BINPERSID": lambda m, _: m.push(persistent(m.pop()))} \
    | {name: lambda m, value: m.memo.__setitem__(value, m.stack[-1]) for name in ("PUT", "BINPUT", "LONG_BINPUT")} \
    | {name: lambda m, value: m.push(m.memo[value]) for name in ("GET", "BINGET", "LONG_BINGET")}


def unpickled(stream):
    """The value of one pickle, see Machine."""
    machine = Machine()
    for opcode, value, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            return machine.pop()
        if opcode.name not in OPCODES:
            raise Refused(f"it holds the opcode {opcode.name}, which no checkpoint needs")
        OPCODES[opcode.name](machine, value)


# ---------------------------------------------------------------- the two formats

class Archive:
    """torch.save's zip archive: ROOT/data.pkl and the storages, ROOT/data/KEY, uncompressed."""

    def __init__(self, path, size):
        self.file, self.size = zipfile.ZipFile(path), size
        names = self.file.namelist()
        roots = {name.split("/")[0] for name in names}
        plain = all(re.fullmatch(r"[^/\\]+(/[^/\\]+)+", name) and not {".", ".."} & set(name.split("/")) for name in names)
        if len(roots) != 1 or len(set(names)) < len(names) or not plain:
            raise Refused("the names in the archive are not those that PyTorch gives")
        self.root = roots.pop()
        if f"{self.root}/byteorder" in names and self.read("byteorder") != b"little":
            raise Refused("its numbers are big endian")
        self.value = unpickled(BytesIO(self.read("data.pkl")))

    def read(self, name):
        entry = self.file.getinfo(f"{self.root}/{name}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self.size:
            raise Refused("its archive is compressed, as PyTorch's never are")
        return self.file.read(entry)

    def bytes(self, storage):
        return self.read(f"data/{storage.key}")


class Stream:
    """The format before PyTorch 1.6: a magic number, a version, system information, the value, and the keys of the
    storages, each a pickle; then, for each key, the number of elements and the elements."""
    MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if unpickled(self.data) != self.MAGIC or unpickled(self.data) != self.VERSION:
            raise Refused("it is no checkpoint of PyTorch")
        unpickled(self.data)
        self.value = unpickled(self.data)
        self.keys = unpickled(self.data)
        self.start = self.data.tell()
        self.places = None

    def bytes(self, storage):
        if self.places is None:
            self.places = self.found()
        begin, end = self.places[storage.key]
        return self.data[begin:end]

    def found(self):
        """{key: (begin, end)}. The element sizes are known only from the value."""
        kinds = {view.storage.key: view.storage.dtype.itemsize for view in views(self.value)}
        places, at = {}, self.start
        for key in self.keys:
            count, = struct.unpack("<q", self.data[at:at + 8])
            size = count * kinds[key]
            if count < 0 or at + 8 + size > len(self.data):
                raise Refused("it is cut off")
            places[key] = at + 8, at + 8 + size
            at += 8 + size
        return places


def views(value):
    """All tensors in the value."""
    left, seen = [value], set()
    while left:
        value = left.pop()
        if isinstance(value, View):
            yield value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value


class Checkpoint:
    """A file written by torch.save: its `value`, and the tensors that this refers to."""

    def __init__(self, path):
        size = path.stat().st_size
        try:
            self.reader = Archive(path, size) if zipfile.is_zipfile(path) else Stream(path)
        except Refused:
            raise
        except Exception as error:  # whatever the standard library raises for a broken file
            raise Refused(f"it is no checkpoint of PyTorch, or damaged ({type(error).__name__}: {error})") from None
        self.value = self.reader.value

    def tensor(self, view, *shape):
        """The tensor, which must have this shape, in float32."""
        if not isinstance(view, View) or view.shape != shape or not view.storage.dtype.is_floating_point:
            raise Refused(f"it holds {view.shape if isinstance(view, View) else 'no tensor'} where {shape} is needed")
        storage = view.storage
        last = view.offset + sum((n - 1) * step for n, step in zip(view.shape, view.stride))
        try:
            data = bytearray(self.reader.bytes(storage))
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"its numbers cannot be read ({type(error).__name__}: {error})") from None
        if len(data) != storage.count * storage.dtype.itemsize or last >= storage.count:
            raise Refused("it holds a tensor that is not whole")
        tensor = torch.frombuffer(data, dtype=storage.dtype).as_strided(view.shape, view.stride, view.offset).float()
        if not torch.isfinite(tensor).all():
            raise Refused("it holds values that are not finite")
        return tensor
