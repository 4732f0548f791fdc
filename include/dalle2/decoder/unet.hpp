// The diffusion UNet (Ho et al. 2020; Dhariwal & Nichol 2021), with attention to a context for the
// decoder (diffusers' UNet2DConditionModel) and without for the upsamplers (UNet2DModel): one
// structure, whose parts without a context are left out.
#pragma once

#include <optional>
#include <vector>

#include <dalle2/nn/added_kv_attention.hpp>
#include <dalle2/nn/attention_mask.hpp>
#include <dalle2/nn/resnet_block.hpp>
#include <dalle2/nn/timestep_embedding.hpp>

namespace dalle2 {

struct UNetLevel {
    std::int64_t channels;
    bool down_attention = false, up_attention = false;
    std::int64_t head_width = 64;
};

// How what the text projection makes joins the time embedding (the reference's class_embed_type):
// added as it is, after a linear layer, or after two with an activation between them.
enum class AddedTime { identity, simple_projection, projection };

struct UNetConfig {
    std::int64_t in_channels, out_channels;
    std::int64_t sample_size;       // pixels the model was trained at
    std::vector<UNetLevel> levels;  // from the full resolution down
    std::int64_t layers_per_block = 2;
    bool mid_attention = false;
    std::int64_t context_width = 0;  // of the tokens attended to
    std::int64_t norm_num_groups = 32;
    double norm_eps = 1e-5;
    TimeConditioning conditioning = TimeConditioning::add;
    SinusoidOptions sinusoid = {};
    std::int64_t time_width = 0;  // of the time embedding; 0: four times the first level's channels
    AddedTime added_time = AddedTime::identity;
    std::int64_t added_time_width = 0;  // before its projection; 0: as wide as the time embedding
};

inline std::int64_t time_embedding_width(const UNetConfig& c) {
    return c.time_width > 0 ? c.time_width : 4 * c.levels.front().channels;
}

inline std::int64_t added_time_width(const UNetConfig& c) {
    return c.added_time_width > 0 ? c.added_time_width : time_embedding_width(c);
}

// What a UNet is told beside the picture and the time; null tensors where there is none.
template <Engine E>
struct UNetContext {
    const typename E::Tensor* tokens = nullptr;  // to attend to, [batch, tokens, context width]
    std::span<const std::int32_t> keep = {};     // [batch · tokens], 0: padding; empty: no padding
};

// What the attention blocks see of the context, in the order in which a picture meets them: the
// same in every step.
template <Engine E>
struct PreparedContext {
    std::vector<KeysAndValues<E>> seen;
    std::vector<Array> masks;  // [batch, 1, tokens + pixels]; none where nothing is padding
};

// What the residual blocks know of the time in one step, in the order in which a picture meets
// them: [batch, condition width].
template <Engine E>
using PreparedTime = std::vector<typename E::Tensor>;

// What is added to the time embedding, on its way there: [batch, in] → [batch, out].
template <Engine E>
struct AddedTimeProjection {
    using Tensor = typename E::Tensor;

    std::optional<Linear<E>> linear;
    std::optional<TimestepEmbedding<E>> perceptron;

    AddedTimeProjection(AddedTime kind, std::int64_t in, std::int64_t out) {
        if (kind == AddedTime::simple_projection) linear.emplace(in, out);
        if (kind == AddedTime::projection) perceptron.emplace(in, out);
    }

    Tensor operator()(const Tensor& x) const {
        return linear ? (*linear)(x) : perceptron ? (*perceptron)(x) : x;
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        if (self.linear) Linear<E>::visit(*self.linear, visitor);
        if (self.perceptron) TimestepEmbedding<E>::visit(*self.perceptron, visitor);
    }
};

// One level of the way down or up, or the middle: residual blocks, each followed by attention if
// the level has it, then one residual block that changes the resolution.
template <Engine E>
struct UNetStage {
    std::vector<ResnetBlock<E>> resnets;
    std::vector<AddedKvAttention<E>> attentions;
    std::vector<ResnetBlock<E>> downsamplers, upsamplers;

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("resnets", self.resnets);
        visitor("attentions", self.attentions);
        visitor("downsamplers", self.downsamplers);
        visitor("upsamplers", self.upsamplers);
    }
};

template <Engine E>
struct UNet {
    using Tensor = typename E::Tensor;
    using Config = UNetConfig;

    Config config;
    Conv2d<E> conv_in;
    TimestepEmbedding<E> time_embedding;
    AddedTimeProjection<E> class_embedding;  // the checkpoints' name for it
    std::vector<UNetStage<E>> down_blocks;
    UNetStage<E> mid_block;
    std::vector<UNetStage<E>> up_blocks;
    GroupNorm<E> conv_norm_out;
    Conv2d<E> conv_out;

    explicit UNet(const Config& c)
        : config(c),
          conv_in(c.in_channels, c.levels.front().channels, 3, {.padding = 1}),
          time_embedding(c.levels.front().channels, time_embedding_width(c)),
          class_embedding(c.added_time, added_time_width(c), time_embedding_width(c)),
          conv_norm_out(c.levels.front().channels,
                        {c.norm_num_groups, c.norm_eps, Activation::silu}),
          conv_out(c.levels.front().channels, c.out_channels, 3, {.padding = 1}) {
        build_down();
        build_middle();
        build_up();
    }

    // For pictures of height × width pixels. Where the first row of the context stands for
    // several pictures, `first_rows` says for how many.
    PreparedContext<E> prepare(const UNetContext<E>& context, std::int64_t height,
                               std::int64_t width, std::int64_t first_rows = 1) const {
        PreparedContext<E> prepared;
        const std::int64_t rows = context.tokens ? E::shape(*context.tokens)[0] : 1;
        const std::vector<std::int32_t> keep = repeat_first(context.keep, rows, first_rows);
        for_each_attention([&](const AddedKvAttention<E>& attention, std::size_t level) {
            if (!context.tokens)
                throw ShapeError("this UNet has attention to a context, but no context was given");
            prepared.seen.push_back(repeat_first(attention.prepare(*context.tokens), first_rows));
            // The padding is hidden from the picture, whose own positions follow the context.
            if (!keeps_all(keep))
                prepared.masks.push_back(padding_mask(keep, rows + first_rows - 1, 0,
                                                      (height >> level) * (width >> level)));
        });
        return prepared;
    }

    // For several steps at once: timesteps [steps · batch], and added_time [batch,
    // added_time_width], the same in every step, or null.
    std::vector<PreparedTime<E>> prepare(std::span<const double> timesteps, std::int64_t batch,
                                         const Tensor* added_time = nullptr) const {
        const auto rows = static_cast<std::int64_t>(timesteps.size()), steps = rows / batch;
        const Array sinusoid =
            sinusoidal_embedding(timesteps, config.levels.front().channels, config.sinusoid);
        Tensor time = time_embedding(E::from_array(sinusoid));
        if (added_time) {
            const std::int64_t width = time_embedding_width(config);
            time = E::add(E::reshape(time, {steps, batch, width}), class_embedding(*added_time));
            time = E::reshape(time, {rows, width});
        }
        time = E::activate(time, Activation::silu);  // every block begins with it

        std::vector<PreparedTime<E>> prepared(static_cast<std::size_t>(steps));
        for_each_resnet([&](const ResnetBlock<E>& resnet) {
            const Tensor all = resnet.prepare(time);
            for (std::int64_t i = 0; i < steps; ++i)
                prepared[static_cast<std::size_t>(i)].push_back(
                    steps == 1 ? all : E::slice(all, 0, i * batch, (i + 1) * batch));
        });
        return prepared;
    }

    // One step. x [batch, height, width, in] with height and width multiples of 2^(levels - 1)
    // → [batch, height, width, out].
    Tensor operator()(const Tensor& x, const PreparedTime<E>& time,
                      const PreparedContext<E>& context = {}) const {
        check(E::shape(x));
        std::size_t resnets = 0, attentions = 0;
        const auto apply = [&](const ResnetBlock<E>& resnet, const Tensor& h) {
            return resnet(h, time.at(resnets++));
        };
        const auto attend = [&](const AddedKvAttention<E>& attention, const Tensor& h) {
            const std::size_t i = attentions++;
            return attention(h, context.seen.at(i),
                             context.masks.empty() ? nullptr : &context.masks.at(i));
        };

        Tensor h = conv_in(x);
        std::vector<Tensor> skips = {h};
        for (const UNetStage<E>& stage : down_blocks) {
            for (std::size_t i = 0; i < stage.resnets.size(); ++i) {
                h = apply(stage.resnets[i], h);
                if (!stage.attentions.empty()) h = attend(stage.attentions[i], h);
                skips.push_back(h);
            }
            for (const ResnetBlock<E>& downsampler : stage.downsamplers) {
                h = apply(downsampler, h);
                skips.push_back(h);
            }
        }

        h = apply(mid_block.resnets[0], h);
        for (const AddedKvAttention<E>& attention : mid_block.attentions) h = attend(attention, h);
        h = apply(mid_block.resnets[1], h);

        for (const UNetStage<E>& stage : up_blocks) {
            for (std::size_t i = 0; i < stage.resnets.size(); ++i) {
                h = E::concatenate({h, skips.back()}, -1);
                skips.pop_back();
                h = apply(stage.resnets[i], h);
                if (!stage.attentions.empty()) h = attend(stage.attentions[i], h);
            }
            for (const ResnetBlock<E>& upsampler : stage.upsamplers) h = apply(upsampler, h);
        }
        return conv_out(conv_norm_out(h));
    }

    // The same with everything in one: one timestep for each picture, added_time [batch,
    // added_time_width] or null.
    Tensor operator()(const Tensor& x, std::span<const double> timesteps,
                      const Tensor* added_time = nullptr,
                      const UNetContext<E>& context = {}) const {
        const Shape shape = E::shape(x);
        check(shape);
        return (*this)(x, prepare(timesteps, shape[0], added_time).front(),
                       prepare(context, shape[1], shape[2]));
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("conv_in", self.conv_in);
        visitor("time_embedding", self.time_embedding);
        visitor("class_embedding", self.class_embedding);
        visitor("down_blocks", self.down_blocks);
        visitor("mid_block", self.mid_block);
        visitor("up_blocks", self.up_blocks);
        visitor("conv_norm_out", self.conv_norm_out);
        visitor("conv_out", self.conv_out);
    }

private:
    ResnetBlock<E> resnet(std::int64_t in, std::int64_t out,
                          Resample resample = Resample::none) const {
        return ResnetBlock<E>({.in_channels = in,
                               .out_channels = out,
                               .time_width = time_embedding_width(config),
                               .groups = config.norm_num_groups,
                               .epsilon = config.norm_eps,
                               .conditioning = config.conditioning,
                               .resample = resample});
    }

    AddedKvAttention<E> attention(const UNetLevel& level) const {
        return AddedKvAttention<E>({.channels = level.channels,
                                    .context_width = config.context_width,
                                    .head_width = level.head_width,
                                    .groups = config.norm_num_groups});
    }

    void build_down() {
        std::int64_t channels = config.levels.front().channels;
        for (std::size_t i = 0; i < config.levels.size(); ++i) {
            const UNetLevel& level = config.levels[i];
            UNetStage<E>& stage = down_blocks.emplace_back();
            for (std::int64_t layer = 0; layer < config.layers_per_block; ++layer) {
                stage.resnets.push_back(resnet(channels, level.channels));
                channels = level.channels;
                if (level.down_attention) stage.attentions.push_back(attention(level));
            }
            if (i + 1 < config.levels.size())
                stage.downsamplers.push_back(resnet(channels, channels, Resample::down));
        }
    }

    void build_middle() {
        const UNetLevel& level = config.levels.back();
        mid_block.resnets.push_back(resnet(level.channels, level.channels));
        if (config.mid_attention) mid_block.attentions.push_back(attention(level));
        mid_block.resnets.push_back(resnet(level.channels, level.channels));
    }

    // Each block of the way up takes one output of the way down beside its input, last first.
    void build_up() {
        std::int64_t channels = config.levels.back().channels;
        for (std::size_t i = config.levels.size(); i-- > 0;) {
            const UNetLevel& level = config.levels[i];
            const std::int64_t next_channels = config.levels[i > 0 ? i - 1 : 0].channels;
            UNetStage<E>& stage = up_blocks.emplace_back();
            for (std::int64_t layer = 0; layer <= config.layers_per_block; ++layer) {
                const bool last = layer == config.layers_per_block;
                const std::int64_t skip = last ? next_channels : level.channels;
                stage.resnets.push_back(resnet(channels + skip, level.channels));
                channels = level.channels;
                if (level.up_attention) stage.attentions.push_back(attention(level));
            }
            if (i > 0) stage.upsamplers.push_back(resnet(channels, channels, Resample::up));
        }
    }

    // Both call `function` in the order in which a picture meets the parts; that of the attentions
    // is also told how often the picture was halved there.
    template <class Function>
    void for_each_resnet(Function&& function) const {
        const auto visit_stage = [&](const UNetStage<E>& stage) {
            for (const auto* blocks : {&stage.resnets, &stage.downsamplers, &stage.upsamplers})
                for (const ResnetBlock<E>& block : *blocks) function(block);
        };
        for (const UNetStage<E>& stage : down_blocks) visit_stage(stage);
        visit_stage(mid_block);
        for (const UNetStage<E>& stage : up_blocks) visit_stage(stage);
    }
    template <class Function>
    void for_each_attention(Function&& function) const {
        const auto visit_stage = [&](const UNetStage<E>& stage, std::size_t level) {
            for (const AddedKvAttention<E>& attention : stage.attentions)
                function(attention, level);
        };
        const std::size_t lowest = config.levels.size() - 1;
        for (std::size_t i = 0; i <= lowest; ++i) visit_stage(down_blocks[i], i);
        visit_stage(mid_block, lowest);
        for (std::size_t i = 0; i <= lowest; ++i) visit_stage(up_blocks[i], lowest - i);
    }

    void check(const Shape& shape) const {
        const std::int64_t multiple = std::int64_t{1} << (config.levels.size() - 1);
        if (shape.size() != 4 || shape[3] != config.in_channels || shape[1] % multiple ||
            shape[2] % multiple)
            throw ShapeError("UNet: pictures " + to_string(shape) +
                             ", expected [batch, height, width, " +
                             std::to_string(config.in_channels) +
                             "] with height and width multiples of " + std::to_string(multiple));
    }
};

}  // namespace dalle2
