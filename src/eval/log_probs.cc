#include "eval/log_probs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "eval/language_metrics.h"

namespace tack {
namespace {

constexpr std::string_view kMagic = "_logits_";
constexpr std::size_t kHeaderBytes = 20;
constexpr std::int64_t kMostContext = 1 << 24, kMostVocabulary = 1 << 24;
constexpr float kDepth = 16;  // below the best, in nats

// Units of 2 bytes: two f32, the codes, and one more of an odd vocabulary.
std::size_t row_units(std::int64_t vocabulary) {
  return static_cast<std::size_t>(round_up<std::int64_t>(vocabulary, 2)) + 4;
}

template <class T>
std::span<const std::byte> bytes_of(std::span<const T> values) {
  return std::as_bytes(values);
}

}  // namespace

Result<LogProbsFile> LogProbsFile::open(const std::filesystem::path& path) {
  TACK_TRY(auto file, MappedFile::open(path));
  TACK_TRY(auto out, parse(file.bytes(), path.string()));
  out.file_ = std::move(file);
  return out;
}

Result<LogProbsFile> LogProbsFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    return fail("{}: no file of log-probabilities: tack eval --kl-base writes one", name);
  std::int32_t sizes[3];
  std::memcpy(sizes, bytes.data() + kMagic.size(), sizeof sizes);
  LogProbsFile out;
  out.shape_ = {sizes[0], sizes[1], sizes[2]};
  const LogProbsShape& shape = out.shape_;
  if (shape.context < 4 || shape.context > kMostContext || shape.vocabulary < 1 ||
      shape.vocabulary > kMostVocabulary || shape.chunks < 1)
    return fail("{}: {} chunks of {} tokens of {} cannot be", name, shape.chunks, shape.context,
                shape.vocabulary);
  const auto count = static_cast<std::size_t>(shape.chunks * shape.context);  // below 2^55
  const auto row_bytes = checked_mul<std::size_t>(
      static_cast<std::size_t>(shape.rows() * shape.chunks), 2 * row_units(shape.vocabulary));
  const auto rest = row_bytes ? checked_add<std::size_t>(*row_bytes, 4 * count) : std::nullopt;
  if (!rest || *rest != bytes.size() - kHeaderBytes)
    return fail("{}: {} bytes, but {} chunks of {} tokens of {} are {}: it is incomplete", name,
                bytes.size(), shape.chunks, shape.context, shape.vocabulary,
                rest.value_or(0) + kHeaderBytes);
  out.tokens_.resize(count);
  std::memcpy(out.tokens_.data(), bytes.data() + kHeaderBytes, 4 * count);
  for (const std::int32_t id : out.tokens_)
    if (id < 0 || id >= shape.vocabulary)
      return fail("{}: token {} of a vocabulary of {}", name, id, shape.vocabulary);
  out.rows_ = bytes.subspan(kHeaderBytes + 4 * count);
  return out;
}

LogProbsRow LogProbsFile::row(std::int64_t chunk, std::int64_t row) const {
  const std::size_t bytes = 2 * row_units(shape_.vocabulary);
  const std::byte* const at =
      rows_.data() + static_cast<std::size_t>(chunk * shape_.rows() + row) * bytes;
  LogProbsRow out;
  std::memcpy(&out.step, at, sizeof out.step);
  std::memcpy(&out.least, at + 4, sizeof out.least);
  out.codes = {reinterpret_cast<const std::uint16_t*>(at + 8),
               static_cast<std::size_t>(shape_.vocabulary)};
  return out;
}

Result<LogProbsWriter> LogProbsWriter::create(const std::filesystem::path& path,
                                              const LogProbsShape& shape,
                                              std::span<const std::int32_t> tokens) {
  TACK_TRY(auto file, AtomicFile::create(path));
  const std::int32_t sizes[] = {static_cast<std::int32_t>(shape.context),
                                static_cast<std::int32_t>(shape.vocabulary),
                                static_cast<std::int32_t>(shape.chunks)};
  TACK_RETURN_IF_ERROR(file.write(kMagic));
  TACK_RETURN_IF_ERROR(file.write(bytes_of(std::span<const std::int32_t>(sizes))));
  TACK_RETURN_IF_ERROR(file.write(bytes_of(tokens)));
  LogProbsWriter writer(std::move(file));
  writer.row_.resize(row_units(shape.vocabulary));
  return writer;
}

Status LogProbsWriter::add(std::span<const float> logits) {
  const auto [least_logit, best] = std::ranges::minmax(logits);
  const float from = std::max(least_logit, best - kDepth), step = (best - from) / 65535;
  const float head[] = {step, static_cast<float>(from - log_sum_exp(logits))};
  std::memcpy(row_.data(), head, sizeof head);
  for (std::size_t i = 0; i < logits.size(); ++i)
    row_[4 + i] = logits[i] > from && step > 0
                      ? static_cast<std::uint16_t>(
                            std::min(std::nearbyintf((logits[i] - from) / step), 65535.0F))
                      : std::uint16_t{0};
  return file_.write(bytes_of(std::span<const std::uint16_t>(row_)));
}

}  // namespace tack
