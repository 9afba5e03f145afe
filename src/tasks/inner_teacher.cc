#include "tasks/inner_teacher.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "models/layers.h"
#include "train/losses.h"

namespace tack {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Rows of a part of the teacher's dimensions go where they were; else the map starts random.
HiddenProjection start_of(const std::vector<std::int64_t>& kept, std::int64_t dims,
                          std::int64_t width) {
  HiddenProjection out{dims, std::vector<float>(at(dims * width), 0.0F)};
  if (!kept.empty()) {
    for (std::int64_t c = 0; c < width; ++c) out.weight[at(kept[at(c)] * width + c)] = 1.0F;
    return out;
  }
  Random random(1);
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  for (float& w : out.weight) w = static_cast<float>(scale * random.normal());
  return out;
}

// The teacher's layer for each of the student's.
Result<std::vector<std::int64_t>> layer_map(const InnerLessons& lessons, std::int64_t student,
                                            std::int64_t teacher) {
  std::vector<std::int64_t> map = lessons.settings.layers;
  if (map.empty()) map = lessons.layers;
  if (map.empty())  // as far apart as can be, the last with the last
    for (std::int64_t i = 0; i < student; ++i) map.push_back((i + 1) * teacher / student - 1);
  if (static_cast<std::int64_t>(map.size()) != student)
    return fail(ErrorCode::kUsage,
                "{} layers of the teacher are named for a student of {}: name one for each",
                map.size(), student);
  for (const std::int64_t layer : map)
    if (layer < 0 || layer >= teacher)
      return fail(ErrorCode::kUsage, "there is no layer {} to learn: {} has {}, from 0", layer,
                  lessons.teacher->name(), teacher);
  return map;
}

}  // namespace

Result<std::unique_ptr<InnerTeacher>> InnerTeacher::create(const InnerLessons& lessons,
                                                           const Model& student,
                                                           const TrainingTexts& texts,
                                                           const TrainerOptions& loop,
                                                           ThreadPool& pool) {
  std::unique_ptr<InnerTeacher> out(new InnerTeacher(lessons.settings, pool));
  TACK_RETURN_IF_ERROR(out->plan(lessons, student));
  std::vector<graph::ValueId> read;
  for (const auto& pairs : {out->hidden_, out->relations_})
    for (const Pair& pair : pairs) read.push_back(pair.teacher);
  TACK_TRY(out->teacher_,
           FrozenModel::create(lessons.teacher, read, texts, loop.batch, loop.micro_tokens, pool));
  return out;
}

Status InnerTeacher::plan(const InnerLessons& lessons, const Model& student) {
  const Model& teacher = *lessons.teacher;
  const auto theirs = layer_values(teacher.graph()), mine = layer_values(student.graph());
  if (theirs.empty() || mine.empty())
    return fail(ErrorCode::kUsage, "{}: has no layers to learn from",
                (theirs.empty() ? teacher : student).path().string());
  if (settings_.hidden > 0) {
    TACK_TRY(const auto map, layer_map(lessons, static_cast<std::int64_t>(mine.size()),
                                       static_cast<std::int64_t>(theirs.size())));
    for (const std::int64_t layer : map) hidden_.push_back({theirs[at(layer)].hidden, {}});
    if (teacher.embedding_dim() != student.embedding_dim())
      projection_ = start_of(lessons.dims, teacher.embedding_dim(), student.embedding_dim());
  }
  if (settings_.relations <= 0) return {};
  const std::int64_t layer = settings_.relation_layer < 0
                                 ? static_cast<std::int64_t>(theirs.size()) - 1
                                 : settings_.relation_layer;
  if (layer >= static_cast<std::int64_t>(theirs.size()))
    return fail(ErrorCode::kUsage,
                "there is no layer {} to learn the relations of: {} has {}, from 0", layer,
                teacher.name(), theirs.size());
  for (const auto part : {&LayerValues::q, &LayerValues::k, &LayerValues::v}) {
    const graph::ValueId of_teacher = theirs[at(layer)].*part, of_student = mine.back().*part;
    for (const auto& [graph, value] :
         {std::pair{&teacher.graph(), of_teacher}, std::pair{&student.graph(), of_student}}) {
      const std::int64_t cols = graph->value(value).cols;
      if (cols % settings_.relation_heads != 0)
        return fail(
            ErrorCode::kUsage,
            "{} relation heads do not divide {}, the width of queries, keys or values: choose "
            "a divisor of the widths of teacher ({}) and student ({})",
            settings_.relation_heads, cols, teacher.embedding_dim(), student.embedding_dim());
    }
    relations_.push_back({of_teacher, {}});
  }
  return {};
}

void InnerTeacher::attach(const TrainableModel& student) {
  const auto mine = layer_values(student.graph());
  for (std::size_t l = 0; l < hidden_.size(); ++l)
    hidden_[l].student = projection_ ? student.projected()[l] : mine[l].hidden;
  if (!relations_.empty()) {
    relations_[0].student = mine.back().q;
    relations_[1].student = mine.back().k;
    relations_[2].student = mine.back().v;
  }
  for (const auto& pairs : {hidden_, relations_})
    for (const Pair& pair : pairs) outputs_.push_back(pair.student);
}

double InnerTeacher::loss(Tape& student, std::span<const std::size_t> examples, double scale) {
  teacher_->run(examples);
  double sum = 0;
  for (const Pair& pair : hidden_)
    sum +=
        hidden_loss(student, pair, scale * settings_.hidden / static_cast<double>(hidden_.size()));
  for (const Pair& pair : relations_) {
    const auto mine = student.value(pair.student), theirs = teacher_->value(pair.teacher);
    const std::int64_t rows = teacher_->starts().back();
    sum += relation(mine, static_cast<std::int64_t>(mine.size()) / rows, theirs,
                    static_cast<std::int64_t>(theirs.size()) / rows, settings_.relation_heads,
                    teacher_->starts(), scale * settings_.relations, student.gradient(pair.student),
                    pool_);
  }
  return sum;
}

// The mean over a text's tokens, summed over texts: workers take texts.
double InnerTeacher::hidden_loss(Tape& student, const Pair& pair, double scale) {
  const auto mine = student.value(pair.student), theirs = teacher_->value(pair.teacher);
  const auto slope = student.gradient(pair.student);
  const auto starts = teacher_->starts();
  const std::int64_t cols = static_cast<std::int64_t>(mine.size()) / starts.back();
  std::vector<double> losses(starts.size() - 1);
  pool_.parallel_for(static_cast<std::int64_t>(losses.size()), [&](std::int64_t s) {
    const std::int64_t tokens = starts[at(s + 1)] - starts[at(s)];
    if (tokens == 0) return;
    const std::size_t from = at(starts[at(s)] * cols), size = at(tokens * cols);
    losses[at(s)] = (settings_.cosine ? cosine_distance : mean_squared)(
        mine.subspan(from, size), theirs.subspan(from, size), cols,
        scale / static_cast<double>(tokens), slope.subspan(from, size));
  });
  double sum = 0;
  for (double l : losses) sum += l;
  return sum;
}

Result<Learner> make_learner(const std::shared_ptr<const Model>& base, Heads heads,
                             const TrainingTexts& texts, const TrainableOptions& options,
                             const InnerLessons* lessons, const TrainerOptions& loop,
                             ThreadPool& pool) {
  Learner out;
  if (lessons != nullptr) {
    TACK_TRY(out.inner, InnerTeacher::create(*lessons, *base, texts, loop, pool));
    heads.projection = out.inner->projection();
  }
  TACK_TRY(out.model, TrainableModel::create(base, heads, texts, options, pool));
  out.outputs = out.model->outputs();
  if (out.inner == nullptr) return out;
  out.inner->attach(*out.model);
  for (const graph::ValueId output : out.inner->outputs())
    if (std::ranges::find(out.outputs, output) == out.outputs.end()) out.outputs.push_back(output);
  return out;
}

}  // namespace tack
