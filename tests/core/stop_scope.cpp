#include <dalle2/core/stop_scope.hpp>

#include <doctest/doctest.h>

#include <thread>

using namespace dalle2;

TEST_CASE("the innermost scope's token stops its thread, and no other") {
    CHECK_NOTHROW(StopScope::check());
    std::stop_source outer, inner;
    {
        const StopScope outer_scope(outer.get_token());
        CHECK_NOTHROW(StopScope::check());
        outer.request_stop();
        CHECK_THROWS_AS(StopScope::check(), Cancelled);
        {
            const StopScope inner_scope(inner.get_token());
            CHECK_NOTHROW(StopScope::check());
            inner.request_stop();
            CHECK_THROWS_AS(StopScope::check(), Cancelled);
        }
        CHECK_THROWS_AS(StopScope::check(), Cancelled);
        bool stopped = false;
        std::thread([&] {
            try {
                StopScope::check();
            } catch (const Cancelled&) {
                stopped = true;
            }
        }).join();
        CHECK_FALSE(stopped);
    }
    CHECK_NOTHROW(StopScope::check());
    const StopScope again(outer.get_token());
    const StopScope without_token{{}};
    CHECK_THROWS_AS(StopScope::check(), Cancelled);
}
