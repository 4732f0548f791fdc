"""dalle2 beside PyTorch, ONNX Runtime and OpenVINO: the same weights, inputs and threads, taking turns.

    python benchmarks/compare_pytorch.py MODEL                        # every network of the model
    python benchmarks/compare_pytorch.py MODEL --only clip decoder    # some cases; --list names them
    python benchmarks/compare_pytorch.py MODEL --only picture --runs 1

MODEL is a folder as diffusers' UnCLIPPipeline saves it: that of tests/golden/make_random_model.py, or
examples/models/emoji-scenes. Python needs torch, diffusers and transformers (tests/golden/make_golden.py says
which); ONNX Runtime (with onnx) and OpenVINO are measured where they can be imported.

Each case is one network (or the whole pipeline) in one precision. All programs load it and stay; then, round
for round, each runs once (several times when it is short). A ratio is a rival's seconds divided by those of
dalle2 in the same round: above 1, dalle2 is faster. Printed are minimum, median and maximum over the rounds, and
how far each output is from PyTorch's in float32. A rival that cannot run a case is left out, with its reason. Each
case has a process of its own, so that what a library keeps of one does not fill the memory of the next. The exit
status is 3 when an output of dalle2 is wrong, 1 when a case broke off (at the model's full size PyTorch may want
more memory than there is).

With dalle2 in bfloat16 or int8 the rivals run in bfloat16. A processor without instructions for it makes that
slow, and a user there would choose float32: with --best-precision they run in both, and the best of them counts.
(A network that takes PyTorch seconds in float32 is not run in bfloat16 there at all: it could take an hour.)

The text of the cases has as many real tokens as --prompt-tokens says, padded to the model's length. As in the
pipelines, PyTorch computes the padding and hides it, and dalle2 leaves it away; and what is the same in every step
of a diffusion, dalle2 prepares once, before its seconds are counted (preparation_seconds in the JSON). The cases
called *_full have no padding, and nothing is prepared.

A whole picture is drawn by dalle2 from the noise of its seed in the rivals' first precision, as they do; in float32
it must be theirs.
"""

import argparse
import contextlib
import functools
import gc
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import types
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = pathlib.Path(__file__).resolve().parent
RIVALS = ["eager", "compiled", "onnxruntime", "openvino"]
# At full length this many seconds pass between two programs, so that the threads of the one that has just run
# have stopped waiting for more work.
PAUSE = 0.1
SHORT = 0.1  # a run that is shorter is repeated
LONG = 60.0  # of a longer one there are fewer rounds
# With --best-precision, who takes more than so many seconds, and so many times as long as the best of PyTorch, gets
# no turns.
PATIENCE, HOPELESS = 2.0, 5
WRONG = 3  # the exit status
TIMESTEP = 487


# --- Cases --------------------------------------------------------------------------------------


class Case:
    """inputs() → PyTorch's inputs by name; ours(inputs) → those of dalle2."""

    def __init__(self, name, network, batch, full=False):
        self.name, self.network, self.batch, self.full = name, network, batch, full


def cases_of(model, guided):
    """All cases of a model, in the order in which a picture meets its networks."""
    batch = 2 if guided else 1
    cases = [Case("clip_text_1", "text_encoder", 1, True), Case("clip_text_16", "text_encoder", 16, True),
             Case("clip_image_1", "image_encoder", 1), Case("clip_image_16", "image_encoder", 16),
             Case("prior", "prior", batch), Case("prior_full", "prior", batch, True),
             Case("decoder", "decoder", batch), Case("super_res_first", "super_res_first", 1),
             Case("super_res_last", "super_res_last", 1)]
    return [case for case in cases if (model / case.network / "config.json").is_file()]


def make_inputs(case, config, arguments):
    """float32 and int64 tensors, as PyTorch's networks take them."""
    import torch

    generator = torch.Generator().manual_seed(1)

    def randn(*shape):
        return torch.randn(shape, generator=generator)

    b = case.batch

    def mask(tokens, extra=0):
        keep = torch.ones(b, tokens + extra, dtype=torch.bool)
        if not case.full:
            keep[:, arguments.prompt_tokens + extra:] = False
        return keep

    if case.network == "text_encoder":
        tokens = config["max_position_embeddings"]
        ids = torch.randint(0, config["vocab_size"] - 2, (b, tokens), generator=generator)
        ids[:, -1] = config["vocab_size"] - 1  # the end of the text
        return {"input_ids": ids}
    if case.network == "image_encoder":
        return {"pictures": randn(b, 3, config["image_size"], config["image_size"])}
    if case.network == "prior":
        width, tokens = config["embedding_dim"], config["num_embeddings"]
        return {"sample": randn(b, width), "text_embedding": randn(b, width),
                "text_states": randn(b, tokens, width), "mask": mask(tokens)}
    side = config["sample_size"]
    if case.network == "decoder":
        text = json.loads((arguments.model / "text_encoder/config.json").read_text())
        projection = json.loads((arguments.model / "text_proj/config.json").read_text())
        extra, tokens = projection.get("clip_extra_context_tokens", 4), text["max_position_embeddings"]
        time_width = config.get("time_embedding_dim") or 4 * config["block_out_channels"][0]
        return {"sample": randn(b, 3, side, side), "added_time": randn(b, time_width),
                "context": randn(b, tokens + extra, config["cross_attention_dim"]), "mask": mask(tokens, extra)}
    return {"sample": randn(b, config["in_channels"], side, side)}


def inputs_of_dalle2(inputs):
    """Channels last, and without the padding, which the pipelines leave away."""
    import torch

    ours = {name: value.permute(0, 2, 3, 1) if value.dim() == 4 else value for name, value in inputs.items()}
    if "mask" in ours:
        count = int(ours["mask"].sum(1).max())
        ours["mask"] = ours["mask"][:, :count]
        for name in ("text_states", "context"):
            if name in ours:
                ours[name] = ours[name][:, :count]
    return {name: value.to(torch.float32).contiguous() for name, value in ours.items()}


# --- PyTorch ------------------------------------------------------------------------------------


def convolves(network):
    return network == "decoder" or network.startswith("super_res")


def load_module(case, model, dtype):
    """A module that takes the case's inputs in order and gives the output that is compared."""
    import diffusers
    import torch
    import transformers

    classes = {"text_encoder": transformers.CLIPTextModelWithProjection,
               "image_encoder": transformers.CLIPVisionModelWithProjection, "prior": diffusers.PriorTransformer,
               "decoder": diffusers.UNet2DConditionModel, "super_res_first": diffusers.UNet2DModel,
               "super_res_last": diffusers.UNet2DModel}

    class Adapter(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, *x):
            m = self.network
            if case.network == "text_encoder":
                return m(input_ids=x[0]).text_embeds
            if case.network == "image_encoder":
                return m(pixel_values=x[0]).image_embeds
            if case.network == "prior":
                return m(x[0], timestep=TIMESTEP, proj_embedding=x[1], encoder_hidden_states=x[2],
                         attention_mask=x[3]).predicted_image_embedding
            if case.network == "decoder":
                return m(sample=x[0], timestep=TIMESTEP, class_labels=x[1], encoder_hidden_states=x[2],
                         attention_mask=x[3]).sample
            return m(sample=x[0], timestep=TIMESTEP).sample

    # (transformers 4.49 lets the files' own type win over torch_dtype.)
    network = classes[case.network].from_pretrained(model / case.network, torch_dtype=dtype).to(dtype)
    module = Adapter(network).eval()
    # The layout that PyTorch's convolutions are fastest with.
    return module.to(memory_format=torch.channels_last) if convolves(case.network) else module


def cast(inputs, dtype):
    """As a list, numbers in the network's precision, pictures in its layout."""
    import torch

    result = []
    for value in inputs.values():
        value = value.to(dtype) if value.is_floating_point() else value
        result.append(value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value)
    return result


class Rival:
    """run() does the work once; output() → the last result, float32."""

    def seconds(self, times, processor):
        """Of one run: by the clock on the wall, or of all processors together."""
        clock = time.process_time if processor else time.perf_counter
        began = clock()
        for _ in range(times):
            self.run()
        return (clock() - began) / times

    def output(self):
        return self.last.float()


class Eager(Rival):
    def __init__(self, case, module, inputs, precision, arguments):
        import torch

        self.precision = precision
        self.call, self.inputs = module, cast(inputs, getattr(torch, precision))

    def run(self):
        self.last = self.call(*self.inputs)


def compile_every_block():
    """Diffusers' UNets are not one graph, and of more than eight blocks of a kind the rest would stay eager."""
    import torch._dynamo.config

    torch._dynamo.config.cache_size_limit = 256
    torch._dynamo.config.accumulated_cache_size_limit = 4096


class Compiled(Eager):
    """torch.compile; with frozen weights, which lets it pack them for its kernels."""

    def __init__(self, case, module, inputs, precision, arguments):
        import torch
        import torch._inductor.config

        super().__init__(case, module, inputs, precision, arguments)
        torch._inductor.config.freezing = True
        compile_every_block()
        self.call = torch.compile(module, dynamic=False)
        self.run()


class OnnxRuntime(Rival):
    def __init__(self, case, module, inputs, precision, arguments):
        import onnx  # noqa: F401: the export needs it
        import onnxruntime
        import torch

        if precision != "float32":
            raise RuntimeError("its CPU kernels have no bfloat16")
        self.precision = precision
        folder = tempfile.TemporaryDirectory()
        path = os.path.join(folder.name, "network.onnx")
        tensors = cast(inputs, torch.float32)
        names = list(inputs)
        torch.onnx.export(module, tuple(tensors), path, input_names=names, output_names=["output"],
                          opset_version=17, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = arguments.threads, 1
        # Otherwise its threads keep the cores busy while others have their turn.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if arguments.no_spinning else "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        folder.cleanup()
        wanted = {entry.name for entry in self.session.get_inputs()}
        self.inputs = {name: t.contiguous().numpy() for name, t in zip(names, tensors) if name in wanted}

    def run(self):
        self.last = self.session.run(None, self.inputs)[0]

    def output(self):
        import torch

        return torch.from_numpy(self.last).float()


class OpenVino(Rival):
    def __init__(self, case, module, inputs, precision, arguments):
        import openvino
        import torch

        self.module = module  # whose weights the converted network goes on using
        tensors = cast(inputs, torch.float32)
        network = openvino.convert_model(module, example_input=tuple(tensors),
                                         input=[(tuple(t.shape)) for t in tensors])
        hint = "bf16" if precision == "bfloat16" else "f32"
        compiled = openvino.Core().compile_model(network, "CPU", {
            "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": arguments.threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY"})
        # Not what was asked for where the processor has no instructions for it.
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = {"f32": "float32", "bf16": "bfloat16"}.get(self.precision, self.precision)
        self.request = compiled.create_infer_request()
        self.inputs = [t.contiguous().numpy() for t in tensors]

    def run(self):
        self.last = self.request.infer(self.inputs)[0]

    def output(self):
        import torch

        return torch.from_numpy(self.last.copy()).float()


KINDS = {"eager": Eager, "compiled": Compiled, "onnxruntime": OnnxRuntime, "openvino": OpenVino}


# --- dalle2 -------------------------------------------------------------------------------------


class Dalle2(Rival):
    """benchmarks/stages --serve: one process, which runs what it is asked for."""

    def __init__(self, program, model, engine, threads):
        self.precision = engine
        self.process = subprocess.Popen(
            [str(program), str(model), "--serve", "--engine", engine, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.folder = tempfile.TemporaryDirectory()

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError("stages ended: does it run by itself?")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"stages: {answer['error']}")
        return answer

    def load(self, case, inputs, steps):
        import safetensors.torch

        path = os.path.join(self.folder.name, "inputs.safetensors")
        safetensors.torch.save_file(inputs_of_dalle2(inputs), path)
        self.whole = case.full
        self.ask(load=case.network)
        self.ask(inputs=path, steps=steps)
        self.preparation = self.ask(inputs=path, steps=steps)["seconds"]
        self.run()

    def run(self):
        self.ask(run=1, whole=self.whole)

    def seconds(self, times, processor):
        answer = self.ask(run=times, whole=self.whole)
        return answer["processor_seconds"] / times if processor else sum(answer["seconds"]) / times

    def output(self):
        import safetensors.torch

        path = os.path.join(self.folder.name, "outputs.safetensors")
        self.ask(outputs=path)
        values = safetensors.torch.load_file(path)
        value = next(values[k] for k in ("text_embedding", "image_embedding", "output") if k in values)
        return value.permute(0, 3, 1, 2) if value.dim() == 4 else value

    def int8_share(self):
        """Of the multiply-adds of a step."""
        work = self.ask(work=True)["multiply_adds"]
        return sum(count for name, count in work.items() if name.endswith(" int8")) / sum(work.values())

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


# --- Measuring ----------------------------------------------------------------------------------


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def take_turns(contenders, arguments):
    """Seconds of each, round for round."""
    times, longest = {}, 0
    for name, contender in contenders.items():
        contender.run()  # does not count
        once = contender.seconds(1, False)
        times[name] = max(1, round(SHORT / once)) if once < SHORT else 1
        longest = max(longest, once)
    rounds = arguments.runs if longest < LONG else max(1, min(arguments.runs, 2))
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            time.sleep(PAUSE)
            if longest < LONG:
                contender.run()  # wakes its threads and its caches
            seconds[name].append(contender.seconds(times[name], arguments.processor_time))
    return seconds


def error_of(found, expected):
    return float((found - expected).norm() / expected.norm())


def show(values, digits=2):
    return f"{values['min']:.{digits}f} / {values['median']:.{digits}f} / {values['max']:.{digits}f}"


def say(text):
    print(text, flush=True)


def reason_of(error):
    """The first line says what happened ("who:" and the second); more would be advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:160]


def result_of(name, precision, ran, seconds, errors, failed):
    """Prints the lines of a case; the JSON of it. `ran` says in what precision each did."""
    ours = seconds["dalle2"]
    entry = {"case": name, "precision": precision, "rounds": len(ours), "contenders": {}, "left_out": failed}
    say(f"{name}, {precision}, {len(ours)} rounds{'' if len(ours) >= 5 else ' (long: fewer than 5)'}")
    for contender, values in seconds.items():
        ratio = spread([v / o for v, o in zip(values, ours)])
        entry["contenders"][contender] = {"precision": ran[contender], "seconds": spread(values), "ratio": ratio,
                                          "error": errors.get(contender)}
        error = "" if errors.get(contender) is None else f"   error {errors[contender]:.1e}"
        times = "" if contender == "dalle2" else f"   {show(ratio)} times"
        asked = {precision, rival_precision(precision), contender.partition(" ")[2]}
        instead = "" if ran[contender] in asked else f"   in {ran[contender]}"
        say(f"  {contender:17} {show(spread(values), 4)} s{times}{error}{instead}")
    for contender, reason in failed.items():
        say(f"  {contender:17} left out: {reason}")
    torch_names = [n for n in seconds if is_pytorch(n)]
    if torch_names:
        best = min(torch_names, key=lambda n: statistics.median(seconds[n]))
        entry["best_pytorch"] = best
        entry["vs_pytorch"] = entry["contenders"][best]["ratio"]
        say(f"  faster than the best of PyTorch ({best}): {show(entry['vs_pytorch'])}")
    return entry


def rival_precision(precision):
    """The rivals' first, beside dalle2 in `precision`."""
    return "bfloat16" if precision == "int8" else precision


def is_pytorch(contender):
    return contender.split()[0] in ("eager", "compiled")


def rivals_of(precision, arguments):
    """(name, kind, precision) of each, those in float32 first: they share one module."""
    first = rival_precision(precision)
    rivals = [(kind, kind, first) for kind in RIVALS if kind in arguments.rivals]
    if arguments.best_precision and first != "float32":
        rivals += [(f"{kind} float32", kind, "float32") for kind in RIVALS
                   if kind in arguments.rivals and kind != "onnxruntime"]
    return sorted(rivals, key=lambda rival: rival[2] != "float32" and rival[1] in ("eager", "compiled"))


def too_slow_in_bfloat16(once):
    """Why PyTorch need not be tried in bfloat16 after what it took `once` in float32, or nothing."""
    import torch

    took = min((seconds for name, seconds in once.items() if is_pytorch(name)), default=0.0)
    if took > PATIENCE and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return f"this processor does not multiply bfloat16, and float32 takes {took:.1f} s already"
    return None


def leave_out_hopeless(contenders, once, failed):
    """Without instructions for it, bfloat16 may take a hundred times as long."""
    once = {name: seconds for name, seconds in once.items() if is_pytorch(name)}
    for name, seconds in once.items():
        best = min(once, key=once.get)
        if seconds > max(PATIENCE, HOPELESS * once[best]):
            failed[name] = f"a run took {seconds:.1f} s, more than {HOPELESS} times that of {best}"
            del contenders[name]


def compare_network(case, precision, arguments):
    import torch

    config = json.loads((arguments.model / case.network / "config.json").read_text())
    inputs = make_inputs(case, config, arguments)
    say(f"... {case.name}, {precision}: loading")
    torch._dynamo.reset()
    # OpenVINO and ONNX convert from float32 themselves.
    module, module_precision = load_module(case, arguments.model, torch.float32), "float32"
    expected = module(*cast(inputs, torch.float32)).float()
    contenders, once, failed = {}, {}, {}
    ours = Dalle2(arguments.stages, arguments.dalle2_model, precision, arguments.threads)
    try:
        ours.load(case, inputs, steps_of(arguments.model).get(case.network, 1))
        contenders["dalle2"] = ours
        for name, kind, theirs in rivals_of(precision, arguments):
            if arguments.best_precision and kind in ("eager", "compiled") and theirs == "bfloat16":
                reason = too_slow_in_bfloat16(once)
                if reason is not None:
                    failed[name] = reason
                    continue
            if kind in ("eager", "compiled") and theirs != module_precision:
                module = None
                gc.collect()
                module, module_precision = load_module(case, arguments.model, getattr(torch, theirs)), theirs
            say(f"... {case.name}, {precision}: {name}")
            try:
                contender = KINDS[kind](case, module, inputs, theirs, arguments)
                once[name] = contender.seconds(1, False)
                contenders[name] = contender
            except Exception as error:
                failed[name] = reason_of(error)
        module = None
        say(f"... {case.name}, {precision}: measuring")
        if arguments.best_precision:
            leave_out_hopeless(contenders, once, failed)
        seconds = take_turns(contenders, arguments)
        errors = {name: error_of(contender.output(), expected) for name, contender in contenders.items()}
        int8_share = ours.int8_share() if precision == "int8" else None
    finally:
        ours.close()
    ran = {name: contender.precision for name, contender in contenders.items()}
    entry = result_of(case.name, precision, ran, seconds, errors, failed)
    # (`dalle2 convert --int8` leaves 30.5 dB, an error of 0.03, beside bfloat16.)
    int8_limit = 0.04 if arguments.dalle2_model != arguments.model else 0.1
    limit = {"float32": 1e-3, "bfloat16": max(5e-2, 3 * errors.get("eager", 0)), "int8": int8_limit}[precision]
    entry["preparation_seconds"] = ours.preparation
    if int8_share is not None:
        entry["int8_share"] = int8_share
        say(f"  {100 * int8_share:.0f} % of the multiply-adds in int8")
    judge(entry, errors["dalle2"], limit, "PyTorch's")
    return entry


def judge(entry, error, limit, whose):
    entry["agree"] = error < limit
    if not entry["agree"]:
        entry["wrong"] = f"the output of dalle2 is {error:.1e} from {whose}; expected less than {limit:.0e}"
        say(f"  WRONG: {entry['wrong']}")


# --- Whole pictures -----------------------------------------------------------------------------


class Dalle2Picture(Rival):
    def __init__(self, arguments, precision):
        self.precision, self.prompt, self.noise = precision, arguments.prompt, rival_precision(precision)
        self.program = Dalle2(arguments.stages, arguments.dalle2_model, precision, arguments.threads)
        self.png = os.path.join(self.program.folder.name, "picture.png")
        try:
            self.program.ask(pipeline=True)
        except Exception:
            self.close()
            raise

    def run(self):
        self.program.ask(picture=self.prompt, seed=7, noise=self.noise, png=self.png)

    def output(self):
        import numpy
        import PIL.Image
        import torch

        return torch.from_numpy(numpy.asarray(PIL.Image.open(self.png)).copy()).float() / 255

    def close(self):
        self.program.close()


def enlarge_in_float32():
    """The pipeline's antialiased bicubic interpolation, which PyTorch does not have for bfloat16 on a CPU."""
    import torch
    from diffusers.pipelines.unclip import pipeline_unclip

    usual = torch.nn.functional.interpolate

    @functools.wraps(usual)  # the pipeline looks at its signature
    def interpolate(pictures, **options):
        return usual(pictures.float(), **options).to(pictures.dtype)

    pipeline_unclip.F = types.SimpleNamespace(**vars(torch.nn.functional) | {"interpolate": interpolate})


class DiffusersPicture(Rival):
    def __init__(self, arguments, precision, compiled):
        import diffusers
        import torch

        enlarge_in_float32()
        self.torch, self.prompt, self.precision = torch, arguments.prompt, precision
        dtype = getattr(torch, precision)
        # (As in load_module: otherwise the files' own type would win.)
        self.pipe = diffusers.UnCLIPPipeline.from_pretrained(arguments.model, torch_dtype=dtype).to(dtype)
        self.pipe.set_progress_bar_config(disable=True)
        for unet in (self.pipe.decoder, self.pipe.super_res_first, self.pipe.super_res_last):
            unet.to(memory_format=torch.channels_last)
        self.settings = generation_settings(arguments.model)
        if compiled:
            import torch._inductor.config

            torch._dynamo.reset()
            torch._inductor.config.freezing = True
            compile_every_block()
            for part in (self.pipe.text_encoder, self.pipe.prior, self.pipe.decoder, self.pipe.super_res_first,
                         self.pipe.super_res_last):
                part.compile(dynamic=False)
            self.run()

    def run(self):
        generator = self.torch.Generator().manual_seed(7)
        self.last = self.pipe(self.prompt, generator=generator, output_type="np", **self.settings).images[0]

    def output(self):
        return self.torch.from_numpy(self.last).float()

    def close(self):
        self.pipe = None


def generation_settings(model):
    names = {"prior_steps": "prior_num_inference_steps", "decoder_steps": "decoder_num_inference_steps",
             "super_resolution_steps": "super_res_num_inference_steps",
             "prior_guidance_scale": "prior_guidance_scale", "decoder_guidance_scale": "decoder_guidance_scale"}
    path = model / "generation_config.json"
    given = json.loads(path.read_text()) if path.is_file() else {}
    return {names[key]: value for key, value in given.items() if key in names}


def bytes_needed(model, precision, compiled=False):
    """Of a whole pipeline: the weights, which freezing copies, and about what lies between layers."""
    import math

    import safetensors

    count = 0
    for path in model.glob("*/*.safetensors"):
        with safetensors.safe_open(path, "pt") as file:
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    return count * (4 if precision == "float32" else 2) * (2 if compiled else 1) + 1.5e9


def bytes_free():
    meminfo = pathlib.Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))


class Pictures:
    """Who draws, by name: all in memory at once if they fit, otherwise each for its turn alone."""

    def __init__(self, precision, arguments):
        self.kept, self.failed, self.makers, needs = {}, {}, {}, {}
        self.makers["dalle2"] = lambda: Dalle2Picture(arguments, precision)
        needs["dalle2"] = bytes_needed(arguments.model, precision)
        for name, kind, theirs in rivals_of(precision, arguments):
            if not is_pytorch(name):
                continue
            compiled = kind == "compiled"
            self.makers[name] = lambda t=theirs, c=compiled: DiffusersPicture(arguments, t, c)
            needs[name] = bytes_needed(arguments.model, theirs, compiled)
        free = bytes_free()
        for name, need in needs.items():
            if need > free and name in self.makers:
                self.leave_out(name, f"it needs {need * 1e-9:.0f} GB of memory, {free * 1e-9:.0f} are free")
        self.all_fit = sum(needs[name] for name in self.makers) <= free

    def leave_out(self, name, reason):
        self.failed[name] = reason
        del self.makers[name]
        if name == "dalle2":
            self.makers.clear()  # nothing to compare

    def get(self, name):
        if name not in self.kept:
            if not self.all_fit:
                self.close()
            self.kept[name] = self.makers[name]()
        return self.kept[name]

    def close(self):
        for contender in self.kept.values():
            contender.close()
        self.kept.clear()
        gc.collect()


def compare_pictures(precision, arguments):
    import torch

    torch._dynamo.reset()
    pictures, seconds, outputs, ran = Pictures(precision, arguments), {}, {}, {}
    try:
        for round_number in range(arguments.runs + (arguments.runs > 1)):
            for name in list(pictures.makers):
                if name not in pictures.makers:
                    continue
                say(f"... picture, {precision}: {name}")
                try:
                    contender = pictures.get(name)
                    time.sleep(PAUSE)
                    taken = contender.seconds(1, False)
                    outputs[name], ran[name] = contender.output(), contender.precision
                except Exception as error:
                    pictures.leave_out(name, reason_of(error))
                    continue
                if round_number > 0 or arguments.runs == 1:  # the first does not count, unless there is one
                    seconds.setdefault(name, []).append(taken)
    finally:
        pictures.close()
    if "dalle2" in pictures.failed:
        entry = {"case": "picture", "precision": precision, "left_out": pictures.failed, "agree": False,
                 "wrong": f"dalle2 left out: {pictures.failed['dalle2']}"}
        say(f"picture, {precision}\n  WRONG: {entry['wrong']}")
        return entry
    seconds = {name: values for name, values in seconds.items() if name not in pictures.failed}
    # Beside diffusers in the precision whose noise dalle2 draws: mean difference of a value of 0 to 1.
    beside = next((name for name in ("eager", "compiled") if name in outputs), None)
    errors = {}
    if beside:
        errors = {name: float((outputs[name] - outputs[beside]).abs().mean()) for name in seconds
                  if name != beside and (name == "dalle2" or ran[name] == ran[beside])}
    entry = result_of("picture", precision, ran, seconds, errors, pictures.failed)
    if beside:
        say(f"  (error: mean difference from {beside}'s picture, of 1)")
        # A diffusion magnifies rounding. Of random weights bfloat16 and int8 came out 0.04 to 0.06 apart, while the
        # shipped model draws pictures of other noise 0.03 apart: there is no limit that tells wrong from rounded.
        if precision == "float32":
            judge(entry, errors["dalle2"], 0.005, f"{beside}'s picture")
    return entry


def steps_of(model):
    """How often a picture needs each network, at the model's own settings."""
    settings = {"prior_num_inference_steps": 25, "decoder_num_inference_steps": 25,
                "super_res_num_inference_steps": 7} | generation_settings(model)
    last = int((model / "super_res_last").is_dir())
    return {"prior": settings["prior_num_inference_steps"], "decoder": settings["decoder_num_inference_steps"],
            "super_res_first": settings["super_res_num_inference_steps"] - last, "super_res_last": last}


def estimate(entries, arguments):
    """A whole picture as steps times the seconds of a step, and what dalle2 prepares once, where every network was
    measured."""
    steps = {"clip_text_1": 2} | steps_of(arguments.model)
    found = []
    for precision in arguments.precisions:
        cases = {e["case"]: e for e in entries if e["precision"] == precision and "best_pytorch" in e}
        if not all(name in cases for name, count in steps.items() if count):
            continue

        def total(contender_of, figure):
            return sum(count * cases[name]["contenders"][contender_of(cases[name])]["seconds"][figure]
                       for name, count in steps.items() if count)

        once = sum(cases[name]["preparation_seconds"] for name, count in steps.items() if count)
        ours = {f: once + total(lambda case: "dalle2", f) for f in ("min", "median", "max")}
        best = {f: total(lambda case: case["best_pytorch"], f) for f in ("min", "median", "max")}
        ratio = {"min": best["min"] / ours["max"], "median": best["median"] / ours["median"],
                 "max": best["max"] / ours["min"]}
        say(f"a picture as the sum of its steps, {precision}: dalle2 {ours['median']:.1f} s, the best of PyTorch "
            f"{best['median']:.1f} s: {show(ratio)} times")
        used = [cases[name] for name, count in steps.items() if count]
        found.append({"case": "picture_from_steps", "precision": precision, "steps": steps, "dalle2": ours,
                      "best_pytorch": best, "vs_pytorch": ratio, "agree": all(case["agree"] for case in used)})
    return found


# --- Main ---------------------------------------------------------------------------------------


def in_a_process(compare, name, precision, *others):
    """What compare(*others) returns; where it broke off, an entry that says so.

    This process itself must not compute with PyTorch before: a fork would have the locks of its threads, and not
    the threads.
    """

    def run():
        try:
            sender.send(compare(*others))
        except Exception as error:
            traceback.print_exc()
            sender.send({"case": name, "precision": precision, "broke_off": reason_of(error)})

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run)
    process.start()
    sender.close()
    try:
        entry = receiver.recv()
    except (EOFError, OSError):
        entry = None
    process.join()
    if entry is None:
        reason = f"signal {-process.exitcode}" if process.exitcode < 0 else f"exit status {process.exitcode}"
        if process.exitcode == -9:
            reason += ", as when memory runs out"
        entry = {"case": name, "precision": precision, "broke_off": reason}
    if "broke_off" in entry:
        say(f"{name}, {precision}: broke off ({entry['broke_off']})")
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--stages", type=pathlib.Path, default=HERE.parent / "build/benchmarks/stages",
                        help="the program benchmarks/stages (default: that of build/)")
    parser.add_argument("--dalle2-model", type=pathlib.Path,
                        help="what dalle2 loads, when it is not MODEL itself: what dalle2 convert made of it")
    parser.add_argument("--only", nargs="*",
                        help="these cases; a word that is no case's name stands for all that begin with it; default: "
                             "all networks")
    parser.add_argument("--list", action="store_true", help="names the cases of the model and ends")
    parser.add_argument("--rivals", nargs="*", choices=RIVALS, default=RIVALS)
    parser.add_argument("--precisions", nargs="*", choices=["bfloat16", "float32", "int8"],
                        default=["bfloat16", "float32"], help="int8: dalle2 in int8 beside the others in bfloat16")
    parser.add_argument("--best-precision", action="store_true",
                        help="where the rivals would run in bfloat16 alone, run them in float32 as well")
    parser.add_argument("--runs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompt-tokens", type=int, default=12, help="tokens of the prompt in the cases with padding")
    parser.add_argument("--prompt", default="a painting of a fox in the snow", help="of the case picture")
    parser.add_argument("--no-spinning", action="store_true", help="ONNX Runtime's threads sleep when they wait")
    parser.add_argument("--processor-time", action="store_true",
                        help="count the time of processors, not of the wall: with --threads 1, on a machine that is "
                             "busy with other things")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    if not (arguments.model / "model_index.json").is_file():
        parser.error(f"{arguments.model} is no model's folder: it has no model_index.json; "
                     "tests/golden/make_random_model.py makes one")
    arguments.dalle2_model = arguments.dalle2_model or arguments.model
    if not (arguments.dalle2_model / "model_index.json").is_file():
        parser.error(f"{arguments.dalle2_model} is no model's folder: it has no model_index.json")
    guided = generation_settings(arguments.model).get("decoder_guidance_scale", 8.0) != 1.0
    cases = cases_of(arguments.model, guided)
    if arguments.list:
        print("\n".join([case.name for case in cases] + ["picture"]))
        return 0
    arguments.stages = arguments.stages.resolve()
    if not arguments.stages.is_file():
        parser.error(f"there is no {arguments.stages}; cmake --build build --target dalle2_benchmark_stages makes it")
    if arguments.runs < 1:
        parser.error(f"--runs {arguments.runs}; expected 1 or more")
    try:
        import diffusers
        import torch
        import transformers
    except ImportError as error:
        parser.error(f"{error}: run it with a Python that has torch, diffusers and transformers")
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)

    names = [case.name for case in cases] + ["picture"]
    chosen = set(names[:-1]) if arguments.only is None else set()
    for word in arguments.only or []:
        found = [word] if word in names else [name for name in names if name.startswith(word)]
        if not found:
            parser.error(f"no case begins with \"{word}\"; there are {', '.join(names)}")
        chosen.update(found)
    entries = []
    ours = Dalle2(arguments.stages, arguments.dalle2_model, "float32", arguments.threads)
    isa = ours.ask(machine=True)["isa"]
    ours.close()
    report = {"pytorch": torch.__version__, "isa": isa, "threads": arguments.threads, "model": arguments.model.name,
              "prompt_tokens": arguments.prompt_tokens, "best_precision": arguments.best_precision, "cases": entries}

    def save():
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")

    say(f"PyTorch {torch.__version__}, {arguments.threads} threads; seconds and ratios: minimum / median / maximum")
    for case in cases:
        for precision in arguments.precisions:
            if case.name in chosen:
                entries.append(in_a_process(compare_network, case.name, precision, case, precision, arguments))
                save()
    if "picture" in chosen:
        for precision in arguments.precisions:
            entries.append(in_a_process(compare_pictures, "picture", precision, precision, arguments))
            save()
    entries += estimate(entries, arguments)
    save()
    broken = [f"{entry['case']}, {entry['precision']}: {entry['broke_off']}" for entry in entries
              if "broke_off" in entry]
    if broken:
        say(f"broke off: {'; '.join(broken)}")
        return 1
    return 0 if all(entry.get("agree", True) for entry in entries) else WRONG


if __name__ == "__main__":
    sys.exit(main())
