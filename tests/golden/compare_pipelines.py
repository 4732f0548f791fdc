"""Whole pipelines of many kinds against diffusers, stage by stage, from the same seed.

    python tests/golden/compare_pipelines.py --program build/examples/dalle2/dalle2
    python tests/golden/compare_pipelines.py --program ... --only deep --keep FOLDER

(in the environment that make_golden.py describes). For each configuration the reference's classes make a
directory of random weights, save it, and draw a prompt from a seed and, where it says so, a variation of a
picture; the dalle2 program loads the same directory and draws the same. The table has the root mean square
difference of each stage as a share of its values', for the worst of its steps, and the decibels between the
pictures. In brackets: what the reference's own float32 differs from its float64, for random networks magnify
rounding, and no other program can be nearer than that. Exit status 1 when a stage differs by more than 1e-4
(or five times the reference's own rounding, where that is more) or a picture agrees to less than 50 decibels.
"""

import argparse
import copy
import math
import pathlib
import subprocess
import sys
import tempfile

try:
    import diffusers
    import numpy as np
    import PIL.Image
    import safetensors.numpy
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import deterministic
from diffusers import UnCLIPScheduler
from diffusers.pipelines.unclip import UnCLIPTextProjModel
from make_golden import (ATTENTION_DOWN, ATTENTION_UP, MERGES, PLAIN_DOWN, PLAIN_UP, run_pipeline, time_embedding_width,
                         write_tokenizer)

torch.set_grad_enabled(False)

# What every configuration has unless it says otherwise.
USUAL = dict(
    prompt="a red apple", seed=7, steps=(5, 5, 4), guidance=(4.0, 8.0), pad="!", tokens=11, extra_tokens=4, variations=False,
    text=dict(hidden_size=16, intermediate_size=40, num_attention_heads=2, num_hidden_layers=2, hidden_act="quick_gelu"),
    prior=dict(num_attention_heads=2, attention_head_dim=8, num_layers=2),
    decoder=dict(sample_size=8, block_out_channels=[8, 16, 16], layers_per_block=1, norm_num_groups=4,
                 attention_head_dim=8, cross_attention_dim=12, down_block_types="paa", up_block_types="aap"),
    upsampler=dict(sample_size=16, block_out_channels=[6, 12], layers_per_block=1, norm_num_groups=3),
    last=None)  # the second upsampler's differences from the first; "same": it is the first

CONFIGURATIONS = {
    "usual": dict(variations=True),
    "one_level": dict(
        decoder=dict(sample_size=6, block_out_channels=[12], layers_per_block=1, norm_num_groups=2,
                     attention_head_dim=4, cross_attention_dim=5, down_block_types="a", up_block_types="a"),
        upsampler=dict(sample_size=10, block_out_channels=[7], layers_per_block=1, norm_num_groups=7)),
    "deep": dict(
        decoder=dict(sample_size=16, block_out_channels=[8, 12, 20, 24, 28], layers_per_block=2, norm_num_groups=4,
                     attention_head_dim=4, cross_attention_dim=9, down_block_types="papaa", up_block_types="aapap"),
        upsampler=dict(sample_size=32, block_out_channels=[5, 10, 15, 20], layers_per_block=2, norm_num_groups=5)),
    "channels_not_multiples_of_32": dict(
        text=dict(hidden_size=33, intermediate_size=70, num_attention_heads=3, num_hidden_layers=3, hidden_act="gelu"),
        prior=dict(num_attention_heads=3, attention_head_dim=11, num_layers=1),
        decoder=dict(sample_size=12, block_out_channels=[35, 49], layers_per_block=1, norm_num_groups=7,
                     attention_head_dim=7, cross_attention_dim=39, down_block_types="aa", up_block_types="aa"),
        upsampler=dict(sample_size=24, block_out_channels=[33, 66], layers_per_block=1, norm_num_groups=11)),
    "groups_of_one_channel": dict(
        decoder=dict(sample_size=8, block_out_channels=[6, 6], layers_per_block=1, norm_num_groups=6,
                     attention_head_dim=3, cross_attention_dim=4, down_block_types="pa", up_block_types="ap"),
        upsampler=dict(sample_size=16, block_out_channels=[8, 8], layers_per_block=1, norm_num_groups=8)),
    "one_group": dict(
        decoder=dict(sample_size=8, block_out_channels=[9, 9], layers_per_block=3, norm_num_groups=1,
                     attention_head_dim=9, cross_attention_dim=4, down_block_types="pp", up_block_types="pp"),
        upsampler=dict(sample_size=12, block_out_channels=[5, 5, 5], layers_per_block=3, norm_num_groups=1)),
    "heads_differ": dict(
        prior=dict(num_attention_heads=1, attention_head_dim=13, num_layers=3),
        decoder=dict(sample_size=8, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4,
                     attention_head_dim=16, cross_attention_dim=12, down_block_types="pa", up_block_types="ap")),
    # (As many tokens as the smallest level has pixels would stop the reference, which then does not pad its mask.)
    "short_context": dict(prompt="red", tokens=4, extra_tokens=1, variations=True),
    "long_context": dict(prompt="an apple and a blue owl, then another red apple", tokens=40, extra_tokens=9),
    "padding_is_end_of_text": dict(pad="<|endoftext|>", prompt=""),
    "projected_class_embedding": dict(variations=True, decoder=dict(
        sample_size=8, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        cross_attention_dim=12, down_block_types="pa", up_block_types="ap", class_embed_type="projection",
        projection_class_embeddings_input_dim=21, time_embedding_dim=26)),
    "simply_projected_class_embedding": dict(decoder=dict(
        sample_size=8, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        cross_attention_dim=12, down_block_types="pa", up_block_types="ap", class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=19)),
    "time_is_added": dict(decoder=dict(
        sample_size=8, block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        cross_attention_dim=12, down_block_types="pa", up_block_types="ap", resnet_time_scale_shift="default",
        flip_sin_to_cos=False, freq_shift=1)),
    "one_super_resolution_network": dict(last="same"),
    "different_super_resolution_networks": dict(
        last=dict(block_out_channels=[8, 8, 8], layers_per_block=2, norm_num_groups=2)),
    "two_steps": dict(steps=(2, 2, 2)),
    "many_steps": dict(steps=(25, 25, 7), guidance=(2.0, 3.0)),
    "without_guidance": dict(guidance=(1.0, 1.0), variations=True),
}


def build(name, configuration, folder):
    """The parts of both pipelines, filled, and saved into `folder`."""
    c = copy.deepcopy(USUAL) | copy.deepcopy(configuration)
    tokenizer, words = write_tokenizer(folder / "tokenizer", MERGES, c["pad"], c["tokens"])
    width = c["text"]["hidden_size"]
    kinds = {"p": (PLAIN_DOWN, PLAIN_UP), "a": (ATTENTION_DOWN, ATTENTION_UP)}
    decoder = dict(in_channels=3, out_channels=6, class_embed_type="identity", resnet_time_scale_shift="scale_shift",
                   mid_block_type="UNetMidBlock2DSimpleCrossAttn") | c["decoder"]
    decoder["down_block_types"] = [kinds[k][0] for k in decoder["down_block_types"]]
    decoder["up_block_types"] = [kinds[k][1] for k in decoder["up_block_types"]]

    def upsampler(changes):
        u = dict(in_channels=6, out_channels=3, add_attention=False) | c["upsampler"] | changes
        levels = len(u["block_out_channels"])
        return diffusers.UNet2DModel(**u, down_block_types=[PLAIN_DOWN] * levels, up_block_types=[PLAIN_UP] * levels)

    parts = {
        "text_encoder": transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(
            vocab_size=words, max_position_embeddings=c["tokens"], projection_dim=width, bos_token_id=words - 2,
            eos_token_id=words - 1, pad_token_id=tokenizer.pad_token_id, **c["text"])),
        "image_encoder": transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
            hidden_size=16, intermediate_size=40, num_attention_heads=2, num_hidden_layers=2, image_size=24,
            patch_size=8, projection_dim=width)),
        "prior": diffusers.PriorTransformer(embedding_dim=width, num_embeddings=c["tokens"], additional_embeddings=4,
                                            **c["prior"]),
        "text_proj": UnCLIPTextProjModel(
            clip_extra_context_tokens=c["extra_tokens"], clip_embeddings_dim=width,
            time_embed_dim=decoder.get("projection_class_embeddings_input_dim") or time_embedding_width(decoder),
            cross_attention_dim=decoder["cross_attention_dim"]),
        "decoder": diffusers.UNet2DConditionModel(**decoder),
        "super_res_first": upsampler({}),
    }
    if c["last"] != "same":
        parts["super_res_last"] = upsampler(c["last"] or {})
    for part, module in parts.items():
        deterministic.fill(f"compare/{name}/{part}", module.eval())
    last = parts.get("super_res_last", parts["super_res_first"])
    feature_extractor = transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    schedulers = dict(
        decoder_scheduler=UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"))
    both = dict(tokenizer=tokenizer, **schedulers, **{k: parts[k] for k in ("text_encoder", "text_proj", "decoder",
                                                                          "super_res_first")}, super_res_last=last)
    text_to_image = diffusers.UnCLIPPipeline(prior=parts["prior"], prior_scheduler=UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0), **both)
    variations = diffusers.UnCLIPImageVariationPipeline(
        image_encoder=parts["image_encoder"], feature_extractor=feature_extractor, **both)
    variations.save_pretrained(folder / "variations")
    text_to_image.save_pretrained(folder / "text_to_image")
    for pipe in (text_to_image, variations):
        pipe.set_progress_bar_config(disable=True)
    return c, text_to_image, variations


def reference(pipe, call):
    """The values of every stage in float32, and in float64."""
    single = run_pipeline(pipe, call, torch.float32)
    pipe.to(torch.float64)
    double = run_pipeline(pipe, call, torch.float64)
    pipe.to(torch.float32)
    return single, double


def ours(program, arguments, folder):
    """The same from the program's --stages file, in the reference's order of axes."""
    output = folder / "stages.safetensors"
    subprocess.run([program, *arguments, "--engine", "float32", "--stages", str(output), "-o", str(folder / "ours.png")],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tensors = {k: torch.from_numpy(v) for k, v in safetensors.numpy.load_file(output).items()}
    channels_first = lambda x: x.permute(0, 3, 1, 2) if x.dim() == 4 else x
    record = {"image_embedding": tensors["image_embedding"], "picture": (tensors["pictures"] / 2 + 0.5).clamp(0, 1)}
    for stage, prefix in (("prior_steps", "prior."), ("decoder_steps", "decoder."), ("super_res_steps", "super_resolution.")):
        names = sorted(k for k in tensors if k.startswith(prefix) and not k.endswith(".00"))
        record[stage] = [channels_first(tensors[k]) for k in names]
    return record


def stage_difference(a, b):
    pairs = list(zip(a, b)) if isinstance(a, list) else [(a, b)]
    return max(float((x.double() - y.double()).norm() / y.double().norm()) for x, y in pairs)


def decibels(a, b):
    return -10 * math.log10(float(((a.double() - b.double()) ** 2).mean()) + 1e-20)


def report(name, found, single, double) -> bool:
    cells, good = [], True
    for stage in ("prior_steps", "image_embedding", "decoder_steps", "super_res_steps"):
        if stage not in single:
            cells.append(f"{'':>19}")
            continue
        assert stage not in found or len(found[stage]) == len(single[stage]), (stage, len(found[stage]))
        difference, rounding = stage_difference(found[stage], single[stage]), stage_difference(single[stage], double[stage])
        good &= difference < max(1e-4, 5 * rounding)
        cells.append(f"{difference:9.1e} ({rounding:.0e})")
    quality = decibels(found["picture"], single["picture"])
    good &= quality >= 50
    print(f"{name:44} " + " ".join(f"{c:>19}" for c in cells) + f" {quality:7.1f} dB" + ("" if good else "  WRONG"), flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the dalle2 program")
    parser.add_argument("--only", nargs="*", choices=list(CONFIGURATIONS), help="these configurations alone")
    parser.add_argument("--without-variations", action="store_true")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the directories of weights")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    print(f"{'configuration':44} {'prior':>19} {'image embedding':>19} {'decoder':>19} {'super-resolution':>19}    picture")
    good = True
    for name, configuration in CONFIGURATIONS.items():
        if arguments.only and name not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.keep / name if arguments.keep else pathlib.Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            c, text_to_image, variations = build(name, configuration, folder)
            steps, guidance = c["steps"], c["guidance"]
            call = dict(seed=c["seed"], decoder_num_inference_steps=steps[1], super_res_num_inference_steps=steps[2],
                        decoder_guidance_scale=guidance[1])
            drawn = ["--seed", str(c["seed"]), "--steps", str(steps[1]), "--super-res-steps", str(steps[2]),
                     "--guidance", str(guidance[1])]
            single, double = reference(text_to_image, call | dict(
                prompt=c["prompt"], prior_num_inference_steps=steps[0], prior_guidance_scale=guidance[0]))
            found = ours(arguments.program, ["generate", c["prompt"], "--model", str(folder / "text_to_image"), *drawn,
                                             "--prior-steps", str(steps[0]), "--prior-guidance", str(guidance[0])], folder)
            good &= report(name, found, single, double)
            if c["variations"] and not arguments.without_variations:
                picture = folder / "picture.png"
                noise = deterministic.normal(name, (37, 51, 3))
                PIL.Image.fromarray((127 + 40 * noise).clip(0, 255).astype(np.uint8)).save(picture)
                single, double = reference(variations, call | dict(image=PIL.Image.open(picture).convert("RGB")))
                found = ours(arguments.program, ["vary", str(picture), "--model", str(folder / "variations"), *drawn],
                             folder)
                good &= report(name + ", variation", found, single, double)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
