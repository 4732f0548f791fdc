// The config.json of the decoder's and the upsampler's parts, as diffusers' UnCLIPTextProjModel,
// UNet2DConditionModel and UNet2DModel write and read them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/io/config.hpp>

namespace dalle2 {

// Throws ConfigError for what is missing, out of range or not supported.
inline TextProjectionConfig text_projection_config(ConfigReader reader) {
    TextProjectionConfig c{};
    reader.expect("_class_name", {"UnCLIPTextProjModel"});
    c.clip_embeddings_dim = reader.get_or<std::int64_t>("clip_embeddings_dim", 768, 1, 65536);
    c.time_embed_dim = reader.get<std::int64_t>("time_embed_dim", 1, 1 << 20);
    c.cross_attention_dim = reader.get<std::int64_t>("cross_attention_dim", 1, 65536);
    c.clip_extra_context_tokens =
        reader.get_or<std::int64_t>("clip_extra_context_tokens", 4, 1, 1024);
    reader.finish();
    return c;
}

inline OrderedJson to_json(const TextProjectionConfig& c) {
    OrderedJson json;
    put(json, "_class_name", "UnCLIPTextProjModel");
    put(json, "_diffusers_version", "0.14.0");
    put(json, "clip_embeddings_dim", c.clip_embeddings_dim);
    put(json, "clip_extra_context_tokens", c.clip_extra_context_tokens);
    put(json, "cross_attention_dim", c.cross_attention_dim);
    put(json, "time_embed_dim", c.time_embed_dim);
    return json;
}

namespace detail {

inline constexpr const char* plain_down = "ResnetDownsampleBlock2D";
inline constexpr const char* plain_up = "ResnetUpsampleBlock2D";
inline constexpr const char* attention_down = "SimpleCrossAttnDownBlock2D";
inline constexpr const char* attention_up = "SimpleCrossAttnUpBlock2D";

// One for each level: a list, or one number for all of them.
inline std::vector<std::int64_t> read_per_level(ConfigReader& reader, const std::string& key,
                                                std::size_t levels, std::int64_t otherwise) {
    std::vector<std::int64_t> list;
    try {
        list.assign(levels, reader.get_or<std::int64_t>(key, otherwise, 1, 65536));
    } catch (const ConfigError&) {
        try {
            list = reader.get<std::vector<std::int64_t>>(key, 1, 65536);
        } catch (const ConfigError&) {
        }
    }
    if (list.size() != levels)
        reader.refuse(key,
                      "expected a whole number from 1 to 65536, or a list of one for each of the " +
                          std::to_string(levels) + " levels");
    return list;
}

// Whether each level's blocks have attention, in the order of the file.
inline std::vector<bool> read_block_types(ConfigReader& reader, const std::string& key,
                                          std::size_t levels, const std::string& plain,
                                          const std::string& attention) {
    std::vector<bool> has_attention;
    for (const std::string& type : reader.get<std::vector<std::string>>(key)) {
        if (type != plain && (type != attention || attention.empty()))
            reader.refuse(key, "supported: \"" + plain + "\"" +
                                   (attention.empty() ? "" : " and \"" + attention + "\""));
        has_attention.push_back(type == attention);
    }
    if (has_attention.size() != levels)
        reader.refuse(key, "expected one for each of the " + std::to_string(levels) + " levels");
    return has_attention;
}

inline void read_levels(ConfigReader& reader, UNetConfig& c, bool conditional) {
    const auto channels = reader.get<std::vector<std::int64_t>>("block_out_channels", 1, 65536);
    const std::size_t count = channels.size();
    if (count < 1 || count > 12) reader.refuse("block_out_channels", "expected 1 to 12 levels");
    const auto down = read_block_types(reader, "down_block_types", count, plain_down,
                                       conditional ? attention_down : "");
    const auto up = read_block_types(reader, "up_block_types", count, plain_up,
                                     conditional ? attention_up : "");
    // The reference's name for it; it means the width of one head.
    const auto head_widths = conditional ? read_per_level(reader, "attention_head_dim", count, 8)
                                         : std::vector<std::int64_t>(count, UNetLevel{}.head_width);
    c.norm_num_groups = reader.get_or<std::int64_t>("norm_num_groups", 32, 1, 65536);
    for (std::size_t i = 0; i < count; ++i) {
        UNetLevel level = {channels[i], down[i], up[count - 1 - i]};
        if (level.channels % c.norm_num_groups)
            reader.refuse("block_out_channels", "expected multiples of norm_num_groups, " +
                                                    std::to_string(c.norm_num_groups));
        const bool attends_down = level.down_attention || (c.mid_attention && i + 1 == count);
        // The reference reads a list of head widths from its beginning on the way up too, where
        // the levels come in the opposite order.
        const std::int64_t down_width = head_widths[i], up_width = head_widths[count - 1 - i];
        if (attends_down && level.up_attention && down_width != up_width)
            reader.refuse("attention_head_dim", "supported: the same width on the way down and up");
        level.head_width = attends_down || !level.up_attention ? down_width : up_width;
        if ((attends_down || level.up_attention) && level.channels % level.head_width)
            reader.refuse("attention_head_dim", "expected a divisor of the level's channels, " +
                                                    std::to_string(level.channels));
        c.levels.push_back(level);
    }
}

// The head widths as the reference reads them: a number, or a list where levels differ. Throws
// ConfigError where the reference has no way to say it.
inline OrderedJson head_widths_to_json(const UNetConfig& c) {
    const std::size_t count = c.levels.size();
    std::vector<std::int64_t> list(count, 0);
    std::int64_t some = UNetLevel{}.head_width;
    const auto set = [&](std::size_t place, std::int64_t width) {
        if (list[place] && list[place] != width)
            throw ConfigError("a UNet with attention heads " + std::to_string(list[place]) +
                              " and " + std::to_string(width) +
                              " wide cannot be written: diffusers has no config for it");
        list[place] = some = width;
    };
    for (std::size_t i = 0; i < count; ++i) {
        const UNetLevel& level = c.levels[i];
        if (level.down_attention || (c.mid_attention && i + 1 == count)) set(i, level.head_width);
        if (level.up_attention) set(count - 1 - i, level.head_width);
    }
    std::replace(list.begin(), list.end(), std::int64_t{0}, some);
    if (std::count(list.begin(), list.end(), some) == static_cast<std::ptrdiff_t>(count))
        return some;
    return list;
}

// What both classes have.
inline void read_unet_config(ConfigReader& reader, UNetConfig& c, bool conditional) {
    c.in_channels = reader.get<std::int64_t>("in_channels", 1, 1024);
    c.out_channels = reader.get<std::int64_t>("out_channels", 1, 1024);
    read_levels(reader, c, conditional);
    const std::int64_t multiple = std::int64_t{1} << (c.levels.size() - 1);
    c.sample_size = reader.get<std::int64_t>("sample_size", 1, 4096);
    if (c.sample_size % multiple)
        reader.refuse("sample_size", "expected a multiple of " + std::to_string(multiple) +
                                         ", because each level but the last halves it");
    c.layers_per_block = reader.get_or<std::int64_t>("layers_per_block", 2, 1, 100);
    c.norm_eps = reader.get_or("norm_eps", 1e-5, 1e-30, 1);
    reader.expect("resnet_time_scale_shift", {"default", "scale_shift"});
    c.conditioning =
        reader.get_or<std::string>("resnet_time_scale_shift", "default") == "scale_shift"
            ? TimeConditioning::scale_shift
            : TimeConditioning::add;
    c.sinusoid.flip_sin_to_cos = reader.get_or("flip_sin_to_cos", true);
    c.sinusoid.freq_shift = reader.get_or("freq_shift", 0.0, 0, 1);
    if (c.levels.front().channels < 4)
        reader.refuse("block_out_channels", "expected at least 4 channels");
    reader.expect("act_fn", {"silu", "swish"});
    reader.expect("center_input_sample", {false});
    reader.expect("time_embedding_type", {"positional"});
    c.time_width = reader.get_or<std::int64_t>("time_embedding_dim", 0, 1, 1 << 20);
    reader.expect("num_class_embeds", {nullptr});
    reader.expect("mid_block_scale_factor", {1});
    reader.expect("downsample_padding", {1});
    reader.ignore({"dropout"});  // acts in training alone
}

inline constexpr const char* identity_class = "identity";
inline constexpr const char* simple_projection_class = "simple_projection";
inline constexpr const char* projection_class = "projection";

// Keys of the conditional UNet beyond those, most with the one value that is supported.
inline void read_conditional_keys(ConfigReader& reader, UNetConfig& c) {
    const std::string added_time = reader.get_one_of(
        "class_embed_type", {identity_class, simple_projection_class, projection_class});
    if (added_time == identity_class) {
        reader.expect("projection_class_embeddings_input_dim", {nullptr});
    } else {
        c.added_time =
            added_time == projection_class ? AddedTime::projection : AddedTime::simple_projection;
        c.added_time_width =
            reader.get<std::int64_t>("projection_class_embeddings_input_dim", 1, 1 << 20);
    }
    for (const char* key : {"only_cross_attention", "dual_cross_attention", "use_linear_projection",
                            "upcast_attention", "resnet_skip_time_act", "class_embeddings_concat"})
        reader.expect(key, {false});
    for (const char* key :
         {"num_attention_heads", "encoder_hid_dim", "encoder_hid_dim_type", "addition_embed_type",
          "addition_time_embed_dim", "time_embedding_act_fn", "timestep_post_act",
          "time_cond_proj_dim", "cross_attention_norm"})
        reader.expect(key, {nullptr});
    reader.expect("mid_block_only_cross_attention", {nullptr, false});
    reader.expect("resnet_out_scale_factor", {1});
    reader.expect("conv_in_kernel", {3});
    reader.expect("conv_out_kernel", {3});
    reader.expect("attention_type", {"default"});
    // They belong to other kinds of blocks.
    reader.ignore({"transformer_layers_per_block", "reverse_transformer_layers_per_block",
                   "addition_embed_type_num_heads"});
}

}  // namespace detail

// A decoder's UNet (UNet2DConditionModel; it has a context) or an upsampler's (UNet2DModel), as the
// file says. Throws ConfigError for what is missing, out of range or not supported.
inline UNetConfig unet_config(ConfigReader reader) {
    UNetConfig c{};
    const std::string name =
        reader.contains("_class_name")
            ? reader.get_one_of("_class_name", {"UNet2DConditionModel", "UNet2DModel"})
            : std::string(reader.contains("cross_attention_dim") ? "UNet2DConditionModel"
                                                                 : "UNet2DModel");
    const bool conditional = name == "UNet2DConditionModel";
    if (conditional) {
        c.context_width = reader.get<std::int64_t>("cross_attention_dim", 1, 65536);
        reader.get_one_of("mid_block_type", {"UNetMidBlock2DSimpleCrossAttn"});
        c.mid_attention = true;
        detail::read_conditional_keys(reader, c);
    } else {
        // The reference's default is attention, which public upsamplers do not have.
        if (reader.get<bool>("add_attention")) reader.refuse("add_attention", "supported: false");
        reader.expect("mid_block_type", {"UNetMidBlock2D"});
        reader.expect("class_embed_type", {nullptr});
        // Without attention, and in this kind of blocks, they have no meaning.
        reader.ignore({"attention_head_dim", "attn_norm_num_groups", "downsample_type",
                       "upsample_type", "num_train_timesteps"});
    }
    detail::read_unet_config(reader, c, conditional);
    reader.finish();
    return c;
}

// As UNet2DConditionModel if the UNet has a context, else as UNet2DModel. Throws ConfigError for
// head widths that neither can express.
inline OrderedJson to_json(const UNetConfig& c) {
    const bool conditional = c.context_width > 0;
    std::vector<std::int64_t> channels;
    std::vector<std::string> down, up;
    for (const UNetLevel& level : c.levels) {
        channels.push_back(level.channels);
        down.push_back(level.down_attention ? detail::attention_down : detail::plain_down);
        up.insert(up.begin(), level.up_attention ? detail::attention_up : detail::plain_up);
    }
    OrderedJson json;
    put(json, "_class_name", conditional ? "UNet2DConditionModel" : "UNet2DModel");
    put(json, "_diffusers_version", "0.14.0");
    put(json, "act_fn", "silu");
    if (conditional) {
        put(json, "attention_head_dim", detail::head_widths_to_json(c));
        put(json, "class_embed_type",
            c.added_time == AddedTime::identity     ? detail::identity_class
            : c.added_time == AddedTime::projection ? detail::projection_class
                                                    : detail::simple_projection_class);
        if (c.added_time != AddedTime::identity)
            put(json, "projection_class_embeddings_input_dim", added_time_width(c));
        put(json, "cross_attention_dim", c.context_width);
        put(json, "mid_block_type", "UNetMidBlock2DSimpleCrossAttn");
    } else {
        put(json, "add_attention", false);
    }
    put(json, "block_out_channels", channels);
    put(json, "down_block_types", down);
    put(json, "flip_sin_to_cos", c.sinusoid.flip_sin_to_cos);
    // An integer, as the reference's annotation says.
    put(json, "freq_shift", static_cast<std::int64_t>(c.sinusoid.freq_shift));
    put(json, "in_channels", c.in_channels);
    put(json, "layers_per_block", c.layers_per_block);
    put(json, "norm_eps", c.norm_eps);
    put(json, "norm_num_groups", c.norm_num_groups);
    put(json, "out_channels", c.out_channels);
    put(json, "resnet_time_scale_shift",
        c.conditioning == TimeConditioning::scale_shift ? "scale_shift" : "default");
    put(json, "sample_size", c.sample_size);
    if (c.time_width > 0) put(json, "time_embedding_dim", c.time_width);
    put(json, "up_block_types", up);
    return json;
}

}  // namespace dalle2
