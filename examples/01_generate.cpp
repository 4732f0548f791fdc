// A picture from a prompt: the whole library in three lines.
//
//     01_generate ["PROMPT"] [MODEL] [OUTPUT.png]
#include <iostream>
#include <string>

#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/load.hpp>

int main(int argc, char** argv) try {
    const std::string prompt =
        argc > 1 ? argv[1] : "a purple elephant left of a red apple on a blue background";
    const std::string model = argc > 2 ? argv[2] : "examples/models/emoji-scenes";
    const std::string output = argc > 3 ? argv[3] : "generated.png";

    const auto pipeline = dalle2::load(model);
    const auto picture = pipeline(prompt, {.seed = 7});
    dalle2::write_png(output, picture);

    std::cout << output << ": " << picture.width << "x" << picture.height << " pixels of \""
              << prompt << "\"\n";
} catch (const dalle2::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
