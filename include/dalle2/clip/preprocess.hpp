// From a picture to what CLIP's image encoder reads: resized, cropped, normalised, as the
// preprocessor_config.json of transformers' CLIPImageProcessor says.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <dalle2/core/array.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/config.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/resize_picture.hpp>

namespace dalle2 {

// The mean and deviation of the pictures that the public models learned from (openai/CLIP,
// clip/clip.py).
inline constexpr std::array<float, 3> clip_image_mean{0.48145466f, 0.4578275f, 0.40821073f};
inline constexpr std::array<float, 3> clip_image_std{0.26862954f, 0.26130258f, 0.27577711f};

struct ClipPreprocessorConfig {
    bool do_resize = true, do_center_crop = true, do_rescale = true, do_normalize = true;
    // The shorter side becomes this long; 0: both sides become as `height` and `width` say.
    std::int64_t shortest_edge = 224, height = 0, width = 0;
    Resampling resample = Resampling::bicubic;
    std::int64_t crop_height = 224, crop_width = 224;
    double rescale_factor = 1.0 / 255;
    std::array<float, 3> image_mean = clip_image_mean, image_std = clip_image_std;
};

namespace detail {

// A size of the old feature extractors (a number, or [height, width]) as the object of today.
inline Json size_object(const Json& size, bool number_is_square) {
    const std::string height = "height", width = "width", shortest_edge = "shortest_edge";
    Json object = Json::object();
    if (size.is_number() && number_is_square) {
        object[height] = object[width] = size;
    } else if (size.is_number()) {
        object[shortest_edge] = size;
    } else if (size.is_array() && size.size() == 2) {
        object[height] = size[0];
        object[width] = size[1];
    } else {
        return size;
    }
    return object;
}

// As of the image encoder's own pictures.
inline constexpr double largest_encoder_side = 4096;

inline std::pair<std::int64_t, std::int64_t> height_and_width(ConfigReader& reader) {
    return {reader.get<std::int64_t>("height", 1, largest_encoder_side),
            reader.get<std::int64_t>("width", 1, largest_encoder_side)};
}

inline std::array<float, 3> color_triple(ConfigReader& reader, const std::string& key,
                                         const std::array<float, 3>& otherwise, double smallest) {
    if (!reader.contains(key)) {
        reader.ignore({key.c_str()});
        return otherwise;
    }
    const auto values = reader.get<std::vector<double>>(key, smallest, 1e6);
    if (values.size() != 3) reader.refuse(key, "expected three numbers, for red, green and blue");
    return {static_cast<float>(values[0]), static_cast<float>(values[1]),
            static_cast<float>(values[2])};
}

}  // namespace detail

// Absent keys have transformers' defaults. Throws ConfigError for what is out of range or not
// supported. do_convert_rgb may be what it likes: a Picture has these colours already.
inline ClipPreprocessorConfig clip_preprocessor_config(Json json, const std::string& where) {
    ClipPreprocessorConfig c;
    if (json.is_object()) {
        for (const char* key : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"})
            if (json.contains(key) && json[key].is_null()) json[key] = false;  // as in Python
        for (const char* key : {"size", "crop_size"})
            if (json.contains(key))
                json[key] = detail::size_object(json[key], std::string(key) == "crop_size");
    }
    ConfigReader reader(std::move(json), where);
    for (const char* key : {"image_processor_type", "feature_extractor_type"})
        reader.expect(key,
                      {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor"});
    reader.expect("data_format", {"channels_first", nullptr});
    reader.ignore({"processor_class", "do_convert_rgb"});
    c.do_resize = reader.get_or("do_resize", true);
    c.do_center_crop = reader.get_or("do_center_crop", true);
    c.do_rescale = reader.get_or("do_rescale", true);
    c.do_normalize = reader.get_or("do_normalize", true);
    reader.ignore({"size", "crop_size"});
    if (reader.contains("size")) {
        ConfigReader size = reader.child("size");
        if (size.contains("shortest_edge")) {
            c.shortest_edge =
                size.get<std::int64_t>("shortest_edge", 1, detail::largest_encoder_side);
            size.ignore({"longest_edge"});  // as the reference
        } else {
            c.shortest_edge = 0;
            std::tie(c.height, c.width) = detail::height_and_width(size);
        }
        size.finish();
    }
    if (reader.contains("crop_size")) {
        ConfigReader size = reader.child("crop_size");
        std::tie(c.crop_height, c.crop_width) = detail::height_and_width(size);
        size.finish();
    }
    c.resample = static_cast<Resampling>(reader.get_or<std::int64_t>("resample", 3, 0, 5));
    c.rescale_factor = reader.get_or("rescale_factor", c.rescale_factor, -1e6, 1e6);
    c.image_mean = detail::color_triple(reader, "image_mean", c.image_mean, -1e6);
    c.image_std = detail::color_triple(reader, "image_std", c.image_std, 1e-6);
    reader.finish();
    return c;
}

class ClipPreprocessor {
public:
    // `order` says which Pillow to be equal to; they differ for pictures much higher than wide.
    explicit ClipPreprocessor(ClipPreprocessorConfig config = {},
                              PassOrder order = PassOrder::pillow_13)
        : config_(std::move(config)), order_(order) {
        for (std::size_t channel = 0; channel < 3; ++channel)
            for (std::size_t level = 0; level < 256; ++level)
                values_[channel][level] = value(channel, static_cast<double>(level));
    }

    // Reads a preprocessor_config.json. Throws IoError, FormatError, ConfigError.
    static ClipPreprocessor from_file(const std::filesystem::path& path) {
        return ClipPreprocessor(clip_preprocessor_config(read_json(path), path.string()));
    }

    const ClipPreprocessorConfig& config() const { return config_; }

    // The picture → [1, height, width, 3], the reference's pixel_values with channels last. (The
    // reference takes a picture 1 or 3 pixels high for one that has its channels first unless it is
    // told otherwise; this does not.) Throws ShapeError for a picture without pixels or so narrow
    // that more than 65535 pixels would come out on a side.
    Array operator()(const Picture& picture) const {
        const Picture shown = cropped(picture);
        Array result = make_array({1, shown.height, shown.width, 3});
        float* out = result.data();
        for (std::size_t i = 0; i < shown.rgb.size(); ++i) out[i] = values_[i % 3][shown.rgb[i]];
        return result;
    }

    // Resized and cropped only.
    Picture cropped(const Picture& picture) const {
        if (picture.width < 1 || picture.height < 1)
            throw ShapeError("a picture of " + std::to_string(picture.width) + "×" +
                             std::to_string(picture.height) +
                             " pixels; expected at least 1 on both sides");
        const auto [width, height] = resized_size(picture);
        if (!config_.do_center_crop) return part(picture, width, height, {0, 0, width, height});
        const Span rows = crop_span(height, config_.crop_height);
        const Span columns = crop_span(width, config_.crop_width);
        const Picture middle =
            part(picture, width, height, {columns.from, rows.from, columns.count, rows.count});
        if (rows.count == config_.crop_height && columns.count == config_.crop_width) return middle;
        Picture framed = make_picture(static_cast<int>(config_.crop_width),
                                      static_cast<int>(config_.crop_height));
        for (int y = 0; y < middle.height; ++y)
            std::copy_n(middle.pixel(0, y), 3 * middle.width,
                        framed.pixel(static_cast<int>(columns.to), static_cast<int>(rows.to) + y));
        return framed;
    }

private:
    // `count` pixels that stand at `from` in the resized picture and at `to` in the crop.
    struct Span {
        std::int64_t from, to, count;
    };

    // transformers' center_crop: of an odd rest the smaller half lies before the crop; of the black
    // that fills up a smaller picture the larger half lies before the picture.
    static Span crop_span(std::int64_t size, std::int64_t crop) {
        if (size >= crop) return {(size - crop) / 2, 0, crop};
        return {0, (crop - size + 1) / 2, size};
    }

    // Width and height after resizing; a side that is not given is cut, not rounded.
    std::pair<std::int64_t, std::int64_t> resized_size(const Picture& picture) const {
        if (!config_.do_resize) return {picture.width, picture.height};
        if (config_.shortest_edge == 0) return {config_.width, config_.height};
        const std::int64_t edge = config_.shortest_edge;
        const std::int64_t shorter = std::min(picture.width, picture.height);
        const auto longer = static_cast<std::int64_t>(
            static_cast<double>(edge * std::max(picture.width, picture.height)) /
            static_cast<double>(shorter));
        if (picture.width <= picture.height) return {edge, longer};
        return {longer, edge};
    }

    Picture part(const Picture& picture, std::int64_t width, std::int64_t height,
                 const PictureRegion& region) const {
        return resize_picture(picture, width, height, config_.resample, region, order_);
    }

    // In the reference's precisions: rescaling in double, normalising in float.
    float value(std::size_t channel, double level) const {
        const float scaled =
            static_cast<float>(config_.do_rescale ? level * config_.rescale_factor : level);
        if (!config_.do_normalize) return scaled;
        return (scaled - config_.image_mean[channel]) / config_.image_std[channel];
    }

    ClipPreprocessorConfig config_;
    PassOrder order_;
    std::array<std::array<float, 256>, 3> values_;
};

}  // namespace dalle2
