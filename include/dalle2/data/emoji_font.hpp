// Emoji artwork from a colour bitmap font (CBDT) and emoji names from Unicode CLDR.
// The only header that needs FreeType (libfreetype-dev on Debian, freetype in vcpkg and conda);
// dalle2.hpp does not include it. Link with -lfreetype.
#pragma once

#include <ft2build.h>
#include FT_FREETYPE_H

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/sprite.hpp>

namespace dalle2 {

inline const char* default_emoji_font() {
    return "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
}
inline const char* default_cldr_annotations() {
    return "/usr/share/unicode/cldr/common/annotations/en.xml";
}

// A colour bitmap font: Noto Color Emoji has one strike of 136 by 128 pixels.
class EmojiFont {
public:
    // Throws IoError when the file is absent, FormatError when it is not such a font.
    explicit EmojiFont(const std::string& path = default_emoji_font()) : path_(path) {
        if (!std::ifstream(path, std::ios::binary))
            throw IoError("cannot read the emoji font " + path +
                          "; expected Noto Color Emoji (Debian package fonts-noto-color-emoji)");
        FT_Library library = nullptr;
        if (FT_Init_FreeType(&library)) throw IoError("FreeType does not start");
        library_.reset(library);
        FT_Face face = nullptr;
        if (FT_New_Face(library, path.c_str(), 0, &face))
            throw FormatError(path + ": not a font that FreeType reads");
        face_.reset(face);
        if (!FT_HAS_COLOR(face) || face->num_fixed_sizes < 1 || FT_Select_Size(face, 0))
            throw FormatError(path +
                              ": has no colour bitmaps; expected a CBDT font such as that "
                              "of Debian's fonts-noto-color-emoji");
    }

    // The bitmap of one code point. Throws FormatError when the font has none.
    Sprite sprite(std::uint32_t code_point) const {
        const FT_Face face = face_.get();
        const FT_UInt glyph = FT_Get_Char_Index(face, code_point);
        if (glyph == 0) throw FormatError(path_ + ": no glyph for " + name_of(code_point));
        if (FT_Load_Glyph(face, glyph, FT_LOAD_COLOR))
            throw FormatError(path_ + ": the glyph of " + name_of(code_point) +
                              " cannot be loaded (is FreeType built with PNG?)");
        const FT_Bitmap& bitmap = face->glyph->bitmap;
        if (bitmap.pixel_mode != FT_PIXEL_MODE_BGRA || bitmap.width == 0 || bitmap.rows == 0)
            throw FormatError(path_ + ": the glyph of " + name_of(code_point) +
                              " is not a colour bitmap");
        return straight_rgba(bitmap);
    }

private:
    static std::string name_of(std::uint32_t code_point) {
        char text[16];
        std::snprintf(text, sizeof text, "U+%04X", static_cast<unsigned>(code_point));
        return text;
    }

    // FreeType's pixels are blue, green, red, alpha, the colours multiplied by alpha.
    static Sprite straight_rgba(const FT_Bitmap& bitmap) {
        Sprite sprite{static_cast<int>(bitmap.width), static_cast<int>(bitmap.rows), {}};
        sprite.rgba.reserve(std::size_t{bitmap.width} * bitmap.rows * 4);
        for (unsigned row = 0; row < bitmap.rows; ++row) {
            const unsigned char* pixel =
                bitmap.buffer + static_cast<std::ptrdiff_t>(row) * bitmap.pitch;
            for (unsigned column = 0; column < bitmap.width; ++column, pixel += 4) {
                const int alpha = pixel[3];
                for (const int channel : {2, 1, 0}) {
                    const int value = alpha ? (pixel[channel] * 255 + alpha / 2) / alpha : 0;
                    sprite.rgba.push_back(static_cast<std::uint8_t>(value > 255 ? 255 : value));
                }
                sprite.rgba.push_back(static_cast<std::uint8_t>(alpha));
            }
        }
        return sprite;
    }

    struct CloseLibrary {
        void operator()(FT_Library library) const { FT_Done_FreeType(library); }
    };
    struct CloseFace {
        void operator()(FT_Face face) const { FT_Done_Face(face); }
    };
    std::string path_;
    std::unique_ptr<FT_LibraryRec_, CloseLibrary> library_;  // outlives the face
    std::unique_ptr<FT_FaceRec_, CloseFace> face_;
};

// The sprites of the given nouns, in their order.
inline std::vector<Sprite> load_sprites(const std::vector<Noun>& nouns,
                                        const std::string& font_path = default_emoji_font()) {
    const EmojiFont font(font_path);
    std::vector<Sprite> sprites;
    sprites.reserve(nouns.size());
    for (const Noun& noun : nouns) sprites.push_back(font.sprite(noun.code_point));
    return sprites;
}

// The short names ("tts") of a CLDR annotation file by the characters that they name (UTF-8,
// without variation selectors). Throws IoError when the file is absent, FormatError when it has no
// names.
inline std::map<std::string, std::string> read_cldr_names(
    const std::string& path = default_cldr_annotations()) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw IoError("cannot read the emoji names " + path +
                      "; expected Unicode CLDR annotations (Debian package unicode-cldr-core)");
    // One element a line: <annotation cp="…" type="tts">name</annotation>.
    constexpr std::string_view open = "<annotation cp=\"", middle = "\" type=\"tts\">",
                               close = "</annotation>";
    std::map<std::string, std::string> names;
    for (std::string line; std::getline(file, line);) {
        const std::size_t begin = line.find(open), split = line.find(middle),
                          end = line.find(close);
        if (begin == std::string::npos || split == std::string::npos || end == std::string::npos)
            continue;
        const std::size_t name = split + middle.size();
        if (split < begin + open.size() || end < name) continue;
        names[line.substr(begin + open.size(), split - begin - open.size())] =
            line.substr(name, end - name);
    }
    if (names.empty())
        throw FormatError(path +
                          ": no <annotation … type=\"tts\"> element; expected CLDR annotations");
    return names;
}

}  // namespace dalle2
