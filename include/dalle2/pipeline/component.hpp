// A component of a model directory: its config.json and its weights together.
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <utility>

#include <dalle2/clip/config.hpp>
#include <dalle2/decoder/config.hpp>
#include <dalle2/diffusion/schedule_config.hpp>
#include <dalle2/io/model_directory.hpp>
#include <dalle2/io/weights.hpp>
#include <dalle2/prior/config.hpp>

namespace dalle2 {

// The config that a module of this type is made from, out of a config.json.
template <class Config>
Config model_config(ConfigReader reader) {
    if constexpr (std::same_as<Config, ClipTextConfig>)
        return clip_text_config(std::move(reader));
    else if constexpr (std::same_as<Config, ClipImageConfig>)
        return clip_image_config(std::move(reader));
    else if constexpr (std::same_as<Config, PriorConfig>)
        return prior_config(std::move(reader));
    else if constexpr (std::same_as<Config, TextProjectionConfig>)
        return text_projection_config(std::move(reader));
    else
        return unet_config(std::move(reader));
}

// The config of a component such as "decoder". Throws IoError, FormatError, ConfigError.
template <class Config>
Config load_config(const ModelDirectory& directory, const std::string& component) {
    const std::filesystem::path path = directory.config_path(component);
    const Config config = model_config<Config>(ConfigReader::from_file(path));
    if constexpr (std::same_as<Config, UNetConfig>) {
        if ((component == "decoder") != (config.context_width > 0))
            throw ConfigError(path.string() +
                              ": \"_class_name\" is another kind of UNet; supported: \"" +
                              std::string(component_kind(component).class_name) + "\"");
    }
    return config;
}

// A module with its weights. Throws IoError, FormatError, ConfigError.
template <template <Engine> class Module, Engine E>
Module<E> load_component(const ModelDirectory& directory, const std::string& component,
                         const Warn& warn = nullptr) {
    Module<E> module(load_config<typename Module<E>::Config>(directory, component));
    load_weights<E>(module, directory.weights_path(component), warn);
    return module;
}

// Throws what load_component would throw of a file's names and shapes, without reading weights.
// Any engine will do; that of the weights is already compiled.
template <template <Engine> class Module, Engine E>
void check_component(const ModelDirectory& directory, const std::string& component) {
    const Module<E> module(load_config<typename Module<E>::Config>(directory, component));
    check_weights(module, WeightFiles(directory.weights_path(component)));
}

// The schedule of a component such as "prior_scheduler". Throws IoError, FormatError, ConfigError.
inline NoiseScheduleConfig load_schedule_config(const ModelDirectory& directory,
                                                const std::string& component) {
    const std::filesystem::path path = directory.config_path(component);
    return noise_schedule_config(read_json(path), path.string());
}

// Writes config and weights of a component into the model's directory. Throws IoError.
template <template <Engine> class Module, Engine E>
void save_component(const std::filesystem::path& model, const std::string& component,
                    const Module<E>& module, DType dtype = DType::f32) {
    const ComponentKind& kind = component_kind(component);
    const std::filesystem::path folder = make_component_folder(model, component);
    save_weights<E>(module, folder / kind.weights_file, dtype);
    write_json(folder / kind.config_file, to_json(module.config));
}

inline void save_schedule_config(const std::filesystem::path& model, const std::string& component,
                                 const NoiseScheduleConfig& config) {
    write_json(make_component_folder(model, component) / component_kind(component).config_file,
               to_json(config));
}

}  // namespace dalle2
