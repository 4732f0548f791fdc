// The files of a tokenizer, with zero bytes between them: vocab.json, merges.txt,
// special_tokens_map.json, tokenizer_config.json, tokenizer.json (an empty one is absent), then a
// prompt. With a first byte of 0x1F the input is OpenAI's gzip file instead.
#include <array>
#include <filesystem>
#include <string>

#include <dalle2/text/tokenizer_files.hpp>

#include "fuzzing.hpp"

namespace {

void use(const dalle2::ClipTokenizer& tokenizer, const std::string& prompt) {
    const dalle2::Tokens tokens = tokenizer(prompt);
    if (tokens.ids.size() != static_cast<std::size_t>(tokenizer.max_length())) std::abort();
    (void)tokenizer.decode(tokens.ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzzing::Folder folder;
    if (size > 0 && data[0] == 0x1F) {
        const auto path = folder.write("bpe.txt.gz", fuzzing::as_text(data, size));
        return fuzzing::read_or_refuse(
            [&] { use(dalle2::ClipTokenizer::from_openai_file(path), "a red apple"); });
    }
    constexpr std::array names = {"vocab.json", "merges.txt", "special_tokens_map.json",
                                  "tokenizer_config.json", "tokenizer.json"};
    const auto parts = fuzzing::parts(fuzzing::as_text(data, size), names.size() + 1);
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (i < parts.size() && !parts[i].empty()) {
            folder.write(names[i], parts[i]);
        } else {
            std::filesystem::remove(folder.path() / names[i]);
        }
    }
    return fuzzing::read_or_refuse([&] {
        use(dalle2::ClipTokenizer::from_directory(folder.path()),
            parts.size() > names.size() ? parts.back() : "a red apple");
    });
}
