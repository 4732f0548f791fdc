// Where the time of a call goes: while a Profile::Scope lives, the Cpu engine writes down each of
// its operations with its shapes, its cost and how long it took, and the pipelines write down which
// network it was for.
//
//     dalle2::Profile profile;
//     {
//         const dalle2::Profile::Scope scope(profile);
//         pipeline("an owl above a snowman");
//     }
//     std::cout << dalle2::profile_table(profile);
//     dalle2::write_chrome_trace("owl.json", profile);
//
// Without a scope, an operation looks once whether there is one, and nothing else.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dalle2/engine/operation_cost.hpp>

namespace dalle2 {

// What happened on one thread; not to be shared between threads.
class Profile {
    using Clock = std::chrono::steady_clock;

public:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    // Times are in nanoseconds, `begin` counted from the making of the profile.
    struct Region {
        std::string name;  // "decoder", "step"
        // Which of many. A region without a number is a network of its own in summaries.
        std::optional<std::int64_t> number;
        std::size_t parent = none;  // in regions()
        std::int64_t begin = 0, duration = 0;
    };
    struct Operation {
        OperationCost cost;
        std::int64_t bytes = 0;  // read and written, if nothing stays in a cache
        std::size_t region = none;
        std::int64_t begin = 0, duration = 0;
    };

    // While it lives, what this thread does is written to `profile`. Scopes may nest; the innermost
    // counts.
    class Scope {
    public:
        explicit Scope(Profile& profile) : previous_(std::exchange(current(), &profile)) {}
        ~Scope() { current() = previous_; }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        Profile* previous_;
    };

    // Null outside of every scope.
    static Profile*& current() {
        thread_local Profile* profile = nullptr;
        return profile;
    }

    // In the order in which they began.
    const std::vector<Region>& regions() const { return regions_; }
    const std::vector<Operation>& operations() const { return operations_; }

    // The nearest region around `region`, itself included, that has no number: a network's name;
    // empty outside of all.
    std::string network(std::size_t region) const {
        while (region != none && regions_[region].number) region = regions_[region].parent;
        return region == none ? "" : regions_[region].name;
    }

    std::int64_t now() const {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count();
    }
    std::size_t begin_region(std::string_view name, std::optional<std::int64_t> number) {
        regions_.push_back({std::string(name), number, open_, now()});
        return open_ = regions_.size() - 1;
    }
    void end_region(std::size_t region) {
        regions_[region].duration = now() - regions_[region].begin;
        open_ = regions_[region].parent;
    }
    void add(OperationCost cost, std::int64_t bytes_per_element, std::int64_t begin,
             std::int64_t end) {
        const std::int64_t bytes = cost.bytes(bytes_per_element);
        operations_.push_back({std::move(cost), bytes, open_, begin, end - begin});
    }

private:
    Clock::time_point start_ = Clock::now();
    std::vector<Region> regions_;
    std::vector<Operation> operations_;
    std::size_t open_ = none;
};

// What this thread does while it lives belongs to `name`: a network, or with a number one of its
// steps.
class ProfileRegion {
public:
    explicit ProfileRegion(std::string_view name, std::optional<std::int64_t> number = {})
        : profile_(Profile::current()) {
        if (profile_) region_ = profile_->begin_region(name, number);
    }
    ~ProfileRegion() {
        if (profile_) profile_->end_region(region_);
    }
    ProfileRegion(const ProfileRegion&) = delete;
    ProfileRegion& operator=(const ProfileRegion&) = delete;

private:
    Profile* profile_;
    std::size_t region_ = Profile::none;
};

// Lives as long as an operation of an engine runs. describe() → OperationCost is asked afterwards,
// and only when a profile is written and the operation threw nothing. An operation for which no
// memory is left is missing from the profile: it has succeeded, and a destructor must not throw.
template <class Describe>
class ProfiledOperation {
public:
    ProfiledOperation(std::int64_t bytes_per_element, Describe describe)
        : profile_(Profile::current()),
          bytes_per_element_(bytes_per_element),
          describe_(std::move(describe)) {
        if (!profile_) return;
        exceptions_ = std::uncaught_exceptions();
        begin_ = profile_->now();
    }
    ~ProfiledOperation() {
        if (!profile_ || std::uncaught_exceptions() > exceptions_) return;
        const std::int64_t end = profile_->now();
        try {
            profile_->add(describe_(), bytes_per_element_, begin_, end);
        } catch (...) {
        }
    }
    ProfiledOperation(const ProfiledOperation&) = delete;
    ProfiledOperation& operator=(const ProfiledOperation&) = delete;

private:
    Profile* profile_;
    std::int64_t bytes_per_element_;
    Describe describe_;
    int exceptions_ = 0;
    std::int64_t begin_ = 0;
};

}  // namespace dalle2
