#include "tasks/embedding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/aligned_buffer.h"
#include "kernels/kernels.h"

namespace tack {
namespace {

// Which candidates are right for a query, and which do not count at all.
struct Judge {
  std::vector<std::size_t> queries, candidates;  // into the index's texts
  std::vector<std::vector<std::int32_t>> right;  // of each query, ascending: groups
  bool by_label = false;

  bool is_right(std::size_t q, std::int32_t group) const {
    return std::ranges::binary_search(right[q], group);
  }
};

Judge judge_of(const PairSet& pairs, const PairIndex& index) {
  Judge judge;
  judge.by_label = pairs.kind == PairKind::kLabel;
  if (judge.by_label) {
    std::map<std::int32_t, std::size_t> sizes;
    for (std::size_t t = 0; t < index.texts.size(); ++t) {
      judge.candidates.push_back(t);
      ++sizes[index.groups[t]];
    }
    for (std::size_t t : judge.candidates) {
      if (sizes[index.groups[t]] < 2) continue;
      judge.queries.push_back(t);
      judge.right.push_back({index.groups[t]});
    }
    return judge;
  }
  std::map<std::int32_t, std::vector<std::int32_t>>
      beside;                                      // group of a query: groups of its texts
  std::map<std::int32_t, std::size_t> candidates;  // one a group
  for (std::size_t i = 0; i < index.text.size(); ++i) {
    const std::int32_t group = index.groups[index.other[i]];
    beside[index.groups[index.text[i]]].push_back(group);
    candidates.emplace(group, index.other[i]);
  }
  for (auto& [group, right] : beside) {
    std::ranges::sort(right);
    right.erase(std::ranges::unique(right).begin(), right.end());
  }
  for (const auto& [group, text] : candidates) judge.candidates.push_back(text);
  for (std::size_t text : index.text) {
    judge.queries.push_back(text);
    judge.right.push_back(beside[index.groups[text]]);
  }
  return judge;
}

std::vector<float> picked_rows(std::span<const float> rows, std::span<const std::size_t> which,
                               std::size_t dims) {
  std::vector<float> out(which.size() * dims);
  for (std::size_t i = 0; i < which.size(); ++i)
    std::ranges::copy(rows.subspan(which[i] * dims, dims),
                      out.begin() + static_cast<std::ptrdiff_t>(i * dims));
  return out;
}

// Cosines [count, candidates].
void multiply(std::int64_t count, std::int64_t candidates, std::int64_t dims, const float* queries,
              const float* all, float* cosines) {
  AlignedBuffer scratch(kernels::product_scratch_bytes(count, dims));
  kernels::ProductArgs args;
  args.m = count;
  args.n = candidates;
  args.k = dims;
  args.a = queries;
  args.lda = dims;
  args.b = all;
  args.ldb = dims;
  args.b_transposed = true;
  args.c = cosines;
  args.ldc = candidates;
  args.scratch = scratch.data();
  kernels::kernels().product.multiply(args);
}

std::int64_t rank_of(const Judge& judge, const PairIndex& index, std::size_t q,
                     std::span<const float> cosines) {
  const std::size_t query = judge.queries[q];
  float best = -2;
  // The query itself, or (of pairs) a text that is equal to it and not right.
  const auto counts = [&](std::size_t c) {
    const std::size_t text = judge.candidates[c];
    if (text == query) return false;
    return judge.by_label || index.groups[text] != index.groups[query] ||
           judge.is_right(q, index.groups[text]);
  };
  for (std::size_t c = 0; c < cosines.size(); ++c)
    if (counts(c) && judge.is_right(q, index.groups[judge.candidates[c]]))
      best = std::max(best, cosines[c]);
  std::int64_t rank = 1;
  for (std::size_t c = 0; c < cosines.size(); ++c)
    if (cosines[c] >= best && counts(c) && !judge.is_right(q, index.groups[judge.candidates[c]]))
      ++rank;
  return rank;
}

}  // namespace

PairIndex::PairIndex(const PairSet& pairs) {
  std::unordered_map<std::string_view, std::size_t> at;
  std::unordered_map<std::string, std::int32_t> group_of;
  const auto add = [&](const std::string& string) {
    const auto [found, fresh] = at.emplace(string, texts.size());
    if (fresh) {
      texts.push_back(string);
      groups.push_back(
          group_of.emplace(normalized_text(string), static_cast<std::int32_t>(group_of.size()))
              .first->second);
    }
    return found->second;
  };
  for (const std::string& string : pairs.texts) text.push_back(add(string));
  for (const std::string& string : pairs.others) other.push_back(add(string));
  for (const std::string& string : pairs.negatives) negative.push_back(add(string));
  for (std::size_t i = 0; i < pairs.labels.size(); ++i) groups[text[i]] = pairs.labels[i];
}

std::vector<float> normalized_rows(std::vector<float> rows, std::int64_t dims) {
  for (std::size_t row = 0; row < rows.size(); row += static_cast<std::size_t>(dims)) {
    const auto values = std::span(rows).subspan(row, static_cast<std::size_t>(dims));
    double square = 0;
    for (float v : values) square += static_cast<double>(v) * static_cast<double>(v);
    const auto factor = static_cast<float>(1 / std::sqrt(std::max(square, 1e-24)));
    for (float& v : values) v *= factor;
  }
  return rows;
}

std::vector<std::int64_t> retrieval_ranks(const PairSet& pairs, const PairIndex& index,
                                          std::span<const float> unit, std::int64_t dims,
                                          ThreadPool& pool) {
  constexpr std::int64_t kQueries = 64;  // at once: their cosines are a block of a few MB
  const Judge judge = judge_of(pairs, index);
  const auto width = static_cast<std::size_t>(dims);
  const auto queries = picked_rows(unit, judge.queries, width);
  const auto candidates = picked_rows(unit, judge.candidates, width);
  const auto n = static_cast<std::int64_t>(judge.queries.size()),
             m = static_cast<std::int64_t>(judge.candidates.size());
  std::vector<std::int64_t> ranks(judge.queries.size());
  pool.parallel_for((n + kQueries - 1) / kQueries, [&](std::int64_t block) {
    const std::int64_t first = block * kQueries, count = std::min(kQueries, n - first);
    std::vector<float> cosines(static_cast<std::size_t>(count * m));
    multiply(count, m, dims, queries.data() + first * dims, candidates.data(), cosines.data());
    for (std::int64_t q = 0; q < count; ++q)
      ranks[static_cast<std::size_t>(first + q)] = rank_of(
          judge, index, static_cast<std::size_t>(first + q),
          std::span(cosines).subspan(static_cast<std::size_t>(q * m), static_cast<std::size_t>(m)));
  });
  return ranks;
}

std::vector<float> pair_cosines(const PairIndex& index, std::span<const float> unit,
                                std::int64_t dims) {
  const auto width = static_cast<std::size_t>(dims);
  std::vector<float> cosines;
  for (std::size_t i = 0; i < index.text.size(); ++i) {
    const auto a = unit.subspan(index.text[i] * width, width);
    const auto b = unit.subspan(index.other[i] * width, width);
    double sum = 0;
    for (std::size_t c = 0; c < width; ++c)
      sum += static_cast<double>(a[c]) * static_cast<double>(b[c]);
    cosines.push_back(static_cast<float>(sum));
  }
  return cosines;
}

std::int64_t PairEvaluation::rows() const {
  return static_cast<std::int64_t>(retrieval ? ranks.size() : cosines.size());
}

RowStatistic PairEvaluation::statistic() const {
  if (retrieval)
    return [this](std::span<const std::int64_t> rows) { return mean_reciprocal_rank(ranks, rows); };
  return
      [this](std::span<const std::int64_t> rows) { return tack::spearman(cosines, scores, rows); };
}

Json PairEvaluation::to_json() const {
  Json json = {{"latency_us", latency_json(latency_us)},
               {"texts_per_second", texts_per_second},
               {"truncated_texts", truncated_texts},
               {"rows", rows()}};
  if (retrieval) {
    json["recall_1"] = interval(retrieval->recall_1);
    json["recall_10"] = interval(retrieval->recall_10);
    json["mrr"] = interval(retrieval->mrr);
  } else {
    json["spearman"] = interval(*spearman);
  }
  return json;
}

Result<PairEvaluation> evaluate_pairs(TextEncoder& encoder, const PairSet& pairs,
                                      const EvaluateOptions& options) {
  constexpr std::array<std::string_view, 1> kEmbedding = {"embedding"};
  const std::int64_t dims = encoder.output_dim("embedding");
  if (dims == 0)
    return fail(ErrorCode::kUsage, "{}: the model makes no embeddings", encoder.model().name());
  const PairIndex index(pairs);
  PairEvaluation result;
  result.kind = pairs.kind;
  std::vector<float> vectors;
  const auto answer = [&](std::size_t first, std::size_t count) {
    return encoder.run(std::span(index.texts).subspan(first, count), kEmbedding);
  };
  const auto take = [&](std::size_t, const Encoded& encoded) {
    vectors.insert(vectors.end(), encoded.outputs[0].begin(), encoded.outputs[0].end());
    for (const EncodedText& info : encoded.info) result.truncated_texts += info.truncated > 0;
  };
  TACK_RETURN_IF_ERROR(run_timed(index.texts.size(), 1024, options, answer, take, result));
  const auto unit = normalized_rows(std::move(vectors), dims);
  if (pairs.kind == PairKind::kScored) {
    result.cosines = pair_cosines(index, unit, dims);
    result.scores = pairs.scores;
    result.spearman =
        bootstrap(result.rows(), options.metrics, [&](std::span<const std::int64_t> rows) {
          return spearman(result.cosines, result.scores, rows);
        });
  } else {
    ThreadPool pool(encoder.threads());
    result.ranks = retrieval_ranks(pairs, index, unit, dims, pool);
    if (result.ranks.empty())
      return fail("{}: no label has two texts: nothing can be found", pairs.name);
    result.retrieval = compute_retrieval_metrics(result.ranks, options.metrics);
  }
  return result;
}

Result<PairEvaluation> evaluate_pairs(const std::filesystem::path& path, const PairSet& pairs,
                                      int threads) {
  TACK_TRY(const auto model, Model::open(path));
  TACK_TRY(auto encoder, TextEncoder::create(model, {.threads = threads}));
  return evaluate_pairs(*encoder, pairs);
}

}  // namespace tack
