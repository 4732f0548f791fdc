"""Golden values of the reference implementations, for the C++ tests of this folder and tests/diffusion.

    python3 -m venv oracle
    oracle/bin/pip install torch==2.6.0 diffusers==0.33.1 transformers==4.49.0 accelerate numpy
    oracle/bin/python tests/golden/make_golden.py            # everything, a few minutes
    oracle/bin/python tests/golden/make_golden.py decoder    # the cases whose name contains a word

(--index-url https://download.pytorch.org/whl/cpu gives a torch without GPU libraries.) Writes
models.json, schedulers.json, solvers.json, pipelines.json, variations.json and pipelines/ beside itself. Weights and inputs
are not stored: they follow from names (deterministic.py). Before anything is written, each model proves that
every parameter matters (perturbing it changes the output), and that the numbers are well
conditioned (the same computation in double precision agrees to 2e-5).
"""

import json
import pathlib
import sys
import unittest.mock

import diffusers
import numpy as np
import PIL.Image
import torch
import transformers

import deterministic

HERE = pathlib.Path(__file__).resolve().parent
torch.set_grad_enabled(False)
torch.set_num_threads(2)


def as_list(tensor) -> list:
    """Shortest decimal numbers that name the float32 values."""
    return [float(str(v)) for v in np.asarray(tensor, dtype=np.float32).ravel()]


def tensor_record(tensor) -> dict:
    return {"shape": list(tensor.shape), "values": as_list(tensor)}


def relative_difference(a, b) -> float:
    a, b = a.double(), b.double()
    return float((a - b).abs().max() / b.abs().max())


# --- Models -------------------------------------------------------------------------------------


class Case:
    """One model with its config and inputs. `inputs` are random normals unless given as lists."""

    def __init__(self, name, build, config, inputs, run, exempt=()):
        self.name, self.build, self.config, self.inputs, self.run = name, build, config, inputs, run
        self.exempt = exempt  # endings of parameters that cannot matter

    def make_inputs(self, dtype) -> dict:
        made = {}
        for key, value in self.inputs.items():
            if isinstance(value, tuple):  # a shape
                made[key] = torch.from_numpy(deterministic.inputs(f"{self.name}/{key}", value)).to(dtype)
            else:
                made[key] = torch.tensor(value)
        return made

    def outputs(self, model, dtype) -> dict:
        torch.set_default_dtype(dtype)  # some masks take their type from it
        try:
            return self.run(model, **self.make_inputs(dtype))
        finally:
            torch.set_default_dtype(torch.float32)

    def record(self) -> dict:
        model = self.build(self.config).eval()
        deterministic.fill(self.name, model)
        outputs = self.outputs(model, torch.float32)
        double = self.outputs(model.double(), torch.float64)
        for key in outputs:
            difference = relative_difference(outputs[key], double[key])
            assert difference < 2e-5, (self.name, key, difference)
        self.check_every_parameter_matters(model, double)
        # What save_pretrained writes into config.json.
        config = model.config.to_diff_dict() if hasattr(model.config, "to_diff_dict") else dict(model.config)
        return {
            "name": self.name,
            "config": {k: v for k, v in config.items() if k != "_name_or_path"},
            "parameters": {n: list(p.shape) for n, p in sorted(model.named_parameters())},
            "inputs": {k: {"shape": list(v)} if isinstance(v, tuple) else v for k, v in self.inputs.items()},
            "outputs": {k: tensor_record(v) for k, v in outputs.items()},
        }

    def check_every_parameter_matters(self, model, expected):
        for name, parameter in model.named_parameters():
            saved = parameter.clone()
            parameter += 0.05 * torch.from_numpy(deterministic.normal("perturbation:" + name, saved.shape))
            changed = self.outputs(model, torch.float64)
            parameter.copy_(saved)
            difference = max(relative_difference(changed[k], expected[k]) for k in expected)
            matters = difference > 1e-5
            assert matters != name.endswith(tuple(self.exempt) or ("\0",)), (self.name, name, difference)


def text_encoder_case(name, config, ids):
    def run(model, input_ids):
        out = model(input_ids=input_ids)
        return {"text_embedding": out.text_embeds, "hidden_states": out.last_hidden_state}

    # A softmax over keys does not see what all its keys have in common.
    return Case("text_encoder/" + name,
                lambda c: transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**c)),
                config, {"input_ids": ids}, run, exempt=["k_proj.bias"])


def image_encoder_case(name, config, batch):
    def run(model, pictures):
        return {"image_embedding": model(pixel_values=pictures).image_embeds}

    side = config["image_size"]
    return Case("image_encoder/" + name,
                lambda c: transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**c)),
                config, {"pictures": (batch, config.get("num_channels", 3), side, side)}, run,
                exempt=["k_proj.bias"])


def prior_case(name, config, timesteps, mask):
    batch, tokens, width = len(timesteps), config["num_embeddings"], config["embedding_dim"]

    def run(model, sample, text_embedding, text_states, timestep, mask):
        out = model(sample, timestep=timestep, proj_embedding=text_embedding,
                    encoder_hidden_states=text_states, attention_mask=mask.bool())
        predicted = out.predicted_image_embedding
        return {"predicted": predicted, "denormalised": model.post_process_latents(predicted)}

    return Case("prior/" + name, lambda c: diffusers.PriorTransformer(**c), config,
                {"sample": (batch, width), "text_embedding": (batch, width),
                 "text_states": (batch, tokens, width), "timestep": timesteps, "mask": mask}, run,
                exempt=["to_k.bias"])


def text_projection_case(name, config, batch, tokens):
    width = config["clip_embeddings_dim"]

    def run(model, image_embedding, text_embedding, text_states):
        result = {}
        for guided in (False, True):
            suffix = "_guided" if guided else ""
            states, time = model(
                image_embeddings=image_embedding,
                prompt_embeds=torch.cat([-text_embedding, text_embedding]) if guided else text_embedding,
                text_encoder_hidden_states=torch.cat([-text_states, text_states]) if guided else text_states,
                do_classifier_free_guidance=guided)
            result["context" + suffix], result["time" + suffix] = states, time
        return result

    from diffusers.pipelines.unclip import UnCLIPTextProjModel
    return Case("text_projection/" + name, lambda c: UnCLIPTextProjModel(**c), config,
                {"image_embedding": (batch, width), "text_embedding": (batch, width),
                 "text_states": (batch, tokens, width)}, run)


def time_embedding_width(config):
    return config.get("time_embedding_dim") or 4 * config["block_out_channels"][0]


def decoder_case(name, config, timesteps, size, tokens, mask=None):
    batch, context = len(timesteps), config["cross_attention_dim"]
    config = {"in_channels": 3, "out_channels": 6, "class_embed_type": "identity",
              "resnet_time_scale_shift": "scale_shift", "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
              **config}

    def run(model, sample, timestep, added_time, context, mask=None):
        out = model(sample, timestep=timestep, encoder_hidden_states=context, class_labels=added_time,
                    attention_mask=None if mask is None else mask.bool())
        return {"output": out.sample}

    added_width = config.get("projection_class_embeddings_input_dim") or time_embedding_width(config)
    inputs = {"sample": (batch, 3, *size), "timestep": timesteps, "added_time": (batch, added_width),
              "context": (batch, tokens, context)}
    if mask is not None:
        inputs["mask"] = mask
    return Case("decoder/" + name, lambda c: diffusers.UNet2DConditionModel(**c), config, inputs, run)


def upsampler_case(name, config, timesteps, size):
    levels = len(config["block_out_channels"])
    config = {"in_channels": 6, "out_channels": 3, "add_attention": False,
              "down_block_types": ["ResnetDownsampleBlock2D"] * levels,
              "up_block_types": ["ResnetUpsampleBlock2D"] * levels, **config}

    def run(model, sample, timestep):
        return {"output": model(sample, timestep=timestep).sample}

    return Case("upsampler/" + name, lambda c: diffusers.UNet2DModel(**c), config,
                {"sample": (len(timesteps), 6, *size), "timestep": timesteps}, run)


PLAIN_DOWN, ATTENTION_DOWN = "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"
PLAIN_UP, ATTENTION_UP = "ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"


def model_cases():
    yield text_encoder_case("usual", dict(
        vocab_size=50, hidden_size=16, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2,
        max_position_embeddings=12, projection_dim=8, hidden_act="quick_gelu", layer_norm_eps=1e-5,
        bos_token_id=48, eos_token_id=49),
        [[48, 3, 7, 7, 49, 0, 0, 0, 0, 0, 0, 0], [48, 49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
         [48, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 49]])
    # The id 2 for end-of-text, which old configs state wrongly, means "the largest id".
    yield text_encoder_case("one_head_gelu_old_config", dict(
        vocab_size=31, hidden_size=15, intermediate_size=23, num_attention_heads=1, num_hidden_layers=1,
        max_position_embeddings=7, projection_dim=11, hidden_act="gelu", layer_norm_eps=1e-3, eos_token_id=2),
        [[29, 2, 5, 30, 30, 30, 30], [29, 2, 2, 2, 6, 7, 30]])
    yield text_encoder_case("padding_is_end_of_text", dict(
        vocab_size=23, hidden_size=21, intermediate_size=20, num_attention_heads=3, num_hidden_layers=3,
        max_position_embeddings=9, projection_dim=21, hidden_act="quick_gelu", layer_norm_eps=1e-5,
        eos_token_id=20),
        [[22, 5, 5, 21, 20, 20, 20, 20, 20]])

    yield image_encoder_case("usual", dict(
        hidden_size=16, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2, image_size=16,
        patch_size=4, projection_dim=8, hidden_act="quick_gelu", layer_norm_eps=1e-5), 2)
    yield image_encoder_case("odd_gelu", dict(
        hidden_size=21, intermediate_size=13, num_attention_heads=3, num_hidden_layers=1, image_size=15,
        patch_size=5, projection_dim=9, hidden_act="gelu", layer_norm_eps=1e-6), 1)
    yield image_encoder_case("one_head_cut_edge", dict(
        hidden_size=11, intermediate_size=17, num_attention_heads=1, num_hidden_layers=3, image_size=7,
        patch_size=3, projection_dim=11, hidden_act="quick_gelu", layer_norm_eps=1e-5, num_channels=1), 3)

    yield prior_case("usual", dict(
        embedding_dim=8, num_attention_heads=2, attention_head_dim=8, num_layers=2, num_embeddings=6,
        additional_embeddings=4), [999, 41], [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    yield prior_case("odd_one_head", dict(
        embedding_dim=9, num_attention_heads=1, attention_head_dim=13, num_layers=1, num_embeddings=5,
        additional_embeddings=4), [0, 500, 7], [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    yield prior_case("three_heads", dict(
        embedding_dim=12, num_attention_heads=3, attention_head_dim=7, num_layers=3, num_embeddings=11,
        additional_embeddings=4), [333], [[1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]])

    yield text_projection_case("usual", dict(
        clip_extra_context_tokens=4, clip_embeddings_dim=8, time_embed_dim=32, cross_attention_dim=12), 2, 6)
    yield text_projection_case("odd_one_token", dict(
        clip_extra_context_tokens=1, clip_embeddings_dim=9, time_embed_dim=20, cross_attention_dim=7), 1, 5)
    yield text_projection_case("three_tokens", dict(
        clip_extra_context_tokens=3, clip_embeddings_dim=5, time_embed_dim=36, cross_attention_dim=5), 3, 1)

    yield decoder_case("usual", dict(
        sample_size=8, block_out_channels=[8, 16, 24], layers_per_block=1, norm_num_groups=4, attention_head_dim=8,
        cross_attention_dim=12, down_block_types=[PLAIN_DOWN, ATTENTION_DOWN, ATTENTION_DOWN],
        up_block_types=[ATTENTION_UP, ATTENTION_UP, PLAIN_UP]),
        [999, 20], (8, 8), 9, [[1] * 9, [1, 1, 1, 1, 1, 1, 0, 0, 0]])
    # Odd widths, a picture that is not square, no attention in the middle of the levels.
    yield decoder_case("odd", dict(
        sample_size=12, block_out_channels=[10, 15, 20], layers_per_block=2, norm_num_groups=5, attention_head_dim=5,
        cross_attention_dim=7, down_block_types=[ATTENTION_DOWN, PLAIN_DOWN, ATTENTION_DOWN],
        up_block_types=[ATTENTION_UP, PLAIN_UP, ATTENTION_UP]),
        [487], (12, 4), 5, [[1, 1, 1, 1, 0]])
    yield decoder_case("four_levels_one_head", dict(
        sample_size=8, block_out_channels=[6, 6, 12, 12], layers_per_block=1, norm_num_groups=3,
        attention_head_dim=12, cross_attention_dim=10,
        down_block_types=[PLAIN_DOWN, PLAIN_DOWN, ATTENTION_DOWN, ATTENTION_DOWN],
        up_block_types=[ATTENTION_UP, ATTENTION_UP, PLAIN_UP, PLAIN_UP], norm_eps=1e-6,
        time_embedding_dim=37), [3], (16, 24), 6)
    # Attention in the middle alone; the time is added; attention up where there is none down.
    yield decoder_case("middle_attention_added_time", dict(
        sample_size=6, block_out_channels=[4, 8], layers_per_block=3, norm_num_groups=2, attention_head_dim=4,
        cross_attention_dim=3, down_block_types=[PLAIN_DOWN, PLAIN_DOWN], up_block_types=[PLAIN_UP, PLAIN_UP],
        resnet_time_scale_shift="default"), [700, 1], (6, 10), 3, [[1, 1, 0], [1, 1, 1]])

    # What is added to the time embedding passes through a layer, or two, of its own.
    yield decoder_case("projected_class_embedding", dict(
        sample_size=4, block_out_channels=[6, 12], layers_per_block=1, norm_num_groups=3, attention_head_dim=6,
        cross_attention_dim=5, down_block_types=[PLAIN_DOWN, ATTENTION_DOWN], up_block_types=[ATTENTION_UP, PLAIN_UP],
        class_embed_type="projection", projection_class_embeddings_input_dim=11, time_embedding_dim=18),
        [612], (4, 8), 4)
    yield decoder_case("simply_projected_class_embedding", dict(
        sample_size=4, block_out_channels=[6], layers_per_block=1, norm_num_groups=3, attention_head_dim=2,
        cross_attention_dim=5, down_block_types=[PLAIN_DOWN], up_block_types=[PLAIN_UP],
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=7), [5, 940], (4, 4), 2)

    yield upsampler_case("usual", dict(
        sample_size=16, block_out_channels=[8, 16, 24], layers_per_block=2, norm_num_groups=4), [999, 333], (16, 16))
    yield upsampler_case("odd_four_levels", dict(
        sample_size=24, block_out_channels=[6, 9, 12, 15], layers_per_block=1, norm_num_groups=3), [41], (24, 8))
    yield upsampler_case("three_layers_scale_shift", dict(
        sample_size=6, block_out_channels=[5, 5], layers_per_block=3, norm_num_groups=1,
        resnet_time_scale_shift="scale_shift", flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-3,
        time_embedding_dim=13), [0, 650], (6, 2))


# --- Schedulers ---------------------------------------------------------------------------------


def unclip_scheduler_record(prediction_type, variance_type, clip_sample, clip_sample_range):
    config = dict(prediction_type=prediction_type, variance_type=variance_type, clip_sample=clip_sample,
                  clip_sample_range=clip_sample_range)
    scheduler = diffusers.UnCLIPScheduler(**config)
    name = f"unclip/{prediction_type}/{variance_type}/{clip_sample}"
    steps = []
    for t, previous in [(999, 500), (999, 958), (958, 916), (500, 499), (487, 400), (42, 0), (1, 0), (0, -1)]:
        sample = torch.from_numpy(deterministic.inputs(f"{name}/{t}/{previous}/sample", (1, 5)))
        output = deterministic.inputs(f"{name}/{t}/{previous}/output", (1, 10))
        output = torch.from_numpy(output if variance_type == "learned_range" else output[:, :5])
        stepped = scheduler.step(output, t, sample, prev_timestep=previous,
                                 generator=torch.Generator().manual_seed(t))
        steps.append({"timestep": t, "previous": previous, "result": as_list(stepped.prev_sample)})
    return {"name": name, "config": dict(scheduler.config), "steps": steps}


def ddim_scheduler_record(prediction_type, schedule, eta, clip_sample, from_clipped):
    scheduler = diffusers.DDIMScheduler(beta_schedule=schedule, prediction_type=prediction_type,
                                        clip_sample=clip_sample, clip_sample_range=1.5, set_alpha_to_one=True)
    scheduler.set_timesteps(25)
    name = f"ddim/{prediction_type}/{schedule}/{eta}/{clip_sample}/{from_clipped}"
    steps = []
    for t in (960, 480, 40, 0):
        arrays = {k: torch.from_numpy(deterministic.inputs(f"{name}/{t}/{k}", (1, 5)))
                  for k in ("sample", "output", "noise")}
        stepped = scheduler.step(arrays["output"], t, arrays["sample"], eta=eta, use_clipped_model_output=from_clipped,
                                 variance_noise=arrays["noise"] if eta > 0 else None)
        steps.append({"timestep": t, "previous": max(t - 40, -1), "result": as_list(stepped.prev_sample)})
    return {"name": name, "eta": eta, "from_clipped": from_clipped, "steps": steps,
            "config": {"prediction_type": prediction_type, "beta_schedule": schedule, "clip_sample": clip_sample,
                       "clip_sample_range": 1.5}}


def solver_scheduler(kind, prediction_type, timesteps):
    """One of diffusers' schedulers at the timesteps that ours uses, in double precision throughout."""
    if prediction_type == "sample" and kind in ("euler-ancestral", "heun"):
        prediction_type = "epsilon"
    settings = dict(beta_schedule="squaredcos_cap_v2", prediction_type=prediction_type)
    if kind.startswith("dpm"):
        scheduler = diffusers.DPMSolverMultistepScheduler(
            algorithm_type="sde-dpmsolver++" if kind == "dpm++-sde" else "dpmsolver++", final_sigmas_type="zero",
            **settings)
    else:
        scheduler = {"euler": diffusers.EulerDiscreteScheduler,
                     "euler-ancestral": diffusers.EulerAncestralDiscreteScheduler,
                     "heun": diffusers.HeunDiscreteScheduler}[kind](**settings)
    scheduler.set_timesteps(len(timesteps))
    # Its own timesteps begin and end elsewhere, and its tables are rounded to single precision.
    betas = [min(1 - cosine(t + 1) / cosine(t), 0.999) for t in range(1000)]
    products = np.cumprod(1 - np.array(betas))
    sigmas = [((1 - products[t]) / products[t]) ** 0.5 for t in timesteps] + [0.0]
    if kind == "heun":
        timesteps = [timesteps[0]] + [t for t in timesteps[1:] for _ in range(2)]
        sigmas = [sigmas[0]] + [v for v in sigmas[1:-1] for _ in range(2)] + [0.0]
        scheduler.num_inference_steps = len(timesteps)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    scheduler.timesteps = torch.tensor(timesteps, dtype=torch.int64 if kind.startswith("dpm") else torch.float64)
    scheduler._step_index = 0
    scheduler.is_scale_input_called = True
    return scheduler


def cosine(t):
    return np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2


def solver_record(kind, prediction_type, count, limit):
    """A whole run with a network that is tanh(2 x) / 2 + t / 2000, from the sample on to the result of each step.

    The schedulers know no clipping of the predicted sample, so it is put around their prediction.
    """
    timesteps = [round(i * 999 / (count - 1)) for i in reversed(range(count))] if count > 1 else [999]
    scheduler = solver_scheduler(kind, prediction_type, timesteps)
    name = f"{kind}/{prediction_type}/{count}/{limit}"
    # All but DPM-Solver++ keep x / alpha in place of x.
    scaled = not kind.startswith("dpm")
    x = torch.from_numpy(deterministic.inputs(f"{name}/sample", (1, 7))).double()
    at = lambda i: 1 / (float(scheduler.sigmas[i]) ** 2 + 1) ** 0.5  # alpha
    state, results = (x / at(0) if scaled else x), []
    for i, t in enumerate(scheduler.timesteps.tolist()):
        alpha, sigma = at(i), float(scheduler.sigmas[i]) * at(i)
        x = state * alpha if scaled else state
        output = torch.tanh(2 * x) / 2 + t / 2000
        clean = {"epsilon": (x - sigma * output) / alpha, "sample": output,
                 "v_prediction": alpha * x - sigma * output}[prediction_type]
        if limit is not None:  # the prediction that means the clipped sample
            clean = clean.clamp(-limit, limit)
            output = {"epsilon": (x - alpha * clean) / sigma, "sample": clean,
                      "v_prediction": (alpha * x - clean) / sigma}[prediction_type]
        if prediction_type == "sample" and kind in ("euler-ancestral", "heun"):  # which do not know it
            output = (x - alpha * output) / sigma
        noise = torch.from_numpy(deterministic.inputs(f"{name}/noise/{i}", (1, 7))).double()
        module = sys.modules[type(scheduler).__module__]
        extra = {"variance_noise": noise} if kind == "dpm++-sde" else {}
        # The steps would round to single precision.
        with unittest.mock.patch.object(torch, "float32", torch.float64), \
                unittest.mock.patch.object(module, "randn_tensor", lambda *_, **__: noise, create=True):
            state = scheduler.step(output, scheduler.timesteps[i], state, **extra).prev_sample
        results.append([float(f"{v:.9g}") for v in (state * at(i + 1) if scaled else state).ravel()])
    return {"name": name, "sampler": kind, "steps": count, "prediction_type": prediction_type, "limit": limit,
            "timesteps": [int(t) for t in scheduler.timesteps], "results": results}


def solvers_record():
    kinds = ["dpm++", "dpm++-sde", "euler", "euler-ancestral", "heun"]
    return [solver_record(kind, prediction_type, count, limit)
            for kind in kinds
            for prediction_type, count, limit in [
                ("sample", 1, None), ("sample", 2, None), ("epsilon", 2, 1.0), ("epsilon", 5, 1.0),
                ("v_prediction", 5, None), ("sample", 25, 0.4)]
            # A step over all the noise divides by almost nothing: rounding alone decides.
            if (kind, prediction_type, count) != ("heun", "epsilon", 2)]


def schedulers_record():
    unclip = diffusers.UnCLIPScheduler()
    linear = diffusers.DDPMScheduler(beta_schedule="linear")
    places = [0, 1, 2, 10, 123, 487, 500, 750, 998, 999]
    spacing = {}
    for count in (2, 3, 5, 7, 25, 64, 250, 1000):
        unclip.set_timesteps(count)
        spacing[str(count)] = unclip.timesteps.tolist() if count < 100 else int((unclip.timesteps * torch.arange(count)).sum())
    sample, noise = (torch.from_numpy(deterministic.inputs(f"forward/{k}", (1, 5))) for k in ("sample", "noise"))
    forward = [{"timestep": t,
                "noisy": as_list(unclip.add_noise(sample, noise, torch.tensor([t]))),
                "v": as_list(diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2").get_velocity(
                    sample, noise, torch.tensor([t])))} for t in (0, 1, 487, 999)]
    return {
        "places": places,
        "alphas_cumprod": {"squaredcos_cap_v2": as_list(unclip.alphas_cumprod[places]),
                           "linear": as_list(linear.alphas_cumprod[places])},
        "betas": {"squaredcos_cap_v2": as_list(unclip.betas[places]), "linear": as_list(linear.betas[places])},
        "timesteps": spacing,
        "forward": forward,
        "unclip": [unclip_scheduler_record(*a) for a in [
            ("epsilon", "learned_range", True, 1.0), ("epsilon", "fixed_small_log", True, 1.0),
            ("sample", "fixed_small_log", True, 5.0), ("sample", "learned_range", False, 1.0)]],
        "ddim": [ddim_scheduler_record(*a) for a in [
            ("epsilon", "squaredcos_cap_v2", 0.0, True, True), ("epsilon", "squaredcos_cap_v2", 0.0, True, False),
            ("epsilon", "linear", 0.7, False, False), ("sample", "squaredcos_cap_v2", 1.0, True, True),
            ("v_prediction", "linear", 0.0, True, True), ("v_prediction", "squaredcos_cap_v2", 0.3, False, False)]],
    }


# --- Whole pipelines ----------------------------------------------------------------------------


def write_tokenizer(folder, merges, pad_token, max_length):
    """CLIP's byte-level alphabet and a few merges, in the files of the public tokenizers."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    alphabet = list(bytes_to_unicode().values())
    words = alphabet + [a + "</w>" for a in alphabet] + ["".join(m) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad_token,
                                      model_max_length=max_length), len(words)


MERGES = [("r", "e"), ("re", "d</w>"), ("a", "p"), ("ap", "p"), ("l", "e</w>"), ("app", "le</w>"), ("o", "w"),
          ("ow", "l</w>"), ("b", "l"), ("bl", "u"), ("blu", "e</w>")]


def build_pipeline(name, folder, *, pad_token, width, prior, text_projection, decoder, upsampler, variance="learned_range"):
    from diffusers.pipelines.unclip import UnCLIPTextProjModel

    tokenizer, words = write_tokenizer(folder / "tokenizer", MERGES, pad_token, 11)
    text_config = transformers.CLIPTextConfig(
        vocab_size=words, hidden_size=width, intermediate_size=3 * width, num_attention_heads=2, num_hidden_layers=2,
        max_position_embeddings=11, projection_dim=width, hidden_act="quick_gelu", bos_token_id=words - 2,
        eos_token_id=words - 1, pad_token_id=tokenizer.pad_token_id)
    decoder = {"in_channels": 3, "out_channels": 6, "class_embed_type": "identity",
               "resnet_time_scale_shift": "scale_shift", "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", **decoder}
    upsampler = {"in_channels": 6, "out_channels": 3, "add_attention": False, **upsampler}
    parts = {
        "text_encoder": transformers.CLIPTextModelWithProjection(text_config),
        "prior": diffusers.PriorTransformer(embedding_dim=width, num_embeddings=11, additional_embeddings=4, **prior),
        "text_proj": UnCLIPTextProjModel(clip_embeddings_dim=width,
                                         time_embed_dim=time_embedding_width(decoder),
                                         cross_attention_dim=decoder["cross_attention_dim"], **text_projection),
        "decoder": diffusers.UNet2DConditionModel(**decoder),
        "super_res_first": diffusers.UNet2DModel(**upsampler),
        "super_res_last": diffusers.UNet2DModel(**upsampler),
    }
    for part, module in parts.items():
        deterministic.fill(f"pipeline/{name}/{part}", module.eval())
    return diffusers.UnCLIPPipeline(
        **parts, tokenizer=tokenizer,
        prior_scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="sample",
                                                  clip_sample_range=5.0),
        decoder_scheduler=diffusers.UnCLIPScheduler(variance_type="learned_range", prediction_type="epsilon"),
        super_res_scheduler=diffusers.UnCLIPScheduler(variance_type="fixed_small_log", prediction_type="epsilon"))


def run_pipeline(pipe, call, dtype):
    """Every intermediate value of one call. `call` holds the arguments of UnCLIPPipeline."""
    record = {}

    def watch(part, scheduler):
        original = scheduler.step

        def step(*args, **kwargs):
            result = original(*args, **kwargs)
            record.setdefault(part + "_steps", []).append(result.prev_sample)
            return result

        scheduler.step = step
        return lambda: setattr(scheduler, "step", original)

    # A pipeline of image variations has no prior.
    undo = [watch(p, getattr(pipe, p + "_scheduler")) for p in ("prior", "decoder", "super_res")
            if hasattr(pipe, p + "_scheduler")]
    def before_projection(module, args, kwargs):
        record["text_embedding"] = kwargs["prompt_embeds"]  # with guidance, the empty prompt first
        record["text_states"] = kwargs["text_encoder_hidden_states"]
        record["image_embedding"] = kwargs["image_embeddings"]

    def after_projection(module, args, output):
        record["context"], record["added_time"] = output

    def before_upsampler(module, args, kwargs):
        record["low_resolution"] = kwargs["sample"][:, 3:]

    hooks = [pipe.text_proj.register_forward_pre_hook(before_projection, with_kwargs=True),
             pipe.text_proj.register_forward_hook(after_projection),
             pipe.super_res_first.register_forward_pre_hook(before_upsampler, with_kwargs=True)]
    seed = call["seed"]
    draw = torch.randn
    torch.set_default_dtype(dtype)
    # The stream is float32 whatever the precision of the arithmetic.
    torch.randn = lambda *a, dtype=None, **k: draw(*a, dtype=torch.float32, **k).to(dtype or torch.float32)
    try:
        arguments = {k: v for k, v in call.items() if k != "seed"}
        image = pipe(**arguments, generator=torch.Generator().manual_seed(seed), output_type="np").images
    finally:
        torch.randn = draw
        torch.set_default_dtype(torch.float32)
        for u in undo:
            u()
        for h in hooks:
            h.remove()
    record["picture"] = torch.from_numpy(image)  # [batch, height, width, channels]
    return record


def pipeline_record(name, call, **parts):
    folder = HERE / "pipelines" / name
    pipe = build_pipeline(name, folder, **parts)
    pipe.set_progress_bar_config(disable=True)
    record = run_pipeline(pipe, call, torch.float32)
    pipe.save_pretrained(folder)
    for path in list(folder.rglob("*.safetensors")) + list(folder.rglob("*.bin")):
        path.unlink()  # tests fill in the weights
    tokens = pipe.tokenizer(call["prompt"], padding="max_length", max_length=11, truncation=True)
    pipe.to(torch.float64)
    double = run_pipeline(pipe, call, torch.float64)
    outputs = {}
    for key, values in record.items():
        pairs = zip(values, double[key]) if isinstance(values, list) else [(values, double[key])]
        for value, exact in pairs:
            # The schedule's tables stay in single precision; what is left is the networks' rounding.
            assert relative_difference(value, exact) < 3e-5, (name, key, relative_difference(value, exact))
        outputs[key] = [tensor_record(v) for v in values] if isinstance(values, list) else tensor_record(values)
    return {"name": name, "call": call, "input_ids": tokens.input_ids, "mask": tokens.attention_mask, "outputs": outputs}


def pipelines_record():
    yield pipeline_record(
        "guided",
        dict(prompt="a red apple", seed=11, prior_num_inference_steps=3, decoder_num_inference_steps=4,
             super_res_num_inference_steps=3, prior_guidance_scale=4.0, decoder_guidance_scale=8.0),
        pad_token="!", width=16, prior=dict(num_attention_heads=2, attention_head_dim=8, num_layers=2),
        text_projection=dict(clip_extra_context_tokens=4),
        decoder=dict(sample_size=8, block_out_channels=[8, 16, 16], layers_per_block=1, norm_num_groups=4,
                     attention_head_dim=8, cross_attention_dim=12,
                     down_block_types=[PLAIN_DOWN, ATTENTION_DOWN, ATTENTION_DOWN],
                     up_block_types=[ATTENTION_UP, ATTENTION_UP, PLAIN_UP]),
        upsampler=dict(sample_size=16, block_out_channels=[6, 12], layers_per_block=1, norm_num_groups=3,
                       down_block_types=[PLAIN_DOWN] * 2, up_block_types=[PLAIN_UP] * 2))
    yield pipeline_record(
        "unguided",
        dict(prompt=["an owl", "blue xyz"], seed=(1 << 37) + 1, prior_num_inference_steps=2,
             decoder_num_inference_steps=3, super_res_num_inference_steps=3, prior_guidance_scale=1.0,
             decoder_guidance_scale=1.0),
        pad_token="<|endoftext|>", width=10, prior=dict(num_attention_heads=1, attention_head_dim=11, num_layers=1),
        text_projection=dict(clip_extra_context_tokens=2),
        decoder=dict(sample_size=6, block_out_channels=[5, 10], layers_per_block=2, norm_num_groups=5,
                     time_embedding_dim=28,
                     attention_head_dim=5, cross_attention_dim=7, down_block_types=[PLAIN_DOWN, ATTENTION_DOWN],
                     up_block_types=[ATTENTION_UP, PLAIN_UP]),
        upsampler=dict(sample_size=14, block_out_channels=[4, 4], layers_per_block=2, norm_num_groups=2,
                       down_block_types=[PLAIN_DOWN] * 2, up_block_types=[PLAIN_UP] * 2))


def variations_record():
    """A picture's variation, by the guided pipeline's networks and an image encoder."""
    name, folder = "varied", HERE / "pipelines" / "varied"
    pipe = build_pipeline(
        name, folder, pad_token="!", width=16, prior=dict(num_attention_heads=1, attention_head_dim=4, num_layers=1),
        text_projection=dict(clip_extra_context_tokens=3),
        decoder=dict(sample_size=8, block_out_channels=[8, 12], layers_per_block=1, norm_num_groups=4,
                     attention_head_dim=4, cross_attention_dim=10, down_block_types=[PLAIN_DOWN, ATTENTION_DOWN],
                     up_block_types=[ATTENTION_UP, PLAIN_UP]),
        upsampler=dict(sample_size=12, block_out_channels=[6, 9], layers_per_block=1, norm_num_groups=3,
                       down_block_types=[PLAIN_DOWN] * 2, up_block_types=[PLAIN_UP] * 2))
    encoder = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(
        hidden_size=12, intermediate_size=20, num_attention_heads=2, num_hidden_layers=2, image_size=20, patch_size=5,
        projection_dim=16))
    deterministic.fill(f"pipeline/{name}/image_encoder", encoder.eval())
    varied = diffusers.UnCLIPImageVariationPipeline(
        image_encoder=encoder, feature_extractor=transformers.CLIPImageProcessor(
            size={"shortest_edge": 20}, crop_size={"height": 20, "width": 20}),
        **{k: v for k, v in pipe.components.items() if not k.startswith("prior")})
    varied.set_progress_bar_config(disable=True)
    picture = (127 + 60 * deterministic.normal("varied/picture", (9, 13, 3))).clip(0, 255).astype(np.uint8)
    call = dict(seed=5, decoder_num_inference_steps=3, super_res_num_inference_steps=3, decoder_guidance_scale=3.0)
    record = run_pipeline(varied, call | dict(image=PIL.Image.fromarray(picture)), torch.float32)
    varied.save_pretrained(folder)
    for path in list(folder.rglob("*.safetensors")) + list(folder.rglob("*.bin")):
        path.unlink()  # tests fill in the weights
    return {"name": name, "call": call, "size": [picture.shape[1], picture.shape[0]], "rgb": picture.ravel().tolist(),
            "outputs": {k: [tensor_record(v) for v in values] if isinstance(values, list) else tensor_record(values)
                        for k, values in record.items() if k in ("image_embedding", "decoder_steps", "super_res_steps",
                                                                 "picture")}}


def write(path, content):
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


def main():
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if not word or word in "schedulers":
        write(HERE / "schedulers.json", schedulers_record())
    if not word or word in "solvers":
        write(HERE / "solvers.json", solvers_record())
    cases = [c for c in model_cases() if word in c.name]
    records = []
    for case in cases:
        records.append(case.record())
        print(case.name, sum(int(np.prod(s)) for s in records[-1]["parameters"].values()), "parameters")
    if records:
        made = {record["name"]: record for record in records}
        if word:  # the others as they are
            old = {record["name"]: record for record in json.loads((HERE / "models.json").read_text())}
            made = {c.name: made.get(c.name) or old[c.name] for c in model_cases() if c.name in made or c.name in old}
        write(HERE / "models.json", list(made.values()))
    if not word or word in "pipelines":
        write(HERE / "pipelines.json", list(pipelines_record()))
    if not word or word in "variations":
        write(HERE / "variations.json", variations_record())


if __name__ == "__main__":
    main()
