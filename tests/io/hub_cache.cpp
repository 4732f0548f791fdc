#include <dalle2/io/hub_cache.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <dalle2/io/model_directory.hpp>

#include "temporary_folder.hpp"

using namespace dalle2;
namespace fs = std::filesystem;

namespace {

// An environment variable for the time of a test.
class Variable {
public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (const char* old = std::getenv(name)) old_ = old;
        ::setenv(name, value.c_str(), 1);
    }
    ~Variable() {
        if (old_.empty())
            ::unsetenv(name_);
        else
            ::setenv(name_, old_.c_str(), 1);
    }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
    std::string old_;
};

// A download as the hub's client leaves it: files are links into blobs/.
void write_download(const TemporaryFolder& folder, const std::string& commit) {
    const std::string repository = "models--some-org--a.model";
    folder.write(repository + "/blobs/1234", R"({"_class_name": "UnCLIPPipeline"})");
    const fs::path snapshot = folder / (repository + "/snapshots/" + commit);
    fs::create_directories(snapshot);
    fs::create_symlink("../../blobs/1234", snapshot / "model_index.json");
}

}  // namespace

TEST_CASE("a name means the snapshot that the hub's cache has of it") {
    const TemporaryFolder folder;
    const Variable cache("HF_HUB_CACHE", folder.path().string());
    write_download(folder, "c0ffee");
    const fs::path repository = folder / "models--some-org--a.model";
    // Without refs/ the only snapshot is meant.
    CHECK(resolve_model_path("some-org/a.model") == repository / "snapshots/c0ffee");
    folder.write("models--some-org--a.model/refs/main", "c0ffee\n");
    write_download(folder, "beef");
    CHECK(resolve_model_path("some-org/a.model") == repository / "snapshots/c0ffee");
    CHECK(resolve_model_path("some-org/a.model@beef") == repository / "snapshots/beef");
    CHECK(resolve_model_path(repository) == repository / "snapshots/c0ffee");
    folder.write("models--some-org--a.model/refs/old", "beef");
    CHECK(resolve_model_path("some-org/a.model@old") == repository / "snapshots/beef");
    CHECK(ModelDirectory("some-org/a.model").path() == repository / "snapshots/c0ffee");
}

TEST_CASE("what the cache does not have is an error that says where it was looked for") {
    const TemporaryFolder folder;
    const Variable cache("HF_HUB_CACHE", folder.path().string());
    CHECK_THROWS_WITH_AS(resolve_model_path("some-org/other"),
                         doctest::Contains(folder.path().string().c_str()), IoError);
    write_download(folder, "a");
    write_download(folder, "b");
    CHECK_THROWS_WITH_AS(resolve_model_path("some-org/a.model"),
                         doctest::Contains("no revision \"main\"; its snapshots are a, b"),
                         IoError);
    folder.write("models--some-org--a.model/refs/main", "gone");
    CHECK_THROWS_WITH_AS(resolve_model_path("some-org/a.model"), doctest::Contains("incomplete"),
                         IoError);
    for (const char* bad : {"../../..", "", "a/b", ".hidden"}) {
        folder.write("models--some-org--a.model/refs/main", bad);
        CHECK_THROWS_AS(resolve_model_path("some-org/a.model"), FormatError);
    }
}

TEST_CASE("a path that is no name of the hub stays as it is") {
    const TemporaryFolder folder;
    const Variable cache("HF_HUB_CACHE", folder.path().string());
    for (const char* path :
         {"a", "/a/b", "a/b/c", "../a", "a/../b", "./a", "a b/c", "", "a/b@../c"})
        CHECK(resolve_model_path(path) == fs::path(path));
    CHECK(resolve_model_path(folder.path()) == folder.path());
}

TEST_CASE("the cache is looked for where the hub's own client keeps it") {
    const Variable none("HF_HUB_CACHE", ""), old("HUGGINGFACE_HUB_CACHE", "");
    const Variable home("HOME", "/home/me"), cache("XDG_CACHE_HOME", ""), hf("HF_HOME", "");
    CHECK(hub_cache_folder() == "/home/me/.cache/huggingface/hub");
    const Variable xdg("XDG_CACHE_HOME", "/cache");
    CHECK(hub_cache_folder() == "/cache/huggingface/hub");
    const Variable hf_home("HF_HOME", "/hf");
    CHECK(hub_cache_folder() == "/hf/hub");
    const Variable older("HUGGINGFACE_HUB_CACHE", "/older");
    CHECK(hub_cache_folder() == "/older");
}
