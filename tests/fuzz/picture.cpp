// A picture file: as it is, as CLIP's preprocessing reads it, and the text in it.
#include <dalle2/clip/picture_file.hpp>
#include <dalle2/io/picture.hpp>

#include "fuzzing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzzing::Folder folder;
    const std::string_view bytes = fuzzing::as_text(data, size);
    // A megapixel at most: the time goes into many small files, not into a few large ones.
    const dalle2::PictureLimits limits{.pixels = std::int64_t{1} << 20};
    const auto check = [](const dalle2::Picture& picture) {
        const auto pixels =
            static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
        if (pixels == 0 || picture.rgb.size() != 3 * pixels) std::abort();
    };
    fuzzing::read_or_refuse([&] { check(dalle2::decode_picture(bytes, "input", limits)); });
    fuzzing::read_or_refuse([&] {
        check(dalle2::decode_clip_picture(bytes, "input", {.upright = true, .limits = limits}));
    });
    if (!bytes.starts_with(dalle2::detail::png_signature)) return 0;
    const auto path = folder.write("input.png", bytes);
    return fuzzing::read_or_refuse([&] { (void)dalle2::read_png_text(path); });
}
