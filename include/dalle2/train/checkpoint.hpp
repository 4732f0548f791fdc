// The state of a training run on disk: everything that decides how it goes on.
#pragma once

#include <filesystem>
#include <string>

#include <dalle2/io/safetensors.hpp>
#include <dalle2/train/parameter_set.hpp>

namespace dalle2 {

// Writes weights, moments and averages, all in full precision, with `metadata`; the file appears
// complete or not at all.
template <class T>
void save_checkpoint(const std::filesystem::path& path, const ParameterSet<T>& parameters,
                     SafetensorsMetadata metadata) {
    constexpr DType dtype = std::is_same_v<Accumulator<T>, double> ? DType::f64 : DType::f32;
    std::vector<TensorInfo> tensors;
    for (const auto& entry : parameters.entries())
        for (const char* part : {"value", "first_moment", "second_moment", "average"})
            tensors.push_back({entry.name + "/" + part, entry.parameter.shape(), dtype});
    SafetensorsWriter writer(path, std::move(tensors), metadata);
    for (const auto& entry : parameters.entries())
        for (const auto* values :
             {&entry.parameter.values(), &entry.first_moment, &entry.second_moment, &entry.average})
            writer.add_bytes(std::as_bytes(std::span(*values)));
    writer.commit();
}

// Reads what save_checkpoint wrote into parameters of the same names and shapes and returns the
// metadata. Throws FormatError naming the first tensor that is missing, unknown or misshapen.
template <class T>
SafetensorsMetadata load_checkpoint(const std::filesystem::path& path,
                                    ParameterSet<T>& parameters) {
    const SafetensorsFile file(path);
    const auto read = [&](const std::string& name, const Shape& shape) {
        if (!file.contains(name))
            throw FormatError(path.string() + ": no tensor \"" + name +
                              "\"; this checkpoint is of another model");
        const TensorView view = file.view(name);
        if (view.shape != shape)
            throw FormatError(path.string() + ": tensor \"" + name + "\" is " +
                              to_string(view.shape) + ", expected " + to_string(shape) +
                              "; this checkpoint is of another model");
        typename ParameterSet<T>::Values values(static_cast<std::size_t>(element_count(shape)));
        if (view.bytes.size() != values.size() * sizeof(values[0]))
            throw FormatError(path.string() + ": tensor \"" + name +
                              "\" has another precision than this run");
        std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
        return values;
    };
    if (file.names().size() != 4 * parameters.entries().size())
        throw FormatError(path.string() + ": " + std::to_string(file.names().size()) +
                          " tensors, expected " + std::to_string(4 * parameters.entries().size()) +
                          "; this checkpoint is of another model");
    for (auto& entry : parameters.entries()) {
        const Shape shape = entry.parameter.shape();  // a copy, for assign makes it anew
        entry.parameter.assign(read(entry.name + "/value", shape));
        entry.first_moment = read(entry.name + "/first_moment", shape);
        entry.second_moment = read(entry.name + "/second_moment", shape);
        entry.average = read(entry.name + "/average", shape);
    }
    return file.metadata();
}

}  // namespace dalle2
