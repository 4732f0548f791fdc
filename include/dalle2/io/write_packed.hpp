// Writes weights in the order in which the CPU engines multiply them: see packed_file.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/arena.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/io/check_sum.hpp>
#include <dalle2/io/convert_weights.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/packed_file.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/weight_files.hpp>
#include <dalle2/kernels/int8.hpp>
#include <dalle2/kernels/kernels.hpp>

namespace dalle2 {

// Throws ConfigError for a type by which no engine multiplies: for who wants to know before work
// that takes minutes.
inline void check_packed_dtype(DType dtype) {
    if (dtype != DType::bf16 && dtype != DType::f32)
        throw ConfigError("weights cannot be packed as " + std::string(to_string(dtype)) +
                          ", by which no engine multiplies; expected BF16 or F32");
}

namespace detail {

// Whether a tensor is a table of embeddings: those look like the weights of a linear layer.
inline bool is_table(const std::string& name) {
    return name.ends_with("embedding.weight") && name.find("embeddings.") != std::string::npos;
}
// Whether it is the weight of a linear layer or a convolution, as far as its name and shape tell.
// (A mistake costs time when it is loaded, and is no error: who wants such a tensor in its own
// order gets it.)
inline bool is_worth_packing(const std::string& name, const Shape& shape) {
    return (shape.size() == 4 || (shape.size() == 2 && !is_table(name))) && shape[0] > 1 &&
           element_count(shape) > 0;
}

// (A template, with one kind of source, so that programs which do not write such files do not
// compile the packing for all types.)
template <std::same_as<WeightFiles> Source>
class PackedWriter {
public:
    PackedWriter(const Source& source, const ConvertOptions& options)
        : source_(source), options_(options), dtype_(options.dtype.value_or(DType::bf16)) {
        check_packed_dtype(dtype_);
        if (options.max_shard_size > 0)
            throw ConfigError("packed weights are one file for each network; expected no limit");
        // Those that are used where they lie come first: each of them is whole lines of a cache.
        for (const bool packed : {true, false})
            for (const std::string& name : source.names())
                if (is_packed(name) == packed) names_.push_back(name);
        for (const std::string& name : names_)
            if (is_packed(name)) announce_packed(name);
        for (const std::string& name : names_)
            if (is_packed(name) && is_int8(name)) {
                const std::int64_t out = source.shape(name).at(0);
                tensors_.push_back({int8_scale_name(name), {out}, DType::f32});
                tensors_.push_back({packed_sum_name(name), {out}, DType::i32});
            } else if (!is_packed(name)) {
                tensors_.push_back({name, source.shape(name), dtype_of_other(name)});
            }
        tensors_.push_back(
            {packed_checks_name, {static_cast<std::int64_t>(tensors_.size()), 2}, DType::u64});
    }

    void write(const std::filesystem::path& path) {
        std::uint64_t total = 0;
        for (const TensorInfo& tensor : tensors_)
            total += checked_byte_count(tensor.shape, tensor.dtype, tensor.name);
        SafetensorsWriter writer(path, tensors_, metadata(), ArenaLayout::unit);
        const auto add = [&](std::span<const std::byte> bytes, std::int64_t not_finite) {
            writer.add_bytes(bytes);
            checks_.push_back(check_sum(bytes));
            checks_.push_back(static_cast<std::uint64_t>(not_finite));
            written_ += bytes.size();
            if (options_.on_progress) options_.on_progress(written_, total);
        };
        std::vector<kernels::Int8Weights> int8;  // whose scales and sums are to follow
        for (const std::string& name : names_) {
            if (!is_packed(name)) continue;
            const Array values = source_.to_array(name);
            source_.forget(name);
            add_packed(name, values, int8, add);
        }
        auto next_int8 = int8.begin();
        for (const std::string& name : names_) {
            if (is_packed(name) && is_int8(name)) {
                const auto out = static_cast<std::size_t>(source_.shape(name).at(0));
                add(std::as_bytes(std::span(next_int8->scales(), out)), 0);
                add(std::as_bytes(std::span(next_int8->sums(), out)), 0);
                ++next_int8;
            } else if (!is_packed(name)) {
                add_other(name, add);
            }
        }
        writer.add_bytes(std::as_bytes(std::span(checks_)));
        writer.commit();
    }

private:
    bool is_int8(const std::string& name) const {
        return options_.int8 ? options_.int8->contains(name)
                             : source_.is_int8(name) && !options_.dtype;
    }
    bool is_packed(const std::string& name) const {
        const DType dtype = source_.dtype(name);
        return (is_floating(dtype) || source_.is_int8(name)) &&
               is_worth_packing(name, source_.shape(name));
    }
    // What is no weight of a layer. Numbers for norms and biases, means and deviations stay exact.
    DType dtype_of_other(const std::string& name) const {
        const DType dtype = source_.dtype(name);
        if (source_.is_int8(name)) return dtype_;
        if (!is_floating(dtype)) return dtype;
        return is_table(name) ? dtype_ : DType::f32;
    }
    void announce_packed(const std::string& name) {
        const Shape& shape = source_.shape(name);
        if (is_int8(name)) {
            const auto layout = kernels::packed_layout<std::int8_t>(shape);
            if (!kernels::fits_int8(layout.in, layout.kernel_height, layout.kernel_width))
                throw FormatError("the sums of the weight " + name + " " + to_string(shape) +
                                  " are too long for int8");
            tensors_.push_back({name, {layout.size()}, DType::i8});
        } else {
            const std::int64_t size = dtype_ == DType::f32
                                          ? kernels::packed_layout<float>(shape).size()
                                          : kernels::packed_layout<bfloat16>(shape).size();
            tensors_.push_back({name, {size}, dtype_});
        }
        OrderedJson extents = OrderedJson::array();
        for (const std::int64_t extent : shape) extents.push_back(extent);
        put(shapes_, name, std::move(extents));
    }
    SafetensorsMetadata metadata() const {
        OrderedJson packed = OrderedJson::object();
        put(packed, "version", packed_version);
        put(packed, "shapes", shapes_);
        SafetensorsMetadata metadata = default_safetensors_metadata();
        metadata[packed_metadata_key] = packed.dump();
        if (options_.int8 || (source_.made_for_int8() && !options_.dtype))
            metadata[int8_metadata_key] = int8_metadata_text;
        return metadata;
    }

    template <class Add>
    void add_packed(const std::string& name, const Array& values,
                    std::vector<kernels::Int8Weights>& int8, const Add& add) {
        const Shape& s = source_.shape(name);
        const std::int64_t not_finite =
            count_not_finite(static_cast<std::int64_t>(values.size()), values.data());
        const auto layout = kernels::packed_layout<float>(s);
        const auto bytes_of = [](const auto& packed) {
            return std::as_bytes(
                std::span(packed.data(), static_cast<std::size_t>(packed.layout().size())));
        };
        if (is_int8(name)) {
            if (not_finite > 0) throw_not_for_int8(source_, name);
            int8.push_back(kernels::pack_int8_weights(values.data(), layout.out, layout.in,
                                                      layout.kernel_height, layout.kernel_width));
            add(bytes_of(int8.back().packed()), 0);
            // The scales and sums are to stay, the weights are not.
            int8.back() = int8.back().without_weights();
        } else if (dtype_ == DType::f32) {
            add(bytes_of(kernels::pack_weights<float>(values.data(), layout.out, layout.in,
                                                      layout.kernel_height, layout.kernel_width)),
                not_finite);
        } else {
            warn_of_overflows(values, {name, s, dtype_}, options_);
            add(bytes_of(kernels::pack_weights<bfloat16>(values.data(), layout.out, layout.in,
                                                         layout.kernel_height,
                                                         layout.kernel_width)),
                not_finite + overflows(values));
        }
    }
    template <class Add>
    void add_other(const std::string& name, const Add& add) {
        const DType dtype = dtype_of_other(name);
        if (dtype == source_.dtype(name)) {
            const TensorView view = source_.view(name);
            const bool floats = is_floating(dtype);
            const Array values = floats ? to_array(view) : make_array({0});
            add(view.bytes,
                count_not_finite(static_cast<std::int64_t>(values.size()), values.data()));
            return;
        }
        const Array values = source_.to_array(name);
        const auto count = static_cast<std::int64_t>(values.size());
        const std::int64_t not_finite = count_not_finite(count, values.data());
        if (dtype == DType::f32) {
            add(std::as_bytes(std::span(values.data(), values.size())), not_finite);
            return;
        }
        warn_of_overflows(values, {name, source_.shape(name), dtype}, options_);
        std::vector<bfloat16> rounded(values.size());
        std::transform(values.begin(), values.end(), rounded.begin(),
                       [](float value) { return static_cast<bfloat16>(value); });
        add(std::as_bytes(std::span(rounded)), not_finite + overflows(values));
    }
    // What becomes infinite in bfloat16.
    static std::int64_t overflows(const Array& values) {
        return static_cast<std::int64_t>(count_overflows(values, DType::bf16));
    }

    const Source& source_;
    const ConvertOptions& options_;
    DType dtype_;
    std::vector<std::string> names_;   // of the source, packed ones first
    std::vector<TensorInfo> tensors_;  // of the file
    OrderedJson shapes_ = OrderedJson::object();
    std::vector<std::uint64_t> checks_;
    std::uint64_t written_ = 0;
};

}  // namespace detail

// Writes the tensors of `source` into a folder as stem.safetensors, weights of linear layers and
// convolutions packed, as BF16 unless options.dtype is F32, or int8; never holds more than one of
// them twice. The file is for this library alone. Throws IoError, FormatError, ConfigError.
template <std::same_as<WeightFiles> Source>
void write_packed(const Source& source, const std::filesystem::path& folder,
                  const std::string& stem, const ConvertOptions& options = {}) {
    const std::string variant = options.variant.empty() ? "" : "." + options.variant;
    detail::PackedWriter(source, options).write(folder / (stem + variant + ".safetensors"));
}

}  // namespace dalle2
