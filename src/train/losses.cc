#include "train/losses.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/kernels.h"

namespace tack {
namespace {

template <class Index>
std::size_t at(Index i) {
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

double binary_distillation(std::span<const float> student, std::span<const float> teacher,
                           double temperature, double scale, std::span<float> gradient) {
  // log(1 + e^x), without overflow.
  const auto softplus = [](double x) {
    return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
  };
  double loss = 0;
  for (std::size_t i = 0; i < student.size(); ++i) {
    const double x = static_cast<double>(student[i]) / temperature,
                 t = static_cast<double>(teacher[i]) / temperature, target = 1 / (1 + std::exp(-t));
    // Cross-entropy less the teacher's own entropy.
    loss += temperature * temperature * (softplus(x) - softplus(t) - target * (x - t));
    add(gradient[i], scale * temperature * (1 / (1 + std::exp(-x)) - target));
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

namespace {

// Rows of [rows, cols] of length 1; their lengths before.
struct UnitRows {
  AlignedBuffer values;
  std::vector<double> lengths;
  std::int64_t rows = 0;

  const float* data() const { return values.as<float>(); }
};

UnitRows unit_rows(std::span<const float> x, std::int64_t cols) {
  UnitRows out{.values = AlignedBuffer(x.size_bytes()), .lengths = {}, .rows = 0};
  float* to = out.values.as<float>();
  for (std::size_t row = 0; row < x.size(); row += at(cols)) {
    double square = 0;
    for (float v : x.subspan(row, at(cols)))
      square += static_cast<double>(v) * static_cast<double>(v);
    const double length = std::sqrt(std::max(square, 1e-24));
    const auto factor = static_cast<float>(1 / length);
    for (std::size_t c = row; c < row + at(cols); ++c) to[c] = x[c] * factor;
    out.lengths.push_back(length);
    ++out.rows;
  }
  return out;
}

// c [m, n] = A B with A [m, k], B [k, n], each perhaps stored transposed.
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, bool a_transposed,
              const float* b, bool b_transposed, float* c) {
  AlignedBuffer scratch(kernels::product_scratch_bytes(m, k));
  kernels::ProductArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.a = a;
  args.lda = a_transposed ? m : k;
  args.a_transposed = a_transposed;
  args.b = b;
  args.ldb = b_transposed ? k : n;
  args.b_transposed = b_transposed;
  args.c = c;
  args.ldc = n;
  args.scratch = scratch.as<std::byte>();
  kernels::kernels().product.multiply(args);
}

// `toward` [rows, cols] is the gradient of rows of length 1; what it says along a row is lost, the
// rest is divided by the row's length.
void add_unit_gradient(const UnitRows& unit, const float* toward, std::int64_t cols,
                       std::span<float> gradient) {
  for (std::int64_t r = 0; r < unit.rows; ++r) {
    const float* u = unit.data() + r * cols;
    const float* t = toward + r * cols;
    double along = 0;
    for (std::int64_t c = 0; c < cols; ++c)
      along += static_cast<double>(u[c]) * static_cast<double>(t[c]);
    const auto factor = static_cast<float>(1 / unit.lengths[at(r)]);
    const auto back = static_cast<float>(along);
    float* to = gradient.data() + r * cols;
    for (std::int64_t c = 0; c < cols; ++c) to[c] += factor * (t[c] - back * u[c]);
  }
}

}  // namespace

double contrastive(const ContrastiveArgs& args, double scale, std::span<float> query_gradient,
                   std::span<float> key_gradient) {
  const UnitRows queries = unit_rows(args.queries, args.cols),
                 keys = unit_rows(args.keys, args.cols);
  const std::int64_t n = queries.rows, m = keys.rows;
  std::vector<float> cosines(at(n * m)), slope(at(n * m));
  multiply(n, m, args.cols, queries.data(), false, keys.data(), true, cosines.data());
  std::vector<double> p;
  double loss = 0;
  // One of `count` at stride `step` from `first` is right: that at `own`.
  const auto add_way = [&](std::int64_t first, std::int64_t step, std::int64_t count,
                           std::int64_t own) {
    const auto index = [&](std::int64_t j) { return at(first + j * step); };
    const auto left_out = [&](std::int64_t j) {
      return j != own && !args.masked.empty() && args.masked[index(j)] != 0;
    };
    double most = -1e300, sum = 0;
    p.assign(at(count), 0.0);
    for (std::int64_t j = 0; j < count; ++j)
      if (!left_out(j)) most = std::max(most, static_cast<double>(cosines[index(j)]));
    for (std::int64_t j = 0; j < count; ++j)
      if (!left_out(j))
        sum += p[at(j)] =
            std::exp((static_cast<double>(cosines[index(j)]) - most) / args.temperature);
    loss -= 0.5 * safe_log(p[at(own)] / sum);
    for (std::int64_t j = 0; j < count; ++j)
      add(slope[index(j)],
          0.5 * scale * (p[at(j)] / sum - (j == own ? 1.0 : 0.0)) / args.temperature);
  };
  for (std::int64_t i = 0; i < n; ++i) add_way(i * m, 1, m, i);
  for (std::int64_t j = 0; j < n; ++j) add_way(j, m, n, j);
  std::vector<float> toward(at(std::max(n, m) * args.cols));
  multiply(n, args.cols, m, slope.data(), false, keys.data(), false, toward.data());
  add_unit_gradient(queries, toward.data(), args.cols, query_gradient);
  multiply(m, args.cols, n, slope.data(), true, queries.data(), false, toward.data());
  add_unit_gradient(keys, toward.data(), args.cols, key_gradient);
  return scale * loss;
}

double cosent(std::span<const float> left, std::span<const float> right,
              std::span<const float> scores, std::int64_t cols, double temperature, double scale,
              std::span<float> left_gradient, std::span<float> right_gradient) {
  const std::size_t n = scores.size(), width = at(cols);
  const auto row = [&](auto rows, std::size_t i) { return rows.subspan(i * width, width); };
  std::vector<Cosine> cosines;
  for (std::size_t i = 0; i < n; ++i) cosines.push_back(cosine(row(left, i), row(right, i)));
  // The largest exponent comes out of the sum; it is at least that of the 1.
  double most = 0, sum = 0;
  const auto each = [&](auto visit) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        if (scores[i] > scores[j]) visit(i, j, (cosines[j].value - cosines[i].value) / temperature);
  };
  each([&](std::size_t, std::size_t, double x) { most = std::max(most, x); });
  std::vector<double> slope(n);
  each([&](std::size_t i, std::size_t j, double x) {
    const double e = std::exp(x - most);
    sum += e;
    slope[j] += e / temperature;
    slope[i] -= e / temperature;
  });
  const double total = sum + std::exp(-most), factor = scale * static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    const Cosine& c = cosines[i];
    const double by = factor * slope[i] / total;
    add_cosine_gradient(row(left, i), row(right, i), c, by, row(left_gradient, i));
    add_cosine_gradient(row(right, i), row(left, i), {c.value, c.right, c.left}, by,
                        row(right_gradient, i));
  }
  return factor * (most + std::log(total));
}

double similarity(std::span<const float> student, std::int64_t student_cols,
                  std::span<const float> teacher, std::int64_t teacher_cols, double scale,
                  std::span<float> gradient) {
  const std::size_t width = at(student_cols), n = student.size() / width;
  if (n < 2) return 0;
  const double share = 1 / static_cast<double>(n - 1);
  double loss = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const auto a = student.subspan(i * width, width), b = student.subspan(j * width, width);
      const Cosine mine = cosine(a, b);
      const double gap =
          mine.value - cosine(teacher.subspan(i * at(teacher_cols), at(teacher_cols)),
                              teacher.subspan(j * at(teacher_cols), at(teacher_cols)))
                           .value;
      loss += 2 * share * gap * gap;  // i with j, and j with i
      const double factor = scale * 4 * share * gap;
      add_cosine_gradient(a, b, mine, factor, gradient.subspan(i * width, width));
      add_cosine_gradient(b, a, {mine.value, mine.right, mine.left}, factor,
                          gradient.subspan(j * width, width));
    }
  return scale * loss;
}

namespace {

// The relations of one head in one sequence of n rows, for student and teacher.
class RelationHead {
 public:
  RelationHead(std::int64_t longest, std::int64_t widest)
      : ld_((longest + 15) / 16 * 16),
        matrices_(at(4 * longest * ld_) * sizeof(float)),
        stats_(at(4 * longest)),
        scratch_(kernels::product_scratch_bytes(longest, std::max(longest, widest))) {}

  // x: row 0 of the sequence at the head's first column. Adds factor times the gradient of the sum
  // over rows of the divergence, which it returns.
  double run(std::int64_t n, const float* student, std::int64_t student_cols,
             std::int64_t student_dim, const float* teacher, std::int64_t teacher_cols,
             std::int64_t teacher_dim, double factor, float* gradient) {
    ld_ = (n + 15) / 16 * 16;
    const float student_scale = scale_of(student_dim), teacher_scale = scale_of(teacher_dim);
    const Side mine = relate(0, n, student, student_cols, student_dim, student_scale);
    const Side theirs = relate(1, n, teacher, teacher_cols, teacher_dim, teacher_scale);
    double loss = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      // sum p (log p - log q), with log p = score - log of the sum of e^score
      const std::int64_t row = i * ld_;
      double divergence = log_sum(mine, i) - log_sum(theirs, i);
      for (std::int64_t j = row; j < row + n; ++j)
        divergence += static_cast<double>(theirs.p[j]) *
                      (static_cast<double>(teacher_scale) * static_cast<double>(theirs.scores[j]) -
                       static_cast<double>(student_scale) * static_cast<double>(mine.scores[j]));
      loss += divergence;
    }
    // The gradient of score (i, j) goes to rows i and j: made symmetric, one product serves both.
    const auto slope = static_cast<float>(factor * static_cast<double>(student_scale));
    float* const both = mine.scores;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j) {
        const std::int64_t a = i * ld_ + j, b = j * ld_ + i;
        both[a] = both[b] = slope * ((mine.p[a] - theirs.p[a]) + (mine.p[b] - theirs.p[b]));
      }
    kernels::ProductArgs args{.m = n, .n = student_dim, .k = n};
    args.a = both;
    args.lda = ld_;
    args.b = student;
    args.ldb = student_cols;
    args.accumulate = true;
    args.c = gradient;
    args.ldc = student_cols;
    args.scratch = scratch_.data();
    kernels::kernels().product.multiply(args);
    return loss;
  }

 private:
  struct Side {
    float *scores, *p, *stats;  // [n, ld], [n, ld], [n, 2]
  };

  static float scale_of(std::int64_t dim) {
    return static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  }
  static double log_sum(const Side& side, std::int64_t row) {
    return static_cast<double>(side.stats[2 * row]) +
           std::log(static_cast<double>(side.stats[2 * row + 1]));
  }

  Side relate(std::int64_t side, std::int64_t n, const float* x, std::int64_t cols,
              std::int64_t dim, float scale) {
    float* const scores = matrices_.as<float>() + 2 * side * n * ld_;
    const Side out{scores, scores + n * ld_, stats_.data() + 2 * side * n};
    kernels::ProductArgs args{.m = n, .n = n, .k = dim};
    args.a = args.b = x;
    args.lda = args.ldb = cols;
    args.b_transposed = true;
    args.c = out.scores;
    args.ldc = ld_;
    args.scratch = scratch_.data();
    kernels::kernels().product.multiply(args);
    kernels::kernels().backward.softmax(out.scores, n, n, ld_, scale, out.p, out.stats);
    return out;
  }

  std::int64_t ld_;
  AlignedBuffer matrices_;
  std::vector<float> stats_;
  AlignedBuffer scratch_;
};

}  // namespace

double relation(std::span<const float> student, std::int64_t student_cols,
                std::span<const float> teacher, std::int64_t teacher_cols, std::int64_t heads,
                std::span<const std::int64_t> starts, double scale, std::span<float> gradient,
                ThreadPool& pool) {
  const std::int64_t sequences = static_cast<std::int64_t>(starts.size()) - 1;
  const std::int64_t mine = student_cols / heads, theirs = teacher_cols / heads;
  std::int64_t longest = 0;
  for (std::int64_t s = 0; s < sequences; ++s)
    longest = std::max(longest, starts[at(s + 1)] - starts[at(s)]);
  std::vector<RelationHead> workers;
  for (int w = 0; w < pool.size(); ++w) workers.emplace_back(longest, std::max(mine, theirs));
  std::vector<double> losses(at(sequences * heads));
  pool.run([&](int worker) {
    for (std::int64_t task = worker; task < sequences * heads; task += pool.size()) {
      const std::int64_t head = task % heads, first = starts[at(task / heads)],
                         n = starts[at(task / heads + 1)] - first;
      if (n == 0) continue;
      const double share = 1 / static_cast<double>(heads * n);
      const std::int64_t to = first * student_cols + head * mine;
      losses[at(task)] = share * workers[at(worker)].run(
                                     n, student.data() + to, student_cols, mine,
                                     teacher.data() + first * teacher_cols + head * theirs,
                                     teacher_cols, theirs, scale * share, gradient.data() + to);
    }
  });
  double loss = 0;
  for (double l : losses) loss += l;
  return scale * loss;
}

}  // namespace tack
