// Which sampler, and how many steps? Runs each stage of an emoji-scenes model by each sampler with
// more and more steps, the other stages at the model's defaults, and says what the pictures are
// worth, how far they are from those of many steps, and what they cost.
//
//     samplers --model examples/models/emoji-scenes --json samplers.json
//
// Definitions
// - single, held out, pair: the share of prompts whose picture has all that was asked for (nouns,
//   colours, background, relation), as the oracle sees it (benchmarks/quality.cpp). For the prior
//   and the decoder it looks at the decoder's pictures, for the upsampler at the upsampler's.
// - distance: the root mean square of the difference between what the stage makes and what the same
//   sampler makes of the same starting noise in many steps (--distance-steps), of values from -1 to
//   1 (for the prior in units of the embeddings' deviation). A sampler that draws noise in each
//   step draws other noise there, so that its distance does not go to 0.
// - calls: of the network. Heun's method needs two for a step.
// - ms/picture: of the stage, in the fastest batch.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/pipeline/part_loader.hpp>

#include "quality/figures.hpp"
#include "quality/pictures.hpp"
#include "quality/prompts.hpp"
#include "threads_option.hpp"

namespace {

using namespace quality;
using dalle2::Array;
using E = dalle2::Cpu<dalle2::bfloat16>;

struct Options {
    std::string model = "examples/models/emoji-scenes", json;
    std::vector<std::string> stages = {"prior", "decoder", "upsampler"};
    std::vector<std::string> samplers = {dalle2::sampler_names.begin(),
                                         dalle2::sampler_names.end()};
    std::vector<std::int64_t> steps = {2, 3, 5, 10, 25};
    std::optional<std::int64_t> decoder_steps;
    std::string spacing;
    int prompts = 256, distance_prompts = 32, threads = 0;
    std::int64_t distance_steps = 250;
    std::size_t batch = 16;
    std::uint64_t seed = 0;
};

// What a stage made of all prompts: one array for each batch.
struct Run {
    std::vector<Array> results;
    double milliseconds = HUGE_VAL;  // for one picture, of the fastest batch
};

class Measurement {
public:
    explicit Measurement(const Options& options)
        : options_(options),
          renderer_(dalle2::load_sprites(dalle2::emoji_nouns())),
          prompts_(draw_prompts(options.prompts, options.seed)),
          batches_(batches(prompts_, options.batch, options.seed)),
          parts_(options.model),
          prior_(parts_.prior()),
          decoder_(parts_.decoder()),
          upsampler_(parts_.upsampler()),
          small_oracle_(renderer_, static_cast<int>(decoder_.unet.config.sample_size)),
          large_oracle_(renderer_, static_cast<int>(upsampler_.first.get()->config.sample_size)) {
        const dalle2::ClipTokenizer tokenizer = parts_.tokenizer();
        const auto text_encoder = parts_.text_encoder();
        const auto encode = [&](const std::vector<std::string>& texts) {
            return dalle2::encode_text(text_encoder, dalle2::token_batch(tokenizer, texts));
        };
        for (const Batch& batch : batches_) texts_.push_back(encode(batch.texts(prompts_)));
        nothing_ = encode({""});
    }

    void run() {
        const dalle2::GenerationDefaults& defaults = parts_.configs.defaults;
        const Run embeddings = run_prior(prior_, defaults.prior_steps, batches_.size());
        const std::int64_t decoder_steps = options_.decoder_steps.value_or(defaults.decoder_steps);
        const Run small = run_decoder(decoder_, embeddings, decoder_steps, batches_.size());
        for (const std::string& stage : options_.stages) {
            std::printf("\n%s\n%-18s %5s %5s %7s %9s %6s %10s %12s\n", stage.c_str(), "sampler",
                        "steps", "calls", "single", "held out", "pair", "distance", "ms/picture");
            for (const std::string& name : options_.samplers) {
                const auto kind = dalle2::sampler_kind_from_name(name, "--samplers");
                if (stage == "prior") {
                    const auto prior = with_sampler(prior_, kind);
                    sweep(
                        stage, name, prior.sampler, small_oracle_,
                        [&](std::int64_t steps, std::size_t count) {
                            return run_prior(prior, steps, count);
                        },
                        [&](const Run& made) {
                            return run_decoder(decoder_, made, decoder_steps, made.results.size());
                        });
                } else if (stage == "decoder") {
                    const auto decoder = with_sampler(decoder_, kind);
                    sweep(
                        stage, name, decoder.sampler, small_oracle_,
                        [&](std::int64_t steps, std::size_t count) {
                            return run_decoder(decoder, embeddings, steps, count);
                        },
                        [](const Run& made) { return made; });
                } else {
                    const auto upsampler = with_sampler(upsampler_, kind);
                    sweep(
                        stage, name, upsampler.sampler, large_oracle_,
                        [&](std::int64_t steps, std::size_t count) {
                            return run_upsampler(upsampler, small, steps, count);
                        },
                        [](const Run& made) { return made; });
                }
            }
        }
    }

private:
    // The same networks with another sampler on the schedule of theirs.
    template <class Stage>
    Stage with_sampler(Stage stage, dalle2::SamplerKind kind) const {
        const dalle2::NoiseSchedule schedule = stage.sampler.schedule();
        stage.sampler = dalle2::make_sampler(kind, schedule);
        if (options_.spacing.empty()) return stage;
        const auto spacing = options_.spacing == "even" ? dalle2::TimestepSpacing::even
                                                        : dalle2::TimestepSpacing::log_snr;
        if (kind == dalle2::SamplerKind::dpm_solver || kind == dalle2::SamplerKind::sde_dpm_solver)
            stage.sampler = dalle2::DpmSolverSampler(
                schedule,
                {.stochastic = kind == dalle2::SamplerKind::sde_dpm_solver, .spacing = spacing});
        if (kind == dalle2::SamplerKind::euler || kind == dalle2::SamplerKind::euler_ancestral)
            stage.sampler = dalle2::EulerSampler(
                schedule,
                {.ancestral = kind == dalle2::SamplerKind::euler_ancestral, .spacing = spacing});
        if (kind == dalle2::SamplerKind::heun)
            stage.sampler = dalle2::HeunSampler(schedule, {.spacing = spacing});
        return stage;
    }

    template <class Sample>
    Run timed(std::size_t count, const Sample& sample) const {
        Run run;
        for (std::size_t i = 0; i < count; ++i) {
            dalle2::TorchGenerator generator(batches_[i].seed);
            const auto begun = std::chrono::steady_clock::now();
            run.results.push_back(sample(i, generator));
            const std::chrono::duration<double, std::milli> passed =
                std::chrono::steady_clock::now() - begun;
            run.milliseconds =
                std::min(run.milliseconds,
                         passed.count() / static_cast<double>(batches_[i].end - batches_[i].begin));
        }
        return run;
    }
    template <class Prior>
    Run run_prior(const Prior& prior, std::int64_t steps, std::size_t count) const {
        const double guidance = parts_.configs.defaults.prior_guidance_scale;
        return timed(count, [&](std::size_t i, dalle2::TorchGenerator& generator) {
            return prior.sample(texts_[i], nothing_, generator,
                                {.steps = steps, .guidance_scale = guidance});
        });
    }
    template <class Decoder>
    Run run_decoder(const Decoder& decoder, const Run& embeddings, std::int64_t steps,
                    std::size_t count) const {
        const double guidance = parts_.configs.defaults.decoder_guidance_scale;
        return timed(count, [&](std::size_t i, dalle2::TorchGenerator& generator) {
            return decoder.sample(embeddings.results[i], texts_[i], nothing_, generator,
                                  {.steps = steps, .guidance_scale = guidance});
        });
    }
    template <class Upsampler>
    Run run_upsampler(const Upsampler& upsampler, const Run& small, std::int64_t steps,
                      std::size_t count) const {
        return timed(count, [&](std::size_t i, dalle2::TorchGenerator& generator) {
            return upsampler.sample(small.results[i], generator, {.steps = steps});
        });
    }

    // One sampler on one stage, with all counts of steps. `make(steps, batches)` runs the stage,
    // `finish` takes what it made to what the oracle looks at.
    template <class Make, class Finish>
    void sweep(const std::string& stage, const std::string& name, const dalle2::AnySampler& sampler,
               const dalle2::Oracle& oracle, const Make& make, const Finish& finish) {
        const std::size_t few =
            std::min(batches_.size(),
                     (static_cast<std::size_t>(options_.distance_prompts) + options_.batch - 1) /
                         options_.batch);
        std::optional<Run> reference;
        if (few > 0) reference = make(options_.distance_steps, few);
        for (const std::int64_t steps : options_.steps) {
            const Run made = make(steps, batches_.size());
            const std::array<Share, kind_count> shares = judged(oracle, finish(made));
            const std::size_t calls = sampler.timesteps(steps).size();
            const double distance =
                reference ? this->distance(stage, made, *reference) : std::nan("");
            std::printf("%-18s %5lld %5zu %7.3f %9.3f %6.3f %10.4f %12.2f\n", name.c_str(),
                        static_cast<long long>(steps), calls, shares[0].value(), shares[1].value(),
                        shares[2].value(), distance, made.milliseconds);
            std::fflush(stdout);
            json_.push_back({{"stage", stage},
                             {"sampler", name},
                             {"steps", steps},
                             {"calls", calls},
                             {"single_seen", shares[0].value()},
                             {"single_held_out", shares[1].value()},
                             {"pair", shares[2].value()},
                             {"distance", distance},
                             {"milliseconds_per_picture", made.milliseconds}});
            // Now, for a sweep may take hours.
            if (!options_.json.empty()) dalle2::write_file(options_.json, json_.dump(2) + "\n");
        }
    }

    std::array<Share, kind_count> judged(const dalle2::Oracle& oracle, const Run& made) const {
        std::vector<dalle2::Picture> pictures;
        for (const Array& batch : made.results)
            for (dalle2::Picture& picture : to_pictures(batch))
                pictures.push_back(std::move(picture));
        const auto verdicts = judge(oracle, pictures, prompts_);
        std::array<Share, kind_count> shares;
        for (std::size_t i = 0; i < prompts_.size(); ++i) {
            const bool colors = !prompts_[i].names_color() || verdicts[i].colors;
            const bool relation = prompts_[i].kind != Kind::pair || verdicts[i].relation;
            shares[static_cast<std::size_t>(prompts_[i].kind)].add(
                verdicts[i].nouns && colors && relation && verdicts[i].background);
        }
        return shares;
    }

    double distance(const std::string& stage, const Run& made, const Run& reference) const {
        double sum = 0, count = 0;
        const Array deviations = E::store(prior_.transformer.clip_std);
        for (std::size_t b = 0; b < reference.results.size(); ++b)
            for (std::size_t i = 0; i < reference.results[b].size(); ++i) {
                double difference =
                    double{made.results[b].data()[i]} - double{reference.results[b].data()[i]};
                if (stage == "prior") difference /= deviations.data()[i % deviations.size()];
                sum += difference * difference;
                ++count;
            }
        return std::sqrt(sum / count);
    }

    const Options& options_;
    dalle2::SceneRenderer renderer_;
    std::vector<Prompt> prompts_;
    std::vector<Batch> batches_;
    dalle2::PartLoader<E> parts_;
    dalle2::DiffusionPrior<E, dalle2::AnySampler> prior_;
    dalle2::Decoder<E, dalle2::AnySampler> decoder_;
    dalle2::Upsampler<E, dalle2::AnySampler> upsampler_;
    dalle2::Oracle small_oracle_, large_oracle_;
    std::vector<dalle2::EncodedText> texts_;
    dalle2::EncodedText nothing_;
    dalle2::OrderedJson json_ = dalle2::OrderedJson::array();
};

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"Which sampler, and how many steps? Quality, distance to many steps, and time."};
    app.name("samplers");
    app.add_option("--model", options.model, "Model directory")->capture_default_str();
    app.add_option("--stages", options.stages, "prior, decoder, upsampler (several with commas)")
        ->delimiter(',')
        ->check(CLI::IsMember({"prior", "decoder", "upsampler"}).description(""));
    app.add_option("--samplers", options.samplers, "Which, with commas; otherwise all")
        ->delimiter(',')
        ->check(CLI::IsMember(std::vector<std::string>(dalle2::sampler_names.begin(),
                                                       dalle2::sampler_names.end()))
                    .description(""));
    app.add_option("--steps", options.steps, "Numbers of steps, with commas")
        ->delimiter(',')
        ->check(CLI::Range(1, 1000).description(""));
    app.add_option("--decoder-steps", options.decoder_steps,
                   "Of the decoder where another stage is measured; otherwise the model's default")
        ->check(CLI::Range(1, 1000).description(""));
    app.add_option("--spacing", options.spacing,
                   "Where dpm++, euler and heun look: even (timesteps) or log-snr; otherwise each "
                   "as it is by default")
        ->check(CLI::IsMember({"even", "log-snr"}).description(""));
    app.add_option("--prompts", options.prompts, "How many")
        ->check(CLI::Range(3, 1'000'000))
        ->capture_default_str();
    app.add_option("--distance-prompts", options.distance_prompts,
                   "How many of them for the distance; 0: none")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
    app.add_option("--distance-steps", options.distance_steps, "Steps that count as many")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--batch", options.batch, "Prompts in one call")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    app.add_option("--seed", options.seed, "Of the prompts and of the noise")
        ->capture_default_str();
    benchmark_options::add_threads(app, options.threads);
    app.add_option("--json", options.json, "Write the figures to this file");
    try {
        app.parse(argc, argv);
        if (!options.json.empty()) dalle2::AtomicFile probe(options.json);
        const dalle2::ThreadScope threads(options.threads);
        const dalle2::BufferPool pool;
        const dalle2::BufferPool::Scope scope(pool);
        Measurement(options).run();
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        std::cerr << "samplers: error: " << error.what() << std::endl;
        return 1;
    }
}
