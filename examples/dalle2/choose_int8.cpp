#include "choose_int8.hpp"

#include <dalle2/pipeline/calibrate_int8.hpp>

namespace tool {

double least_int8_decibels() { return dalle2::CalibrationOptions{}.least_decibels; }

std::map<std::string, dalle2::Int8Choice> choose_int8(
    const std::filesystem::path& model, const std::string& variant, const std::stop_token& stop,
    const std::function<void(const std::string&)>& on_step) {
    return dalle2::calibrate_int8(model, {.variant = variant, .on_step = on_step, .stop = stop});
}

}  // namespace tool
