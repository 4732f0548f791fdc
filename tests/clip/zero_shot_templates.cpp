#include <dalle2/clip/zero_shot_templates.hpp>

#include <doctest/doctest.h>

#include <set>

#include <dalle2/clip/zero_shot_config.hpp>

#include "../io/temporary_folder.hpp"

using namespace dalle2;

TEST_CASE("a label goes where {} stands, as often as it stands there") {
    CHECK(fill_template("a photo of a {}", "cat") == "a photo of a cat");
    CHECK(fill_template("{}", "cat") == "cat");
    CHECK(fill_template("{}, yes {}!", "{}") == "{}, yes {}!");
    CHECK_THROWS_AS(fill_template("a photo of a cat", "cat"), ConfigError);
}

TEST_CASE("a label with an article takes the place of the sentence's") {
    CHECK(fill_template("a photo of a {}.", "an owl") == "a photo of an owl.");
    CHECK(fill_template("itap of the {}", "A cat") == "itap of A cat");
    CHECK(fill_template("the {} in a video game.", "an owl") == "an owl in a video game.");
    CHECK(fill_template("a photo of my {}", "a cat") == "a photo of my a cat");
    CHECK(fill_template("a plaza {}", "a cat") == "a plaza a cat");
    CHECK(fill_template("a photo of a {}", "ant") == "a photo of a ant");
    CHECK(fill_template("a photo of a {}", "a") == "a photo of a a");
}

TEST_CASE("labels and sentences make a sentence each, those of a label in a row") {
    CHECK(filled_templates({"a {}", "the {}"}, {"cat", "dog"}) ==
          std::vector<std::string>{"a cat", "the cat", "a dog", "the dog"});
}

TEST_CASE("the sentences for ImageNet are eighty different ones") {
    const std::vector<std::string>& sentences = imagenet_templates();
    CHECK(sentences.size() == 80);
    CHECK(std::set<std::string>(sentences.begin(), sentences.end()).size() == 80);
    for (const std::string& sentence : sentences)
        CHECK(fill_template(sentence, "X").find('X') != std::string::npos);
}

TEST_CASE("a model's own sentences are read strictly") {
    const TemporaryFolder folder;
    CHECK(load_zero_shot_config(folder.path()).logit_scale == 100);
    folder.write("zero_shot.json", R"({"templates": ["{} on gray"], "logit_scale": 16})");
    CHECK(load_zero_shot_config(folder.path()).templates == std::vector<std::string>{"{} on gray"});
    for (const char* wrong :
         {R"({"templates": []})", R"({"templates": ["none"]})", R"({"templates": "a {}"})",
          R"({"logit_scale": -1})", R"({"x": 1})"}) {
        folder.write("zero_shot.json", wrong);
        CHECK_THROWS_AS(load_zero_shot_config(folder.path()), ConfigError);
    }
}
