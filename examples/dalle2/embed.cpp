// dalle2 embed: the CLIP embeddings of texts and pictures, as a file for other programs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/io/npy.hpp>
#include <dalle2/io/picture_files.hpp>

#include "clip.hpp"
#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

struct EmbedSettings {
    ClipSettings clip = default_clip_settings();
    std::vector<std::string> items;
    std::string text_file, output = "out.npy";
    bool raw = false;
};

// The name of a file is a picture, anything else is a text; a picture that is not there is a
// mistake.
bool is_picture(const std::string& item) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(item, ignored)) return true;
    if (dalle2::is_picture_name(item) && item.find(' ') == std::string::npos)
        throw dalle2::IoError("there is no file " + item +
                              "; give texts that look like one in a file, with --text-file");
    return false;
}

void embed(const EmbedSettings& settings, const std::stop_token& stop) {
    check_writable(settings.output);
    std::vector<std::string> texts, pictures;
    std::vector<bool> order;  // of the items: is it a picture?
    if (!settings.text_file.empty()) texts = lines_of_file(settings.text_file);
    order.assign(texts.size(), false);
    for (const std::string& item : settings.items) {
        order.push_back(is_picture(item));
        (order.back() ? pictures : texts).push_back(item);
    }
    if (order.empty())
        throw dalle2::ConfigError("nothing to embed; expected texts, pictures or --text-file");
    const ClipTool clip(settings.clip, stop);
    dalle2::Array rows_of_texts, rows_of_pictures;
    if (!texts.empty()) rows_of_texts = clip.texts(texts, settings.raw);
    if (!pictures.empty()) rows_of_pictures = clip.pictures(pictures, settings.raw);
    const std::int64_t width =
        dalle2::shape_of(texts.empty() ? rows_of_pictures : rows_of_texts).at(1);
    dalle2::Array all = dalle2::make_array({static_cast<std::int64_t>(order.size()), width});
    const float *text = rows_of_texts.data(), *picture = rows_of_pictures.data();
    for (std::size_t row = 0; row < order.size(); ++row) {
        const float*& from = order[row] ? picture : text;
        std::copy_n(from, width, all.data() + static_cast<std::int64_t>(row) * width);
        from += width;
    }
    dalle2::write_npy(settings.output, all);
    std::cout << settings.output << ": " << order.size() << " × " << width << " float32, "
              << texts.size() << " of texts, " << pictures.size() << " of pictures\n";
}

}  // namespace

void add_embed(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command =
        app.add_subcommand("embed", "Write the CLIP embeddings of texts and pictures to a file");
    const auto settings = std::make_shared<EmbedSettings>();
    command->add_option("ITEMS", settings->items, "Texts in quotes, or picture files");
    command->add_option("--text-file", settings->text_file,
                        "A file with a text a line; its rows come first");
    command
        ->add_option("-o,--output", settings->output,
                     "A .npy file: float32, a row for each item, in their order")
        ->capture_default_str();
    command->add_flag("--raw", settings->raw, "Leave the rows as long as the model makes them");
    add_clip_options(*command, settings->clip);
    command->footer(
        "Rows are divided by their lengths: the product of two is the cosine of their angle.\n"
        "Examples:\n"
        "  dalle2 embed \"a red apple\" \"an owl\" -o texts.npy\n"
        "  dalle2 embed pictures/*.png -o pictures.npy --model openai/clip-vit-base-patch32");
    command->callback([settings, stop] { embed(*settings, stop); });
}

}  // namespace tool
