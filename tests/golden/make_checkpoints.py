"""Writes checkpoints/: small files of torch.save, and checkpoints.json, what is in them.

    oracle/bin/python tests/golden/make_checkpoints.py        # the environment that make_golden.py describes

tests/io/torch_checkpoint.cpp reads each good file and compares it with the list of its tensors (dtype, shape,
values); the others must be refused, and the texts stand in the message of the error.
"""

import argparse
import collections
import json
import pathlib
import shutil
import tarfile
import zipfile

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "checkpoints"
GOOD, REFUSED = {}, {}
torch.manual_seed(0)


def save(name: str, content, tensors: dict, **options) -> None:
    """`tensors`: what a reader must find."""
    torch.save(content, FOLDER / name, **options)
    GOOD[name] = {k: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
                      "values": [float(x) for x in t.double().flatten().tolist()]} for k, t in tensors.items()}


def refuse(name: str, *texts: str) -> pathlib.Path:
    REFUSED[name] = list(texts)
    return FOLDER / name


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.head = torch.nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def good() -> None:
    model = Tied()
    for protocol in (2, 3, 4, 5):  # as transformers and diffusers save: an OrderedDict with _metadata
        save(f"module_protocol_{protocol}.bin", model.state_dict(), model.state_dict(), pickle_protocol=protocol)
    w = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) - 7.5
    types = {str(t).removeprefix("torch."): w.to(t) if t.is_signed else w.abs().to(t) for t in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64,
        torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool)}
    save("types.pt", types, types)
    views = {"whole": w, "transposed": w.transpose(0, 2), "row": w[1, 2], "column": w[:, 1, 3], "every_second": w[0, :, ::2],
             "expanded": w[0, 0].expand(3, 4), "position_ids": torch.arange(5).expand((1, -1)), "scalar": w[1, 1, 1],
             "empty": torch.zeros(0, 4), "windows": torch.arange(6.).unfold(0, 3, 1),
             "channels_last": torch.rand(1, 2, 2, 2).contiguous(memory_format=torch.channels_last)}
    save("views.pt", views, views)
    nested = collections.OrderedDict(a=torch.nn.Parameter(w[0]), b=torch.tensor(3, dtype=torch.int64))
    around = {"epoch": 3, "loss": 0.25, "state_dict": nested, "note": "né", "size": torch.Size([1, 2]), "big": 2**40,
              "list": [1, -2, (None, True)], "dtype": torch.float32, "optimizer": {"state": {0: {"step": w[0, 0]}}}}
    save("nested.ckpt", around, dict(nested), pickle_protocol=4)
    save("nested_model.pth", {"model": nested, "iteration": 7}, dict(nested))
    torch.serialization.set_crc32_options(False)
    save("no_check_sums.pt", {"w": w}, {"w": w})
    torch.serialization.set_crc32_options(True)


def rewritten(source: str, target: str, change, *texts: str, compression=zipfile.ZIP_STORED) -> None:
    """The members of `source` after `change(name, bytes)`, which may leave one out by returning None."""
    with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(refuse(target, *texts), "w", compression) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(zipfile.ZipInfo(name), data, compress_type=compression)


def with_pickle(target: str, content: bytes, *texts: str) -> None:
    rewritten("types.pt", target, lambda name, data: content if name.endswith("data.pkl") else data, *texts)


class Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def bad() -> None:
    import os
    w = torch.ones(2)
    torch.save({"w": w}, refuse("legacy.pt", "before PyTorch 1.6", "torch.save"), _use_new_zipfile_serialization=False)
    with tarfile.open(refuse("old.tar", "tar", "torch.save"), "w") as tar:
        tar.add(HERE / "make_checkpoints.py", "sys_info")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), refuse("script.pt", "TorchScript"))
    torch.save({"w": w, "args": argparse.Namespace(a=1)}, refuse("namespace.pt", "argparse.Namespace", "weights"))
    torch.save({"w": w, "n": np.float64(1)}, refuse("numpy.pt", "numpy", "weights"))
    torch.save(torch.nn.Linear(1, 1), refuse("module.pt", "torch.nn.modules.linear.Linear", "weights"))
    torch.save({"w": w.to(torch.complex64)}, refuse("complex.pt", "torch.ComplexFloatStorage"))
    torch.save({"w": w.to_sparse()}, refuse("sparse.pt", "torch._utils._rebuild_sparse_tensor"))
    torch.save({"epoch": 1}, refuse("no_tensors.pt", "no tensors", "epoch"))
    torch.save([w], refuse("list.pt", "a list"))
    torch.save({0: w}, refuse("numbered.pt", "names"))
    torch.save({"w": Call(os.system, "exit 1")}, refuse("system.pt", "posix.system", "byte"))
    torch.save({"w": Call(eval, "1 + 1")}, refuse("eval.pt", "__builtin__.eval"))
    cycle = []
    cycle.append(cycle)
    torch.save({"w": w, "cycle": cycle}, refuse("cycle.pt", "contains itself"))
    with_pickle("huge_text.pt", b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"x.", "ends")
    with_pickle("other_storage.pt", b"\x80\x02}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(X\3\0\0\0abcQK\0))tRs.",
                "malformed storage")
    rewritten("types.pt", "compressed.pt", lambda name, data: data, "compressed", compression=zipfile.ZIP_DEFLATED)
    rewritten("types.pt", "big_endian.pt", lambda name, data: b"big" if name.endswith("byteorder") else data, "big-endian")
    rewritten("types.pt", "no_pickle.pt", lambda name, data: None if name.endswith("data.pkl") else data, "data.pkl")
    rewritten("types.pt", "no_storage.pt", lambda name, data: None if name.endswith("data/3") else data, "data/3")
    rewritten("types.pt", "short_storage.pt", lambda name, data: data[:-1] if name.endswith("data/3") else data, "data/3")


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    good()
    bad()
    lines = [f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in GOOD.items()]
    refused = [f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in REFUSED.items()]
    (HERE / "checkpoints.json").write_text('{\n "good": {\n' + ",\n".join(lines) + '\n },\n "refused": {\n' +
                                           ",\n".join(refused) + "\n }\n}\n")
