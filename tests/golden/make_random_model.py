"""A whole UnCLIP directory of the public checkpoint's size, filled with random weights.

    python tests/golden/make_random_model.py MODEL                 # 6.9 GB, bfloat16
    python tests/golden/make_random_model.py MODEL --dtype float16
    python tests/golden/make_random_model.py MODEL --step          # and one step of each network

(in the environment that make_golden.py describes). The reference's own classes make it and save it, so it
has the files, names and shapes that the public checkpoint has; its pictures show nothing. Weights are
scaled so that activations keep their size through every network.

With --step, MODEL/step/NETWORK.safetensors holds random inputs and the float32 output of one forward pass of
each network, computed by the reference from the weights as they were saved. tests/golden/full_size.cpp
compares this library with them:

    DALLE2_FULL_SIZE_MODEL=MODEL build/tests/test_golden --source-file=*/full_size.cpp
"""

import argparse
import gc
import json
import math
import pathlib
import shutil
import time

import diffusers
import safetensors.torch
import torch
import transformers
from diffusers import UnCLIPScheduler
from diffusers.pipelines.unclip import UnCLIPTextProjModel

HERE = pathlib.Path(__file__).resolve().parent
TOKENIZER = HERE.parent.parent / "examples/models/emoji-scenes/tokenizer"

torch.set_grad_enabled(False)


def text_encoder(config):
    return transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**config))


def image_encoder(config):
    return transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**config))


CLASSES = {
    "text_encoder": text_encoder,
    "image_encoder": image_encoder,
    "prior": lambda c: diffusers.PriorTransformer.from_config(c),
    "text_proj": lambda c: UnCLIPTextProjModel.from_config(c),
    "decoder": lambda c: diffusers.UNet2DConditionModel.from_config(c),
    "super_res_first": lambda c: diffusers.UNet2DModel.from_config(c),
    "super_res_last": lambda c: diffusers.UNet2DModel.from_config(c),
}
SCHEDULERS = ["prior_scheduler", "decoder_scheduler", "super_res_scheduler"]


def fill(module, generator, dtype):
    """Every parameter matters: norms around one, biases small, weights that keep the variance."""
    for name, parameter in list(module.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
        if name.endswith("clip_std") or (parameter.dim() == 1 and name.endswith(".weight")):
            values = 1 + 0.1 * values
        elif name.endswith(".bias") or name.endswith("clip_mean"):
            values *= 0.05
        elif name.endswith(".weight") and not name.endswith("_embedding.weight"):
            values *= 0.8 / math.sqrt(math.prod(parameter.shape[1:]))
        else:  # tables and learned tokens
            values *= 0.3
        owner, _, key = name.rpartition(".")
        module.get_submodule(owner).register_parameter(key, torch.nn.Parameter(values.to(dtype)))


# --- One step -----------------------------------------------------------------------------------


def randn(generator, *shape):
    return torch.randn(shape, generator=generator)


def run_text_encoder(m, g):
    ids = torch.tensor([[49406, 320, 2368, 518, 49407] + [0] * 72], dtype=torch.int32)
    ids = ids.clamp(max=m.config.vocab_size - 1)
    out = m(input_ids=ids)
    return {"input_ids": ids}, {"text_embedding": out.text_embeds, "hidden_states": out.last_hidden_state}


def run_image_encoder(m, g):
    side = m.config.image_size
    pictures = randn(g, 1, 3, side, side)
    return {"pictures": pictures}, {"image_embedding": m(pixel_values=pictures).image_embeds}


def run_prior(m, g):
    width, tokens = m.config.embedding_dim, m.config.num_embeddings
    inputs = {"sample": randn(g, 2, width), "text_embedding": randn(g, 2, width),
              "text_states": randn(g, 2, tokens, width)}
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[0, 5:] = False
    out = m(inputs["sample"], timestep=487, proj_embedding=inputs["text_embedding"],
            encoder_hidden_states=inputs["text_states"], attention_mask=mask)
    return inputs | {"mask": mask.int()}, {"output": out.predicted_image_embedding}


def run_text_proj(m, g):
    width = m.learned_classifier_free_guidance_embeddings.shape[0]
    inputs = {"image_embedding": randn(g, 2, width), "text_embedding": randn(g, 2, width),
              "text_states": randn(g, 2, 77, width)}
    context, added_time = m(image_embeddings=inputs["image_embedding"], prompt_embeds=inputs["text_embedding"],
                      text_encoder_hidden_states=inputs["text_states"], do_classifier_free_guidance=False)
    return inputs, {"context": context, "time": added_time}


def run_decoder(m, g):
    side, width, context = m.config.sample_size, m.config.block_out_channels[0] * 4, m.config.cross_attention_dim
    inputs = {"sample": randn(g, 2, 3, side, side), "added_time": randn(g, 2, width),
              "context": randn(g, 2, 81, context)}
    mask = torch.ones(2, 81, dtype=torch.bool)
    mask[0, 9:] = False
    out = m(sample=inputs["sample"], timestep=487, encoder_hidden_states=inputs["context"],
            class_labels=inputs["added_time"], attention_mask=mask)
    return inputs | {"mask": mask.int()}, {"output": out.sample}


def run_upsampler(m, g):
    side = m.config.sample_size
    inputs = {"sample": randn(g, 1, 6, side, side)}
    return inputs, {"output": m(sample=inputs["sample"], timestep=487).sample}


STEPS = {"text_encoder": run_text_encoder, "image_encoder": run_image_encoder, "prior": run_prior,
         "text_proj": run_text_proj, "decoder": run_decoder, "super_res_first": run_upsampler,
         "super_res_last": run_upsampler}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", action="store_true", help="one forward pass of each network, for the comparison")
    parser.add_argument("--only", nargs="*", choices=list(CLASSES), help="these networks alone")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtype = getattr(torch, arguments.dtype)
    checkpoint = json.loads((HERE / "public_checkpoint.json").read_text())
    model = arguments.model
    model.mkdir(parents=True, exist_ok=True)

    for index, (name, make) in enumerate(CLASSES.items()):
        if arguments.only and name not in arguments.only:
            continue
        began = time.time()
        generator = torch.Generator().manual_seed(arguments.seed * 100 + index)
        with torch.device("meta"):
            module = make(checkpoint[name]["config"])
        fill(module, generator, dtype)
        # Buffers such as position_ids have no storage on the meta device.
        for key, buffer in list(module.named_buffers()):
            owner = module.get_submodule(key.rpartition(".")[0])
            if buffer.is_meta and key.endswith("position_ids"):
                value = torch.arange(buffer.shape[-1]).expand(buffer.shape)
            elif buffer.is_meta:  # the prior's causal mask
                n = buffer.shape[-1]
                value = torch.full((n, n), -10000.0).triu(1)[None]
            else:
                value = buffer
            setattr(owner, key.rpartition(".")[2], value)
        module.eval().save_pretrained(model / name, max_shard_size="100GB")
        count = sum(p.numel() for p in module.parameters())
        print(f"{name}: {count / 1e6:.0f} M parameters, {time.time() - began:.0f} s", flush=True)
        if arguments.step:
            began = time.time()
            module = module.float()
            inputs, outputs = STEPS[name](module, generator)
            (model / "step").mkdir(exist_ok=True)
            safetensors.torch.save_file(
                {**{f"input.{k}": v.contiguous() for k, v in inputs.items()},
                 **{f"output.{k}": v.contiguous() for k, v in outputs.items()}},
                model / "step" / f"{name}.safetensors")
            spread = {k: round(float(v.std()), 3) for k, v in outputs.items()}
            print(f"  one step: {time.time() - began:.1f} s, deviation of the output {spread}", flush=True)
        del module
        gc.collect()

    for name in SCHEDULERS:
        UnCLIPScheduler.from_config(checkpoint[name]["config"]).save_pretrained(model / name)
    transformers.CLIPImageProcessor().save_pretrained(model / "feature_extractor")
    # The vocabulary of the shipped model, with the public checkpoint's length: what the words are called does
    # not matter to networks of random weights.
    shutil.copytree(TOKENIZER, model / "tokenizer", dirs_exist_ok=True)
    config = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    config["model_max_length"] = 77
    (model / "tokenizer/tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    index = {"_class_name": "UnCLIPPipeline", "_diffusers_version": diffusers.__version__,
             "tokenizer": ["transformers", "CLIPTokenizer"], "feature_extractor": ["transformers", "CLIPImageProcessor"],
             "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
             "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
             "prior": ["diffusers", "PriorTransformer"], "text_proj": ["unclip", "UnCLIPTextProjModel"],
             "decoder": ["diffusers", "UNet2DConditionModel"], "super_res_first": ["diffusers", "UNet2DModel"],
             "super_res_last": ["diffusers", "UNet2DModel"]}
    index |= {name: ["diffusers", "UnCLIPScheduler"] for name in SCHEDULERS}
    (model / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
