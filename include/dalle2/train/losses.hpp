// The losses of the four models. Each takes what a network said, in plain arrays, and returns the
// loss together with its gradient by that, which is where the backward pass starts.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <Eigen/Core>

#include <dalle2/clip/unit_rows.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/variational_bound.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2 {

struct ContrastiveLoss {
    double loss;
    double accuracy;  // how often a picture's own text is its nearest, in this batch
    Array text_gradient, image_gradient;  // [batch, embedding]
    double log_scale_gradient;
};

namespace detail {

// From the gradient by a row's direction to that by the row itself.
inline void through_normalisation(const Array& unit, const std::vector<double>& lengths,
                                  Array& gradient) {
    const Shape shape = shape_of(unit);
    for (std::int64_t row = 0; row < shape[0]; ++row) {
        double along = 0;
        for (std::int64_t i = 0; i < shape[1]; ++i)
            along += static_cast<double>(gradient(row, i)) * static_cast<double>(unit(row, i));
        for (std::int64_t i = 0; i < shape[1]; ++i)
            gradient(row, i) = static_cast<float>((static_cast<double>(gradient(row, i)) -
                                                   along * static_cast<double>(unit(row, i))) /
                                                  lengths[static_cast<std::size_t>(row)]);
    }
}

}  // namespace detail

// CLIP's symmetric cross-entropy over the cosines of all texts and pictures of a batch, times
// exp(log_scale) (Radford et al. 2021, figure 3). text and image [batch, embedding]; row i belongs
// to row i. `same_text[i·batch + j]`, when given, marks pairs that are equally right, which are
// left out of each other's sums, which are kept as `Sum`.
template <class Sum = double>
ContrastiveLoss contrastive_loss(const Array& text, const Array& image, double log_scale,
                                 const std::vector<bool>& same_text = {}) {
    const std::int64_t n = shape_of(text)[0], width = shape_of(text)[1];
    const auto [text_unit, text_lengths] = unit_rows(text);
    const auto [image_unit, image_lengths] = unit_rows(image);
    const Sum scale = std::exp(static_cast<Sum>(log_scale));
    using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Map = Eigen::Map<const Matrix>;
    const Map t(text_unit.data(), n, width), p(image_unit.data(), n, width);
    const Matrix cosines = t * p.transpose();
    Eigen::MatrixX<Sum> logits = cosines.cast<Sum>() * scale;
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
            if (i != j && !same_text.empty() && same_text[static_cast<std::size_t>(i * n + j)])
                logits(i, j) = Sum(-1e9);

    const Eigen::VectorX<Sum> row_max = logits.rowwise().maxCoeff(),
                              column_max = logits.colwise().maxCoeff();
    Eigen::MatrixX<Sum> by_row = (logits.colwise() - row_max).array().exp();
    Eigen::MatrixX<Sum> by_column = (logits.rowwise() - column_max.transpose()).array().exp();
    const Eigen::VectorX<Sum> row_sum = by_row.rowwise().sum(),
                              column_sum = by_column.colwise().sum();
    ContrastiveLoss result{};
    for (std::int64_t i = 0; i < n; ++i) {
        result.loss +=
            0.5 * (row_max(i) + std::log(row_sum(i)) + column_max(i) + std::log(column_sum(i))) -
            logits(i, i);
        Eigen::Index nearest = 0;
        logits.col(i).maxCoeff(&nearest);
        result.accuracy += nearest == i;
    }
    result.loss /= static_cast<double>(n);
    result.accuracy /= static_cast<double>(n);

    // d loss / d logits
    by_row.array().colwise() /= row_sum.array();
    by_column.array().rowwise() /= column_sum.transpose().array();
    Eigen::MatrixX<Sum> gradient = Sum(0.5) * (by_row + by_column);
    gradient.diagonal().array() -= Sum(1);
    gradient /= static_cast<Sum>(n);
    result.log_scale_gradient = scale * gradient.cwiseProduct(cosines.cast<Sum>()).sum();

    const Matrix by_cosine = (gradient * scale).template cast<float>();
    result.text_gradient = make_array({n, width});
    result.image_gradient = make_array({n, width});
    Eigen::Map<Matrix>(result.text_gradient.data(), n, width) = by_cosine * p;
    Eigen::Map<Matrix>(result.image_gradient.data(), n, width) = by_cosine.transpose() * t;
    detail::through_normalisation(text_unit, text_lengths, result.text_gradient);
    detail::through_normalisation(image_unit, image_lengths, result.image_gradient);
    return result;
}

struct RegressionLoss {
    double loss;
    Array gradient;  // by the prediction
};

// The mean over the batch of weight[i] · the mean squared error of sample i. [batch, ...].
inline RegressionLoss mean_squared_error(const Array& prediction, const Array& target,
                                         const std::vector<double>& weights = {}) {
    const std::int64_t batch = shape_of(prediction)[0];
    const std::int64_t count = static_cast<std::int64_t>(prediction.size()) / batch;
    RegressionLoss result{0, make_array(shape_of(prediction))};
    for (std::int64_t b = 0; b < batch; ++b) {
        const double weight = (weights.empty() ? 1.0 : weights[static_cast<std::size_t>(b)]) /
                              (static_cast<double>(count) * static_cast<double>(batch));
        for (std::int64_t i = b * count; i < (b + 1) * count; ++i) {
            const double difference =
                static_cast<double>(prediction.data()[i]) - static_cast<double>(target.data()[i]);
            result.loss += weight * difference * difference;
            result.gradient.data()[i] = static_cast<float>(2 * weight * difference);
        }
    }
    return result;
}

struct DenoisingLoss {
    double loss;   // the weighted error of the prediction
    double bound;  // the variational bound's term, in bits per element, not weighted; 0 if there is
                   // no variance
    Array gradient;  // by the network's output
};

// The loss of a diffusion UNet on a batch of noisy pictures (Nichol & Dhariwal 2021, L_hybrid).
// clean, noise, noisy [batch, height, width, channels]; output the same, or with twice the
// channels, the second half being the variance fraction; weights: of each picture's squared error;
// previous: the timesteps that the variance is learned for a step back to, -1 for timestep 0; empty
// where no variance is.
inline DenoisingLoss denoising_loss(const NoiseSchedule& schedule,
                                    std::span<const std::int64_t> timesteps,
                                    std::span<const std::int64_t> previous, const Array& clean,
                                    const Array& noise, const Array& noisy, const Array& output,
                                    const std::vector<double>& weights,
                                    double bound_weight = 0.001) {
    const Shape shape = shape_of(clean);
    const std::int64_t batch = shape[0], channels = shape[3], pixels = shape[1] * shape[2];
    const std::int64_t out_channels = shape_of(output)[3];
    const auto count = static_cast<std::size_t>(pixels * channels);
    DenoisingLoss result{0, 0, make_array(shape_of(output))};
    std::vector<double> losses(static_cast<std::size_t>(batch)), bounds(losses);
    kernels::parallel_for(batch, [&](std::int64_t b, int) {
        const auto picture = [&](const Array& x) {
            return std::span(x.data() + b * pixels * channels, count);
        };
        const std::int64_t t = timesteps[static_cast<std::size_t>(b)];
        std::vector<float> target(count), prediction(count), fraction(count),
            fraction_gradient(count);
        prediction_target(schedule.config.prediction_type, schedule.signal_and_noise(t),
                          picture(clean), picture(noise), target);
        const float* out = output.data() + b * pixels * out_channels;
        float* gradient = result.gradient.data() + b * pixels * out_channels;
        for (std::int64_t i = 0; i < pixels; ++i)
            for (std::int64_t c = 0; c < channels; ++c) {
                const auto at = static_cast<std::size_t>(i * channels + c);
                prediction[at] = out[i * out_channels + c];
                if (out_channels > channels) fraction[at] = out[i * out_channels + channels + c];
            }
        const double weight = weights[static_cast<std::size_t>(b)] /
                              (static_cast<double>(count) * static_cast<double>(batch));
        double loss = 0;
        for (std::int64_t i = 0; i < pixels; ++i)
            for (std::int64_t c = 0; c < channels; ++c) {
                const auto at = static_cast<std::size_t>(i * channels + c);
                const double difference =
                    static_cast<double>(prediction[at]) - static_cast<double>(target[at]);
                loss += weight * difference * difference;
                gradient[i * out_channels + c] = static_cast<float>(2 * weight * difference);
            }
        losses[static_cast<std::size_t>(b)] = loss;
        if (out_channels == channels) return;
        const std::int64_t before = previous[static_cast<std::size_t>(b)];
        const double share = bound_weight * static_cast<double>(schedule.size()) /
                             static_cast<double>((t - before) * batch);
        bounds[static_cast<std::size_t>(b)] =
            variational_bound(schedule, t, before, picture(clean), picture(noisy), prediction,
                              fraction, fraction_gradient, share) /
            static_cast<double>(batch);
        for (std::int64_t i = 0; i < pixels; ++i)
            for (std::int64_t c = 0; c < channels; ++c)
                gradient[i * out_channels + channels + c] =
                    fraction_gradient[static_cast<std::size_t>(i * channels + c)];
    });
    for (const double loss : losses) result.loss += loss;
    for (const double bound : bounds) result.bound += bound;
    return result;
}

}  // namespace dalle2
