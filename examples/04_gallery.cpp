// Several prompts in one call, on one sheet: a batch shares each step of the networks, so that a
// picture costs less than alone. Progress is told while it runs.
//
//     04_gallery [MODEL] [OUTPUT.png] ["PROMPT" ...]
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/pipeline/load.hpp>

const std::vector<std::string> default_prompts = {
    "a purple elephant left of a red apple on a blue background",
    "an owl above a snowman on a pink background",
    "a green dragon on a black background",
    "an orange fish on a white background",
    "a castle on a yellow background",
    "a red car right of a tree on a gray background",
    "a pink teapot on a green background",
    "a yellow star above a blue ship on a black background",
    "a panda on an orange background",
    "a blue rose on a white background",
    "a rocket left of a planet on a black background",
    "a purple guitar on a yellow background",
};

int main(int argc, char** argv) try {
    const std::string model = argc > 1 ? argv[1] : "examples/models/emoji-scenes";
    const std::string output = argc > 2 ? argv[2] : "gallery.png";
    std::vector<std::string> prompts(argv + std::min(argc, 3), argv + argc);
    if (prompts.empty()) prompts = default_prompts;

    const auto pipeline = dalle2::load(model);
    const dalle2::Generation made =
        pipeline.generate(prompts, {.seed = 7, .progress = [](const dalle2::GenerateProgress& p) {
                                        if (p.step == p.steps)
                                            std::cout << dalle2::to_string(p.stage) << " done\n";
                                    }});
    std::vector<dalle2::Picture> pictures;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        pictures.push_back(made.picture(static_cast<std::int64_t>(i)));
        std::cout << i + 1 << ". " << prompts[i] << "\n";
    }
    dalle2::write_png(output, dalle2::contact_sheet(
                                  pictures, {.columns = 6, .gap = 4, .color = {255, 255, 255}}));
    std::cout << output << ": in this order, six in a row\n";
} catch (const dalle2::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
