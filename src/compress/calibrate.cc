#include "compress/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>

#include "base/checked.h"
#include "base/interrupt.h"
#include "base/range.h"
#include "compress/probe.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kColumns = 16;  // a worker's part is a multiple of them

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Adds the squares of its columns to sums [cols]: a column's in the order of the rows, whoever
// sums it.
void add_squares(const LinearInputs& inputs, std::span<float> sums) {
  const Range range = part_of(inputs.cols, inputs.worker, inputs.workers, kColumns);
  if (range.size() == 0) return;
  std::vector<float> call(at(range.size()), 0.0F);
  for (std::int64_t r = 0; r < inputs.rows; ++r) {
    const float* const x = inputs.x + r * inputs.cols + range.begin;
    for (std::size_t k = 0; k < call.size(); ++k) call[k] += x[k] * x[k];
  }
  for (std::size_t k = 0; k < call.size(); ++k) sums[at(range.begin) + k] += call[k];
}

// Adds rows [i, ...] of x x^T, the part right of the diagonal; rows are dealt out in turn, since
// the first are longest.
void add_products(const LinearInputs& inputs, std::span<float> sums) {
  const std::int64_t n = inputs.cols;
  std::vector<float> call(at(n));
  for (std::int64_t i = inputs.worker; i < n; i += inputs.workers) {
    std::fill(call.begin() + i, call.end(), 0.0F);
    std::int64_t r = 0;
    for (; r + 4 <= inputs.rows; r += 4) {
      const float *const a = inputs.x + r * n, *const b = a + n, *const c = b + n, *const d = c + n;
      const float fa = a[i], fb = b[i], fc = c[i], fd = d[i];
      for (std::int64_t j = i; j < n; ++j)
        call[at(j)] += (fa * a[j] + fb * b[j]) + (fc * c[j] + fd * d[j]);
    }
    for (; r < inputs.rows; ++r) {
      const float* const x = inputs.x + r * n;
      const float factor = x[i];
      for (std::int64_t j = i; j < n; ++j) call[at(j)] += factor * x[j];
    }
    float* const to = sums.data() + i * n;
    for (std::int64_t j = i; j < n; ++j) to[j] += call[at(j)];
  }
}

Status check_numbers(const ImportanceMatrix& matrix) {
  for (const auto& [name, column] : matrix.tensors)
    if (!std::ranges::all_of(column.squares, [](float x) { return std::isfinite(x); }))
      return fail("what '{}' reads is no number: the model's weights are broken", name);
  return {};
}

// Runs the chunks from `next` on; `after` is told what comes next.
Status run_chunks(const std::shared_ptr<const Model>& model, const CalibrationTokens& tokens,
                  std::size_t next, const CalibrationOptions& options,
                  const std::function<void(const LinearInputs&)>& observe,
                  const std::function<Status(std::size_t next)>& after) {
  const std::span all(tokens.chunks);
  const std::int64_t total = tokens.tokens();
  std::int64_t done = 0;
  const auto count = [&](std::span<const std::vector<TokenId>> chunks) {
    for (const auto& chunk : chunks) done += static_cast<std::int64_t>(chunk.size());
  };
  count(all.first(next));
  return run_probe(model, {.threads = options.threads, .observe = observe}, all.subspan(next),
                   [&](std::size_t chunks, std::span<const float>) -> Status {
                     count(all.subspan(next, chunks));
                     next += chunks;
                     TACK_RETURN_IF_ERROR(after(next));
                     if (options.progress) options.progress(done, total);
                     return {};
                   });
}

}  // namespace

Result<ImportanceMatrix> measure_importance(const std::shared_ptr<const Model>& model,
                                            const CalibrationTokens& tokens,
                                            const CalibrationOptions& options,
                                            ImportanceMatrix so_far, std::size_t next) {
  ImportanceMatrix matrix = std::move(so_far);
  for (const graph::Node& node : model->graph().nodes())
    if (const auto* op = std::get_if<graph::Linear>(&node.op)) {
      const graph::Weight& weight = model->graph().weight(op->weight);
      matrix.tensors[weight.name].squares.resize(at(weight.shape.back()), 0.0F);
    }
  const auto observe = [&](const LinearInputs& inputs) {
    // Entries are all there; a worker writes its columns, and one of them the rows.
    for (const std::string_view name : inputs.weights) {
      ImportanceMatrix::Column& column = matrix.tensors.find(name)->second;
      add_squares(inputs, column.squares);
      if (inputs.worker == 0) column.rows += inputs.rows;
    }
  };
  auto kept = Clock::now();
  const auto after = [&](std::size_t then) -> Status {
    matrix.chunks = static_cast<std::int64_t>(then);
    const bool stop = interrupted();
    const std::chrono::duration<double> since = Clock::now() - kept;
    if (options.keep && (stop || since.count() > options.keep_seconds)) {
      TACK_RETURN_IF_ERROR(check_numbers(matrix));
      TACK_RETURN_IF_ERROR(options.keep(matrix, then));
      kept = Clock::now();
    }
    if (stop) return fail(ErrorCode::kInterrupted, "interrupted");
    return {};
  };
  TACK_RETURN_IF_ERROR(run_chunks(model, tokens, next, options, observe, after));
  TACK_RETURN_IF_ERROR(check_numbers(matrix));
  matrix.chunks = static_cast<std::int64_t>(tokens.chunks.size());
  matrix.chunk_size = tokens.chunk_size;
  return matrix;
}

Result<std::vector<InputMoments>> measure_second_moments(
    const std::shared_ptr<const Model>& model, const CalibrationTokens& tokens,
    const std::function<bool(std::string_view weight)>& wanted, const CalibrationOptions& options) {
  std::vector<InputMoments> moments;
  std::map<std::string, std::size_t, std::less<>> entry;  // by weight
  for (const SharedInput& input : shared_inputs(model->graph())) {
    InputMoments moment{.weights = {}, .size = input.cols, .sums = {}};
    for (const std::string_view weight : input.weights)
      if (wanted(weight)) {
        entry[std::string(weight)] = moments.size();
        moment.weights.emplace_back(weight);
      }
    if (moment.weights.empty()) continue;
    moment.sums.resize(at(moment.size * moment.size));
    moments.push_back(std::move(moment));
  }
  const auto observe = [&](const LinearInputs& inputs) {
    for (const std::string_view name : inputs.weights)
      if (const auto found = entry.find(name); found != entry.end()) {
        InputMoments& into = moments[found->second];
        add_products(inputs, into.sums);
        if (inputs.worker == 0) into.rows += inputs.rows;
        return;
      }
  };
  TACK_RETURN_IF_ERROR(run_chunks(model, tokens, 0, options, observe, [](std::size_t) -> Status {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    return {};
  }));
  for (InputMoments& entry_of : moments)
    for (std::int64_t i = 0; i < entry_of.size; ++i)
      for (std::int64_t j = 0; j < i; ++j)
        entry_of.sums[at(i * entry_of.size + j)] = entry_of.sums[at(j * entry_of.size + i)];
  return moments;
}

}  // namespace tack
