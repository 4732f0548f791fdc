// How fast do the networks train? Whole steps of the optimiser, as `dalle2 train` runs them:
// pictures drawn, the frozen networks' embeddings of them, forward and backward, AdamW. Beside them
// the peak of this machine's registers, measured in the same run, and on request the same networks
// in PyTorch, which get their pictures and embeddings for nothing.
//
//     training --task decoder --json training.json --pytorch python3
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <dalle2/data/emoji_font.hpp>
#include <dalle2/kernels/peak.hpp>
#include <dalle2/pipeline/model_cost.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/emoji_model.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/text_tokens.hpp>

#include "kernels/python.hpp"
#include "kernels/timing.hpp"
#include "training/memory.hpp"
#include "training/pytorch.hpp"

namespace {

using namespace dalle2;
namespace recipe = emoji_model;

constexpr std::int64_t padded_tokens = 12;  // about what a caption has

// A decoder of about a hundred million parameters, in the shape of the shipped one.
UNetConfig large_decoder_config() {
    UNetConfig config = recipe::decoder_config();
    config.levels = {{.channels = 128},
                     {.channels = 256},
                     {.channels = 384, .down_attention = true, .up_attention = true},
                     {.channels = 512, .down_attention = true, .up_attention = true}};
    config.layers_per_block = 2;
    config.context_width = 512;
    config.norm_num_groups = 32;
    config.time_width = 1024;
    return config;
}

struct Subject {
    std::string name;
    std::int64_t batch;  // unless another is asked for
};
const std::vector<Subject> subjects = {
    {"decoder", 24}, {"large-decoder", 8}, {"clip", 256}, {"prior", 128}};

// What a subject is made of.
struct Recipe {
    ClipTokenizer tokenizer = recipe::make_tokenizer();
    ClipTextConfig text = recipe::text_config(tokenizer);
    ClipImageConfig image = recipe::image_config();
    PriorConfig prior = recipe::prior_config();
    UNetConfig decoder = recipe::decoder_config();
    TextProjectionConfig projection = recipe::text_projection_config();

    explicit Recipe(const std::string& subject) {
        if (subject != "large-decoder") return;
        decoder = large_decoder_config();
        projection.time_embed_dim = time_embedding_width(decoder);
        projection.cross_attention_dim = decoder.context_width;
    }

    std::int64_t context_tokens() const {
        return padded_tokens + projection.clip_extra_context_tokens;
    }
    std::int64_t parameters(const std::string& subject) const {
        if (subject == "clip")
            return parameter_count(ClipTextEncoder<Trace>(text)) +
                   parameter_count(ClipImageEncoder<Trace>(image));
        if (subject == "prior") return parameter_count(PriorTransformer<Trace>(prior));
        return parameter_count(UNet<Trace>(decoder));
    }
    // Floating-point operations of a step: the backward pass costs two forward passes, one for the
    // inputs' gradients and one for the weights'.
    double operations(const std::string& subject, std::int64_t batch) const {
        std::int64_t multiply_adds = 0;
        if (subject == "clip")
            multiply_adds = trace_text_encoder(text, batch, padded_tokens).multiply_adds() +
                            trace_image_encoder(image, batch).multiply_adds();
        else if (subject == "prior")
            multiply_adds = trace_prior(prior, batch, padded_tokens).multiply_adds();
        else
            multiply_adds =
                trace_unet(decoder, batch, decoder.sample_size, context_tokens()).multiply_adds();
        return 3 * 2.0 * static_cast<double>(multiply_adds);
    }
    SampleSource samples() const {
        return recipe::scene_samples(
            std::make_shared<const SceneRenderer>(load_sprites(emoji_nouns())), SceneStream(0));
    }
};

// The seconds of a step, and the most memory that a process takes to make steps, in bytes.
struct Measured {
    double seconds;
    std::int64_t bytes;
};

template <TrainingTask Task>
double seconds_of_step(Task task, std::int64_t batch, double least) {
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

template <class T>
Measured measure(const std::string& subject, const Recipe& parts, std::int64_t batch,
                 double least) {
    const training_benchmark::PeakMemory memory;
    const TextTokens tokens = text_tokens(parts.tokenizer);
    const auto timed = [&](auto task) {
        const double seconds = seconds_of_step(std::move(task), batch, least);
        return Measured{seconds, memory.bytes()};
    };
    if (subject == "clip")
        return timed(ClipTask<T>(parts.text, parts.image, parts.samples(), tokens, 0));
    const auto text_encoder = std::make_shared<ClipTextEncoder<Cpu<T>>>(parts.text);
    const auto image_encoder = std::make_shared<ClipImageEncoder<Cpu<T>>>(parts.image);
    initialize<Cpu<T>>(*text_encoder, 1);
    initialize<Cpu<T>>(*image_encoder, 2);
    if (subject == "prior") {
        const Array zeros = make_array({parts.prior.embedding_dim});
        return timed(PriorTask<T>(parts.prior, NoiseSchedule(recipe::prior_schedule()),
                                  text_encoder, image_encoder, zeros, zeros + 1.0f, parts.samples(),
                                  tokens, 0));
    }
    return timed(DecoderTask<T>(parts.projection, parts.decoder,
                                NoiseSchedule(recipe::decoder_schedule()), text_encoder,
                                image_encoder, parts.samples(), tokens, 0));
}

// What the script of PyTorch needs to know.
nlohmann::json pytorch_request(const std::string& subject, const Recipe& parts, std::int64_t batch,
                               double least) {
    const auto readable = [](const auto& config) {
        return nlohmann::json::parse(to_json(config).dump());
    };
    nlohmann::json request = {{"subject", subject},
                              {"batch", batch},
                              {"tokens", padded_tokens},
                              {"seconds", least},
                              {"threads", kernels::thread_count()}};
    if (subject == "clip") {
        request["text"] = readable(parts.text);
        request["image"] = readable(parts.image);
    } else if (subject == "prior") {
        request["config"] = readable(parts.prior);
    } else {
        request["config"] = readable(parts.decoder);
        request["tokens"] = parts.context_tokens();
        request["time"] = time_embedding_width(parts.decoder);
    }
    return request;
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Speed of training beside the peak of this machine and PyTorch");
    std::string json_file, python;
    std::vector<std::string> names, asked = {"decoder"};
    for (const Subject& subject : subjects) names.push_back(subject.name);
    std::int64_t batch = 0;
    double least = 10;
    app.add_option("--task", asked,
                   "which networks: decoder is the shipped one, large-decoder has "
                   "a hundred million parameters")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    app.add_option("--json", json_file, "also write the figures to this file");
    app.add_option("--pytorch", python,
                   "a Python that can import diffusers, to be measured beside");
    app.add_option("--batch", batch, "samples in a step; as many as the shipped model's recipe has")
        ->check(CLI::Range(1, 4096));
    app.add_option("--seconds", least, "measure each figure for at least this long")
        ->check(CLI::PositiveNumber);
    CLI11_PARSE(app, argc, argv);

    const double float_peak = kernels::measured_peak(false, 1),
                 bfloat16_peak = kernels::measured_peak(true, 1);
    nlohmann::json report = {{"isa", kernels::name_of(kernels::current_isa())},
                             {"threads", kernels::thread_count()},
                             {"peak", {{"float", float_peak}, {"bfloat16", bfloat16_peak}}}};
    std::printf("%s, %d threads; peak of registers %.0f GFLOP/s in float, %.0f in bfloat16\n",
                kernels::name_of(kernels::current_isa()), kernels::thread_count(), float_peak,
                bfloat16_peak);
    for (const Subject& subject : subjects) {
        if (std::find(asked.begin(), asked.end(), subject.name) == asked.end()) continue;
        const Recipe parts(subject.name);
        const std::int64_t size = batch > 0 ? batch : subject.batch;
        const double operations = parts.operations(subject.name, size);
        std::printf("\n%s, %.1f million parameters, batches of %d, %.0f GFLOP a step\n",
                    subject.name.c_str(),
                    static_cast<double>(parts.parameters(subject.name)) * 1e-6,
                    static_cast<int>(size), operations * 1e-9);
        std::printf("%-34s %10s %10s %10s %8s %8s\n", "", "ms a step", "samples/s", "GFLOP/s",
                    "of peak", "MB");
        nlohmann::json& rows = report["tasks"][subject.name];
        const auto row = [&](const std::string& name, const Measured& m) {
            const double peak =
                name.find("bfloat16") == std::string::npos ? float_peak : bfloat16_peak;
            const double speed = operations / m.seconds * 1e-9;
            std::printf("%-34s %10.0f %10.1f %10.0f %7.0f%% %8.0f\n", name.c_str(), m.seconds * 1e3,
                        static_cast<double>(size) / m.seconds, speed, 100 * speed / peak,
                        static_cast<double>(m.bytes) * 1e-6);
            std::fflush(stdout);
            rows.push_back({{"name", name},
                            {"seconds", m.seconds},
                            {"bytes", m.bytes},
                            {"gflops", speed},
                            {"share", speed / peak}});
        };
        row("dalle2 float", measure<float>(subject.name, parts, size, least));
        row("dalle2 bfloat16", measure<bfloat16>(subject.name, parts, size, least));
        if (python.empty()) continue;
        const nlohmann::json found =
            kernel_benchmark::run_python(python, training_benchmark::pytorch_script,
                                         pytorch_request(subject.name, parts, size, least));
        if (found.is_object())
            for (const auto& [name, m] : found.items())
                row(name, {m["seconds"].get<double>(), m["bytes"].get<std::int64_t>()});
        else
            std::cerr << "PyTorch could not be measured with \"" << python << "\"\n";
    }
    if (!json_file.empty() && !(std::ofstream(json_file) << report.dump(2) << "\n"))
        throw IoError(json_file + ": cannot be written");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "training: " << error.what() << "\n";
    return 1;
}
