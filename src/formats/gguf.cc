#include "formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "base/atomic_file.h"
#include "base/checked.h"

namespace tack {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in memory");

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1 << 20;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::int64_t kMaxExtent = std::int64_t{1} << 40;

using Type = GgufValue::Type;

// Bytes of a scalar; 0 for strings, arrays and ids that no type has.
std::size_t scalar_bytes(Type type) {
  switch (type) {
    case Type::kU8:
    case Type::kI8:
    case Type::kBool:
      return 1;
    case Type::kU16:
    case Type::kI16:
      return 2;
    case Type::kU32:
    case Type::kI32:
    case Type::kF32:
      return 4;
    case Type::kU64:
    case Type::kI64:
    case Type::kF64:
      return 8;
    default:
      return 0;
  }
}

// Names from a broken file stand in its errors, which are to be a line that can be read.
Error readable(Error error) {
  constexpr std::size_t kLongest = 300;
  if (error.message.size() > kLongest) error.message.replace(kLongest, std::string::npos, "...");
  for (char& c : error.message)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return error;
}

bool is_float(Type type) {
  return type == Type::kF32 || type == Type::kF64;
}
bool is_signed(Type type) {
  return type == Type::kI8 || type == Type::kI16 || type == Type::kI32 || type == Type::kI64;
}

}  // namespace

class GgufParser {
 public:
  GgufParser(GgufFile& out) : out_(out), bytes_(out.bytes_), name_(out.name_) {}

  Status parse() {
    if (bytes_.size() < 24)
      return fail("{}: {} bytes is too short for a GGUF file", name_, bytes_.size());
    if (std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0)
      return fail("{}: not a GGUF file (it does not begin with 'GGUF')", name_);
    at_ = 4;
    TACK_TRY(out_.version_, read<std::uint32_t>("version"));
    if (out_.version_ != 2 && out_.version_ != 3)
      return fail("{}: GGUF version {} is not supported (2 and 3 are)", name_, out_.version_);
    TACK_TRY(const auto tensors, read<std::uint64_t>("tensor count"));
    TACK_TRY(const auto keys, read<std::uint64_t>("metadata count"));
    // The smallest key takes 13 bytes, the smallest tensor 32: more cannot be in the file.
    if (keys > bytes_.size() / 13 || tensors > bytes_.size() / 32)
      return fail("{}: header claims {} keys and {} tensors, more than {} bytes can hold", name_,
                  keys, tensors, bytes_.size());
    for (std::uint64_t i = 0; i < keys; ++i) TACK_RETURN_IF_ERROR(read_key());
    return read_tensors(tensors);
  }

 private:
  struct Info {
    std::string name;
    DType dtype;
    Shape shape;
    std::uint64_t offset;
    std::size_t bytes;
  };

  template <class T>
  Result<T> read(std::string_view what) {
    if (bytes_.size() - at_ < sizeof(T))
      return fail("{}: file ends at byte {} inside {}", name_, bytes_.size(), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  Result<std::string> read_string(std::string_view what) {
    const std::size_t begin = at_;
    TACK_TRY(const auto length, read<std::uint64_t>(what));
    if (length > bytes_.size() - at_)
      return fail("{}: {} at byte {} claims {} bytes, the file has {} left", name_, what, begin,
                  length, bytes_.size() - at_);
    std::string text(reinterpret_cast<const char*>(bytes_.data() + at_), length);
    at_ += length;
    return text;
  }

  template <class T>
  T scalar_at(std::size_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }
  std::int64_t integer_at(Type type, std::size_t at) const {
    switch (type) {
      case Type::kU8:
      case Type::kBool:
        return scalar_at<std::uint8_t>(at);
      case Type::kI8:
        return scalar_at<std::int8_t>(at);
      case Type::kU16:
        return scalar_at<std::uint16_t>(at);
      case Type::kI16:
        return scalar_at<std::int16_t>(at);
      case Type::kU32:
        return scalar_at<std::uint32_t>(at);
      case Type::kI32:
        return scalar_at<std::int32_t>(at);
      default:
        return scalar_at<std::int64_t>(at);
    }
  }
  double float_at(Type type, std::size_t at) const {
    return type == Type::kF32 ? static_cast<double>(scalar_at<float>(at)) : scalar_at<double>(at);
  }

  Status read_key() {
    TACK_TRY(std::string key, read_string("a metadata key"));
    if (out_.metadata_index_.contains(key))
      return fail("{}: metadata key '{}' appears twice", name_, key);
    TACK_TRY(const auto id, read<std::uint32_t>("the type of key '" + key + "'"));
    auto value = read_value(static_cast<Type>(id), key);
    if (!value) return std::unexpected(std::move(value).error());
    out_.metadata_index_.emplace(key, out_.metadata_.size());
    out_.metadata_.emplace_back(std::move(key), *std::move(value));
    return {};
  }

  Result<GgufValue> read_value(Type type, const std::string& key) {
    GgufValue value;
    value.type = type;
    if (type == Type::kString) {
      TACK_TRY(value.value, read_string("key '" + key + "'"));
      return value;
    }
    if (type == Type::kArray) return read_array(key);
    const std::size_t size = scalar_bytes(type);
    if (size == 0)
      return fail("{}: key '{}' has unknown type {} at byte {}", name_, key,
                  static_cast<std::uint32_t>(type), at_ - 4);
    if (bytes_.size() - at_ < size)
      return fail("{}: file ends at byte {} inside key '{}'", name_, bytes_.size(), key);
    if (type == Type::kBool)
      value.value = bytes_[at_] != std::byte{0};
    else if (is_float(type))
      value.value = float_at(type, at_);
    else if (is_signed(type))
      value.value = integer_at(type, at_);
    else
      value.value = static_cast<std::uint64_t>(integer_at(type, at_));
    at_ += size;
    return value;
  }

  Result<GgufValue> read_array(const std::string& key) {
    GgufValue value;
    value.type = Type::kArray;
    TACK_TRY(const auto id, read<std::uint32_t>("key '" + key + "'"));
    TACK_TRY(const auto count, read<std::uint64_t>("key '" + key + "'"));
    value.element_type = static_cast<Type>(id);
    const std::size_t left = bytes_.size() - at_;
    const std::size_t size =
        value.element_type == Type::kString ? 8 : scalar_bytes(value.element_type);
    if (size == 0)
      return fail("{}: key '{}' is an array of type {}, which is not supported", name_, key, id);
    if (count > left / size)
      return fail("{}: key '{}' claims {} elements, the file has {} bytes left", name_, key, count,
                  left);
    if (value.element_type == Type::kString) {
      GgufValue::Strings strings;
      strings.reserve(count);
      for (std::uint64_t i = 0; i < count; ++i) {
        TACK_TRY(auto text, read_string("an element of key '" + key + "'"));
        strings.push_back(std::move(text));
      }
      value.value = std::move(strings);
      return value;
    }
    if (is_float(value.element_type)) {
      std::vector<double> numbers(count);
      for (std::uint64_t i = 0; i < count; ++i)
        numbers[i] = float_at(value.element_type, at_ + i * size);
      value.value = std::move(numbers);
    } else {
      std::vector<std::int64_t> numbers(count);
      for (std::uint64_t i = 0; i < count; ++i)
        numbers[i] = integer_at(value.element_type, at_ + i * size);
      value.value = std::move(numbers);
    }
    at_ += count * size;
    return value;
  }

  Result<Info> read_info() {
    Info info;
    TACK_TRY(info.name, read_string("a tensor name"));
    const std::string what = "tensor '" + info.name + "'";
    TACK_TRY(const auto dimensions, read<std::uint32_t>(what));
    if (dimensions == 0 || dimensions > kMaxDimensions)
      return fail("{}: {} has {} dimensions, expected 1 to {}", name_, what, dimensions,
                  kMaxDimensions);
    std::int64_t elements = 1;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      TACK_TRY(const auto extent, read<std::uint64_t>(what));
      if (extent == 0 || extent > static_cast<std::uint64_t>(kMaxExtent))
        return fail("{}: {} has an extent of {}", name_, what, extent);
      const auto product = checked_mul(elements, static_cast<std::int64_t>(extent));
      if (!product) return fail("{}: {} has more elements than can be counted", name_, what);
      elements = *product;
      info.shape.insert(info.shape.begin(), static_cast<std::int64_t>(extent));
    }
    TACK_TRY(const auto id, read<std::uint32_t>(what));
    const DTypeInfo* type = find_dtype(id);
    if (type == nullptr) return fail("{}: {} has unknown type {}", name_, what, id);
    info.dtype = type->dtype;
    if (info.shape.back() % type->block_elements != 0)
      return fail("{}: {} has rows of {}, not a multiple of the {} elements of a {} block", name_,
                  what, info.shape.back(), type->block_elements, type->name);
    const auto bytes = storage_bytes(info.dtype, static_cast<std::uint64_t>(elements));
    if (!bytes) return fail("{}: {} is too large", name_, what);
    info.bytes = *bytes;
    TACK_TRY(info.offset, read<std::uint64_t>(what));
    return info;
  }

  Status read_tensors(std::uint64_t count) {
    std::uint64_t alignment = kDefaultAlignment;
    if (out_.find(kAlignmentKey) != nullptr) {
      TACK_TRY(const std::int64_t wanted, out_.integer(kAlignmentKey));
      alignment = static_cast<std::uint64_t>(wanted);
      if (wanted < 1 || alignment > kMaxAlignment || !std::has_single_bit(alignment))
        return fail("{}: general.alignment {} is not a power of two up to {}", name_, wanted,
                    kMaxAlignment);
    }
    std::vector<Info> infos;
    infos.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      auto info = read_info();
      if (!info) return std::unexpected(std::move(info).error());
      if (!out_.tensor_index_.emplace(info->name, i).second)
        return fail("{}: tensor '{}' appears twice", name_, info->name);
      infos.push_back(*std::move(info));
    }
    const std::size_t data = round_up<std::size_t>(at_, alignment);
    TACK_RETURN_IF_ERROR(place(infos, data, alignment));
    return {};
  }

  Status place(const std::vector<Info>& infos, std::size_t data, std::uint64_t alignment) {
    const std::size_t room = data <= bytes_.size() ? bytes_.size() - data : 0;
    std::vector<std::pair<std::uint64_t, const Info*>> order;
    for (const Info& info : infos) {
      if (info.offset % alignment != 0)
        return fail("{}: tensor '{}' at offset {} is not aligned to {}", name_, info.name,
                    info.offset, alignment);
      if (info.offset > room || info.bytes > room - info.offset)
        return fail(
            "{}: tensor '{}' ({} bytes at offset {}) lies outside the file, which has {} "
            "bytes of tensor data: the file is cut short or damaged",
            name_, info.name, info.bytes, info.offset, room);
      order.emplace_back(info.offset, &info);
      out_.tensors_.push_back(
          {info.name, {info.dtype, info.shape, bytes_.subspan(data + info.offset, info.bytes)}});
    }
    std::ranges::sort(order, {}, [](const auto& entry) { return entry.first; });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (order[i].first < order[i - 1].first + order[i - 1].second->bytes)
        return fail("{}: tensors '{}' and '{}' overlap", name_, order[i - 1].second->name,
                    order[i].second->name);
    return {};
  }

  GgufFile& out_;
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
};

GgufValue GgufValue::u32(std::uint32_t v) {
  return {Type::kU32, Type::kU32, std::uint64_t{v}};
}
GgufValue GgufValue::i32(std::int32_t v) {
  return {Type::kI32, Type::kU32, std::int64_t{v}};
}
GgufValue GgufValue::u64(std::uint64_t v) {
  return {Type::kU64, Type::kU32, v};
}
GgufValue GgufValue::f32(float v) {
  return {Type::kF32, Type::kU32, static_cast<double>(v)};
}
GgufValue GgufValue::boolean(bool v) {
  return {Type::kBool, Type::kU32, v};
}
GgufValue GgufValue::string(std::string v) {
  return {Type::kString, Type::kU32, std::move(v)};
}
GgufValue GgufValue::strings(Strings v) {
  return {Type::kArray, Type::kString, std::move(v)};
}
GgufValue GgufValue::i8s(std::vector<std::int64_t> v) {
  return {Type::kArray, Type::kI8, std::move(v)};
}
GgufValue GgufValue::i32s(std::vector<std::int64_t> v) {
  return {Type::kArray, Type::kI32, std::move(v)};
}
GgufValue GgufValue::f32s(std::vector<double> v) {
  return {Type::kArray, Type::kF32, std::move(v)};
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  TACK_TRY(auto mapped, MappedFile::open(path));
  TACK_TRY(auto file, parse(mapped.bytes(), path.string()));
  file.file_ = std::move(mapped);
  return file;
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  GgufFile file;
  file.bytes_ = bytes;
  file.name_ = name;
  if (Status parsed = GgufParser(file).parse(); !parsed)
    return std::unexpected(readable(std::move(parsed).error()));
  return file;
}

std::size_t GgufFile::file_bytes() const {
  return bytes_.size();
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto it = metadata_index_.find(key);
  return it == metadata_index_.end() ? nullptr : &metadata_[it->second].second;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

namespace {

std::unexpected<Error> missing(const GgufFile& file, std::string_view key) {
  return fail("{}: metadata key '{}' is missing", file.name(), key);
}
std::unexpected<Error> wrong_type(const GgufFile& file, std::string_view key,
                                  std::string_view expected) {
  return fail("{}: metadata key '{}' is not {}", file.name(), key, expected);
}

}  // namespace

Result<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* i = std::get_if<std::int64_t>(&value->value)) return *i;
  if (const auto* u = std::get_if<std::uint64_t>(&value->value))
    if (*u <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return static_cast<std::int64_t>(*u);
  return wrong_type(*this, key, "an integer");
}

Result<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* d = std::get_if<double>(&value->value)) return *d;
  if (const auto i = integer(key)) return static_cast<double>(*i);
  return wrong_type(*this, key, "a number");
}

Result<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* b = std::get_if<bool>(&value->value)) return *b;
  return wrong_type(*this, key, "true or false");
}

Result<std::string> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* s = std::get_if<std::string>(&value->value)) return *s;
  return wrong_type(*this, key, "a string");
}

Result<std::span<const std::string>> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* s = std::get_if<GgufValue::Strings>(&value->value))
    return std::span<const std::string>(*s);
  return wrong_type(*this, key, "a list of strings");
}

Result<std::int64_t> GgufFile::integer_or(std::string_view key, std::int64_t otherwise) const {
  if (find(key) == nullptr) return otherwise;
  return integer(key);
}
Result<double> GgufFile::number_or(std::string_view key, double otherwise) const {
  if (find(key) == nullptr) return otherwise;
  return number(key);
}
Result<bool> GgufFile::boolean_or(std::string_view key, bool otherwise) const {
  if (find(key) == nullptr) return otherwise;
  return boolean(key);
}
Result<std::string> GgufFile::string_or(std::string_view key, std::string otherwise) const {
  if (find(key) == nullptr) return otherwise;
  return string(key);
}

void GgufWriter::set(std::string key, GgufValue value) {
  if (key == kAlignmentKey) return;  // of the file it was read from; this one has its own
  for (auto& [present, old] : metadata_)
    if (present == key) {
      old = std::move(value);
      return;
    }
  metadata_.emplace_back(std::move(key), std::move(value));
}

bool GgufWriter::has(std::string_view key) const {
  return std::ranges::any_of(metadata_, [&](const auto& entry) { return entry.first == key; });
}

void GgufWriter::add_tensor(std::string name, DType dtype, Shape shape,
                            std::vector<std::byte> bytes) {
  tensors_.push_back({std::move(name), {dtype, std::move(shape), {}}, std::move(bytes), nullptr});
}

void GgufWriter::add_tensor_view(std::string name, const TensorView& view) {
  tensors_.push_back({std::move(name), view, {}, nullptr});
}

void GgufWriter::add_tensor_source(std::string name, DType dtype, Shape shape, Source source) {
  tensors_.push_back({std::move(name), {dtype, std::move(shape), {}}, {}, std::move(source)});
}

namespace {

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void append_string(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out += text;
}

void append_integer(std::string& out, Type type, std::uint64_t bits) {
  out.append(reinterpret_cast<const char*>(&bits), scalar_bytes(type));
}
void append_float(std::string& out, Type type, double value) {
  if (type == Type::kF32)
    append(out, static_cast<float>(value));
  else
    append(out, value);
}

void append_value(std::string& out, const GgufValue& value) {
  append(out, static_cast<std::uint32_t>(value.type));
  const auto array = [&](std::size_t count) {
    append(out, static_cast<std::uint32_t>(value.element_type));
    append<std::uint64_t>(out, count);
  };
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          append<std::uint8_t>(out, v ? 1 : 0);
        } else if constexpr (std::is_integral_v<T>) {
          append_integer(out, value.type, static_cast<std::uint64_t>(v));
        } else if constexpr (std::is_same_v<T, double>) {
          append_float(out, value.type, v);
        } else if constexpr (std::is_same_v<T, std::string>) {
          append_string(out, v);
        } else {
          array(v.size());
          for (const auto& element : v) {
            if constexpr (std::is_same_v<T, GgufValue::Strings>)
              append_string(out, element);
            else if constexpr (std::is_same_v<T, std::vector<double>>)
              append_float(out, value.element_type, element);
            else
              append_integer(out, value.element_type, static_cast<std::uint64_t>(element));
          }
        }
      },
      value.value);
}

}  // namespace

// Checks that it is `bytes`, what the header says.
Status GgufWriter::emit_tensor(const Tensor& tensor, std::size_t bytes,
                               const std::function<Status(std::string_view)>& sink) {
  std::size_t written = 0;
  const auto pass_on = [&](std::span<const std::byte> piece) -> Status {
    written += piece.size();
    if (written > bytes) return {};  // refused below
    return sink({reinterpret_cast<const char*>(piece.data()), piece.size()});
  };
  TACK_RETURN_IF_ERROR(tensor.source          ? tensor.source(pass_on)
                       : tensor.owned.empty() ? pass_on(tensor.view.bytes)
                                              : pass_on(tensor.owned));
  if (written != bytes)
    return fail("tensor '{}' {} has {} bytes, its type {} needs {}", tensor.name,
                to_string(tensor.view.shape), written, info(tensor.view.dtype).name, bytes);
  return {};
}

Result<GgufWriter::Header> GgufWriter::header() const {
  Header out;
  std::string& header = out.text;
  header = kMagic;
  append<std::uint32_t>(header, 3);
  append<std::uint64_t>(header, tensors_.size());
  append<std::uint64_t>(header, metadata_.size());
  for (const auto& [key, value] : metadata_) {
    append_string(header, key);
    append_value(header, value);
  }
  std::uint64_t& offset = out.data_bytes;
  for (const Tensor& tensor : tensors_) {
    const Shape& shape = tensor.view.shape;
    const auto bytes =
        storage_bytes(tensor.view.dtype, static_cast<std::uint64_t>(element_count(shape)));
    if (!bytes)
      return fail("tensor '{}' {} is no whole number of {}'s blocks", tensor.name, to_string(shape),
                  info(tensor.view.dtype).name);
    append_string(header, tensor.name);
    append<std::uint32_t>(header, static_cast<std::uint32_t>(shape.size()));
    for (auto d = shape.rbegin(); d != shape.rend(); ++d)
      append<std::uint64_t>(header, static_cast<std::uint64_t>(*d));
    append(header, static_cast<std::uint32_t>(tensor.view.dtype));
    append(header, offset);
    offset = round_up(offset + *bytes, kDefaultAlignment);
    out.sizes.push_back(*bytes);
  }
  header.resize(round_up<std::size_t>(header.size(), kDefaultAlignment), '\0');
  return out;
}

Result<std::uint64_t> GgufWriter::file_bytes() const {
  TACK_TRY(const Header start, header());
  return start.text.size() + start.data_bytes;
}

Status GgufWriter::emit(const std::function<Status(std::string_view)>& sink) const {
  TACK_TRY(const Header start, header());
  TACK_RETURN_IF_ERROR(sink(start.text));
  const std::string padding(kDefaultAlignment, '\0');
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    TACK_RETURN_IF_ERROR(emit_tensor(tensors_[i], start.sizes[i], sink));
    const std::size_t rest = start.sizes[i] % kDefaultAlignment;
    if (rest != 0) TACK_RETURN_IF_ERROR(sink(std::string_view(padding).substr(rest)));
  }
  return {};
}

Status GgufWriter::write(const std::filesystem::path& path) const {
  TACK_TRY(auto file, AtomicFile::create(path));
  TACK_RETURN_IF_ERROR(emit([&](std::string_view bytes) { return file.write(bytes); }));
  return file.commit();
}

Result<std::string> GgufWriter::to_bytes() const {
  std::string out;
  TACK_RETURN_IF_ERROR(emit([&](std::string_view bytes) -> Status {
    out += bytes;
    return {};
  }));
  return out;
}

}  // namespace tack
