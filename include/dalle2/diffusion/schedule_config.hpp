// A scheduler_config.json, the file in which a model directory says how its diffusion was trained.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include <nlohmann/json.hpp>

#include <dalle2/core/error.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/io/json.hpp>

namespace dalle2 {

namespace detail {

// Which of the names `json` is. The enumerations of a schedule have their values in this order.
inline std::size_t index_of_name(const nlohmann::json& json, const std::string& key,
                                 std::initializer_list<const char*> names,
                                 const std::string& where) {
    const std::string found = json.is_string() ? json.get<std::string>() : "";
    std::string expected;
    std::size_t index = 0;
    for (const char* name : names) {
        if (found == name) return index;
        expected += (index++ == 0 ? "\"" : ", \"") + std::string(name) + "\"";
    }
    throw ConfigError(where + ": " + key + " is " + json.dump() + "; supported are " + expected);
}

inline constexpr std::initializer_list<const char*> beta_schedule_names = {"linear",
                                                                           "squaredcos_cap_v2"};
inline constexpr std::initializer_list<const char*> prediction_type_names = {"epsilon", "sample",
                                                                             "v_prediction"};
inline constexpr std::initializer_list<const char*> variance_type_names = {
    "fixed_small", "fixed_small_log", "learned_range"};

}  // namespace detail

// The schedule that `json`, the content of the file `where`, describes; absent keys have the
// defaults of diffusers' UnCLIPScheduler. Throws ConfigError for a value that is wrong and for a
// key that is unknown, because it could change the result.
inline NoiseScheduleConfig noise_schedule_config(const nlohmann::json& json,
                                                 const std::string& where) {
    if (!json.is_object())
        throw ConfigError(where + ": the content is " + std::string(json.type_name()) +
                          "; expected an object of settings");
    NoiseScheduleConfig config;
    for (const auto& [key, value] : json.items()) {
        const auto expected = [&, &k = key, &v = value](bool holds, const std::string& what) {
            if (!holds)
                throw ConfigError(where + ": " + k + " is " + v.dump() + "; expected " + what);
        };
        const double number = value.is_number() ? value.get<double>() : std::nan("");
        if (key == "_class_name") {
            expected(value.is_string() && value.get<std::string>() == "UnCLIPScheduler",
                     "\"UnCLIPScheduler\"");
        } else if (key == "num_train_timesteps") {
            expected(value.is_number_integer() && number >= 1 && number <= 100000,
                     "an integer from 1 to 100000");
            config.num_train_timesteps = value.get<std::int64_t>();
        } else if (key == "beta_schedule") {
            config.beta_schedule = static_cast<BetaSchedule>(
                detail::index_of_name(value, key, detail::beta_schedule_names, where));
        } else if (key == "beta_start" || key == "beta_end") {
            expected(number > 0.0 && number < 1.0, "a number between 0 and 1");
            (key == "beta_start" ? config.beta_start : config.beta_end) = number;
        } else if (key == "prediction_type") {
            config.prediction_type = static_cast<PredictionType>(
                detail::index_of_name(value, key, detail::prediction_type_names, where));
        } else if (key == "variance_type") {
            config.variance_type = static_cast<VarianceType>(
                detail::index_of_name(value, key, detail::variance_type_names, where));
        } else if (key == "clip_sample") {
            expected(value.is_boolean(), "true or false");
            config.clip_sample = value.get<bool>();
        } else if (key == "clip_sample_range") {
            expected(number > 0.0, "a positive number");
            config.clip_sample_range = number;
        } else {
            expected(!key.empty() && key.front() == '_', "no such key: it is not supported");
        }
    }
    if (config.beta_start > config.beta_end)
        throw ConfigError(where + ": beta_start is " + std::to_string(config.beta_start) +
                          "; expected at most beta_end, " + std::to_string(config.beta_end));
    return config;
}

// The same as the content of a scheduler_config.json, as diffusers reads it.
inline OrderedJson to_json(const NoiseScheduleConfig& config) {
    const auto pick = [](auto value, std::initializer_list<const char*> names) {
        return std::string(names.begin()[static_cast<std::size_t>(value)]);
    };
    const bool linear = config.beta_schedule == BetaSchedule::linear;
    OrderedJson json;
    put(json, "_class_name", "UnCLIPScheduler");
    put(json, "_diffusers_version", "0.14.0");
    if (linear) put(json, "beta_end", config.beta_end);
    put(json, "beta_schedule", pick(config.beta_schedule, detail::beta_schedule_names));
    if (linear) put(json, "beta_start", config.beta_start);
    put(json, "clip_sample", config.clip_sample);
    put(json, "clip_sample_range", config.clip_sample_range);
    put(json, "num_train_timesteps", config.num_train_timesteps);
    put(json, "prediction_type", pick(config.prediction_type, detail::prediction_type_names));
    put(json, "variance_type", pick(config.variance_type, detail::variance_type_names));
    return json;
}

}  // namespace dalle2
