// Which layers of a model take int8 weights, by a measurement: the model draws two small pictures,
// and each network keeps as many layers in int8 as leave its output what it is in bfloat16, up to a
// stated noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/engine/int8_calibration.hpp>
#include <dalle2/engine/int8_choice.hpp>
#include <dalle2/pipeline/part_loader.hpp>

namespace dalle2 {

struct CalibrationOptions {
    std::string variant = "";
    // Of each network's output in int8, against bfloat16.
    double least_decibels = 30.5;
    std::int64_t steps = 2;  // of each stage
    // Told what happens, such as "decoder", "decoder, 260 of 270 layers in int8".
    std::function<void(const std::string&)> on_step = nullptr;
    std::stop_token stop = {};
};

namespace detail {

// The signal to noise of the worst of a batch, in dB.
inline double worst_decibels(const Array& expected, const Array& found) {
    const std::size_t batch = expected.shape()[0], each = expected.size() / batch;
    double worst = HUGE_VAL;
    for (std::size_t b = 0; b < batch; ++b) {
        double signal = 0, error = 0;
        for (std::size_t i = b * each; i < (b + 1) * each; ++i) {
            const double right = expected.data()[i], difference = found.data()[i] - right;
            signal += right * right;
            error += difference * difference;
        }
        worst = std::min(worst, decibels(signal, error));
    }
    return worst;
}

// Colours that change across the picture, with an edge: for an image encoder to look at.
inline Picture calibration_picture() {
    Picture picture{64, 64, std::vector<std::uint8_t>(64 * 64 * 3)};
    for (int y = 0; y < 64; ++y)
        for (int x = 0; x < 64; ++x) {
            const bool disc = (x - 32) * (x - 32) + (y - 32) * (y - 32) < 300;
            const int colour[3] = {4 * x, 4 * y, 2 * (x + y)};
            for (int c = 0; c < 3; ++c)
                picture.pixel(x, y)[c] =
                    static_cast<std::uint8_t>(disc ? 255 - colour[c] : colour[c]);
        }
    return picture;
}

// Runs each network of a model on the inputs that it meets when the model draws, one stage's in
// memory at a time and of the upsampler one of its two, and chooses its layers.
template <std::same_as<Int8Calibration> E>
class Int8Calibrator {
public:
    Int8Calibrator(const std::filesystem::path& path, const CalibrationOptions& options)
        : options_(options),
          loader_(std::make_shared<const PartLoader<E>>(path, load_options())),
          parts_(*loader_) {}

    std::map<std::string, Int8Choice> operator()() {
        const Int8CalibrationLog::Scope scope(log_);
        const StopScope stopping(options_.stop);
        encode_texts();
        const ModelDirectory& directory = parts_.directory;
        if (directory.has("image_encoder") && directory.has("feature_extractor")) encode_picture();
        if (directory.has("prior")) run_prior();
        run_decoder();
        run_upsampler();
        return choices_;
    }

private:
    LoadOptions load_options() {
        LoadOptions load;
        load.variant = options_.variant;
        load.on_component = [this](const std::string& component) {
            log_.begin(component);
            tell(component);
        };
        return load;
    }
    void tell(const std::string& text) const {
        if (options_.on_step) options_.on_step(text);
    }
    SamplingOptions sampling(double guidance_scale) const {
        return {.steps = options_.steps, .guidance_scale = guidance_scale, .stop = options_.stop};
    }
    static Array as_batch(const Array& x) { return reshaped(x, {1, element_count(shape_of(x))}); }

    void encode_texts() {
        const ClipTokenizer tokenizer = parts_.tokenizer();
        const auto encoder = parts_.text_encoder();
        const TokenBatch tokens = token_batch(
            tokenizer, {"a red apple on a blue background", "a painting of a fox in the snow"});
        choose("text_encoder", [&] { return encode_text(encoder, tokens).hidden_states; });
        log_.measuring = true;
        text_ = encode_text(encoder, tokens);
        unconditional_ = encode_text(encoder, token_batch(tokenizer, {""}));
    }
    void encode_picture() {
        const auto encoder = parts_.picture_encoder();
        const std::vector<Picture> pictures(2, calibration_picture());
        choose("image_encoder", [&] { return encode_pictures(encoder, pictures); });
        log_.measuring = true;
        embedding_ = encode_pictures(encoder, pictures);
    }
    void run_prior() {
        const auto prior = parts_.prior();
        embedding_ = prior.sample(text_, unconditional_, generator_,
                                  sampling(parts_.configs.defaults.prior_guidance_scale));
        const Array x = generator_.normal(shape_of(embedding_));
        choose("prior", [&] {
            return E::to_array(prior.transformer(E::from_array(x), timesteps,
                                                 E::from_array(text_.text_embedding),
                                                 E::from_array(text_.hidden_states), text_.keep));
        });
    }
    void run_decoder() {
        const auto decoder = parts_.decoder();
        small_ = decoder.sample(embedding_, text_, unconditional_, generator_,
                                sampling(parts_.configs.defaults.decoder_guidance_scale));
        const auto condition = [&] {
            return decoder.text_projection(E::from_array(embedding_),
                                           E::from_array(text_.text_embedding),
                                           E::from_array(text_.hidden_states));
        };
        choose("text_proj", [&] {
            const DecoderCondition<E> made = condition();
            const Array context = as_batch(E::to_array(made.context)),
                        time = as_batch(E::to_array(made.time));
            return Array(xt::concatenate(xt::xtuple(context, time), 1));
        });
        log_.measuring = true;
        const DecoderCondition<E> made = condition();
        const auto tokens =
            static_cast<std::size_t>(E::shape(made.context)[0] * E::shape(made.context)[1]);
        const std::vector<std::int32_t> keep(tokens, 1);
        const Array x = noisy(small_, decoder.unet.config.in_channels);
        choose("decoder", [&] {
            return E::to_array(decoder.unet(E::from_array(x), timesteps, &made.time,
                                            {.tokens = &made.context, .keep = keep}));
        });
    }
    void run_upsampler() {
        const auto upsampler = PartLoader<E>::upsampler(loader_, Residency::in_turn);
        const Array pictures = upsampler.sample(small_, generator_, sampling(1.0));
        Array x, enlarged;  // of both networks
        const auto choose_for = [&](const std::string& component, const UNet<E>& unet) {
            choose(component, [&] {
                return E::to_array(unet(
                    E::concatenate({E::from_array(x), E::from_array(enlarged)}, -1), timesteps));
            });
        };
        {
            const auto unet = upsampler.first.get();
            x = noisy(pictures, unet->config.in_channels / 2);
            enlarged = upsampler.enlarge(small_);
            choose_for("super_res_first", *unet);
        }
        if (upsampler.last) choose_for("super_res_last", *upsampler.last->get());
    }

    // What stands for a sample on its way: the first of the batch mostly noise, the second nearly
    // clean.
    Array noisy(const Array& pictures, std::int64_t channels) {
        Shape shape = shape_of(pictures);
        shape.back() = channels;
        Array x = generator_.normal(shape);
        const std::size_t half = x.size() / 2;
        for (std::size_t i = half; i < x.size(); ++i)
            x.data()[i] =
                0.1f * x.data()[i] + (x.size() == pictures.size() ? pictures.data()[i] : 0.0f);
        return x;
    }

    struct Candidate {
        std::string name;
        double work;   // multiply-adds
        double noise;  // that it adds to the network's output, relative to the output
        Int8Measurement* measured;
    };

    // The layers of a network that could be int8, were run, and gave numbers.
    std::vector<Candidate> candidates_of(const std::string& component, Int8Choice& choice) const {
        std::vector<Candidate> candidates;
        const auto found = log_.layers().find(component);
        if (found == log_.layers().end()) return candidates;
        for (const auto& [name, measured] : found->second) {
            const auto work = static_cast<double>(measured->multiply_adds);
            const double noise = noise_of(measured->decibels);
            ++choice.candidates;
            choice.candidate_multiply_adds += work;
            if (work > 0 && std::isfinite(noise))
                candidates.push_back({name, work, noise, measured.get()});
        }
        return candidates;
    }

    static double noise_of(double decibels) { return std::pow(10.0, -decibels / 10); }

    // Up to its first number: "down_blocks.0" of "down_blocks.0.resnets.1.conv1.weight".
    static std::string block_of(const std::string& name) {
        const std::size_t digit = name.find_first_of("0123456789");
        return name.substr(0, digit == std::string::npos ? digit : name.find('.', digit));
    }

    // From the noise of each layer's own output to its part of the noise of the network's output:
    // each block is tried alone, and its noise shared out among its layers. `output` is the signal
    // to noise of the network's output with the present choice.
    template <class Output>
    void find_influence(std::vector<Candidate>& candidates, const Output& output,
                        const std::string& component) const {
        std::map<std::string, std::vector<Candidate*>> blocks;
        for (Candidate& candidate : candidates) {
            blocks[block_of(candidate.name)].push_back(&candidate);
            candidate.measured->chosen = false;
        }
        for (const auto& [block, layers] : blocks) {
            tell(component + ", " + block + " alone in int8");
            double sum = 0;
            for (Candidate* layer : layers) {
                layer->measured->chosen = true;
                sum += layer->noise;
            }
            const double noise = noise_of(output());
            for (Candidate* layer : layers) {
                layer->measured->chosen = false;
                if (layer->noise > 0) layer->noise *= noise / sum;
            }
        }
    }

    // run() is what the network `component` makes of one batch. All candidates become int8, unless
    // that leaves the output too noisy: then those that add the most noise for the work that they
    // save stay in bfloat16.
    template <class Run>
    void choose(const std::string& component, const Run& run) {
        const BufferPool pool;
        const BufferPool::Scope scope(pool);
        log_.measuring = true;
        const Array expected = run();
        log_.measuring = false;
        const auto output = [&] { return worst_decibels(expected, run()); };
        Int8Choice& choice = choices_[component];
        std::vector<Candidate> candidates = candidates_of(component, choice);
        bool sorted = false;
        for (;;) {
            for (Candidate& candidate : candidates) candidate.measured->chosen = true;
            tell(component + ", " + std::to_string(candidates.size()) + " of " +
                 std::to_string(choice.candidates) + " layers in int8");
            choice.decibels = output();
            if (choice.decibels >= options_.least_decibels || candidates.empty()) break;
            if (!sorted) {
                find_influence(candidates, output, component);
                std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
                    return std::pair(a.noise / a.work, a.name) <
                           std::pair(b.noise / b.work, b.name);
                });
                sorted = true;
            }
            double noise = 0;
            for (const Candidate& candidate : candidates) noise += candidate.noise;
            // As if noise of layers added up; then it is measured again.
            const double wanted =
                0.97 * noise * noise_of(options_.least_decibels - choice.decibels);
            // One goes in any case: what the sum says may be wrong.
            do {
                noise -= candidates.back().noise;
                candidates.back().measured->chosen = false;
                candidates.pop_back();
            } while (!candidates.empty() && !(noise <= wanted));
        }
        for (const Candidate& candidate : candidates) {
            choice.weights.insert(candidate.name);
            choice.int8_multiply_adds += candidate.work;
        }
    }

    static constexpr double middle[] = {500, 50};  // of a thousand timesteps
    static constexpr std::span<const double> timesteps{middle};

    const CalibrationOptions& options_;
    Int8CalibrationLog log_;
    std::shared_ptr<const PartLoader<E>> loader_;
    const PartLoader<E>& parts_;
    TorchGenerator generator_{1};
    EncodedText text_, unconditional_;
    Array embedding_, small_;
    std::map<std::string, Int8Choice> choices_;
};

}  // namespace detail

// The choice for each network of a model directory, by the name of its component. Deterministic.
// Throws as PartLoader does, and Cancelled. (A template, with one engine to choose from, so that
// programs which do not call it do not compile the models for that engine.)
template <std::same_as<Int8Calibration> E = Int8Calibration>
std::map<std::string, Int8Choice> calibrate_int8(const std::filesystem::path& path,
                                                 const CalibrationOptions& options = {}) {
    return detail::Int8Calibrator<E>(path, options)();
}

}  // namespace dalle2
