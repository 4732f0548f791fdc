// dalle2 vary: other pictures of what a picture shows.
#include <filesystem>
#include <memory>
#include <string>

#include <dalle2/clip/picture_file.hpp>
#include <dalle2/pipeline/load_variations.hpp>

#include "drawing.hpp"

namespace tool {

namespace {

struct VarySettings {
    DrawingSettings drawing;
    std::string picture;
};

void vary(const VarySettings& settings, const std::stop_token& stop) {
    Drawing drawing(settings.drawing);
    const dalle2::Picture picture = dalle2::read_clip_picture(settings.picture);
    const dalle2::VariationsPipeline pipeline =
        dalle2::load_variations<dalle2::AllEngines>(settings.drawing.model, drawing.load_options());
    drawing.run({}, pipeline.defaults(), stop,
                {{"picture", std::filesystem::path(settings.picture).filename().string()}},
                [&](const dalle2::GenerateOptions& options) {
                    return pipeline.generate({picture}, options);
                });
}

}  // namespace

void add_vary(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command = app.add_subcommand("vary", "Draw other pictures of what a picture shows");
    const auto settings = std::make_shared<VarySettings>();
    command->add_option("PICTURE", settings->picture, "PNG, JPEG or BMP, of any size")->required();
    add_drawing_options(*command, settings->drawing);
    command->footer(
        "The picture's CLIP embedding, all that is kept of it, takes the place of the one that the "
        "prior makes of a text.\n"
        "Examples:\n"
        "  dalle2 generate \"a purple wolf on a gray background\" -o wolf.png\n"
        "  dalle2 vary wolf.png -o wolves.png --count 9\n"
        "  dalle2 vary photo.jpg --model kakaobrain/karlo-v1-alpha-image-variations");
    command->callback([settings, stop] { vary(*settings, stop); });
}

}  // namespace tool
