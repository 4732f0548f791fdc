// The public sizes of CLIP: models made from their configs have exactly the tensors of
// transformers' CLIPModel. Of its lists of names and shapes only the hash is kept here.
#include <doctest/doctest.h>

#include <dalle2/clip/config.hpp>
#include <dalle2/engine/trace.hpp>

#include "golden_files.hpp"
#include "tensor_list.hpp"

using namespace dalle2;

TEST_CASE("every public size has the reference's tensors, and its encoders meet in one space") {
    const auto records = golden::read_json(golden::folder() / "public_clip.json");
    REQUIRE(records.size() == 7);
    for (const auto& [name, record] : records.items()) {
        CAPTURE(name);
        const ClipModel<Trace> model(clip_config(ConfigReader(record["config"], name)));
        const golden::TensorList tensors = golden::tensor_list(model);
        CHECK(tensors.count == record["tensors"].get<std::size_t>());
        CHECK(parameter_count(model) == record["parameters"].get<std::int64_t>());
        CHECK(tensors.hash == record["hash"].get<std::string>());

        const std::int64_t size = model.config.image.image_size;
        const Shape space = {2, record["config"]["projection_dim"].get<std::int64_t>()};
        CHECK(Trace::shape(model.image_encoder(Trace::tensor({2, size, size, 3}))) == space);
        const TokenBatch text{2, 3, {49406, 320, 49407, 49406, 49407, 0}, {1, 1, 1, 1, 1, 0}};
        CHECK(Trace::shape(model.text_encoder(text).text_embedding) == space);
    }
}
