// The picture files of a folder, by their names.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <dalle2/core/error.hpp>

namespace dalle2 {

// Does the name end as those of picture files do? Not all of them can be read here, so that a
// person is told of the others.
inline bool is_picture_name(const std::filesystem::path& path) {
    std::string ending = path.extension().string();
    for (char& letter : ending)
        letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    static constexpr std::string_view endings[] = {".png", ".jpg", ".jpeg", ".bmp",
                                                   ".gif", ".tga", ".ppm",  ".pgm"};
    return std::find(std::begin(endings), std::end(endings), ending) != std::end(endings);
}

// The picture files of a folder and of the folders in it, but for hidden ones; relative to it,
// sorted. Links to files count, links to folders are not followed. Throws IoError.
inline std::vector<std::filesystem::path> picture_files(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code error;
    if (!fs::is_directory(folder, error))
        throw IoError("no pictures at " + folder.string() + ": there is no such folder");
    std::vector<fs::path> files;
    constexpr auto options = fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator next(folder, options, error), end; next != end && !error;
         next.increment(error)) {
        std::error_code ignored;
        if (next->path().filename().string().starts_with('.')) {
            next.disable_recursion_pending();
            continue;
        }
        if (is_picture_name(next->path()) && next->is_regular_file(ignored))
            files.push_back(next->path().lexically_relative(folder));
    }
    if (error) throw IoError("cannot list " + folder.string() + ": " + error.message());
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace dalle2
