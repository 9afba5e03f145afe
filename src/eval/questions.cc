#include "eval/questions.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/json.h"

namespace tack {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
constexpr std::size_t kFewestDocuments = 10;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// The member `key` of an object when it is a text that is not blank.
Result<std::string> text_at(const Json& json, const char* key, std::string_view where) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (found == json.end() || !found->is_string())
    return fail("{}: '{}' is missing or no text", where, key);
  auto text = found->get<std::string>();
  if (is_blank(text)) return fail("{}: '{}' is empty", where, key);
  return text;
}

Result<const Json*> list_at(const Json& json, const char* key, std::string_view where) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (found == json.end() || !found->is_array())
    return fail("{}: '{}' is missing or no list", where, key);
  return &*found;
}

// What an id is good for is being shown: numbers are taken as they are written.
std::string id_of(const Json& json) {
  const auto found = json.find("id");
  if (found == json.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : to_text(*found);
}

// A context with what is needed to place answers in it.
struct Placed {
  std::size_t index;
  std::vector<std::int64_t> offsets;  // of characters, in bytes
};

class Collector {
 public:
  explicit Collector(std::string name) { set_.name = std::move(name); }

  // The same context again is the same one.
  Placed context(const std::string& text, const std::string& title) {
    const auto [found, added] = index_.emplace(text, set_.contexts.size());
    if (added) {
      set_.contexts.push_back(text);
      set_.titles.push_back(title);
    }
    return {found->second, character_offsets(text)};
  }

  // `json` has "question" and perhaps "answers" and "id".
  Status add(const Json& json, const Placed& context, std::string_view where) {
    Question question;
    question.context = context.index;
    TACK_TRY(question.text, text_at(json, "question", where));
    question.id = id_of(json);
    const auto answers = json.find("answers");
    if (answers != json.end() && !answers->is_null())
      TACK_RETURN_IF_ERROR(read_answers(*answers, context, where, question));
    const auto impossible = json.find("is_impossible");
    if (impossible != json.end() && impossible->is_boolean() && impossible->get<bool>() &&
        !question.answers.empty())
      return fail("{}: 'is_impossible' is true, but there are answers", where);
    set_.questions.push_back(std::move(question));
    return {};
  }

  Result<QuestionSet> finish() {
    if (set_.questions.empty()) return fail("{}: there are no questions", set_.name);
    return std::move(set_);
  }

 private:
  Status read_answers(const Json& json, const Placed& context, std::string_view where,
                      Question& question) {
    if (json.is_object()) {
      TACK_TRY(const Json* texts, list_at(json, "text", where));
      TACK_TRY(const Json* starts, list_at(json, "answer_start", where));
      if (texts->size() != starts->size())
        return fail("{}: {} texts of answers, but {} places", where, texts->size(), starts->size());
      for (std::size_t i = 0; i < texts->size(); ++i)
        TACK_RETURN_IF_ERROR(add_answer((*texts)[i], (*starts)[i], context, where, question));
      return {};
    }
    if (!json.is_array()) return fail("{}: 'answers' is no list", where);
    static const Json kNone;
    for (const Json& answer : json) {
      const auto at = [&](const char* key) -> const Json& {
        const auto found = answer.is_object() ? answer.find(key) : answer.end();
        return found == answer.end() ? kNone : *found;
      };
      const Json& start = at("start").is_null() ? at("answer_start") : at("start");
      TACK_RETURN_IF_ERROR(add_answer(at("text"), start, context, where, question));
    }
    return {};
  }

  Status add_answer(const Json& text, const Json& start, const Placed& context,
                    std::string_view where, Question& question) {
    if (!text.is_string() || !start.is_number_integer() || is_blank(text.get<std::string>()))
      return fail("{}: an answer is {{\"text\": \"...\", \"start\": 3}}, not {} at {}", where,
                  to_text(text), to_text(start));
    const auto answer = text.get<std::string>();
    const std::string& whole = set_.contexts[context.index];
    const auto characters = static_cast<std::int64_t>(context.offsets.size()) - 1;
    const auto at = start.get<std::int64_t>();
    if (at < 0 || at >= characters)
      return fail("{}: answer '{}' begins at character {}, the context has {}", where, answer, at,
                  characters);
    const std::int64_t begin = context.offsets[static_cast<std::size_t>(at)];
    const std::string_view there = std::string_view(whole).substr(static_cast<std::size_t>(begin));
    if (!there.starts_with(answer)) {
      const auto end = std::min<std::size_t>(static_cast<std::size_t>(at) + 20,
                                             static_cast<std::size_t>(characters));
      return fail("{}: at character {} the context has '{}', not the answer '{}'", where, at,
                  there.substr(0, static_cast<std::size_t>(context.offsets[end] - begin)), answer);
    }
    const Stretch stretch{begin, begin + static_cast<std::int64_t>(answer.size())};
    if (std::ranges::find(question.answers, stretch) == question.answers.end())
      question.answers.push_back(stretch);
    return {};
  }

  QuestionSet set_;
  std::unordered_map<std::string, std::size_t> index_;
};

Result<QuestionSet> parse_squad(std::string_view text, const std::string& name) {
  TACK_TRY(const Json json, parse_json(text, name));
  TACK_TRY(const Json* articles, list_at(json, "data", name));
  Collector collector(name);
  for (std::size_t a = 0; a < articles->size(); ++a) {
    const Json& article = (*articles)[a];
    const std::string in_article = fmt::format("{}: data {}", name, a + 1);
    const auto title = article.is_object() ? article.find("title") : article.end();
    TACK_TRY(const Json* paragraphs, list_at(article, "paragraphs", in_article));
    for (std::size_t p = 0; p < paragraphs->size(); ++p) {
      const Json& paragraph = (*paragraphs)[p];
      const std::string in_paragraph = fmt::format("{}, paragraph {}", in_article, p + 1);
      TACK_TRY(const std::string context, text_at(paragraph, "context", in_paragraph));
      const Placed placed = collector.context(context, title != article.end() && title->is_string()
                                                           ? title->get<std::string>()
                                                           : std::string());
      TACK_TRY(const Json* questions, list_at(paragraph, "qas", in_paragraph));
      for (std::size_t q = 0; q < questions->size(); ++q)
        TACK_RETURN_IF_ERROR(collector.add((*questions)[q], placed,
                                           fmt::format("{}, question {}", in_paragraph, q + 1)));
    }
  }
  return collector.finish();
}

Result<QuestionSet> parse_lines(std::string_view text, const std::string& name) {
  Collector collector(name);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (is_blank(line)) continue;
    TACK_RETURN_IF_ERROR(check_utf8(line, name, number));
    const std::string where = fmt::format("{}: line {}", name, number);
    TACK_TRY(const Json json, parse_json(line, where));
    TACK_TRY(const std::string context, text_at(json, "context", where));
    const auto title = json.find("title");
    const Placed placed = collector.context(context, title != json.end() && title->is_string()
                                                         ? title->get<std::string>()
                                                         : std::string());
    TACK_RETURN_IF_ERROR(collector.add(json, placed, where));
  }
  return collector.finish();
}

std::string hash_of(const QuestionSet& data) {
  std::string all;
  for (const std::string& context : data.contexts) {
    all += context;
    all += '\0';
  }
  for (const Question& question : data.questions) {
    all += fmt::format("{} {}", question.context, question.text);
    for (const Stretch& answer : question.answers)
      all += fmt::format("\n{} {}", answer.begin, answer.end);
    all += '\0';
  }
  return sha256_hex(all);
}

// What keeps questions together, a number each: those of the same document, context or text.
std::vector<std::uint64_t> documents_of(const QuestionSet& data, std::uint64_t seed) {
  std::vector<std::uint64_t> out(data.size());
  for (int level = 0; level < 3; ++level) {
    for (std::size_t i = 0; i < data.size(); ++i) {
      const Question& question = data.questions[i];
      const std::string& title = data.titles[question.context];
      const std::string& context = data.contexts[question.context];
      const std::string& key = level == 0 && !title.empty() ? title
                               : level <= 1                 ? context
                                                            : question.text;
      out[i] = content_hash(fmt::format("{}\n{}", seed, normalized_text(key)));
    }
    if (std::unordered_set<std::uint64_t>(out.begin(), out.end()).size() >= kFewestDocuments) break;
  }
  return out;
}

}  // namespace

std::size_t QuestionSet::answerable() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(questions, [](const Question& q) { return !q.answers.empty(); }));
}

std::vector<std::string_view> QuestionSet::answers_of(std::size_t question) const {
  std::vector<std::string_view> out;
  for (const Stretch& answer : questions[question].answers)
    out.push_back(std::string_view(context_of(question))
                      .substr(static_cast<std::size_t>(answer.begin),
                              static_cast<std::size_t>(answer.end - answer.begin)));
  return out;
}

QuestionSet QuestionSet::subset(const std::vector<std::size_t>& which) const {
  QuestionSet out;
  out.name = name;
  std::unordered_map<std::size_t, std::size_t> number;  // old -> new
  for (std::size_t i : which) {
    Question question = questions[i];
    const auto [found, added] = number.emplace(question.context, out.contexts.size());
    if (added) {
      out.contexts.push_back(contexts[question.context]);
      out.titles.push_back(titles[question.context]);
    }
    question.context = found->second;
    out.questions.push_back(std::move(question));
  }
  out.sha256 = hash_of(out);
  return out;
}

Result<QuestionSet> read_questions(const DataSource& source) {
  TACK_TRY(const std::string text, read_file(source.path, kMaxBytes));
  return parse_questions(text, source);
}

Result<QuestionSet> parse_questions(std::string_view text, const DataSource& source) {
  const std::string extension = std::filesystem::path(source.path).extension().string();
  const bool guess = source.format == RowFormat::kAuto;
  std::optional<Result<QuestionSet>> data;
  if (source.format == RowFormat::kJson || (guess && extension == ".json"))
    data = parse_squad(text, source.path);
  else if (source.format == RowFormat::kJsonl ||
           (guess && (extension == ".jsonl" || extension == ".ndjson")))
    data = parse_lines(text, source.path);
  else
    return fail(ErrorCode::kUsage,
                "{}: questions are JSON as SQuAD has it (.json) or JSON lines (.jsonl); say which "
                "with format",
                source.path);
  if (*data) (*data)->sha256 = hash_of(**data);
  return *std::move(data);
}

Split split_questions(const QuestionSet& data, double fraction, std::uint64_t seed) {
  const auto documents = documents_of(data, seed);
  std::vector<std::size_t> order(data.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return documents[i]; });
  const auto wanted = static_cast<std::size_t>(
      std::max(1.0, std::round(fraction * static_cast<double>(data.size()))));
  Split split;
  for (std::size_t i = 0; i < order.size(); ++i) {
    // A document that is begun is finished.
    const bool second =
        split.second.size() < wanted || documents[order[i]] == documents[split.second.back()];
    (second ? split.second : split.first).push_back(order[i]);
  }
  std::ranges::sort(split.first);
  std::ranges::sort(split.second);
  return split;
}

QuestionSet pick_questions(const QuestionSet& data, std::size_t count, std::uint64_t seed) {
  if (count >= data.size()) return data;
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < data.size(); ++i)
    order.emplace_back(
        content_hash(fmt::format("{}\n{}\n{}", seed, data.questions[i].text, data.context_of(i))),
        i);
  std::ranges::sort(order);
  std::vector<std::size_t> picked;
  for (std::size_t i = 0; i < count; ++i) picked.push_back(order[i].second);
  std::ranges::sort(picked);
  return data.subset(picked);
}

std::size_t count_context_overlap(const QuestionSet& train, const QuestionSet& test) {
  std::unordered_set<std::uint64_t> seen;
  for (const std::string& context : train.contexts)
    seen.insert(content_hash(normalized_text(context)));
  std::vector<bool> known;
  for (const std::string& context : test.contexts)
    known.push_back(seen.contains(content_hash(normalized_text(context))));
  return static_cast<std::size_t>(std::ranges::count_if(
      test.questions, [&](const Question& question) { return known[question.context]; }));
}

}  // namespace tack
