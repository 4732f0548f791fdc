#include <dalle2/clip/config.hpp>

#include "model_case.hpp"

using namespace dalle2;

TEST_CASE_TEMPLATE("CLIP's text encoder gives the reference's embeddings and states", E,
                   GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("text_encoder")) {
        ClipTextEncoder<E> model(clip_text_config(golden_case.config()));
        golden_case.load<E>(model);
        TokenBatch text;
        text.ids = golden_case.list<std::int32_t>("input_ids");
        text.tokens = model.config.max_position_embeddings;
        text.batch = static_cast<std::int64_t>(text.ids.size()) / text.tokens;
        const auto output = model(text);
        golden_case.check<E>(output.text_embedding, "text_embedding");
        golden_case.check<E>(output.hidden_states, "hidden_states");
        golden_case.check<E>(model.embedding(text), "text_embedding");
    }
}

TEST_CASE_TEMPLATE("CLIP's image encoder gives the reference's embeddings", E, GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("image_encoder")) {
        ClipImageEncoder<E> model(clip_image_config(golden_case.config()));
        golden_case.load<E>(model);
        golden_case.check<E>(model(golden_case.input<E>("pictures")), "image_embedding");
    }
}
