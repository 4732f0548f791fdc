#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>

#include <dalle2/io/json.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/pipeline/load.hpp>

#include "../pipeline/tiny_directory.hpp"
#include "running.hpp"

namespace {

// A folder with a small model in it, and the words that choose it.
struct WithModel {
    TemporaryFolder folder;
    WithModel() { tiny_model::write(folder / "model"); }

    Run generate(const std::string& arguments) const {
        return run(folder, "generate --model model " + arguments);
    }
};

std::string text_of(const dalle2::PngText& text, const std::string& key) {
    for (const auto& [name, value] : text)
        if (name == key) return value;
    return "absent";
}

}  // namespace

TEST_CASE("a picture remembers what it was made with") {
    const WithModel model;
    const Run made = model.generate("'red \"owl\" — größer' -o owl.png --seed 7 --steps 2");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    CHECK(made.out.find("owl.png: 16×16") != std::string::npos);
    const dalle2::PngText text = dalle2::read_png_text(model.folder / "owl.png");
    CHECK(text_of(text, "prompt") == "red \"owl\" — größer");
    CHECK(text_of(text, "seed") == "7");
    CHECK(text_of(text, "steps") == "2");
    CHECK(text_of(text, "prior_steps") == "3");  // the model's own
    const Run shown = run(model.folder, "info owl.png");
    CHECK(shown.out.find("red \"owl\" — größer") != std::string::npos);
}

TEST_CASE("the same seed makes the same bytes, for any number of threads") {
    const WithModel model;
    CHECK(model.generate("owl -o one.png --seed 3 --threads 1").status == 0);
    CHECK(model.generate("owl -o two.png --seed 3 --threads 2").status == 0);
    CHECK(model.generate("owl -o other.png --seed 4").status == 0);
    CHECK(model.folder.read("one.png") == model.folder.read("two.png"));
    CHECK(model.folder.read("one.png") != model.folder.read("other.png"));
}

TEST_CASE("a grid shows what each seed makes alone") {
    const WithModel model;
    CHECK(model.generate("owl -o alone.png --seed 4").status == 0);
    CHECK(model.generate("owl -o grid.png --seed 3 --count 2").status == 0);
    const dalle2::Picture alone = dalle2::read_picture(model.folder / "alone.png");
    const dalle2::Picture grid = dalle2::read_picture(model.folder / "grid.png");
    CHECK(grid.width == 2 * 16 + 2);
    bool same = true;
    for (int y = 0; y < 16; ++y)
        for (int x = 0; x < 16; ++x)
            same = same &&
                   std::equal(alone.pixel(x, y), alone.pixel(x, y) + 3, grid.pixel(x + 16 + 2, y));
    CHECK(same);
}

TEST_CASE(
    "a profile tells each network's operations, writes a trace, and leaves the picture alone") {
    const WithModel model;
    const std::string options = "owl --seed 3 --steps 2 -o ";
    CHECK(model.generate(options + "plain.png").status == 0);
    const Run made = model.generate(options + "profiled.png --profile trace.json");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    CHECK(model.folder.read("plain.png") == model.folder.read("profiled.png"));
    for (const char* line :
         {"\nload decoder ", "\ntext_encoder     attention", "\nprior            linear",
          "\ntext_proj        together", "\ndecoder          conv2d 3x3",
          "\nsuper_res_last   group_norm", "\neverything ", "GFLOP/s"})
        CHECK_MESSAGE(made.out.find(line) != std::string::npos, line, " is not in ", made.out);
    const dalle2::Json trace = dalle2::read_json(model.folder / "trace.json");
    const auto count = [&](const std::string& name) {
        return std::count_if(trace["traceEvents"].begin(), trace["traceEvents"].end(),
                             [&](const dalle2::Json& event) { return event.at("name") == name; });
    };
    CHECK(count("decoder") == 1);
    CHECK(count("step 1") == 3);  // of each stage
    CHECK(count("step 3") < 3);
    CHECK(count("conv2d 3x3") > 10);
    const Run wrong = model.generate("owl -o x.png --profile nowhere/trace.json");
    CHECK(wrong.status != 0);
    CHECK(is_one_error_line(wrong.err));
}

TEST_CASE("every engine and sampler makes a picture") {
    const WithModel model;
    for (const char* engine : dalle2::engine_names)
        for (const char* sampler : dalle2::sampler_names) {
            const Run made = model.generate(std::string("owl --engine ") + engine + " --sampler " +
                                            sampler + " -o " + engine + sampler + ".png");
            CHECK_MESSAGE(made.status == 0, made.err);
        }
}

TEST_CASE("--eta is of ddim, whichever stage it draws, and is remembered") {
    const WithModel model;
    const std::size_t files = model.folder.file_count();
    for (const char* samplers : {"", "--sampler heun", "--super-res-sampler dpm++"}) {
        const Run refused = model.generate(std::string("owl --eta 0.5 ") + samplers);
        CHECK(refused.status == 1);
        CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
        CHECK(refused.err.find("--eta is of ddim alone; none of the samplers is it") !=
              std::string::npos);
    }
    CHECK(model.folder.file_count() == files);
    for (const char* option : {"--sampler", "--prior-sampler", "--super-res-sampler"}) {
        CAPTURE(std::string(option));
        const std::string ddim = std::string("owl ") + option + " ddim -o ";
        REQUIRE(model.generate(ddim + "plain.png").status == 0);
        REQUIRE(model.generate(ddim + "noisy.png --eta 0.5").status == 0);
        CHECK(text_of(dalle2::read_png_text(model.folder / "plain.png"), "eta") == "0");
        CHECK(text_of(dalle2::read_png_text(model.folder / "noisy.png"), "eta") == "0.5");
        CHECK(!(dalle2::read_picture(model.folder / "plain.png") ==
                dalle2::read_picture(model.folder / "noisy.png")));
    }
    REQUIRE(model.generate("owl -o unclip.png").status == 0);
    CHECK(text_of(dalle2::read_png_text(model.folder / "unclip.png"), "eta") == "absent");
}

TEST_CASE("threads are what is asked for, or it is said why not") {
    const WithModel model;
    for (const char* threads : {"0", "1024"}) {
        const Run made = model.generate(std::string("owl -o owl.png --threads ") + threads);
        CHECK(made.status == 0);
#ifdef _OPENMP
        CHECK(made.err.find("warning: --threads") == std::string::npos);
#else
        CHECK((made.err.find("built without OpenMP") != std::string::npos) ==
              (std::string(threads) != "0"));
#endif
    }
}

TEST_CASE("the empty prompt is allowed") {
    const WithModel model;
    CHECK(model.generate("'' -o empty.png").status == 0);
}

TEST_CASE("a word that the model never saw is named, with those near it") {
    const WithModel model;
    const Run made = model.generate("'red owk' -o owk.png");
    CHECK(made.status == 0);
    CHECK(made.err.find("warning: the model never saw the word \"owk\"") != std::string::npos);
    CHECK(made.err.find("\"red\"") == std::string::npos);
}

TEST_CASE("piped progress is one line for each stage, without control characters") {
    const WithModel model;
    const Run made = model.generate("red -o red.png");
    CHECK(made.err.find('\r') == std::string::npos);
    CHECK(made.err.find('\x1b') == std::string::npos);
    CHECK(std::count(made.err.begin(), made.err.end(), '\n') == 3);
}

TEST_CASE("info tells a model's networks and their cost") {
    const WithModel model;
    const Run shown = run(model.folder, "info model");
    REQUIRE_MESSAGE(shown.status == 0, shown.err);
    CHECK(shown.out.find("8×8 by the decoder, 16×16 by the upsampler") != std::string::npos);
    for (const char* network : {"text_encoder", "prior", "text_proj", "decoder", "super_res_last"})
        CHECK(shown.out.find(network) != std::string::npos);
    CHECK(shown.out.find("F32") != std::string::npos);  // what the weights are stored as
    CHECK(shown.out.find("--memory least") != std::string::npos);
    for (const char* engine : {"\n  float32 ", "\n  bfloat16 ", "\n  int8 "})
        CHECK(shown.out.find(engine) != std::string::npos);
    const Run clip = run(model.folder, "info model/text_encoder");
    CHECK_MESSAGE(clip.status == 0, clip.err);
    CHECK(clip.out.find("embeddings of 12 numbers") != std::string::npos);
    const Run refused = run(model.folder, "info model/prior");
    CHECK(refused.status == 1);
    CHECK(is_one_error_line(refused.err));
}

TEST_CASE("info looks at the variant that is asked for") {
    const WithModel model;
    const auto types = [&](const std::string& arguments) {
        const Run shown = run(model.folder, "info " + arguments);
        CHECK_MESSAGE(shown.status == 0, shown.err);
        return std::pair(shown.out.find(" F32 ") != std::string::npos,
                         shown.out.find(" BF16 ") != std::string::npos);
    };
    REQUIRE(run(model.folder, "convert model half --dtype bfloat16 --as-variant bf16").status == 0);
    std::filesystem::copy(
        model.folder / "half", model.folder / "model",
        std::filesystem::copy_options::recursive | std::filesystem::copy_options::skip_existing);
    for (const char* path : {"model", "model/text_encoder"}) {
        CAPTURE(std::string(path));
        CHECK(types(path) == std::pair(true, false));
        CHECK(types(std::string(path) + " --variant bf16") == std::pair(false, true));
        const Run absent = run(model.folder, std::string("info --variant fp16 ") + path);
        CHECK(absent.status == 1);
        CHECK(is_one_error_line(absent.err));
    }
    CHECK(run(model.folder, "info --variant bf16").status == 2);
}

TEST_CASE("bad options and prompts are one line, exit status not 0, and write nothing") {
    const WithModel model;
    const std::size_t files = model.folder.file_count();
    model.folder.write("long.txt", std::string(100'000, 'a'));
    for (const char* arguments : {"",
                                  "red --steps 0",
                                  "red --steps 1001",
                                  "red --steps 2.5",
                                  "red --prior-steps 0",
                                  "red --super-res-steps -1",
                                  "red --guidance nan",
                                  "red --guidance inf",
                                  "red --prior-guidance nan",
                                  "red --sampler rk4",
                                  "red --engine gpu",
                                  "red --threads -1",
                                  "red --threads 1000000",
                                  "red --threads 5000",
                                  "red --seed x",
                                  "red --seed 4294967296",
                                  "red --count 0",
                                  "red --colour",
                                  "red blue",
                                  "\"$(printf 'a\\377b')\"",
                                  "\"$(printf 'a\\033[31mb')\"",
                                  "\"$(printf 'a\\nb')\"",
                                  "\"$(cat long.txt)\"",
                                  "red -o no/such/folder.png",
                                  "red -o /dev/full",
                                  "red -o model"}) {
        CAPTURE(std::string(arguments));
        const Run wrong = model.generate(arguments);
        CHECK(wrong.status != 0);
        CHECK(wrong.out.empty());
        const std::string last =
            wrong.err.substr(std::min(wrong.err.find("dalle2: error"), wrong.err.size()));
        CHECK_MESSAGE(is_one_error_line(last), wrong.err);
    }
    CHECK(model.folder.file_count() == files + 1);
    CHECK_MESSAGE(model.generate("red --steps 1 --prior-steps 1000 -o few.png").status == 0,
                  "1 and 1000 steps are allowed");
}

TEST_CASE("a model that is absent or damaged is one line that says what and where") {
    struct Damage {
        const char *file, *content;  // null: removed
    };
    for (const Damage& damage :
         {Damage{"prior", nullptr}, Damage{"model_index.json", nullptr},
          Damage{"model_index.json", "{"}, Damage{"decoder/config.json", "not json"},
          Damage{"decoder/config.json", "{}"}, Damage{"tokenizer/merges.txt", nullptr},
          Damage{"prior/diffusion_pytorch_model.safetensors", "short"},
          Damage{"text_encoder/model.safetensors", ""}}) {
        const WithModel model;
        const std::filesystem::path path = model.folder / "model" / damage.file;
        if (damage.content)
            model.folder.write(std::string("model/") + damage.file, damage.content);
        else
            std::filesystem::remove_all(path);
        CAPTURE(std::string(damage.file));
        const Run refused = model.generate("red -o red.png");
        CHECK(refused.status == 1);
        CHECK_MESSAGE(is_one_error_line(refused.err), refused.err);
        const std::string name = std::filesystem::path(damage.file).filename().string();
        CHECK_MESSAGE(refused.err.find(name) != std::string::npos, refused.err);
        CHECK_FALSE(std::filesystem::exists(model.folder / "red.png"));
    }
    const TemporaryFolder empty;
    const Run absent = run(empty, "generate red --model nowhere");
    CHECK(absent.status == 1);
    CHECK(is_one_error_line(absent.err));
    CHECK(absent.err.find("nowhere") != std::string::npos);
}

TEST_CASE("Ctrl-C ends the work in order and leaves no file") {
    const WithModel model;
    const std::size_t files = model.folder.file_count();
    const TemporaryFolder output;
    const std::string command = "cd '" + model.folder.path().string() +
                                "' && '" DALLE2_TOOL
                                "' generate red --model model --steps 1000 --count 400 2>'" +
                                (output / "err").string() +
                                "' & pid=$!; sleep 1; kill -INT $pid; "
                                "wait $pid";
    const int status = std::system(command.c_str());
    CHECK(WEXITSTATUS(status) == 130);
    CHECK(output.read("err").find("dalle2: error: interrupted") != std::string::npos);
    CHECK(model.folder.file_count() == files);
}
