// The same vocabularies in every kind of file: the references' ids come from each, and from the
// GGUF that is written of it.

#include "models/tokenizer_loading.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "models/made_up_decoder.h"
#include "models/model.h"

namespace tack {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<TokenId>;

constexpr std::string_view kSpace = "\u2581";
// As the files of the models have them.
constexpr std::pair<const char*, const char*> kExpressions[] = {
    {"llama-bpe",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"tekken",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}};

Json golden(const char* name) {
  std::ifstream file(std::string(TACK_SOURCE_DIR) + "/tests/golden/" + name);
  return file ? Json::parse(file) : Json();
}

Json added_token(std::string_view text, TokenId id, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// The vocabulary of tests/golden/byte_bpe.json with "<s>" and "</s>" behind it, "<s>" before texts.
Json byte_level_json(const Json& file, const Json& words) {
  Json vocab = Json::object(), merges = Json::array();
  TokenId id = 0;
  for (const Json& token : file["tokens"]) vocab[token.get<std::string>()] = id++;
  for (const Json& merge : file["merges"]) merges.push_back(merge);
  Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", words.is_null()}};
  Json pre = bytes;
  if (!words.is_null()) {
    Json split = {{"type", "Split"},
                  {"pattern", {{"Regex", words}}},
                  {"behavior", "Isolated"},
                  {"invert", false}};
    pre = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}};
  }
  const Json single = Json::array({{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                   {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}});
  return {
      {"added_tokens", Json::array({added_token("<s>", id, true), added_token("</s>", id + 1, true),
                                    added_token("<think>", id + 2, false)})},
      {"normalizer", nullptr},
      {"pre_tokenizer", pre},
      {"post_processor", {{"type", "TemplateProcessing"}, {"single", single}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

// The BPE of tests/golden/sentencepiece.json as transformers converts Gemma's: a merge for every
// two pieces that make another, those that make the best first.
Json gemma_json(const Json& pieces) {
  Json vocab = Json::object(), added = Json::array();
  std::map<std::string, double> scores;
  for (const Json& piece : pieces) {
    const auto text = piece[0].get<std::string>();
    const auto id = static_cast<TokenId>(vocab.size());
    vocab[text] = id;
    const int kind = piece[2];
    if (kind != 1 && kind != 6) added.push_back(added_token(text, id, kind != 4));
    if (kind == 1 || kind == 4) scores.emplace(text, piece[1].get<double>());
  }
  std::vector<std::tuple<double, std::string, std::string>> merges;
  for (const auto& [text, score] : scores)
    for (std::size_t cut = 1; cut < text.size(); ++cut)
      if (scores.contains(text.substr(0, cut)) && scores.contains(text.substr(cut)))
        merges.emplace_back(-score, text.substr(0, cut), text.substr(cut));
  std::ranges::sort(merges);
  Json list = Json::array();
  for (const auto& [score, left, right] : merges) list.push_back({left, right});
  return {
      {"added_tokens", added},
      {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}}},
      {"pre_tokenizer",
       {{"type", "Split"},
        {"pattern", {{"String", " "}}},
        {"behavior", "MergedWithPrevious"},
        {"invert", false}}},
      {"post_processor", nullptr},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", vocab},
        {"merges", list}}}};
}

// Fields of a protocol-buffer message.
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7U) bytes += static_cast<char>(value | 0x80U);
  return bytes + static_cast<char>(value);
}
std::string number_field(unsigned number, std::uint64_t value) {
  return varint(number << 3U) + varint(value);
}
std::string bytes_field(unsigned number, std::string_view bytes) {
  return varint(number << 3U | 2U) + varint(bytes.size()) + std::string(bytes);
}
std::string float_field(unsigned number, float value) {
  return varint(number << 3U | 5U) + std::string(reinterpret_cast<const char*>(&value), 4);
}

std::string tokenizer_model(const Json& pieces, bool bpe) {
  std::string bytes;
  for (const Json& piece : pieces)
    bytes += bytes_field(1, bytes_field(1, piece[0].get<std::string>()) +
                                float_field(2, piece[1].get<float>()) +
                                number_field(3, piece[2].get<std::uint64_t>()));
  bytes += bytes_field(2, number_field(3, bpe ? 2 : 1) + number_field(35, 1) + number_field(40, 0) +
                              number_field(41, 1) + number_field(42, 2));
  const std::uint64_t spaces = bpe ? 0 : 1;  // in front, and removed where there are many
  return bytes + bytes_field(3, bytes_field(1, "identity") + number_field(3, spaces) +
                                    number_field(4, spaces));
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8U |
              (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : std::uint32_t{0});
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? kDigits[three >> (18 - 6 * k) & 63U] : '=';
  }
  return text;
}

class TokenizerLoading : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("tack_tokenizer_test_" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    bytes_ = golden("byte_bpe.json");
    pieces_ = golden("sentencepiece.json");
  }
  void TearDown() override { fs::remove_all(directory_); }

  void write(const char* name, std::string_view text) const {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }
  void start_anew() const {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }

  std::unique_ptr<Tokenizer> open(const fs::path& path) const {
    auto tokenizer = open_tokenizer(path);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return tokenizer ? *std::move(tokenizer) : nullptr;
  }
  std::string refused() const {
    const auto tokenizer = open_tokenizer(directory_);
    EXPECT_FALSE(tokenizer);
    return tokenizer ? std::string() : tokenizer.error().message;
  }

  // The directory's tokenizer gives the ids behind `before` and in front of `after`; the GGUF that
  // is written of it does as it does.
  void compare(const Json& lines, const Json& ids, const Ids& before, const Ids& after) const {
    const auto direct = open(directory_);
    ASSERT_NE(direct, nullptr);
    const auto config = tokenizer_config_from_files(directory_);
    ASSERT_TRUE(config);
    GgufWriter writer;
    for (const auto& [key, value] : tokenizer_gguf_keys(*config)) writer.set(key, value);
    ASSERT_TRUE(writer.write(directory_ / "written.gguf"));
    const auto again = open(directory_ / "written.gguf");
    ASSERT_NE(again, nullptr);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto line = lines[i].get<std::string>();
      Ids expected = ids[i].get<Ids>();
      expected.insert(expected.begin(), before.begin(), before.end());
      expected.insert(expected.end(), after.begin(), after.end());
      EXPECT_EQ(direct->encode(line).ids, expected) << lines[i].dump();
      expect_same(*direct, *again, line);
      expect_same(*direct, *again, "<s>" + line + "<think> </s><table>");
    }
    EXPECT_EQ(again->special().eos, direct->special().eos);
  }
  static void expect_same(const Tokenizer& a, const Tokenizer& b, const std::string& text) {
    EXPECT_EQ(a.encode(text).ids, b.encode(text).ids) << text;
    const Ids ids = a.encode_with_special(text).ids;
    EXPECT_EQ(b.encode_with_special(text).ids, ids) << text;
    EXPECT_EQ(a.decode(ids), b.decode(ids));
  }

  fs::path directory_;
  Json bytes_, pieces_;
};

TEST_F(TokenizerLoading, ByteLevelTokenizerJson) {
  const auto count = static_cast<TokenId>(bytes_["tokens"].size());
  write("tokenizer.json", byte_level_json(bytes_, {}).dump());
  compare(bytes_["lines"], bytes_["ids"]["gpt-2"], {count}, {});
  for (const auto& [name, expression] : kExpressions) {
    SCOPED_TRACE(name);
    write("tokenizer.json", byte_level_json(bytes_, expression).dump());
    compare(bytes_["lines"], bytes_["ids"][name], {count}, {});
  }
  const auto tokenizer = open(directory_);
  EXPECT_EQ(tokenizer->encode("<think>").ids, (Ids{count, count + 2}));
  EXPECT_EQ(tokenizer->encode_with_special("<s>").ids, Ids{count});
}

TEST_F(TokenizerLoading, TokenizerConfigSaysWhatFramesATextAndTurns) {
  const auto count = static_cast<TokenId>(bytes_["tokens"].size());
  write("tokenizer.json", byte_level_json(bytes_, {}).dump());
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": false})");
  compare(bytes_["lines"], bytes_["ids"]["gpt-2"], {}, {});
  write("tokenizer_config.json", R"({"eos_token": "</s>", "add_eos_token": true})");
  compare(bytes_["lines"], bytes_["ids"]["gpt-2"], {count}, {count + 1});
}

TEST_F(TokenizerLoading, GemmasTokenizerJson) {
  write("tokenizer.json", gemma_json(pieces_["bpe"]["pieces"]).dump());
  Json lines = Json::array(), ids = Json::array();
  for (std::size_t i = 0; i < pieces_["lines"].size(); ++i) {
    // tokenizers finds added tokens in the raw text and merges runs of spaces; SentencePiece takes
    // U+2581 for a space everywhere and the longest run first.
    const auto line = pieces_["lines"][i].get<std::string>();
    if (line.contains(kSpace) || line.contains("  ")) continue;
    lines.push_back(line);
    ids.push_back(pieces_["bpe"]["ids"][i]);
  }
  compare(lines, ids, {}, {});
}

TEST_F(TokenizerLoading, SentencePieceModels) {
  write("tokenizer.model", tokenizer_model(pieces_["bpe"]["pieces"], true));
  compare(pieces_["lines"], pieces_["bpe"]["ids"], {1}, {});
  write("tokenizer.model", tokenizer_model(pieces_["unigram"]["pieces"], false));
  compare(pieces_["lines"], pieces_["unigram"]["ids"], {}, {2});
}

TEST_F(TokenizerLoading, TokensAddedToAModel) {
  const auto count = static_cast<TokenId>(pieces_["bpe"]["pieces"].size());
  write("tokenizer.model", tokenizer_model(pieces_["bpe"]["pieces"], true));
  Json added = Json::object();
  added[std::to_string(count + 1)] = {{"content", "<|im_end|>"}, {"special", true}};
  write("tokenizer_config.json",
        Json{{"added_tokens_decoder", added}, {"eos_token", "<|im_end|>"}}.dump());
  compare(pieces_["lines"], pieces_["bpe"]["ids"], {1}, {});
  const auto tokenizer = open(directory_);
  EXPECT_EQ(tokenizer->encode_with_special("<|im_end|>").ids, (Ids{1, count + 1}));
  EXPECT_EQ(tokenizer->special().eos, count + 1);
  EXPECT_EQ(tokenizer->special().eot, count + 1);
}

// Ranks that are the order of merges give what the merges do.
TEST_F(TokenizerLoading, Tekken) {
  constexpr TokenId kSpecials = 20;
  Json vocab = Json::array();
  for (const Json& token : bytes_["tokens"])
    vocab.push_back({{"rank", vocab.size()},
                     {"token_bytes", base64(bytes_of_printable(token.get<std::string>()))}});
  const std::size_t count = vocab.size();
  vocab.push_back({{"rank", count}, {"token_bytes", "AAAA"}});  // more than the model uses
  const Json file = {{"config",
                      {{"pattern", kExpressions[2].second},
                       {"default_vocab_size", count + kSpecials},
                       {"default_num_special_tokens", kSpecials}}},
                     {"vocab", vocab}};
  write("tekken.json", file.dump());
  Json ids = bytes_["ids"]["tekken"];
  for (Json& line : ids)
    for (Json& id : line) id = id.get<TokenId>() + kSpecials;
  compare(bytes_["lines"], ids, {1}, {});
  const auto tokenizer = open(directory_);
  EXPECT_EQ(tokenizer->encode_with_special("[INST]").ids, (Ids{1, 3}));
  EXPECT_EQ(tokenizer->vocab_size(), static_cast<std::int64_t>(count) + kSpecials);
}

// A decoder's directory becomes one file, with everything a conversation needs.
TEST_F(TokenizerLoading, ConvertedDecodersKeepTokenizerAndChatTemplate) {
  Json config = golden_decoders()["llama 3"]["config"];
  config["vocab_size"] = bytes_["tokens"].size() + 10;
  ASSERT_TRUE(write_made_up_checkpoint(directory_, config));
  write("tokenizer.json", byte_level_json(bytes_, kExpressions[0].second).dump());
  write("tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": "{{ messages }}"})");
  const fs::path out = directory_ / "out.gguf";
  ASSERT_TRUE(convert_model(directory_, out, {.type = "f32"}));
  const auto before = Model::open(directory_), after = Model::open(out);
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ((*before)->chat_template(), "{{ messages }}");
  EXPECT_EQ((*after)->chat_template(), "{{ messages }}");
  for (const Json& line : bytes_["lines"])
    expect_same((*before)->tokenizer(), (*after)->tokenizer(),
                line.get<std::string>() + "<s><think></s>");
  EXPECT_EQ((*after)->tokenizer().special().eos, (*before)->tokenizer().special().eos);
  // A token for every row, as llama.cpp wants it.
  EXPECT_EQ((*after)->tokenizer().vocab_size(), (*after)->vocab_size());
  EXPECT_EQ((*before)->tokenizer().vocab_size(), (*after)->vocab_size() - 7);

  write("chat_template.jinja", "of its own");
  EXPECT_EQ((*Model::open(directory_))->chat_template(), "of its own");
  fs::remove(directory_ / "chat_template.jinja");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "t"},
                              {"name": "default", "template": "d"}]})");
  EXPECT_EQ((*Model::open(directory_))->chat_template(), "d");
  fs::remove(directory_ / "tokenizer_config.json");
  EXPECT_EQ((*Model::open(directory_))->chat_template(), "");
}

TEST_F(TokenizerLoading, BrokenFilesAreRefusedInOneLine) {
  const auto refuse = [&](const char* name, std::string_view text, std::string_view says) {
    start_anew();
    write(name, text);
    const std::string message = refused();
    EXPECT_TRUE(message.contains(says)) << message;
    EXPECT_TRUE(message.contains(name)) << message;
    EXPECT_FALSE(message.contains('\n')) << message;
  };
  refuse("tokenizer.json", "{", "not valid JSON");
  refuse("tokenizer.json", "[]", "not a tokenizer.json");
  refuse("tokenizer.json", R"({"model": {"type": "BPE"}})", "vocab");
  refuse("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": -1}}})", "id of 'a'");
  refuse("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 99999999}}})", "id of 'a'");
  refuse("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}}})", "same id");
  refuse("tokenizer.json", R"({"model": {"type": "Unigram", "vocab": [["a"]]}})", "entry 0");
  refuse("tokenizer.json", R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})", "WordLevel");
  refuse("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a"]}})",
         "'a' is not two");

  const auto changed = [&](const auto& change, std::string_view says) {
    Json file = byte_level_json(bytes_, {});
    change(file);
    refuse("tokenizer.json", file.dump(), says);
  };
  changed([](Json& f) { f["model"]["merges"].push_back("a nothing"); }, "does not join");
  changed([](Json& f) { f["model"]["vocab"].erase("a"); }, "does not join");
  changed([](Json& f) { f["normalizer"] = {{"type", "Lowercase"}}; }, "Lowercase");
  changed([](Json& f) { f["pre_tokenizer"]["add_prefix_space"] = true; }, "add_prefix_space");
  changed([](Json& f) { f["pre_tokenizer"] = {{"type", "Whitespace"}}; },
          "'Whitespace' is not supported");
  changed([](Json& f) { f["post_processor"] = {{"type", "BertProcessing"}}; }, "BertProcessing");
  changed([](Json& f) { f["post_processor"]["single"][0]["SpecialToken"]["id"] = "<x>"; }, "<x>");
  changed([](Json& f) { f["added_tokens"][0]["single_word"] = true; }, "whole words");
  changed([](Json& f) { f["added_tokens"][0].erase("id"); }, "added_tokens");
  changed([](Json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "suffix");

  const std::string model = tokenizer_model(pieces_["bpe"]["pieces"], true);
  refuse("tokenizer.model", model.substr(0, model.size() / 2), "not a SentencePiece model");
  refuse("tokenizer.model", "\n\x02\xFF\xFF", "not a SentencePiece model");
  refuse("tokenizer.model", "", "no tokens");
  refuse("tokenizer.model", "aGk= 0\n", "only Llama 3");
  refuse("tokenizer.model", "!! 0\n", "not base64");
  refuse("tokenizer.model", "aGk= x\n", "line 1");
  Json pieces = pieces_["bpe"]["pieces"];
  pieces[5][2] = 9;
  refuse("tokenizer.model", tokenizer_model(pieces, true), "piece 5 has type 9");

  refuse("tekken.json", "{}", "not a tekken.json");
  refuse("tekken.json", R"({"config": {"pattern": "x", "default_vocab_size": 3,
         "default_num_special_tokens": 1}, "vocab": [{"rank": 1, "token_bytes": "YQ=="}]})",
         "rank 1 is too large");
  refuse("tekken.json", R"({"config": {"pattern": "x", "default_vocab_size": 2,
         "default_num_special_tokens": 1}, "vocab": [{"rank": 0, "token_bytes": "YQ=="}]})",
         "expression that is not known");

  start_anew();
  EXPECT_TRUE(refused().contains("no tokenizer.json"));
  write("tokenizer.model", model);
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})");
  EXPECT_TRUE(refused().contains("'x' is no id"));
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"999999999": {"content": "y"}}})");
  EXPECT_TRUE(refused().contains("999999999"));
}

}  // namespace
}  // namespace tack
