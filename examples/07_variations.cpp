// Variations of a picture: all that is kept of it is its CLIP embedding, and the decoder draws from
// that (Ramesh et al. 2022, section 3.1). What the variations have in common is what CLIP saw; in
// what they differ, it did not look at.
//
//     07_variations [MODEL] [PICTURE] [SHEET.png]
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include <dalle2/clip/picture_file.hpp>
#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/pipeline/load_clip.hpp>
#include <dalle2/pipeline/load_variations.hpp>

using namespace dalle2;

// The scene in the first row and ninth column of examples/emoji-scenes.png, in cells of 64 pixels.
Picture scene() {
    const Picture sheet = read_picture("examples/emoji-scenes.png");
    Picture cell = make_picture(64, 64);
    for (int y = 0; y < 64; ++y) std::copy_n(sheet.pixel(8 * 66, y), 3 * 64, cell.pixel(0, y));
    return cell;
}

int main(int argc, char** argv) try {
    const std::string model = argc > 1 ? argv[1] : "examples/models/emoji-scenes";
    const Picture original = argc > 2 ? read_clip_picture(argv[2]) : scene();
    const std::string sheet = argc > 3 ? argv[3] : "variations.png";
    const VariationsPipeline pipeline = load_variations(model);
    const Clip clip = load_clip(model);

    // One seed, one variation. The embedding is computed once and drawn from again and again.
    Generation made = pipeline.generate({original}, {.seed = 0});
    const Array embedding = made.image_embedding;
    std::vector<Picture> pictures = {made.picture()};
    for (std::uint64_t seed = 1; seed < 8; ++seed)
        pictures.push_back(pipeline.generate(embedding, {.seed = seed}).picture());
    write_png(sheet, contact_sheet(pictures, {.columns = 4, .color = {255, 255, 255}}));

    // How much of the embedding do the variations have? The cosine with the original's says it.
    const Array unit = unit_rows(embedding).directions;
    const Array drawn = clip.embed_pictures(pictures, {.unit_length = true});
    const Array cosines = cosine_similarities(drawn, unit);
    std::cout << "of " << embedding.size() << " numbers, by seed: cosine with the original\n"
              << std::fixed << std::setprecision(3);
    for (std::size_t i = 0; i < pictures.size(); ++i)
        std::cout << "  " << i << "  " << cosines(i, 0) << "\n";
    std::cout << sheet << ": " << pictures.size() << " variations\n";
} catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
