#include "drawing.hpp"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <utility>

#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/engine_peak.hpp>
#include <dalle2/engine/profile_report.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/io/safetensors.hpp>

#include "memory.hpp"

namespace tool {

namespace {

// A single picture needs each network once: keeping them would be of no use. Several pictures
// should not load them again and again, unless there is no room. (Of a model with both, the plan
// counts the prior where `dalle2 vary` has the image encoder, which is near enough.)
dalle2::Residency residency_of(const DrawingSettings& settings, dalle2::EngineKind engine) {
    if (settings.memory == "all") return dalle2::Residency::whole;
    if (settings.memory == "least" || settings.count == 1) return dalle2::Residency::in_turn;
    const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                          static_cast<double>(::sysconf(_SC_PAGESIZE));
    const dalle2::ModelDirectory directory(settings.model, settings.variant);
    dalle2::GenerationDefaults call = dalle2::load_generation_defaults(directory.path());
    call.decoder_guidance_scale = settings.guidance.value_or(call.decoder_guidance_scale);
    const std::int64_t whole = plan_memory(directory, {.engine = engine, .settings = call})
                                   .peak_bytes(dalle2::Residency::whole);
    return static_cast<double>(whole) > memory / 2 ? dalle2::Residency::in_turn
                                                   : dalle2::Residency::whole;
}

std::string super_res_sampler_of(const DrawingSettings& settings) {
    return settings.super_res_sampler.value_or(settings.sampler);
}
std::string prior_sampler_of(const DrawingSettings& settings) {
    return settings.prior_sampler.value_or(settings.sampler);
}

bool uses_ddim(const DrawingSettings& settings) {
    return settings.sampler == "ddim" || super_res_sampler_of(settings) == "ddim" ||
           prior_sampler_of(settings) == "ddim";
}

double eta_of(const DrawingSettings& settings) {
    return settings.eta.value_or(dalle2::DdimOptions().eta);
}

// Every value that a call makes on its way, under names such as "decoder.07" (after the seventh
// step).
class StageRecord {
public:
    void add(const dalle2::GenerateProgress& progress) {
        std::string stage = dalle2::to_string(progress.stage), step = std::to_string(progress.step);
        if (stage == "super-resolution") stage = "super_resolution";
        if (step.size() < 2) step.insert(0, "0");
        tensors_.emplace_back(stage + "." + step, progress.sample);
    }
    void write(const std::string& path, const dalle2::Generation& made) {
        tensors_.emplace_back("text_embedding", made.text.text_embedding);
        tensors_.emplace_back("text_states", made.text.hidden_states);
        tensors_.emplace_back("image_embedding", made.image_embedding);
        tensors_.emplace_back("small_pictures", made.small_pictures);
        tensors_.emplace_back("pictures", made.pictures);
        dalle2::write_safetensors(path, tensors_);
    }

private:
    std::vector<std::pair<std::string, dalle2::Array>> tensors_;
};

}  // namespace

void add_drawing_options(CLI::App& command, DrawingSettings& settings) {
    command.add_option("-o,--output", settings.output, "The PNG file")->capture_default_str();
    command
        .add_option("--seed", settings.seed,
                    "Another number, another picture; the same settings and seed, the same bytes")
        ->check(whole(0, 0xFFFFFFFF))
        ->capture_default_str();
    command
        .add_option("--count", settings.count, "Pictures, from this seed on, in one file as a grid")
        ->check(whole(1, 400))
        ->capture_default_str();
    command.add_option("--steps", settings.steps, "Steps of the decoder; fewer are faster")
        ->check(whole(1, 1000));
    command.add_option("--super-res-steps", settings.super_res_steps, "Steps of the upsampler")
        ->check(whole(1, 1000));
    command
        .add_option("--guidance", settings.guidance,
                    "How far to follow the condition: higher is closer to it, less varied")
        ->check(finite());
    command
        .add_option("--sampler", settings.sampler,
                    "How steps follow from what the networks predict: unclip (random, as the model "
                    "was trained), dpm++ (for few steps; dpm++-sde: random), ddim, euler, "
                    "euler-ancestral, heun (each step twice the work)")
        ->check(one_of(dalle2::sampler_names))
        ->capture_default_str();
    command
        .add_option("--super-res-sampler", settings.super_res_sampler,
                    "Of the upsampler, if not the same")
        ->check(one_of(dalle2::sampler_names));
    command
        .add_option("--eta", settings.eta,
                    "Randomness of ddim's steps: 0 (unless given) none, 1 as much as in training")
        ->check(between(0, 1));
    add_engine_option(command, settings.engine);
    command
        .add_option("--noise", settings.noise,
                    "float32, bfloat16 or float16: the torch_dtype of the public pipeline whose "
                    "picture a seed should give")
        ->check(CLI::IsMember({"float32", "bfloat16", "float16"}).description(""))
        ->capture_default_str();
    add_threads_option(command, settings.threads);
    command
        .add_option("--memory", settings.memory,
                    "all: keep every network; least: each only while it is used; auto: least for "
                    "one picture or a model that fills half the memory")
        ->check(CLI::IsMember({"auto", "all", "least"}).description(""))
        ->capture_default_str();
    command.add_option("--stages", settings.stages,
                       "Also write what every step of every stage made, as a safetensors file");
    command.add_option("--profile", settings.profile,
                       "Also tell what took how long, beside the machine's peak, and write it as "
                       "a trace (JSON) that chrome://tracing and ui.perfetto.dev draw");
    command
        .add_option("--model", settings.model,
                    "A model's folder, in the layout of diffusers' UnCLIPPipeline, or the name "
                    "under which it lies in the Hugging Face cache, org/name")
        ->capture_default_str();
    add_variant_option(command, settings.variant);
}

Drawing::Drawing(const DrawingSettings& settings) : settings_(settings) {
    if (settings.eta && !uses_ddim(settings))
        throw dalle2::ConfigError(
            "--eta is of ddim alone; none of the samplers is it; choose --sampler ddim, or leave "
            "--eta out");
    check_writable(settings.output);
    if (!settings.profile.empty()) check_writable(settings.profile);
    if (settings.stages.empty()) return;
    check_writable(settings.stages);
    if (settings.count != 1)
        throw dalle2::ConfigError("--stages is for one picture, and --count is " +
                                  std::to_string(settings.count) + "; give one of them");
}

dalle2::LoadOptions Drawing::load_options() {
    const dalle2::SamplerKind sampler =
        dalle2::sampler_kind_from_name(settings_.sampler, "--sampler");
    const dalle2::SamplerKind super_res_sampler =
        dalle2::sampler_kind_from_name(super_res_sampler_of(settings_), "--super-res-sampler");
    const dalle2::SamplerKind prior_sampler =
        dalle2::sampler_kind_from_name(prior_sampler_of(settings_), "--prior-sampler");
    const dalle2::EngineKind engine = dalle2::engine_kind_from_name(settings_.engine, "--engine");
    return {
        .engine = engine,
        .residency = residency_of(settings_, engine),
        .variant = settings_.variant,
        .prior_sampler = prior_sampler,
        .decoder_sampler = sampler,
        .super_resolution_sampler = super_res_sampler,
        .ddim = {.eta = eta_of(settings_)},
        .warn = warn,
        .on_component = [this](const std::string& component) { bar_.begin("load " + component); }};
}

dalle2::PngText Drawing::describe(const dalle2::GenerationDefaults& defaults) const {
    const std::string last_seed =
        std::to_string(settings_.seed + static_cast<std::uint64_t>(settings_.count) - 1);
    dalle2::PngText text = {
        {"seed", std::to_string(settings_.seed) + (settings_.count > 1 ? " to " + last_seed : "")},
        {"model", std::filesystem::path(settings_.model).lexically_normal().filename().string()},
        {"engine", settings_.engine},
        {"sampler", settings_.sampler},
        {"steps", std::to_string(settings_.steps.value_or(defaults.decoder_steps))},
        {"super_res_steps",
         std::to_string(settings_.super_res_steps.value_or(defaults.super_resolution_steps))},
        {"guidance", number_text(settings_.guidance.value_or(defaults.decoder_guidance_scale))}};
    if (settings_.super_res_sampler)
        text.emplace_back("super_res_sampler", *settings_.super_res_sampler);
    if (settings_.prior_sampler) text.emplace_back("prior_sampler", *settings_.prior_sampler);
    if (settings_.noise != "float32") text.emplace_back("noise", settings_.noise);
    if (uses_ddim(settings_)) text.emplace_back("eta", number_text(eta_of(settings_)));
    return text;
}

void Drawing::run(const dalle2::GenerateOptions& command_options,
                  const dalle2::GenerationDefaults& defaults, const std::stop_token& stop,
                  const dalle2::PngText& text,
                  const std::function<dalle2::Generation(const dalle2::GenerateOptions&)>& make) {
    const auto began = std::chrono::steady_clock::now();
    std::vector<dalle2::Picture> pictures;
    StageRecord record;
    for (std::int64_t i = 0; i < settings_.count; ++i) {
        const std::string which = settings_.count > 1 ? " " + std::to_string(i + 1) + "/" +
                                                            std::to_string(settings_.count)
                                                      : "";
        dalle2::GenerateOptions options = command_options;
        // One call for each seed: a picture of a grid is the one that its own seed makes alone.
        options.seed = settings_.seed + static_cast<std::uint64_t>(i);
        options.decoder_steps = settings_.steps;
        options.super_resolution_steps = settings_.super_res_steps;
        options.decoder_guidance_scale = settings_.guidance;
        options.noise = settings_.noise == "bfloat16"  ? dalle2::NoiseType::bf16
                        : settings_.noise == "float16" ? dalle2::NoiseType::f16
                                                       : dalle2::NoiseType::f32;
        options.threads = settings_.threads;
        options.stop = stop;
        options.progress = [&](const dalle2::GenerateProgress& p) {
            bar_.update(dalle2::to_string(p.stage) + which, p.step, p.steps);
            if (!settings_.stages.empty()) record.add(p);
        };
        auto profiling = settings_.profile.empty()
                             ? nullptr
                             : std::make_unique<dalle2::Profile::Scope>(profile_);
        const dalle2::Generation made = make(options);
        profiling.reset();
        pictures.push_back(made.picture());
        if (!settings_.stages.empty()) record.write(settings_.stages, made);
    }
    bar_.finish();
    const dalle2::Picture picture =
        pictures.size() == 1 ? pictures[0]
                             : dalle2::contact_sheet(pictures, {.color = {255, 255, 255}});
    dalle2::PngText all = {{"Software", std::string("dalle2 ") + DALLE2_VERSION}};
    all.insert(all.end(), text.begin(), text.end());
    for (auto& entry : describe(defaults)) all.push_back(std::move(entry));
    dalle2::write_png(settings_.output, picture, all);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::cout << settings_.output << ": " << picture.width << "×" << picture.height << " pixels, "
              << duration_text(seconds.count()) << std::endl;
    if (!settings_.profile.empty()) report_profile();
}

void Drawing::report_profile() const {
    const dalle2::ThreadScope threads(settings_.threads);
    const double peak =
        dalle2::measured_engine_peak(dalle2::engine_kind_from_name(settings_.engine, "--engine"));
    dalle2::write_chrome_trace(settings_.profile, profile_);
    std::cout << "\n"
              << dalle2::profile_table(profile_, {.gigaflops = peak}) << "peak of "
              << dalle2::kernels::thread_count() << " threads, " << settings_.engine
              << ", registers alone: " << std::llround(peak) << " GFLOP/s\n"
              << settings_.profile << ": " << profile_.operations().size() << " operations"
              << std::endl;
}

}  // namespace tool
