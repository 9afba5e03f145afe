#include "compress/calibration_text.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/random.h"

namespace tack {
namespace {

constexpr double kStrangeWarning = 0.1, kUnknownRefused = 0.5;

// Varied, so that columns that matter in some domain are seen to matter. All of our own writing.
constexpr std::array<std::string_view, 30> kTexts = {
    "The old lighthouse keeper climbed the stairs every evening, lit the lamp, and watched the "
    "ships pass until the fog hid them from his sight. In winter the wind took the slates off the "
    "roof one by one, and in spring he put them back. Nobody had asked him to count the ships, but "
    "he did, and wrote the numbers into a book that he kept under his pillow.",
    "\"Did you lock the door?\" she asked.\n\"I think so.\"\n\"You think so, or you did?\"\n\"I "
    "did. "
    "I went back and tried the handle twice.\"\n\"Then why is it open now?\" Neither of them "
    "moved.",
    "def mean(values):\n    \"\"\"The arithmetic mean of a list that is not empty.\"\"\"\n    "
    "total = "
    "0.0\n    for value in values:\n        total += value\n    return total / len(values)\n\n\nif "
    "__name__ == \"__main__\":\n    print(mean([1, 2.5, 4]))",
    "Revenue grew by 12.5 % in the third quarter, to $4.2 billion, while costs rose by 3.1 %. The "
    "board expects growth between 8 % and 10 % for the full year and will pay a dividend of $0.45 "
    "a share on 14 March.",
    "Mix 250 g of flour, two eggs and a pinch of salt, then let the dough rest for an hour. Heat "
    "the oven to 180 degrees. Roll the dough out thinly, cut it into strips as wide as a finger, "
    "and bake them for 12 to 15 minutes until they are golden.",
    "A 54-year-old man was admitted with chest pain that began three hours earlier and spread to "
    "the left arm. Blood pressure was 145/90 mmHg, heart rate 98 per minute. An electrocardiogram "
    "showed raised ST segments; aspirin 300 mg was given at once.",
    "The court held that the contract could not be enforced, because notice was never given. Under "
    "section 12(b) either party may end the agreement by a letter that arrives no later than 30 "
    "days before the end of the term; an e-mail does not suffice unless both have agreed to it.",
    "Plants turn sunlight, water and carbon dioxide into sugar and oxygen. The green of a leaf is "
    "chlorophyll, which absorbs red and blue light. At night the process stops, and the plant "
    "breathes as animals do.",
    "#include <vector>\n\n// The largest of the values; there is at least one.\nint largest(const "
    "std::vector<int>& values) {\n  int best = values[0];\n  for (int v : values)\n    if (v > "
    "best) "
    "best = v;\n  return best;\n}",
    "| city | people | founded |\n|---|---|---|\n| Harrow Bay | 18,240 | 1871 |\n| Oldmere | 4,013 "
    "| 1640 |\n| Three Bridges | 97,556 | 1902 |",
    "{\"id\": 8841, \"name\": \"R. Castillo\", \"items\": [{\"sku\": \"A-17\", \"count\": 3}, "
    "{\"sku\": \"B-02\", \"count\": 1}], \"paid\": true, \"total\": 59.90}",
    "u guys charged me twice this month, refund pls!! i already wrote on monday and noone answered",
    "User: How do I reset my password?\nAssistant: Open the settings, choose \"Security\", and "
    "then "
    "\"Reset password\". You will get a link by e-mail that is valid for one hour.\nUser: It never "
    "arrived.\nAssistant: Please look into your spam folder first. If it is not there either, I "
    "can "
    "send another one.",
    "In 1969 two people walked on the moon while a third waited in orbit. The journey took three "
    "days each way. They brought back 21.5 kilograms of rock, and left a plaque, a flag and "
    "several "
    "instruments behind.",
    "Once upon a time there was a little fox who was afraid of the dark. Every night he hid under "
    "a big leaf and waited for the sun. One night he heard a small voice. \"Why are you hiding?\" "
    "asked the voice. It was a firefly. \"Come with me,\" she said, \"I will show you the stars.\"",
    "Let x be a positive number with x^2 = 2. If x = p/q in lowest terms, then p^2 = 2 q^2, so p "
    "is "
    "even, say p = 2r. Then 4 r^2 = 2 q^2, hence q is even too, which is impossible. Therefore x "
    "is "
    "not rational.",
    "ERROR 404: the page /orders/8841 was not found on this server\n2024-03-02 11:42:07 WARN "
    "retrying in 5 s (attempt 3 of 5)\n2024-03-02 11:42:12 INFO connected to 10.0.4.17:5432",
    "Dear Ms. Okafor,\n\nthank you for your letter of 3 May. We are sorry that the parcel arrived "
    "two days late and that the box was open. A replacement leaves our warehouse tomorrow; you "
    "need "
    "not send anything back.\n\nYours sincerely,\nThe customer service team",
    "SELECT name, count(*) AS orders FROM customers JOIN orders USING (customer_id) WHERE placed "
    ">= "
    "'2023-01-01' GROUP BY name HAVING count(*) > 3 ORDER BY orders DESC LIMIT 10;",
    "The glacier moved less than a metre a day, too slowly for the eye, but at night the climbers "
    "heard it crack and groan beneath their tents. By the time they reached the ridge, the valley "
    "that they had left in May was yellow with autumn.",
    "Q: What is the capital of France?\nA: Paris.\nQ: And what is 17 times 6?\nA: 102.\nQ: Name "
    "two "
    "rivers that flow into the Black Sea.\nA: The Danube and the Dnieper.",
    "1. Turn the machine off and unplug it.\n2. Remove the two screws at the back.\n3. Lift the "
    "cover, starting at the left.\n4. Replace the filter (part no. 55-201).\n5. Close the cover "
    "and "
    "tighten the screws by hand.",
    "Economists disagree about the cause. Some point to low interest rates, others to the scarcity "
    "of land near large cities; a third group holds that building rules, more than money, decide "
    "how many homes are built. What nobody disputes is that rents have risen faster than wages.",
    "best pizza ever, we come back every summer!!! only the wait was a bit long (40 min) but the "
    "staff was super friendly :)",
    "El tren de las nueve llega con retraso. Le train de neuf heures est en retard. Der Zug um "
    "neun "
    "Uhr hat Verspätung. Il treno delle nove è in ritardo.",
    "for (let i = 0; i < rows.length; i++) {\n  const cell = document.createElement('td');\n  "
    "cell.textContent = rows[i].name ?? 'unknown';\n  table.append(cell);\n}",
    "Shares of the shipping company fell 6 percent on Tuesday after it warned that the strike at "
    "two ports would cost more than expected. Analysts had predicted a loss of 40 million; the "
    "company now speaks of 55 to 60 million.",
    "The violin enters alone, so softly that one hears the bow before the note. Only after sixteen "
    "bars do the cellos answer, and when the whole orchestra has joined in, the melody has already "
    "gone somewhere else.",
    "To whom it may concern: the undersigned declares that the information above is complete and "
    "true to the best of his knowledge, and that he has not been convicted of any offence in the "
    "last five years.",
    "Set an alarm for half past six, turn off the lights in the kitchen, play some jazz, and "
    "remind "
    "me to call mum on Sunday. What's the weather like in Madrid this weekend?",
};

std::int64_t size_of(const auto& list) {
  return static_cast<std::int64_t>(list.size());
}

bool is_unknown(std::string_view piece) {
  return piece == "[UNK]" || piece == "<unk>";
}

// Tokens that say that the tokenizer does not know this text.
class Strangeness {
 public:
  explicit Strangeness(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(TokenId id) {
    ++tokens_;
    if (is_unknown(tokenizer_.token(id))) {
      ++unknown_;
      return;
    }
    const std::string bytes = tokenizer_.token_bytes(id);
    if (bytes.size() == 1 && static_cast<unsigned char>(bytes[0]) >= 0x80) ++bytes_;
  }
  double unknown() const { return share(unknown_); }
  double strange() const { return share(unknown_ + bytes_); }

 private:
  double share(std::int64_t count) const {
    return static_cast<double>(count) / static_cast<double>(std::max<std::int64_t>(tokens_, 1));
  }
  const Tokenizer& tokenizer_;
  std::int64_t tokens_ = 0, unknown_ = 0, bytes_ = 0;
};

std::vector<std::vector<TokenId>> chunks_of_text(const Tokenizer& tokenizer, std::string_view text,
                                                 std::int64_t chunk) {
  std::vector<TokenId> ids = tokenizer.encode(text).ids;
  const SpecialTokens& special = tokenizer.special();
  if (special.add_eos && special.eos && !ids.empty() && ids.back() == *special.eos) ids.pop_back();
  std::vector<std::vector<TokenId>> chunks;
  const auto size = static_cast<std::size_t>(chunk);
  for (std::size_t begin = 0; begin + size <= ids.size(); begin += size) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    chunks.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
    if (special.add_bos && special.bos) chunks.back()[0] = *special.bos;
  }
  return chunks;
}

std::vector<std::vector<TokenId>> chunks_of_lines(const Tokenizer& tokenizer, std::string_view text,
                                                  std::int64_t chunk) {
  std::vector<std::vector<TokenId>> chunks;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos)
      chunks.push_back(tokenizer.encode(line, chunk).ids);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return chunks;
}

// A decoder's text in pieces, each as if it were a text of its own.
void add_pieces(const Model& model, const std::string& text, std::int64_t piece,
                std::vector<std::vector<TokenId>>& out) {
  const SpecialTokens& special = model.tokenizer().special();
  std::vector<TokenId> ids = model.tokenizer().encode(text).ids;
  const bool begins = special.add_bos && special.bos.has_value();
  if (special.add_eos && !ids.empty()) ids.pop_back();
  std::size_t at = begins ? 1 : 0;
  const auto room = static_cast<std::size_t>(std::max<std::int64_t>(piece - (begins ? 1 : 0), 1));
  while (at < ids.size()) {
    const std::size_t count = std::min(room, ids.size() - at);
    std::vector<TokenId>& tokens = out.emplace_back();
    if (begins) tokens.push_back(*special.bos);
    const auto from = ids.begin() + static_cast<std::ptrdiff_t>(at);
    tokens.insert(tokens.end(), from, from + static_cast<std::ptrdiff_t>(count));
    at += count;
  }
}

// About `limit` tokens, from all over the text.
void thin_out(std::vector<std::vector<TokenId>>& chunks, std::int64_t limit) {
  std::int64_t tokens = 0;
  for (const auto& chunk : chunks) tokens += size_of(chunk);
  if (limit <= 0 || tokens <= limit) return;
  const auto wanted = std::max<std::size_t>(
      1, static_cast<std::size_t>(static_cast<double>(chunks.size()) * static_cast<double>(limit) /
                                  static_cast<double>(tokens)));
  std::vector<std::vector<TokenId>> kept;
  for (std::size_t i = 0; i < wanted; ++i)
    kept.push_back(std::move(chunks[i * chunks.size() / wanted]));
  chunks = std::move(kept);
}

}  // namespace

std::int64_t CalibrationTokens::tokens() const {
  std::int64_t count = 0;
  for (const auto& chunk : chunks) count += size_of(chunk);
  return count;
}

Result<CalibrationTokens> calibration_tokens(const Model& model, std::string_view text,
                                             std::int64_t chunk, std::int64_t limit) {
  const Tokenizer& tokenizer = model.tokenizer();
  CalibrationTokens out;
  out.chunk_size = std::min(chunk, model.context_length());
  out.chunks = model.generates() ? chunks_of_text(tokenizer, text, out.chunk_size)
                                 : chunks_of_lines(tokenizer, text, out.chunk_size);
  if (out.chunks.empty())
    return fail(
        ErrorCode::kUsage, "the text to calibrate on has fewer than {} tokens: take a longer one{}",
        model.generates() ? out.chunk_size : 1, model.generates() ? ", or a smaller --chunk" : "");
  Strangeness strangeness(tokenizer);
  for (const auto& ids : out.chunks)
    std::ranges::for_each(ids, [&](TokenId i) { strangeness.add(i); });
  out.strange = strangeness.strange();
  if (strangeness.unknown() > kUnknownRefused)
    return fail(ErrorCode::kUsage,
                "{:.0f} % of the tokens of the text to calibrate on are unknown to {}: it is in "
                "another language or encoding",
                100 * strangeness.unknown(), model.name());
  if (out.strange > kStrangeWarning)
    out.warning = fmt::format(
        "{:.0f} % of the tokens to calibrate on are unknown or single bytes of characters: is this "
        "the language of the model?",
        100 * out.strange);
  thin_out(out.chunks, limit);
  return out;
}

Result<CalibrationTokens> draw_tokens(const Model& model, std::span<const std::string> texts,
                                      const DrawnTokens& options) {
  CalibrationTokens out;
  out.chunk_size =
      model.generates() ? std::min(options.piece, model.context_length()) : model.context_length();
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(1);
  random.shuffle(std::span(order));
  std::int64_t count = 0;
  if (model.generates()) {
    for (const std::string& text : texts) add_pieces(model, text, out.chunk_size, out.chunks);
    random.shuffle(std::span(out.chunks));
  } else {
    for (std::size_t i = 0; i < order.size() && count < options.most; ++i) {
      out.chunks.push_back(model.tokenizer().encode(texts[order[i]], out.chunk_size).ids);
      count += size_of(out.chunks.back());
    }
  }
  if (out.chunks.empty())
    return fail(ErrorCode::kUsage, "no texts to measure on: name some with --data");
  std::size_t kept = 1;
  count = size_of(out.chunks.front());
  while (kept < out.chunks.size() && count + size_of(out.chunks[kept]) <= options.most)
    count += size_of(out.chunks[kept++]);
  out.chunks.resize(kept);
  return out;
}

std::string builtin_calibration_text() {
  std::string text;
  for (const std::string_view part : kTexts) text += fmt::format("{}\n\n", part);
  return text;
}

CalibrationTokens hold_out(CalibrationTokens& tokens, std::int64_t wanted_tokens) {
  CalibrationTokens held;
  held.chunk_size = tokens.chunk_size;
  if (tokens.chunks.size() == 1) {
    held.chunks = tokens.chunks;
    return held;
  }
  // No more than half of them.
  const std::size_t most = tokens.chunks.size() / 2;
  std::int64_t count = 0;
  while (held.chunks.size() < most && (held.chunks.empty() || count < wanted_tokens)) {
    count += size_of(tokens.chunks.back());
    held.chunks.push_back(std::move(tokens.chunks.back()));
    tokens.chunks.pop_back();
  }
  std::ranges::reverse(held.chunks);
  return held;
}

}  // namespace tack
