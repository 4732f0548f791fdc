"""Writes the first seeds of the fuzz targets: one small valid file of each kind that a reader knows.

    oracle/bin/python tests/fuzz/make_seeds.py        # the environment that tests/golden/make_golden.py describes

Writes seeds/<target>/ beside itself and leaves the files there that are not its own (what a fuzzer found).
"""

import gzip
import io
import json
import pathlib
import random
import struct
import zipfile

import PIL.Image
import torch
from safetensors.torch import save

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
MODEL = HERE.parent.parent / "examples" / "models" / "emoji-scenes"


def write(target: str, name: str, data: bytes) -> None:
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def safetensors() -> None:
    w = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    types = {"F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I8": torch.int8,
             "U16": torch.uint16, "BOOL": torch.bool, "E4M3": torch.float8_e4m3fn, "E5M2": torch.float8_e5m2}
    write("safetensors", "types", save({name: w.to(dtype) for name, dtype in types.items()}))
    write("safetensors", "shapes", save({"w": w, "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4)}, {"format": "pt"}))
    write("safetensors", "none", struct.pack("<Q", 2) + b"{}")
    # As include/dalle2/io/packed_file.hpp describes; check sums are zero.
    shapes = {"version": 1, "shapes": {"b": [2, 3], "i": [3, 2, 1, 1]}}
    write("safetensors", "packed", save(
        {"b": torch.zeros(64, dtype=torch.bfloat16), "i": torch.zeros(64, dtype=torch.int8), "i_scale": torch.ones(3),
         "i_sum": torch.zeros(3, dtype=torch.int32), "bias": torch.ones(2), "packed_checks": torch.zeros(5, 2, dtype=torch.uint64)},
        {"format": "pt", "packed": json.dumps(shapes)}))


def torch_checkpoint() -> None:
    # Whole archives without check sums, which would stop every mutation, and pickles alone.
    torch.serialization.set_crc32_options(False)
    w = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    for name, content, protocol in (("module", torch.nn.Linear(2, 3).state_dict(), 2), ("views", {"t": w.t(), "e": w[0, :1].expand(5)}, 4),
                                    ("types", {"h": w.half(), "f": w.to(torch.float8_e5m2), "n": torch.tensor(3)}, 2),
                                    ("nested", {"state_dict": {"p": torch.nn.Parameter(w)}, "size": w.shape, "l": [1.5, None]}, 5)):
        buffer = io.BytesIO()
        torch.save(content, buffer, pickle_protocol=protocol)
        write("torch_checkpoint", name + ".pt", buffer.getvalue())
        with zipfile.ZipFile(buffer) as archive:
            # zipfile would refuse the check sum of zero.
            member = archive.getinfo("archive/data.pkl")
            begin = member.header_offset + 30 + sum(struct.unpack_from("<HH", buffer.getvalue(), member.header_offset + 26))
            write("torch_checkpoint", name + ".pkl", buffer.getvalue()[begin:begin + member.file_size])


def config() -> None:
    # The first byte is the kind: see config.cpp.
    kinds = {"text_encoder": 0, "image_encoder": 1, "prior": 2, "text_proj": 3, "decoder": 4, "super_res_first": 4,
             "prior_scheduler": 5, "decoder_scheduler": 5}
    for name, kind in kinds.items():
        path = next(p for p in ((MODEL / name / "config.json"), (MODEL / name / "scheduler_config.json")) if p.exists())
        write("config", name, bytes([kind]) + path.read_bytes())
    public = json.loads((GOLDEN / "public_checkpoint.json").read_text())
    for name, record in public.items():
        if name in kinds:
            write("config", "public_" + name, bytes([kinds[name]]) + json.dumps(record["config"]).encode())
    write("config", "values", b'\x06{"n": 5, "x": -1e-5, "t": "\\u00e9", "l": [1, 2], "b": true, "o": {"k": null}, "z": []}')


def byte_characters() -> list:
    """GPT-2's table: a printable character for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def tokenizer() -> None:
    letters = byte_characters()
    merges = [("o", "w"), ("ow", "l</w>"), ("r", "e"), ("re", "d</w>"), ("p", "p"), ("a", "pp")]
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokens = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + [start, end]
    vocab = json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False, separators=(",", ":"))
    merges_text = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges)
    special = json.dumps({"bos_token": start, "eos_token": {"content": end, "normalized": True}, "pad_token": "!"})
    settings = json.dumps({"model_max_length": 16, "tokenizer_class": "CLIPTokenizer", "pad_token": "!",
                           "added_tokens_decoder": {"519": {"content": end, "special": True}}})
    added = [{"id": len(tokens) - 2 + i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, t in enumerate((start, end))]
    whole = json.dumps({"version": "1.0", "added_tokens": added, "normalizer": None, "pre_tokenizer": None,
                        "model": {"type": "BPE", "unk_token": end, "end_of_word_suffix": "</w>",
                                  "vocab": json.loads(vocab), "merges": [" ".join(m) for m in merges]}},
                       ensure_ascii=False, separators=(",", ":"))
    prompt = "A red owl 7 apples’ ﬁ İ \u200d🦉 <|endoftext|> don't"
    write("tokenizer", "folder", "\0".join([vocab, merges_text, special, settings, "", prompt]).encode())
    write("tokenizer", "plain", "\0".join([vocab, merges_text, "", "", "", prompt]).encode())
    write("tokenizer", "json", "\0".join(["", "", "", settings, whole, prompt]).encode())
    write("tokenizer", "openai.gz", gzip.compress(merges_text.encode(), mtime=0))


def picture() -> None:
    noise = random.Random(1)
    rgb = PIL.Image.frombytes("RGB", (9, 7), bytes(noise.randrange(256) for _ in range(9 * 7 * 3)))

    def save_as(name: str, image, **options) -> None:
        buffer = io.BytesIO()
        image.save(buffer, **options)
        write("picture", name, buffer.getvalue())

    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.convert("L"))
    for name, image in {"rgb": rgb, "grey": rgb.convert("L"), "palette": rgb.quantize(16), "alpha": alpha,
                        "grey_alpha": alpha.convert("LA"), "one_bit": rgb.convert("1")}.items():
        save_as(name + ".png", image, format="PNG")
    deep = PIL.Image.frombytes("I;16", (5, 4), bytes(noise.randrange(256) for _ in range(5 * 4 * 2)))
    save_as("sixteen_bits.png", deep, format="PNG")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation
    for name, image, options in (("rgb", rgb, {}), ("grey", rgb.convert("L"), {}), ("cmyk", rgb.convert("CMYK"), {}),
                                 ("progressive", rgb, {"progressive": True}), ("turned", rgb, {"exif": exif})):
        save_as(name + ".jpg", image, format="JPEG", quality=60, **options)
    save_as("rgb.bmp", rgb, format="BMP")
    save_as("palette.bmp", rgb.quantize(16), format="BMP")


if __name__ == "__main__":
    for make in (safetensors, torch_checkpoint, config, tokenizer, picture):
        make()
