#include "compress/allocation.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tack {
namespace {

constexpr int kBisections = 100;
constexpr int kMostChanges = 10'000;

class Allocation {
 public:
  Allocation(std::span<const TensorChoices> tensors, std::uint64_t budget)
      : tensors_(tensors), budget_(budget) {}

  // Of each tensor what costs least when a byte costs `lambda`; bytes of all.
  std::uint64_t choose(double lambda) {
    chosen_.clear();
    bytes_ = 0;
    for (const TensorChoices& tensor : tensors_) {
      std::size_t best = 0;
      double least = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < tensor.types.size(); ++i) {
        const TypeChoice& type = tensor.types[i];
        const double cost = type.loss + lambda * static_cast<double>(type.bytes);
        if (cost < least || (cost == least && type.bytes < tensor.types[best].bytes)) {
          least = cost;
          best = i;
        }
      }
      chosen_.push_back(best);
      bytes_ += tensor.types[best].bytes;
    }
    return bytes_;
  }

  void choose_smallest() {
    chosen_.clear();
    bytes_ = 0;
    for (const TensorChoices& tensor : tensors_) {
      const auto smaller = [](const TypeChoice& a, const TypeChoice& b) {
        return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
      };
      const auto best = std::ranges::min_element(tensor.types, smaller);
      chosen_.push_back(static_cast<std::size_t>(best - tensor.types.begin()));
      bytes_ += best->bytes;
    }
  }

  // The smallest price of a byte at which all fits.
  void bisect() {
    if (choose(0) <= budget_) return;
    double low = 1e-40, high = 1e20;
    for (int i = 0; i < kBisections; ++i) {
      const double middle = std::sqrt(low * high);
      (choose(middle) <= budget_ ? high : low) = middle;
    }
    if (choose(high) > budget_) choose_smallest();
  }

  // Makes the single change that gains most for its bytes, or any that costs none.
  bool change_one() {
    double best = 0;
    std::size_t which = 0, to = 0;
    for (std::size_t t = 0; t < tensors_.size(); ++t)
      for (std::size_t i = 0; i < tensors_[t].types.size(); ++i) {
        const double gain = now(t).loss - tensors_[t].types[i].loss;
        const std::int64_t more = growth(t, i);
        if (gain <= 0 || !fits(more)) continue;
        const double rate = gain / static_cast<double>(std::max<std::int64_t>(more, 1));
        if (rate > best) best = rate, which = t, to = i;
      }
    if (best <= 0) return false;
    change(which, to);
    return true;
  }

  // Makes the change of two tensors that gains most.
  bool change_two() {
    double best = 0;
    std::size_t a = 0, b = 0, to_a = 0, to_b = 0;
    for (std::size_t s = 0; s < tensors_.size(); ++s)
      for (std::size_t i = 0; i < tensors_[s].types.size(); ++i) {
        if (growth(s, i) >= 0) continue;  // s gives, t takes
        const double lost = tensors_[s].types[i].loss - now(s).loss;
        for (std::size_t t = 0; t < tensors_.size(); ++t)
          for (std::size_t j = 0; t != s && j < tensors_[t].types.size(); ++j) {
            const double gain = now(t).loss - tensors_[t].types[j].loss - lost;
            if (gain <= best || !fits(growth(s, i) + growth(t, j))) continue;
            best = gain, a = s, to_a = i, b = t, to_b = j;
          }
      }
    // A gain that rounding may have made is none.
    if (best <= 1e-12 * total_loss()) return false;
    change(a, to_a);
    change(b, to_b);
    return true;
  }

  std::uint64_t bytes() const { return bytes_; }
  std::vector<std::size_t> take() { return std::move(chosen_); }

 private:
  const TypeChoice& now(std::size_t t) const { return tensors_[t].types[chosen_[t]]; }
  std::int64_t growth(std::size_t t, std::size_t i) const {
    return static_cast<std::int64_t>(tensors_[t].types[i].bytes) -
           static_cast<std::int64_t>(now(t).bytes);
  }
  bool fits(std::int64_t more) const {
    return static_cast<std::int64_t>(bytes_) + more <= static_cast<std::int64_t>(budget_);
  }
  void change(std::size_t t, std::size_t to) {
    bytes_ = static_cast<std::uint64_t>(static_cast<std::int64_t>(bytes_) + growth(t, to));
    chosen_[t] = to;
  }
  double total_loss() const {
    double loss = 0;
    for (std::size_t t = 0; t < tensors_.size(); ++t) loss += now(t).loss;
    return loss;
  }

  const std::span<const TensorChoices> tensors_;
  const std::uint64_t budget_;
  std::vector<std::size_t> chosen_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t least_bytes(std::span<const TensorChoices> tensors) {
  std::uint64_t bytes = 0;
  for (const TensorChoices& tensor : tensors)
    bytes += std::ranges::min(tensor.types, {}, &TypeChoice::bytes).bytes;
  return bytes;
}

std::optional<std::vector<std::size_t>> allocate(std::span<const TensorChoices> tensors,
                                                 std::uint64_t budget) {
  if (least_bytes(tensors) > budget) return std::nullopt;
  Allocation allocation(tensors, budget);
  allocation.bisect();
  for (int i = 0; i < kMostChanges && (allocation.change_one() || allocation.change_two()); ++i) {
  }
  return allocation.take();
}

}  // namespace tack
