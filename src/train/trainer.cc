#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <system_error>

#include "base/interrupt.h"
#include "base/progress.h"
#include "base/random.h"
#include "train/checkpoint.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Run {
 public:
  Run(ParameterSet& parameters, Curriculum& curriculum, const TrainerOptions& options,
      ThreadPool& pool)
      : parameters_(parameters), curriculum_(curriculum), options_(options), pool_(pool) {
    const auto n = static_cast<std::int64_t>(curriculum.size());
    steps_per_epoch_ = (n + options.batch - 1) / options.batch;
    total_steps_ = options.steps > 0 ? options.steps : steps_per_epoch_ * options.epochs;
    epochs_ = (total_steps_ + steps_per_epoch_ - 1) / steps_per_epoch_;
    curriculum.begin_epoch(0);
    for (std::size_t i = 0; i < curriculum.size(); ++i)
      for (std::size_t s = 0; s < curriculum.sequences(i); ++s) {
        const auto length = static_cast<std::int64_t>(curriculum.sequence(i, s).ids.size());
        longest_ = std::max(longest_, length);
        tokens_per_epoch_ += length;
      }
    values_size_ = parameters.values().size();
    if (options.average > 0)
      average_.assign(parameters.values().begin(), parameters.values().end());
  }

  Result<TrainingResult> run(const graph::Graph& graph, std::span<const graph::ValueId> outputs) {
    longest_ = std::max(longest_, longest_validation_);
    joint_output_ = outputs.front();
    TACK_TRY(tape_, Tape::create(graph, outputs,
                                 options_.weights == nullptr ? parameters_.tape_parameters()
                                                             : options_.weights->tape_parameters(),
                                 {.max_tokens = std::max(options_.micro_tokens, longest_),
                                  .max_sequences = most_sequences(),
                                  .max_length = longest_,
                                  .bf16 = options_.bf16,
                                  .recompute = options_.recompute},
                                 pool_));
    result_.memory_bytes =
        tape_->bytes() + parameters_.bytes() + (average_.size() + best_.size()) * sizeof(float);
    TACK_RETURN_IF_ERROR(resume());
    if (options_.validates_start && !result_.resumed) TACK_RETURN_IF_ERROR(validate_start());
    last_saved_ = Clock::now();
    Progress progress(options_.label, tokens_per_epoch_ * total_steps_ / steps_per_epoch_,
                      "tokens");
    progress.skip(result_.tokens);
    while (result_.steps < total_steps_ && !result_.stopped_early) {
      TACK_RETURN_IF_ERROR(train_step(progress));
      if (result_.steps % steps_per_epoch_ == 0 || result_.steps == total_steps_) {
        TACK_RETURN_IF_ERROR(end_epoch());
        const EpochRecord& last = result_.epochs.back();
        progress.stage(fmt::format("epoch {} of {}: loss {:.3f}{}", last.epoch, epochs_, last.loss,
                                   curriculum_.has_validation()
                                       ? ", " + curriculum_.validation_text(last.validation)
                                       : ""));
      }
      if (interrupted()) {
        TACK_RETURN_IF_ERROR(save());
        return fail(ErrorCode::kInterrupted, "interrupted{}",
                    options_.checkpoint.empty() ? "" : ": the same command goes on from here");
      }
      if (!options_.checkpoint.empty() && seconds_since(last_saved_) >= options_.checkpoint_seconds)
        TACK_RETURN_IF_ERROR(save());
    }
    (void)save();  // for who is interrupted before the result is a file; an older one does too
    if (!best_.empty())
      std::ranges::copy(best_, parameters_.values().begin());
    else if (!average_.empty())
      std::ranges::copy(average_, parameters_.values().begin());
    materialise(total_steps_);
    return std::move(result_);
  }

  void reserve_length(std::int64_t longest) { longest_validation_ = longest; }

 private:
  // The examples of an epoch in its order.
  const std::vector<std::size_t>& order(std::int64_t epoch) {
    if (order_epoch_ != epoch) {
      order_.resize(curriculum_.size());
      std::iota(order_.begin(), order_.end(), std::size_t{0});
      Random random(options_.seed * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(epoch));
      random.shuffle(std::span(order_));
      order_epoch_ = epoch;
      curriculum_.begin_epoch(epoch);
    }
    return order_;
  }

  Status train_step(Progress& progress) {
    const auto start = Clock::now();
    const std::int64_t step = result_.steps + 1;
    const std::int64_t epoch = result_.steps / steps_per_epoch_;
    const auto& all = order(epoch);
    const auto begin =
        static_cast<std::size_t>((result_.steps % steps_per_epoch_) * options_.batch);
    const auto batch = std::span(all).subspan(
        begin, std::min(static_cast<std::size_t>(options_.batch), all.size() - begin));
    std::int64_t tokens = 0;
    materialise(result_.steps);
    const double loss =
        curriculum_.joint() ? joint_batch(batch, step, tokens) : batch_of(batch, step, tokens);
    if (options_.weights != nullptr) options_.weights->pull_back();
    const double rate = scheduled_rate(
        options_.schedule, options_.rate, step,
        static_cast<std::int64_t>(options_.warmup * static_cast<double>(total_steps_)),
        total_steps_);
    const double norm = parameters_.adamw(options_.adamw, static_cast<float>(rate), step, pool_);
    if (!std::isfinite(loss) || !std::isfinite(norm))
      return fail(
          "training: the loss is not a number at step {} (epoch {}): try a smaller learning rate "
          "than {:g}{}",
          step, epoch + 1, options_.rate,
          options_.checkpoint.empty()
              ? ""
              : "; the last checkpoint is kept in " + options_.checkpoint.string());
    if (!average_.empty()) update_average();
    result_.steps = step;
    result_.tokens += tokens;
    result_.losses.push_back(loss);
    result_.step_seconds.push_back(seconds_since(start));
    result_.seconds += result_.step_seconds.back();
    progress.advance(tokens);
    return {};
  }

  // The weights that the tape reads, from the trained numbers as they are now.
  void materialise(std::int64_t step) {
    if (options_.weights != nullptr) options_.weights->materialise(step, total_steps_);
  }

  // Forward and backward of examples one after another, as many at once as the tape takes. Returns
  // the mean loss; counts tokens.
  double batch_of(std::span<const std::size_t> batch, std::int64_t step, std::int64_t& tokens) {
    const double scale = 1 / static_cast<double>(batch.size());
    double loss = 0;
    std::uint64_t part = 0;
    for (std::size_t from = 0; from < batch.size(); ++part) {
      packed_.clear();
      std::size_t to = from;
      do {
        packed_.add(curriculum_.tokens(batch[to++]));
      } while (to < batch.size() && fits(curriculum_.tokens(batch[to])));
      forward(step, part);
      loss += curriculum_.loss(*tape_, batch.subspan(from, to - from), scale);
      tape_->backward();
      tokens += packed_.tokens();
      from = to;
    }
    return loss;
  }

  // The same where the loss reads all sequences of the batch: a forward of every part, the loss and
  // its gradient, then every part forward once more, with the same dropout, and backward (Gao et
  // al. 2021, arXiv:2101.06983: memory is that of one part, whatever the batch). The last part is
  // still on the tape, so a batch of one part costs nothing more.
  double joint_batch(std::span<const std::size_t> batch, std::int64_t step, std::int64_t& tokens) {
    std::vector<ExampleTokens> sequences;
    for (std::size_t example : batch)
      for (std::size_t s = 0; s < curriculum_.sequences(example); ++s)
        sequences.push_back(curriculum_.sequence(example, s));
    std::vector<std::size_t> cuts = {0};  // part p is sequences [cuts[p], cuts[p + 1])
    joint_values_.clear();
    while (cuts.back() < sequences.size()) {
      cuts.push_back(pack(sequences, cuts.back()));
      forward(step, cuts.size() - 2);
      const auto values = tape_->value(joint_output_);
      joint_values_.insert(joint_values_.end(), values.begin(), values.end());
      tokens += packed_.tokens();
    }
    joint_gradient_.assign(joint_values_.size(), 0.0F);
    const double loss = curriculum_.joint_loss(
        joint_values_, batch, 1 / static_cast<double>(batch.size()), joint_gradient_);
    const std::size_t width = joint_values_.size() / sequences.size();
    for (std::size_t p = cuts.size() - 1; p-- > 0;) {
      if (p + 2 < cuts.size()) {
        pack(sequences, cuts[p]);
        forward(step, p);
      }
      std::ranges::copy(
          std::span(joint_gradient_).subspan(cuts[p] * width, (cuts[p + 1] - cuts[p]) * width),
          tape_->gradient(joint_output_).begin());
      tape_->backward();
    }
    return loss;
  }

  // As many sequences from `from` on as the tape takes; returns where the next part begins.
  std::size_t pack(std::span<const ExampleTokens> sequences, std::size_t from) {
    packed_.clear();
    std::size_t to = from;
    do {
      packed_.add(sequences[to++]);
    } while (to < sequences.size() && fits(sequences[to]) &&
             static_cast<std::int64_t>(to - from) < most_sequences());
    return to;
  }

  void forward(std::int64_t step, std::uint64_t part) {
    tape_->forward(packed_.view(), static_cast<float>(options_.dropout),
                   (options_.seed << 40U) + (static_cast<std::uint64_t>(step) << 8U) + part);
  }

  std::int64_t most_sequences() const { return std::max<std::int64_t>(options_.batch, 128); }

  bool fits(const ExampleTokens& tokens) const {
    return packed_.tokens() + static_cast<std::int64_t>(tokens.ids.size()) <= options_.micro_tokens;
  }

  void update_average() {
    const auto rest = static_cast<float>(1 - options_.average);
    const std::span<const float> values = parameters_.values();
    constexpr std::int64_t kChunk = 1 << 14;
    const auto n = static_cast<std::int64_t>(average_.size());
    pool_.parallel_for((n + kChunk - 1) / kChunk, [&](std::int64_t c) {
      for (std::int64_t i = c * kChunk; i < std::min(n, (c + 1) * kChunk); ++i) {
        const auto u = static_cast<std::size_t>(i);
        average_[u] += rest * (values[u] - average_[u]);
      }
    });
  }

  Status end_epoch() {
    EpochRecord record{.epoch = static_cast<std::int64_t>(result_.epochs.size()) + 1,
                       .step = result_.steps};
    const std::int64_t before = result_.epochs.empty() ? 0 : result_.epochs.back().step;
    const auto recent = std::span(result_.losses).subspan(static_cast<std::size_t>(before));
    for (double loss : recent) record.loss += loss / static_cast<double>(recent.size());
    record.validation = std::numeric_limits<double>::quiet_NaN();
    if (curriculum_.has_validation()) {
      TACK_TRY(record.validation, validate(record.epoch));
      result_.stopped_early = options_.patience > 0 &&
                              record.epoch - result_.best_epoch >= options_.patience &&
                              record.epoch < epochs_;
    }
    result_.epochs.push_back(record);
    return {};
  }

  Status validate_start() {
    TACK_TRY(result_.start_validation, validate(0));
    return {};
  }

  // Of the weights as they are, or of their average; keeps them when they are the best so far.
  Result<double> validate(std::int64_t epoch) {
    if (!average_.empty()) std::ranges::swap_ranges(average_, parameters_.values());
    materialise(total_steps_);
    TACK_TRY(const double value, curriculum_.validate([&](auto texts, const auto& each) {
      return evaluate(texts, each);
    }));
    if (best_.empty() || value > result_.best_validation) {
      result_.best_epoch = epoch;
      result_.best_validation = value;
      best_.assign(parameters_.values().begin(), parameters_.values().end());
    }
    if (!average_.empty()) std::ranges::swap_ranges(average_, parameters_.values());
    return value;
  }

  Status evaluate(std::span<const ExampleTokens> texts,
                  const std::function<void(std::size_t, std::size_t, const Tape&)>& each) {
    for (std::size_t from = 0; from < texts.size();) {
      const std::size_t to = pack(texts, from);
      tape_->forward(packed_.view());
      each(from, to - from, *tape_);
      from = to;
    }
    return {};
  }

  Checkpoint checkpoint() {
    Checkpoint c{.description = options_.description, .state = Json::object(), .arrays = {}};
    c.arrays = {{"values", parameters_.values()},
                {"first_moments", parameters_.first_moments()},
                {"second_moments", parameters_.second_moments()}};
    if (!average_.empty()) c.arrays.push_back({"average", average_});
    if (curriculum_.has_validation()) {
      best_.resize(values_size_);
      c.arrays.push_back({"best", best_});
    }
    return c;
  }

  Status save() {
    if (options_.checkpoint.empty()) return {};
    const bool had_best = !best_.empty();
    Checkpoint c = checkpoint();
    Json epochs = Json::array();
    for (const EpochRecord& record : result_.epochs)
      epochs.push_back({record.epoch, record.step, record.loss,
                        std::isnan(record.validation) ? Json() : Json(record.validation)});
    c.state = {{"steps", result_.steps},
               {"tokens", result_.tokens},
               {"losses", result_.losses},
               {"epochs", epochs},
               {"best_epoch", result_.best_epoch},
               {"best_validation", result_.best_validation},
               {"start_validation", result_.start_validation},
               {"stopped_early", result_.stopped_early}};
    const Status written = write_checkpoint(options_.checkpoint, c);
    if (!had_best) best_.clear();
    last_saved_ = Clock::now();
    return written;
  }

  Status resume() {
    std::error_code ignored;
    if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint, ignored))
      return {};
    Checkpoint c = checkpoint();
    TACK_RETURN_IF_ERROR(read_checkpoint(options_.checkpoint, c));
    try {
      result_.steps = c.state.at("steps").get<std::int64_t>();
      result_.tokens = c.state.at("tokens").get<std::int64_t>();
      result_.losses = c.state.at("losses").get<std::vector<double>>();
      result_.best_epoch = c.state.at("best_epoch").get<std::int64_t>();
      result_.best_validation = c.state.at("best_validation").get<double>();
      result_.start_validation = c.state.value("start_validation", 0.0);
      result_.stopped_early = c.state.at("stopped_early").get<bool>();
      for (const Json& e : c.state.at("epochs"))
        result_.epochs.push_back(
            {e.at(0).get<std::int64_t>(), e.at(1).get<std::int64_t>(), e.at(2).get<double>(),
             e.at(3).is_null() ? std::numeric_limits<double>::quiet_NaN() : e.at(3).get<double>()});
    } catch (const Json::exception&) {
      return fail("{}: the checkpoint's state is damaged; remove the file to start again",
                  options_.checkpoint.string());
    }
    if (result_.steps < 0 || result_.steps > total_steps_ ||
        result_.losses.size() != static_cast<std::size_t>(result_.steps))
      return fail("{}: the checkpoint's state is damaged; remove the file to start again",
                  options_.checkpoint.string());
    if (result_.best_epoch == 0 && !options_.validates_start) best_.clear();
    result_.resumed = true;
    return {};
  }

  ParameterSet& parameters_;
  Curriculum& curriculum_;
  const TrainerOptions& options_;
  ThreadPool& pool_;
  std::unique_ptr<Tape> tape_;
  PackedExamples packed_;
  std::vector<std::size_t> order_;
  std::int64_t order_epoch_ = -1;
  std::int64_t steps_per_epoch_ = 0, total_steps_ = 0, epochs_ = 0;
  std::int64_t longest_ = 1, longest_validation_ = 1, tokens_per_epoch_ = 0;
  std::size_t values_size_ = 0;
  std::vector<float> average_, best_;
  graph::ValueId joint_output_;
  std::vector<float> joint_values_, joint_gradient_;  // of a joint batch
  Clock::time_point last_saved_;
  TrainingResult result_;
};

}  // namespace

std::string Curriculum::validation_text(double value) const {
  return fmt::format("validation {:.2f} %", 100 * value);
}

Result<TrainingResult> train(const graph::Graph& graph, std::span<const graph::ValueId> outputs,
                             ParameterSet& parameters, Curriculum& curriculum,
                             const TrainerOptions& options, ThreadPool& pool) {
  if (curriculum.size() == 0) return fail(ErrorCode::kUsage, "training: there are no examples");
  Run run(parameters, curriculum, options, pool);
  run.reserve_length(curriculum.longest_validation());
  return run.run(graph, outputs);
}

}  // namespace tack
