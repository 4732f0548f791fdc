// The same networks, trained in PyTorch.
#pragma once

namespace training_benchmark {

// Trains a network with AdamW, in one pass over the weights, and with an average of them, as dalle2
// does; eager or compiled, in float32 or in bfloat16 with float32 weights.
// The first request says what, and makes the first steps; each one after that asks for a turn. Each
// is a process of its own, so that none lives on what another has allocated.
inline constexpr const char* pytorch_script = R"PY(
import time
import diffusers, torch, torch._dynamo, transformers

def make_unet(ask, batch, tokens):
    model = diffusers.UNet2DConditionModel.from_config(ask["config"]).to(memory_format=torch.channels_last)
    size = ask["config"]["sample_size"]
    picture = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    context = torch.randn(batch, tokens, ask["config"]["cross_attention_dim"])
    added_time, timesteps = torch.randn(batch, ask["time"]), torch.randint(0, 1000, (batch,))
    def loss(model):
        return (model(picture, timesteps, context, class_labels=added_time).sample.float()[:, :3] - picture).square().mean()
    return model, loss

def clip_towers(ask):
    from transformers import (CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig,
                              CLIPVisionModelWithProjection)
    return (CLIPTextModelWithProjection(CLIPTextConfig.from_dict(ask["text"])),
            CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(ask["image"])))

def clip_inputs(ask, batch, tokens):
    ids = torch.randint(0, ask["text"]["vocab_size"] - 1, (batch, tokens))
    ids[:, -1] = ask["text"]["eos_token_id"]
    size = ask["image"]["image_size"]
    return ids, torch.randn(batch, 3, size, size)

# Its step begins with what CLIP, which is not trained, makes of the texts and the pictures.
def make_prior(ask, batch, tokens):
    config = dict(ask["config"], num_embeddings=tokens)
    model = diffusers.PriorTransformer.from_config(config)
    embed_texts, embed_pictures = (
        torch.compile(tower) if ask["form"] == "compiled" else tower for tower in clip_towers(ask))
    ids, pictures = clip_inputs(ask, batch, tokens)
    noise = torch.randn(batch, config["embedding_dim"])
    timesteps, mask = torch.randint(0, 1000, (batch,)), torch.ones(batch, tokens, dtype=torch.bool)
    def loss(model):
        with torch.no_grad():
            text, image = embed_texts(ids), embed_pictures(pictures).image_embeds.float()
        out = model(image + noise, timesteps, proj_embedding=text.text_embeds,
                    encoder_hidden_states=text.last_hidden_state, attention_mask=mask)
        return (out.predicted_image_embedding.float() - image).square().mean()
    return model, loss

def make_clip(ask, batch, tokens):
    class Clip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.text, self.image = clip_towers(ask)
            self.scale = torch.nn.Parameter(torch.tensor(2.6592))
        def forward(self, ids, pictures):
            text = torch.nn.functional.normalize(self.text(ids).text_embeds, dim=-1)
            image = torch.nn.functional.normalize(self.image(pictures).image_embeds, dim=-1)
            return self.scale.exp() * text @ image.t()
    model = Clip()
    (ids, pictures), same = clip_inputs(ask, batch, tokens), torch.arange(batch)
    def loss(model):
        scores = model(ids, pictures).float()
        return (torch.nn.functional.cross_entropy(scores, same) + torch.nn.functional.cross_entropy(scores.t(), same)) / 2
    return model, loss

def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    return 0

def make_step(ask):
    torch.set_num_threads(ask["threads"])
    # Of more than eight blocks of a kind the rest would stay eager.
    torch._dynamo.config.cache_size_limit = 256
    torch._dynamo.config.accumulated_cache_size_limit = 4096
    torch.manual_seed(0)
    make = {"clip": make_clip, "prior": make_prior}.get(ask["subject"], make_unet)
    model, loss = make(ask, ask["batch"], ask["tokens"])
    call = torch.compile(model) if ask["form"] == "compiled" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999))
    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=ask["precision"] == "bfloat16"):
            value = loss(call)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
    return step

def answer(request):
    global step
    if "turn" not in request:
        before = status("VmRSS")
        step = make_step(request)
        step()  # compiles
        begin = time.perf_counter()
        step()
        once = time.perf_counter() - begin
        name = " ".join(["PyTorch", torch.__version__.split("+")[0], request["form"], request["precision"]])
        return {"name": name, "bytes": status("VmHWM") - before, "seconds": once}
    step()  # wakes its threads and its caches
    steps, begin = 0, time.perf_counter()
    while steps == 0 or time.perf_counter() - begin < request["turn"]:
        step()
        steps += 1
    return {"seconds": (time.perf_counter() - begin) / steps}

serve(answer)
)PY";

}  // namespace training_benchmark
