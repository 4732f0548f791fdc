// A profile as a table that a person can read, and as a file that chrome://tracing and Perfetto
// draw.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/profile.hpp>
#include <dalle2/io/json.hpp>

namespace dalle2 {

// All operations of one kind in one network; "other" is the time that was none of an operation.
struct ProfileRow {
    std::string network, operation;
    std::int64_t calls = 0;
    double seconds = 0;
    std::int64_t multiply_adds = 0, bytes = 0;

    void add(const ProfileRow& other) {
        calls += other.calls;
        seconds += other.seconds;
        multiply_adds += other.multiply_adds;
        bytes += other.bytes;
    }
    // A multiply-add is two operations. Zero where no time passed.
    double gigaflops() const {
        return seconds > 0 ? 2e-9 * static_cast<double>(multiply_adds) / seconds : 0;
    }
    double gigabytes_per_second() const {
        return seconds > 0 ? 1e-9 * static_cast<double>(bytes) / seconds : 0;
    }
};

// By network, in the order in which they were met, and in each by kind, the longest first.
inline std::vector<ProfileRow> profile_rows(const Profile& profile) {
    std::vector<ProfileRow> rows;
    std::vector<std::string> networks;
    const auto row = [&](const std::string& network, const std::string& operation) -> ProfileRow& {
        for (ProfileRow& found : rows)
            if (found.network == network && found.operation == operation) return found;
        if (std::find(networks.begin(), networks.end(), network) == networks.end())
            networks.push_back(network);
        return rows.emplace_back(ProfileRow{network, operation});
    };
    const auto seconds = [](std::int64_t nanoseconds) {
        return 1e-9 * static_cast<double>(nanoseconds);
    };
    for (std::size_t i = 0; i < profile.regions().size(); ++i) {
        const Profile::Region& region = profile.regions()[i];
        row(profile.network(i), "other").seconds += seconds(region.duration);
        if (region.parent != Profile::none)
            row(profile.network(region.parent), "other").seconds -= seconds(region.duration);
    }
    for (const Profile::Operation& operation : profile.operations()) {
        const std::string network = profile.network(operation.region);
        if (operation.region != Profile::none)
            row(network, "other").seconds -= seconds(operation.duration);
        ProfileRow& kind = row(network, operation.cost.operation);
        ++kind.calls;
        kind.seconds += seconds(operation.duration);
        kind.multiply_adds += operation.cost.multiply_adds;
        kind.bytes += operation.bytes;
    }
    std::stable_sort(rows.begin(), rows.end(), [&](const ProfileRow& a, const ProfileRow& b) {
        const auto place = [&](const ProfileRow& r) {
            return std::find(networks.begin(), networks.end(), r.network) - networks.begin();
        };
        return place(a) != place(b) ? place(a) < place(b) : a.seconds > b.seconds;
    });
    return rows;
}

// The rows of each network added up, in the same order; `operation` is "together".
inline std::vector<ProfileRow> network_rows(const std::vector<ProfileRow>& rows) {
    std::vector<ProfileRow> sums;
    for (const ProfileRow& row : rows) {
        if (sums.empty() || sums.back().network != row.network)
            sums.push_back({row.network, "together"});
        sums.back().add(row);
    }
    return sums;
}

// What a machine can do at most, for the share of it; 0: unknown.
struct MachinePeak {
    double gigaflops = 0;
};

// Calls, seconds, share of all time, GFLOP/s and their share of the peak, GB/s, for each network
// and each kind of operation in it.
inline std::string profile_table(const std::vector<ProfileRow>& rows,
                                 const MachinePeak& peak = {}) {
    double all = 0;
    for (const ProfileRow& row : rows) all += row.seconds;
    std::string text =
        "network          operation            calls   seconds  share  GFLOP/s  of peak     GB/s\n";
    // A number in a column of its own, or a dash where there is nothing to say.
    const auto cell = [&](const char* format, int width, bool known, double value) {
        char buffer[40];
        if (known)
            std::snprintf(buffer, sizeof buffer, format, value);
        else
            std::snprintf(buffer, sizeof buffer, "%*s", width, "-");
        text += buffer;
    };
    const auto line = [&](const ProfileRow& row) {
        char names[80];
        std::snprintf(names, sizeof names, "%-16.16s %-18.18s %7lld", row.network.c_str(),
                      row.operation.c_str(), static_cast<long long>(row.calls));
        text += names;
        const bool computes = row.multiply_adds > 0;
        cell("%10.4f", 10, true, row.seconds);
        cell("%6.1f%%", 7, all > 0, 100 * row.seconds / all);
        cell("%9.0f", 9, computes, row.gigaflops());
        cell("%8.0f%%", 9, computes && peak.gigaflops > 0, 100 * row.gigaflops() / peak.gigaflops);
        cell("%9.1f", 9, row.bytes > 0, row.gigabytes_per_second());
        text += "\n";
    };
    ProfileRow everything = {"everything", ""};
    for (const ProfileRow& sum : network_rows(rows)) {
        for (const ProfileRow& row : rows)
            if (row.network == sum.network) line(row);
        line(sum);
        everything.add(sum);
    }
    line(everything);
    return text;
}

inline std::string profile_table(const Profile& profile, const MachinePeak& peak = {}) {
    return profile_table(profile_rows(profile), peak);
}

// In the "Trace Event Format" that chrome://tracing and https://ui.perfetto.dev open: one complete
// event for each region and operation, in the order in which they began, the outer first.
inline OrderedJson chrome_trace(const Profile& profile) {
    struct Event {
        std::int64_t begin, duration;
        OrderedJson json;
    };
    std::vector<Event> events;
    const auto add = [&](const std::string& name, const char* category, std::int64_t begin,
                         std::int64_t duration, OrderedJson arguments) {
        constexpr double nanoseconds = 1e-3;  // the format counts microseconds
        OrderedJson json;
        put(json, "name", name);
        put(json, "cat", category);
        put(json, "ph", "X");
        put(json, "ts", nanoseconds * static_cast<double>(begin));
        put(json, "dur", nanoseconds * static_cast<double>(duration));
        put(json, "pid", 1);
        put(json, "tid", 1);
        put(json, "args", std::move(arguments));
        events.push_back({begin, duration, std::move(json)});
    };
    for (const Profile::Region& region : profile.regions())
        add(region.name + (region.number ? " " + std::to_string(*region.number) : ""),
            region.number ? "step" : "network", region.begin, region.duration,
            OrderedJson::object());
    for (const Profile::Operation& operation : profile.operations()) {
        std::vector<std::string> inputs;
        for (const Shape& input : operation.cost.inputs) inputs.push_back(to_string(input));
        OrderedJson arguments;
        put(arguments, "inputs", inputs);
        put(arguments, "result", to_string(operation.cost.result));
        put(arguments, "multiply_adds", operation.cost.multiply_adds);
        put(arguments, "bytes", operation.bytes);
        add(operation.cost.operation, "operation", operation.begin, operation.duration,
            std::move(arguments));
    }
    std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.duration > b.duration;
    });
    OrderedJson list = OrderedJson::array();
    for (Event& event : events) list.push_back(std::move(event.json));
    OrderedJson trace;
    put(trace, "displayTimeUnit", "ms");
    put(trace, "traceEvents", std::move(list));
    return trace;
}

// Throws IoError.
inline void write_chrome_trace(const std::filesystem::path& path, const Profile& profile) {
    write_file(path, chrome_trace(profile).dump() + "\n");
}

}  // namespace dalle2
