#include "train/losses.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// softmax(x / temperature), and the log of its normaliser.
void softmax(std::span<const float> x, double temperature, std::vector<double>& p) {
  p.resize(x.size());
  double most = -1e300, sum = 0;
  for (float v : x) most = std::max(most, static_cast<double>(v));
  for (std::size_t i = 0; i < x.size(); ++i)
    sum += p[i] = std::exp((static_cast<double>(x[i]) - most) / temperature);
  for (double& v : p) v /= sum;
}

double safe_log(double p) {
  return std::log(std::max(p, 1e-300));
}

double kl(const std::vector<double>& teacher, const std::vector<double>& student) {
  double sum = 0;
  for (std::size_t i = 0; i < teacher.size(); ++i)
    if (teacher[i] > 0) sum += teacher[i] * (safe_log(teacher[i]) - safe_log(student[i]));
  return sum;
}

void add(float& gradient, double by) {
  gradient = static_cast<float>(static_cast<double>(gradient) + by);
}

}  // namespace

double cross_entropy(std::span<const float> logits, std::span<const std::int32_t> labels,
                     std::int64_t classes, double smoothing, double scale,
                     std::span<float> gradient) {
  std::vector<double> p;
  double loss = 0;
  for (std::size_t r = 0; r < labels.size(); ++r) {
    if (labels[r] < 0) continue;
    const std::size_t row = r * at(classes);
    softmax(logits.subspan(row, at(classes)), 1, p);
    const double floor = smoothing / static_cast<double>(classes);
    for (std::size_t c = 0; c < at(classes); ++c) {
      const double target =
          floor + (static_cast<std::int32_t>(c) == labels[r] ? 1 - smoothing : 0.0);
      if (target > 0) loss -= target * safe_log(p[c]);
      add(gradient[row + c], scale * (p[c] - target));
    }
  }
  return scale * loss;
}

double cross_entropy_any(std::span<const float> logits, std::span<const std::int32_t> targets,
                         double smoothing, double scale, std::span<float> gradient) {
  std::vector<double> p;
  softmax(logits, 1, p);
  double any = 0;
  for (std::int32_t t : targets) any += p[at(t)];
  double loss = -(1 - smoothing) * safe_log(any);
  const double floor = smoothing / static_cast<double>(logits.size());
  for (std::size_t c = 0; c < p.size(); ++c) {
    if (floor > 0) loss -= floor * safe_log(p[c]);
    add(gradient[c], scale * (p[c] - floor));
  }
  for (std::int32_t t : targets)
    add(gradient[at(t)], -scale * (1 - smoothing) * p[at(t)] / std::max(any, 1e-300));
  return scale * loss;
}

double binary_cross_entropy(std::span<const float> logits, std::span<const float> targets,
                            double scale, std::span<float> gradient) {
  double loss = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto x = static_cast<double>(logits[i]), t = static_cast<double>(targets[i]);
    // log(1 + e^x) - t x, without overflow.
    loss += std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
    add(gradient[i], scale * (1 / (1 + std::exp(-x)) - t));
  }
  return scale * loss;
}

double distillation(std::span<const float> student, std::span<const float> teacher,
                    std::int64_t classes, double temperature, double scale,
                    std::span<float> gradient) {
  std::vector<double> p, q;
  double loss = 0;
  for (std::size_t row = 0; row < student.size(); row += at(classes)) {
    softmax(teacher.subspan(row, at(classes)), temperature, p);
    softmax(student.subspan(row, at(classes)), temperature, q);
    loss += temperature * temperature * kl(p, q);
    for (std::size_t c = 0; c < at(classes); ++c)
      add(gradient[row + c], scale * temperature * (q[c] - p[c]));
  }
  return scale * loss;
}

double mean_squared(std::span<const float> student, std::span<const float> teacher,
                    std::int64_t cols, double scale, std::span<float> gradient) {
  double loss = 0;
  const double share = 1 / static_cast<double>(cols);
  for (std::size_t i = 0; i < student.size(); ++i) {
    const double d = static_cast<double>(student[i]) - static_cast<double>(teacher[i]);
    loss += d * d * share;
    add(gradient[i], scale * 2 * d * share);
  }
  return scale * loss;
}

namespace {

struct Cosine {
  double value, left, right;  // cosine and norms
};

Cosine cosine(std::span<const float> a, std::span<const float> b) {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  const double left = std::sqrt(std::max(aa, 1e-24)), right = std::sqrt(std::max(bb, 1e-24));
  return {ab / (left * right), left, right};
}

// Adds factor * d cos(a, b) / d a.
void add_cosine_gradient(std::span<const float> a, std::span<const float> b, const Cosine& c,
                         double factor, std::span<float> gradient) {
  for (std::size_t i = 0; i < a.size(); ++i)
    add(gradient[i],
        factor *
            (static_cast<double>(b[i]) / c.right - c.value * static_cast<double>(a[i]) / c.left) /
            c.left);
}

}  // namespace

double cosine_distance(std::span<const float> student, std::span<const float> teacher,
                       std::int64_t cols, double scale, std::span<float> gradient) {
  double loss = 0;
  for (std::size_t row = 0; row < student.size(); row += at(cols)) {
    const auto a = student.subspan(row, at(cols)), b = teacher.subspan(row, at(cols));
    const Cosine c = cosine(a, b);
    loss += 1 - c.value;
    add_cosine_gradient(a, b, c, -scale, gradient.subspan(row, at(cols)));
  }
  return scale * loss;
}

double contrastive(std::span<const float> queries, std::span<const float> keys, std::int64_t cols,
                   double temperature, double scale, std::span<float> query_gradient,
                   std::span<float> key_gradient) {
  const std::size_t width = at(cols), n = queries.size() / width;
  std::vector<Cosine> cosines(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      cosines[i * n + j] =
          cosine(queries.subspan(i * width, width), keys.subspan(j * width, width));
  // Half of the loss reads rows (a query among keys), half columns (a key among queries).
  std::vector<double> slope(n * n), p(n);
  double loss = 0;
  for (const bool rows : {true, false})
    for (std::size_t i = 0; i < n; ++i) {
      double most = -1e300, sum = 0;
      const auto index = [&](std::size_t j) { return rows ? i * n + j : j * n + i; };
      for (std::size_t j = 0; j < n; ++j) most = std::max(most, cosines[index(j)].value);
      for (std::size_t j = 0; j < n; ++j)
        sum += p[j] = std::exp((cosines[index(j)].value - most) / temperature);
      loss -= 0.5 * safe_log(p[i] / sum);
      for (std::size_t j = 0; j < n; ++j)
        slope[index(j)] += 0.5 * (p[j] / sum - (i == j ? 1.0 : 0.0)) / temperature;
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const Cosine& c = cosines[i * n + j];
      const auto q = queries.subspan(i * width, width), k = keys.subspan(j * width, width);
      const double factor = scale * slope[i * n + j];
      add_cosine_gradient(q, k, c, factor, query_gradient.subspan(i * width, width));
      add_cosine_gradient(k, q, {c.value, c.right, c.left}, factor,
                          key_gradient.subspan(j * width, width));
    }
  return scale * loss;
}

double relation(std::span<const float> student, std::int64_t student_cols,
                std::span<const float> teacher, std::int64_t teacher_cols, std::int64_t heads,
                double scale, std::span<float> gradient) {
  const std::int64_t n = static_cast<std::int64_t>(student.size()) / student_cols;
  const double share = 1 / static_cast<double>(heads * n);
  std::vector<float> row(at(n));
  std::vector<double> p, q;
  const auto scores = [&](std::span<const float> x, std::int64_t cols, std::int64_t head,
                          std::int64_t i) {
    const std::int64_t dim = cols / heads;
    const double factor = 1 / std::sqrt(static_cast<double>(dim));
    for (std::int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (std::int64_t d = head * dim; d < (head + 1) * dim; ++d)
        dot += static_cast<double>(x[at(i * cols + d)]) * static_cast<double>(x[at(j * cols + d)]);
      row[at(j)] = static_cast<float>(dot * factor);
    }
  };
  double loss = 0;
  const std::int64_t dim = student_cols / heads;
  const double factor = scale * share / std::sqrt(static_cast<double>(dim));
  for (std::int64_t head = 0; head < heads; ++head)
    for (std::int64_t i = 0; i < n; ++i) {
      scores(teacher, teacher_cols, head, i);
      softmax(row, 1, p);
      scores(student, student_cols, head, i);
      softmax(row, 1, q);
      loss += share * kl(p, q);
      for (std::int64_t j = 0; j < n; ++j) {
        const double slope = factor * (q[at(j)] - p[at(j)]);
        for (std::int64_t d = head * dim; d < (head + 1) * dim; ++d) {
          const std::size_t a = at(i * student_cols + d), b = at(j * student_cols + d);
          add(gradient[a], slope * static_cast<double>(student[b]));
          add(gradient[b], slope * static_cast<double>(student[a]));
        }
      }
    }
  return scale * loss;
}

}  // namespace tack
