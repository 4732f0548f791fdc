// An engine that measures what int8 weights would do: to each layer, by computing in bfloat16 and
// beside it what int8 makes of the same input; and to a network, by computing the chosen layers in
// int8.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/plus.hpp>

namespace dalle2 {

// Of one layer: how its output in int8 stands to that in bfloat16.
struct Int8Measurement {
    std::int64_t multiply_adds = 0;  // of all runs
    // Signal to noise of the worst run, in dB; infinite before the first.
    double decibels = std::numeric_limits<double>::infinity();
    bool chosen = false;  // to be int8
};

// What happened on the Int8Calibration engine, on this thread, while a Scope of it lived.
class Int8CalibrationLog {
public:
    // While it lives, layers that are loaded on this thread report to `log`.
    class Scope {
    public:
        explicit Scope(Int8CalibrationLog& log) : previous_(std::exchange(current(), &log)) {}
        ~Scope() { current() = previous_; }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        Int8CalibrationLog* previous_;
    };

    // Null outside of every scope.
    static Int8CalibrationLog*& current() {
        thread_local Int8CalibrationLog* log = nullptr;
        return log;
    }

    // Measure each layer, or compute the chosen ones in int8? The former until told.
    bool measuring = true;

    // Weights that are loaded from now on belong to this component.
    void begin(const std::string& component) { component_ = component; }

    // Of a weight; shared with the layer, which writes to it.
    std::shared_ptr<Int8Measurement> add(const std::string& weight) {
        return layers_[component_][weight] = std::make_shared<Int8Measurement>();
    }

    // By component and name of the weight: those that could take int8.
    using Layers = std::map<std::string, std::map<std::string, std::shared_ptr<Int8Measurement>>>;
    const Layers& layers() const { return layers_; }

private:
    std::string component_;
    Layers layers_;
};

struct Int8Calibration : Cpu<bfloat16> {
    // Holds the weights in both forms.
    class Parameter : public Int8Parameter {
    public:
        using Int8Parameter::Int8Parameter;
        std::shared_ptr<Int8Measurement> measurement;
    };

    static void load(Parameter& parameter, const Array& values, const WeightOrigin& origin = {}) {
        check_parameter_shape(parameter.shape(), shape_of(values));
        Int8CalibrationLog* log = Int8CalibrationLog::current();
        parameter.measurement = nullptr;
        const BufferPool::Outside outside;  // it stays
        if (log && worth_int8(parameter.shape(), parameter.kind())) {
            parameter.load_both(values.data());
            parameter.measurement = log->add(origin.name);
        } else {
            parameter.load(values.data());
        }
    }
    // It measures what it packs.
    static bool load_packed(Parameter&, const kernels::AnyPackedWeights&,
                            const WeightOrigin&) = delete;
    static Array store(const Parameter& parameter) { return Cpu<bfloat16>::store(parameter); }

    // (What is added comes after: beside it an error of the product would look small.)
    static Tensor linear(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Tensor* added = nullptr, Activation activation = Activation::none) {
        const Tensor y = in_both(
            weight, [&] { return Cpu<bfloat16>::linear(x, weight, bias); },
            [&] {
                return linear_with(weight.int8(), x, weight.shape(), bias, nullptr,
                                   Activation::none);
            });
        return plus<Int8Calibration>(y, added, activation);
    }
    // By products of bytes, which some processors take for all convolutions and all for some: what
    // is chosen is for every processor.
    static Tensor conv2d(const Tensor& x, const Parameter& weight, const Parameter* bias,
                         const Conv2dOptions& o, const Tensor* added = nullptr) {
        const Tensor y = in_both(
            weight, [&] { return Cpu<bfloat16>::conv2d(x, weight, bias, o); },
            [&] {
                return conv2d_with(weight.int8(), x, weight.shape(), bias, o, nullptr,
                                   kernels::fast::ConvMethod::direct);
            });
        return plus<Int8Calibration>(y, added);
    }

private:
    template <class Usual, class Int8>
    static Tensor in_both(const Parameter& weight, const Usual& usual, const Int8& int8) {
        if (!weight.measurement) return usual();
        const Int8CalibrationLog* log = Int8CalibrationLog::current();
        if (log && !log->measuring) return weight.measurement->chosen ? int8() : usual();
        const Tensor y = usual();
        compare(y, int8(), weight);
        return y;
    }
    static void compare(const Tensor& y, const Tensor& rounded, const Parameter& weight) {
        constexpr std::int64_t piece = 1 << 15;
        const std::int64_t pieces = (y.count() + piece - 1) / piece;
        std::vector<std::pair<double, double>> sums(static_cast<std::size_t>(pieces));
        kernels::parallel_for(pieces, [&](std::int64_t task, int) {
            double signal = 0, error = 0;
            const std::int64_t end = std::min(y.count(), (task + 1) * piece);
            for (std::int64_t i = task * piece; i < end; ++i) {
                const float right = static_cast<float>(y.data()[i]),
                            difference = static_cast<float>(rounded.data()[i]) - right;
                signal += static_cast<double>(right * right);
                error += static_cast<double>(difference * difference);
            }
            sums[static_cast<std::size_t>(task)] = {signal, error};
        });
        double signal = 0, error = 0;
        for (const auto& [s, e] : sums) {
            signal += s;
            error += e;
        }
        Int8Measurement& measured = *weight.measurement;
        measured.decibels = std::min(measured.decibels, decibels(signal, error));
        measured.multiply_adds += y.rows() * element_count(weight.shape());
    }
};

static_assert(Engine<Int8Calibration>);

}  // namespace dalle2
