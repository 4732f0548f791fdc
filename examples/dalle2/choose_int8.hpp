// Which layers of a model become int8: in a file of its own, because the networks take long to
// compile.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include <dalle2/engine/int8_choice.hpp>

namespace tool {

// What of each network's output is to stay above the noise of int8, in decibels.
double least_int8_decibels();

// By component; on_step is told what is being done. Throws as dalle2::calibrate_int8.
std::map<std::string, dalle2::Int8Choice> choose_int8(
    const std::filesystem::path& model, const std::string& variant, const std::stop_token& stop,
    const std::function<void(const std::string&)>& on_step);

}  // namespace tool
