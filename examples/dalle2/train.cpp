// dalle2 train: the four networks, one after another, in a folder that holds the whole run.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/data/emoji_font.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/picture_folder.hpp>
#include <dalle2/kernels/peak.hpp>
#include <dalle2/pipeline/model_cost.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/emoji_model.hpp>
#include <dalle2/train/export.hpp>
#include <dalle2/train/preview.hpp>
#include <dalle2/train/principal_axes.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/text_tokens.hpp>
#include <dalle2/train/trainer.hpp>
#include <dalle2/train/upsampler_task.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

namespace fs = std::filesystem;
using dalle2::ConfigError;
using dalle2::IoError;

struct TrainOptions {
    std::string stage;  // clip, prior, decoder or upsampler
    fs::path run;
    std::string data;  // a folder; empty: the emoji scenes
    fs::path from;     // a model directory to begin with; empty: from nothing
    std::string engine = "bfloat16";
    std::int64_t steps = 0, batch = 0, accumulation = 1, warmup = 200;
    std::int64_t checkpoint_every = 500, log_every = 20;
    double learning_rate = 0, weight_decay = 0.01, timestep_bias = 0;
    std::uint64_t seed = 0;
    int threads = 0;
    bool mirror = false, resume = false;
};

// What a stage learns from, and how many files of it could not be used.
class Data {
public:
    explicit Data(const TrainOptions& options) {
        if (!options.data.empty()) {
            folder_ = std::make_shared<const dalle2::PictureFolder>(
                options.data, dalle2::PictureFolderOptions{
                                  .seed = options.seed,
                                  .mirrored = options.mirror,
                                  .on_skip = [](const fs::path& file, const std::string& why) {
                                      warn("passed over " + file.string() + ": " + why);
                                  }});
            source_ = [folder = folder_](std::uint64_t index, std::int64_t size, float* pixels) {
                return folder->sample(index, size, pixels);
            };
            return;
        }
        dalle2::SceneMix mix;
        // CLIP learns from groups that differ in one thing alone: random scenes differ in so much
        // that their nouns would hardly matter.
        // Tinted nouns are the ones that it mixes up longest, so they come more often.
        if (options.stage == "clip") mix = {.colored = 0.8, .group = 32};
        // Pairs are what the decoder needs longest for.
        if (options.stage == "decoder") mix = {.pairs = 0.7};
        source_ =
            dalle2::emoji_model::scene_samples(std::make_shared<const dalle2::SceneRenderer>(
                                                   dalle2::load_sprites(dalle2::emoji_nouns())),
                                               dalle2::SceneStream(options.seed, mix));
    }

    const dalle2::SampleSource& source() const { return source_; }

    // For a vocabulary: every caption of a folder, or every word of the scenes.
    std::vector<std::string> texts() const {
        if (!folder_) return dalle2::caption_words(dalle2::emoji_nouns());
        std::set<std::string> captions;
        for (const auto& entry : folder_->entries())
            captions.insert(entry.captions.begin(), entry.captions.end());
        return {captions.begin(), captions.end()};
    }

    std::size_t skipped() const { return folder_ ? folder_->skipped_count() : 0; }

private:
    std::shared_ptr<const dalle2::PictureFolder> folder_;
    dalle2::SampleSource source_;
};

// The run's vocabulary: learned from the captions when CLIP begins, then the same for every stage.
dalle2::ClipTokenizer tokenizer_of(const TrainOptions& options, const Data& data) {
    const fs::path folder = options.run / "tokenizer";
    if (fs::exists(folder)) return dalle2::ClipTokenizer::from_directory(folder);
    if (!options.from.empty()) {
        const auto tokenizer = dalle2::ClipTokenizer::from_directory(
            dalle2::ModelDirectory(options.from).folder("tokenizer"));
        tokenizer.save(folder);
        return tokenizer;
    }
    if (options.stage != "clip")
        throw IoError("no vocabulary at " + folder.string() +
                      "; the first stage makes it: dalle2 train clip " + options.run.string());
    const dalle2::ClipTokenizer tokenizer(dalle2::train_bpe(data.texts()),
                                          {.max_length = dalle2::emoji_model::max_tokens});
    tokenizer.save(folder);
    return tokenizer;
}

// One of CLIP's towers, for a stage that builds on it: out of the run, or else out of the model
// that the run began with.
template <template <dalle2::Engine> class Module, dalle2::Engine E, class Config>
std::shared_ptr<const Module<E>> trained_tower(const TrainOptions& options,
                                               const std::string& component, const Config& config) {
    const auto module = std::make_shared<Module<E>>(config);
    const fs::path checkpoint = dalle2::stage_checkpoint(options.run, "clip");
    if (!fs::exists(checkpoint) && !options.from.empty())
        dalle2::load_weights<E>(*module,
                                dalle2::ModelDirectory(options.from).weights_path(component), warn);
    else
        dalle2::load_averages<E>(*module, checkpoint, component);
    return module;
}

// The embeddings of the first pictures of the data and of their captions, each [pictures,
// embedding].
struct Embeddings {
    dalle2::Array image, text;
};

template <class T>
Embeddings first_embeddings(const dalle2::ClipImageEncoder<dalle2::Cpu<T>>& image_encoder,
                            const dalle2::ClipTextEncoder<dalle2::Cpu<T>>& text_encoder,
                            const dalle2::SampleSource& source, const dalle2::TextTokens& tokens,
                            const std::stop_token& stop) {
    using E = dalle2::Cpu<T>;
    constexpr std::int64_t batches = 32, batch = 64;
    const std::int64_t width = image_encoder.config.projection_dim;
    Embeddings result{dalle2::make_array({batches * batch, width}),
                      dalle2::make_array({batches * batch, width})};
    ProgressBar bar;
    for (std::int64_t i = 0; i < batches; ++i) {
        bar.update("embeddings", i, batches);
        if (stop.stop_requested()) throw dalle2::Cancelled();
        const auto read = dalle2::read_batch(source, static_cast<std::uint64_t>(i * batch), batch,
                                             image_encoder.config.image_size);
        const dalle2::Array image = E::to_array(image_encoder(E::from_array(read.pictures)));
        const dalle2::Array text = E::to_array(text_encoder(tokens(read.captions)).text_embedding);
        std::copy(image.begin(), image.end(), result.image.data() + i * batch * width);
        std::copy(text.begin(), text.end(), result.text.data() + i * batch * width);
    }
    bar.update("embeddings", batches, batches);
    return result;
}

// The last act of CLIP's training: see principal_axes.hpp. A space that is turned already stays as
// it is, so that a finished run can be resumed without a change.
template <class T>
void turn_to_principal_axes(dalle2::ClipTask<T>& task, const Embeddings& embeddings) {
    const dalle2::Array axes = dalle2::principal_axes(embeddings.image);
    double off_axis = 0;
    const std::int64_t width = dalle2::shape_of(axes)[0];
    for (std::int64_t i = 0; i < width; ++i)
        off_axis += 1 - static_cast<double>(axes(i, i)) * static_cast<double>(axes(i, i));
    if (off_axis < 0.01 * static_cast<double>(width)) return;
    for (auto& entry : task.parameters().entries()) {
        if (entry.name != "image_encoder.visual_projection.weight" &&
            entry.name != "text_encoder.text_projection.weight")
            continue;
        auto values = entry.parameter.values();
        for (auto* turned : {&values, &entry.first_moment, &entry.average})
            dalle2::turn_projection(axes, *turned);
        entry.parameter.assign(std::move(values));
    }
}

std::string progress_text(const dalle2::TrainingProgress& p) {
    std::ostringstream text;
    text.precision(4);
    for (const auto& [name, value] : p.metrics) text << name << " " << value << "  ";
    text << "gradient " << p.gradient_norm << "  ";
    text.precision(3);
    text << p.samples_per_second << " samples/s";
    if (p.skipped_steps > 0) text << "  " << p.skipped_steps << " steps skipped";
    return text.str();
}

// Loads a network's weights from the model that the run begins with; whether it has them.
template <dalle2::Engine E, class Module>
bool begin_with(const TrainOptions& options, const std::string& component, Module& module) {
    if (options.from.empty()) return false;
    const dalle2::ModelDirectory model(options.from);
    if (!model.has(component)) return false;
    dalle2::load_weights<E>(module, model.weights_path(component), warn);
    return true;
}

// What a stage does beside its steps, where it does, and what a step costs.
struct StageHooks {
    std::int64_t multiply_adds = 0;  // of the trained networks forward, for one sample
    std::function<dalle2::Picture()> preview = {};  // drawn with each checkpoint
    std::function<void()> finish = {};              // changes the weights once all steps are done
};

template <class Task>
void run(Task& task, const TrainOptions& options, const Data& data, const std::stop_token& stop,
         const StageHooks& hooks = {}) {
    task.parameters().restart_averages();
    const auto draw_preview = [&] {
        if (hooks.preview)
            dalle2::write_png(options.run / options.stage / "preview.png", hooks.preview());
    };
    dalle2::Trainer<Task> trainer(task, {.folder = options.run / options.stage,
                                         .batch = options.batch,
                                         .accumulation = options.accumulation,
                                         .learning_rate = {.peak = options.learning_rate,
                                                           .warmup = options.warmup,
                                                           .steps = options.steps},
                                         .optimizer = {.weight_decay = options.weight_decay},
                                         .checkpoint_every = options.checkpoint_every,
                                         .log_every = options.log_every,
                                         .on_checkpoint = draw_preview});
    if (options.resume && trainer.resume())
        std::cout << "going on from step " << trainer.step() << " of " << options.steps
                  << std::endl;
    // Backward costs two passes more: one for the inputs' gradients, one for the weights'.
    const double gflop = 3 * 2e-9 * static_cast<double>(hooks.multiply_adds);
    const double peak = dalle2::kernels::measured_peak(options.engine == "bfloat16");
    StatusLine line;
    trainer.run(
        [&](const dalle2::TrainingProgress& p) {
            const double speed = gflop * p.samples_per_second;
            line.show("step " + std::to_string(p.step) + "/" + std::to_string(p.steps) + "  " +
                      progress_text(p) + "  " + std::to_string(std::llround(speed)) + " GFLOP/s (" +
                      std::to_string(std::llround(100 * speed / peak)) + "% of peak)  " +
                      duration_text(p.seconds_left) + " left");
        },
        stop);
    line.finish();
    if (data.skipped() > 0)
        warn("files passed over, each named above: " + std::to_string(data.skipped()));
    if (trainer.step() < options.steps) throw dalle2::Cancelled();
    if (hooks.finish) {
        hooks.finish();
        trainer.save();
    }
    draw_preview();
    std::cout << options.stage << ": " << trainer.step() << " steps, saved in "
              << trainer.checkpoint_path().string() << std::endl;
}

template <class T>
void train(const TrainOptions& options, const std::stop_token& stop) {
    namespace recipe = dalle2::emoji_model;
    using Frozen = dalle2::Cpu<T>;
    using Trained = dalle2::Autodiff<T>;
    const dalle2::ThreadScope threads(options.threads);
    const Data data(options);
    if (options.stage == "upsampler") {
        dalle2::UpsamplerTask<T> task(
            recipe::upsampler_config(), dalle2::NoiseSchedule(recipe::upsampler_schedule()),
            data.source(), options.seed, {.timestep_bias = options.timestep_bias});
        begin_with<Trained>(options, "super_res_first", task.unet);
        const std::int64_t crop = task.options().crop;
        run(task, options, data, stop,
            {.multiply_adds = dalle2::trace_unet(task.unet.config, 1, crop).multiply_adds(),
             .preview = [&] {
                 return dalle2::upsampler_preview<T>(options.run, recipe::upsampler_config(),
                                                     recipe::upsampler_schedule(),
                                                     task.options().low_size, data.source());
             }});
        return;
    }
    const dalle2::ClipTokenizer tokenizer = tokenizer_of(options, data);
    const dalle2::ClipTextConfig text_config = recipe::text_config(tokenizer);
    const dalle2::ClipImageConfig image_config = recipe::image_config();
    const dalle2::TextTokens tokens = dalle2::text_tokens(tokenizer);
    // As long as the texts of a batch are, or about so.
    std::vector<std::string> captions;
    for (std::uint64_t i = 0; i < 32; ++i) captions.push_back(data.source()(i, 0, nullptr));
    const std::int64_t length = tokens(captions).tokens;
    if (options.stage == "clip") {
        dalle2::ClipTask<T> task(text_config, image_config, data.source(), tokens, options.seed,
                                 {.largest_scale = recipe::largest_clip_scale});
        begin_with<Trained>(options, "text_encoder", task.text_encoder);
        begin_with<Trained>(options, "image_encoder", task.image_encoder);
        run(task, options, data, stop,
            {.multiply_adds = dalle2::trace_text_embedding(text_config, 1, length).multiply_adds() +
                              dalle2::trace_image_encoder(image_config, 1).multiply_adds(),
             .finish = [&] {
                 const auto text_encoder = trained_tower<dalle2::ClipTextEncoder, Frozen>(
                     options, "text_encoder", text_config);
                 const auto image_encoder = trained_tower<dalle2::ClipImageEncoder, Frozen>(
                     options, "image_encoder", image_config);
                 turn_to_principal_axes(task, first_embeddings<T>(*image_encoder, *text_encoder,
                                                                  data.source(), tokens, stop));
             }});
        return;
    }
    const auto text_encoder =
        trained_tower<dalle2::ClipTextEncoder, Frozen>(options, "text_encoder", text_config);
    const auto image_encoder =
        trained_tower<dalle2::ClipImageEncoder, Frozen>(options, "image_encoder", image_config);
    const Embeddings embeddings =
        first_embeddings<T>(*image_encoder, *text_encoder, data.source(), tokens, stop);
    const dalle2::ColumnStatistics image = dalle2::column_statistics(embeddings.image);
    if (options.stage == "prior") {
        dalle2::PriorTask<T> task(
            recipe::prior_config(), dalle2::NoiseSchedule(recipe::prior_schedule()), text_encoder,
            image_encoder, image.mean, image.deviation, data.source(), tokens, options.seed);
        begin_with<Trained>(options, "prior", task.prior);
        task.set_statistics(image.mean, image.deviation);
        run(task, options, data, stop,
            {.multiply_adds = dalle2::trace_prior(task.prior.config, 1, length).multiply_adds()});
    } else {
        const dalle2::ColumnStatistics text = dalle2::column_statistics(embeddings.text);
        dalle2::DecoderTask<T> task(recipe::text_projection_config(), recipe::decoder_config(),
                                    dalle2::NoiseSchedule(recipe::decoder_schedule()), text_encoder,
                                    image_encoder, data.source(), tokens, options.seed,
                                    {.timestep_bias = options.timestep_bias});
        task.statistics.image.set(image.mean, image.deviation);
        task.statistics.text.set(text.mean, text.deviation);
        if (begin_with<Trained>(options, "text_proj", task.text_projection))
            dalle2::unfold_statistics(task.text_projection, task.statistics);
        begin_with<Trained>(options, "decoder", task.unet);
        const std::int64_t context = length + task.text_projection.config.clip_extra_context_tokens;
        run(task, options, data, stop,
            {.multiply_adds =
                 dalle2::trace_unet(task.unet.config, 1, task.unet.config.sample_size, context)
                     .multiply_adds(),
             .preview = [&] {
                 return dalle2::decoder_preview<T>(options.run, recipe::text_projection_config(),
                                                   recipe::decoder_config(),
                                                   recipe::decoder_schedule(), *text_encoder,
                                                   *image_encoder, data.source(), tokens);
             }});
    }
}

// Refuses what would fail, or destroy something, only after a while.
void check(const TrainOptions& options) {
    if (options.batch % options.accumulation != 0)
        throw ConfigError("--batch " + std::to_string(options.batch) + " cannot be split into " +
                          std::to_string(options.accumulation) +
                          " equal parts; choose another --accumulation");
    const fs::path checkpoint = dalle2::stage_checkpoint(options.run, options.stage);
    if (!options.resume && fs::exists(checkpoint))
        throw ConfigError(checkpoint.string() +
                          " is there already; add --resume to go on with it, or choose another "
                          "folder");
    std::error_code error;
    fs::create_directories(checkpoint.parent_path(), error);
    if (error)
        throw IoError("cannot make the folder " + checkpoint.parent_path().string() + ": " +
                      error.message());
    check_writable(checkpoint.string());
}

struct Stage {
    const char* name;
    const char* help;
    std::int64_t steps, batch;
    double learning_rate, weight_decay, timestep_bias;
};

constexpr Stage stages[] = {
    {"clip", "First: texts and pictures into one space (contrastive)", 20000, 256, 1e-3, 0.05, 0},
    {"prior", "Second: from a text to the embedding of a picture", 30000, 128, 5e-4, 0.01, 0},
    {"decoder", "Third: from an embedding to a picture of 32 pixels", 60000, 24, 1e-3, 0.01, 5},
    {"upsampler", "From 32 pixels to 128; needs no other stage", 30000, 8, 1e-3, 0.01, 1},
};

void add_export(CLI::App& train_command) {
    struct Options {
        fs::path run, model;
        std::string dtype = "bfloat16";
    };
    const auto options = std::make_shared<Options>();
    CLI::App* command = train_command.add_subcommand(
        "export", "Last: the run's averaged weights as a model that generate, and diffusers, load");
    command->add_option("RUN", options->run, "The folder of the run")->required();
    command->add_option("MODEL", options->model, "The folder to write")->required();
    command->add_option("--dtype", options->dtype, "Of the weights: bfloat16, float16 or float32")
        ->check(CLI::IsMember({"bfloat16", "float16", "float32"}).description(""))
        ->capture_default_str();
    command->callback([options] {
        const dalle2::DType dtype = options->dtype == "float32"   ? dalle2::DType::f32
                                    : options->dtype == "float16" ? dalle2::DType::f16
                                                                  : dalle2::DType::bf16;
        std::string names;
        for (const std::string& stage : dalle2::export_run(options->run, options->model, dtype))
            names += (names.empty() ? "" : ", ") + stage;
        std::cout << "written to " << options->model.string() << ": " << names << std::endl;
    });
}

}  // namespace

void add_train(CLI::App& app, const std::stop_token& stop) {
    CLI::App* train_command =
        app.add_subcommand("train", "Train the networks, from nothing, on this machine");
    train_command->require_subcommand(1);
    train_command->footer(
        "A run is one folder. In this order, each stage as long as it takes:\n"
        "  dalle2 train clip RUN\n"
        "  dalle2 train prior RUN\n"
        "  dalle2 train decoder RUN\n"
        "  dalle2 train upsampler RUN\n"
        "Stopped in whatever way, a stage goes on where it was, bit for bit:\n"
        "  dalle2 train decoder RUN --resume\n"
        "Then, or to look in between, the averaged weights become a model:\n"
        "  dalle2 train export RUN MODEL && dalle2 generate \"a red apple\" --model MODEL");
    add_export(*train_command);
    for (const Stage& stage : stages) {
        const auto options = std::make_shared<TrainOptions>();
        options->stage = stage.name;
        options->steps = stage.steps;
        options->batch = stage.batch;
        options->learning_rate = stage.learning_rate;
        options->weight_decay = stage.weight_decay;
        options->timestep_bias = stage.timestep_bias;
        CLI::App* command = train_command->add_subcommand(stage.name, stage.help);
        command->add_option("RUN", options->run, "The folder of the run")->required();
        command->add_option("--data", options->data,
                            "A folder of pictures with captions: name.png with name.txt, or "
                            "metadata.jsonl; without it, the endless emoji scenes");
        command->add_flag("--mirror", options->mirror,
                          "Show half of the folder's pictures mirrored; not for captions that say "
                          "left or right");
        command->add_option("--from", options->from,
                            "A model whose weights to begin with, and whose CLIP to build on when "
                            "the run has none");
        command->add_option("--steps", options->steps, "Steps of the optimiser in all")
            ->check(whole(1, 1'000'000'000))
            ->capture_default_str();
        command->add_option("--batch", options->batch, "Samples in a step")
            ->check(whole(1, 1'000'000))
            ->capture_default_str();
        command
            ->add_option("--accumulation", options->accumulation,
                         "Parts that a batch is computed in, to save memory")
            ->check(whole(1, 1'000'000))
            ->capture_default_str();
        command->add_option("--learning-rate", options->learning_rate, "Its highest value")
            ->check(between(0, 1))
            ->capture_default_str();
        command->add_option("--warmup", options->warmup, "Steps until it is that high")
            ->check(whole(0, 1'000'000'000))
            ->capture_default_str();
        command->add_option("--weight-decay", options->weight_decay, "Not on norms and biases")
            ->check(between(0, 1))
            ->capture_default_str();
        if (options->stage == "decoder" || options->stage == "upsampler")
            command
                ->add_option("--timestep-bias", options->timestep_bias,
                             "0: all noise levels alike; 5: high ones far more often, from which "
                             "nouns are learned; towards the end a small one polishes details")
                ->check(between(0, 10))
                ->capture_default_str();
        command->add_option("--seed", options->seed, "Of the weights, the data and the noise")
            ->check(whole(0))
            ->capture_default_str();
        command
            ->add_option("--engine", options->engine,
                         "Arithmetic: bfloat16 or float32; weights are kept in float32")
            ->check(CLI::IsMember({"bfloat16", "float32"}).description(""))
            ->capture_default_str();
        add_threads_option(*command, options->threads);
        command
            ->add_option("--checkpoint-every", options->checkpoint_every,
                         "Steps between checkpoints, each with a preview.png of what the stage "
                         "draws by then")
            ->check(whole(1, 1'000'000'000))
            ->capture_default_str();
        command->add_option("--log-every", options->log_every, "Steps between lines of log.jsonl")
            ->check(whole(1, 1'000'000'000))
            ->capture_default_str();
        command->add_flag("--resume", options->resume,
                          "Go on from the run's checkpoint; begin where there is none");
        command->callback([options, stop] {
            check(*options);
            if (options->engine == "float32")
                train<float>(*options, stop);
            else
                train<dalle2::bfloat16>(*options, stop);
        });
    }
}

}  // namespace tool
