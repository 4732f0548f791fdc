#include <dalle2/io/weights.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/nn/layers.hpp>

#include "temporary_folder.hpp"

using namespace dalle2;

namespace {

// A module with a part of every kind.
template <Engine E>
struct Toy {
    Linear<E> first{3, 5};
    std::vector<Linear<E>> layers;
    std::optional<Linear<E>> absent;
    LayerNorm<E> norm{5, 1e-5};

    Toy() {
        layers.emplace_back(5, 5, false);
        layers.emplace_back(5, 2);
    }

    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& visitor) {
        visitor("first", self.first);
        visitor("layers", self.layers);
        visitor("absent", self.absent);
        visitor("norm", self.norm);
    }
};

using Tensors = std::vector<std::pair<std::string, Array>>;

Tensors toy_tensors() {
    Tensors tensors = {
        {"first.weight", make_array({5, 3})},    {"first.bias", make_array({5})},
        {"layers.0.weight", make_array({5, 5})}, {"layers.1.weight", make_array({2, 5})},
        {"layers.1.bias", make_array({2})},      {"norm.weight", make_array({5})},
        {"norm.bias", make_array({5})}};
    std::mt19937 random(5);
    for (auto& [name, array] : tensors)
        for (float& value : array) value = std::normal_distribution<float>()(random);
    return tensors;
}

template <Engine E>
void check_round_trip() {
    TemporaryFolder folder;
    const Tensors tensors = toy_tensors();
    write_safetensors(folder / "a", tensors);
    Toy<E> toy;
    load_weights(toy, folder / "a");
    save_weights(toy, folder / "b");
    const SafetensorsFile file(folder / "b");
    REQUIRE(file.names().size() == tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        CHECK(file.names()[i] == tensors[i].first);
        CHECK(file.to_array(tensors[i].first) == tensors[i].second);
    }
    save_weights(toy, folder / "c", DType::bf16);
    CHECK(SafetensorsFile(folder / "c").view("first.bias").dtype == DType::bf16);
}

// What loading `tensors` says.
std::string message(const Tensors& tensors) {
    TemporaryFolder folder;
    write_safetensors(folder / "a.safetensors", tensors);
    Toy<Reference> toy;
    try {
        load_weights(toy, folder / "a.safetensors");
    } catch (const FormatError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("weights are loaded under the module's names and saved again, exactly") {
    check_round_trip<Reference>();
    check_round_trip<Cpu<float>>();
}

TEST_CASE("missing, unknown and misshapen tensors are named") {
    CHECK(message(toy_tensors()).empty());
    Tensors tensors = toy_tensors();
    tensors.pop_back();
    CHECK(message(tensors).find("1 missing (norm.bias)") != std::string::npos);
    tensors = toy_tensors();
    tensors.emplace_back("absent.weight", make_array({1}));
    CHECK(message(tensors).find("1 unknown (absent.weight)") != std::string::npos);
    tensors = toy_tensors();
    tensors[0].second = make_array({3, 5});
    CHECK(message(tensors).find("1 of another shape (first.weight is [3, 5], expected [5, 3])") !=
          std::string::npos);
    CHECK(message({}).find("7 missing (first.weight, first.bias, layers.0.weight, layers.1.weight, "
                           "layers.1.bias, …)") != std::string::npos);
    tensors = toy_tensors();
    tensors[0].first = "second.weight";
    tensors[1].second = make_array({6});
    const std::string all = message(tensors);
    CHECK(all.find("a.safetensors") != std::string::npos);
    CHECK(all.find("missing (first.weight)") != std::string::npos);
    CHECK(all.find("unknown (second.weight)") != std::string::npos);
    CHECK(all.find("first.bias is [6], expected [5]") != std::string::npos);
}

TEST_CASE("tables of positions in old checkpoints are passed over") {
    Tensors tensors = toy_tensors();
    tensors.emplace_back("text_model.embeddings.position_ids", make_array({1, 77}));
    CHECK(message(tensors).empty());
}

TEST_CASE("a file that does not fit leaves the module as it was") {
    TemporaryFolder folder;
    Tensors tensors = toy_tensors();
    write_safetensors(folder / "good", tensors);
    Toy<Reference> toy;
    load_weights(toy, folder / "good");
    tensors[0].second.fill(9.0f);
    tensors.pop_back();
    write_safetensors(folder / "bad", tensors);
    CHECK_THROWS_AS(load_weights(toy, folder / "bad"), FormatError);
    CHECK(Reference::store(toy.first.weight) == toy_tensors()[0].second);
    CHECK_THROWS_AS(load_weights(toy, folder / "none"), IoError);
}

TEST_CASE("weights that are not finite give a warning that names the tensor") {
    TemporaryFolder folder;
    Tensors tensors = toy_tensors();
    write_safetensors(folder / "a", tensors);
    std::vector<std::string> warnings;
    const Warn warn = [&](const std::string& text) { warnings.push_back(text); };
    Toy<Reference> toy;
    load_weights(toy, folder / "a", warn);
    CHECK(warnings.empty());
    tensors[2].second(1, 1) = std::numeric_limits<float>::quiet_NaN();
    tensors[2].second(0, 1) = std::numeric_limits<float>::infinity();
    write_safetensors(folder / "a", tensors);
    load_weights(toy, folder / "a", warn);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("layers.0.weight contains 2 values") != std::string::npos);
    CHECK_NOTHROW(load_weights(toy, folder / "a"));
}
