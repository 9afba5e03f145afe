// For tests of this folder: records of every kind, a directory that goes with the test, and SQL
// that looks into a file past our own code.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/random.h"
#include "store/ledger.h"

namespace tack::store {

// $2.5, $10 and $1.25 (cached) for a million tokens; the strong one costs four times that.
inline const Price kWeakPrice{.input = 2.5, .output = 10, .cached_input = 1.25};
inline const Price kStrongPrice{.input = 10, .output = 40, .cached_input = 5};

inline Attempt made_up_attempt(Random& random, std::string model, Purpose purpose,
                               const Price& price) {
  Attempt a{.model = std::move(model), .purpose = purpose};
  a.local = a.model.find('/') == std::string::npos;
  a.status = purpose == Purpose::kFailed ? 503 : 200;
  a.tokens.prompt = static_cast<std::int64_t>(random.below(3000));
  a.tokens.completion = static_cast<std::int64_t>(random.below(500));
  a.tokens.cached =
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(a.tokens.prompt + 1)));
  a.tokens.estimated = random.below(5) == 0;
  a.cost = price.cost(a.tokens);
  a.cpu_seconds = a.local ? random.uniform() : 0;
  a.first_byte_ms = 1 + 10 * random.uniform();
  a.total_ms = a.first_byte_ms + 100 * random.uniform();
  return a;
}

// One a minute from `start_us`, each different in every field.
inline CallRecord made_up_record(Random& random, std::int64_t start_us, std::size_t index) {
  CallRecord r;
  r.time_us = start_us + static_cast<std::int64_t>(index) * 60'000'000;
  r.id = "req-" + std::to_string(random.next());
  r.endpoint = random.below(4) == 0 ? "/v1/embeddings" : "/v1/chat/completions";
  r.client = random.below(3) == 0 ? "" : "key " + std::to_string(random.below(3));
  r.workload = "work " + std::to_string(random.below(2));
  r.route = random.below(3) == 0 ? "" : "auto";
  r.reason = "because of \"quotes\", \xc3\xbc and a line\nend";
  r.streamed = random.below(2) == 0;
  r.total_ms = 200 * random.uniform();
  const auto ask = [&](const char* model, Purpose purpose) {
    r.attempts.push_back(
        made_up_attempt(random, model, purpose, model[0] == 'b' ? kStrongPrice : kWeakPrice));
  };
  const std::uint64_t kind = random.below(10);
  if (kind == 0) {  // no answer at all
    ask("big/strong", Purpose::kFailed);
    r.status = 502;
  } else if (kind == 1) {
    r.from_cache = true;
    r.model = "small";
  } else if (kind <= 3) {
    ask("small", Purpose::kEscalated);
    ask("big/strong", Purpose::kAnswer);
    r.model = "big/strong";
  } else {
    ask("small", Purpose::kAnswer);
    r.model = "small";
    if (kind == 9) {
      ask("big/strong", Purpose::kShadow);
      if (random.below(4) != 0) r.agreed = random.below(2) == 0;
    }
  }
  if (random.below(5) != 0) {
    r.baseline = "big/strong";
    r.baseline_tokens = {.prompt = static_cast<std::int64_t>(random.below(9000)),
                         .completion = static_cast<std::int64_t>(random.below(900)),
                         .cached = static_cast<std::int64_t>(random.below(90)),
                         .estimated = random.below(2) == 1};
    r.baseline_cost = static_cast<Nano>(random.below(30'000'000));
  }
  if (random.below(2) == 0) {
    r.request = R"({"model": "auto", "messages": [{"role": "user", "content": "hi"}]})";
    r.response = R"({"object": "chat.completion", "choices": []})";
  }
  return r;
}

inline constexpr std::int64_t kNovember = 1'793'491'200'000'000;  // 2026-11-01 00:00 UTC

inline std::vector<CallRecord> made_up_records(std::size_t count, std::uint64_t seed = 1) {
  Random random(seed);
  std::vector<CallRecord> records;
  for (std::size_t i = 0; i < count; ++i) records.push_back(made_up_record(random, kNovember, i));
  return records;
}

inline void expect_equal(const CallRecord& a, const CallRecord& b) {
  EXPECT_EQ(a.time_us, b.time_us);
  EXPECT_EQ(std::tie(a.id, a.endpoint, a.client, a.workload, a.route, a.model, a.reason),
            std::tie(b.id, b.endpoint, b.client, b.workload, b.route, b.model, b.reason));
  const store::TokenUse &s = a.baseline_tokens, &t = b.baseline_tokens;
  EXPECT_EQ(std::tie(s.prompt, s.completion, s.cached, s.estimated),
            std::tie(t.prompt, t.completion, t.cached, t.estimated));
  EXPECT_EQ(std::tie(a.status, a.streamed, a.from_cache, a.total_ms, a.baseline, a.baseline_cost),
            std::tie(b.status, b.streamed, b.from_cache, b.total_ms, b.baseline, b.baseline_cost));
  EXPECT_EQ(a.agreed, b.agreed);
  EXPECT_EQ(a.request, b.request);
  EXPECT_EQ(a.response, b.response);
  ASSERT_EQ(a.attempts.size(), b.attempts.size());
  for (std::size_t i = 0; i < a.attempts.size(); ++i) {
    const Attempt &x = a.attempts[i], &y = b.attempts[i];
    EXPECT_EQ(std::tie(x.model, x.local, x.purpose, x.status, x.cost, x.cpu_seconds),
              std::tie(y.model, y.local, y.purpose, y.status, y.cost, y.cpu_seconds));
    EXPECT_EQ(std::tie(x.first_byte_ms, x.total_ms, x.tokens.prompt, x.tokens.completion),
              std::tie(y.first_byte_ms, y.total_ms, y.tokens.prompt, y.tokens.completion));
    EXPECT_EQ(std::tie(x.tokens.cached, x.tokens.estimated),
              std::tie(y.tokens.cached, y.tokens.estimated));
  }
}

// A directory that is empty at the begin of a test and gone at its end.
class StoreTest : public testing::Test {
 protected:
  StoreTest()
      : directory_(std::filesystem::path(testing::TempDir()) /
                   ("tack_store_" + std::to_string(::getpid()))),
        file_(directory_ / "ledger.db") {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~StoreTest() override { std::filesystem::remove_all(directory_); }

  // The first column of every row; an error is a row too.
  std::vector<std::string> sql(const std::string& text) const { return sql(file_, text); }
  static std::vector<std::string> sql(const std::filesystem::path& file, const std::string& text) {
    std::vector<std::string> rows;
    sqlite3* db = nullptr;
    sqlite3_open(file.c_str(), &db);
    sqlite3_busy_timeout(db, 5000);
    const auto take = [](void* out, int, char** values, char**) {
      static_cast<std::vector<std::string>*>(out)->push_back(values[0] ? values[0] : "NULL");
      return 0;
    };
    char* error = nullptr;
    if (sqlite3_exec(db, text.c_str(), take, &rows, &error) != SQLITE_OK)
      rows.push_back(error ? error : "?");
    sqlite3_free(error);
    sqlite3_close(db);
    return rows;
  }
  std::string one(const std::string& text) const {
    const auto rows = sql(text);
    return rows.size() == 1 ? rows[0] : std::to_string(rows.size()) + " rows";
  }
  std::int64_t number(const std::string& text) const { return std::stoll(one(text)); }

  std::filesystem::path directory_, file_;
};

}  // namespace tack::store
