// All settings of a model directory, read and compared with each other before any weights are.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/generate_options.hpp>

namespace dalle2 {

// The defaults in a model directory's generation_config.json, those of the public pipelines where
// there is none. Throws FormatError, ConfigError.
inline GenerationDefaults load_generation_defaults(const std::filesystem::path& model) {
    GenerationDefaults d;
    const std::filesystem::path path = model / "generation_config.json";
    if (!std::filesystem::exists(path)) return d;
    ConfigReader reader = ConfigReader::from_file(path);
    d.prior_steps = reader.get_or("prior_steps", d.prior_steps, 1, 1000);
    d.decoder_steps = reader.get_or("decoder_steps", d.decoder_steps, 1, 1000);
    d.super_resolution_steps =
        reader.get_or("super_resolution_steps", d.super_resolution_steps, 1, 1000);
    d.prior_guidance_scale =
        reader.get_or("prior_guidance_scale", d.prior_guidance_scale, -1000, 1000);
    d.decoder_guidance_scale =
        reader.get_or("decoder_guidance_scale", d.decoder_guidance_scale, -1000, 1000);
    reader.finish();
    return d;
}

inline void save_generation_defaults(const std::filesystem::path& model,
                                     const GenerationDefaults& d) {
    OrderedJson json;
    put(json, "prior_steps", d.prior_steps);
    put(json, "decoder_steps", d.decoder_steps);
    put(json, "super_resolution_steps", d.super_resolution_steps);
    put(json, "prior_guidance_scale", d.prior_guidance_scale);
    put(json, "decoder_guidance_scale", d.decoder_guidance_scale);
    write_json(model / "generation_config.json", json);
}

struct ModelConfigs {
    ClipTextConfig text_encoder;
    std::optional<PriorConfig> prior;              // for text to image
    std::optional<ClipImageConfig> image_encoder;  // for variations of a picture
    TextProjectionConfig text_proj;
    UNetConfig decoder, super_res_first;
    std::optional<UNetConfig> super_res_last;
    std::optional<NoiseScheduleConfig> prior_scheduler;
    NoiseScheduleConfig decoder_scheduler, super_res_scheduler;
    GenerationDefaults defaults;
};

namespace detail {

// Throws ConfigError unless two components agree about a size.
class AgreementCheck {
public:
    explicit AgreementCheck(std::string model) : model_(std::move(model)) {}

    void operator()(const std::string& a, std::int64_t value_a, const std::string& b,
                    std::int64_t value_b) const {
        if (value_a != value_b)
            fail(a + " is " + std::to_string(value_a) + " and " + b + " is " +
                 std::to_string(value_b) + "; expected the same");
    }
    // A network with a learned variance predicts twice as many channels as a picture has.
    void channels(const std::string& component, const UNetConfig& unet,
                  const NoiseScheduleConfig& schedule) const {
        const bool learned = schedule.variance_type == VarianceType::learned_range;
        if (unet.out_channels != 6 && (learned || unet.out_channels != 3))
            fail(component + "/out_channels is " + std::to_string(unet.out_channels) +
                 "; expected " +
                 (learned ? "6, because its schedule has a learned variance" : "3 or 6"));
    }
    [[noreturn]] void fail(const std::string& what) const {
        throw ConfigError("the components of " + model_ + " do not fit together: " + what);
    }

private:
    std::string model_;
};

inline void check_upsampler(const AgreementCheck& check, const std::string& component,
                            const UNetConfig& c, const ModelConfigs& all) {
    check(component + "/in_channels", c.in_channels, "twice the channels of a picture", 6);
    check(component + "/sample_size", c.sample_size, "super_res_first/sample_size",
          all.super_res_first.sample_size);
    check.channels(component, c, all.super_res_scheduler);
}

}  // namespace detail

// Throws ConfigError, naming both sizes, where components do not fit together.
inline void check_agreement(const ModelConfigs& c, const std::string& model) {
    const detail::AgreementCheck check(model);
    const std::string embedding = "text_encoder/projection_dim";
    const std::int64_t width = c.text_encoder.projection_dim;
    check(embedding, width, "text_encoder/hidden_size", c.text_encoder.encoder.hidden_size);
    if (c.prior) check(embedding, width, "prior/embedding_dim", c.prior->embedding_dim);
    if (c.image_encoder)
        check(embedding, width, "image_encoder/projection_dim", c.image_encoder->projection_dim);
    check(embedding, width, "text_proj/clip_embeddings_dim", c.text_proj.clip_embeddings_dim);
    check("text_proj/time_embed_dim", c.text_proj.time_embed_dim,
          c.decoder.added_time == AddedTime::identity
              ? "decoder/time_embedding_dim, which without that key is four times the first of "
                "block_out_channels"
              : "decoder/projection_class_embeddings_input_dim",
          added_time_width(c.decoder));
    check("text_proj/cross_attention_dim", c.text_proj.cross_attention_dim,
          "decoder/cross_attention_dim", c.decoder.context_width);
    check("decoder/in_channels", c.decoder.in_channels, "the number of channels of a picture", 3);
    check.channels("decoder", c.decoder, c.decoder_scheduler);
    detail::check_upsampler(check, "super_res_first", c.super_res_first, c);
    if (c.super_res_last) detail::check_upsampler(check, "super_res_last", *c.super_res_last, c);
}

// Throws IoError, FormatError, ConfigError.
inline ModelConfigs load_model_configs(const ModelDirectory& directory) {
    ModelConfigs c;
    c.text_encoder = load_config<ClipTextConfig>(directory, "text_encoder");
    if (directory.has("prior")) {
        c.prior = load_config<PriorConfig>(directory, "prior");
        c.prior_scheduler = load_schedule_config(directory, "prior_scheduler");
    }
    if (directory.has("image_encoder"))
        c.image_encoder = load_config<ClipImageConfig>(directory, "image_encoder");
    c.text_proj = load_config<TextProjectionConfig>(directory, "text_proj");
    c.decoder = load_config<UNetConfig>(directory, "decoder");
    c.super_res_first = load_config<UNetConfig>(directory, "super_res_first");
    if (directory.has("super_res_last"))
        c.super_res_last = load_config<UNetConfig>(directory, "super_res_last");
    c.decoder_scheduler = load_schedule_config(directory, "decoder_scheduler");
    c.super_res_scheduler = load_schedule_config(directory, "super_res_scheduler");
    c.defaults = load_generation_defaults(directory.path());
    check_agreement(c, "'" + directory.path().string() + "'");
    return c;
}

// Throws ConfigError unless the models were made for this tokenizer.
inline void check_tokenizer(const ClipTokenizer& tokenizer, const ModelConfigs& c,
                            const std::string& model) {
    const detail::AgreementCheck check(model);
    if (c.prior)
        check("tokenizer/model_max_length", tokenizer.max_length(), "prior/num_embeddings",
              c.prior->num_embeddings);
    if (tokenizer.max_length() > c.text_encoder.max_position_embeddings)
        check.fail("tokenizer/model_max_length is " + std::to_string(tokenizer.max_length()) +
                   "; expected at most text_encoder/max_position_embeddings, " +
                   std::to_string(c.text_encoder.max_position_embeddings));
    if (tokenizer.vocabulary_size() > c.text_encoder.vocab_size)
        check.fail("the tokenizer has " + std::to_string(tokenizer.vocabulary_size()) +
                   " tokens; expected at most text_encoder/vocab_size, " +
                   std::to_string(c.text_encoder.vocab_size));
}

}  // namespace dalle2
