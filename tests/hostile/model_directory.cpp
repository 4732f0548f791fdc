#include <dalle2/io/model_directory.hpp>

#include <sys/stat.h>

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <string>

#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/torch_checkpoint.hpp>

#include "../io/temporary_folder.hpp"
#include "bounded.hpp"

using namespace dalle2;

namespace {

const std::string index =
    R"({"_class_name": "UnCLIPPipeline", "_diffusers_version": "0.15.0",
 "decoder": ["diffusers", "UNet2DConditionModel"], "image_encoder": [null, null],
 "tokenizer": ["transformers", "CLIPTokenizer"]})";

void check_index(const std::string& text) {
    TemporaryFolder folder;
    folder.write("model_index.json", text);
    hostile::check_refused(text.size(), [&] { ModelDirectory{folder.path()}; });
}

}  // namespace

TEST_CASE("a model_index.json cut at any byte is refused, one with any byte changed too or read") {
    TemporaryFolder folder;
    std::size_t refused = 0, attempts = 0;
    const auto attempt = [&](const std::string& text) {
        folder.write("model_index.json", text);
        ++attempts;
        try {
            const ModelDirectory directory(folder.path());
            for (const std::string& name : directory.components())
                CHECK_NOTHROW((void)component_kind(name));
        } catch (const Error&) {
            ++refused;
        }
    };
    attempt(index);
    CHECK(refused == 0);
    for (std::size_t length = 0; length < index.size(); ++length) attempt(index.substr(0, length));
    CHECK(refused == index.size());
    for (std::size_t i = 0; i < index.size(); ++i)
        for (const int bits : {1, 0x80}) {
            std::string text = index;
            text[i] = static_cast<char>(text[i] ^ bits);
            attempt(text);
        }
    CHECK(refused < attempts);
    CHECK(refused > attempts * 3 / 4);
}

TEST_CASE("an index of absurd values is refused with a short message") {
    const auto with = [](const std::string& component) {
        return R"({"_class_name": "UnCLIPPipeline", )" + component + "}";
    };
    check_index(with(R"("../../etc": ["diffusers", "UNet2DConditionModel"])"));
    check_index(with(R"("decoder": ["diffusers", "../UNet2DConditionModel"])"));
    check_index(with(R"("decoder": ["diffusers"])"));
    check_index(with(R"("decoder": [["diffusers", "UNet2DConditionModel"]])"));
    check_index(with(R"("decoder": {"a": 1})"));
    check_index(with(R"("decoder": 7)"));
    check_index(with(R"("decoder": ")" + std::string(1'000'000, 'x') + '"'));
    check_index(R"({"_class_name": ")" + std::string(1'000'000, 'x') + "\"}");
    check_index(R"({"_class_name": [)" + hostile::repeated("1,", 100'000) + "1]}");
    check_index("[]");
    check_index("7");
}

TEST_CASE("pipes, devices and folders in the place of files are refused, and nothing waits") {
    TemporaryFolder folder;
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    std::filesystem::create_directory(folder / "folder");
    std::filesystem::create_symlink("itself", folder / "itself");
    std::filesystem::create_symlink("/dev/zero", folder / "zeros");
    for (const char* name : {"pipe", "folder", "itself", "zeros", "none"}) {
        CAPTURE(name);
        const std::filesystem::path path = folder / name;
        hostile::check_refused(0, [&] { (void)read_json(path); });
        hostile::check_refused(0, [&] { SafetensorsFile{path}; });
        hostile::check_refused(0, [&] { TorchCheckpoint{path}; });
    }
    for (const char* name : {"pipe", "folder", "itself"}) {
        TemporaryFolder model;
        std::filesystem::create_symlink(folder / name, model / "model_index.json");
        hostile::check_refused(0, [&] { ModelDirectory{model.path()}; });
    }
}
