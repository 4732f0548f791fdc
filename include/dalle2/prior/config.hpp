// The config.json of the diffusion prior, as diffusers' PriorTransformer writes and reads it.
#pragma once

#include <dalle2/io/config.hpp>
#include <dalle2/prior/prior_transformer.hpp>

namespace dalle2 {

// Absent keys have the reference's defaults where those are what is supported. Throws ConfigError
// for what is missing, out of range or not supported.
inline PriorConfig prior_config(ConfigReader reader) {
    PriorConfig c{};
    reader.expect("_class_name", {"PriorTransformer"});
    c.embedding_dim = reader.get<std::int64_t>("embedding_dim", 1, 65536);
    c.num_attention_heads = reader.get<std::int64_t>("num_attention_heads", 1, 1024);
    c.attention_head_dim = reader.get<std::int64_t>("attention_head_dim", 1, 1024);
    c.num_layers = reader.get<std::int64_t>("num_layers", 1, 1000);
    c.num_embeddings = reader.get_or<std::int64_t>("num_embeddings", 77, 1, 1 << 20);
    const std::int64_t width = c.num_attention_heads * c.attention_head_dim;
    reader.expect("additional_embeddings", {4});  // text, time, noisy embedding, query
    reader.expect("time_embed_act_fn", {"silu"});
    reader.expect("norm_in_type", {nullptr});
    reader.expect("embedding_proj_norm_type", {nullptr});
    reader.expect("encoder_hid_proj_type", {"linear"});
    reader.expect("added_emb_type", {"prd"});
    reader.expect("time_embed_dim", {nullptr, width});
    reader.expect("embedding_proj_dim", {nullptr, c.embedding_dim});
    reader.expect("clip_embed_dim", {nullptr, c.embedding_dim});
    reader.ignore({"dropout"});  // acts in training alone
    reader.finish();
    return c;
}

inline OrderedJson to_json(const PriorConfig& c) {
    OrderedJson json;
    put(json, "_class_name", "PriorTransformer");
    put(json, "_diffusers_version", "0.14.0");
    put(json, "additional_embeddings", c.additional_embeddings);
    put(json, "attention_head_dim", c.attention_head_dim);
    put(json, "dropout", 0.0);
    put(json, "embedding_dim", c.embedding_dim);
    put(json, "num_attention_heads", c.num_attention_heads);
    put(json, "num_embeddings", c.num_embeddings);
    put(json, "num_layers", c.num_layers);
    return json;
}

}  // namespace dalle2
