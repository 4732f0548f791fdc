#include <dalle2/io/contact_sheet.hpp>

#include <doctest/doctest.h>

using namespace dalle2;

TEST_CASE("a contact sheet places pictures in rows with gaps, enlarged") {
    std::vector<Picture> pictures;
    for (int i = 0; i < 5; ++i)
        pictures.push_back(make_picture(3, 2, {static_cast<std::uint8_t>(10 * i + 10), 0, 0}));
    const Picture sheet =
        contact_sheet(pictures, {.columns = 3, .gap = 1, .enlarge = 2, .color = {1, 2, 3}});
    CHECK(sheet.width == 3 * 6 + 2);
    CHECK(sheet.height == 2 * 4 + 1);
    CHECK(sheet.pixel(0, 0)[0] == 10);
    CHECK(sheet.pixel(5, 3)[0] == 10);
    CHECK(sheet.pixel(6, 0)[1] == 2);  // a gap
    CHECK(sheet.pixel(7, 0)[0] == 20);
    CHECK(sheet.pixel(7, 5)[0] == 50);
    CHECK(sheet.pixel(14, 5)[2] == 3);  // the empty sixth cell
    CHECK(contact_sheet(pictures).width == 3 * 3 + 2 * 2);
}

TEST_CASE("a contact sheet centres smaller pictures and refuses senseless requests") {
    const Picture sheet =
        contact_sheet({make_picture(5, 5, {9, 9, 9}), make_picture(1, 3, {7, 7, 7})}, {.gap = 0});
    CHECK(sheet.width == 10);
    CHECK(sheet.pixel(7, 1)[0] == 7);
    CHECK(sheet.pixel(7, 0)[0] == 0);
    CHECK_THROWS_AS(contact_sheet({}), ConfigError);
    CHECK_THROWS_AS(contact_sheet({make_picture(1, 1)}, {.gap = -1}), ConfigError);
    CHECK_THROWS_AS(contact_sheet({make_picture(4000, 4000)}, {.enlarge = 1000000}), ConfigError);
}
