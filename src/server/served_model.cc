#include "server/served_model.h"

#include <sys/stat.h>

#include "guard/guard_model.h"
#include "tasks/heads.h"
#include "tasks/tagger.h"

namespace tack::server {
namespace {

ModelInfo describe(const Model& model, const TextEncoder& encoder, std::string id) {
  return {.id = id.empty() ? model.name() : std::move(id),
          .created = modified_at(model.path()),
          .context_length = model.context_length(),
          .vocab_size = model.tokenizer().vocab_size(),
          .embedding_dim = encoder.output_dim("embedding"),
          .labels = {},
          .heads = {},
          .threads = encoder.threads()};
}

constexpr std::string_view kEmbedding[] = {"embedding"};

Result<Embedded> embeddings_of(Result<Encoded> encoded) {
  if (!encoded) return std::unexpected(std::move(encoded).error());
  return Embedded{std::move(encoded->outputs.front()), std::move(encoded->info)};
}

class EncoderModel final : public ServedModel {
 public:
  EncoderModel(std::unique_ptr<TextEncoder> encoder, std::string id)
      : encoder_(std::move(encoder)),
        info_(describe(encoder_->model(), *encoder_, std::move(id))) {}

  const ModelInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return encoder_->model().tokenizer(); }
  Result<Embedded> embed(std::span<const std::string_view> texts) override {
    return embeddings_of(encoder_->run(texts, kEmbedding));
  }
  Result<Embedded> embed_tokens(std::span<const Tokens> inputs) override {
    return embeddings_of(encoder_->run_tokens(inputs, kEmbedding));
  }
  Result<std::vector<Prediction>> classify(std::span<const std::string_view>) override {
    return fail(ErrorCode::kUsage, "{} has no labels: it cannot classify", info_.id);
  }

 private:
  std::unique_ptr<TextEncoder> encoder_;
  ModelInfo info_;
};

class TaskModel final : public ServedModel {
 public:
  TaskModel(std::unique_ptr<TaskPredictor> predictor, std::string id,
            decltype(ModelInfo::thresholds) thresholds)
      : predictor_(std::move(predictor)),
        info_(describe(predictor_->model(), predictor_->encoder(), std::move(id))) {
    info_.thresholds = std::move(thresholds);
    info_.labels = predictor_->model().labels();
    info_.multilabel = predictor_->multilabel();
    if (predictor_->heads().size() > 1) info_.heads = predictor_->heads();
  }

  const ModelInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return predictor_->model().tokenizer(); }
  Result<Embedded> embed(std::span<const std::string_view> texts) override {
    return embeddings_of(predictor_->encoder().run(texts, kEmbedding));
  }
  Result<Embedded> embed_tokens(std::span<const Tokens> inputs) override {
    return embeddings_of(predictor_->encoder().run_tokens(inputs, kEmbedding));
  }
  Result<std::vector<Prediction>> classify(std::span<const std::string_view> texts) override {
    return predictor_->predict_heads(texts);
  }

 private:
  std::unique_ptr<TaskPredictor> predictor_;
  ModelInfo info_;
};

class TaggerModel final : public ServedModel {
 public:
  TaggerModel(std::unique_ptr<Tagger> tagger, std::string id)
      : tagger_(std::move(tagger)),
        info_(describe(tagger_->model(), tagger_->encoder(), std::move(id))) {
    info_.labels = tagger_->labels();
    info_.tags = true;
  }

  const ModelInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return tagger_->model().tokenizer(); }
  Result<Embedded> embed(std::span<const std::string_view>) override { return no_embedding(); }
  Result<Embedded> embed_tokens(std::span<const Tokens>) override { return no_embedding(); }
  Result<std::vector<Prediction>> classify(std::span<const std::string_view> texts) override {
    TACK_TRY(auto predictions, tagger_->predict(texts));
    std::vector<Prediction> out;
    for (TagPrediction& p : predictions) {
      out.push_back(std::move(*p.label));
      out.back().tokens = p.tokens;
      out.back().truncated = p.truncated;
    }
    return out;
  }
  Result<std::vector<Tagged>> tag(std::span<const std::string_view> texts) override {
    TACK_TRY(const auto predictions, tagger_->predict(texts));
    std::vector<Tagged> out;
    for (std::size_t i = 0; i < texts.size(); ++i)
      out.push_back({tag_json(texts[i], predictions[i], info_.labels), predictions[i].tokens,
                     predictions[i].truncated});
    return out;
  }

 private:
  Result<Embedded> no_embedding() const {
    return fail(ErrorCode::kUsage, "{} gives no embeddings", info_.id);
  }

  std::unique_ptr<Tagger> tagger_;
  ModelInfo info_;
};

class ExtractorModel final : public ServedModel {
 public:
  ExtractorModel(std::unique_ptr<Extractor> extractor, std::string id)
      : extractor_(std::move(extractor)),
        info_(describe(extractor_->model(), extractor_->encoder(), std::move(id))) {
    info_.extracts = true;
  }

  const ModelInfo& info() const override { return info_; }
  const Tokenizer& tokenizer() const override { return extractor_->model().tokenizer(); }
  Result<Embedded> embed(std::span<const std::string_view>) override { return no_embedding(); }
  Result<Embedded> embed_tokens(std::span<const Tokens>) override { return no_embedding(); }
  Result<std::vector<Prediction>> classify(std::span<const std::string_view>) override {
    return fail(ErrorCode::kUsage, "{} has no labels: it cannot classify", info_.id);
  }
  Result<std::vector<Tagged>> extract(std::span<const QuestionText> questions) override {
    TACK_TRY(const auto answers, extractor_->predict(questions));
    std::vector<Tagged> out;
    for (std::size_t i = 0; i < questions.size(); ++i)
      out.push_back({extraction_json(questions[i].context, answers[i]), answers[i].tokens,
                     answers[i].truncated});
    return out;
  }

 private:
  Result<Embedded> no_embedding() const {
    return fail(ErrorCode::kUsage, "{} gives no embeddings", info_.id);
  }

  std::unique_ptr<Extractor> extractor_;
  ModelInfo info_;
};

}  // namespace

std::int64_t modified_at(const std::filesystem::path& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_mtime) : 0;
}

Result<std::unique_ptr<ServedModel>> open_served_model(const std::filesystem::path& path,
                                                       std::string id,
                                                       const EncoderOptions& options) {
  TACK_TRY(std::shared_ptr<const Model> model, Model::open(path));
  if (!model->tags().empty()) {
    model.reset();
    TACK_TRY(auto tagger, Tagger::open(path, options));
    return std::make_unique<TaggerModel>(std::move(tagger), std::move(id));
  }
  if (is_extractor(*model)) {
    model.reset();
    TACK_TRY(auto extractor, Extractor::open(path, options));
    return std::make_unique<ExtractorModel>(std::move(extractor), std::move(id));
  }
  if (!model->labels().empty()) {
    model.reset();  // the predictor maps the file itself
    TACK_TRY(auto predictor, TaskPredictor::open_heads(path, options));
    TACK_TRY(auto guarding, guard::guard_model_of(predictor->model()));
    return std::make_unique<TaskModel>(std::move(predictor), std::move(id),
                                       std::move(guarding.thresholds));
  }
  TACK_TRY(auto encoder, TextEncoder::create(std::move(model), options));
  if (encoder->output_dim("embedding") == 0)
    return fail("{}: gives neither embeddings nor labels: nothing to serve", path.string());
  return std::make_unique<EncoderModel>(std::move(encoder), std::move(id));
}

}  // namespace tack::server
