// How fast do the networks train? Whole steps of the optimiser, as `dalle2 train` runs them:
// pictures drawn, the frozen networks' embeddings of them, forward and backward, AdamW. Beside them
// the peak of this machine's registers, measured in the same run, and on request the same networks
// in PyTorch, which get their pictures and embeddings for nothing. All stay in memory and take
// turns, round for round; a figure is the median of the rounds.
//
//     training --task decoder --json training.json --pytorch python3
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/kernels/peak.hpp>
#include <dalle2/pipeline/model_cost.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/emoji_model.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/text_tokens.hpp>

#include "effective_share.hpp"
#include "spread.hpp"
#include "threads_option.hpp"
#include "training/contender.hpp"
#include "training/memory.hpp"

namespace {

using namespace dalle2;
using benchmark_figures::Spread;
using training_benchmark::Contender;
namespace recipe = emoji_model;

// What captions have, padded in groups of like length. (Those of the decoder's batches are padded
// to the longest, about 18, and PyTorch's are not.)
constexpr std::int64_t padded_tokens = 12;

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
            multiply_adds = trace_text_embedding(text, batch, padded_tokens).multiply_adds() +
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

// A task that makes steps whenever it has its turn.
template <TrainingTask Task>
std::function<double(double)> turns_of(Task task, std::int64_t batch) {
    struct State {
        Task task;
        BufferPool pool;
        std::int64_t step = 0;

        explicit State(Task made) : task(std::move(made)) {}
    };
    return [state = std::make_shared<State>(std::move(task)), batch](double least) {
        const BufferPool::Scope scope(state->pool);
        return training_benchmark::seconds_of_turn(
            [&] {
                state->task.gradients(static_cast<std::uint64_t>(state->step * batch), batch, 1.0);
                state->task.parameters().optimize(++state->step, 1e-4, {});
            },
            least);
    };
}

template <class T>
std::function<double(double)> make_turns(const std::string& subject, const Recipe& parts,
                                         std::int64_t batch) {
    const TextTokens tokens = text_tokens(parts.tokenizer);
    if (subject == "clip")
        return turns_of(ClipTask<T>(parts.text, parts.image, parts.samples(), tokens, 0), batch);
    const auto text_encoder = std::make_shared<ClipTextEncoder<Cpu<T>>>(parts.text);
    const auto image_encoder = std::make_shared<ClipImageEncoder<Cpu<T>>>(parts.image);
    initialize<Cpu<T>>(*text_encoder, 1);
    initialize<Cpu<T>>(*image_encoder, 2);
    if (subject == "prior") {
        const Array zeros = make_array({parts.prior.embedding_dim});
        return turns_of(
            PriorTask<T>(parts.prior, NoiseSchedule(recipe::prior_schedule()), text_encoder,
                         image_encoder, zeros, zeros + 1.0f, parts.samples(), tokens, 0),
            batch);
    }
    return turns_of(
        DecoderTask<T>(parts.projection, parts.decoder, NoiseSchedule(recipe::decoder_schedule()),
                       text_encoder, image_encoder, parts.samples(), tokens, 0),
        batch);
}

template <class T>
Contender make_dalle2(const std::string& subject, const Recipe& parts, std::int64_t batch) {
    const bool bf16 = std::is_same_v<T, bfloat16>;
    const training_benchmark::PeakMemory memory;
    Contender made = {.name = bf16 ? "dalle2 bfloat16" : "dalle2 float32",
                      .pytorch = false,
                      .bfloat16 = bf16,
                      .bytes = 0,
                      .first = 0,
                      .turn = make_turns<T>(subject, parts, batch),
                      .seconds = {}};
    made.turn(0);
    made.bytes = memory.bytes();
    return made;
}

// What the script of PyTorch needs to know.
nlohmann::json pytorch_request(const std::string& subject, const Recipe& parts,
                               std::int64_t batch) {
    const auto readable = [](const auto& config) {
        return nlohmann::json::parse(to_json(config).dump());
    };
    nlohmann::json request = {{"subject", subject},
                              {"batch", batch},
                              {"tokens", padded_tokens},
                              {"threads", kernels::thread_count()}};
    if (subject == "clip" || subject == "prior") {
        request["text"] = readable(parts.text);
        request["image"] = readable(parts.image);
    }
    if (subject == "prior") {
        request["config"] = readable(parts.prior);
    } else if (subject != "clip") {
        request["config"] = readable(parts.decoder);
        request["tokens"] = parts.context_tokens();
        request["time"] = time_embedding_width(parts.decoder);
    }
    return request;
}

struct Settings {
    std::string json_file, python;
    std::vector<std::string> subjects = {"decoder"};
    std::int64_t batch = 0;
    double least = 10;
    int rounds = 5, threads = 0;
};

// Measures one subject, prints its table, and returns it as JSON.
nlohmann::json measure(const Subject& subject, const Settings& settings) {
    const Recipe parts(subject.name);
    const std::int64_t batch = settings.batch > 0 ? settings.batch : subject.batch;
    const double operations = parts.operations(subject.name, batch);
    std::printf("\n%s, %.1f million parameters, batches of %d, %.0f GFLOP a step\n",
                subject.name.c_str(), static_cast<double>(parts.parameters(subject.name)) * 1e-6,
                static_cast<int>(batch), operations * 1e-9);
    std::fflush(stdout);

    std::vector<Contender> contenders;
    contenders.push_back(make_dalle2<float>(subject.name, parts, batch));
    contenders.push_back(make_dalle2<bfloat16>(subject.name, parts, batch));
    nlohmann::json left_out = nlohmann::json::object();
    nlohmann::json request = pytorch_request(subject.name, parts, batch);
    for (const std::string form : {"eager", "compiled"})
        for (const std::string precision : {"float32", "bfloat16"}) {
            if (settings.python.empty()) continue;
            request["form"] = form;
            request["precision"] = precision;
            try {
                contenders.push_back(training_benchmark::make_pytorch(settings.python, request));
            } catch (const Error& error) {
                left_out["PyTorch " + form + " " + precision] = error.what();
            }
        }
    training_benchmark::leave_out_hopeless(contenders, left_out);
    double float_peak = kernels::measured_peak(false, 0.5),
           bfloat16_peak = kernels::measured_peak(true, 0.5);
    training_benchmark::take_turns(contenders, settings.rounds, settings.least / settings.rounds);
    // Machines become faster and slower; a share is of the best that was seen around the turns.
    float_peak = std::max(float_peak, kernels::measured_peak(false, 0.5));
    bfloat16_peak = std::max(bfloat16_peak, kernels::measured_peak(true, 0.5));

    std::printf("peak of registers %.0f GFLOP/s in float32, %.0f in bfloat16\n", float_peak,
                bfloat16_peak);
    std::printf("%-34s %26s %10s %10s %8s %8s\n", "", "ms a step: min / med / max", "samples/s",
                "GFLOP/s", "of peak", "MB");
    nlohmann::json rows = nlohmann::json::array();
    for (const Contender& contender : contenders) {
        const Spread seconds(contender.seconds);
        const double peak = contender.bfloat16 ? bfloat16_peak : float_peak;
        const double speed = operations / seconds.median * 1e-9;
        std::printf("%-34s %8.1f %8.1f %8.1f %10.1f %10.0f %7.0f%% %8.0f\n", contender.name.c_str(),
                    seconds.min * 1e3, seconds.median * 1e3, seconds.max * 1e3,
                    static_cast<double>(batch) / seconds.median, speed, 100 * speed / peak,
                    static_cast<double>(contender.bytes) * 1e-6);
        rows.push_back({{"name", contender.name},
                        {"seconds", seconds.json()},
                        {"bytes", contender.bytes},
                        {"gflops", speed},
                        {"share", speed / peak}});
    }
    nlohmann::json report = {{"batch", batch},
                             {"peak", {{"float32", float_peak}, {"bfloat16", bfloat16_peak}}},
                             {"rows", std::move(rows)},
                             {"left_out", left_out}};
    for (const auto& [name, reason] : left_out.items())
        std::printf("%-34s left out: %s\n", name.c_str(), reason.get<std::string>().c_str());
    const Contender* const ours = training_benchmark::fastest(contenders, false);
    if (const Contender* const rival = training_benchmark::fastest(contenders, true)) {
        const Spread times = training_benchmark::ratio(*ours, *rival);
        std::printf("%s is %.2f / %.2f / %.2f times as fast as %s: minimum / median / maximum\n",
                    ours->name.c_str(), times.min, times.median, times.max, rival->name.c_str());
        report["vs_pytorch"] = times.json();
        report["vs_pytorch"]["dalle2"] = ours->name;
        report["vs_pytorch"]["pytorch"] = rival->name;
    }
    std::fflush(stdout);
    return report;
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Speed of training beside the peak of this machine and PyTorch");
    Settings settings;
    std::vector<std::string> names;
    for (const Subject& subject : subjects) names.push_back(subject.name);
    app.add_option("--task", settings.subjects,
                   "which networks: decoder is the shipped one, large-decoder has "
                   "a hundred million parameters")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    app.add_option("--json", settings.json_file, "also write the figures to this file");
    app.add_option("--pytorch", settings.python,
                   "a Python that can import diffusers, to be measured beside");
    app.add_option("--batch", settings.batch,
                   "samples in a step; as many as the shipped model's recipe has")
        ->check(CLI::Range(1, 4096));
    app.add_option("--seconds", settings.least,
                   "measure each figure for at least this long, in all its turns together")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--rounds", settings.rounds, "in each of which everyone has a turn")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    benchmark_options::add_threads(app, settings.threads);
    CLI11_PARSE(app, argc, argv);
    const ThreadScope threads(settings.threads);

    nlohmann::json report = {{"isa", kernels::name_of(kernels::current_isa())},
                             {"threads", kernels::thread_count()},
                             {"rounds", settings.rounds}};
    std::printf("%s, %d threads, %d rounds\n", kernels::name_of(kernels::current_isa()),
                kernels::thread_count(), settings.rounds);
    for (const Subject& subject : subjects)
        if (std::find(settings.subjects.begin(), settings.subjects.end(), subject.name) !=
            settings.subjects.end())
            report["tasks"][subject.name] = measure(subject, settings);
    std::printf("%s\n", benchmark_figures::effective_share_note);
    if (!settings.json_file.empty() &&
        !(std::ofstream(settings.json_file) << report.dump(2) << "\n"))
        throw IoError(settings.json_file + ": cannot be written");
    return 0;
} catch (const std::exception& error) {
    std::cerr << "training: " << error.what() << "\n";
    return 1;
}
