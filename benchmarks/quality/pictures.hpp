// Pictures made by the model, and what the oracle says of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <dalle2/core/random.hpp>
#include <dalle2/data/oracle.hpp>
#include <dalle2/data/scene_dataset.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/kernels/parallel.hpp>

#include "embeddings.hpp"

namespace quality {

// A run of prompts that the model works on at once, of one kind.
struct Batch {
    std::size_t begin = 0, end = 0;
    std::uint64_t seed = 0;

    std::vector<std::string> texts(const std::vector<Prompt>& prompts) const {
        std::vector<std::string> result;
        for (std::size_t i = begin; i < end; ++i) result.push_back(prompts[i].text);
        return result;
    }
    std::vector<dalle2::SceneDescription> scenes(const std::vector<Prompt>& prompts) const {
        std::vector<dalle2::SceneDescription> result;
        for (std::size_t i = begin; i < end; ++i) result.push_back(prompts[i].scene);
        return result;
    }
};

inline std::vector<Batch> batches(const std::vector<Prompt>& prompts, std::size_t size,
                                  std::uint64_t seed) {
    std::vector<Batch> result;
    for (std::size_t begin = 0; begin < prompts.size();) {
        std::size_t end = begin;
        while (end < prompts.size() && end < begin + size &&
               prompts[end].kind == prompts[begin].kind)
            ++end;
        result.push_back({begin, end, seed + result.size()});
        begin = end;
    }
    return result;
}

// Rounded to 8 bits, as a file has them: [pictures, size, size, 3], values from −1 to 1.
inline std::vector<dalle2::Picture> to_pictures(const dalle2::Array& array) {
    std::vector<dalle2::Picture> pictures;
    for (std::int64_t i = 0; i < dalle2::shape_of(array)[0]; ++i)
        pictures.push_back(dalle2::picture_from_array(array, i));
    return pictures;
}

inline std::vector<dalle2::Picture> true_pictures(const dalle2::SceneRenderer& renderer,
                                                  const std::vector<Prompt>& prompts, int size) {
    std::vector<dalle2::Picture> pictures(prompts.size());
    dalle2::kernels::parallel_for(
        static_cast<std::int64_t>(prompts.size()), [&](std::int64_t task, int) {
            const auto i = static_cast<std::size_t>(task);
            pictures[i] = dalle2::scene_picture(renderer, prompts[i].scene, size);
        });
    return pictures;
}

// The verdicts on pictures[i] as an answer to prompts[i].
inline std::vector<dalle2::OracleVerdict> judge(const dalle2::Oracle& oracle,
                                                const std::vector<dalle2::Picture>& pictures,
                                                const std::vector<Prompt>& prompts) {
    std::vector<dalle2::OracleVerdict> verdicts(prompts.size());
    dalle2::kernels::parallel_for(
        static_cast<std::int64_t>(prompts.size()), [&](std::int64_t task, int) {
            const auto i = static_cast<std::size_t>(task);
            verdicts[i] =
                oracle.judge(dalle2::array_from_picture(pictures[i]).data(), prompts[i].scene);
        });
    return verdicts;
}

// pictures[i] becomes the answer to another prompt of its kind, as far as there is one.
inline std::vector<dalle2::Picture> shuffled(const std::vector<Prompt>& prompts,
                                             std::vector<dalle2::Picture> pictures) {
    for (const Batch& kind : batches(prompts, prompts.size(), 0)) {
        const auto first = pictures.begin() + static_cast<std::ptrdiff_t>(kind.begin);
        const auto last = pictures.begin() + static_cast<std::ptrdiff_t>(kind.end);
        std::rotate(first, first + (last - first) / 2, last);
    }
    return pictures;
}

// The oracle on true scenes and on those of other prompts. Throws Error when it is not to be
// trusted: a figure of true scenes below 0.99, of a hundred or more.
inline void prove_oracle(const dalle2::SceneRenderer& renderer, const std::vector<Prompt>& prompts,
                         int size, bool also_shuffled, Figures& figures) {
    const dalle2::Oracle oracle(renderer, size);
    const Row row = also_shuffled ? Row::oracle_true : Row::oracle_small;
    const auto pictures = true_pictures(renderer, prompts, size);
    figures.add(row, prompts, judge(oracle, pictures, prompts));
    if (also_shuffled)
        figures.add(Row::oracle_shuffled, prompts,
                    judge(oracle, shuffled(prompts, pictures), prompts));
    for (const Kind kind : all_kinds) {
        const Shares shares = figures.at(row, kind);
        for (const Share& share : {shares.noun, shares.color, shares.background, shares.relation})
            if (share.of >= 100 && share.value() < 0.99)
                throw dalle2::Error("the oracle is right about only " +
                                    std::to_string(share.value()) + " of true scenes of " +
                                    std::to_string(size) +
                                    " pixels; expected 0.99 or more: its figures mean nothing");
    }
}

// The prior's embeddings of prompts for one object.
inline void count_prior(Figures& figures, const SceneLabels& labels,
                        const std::vector<Prompt>& prompts, const Batch& batch,
                        const dalle2::Array& embeddings) {
    for (std::size_t i = batch.begin; i < batch.end; ++i)
        if (prompts[i].kind != Kind::pair)
            count_embedding(figures.at(Row::prior, prompts[i].kind), labels,
                            row_of(embeddings, static_cast<std::int64_t>(i - batch.begin)),
                            prompts[i].scene);
}

// The options of one stage when it runs by itself, with the numbers that the whole pipeline uses.
inline dalle2::SamplingOptions prior_options(const dalle2::GenerateOptions& options,
                                             const dalle2::GenerationDefaults& defaults) {
    return {.steps = options.prior_steps.value_or(defaults.prior_steps),
            .guidance_scale = options.prior_guidance_scale.value_or(defaults.prior_guidance_scale)};
}
inline dalle2::SamplingOptions decoder_options(const dalle2::GenerateOptions& options,
                                               const dalle2::GenerationDefaults& defaults) {
    return {
        .steps = options.decoder_steps.value_or(defaults.decoder_steps),
        .guidance_scale = options.decoder_guidance_scale.value_or(defaults.decoder_guidance_scale)};
}

}  // namespace quality
