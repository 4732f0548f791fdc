// From a training run to a model directory: the averaged weights of each finished stage, in the
// layout that the pipeline loads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <dalle2/engine/reference.hpp>
#include <dalle2/pipeline/load.hpp>
#include <dalle2/train/condition_statistics.hpp>
#include <dalle2/train/emoji_model.hpp>

namespace dalle2 {

// Where a stage of a run ("clip", "prior", "decoder", "upsampler") keeps its state.
inline std::filesystem::path stage_checkpoint(const std::filesystem::path& run,
                                              const std::string& stage) {
    return run / stage / "checkpoint.safetensors";
}

// Loads the averaged weights of `module`, whose parameters the run calls prefix.name. Throws
// IoError when the stage has no checkpoint yet, FormatError when it is of another model.
template <Engine E, class Module>
void load_averages(Module& module, const std::filesystem::path& checkpoint,
                   const std::string& prefix) {
    if (!std::filesystem::exists(checkpoint))
        throw IoError("no " + checkpoint.string() + "; train the stage \"" +
                      checkpoint.parent_path().filename().string() + "\" first");
    const SafetensorsFile file(checkpoint);
    for_each_parameter(
        module,
        [&](const std::string& name, auto& parameter) {
            const std::string tensor = name + "/average";
            if (!file.contains(tensor) || file.view(tensor).shape != parameter.shape())
                throw FormatError(checkpoint.string() + ": no tensor \"" + tensor + "\" of shape " +
                                  to_string(parameter.shape()) +
                                  "; this checkpoint is of another model");
            E::load(parameter, file.to_array(tensor));
        },
        prefix);
}

// The decoder's text projection, of embeddings as CLIP makes them.
template <Engine E>
TextProjection<E> trained_text_projection(const std::filesystem::path& run,
                                          const TextProjectionConfig& config) {
    const std::filesystem::path checkpoint = stage_checkpoint(run, "decoder");
    TextProjection<E> projection(config);
    ConditionStatistics<E> statistics(config);
    load_averages<E>(projection, checkpoint, "text_proj");
    load_averages<E>(statistics, checkpoint, "statistics");
    fold_statistics(projection, statistics);
    return projection;
}

namespace detail {

template <Engine E, class Module>
void export_component(const std::filesystem::path& run, const std::string& stage,
                      const std::string& prefix, const typename Module::Config& config,
                      const std::filesystem::path& model,
                      const std::vector<std::string>& components, DType dtype) {
    Module module(config);
    load_averages<E>(module, stage_checkpoint(run, stage), prefix);
    for (const std::string& component : components) save_component(model, component, module, dtype);
}

// How pictures become the image encoder's input, as transformers' CLIPImageProcessor reads it: the
// encoder was trained on pictures in -1 to 1.
inline OrderedJson preprocessor_json(const ClipImageConfig& config) {
    OrderedJson json;
    put(json, "image_processor_type", "CLIPImageProcessor");
    put(json, "do_convert_rgb", true);
    put(json, "do_resize", true);
    OrderedJson size, crop;
    put(size, "shortest_edge", config.image_size);
    put(crop, "height", config.image_size);
    put(crop, "width", config.image_size);
    put(json, "size", std::move(size));
    put(json, "resample", 3);
    put(json, "do_center_crop", true);
    put(json, "crop_size", std::move(crop));
    put(json, "do_rescale", true);
    put(json, "rescale_factor", 1.0 / 255.0);
    put(json, "do_normalize", true);
    const std::vector<double> half(3, 0.5);
    put(json, "image_mean", half);
    put(json, "image_std", half);
    return json;
}

}  // namespace detail

// Writes what `run` has finished into a model directory, weights as `dtype`, and returns the names
// of the stages that it found; what the directory has of other stages stays. The networks are those
// of the recipe in emoji_model.hpp, here on engine E.
template <Engine E = Reference>
std::vector<std::string> export_run(
    const std::filesystem::path& run, const std::filesystem::path& model, DType dtype = DType::bf16,
    const GenerationDefaults& defaults = emoji_model::generation_defaults()) {
    namespace recipe = emoji_model;
    std::vector<std::string> stages;
    const auto finished = [&](const std::string& stage) {
        if (!std::filesystem::exists(stage_checkpoint(run, stage))) return false;
        stages.push_back(stage);
        return true;
    };
    if (finished("clip")) {
        const ClipTokenizer tokenizer = ClipTokenizer::from_directory(run / "tokenizer");
        tokenizer.save(make_component_folder(model, "tokenizer"));
        detail::export_component<E, ClipTextEncoder<E>>(run, "clip", "text_encoder",
                                                        recipe::text_config(tokenizer), model,
                                                        {"text_encoder"}, dtype);
        detail::export_component<E, ClipImageEncoder<E>>(
            run, "clip", "image_encoder", recipe::image_config(), model, {"image_encoder"}, dtype);
        write_json(make_component_folder(model, "feature_extractor") / "preprocessor_config.json",
                   detail::preprocessor_json(recipe::image_config()));
        save_zero_shot_config(model, recipe::zero_shot_config());
    }
    if (finished("prior")) {
        detail::export_component<E, PriorTransformer<E>>(
            run, "prior", "prior", recipe::prior_config(), model, {"prior"}, dtype);
        save_schedule_config(model, "prior_scheduler", recipe::prior_schedule());
    }
    if (finished("decoder")) {
        save_component(model, "text_proj",
                       trained_text_projection<E>(run, recipe::text_projection_config()), dtype);
        detail::export_component<E, UNet<E>>(run, "decoder", "decoder", recipe::decoder_config(),
                                             model, {"decoder"}, dtype);
        save_schedule_config(model, "decoder_scheduler", recipe::decoder_schedule());
    }
    if (finished("upsampler")) {
        detail::export_component<E, UNet<E>>(run, "upsampler", "super_res",
                                             recipe::upsampler_config(), model,
                                             {"super_res_first", "super_res_last"}, dtype);
        save_schedule_config(model, "super_res_scheduler", recipe::upsampler_schedule());
    }
    std::vector<std::string> components;
    for (const ComponentKind& kind : component_kinds)
        if (std::filesystem::exists(model / kind.name / kind.config_file))
            components.emplace_back(kind.name);
    save_generation_defaults(model, defaults);
    write_model_index(model, components);
    return stages;
}

}  // namespace dalle2
