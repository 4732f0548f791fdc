#include <doctest/doctest.h>

#include <string>

#include <dalle2/io/picture.hpp>
#include <dalle2/io/safetensors.hpp>

#include "running.hpp"

TEST_CASE("vary draws other pictures of a picture, the same from the same seed") {
    const TemporaryFolder folder;
    REQUIRE(run(folder, "generate 'an owl on a blue background' -o owl.png").status == 0);
    const Run made = run(folder, "vary owl.png -o a.png --seed 3");
    REQUIRE_MESSAGE(made.status == 0, made.err);
    CHECK(made.out.starts_with("a.png: 128×128 pixels"));
    REQUIRE(run(folder, "vary owl.png -o b.png --seed 3 --memory all").status == 0);
    REQUIRE(run(folder, "vary owl.png -o c.png --seed 4").status == 0);
    const auto read = [&](const char* name) { return dalle2::read_picture(folder / name); };
    CHECK(read("a.png") == read("b.png"));
    CHECK(!(read("a.png") == read("c.png")));
    REQUIRE(run(folder, "vary owl.png -o sheet.png --count 4").status == 0);
    CHECK(read("sheet.png").width > 256);
    const Run info = run(folder, "info a.png");
    CHECK(info.out.find("picture              owl.png") != std::string::npos);
    CHECK(info.out.find("seed                 3") != std::string::npos);
}

TEST_CASE("--stages keeps every step of a drawing") {
    const TemporaryFolder folder;
    REQUIRE(
        run(folder, "generate 'an owl' -o owl.png --steps 3 --prior-steps 2 --stages s").status ==
        0);
    const dalle2::SafetensorsFile stages(folder / "s");
    for (const char* name : {"prior.00", "prior.02", "decoder.00", "decoder.03",
                             "super_resolution.03", "text_states", "image_embedding"})
        CHECK_MESSAGE(stages.contains(name), name);
    CHECK(!stages.contains("prior.03"));
    CHECK(dalle2::picture_from_array(stages.to_array("pictures")) ==
          dalle2::read_picture(folder / "owl.png"));
    CHECK(is_one_error_line(run(folder, "generate owl --stages s --count 2").err));
}

TEST_CASE("vary refuses what is no picture, and a model without an image encoder") {
    const TemporaryFolder folder;
    folder.write("text.png", "no picture");
    for (const char* arguments : {"vary text.png", "vary none.png", "vary text.png --count 0"}) {
        const Run made = run(folder, arguments);
        CHECK(made.status != 0);
        CHECK(is_one_error_line(made.err));
    }
    CHECK(folder.file_count() == 1);
}
