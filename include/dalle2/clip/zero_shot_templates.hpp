// Sentences that labels are put into: "a photo of a {}" and "cat" become "a photo of a cat".
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/core/error.hpp>

namespace dalle2 {

namespace detail {

inline bool starts_with_article(std::string_view text) {
    for (const std::string_view article : {"a ", "an ", "the "})
        if (text.size() > article.size() &&
            std::equal(article.begin(), article.end(), text.begin(), [](char a, char b) {
                return a == std::tolower(static_cast<unsigned char>(b));
            }))
            return true;
    return false;
}

// Without the article that a text ends with, if it does: "a photo of a " → "a photo of ".
inline std::string_view without_last_article(std::string_view text) {
    for (const std::string_view article : {"a ", "an ", "the "})
        if (text.ends_with(article)) {
            const std::string_view rest = text.substr(0, text.size() - article.size());
            if (rest.empty() || rest.back() == ' ') return rest;
        }
    return text;
}

}  // namespace detail

// The sentence with the label in place of every {}. A label that brings its article replaces the
// sentence's: "a photo of a {}" and "an owl" become "a photo of an owl". Throws ConfigError for a
// sentence without {}.
inline std::string fill_template(std::string_view sentence, std::string_view label) {
    if (sentence.find("{}") == std::string_view::npos)
        throw ConfigError("the template \"" + std::string(sentence) +
                          "\" has no {}; expected one where the label goes");
    const bool article = detail::starts_with_article(label);
    std::string filled;
    while (true) {
        const std::size_t place = sentence.find("{}");
        const std::string_view before = sentence.substr(0, place);
        if (place == std::string_view::npos) return filled.append(before);
        filled.append(article ? detail::without_last_article(before) : before).append(label);
        sentence.remove_prefix(place + 2);
    }
}

// Every label in every sentence, those of a label in a row.
inline std::vector<std::string> filled_templates(const std::vector<std::string>& sentences,
                                                 const std::vector<std::string>& labels) {
    std::vector<std::string> filled;
    for (const std::string& label : labels)
        for (const std::string& sentence : sentences)
            filled.push_back(fill_template(sentence, label));
    return filled;
}

// The eighty sentences over which CLIP's authors average for ImageNet (openai/CLIP, notebook
// Prompt_Engineering_for_ImageNet); "itap" is "I took a picture".
inline const std::vector<std::string>& imagenet_templates() {
    static const std::vector<std::string> sentences{
        "a bad photo of a {}.",
        "a photo of many {}.",
        "a sculpture of a {}.",
        "a photo of the hard to see {}.",
        "a low resolution photo of the {}.",
        "a rendering of a {}.",
        "graffiti of a {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
        "a tattoo of a {}.",
        "the embroidered {}.",
        "a photo of a hard to see {}.",
        "a bright photo of a {}.",
        "a photo of a clean {}.",
        "a photo of a dirty {}.",
        "a dark photo of the {}.",
        "a drawing of a {}.",
        "a photo of my {}.",
        "the plastic {}.",
        "a photo of the cool {}.",
        "a close-up photo of a {}.",
        "a black and white photo of the {}.",
        "a painting of the {}.",
        "a painting of a {}.",
        "a pixelated photo of the {}.",
        "a sculpture of the {}.",
        "a bright photo of the {}.",
        "a cropped photo of a {}.",
        "a plastic {}.",
        "a photo of the dirty {}.",
        "a jpeg corrupted photo of a {}.",
        "a blurry photo of the {}.",
        "a photo of the {}.",
        "a good photo of the {}.",
        "a rendering of the {}.",
        "a {} in a video game.",
        "a photo of one {}.",
        "a doodle of a {}.",
        "a close-up photo of the {}.",
        "a photo of a {}.",
        "the origami {}.",
        "the {} in a video game.",
        "a sketch of a {}.",
        "a doodle of the {}.",
        "a origami {}.",
        "a low resolution photo of a {}.",
        "the toy {}.",
        "a rendition of the {}.",
        "a photo of the clean {}.",
        "a photo of a large {}.",
        "a rendition of a {}.",
        "a photo of a nice {}.",
        "a photo of a weird {}.",
        "a blurry photo of a {}.",
        "a cartoon {}.",
        "art of a {}.",
        "a sketch of the {}.",
        "a embroidered {}.",
        "a pixelated photo of a {}.",
        "itap of the {}.",
        "a jpeg corrupted photo of the {}.",
        "a good photo of a {}.",
        "a plushie {}.",
        "a photo of the nice {}.",
        "a photo of the small {}.",
        "a photo of the weird {}.",
        "the cartoon {}.",
        "art of the {}.",
        "a drawing of the {}.",
        "a photo of the large {}.",
        "a black and white photo of a {}.",
        "the plushie {}.",
        "a dark photo of a {}.",
        "itap of a {}.",
        "graffiti of the {}.",
        "a toy {}.",
        "itap of my {}.",
        "a photo of a cool {}.",
        "a photo of a small {}.",
        "a tattoo of the {}.",
    };
    return sentences;
}

}  // namespace dalle2
