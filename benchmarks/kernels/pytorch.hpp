// The same layers in PyTorch, timed by a Python that has it.
#pragma once

namespace kernel_benchmark {

// Reads layers from the file named by its argument and prints one JSON object: the seconds of the
// forward pass, the input's gradient and the weights' gradient of each, by name.
inline constexpr const char* pytorch_script = R"PY(
import json, sys, time
import torch
layers = json.load(open(sys.argv[1]))
torch.set_num_threads(layers["threads"])
def best(run):
    run()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < 0.15:
        t = time.perf_counter(); run(); times.append(time.perf_counter() - t)
    return min(times)
result = {}
for layer in layers["layers"]:
    kind = torch.bfloat16 if layer["scalar"] == "bfloat16" else torch.float32
    b, h, w, i, o, k = (layer[key] for key in ("batch", "height", "width", "in", "out", "kernel"))
    try:
        with torch.no_grad():
            if h * w == 1:
                x, weight, dy = torch.randn(b, i).to(kind), torch.randn(o, i).to(kind), torch.randn(b, o).to(kind)
                bias = torch.randn(o).to(kind)
                runs = [lambda: torch.nn.functional.linear(x, weight, bias), lambda: dy @ weight, lambda: dy.t() @ x]
            else:
                last = dict(memory_format=torch.channels_last)
                x, dy = torch.randn(b, i, h, w).to(kind).to(**last), torch.randn(b, o, h, w).to(kind).to(**last)
                weight, bias = torch.randn(o, i, k, k).to(kind).to(**last), torch.randn(o).to(kind)
                pad = k // 2
                back = lambda mask: torch.ops.aten.convolution_backward(
                    dy, x, weight, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, mask)
                runs = [lambda: torch.nn.functional.conv2d(x, weight, bias, padding=pad),
                        lambda: back([True, False, False]), lambda: back([False, True, False])]
            result[layer["name"]] = [best(run) for run in runs]
    except Exception as error:
        print(layer["name"], error, file=sys.stderr)
for layer in layers.get("attentions", []):
    kind = torch.bfloat16 if layer["scalar"] == "bfloat16" else torch.float32
    make = lambda n: torch.randn(layer["batch"], n, layer["heads"], layer["width"]).to(kind).transpose(1, 2)
    with torch.no_grad():
        q, k, v = make(layer["queries"]), make(layer["keys"]), make(layer["keys"])
        result[layer["name"]] = [best(lambda: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=layer["causal"]))]
print(json.dumps({"version": torch.__version__, "seconds": result}))
)PY";

}  // namespace kernel_benchmark
