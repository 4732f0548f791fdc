// The training loop: steps, log, checkpoints. A run lives in a folder and goes on from there, bit
// for bit, whenever and however it was stopped.
#pragma once

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <stop_token>

#include <dalle2/train/checkpoint.hpp>
#include <dalle2/train/learning_rate.hpp>
#include <dalle2/train/task.hpp>

namespace dalle2 {

struct TrainerOptions {
    std::filesystem::path folder;   // of the run: checkpoint.safetensors, log.jsonl
    std::int64_t batch = 32;        // samples in one optimiser step
    std::int64_t accumulation = 1;  // parts that a batch is computed in, to save memory
    LearningRate learning_rate = {};
    OptimizerOptions optimizer = {};
    std::int64_t checkpoint_every = 500;  // steps
    std::int64_t log_every = 20;          // steps
    std::uint64_t first_sample = 0;       // where this run begins in its data
    std::function<void()> on_checkpoint =
        nullptr;  // called after one was saved, but not after the last
};

struct TrainingProgress {
    std::int64_t step, steps;
    Metrics metrics;       // means since the last report
    double gradient_norm;  // the same
    double learning_rate;
    double samples_per_second;
    double seconds_left;
    std::int64_t skipped_steps;  // gradients that were not finite, since this process began
};

template <TrainingTask Task>
class Trainer {
public:
    Trainer(Task& task, TrainerOptions options) : task_(task), options_(std::move(options)) {
        if (options_.batch < 1 || options_.accumulation < 1 ||
            options_.batch % options_.accumulation)
            throw ConfigError("a batch of " + std::to_string(options_.batch) + " samples in " +
                              std::to_string(options_.accumulation) +
                              " parts; expected a multiple");
        std::filesystem::create_directories(options_.folder);
    }

    std::filesystem::path checkpoint_path() const {
        return options_.folder / "checkpoint.safetensors";
    }
    std::int64_t step() const { return step_; }

    // Goes on from the folder's checkpoint, if there is one; says whether there was.
    bool resume() {
        if (!std::filesystem::exists(checkpoint_path())) return false;
        const SafetensorsMetadata metadata = load_checkpoint(checkpoint_path(), task_.parameters());
        const auto number = [&](const char* key) {
            std::int64_t value = -1;
            const auto found = metadata.find(key);
            if (found != metadata.end())
                std::from_chars(found->second.data(), found->second.data() + found->second.size(),
                                value);
            if (value < 0)
                throw FormatError(checkpoint_path().string() + ": no number \"" + key +
                                  "\" in its metadata");
            return value;
        };
        step_ = number("step");
        sample_ = static_cast<std::uint64_t>(number("sample"));
        return true;
    }

    void save() const {
        save_checkpoint(checkpoint_path(), task_.parameters(),
                        {{"step", std::to_string(step_)}, {"sample", std::to_string(sample_)}});
    }

    // Trains until step learning_rate.steps or until asked to stop, and saves. report is called
    // every log_every steps.
    void run(const std::function<void(const TrainingProgress&)>& report = nullptr,
             std::stop_token stop = {}) {
        const BufferPool::Scope scope(pool_);
        if (step_ == 0) sample_ = options_.first_sample;
        const std::int64_t steps = options_.learning_rate.steps;
        Metrics sums;
        double norms = 0;
        std::int64_t summed = 0, skipped = 0;
        auto begin = std::chrono::steady_clock::now();
        while (step_ < steps && !stop.stop_requested()) {
            const double rate = options_.learning_rate.at(step_);
            const Metrics metrics = gradients();
            const double norm = task_.parameters().optimize(step_ + 1, rate, options_.optimizer);
            if (!std::isfinite(norm)) ++skipped;
            ++step_;
            add(metrics, sums);
            norms += norm;
            ++summed;
            if (step_ % options_.log_every == 0 || step_ == steps) {
                const auto now = std::chrono::steady_clock::now();
                const double seconds = std::chrono::duration<double>(now - begin).count();
                for (auto& [name, value] : sums) value /= static_cast<double>(summed);
                const double count = static_cast<double>(summed);
                const TrainingProgress progress{
                    step_,
                    steps,
                    sums,
                    norms / count,
                    rate,
                    count * static_cast<double>(options_.batch) / seconds,
                    seconds / count * static_cast<double>(steps - step_),
                    skipped};
                log(progress);
                if (report) report(progress);
                sums.clear();
                norms = 0;
                summed = 0;
                begin = now;
            }
            if (step_ % options_.checkpoint_every == 0 && step_ < steps) {
                save();
                if (options_.on_checkpoint) options_.on_checkpoint();
            }
        }
        save();
    }

private:
    Metrics gradients() {
        const std::int64_t part = options_.batch / options_.accumulation;
        const double share = 1.0 / static_cast<double>(options_.accumulation);
        Metrics sums;
        for (std::int64_t i = 0; i < options_.accumulation; ++i) {
            Metrics metrics = task_.gradients(sample_, part, share);
            for (auto& [name, value] : metrics) value *= share;
            add(metrics, sums);
            sample_ += static_cast<std::uint64_t>(part);
        }
        return sums;
    }

    static void add(const Metrics& metrics, Metrics& sums) {
        if (sums.empty()) {
            sums = metrics;
            return;
        }
        for (std::size_t i = 0; i < metrics.size(); ++i) sums[i].second += metrics[i].second;
    }

    void log(const TrainingProgress& p) const {
        std::ofstream file(options_.folder / "log.jsonl", std::ios::app);
        file.precision(6);
        file << "{\"step\": " << p.step;
        for (const auto& [name, value] : p.metrics) file << ", \"" << name << "\": " << value;
        file << ", \"gradient_norm\": " << p.gradient_norm
             << ", \"learning_rate\": " << p.learning_rate
             << ", \"samples_per_second\": " << p.samples_per_second << "}\n";
    }

    Task& task_;
    TrainerOptions options_;
    BufferPool pool_;
    std::int64_t step_ = 0;
    std::uint64_t sample_ = 0;
};

}  // namespace dalle2
