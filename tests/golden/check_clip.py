"""Does dalle2 give transformers' numbers for whole CLIPs of public sizes, filled with random weights?

    python tests/golden/check_clip.py --program build/examples/dalle2/dalle2 [--sizes ViT-B/32 ViT-L/14]

(in the environment that make_golden.py describes). Each model is written by save_pretrained, as
safetensors, in several files, and as PyTorch's .bin; texts and pictures of many sizes go through
`dalle2 embed` and `dalle2 classify`, and through CLIPModel with CLIPProcessor. Prints the largest
relative errors; exit status 1 where one is above 1e-4 (the threshold of --tolerance).

A random model has a tokenizer of its own, made from tests/text/golden/small_tokenizer: the weights
are of full size, the rows of its table beyond that vocabulary are not used.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import transformers
from PIL import Image

import make_clip

SIZES = [(224, 224), (640, 480), (333, 777), (37, 19), (1200, 800), (5, 90)]
LABELS = ["apple", "an owl", "a red apple above a snowman"]


def save_model(folder, name, form) -> transformers.CLIPModel:
    torch.manual_seed(0)
    projection, text, image = make_clip.PUBLIC[name]
    text = text | {"eos_token_id": make_clip.VOCABULARY - 1}
    config = transformers.CLIPConfig(projection_dim=projection, text_config=text, vision_config=image)
    model = transformers.CLIPModel(config).eval()
    # What is zero or one at the beginning matters too.
    for tensor, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
    if form == "bin":
        model.save_pretrained(folder, safe_serialization=False)
    else:
        model.save_pretrained(folder, max_shard_size="200MB" if form == "sharded" else "50GB")
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(make_clip.TOKENIZER)
    side = model.config.vision_config.image_size
    images = transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(make_clip.TOKENIZER / file, folder)
    return model


def relative(found, expected) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def check(program, name, form, engine) -> float:
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = save_model(folder, name, form)
        processor = transformers.CLIPProcessor.from_pretrained(folder)
        files = []
        for width, height in SIZES:
            files.append(str(folder / f"{width}x{height}.png"))
            Image.fromarray(make_clip.synthetic(width, height)).save(files[-1])

        def run(*arguments):
            began = time.time()
            made = subprocess.run([program, *arguments, "--model", str(folder), "--engine", engine], check=True,
                                  stdout=subprocess.PIPE, text=True)
            return made.stdout, time.time() - began

        texts = [text for text in make_clip.TEXTS if text]
        _, seconds = run("embed", *texts, *files, "--raw", "-o", str(folder / "all.npy"))
        found = np.load(folder / "all.npy")
        judged = json.loads(run("classify", *files, "--labels", ",".join(LABELS), "--json")[0])

        pixels = processor(images=[Image.open(file) for file in files], return_tensors="pt")
        tokens = processor(text=texts, padding=True, truncation=True, return_tensors="pt")
        text_error = relative(found[:len(texts)], model.get_text_features(**tokens).numpy())
        picture_error = relative(found[len(texts):], model.get_image_features(**pixels).numpy())
        filled = ["a photo of a apple", "a photo of an owl", "a photo of a red apple above a snowman"]
        tokens = processor(text=filled, padding=True, truncation=True, return_tensors="pt")
        expected = model(**tokens, **pixels).logits_per_image.softmax(-1).numpy()
        ours = np.array([[next(l["probability"] for l in record["labels"] if l["label"] == label) for label in LABELS]
                         for record in judged])
        probability_error = float(np.abs(ours - expected).max())
        print(f"{name:13} {form:11} {engine:9} texts {text_error:.1e}  pictures {picture_error:.1e}  "
              f"probabilities {probability_error:.1e}  ({seconds:.1f} s for {len(found)} embeddings)", flush=True)
        return max(text_error, picture_error, probability_error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the dalle2 program")
    parser.add_argument("--sizes", nargs="+", default=["ViT-B/32"], choices=list(make_clip.PUBLIC))
    parser.add_argument("--forms", nargs="+", default=["safetensors", "sharded", "bin"])
    parser.add_argument("--engine", default="float32", choices=["reference", "float32", "bfloat16"])
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    worst = max(check(arguments.program, name, form, arguments.engine) for name in arguments.sizes
                for form in arguments.forms)
    return 0 if worst <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
