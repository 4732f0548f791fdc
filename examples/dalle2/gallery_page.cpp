#include "gallery_page.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <system_error>

#include <dalle2/io/base64.hpp>
#include <dalle2/io/resize_picture.hpp>
#include <dalle2/io/utf8.hpp>

namespace tool {

namespace {

std::string escaped(const std::string& text) {
    std::string html;
    for (const char c : dalle2::repaired_utf8(text)) switch (c) {
            case '&': html += "&amp;"; break;
            case '<': html += "&lt;"; break;
            case '>': html += "&gt;"; break;
            case '"': html += "&quot;"; break;
            default: html += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
        }
    return html;
}

// The path as a part of a link: every byte but letters, digits and a few signs as %41.
std::string link_of(const std::string& path) {
    static constexpr std::string_view plain = "-_.~/";
    std::string link;
    for (const char c : path) {
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || plain.find(c) != std::string_view::npos) {
            link += c;
            continue;
        }
        char code[4];
        std::snprintf(code, sizeof code, "%%%02X",
                      static_cast<unsigned>(static_cast<unsigned char>(c)));
        link += code;
    }
    return link;
}

// From the page to a file; a whole path where the two have nothing in common.
std::string link_between(const std::filesystem::path& page, const std::filesystem::path& file) {
    std::error_code error;
    // A relative path stays one in weakly_canonical where its first part does not exist yet.
    const auto whole = [&](const std::filesystem::path& path) {
        return std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error);
    };
    const auto from = whole(page).parent_path(), to = whole(file);
    const auto relative = to.lexically_relative(from);
    if (error || relative.empty()) return "file://" + link_of(to.generic_string());
    return "./" + link_of(relative.generic_string());  // "./": a name may look like "http:"
}

// As large as the page shows it on a sharp screen; small ones stay as they are.
dalle2::Picture thumbnail(const dalle2::Picture& picture) {
    constexpr std::int64_t side = 320;
    const std::int64_t longer = std::max(picture.width, picture.height);
    if (longer <= side) return picture;
    const auto shrunk = [&](int length) {
        return std::max<std::int64_t>(1, (length * side + longer / 2) / longer);
    };
    return dalle2::resize_picture(picture, shrunk(picture.width), shrunk(picture.height));
}

constexpr const char* style = R"(
:root { color-scheme: light dark; --ground: #f6f6f4; --card: #fff; --ink: #1c1c1a; --faint: #777; --bar: #3b7dd8; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #161618; --card: #212124; --ink: #ececea; --faint: #999; --bar: #6ba4f0; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 4rem); background: var(--ground); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; font-weight: 650; overflow-wrap: anywhere; }
header p { margin: .2rem 0 1.6rem; color: var(--faint); }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 1rem; }
a { display: flex; flex-direction: column; background: var(--card); border-radius: 10px; overflow: hidden;
    color: inherit; text-decoration: none; box-shadow: 0 1px 3px #0002; transition: transform .12s, box-shadow .12s; }
a:hover, a:focus-visible { transform: translateY(-2px); box-shadow: 0 4px 14px #0003; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #8881; image-rendering: auto; }
.text { padding: .55rem .7rem .7rem; }
.name { display: block; font-size: .82rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.score { display: flex; align-items: center; gap: .5rem; color: var(--faint); font-size: .78rem;
         font-variant-numeric: tabular-nums; }
.score i { flex: 1; height: 4px; border-radius: 2px; background: #8883; overflow: hidden; }
.score b { display: block; height: 100%; background: var(--bar); }
)";

}  // namespace

std::string gallery_page(const std::string& title, const std::string& remark,
                         const std::vector<GalleryEntry>& entries,
                         const std::filesystem::path& page) {
    std::string html =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
        escaped(title) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<header><h1>" +
        escaped(title) + "</h1><p>" + escaped(remark) + "</p></header>\n<main>\n";
    // Bars run from the worst to the best of them: cosines of a model lie close together.
    double best = -1, worst = 1;
    for (const GalleryEntry& entry : entries) {
        best = std::max(best, entry.score);
        worst = std::min(worst, entry.score);
    }
    for (const GalleryEntry& entry : entries) {
        const double share = best > worst ? (entry.score - worst) / (best - worst) : 1;
        char score[64];
        std::snprintf(score, sizeof score, "<i><b style=\"width:%.0f%%\"></b></i>%.3f",
                      8 + 92 * share, entry.score);
        html += "<a href=\"" + link_between(page, entry.file) + "\" title=\"" +
                escaped(entry.name) + "\"><img alt=\"\" src=\"data:image/png;base64," +
                dalle2::base64(dalle2::encode_png(thumbnail(entry.picture))) +
                "\"><span class=\"text\"><span class=\"name\">" + escaped(entry.name) +
                "</span><span class=\"score\">" + score + "</span></span></a>\n";
    }
    return html + "</main>\n</body>\n</html>\n";
}

}  // namespace tool
