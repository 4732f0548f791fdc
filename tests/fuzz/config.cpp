// A config.json: the first byte says of which model, the rest is the file.
#include <string>

#include <dalle2/clip/config.hpp>
#include <dalle2/decoder/config.hpp>
#include <dalle2/diffusion/schedule_config.hpp>
#include <dalle2/prior/config.hpp>

#include "fuzzing.hpp"

namespace {

void read_config(int kind, const dalle2::Json& json, const std::string& where) {
    using namespace dalle2;
    if (kind == 5) {
        (void)noise_schedule_config(json, where);
        return;
    }
    ConfigReader reader(json, where);
    switch (kind) {
        case 0: (void)clip_text_config(reader); return;
        case 1: (void)clip_image_config(reader); return;
        case 2: (void)prior_config(reader); return;
        case 3: (void)text_projection_config(reader); return;
        case 4: (void)unet_config(reader); return;
        default: break;
    }
    // No model's: each type is asked for, so that every key is found wanting or not.
    for (const auto& [key, value] : json.items()) {
        fuzzing::read_or_refuse([&, &key = key] { (void)reader.get<std::int64_t>(key); });
        fuzzing::read_or_refuse([&, &key = key] { (void)reader.get<double>(key); });
        fuzzing::read_or_refuse([&, &key = key] { (void)reader.get<bool>(key); });
        fuzzing::read_or_refuse([&, &key = key] { (void)reader.get<std::string>(key); });
        fuzzing::read_or_refuse(
            [&, &key = key] { (void)reader.get<std::vector<std::int64_t>>(key); });
        fuzzing::read_or_refuse([&, &key = key] { reader.child(key).finish(); });
    }
    reader.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    return fuzzing::read_or_refuse([&] {
        const std::string where = "config.json";
        const dalle2::Json json = dalle2::parse_json(fuzzing::as_text(data + 1, size - 1), where);
        read_config(data[0] % 7, json, where);
    });
}
