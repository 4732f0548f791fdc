// What a model says about classification with it: a file zero_shot.json beside its weights, which
// only this library reads.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <dalle2/io/config.hpp>

namespace dalle2 {

struct ZeroShotConfig {
    // Sentences with {} where the label goes.
    std::vector<std::string> templates = {"a photo of a {}"};
    // The inverse temperature, where the weights hold none. The public models ended at 100, the
    // largest that their training allowed.
    double logit_scale = 100;
};

// The settings in a model's folder, those of the public models where it has none. Throws
// FormatError, ConfigError.
inline ZeroShotConfig load_zero_shot_config(const std::filesystem::path& model) {
    ZeroShotConfig c;
    const std::filesystem::path path = model / "zero_shot.json";
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return c;
    ConfigReader reader = ConfigReader::from_file(path);
    c.templates = reader.get_or("templates", c.templates);
    if (c.templates.empty()) reader.refuse("templates", "expected at least one");
    for (const std::string& sentence : c.templates)
        if (sentence.find("{}") == std::string::npos)
            reader.refuse("templates", "expected {} in each, where the label goes");
    c.logit_scale = reader.get_or("logit_scale", c.logit_scale, 0, 1e6);
    reader.finish();
    return c;
}

// Throws IoError.
inline void save_zero_shot_config(const std::filesystem::path& model, const ZeroShotConfig& c) {
    OrderedJson json;
    put(json, "templates", c.templates);
    put(json, "logit_scale", c.logit_scale);
    write_json(model / "zero_shot.json", json);
}

}  // namespace dalle2
