// A scheduler_config.json, the file in which a model directory says how its diffusion was trained.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include <dalle2/core/error.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>

namespace dalle2 {

namespace detail {

template <class Value>
Value named_value(const nlohmann::json& json, const std::string& key,
                  const std::map<std::string, Value>& names, const std::string& where) {
    const auto found = json.is_string() ? names.find(json.get<std::string>()) : names.end();
    if (found != names.end()) return found->second;
    std::string expected;
    for (const auto& [name, value] : names)
        expected += (expected.empty() ? "\"" : ", \"") + name + "\"";
    throw ConfigError(where + ": " + key + " is " + json.dump() + "; supported are " + expected);
}

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
        if (key == "_class_name") {
            expected(value == "UnCLIPScheduler", "\"UnCLIPScheduler\"");
        } else if (key == "num_train_timesteps") {
            expected(value.is_number_integer() && value >= 1 && value <= 100000,
                     "an integer from 1 to 100000");
            config.num_train_timesteps = value;
        } else if (key == "beta_schedule") {
            config.beta_schedule = detail::named_value<BetaSchedule>(
                value, key,
                {{"linear", BetaSchedule::linear},
                 {"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2}},
                where);
        } else if (key == "beta_start" || key == "beta_end") {
            expected(value.is_number() && value > 0.0 && value < 1.0, "a number between 0 and 1");
            (key == "beta_start" ? config.beta_start : config.beta_end) = value;
        } else if (key == "prediction_type") {
            config.prediction_type = detail::named_value<PredictionType>(
                value, key,
                {{"epsilon", PredictionType::epsilon},
                 {"sample", PredictionType::sample},
                 {"v_prediction", PredictionType::v_prediction}},
                where);
        } else if (key == "variance_type") {
            config.variance_type = detail::named_value<VarianceType>(
                value, key,
                {{"fixed_small", VarianceType::fixed_small},
                 {"fixed_small_log", VarianceType::fixed_small_log},
                 {"learned_range", VarianceType::learned_range}},
                where);
        } else if (key == "clip_sample") {
            expected(value.is_boolean(), "true or false");
            config.clip_sample = value;
        } else if (key == "clip_sample_range") {
            expected(value.is_number() && value > 0.0, "a positive number");
            config.clip_sample_range = value;
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
inline nlohmann::json to_json(const NoiseScheduleConfig& config) {
    const auto pick = [](auto value, std::initializer_list<const char*> names) {
        return names.begin()[static_cast<std::size_t>(value)];
    };
    nlohmann::json json = {
        {"_class_name", "UnCLIPScheduler"},
        {"_diffusers_version", "0.14.0"},
        {"num_train_timesteps", config.num_train_timesteps},
        {"beta_schedule", pick(config.beta_schedule, {"linear", "squaredcos_cap_v2"})},
        {"prediction_type", pick(config.prediction_type, {"epsilon", "sample", "v_prediction"})},
        {"variance_type",
         pick(config.variance_type, {"fixed_small", "fixed_small_log", "learned_range"})},
        {"clip_sample", config.clip_sample},
        {"clip_sample_range", config.clip_sample_range},
    };
    if (config.beta_schedule == BetaSchedule::linear) {
        json["beta_start"] = config.beta_start;
        json["beta_end"] = config.beta_end;
    }
    return json;
}

}  // namespace dalle2
