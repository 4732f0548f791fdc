// The same layers in PyTorch, timed by a Python that has it.
#pragma once

namespace kernel_benchmark {

// First it is told the number of threads; then each request is a layer, and the answer the seconds
// of the forward pass, the input's gradient and the weights' gradient.
inline constexpr const char* pytorch_script = R"PY(
import time
import torch

def best(run, least):
    run()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < least:
        t = time.perf_counter(); run(); times.append(time.perf_counter() - t)
    return min(times)

def runs_of_layer(layer, kind):
    b, h, w, i, o, k = (layer[key] for key in ("batch", "height", "width", "in", "out", "kernel"))
    if h * w == 1:
        x, weight, dy = torch.randn(b, i).to(kind), torch.randn(o, i).to(kind), torch.randn(b, o).to(kind)
        bias = torch.randn(o).to(kind)
        return [lambda: torch.nn.functional.linear(x, weight, bias), lambda: dy @ weight, lambda: dy.t() @ x]
    last = dict(memory_format=torch.channels_last)
    x, dy = torch.randn(b, i, h, w).to(kind).to(**last), torch.randn(b, o, h, w).to(kind).to(**last)
    weight, bias = torch.randn(o, i, k, k).to(kind).to(**last), torch.randn(o).to(kind)
    pad = k // 2
    back = lambda mask: torch.ops.aten.convolution_backward(
        dy, x, weight, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, mask)
    return [lambda: torch.nn.functional.conv2d(x, weight, bias, padding=pad),
            lambda: back([True, False, False]), lambda: back([False, True, False])]

def runs_of_attention(layer, kind):
    make = lambda n: torch.randn(layer["batch"], n, layer["heads"], layer["width"]).to(kind).transpose(1, 2)
    q, k, v = make(layer["queries"]), make(layer["keys"]), make(layer["keys"])
    return [lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=layer["causal"])]

@torch.no_grad()
def answer(request):
    if "threads" in request:
        torch.set_num_threads(request["threads"])
        return {"version": torch.__version__}
    runs_of = runs_of_attention if "queries" in request else runs_of_layer
    runs = runs_of(request, getattr(torch, request["scalar"]))
    return {"seconds": [best(run, request["seconds"]) for run in runs]}

serve(answer)
)PY";

}  // namespace kernel_benchmark
