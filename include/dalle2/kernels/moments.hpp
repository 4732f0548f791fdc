// What a convolution can tell about its result on the way, so that a group norm need not read it
// once more.
#pragma once

#include <algorithm>
#include <vector>

#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/parallel.hpp>

namespace dalle2::kernels {

// The mean and the variance of each channel over the pixels of each picture. Empty: not known.
class ChannelMoments {
public:
    ChannelMoments() = default;
    ChannelMoments(int64 batch, int64 channels)
        : batch_(batch), channels_(channels), values_(2 * batch * channels) {}

    bool empty() const { return batch_ == 0; }
    int64 batch() const { return batch_; }
    int64 channels() const { return channels_; }
    float* means(int64 picture) const { return values_.get() + 2 * picture * channels_; }
    float* variances(int64 picture) const { return means(picture) + channels_; }

private:
    int64 batch_ = 0, channels_ = 0;
    AlignedBuffer<float> values_;
};

// Of the channels of all parts, one part after the other. Empty where one of them is.
inline ChannelMoments concatenated(const std::vector<ChannelMoments>& parts) {
    int64 channels = 0;
    for (const ChannelMoments& part : parts) {
        if (part.empty() || part.batch() != parts.front().batch()) return {};
        channels += part.channels();
    }
    if (parts.empty()) return {};
    ChannelMoments all(parts.front().batch(), channels);
    for (int64 b = 0; b < all.batch(); ++b) {
        int64 first = 0;
        for (const ChannelMoments& part : parts) {
            std::copy_n(part.means(b), part.channels(), all.means(b) + first);
            std::copy_n(part.variances(b), part.channels(), all.variances(b) + first);
            first += part.channels();
        }
    }
    return all;
}

// A picture's result is cut into pieces of equal size, which depends on nothing, so that sums are
// the same for any number of threads: a tile of a matrix unit, and the rows of the picture below
// it.
struct MomentPieces {
    static constexpr int64 rows = 4, columns = 32, pixels = rows * columns, channels = 32;

    // Of a piece's channels: Σ (y − shift) and Σ (y − shift)², over the pixels so far. The shift is
    // what the first pixel has, so that next to nothing is lost in the difference of both.
    alignas(64) float shift[channels], sums[channels], squares[channels];
    int64 pixels_so_far = 0;
};

// Joins what pieces [batch][pieces][mean, Σ (y − mean)²][channels] have, as Chan, Golub and LeVeque
// do (1983, "Algorithms for computing the sample variance").
inline void join_moment_pieces(const float* pieces_of_all, int64 pieces, const ChannelMoments& to) {
    constexpr int64 together = MomentPieces::channels;
    const int64 groups = to.channels() / together, stride = 2 * to.channels();
    const double count = static_cast<double>(pieces);
    parallel_for(to.batch() * groups, [&](int64 task, int) {
        const int64 b = task / groups, first = task % groups * together;
        const float* piece = pieces_of_all + b * pieces * stride + first;
        double mean[together] = {}, variance[together] = {};
        for (int64 i = 0; i < pieces; ++i)
            for (int64 c = 0; c < together; ++c)
                mean[c] += static_cast<double>(piece[i * stride + c]) / count;
        for (int64 i = 0; i < pieces; ++i)
            for (int64 c = 0; c < together; ++c) {
                const double distance = static_cast<double>(piece[i * stride + c]) - mean[c];
                variance[c] += (static_cast<double>(piece[i * stride + to.channels() + c]) /
                                    static_cast<double>(MomentPieces::pixels) +
                                distance * distance) /
                               count;
            }
        for (int64 c = 0; c < together; ++c) {
            to.means(b)[first + c] = static_cast<float>(mean[c]);
            to.variances(b)[first + c] = static_cast<float>(variance[c]);
        }
    });
}

}  // namespace dalle2::kernels
