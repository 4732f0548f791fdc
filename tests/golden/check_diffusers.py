"""Does a model directory written by dalle2 open in diffusers, and give the same pictures?

    python tests/golden/check_diffusers.py MODEL --program build/examples/dalle2/dalle2 \
        --prompt "an owl above a snowman" --seed 7 --engine float32

(in the environment that make_golden.py describes). Every component is loaded by its own class, which
must find no missing, unexpected or misshapen tensor; then UnCLIPPipeline and the dalle2 program
draw the prompt from the same seed. Exit status 1 when a key or a picture is wrong: pictures must
agree to 45 decibels in float32 and 30 in bfloat16. Without --program only the keys are checked.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import PIL.Image
import torch
import transformers
from diffusers.pipelines.unclip import UnCLIPTextProjModel

CLASSES = {
    "text_encoder": transformers.CLIPTextModelWithProjection,
    "image_encoder": transformers.CLIPVisionModelWithProjection,
    "prior": diffusers.PriorTransformer,
    "text_proj": UnCLIPTextProjModel,
    "decoder": diffusers.UNet2DConditionModel,
    "super_res_first": diffusers.UNet2DModel,
    "super_res_last": diffusers.UNet2DModel,
}
DEFAULTS = {"prior_steps": 25, "decoder_steps": 25, "super_resolution_steps": 7, "prior_guidance_scale": 4.0,
            "decoder_guidance_scale": 8.0}


def check_keys(model: pathlib.Path) -> bool:
    good = True
    for name in json.loads((model / "model_index.json").read_text()):
        if name not in CLASSES:
            continue
        module, info = CLASSES[name].from_pretrained(model, subfolder=name, output_loading_info=True)
        wrong = {k: v for k, v in info.items() if v}
        parameters = sum(p.numel() for p in module.parameters())
        print(f"{name}: {parameters} parameters, {wrong or 'every key in its place'}")
        good &= not wrong
    return good


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(float(((a.astype(float) - b.astype(float)) ** 2).mean()) / 255**2 + 1e-12)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--program", help="the dalle2 program")
    parser.add_argument("--prompt", action="append", help="may be given several times")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--engine", default="float32", choices=["reference", "float32", "bfloat16"])
    parser.add_argument("--prior-guidance", type=float)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--save", type=pathlib.Path, help="a folder for both pictures")
    arguments = parser.parse_args()

    good = check_keys(arguments.model)
    pipeline = diffusers.UnCLIPPipeline.from_pretrained(arguments.model)
    pipeline.set_progress_bar_config(disable=True)
    if (arguments.model / "image_encoder").exists():
        diffusers.UnCLIPImageVariationPipeline.from_pretrained(arguments.model)
    if not arguments.program:
        return 0 if good else 1

    settings = dict(DEFAULTS)
    if (arguments.model / "generation_config.json").exists():
        settings |= json.loads((arguments.model / "generation_config.json").read_text())
    if arguments.prior_guidance is not None:
        settings["prior_guidance_scale"] = arguments.prior_guidance
    if arguments.guidance is not None:
        settings["decoder_guidance_scale"] = arguments.guidance
    needed = 30 if arguments.engine == "bfloat16" else 45
    for prompt in arguments.prompt or ["a red apple"]:
        theirs = pipeline(
            prompt, generator=torch.Generator().manual_seed(arguments.seed), output_type="np",
            prior_num_inference_steps=settings["prior_steps"],
            decoder_num_inference_steps=settings["decoder_steps"],
            super_res_num_inference_steps=settings["super_resolution_steps"],
            prior_guidance_scale=settings["prior_guidance_scale"],
            decoder_guidance_scale=settings["decoder_guidance_scale"]).images[0]
        theirs = (theirs * 255).round().astype("uint8")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "ours.png"
            subprocess.run([arguments.program, "generate", prompt, "--model", str(arguments.model), "-o", str(path),
                            "--seed", str(arguments.seed), "--engine", arguments.engine,
                            "--prior-guidance", str(settings["prior_guidance_scale"]),
                            "--guidance", str(settings["decoder_guidance_scale"])], check=True)
            ours = np.asarray(PIL.Image.open(path).convert("RGB"))
        decibels = psnr(ours, theirs)
        good &= decibels >= needed
        print(f"{prompt!r}: {decibels:.1f} dB, {needed} needed")
        if arguments.save:
            arguments.save.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(np.concatenate([theirs, ours], axis=1)).save(
                arguments.save / f"{prompt.replace(' ', '_')[:60]}.png")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
