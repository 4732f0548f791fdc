// A web page of pictures found in a folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <dalle2/io/picture.hpp>

namespace tool {

struct GalleryEntry {
    dalle2::Picture picture;     // of any size; the page holds a small copy
    std::filesystem::path file;  // what a click opens
    std::string name;            // shown below
    double score = 0;            // −1 to 1
};

// One file with everything in it but the pictures in full, which are links relative to `page`.
// Names may hold anything: they are shown as text.
std::string gallery_page(const std::string& title, const std::string& remark,
                         const std::vector<GalleryEntry>& entries,
                         const std::filesystem::path& page);

}  // namespace tool
