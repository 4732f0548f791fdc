// Semantic search: pictures are found by what they show, not by their names. Every picture of a
// folder is embedded once, into an index beside them; a search is then a product of matrices.
//
//     06_semantic_search [MODEL] [FOLDER "WORDS" ...]
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include <dalle2/clip/picture_file.hpp>
#include <dalle2/pipeline/load_clip.hpp>
#include <dalle2/pipeline/picture_index.hpp>

using namespace dalle2;
namespace fs = std::filesystem;

// The 84 scenes of examples/emoji-scenes.png as files: row-1-column-1.png, …
fs::path write_scenes() {
    const fs::path folder = fs::temp_directory_path() / "dalle2-semantic-search";
    fs::create_directories(folder);
    const Picture sheet = read_picture("examples/emoji-scenes.png");
    for (int row = 0; row < 6; ++row)
        for (int column = 0; column < 14; ++column) {
            Picture cell = make_picture(64, 64);
            for (int y = 0; y < 64; ++y)
                std::copy_n(sheet.pixel(column * 66, row * 66 + y), 3 * 64, cell.pixel(0, y));
            const fs::path file = folder / ("row-" + std::to_string(row + 1) + "-column-" +
                                            std::to_string(column + 1) + ".png");
            if (!fs::exists(file)) write_png(file, cell);
        }
    return folder;
}

void print(const std::string& title, const std::vector<IndexHit>& hits) {
    std::cout << "\n" << title << "\n";
    for (const IndexHit& hit : hits) std::cout << "  " << hit.cosine << "  " << hit.file << "\n";
}

int main(int argc, char** argv) try {
    const Clip clip = load_clip(argc > 1 ? argv[1] : "examples/models/emoji-scenes");
    const fs::path folder = argc > 2 ? argv[2] : write_scenes();
    std::vector<std::string> queries(argv + std::min(argc, 3), argv + argc);
    if (queries.empty())
        queries = {"a gray elephant on a black background", "a fire on a black background",
                   "a red trumpet above a broccoli on a green background"};
    std::cout << std::fixed << std::setprecision(3);

    // The index asks for two things: a file's pixels, and the embeddings of some pixels.
    const auto embed = [&](const std::vector<Array>& pixels) { return clip.embed_pixels(pixels); };
    const PictureEmbedder embedder = {
        .read = [&](const fs::path& file) { return clip.preprocessor()(read_clip_picture(file)); },
        .embed = embed,
        .settings = to_string(clip.engine()),
        .probe = embed({clip.preprocessor()(index_probe())})};
    PictureIndex index(folder / ".index", embedder);
    const IndexUpdate update = index.update(folder);
    std::cout << folder.string() << ": " << update.added << " pictures are new, " << update.kept
              << " were known, " << update.dropped << " are gone\n";

    // Words and pictures live in one space, so either can be what to look for.
    const Array words = clip.embed_texts(queries);
    std::string nearest;
    for (std::size_t i = 0; i < queries.size(); ++i) {
        Array query = make_array({1, clip.projection_dim()});
        std::copy_n(words.data() + static_cast<std::int64_t>(i) * clip.projection_dim(),
                    clip.projection_dim(), query.data());
        const std::vector<IndexHit> hits = index.nearest(query, 3);
        print("\"" + queries[i] + "\"", hits);
        if (i == 0 && !hits.empty()) nearest = hits[0].file;
    }
    if (!nearest.empty())
        print("like " + nearest,
              index.nearest(clip.embed_pictures({read_clip_picture(folder / nearest)}), 3));
} catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
