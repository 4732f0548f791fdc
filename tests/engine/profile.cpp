// A profile has what the Trace engine counts, with times that lie within each other.
#include <doctest/doctest.h>

#include <new>
#include <thread>

#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/profile_report.hpp>
#include <dalle2/engine/trace.hpp>

#include "../io/temporary_folder.hpp"

using namespace dalle2;

namespace {

// Every operation that there is, once or more.
template <class E>
void run_everything() {
    using Parameter = typename E::Parameter;
    const auto tensor = [](const Shape& shape) { return E::from_array(make_array(shape, 0.5f)); };
    const auto parameter = [](const Shape& shape, ParameterKind kind) {
        Parameter made(shape, kind);
        E::load(made, make_array(shape, 0.25f));
        return made;
    };
    const auto bias = parameter({8}, ParameterKind::vector);
    const auto y = E::linear(tensor({2, 3, 5}), parameter({8, 5}, ParameterKind::matrix), &bias);
    E::linear(tensor({4, 5}), parameter({8, 5}, ParameterKind::matrix), nullptr);
    const auto picture = tensor({2, 5, 4, 3});
    E::conv2d(picture, parameter({8, 3, 3, 3}, ParameterKind::convolution), &bias, {.padding = 1});
    const auto z = E::conv2d(picture, parameter({8, 3, 1, 3}, ParameterKind::convolution), nullptr,
                             {.stride = 2});
    const auto modulation = tensor({2, 16});
    E::group_norm(z, bias, bias, &modulation, {.groups = 4});
    E::group_norm(z, bias, bias, nullptr, {.groups = 2, .activation = Activation::silu});
    E::layer_norm(y, bias, bias, 1e-5);
    const Array mask = make_array({1, 1, 7});
    E::attention(y, tensor({2, 7, 8}), tensor({2, 7, 8}), {.heads = 2, .mask = &mask});
    E::activate(y, Activation::gelu);
    E::add(y, y);
    E::add(y, tensor({3, 8}));
    E::add_per_channel(y, tensor({2, 8}));
    E::scale(y, 2.0);
    E::concatenate({y, tensor({2, 1, 8}), y}, 1);
    E::slice(y, -1, 2, 7);
    E::reshape(y, {6, 8});  // costs nothing
    E::transpose(y);
    E::repeat(tensor({1, 3}), 4);
    E::average_pool2(picture);
    E::upsample_nearest2(picture);
    const std::vector<std::int32_t> ids = {2, 0};
    E::embedding(parameter({3, 6}, ParameterKind::table), ids);
    E::select_tokens(y, ids);
}

// Two networks, the second with two steps and something around them.
Profile two_networks() {
    Profile profile;
    const Profile::Scope scope(profile);
    const auto x = Cpu<float>::from_array(make_array({64, 64}, 1.0f));
    {
        const ProfileRegion region("first");
        Cpu<float>::scale(x, 2.0);
    }
    const ProfileRegion region("second");
    for (int step = 1; step <= 2; ++step) {
        const ProfileRegion number("step", step);
        const ProfileRegion inner(step == 2 ? "inner" : "other inner");
        Cpu<float>::add(x, x);
        Cpu<float>::add(x, x);
    }
    Cpu<float>::scale(x, 2.0);
    return profile;
}

double microseconds(const Json& event, const char* key) { return event.at(key).get<double>(); }

}  // namespace

TEST_CASE_TEMPLATE("a profile counts every operation as Trace does", T, float, bfloat16) {
    TraceLog log(sizeof(T));
    Profile profile;
    {
        const TraceLog::Scope tracing(log);
        run_everything<Trace>();
    }
    {
        const Profile::Scope profiling(profile);
        run_everything<Cpu<T>>();
    }
    REQUIRE(profile.operations().size() == log.entries().size());
    CHECK(profile.operations().size() > 20);
    for (std::size_t i = 0; i < log.entries().size(); ++i) {
        const TraceEntry& expected = log.entries()[i];
        const Profile::Operation& found = profile.operations()[i];
        CAPTURE(expected.operation);
        CHECK(found.cost.operation == expected.operation);
        CHECK(found.cost.inputs == expected.inputs);
        CHECK(found.cost.result == expected.result);
        CHECK(found.cost.multiply_adds == expected.multiply_adds);
        CHECK(found.bytes == expected.bytes);
        CHECK(found.duration > 0);
    }
}

TEST_CASE("layers with int8 weights have names of their own and read a byte for each weight") {
    using E = Cpu<std::int8_t>;
    const auto parameter = [](const Shape& shape, ParameterKind kind, WeightOrigin::Precision p) {
        E::Parameter made(shape, kind);
        E::load(made, make_array(shape, 0.25f), {"weight", p});
        return made;
    };
    const auto int8 = WeightOrigin::Precision::int8, other = WeightOrigin::Precision::other;
    const auto bias = parameter({16}, ParameterKind::vector, other);
    const auto x = E::from_array(make_array({1, 4, 5, 8}, 1.0f));
    Profile profile;
    {
        const Profile::Scope scope(profile);
        E::linear(x, parameter({16, 8}, ParameterKind::matrix, int8), &bias);
        E::linear(x, parameter({16, 8}, ParameterKind::matrix, other), &bias);
        E::conv2d(x, parameter({16, 8, 3, 3}, ParameterKind::convolution, int8), &bias,
                  {.padding = 1});
    }
    const auto& found = profile.operations();
    REQUIRE(found.size() == 3);
    CHECK(found[0].cost.operation == "linear int8");
    CHECK(found[1].cost.operation == "linear");
    CHECK(found[2].cost.operation == "conv2d 3x3 int8");
    const std::int64_t tensors = 2 * (20 * 8 + 20 * 16 + 16), scales = 4 * 16;
    CHECK(found[0].bytes == tensors + 16 * 8 + scales);
    CHECK(found[1].bytes == tensors + 2 * 16 * 8);
    CHECK(found[2].bytes == tensors + 16 * 8 * 9 + scales);
    CHECK(found[0].cost.multiply_adds == found[1].cost.multiply_adds);
}

TEST_CASE("an operation for whose description there is no memory is left out") {
    Profile profile;
    const Profile::Scope scope(profile);
    const auto fail = []() -> OperationCost { throw std::bad_alloc(); };
    { const ProfiledOperation operation(4, fail); }
    Cpu<float>::scale(Cpu<float>::from_array(make_array({4}, 1.0f)), 2.0);
    REQUIRE(profile.operations().size() == 1);
    CHECK(profile.operations()[0].cost.operation == "scale");
}

TEST_CASE("nothing is written without a scope, after one, or for another thread") {
    Profile profile;
    const auto x = Cpu<float>::from_array(make_array({4}, 1.0f));
    Cpu<float>::scale(x, 2.0);
    {
        const Profile::Scope scope(profile);
        std::thread([&] { Cpu<float>::scale(x, 2.0); }).join();
        Profile inner;
        const Profile::Scope nested(inner);
        Cpu<float>::scale(x, 2.0);
        CHECK(inner.operations().size() == 1);
    }
    const ProfileRegion nowhere("nowhere");
    Cpu<float>::scale(x, 2.0);
    CHECK(profile.operations().empty());
    CHECK(profile.regions().empty());
}

TEST_CASE("an operation that fails is not counted, and its region ends") {
    Profile profile;
    const Profile::Scope scope(profile);
    const auto x = Cpu<float>::from_array(make_array({4}, 1.0f));
    try {
        const ProfileRegion region("network");
        Cpu<float>::add(x, Cpu<float>::from_array(make_array({3})));
    } catch (const ShapeError&) {
    }
    Cpu<float>::scale(x, 2.0);
    REQUIRE(profile.operations().size() == 1);
    CHECK(profile.operations()[0].region == Profile::none);
    CHECK(profile.regions().at(0).duration > 0);
}

TEST_CASE("rows tell networks apart, and their seconds are those of all regions") {
    const Profile profile = two_networks();
    const std::vector<ProfileRow> rows = profile_rows(profile);
    const auto find = [&](const std::string& network, const std::string& operation) {
        for (const ProfileRow& row : rows)
            if (row.network == network && row.operation == operation) return row;
        return ProfileRow{};
    };
    CHECK(rows.front().network == "first");
    CHECK(find("first", "scale").calls == 1);
    CHECK(find("second", "scale").calls == 1);
    CHECK(find("second", "add").calls == 0);  // those of the steps belong to networks inside
    CHECK(find("inner", "add").calls == 2);
    CHECK(find("inner", "add").bytes == 2 * 3 * 64 * 64 * 4);
    CHECK(find("inner", "other").seconds >= 0);
    double seconds = 0, regions = 0;
    for (const ProfileRow& row : rows) seconds += row.seconds;
    for (const Profile::Region& region : profile.regions())
        if (region.parent == Profile::none) regions += 1e-9 * static_cast<double>(region.duration);
    CHECK(seconds == doctest::Approx(regions));
}

TEST_CASE("the table has a line for each kind of operation, each network, and everything") {
    const std::vector<ProfileRow> rows = {{"decoder", "conv2d 3x3", 4, 2.0, 1'000'000'000'000, 8},
                                          {"decoder", "add", 2, 1.0, 0, 30'000'000'000},
                                          {"prior", "other", 0, 1.0, 0, 0}};
    const std::string table = profile_table(rows, {.gigaflops = 4000});
    CHECK(table.find("decoder          conv2d 3x3               4    2.0000  50.0%     1000      "
                     "25%      0.0\n") != std::string::npos);
    CHECK(table.find("decoder          add                      2    1.0000  25.0%        -        "
                     "-     30.0\n") != std::string::npos);
    CHECK(table.find("decoder          together                 6    3.0000  75.0%      667      "
                     "17%     10.0\n") != std::string::npos);
    CHECK(table.find("everything                                6    4.0000 100.0%") !=
          std::string::npos);
    CHECK(std::count(table.begin(), table.end(), '\n') == 7);
}

TEST_CASE("a written trace is in order, and its events lie within each other") {
    const TemporaryFolder folder;
    const Profile profile = two_networks();
    write_chrome_trace(folder / "trace.json", profile);
    const Json events = read_json(folder / "trace.json").at("traceEvents");
    REQUIRE(events.size() == profile.regions().size() + profile.operations().size());
    std::vector<double> ends;  // of the events that are open
    double last = 0;
    std::size_t deepest = 0;
    for (const Json& event : events) {
        CHECK(event.at("ph") == "X");
        const double begin = microseconds(event, "ts"), end = begin + microseconds(event, "dur");
        CHECK(begin >= last);
        last = begin;
        while (!ends.empty() && ends.back() <= begin) ends.pop_back();
        if (!ends.empty()) CHECK(end <= ends.back() + 1e-6);
        ends.push_back(end);
        deepest = std::max(deepest, ends.size());
    }
    CHECK(deepest == 4);  // network, step, network, operation
    CHECK(events[0].at("name") == "first");
    CHECK(events[1].at("name") == "scale");
    CHECK(events[1].at("args").at("inputs") == Json{"[64, 64]"});
    CHECK(events[3].at("name") == "step 1");
}
