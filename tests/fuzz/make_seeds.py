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
    write("safetensors", "packed", packed_file())


# As include/dalle2/io/packed_file.hpp describes it: tests/io/packed_file.cpp reads what this makes.
def packed_file() -> bytes:
    b = [[(5 * o + i - 40) / 8 for i in range(5)] for o in range(18)]  # exact in bfloat16
    q = [[[[(o * 12 + i * 4 + y * 2 + x) * 5 - 60 for x in range(2)] for y in range(2)] for i in range(3)] for o in range(2)]
    bits = lambda value: struct.unpack("<I", struct.pack("<f", value))[0] >> 16
    tensors = {
        "b": ("BF16", [32 * 6], struct.pack("<192H", *packed([[[[bits(v)]] for v in row] for row in b], 2))),
        "i": ("I8", [2 * 8 * 16], struct.pack("<256b", *packed(q, 4))),
        "i_scale": ("F32", [2], struct.pack("<2f", 0.5, 2)),
        "i_sum": ("I32", [2], struct.pack("<2i", *(sum(v for i in o for y in i for v in y) for o in q))),
        "bias": ("F32", [3], struct.pack("<3f", 1, -2, 0.1)),
    }
    checks = b"".join(struct.pack("<2Q", check_sum(data), 0) for _, _, data in tensors.values())
    tensors["packed_checks"] = ("U64", [5, 2], checks)
    header, data = {"__metadata__": {"format": "pt", "packed": json.dumps({"version": 1, "shapes": {"b": [18, 5], "i": [2, 3, 2, 2]}})}}, b""
    for name, (dtype, shape, part) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text + data


# w [out][in][height][width] in the order of PackedLayout, `pair` inputs together.
def packed(w: list, pair: int) -> list:
    out, inputs, height, width = len(w), len(w[0]), len(w[0][0]), len(w[0][0][0])
    run = -(-width * inputs // pair) * pair
    to = [0] * (-(-out // 16) * 16 * height * run)
    for o in range(out):
        for i in range(inputs):
            for y in range(height):
                for x in range(width):
                    r = x * inputs + i
                    to[(o // 16 * height + y) * run * 16 + r // pair * 16 * pair + o % 16 * pair + r % pair] = w[o][i][y][x]
    return to


# See include/dalle2/io/check_sum.hpp.
def check_sum(data: bytes) -> int:
    mask, odd, turned = 2**64 - 1, 0x9E3779B97F4A7C15, lambda h: (h << 29 | h >> 35) & (2**64 - 1)

    def of_piece(piece: bytes) -> int:
        sums = [0] * 8
        words = struct.unpack(f"<{(len(piece) // 64 + 1) * 8}Q", piece + bytes(64 - len(piece) % 64))
        for i, word in enumerate(words):
            sums[i % 8] = turned((sums[i % 8] + word) * odd & mask)
        total = len(piece)
        for part in sums:
            total = turned((total + part) * odd & mask)
        return total ^ total >> 32

    pieces = [data[begin:begin + 2**20] for begin in range(0, len(data), 2**20)]
    return of_piece(b"".join(struct.pack("<Q", of_piece(piece)) for piece in pieces))


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
