#include "serve.hpp"

#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/engine/profile_report.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/pipeline/load.hpp>

namespace stages_benchmark {

namespace {

class Server {
public:
    Server(ModelDirectory directory, EngineKind engine)
        : directory_(std::move(directory)), engine_(engine) {}

    // Until the input ends.
    void serve(std::istream& requests, std::ostream& answers) {
        for (std::string line; std::getline(requests, line);) {
            OrderedJson answer;
            try {
                answer = this->answer(parse_json(line, "request"));
            } catch (const std::exception& error) {
                answer = {{"error", error.what()}};
            }
            answers << answer.dump() << std::endl;
        }
    }

private:
    template <class Work>
    static double seconds_of(const Work& work) {
        const auto began = std::chrono::steady_clock::now();
        work();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    }

    OrderedJson answer(const Json& request) {
        if (request.contains("machine"))
            return {{"isa", kernels::name_of(kernels::current_isa())},
                    {"threads", kernels::thread_count()}};
        if (request.contains("load")) {
            network_.reset();
            pipeline_.reset();
            pool_.emplace();
            return {{"seconds", seconds_of([&] {
                         network_ = load_network(directory_, request["load"], engine_);
                     })}};
        }
        if ((request.contains("inputs") || request.contains("run") || request.contains("work")) &&
            !network_)
            throw ConfigError("no network was loaded");
        if (request.contains("inputs"))
            return read(request["inputs"].get<std::string>(), request.value("steps", 1));
        if (request.contains("run")) {
            const BufferPool::Scope scope(*pool_);
            const bool whole = request.value("whole", false);
            OrderedJson seconds = OrderedJson::array();
            const std::clock_t began = std::clock();
            for (int i = 0; i < request["run"].get<int>(); ++i)
                seconds.push_back(seconds_of([&] { outputs_ = network_->run(whole); }));
            const double processor = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
            return {{"seconds", seconds}, {"processor_seconds", processor}};
        }
        if (request.contains("work")) return work();
        if (request.contains("outputs")) {
            std::vector<std::pair<std::string, Array>> tensors(outputs_.begin(), outputs_.end());
            write_safetensors(request["outputs"].get<std::string>(), tensors);
            return {{"names", names(outputs_)}};
        }
        if (request.contains("pipeline")) {
            network_.reset();
            return {{"seconds", seconds_of([&] {
                         pipeline_.emplace(
                             load<AllEngines>(directory_.path(), {.engine = engine_}));
                     })}};
        }
        if (request.contains("picture")) return draw(request);
        throw ConfigError(
            "a request must have \"machine\", \"load\", \"inputs\", \"run\", \"work\", "
            "\"outputs\", \"pipeline\" or \"picture\"");
    }

    OrderedJson read(const std::string& path, std::int64_t steps) {
        const SafetensorsFile file(path);
        NamedArrays inputs;
        for (const std::string& name : file.names()) inputs[name] = file.to_array(name);
        const BufferPool::Scope scope(*pool_);
        const double seconds = seconds_of([&] { network_->prepare(inputs, steps); });
        return {{"names", names(inputs)}, {"seconds", seconds}};
    }

    OrderedJson draw(const Json& request) {
        if (!pipeline_) throw ConfigError("no pipeline was loaded");
        const GenerateOptions options = {.seed = request.value("seed", std::uint64_t{0}),
                                         .noise = noise_type(request.value("noise", "float32"))};
        Picture picture;
        const double seconds = seconds_of(
            [&] { picture = (*pipeline_)(request["picture"].get<std::string>(), options); });
        if (request.contains("png")) write_png(request["png"].get<std::string>(), picture);
        return {{"seconds", seconds}};
    }

    static NoiseType noise_type(const std::string& name) {
        if (name == "float32") return NoiseType::f32;
        if (name == "bfloat16") return NoiseType::bf16;
        if (name == "float16") return NoiseType::f16;
        throw ConfigError("noise \"" + name +
                          "\" is not supported; supported are \"float32\", \"bfloat16\" and "
                          "\"float16\"");
    }

    // One run; the multiply-adds of each kind of operation in it.
    OrderedJson work() {
        const BufferPool::Scope scope(*pool_);
        Profile profile;
        {
            const Profile::Scope profiling(profile);
            outputs_ = network_->run(false);
        }
        OrderedJson multiply_adds = OrderedJson::object();
        for (const ProfileRow& row : profile_rows(profile))
            if (row.multiply_adds > 0) multiply_adds[row.operation] = row.multiply_adds;
        return {{"multiply_adds", std::move(multiply_adds)}};
    }

    static OrderedJson names(const NamedArrays& arrays) {
        OrderedJson list = OrderedJson::array();
        for (const auto& [name, array] : arrays) list.push_back(name);
        return list;
    }

    ModelDirectory directory_;
    EngineKind engine_;
    std::unique_ptr<Network> network_;
    std::optional<Pipeline> pipeline_;
    NamedArrays outputs_;
    std::optional<BufferPool> pool_{std::in_place};  // each network has its own
};

}  // namespace

void serve(const ModelDirectory& directory, EngineKind engine, std::istream& requests,
           std::ostream& answers) {
    Server(directory, engine).serve(requests, answers);
}

}  // namespace stages_benchmark
