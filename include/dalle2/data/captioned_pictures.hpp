// What trainers learn from: pictures with captions, numbered without end.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>

#include <dalle2/data/scene_renderer.hpp>
#include <dalle2/data/scene_stream.hpp>

namespace dalle2 {

// sample(index, size, out) writes picture `index` as [size, size, 3] in [-1, 1] and returns its
// caption. It is a pure function of its arguments and safe from several threads, so a run resumes
// with a number and reads the same data with any number of threads.
template <class S>
concept CaptionedPictures = requires(const S source, std::uint64_t index, int size, float* out) {
    { source.sample(index, size, out) } -> std::same_as<std::string>;
};

// The emoji scenes as such a source. The renderer must outlive it. Sizes: 128, 64, 32, 16.
class EmojiScenes {
public:
    EmojiScenes(const SceneRenderer& renderer, SceneStream stream)
        : renderer_(renderer), stream_(std::move(stream)) {}

    std::string sample(std::uint64_t index, int size, float* out) const {
        renderer_.render(stream_.scene(index), size, out);
        return stream_.caption(index);
    }
    const SceneStream& stream() const { return stream_; }

private:
    const SceneRenderer& renderer_;
    SceneStream stream_;
};
static_assert(CaptionedPictures<EmojiScenes>);

}  // namespace dalle2
