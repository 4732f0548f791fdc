// CLIP's two encoders on one engine, in batches.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/preprocess.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/clip/unit_rows.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/profile.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

namespace dalle2 {

struct EmbedOptions {
    bool unit_length = false;  // divide each embedding by its length
    std::int64_t batch = 32;   // texts or pictures at once
    int threads = 0;           // 0: as many as OpenMP gives
    std::function<void(std::int64_t done, std::int64_t total)> progress = nullptr;
    std::stop_token stop = {};
};

namespace detail {

// Calls embed(first, end) for one batch after the other, each of which gives [end − first, width],
// and joins the results.
template <class Embed>
Array embed_in_batches(std::int64_t total, std::int64_t width, const EmbedOptions& options,
                       Embed&& embed) {
    if (options.batch < 1)
        throw ConfigError("a batch of " + std::to_string(options.batch) + "; expected 1 or more");
    const ThreadScope threads(options.threads);
    const StopScope stopping(options.stop);
    const BufferPool pool;
    const BufferPool::Scope scope(pool);
    Array all = make_array({total, width});
    for (std::int64_t first = 0; first < total; first += options.batch) {
        StopScope::check();
        const std::int64_t end = std::min(first + options.batch, total);
        const Array some = embed(first, end);
        std::copy(some.data(), some.data() + some.size(), all.data() + first * width);
        if (options.progress) options.progress(end, total);
    }
    return options.unit_length ? unit_rows(std::move(all)).directions : all;
}

}  // namespace detail

// One of the two may be missing.
template <Engine E>
struct ClipTowers {
    std::optional<ClipTextEncoder<E>> text_encoder;
    std::optional<ClipImageEncoder<E>> image_encoder;

    // Texts → [texts, projection]. Padding is left out where that changes nothing.
    Array embed_texts(const ClipTokenizer& tokenizer, const std::vector<std::string>& texts,
                      const EmbedOptions& options) const {
        return detail::embed_in_batches(
            static_cast<std::int64_t>(texts.size()), text_encoder->config.projection_dim, options,
            [&](std::int64_t first, std::int64_t end) {
                const ProfileRegion region("text_encoder");
                const std::vector<std::string> some(texts.begin() + first, texts.begin() + end);
                return E::to_array(text_encoder->embedding(token_batch(tokenizer, some)));
            });
    }

    // Pictures of any size → [pictures, projection].
    Array embed_pictures(const ClipPreprocessor& preprocessor, const std::vector<Picture>& pictures,
                         const EmbedOptions& options) const {
        return detail::embed_in_batches(
            static_cast<std::int64_t>(pictures.size()), image_encoder->config.projection_dim,
            options, [&](std::int64_t first, std::int64_t end) {
                std::vector<Array> pixels;
                for (std::int64_t i = first; i < end; ++i)
                    pixels.push_back(preprocessor(pictures[static_cast<std::size_t>(i)]));
                return embed(pixels.data(), end - first);
            });
    }

    // Pictures as the preprocessor gives them, each [1, image size, image size, 3] → [pictures,
    // projection].
    Array embed_pixels(const std::vector<Array>& pixels, const EmbedOptions& options) const {
        return detail::embed_in_batches(static_cast<std::int64_t>(pixels.size()),
                                        image_encoder->config.projection_dim, options,
                                        [&](std::int64_t first, std::int64_t end) {
                                            return embed(pixels.data() + first, end - first);
                                        });
    }

private:
    Array embed(const Array* pixels, std::int64_t count) const {
        const std::int64_t size = image_encoder->config.image_size;
        Array batch = make_array({count, size, size, 3});
        float* next = batch.data();
        for (std::int64_t i = 0; i < count; ++i) {
            if (shape_of(pixels[i]) != Shape{1, size, size, 3})
                throw ShapeError("a picture became " + to_string(shape_of(pixels[i])) +
                                 " by preprocessor_config.json; expected [1, " +
                                 std::to_string(size) + ", " + std::to_string(size) +
                                 ", 3], as the image encoder reads it");
            next = std::copy(pixels[i].begin(), pixels[i].end(), next);
        }
        const ProfileRegion region("image_encoder");
        return E::to_array((*image_encoder)(E::from_array(batch)));
    }
};

// Towers whose engine was chosen at run time. Copies share them.
class AnyClipTowers {
public:
    AnyClipTowers() = default;
    template <Engine E>
    AnyClipTowers(ClipTowers<E> towers, EngineKind engine)
        : engine_(engine), towers_(std::make_shared<const Of<E>>(std::move(towers))) {}

    EngineKind engine() const { return engine_; }
    // Null where a tower is missing.
    const ClipTextConfig* text_config() const { return towers_->text_config(); }
    const ClipImageConfig* image_config() const { return towers_->image_config(); }

    // As those of ClipTowers.
    Array embed_texts(const ClipTokenizer& tokenizer, const std::vector<std::string>& texts,
                      const EmbedOptions& options) const {
        return towers_->embed_texts(tokenizer, texts, options);
    }
    Array embed_pictures(const ClipPreprocessor& preprocessor, const std::vector<Picture>& pictures,
                         const EmbedOptions& options) const {
        return towers_->embed_pictures(preprocessor, pictures, options);
    }
    Array embed_pixels(const std::vector<Array>& pixels, const EmbedOptions& options) const {
        return towers_->embed_pixels(pixels, options);
    }

private:
    struct Interface {
        virtual ~Interface() = default;
        virtual const ClipTextConfig* text_config() const = 0;
        virtual const ClipImageConfig* image_config() const = 0;
        virtual Array embed_texts(const ClipTokenizer&, const std::vector<std::string>&,
                                  const EmbedOptions&) const = 0;
        virtual Array embed_pictures(const ClipPreprocessor&, const std::vector<Picture>&,
                                     const EmbedOptions&) const = 0;
        virtual Array embed_pixels(const std::vector<Array>&, const EmbedOptions&) const = 0;
    };
    template <Engine E>
    struct Of final : Interface {
        ClipTowers<E> towers;

        explicit Of(ClipTowers<E> made) : towers(std::move(made)) {}
        const ClipTextConfig* text_config() const override {
            return towers.text_encoder ? &towers.text_encoder->config : nullptr;
        }
        const ClipImageConfig* image_config() const override {
            return towers.image_encoder ? &towers.image_encoder->config : nullptr;
        }
        Array embed_texts(const ClipTokenizer& tokenizer, const std::vector<std::string>& texts,
                          const EmbedOptions& options) const override {
            return towers.embed_texts(tokenizer, texts, options);
        }
        Array embed_pictures(const ClipPreprocessor& preprocessor,
                             const std::vector<Picture>& pictures,
                             const EmbedOptions& options) const override {
            return towers.embed_pictures(preprocessor, pictures, options);
        }
        Array embed_pixels(const std::vector<Array>& pixels,
                           const EmbedOptions& options) const override {
            return towers.embed_pixels(pixels, options);
        }
    };

    EngineKind engine_ = EngineKind::cpu_float;
    std::shared_ptr<const Interface> towers_;
};

}  // namespace dalle2
