// Resizing against check sums of what Pillow makes of the same pictures.
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <dalle2/io/crc32.hpp>
#include <dalle2/io/resize_picture.hpp>

#include "../golden/golden_files.hpp"
#include "../golden/synthetic.hpp"

using namespace dalle2;

namespace {

std::uint32_t check_sum(const Picture& picture) {
    return detail::crc32(
        std::string_view(reinterpret_cast<const char*>(picture.rgb.data()), picture.rgb.size()));
}

Picture part_of(const Picture& picture, const PictureRegion& region) {
    Picture part = make_picture(static_cast<int>(region.width), static_cast<int>(region.height));
    for (int y = 0; y < part.height; ++y)
        for (int x = 0; x < part.width; ++x)
            std::copy_n(
                picture.pixel(static_cast<int>(region.left) + x, static_cast<int>(region.top) + y),
                3, part.pixel(x, y));
    return part;
}

}  // namespace

TEST_CASE(
    "every level is that of Pillow, of 13 and of the versions before, from 1x1 to 4000x3000") {
    const auto records = golden::read_json(golden::folder() / "preprocess.json")["resize"];
    REQUIRE(records.size() > 60);
    for (const auto& record : records) {
        const std::string what = record.dump();
        CAPTURE(what);
        const Picture picture = golden::synthetic(record[0], record[1]);
        const auto kind = static_cast<Resampling>(record[4].get<int>());
        const Picture made = resize_picture(picture, record[2], record[3], kind);
        CHECK(made.width == record[2].get<int>());
        CHECK(made.height == record[3].get<int>());
        CHECK(check_sum(made) == record[5].get<std::uint32_t>());
        CHECK(check_sum(resize_picture(picture, record[2], record[3], kind,
                                       PassOrder::rows_first)) == record[6].get<std::uint32_t>());
    }
}

TEST_CASE("a part of the result is the same as that part of the whole") {
    for (const PassOrder order : {PassOrder::rows_first, PassOrder::pillow_13})
        for (const auto& [width, height] : {std::pair{19, 53}, std::pair{53, 19}}) {
            const Picture picture = golden::synthetic(width, height);
            for (const Resampling kind :
                 {Resampling::bicubic, Resampling::nearest, Resampling::lanczos}) {
                const Picture whole = resize_picture(picture, 21, 17, kind, order);
                for (const PictureRegion& region :
                     {PictureRegion{0, 0, 1, 1}, PictureRegion{20, 16, 1, 1},
                      PictureRegion{5, 3, 11, 9}, PictureRegion{0, 2, 21, 4}})
                    CHECK(resize_picture(picture, 21, 17, kind, region, order) ==
                          part_of(whole, region));
            }
        }
}

TEST_CASE("a small part of an enormous result costs no memory for the rest") {
    const Picture line = golden::synthetic(1, 4000);
    const Picture part =
        resize_picture(line, 224, 896'000'000, Resampling::bicubic, {0, 448'000'000, 224, 224});
    CHECK(part.height == 224);
    CHECK(std::equal(part.pixel(0, 0), part.pixel(1, 0), part.pixel(223, 223)));
}

TEST_CASE("sizes and parts that cannot be are errors") {
    const Picture picture = golden::synthetic(3, 2);
    CHECK_THROWS_AS(resize_picture(picture, 0, 4), ShapeError);
    CHECK_THROWS_AS(resize_picture(picture, 4, -1), ShapeError);
    CHECK_THROWS_AS(resize_picture(picture, 70000, 4), ShapeError);
    CHECK_THROWS_AS(resize_picture(Picture{}, 4, 4), ShapeError);
    for (const PictureRegion& region : {PictureRegion{0, 0, 0, 1}, PictureRegion{-1, 0, 2, 2},
                                        PictureRegion{3, 0, 2, 2}, PictureRegion{0, 0, 5, 1}})
        CHECK_THROWS_AS(resize_picture(picture, 4, 4, Resampling::box, region), ShapeError);
}
