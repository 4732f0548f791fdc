// Draws the JSON of benchmarks/kernels: for each layer, the share of the peak that its forward pass
// reaches, a bar for each precision, and where PyTorch was measured a mark for its share.
//
//     kernels --pytorch python3 --json kernels.json && plot kernels.json layers.svg
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <dalle2/core/error.hpp>
#include <dalle2/io/json.hpp>

namespace {

using dalle2::Json;

struct Bar {
    std::string scalar;
    double share;
    double pytorch = -1;  // negative: not measured
};

struct Layer {
    std::string name;
    std::vector<Bar> bars;
};

std::vector<Layer> read_layers(const Json& report, const std::string& path) try {
    std::vector<Layer> layers;
    for (const Json& row : report.at("layers")) {
        const std::string name = row.at("layer"), scalar = row.at("scalar");
        auto layer = std::find_if(layers.begin(), layers.end(),
                                  [&](const Layer& other) { return other.name == name; });
        if (layer == layers.end()) layer = layers.insert(layers.end(), {name, {}});
        Bar bar = {scalar, row.at("forward").at("share")};
        if (row.contains("pytorch_gflops"))
            bar.pytorch = row["pytorch_gflops"].at(0).get<double>() /
                          report.at("peak").at(scalar).get<double>();
        layer->bars.push_back(std::move(bar));
    }
    if (layers.empty()) throw dalle2::FormatError(path + ": there are no layers in it");
    return layers;
} catch (const Json::exception& error) {
    throw dalle2::FormatError(path + " is not as benchmarks/kernels writes it: " + error.what());
}

class Svg {
public:
    Svg(double width, double height) {
        add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) + "\" height=\"" +
            number(height) + "\" viewBox=\"0 0 " + number(width) + " " + number(height) +
            "\" font-family=\"sans-serif\" font-size=\"12\">");
        rectangle(0, 0, width, height, "#ffffff");
    }
    void rectangle(double x, double y, double width, double height, const char* color) {
        add("<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) +
            "\" height=\"" + number(height) + "\" fill=\"" + color + "\"/>");
    }
    void vertical(double x, double top, double bottom, const char* color, double width) {
        add("<line x1=\"" + number(x) + "\" x2=\"" + number(x) + "\" y1=\"" + number(top) +
            "\" y2=\"" + number(bottom) + "\" stroke=\"" + color + "\" stroke-width=\"" +
            number(width) + "\"/>");
    }
    void text(double x, double y, const std::string& words, const char* anchor = "start",
              const char* color = "#222222") {
        std::string safe;
        for (const char c : words)
            safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
        add("<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor +
            "\" fill=\"" + color + "\">" + safe + "</text>");
    }
    std::string finish() { return text_ + "</svg>\n"; }

private:
    static std::string number(double value) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%.6g", value);
        return buffer;
    }
    void add(const std::string& element) { text_ += element + "\n"; }
    std::string text_;
};

std::string percent(double share) {
    return std::to_string(static_cast<int>(100 * share + 0.5)) + " %";
}

std::string draw(const Json& report, const std::vector<Layer>& layers) {
    const std::map<std::string, const char*> colors = {
        {"float32", "#4477aa"}, {"bfloat16", "#66aa77"}, {"int8", "#ddaa33"}};
    constexpr double full = 480, bar = 9, gap = 8, top = 74, bottom = 26, letter = 7.2;
    double left = 0, height = top + bottom, most = 1.1;
    std::vector<std::string> scalars;  // in the order of their bars
    for (const Layer& layer : layers) {
        left = std::max(left, 16 + letter * static_cast<double>(layer.name.size()));
        for (const Bar& one : layer.bars)
            if (std::find(scalars.begin(), scalars.end(), one.scalar) == scalars.end())
                scalars.push_back(one.scalar);
        height += static_cast<double>(layer.bars.size()) * bar + gap;
        for (const Bar& one : layer.bars) most = std::max({most, one.share, one.pytorch});
    }
    const double last = left + full * most;
    Svg svg(last + 50, height);
    const int threads = report.value("threads", 0);
    svg.text(16, 24,
             "Share of the peak that the registers alone reach, forward pass; " +
                 report.value("isa", std::string("?")) + ", " + std::to_string(threads) +
                 (threads == 1 ? " thread" : " threads"));
    double x = 16;
    for (const std::string& scalar : scalars) {
        const double peak = report.at("peak").at(scalar);
        const auto color = colors.find(scalar);
        svg.rectangle(x, 38, 12, 12, color == colors.end() ? "#999999" : color->second);
        const std::string words =
            scalar + ", peak " + std::to_string(std::lround(peak)) + " GFLOP/s";
        svg.text(x + 17, 48, words);
        x += 40 + 6.5 * static_cast<double>(words.size());
    }
    if (report.contains("pytorch")) {
        svg.vertical(x + 5, 37, 51, "#000000", 2);
        svg.text(x + 13, 48, "PyTorch " + report["pytorch"].get<std::string>());
    }
    for (int i = 0; 0.2 * i <= most; ++i) {
        const double at = left + full * 0.2 * i;
        svg.vertical(at, top - 6, height - bottom + 4, i == 5 ? "#888888" : "#dddddd", 1);
        svg.text(at, height - 8, percent(0.2 * i), "middle");
    }
    double y = top;
    for (const Layer& layer : layers) {
        const double rows = static_cast<double>(layer.bars.size()) * bar;
        svg.text(left - 8, y + rows / 2 + 4, layer.name, "end");
        for (const Bar& one : layer.bars) {
            const auto color = colors.find(one.scalar);
            svg.rectangle(left, y, full * one.share, bar - 1,
                          color == colors.end() ? "#999999" : color->second);
            if (one.pytorch >= 0)
                svg.vertical(left + full * one.pytorch, y - 0.5, y + bar - 0.5, "#000000", 2);
            y += bar;
        }
        y += gap;
    }
    return svg.finish();
}

}  // namespace

int main(int argc, char** argv) try {
    CLI::App app("Draws the share of the peak by layer");
    std::string input, output;
    app.add_option("KERNELS", input, "what benchmarks/kernels --json wrote")->required();
    app.add_option("SVG", output, "the picture")->required();
    CLI11_PARSE(app, argc, argv);
    const Json report = dalle2::read_json(input);
    dalle2::write_file(output, draw(report, read_layers(report, input)));
    return 0;
} catch (const std::exception& error) {
    std::cerr << "plot: " << error.what() << "\n";
    return 1;
}
