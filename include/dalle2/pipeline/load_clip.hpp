// CLIP from a folder: texts and pictures into one space, on an engine chosen at run time.
//
//     const dalle2::Clip clip = dalle2::load_clip("openai/clip-vit-large-patch14");
//     const auto texts = clip.embed_texts({"a cat", "a dog"}, {.unit_length = true});
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <dalle2/clip/config.hpp>
#include <dalle2/clip/model.hpp>
#include <dalle2/clip/preprocess.hpp>
#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/clip/zero_shot_config.hpp>
#include <dalle2/clip/zero_shot_templates.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/on_engine.hpp>
#include <dalle2/io/hub_cache.hpp>
#include <dalle2/io/model_directory.hpp>
#include <dalle2/io/weight_files.hpp>
#include <dalle2/io/weights.hpp>
#include <dalle2/pipeline/clip_towers.hpp>

namespace dalle2 {

struct ClipLoadOptions {
    EngineKind engine = fastest_engine();
    std::string variant = "";  // such as "fp16", as in find_weights
    Warn warn = nullptr;       // told what is suspicious, such as weights that are not numbers
};

// A CLIP whose engine was chosen at run time. Constant, and may be used from several threads at
// once.
class Clip {
public:
    EngineKind engine() const { return towers_.engine(); }
    // The folder that it came from.
    const std::filesystem::path& path() const { return path_; }

    // A folder may hold one encoder alone, or lack what is made for it.
    bool reads_texts() const { return tokenizer_ && towers_.text_config(); }
    bool reads_pictures() const { return preprocessor_ && towers_.image_config(); }
    // These throw ConfigError where there is none.
    const ClipTokenizer& tokenizer() const {
        if (!tokenizer_) fail("a tokenizer (vocab.json and merges.txt)");
        return *tokenizer_;
    }
    const ClipPreprocessor& preprocessor() const {
        if (!preprocessor_) fail("a preprocessor_config.json");
        return *preprocessor_;
    }

    // The width of the space.
    std::int64_t projection_dim() const {
        return towers_.text_config() ? towers_.text_config()->projection_dim
                                     : towers_.image_config()->projection_dim;
    }
    // The inverse temperature: probabilities are a softmax of cosines times this.
    double logit_scale() const { return logit_scale_; }
    // Sentences to put labels into, by the model's own zero_shot.json.
    const std::vector<std::string>& templates() const { return templates_; }

    // → [texts, projection]. What does not fit into the model's length is cut off, as the reference
    // does with truncation=True. Throws ConfigError when the model reads no texts, Cancelled.
    Array embed_texts(const std::vector<std::string>& texts,
                      const EmbedOptions& options = {}) const {
        if (!towers_.text_config()) fail("a text encoder");
        return towers_.embed_texts(tokenizer(), texts, options);
    }

    // Labels for zero-shot classification → [labels, projection], at unit length: the mean over
    // sentences with {} in them, or over the model's own. Throws as embed_texts.
    Array embed_labels(const std::vector<std::string>& labels,
                       const std::vector<std::string>& sentences = {},
                       const EmbedOptions& options = {}) const {
        const std::vector<std::string>& used = sentences.empty() ? templates_ : sentences;
        return mean_directions(embed_texts(filled_templates(used, labels), options),
                               static_cast<std::int64_t>(used.size()));
    }

    // → [pictures, projection]. Throws ConfigError when the model reads no pictures, ShapeError for
    // a picture that the preprocessor refuses, Cancelled.
    Array embed_pictures(const std::vector<Picture>& pictures,
                         const EmbedOptions& options = {}) const {
        if (!towers_.image_config()) fail("an image encoder");
        return towers_.embed_pictures(preprocessor(), pictures, options);
    }

    // The same for what preprocessor() makes of pictures, each [1, image size, image size, 3].
    Array embed_pixels(const std::vector<Array>& pixels, const EmbedOptions& options = {}) const {
        if (!towers_.image_config()) fail("an image encoder");
        return towers_.embed_pixels(pixels, options);
    }

private:
    template <Engine E>
    friend Clip load_clip_on(const std::filesystem::path&, const ClipLoadOptions&);
    Clip() = default;

    [[noreturn]] void fail(const std::string& what) const {
        throw ConfigError("the model at '" + path_.string() + "' has no " +
                          what.substr(what.find(' ') + 1) + "; expected " + what);
    }

    std::filesystem::path path_;
    std::optional<ClipTokenizer> tokenizer_;
    std::optional<ClipPreprocessor> preprocessor_;
    double logit_scale_ = 100;
    std::vector<std::string> templates_;
    AnyClipTowers towers_;
};

namespace detail {

// One encoder, or both as one, of a folder with config.json and weights.
template <class Module, Engine E>
Module load_clip_module(const typename Module::Config& config, const std::filesystem::path& folder,
                        const ClipLoadOptions& options) {
    Module module(config);
    load_weights<E>(module, find_weights(folder, "model.safetensors", options.variant).path,
                    options.warn);
    return module;
}

// The preprocessor in a folder, or none. Versions of transformers from 5 on write its settings
// into processor_config.json, under image_processor.
inline std::optional<ClipPreprocessor> find_preprocessor(const std::filesystem::path& folder) {
    std::error_code ignored;
    if (const auto file = folder / "preprocessor_config.json";
        std::filesystem::exists(file, ignored))
        return ClipPreprocessor::from_file(file);
    const std::filesystem::path file = folder / "processor_config.json";
    if (!std::filesystem::exists(file, ignored)) return std::nullopt;
    const Json json = read_json(file);
    if (!json.is_object() || !json.contains(std::string("image_processor"))) return std::nullopt;
    return ClipPreprocessor(clip_preprocessor_config(value_at(json, "image_processor"),
                                                     file.string() + ", image_processor"));
}

inline std::optional<ClipTokenizer> find_tokenizer(const std::filesystem::path& folder) {
    std::error_code ignored;
    for (const char* file : {"vocab.json", "tokenizer.json", "bpe_simple_vocab_16e6.txt.gz"})
        if (std::filesystem::exists(folder / file, ignored))
            return ClipTokenizer::from_directory(folder);
    return std::nullopt;
}

// Throws ConfigError unless the parts were made for each other.
inline void check_clip_agreement(const AnyClipTowers& towers,
                                 const std::optional<ClipTokenizer>& tokenizer,
                                 const std::optional<ClipPreprocessor>& preprocessor,
                                 const std::filesystem::path& path) {
    const auto check = [&](bool fits, const std::string& a, std::int64_t value_a,
                           const std::string& b, std::int64_t value_b) {
        if (!fits)
            throw ConfigError("the parts of '" + path.string() + "' do not fit together: " + a +
                              " is " + std::to_string(value_a) + " and " + b + " is " +
                              std::to_string(value_b));
    };
    const ClipTextConfig* text = towers.text_config();
    const ClipImageConfig* image = towers.image_config();
    if (text && tokenizer) {
        check(tokenizer->max_length() <= text->max_position_embeddings,
              "the tokenizer's model_max_length", tokenizer->max_length(),
              "max_position_embeddings", text->max_position_embeddings);
        check(tokenizer->vocabulary_size() <= text->vocab_size, "the size of the tokenizer",
              tokenizer->vocabulary_size(), "vocab_size", text->vocab_size);
    }
    if (text && image) {
        const std::int64_t a = text->projection_dim, b = image->projection_dim;
        check(a == b, "the text encoder's projection_dim", a, "the image encoder's", b);
    }
    if (image) {
        check(image->num_channels == 3, "num_channels", image->num_channels,
              "the number of a picture's colours", 3);
        if (preprocessor && preprocessor->config().do_center_crop)
            for (const std::int64_t side :
                 {preprocessor->config().crop_height, preprocessor->config().crop_width})
                check(side == image->image_size, "the preprocessor's crop_size", side, "image_size",
                      image->image_size);
    }
}

}  // namespace detail

// Loads onto engine E what `path` holds: a CLIPModel, CLIPTextModelWithProjection or
// CLIPVisionModelWithProjection as transformers saves it, with tokenizer and preprocessor beside
// it; or the components of an UnCLIP pipeline. `path` may be a name in the hub's cache. Throws
// IoError for what is missing, FormatError for damaged files, ConfigError for what is not supported
// or does not fit together.
template <Engine E>
Clip load_clip_on(const std::filesystem::path& path, const ClipLoadOptions& options) {
    Clip clip;
    clip.path_ = resolve_model_path(path);
    const ZeroShotConfig zero_shot = load_zero_shot_config(clip.path_);
    clip.templates_ = zero_shot.templates;
    clip.logit_scale_ = zero_shot.logit_scale;
    ClipTowers<E> towers;
    const auto load_text = [&](const std::filesystem::path& folder) {
        towers.text_encoder = detail::load_clip_module<ClipTextEncoder<E>, E>(
            clip_text_config(ConfigReader::from_file(folder / "config.json")), folder, options);
    };
    const auto load_image = [&](const std::filesystem::path& folder) {
        towers.image_encoder = detail::load_clip_module<ClipImageEncoder<E>, E>(
            clip_image_config(ConfigReader::from_file(folder / "config.json")), folder, options);
    };
    std::error_code ignored;
    const std::filesystem::path config = clip.path_ / "config.json";
    if (std::filesystem::exists(clip.path_ / "model_index.json", ignored)) {
        const ModelDirectory directory(clip.path_, options.variant);
        load_text(directory.folder("text_encoder"));
        clip.tokenizer_ = ClipTokenizer::from_directory(directory.folder("tokenizer"));
        if (directory.has("image_encoder")) load_image(directory.folder("image_encoder"));
        if (directory.has("feature_extractor"))
            clip.preprocessor_ = detail::find_preprocessor(directory.folder("feature_extractor"));
    } else if (std::filesystem::exists(config, ignored)) {
        clip.tokenizer_ = detail::find_tokenizer(clip.path_);
        clip.preprocessor_ = detail::find_preprocessor(clip.path_);
        const std::string kind = ConfigReader::from_file(config).get_one_of(
            "model_type", {"clip", "clip_text_model", "clip_vision_model"});
        if (kind == "clip_text_model") {
            load_text(clip.path_);
        } else if (kind == "clip_vision_model") {
            load_image(clip.path_);
        } else {
            auto both = detail::load_clip_module<ClipModel<E>, E>(
                clip_config(ConfigReader::from_file(config)), clip.path_, options);
            clip.logit_scale_ = std::exp(static_cast<double>(E::store(both.logit_scale).data()[0]));
            towers.text_encoder = std::move(both.text_encoder);
            towers.image_encoder = std::move(both.image_encoder);
        }
    } else {
        throw IoError("no CLIP at '" + path.string() +
                      "': expected a folder with config.json, or with model_index.json");
    }
    clip.towers_ = {std::move(towers), kind_of_engine<E>};
    detail::check_clip_agreement(clip.towers_, clip.tokenizer_, clip.preprocessor_, clip.path_);
    return clip;
}

// The same on the engine that the options name. Throws ConfigError when it is not among `Engines`.
template <class Engines = FastEngines>
Clip load_clip(const std::filesystem::path& path, const ClipLoadOptions& options = {}) {
    return on_engine<Engines>(options.engine, [&]<Engine E>(std::type_identity<E>) {
        return load_clip_on<E>(path, options);
    });
}

// See load.
#ifdef DALLE2_SEPARATE_PIPELINES
extern template Clip load_clip<FastEngines>(const std::filesystem::path&, const ClipLoadOptions&);
extern template Clip load_clip<AllEngines>(const std::filesystem::path&, const ClipLoadOptions&);
#endif

}  // namespace dalle2
