// Runs: learning, resuming, independence from threads.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>

#include <dalle2/core/random.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/trainer.hpp>
#include <dalle2/train/upsampler_task.hpp>

using namespace dalle2;

namespace {

constexpr std::int64_t width = 16;
const ClipTextConfig text_config{.encoder = {width, 2 * width, 2, 1},
                                 .vocab_size = 20,
                                 .max_position_embeddings = 5,
                                 .projection_dim = width,
                                 .eos_token_id = 19};
const ClipImageConfig image_config{
    .encoder = {width, 2 * width, 2, 1}, .image_size = 8, .patch_size = 4, .projection_dim = width};
const PriorConfig prior_config{.embedding_dim = width,
                               .num_attention_heads = 2,
                               .attention_head_dim = 8,
                               .num_layers = 1,
                               .num_embeddings = 5};
const UNetConfig unet_config{
    .in_channels = 3,
    .out_channels = 6,
    .sample_size = 8,
    .levels = {{.channels = 8},
               {.channels = 16, .down_attention = true, .up_attention = true, .head_width = 8}},
    .layers_per_block = 1,
    .mid_attention = true,
    .context_width = 8,
    .norm_num_groups = 4,
    .conditioning = TimeConditioning::scale_shift};

// Plain coloured squares, captioned by the number of their colour.
std::string square(std::uint64_t index, std::int64_t size, float* pixels) {
    const int color = static_cast<int>(CounterGenerator(5).below(index, 8));
    if (pixels)
        for (std::int64_t i = 0; i < size * size * 3; ++i)
            pixels[i] = color >> (i % 3) & 1 ? 0.8f : -0.8f;
    return std::to_string(color);
}

TokenBatch tokens(const std::vector<std::string>& texts) {
    TokenBatch batch{static_cast<std::int64_t>(texts.size()), 3, {}, {}};
    for (const std::string& text : texts) {
        const std::int32_t word = text.empty() ? 19 : text[0] - '0';
        batch.ids.insert(batch.ids.end(), {18, word, 19});
        batch.mask.insert(batch.mask.end(), {1, 1, text.empty() ? 0 : 1});
    }
    return batch;
}

// A caption's number, so many times that texts have two to five tokens.
TokenBatch tokens_of_many_lengths(const std::vector<std::string>& texts) {
    TokenBatch batch{static_cast<std::int64_t>(texts.size()), 5, {}, {}};
    for (const std::string& text : texts) {
        const std::int32_t word = text.empty() ? 0 : text[0] - '0';
        const std::size_t end = batch.ids.size() + 1 + static_cast<std::size_t>(word % 4);
        batch.ids.push_back(18);
        batch.ids.resize(end, word);
        batch.mask.resize(end + 1, 1);
        batch.ids.resize(static_cast<std::size_t>(5) * (batch.ids.size() / 5 + 1), 19);
        batch.mask.resize(batch.ids.size(), 0);
    }
    return batch;
}

std::vector<std::string> captions(std::int64_t count) {
    return read_batch(square, 0, count, 8).captions;
}

template <class T>
void check_equal_gradients(const ParameterSet<T>& one, const ParameterSet<T>& other,
                           double tolerance = 1e-5) {
    REQUIRE(one.entries().size() == other.entries().size());
    for (std::size_t i = 0; i < one.entries().size(); ++i) {
        const auto& a = one.entries()[i].parameter.gradient();
        const auto& b = other.entries()[i].parameter.gradient();
        for (std::size_t j = 0; j < a.size(); ++j)
            REQUIRE(a[j] == doctest::Approx(b[j]).epsilon(tolerance).scale(1e-4));
    }
}

struct Folder {
    std::filesystem::path path;
    explicit Folder(const std::string& name)
        : path(std::filesystem::temp_directory_path() / ("dalle2-test-" + name)) {
        std::filesystem::remove_all(path);
    }
    ~Folder() { std::filesystem::remove_all(path); }
};

template <class T>
std::map<std::string, std::vector<Accumulator<T>>> values_of(ParameterSet<T>& parameters) {
    std::map<std::string, std::vector<Accumulator<T>>> values;
    for (const auto& entry : parameters.entries()) {
        values[entry.name] = entry.parameter.values();
        values[entry.name + " average"] = entry.average;
    }
    return values;
}

template <class T>
ClipTask<T> clip_task() {
    return ClipTask<T>(text_config, image_config, square, tokens, 3);
}

template <class T>
DecoderTask<T> decoder_task() {
    auto text = std::make_shared<ClipTextEncoder<Cpu<T>>>(text_config);
    auto image = std::make_shared<ClipImageEncoder<Cpu<T>>>(image_config);
    initialize<Cpu<T>>(*text, 1);
    initialize<Cpu<T>>(*image, 2);
    const NoiseSchedule schedule(
        {.prediction_type = PredictionType::sample, .variance_type = VarianceType::learned_range});
    return DecoderTask<T>({.clip_embeddings_dim = width,
                           .time_embed_dim = time_embedding_width(unet_config),
                           .cross_attention_dim = 8},
                          unet_config, schedule, text, image, square, tokens, 3);
}

TrainerOptions options(const Folder& folder, std::int64_t steps) {
    return {.folder = folder.path,
            .batch = 8,
            .learning_rate = {.peak = 3e-3, .warmup = 5, .steps = steps},
            .log_every = 10};
}

}  // namespace

TEST_CASE("a run that stopped and went on gives the same bits as one that did not") {
    const Folder whole("whole"), parts("parts");
    auto undisturbed = decoder_task<bfloat16>();
    Trainer trainer(undisturbed, options(whole, 12));
    trainer.run();

    for (const int asked_after : {5, 9, 100}) {
        auto task = decoder_task<bfloat16>();
        TrainerOptions o = options(parts, 12);
        o.log_every = 1;
        Trainer part(task, o);
        part.resume();
        std::stop_source stop;
        part.run(
            [&](const TrainingProgress& p) {
                if (p.step == asked_after) stop.request_stop();
            },
            stop.get_token());
        if (asked_after == 100)
            CHECK(values_of(task.parameters()) == values_of(undisturbed.parameters()));
    }
}

TEST_CASE("training does not depend on the number of threads") {
#ifdef _OPENMP
    std::map<std::string, std::vector<float>> first;
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 3}) {
        omp_set_num_threads(threads);
        const Folder folder("threads");
        auto task = decoder_task<bfloat16>();
        Trainer(task, options(folder, 4)).run();
        if (threads == 1) first = values_of(task.parameters());
        CHECK(values_of(task.parameters()) == first);
    }
    omp_set_num_threads(before);
#endif
}

TEST_CASE("CLIP learns to tell colours apart") {
    const Folder folder("clip");
    auto task = clip_task<float>();
    Metrics last;
    Trainer(task, options(folder, 150)).run([&](const TrainingProgress& p) { last = p.metrics; });
    // Eight colours among eight samples: some occur twice, but equal captions do not count against
    // each other.
    CHECK(last[1].second > 0.95);
}

TEST_CASE("CLIP's temperature stays within its bound") {
    ClipTask<float> task(text_config, image_config, square, tokens, 3, {.largest_scale = 5});
    CHECK(task.gradients(0, 4, 1.0)[2].second == doctest::Approx(5));
    CHECK(clip_task<float>().gradients(0, 4, 1.0)[2].second == doctest::Approx(1 / 0.07));
}

TEST_CASE("timesteps are drawn as their bias says, with those before them at every distance") {
    for (const double random : {0.0, 0.25, 0.999999999}) {
        CHECK(biased_timestep(1000, 0, random) == static_cast<std::int64_t>(1000 * random));
        CHECK(biased_timestep(1000, 1, random * random) ==
              static_cast<std::int64_t>(1000 * random));
        CHECK(random_previous_timestep(0, 1000, random) == -1);
        CHECK(random_previous_timestep(1, 1000, random) == 0);
    }
    CHECK(biased_timestep(1000, 1, 1.0) == 999);
    CHECK(random_previous_timestep(700, 1000, 0) == 699);
    CHECK(random_previous_timestep(700, 1000, 0.5) == 700 - 22);
    CHECK(random_previous_timestep(700, 1000, 0.999999999) == 700 - 499);
}

TEST_CASE(
    "the decoder and the prior learn to predict, and gradients in parts are those of the whole") {
    const Folder folder("decoder");
    auto task = decoder_task<float>();
    double first = 0, last = 0;
    Trainer(task, options(folder, 150)).run([&](const TrainingProgress& p) {
        if (p.step == 10) first = p.metrics[0].second;
        last = p.metrics[0].second;
    });
    CHECK(last < 0.3 * first);

    auto whole = decoder_task<double>(), parts = decoder_task<double>();
    whole.gradients(0, 4, 1.0);
    parts.gradients(0, 2, 0.5);
    parts.gradients(2, 2, 0.5);
    check_equal_gradients(whole.parameters(), parts.parameters());
}

TEST_CASE("a prior's gradients of texts of several lengths are those of each by itself") {
    const auto text = std::make_shared<ClipTextEncoder<Cpu<double>>>(text_config);
    const auto image = std::make_shared<ClipImageEncoder<Cpu<double>>>(image_config);
    initialize<Cpu<double>>(*text, 1);
    initialize<Cpu<double>>(*image, 2);
    const auto make = [&] {
        return PriorTask<double>(
            prior_config, NoiseSchedule({.prediction_type = PredictionType::sample}), text, image,
            make_array({width}), make_array({width}, 1.0f), square, tokens_of_many_lengths, 3);
    };
    auto whole = make(), single = make();
    // So many that they come in several groups.
    const std::int64_t count = 120;
    REQUIRE(groups_by_length(tokens_of_many_lengths(captions(count))).size() > 1);
    const double loss = whole.gradients(0, count, 1.0)[0].second;
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i)
        sum += single.gradients(static_cast<std::uint64_t>(i), 1, 1.0 / count)[0].second / count;
    CHECK(loss == doctest::Approx(sum).epsilon(1e-6));
    check_equal_gradients(whole.parameters(), single.parameters());
}

TEST_CASE("CLIP's gradients do not depend on how its texts are grouped") {
    const std::int64_t count = 120;
    // CLIP's text encoder looks at no mask, and texts without padding are one group.
    const auto unmasked = [](const std::vector<std::string>& texts) {
        TokenBatch batch = tokens_of_many_lengths(texts);
        std::fill(batch.mask.begin(), batch.mask.end(), 1);
        return batch;
    };
    ClipTask<double> grouped(text_config, image_config, square, tokens_of_many_lengths, 3),
        whole(text_config, image_config, square, unmasked, 3);
    REQUIRE(groups_by_length(tokens_of_many_lengths(captions(count))).size() > 1);
    REQUIRE(groups_by_length(unmasked(captions(count))).size() == 1);
    CHECK(grouped.gradients(0, count, 1.0)[0].second ==
          doctest::Approx(whole.gradients(0, count, 1.0)[0].second).epsilon(1e-6));
    // The loss is kept in floats, and its sums run in another order.
    check_equal_gradients(grouped.parameters(), whole.parameters(), 1e-3);
}

TEST_CASE("a checkpoint of another model is refused by the name of a tensor") {
    const Folder folder("other");
    auto clip = clip_task<float>();
    Trainer(clip, options(folder, 1)).run();
    auto decoder = decoder_task<float>();
    Trainer other(decoder, options(folder, 1));
    CHECK_THROWS_AS(other.resume(), FormatError);
}

TEST_CASE("a prior and an upsampler learn") {
    const Folder folder("prior");
    auto text = std::make_shared<ClipTextEncoder<Cpu<float>>>(text_config);
    auto image = std::make_shared<ClipImageEncoder<Cpu<float>>>(image_config);
    initialize<Cpu<float>>(*text, 1);
    initialize<Cpu<float>>(*image, 2);
    const NoiseSchedule schedule({.prediction_type = PredictionType::sample});
    PriorTask<float> prior(prior_config, schedule, text, image, make_array({width}),
                           make_array({width}, 1.0f), square, tokens, 3);
    std::vector<double> losses;
    const auto report = [&](const TrainingProgress& p) { losses.push_back(p.metrics[0].second); };
    Trainer(prior, options(folder, 100)).run(report);
    CHECK(losses.back() < 0.6 * losses.front());

    const Folder other("upsampler");
    const UNetConfig config{.in_channels = 6,
                            .out_channels = 3,
                            .sample_size = 16,
                            .levels = {{8}, {8}},
                            .layers_per_block = 1,
                            .norm_num_groups = 4};
    UpsamplerTask<float> upsampler(config, schedule, square, 3, {.low_size = 4, .crop = 8});
    losses.clear();
    Trainer(upsampler, options(other, 60)).run(report);
    CHECK(losses.back() < 0.5 * losses.front());
}
