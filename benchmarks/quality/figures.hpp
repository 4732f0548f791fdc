// The figures: shares of right answers, as a table to read and as JSON.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <dalle2/data/oracle.hpp>
#include <dalle2/io/json.hpp>

#include "prompts.hpp"

namespace quality {

struct Share {
    int right = 0, of = 0;

    void add(bool is_right) {
        right += is_right;
        ++of;
    }
    double value() const { return static_cast<double>(right) / of; }  // NaN of nothing
};

// Of one kind of prompts. `noun` of a pair: both. `relation` of one object: never counted.
struct Shares {
    Share noun, color, background, relation;

    void add(const Prompt& prompt, const dalle2::OracleVerdict& verdict) {
        noun.add(verdict.nouns);
        if (prompt.names_color()) color.add(verdict.colors);
        background.add(verdict.background);
        if (prompt.kind == Kind::pair) relation.add(verdict.relation);
    }
};

// One line of the table.
enum class Row {
    oracle_true,      // the oracle on the true scenes, 128 px
    oracle_shuffled,  // the oracle on scenes of other prompts, 128 px
    oracle_small,     // the oracle on the true scenes at the decoder's size
    clip,
    prior,
    decoder,            // from the true picture's embedding, judged at the decoder's size
    before_upsampling,  // the decoder's pictures in the whole chain, at the decoder's size
    pictures,           // what a person gets
};

class Figures {
public:
    Shares& at(Row row, Kind kind) { return rows_[row][static_cast<std::size_t>(kind)]; }
    Shares at(Row row, Kind kind) const {
        const auto found = rows_.find(row);
        return found == rows_.end() ? Shares{} : found->second[static_cast<std::size_t>(kind)];
    }

    void add(Row row, const std::vector<Prompt>& prompts,
             const std::vector<dalle2::OracleVerdict>& verdicts) {
        for (std::size_t i = 0; i < prompts.size(); ++i)
            at(row, prompts[i].kind).add(prompts[i], verdicts[i]);
    }

    // Always the same keys; null where nothing was measured.
    dalle2::OrderedJson json() const {
        const auto number = [](const Share& share) {
            return share.of == 0 ? dalle2::OrderedJson(nullptr)
                                 : dalle2::OrderedJson(std::round(share.value() * 1e4) / 1e4);
        };
        const auto noun_and_color = [&](Row row) {
            const Shares seen = at(row, Kind::single_seen);
            return dalle2::OrderedJson{{"noun", number(seen.noun)}, {"color", number(seen.color)}};
        };
        dalle2::OrderedJson json;
        for (const Kind kind : {Kind::single_seen, Kind::single_held_out}) {
            const Shares shares = at(Row::pictures, kind);
            json[kind == Kind::single_seen ? "single_seen" : "single_held_out"] = {
                {"noun", number(shares.noun)},
                {"color", number(shares.color)},
                {"background", number(shares.background)}};
        }
        const Shares pair = at(Row::pictures, Kind::pair);
        json["pair"] = {{"both_nouns", number(pair.noun)},
                        {"relation", number(pair.relation)},
                        {"background", number(pair.background)}};
        dalle2::OrderedJson& stages = json["stages"];
        stages["clip"] = noun_and_color(Row::clip);
        stages["clip"]["held_out_noun"] = number(at(Row::clip, Kind::single_held_out).noun);
        stages["prior"] = noun_and_color(Row::prior);
        stages["decoder_from_true_embedding"] = noun_and_color(Row::decoder);
        stages["before_upsampling"] = noun_and_color(Row::before_upsampling);
        return json;
    }

    // A line for each row that was measured; `labels` says what to call it.
    std::string table(const std::vector<std::pair<Row, std::string>>& labels) const {
        char heading[160];
        std::snprintf(heading, sizeof heading, "%-29s  %-27s|  %-27s|  %s\n", "",
                      "one object, seen", "one object, held out", "two objects");
        std::string text =
            heading + line("", {"noun", "colour", "backgr.", "noun", "colour", "backgr.", "nouns",
                                "colours", "relation", "backgr."});
        for (const auto& [row, label] : labels) {
            if (!rows_.contains(row)) continue;
            std::vector<std::string> cells;
            for (const Kind kind : all_kinds) {
                const Shares s = at(row, kind);
                std::vector<Share> shares = {s.noun, s.color, s.background};
                if (kind == Kind::pair) shares = {s.noun, s.color, s.relation, s.background};
                for (const Share& share : shares) cells.push_back(cell(share));
            }
            text += line(label, cells);
        }
        return text;
    }

    static std::string line(const std::string& label, const std::vector<std::string>& cells) {
        char piece[64];
        std::snprintf(piece, sizeof piece, "%-29s", label.c_str());
        std::string text = piece;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            std::snprintf(piece, sizeof piece, "%s%9s", i == 3 || i == 6 ? "  |" : "",
                          cells[i].c_str());
            text += piece;
        }
        return text + "\n";
    }

private:
    static std::string cell(const Share& share) {
        if (share.of == 0) return "-";
        char text[16];
        std::snprintf(text, sizeof text, "%.3f", share.value());
        return text;
    }

    std::map<Row, std::array<Shares, kind_count>> rows_;
};

}  // namespace quality
