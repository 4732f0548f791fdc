// A picture with transparency, as a font or a file gives it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dalle2 {

struct Sprite {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> rgba;  // [height, width, 4], colours not multiplied by alpha
};

// A thing that scenes show.
struct Noun {
    std::uint32_t code_point = 0;
    std::string name;               // what captions call it
    std::string unicode_name = "";  // its CLDR short name where that is another one
    bool takes_article = true;      // false: plural or a substance, "cherries", "bread"
};

}  // namespace dalle2
