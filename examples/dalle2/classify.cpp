// dalle2 classify: which of some labels fits a picture, without having learned any of them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <iostream>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/clip/zero_shot_templates.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/utf8.hpp>

#include "clip.hpp"
#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

struct ClassifySettings {
    ClipSettings clip = default_clip_settings();
    std::vector<std::string> pictures;
    std::string labels, labels_file, templates_file;
    std::vector<std::string> templates;
    std::size_t top = 5;
    bool json = false;
};

std::vector<std::string> labels_of(const ClassifySettings& settings) {
    std::vector<std::string> labels;
    if (!settings.labels_file.empty()) {
        labels = lines_of_file(settings.labels_file);
    } else {
        std::istringstream list(settings.labels);
        for (std::string label; std::getline(list, label, ',');)
            if (label = without_blanks(label); !label.empty()) labels.push_back(label);
    }
    if (labels.empty())
        throw dalle2::ConfigError("no labels; expected some, such as --labels \"a cat, a dog\"");
    std::set<std::string> seen;
    for (const std::string& label : labels)
        if (!seen.insert(label).second)
            throw dalle2::ConfigError("the label \"" + label + "\" is there twice");
    return labels;
}

// Empty: the model's own.
std::vector<std::string> templates_of(const ClassifySettings& settings) {
    if (settings.templates_file == "imagenet") return dalle2::imagenet_templates();
    if (!settings.templates_file.empty()) return lines_of_file(settings.templates_file);
    return settings.templates;
}

struct Judgement {
    std::string picture;
    std::vector<std::size_t> order;  // of the labels, the best first
    const float* probabilities = nullptr;
    const float* cosines = nullptr;
};

dalle2::OrderedJson to_json(const Judgement& judgement, const std::vector<std::string>& labels) {
    dalle2::OrderedJson scores = dalle2::OrderedJson::array();
    for (const std::size_t i : judgement.order)
        scores.push_back({{"label", dalle2::repaired_utf8(labels[i])},
                          {"probability", judgement.probabilities[i]},
                          {"cosine", judgement.cosines[i]}});
    return {{"picture", dalle2::repaired_utf8(judgement.picture)}, {"labels", scores}};
}

void print(const Judgement& judgement, const std::vector<std::string>& labels, bool title) {
    if (title) std::cout << one_line(judgement.picture) << "\n";
    for (const std::size_t i : judgement.order)
        std::cout << (title ? "  " : "") << std::fixed << std::setprecision(1) << std::setw(5)
                  << 100 * judgement.probabilities[i] << " %  " << one_line(labels[i]) << "\n";
}

void classify(const ClassifySettings& settings, const std::stop_token& stop) {
    const std::vector<std::string> labels = labels_of(settings);
    const std::vector<std::string> templates = templates_of(settings);
    const ClipTool clip(settings.clip, stop);
    const dalle2::Array vectors = clip.labels(labels, templates);
    const dalle2::Array pictures = clip.pictures(settings.pictures);
    const dalle2::Array cosines = dalle2::cosine_similarities(pictures, vectors);
    const dalle2::Array probabilities =
        dalle2::label_probabilities(pictures, vectors, clip.logit_scale());
    dalle2::OrderedJson json = dalle2::OrderedJson::array();
    for (std::size_t row = 0; row < settings.pictures.size(); ++row) {
        Judgement judgement{settings.pictures[row], std::vector<std::size_t>(labels.size()),
                            probabilities.data() + row * labels.size(),
                            cosines.data() + row * labels.size()};
        std::iota(judgement.order.begin(), judgement.order.end(), std::size_t{0});
        std::stable_sort(judgement.order.begin(), judgement.order.end(),
                         [&](std::size_t a, std::size_t b) {
                             return judgement.cosines[a] > judgement.cosines[b];
                         });
        judgement.order.resize(std::min(settings.top, labels.size()));
        if (settings.json)
            json.push_back(to_json(judgement, labels));
        else
            print(judgement, labels, settings.pictures.size() > 1);
    }
    if (settings.json) std::cout << json.dump(2) << "\n";
}

}  // namespace

void add_classify(CLI::App& app, const std::stop_token& stop) {
    CLI::App* command = app.add_subcommand("classify", "Say which of some labels fits a picture");
    const auto settings = std::make_shared<ClassifySettings>();
    command->add_option("PICTURES", settings->pictures, "PNG, JPEG or BMP files")->required();
    auto* labels = command->add_option("--labels", settings->labels, "Labels, between commas");
    auto* labels_file =
        command->add_option("--labels-file", settings->labels_file, "A file with a label a line");
    labels->excludes(labels_file);
    auto* sentence = command->add_option(
        "--template", settings->templates,
        "A sentence with {} where the label goes; given several times, the mean of them");
    command
        ->add_option("--templates", settings->templates_file,
                     "A file with such a sentence a line, or \"imagenet\": the eighty of CLIP's "
                     "authors")
        ->excludes(sentence);
    command->add_option("--top", settings->top, "How many labels to show of each picture")
        ->check(whole(1))
        ->capture_default_str();
    command->add_flag("--json", settings->json, "As JSON, with cosines too");
    add_clip_options(*command, settings->clip);
    command->footer(
        "Without templates the model's own are used: of a public CLIP \"a photo of a {}\".\n"
        "A label that brings its article, \"an owl\", replaces the one in a template.\n"
        "Examples:\n"
        "  dalle2 classify out.png --labels \"an owl, a snowman, a red apple\"\n"
        "  dalle2 classify *.jpg --labels-file labels.txt --templates imagenet \\\n"
        "      --model openai/clip-vit-large-patch14");
    command->callback([settings, stop] { classify(*settings, stop); });
}

}  // namespace tool
