// The files of this folder, and what the numbers in them are compared with.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include <dalle2/core/array.hpp>

namespace golden {

inline std::filesystem::path folder() { return std::filesystem::path(__FILE__).parent_path(); }

inline nlohmann::json read_json(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot open " + path.string());
    return nlohmann::json::parse(file);
}

// {"shape": ..., "values": ...} → an array in the reference's memory order.
inline dalle2::Array read_array(const nlohmann::json& record) {
    dalle2::Array array = dalle2::make_array(record.at("shape").get<dalle2::Shape>());
    const auto& values = record.at("values");
    if (values.size() != array.size())
        throw std::runtime_error("a golden array of another size than its shape");
    for (std::size_t i = 0; i < array.size(); ++i) array.data()[i] = values[i].get<float>();
    return array;
}

// [batch, channels, height, width] → [batch, height, width, channels]; others as they are.
inline dalle2::Array channels_last(const dalle2::Array& array) {
    return array.dimension() == 4 ? dalle2::Array(xt::transpose(array, {0, 2, 3, 1})) : array;
}

inline dalle2::Array channels_first(const dalle2::Array& array) {
    return array.dimension() == 4 ? dalle2::Array(xt::transpose(array, {0, 3, 1, 2})) : array;
}

// The largest difference, as a share of the largest expected number. Infinite for NaN, infinity
// or another shape.
inline double relative_error(const dalle2::Array& found, const dalle2::Array& expected) {
    if (dalle2::shape_of(found) != dalle2::shape_of(expected)) return HUGE_VAL;
    double difference = 0.0, largest = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (!std::isfinite(found.data()[i])) return HUGE_VAL;
        difference = std::max(difference,
                              std::abs(static_cast<double>(found.data()[i]) - expected.data()[i]));
        largest = std::max(largest, std::abs(static_cast<double>(expected.data()[i])));
    }
    return difference / largest;
}

// Signal to noise in dB: the sum of squares of the expected numbers over that of the differences.
// Minus infinity for NaN, infinity or another shape.
inline double decibels(const dalle2::Array& found, const dalle2::Array& expected) {
    if (dalle2::shape_of(found) != dalle2::shape_of(expected)) return -HUGE_VAL;
    double signal = 0.0, noise = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double right = expected.data()[i], error = found.data()[i] - right;
        if (!std::isfinite(error)) return -HUGE_VAL;
        signal += right * right;
        noise += error * error;
    }
    return 10 * std::log10(signal / noise);
}

}  // namespace golden
