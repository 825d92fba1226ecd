# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Takes the audio half out of an AV-HuBERT checkpoint that you have from its authors, pretrained or fine-tuned, Base or
Large: `python -m convert.avhubert CHECKPOINT.pt --output avhubert.safetensors`, for `train.lips --audio-encoder`.

A checkpoint is a pickle, and unpickling runs whatever a file says. Here nothing of it is run: `unpickled` reads the
opcodes with a machine that can import, call and build nothing. The few names that a checkpoint needs are taken for what
they stand for, tensors and dictionaries; objects of fairseq's classes are passed over; any other name is refused.
Both of PyTorch's formats are read, the zip archive and the older one. Names in an archive are looked up, never written.

The file holds float16 tensors under the names of networks.avhubert.AVHuBERT, the weight norm of the positions multiplied out."""
import mmap
import pickletools
import re
import struct
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from safetensors.torch import save_file

from data.options import existing, parser as options
from networks.avhubert import FORMAT, GROUPS, HEAD, KERNEL, LICENCE

STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
            "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
            "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool}
# Names that may occur besides, with whatever they would make passed over.
HARMLESS = {"builtins": "object set frozenset dict list tuple int float bool str bytes bytearray complex slice",
            "__builtin__": "object set frozenset dict list tuple int long float bool str unicode bytearray complex slice",
            "collections": "defaultdict Counter", "copyreg": "_reconstructor", "copy_reg": "_reconstructor",
            "_codecs": "encode", "argparse": "Namespace", "typing": "Any", "torch": "Size device",
            "torch._utils": "_rebuild_parameter", "numpy": "dtype ndarray",
            "numpy.core.multiarray": "scalar _reconstruct", "numpy._core.multiarray": "scalar _reconstruct"}
# The classes of these packages, too: names with a capital.
CLASSES = {"fairseq", "avhubert", "av_hubert", "omegaconf", "sentencepiece"}


class Refused(Exception):
    """The file is not a checkpoint that can be read safely, and why."""


# ---------------------------------------------------------------- pickle without running it

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
    """A tensor: a part of a storage."""
    storage: Storage
    offset: int
    shape: tuple
    stride: tuple


MARK, OBJECT = object(), object()  # OBJECT: some object that is passed over
LITERALS = set("INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
               "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8".split())
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def imported(module, name):
    """Global, or refusal."""
    if isinstance(module, str) and isinstance(name, str):
        known = name in HARMLESS.get(module, "").split() or (module, name) == ("collections", "OrderedDict") \
            or module == "torch" and name in STORAGES or (module, name) == ("torch._utils", "_rebuild_tensor_v2")
        if known or module.split(".")[0] in CLASSES and re.fullmatch(r"[A-Z]\w*", name, re.ASCII):
            return Global(module, name)
        raise Refused(f"it asks for {module}.{name}, which no checkpoint needs")
    raise Refused("it asks for something by a name that is no text")


def made(callable, arguments):
    """What a call would give. Nothing is called."""
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
    """What a persistent id of torch.save stands for: a storage. Older files add where a view of it lies, which is None."""
    if isinstance(name, tuple) and len(name) in (5, 6) and name[0] == "storage" and (len(name) == 5 or name[5] is None):
        _, kind, key, _, count = name[:5]
        if isinstance(kind, Global) and kind.module == "torch" and kind.name in STORAGES and isinstance(key, str) \
                and is_size(count):
            return Storage(STORAGES[kind.name], key, count)
    raise Refused("it refers to something that is no storage of a tensor")


def unpickled(stream):
    """The value of one pickle: dictionaries (with text as keys), lists, tuples, numbers, texts, `View`s; OBJECT in the
    place of anything else."""
    stack, memo = [], {}

    def cut():
        at = len(stack) - 1
        while stack[at] is not MARK:
            at -= 1
        items = stack[at + 1:]
        del stack[at:]
        return items

    def put(values):
        """Pairs into the dictionary on top of the stack; those whose key is no text are passed over."""
        if isinstance(stack[-1], dict):
            stack[-1].update((k, v) for k, v in zip(values[::2], values[1::2]) if isinstance(k, str))

    def add(values):
        if isinstance(stack[-1], list):
            stack[-1].extend(values)

    for opcode, value, _ in pickletools.genops(stream):
        name = opcode.name
        if name in LITERALS:
            stack.append(value)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "STOP":
            return stack.pop()
        elif name == "MARK":
            stack.append(MARK)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            cut()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("EMPTY_LIST", "EMPTY_SET"):
            stack.append([])
        elif name in ("LIST", "FROZENSET"):
            stack.append(cut())
        elif name == "TUPLE":
            stack.append(tuple(cut()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = tuple(stack[len(stack) - count:])
            del stack[len(stack) - count:]
            stack.append(items)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "DICT":
            items = cut()
            stack.append({})
            put(items)
        elif name == "SETITEM":
            item = stack.pop()
            put([stack.pop(), item])
        elif name == "SETITEMS":
            put(cut())
        elif name == "APPEND":
            add([stack.pop()])
        elif name in ("APPENDS", "ADDITEMS"):
            add(cut())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "GLOBAL":
            stack.append(imported(*value.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            what = stack.pop()
            stack.append(imported(stack.pop(), what))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(made(stack.pop(), arguments))
        elif name == "NEWOBJ_EX":
            stack.pop()
            arguments = stack.pop()
            stack.append(made(stack.pop(), arguments))
        elif name == "INST":
            stack.append(made(imported(*value.split(" ", 1)), cut()))
        elif name == "OBJ":
            what, *arguments = cut()
            stack.append(made(what, arguments))
        elif name == "BUILD":  # the state of an object, or the attributes of a dictionary
            stack.pop()
            if isinstance(stack[-1], Global):
                raise Refused("it changes something that it imports")
        elif name == "BINPERSID":
            stack.append(persistent(stack.pop()))
        else:
            raise Refused(f"it holds the opcode {name}, which no checkpoint needs")


# ---------------------------------------------------------------- the two formats

class Archive:
    """torch.save's zip archive: ROOT/data.pkl and the storages, ROOT/data/KEY, not compressed."""

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
    """The format before PyTorch 1.6: a magic number, a version, something about the machine, the value, and the keys of
    the storages, each a pickle; then for each key the number of elements and the elements."""
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
        """{key: (begin, end)}. The sizes of elements stand in the value only."""
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
    """Every tensor in the value."""
    left, seen = [value], set()
    while left:
        value = left.pop()
        if isinstance(value, View):
            yield value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value


class Checkpoint:
    """A file of torch.save: `value`, and the tensors that it describes."""

    def __init__(self, path):
        size = path.stat().st_size
        try:
            self.reader = Archive(path, size) if zipfile.is_zipfile(path) else Stream(path)
        except Refused:
            raise
        except Exception as error:  # whatever the standard library thinks of a broken file
            raise Refused(f"it is no checkpoint of PyTorch, or damaged ({type(error).__name__}: {error})") from None
        self.value = self.reader.value

    def tensor(self, view, *shape):
        """The tensor of this shape, float32."""
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


# ---------------------------------------------------------------- AV-HuBERT

PREFIXES = "", "encoder.w2v_model."  # pretrained, fine-tuned
LAYER = {"norm1": "self_attn_layer_norm", "out": "self_attn.out_proj", "norm2": "final_layer_norm", "fc1": "fc1",
         "fc2": "fc2"}


def settings(value):
    """The model's own settings where the checkpoint has them as text: `cfg`, or what it was fine-tuned from."""
    cfg = value.get("cfg")
    for name in ("model", "w2v_args", "model"):
        inner = cfg.get(name) if isinstance(cfg, dict) else None
        cfg = inner if isinstance(inner, dict) else cfg
    return cfg if isinstance(cfg, dict) and cfg.get("_name") == "av_hubert" else {}


def converted(checkpoint, layer=None):
    """{name: tensor} of avhubert.AVHuBERT but `output`, up to a layer (1 is the first; None: the last)."""
    value = checkpoint.value
    state = value.get("model") if isinstance(value, dict) else None
    if not isinstance(state, dict):
        raise Refused("it has no dictionary called model")
    prefix = next((p for p in PREFIXES if f"{p}feature_extractor_audio.proj.weight" in state), None)
    if prefix is None:
        raise Refused("it is not AV-HuBERT: there is no feature_extractor_audio.proj.weight")

    def take(name, *shape):
        if prefix + name not in state:
            raise Refused(f"{prefix}{name} is missing")
        try:
            return checkpoint.tensor(state[prefix + name], *shape)
        except Refused as problem:
            raise Refused(f"{prefix}{name}: {problem}") from None

    first = state[f"{prefix}feature_extractor_audio.proj.weight"]
    width = first.shape[0] if isinstance(first, View) and first.shape else 0
    count = next(n for n in range(len(state) + 1) if f"{prefix}encoder.layers.{n}.fc1.weight" not in state)
    if not 128 <= width <= 1024 or width % HEAD or not 1 <= count <= 24:
        raise Refused(f"it has {count} layers of {width} channels; Base has 12 of 768, Large has 24 of 1024")
    known = settings(value)
    for name, expected in (("layer_norm_first", True), ("modality_fuse", "concat"), ("encoder_layers", count),
                           ("encoder_attention_heads", width // HEAD), ("activation_fn", "gelu")):
        if known.get(name, expected) != expected:
            raise Refused(f"its {name} is not {expected}")
    kept = count if layer is None else layer
    if not 1 <= kept <= count:
        raise Refused(f"it has no layer {kept}, only 1 to {count}")

    def affine(ours, theirs, *shape):
        return {f"{ours}.weight": take(f"{theirs}.weight", *shape), f"{ours}.bias": take(f"{theirs}.bias", shape[0])}

    out = affine("input", "feature_extractor_audio.proj", width, 104)
    out |= affine("fusion_norm", "layer_norm", 2 * width) | affine("fusion", "post_extract_proj", width, 2 * width)
    v = take("encoder.pos_conv.0.weight_v", width, width // GROUPS, KERNEL).double()
    g = take("encoder.pos_conv.0.weight_g", 1, 1, KERNEL).double()  # the length of each tap's weights
    out["position.weight"] = (v * (g / v.square().sum((0, 1), keepdim=True).sqrt())).float()
    out["position.bias"] = take("encoder.pos_conv.0.bias", width)
    for i in range(kept):
        theirs = f"encoder.layers.{i}"
        shapes = {"out": (width, width), "fc1": (4 * width, width), "fc2": (width, 4 * width)}
        for ours, name in LAYER.items():
            out |= affine(f"layers.{i}.{ours}", f"{theirs}.{name}", *shapes.get(ours, (width,)))
        parts = [affine(name, f"{theirs}.self_attn.{name}_proj", width, width) for name in "qkv"]
        for end in ("weight", "bias"):
            out[f"layers.{i}.qkv.{end}"] = torch.cat([part[f"{n}.{end}"] for n, part in zip("qkv", parts)])
    if kept == count:
        return out | affine("norm", "encoder.layer_norm", width)
    return out | {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}


def main():
    parser = options(__doc__)
    parser.add_argument("checkpoint", type=existing, help="of AV-HuBERT")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="to write, for train.lips --audio-encoder")
    parser.add_argument("--layer", type=int, help="the last layer that is kept, 1 and up; without it all are")
    args = parser.parse_args()
    print(LICENCE)
    try:
        tensors = {name: value.half().contiguous() for name, value in converted(Checkpoint(args.checkpoint), args.layer).items()}
        if not all(torch.isfinite(value).all() for value in tensors.values()):
            raise Refused("it holds values that are not finite in float16")
    except (Refused, OSError) as problem:
        raise SystemExit(f"{args.checkpoint} is not converted: {problem}")
    save_file(tensors, args.output, {"format": FORMAT, "licence": LICENCE})
    layers = sum(name.endswith("qkv.weight") for name in tensors)
    print(f"{args.output}: {layers} layers of {len(tensors['input.bias'])} channels, "
          f"{args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
