// Zero-shot classification: a picture's class is the text whose direction in CLIP's space is
// nearest to the picture's own (Radford et al. 2021, section 3.1). Nothing is trained for it, and
// the classes are any words that come to mind.
//
//     05_zero_shot [MODEL] [PICTURE LABEL LABEL ...]
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include <dalle2/clip/picture_file.hpp>
#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/pipeline/load_clip.hpp>

using namespace dalle2;

// One of the scenes on examples/emoji-scenes.png, which stand in cells of 64 pixels.
Picture scene(const Picture& sheet, int row, int column) {
    Picture cell = make_picture(64, 64);
    for (int y = 0; y < 64; ++y)
        std::copy_n(sheet.pixel(column * 66, row * 66 + y), 3 * 64, cell.pixel(0, y));
    return cell;
}

void print(const std::string& title, const std::vector<std::string>& labels, const Array& scores) {
    std::cout << title << "\n";
    for (std::int64_t row = 0; row < shape_of(scores)[0]; ++row) {
        std::cout << "  picture " << row + 1 << ": ";
        for (std::size_t i = 0; i < labels.size(); ++i)
            std::cout << std::setw(7) << scores(row, i) << " " << labels[i];
        std::cout
            << "  → "
            << labels[static_cast<std::size_t>(best_labels(scores)[static_cast<std::size_t>(row)])]
            << "\n";
    }
}

int main(int argc, char** argv) try {
    const Clip clip = load_clip(argc > 1 ? argv[1] : "examples/models/emoji-scenes");
    std::vector<std::string> labels(argv + std::min(argc, 3), argv + argc);
    std::vector<Picture> pictures;
    if (argc > 2) {
        pictures = {read_clip_picture(argv[2])};
    } else {
        const Picture sheet = read_picture("examples/emoji-scenes.png");
        pictures = {scene(sheet, 0, 8), scene(sheet, 1, 8), scene(sheet, 5, 5), scene(sheet, 4, 3)};
    }
    if (labels.empty()) labels = {"snail", "alien", "fire", "elephant", "owl"};
    std::cout << std::fixed << std::setprecision(3);

    // A picture becomes numbers, cropped to a square; the numbers become a point in the space.
    const Array pixels = clip.preprocessor()(pictures[0]);
    const Array seen = clip.embed_pictures(pictures, {.unit_length = true});
    std::cout << "a picture of " << pictures[0].width << "×" << pictures[0].height << " is read as "
              << to_string(shape_of(pixels)) << ", " << pictures.size()
              << " pictures are embedded as " << to_string(shape_of(seen)) << "\n\n";

    // A label becomes a sentence such as the model has seen in training, and that a point too.
    const std::string sentence = clip.templates()[0];
    const Array one = clip.embed_labels(labels, {sentence});
    print("cosines, with the sentence \"" + sentence + "\":", labels,
          cosine_similarities(seen, one));

    // A sentence says more than its label. The mean of several says less of the rest.
    const Array several = clip.embed_labels(labels);
    print("\ncosines, with the mean of the model's " + std::to_string(clip.templates().size()) +
              " sentences:",
          labels, cosine_similarities(seen, several));

    // If one of the labels must be right: a softmax, as sharp as the model learned to be.
    std::cout << "\nThe model's inverse temperature is " << clip.logit_scale() << ".\n";
    print("probabilities:", labels, label_probabilities(seen, several, clip.logit_scale()));
} catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
