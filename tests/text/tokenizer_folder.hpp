// A small tokenizer, as files.
#pragma once

#include <string>
#include <vector>

#include <dalle2/io/json.hpp>
#include <dalle2/text/bpe_trainer.hpp>
#include <dalle2/text/clip_tokenizer.hpp>

#include "../io/temporary_folder.hpp"

inline dalle2::ClipTokenizer small_tokenizer() {
    return dalle2::ClipTokenizer(dalle2::train_bpe({"a red apple on a blue table", "an owl"}));
}

inline void write_small_tokenizer(const TemporaryFolder& folder, const std::string& name) {
    small_tokenizer().save(folder / name);
}

// The same as a tokenizer.json, as transformers 4.49 writes it.
inline dalle2::Json small_tokenizer_json(bool merges_are_lists) {
    dalle2::Json json = dalle2::Json::parse(R"json({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            {"id": 0, "content": "<|startoftext|>", "single_word": false, "lstrip": false,
             "rstrip": false, "normalized": true, "special": true},
            {"id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false,
             "rstrip": false, "normalized": true, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
            {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "behavior": "Removed", "invert": true, "pattern": {
                "Regex": "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"}},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
             "use_regex": true}]},
        "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 0],
            "cls": ["<|startoftext|>", 0], "trim_offsets": false, "add_prefix_space": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<|endoftext|>",
            "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": {}, "merges": []}})json");
    const dalle2::ClipTokenizer tokenizer = small_tokenizer();
    json["added_tokens"][0]["id"] = tokenizer.start_id();
    json["added_tokens"][1]["id"] = tokenizer.end_id();
    json["post_processor"]["cls"][1] = tokenizer.start_id();
    json["post_processor"]["sep"][1] = tokenizer.end_id();
    for (std::int32_t id = 0; id < tokenizer.vocabulary_size(); ++id)
        json["model"]["vocab"][tokenizer.token(id)] = id;
    for (const auto& [left, right] : tokenizer.vocabulary().merges)
        if (merges_are_lists)
            json["model"]["merges"].push_back(dalle2::Json::array({left, right}));
        else
            json["model"]["merges"].push_back(left + " " + right);
    return json;
}
