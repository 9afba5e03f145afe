// A router that was learned: from a prompt, the chance that each model's answer suffices; from
// those and what the models cost, which one to ask.
//
// It reads the prompt's form (router_features.h) and its words, or in their place an embedding that
// whoever asks makes: the router holds no encoder. Both are narrowed to their principal components,
// and a forest (train/forest.h) predicts the quality of all models at once.
//
// A router is one GGUF file:
//   router.directions  f32 [components, dims]  of embeddings, or of the hashed vectors of n-grams
//   router.typical     f32 [features]          medians of the training rows, for explanations
//   forest.roots       i32 [trees]             and the rest as train/forest.h has them
//   forest.next        i32 [nodes]
//   forest.feature     i16 [nodes]
//   forest.threshold   f32 [nodes]
//   forest.value       f32 [leaves, models]
//   tack.router        JSON: RouterCard, below
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "gateway/router_card.h"
#include "gateway/router_features.h"
#include "train/forest.h"

namespace tack::gateway {

inline constexpr std::int64_t kHashedDims = 512;     // of the vector of n-grams
inline constexpr std::int64_t kComponents = 32;      // at most, of either vector
inline constexpr std::int64_t kEncoderTokens = 128;  // an embedding is of the first so many

class LearnedRouter {
 public:
  // Errors: kNotFound without a file; else one line that says what of the file is wrong.
  static Result<std::shared_ptr<const LearnedRouter>> open(const std::filesystem::path& path);
  static Result<std::shared_ptr<const LearnedRouter>> parse(std::span<const std::byte> bytes,
                                                            std::string_view name);
  // Of parts that fit together. directions [components, dims].
  static Result<std::shared_ptr<const LearnedRouter>> make(RouterCard card,
                                                           std::vector<float> directions,
                                                           std::vector<float> typical,
                                                           Forest forest);
  // The same with another card.
  Result<std::shared_ptr<const LearnedRouter>> with_card(RouterCard card) const;
  // Atomic.
  Status write(const std::filesystem::path& path) const;
  Result<std::string> to_bytes() const;

  const RouterCard& card() const { return card_; }
  std::size_t models() const { return card_.models.size(); }
  bool needs_embedding() const { return card_.encoder.has_value(); }

  // The chance that each model's answer suffices (or its expected score), out [models()].
  // `embedding`: of the first kEncoderTokens tokens of the text by the card's encoder; empty
  // without one. kUsage when its length is wrong. Any thread; each keeps 90 kB once it has asked.
  Status quality(std::string_view text, std::span<const float> embedding,
                 std::span<float> out) const;

  // For explanations: the forest's inputs, [features()]; first the forms, then the components.
  std::size_t features() const { return static_cast<std::size_t>(forest_.features); }
  Status features_of(std::string_view text, std::span<const float> embedding,
                     std::span<float> out) const;
  void quality_of_features(std::span<const float> features, std::span<float> out) const {
    forest_.predict(features, out);
  }
  std::span<const float> typical() const { return typical_; }

 private:
  LearnedRouter() = default;
  static Result<std::shared_ptr<const LearnedRouter>> from_file(const GgufFile& file);
  Result<GgufWriter> writer() const;
  Status check() const;
  std::int64_t dims() const { return card_.encoder ? card_.encoder->dims : kHashedDims; }

  RouterCard card_;
  std::vector<float> directions_;  // [dims, components]: transposed, to be added up row by row
  std::vector<float> typical_;     // [features]
  Forest forest_;
};

// A text's vector of n-grams, [kHashedDims], or its embedding, [dims], narrowed. directions
// [dims, components], vector [dims], out [components].
void narrow(std::span<const float> vector, std::span<const float> directions, std::span<float> out);

}  // namespace tack::gateway
