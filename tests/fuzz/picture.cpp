// A picture file, and the text in it.
#include <dalle2/io/picture.hpp>

#include "fuzzing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzzing::Folder folder;
    const std::string_view bytes = fuzzing::as_text(data, size);
    fuzzing::read_or_refuse([&] {
        // A megapixel at most: the time goes into many small files, not into a few large ones.
        const dalle2::Picture picture =
            dalle2::decode_picture(bytes, "input", {.pixels = std::int64_t{1} << 20});
        const auto pixels =
            static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
        if (pixels == 0 || picture.rgb.size() != 3 * pixels) std::abort();
    });
    if (!bytes.starts_with(dalle2::detail::png_signature)) return 0;
    const auto path = folder.write("input.png", bytes);
    return fuzzing::read_or_refuse([&] { (void)dalle2::read_png_text(path); });
}
