#include <dalle2/prior/config.hpp>

#include "model_case.hpp"

using namespace dalle2;

TEST_CASE_TEMPLATE("The prior predicts what the reference predicts, with padding masked", E,
                   GOLDEN_ENGINES) {
    for (const golden::Case& golden_case : golden::cases("prior")) {
        PriorTransformer<E> model(prior_config(golden_case.config()));
        golden_case.load<E>(model);
        const auto predicted =
            model(golden_case.input<E>("sample"), golden_case.list<double>("timestep"),
                  golden_case.input<E>("text_embedding"), golden_case.input<E>("text_states"),
                  golden_case.list<std::int32_t>("mask"));
        golden_case.check<E>(predicted, "predicted");
        const Array denormalised =
            E::to_array(predicted) * E::store(model.clip_std) + E::store(model.clip_mean);
        golden_case.check_array<E>(denormalised, "denormalised");
    }
}
