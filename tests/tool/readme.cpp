// Every command of README.md runs. Those that would take hours run for a few steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <dalle2/io/picture.hpp>

#include "running.hpp"

namespace {

const std::filesystem::path root = DALLE2_SOURCE_DIR;

// Lines that are indented as code and begin as a command does; "a && b" is two, and what stands
// behind two spaces is a remark, unless it is an argument of a table of commands.
std::vector<std::string> commands() {
    std::vector<std::string> found;
    std::ifstream readme(root / "README.md");
    for (std::string line; std::getline(readme, line);) {
        if (!line.starts_with("    ./") && !line.starts_with("    dalle2 ")) continue;
        line = line.substr(4);
        // Beyond the name of the command, behind which spaces may stand.
        const std::size_t name = std::min(line.find(' '), line.size());
        const std::size_t padding = std::min(line.find(' ', name + 1), line.size());
        const std::size_t arguments = line.find_first_not_of(' ', padding);
        if (const std::size_t remark = line.find("  ", std::min(arguments, line.size()));
            remark != std::string::npos)
            line.resize(remark);
        for (std::size_t end; (end = line.find(" && ")) != std::string::npos;) {
            found.push_back(line.substr(0, end));
            line = line.substr(end + 4);
        }
        found.push_back(line);
    }
    return found;
}

}  // namespace

TEST_CASE("the commands of the README run") {
    const TemporaryFolder folder;
    // The shipped model plays the public ones, its gallery the pictures that a person has.
    namespace fs = std::filesystem;
    const fs::path model = root / "examples/models/emoji-scenes";
    for (const char* name : {"kakaobrain--karlo-v1-alpha", "openai--clip-vit-large-patch14"}) {
        const fs::path snapshots = folder / ("hub/models--" + std::string(name) + "/snapshots");
        fs::create_directories(snapshots);
        fs::create_directory_symlink(model, snapshots / "0123abcd");
    }
    ::setenv("HF_HUB_CACHE", (folder / "hub").c_str(), 1);
    fs::create_directory_symlink(model, folder / "KARLO");
    fs::create_directory(folder / "FOLDER");
    for (const char* name : {"photo.jpg", "picture.png", "FOLDER/one.png"})
        fs::copy_file(root / "examples/gallery.png", folder / name);
    bool quickstart = false, tests = false;
    int trained = 0, drawn = 0;
    std::vector<std::string> others;
    for (const std::string& command : commands()) {
        CAPTURE(command);
        if (command.starts_with("./examples/quickstart.sh \"")) {
            quickstart = true;  // run by the test examples/quickstart
        } else if (command == "./tests/run.sh") {
            tests = true;  // runs this
        } else if (command.starts_with("dalle2 train export ")) {
            const Run made = run(folder, command.substr(7));
            CHECK_MESSAGE(made.status == 0, made.err);
        } else if (command.starts_with("dalle2 train ")) {
            const Run made = run(folder, command.substr(7) + " --steps 4 --batch 4 --warmup 1");
            CHECK_MESSAGE(made.status == 0, made.err);
            ++trained;
        } else if (command.starts_with("dalle2 generate ")) {
            const Run made = run(folder, command.substr(7));
            CHECK_MESSAGE(made.status == 0, made.err);
            CHECK(std::filesystem::exists(folder / "out.png"));
            ++drawn;
        } else if (command.starts_with("dalle2 ")) {
            const Run made = run(folder, command.substr(7));
            CHECK_MESSAGE(made.status == 0, made.err);
            others.push_back(command.substr(7, command.find(' ', 7) - 7));
        } else {
            FAIL("no test runs this command");
        }
    }
    // What the stages that draw have drawn by then: 16 true pictures and 16 of their own.
    CHECK(dalle2::read_picture(folder / "RUN/decoder/preview.png").width == 8 * 64 + 7 * 2);
    CHECK(dalle2::read_picture(folder / "RUN/upsampler/preview.png").width == 8 * 128 + 7 * 2);
    CHECK(quickstart);
    CHECK(tests);
    CHECK(trained == 4);
    CHECK(drawn == 3);
    CHECK(others == std::vector<std::string>{"classify", "vary", "classify", "search", "embed",
                                             "tokenize", "info", "convert", "convert", "convert"});
    CHECK(fs::exists(folder / "hits.html"));
    CHECK(fs::exists(folder / "words.npy"));
    CHECK(fs::exists(folder / "trace.json"));
}
