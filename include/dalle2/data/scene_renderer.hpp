// Draws emoji scenes at 128, 64, 32 or 16 pixels, in microseconds.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/scene.hpp>
#include <dalle2/data/sprite.hpp>

namespace dalle2 {

// Where objects stand in the 128 by 128 picture: squares whose sides a sprite's longer side fills.
struct SceneGeometry {
    static constexpr int picture = 128;
    static constexpr int large = 112, large_margin = 8;  // one object, centred
    static constexpr int small = 56, small_margin = 4;   // each of two, centred in its half
    static constexpr int half = 64;

    // The left upper corner of an object's square at 128 pixels: (column, row).
    static std::pair<int, int> corner(SceneLayout layout, int object) {
        constexpr int middle = (picture - small) / 2;
        const int along = small_margin + object * half;
        if (layout == SceneLayout::single) return {large_margin, large_margin};
        if (layout == SceneLayout::left_right) return {along, middle};
        return {middle, along};
    }
};

// A sprite at the size at which scenes show it. A tint is linear in (alpha, alpha·shade), and
// composition and averaging are linear in all five planes, so one such table serves every colour,
// and the mean of a picture's pixels is the picture of the planes' means.
struct ScenePatch {
    static constexpr int planes = 5;  // red·alpha, green·alpha, blue·alpha, alpha, shade·alpha
    int size = 0;
    std::vector<float> values;  // [size, size, planes], each 0 to 1
};

namespace detail {

// How much of each source pixel a target pixel covers, along one axis.
struct CoverageSpan {
    int begin = 0;
    std::vector<float> weights;
};

// `count` source pixels, centred and scaled to a length of count·scale in a row of `size` pixels.
inline std::vector<CoverageSpan> area_coverage(int count, double scale, int size) {
    const double offset = (size - count * scale) / 2;
    std::vector<CoverageSpan> spans(static_cast<std::size_t>(size));
    for (int i = 0; i < size; ++i) {
        const double low = std::max(0.0, (i - offset) / scale);
        const double high = std::min<double>(count, (i + 1 - offset) / scale);
        CoverageSpan& span = spans[static_cast<std::size_t>(i)];
        if (high <= low) continue;
        span.begin = static_cast<int>(low);
        for (int j = span.begin; j < high; ++j)
            span.weights.push_back(static_cast<float>(
                (std::min<double>(high, j + 1) - std::max<double>(low, j)) * scale));
    }
    return spans;
}

// A sprite cropped to what is visible, as five planes at its own resolution.
struct SpritePlanes {
    int width = 0, height = 0;
    std::vector<float> values;  // [height, width, ScenePatch::planes]
};

inline SpritePlanes sprite_planes(const Sprite& sprite) {
    constexpr int visible = 8;  // of 255: softer edges do not count for the crop
    int left = sprite.width, top = sprite.height, right = -1, bottom = -1;
    const auto at = [&](int x, int y) {
        return sprite.rgba.data() +
               (static_cast<std::size_t>(y) * static_cast<std::size_t>(sprite.width) +
                static_cast<std::size_t>(x)) *
                   4;
    };
    for (int y = 0; y < sprite.height; ++y)
        for (int x = 0; x < sprite.width; ++x)
            if (at(x, y)[3] >= visible) {
                left = std::min(left, x), right = std::max(right, x);
                top = std::min(top, y), bottom = std::max(bottom, y);
            }
    if (right < left) throw FormatError("a sprite without a visible pixel");

    SpritePlanes result{right - left + 1, bottom - top + 1, {}};
    std::array<double, 256> histogram{};  // of luminance, weighted by alpha
    double total = 0;
    const auto luminance = [](const std::uint8_t* p) {
        return (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]) / 255;
    };
    for (int y = top; y <= bottom; ++y)
        for (int x = left; x <= right; ++x) {
            const std::uint8_t* p = at(x, y);
            histogram[static_cast<std::size_t>(std::lround(luminance(p) * 255))] += p[3];
            total += p[3];
        }
    const auto quantile = [&](double share) {
        double sum = 0;
        for (std::size_t level = 0; level < 256; ++level) {
            sum += histogram[level];
            if (sum >= share * total) return static_cast<double>(level) / 255;
        }
        return 1.0;
    };
    // The shade runs over each sprite's own range, so that a dark ant and a white ghost both show
    // the hue; a sprite of nearly one luminance is shown light. A power lifts a dark sprite to a
    // mean of 0.6: a tint is seen as its colour (not as brown or olive) where it is not dark.
    const double high = quantile(0.95), low = std::min(quantile(0.05), high - 0.25) - 0.05;
    const auto shade_of = [&](double value, double power) {
        return std::pow(std::clamp((value - low) / (high - low), 0.0, 1.0), power);
    };
    double power = 1, too_small = 0.3;
    const auto mean_shade = [&](double exponent) {
        double sum = 0;
        for (std::size_t level = 0; level < 256; ++level)
            sum += histogram[level] * shade_of(static_cast<double>(level) / 255, exponent);
        return sum / total;
    };
    if (mean_shade(power) < 0.6)
        for (int step = 0; step < 20; ++step) {
            const double middle = (power + too_small) / 2;
            (mean_shade(middle) < 0.6 ? power : too_small) = middle;
        }
    result.values.reserve(static_cast<std::size_t>(result.width) *
                          static_cast<std::size_t>(result.height) * ScenePatch::planes);
    for (int y = top; y <= bottom; ++y)
        for (int x = left; x <= right; ++x) {
            const std::uint8_t* p = at(x, y);
            const double alpha = p[3] / 255.0;
            const double shade = shade_of(luminance(p), power);
            for (int channel = 0; channel < 3; ++channel)
                result.values.push_back(static_cast<float>(alpha * p[channel] / 255.0));
            result.values.push_back(static_cast<float>(alpha));
            result.values.push_back(static_cast<float>(alpha * shade));
        }
    return result;
}

// Area-exact resampling: the longer side fills the patch, the shorter one is centred.
inline ScenePatch scaled_patch(const SpritePlanes& source, int size) {
    constexpr std::size_t planes = ScenePatch::planes;
    const double scale = static_cast<double>(size) / std::max(source.width, source.height);
    const auto columns = area_coverage(source.width, scale, size);
    const auto rows = area_coverage(source.height, scale, size);
    const std::size_t n = static_cast<std::size_t>(size);
    const std::size_t width = static_cast<std::size_t>(source.width);
    std::vector<float> wide(static_cast<std::size_t>(source.height) * n * planes);
    for (std::size_t y = 0; y < static_cast<std::size_t>(source.height); ++y)
        for (std::size_t x = 0; x < n; ++x)
            for (std::size_t k = 0; k < columns[x].weights.size(); ++k)
                for (std::size_t p = 0; p < planes; ++p)
                    wide[(y * n + x) * planes + p] +=
                        columns[x].weights[k] *
                        source.values[(y * width + static_cast<std::size_t>(columns[x].begin) + k) *
                                          planes +
                                      p];
    ScenePatch patch{size, std::vector<float>(n * n * planes)};
    for (std::size_t y = 0; y < n; ++y)
        for (std::size_t k = 0; k < rows[y].weights.size(); ++k)
            for (std::size_t i = 0; i < n * planes; ++i)
                patch.values[y * n * planes + i] +=
                    rows[y].weights[k] *
                    wide[(static_cast<std::size_t>(rows[y].begin) + k) * n * planes + i];
    return patch;
}

// Means of 2 by 2 pixels of an interleaved picture of even size.
inline std::vector<float> halved(const float* values, int size, int channels) {
    const std::size_t n = static_cast<std::size_t>(size) / 2,
                      c = static_cast<std::size_t>(channels);
    std::vector<float> half(n * n * c);
    for (std::size_t y = 0; y < n; ++y)
        for (std::size_t x = 0; x < n; ++x)
            for (std::size_t i = 0; i < c; ++i) {
                const float* p = values + ((2 * y) * 2 * n + 2 * x) * c + i;
                half[(y * n + x) * c + i] = 0.25f * (p[0] + p[c] + p[2 * n * c] + p[2 * n * c + c]);
            }
    return half;
}

}  // namespace detail

// Const use from several threads is safe. About 80 MB for 190 nouns.
class SceneRenderer {
public:
    explicit SceneRenderer(const std::vector<Sprite>& sprites) {
        for (const Sprite& sprite : sprites) {
            const detail::SpritePlanes planes = detail::sprite_planes(sprite);
            for (const bool large : {true, false}) {
                ScenePatch patch = detail::scaled_patch(
                    planes, large ? SceneGeometry::large : SceneGeometry::small);
                for (std::size_t level = 0; level < levels; ++level) {
                    if (level > 0)
                        patch = {patch.size / 2, detail::halved(patch.values.data(), patch.size,
                                                                ScenePatch::planes)};
                    patches_[level][large ? 1 : 0].push_back(patch);
                }
            }
        }
    }

    int noun_count() const { return static_cast<int>(patches_[0][0].size()); }

    // The table of a noun at a picture size of 128, 64 or 32.
    const ScenePatch& patch(int noun, bool large, int picture_size) const {
        return patches_[level_of(picture_size)][large ? 1 : 0][static_cast<std::size_t>(noun)];
    }

    // Writes [size, size, 3] in [-1, 1]; size is 128, 64, 32 or 16. A smaller picture is exactly
    // the box mean of the larger one.
    void render(const SceneDescription& scene, int size, float* out) const {
        if (size == 16) {
            std::vector<float> twice(32 * 32 * 3);
            render(scene, 32, twice.data());
            const std::vector<float> half = detail::halved(twice.data(), 32, 3);
            std::copy(half.begin(), half.end(), out);
            return;
        }
        level_of(size);
        const Rgb& back = scene_backgrounds[static_cast<std::size_t>(scene.background)].color;
        const float paper[3] = {back.red / 127.5f - 1, back.green / 127.5f - 1,
                                back.blue / 127.5f - 1};
        for (int i = 0; i < size * size; ++i)
            for (int c = 0; c < 3; ++c) out[i * 3 + c] = paper[c];
        for (int object = 0; object < scene.object_count(); ++object)
            draw(scene, object, size, paper, out);
    }

    // [size, size, 3], each 0 to 255.
    std::vector<std::uint8_t> render_rgb8(const SceneDescription& scene, int size) const {
        std::vector<float> values(static_cast<std::size_t>(size) * static_cast<std::size_t>(size) *
                                  3);
        render(scene, size, values.data());
        std::vector<std::uint8_t> bytes(values.size());
        for (std::size_t i = 0; i < values.size(); ++i)
            bytes[i] = static_cast<std::uint8_t>(
                std::clamp((values[i] + 1) * 127.5f + 0.5f, 0.0f, 255.0f));
        return bytes;
    }

private:
    static constexpr std::size_t levels = 3;

    static std::size_t level_of(int picture_size) {
        if (picture_size == 128) return 0;
        if (picture_size == 64) return 1;
        if (picture_size == 32) return 2;
        throw ConfigError("scene of " + std::to_string(picture_size) +
                          " pixels; expected 128, 64, 32 or 16");
    }

    void draw(const SceneDescription& scene, int index, int size, const float* paper,
              float* out) const {
        const SceneObject& object = scene.objects[static_cast<std::size_t>(index)];
        const ScenePatch& source = patch(object.noun, scene.layout == SceneLayout::single, size);
        const int shrink = SceneGeometry::picture / size;
        const auto [column, row] = SceneGeometry::corner(scene.layout, index);
        float dark[3] = {0, 0, 0}, range[3] = {0, 0, 0};
        if (object.color >= 0) {
            const Tint& tint = scene_tints[static_cast<std::size_t>(object.color)];
            const float low[3] = {tint.dark.red, tint.dark.green, tint.dark.blue};
            const float high[3] = {tint.light.red, tint.light.green, tint.light.blue};
            for (int c = 0; c < 3; ++c) {
                dark[c] = low[c] / 127.5f;
                range[c] = (high[c] - low[c]) / 127.5f;
            }
        }
        const float* p = source.values.data();
        for (int y = 0; y < source.size; ++y) {
            float* pixel = out + ((row / shrink + y) * size + column / shrink) * 3;
            for (int x = 0; x < source.size; ++x, p += ScenePatch::planes, pixel += 3)
                for (int c = 0; c < 3; ++c) {
                    const float over =
                        object.color >= 0 ? dark[c] * p[3] + range[c] * p[4] : 2 * p[c];
                    pixel[c] = paper[c] + over - p[3] * (paper[c] + 1);
                }
        }
    }

    // [128, 64, 32 pixels][small, large][noun]
    std::array<std::array<std::vector<ScenePatch>, 2>, levels> patches_;
};

}  // namespace dalle2
