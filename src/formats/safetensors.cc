#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "base/atomic_file.h"
#include "base/checked.h"
#include "base/json.h"

namespace tack {
namespace {

// A header of real models is a few hundred KB; the format itself allows 100 MB.
constexpr std::uint64_t kMaxHeader = 100U << 20;

struct NamedType {
  std::string_view name;
  DType dtype;
};
constexpr NamedType kTypes[] = {
    {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F64", DType::kF64},
    {"I8", DType::kI8},   {"I16", DType::kI16}, {"I32", DType::kI32},   {"I64", DType::kI64},
};

std::optional<DType> parse_type(std::string_view name) {
  for (const NamedType& type : kTypes)
    if (type.name == name) return type.dtype;
  return std::nullopt;
}
std::string_view type_name(DType dtype) {
  for (const NamedType& type : kTypes)
    if (type.dtype == dtype) return type.name;
  return {};
}

// A whole number that fits std::int64_t.
std::optional<std::int64_t> whole(const Json& json) {
  if (!json.is_number_integer()) return std::nullopt;
  if (json.is_number_unsigned() &&
      json.get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return std::nullopt;
  const auto value = json.get<std::int64_t>();
  return value < 0 ? std::nullopt : std::optional(value);
}

}  // namespace

class SafetensorsParser {
 public:
  SafetensorsParser(SafetensorsFile& out, std::span<const std::byte> bytes, std::string_view name)
      : out_(out), bytes_(bytes), name_(name) {}

  Status parse() {
    std::uint64_t length = 0;
    if (bytes_.size() < sizeof length)
      return fail("{}: {} bytes is too short for a safetensors file", name_, bytes_.size());
    std::memcpy(&length, bytes_.data(), sizeof length);
    if (length > kMaxHeader || length > bytes_.size() - sizeof length)
      return fail("{}: the header claims {} bytes, the file has {}", name_, length,
                  bytes_.size() - sizeof length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + sizeof length),
                                length);
    TACK_TRY(const Json header, parse_json(text, fmt::format("{}: header", name_)));
    if (!header.is_object()) return fail("{}: the header is not a JSON object", name_);
    data_ = bytes_.subspan(sizeof length + length);
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__")
        TACK_RETURN_IF_ERROR(read_metadata(value));
      else
        TACK_RETURN_IF_ERROR(read_tensor(key, value));
    }
    return check_layout();
  }

 private:
  Status read_metadata(const Json& json) {
    if (!json.is_object()) return fail("{}: __metadata__ is not an object", name_);
    for (const auto& [key, value] : json.items()) {
      if (!value.is_string()) return fail("{}: __metadata__ '{}' is not a string", name_, key);
      out_.metadata_[key] = value.get<std::string>();
    }
    return {};
  }

  Status read_tensor(const std::string& key, const Json& json) {
    const auto bad = [&](std::string_view what) {
      return fail("{}: tensor '{}': {}", name_, key, what);
    };
    if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
        !json.contains("data_offsets"))
      return bad("needs dtype, shape and data_offsets");
    const Json &dtype = json["dtype"], &shape = json["shape"], &offsets = json["data_offsets"];
    if (!dtype.is_string()) return bad("dtype is not a string");
    const auto type = parse_type(dtype.get<std::string>());
    if (!type) return bad(fmt::format("type {} is not supported", dtype.get<std::string>()));
    if (!shape.is_array() || shape.size() > 8) return bad("shape is not a list of up to 8 numbers");
    TensorView view;
    view.dtype = *type;
    std::int64_t elements = 1;
    for (const Json& extent : shape) {
      const auto n = whole(extent);
      const auto product = n ? checked_mul(elements, *n) : std::nullopt;
      if (!product) return bad("shape is not a list of sizes");
      elements = *product;
      view.shape.push_back(*n);
    }
    if (!offsets.is_array() || offsets.size() != 2) return bad("data_offsets is not a pair");
    const auto begin = whole(offsets[0]), end = whole(offsets[1]);
    if (!begin || !end || *begin > *end || static_cast<std::size_t>(*end) > data_.size())
      return bad(
          fmt::format("data_offsets lie outside the file's {} bytes of data: the file is "
                      "cut short or damaged",
                      data_.size()));
    const auto expected = storage_bytes(*type, static_cast<std::uint64_t>(elements));
    if (!expected || *expected != static_cast<std::size_t>(*end - *begin))
      return bad(fmt::format("has {} bytes, its shape {} needs {}", *end - *begin,
                             to_string(view.shape), expected.value_or(0)));
    view.bytes = data_.subspan(static_cast<std::size_t>(*begin), *expected);
    if (!out_.tensors_.emplace(key, view).second) return bad("appears twice");
    ranges_.push_back({*begin, *end, key});
    return {};
  }

  // The format wants the data covered without holes: what overlaps or is left over hides something.
  Status check_layout() {
    std::ranges::sort(ranges_, {}, [](const Range& r) { return std::pair(r.begin, r.end); });
    std::int64_t at = 0;
    for (const Range& range : ranges_) {
      if (range.begin != at)
        return fail("{}: tensor '{}' begins at offset {}, expected {}", name_, range.name,
                    range.begin, at);
      at = range.end;
    }
    if (static_cast<std::size_t>(at) != data_.size())
      return fail("{}: {} bytes follow the last tensor", name_,
                  data_.size() - static_cast<std::size_t>(at));
    return {};
  }

  struct Range {
    std::int64_t begin, end;
    std::string name;
  };
  SafetensorsFile& out_;
  std::span<const std::byte> bytes_, data_;
  std::string_view name_;
  std::vector<Range> ranges_;
};

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  TACK_TRY(auto mapped, MappedFile::open(path));
  TACK_TRY(auto file, parse(mapped.bytes(), path.string()));
  file.file_ = std::move(mapped);
  return file;
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes,
                                               std::string_view name) {
  SafetensorsFile file;
  TACK_RETURN_IF_ERROR(SafetensorsParser(file, bytes, name).parse());
  return file;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

Status write_safetensors(const std::filesystem::path& path,
                         const std::map<std::string, TensorView>& tensors,
                         const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t offset = 0;
  for (const auto& [name, view] : tensors) {
    if (type_name(view.dtype).empty())
      return fail("{}: tensor '{}': safetensors has no type {}", path.string(), name,
                  info(view.dtype).name);
    header[name] = {{"dtype", type_name(view.dtype)},
                    {"shape", view.shape},
                    {"data_offsets", {offset, offset + view.bytes.size()}}};
    offset += view.bytes.size();
  }
  std::string text = to_text(header);
  text.resize(round_up<std::size_t>(text.size(), 8), ' ');
  const std::uint64_t length = text.size();
  TACK_TRY(auto file, AtomicFile::create(path));
  TACK_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(&length, 1))));
  TACK_RETURN_IF_ERROR(file.write(text));
  for (const auto& [name, view] : tensors) TACK_RETURN_IF_ERROR(file.write(view.bytes));
  return file.commit();
}

}  // namespace tack
