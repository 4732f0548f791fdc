// One golden case of models.json, run on an engine.
#pragma once

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/io/config.hpp>

#include "deterministic.hpp"
#include "golden_files.hpp"

namespace golden {

using dalle2::Array;
using dalle2::Shape;

template <class E>
inline constexpr bool is_bfloat16 = std::is_same_v<E, dalle2::Cpu<dalle2::bfloat16>>;

// What an engine may differ by, as a share of the largest number. Float: sums in another order.
// Bfloat16: each of dozens of operations in a row rounds its result by up to 2⁻⁹, and the
// networks amplify some of that; PyTorch's own bfloat16 differs by 0.019 (CLIP), 0.012 (prior),
// 0.006 (text projection) and 0.017 (UNets) on the worst of these cases.
template <class E>
double tolerance(const std::string& case_name) {
    if (!is_bfloat16<E>) return 1e-5;
    // (Of the worst of all numbers, in networks of a few layers: between instruction sets, which
    // round in different places, it differs by a third.)
    return case_name.starts_with("decoder/") || case_name.starts_with("upsampler/") ? 0.03 : 0.02;
}

class Case {
public:
    explicit Case(const nlohmann::json& record) : record_(record) {}

    std::string name() const { return record_["name"]; }
    dalle2::ConfigReader config() const { return {record_["config"], "models.json, " + name()}; }
    bool has_input(const std::string& key) const { return record_["inputs"].contains(key); }

    // The inputs that are random numbers, pictures with their channels last.
    template <class E>
    typename E::Tensor input(const std::string& key) const {
        return E::from_array(channels_last(host_input(key)));
    }
    Array host_input(const std::string& key) const {
        return inputs(name() + "/" + key, record_["inputs"][key]["shape"].get<Shape>());
    }

    // The inputs that are written down, flat.
    template <class T>
    std::vector<T> list(const std::string& key) const {
        const auto& values = record_["inputs"][key];
        if (values[0].is_number()) return values.get<std::vector<T>>();
        std::vector<T> flat;
        for (const auto& row : values)
            for (const auto& value : row) flat.push_back(value.get<T>());
        return flat;
    }

    Array output(const std::string& key) const {
        return channels_last(read_array(record_["outputs"][key]));
    }

    // Fills in the weights, after checking that names and shapes are the reference's.
    template <class E, class Module>
    void load(Module& module) const {
        auto expected = record_["parameters"];
        dalle2::for_each_parameter(module, [&](const std::string& parameter_name, auto& parameter) {
            CAPTURE(parameter_name);
            REQUIRE(expected.contains(parameter_name));
            CHECK(Shape(parameter.shape()) == expected[parameter_name].template get<Shape>());
            expected.erase(parameter_name);
        });
        const std::string left = expected.dump();
        CHECK(left == "{}");
        fill<E>(name(), module);
    }

    template <class E>
    void check(const typename E::Tensor& found, const std::string& key) const {
        check_array<E>(E::to_array(found), key);
    }
    template <class E>
    void check_array(const Array& found, const std::string& key) const {
        const std::string what = name() + " " + key;
        CAPTURE(what);
        const double error = relative_error(found, output(key));
        CHECK(error < tolerance<E>(name()));
    }

private:
    nlohmann::json record_;
};

// The cases whose name begins with `component`.
inline std::vector<Case> cases(const std::string& component) {
    static const nlohmann::json records = read_json(folder() / "models.json");
    std::vector<Case> found;
    for (const auto& record : records)
        if (record["name"].get<std::string>().starts_with(component + "/"))
            found.emplace_back(record);
    REQUIRE(!found.empty());
    return found;
}

}  // namespace golden

// Prints as a name instead of a mangled type.
TYPE_TO_STRING_AS("Reference", dalle2::Reference);
TYPE_TO_STRING_AS("Cpu<float>", dalle2::Cpu<float>);
TYPE_TO_STRING_AS("Cpu<bfloat16>", dalle2::Cpu<dalle2::bfloat16>);

#define GOLDEN_ENGINES dalle2::Reference, dalle2::Cpu<float>, dalle2::Cpu<dalle2::bfloat16>
