// The same networks, trained in PyTorch.
#pragma once

namespace training_benchmark {

// Prints the seconds and the memory of a step of AdamW by name: eager and compiled, in float32 and
// in bfloat16 with float32 weights. What does not run is left out. Each is a process of its own, so
// that none lives on what another has allocated.
inline constexpr const char* pytorch_script = R"PY(
import json, subprocess, sys, time

ask = json.load(open(sys.argv[1]))
if len(sys.argv) == 2:
    result = {}
    for compiled in ("eager", "compiled"):
        for kind in ("float32", "bfloat16"):
            run = subprocess.run([sys.executable, sys.argv[0], sys.argv[1], compiled, kind], stdout=subprocess.PIPE)
            if run.returncode == 0:
                result.update(json.loads(run.stdout.splitlines()[-1]))
    print(json.dumps(result))
    sys.exit()

import torch
torch.set_num_threads(ask["threads"])
torch.manual_seed(0)
compiled, kind = sys.argv[2] == "compiled", sys.argv[3]
batch, tokens = ask["batch"], ask["tokens"]

def make_unet():
    from diffusers import UNet2DConditionModel
    model = UNet2DConditionModel.from_config(ask["config"]).to(memory_format=torch.channels_last)
    size = ask["config"]["sample_size"]
    picture = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    context = torch.randn(batch, tokens, ask["config"]["cross_attention_dim"])
    added_time, timesteps = torch.randn(batch, ask["time"]), torch.randint(0, 1000, (batch,))
    def loss(model):
        return (model(picture, timesteps, context, class_labels=added_time).sample.float()[:, :3] - picture).square().mean()
    return model, loss

def make_prior():
    from diffusers import PriorTransformer
    config = dict(ask["config"], num_embeddings=tokens)
    model = PriorTransformer.from_config(config)
    width = config["embedding_dim"]
    noisy, text, states = torch.randn(batch, width), torch.randn(batch, width), torch.randn(batch, tokens, width)
    timesteps, mask = torch.randint(0, 1000, (batch,)), torch.ones(batch, tokens, dtype=torch.bool)
    def loss(model):
        out = model(noisy, timesteps, proj_embedding=text, encoder_hidden_states=states, attention_mask=mask)
        return (out.predicted_image_embedding.float() - noisy).square().mean()
    return model, loss

def make_clip():
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection
    class Clip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.text = CLIPTextModelWithProjection(CLIPTextConfig.from_dict(ask["text"]))
            self.image = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(ask["image"]))
            self.scale = torch.nn.Parameter(torch.tensor(2.6592))
        def forward(self, ids, pictures):
            text = torch.nn.functional.normalize(self.text(ids).text_embeds, dim=-1)
            image = torch.nn.functional.normalize(self.image(pictures).image_embeds, dim=-1)
            return self.scale.exp() * text @ image.t()
    model = Clip()
    ids = torch.randint(0, ask["text"]["vocab_size"] - 1, (batch, tokens))
    ids[:, -1] = ask["text"]["eos_token_id"]
    size = ask["image"]["image_size"]
    pictures, same = torch.randn(batch, 3, size, size), torch.arange(batch)
    def loss(model):
        scores = model(ids, pictures).float()
        return (torch.nn.functional.cross_entropy(scores, same) + torch.nn.functional.cross_entropy(scores.t(), same)) / 2
    return model, loss

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    return 0

import diffusers, transformers
before = status("VmRSS")
model, loss = {"clip": make_clip, "prior": make_prior}.get(ask["subject"], make_unet)()
call = torch.compile(model) if compiled else model
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
def step():
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
        value = loss(call)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
step()
step()
times, begin = [], time.perf_counter()
while len(times) < 3 or time.perf_counter() - begin < ask["seconds"]:
    t = time.perf_counter()
    step()
    times.append(time.perf_counter() - t)
name = "PyTorch " + torch.__version__.split("+")[0] + " " + sys.argv[2] + " " + kind
print(json.dumps({name: {"seconds": min(times), "bytes": status("VmHWM") - before}}))
)PY";

}  // namespace training_benchmark
