// How fast does the shipped decoder train? Whole steps of the optimiser, as `dalle2 train decoder`
// runs them: pictures drawn, CLIP's embeddings of them, the UNet forward and backward, AdamW.
// Beside them the peak of this machine's registers, measured in the same run, and on request the
// same UNet in PyTorch, which gets its pictures and embeddings for nothing.
//
//     training --json training.json --pytorch python3
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <dalle2/data/emoji_font.hpp>
#include <dalle2/kernels/peak.hpp>
#include <dalle2/pipeline/model_cost.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/emoji_model.hpp>
#include <dalle2/train/text_tokens.hpp>

#include "kernels/python.hpp"
#include "kernels/timing.hpp"
#include "training/pytorch.hpp"

namespace {

using namespace dalle2;
namespace recipe = emoji_model;

constexpr std::int64_t padded_tokens = 12;  // about what a caption has

// Floating-point operations of a step: the backward pass costs two forward passes, one for the
// inputs' gradients and one for the weights'.
double operations_of_step(std::int64_t batch) {
    const UNetConfig config = recipe::decoder_config();
    const std::int64_t tokens =
        padded_tokens + recipe::text_projection_config().clip_extra_context_tokens;
    return 3 * 2.0 *
           static_cast<double>(
               trace_unet(config, batch, config.sample_size, tokens).multiply_adds());
}

template <class T>
double seconds_of_step(std::int64_t batch, double least) {
    const ClipTokenizer tokenizer = recipe::make_tokenizer();
    const auto text_encoder =
        std::make_shared<ClipTextEncoder<Cpu<T>>>(recipe::text_config(tokenizer));
    const auto image_encoder = std::make_shared<ClipImageEncoder<Cpu<T>>>(recipe::image_config());
    initialize<Cpu<T>>(*text_encoder, 1);
    initialize<Cpu<T>>(*image_encoder, 2);
    DecoderTask<T> task(
        recipe::text_projection_config(), recipe::decoder_config(),
        NoiseSchedule(recipe::decoder_schedule()), text_encoder, image_encoder,
        recipe::scene_samples(std::make_shared<const SceneRenderer>(load_sprites(emoji_nouns())),
                              SceneStream(0)),
        text_tokens(tokenizer), 0);
    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    std::int64_t step = 0;
    return kernel_benchmark::seconds_of(
        [&] {
            task.gradients(static_cast<std::uint64_t>(step * batch), batch, 1.0);
            task.parameters().optimize(++step, 1e-4, {});
        },
        least);
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Speed of the decoder's training beside the peak of this machine and PyTorch");
    std::string json_file, python;
    std::int64_t batch = 32;
    double least = 10;
    app.add_option("--json", json_file, "also write the figures to this file");
    app.add_option("--pytorch", python,
                   "a Python that can import diffusers, to be measured beside");
    app.add_option("--batch", batch, "pictures in a step")->check(CLI::Range(1, 4096));
    app.add_option("--seconds", least, "measure each figure for at least this long")
        ->check(CLI::PositiveNumber);
    CLI11_PARSE(app, argc, argv);

    const double operations = operations_of_step(batch);
    nlohmann::json report = {{"isa", kernels::name_of(kernels::current_isa())},
                             {"threads", kernels::thread_count()},
                             {"batch", batch},
                             {"gflop_per_step", operations * 1e-9}};
    std::printf("%s, %d threads, batches of %d, %.0f GFLOP a step\n",
                kernels::name_of(kernels::current_isa()), kernels::thread_count(),
                static_cast<int>(batch), operations * 1e-9);
    std::printf("%-34s %10s %10s %10s %8s\n", "", "ms a step", "pictures/s", "GFLOP/s", "of peak");
    const auto row = [&](const std::string& name, double seconds, double peak) {
        const double speed = operations / seconds * 1e-9;
        std::printf("%-34s %10.0f %10.1f %10.0f %7.0f%%\n", name.c_str(), seconds * 1e3,
                    static_cast<double>(batch) / seconds, speed, 100 * speed / peak);
        std::fflush(stdout);
        report["rows"].push_back(
            {{"name", name}, {"seconds", seconds}, {"gflops", speed}, {"share", speed / peak}});
    };
    const double float_peak = kernels::measured_peak(false, 1),
                 bfloat16_peak = kernels::measured_peak(true, 1);
    report["peak"] = {{"float", float_peak}, {"bfloat16", bfloat16_peak}};
    std::printf("%-34s %10s %10s %10.0f\n", "peak, float", "", "", float_peak);
    std::printf("%-34s %10s %10s %10.0f\n", "peak, bfloat16", "", "", bfloat16_peak);
    row("float", seconds_of_step<float>(batch, least), float_peak);
    row("bfloat16", seconds_of_step<bfloat16>(batch, least), bfloat16_peak);
    if (!python.empty()) {
        const UNetConfig config = recipe::decoder_config();
        const nlohmann::json found = kernel_benchmark::run_python(
            python, training_benchmark::pytorch_script,
            {{"config", nlohmann::json::parse(to_json(config).dump())},
             {"batch", batch},
             {"tokens", padded_tokens + recipe::text_projection_config().clip_extra_context_tokens},
             {"time", time_embedding_width(config)},
             {"seconds", least},
             {"threads", kernels::thread_count()}});
        if (found.is_object())
            for (const auto& [name, seconds] : found.items())
                row(name, seconds.get<double>(),
                    name.find("bfloat16") == std::string::npos ? float_peak : bfloat16_peak);
        else
            std::cerr << "PyTorch and diffusers could not be measured with \"" << python << "\"\n";
    }
    if (!json_file.empty() && !(std::ofstream(json_file) << report.dump(2) << "\n"))
        throw IoError(json_file + ": cannot be written");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "training: " << error.what() << "\n";
    return 1;
}
