// Folders as transformers saves them, against its embeddings of the same texts and pictures.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>

#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/write_packed.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/load_clip.hpp>

#include "../golden/deterministic.hpp"
#include "../golden/golden_files.hpp"
#include "../golden/synthetic.hpp"
#include "../io/temporary_folder.hpp"
#include "tiny_model.hpp"

using namespace dalle2;

namespace {

const nlohmann::json& records() {
    static const nlohmann::json all = golden::read_json(golden::folder() / "clip_models.json");
    return all;
}

const nlohmann::json& record(const std::string& name) {
    for (const auto& found : records()["models"])
        if (found["name"] == name) return found;
    throw std::runtime_error("no record " + name);
}

std::vector<Picture> pictures() {
    std::vector<Picture> made;
    for (const auto& size : records()["sizes"]) made.push_back(golden::synthetic(size[0], size[1]));
    return made;
}

// The folder that save_pretrained would write, with the buffers that old versions save.
void write_model(const TemporaryFolder& folder, const std::string& name) {
    const auto& found = record(name);
    folder.write("config.json", found["config"].dump());
    folder.write("preprocessor_config.json", records()["processor"].dump());
    std::filesystem::copy(golden::folder().parent_path() / "text/golden/small_tokenizer",
                          folder.path());
    std::vector<TensorInfo> tensors;
    for (const auto& [tensor, shape] : found["parameters"].items())
        tensors.push_back({tensor, shape.get<Shape>(), DType::f32});
    tensors.push_back({"text_model.embeddings.position_ids", {1, 77}, DType::f32});
    tensors.push_back({"vision_model.embeddings.position_ids", {1, 5}, DType::f32});
    const std::vector<TensorInfo> all = tensors;
    SafetensorsWriter writer(folder / "model.safetensors", std::move(tensors));
    for (const TensorInfo& tensor : all)
        writer.add(tensor.shape.empty() ? make_array({}, 3.0f)
                                        : golden::weights(name, tensor.name, tensor.shape));
    writer.commit();
}

void check_embeddings(const Array& found, const nlohmann::json& expected, EngineKind engine) {
    CHECK(golden::relative_error(found, golden::read_array(expected)) <
          (engine == EngineKind::cpu_bfloat16 ? 0.03 : 1e-5));
}

}  // namespace

TEST_CASE("a whole CLIP gives the reference's embeddings of texts and pictures on every engine") {
    const auto texts = records()["texts"].get<std::vector<std::string>>();
    for (const std::string name : {"clip/usual", "clip/old"}) {
        const TemporaryFolder folder;
        write_model(folder, name);
        for (const EngineKind engine :
             {EngineKind::reference, EngineKind::cpu_float, EngineKind::cpu_bfloat16}) {
            CAPTURE(name);
            CAPTURE(to_string(engine));
            const Clip clip = load_clip<AllEngines>(folder.path(), {.engine = engine});
            CHECK(clip.engine() == engine);
            CHECK(clip.reads_texts());
            CHECK(clip.reads_pictures());
            CHECK(clip.projection_dim() == record(name)["config"]["projection_dim"]);
            CHECK(clip.logit_scale() == doctest::Approx(record(name)["logit_scale"].get<double>()));
            CHECK(clip.templates() == std::vector<std::string>{"a photo of a {}"});
            check_embeddings(clip.embed_texts(texts, {.batch = 3}), record(name)["texts"], engine);
            check_embeddings(clip.embed_pictures(pictures(), {.batch = 2}),
                             record(name)["pictures"], engine);
        }
    }
}

TEST_CASE("a CLIP whose weights are packed gives the same embeddings") {
    const auto texts = records()["texts"].get<std::vector<std::string>>();
    const TemporaryFolder folder;
    write_model(folder, "clip/usual");
    const auto load = [&] {
        return load_clip<AllEngines>(folder.path(), {.engine = EngineKind::cpu_float});
    };
    const Clip plain = load();
    const Array expected_texts = plain.embed_texts(texts),
                expected_pictures = plain.embed_pictures(pictures());
    write_packed(WeightFiles(folder / "model.safetensors"), folder.path(), "model",
                 {.dtype = DType::f32});
    CHECK(WeightFiles(folder / "model.safetensors")
              .is_packed("text_model.encoder.layers.0.mlp.fc1.weight"));
    const Clip packed = load();
    CHECK(packed.embed_texts(texts) == expected_texts);
    CHECK(packed.embed_pictures(pictures()) == expected_pictures);
}

TEST_CASE("one encoder alone loads, and says what it cannot do") {
    const TemporaryFolder text, image;
    write_model(text, "clip/text");
    write_model(image, "clip/image");
    const EngineKind engine = EngineKind::cpu_float;
    const Clip reader = load_clip(text.path(), {.engine = engine});
    check_embeddings(reader.embed_texts(records()["texts"]), record("clip/text")["texts"], engine);
    CHECK_FALSE(reader.reads_pictures());
    CHECK_THROWS_WITH_AS(reader.embed_pictures(pictures()), doctest::Contains("image encoder"),
                         ConfigError);
    const Clip viewer = load_clip(image.path(), {.engine = engine});
    check_embeddings(viewer.embed_pictures(pictures()), record("clip/image")["pictures"], engine);
    CHECK_FALSE(viewer.reads_texts());
    CHECK_THROWS_WITH_AS(viewer.embed_texts({"a"}), doctest::Contains("text encoder"), ConfigError);
    // Without the files beside it.
    std::filesystem::remove(image / "preprocessor_config.json");
    const Clip bare = load_clip(image.path(), {.engine = engine});
    CHECK_FALSE(bare.reads_pictures());
    CHECK_THROWS_WITH_AS(bare.embed_pictures(pictures()),
                         doctest::Contains("preprocessor_config.json"), ConfigError);
}

TEST_CASE("the encoders of an UnCLIP pipeline are a CLIP") {
    const TemporaryFolder folder;
    tiny_model::tokenizer().save(make_component_folder(folder.path(), "tokenizer"));
    save_component(folder.path(), "text_encoder", tiny_model::text_encoder<Reference>());
    save_component(folder.path(), "image_encoder", tiny_model::image_encoder<Reference>());
    const auto side = std::to_string(tiny_model::image_encoder<Reference>().config.image_size);
    folder.write("feature_extractor/preprocessor_config.json",
                 R"({"size": )" + side + R"(, "crop_size": )" + side + "}");
    folder.write("zero_shot.json", R"({"templates": ["{}!"], "logit_scale": 7})");
    write_model_index(folder.path(),
                      {"tokenizer", "text_encoder", "image_encoder", "feature_extractor"});
    const Clip clip = load_clip(folder.path(), {.engine = EngineKind::cpu_float});
    CHECK(clip.reads_texts());
    CHECK(clip.reads_pictures());
    CHECK(clip.logit_scale() == 7);
    CHECK(clip.templates() == std::vector<std::string>{"{}!"});
    const Array unit = clip.embed_pictures(pictures(), {.unit_length = true});
    double square = 0;
    for (std::int64_t i = 0; i < clip.projection_dim(); ++i) square += unit(1, i) * unit(1, i);
    CHECK(square == doctest::Approx(1));
    CHECK(shape_of(clip.embed_pictures({})) == Shape{0, clip.projection_dim()});
}

TEST_CASE("one CLIP serves several threads, and stops when asked") {
    const TemporaryFolder folder;
    write_model(folder, "clip/usual");
    const Clip clip = load_clip(folder.path(), {.engine = EngineKind::cpu_float});
    const Array alone = clip.embed_pictures(pictures(), {.threads = 1});
    std::vector<Array> found(3);
    {
        std::vector<std::jthread> threads;
        for (Array& place : found)
            threads.emplace_back([&] { place = clip.embed_pictures(pictures(), {.threads = 1}); });
    }
    for (const Array& other : found) CHECK(other == alone);
    std::stop_source stop;
    stop.request_stop();
    CHECK_THROWS_AS(clip.embed_pictures(pictures(), {.stop = stop.get_token()}), Cancelled);
    std::int64_t told = 0;
    clip.embed_texts({"a", "b", "c"},
                     {.batch = 2, .progress = [&](std::int64_t done, std::int64_t total) {
                          CHECK(total == 3);
                          told = done;
                      }});
    CHECK(told == 3);
}

TEST_CASE("parts that were not made for each other, and folders without a CLIP, are errors") {
    const TemporaryFolder folder, empty;
    const ClipLoadOptions options{.engine = EngineKind::cpu_float};
    CHECK_THROWS_AS(load_clip(empty.path(), options), IoError);
    CHECK_THROWS_AS(load_clip(empty / "nothing", options), IoError);
    write_model(folder, "clip/usual");
    folder.write("preprocessor_config.json", R"({"size": 13, "crop_size": 13})");
    CHECK_THROWS_WITH_AS(load_clip(folder.path(), options), doctest::Contains("crop_size is 13"),
                         ConfigError);
    folder.write("preprocessor_config.json", "{}}");
    CHECK_THROWS_AS(load_clip(folder.path(), options), FormatError);
    std::filesystem::remove(folder / "preprocessor_config.json");
    folder.write("config.json", R"({"model_type": "siglip"})");
    CHECK_THROWS_WITH_AS(load_clip(folder.path(), options), doctest::Contains("siglip"),
                         ConfigError);
    folder.write("config.json", R"({"model_type": "clip"})");
    CHECK_THROWS_AS(load_clip(folder.path(), options), FormatError);
}
