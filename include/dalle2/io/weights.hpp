// Weights of a module, from and to files, under the names that the module gives them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/engine/weight_origin.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/weight_files.hpp>
#include <dalle2/nn/visit.hpp>

namespace dalle2 {

// Receives what is worth a person's attention but no error, one line each.
using Warn = std::function<void(const std::string&)>;

namespace detail {

// Tensors that some checkpoints contain although they are no weights: tables of 0, 1, 2, …
inline bool is_ignored_tensor(const std::string& name) {
    return name == "text_model.embeddings.position_ids" ||
           name == "vision_model.embeddings.position_ids";
}

// " 3 missing (a, b, c);" or nothing.
inline std::string counted_names(const std::vector<std::string>& names, const char* what) {
    constexpr std::size_t most = 5;
    if (names.empty()) return "";
    std::string text = " " + std::to_string(names.size()) + " " + what + " (";
    for (std::size_t i = 0; i < std::min(most, names.size()); ++i)
        text += (i ? ", " : "") + names[i];
    return text + (names.size() > most ? ", …);" : ");");
}

// The names and shapes of a module's parameters.
using ParameterShapes = std::vector<std::pair<std::string, Shape>>;
template <class Module>
ParameterShapes parameter_shapes(const Module& module) {
    ParameterShapes shapes;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        shapes.emplace_back(name, parameter.shape());
    });
    return shapes;
}

inline void check_weights(const ParameterShapes& parameters, const WeightFiles& file) {
    std::set<std::string> expected;
    std::vector<std::string> missing, misshapen, unknown;
    for (const auto& [name, shape] : parameters) {
        expected.insert(name);
        if (!file.contains(name)) {
            missing.push_back(name);
        } else if (file.dtype(name) == DType::i8 && !file.is_int8(name)) {
            missing.push_back(int8_scale_name(name));
        } else if (file.shape(name) != shape) {
            misshapen.push_back(name + " is " + to_string(file.shape(name)) + ", expected " +
                                to_string(shape));
        }
    }
    for (const std::string& name : file.names())
        if (!expected.contains(name) && !is_ignored_tensor(name)) unknown.push_back(name);
    if (!missing.empty() || !misshapen.empty() || !unknown.empty()) {
        std::string problems = counted_names(missing, "missing") +
                               counted_names(misshapen, "of another shape") +
                               counted_names(unknown, "unknown");
        problems.pop_back();
        throw FormatError(file.path().string() + " does not fit the model's config.json: of " +
                          std::to_string(expected.size()) + " tensors" + problems);
    }
}

inline void warn_of_bad_values(std::int64_t count, const std::string& name, const WeightFiles& file,
                               const Warn& warn) {
    if (count > 0 && warn)
        warn(file.path().string() + ": the tensor " + name + " contains " + std::to_string(count) +
             " values that are infinite or not a number; the results will be useless");
}

// What is in a tensor's row: elements of a type that lie one after the other; of int8, times the
// row's scale. Throws FormatError for scales that are no positive numbers.
class TensorRows {
public:
    TensorRows(const WeightFiles& file, const std::string& name) : view_(file.view(name)) {
        const std::size_t rows = view_.shape.empty() ? 1 : static_cast<std::size_t>(view_.shape[0]);
        row_bytes_ = rows > 0 ? view_.bytes.size() / rows : 0;
        if (file.is_int8(name)) scales_ = file.scales(name);
    }
    void operator()(std::int64_t first, std::int64_t count, float* values) const {
        to_floats(view_.dtype,
                  view_.bytes.subspan(static_cast<std::size_t>(first) * row_bytes_,
                                      static_cast<std::size_t>(count) * row_bytes_),
                  values);
        if (scales_.size() > 0)
            multiply_by_scales(scales_.data() + first, count, static_cast<std::int64_t>(row_bytes_),
                               values);
    }

private:
    TensorView view_;
    std::size_t row_bytes_;
    Array scales_ = make_array({0});
};

// Loads one parameter of a module. (Not in load_weights, which is compiled for every module.)
template <Engine E>
void load_parameter(typename E::Parameter& parameter, const std::string& name,
                    const WeightFiles& file, const Warn& warn) {
    using Precision = WeightOrigin::Precision;
    const WeightOrigin origin = {.name = name,
                                 .precision = file.is_int8(name)     ? Precision::int8
                                              : file.made_for_int8() ? Precision::other
                                                                     : Precision::undecided};
    if constexpr (requires(const kernels::AnyPackedWeights& weights) {
                      E::load_packed(parameter, weights, origin);
                  })
        if (const auto packed = file.packed(name);
            packed && E::load_packed(parameter, *packed, origin)) {
            file.check(name);
            return warn_of_bad_values(file.not_finite(name), name, file, warn);
        }
    std::int64_t not_finite = 0;
    const auto values = [&] {
        Array all = file.to_array(name);
        not_finite = count_not_finite(static_cast<std::int64_t>(all.size()), all.data());
        return all;
    };
    using Rows = TensorRows;
    // (Those that want to know the origin first: an engine has also what it inherits.)
    if constexpr (requires(const Rows& rows) { E::load_rows(parameter, rows, origin); })
        not_finite = E::load_rows(parameter, Rows(file, name), origin);
    else if constexpr (requires(const Array& all) { E::load(parameter, all, origin); })
        E::load(parameter, values(), origin);
    else if constexpr (requires(const Rows& rows) { E::load_rows(parameter, rows); })
        not_finite = E::load_rows(parameter, Rows(file, name));
    else
        E::load(parameter, values());
    warn_of_bad_values(not_finite, name, file, warn);
    file.forget(name);
}

}  // namespace detail

// Throws one FormatError that names the tensors which are missing, unknown or misshapen, unless
// `file` has exactly the names and shapes of the module's parameters.
template <class Module>
void check_weights(const Module& module, const WeightFiles& file) {
    detail::check_weights(detail::parameter_shapes(module), file);
}

// Loads every parameter of `module`; a tensor's pages of the file leave memory after it, unless
// they are packed for this engine, which then uses them where they are. Throws as check_weights
// before anything is loaded; values that are not finite are a warning.
template <Engine E, class Module>
void load_weights(Module& module, const WeightFiles& file, const Warn& warn = nullptr) {
    check_weights(module, file);
    std::int64_t elements = 0;
    for (const auto& [name, shape] : detail::parameter_shapes(module))
        elements += element_count(shape);
    // (A small one would fill the last large page only in part.)
    constexpr std::int64_t large = 32 << 20;
    std::optional<BufferPool::Together> together;
    if (elements >= large) together.emplace();
    for_each_parameter(module, [&](const std::string& name, auto& parameter) {
        detail::load_parameter<E>(parameter, name, file, warn);
    });
}

// From a file, or the index of several. Throws also as WeightFiles does.
template <Engine E, class Module>
void load_weights(Module& module, const std::filesystem::path& path, const Warn& warn = nullptr) {
    load_weights<E>(module, WeightFiles(path), warn);
}

// Writes every parameter of `module`, in the module's order, as `dtype` (F32, BF16 or F16); the
// file appears complete or not at all. Throws as SafetensorsWriter does.
template <Engine E, class Module>
void save_weights(const Module& module, const std::filesystem::path& path, DType dtype = DType::f32,
                  const SafetensorsMetadata& metadata = default_safetensors_metadata()) {
    std::vector<TensorInfo> tensors;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        tensors.push_back({name, parameter.shape(), dtype});
    });
    SafetensorsWriter writer(path, std::move(tensors), metadata);
    for_each_parameter(module, [&](const std::string&, const auto& parameter) {
        writer.add(E::store(parameter));
    });
    writer.commit();
}

// The same for a module that says itself which engine it is made of, Module<E>.
template <template <Engine> class Module, Engine E>
void load_weights(Module<E>& module, const std::filesystem::path& path,
                  const Warn& warn = nullptr) {
    load_weights<E, Module<E>>(module, path, warn);
}
template <template <Engine> class Module, Engine E>
void save_weights(const Module<E>& module, const std::filesystem::path& path,
                  DType dtype = DType::f32,
                  const SafetensorsMetadata& metadata = default_safetensors_metadata()) {
    save_weights<E, Module<E>>(module, path, dtype, metadata);
}

}  // namespace dalle2
