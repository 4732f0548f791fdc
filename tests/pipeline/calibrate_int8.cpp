// Which layers a calibration gives to int8, for a small model of random weights.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include <dalle2/pipeline/calibrate_int8.hpp>

#include "../io/temporary_folder.hpp"
#include "tiny_directory.hpp"

using namespace dalle2;

namespace {

using Choices = std::map<std::string, Int8Choice>;

// The tiny model, but its UNets have layers that are large enough for int8.
const std::filesystem::path& model() {
    static const TemporaryFolder folder;
    static const bool written = [] {
        using tiny_model::filled;
        const std::filesystem::path& path = folder.path();
        tiny_model::write(path);
        UNetConfig decoder = tiny_model::decoder_config(),
                   upsampler = tiny_model::upsampler_config();
        decoder.levels[0].channels = 16;
        decoder.levels[1].channels = 24;
        upsampler.levels[0].channels = 16;
        upsampler.levels[1].channels = 18;
        upsampler.norm_num_groups = 2;
        TextProjectionConfig projection = tiny_model::text_projection_config();
        projection.time_embed_dim = 64;
        const auto unet = [&](const char* name, const UNetConfig& config, std::uint64_t seed) {
            save_component(path, name, filled<Reference>(UNet<Reference>(config), seed));
        };
        save_component(path, "text_proj",
                       filled<Reference>(TextProjection<Reference>(projection), 4));
        unet("decoder", decoder, 5);
        unet("super_res_first", upsampler, 6);
        unet("super_res_last", upsampler, 7);
        return true;
    }();
    REQUIRE(written);
    return folder.path();
}

Choices choices(double least_decibels) {
    return calibrate_int8(model(), {.least_decibels = least_decibels, .steps = 1});
}

const std::vector<std::string> unets = {"decoder", "super_res_first", "super_res_last"};

bool same(const Choices& a, const Choices& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
        return x.first == y.first && x.second.weights == y.second.weights &&
               x.second.candidates == y.second.candidates &&
               x.second.decibels == y.second.decibels &&
               x.second.int8_multiply_adds == y.second.int8_multiply_adds;
    });
}

}  // namespace

TEST_CASE("the more exact a network's output has to be, the fewer of its layers take int8") {
    const double infinity = std::numeric_limits<double>::infinity();
    std::map<double, Choices> by_decibels;
    for (const double least : {0.0, 45.0, infinity}) by_decibels[least] = choices(least);
    for (const std::string& network : unets) {
        CAPTURE(network);
        const Int8Choice& all = by_decibels[0].at(network);
        CHECK(all.candidates > 4);
        CHECK(static_cast<std::int64_t>(all.weights.size()) == all.candidates);
        CHECK(all.int8_multiply_adds == all.candidate_multiply_adds);
        CHECK(all.decibels > 20);
        CHECK(all.decibels < 45);
        const Int8Choice& some = by_decibels[45].at(network);
        CHECK(some.candidates == all.candidates);
        CHECK(some.weights.size() < all.weights.size());
        CHECK(some.int8_multiply_adds < all.int8_multiply_adds);
        const Int8Choice& none = by_decibels[infinity].at(network);
        CHECK(none.decibels == infinity);
        CHECK(none.weights.empty());
        CHECK(none.int8_multiply_adds == 0);
    }
    const std::set<std::string>* larger = nullptr;
    for (const auto& [least, found] : by_decibels) {
        for (const auto& [network, choice] : found)
            CHECK((choice.decibels >= least || choice.weights.empty()));
        const std::set<std::string>& chosen = found.at("decoder").weights;
        if (larger) CHECK(std::ranges::includes(*larger, chosen));
        larger = &chosen;
    }
}

TEST_CASE("a calibration gives the same choice each time, and every network has one") {
    const Choices first = choices(40);
    CHECK(same(choices(40), first));
    CHECK(!same(choices(0), first));
    for (const char* network :
         {"text_encoder", "prior", "text_proj", "decoder", "super_res_first", "super_res_last"}) {
        CAPTURE(network);
        CHECK(first.contains(network));
    }
    CHECK(first.at("prior").candidates == 0);  // too small for int8
    CHECK(first.at("prior").weights.empty());
}

TEST_CASE("a calibration tells what it does, and holds one network of the upsampler at a time") {
    std::vector<std::string> told;
    const Choices found = calibrate_int8(
        model(), {.least_decibels = 0, .steps = 1, .on_step = [&](const std::string& text) {
                      told.push_back(text);
                  }});
    const std::string count = std::to_string(found.at("decoder").candidates);
    CHECK(std::ranges::count(told, "decoder, " + count + " of " + count + " layers in int8") == 1);
    CHECK(std::ranges::count(told, "decoder") == 1);
    // Loaded to draw, and loaded again to be measured: the other one was there in between.
    CHECK(std::ranges::count(told, "super_res_first") == 2);
}

TEST_CASE("a calibration stops when it is asked to") {
    std::stop_source source;
    std::string last;
    const CalibrationOptions options = {.steps = 1,
                                        .on_step =
                                            [&](const std::string& text) {
                                                last = text;
                                                if (text == "decoder") source.request_stop();
                                            },
                                        .stop = source.get_token()};
    CHECK_THROWS_AS(calibrate_int8(model(), options), Cancelled);
    CHECK(last == "decoder");
    CHECK_THROWS_AS(calibrate_int8(model(), options), Cancelled);
    CHECK(last == "text_encoder");  // at once
}
