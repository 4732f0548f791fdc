// Judges pictures of emoji scenes by least squares. It has learned nothing: it knows the sprites,
// the tints, the backgrounds and the places, and says which of them a picture shows best.
//
// Definitions, all at the picture's own size (128, 64 or 32), in colours from 0 to 1:
// - The background is the one of the eight that is nearest to the median colour of the pixels that
//   no object can cover: for one object those outside its square, for two those outside the squares
//   of both layouts. The fits below use that median as the paper, so a tinge there costs no noun.
// - A candidate at a place is a noun in one of eight colours (its own, seven tints). It is fitted
// as
//   gain · sprite + brightness · alpha over the paper, one gain and one brightness for all three
//   channels, within the limits of OracleLimits, so a slightly pale or dark picture of the right
//   thing counts, and one of another hue does not. Its fit is how much of the square's deviation
//   from the paper it explains: the sum of squares of (picture − paper) less that of the residue.
// - The object found at a place is the candidate of the best fit: its noun and its colour.
// - One object: the noun, the colour and the background are right when they are what was asked for.
// - Two objects: both nouns are right when the two nouns found are the two asked for, in either
//   order, in whichever layout (side by side, one above the other) explains more of the picture.
//   The relation is right when, of the four arrangements of the two nouns asked for (each left of
//   or above the other), each noun in its best colour, the arrangement asked for fits best.
//   Of scenes that were not asked for, a quarter is right by chance.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <dalle2/core/error.hpp>
#include <dalle2/data/scene.hpp>
#include <dalle2/data/scene_renderer.hpp>

namespace dalle2 {

struct OracleLimits {
    double gain_low = 0.6, gain_high = 1.25;
    double brightness = 0.15;  // either way
};

struct OracleVerdict {
    SceneDescription found;  // of the layout asked for, or for two objects the better of both
    bool nouns = false;      // the noun, or both
    bool colors = false;     // of one object, or of both at the places asked for
    bool background = false;
    bool relation = false;  // of one object: always true
};

// How often the verdicts on some pictures were right, as shares.
struct OracleFigures {
    double nouns = 0, colors = 0, background = 0, relation = 0;
    int pictures = 0;
};

inline OracleFigures oracle_figures(const std::vector<OracleVerdict>& verdicts) {
    OracleFigures figures;
    figures.pictures = static_cast<int>(verdicts.size());
    for (const OracleVerdict& verdict : verdicts) {
        figures.nouns += verdict.nouns;
        figures.colors += verdict.colors;
        figures.background += verdict.background;
        figures.relation += verdict.relation;
    }
    const double count = std::max<double>(1, figures.pictures);
    figures.nouns /= count, figures.colors /= count;
    figures.background /= count, figures.relation /= count;
    return figures;
}

// Const use from several threads is safe. The renderer must outlive the oracle.
class Oracle {
public:
    // For pictures of `size` pixels: 128, 64 or 32 (ConfigError otherwise).
    explicit Oracle(const SceneRenderer& renderer, int size = 128, const OracleLimits& limits = {})
        : renderer_(renderer), size_(size), limits_(limits) {
        for (const bool large : {false, true})
            for (int noun = 0; noun < renderer.noun_count(); ++noun)
                grams_[large ? 1 : 0].push_back(gram(renderer.patch(noun, large, size)));
    }

    // Judges a picture [size, size, 3] in [-1, 1] that was asked to be `asked`.
    OracleVerdict judge(const float* picture, const SceneDescription& asked) const {
        OracleVerdict verdict;
        verdict.found = asked;
        const Color paper = paper_color(picture, asked.layout);
        verdict.found.background = nearest_background(paper);
        verdict.background = verdict.found.background == asked.background;
        const bool single = asked.layout == SceneLayout::single;
        if (single) {
            verdict.found.objects[0] = best(fits(picture, paper, asked.layout, 0)).object;
            verdict.nouns = verdict.found.objects[0].noun == asked.objects[0].noun;
            verdict.colors = verdict.found.objects[0].color == asked.objects[0].color;
            verdict.relation = true;
            return verdict;
        }
        judge_pair(picture, paper, asked, verdict);
        return verdict;
    }

    int size() const { return size_; }

private:
    using Color = std::array<double, 3>;
    static constexpr int color_count = tint_count + 1;  // the sprite's own comes first

    // Inner products of a patch's planes: color[c] is plane c, a alpha, s shade.
    struct Gram {
        Color color_color{}, color_alpha{};
        double alpha_alpha = 0, alpha_shade = 0, shade_shade = 0;
    };
    // Inner products of (picture − paper) with the planes, by channel of the picture.
    struct Projection {
        Color color{}, alpha{}, shade{};
    };
    struct Fit {
        SceneObject object;
        double explained = 0;
    };

    static Gram gram(const ScenePatch& patch) {
        Gram g;
        for (std::size_t i = 0; i < patch.values.size(); i += ScenePatch::planes) {
            const float* p = patch.values.data() + i;
            const double alpha = p[3], shade = p[4];
            for (std::size_t c = 0; c < 3; ++c) {
                g.color_color[c] += static_cast<double>(p[c]) * p[c];
                g.color_alpha[c] += p[c] * alpha;
            }
            g.alpha_alpha += alpha * alpha;
            g.alpha_shade += alpha * shade;
            g.shade_shade += shade * shade;
        }
        return g;
    }

    // Whether a pixel lies outside the squares of the layout; for two objects, of both layouts.
    bool uncovered(int x, int y, SceneLayout layout) const {
        const int shrink = SceneGeometry::picture / size_;
        const auto inside = [&](SceneLayout other, int object) {
            const auto [column, row] = SceneGeometry::corner(other, object);
            const int side =
                other == SceneLayout::single ? SceneGeometry::large : SceneGeometry::small;
            return x * shrink >= column && x * shrink < column + side && y * shrink >= row &&
                   y * shrink < row + side;
        };
        if (layout == SceneLayout::single) return !inside(layout, 0);
        for (const int object : {0, 1})
            if (inside(SceneLayout::left_right, object) || inside(SceneLayout::above_below, object))
                return false;
        return true;
    }

    Color paper_color(const float* picture, SceneLayout layout) const {
        std::array<std::vector<float>, 3> values;
        for (int y = 0; y < size_; ++y)
            for (int x = 0; x < size_; ++x)
                if (uncovered(x, y, layout))
                    for (std::size_t c = 0; c < 3; ++c)
                        values[c].push_back(
                            picture[static_cast<std::size_t>(y * size_ + x) * 3 + c]);
        Color median{};
        for (std::size_t c = 0; c < 3; ++c) {
            const auto middle =
                values[c].begin() + static_cast<std::ptrdiff_t>(values[c].size() / 2);
            std::nth_element(values[c].begin(), middle, values[c].end());
            median[c] = (static_cast<double>(*middle) + 1) / 2;
        }
        return median;
    }

    static int nearest_background(const Color& color) {
        int nearest = 0;
        double smallest = 1e300;
        for (int i = 0; i < background_count; ++i) {
            const Rgb& rgb = scene_backgrounds[static_cast<std::size_t>(i)].color;
            const Color known{rgb.red / 255.0, rgb.green / 255.0, rgb.blue / 255.0};
            double distance = 0;
            for (std::size_t c = 0; c < 3; ++c)
                distance += (color[c] - known[c]) * (color[c] - known[c]);
            if (distance < smallest) smallest = distance, nearest = i;
        }
        return nearest;
    }

    Projection project(const std::vector<float>& square, const ScenePatch& patch) const {
        Projection sum;
        const std::size_t n = static_cast<std::size_t>(patch.size);
        for (std::size_t y = 0; y < n; ++y) {
            float row[9] = {};  // short sums in float, long ones in double
            const float* x = square.data() + y * n * 3;
            const float* p = patch.values.data() + y * n * ScenePatch::planes;
            for (std::size_t i = 0; i < n; ++i, x += 3, p += ScenePatch::planes)
                for (std::size_t c = 0; c < 3; ++c) {
                    row[c] += x[c] * p[c];
                    row[3 + c] += x[c] * p[3];
                    row[6 + c] += x[c] * p[4];
                }
            for (std::size_t c = 0; c < 3; ++c) {
                sum.color[c] += row[c];
                sum.alpha[c] += row[3 + c];
                sum.shade[c] += row[6 + c];
            }
        }
        return sum;
    }

    // The fits of every noun in every colour at one place: [noun · color_count + colour + 1].
    std::vector<Fit> fits(const float* picture, const Color& paper, SceneLayout layout,
                          int object) const {
        const bool large = layout == SceneLayout::single;
        const int shrink = SceneGeometry::picture / size_;
        const auto [column, row] = SceneGeometry::corner(layout, object);
        const int side = (large ? SceneGeometry::large : SceneGeometry::small) / shrink;
        std::vector<float> square;  // picture − paper
        square.reserve(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3);
        for (int y = 0; y < side; ++y) {
            const float* pixel = picture + ((row / shrink + y) * size_ + column / shrink) * 3;
            for (int i = 0; i < side * 3; ++i)
                square.push_back((pixel[i] + 1) / 2 -
                                 static_cast<float>(paper[static_cast<std::size_t>(i % 3)]));
        }
        std::vector<Fit> result;
        result.reserve(static_cast<std::size_t>(renderer_.noun_count()) * color_count);
        for (int noun = 0; noun < renderer_.noun_count(); ++noun) {
            const Projection projection = project(square, renderer_.patch(noun, large, size_));
            const Gram& g = grams_[large ? 1 : 0][static_cast<std::size_t>(noun)];
            for (int color = -1; color < tint_count; ++color)
                result.push_back({{noun, color}, explained(projection, g, paper, color)});
        }
        return result;
    }

    // What the best gain and brightness explain. With x = picture − paper, the sprite's colours o
    // and its alpha a, the model is x ≈ gain·o + brightness·a − paper·a.
    double explained(const Projection& x, const Gram& g, const Color& paper, int color) const {
        double x_o = 0, x_a = 0, o_o = 0, o_a = 0, paper_o = 0, paper_a = 0, paper_paper = 0,
               x_paper = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            double projected = x.color[c], with_self = g.color_color[c],
                   with_alpha = g.color_alpha[c];
            if (color >= 0) {
                const Tint& tint = scene_tints[static_cast<std::size_t>(color)];
                const double low = Color{tint.dark.red, tint.dark.green, tint.dark.blue}[c] / 255;
                const double range =
                    Color{tint.light.red, tint.light.green, tint.light.blue}[c] / 255 - low;
                projected = low * x.alpha[c] + range * x.shade[c];
                with_self = low * low * g.alpha_alpha + 2 * low * range * g.alpha_shade +
                            range * range * g.shade_shade;
                with_alpha = low * g.alpha_alpha + range * g.alpha_shade;
            }
            x_o += projected, x_a += x.alpha[c], o_o += with_self, o_a += with_alpha;
            paper_o += paper[c] * with_alpha;
            paper_a += paper[c] * g.alpha_alpha;
            paper_paper += paper[c] * paper[c] * g.alpha_alpha;
            x_paper += paper[c] * x.alpha[c];
        }
        const double a_a = 3 * g.alpha_alpha, t_o = x_o + paper_o, t_a = x_a + paper_a;
        const auto value = [&](double gain, double lift) {
            return 2 * gain * t_o + 2 * lift * t_a - gain * gain * o_o - 2 * gain * lift * o_a -
                   lift * lift * a_a - 2 * x_paper - paper_paper;
        };
        const auto best_gain = [&](double lift) {
            return std::clamp(o_o > 0 ? (t_o - lift * o_a) / o_o : 1.0, limits_.gain_low,
                              limits_.gain_high);
        };
        const auto best_lift = [&](double gain) {
            return std::clamp((t_a - gain * o_a) / a_a, -limits_.brightness, limits_.brightness);
        };
        // The inner maximum if it is allowed, otherwise the best point of the four edges.
        const double determinant = o_o * a_a - o_a * o_a;
        if (determinant > 1e-9 * o_o * a_a) {
            const double gain = (t_o * a_a - t_a * o_a) / determinant;
            const double lift = (t_a * o_o - t_o * o_a) / determinant;
            if (gain == std::clamp(gain, limits_.gain_low, limits_.gain_high) &&
                lift == std::clamp(lift, -limits_.brightness, limits_.brightness))
                return value(gain, lift);
        }
        double result = -1e300;
        for (const double gain : {limits_.gain_low, limits_.gain_high})
            result = std::max(result, value(gain, best_lift(gain)));
        for (const double lift : {-limits_.brightness, limits_.brightness})
            result = std::max(result, value(best_gain(lift), lift));
        return result;
    }

    static const Fit& best(const std::vector<Fit>& fits) {
        return *std::max_element(fits.begin(), fits.end(), [](const Fit& a, const Fit& b) {
            return a.explained < b.explained;
        });
    }
    // The best fit among the colours of one noun.
    static double best_of_noun(const std::vector<Fit>& fits, int noun) {
        double result = -1e300;
        const std::size_t begin = static_cast<std::size_t>(noun) * color_count;
        for (std::size_t color = 0; color < color_count; ++color)
            result = std::max(result, fits[begin + color].explained);
        return result;
    }

    void judge_pair(const float* picture, const Color& paper, const SceneDescription& asked,
                    OracleVerdict& verdict) const {
        const int first = asked.objects[0].noun, second = asked.objects[1].noun;
        double best_layout = -1e300, as_asked_sum = -1e300, other_sum = -1e300;
        for (const SceneLayout layout : {SceneLayout::left_right, SceneLayout::above_below}) {
            const std::vector<Fit> one = fits(picture, paper, layout, 0);
            const std::vector<Fit> two = fits(picture, paper, layout, 1);
            const Fit &best_one = best(one), &best_two = best(two);
            if (best_one.explained + best_two.explained > best_layout) {
                best_layout = best_one.explained + best_two.explained;
                verdict.found.layout = layout;
                verdict.found.objects = {best_one.object, best_two.object};
            }
            if (layout == asked.layout)
                verdict.colors = best_one.object.color == asked.objects[0].color &&
                                 best_two.object.color == asked.objects[1].color;
            for (const bool as_asked : {true, false}) {
                const double sum = best_of_noun(one, as_asked ? first : second) +
                                   best_of_noun(two, as_asked ? second : first);
                double& best_sum = as_asked && layout == asked.layout ? as_asked_sum : other_sum;
                best_sum = std::max(best_sum, sum);
            }
        }
        verdict.relation = as_asked_sum > other_sum;  // an empty picture fits all four alike
        const int one = verdict.found.objects[0].noun, two = verdict.found.objects[1].noun;
        verdict.nouns = (one == first && two == second) || (one == second && two == first);
    }

    const SceneRenderer& renderer_;
    int size_;
    OracleLimits limits_;
    std::array<std::vector<Gram>, 2> grams_;  // [small, large][noun]
};

}  // namespace dalle2
