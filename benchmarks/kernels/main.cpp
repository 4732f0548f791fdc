// How fast are the kernels? Each layer's forward pass, input gradient and weight gradient in
// GFLOP/s and as a share of what the cores can multiply at all, measured in the same run; beside
// them Eigen's product of matrices of the same sizes and, on request, PyTorch.
//
//     kernels --json kernels.json --pytorch python3
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/kernels/kernels.hpp>
#include <dalle2/kernels/peak.hpp>

#include "../effective_share.hpp"
#include "../python_process.hpp"
#include "../threads_option.hpp"
#include "attention.hpp"
#include "eigen_gemm.hpp"
#include "pytorch.hpp"
#include "timing.hpp"

namespace {

namespace kernels = dalle2::kernels;
using dalle2::bfloat16;
using kernel_benchmark::attention_layers;
using kernel_benchmark::AttentionLayer;
using kernel_benchmark::seconds_of;
using kernels::int64;

struct Layer {
    const char* set;
    int64 batch, size, in, out, kernel;  // size 1, kernel 1: a linear layer of `batch` rows

    std::string name() const {
        if (size == 1)
            return "linear " + std::to_string(batch) + "x" + std::to_string(in) + "x" +
                   std::to_string(out);
        const std::string side = std::to_string(size), taps = std::to_string(kernel);
        return "conv " + taps + "x" + taps + " " + std::to_string(batch) + "x" + side + "x" + side +
               " " + std::to_string(in) + "->" + std::to_string(out);
    }
    kernels::Conv2dShape shape() const {
        return {batch, size, size, in, out, kernel, kernel, 1, kernel / 2};
    }
    double operations() const {
        return 2.0 * static_cast<double>(batch * size * size * in * out * kernel * kernel);
    }
};

// The widths and picture sizes of Karlo's decoder and prior at batch 2, and of the small model that
// comes with the library, as its training runs them.
const std::vector<Layer> layers = {
    {"karlo", 2, 64, 320, 320, 3},     {"karlo", 2, 32, 640, 640, 3},
    {"karlo", 2, 16, 960, 960, 3},     {"karlo", 2, 8, 1280, 1280, 3},
    {"karlo", 2, 8, 2560, 1280, 3},    {"karlo", 2, 32, 640, 640, 1},
    {"karlo", 1024, 1, 2048, 2048, 1}, {"karlo", 162, 1, 2048, 8192, 1},
    {"karlo", 162, 1, 8192, 2048, 1},  {"small", 32, 32, 32, 32, 3},
    {"small", 32, 32, 64, 32, 3},      {"small", 32, 16, 64, 64, 3},
    {"small", 32, 16, 128, 64, 3},     {"small", 32, 8, 192, 192, 3},
    {"small", 32, 8, 384, 192, 3},     {"small", 32, 32, 3, 32, 3},
    {"small", 32, 32, 32, 6, 3},       {"small", 32, 32, 96, 32, 1},
    {"small", 2048, 1, 192, 192, 1},   {"small", 2048, 1, 192, 768, 1},
    {"small", 2048, 1, 768, 192, 1},
};

// Numbers that begin where a tensor's do, at a multiple of 64 bytes: a matrix unit loads rows that
// lie across the lines of a cache at half the speed.
template <class T>
class Values {
public:
    explicit Values(int64 count) : count_(count), buffer_(count) {
        std::fill_n(buffer_.get(), count, T(0));
    }
    T* data() const { return buffer_.get(); }
    int64 size() const { return count_; }

private:
    int64 count_;
    kernels::AlignedBuffer<T> buffer_;
};

template <class T>
Values<T> random_values(int64 count) {
    std::minstd_rand generator(1);
    const Values<T> values(count);
    std::generate_n(values.data(), count, [&] {
        return static_cast<T>(static_cast<float>(generator() % 2001) / 1000.0f - 1.0f);
    });
    return values;
}

struct Times {
    double forward, input_gradient, weight_gradient, eigen;
};

// With int8 weights; inputs and outputs are bfloat16, and there are no gradients.
Times measure_int8(const Layer& layer, double least) {
    const kernels::Conv2dShape s = layer.shape();
    const auto x = random_values<bfloat16>(s.batch * s.height * s.width * s.in_channels);
    const auto w =
        random_values<float>(s.out_channels * s.in_channels * s.kernel_height * s.kernel_width);
    const auto bias = random_values<float>(s.out_channels);
    const Values<bfloat16> y(s.batch * s.height * s.width * s.out_channels);
    const auto packed = kernels::pack_int8_weights(w.data(), s.out_channels, s.in_channels,
                                                   layer.kernel, layer.kernel);
    Times times{};
    times.forward =
        seconds_of([&] { kernels::conv2d(s, x.data(), packed, bias.data(), y.data()); }, least);
    return times;
}

template <class T>
Times measure(const Layer& layer, double least) {
    const kernels::Conv2dShape s = layer.shape();
    const auto x = random_values<T>(s.batch * s.height * s.width * s.in_channels);
    const auto dy = random_values<T>(s.batch * s.height * s.width * s.out_channels);
    const auto w =
        random_values<float>(s.out_channels * s.in_channels * s.kernel_height * s.kernel_width);
    const auto bias = random_values<float>(s.out_channels);
    const Values<T> y(dy.size()), dx(x.size());
    const Values<float> dw(w.size()), dbias(bias.size());
    const auto packed = kernels::pack_weights<T>(w.data(), s.out_channels, s.in_channels,
                                                 layer.kernel, layer.kernel);
    const auto transposed = kernels::pack_weights_transposed<T>(
        w.data(), s.out_channels, s.in_channels, layer.kernel, layer.kernel);
    Times times{};
    times.forward =
        seconds_of([&] { kernels::conv2d(s, x.data(), packed, bias.data(), y.data()); }, least);
    times.input_gradient = seconds_of(
        [&] { kernels::conv2d_input_gradient(s, dy.data(), transposed, dx.data()); }, least);
    times.weight_gradient = seconds_of(
        [&] { kernels::conv2d_weight_gradient(s, x.data(), dy.data(), dw.data(), dbias.data()); },
        least);
    if constexpr (std::is_same_v<T, float>) {
        const int64 rows = s.batch * s.height * s.width;
        const int64 inner = s.in_channels * layer.kernel * layer.kernel;
        const auto unrolled = random_values<float>(rows * inner);
        if (const auto product = kernel_benchmark::eigen_product())
            times.eigen = seconds_of(
                [&] { product(rows, inner, s.out_channels, unrolled.data(), w.data(), y.data()); },
                least);
    }
    return times;
}

template <class T>
double seconds_of_attention(const AttentionLayer& layer, double least) {
    const kernels::AttentionShape& s = layer.shape;
    const auto q = random_values<T>(s.batch * s.queries * s.width());
    const auto k = random_values<T>(s.batch * s.keys * s.width()), v = k;
    const Values<T> y(q.size());
    std::vector<float> mask;
    for (int64 query = 0; layer.causal && query < s.queries; ++query)
        for (int64 key = 0; key < s.keys; ++key) mask.push_back(key <= query ? 0.0f : -1e4f);
    const kernels::AttentionMask attention_mask = {mask.empty() ? nullptr : mask.data(), 0, s.keys};
    return seconds_of(
        [&] {
            kernels::attention<T>(s, q.data(), k.data(), v.data(), attention_mask, y.data(),
                                  nullptr);
        },
        least);
}

// PyTorch beside us, layer for layer; it may not be there.
class PyTorch {
public:
    PyTorch(const std::string& python, double least) : least_(least) {
        try {
            process_.emplace(python, kernel_benchmark::pytorch_script);
            version_ = process_->ask({{"threads", kernels::thread_count()}})["version"];
        } catch (const dalle2::Error& error) {
            leave_out("PyTorch", error.what());
            process_.reset();
        }
    }

    // Of the forward pass, and for a layer with weights of both gradients; empty where it does not
    // run.
    std::vector<double> seconds(const std::string& scalar, const Layer& layer) {
        return ask(scalar, layer.name(),
                   {{"batch", layer.batch},
                    {"height", layer.size},
                    {"width", layer.size},
                    {"in", layer.in},
                    {"out", layer.out},
                    {"kernel", layer.kernel}});
    }
    std::vector<double> seconds(const std::string& scalar, const AttentionLayer& layer) {
        return ask(scalar, layer.name(),
                   {{"batch", layer.shape.batch},
                    {"queries", layer.shape.queries},
                    {"keys", layer.shape.keys},
                    {"heads", layer.shape.heads},
                    {"width", layer.shape.head_width},
                    {"causal", layer.causal}});
    }

    const std::string& version() const { return version_; }
    const nlohmann::json& left_out() const { return left_out_; }

private:
    std::vector<double> ask(const std::string& scalar, const std::string& name,
                            nlohmann::json request) {
        if (!process_) return {};
        request["scalar"] = scalar;
        request["seconds"] = least_;
        try {
            return process_->ask(request)["seconds"];
        } catch (const dalle2::Error& error) {
            leave_out(scalar + " " + name, error.what());
            return {};
        }
    }
    void leave_out(const std::string& name, const std::string& reason) {
        std::cerr << name << " left out: " << reason << "\n";
        left_out_[name] = reason;
    }

    double least_;
    std::optional<benchmark_python::PythonProcess> process_;
    std::string version_;
    nlohmann::json left_out_ = nlohmann::json::object();
};

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Speed of the kernels beside the peak of this machine, Eigen and PyTorch");
    std::string json_file, python, only, only_scalar;
    double least = 0.15;
    int threads = 0;
    app.add_option("--json", json_file, "also write the figures to this file");
    app.add_option("--pytorch", python, "a Python that can import torch, to be measured beside");
    app.add_option("--set", only, "only these layers")
        ->check(CLI::IsMember({"karlo", "small", "attention"}));
    app.add_option("--scalar", only_scalar, "only in this precision")
        ->check(CLI::IsMember({"float32", "bfloat16", "int8"}));
    app.add_option("--seconds", least, "measure each figure for at least this long")
        ->check(CLI::PositiveNumber);
    benchmark_options::add_threads(app, threads);
    CLI11_PARSE(app, argc, argv);
    const dalle2::ThreadScope thread_scope(threads);
    // As in a pipeline, what a kernel needs for a moment is there from the last time.
    const dalle2::BufferPool pool;
    const dalle2::BufferPool::Scope pool_scope(pool);

    nlohmann::json report = {{"isa", kernels::name_of(kernels::current_isa())},
                             {"threads", kernels::thread_count()},
                             {"layers", nlohmann::json::array()}};
    std::optional<PyTorch> torch;
    if (!python.empty()) torch.emplace(python, least);
    if (torch && !torch->version().empty()) report["pytorch"] = torch->version();

    std::printf("%s, %d threads. GFLOP/s (share of the peak of registers alone)\n",
                kernels::name_of(kernels::current_isa()), kernels::thread_count());
    for (const std::string scalar : {"float32", "bfloat16", "int8"}) {
        const bool bf16 = scalar == "bfloat16", int8 = scalar == "int8";
        if (!only_scalar.empty() && only_scalar != scalar) continue;
        // The best that was seen so far: other programs may hold the cores just now.
        double limit = 0;
        const auto measure_peak = [&](double seconds) {
            const double found =
                int8 ? kernels::measured_int8_peak(seconds) : kernels::measured_peak(bf16, seconds);
            limit = std::max(limit, found);
            report["peak"][scalar] = limit;
        };
        measure_peak(1);
        std::printf(
            "\n%-8s peak %.0f%21s forward      input grad.     weight grad.   Eigen   PyTorch: "
            "forward, input, weight\n",
            scalar.c_str(), limit, "");
        for (const Layer& layer : layers) {
            if (!only.empty() && only != layer.set) continue;
            measure_peak(0.05);
            const Times times = int8   ? measure_int8(layer, least)
                                : bf16 ? measure<bfloat16>(layer, least)
                                       : measure<float>(layer, least);
            const auto speed = [&](double seconds) { return layer.operations() / seconds * 1e-9; };
            nlohmann::json row = {{"layer", layer.name()}, {"set", layer.set}, {"scalar", scalar}};
            std::printf("%-34s", layer.name().c_str());
            const std::pair<const char*, double> columns[] = {
                {"forward", times.forward},
                {"input_gradient", times.input_gradient},
                {"weight_gradient", times.weight_gradient}};
            for (const auto& [key, seconds] : columns) {
                if (seconds == 0) continue;
                row[key] = {{"gflops", speed(seconds)}, {"share", speed(seconds) / limit}};
                std::printf("  %6.0f (%3.0f%%) ", speed(seconds), 100 * speed(seconds) / limit);
            }
            if (times.eigen > 0) row["eigen_gflops"] = speed(times.eigen);
            std::printf("  %6s", times.eigen > 0
                                     ? std::to_string(static_cast<int>(speed(times.eigen))).c_str()
                                     : "-");
            if (torch && !int8)
                for (const double seconds : torch->seconds(scalar, layer)) {
                    row["pytorch_gflops"].push_back(speed(seconds));
                    std::printf("  %6.0f", speed(seconds));
                }
            std::printf("\n");
            std::fflush(stdout);
            report["layers"].push_back(row);
        }
        for (const AttentionLayer& layer : attention_layers) {
            if (int8 || (!only.empty() && only != "attention")) continue;
            measure_peak(0.05);
            const double speed = layer.operations() * 1e-9 /
                                 (bf16 ? seconds_of_attention<bfloat16>(layer, least)
                                       : seconds_of_attention<float>(layer, least));
            nlohmann::json row = {{"layer", layer.name()},
                                  {"set", "attention"},
                                  {"scalar", scalar},
                                  {"forward", {{"gflops", speed}, {"share", speed / limit}}}};
            std::printf("%-34s  %6.0f (%3.0f%%) ", layer.name().c_str(), speed,
                        100 * speed / limit);
            if (torch)
                for (const double seconds : torch->seconds(scalar, layer)) {
                    const double theirs = layer.operations() * 1e-9 / seconds;
                    row["pytorch_gflops"].push_back(theirs);
                    std::printf("%48.0f", theirs);
                }
            std::printf("\n");
            std::fflush(stdout);
            report["layers"].push_back(row);
        }
    }
    std::printf("%s\n", benchmark_figures::effective_share_note);
    if (torch) report["left_out"] = torch->left_out();
    if (!json_file.empty() && !(std::ofstream(json_file) << report.dump(2) << "\n"))
        throw dalle2::IoError(json_file + ": cannot be written");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "kernels: " << error.what() << "\n";
    return 1;
}
