// Weights from one layout and precision to another: one file or several, safetensors always.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/weight_files.hpp>

namespace dalle2 {

struct ConvertOptions {
    // F64, F32, F16 or BF16 for every tensor of floats; tensors of integers and truth values stay
    // as they are. Without it, floats do too.
    std::optional<DType> dtype = {};
    // No file becomes larger, unless a single tensor is; 0: one file whatever its size.
    std::uint64_t max_shard_size = 0;
    // The tensors that become int8, each with a tensor of scales (see int8_tensor.hpp); the files
    // then say that they were made for int8, even if there is none. Weights of int8 in the source
    // become floats when a dtype or this is given.
    std::optional<std::set<std::string>> int8 = {};
    std::string variant = "";  // in the names of the files that are written, such as "fp16"
    // Told what is lost: numbers beyond the range of the new type.
    std::function<void(const std::string&)> warn = nullptr;
    // Called after each tensor: (bytes written, bytes to write). May throw to stop.
    std::function<void(std::uint64_t, std::uint64_t)> on_progress = nullptr;
};

inline bool is_floating(DType dtype) {
    switch (dtype) {
        case DType::f64:
        case DType::f32:
        case DType::f16:
        case DType::bf16:
        case DType::f8_e4m3:
        case DType::f8_e5m2: return true;
        default: return false;
    }
}

namespace detail {

// "-00002-of-00010", nothing for a single file.
inline std::string shard_suffix(std::size_t index, std::size_t count) {
    if (count == 1) return "";
    char text[64];
    std::snprintf(text, sizeof text, "-%05zu-of-%05zu", index + 1, count);
    return text;
}

// Finite numbers of `values` whose magnitude the type cannot hold.
inline std::size_t count_overflows(const Array& values, DType dtype) {
    // The first number that rounds to infinity: half a step beyond the largest.
    const double limit = dtype == DType::f16    ? 65520.0
                         : dtype == DType::bf16 ? 0x1.ffp127
                                                : HUGE_VAL;
    return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [&](float value) {
        const double magnitude = std::abs(static_cast<double>(value));
        return magnitude >= limit && std::isfinite(value);
    }));
}

// The tensors that the tensor `name` of the source becomes: itself, and of int8 its scales too.
inline std::vector<TensorInfo> converted_tensors(const WeightFiles& source, const std::string& name,
                                                 const ConvertOptions& options) {
    const Shape& shape = source.shape(name);
    const bool scaled = source.is_int8(name);
    if (options.int8 ? options.int8->contains(name) : scaled && !options.dtype) {
        const std::string scale = int8_scale_name(name);
        return {{name, shape, DType::i8},
                {scale, {shape.at(0)}, scaled ? source.dtype(scale) : DType::f32}};
    }
    const DType dtype = source.dtype(name);
    if (scaled) return {{name, shape, options.dtype.value_or(DType::f32)}};
    return {{name, shape, options.dtype && is_floating(dtype) ? *options.dtype : dtype}};
}

[[noreturn]] inline void throw_not_for_int8(const WeightFiles& source, const std::string& name) {
    throw FormatError(source.path_of(name).string() + ": the tensor " + name +
                      " contains values that are infinite or not a number, which int8 cannot hold");
}

// Writes what `name` becomes: see converted_tensors. What is int8 already is not rounded again: its
// bytes and scales are kept.
inline void convert_int8(const WeightFiles& source, const std::string& name,
                         SafetensorsWriter& writer) {
    if (source.is_int8(name)) {
        writer.add_bytes(source.view(name).bytes);
        writer.add_bytes(source.view(int8_scale_name(name)).bytes);
        return;
    }
    const Array values = source.to_array(name);
    if (std::any_of(values.begin(), values.end(), [](float x) { return !std::isfinite(x); }))
        throw_not_for_int8(source, name);
    const Int8Tensor made = to_int8(values);
    writer.add_bytes(std::as_bytes(std::span(made.values)));
    writer.add(std::span<const float>(made.scales));
}

inline void warn_of_overflows(const Array& values, const TensorInfo& tensor,
                              const ConvertOptions& options) {
    if (const std::size_t lost = count_overflows(values, tensor.dtype); lost > 0 && options.warn)
        options.warn("the tensor " + tensor.name + " has " + std::to_string(lost) +
                     " values beyond the range of " + std::string(to_string(tensor.dtype)) +
                     "; they became infinite");
}

inline void convert_tensor(const WeightFiles& source, const TensorInfo& tensor,
                           SafetensorsWriter& writer, const ConvertOptions& options) {
    if (source.dtype(tensor.name) == tensor.dtype) {
        writer.add_bytes(source.view(tensor.name).bytes);
        return;
    }
    const Array values = source.to_array(tensor.name);
    warn_of_overflows(values, tensor, options);
    writer.add(values);
}

}  // namespace detail

// Writes the tensors of `source` into a folder: as stem.safetensors, or in files of limited size
// with stem.safetensors.index.json, as transformers and diffusers name and read them. Never holds
// more than one tensor. Throws IoError, FormatError, ConfigError for another dtype.
inline void convert_weights(const WeightFiles& source, const std::filesystem::path& folder,
                            const std::string& stem, const ConvertOptions& options = {}) {
    const DType wanted = options.dtype.value_or(DType::f32);
    if (!is_floating(wanted) || size_of(wanted) == 1)
        throw ConfigError("weights cannot be written as " + std::string(to_string(wanted)) +
                          "; expected F64, F32, F16 or BF16");
    const auto bytes_of = [](const TensorInfo& tensor) {
        return detail::checked_byte_count(tensor.shape, tensor.dtype, tensor.name);
    };
    using Group = std::vector<TensorInfo>;  // what one tensor of the source becomes
    std::vector<std::vector<Group>> shards(1);
    std::uint64_t total = 0, in_shard = 0;
    for (const std::string& name : source.names()) {
        Group group = detail::converted_tensors(source, name, options);
        std::uint64_t size = 0;
        for (const TensorInfo& tensor : group) size += bytes_of(tensor);
        if (options.max_shard_size > 0 && !shards.back().empty() &&
            in_shard + size > options.max_shard_size) {
            shards.emplace_back();
            in_shard = 0;
        }
        shards.back().push_back(std::move(group));
        in_shard += size;
        total += size;
    }

    SafetensorsMetadata metadata = default_safetensors_metadata();
    if (options.int8 || (source.made_for_int8() && !options.dtype))
        metadata[int8_metadata_key] = int8_metadata_text;
    const std::string variant = options.variant.empty() ? "" : "." + options.variant;
    OrderedJson weight_map = OrderedJson::object();
    std::uint64_t written = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const std::string file =
            stem + variant + detail::shard_suffix(i, shards.size()) + ".safetensors";
        std::vector<TensorInfo> tensors;
        for (const Group& group : shards[i])
            tensors.insert(tensors.end(), group.begin(), group.end());
        SafetensorsWriter writer(folder / file, tensors, metadata);
        for (const Group& group : shards[i]) {
            if (group.size() == 2)
                detail::convert_int8(source, group.front().name, writer);
            else
                detail::convert_tensor(source, group.front(), writer, options);
            source.forget(group.front().name);
            for (const TensorInfo& tensor : group) {
                put(weight_map, tensor.name, file);
                written += bytes_of(tensor);
            }
            if (options.on_progress) options.on_progress(written, total);
        }
        writer.commit();
    }
    if (shards.size() == 1) return;
    OrderedJson index;
    OrderedJson sizes;
    put(sizes, "total_size", total);
    put(index, "metadata", std::move(sizes));
    put(index, "weight_map", std::move(weight_map));
    write_json(folder / (stem + ".safetensors.index" + variant + ".json"), index);
}

}  // namespace dalle2
