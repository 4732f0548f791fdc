// A model on disk: the folder that diffusers' UnCLIPPipeline reads and writes.
//
//     model_index.json                       which components there are
//     tokenizer/                             vocab.json, merges.txt, …
//     text_encoder/, image_encoder/          config.json, model.safetensors
//     prior/, text_proj/, decoder/,
//     super_res_first/, super_res_last/      config.json, diffusion_pytorch_model.safetensors
//     prior_scheduler/, decoder_scheduler/,
//     super_res_scheduler/                   scheduler_config.json
//     feature_extractor/                     preprocessor_config.json
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/hub_cache.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/weight_files.hpp>

namespace dalle2 {

// What the format says of a component: where its class is defined, its files.
struct ComponentKind {
    std::string_view name;
    std::string_view library;
    std::string_view class_name;
    std::string_view other_class_name;  // also accepted; may be empty
    std::string_view config_file;
    std::string_view weights_file;  // empty: it has none
};

inline constexpr std::array<ComponentKind, 12> component_kinds = {{
    {"tokenizer", "transformers", "CLIPTokenizer", "CLIPTokenizerFast", "vocab.json", ""},
    {"text_encoder", "transformers", "CLIPTextModelWithProjection", "", "config.json",
     "model.safetensors"},
    {"image_encoder", "transformers", "CLIPVisionModelWithProjection", "", "config.json",
     "model.safetensors"},
    {"feature_extractor", "transformers", "CLIPImageProcessor", "CLIPFeatureExtractor",
     "preprocessor_config.json", ""},
    {"prior", "diffusers", "PriorTransformer", "", "config.json",
     "diffusion_pytorch_model.safetensors"},
    {"prior_scheduler", "diffusers", "UnCLIPScheduler", "", "scheduler_config.json", ""},
    {"text_proj", "unclip", "UnCLIPTextProjModel", "", "config.json",
     "diffusion_pytorch_model.safetensors"},
    {"decoder", "diffusers", "UNet2DConditionModel", "", "config.json",
     "diffusion_pytorch_model.safetensors"},
    {"decoder_scheduler", "diffusers", "UnCLIPScheduler", "", "scheduler_config.json", ""},
    {"super_res_first", "diffusers", "UNet2DModel", "", "config.json",
     "diffusion_pytorch_model.safetensors"},
    {"super_res_last", "diffusers", "UNet2DModel", "", "config.json",
     "diffusion_pytorch_model.safetensors"},
    {"super_res_scheduler", "diffusers", "UnCLIPScheduler", "", "scheduler_config.json", ""},
}};

// Throws ConfigError for a name that the format does not know.
inline const ComponentKind& component_kind(std::string_view name) {
    for (const ComponentKind& kind : component_kinds)
        if (kind.name == name) return kind;
    throw ConfigError("a model has no component named \"" + std::string(name) + "\"");
}

class ModelDirectory {
public:
    // `path` may also be a name in the hub's cache (hub_cache.hpp); `variant` as in find_weights.
    // Reads model_index.json. Throws IoError when there is no such folder or index, FormatError
    // when the index is not JSON, ConfigError for another kind of pipeline or class.
    explicit ModelDirectory(const std::filesystem::path& path, std::string variant = "")
        : path_(resolve_model_path(path)), variant_(std::move(variant)) {
        std::error_code ignored;
        if (!std::filesystem::exists(path_, ignored))
            throw IoError("no model at " + shown() + ": there is no such directory");
        if (!std::filesystem::is_directory(path_, ignored))
            throw IoError("no model at " + shown() +
                          ": it is a file; give the directory that contains model_index.json");
        const std::filesystem::path index = path_ / "model_index.json";
        if (!std::filesystem::exists(index, ignored))
            throw IoError("no model at " + shown() + ": the directory has no model_index.json");
        read_index(read_json(index), index.string());
    }

    const std::filesystem::path& path() const { return path_; }

    // Is the component listed in model_index.json?
    bool has(std::string_view component) const {
        return std::find(components_.begin(), components_.end(), component) != components_.end();
    }
    // In the order of component_kinds.
    const std::vector<std::string>& components() const { return components_; }

    // The folder of a component. Throws IoError when it is not listed or not there.
    std::filesystem::path folder(std::string_view component) const {
        const std::filesystem::path folder = path_ / component_kind(component).name;
        if (!has(component))
            throw IoError("the model at " + shown() + " has no " + std::string(component) +
                          ": model_index.json does not list it");
        std::error_code ignored;
        if (!std::filesystem::is_directory(folder, ignored))
            throw IoError("the model at " + shown() + " is incomplete: the folder " +
                          std::string(component) + ", listed in model_index.json, is missing");
        return folder;
    }

    // The component's own settings. Throws IoError when the file is missing.
    std::filesystem::path config_path(std::string_view component) const {
        return existing(component, component_kind(component).config_file);
    }

    // The file of a component's weights, or the index of several (weight_files.hpp). Throws IoError
    // when there is none, ConfigError when the component has no weights.
    std::filesystem::path weights_path(std::string_view component) const {
        const std::string_view file = component_kind(component).weights_file;
        if (file.empty()) throw ConfigError("a " + std::string(component) + " has no weights");
        return find_weights(folder(component), file, variant_).path;
    }

private:
    std::string shown() const { return "'" + path_.string() + "'"; }

    std::filesystem::path existing(std::string_view component, std::string_view file) const {
        const std::filesystem::path path = folder(component) / file;
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored))
            throw IoError("the model at " + shown() + " is incomplete: the file " +
                          std::string(component) + "/" + std::string(file) + " is missing");
        return path;
    }

    void read_index(const Json& index, const std::string& where) {
        if (!index.is_object()) throw FormatError(where + ": expected an object of components");
        const std::string pipeline = value_at(index, "_class_name").dump();
        if (pipeline != "\"UnCLIPPipeline\"" && pipeline != "\"UnCLIPImageVariationPipeline\"")
            throw ConfigError(
                where + ": _class_name is " + pipeline.substr(0, 60) +
                "; supported are \"UnCLIPPipeline\" and \"UnCLIPImageVariationPipeline\"");
        for (const auto& [name, value] : index.items()) {
            if (name.starts_with('_') || value.is_null() ||
                value == Json::array({nullptr, nullptr}))
                continue;
            const auto known =
                std::find_if(component_kinds.begin(), component_kinds.end(),
                             [&, &n = name](const ComponentKind& kind) { return kind.name == n; });
            if (known == component_kinds.end())
                throw ConfigError(where + ": unknown component \"" + name + "\"");
            const bool valid = value.is_array() && value.size() == 2 && value[0].is_string() &&
                               value[1].is_string();
            const std::string class_name = valid ? value[1].get<std::string>() : "";
            if (class_name.empty() ||
                (class_name != known->class_name && class_name != known->other_class_name))
                throw ConfigError(where + ": \"" + name + "\" is " + value.dump().substr(0, 80) +
                                  "; expected [\"" + std::string(known->library) + "\", \"" +
                                  std::string(known->class_name) + "\"]");
        }
        for (const ComponentKind& kind : component_kinds) {
            const auto found = index.find(kind.name);
            if (found != index.end() && found->is_array() && !(*found)[0].is_null())
                components_.emplace_back(kind.name);
        }
    }

    std::filesystem::path path_;
    std::string variant_;
    std::vector<std::string> components_;
};

// Makes the folder of a component (its parents too) and returns it. Throws IoError.
inline std::filesystem::path make_component_folder(const std::filesystem::path& model,
                                                   std::string_view component) {
    const std::filesystem::path folder = model / component_kind(component).name;
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw IoError("cannot make the folder " + folder.string() + ": " + error.message());
    return folder;
}

// Writes model_index.json for the components named. Throws IoError, ConfigError for an unknown
// name.
inline void write_model_index(const std::filesystem::path& model,
                              const std::vector<std::string>& components) {
    OrderedJson index;
    put(index, "_class_name", "UnCLIPPipeline");
    put(index, "_diffusers_version", "0.14.0");
    for (const std::string& name : components) {
        const ComponentKind& kind = component_kind(name);
        put(index, name,
            std::vector<std::string>{std::string(kind.library), std::string(kind.class_name)});
    }
    std::error_code error;
    std::filesystem::create_directories(model, error);
    if (error) throw IoError("cannot make the folder " + model.string() + ": " + error.message());
    write_json(model / "model_index.json", index);
}

}  // namespace dalle2
