// The same UNet, trained in PyTorch.
#pragma once

namespace training_benchmark {

// Prints the seconds of a step of AdamW by name: eager and compiled, in float32 and in bfloat16
// with float32 weights. What does not run is left out.
inline constexpr const char* pytorch_script = R"PY(
import json, sys, time
import torch
from diffusers import UNet2DConditionModel
ask = json.load(open(sys.argv[1]))
torch.set_num_threads(ask["threads"])
torch.manual_seed(0)
batch, size = ask["batch"], ask["config"]["sample_size"]
picture = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
context = torch.randn(batch, ask["tokens"], ask["config"]["cross_attention_dim"])
added_time = torch.randn(batch, ask["time"])
timesteps = torch.randint(0, 1000, (batch,))
result = {}
for compiled in (False, True):
    for kind in ("float32", "bfloat16"):
        try:
            model = UNet2DConditionModel.from_config(ask["config"]).to(memory_format=torch.channels_last)
            call = torch.compile(model) if compiled else model
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
            def step():
                with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
                    out = call(picture, timesteps, context, class_labels=added_time).sample
                (out.float()[:, :3] - picture).square().mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step(); optimizer.zero_grad()
            step(); step()
            times, begin = [], time.perf_counter()
            while len(times) < 3 or time.perf_counter() - begin < ask["seconds"]:
                t = time.perf_counter(); step(); times.append(time.perf_counter() - t)
            name = "PyTorch " + torch.__version__.split("+")[0] + (" compiled " if compiled else " eager ") + kind
            result[name] = min(times)
        except Exception as error:
            print(compiled, kind, error, file=sys.stderr)
print(json.dumps(result))
)PY";

}  // namespace training_benchmark
