// The components of a model directory, each loaded when it is first needed: a stage runs as soon as
// its own components have been trained.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/pipeline/load.hpp>

namespace quality {

// What each stage needs of a model directory; a stage without a line needs none.
struct StageNeeds {
    const char* stage;
    std::vector<const char*> components;
};
inline const std::vector<StageNeeds>& stage_needs() {
    static const std::vector<StageNeeds> needs = {
        {"clip", {"tokenizer", "text_encoder", "image_encoder"}},
        {"prior", {"tokenizer", "text_encoder", "prior", "prior_scheduler"}},
        {"decoder",
         {"tokenizer", "text_encoder", "image_encoder", "text_proj", "decoder",
          "decoder_scheduler"}},
        {"pictures",
         {"tokenizer", "text_encoder", "prior", "prior_scheduler", "text_proj", "decoder",
          "decoder_scheduler", "super_res_first", "super_res_scheduler"}}};
    return needs;
}

// The components of a stage that the directory does not have, "prior, prior_scheduler".
inline std::string missing_components(const dalle2::ModelDirectory& directory,
                                      const std::string& stage) {
    std::string missing;
    for (const StageNeeds& needs : stage_needs())
        if (needs.stage == stage)
            for (const char* component : needs.components)
                if (!directory.has(component))
                    missing += (missing.empty() ? "" : ", ") + std::string(component);
    return missing;
}

// How CLIP's image encoder wants its pictures: (level − mean) / deviation, levels from 0 to 1.
struct Normalization {
    std::array<double, 3> mean{0.5, 0.5, 0.5}, deviation{0.5, 0.5, 0.5};

    // Values from −1 to 1, in place.
    void apply(dalle2::Array& pictures) const {
        for (std::size_t i = 0; i < pictures.size(); ++i) {
            const double level = (static_cast<double>(pictures.data()[i]) + 1) / 2;
            pictures.data()[i] = static_cast<float>((level - mean[i % 3]) / deviation[i % 3]);
        }
    }
};

template <dalle2::Engine E>
class Model {
public:
    Model(const std::filesystem::path& path, dalle2::LoadOptions options)
        : directory_(path), options_(std::move(options)) {}

    const dalle2::ModelDirectory& directory() const { return directory_; }

    const dalle2::ClipTokenizer& tokenizer() {
        return whole_ ? whole_->tokenizer : once(tokenizer_, [&] {
            return dalle2::ClipTokenizer::from_directory(directory_.folder("tokenizer"));
        });
    }
    const dalle2::ClipTextEncoder<E>& text_encoder() {
        return whole_ ? whole_->text_encoder : once(text_encoder_, [&] {
            return dalle2::load_component<dalle2::ClipTextEncoder, E>(directory_, "text_encoder",
                                                                      options_.warn);
        });
    }
    const dalle2::ClipImageEncoder<E>& image_encoder() {
        return once(image_encoder_, [&] {
            return dalle2::load_component<dalle2::ClipImageEncoder, E>(directory_, "image_encoder",
                                                                       options_.warn);
        });
    }
    const dalle2::DiffusionPrior<E, dalle2::AnySampler>& prior() {
        return whole_ ? whole_->prior : once(prior_, [&] {
            return dalle2::DiffusionPrior<E, dalle2::AnySampler>{
                dalle2::load_component<dalle2::PriorTransformer, E>(directory_, "prior",
                                                                    options_.warn),
                sampler("prior_scheduler", options_.prior_sampler)};
        });
    }
    const dalle2::Decoder<E, dalle2::AnySampler>& decoder() {
        return whole_ ? whole_->decoder : once(decoder_, [&] {
            return dalle2::Decoder<E, dalle2::AnySampler>{
                dalle2::load_component<dalle2::TextProjection, E>(directory_, "text_proj",
                                                                  options_.warn),
                dalle2::load_component<dalle2::UNet, E>(directory_, "decoder", options_.warn),
                sampler("decoder_scheduler", options_.decoder_sampler)};
        });
    }
    // The pipeline as `load` makes it; from then on the parts above are its parts.
    const dalle2::StandardPipeline<E>& whole() {
        if (!whole_)
            whole_ = std::make_unique<dalle2::StandardPipeline<E>>(
                dalle2::load_on<E>(directory_.path(), options_));
        return *whole_;
    }

    dalle2::EncodedText encode(const std::vector<std::string>& texts) {
        const dalle2::BufferPool pool;
        const dalle2::BufferPool::Scope scope(pool);
        return dalle2::encode_text(text_encoder(), dalle2::token_batch(tokenizer(), texts));
    }

    // The CLIP embeddings [scenes, embedding] of the true pictures.
    dalle2::Array embed(const dalle2::SceneRenderer& renderer,
                        const std::vector<dalle2::SceneDescription>& scenes) {
        const std::int64_t size = image_encoder().config.image_size;
        const auto count = static_cast<std::int64_t>(scenes.size());
        dalle2::Array pictures = dalle2::make_array({count, size, size, 3});
        for (std::int64_t i = 0; i < count; ++i)
            renderer.render(scenes[static_cast<std::size_t>(i)], static_cast<int>(size),
                            pictures.data() + i * size * size * 3);
        normalization().apply(pictures);
        const dalle2::BufferPool pool;
        const dalle2::BufferPool::Scope scope(pool);
        return E::to_array(image_encoder()(E::from_array(pictures)));
    }

private:
    template <class T, class Load>
    static const T& once(std::optional<T>& place, const Load& load) {
        if (!place) place.emplace(load());
        return *place;
    }
    dalle2::AnySampler sampler(const char* scheduler, dalle2::SamplerKind kind) const {
        return dalle2::make_sampler(kind, dalle2::load_schedule_config(directory_, scheduler),
                                    options_);
    }
    // Without a feature extractor, −1 to 1 as our own trainers do it.
    const Normalization& normalization() {
        return once(normalization_, [&] {
            Normalization result;
            if (!directory_.has("feature_extractor")) return result;
            auto reader =
                dalle2::ConfigReader::from_file(directory_.config_path("feature_extractor"));
            for (const bool is_mean : {true, false}) {
                const char* key = is_mean ? "image_mean" : "image_std";
                const auto values = reader.template get<std::vector<double>>(key);
                auto& target = is_mean ? result.mean : result.deviation;
                if (values.size() != 3 || (!is_mean && std::count(values.begin(), values.end(), 0)))
                    reader.refuse(key, "expected three numbers, and no deviation of 0");
                std::copy(values.begin(), values.end(), target.begin());
            }
            return result;
        });
    }

    dalle2::ModelDirectory directory_;
    dalle2::LoadOptions options_;
    std::unique_ptr<dalle2::StandardPipeline<E>> whole_;
    std::optional<dalle2::ClipTokenizer> tokenizer_;
    std::optional<dalle2::ClipTextEncoder<E>> text_encoder_;
    std::optional<dalle2::ClipImageEncoder<E>> image_encoder_;
    std::optional<dalle2::DiffusionPrior<E, dalle2::AnySampler>> prior_;
    std::optional<dalle2::Decoder<E, dalle2::AnySampler>> decoder_;
    std::optional<Normalization> normalization_;
};

}  // namespace quality
