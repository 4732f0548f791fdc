#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "running.hpp"

namespace {

const std::string small = " --steps 16 --batch 4 --warmup 2 --checkpoint-every 2 --log-every 4";

std::string checkpoint(const TemporaryFolder& folder, const std::string& run) {
    return folder.read(run + "/clip/checkpoint.safetensors");
}

}  // namespace

TEST_CASE("a run killed at any moment goes on bit for bit, with any number of threads") {
    const TemporaryFolder folder;
    const Run whole = run(folder, "train clip whole --threads 1" + small);
    REQUIRE_MESSAGE(whole.status == 0, whole.err);

    // The shell becomes the tool, so that the kill meets the tool itself.
    const std::string command = "cd '" + folder.path().string() +
                                "' && (exec '" DALLE2_TOOL "' train clip broken --threads 2" +
                                small + " >out 2>&1) & echo $! >'" + (folder / "pid").string() +
                                "'";
    REQUIRE(std::system(command.c_str()) == 0);
    const std::filesystem::path file = folder / "broken/clip/checkpoint.safetensors";
    for (int i = 0; i < 6000 && !std::filesystem::exists(file); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::string kill = "kill -KILL $(cat '" + (folder / "pid").string() + "')";
    REQUIRE_MESSAGE(std::system(kill.c_str()) == 0, "the run ended before it could be killed");
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    CHECK(folder.read("out").find("saved in") == std::string::npos);

    const Run resumed = run(folder, "train clip broken --threads 1 --resume" + small);
    CHECK_MESSAGE(resumed.status == 0, resumed.err);
    CHECK(resumed.out.find("going on from step") != std::string::npos);
    const bool same = checkpoint(folder, "whole") == checkpoint(folder, "broken");
    CHECK(same);
    // Each line says how fast it is beside the processor's peak.
    CHECK_MESSAGE(whole.err.find("% of peak)") != std::string::npos, whole.err);

    SUBCASE("what is there is not overwritten by accident") {
        const std::string before = checkpoint(folder, "whole");
        const Run again = run(folder, "train clip whole" + small);
        CHECK(again.status == 1);
        CHECK(is_one_error_line(again.err));
        CHECK(again.err.find("--resume") != std::string::npos);
        const bool untouched = checkpoint(folder, "whole") == before;
        CHECK(untouched);
    }
    SUBCASE("a checkpoint of another model is refused") {
        std::filesystem::create_directories(folder / "whole/upsampler");
        std::filesystem::copy(folder / "whole/clip/checkpoint.safetensors",
                              folder / "whole/upsampler/checkpoint.safetensors");
        const Run refused = run(folder, "train upsampler whole --resume" + small);
        CHECK(refused.status == 1);
        CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
        CHECK(refused.err.find("another model") != std::string::npos);
    }
}

TEST_CASE("a stage that builds on another says which one is missing") {
    const TemporaryFolder folder;
    for (const char* stage : {"prior", "decoder"}) {
        const Run refused = run(folder, std::string("train ") + stage + " run" + small);
        CHECK(refused.status == 1);
        CHECK(is_one_error_line(refused.err));
        CHECK(refused.err.find("train clip run") != std::string::npos);
    }
}

TEST_CASE("training data that cannot be used is one line") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "empty");
    std::filesystem::create_directories(folder / "silent");
    REQUIRE(run(folder, "data scenes --count 2 --size 32 -o silent").status == 0);
    std::filesystem::remove(folder / "silent/metadata.jsonl");
    std::filesystem::remove(folder / "silent/scene-0000000.txt");
    std::filesystem::remove(folder / "silent/scene-0000001.txt");
    for (const char* data : {"empty", "silent", "absent"}) {
        CAPTURE(std::string(data));
        const Run refused = run(folder, std::string("train clip run --data ") + data + small);
        CHECK(refused.status == 1);
        // Each picture without a caption may be named in a warning before.
        const std::string last =
            refused.err.substr(std::min(refused.err.find("dalle2: error"), refused.err.size()));
        CHECK_MESSAGE(is_one_error_line(last), refused.err);
        CHECK(last.find(data) != std::string::npos);
    }
}

TEST_CASE("a picture that cannot be read is passed over, named and counted") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "data scenes --count 6 --size 32 -o scenes").status == 0);
    folder.write("scenes/broken.png", "not a picture");
    folder.write("scenes/broken.txt", "a broken picture");
    const Run trained = run(folder, "train clip run --data scenes" + small);
    CHECK_MESSAGE(trained.status == 0, trained.err);
    CHECK(trained.err.find("passed over") != std::string::npos);
    CHECK(trained.err.find("broken.png") != std::string::npos);
    CHECK(trained.err.find("files passed over, each named above: 1") != std::string::npos);
}

TEST_CASE("wrong options of training are one line and exit status 2 or 1") {
    const TemporaryFolder folder;
    for (const char* arguments :
         {"train", "train unet run", "train clip", "train clip run --batch 0",
          "train clip run --steps 0", "train clip run --learning-rate nan",
          "train clip run --batch 10 --accumulation 3", "train clip run --engine gpu",
          "train clip /proc/nowhere"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = run(folder, arguments);
        CHECK((wrong.status == 2 || wrong.status == 1));
        CHECK_MESSAGE(is_one_error_line(wrong.err), wrong.err);
    }
    CHECK(folder.file_count() == 0);
}
