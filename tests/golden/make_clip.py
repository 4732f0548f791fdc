"""Golden values of CLIP: its preprocessing, tiny models, the tensors of the public sizes.

    oracle/bin/pip install pillow==13.0.0
    oracle/bin/python tests/golden/make_clip.py        # a few seconds

(in the environment that make_golden.py describes). Writes preprocess.json, clip_models.json,
public_clip.json and pictures/ beside itself. Large pictures are not stored: `synthetic` and its twin
in tests/clip/preprocess.cpp draw them; of what comes out only a check sum is kept.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
import torch
import transformers
from PIL import Image, ImageOps

import deterministic

HERE = pathlib.Path(__file__).resolve().parent
PICTURES = HERE / "pictures"
TOKENIZER = HERE.parent / "text" / "golden" / "small_tokenizer"
torch.set_grad_enabled(False)


def write(name, content) -> None:
    (HERE / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def as_list(values) -> list:
    """Shortest decimal numbers that name the float32 values."""
    return [float(str(v)) for v in np.asarray(values, dtype=np.float32).ravel()]


# --- Preprocessing ------------------------------------------------------------------------------


def synthetic(width: int, height: int) -> np.ndarray:
    """A picture [height, width, 3] of slopes and hard edges, from whole numbers alone."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.int64)
    return (((x * x * 7 + y * x * 13 + y * y * 3 + c * 101) >> 4) & 255).astype(np.uint8)


def check_sum(picture: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(picture).tobytes())


def resize_records() -> list:
    sides = [1, 2, 3, 5, 7, 13, 31, 64, 97]
    new_sides = [1, 2, 3, 17, 32, 50, 99]
    cases = []
    for i in range(60):
        filter = 3 if i % 2 else i // 2 % 6
        cases.append((sides[i * 5 % 9], sides[i * 7 % 9], new_sides[i * 3 % 7], new_sides[i * 4 % 7], filter))
    for filter in (2, 3):
        cases += [(4000, 3000, 298, 224, filter), (3000, 4000, 224, 298, filter), (800, 4000, 224, 1120, filter),
                  (1, 3000, 4, 224, filter), (640, 480, 448, 336, filter), (225, 224, 225, 224, filter)]
    records = []
    for width, height, new_width, new_height, filter in cases:
        picture = Image.fromarray(synthetic(width, height))
        result = np.array(picture.resize((new_width, new_height), filter))
        # What Pillow up to 12.3 does: the rows first, whatever the sizes.
        rows_first = np.array(picture.resize((new_width, height), filter).resize((new_width, new_height), filter))
        records.append([width, height, new_width, new_height, filter, check_sum(result), check_sum(rows_first)])
    assert any(r[5] != r[6] for r in records)
    return records


PREPROCESSORS = [
    ({"size": {"shortest_edge": 6}, "crop_size": {"height": 6, "width": 6}}, [(13, 9), (9, 13), (6, 6), (2, 40)]),
    ({"size": 5, "crop_size": 4, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.125]}, [(31, 64), (2, 2)]),
    ({"size": {"height": 4, "width": 7}, "crop_size": {"height": 4, "width": 6}}, [(20, 11)]),
    ({"size": [5, 3], "do_center_crop": False}, [(20, 11)]),
    ({"do_resize": False, "crop_size": {"height": 5, "width": 4}}, [(7, 2), (2, 8), (9, 8), (1, 2)]),
    ({"size": {"shortest_edge": 5}, "do_center_crop": False, "resample": 2}, [(7, 11), (11, 7)]),
    ({"size": {"shortest_edge": 4}, "crop_size": 7}, [(9, 5), (5, 4)]),
    ({"size": 4, "crop_size": 4, "do_rescale": False}, [(9, 5)]),
    ({"size": 4, "crop_size": 4, "do_normalize": False}, [(9, 5)]),
    ({"size": 4, "crop_size": 4, "do_normalize": False, "do_rescale": False, "resample": 0}, [(9, 5)]),
    ({"size": 4, "crop_size": 4, "rescale_factor": 0.01, "do_resize": None}, [(9, 5)]),
]


def preprocess_records() -> list:
    records = []
    for config, sizes in PREPROCESSORS:
        processor = transformers.CLIPImageProcessor(**config)
        for width, height in sizes:
            # Told, because a height of 1 or 3 would count as channels.
            values = processor(Image.fromarray(synthetic(width, height)), return_tensors="np",
                               input_data_format="channels_last")["pixel_values"][0].transpose(1, 2, 0)
            records.append({"config": config, "width": width, "height": height, "shape": list(values.shape),
                            "values": as_list(values)})
    return records


def png(width, height, depth, color_type, rows, extra=b"") -> bytes:
    """A PNG file of any colour type and depth; `rows` are the bytes of each."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9)) + chunk(b"IEND", b""))


def saved(picture, format, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def without_adobe_marker(jpeg: bytes) -> bytes:
    name = jpeg.index(b"Adobe")
    length = struct.unpack(">H", jpeg[name - 2:name])[0]
    return jpeg[:name - 4] + jpeg[name - 2 + length:]


def picture_files() -> dict:
    width, height = 11, 6
    y, x, c = np.mgrid[0:height, 0:width, 0:4]
    levels = ((x * 23 + y * 41 + c * 67) % 256).astype(np.uint8)
    wide = ((x * 5927 + y * 10531 + c * 17203) % 65536).astype(">u2")
    rgb, grey = Image.fromarray(levels[..., :3]), Image.fromarray(levels[..., 0])
    palette = rgb.quantize(13)

    def deep(channels, color_type, extra=b""):
        return png(width, height, 16, color_type, [wide[row, :, :channels].tobytes() for row in range(height)], extra)

    def shallow(depth):
        return png(16, 3, depth, 0, [bytes((row * 97 + i * 59) % 256 for i in range(2 * depth)) for row in range(3)])

    files = {
        "grey.png": saved(grey, "PNG"), "grey_alpha.png": saved(Image.fromarray(levels[..., :2], "LA"), "PNG"),
        "rgb.png": saved(rgb, "PNG"), "rgba.png": saved(Image.fromarray(levels), "PNG"),
        "palette.png": saved(palette, "PNG"), "palette_4.png": saved(palette, "PNG", bits=4),
        "palette_transparent.png": saved(palette, "PNG", transparency=bytes([0, 90, 255, 30])),
        "grey_transparent.png": saved(grey, "PNG", transparency=int(levels[2, 3, 0])),
        "rgb_transparent.png": saved(rgb, "PNG", transparency=tuple(int(v) for v in levels[2, 3, :3])),
        "grey_1.png": shallow(1), "grey_2.png": shallow(2), "grey_4.png": shallow(4),
        "grey_16.png": png(6, 1, 16, 0, [np.array([0, 1, 127, 255, 256, 65535], ">u2").tobytes()]),
        "grey_alpha_16.png": deep(2, 4), "rgb_16.png": deep(3, 2), "rgba_16.png": deep(4, 6),
        "rgb.bmp": saved(rgb, "BMP"), "palette.bmp": saved(palette, "BMP"), "grey.bmp": saved(grey, "BMP"),
    }
    y, x, c = np.mgrid[0:24, 0:37, 0:4]
    soft = Image.fromarray((127 + 100 * np.sin(x / 7 + c) * np.cos(y / 9)).astype(np.uint8))
    photo, inks = soft.convert("RGB"), Image.fromarray(np.array(soft), "CMYK")
    cmyk = saved(inks, "JPEG", quality=95)
    ycck = bytearray(cmyk)
    ycck[ycck.index(b"Adobe") + 11] = 2
    files |= {
        "photo_444.jpg": saved(photo, "JPEG", quality=90, subsampling=0),
        "photo_420.jpg": saved(photo, "JPEG", quality=90, subsampling=2),
        "photo_progressive.jpg": saved(photo, "JPEG", quality=90, progressive=True),
        "photo_grey.jpg": saved(photo.convert("L"), "JPEG", quality=90),
        "cmyk.jpg": cmyk, "cmyk_plain.jpg": without_adobe_marker(cmyk), "ycck.jpg": bytes(ycck),
    }
    for orientation in range(1, 10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"orientation_{orientation}.png"] = saved(rgb.crop((0, 0, 4, 3)), "PNG", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    files["orientation_6.jpg"] = saved(photo, "JPEG", quality=90, subsampling=0, exif=exif)
    return files


def picture_records() -> list:
    PICTURES.mkdir(exist_ok=True)
    records = []
    for name, content in picture_files().items():
        (PICTURES / name).write_bytes(content)
        picture = Image.open(PICTURES / name)
        record = {"file": name}
        for key, shown in (("levels", picture), ("upright", ImageOps.exif_transpose(picture))):
            if key == "upright" and not name.startswith("orientation"):
                continue
            rgb = np.array(shown.convert("RGB"))
            record |= {f"{key}_size": [rgb.shape[1], rgb.shape[0]], key: rgb.tobytes().hex()}
        records.append(record)
    return records


# --- Tiny models --------------------------------------------------------------------------------

TEXTS = ["", "a red apple", "an owl above a snowman on a pink background", "AN OWL  above é!"]
SIZES = [(23, 17), (12, 30), (12, 12)]

VOCABULARY = len(json.loads((TOKENIZER / "vocab.json").read_text()))
LENGTH = json.loads((TOKENIZER / "tokenizer_config.json").read_text())["model_max_length"]
TEXT = {"vocab_size": VOCABULARY + 3, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 3, "max_position_embeddings": LENGTH, "projection_dim": 10}
IMAGE = {"hidden_size": 20, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2,
         "image_size": 12, "patch_size": 5, "projection_dim": 10}
PROCESSOR = {"size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 12}}

# Config as a file states it; the class that is loaded with it.
MODELS = {
    "clip/usual": ("CLIPModel", {"model_type": "clip", "projection_dim": 14, "text_config": TEXT | {"eos_token_id": VOCABULARY - 1},
                                 "vision_config": IMAGE}),
    # As old files have it: both keys of which the older counts, the wrong end of text.
    "clip/old": ("CLIPModel", {"model_type": "clip", "projection_dim": 8, "text_config": TEXT | {"hidden_size": 12},
                               "text_config_dict": TEXT | {"hidden_act": "gelu", "eos_token_id": 2}, "vision_config": {},
                               "vision_config_dict": IMAGE | {"hidden_act": "gelu", "layer_norm_eps": 1e-4}}),
    "clip/text": ("CLIPTextModelWithProjection",
                  TEXT | {"model_type": "clip_text_model", "eos_token_id": VOCABULARY - 1, "projection_dim": 9}),
    "clip/image": ("CLIPVisionModelWithProjection", IMAGE | {"model_type": "clip_vision_model", "patch_size": 4}),
}


def model_record(name, class_name, config) -> dict:
    model_class = getattr(transformers, class_name)
    model = model_class(model_class.config_class(**config)).eval()
    for tensor, parameter in model.named_parameters():
        values = deterministic.weights(name, tensor, tuple(parameter.shape)) if parameter.dim() else np.float32(3)
        parameter.copy_(torch.tensor(values))
    record = {"name": name, "config": config,
              "parameters": {n: list(p.shape) for n, p in sorted(model.named_parameters())}}
    if "Vision" not in class_name:
        tokenizer = transformers.CLIPTokenizerFast.from_pretrained(TOKENIZER)
        tokens = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        embeddings = model.get_text_features(**tokens) if class_name == "CLIPModel" else model(**tokens).text_embeds
        record["texts"] = {"shape": list(embeddings.shape), "values": as_list(embeddings)}
    if "Text" not in class_name:
        processor = transformers.CLIPImageProcessor(**PROCESSOR)
        pixels = processor([Image.fromarray(synthetic(*size)) for size in SIZES], return_tensors="pt")
        embeddings = model.get_image_features(**pixels) if class_name == "CLIPModel" else model(**pixels).image_embeds
        record["pictures"] = {"shape": list(embeddings.shape), "values": as_list(embeddings)}
    if class_name == "CLIPModel":
        record["logit_scale"] = float(model.logit_scale.exp())
    return record


# --- The public sizes ---------------------------------------------------------------------------


def tower(hidden, intermediate, heads, layers, **others) -> dict:
    return {"hidden_size": hidden, "intermediate_size": intermediate, "num_attention_heads": heads,
            "num_hidden_layers": layers, **others}


# Radford et al. 2021, table 20, and the model configs of open_clip; what is not said is as in B/32.
GELU = {"hidden_act": "gelu"}
PUBLIC = {
    "ViT-B/32": (512, {}, {}),
    "ViT-B/16": (512, {}, {"patch_size": 16}),
    "ViT-L/14": (768, tower(768, 3072, 12, 12), tower(1024, 4096, 16, 24, patch_size=14)),
    "ViT-L/14-336": (768, tower(768, 3072, 12, 12), tower(1024, 4096, 16, 24, patch_size=14, image_size=336)),
    "ViT-H/14": (1024, tower(1024, 4096, 16, 24, **GELU), tower(1280, 5120, 16, 32, patch_size=14, **GELU)),
    "ViT-g/14": (1024, tower(1024, 4096, 16, 24, **GELU), tower(1408, 6144, 16, 40, patch_size=14, **GELU)),
    "ViT-bigG/14": (1280, tower(1280, 5120, 20, 32, **GELU), tower(1664, 8192, 16, 48, patch_size=14, **GELU)),
}


def public_record(projection, text, image) -> dict:
    config = {"model_type": "clip", "projection_dim": projection, "text_config": text, "vision_config": image}
    with torch.device("meta"):
        model = transformers.CLIPModel(transformers.CLIPConfig(**config))
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    lines = sorted(f"{name}\t{'x'.join(map(str, shape))}\n" for name, shape in shapes.items())
    return {"config": config, "tensors": len(shapes), "parameters": sum(p.numel() for p in model.parameters()),
            "hash": f"{deterministic.name_hash(''.join(lines)):016x}"}


def main() -> None:
    assert PIL.__version__ == "13.0.0", PIL.__version__
    write("preprocess.json", {"resize": resize_records(), "preprocess": preprocess_records(), "pictures": picture_records()})
    write("clip_models.json", {"texts": TEXTS, "sizes": SIZES, "processor": PROCESSOR,
                               "models": [model_record(name, *made) for name, made in MODELS.items()]})
    write("public_clip.json", {name: public_record(*sizes) for name, sizes in PUBLIC.items()})


if __name__ == "__main__":
    main()
