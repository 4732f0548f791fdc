#include <dalle2/decoder/config.hpp>

#include "model_case.hpp"

using namespace dalle2;

TEST_CASE_TEMPLATE("The text projection makes the reference's context, guided or not", E,
                   GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("text_projection")) {
        TextProjection<E> model(text_projection_config(golden_case.config()));
        golden_case.load<E>(model);
        const auto image = golden_case.input<E>("image_embedding");
        const auto text = golden_case.input<E>("text_embedding"),
                   states = golden_case.input<E>("text_states");
        const auto plain = model(image, text, states);
        golden_case.check<E>(plain.context, "context");
        golden_case.check<E>(plain.time, "time");
        // The golden values take the negated text for the unconditional one.
        const auto both = [](const auto& conditional) {
            return E::concatenate({E::scale(conditional, -1.0), conditional}, 0);
        };
        const auto nothing = model.unconditional_image_embedding(E::shape(image)[0]);
        const auto guided = model(E::concatenate({nothing, image}, 0), both(text), both(states));
        golden_case.check<E>(guided.context, "context_guided");
        golden_case.check<E>(guided.time, "time_guided");
    }
}

TEST_CASE_TEMPLATE("The decoder's UNet predicts what the reference predicts", E, GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("decoder")) {
        UNet<E> model(unet_config(golden_case.config()));
        golden_case.load<E>(model);
        const auto added_time = golden_case.input<E>("added_time");
        const auto context = golden_case.input<E>("context");
        std::vector<std::int32_t> keep;
        if (golden_case.has_input("mask")) keep = golden_case.list<std::int32_t>("mask");
        const auto output =
            model(golden_case.input<E>("sample"), golden_case.list<double>("timestep"), &added_time,
                  {.tokens = &context, .keep = keep});
        golden_case.check<E>(output, "output");
    }
}

TEST_CASE_TEMPLATE("The upsampler's UNet predicts what the reference predicts", E, GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("upsampler")) {
        UNet<E> model(unet_config(golden_case.config()));
        golden_case.load<E>(model);
        golden_case.check<E>(
            model(golden_case.input<E>("sample"), golden_case.list<double>("timestep")), "output");
    }
}
