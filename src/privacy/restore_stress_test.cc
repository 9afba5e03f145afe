// Many requests at once, each with a vault of its own, their answers cut everywhere. How many
// restores: TACK_RESTORES, 20,000 by default.
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "privacy/restorer.h"

namespace tack::privacy {
namespace {

constexpr int kThreads = 64;
constexpr int kRestoresOfRequest = 10;

std::size_t wanted_restores() {
  const char* given = std::getenv("TACK_RESTORES");
  return given == nullptr ? 20'000 : static_cast<std::size_t>(std::strtoull(given, nullptr, 10));
}

// What stands between values: text, look-alikes, halves of pseudonyms, bytes that are no text.
constexpr std::string_view kBetween[] = {
    " ",         "and ",      "<",           "<<",        ">",          "<EMAIL_",
    "EMAIL_1>",  "<EMAIL_1>", "<CARD_7>",    "<A_1>",     "<EMAIL_01>", "<email_1>",
    "\xC3\xA9",  "\xFF\xFE",  "\n",          "{\"a\":\"", "</b>",       "<_1>",
    "a < b > c", "<PHONE_2",  "<EMAIL_999>", "1>",        "_"};

struct Request {
  Vault vault;
  std::string whole;   // what the answer should be
  std::string masked;  // what the model says
};

// Values that no other request has: each begins with `owner`.
void fill(Request& request, Random& random, const std::string& owner) {
  constexpr const char* kEntities[] = {"EMAIL_ADDRESS", "CREDIT_CARD", "PHONE_NUMBER", "PERSON"};
  std::vector<Finding> findings;
  std::vector<std::string> values;
  for (std::uint64_t n = 1 + random.below(6); n > 0; --n) {
    std::string value = owner + std::to_string(random.below(1000));
    for (std::uint64_t bytes = random.below(40); bytes > 0; --bytes)
      value += static_cast<char>(random.below(256));
    if (random.below(4) == 0) value += "<EMAIL_1>";  // not restored once more
    values.push_back(std::move(value));
  }
  for (std::uint64_t n = random.below(24); n > 0; --n) {
    if (random.below(2) == 0) {
      request.whole += kBetween[random.below(std::size(kBetween))];
      continue;
    }
    const std::string& value = values[random.below(values.size())];
    const std::size_t begin = request.whole.size();
    request.whole += value;
    findings.push_back({kEntities[random.below(4)], begin, request.whole.size(), 1});
  }
  request.vault.reserve(request.whole);
  request.masked = request.vault.mask(request.whole, findings);
}

// In pieces of one to a few bytes, two pieces, or as the generator likes.
std::string restore_in_pieces(const Request& request, Random& random, std::size_t& most_held) {
  Restorer restorer(request.vault);
  std::string out;
  const std::uint64_t longest = std::size_t{1} << random.below(8);
  const bool two = random.below(4) == 0;
  const std::string_view text = request.masked;
  std::size_t given = 0;
  while (given < text.size()) {
    std::size_t size = two && given == 0 ? random.below(text.size() + 1)
                       : two             ? text.size() - given
                                         : 1 + random.below(longest);
    size = std::min(size, text.size() - given);
    out += restorer.add(text.substr(given, size));
    given += size;
    if (random.below(16) == 0) most_held = std::max(most_held, Restorer(restorer).finish().size());
  }
  return out += restorer.finish();
}

struct Outcome {
  std::atomic<std::size_t> restores{0}, wrong{0}, leaks{0}, held_too_much{0};
};

void run_thread(int thread, std::size_t restores, Outcome& outcome) {
  Random random(static_cast<std::uint64_t>(thread) + 1);
  std::string other_owner, other_masked;
  for (std::size_t done = 0, request_number = 0; done < restores; ++request_number) {
    const std::string owner =
        "[" + std::to_string(thread) + "/" + std::to_string(request_number) + "]";
    Request request;
    fill(request, random, owner);
    for (int i = 0; i < kRestoresOfRequest && done < restores; ++i, ++done) {
      std::size_t held = 0;
      if (restore_in_pieces(request, random, held) != request.whole) ++outcome.wrong;
      if (held > 0 && held >= request.vault.longest_pseudonym()) ++outcome.held_too_much;
      ++outcome.restores;
    }
    // The answer of the request before, given to this one's vault, shows no value of that request.
    if (!other_owner.empty() &&
        restore(request.vault, other_masked).find(other_owner) != std::string::npos)
      ++outcome.leaks;
    other_owner = owner;
    other_masked = request.masked;
  }
}

TEST(RestoreStress, ByteExactOverAllCutsAndThreads) {
  Outcome outcome;
  const std::size_t all = wanted_restores();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back(run_thread, t,
                         all / kThreads + (static_cast<std::size_t>(t) < all % kThreads),
                         std::ref(outcome));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(outcome.restores, all);
  EXPECT_EQ(outcome.wrong, 0u);
  EXPECT_EQ(outcome.leaks, 0u);
  EXPECT_EQ(outcome.held_too_much, 0u);
}

}  // namespace
}  // namespace tack::privacy
