// The config.json of CLIP and of its two encoders, as transformers writes and reads them. Absent
// keys have transformers' defaults, which are those of ViT-B/32: a public file often states only
// what differs from them.
#pragma once

#include <string>
#include <utility>

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/model.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/io/config.hpp>

namespace dalle2 {

namespace detail {

// Keys of transformers that concern training, text generation or other models.
inline void ignore_transformers_keys(ConfigReader& reader) {
    reader.ignore({"architectures",
                   "torch_dtype",
                   "dtype",
                   "transformers_version",
                   "initializer_range",
                   "initializer_factor",
                   "attention_dropout",
                   "dropout",
                   "bos_token_id",
                   "pad_token_id",
                   "sep_token_id",
                   "gradient_checkpointing",
                   "return_dict",
                   "use_cache",
                   "tie_word_embeddings",
                   "pruned_heads",
                   "chunk_size_feed_forward",
                   "max_length",
                   "min_length",
                   "num_beams",
                   "num_beam_groups",
                   "diversity_penalty",
                   "temperature",
                   "top_k",
                   "top_p",
                   "typical_p",
                   "repetition_penalty",
                   "length_penalty",
                   "no_repeat_ngram_size",
                   "encoder_no_repeat_ngram_size",
                   "num_return_sequences",
                   "id2label",
                   "label2id",
                   "output_attentions",
                   "output_hidden_states"});
}

// `c` holds the defaults.
inline void read_config(ConfigReader& reader, ClipEncoderConfig& c) {
    c.hidden_size = reader.get_or("hidden_size", c.hidden_size, 1, 65536);
    c.intermediate_size = reader.get_or("intermediate_size", c.intermediate_size, 1, 1 << 20);
    c.num_attention_heads = reader.get_or("num_attention_heads", c.num_attention_heads);
    c.num_hidden_layers = reader.get_or("num_hidden_layers", c.num_hidden_layers, 1, 1000);
    c.layer_norm_eps = reader.get_or("layer_norm_eps", 1e-5, 1e-30, 1);
    c.hidden_act = activation_from_name(reader.get_or<std::string>("hidden_act", "quick_gelu"),
                                        reader.where() + ", key hidden_act");
    if (c.hidden_size % c.num_attention_heads)
        reader.refuse("num_attention_heads",
                      "expected a divisor of hidden_size, " + std::to_string(c.hidden_size));
    ignore_transformers_keys(reader);
}

inline void add_to_json(OrderedJson& json, const ClipEncoderConfig& c) {
    const char* activation = c.hidden_act == Activation::gelu   ? "gelu"
                             : c.hidden_act == Activation::silu ? "silu"
                                                                : "quick_gelu";
    put(json, "attention_dropout", 0.0);
    put(json, "hidden_act", activation);
    put(json, "hidden_size", c.hidden_size);
    put(json, "intermediate_size", c.intermediate_size);
    put(json, "layer_norm_eps", c.layer_norm_eps);
    put(json, "num_attention_heads", c.num_attention_heads);
    put(json, "num_hidden_layers", c.num_hidden_layers);
}

}  // namespace detail

// Throws ConfigError for what is out of range or not supported.
inline ClipTextConfig clip_text_config(ConfigReader reader) {
    ClipTextConfig c{.encoder = {.hidden_size = 512,
                                 .intermediate_size = 2048,
                                 .num_attention_heads = 8,
                                 .num_hidden_layers = 12},
                     .vocab_size = 49408,
                     .max_position_embeddings = 77,
                     .projection_dim = 512,
                     .eos_token_id = 49407};
    reader.expect("model_type", {"clip_text_model"});
    detail::read_config(reader, c.encoder);
    c.vocab_size = reader.get_or("vocab_size", c.vocab_size, 1, 1 << 24);
    c.max_position_embeddings =
        reader.get_or("max_position_embeddings", c.max_position_embeddings, 2, 1 << 20);
    c.projection_dim = reader.get_or("projection_dim", c.projection_dim, 1, 65536);
    c.eos_token_id = reader.get_or("eos_token_id", c.eos_token_id, 0, 1 << 24);
    reader.finish();
    return c;
}

inline OrderedJson to_json(const ClipTextConfig& c) {
    OrderedJson json;
    put(json, "architectures", std::vector<std::string>{"CLIPTextModelWithProjection"});
    put(json, "model_type", "clip_text_model");
    detail::add_to_json(json, c.encoder);
    put(json, "eos_token_id", c.eos_token_id);
    put(json, "max_position_embeddings", c.max_position_embeddings);
    put(json, "projection_dim", c.projection_dim);
    put(json, "vocab_size", c.vocab_size);
    return json;
}

// Throws ConfigError for what is out of range or not supported.
inline ClipImageConfig clip_image_config(ConfigReader reader) {
    ClipImageConfig c{.encoder = {.hidden_size = 768,
                                  .intermediate_size = 3072,
                                  .num_attention_heads = 12,
                                  .num_hidden_layers = 12},
                      .image_size = 224,
                      .patch_size = 32,
                      .projection_dim = 512};
    reader.expect("model_type", {"clip_vision_model"});
    detail::read_config(reader, c.encoder);
    c.image_size = reader.get_or("image_size", c.image_size, 1, 4096);
    c.patch_size = reader.get_or("patch_size", c.patch_size, 1, static_cast<double>(c.image_size));
    c.projection_dim = reader.get_or("projection_dim", c.projection_dim, 1, 65536);
    c.num_channels = reader.get_or("num_channels", c.num_channels, 1, 1024);
    reader.finish();
    return c;
}

inline OrderedJson to_json(const ClipImageConfig& c) {
    OrderedJson json;
    put(json, "architectures", std::vector<std::string>{"CLIPVisionModelWithProjection"});
    put(json, "model_type", "clip_vision_model");
    detail::add_to_json(json, c.encoder);
    put(json, "image_size", c.image_size);
    put(json, "num_channels", c.num_channels);
    put(json, "patch_size", c.patch_size);
    put(json, "projection_dim", c.projection_dim);
    return json;
}

namespace detail {

// The settings of one encoder inside those of both. Where the older key, such as text_config_dict,
// is there too, it is the one that counts: the reference fills what it lacks with defaults, and
// lays the result over the newer.
inline ConfigReader encoder_config_reader(ConfigReader& reader, const std::string& key) {
    reader.ignore({key.c_str(), (key + "_dict").c_str()});
    for (const std::string& name : {key + "_dict", key})
        if (reader.contains(name)) return reader.child(name);
    return ConfigReader(Json::object(), reader.where() + ", " + key);
}

}  // namespace detail

// Both encoders, out of the config.json of a CLIPModel. Throws ConfigError for what is out of range
// or not supported.
inline ClipConfig clip_config(ConfigReader reader) {
    reader.expect("model_type", {"clip"});
    ClipConfig c{clip_text_config(detail::encoder_config_reader(reader, "text_config")),
                 clip_image_config(detail::encoder_config_reader(reader, "vision_config"))};
    // The encoders' own projection_dim are those of the encoders alone.
    c.text.projection_dim = reader.get_or<std::int64_t>("projection_dim", 512, 1, 65536);
    c.image.projection_dim = c.text.projection_dim;
    reader.ignore({"logit_scale_init_value"});  // of training; the weights hold the value
    detail::ignore_transformers_keys(reader);
    reader.finish();
    return c;
}

inline OrderedJson to_json(const ClipConfig& c) {
    OrderedJson json;
    put(json, "architectures", std::vector<std::string>{"CLIPModel"});
    put(json, "model_type", "clip");
    put(json, "projection_dim", c.text.projection_dim);
    put(json, "text_config", to_json(c.text));
    put(json, "vision_config", to_json(c.image));
    return json;
}

}  // namespace dalle2
