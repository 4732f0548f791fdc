// How good are the pictures? Draws prompts for emoji scenes, lets a model make them, and has them
// judged by an oracle that learned nothing (data/oracle.hpp). Says also at which stage of the chain
// a noun or a colour gets lost.
//
//     quality --model examples/models/emoji-scenes --json quality.json --sheet quality.png
//
// Definitions
// - Prompts: a third asks for one object in a combination of noun and colour that training shows,
//   a third for one of the combinations that it never shows, a third for two objects.
// - Figures are shares of prompts. Figures of colour count only prompts that name one; of two
//   objects both nouns, and both colours, have to be right.
// - pictures: the model's pictures at their full size, rounded to 8 bits, before the oracle.
// - clip: zero-shot accuracy on the true pictures of all scenes of one object. Noun: of the
//   captions of all nouns, with the picture's colour, background and phrasing, its own is nearest.
//   Colour: of the captions of the seven tints of its noun, its own is nearest.
// - prior: the same for the embeddings that the prior makes of the prompts for one object.
// - decoder_from_true_embedding: the oracle on the decoder's small pictures, when the decoder gets
//   the prompt and the CLIP embedding of the true picture. At the decoder's own size, like
//   before_upsampling, so that the two differ in nothing but where the embedding is from.
// - before_upsampling: the oracle on the decoder's small pictures in the whole chain.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/oracle.hpp>
#include <dalle2/io/atomic_file.hpp>
#include <dalle2/pipeline/load.hpp>

#include "quality/embeddings.hpp"
#include "quality/figures.hpp"
#include "quality/pictures.hpp"
#include "quality/prompts.hpp"
#include "quality/sheet.hpp"
#include "threads_option.hpp"

namespace {

using namespace quality;

struct Options {
    std::string model = "examples/models/emoji-scenes", json, sheet, engine;
    std::vector<std::string> stages;
    std::string sampler = "unclip";
    int prompts = 512, threads = 0;
    std::size_t batch = 16;
    std::uint64_t seed = 0;
    bool list = false;
    dalle2::GenerateOptions generate;
};

// Seconds that each stage of the pipeline took.
class StageClock {
public:
    // A function to be told of progress; counts from now.
    std::function<void(const dalle2::GenerateProgress&)> listener() {
        begun_ = std::chrono::steady_clock::now();
        return [this](const dalle2::GenerateProgress& progress) {
            if (progress.step < progress.steps) return;
            const auto now = std::chrono::steady_clock::now();
            seconds_[progress.stage] += std::chrono::duration<double>(now - begun_).count();
            begun_ = now;
        };
    }
    double total() const {
        double sum = 0;
        for (const auto& [stage, seconds] : seconds_) sum += seconds;
        return sum;
    }
    double of(dalle2::Stage stage) const {
        const auto found = seconds_.find(stage);
        return found == seconds_.end() ? 0 : found->second;
    }

private:
    std::map<dalle2::Stage, double> seconds_;
    std::chrono::steady_clock::time_point begun_;
};

template <dalle2::Engine E>
class Measurement {
public:
    Measurement(const Options& options, std::vector<std::string> stages,
                const dalle2::LoadOptions& load)
        : options_(options),
          stages_(std::move(stages)),
          renderer_(dalle2::load_sprites(dalle2::emoji_nouns())),
          prompts_(draw_prompts(options.prompts, options.seed)),
          batches_(batches(prompts_, options.batch, options.seed)),
          model_(options.model, load),
          defaults_(dalle2::load_generation_defaults(options.model)) {}

    void run() {
        // Whatever does not load or fit is told before hours of work.
        if (has("pictures")) model_.whole();
        const bool draws = has("pictures") || has("decoder");
        if (draws || has("oracle")) {
            prove_oracle(renderer_, prompts_, full_size, true, figures_);
            prove_oracle(renderer_, prompts_, draws ? small_size() : 32, false, figures_);
            print("The oracle, which has to be right on true scenes and about chance on others:",
                  {{Row::oracle_true, "true scenes, 128 px"},
                   {Row::oracle_shuffled, "scenes of other prompts"},
                   {Row::oracle_small, "true scenes, decoder's size"}});
        }
        if (has("clip") || has("prior")) labels_ = SceneLabels::embed(model_);
        if (has("clip")) {
            const Mistakes mistakes = measure_clip(model_, renderer_, *labels_, figures_);
            if (options_.list) std::cout << mistakes.text() << std::endl;
        }
        if (has("pictures"))
            measure_pictures();
        else if (has("prior"))
            measure_prior();
        if (has("decoder")) measure_decoder();
        report();
    }

private:
    static constexpr int full_size = 128;

    bool has(const char* stage) const {
        return std::find(stages_.begin(), stages_.end(), stage) != stages_.end();
    }
    int small_size() { return static_cast<int>(model_.decoder().unet.config.sample_size); }

    void measure_prior() {
        const dalle2::EncodedText unconditional = model_.encode({""});
        Progress progress("prior", static_cast<std::int64_t>(batches_.size()));
        std::int64_t done = 0;
        for (const Batch& batch : batches_) {
            dalle2::TorchGenerator generator(batch.seed);
            if (prompts_[batch.begin].kind != Kind::pair)
                count_prior(
                    figures_, *labels_, prompts_, batch,
                    model_.prior().sample(model_.encode(batch.texts(prompts_)), unconditional,
                                          generator, prior_options(options_.generate, defaults_)));
            progress.update(++done);
        }
    }

    void measure_decoder() {
        const dalle2::EncodedText unconditional = model_.encode({""});
        std::vector<dalle2::Picture> made;
        Progress progress("decoder from true embeddings",
                          static_cast<std::int64_t>(prompts_.size()));
        for (const Batch& batch : batches_) {
            dalle2::TorchGenerator generator(batch.seed);
            const dalle2::Array small =
                model_.decoder().sample(model_.embed(renderer_, batch.scenes(prompts_)),
                                        model_.encode(batch.texts(prompts_)), unconditional,
                                        generator, decoder_options(options_.generate, defaults_));
            for (dalle2::Picture& picture : to_pictures(small)) made.push_back(std::move(picture));
            progress.update(static_cast<std::int64_t>(batch.end));
        }
        const auto verdicts = judge(dalle2::Oracle(renderer_, small_size()), made, prompts_);
        figures_.add(Row::decoder, prompts_, verdicts);
        if (!has("pictures")) show(verdicts, {&made});
    }

    void measure_pictures() {
        const dalle2::StandardPipeline<E>& pipeline = model_.whole();
        std::vector<dalle2::Picture> small, large;
        Progress progress("pictures", static_cast<std::int64_t>(prompts_.size()));
        dalle2::GenerateOptions options = options_.generate;
        for (const Batch& batch : batches_) {
            options.seed = batch.seed;
            options.progress = clock_.listener();
            const dalle2::Generation made = pipeline.generate(batch.texts(prompts_), options);
            if (labels_) count_prior(figures_, *labels_, prompts_, batch, made.image_embedding);
            for (dalle2::Picture& picture : to_pictures(made.small_pictures))
                small.push_back(std::move(picture));
            for (dalle2::Picture& picture : to_pictures(made.pictures))
                large.push_back(std::move(picture));
            progress.update(static_cast<std::int64_t>(batch.end));
        }
        figures_.add(Row::before_upsampling, prompts_,
                     judge(dalle2::Oracle(renderer_, small_size()), small, prompts_));
        const auto verdicts = judge(dalle2::Oracle(renderer_, full_size), large, prompts_);
        figures_.add(Row::pictures, prompts_, verdicts);
        show(verdicts, {&small, &large});
    }

    // The list and the contact sheet, if asked for.
    void show(const std::vector<dalle2::OracleVerdict>& verdicts,
              const std::vector<const std::vector<dalle2::Picture>*>& made) {
        Sheet sheet;
        for (std::size_t i = 0; i < prompts_.size(); ++i) {
            if (options_.list)
                std::cout << (all_right(prompts_[i], verdicts[i]) ? "right  " : "WRONG  ")
                          << prompts_[i].text << "  ->  "
                          << dalle2::caption(verdicts[i].found, 1, dalle2::emoji_nouns()) << "\n";
            if (options_.sheet.empty() || !sheet.wants(prompts_[i].kind)) continue;
            std::vector<dalle2::Picture> panels;
            for (const auto* pictures : made) panels.push_back((*pictures)[i]);
            sheet.add(renderer_, prompts_[i], verdicts[i], std::move(panels));
        }
        if (!sheet.empty()) dalle2::write_png(options_.sheet, sheet.picture());
    }

    void print(const std::string& title, const std::vector<std::pair<Row, std::string>>& rows) {
        std::cout << title << "\n" << figures_.table(rows) << std::endl;
    }

    void report() {
        print(std::to_string(prompts_.size()) + " prompts, seed " + std::to_string(options_.seed) +
                  ", " + options_.model + ":",
              {{Row::clip, "CLIP, zero-shot"},
               {Row::prior, "prior, zero-shot"},
               {Row::decoder, "decoder, true embeddings"},
               {Row::before_upsampling, "before upsampling"},
               {Row::pictures, "pictures"}});
        if (has("pictures")) {
            const double count = static_cast<double>(prompts_.size());
            std::printf("%.3f seconds a picture: prior %.3f, decoder %.3f, upsampler %.3f\n",
                        clock_.total() / count, clock_.of(dalle2::Stage::prior) / count,
                        clock_.of(dalle2::Stage::decoder) / count,
                        clock_.of(dalle2::Stage::super_resolution) / count);
        }
        if (!options_.json.empty())
            dalle2::write_file(options_.json, figures_.json().dump(2) + "\n");
    }

    const Options& options_;
    std::vector<std::string> stages_;
    dalle2::SceneRenderer renderer_;
    std::vector<Prompt> prompts_;
    std::vector<Batch> batches_;
    Model<E> model_;
    dalle2::GenerationDefaults defaults_;
    std::optional<SceneLabels> labels_;
    Figures figures_;
    StageClock clock_;
};

// Those asked for, or all that the directory has the components for.
std::vector<std::string> stages_to_run(const Options& options) {
    const dalle2::ModelDirectory directory(options.model);
    std::vector<std::string> stages = options.stages;
    for (const StageNeeds& needs : stage_needs()) {
        const std::string missing = missing_components(directory, needs.stage);
        const bool asked_for = std::find(stages.begin(), stages.end(), needs.stage) != stages.end();
        if (asked_for && !missing.empty())
            throw dalle2::ConfigError("the stage \"" + std::string(needs.stage) +
                                      "\" needs components that the model at '" + options.model +
                                      "' does not have: " + missing);
        if (!options.stages.empty()) continue;
        if (missing.empty())
            stages.emplace_back(needs.stage);
        else
            std::cerr << "not measured: " << needs.stage << "; the model has no " << missing
                      << "\n";
    }
    return stages;
}

void run(const Options& options) {
    const dalle2::ThreadScope threads(options.threads);
    for (const std::string& path : {options.json, options.sheet})
        if (!path.empty()) dalle2::AtomicFile probe(path);  // without commit() it never appears
    dalle2::LoadOptions load;
    if (!options.engine.empty())
        load.engine = dalle2::engine_kind_from_name(options.engine, "--engine");
    load.prior_sampler = load.decoder_sampler = load.super_resolution_sampler =
        dalle2::sampler_kind_from_name(options.sampler, "--sampler");
    load.warn = [](const std::string& message) { std::cerr << "warning: " << message << "\n"; };
    const std::vector<std::string> stages = stages_to_run(options);
    switch (load.engine) {
        case dalle2::EngineKind::reference:
            return Measurement<dalle2::Reference>(options, stages, load).run();
        case dalle2::EngineKind::cpu_float:
            return Measurement<dalle2::Cpu<float>>(options, stages, load).run();
        case dalle2::EngineKind::cpu_bfloat16:
            return Measurement<dalle2::Cpu<dalle2::bfloat16>>(options, stages, load).run();
        case dalle2::EngineKind::cpu_int8:
            return Measurement<dalle2::Cpu<std::int8_t>>(options, stages, load).run();
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app{"How good the pictures of an emoji-scenes model are, and where a noun gets lost."};
    app.name("quality");
    app.add_option("--model", options.model, "Model directory")->capture_default_str();
    app.add_option("--prompts", options.prompts, "How many")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    app.add_option("--stages", options.stages,
                   "What to measure: oracle, clip, prior, decoder, pictures (several with commas); "
                   "otherwise all that the model has the components for")
        ->delimiter(',')
        ->check(CLI::IsMember({"oracle", "clip", "prior", "decoder", "pictures"}).description(""));
    app.add_option("--json", options.json, "Write the figures to this file");
    app.add_option("--sheet", options.sheet,
                   "Write a contact sheet to this PNG: the true scene, the decoder's picture, the "
                   "upsampler's; framed green (right), orange (nouns right) or red");
    app.add_flag("--list", options.list,
                 "Print each prompt and what the oracle found, and what CLIP confuses");
    app.add_option("--seed", options.seed, "Of the prompts and of the noise")
        ->capture_default_str();
    app.add_option("--batch", options.batch, "Prompts in one call of the pipeline")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    app.add_option("--engine", options.engine,
                   "reference, float32, bfloat16 or int8; otherwise the fastest here");
    benchmark_options::add_threads(app, options.threads);
    app.add_option("--sampler", options.sampler, "As of dalle2 generate, of all stages")
        ->capture_default_str();
    app.add_option("--prior-steps", options.generate.prior_steps, "Otherwise the model's default");
    app.add_option("--steps", options.generate.decoder_steps, "Of the decoder");
    app.add_option("--super-res-steps", options.generate.super_resolution_steps,
                   "Of the upsampler");
    app.add_option("--prior-guidance", options.generate.prior_guidance_scale,
                   "Otherwise the model's default");
    app.add_option("--guidance", options.generate.decoder_guidance_scale, "Of the decoder");
    try {
        app.parse(argc, argv);
        run(options);
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        std::cerr << "quality: error: " << error.what() << std::endl;
        return 1;
    }
}
