#include "store/summary.h"

#include <map>

#include "store/made_up_records.h"
#include "store/sqlite_store.h"

namespace tack::store {
namespace {

constexpr Grouping kAll[] = {Grouping::kModel, Grouping::kRoute, Grouping::kClient, Grouping::kDay};

class SummaryTest : public StoreTest {
 protected:
  Report report(const std::vector<CallRecord>& records, const Period& period = {}) {
    auto store = SqliteStore::open(file_, Access::kWrite);
    EXPECT_TRUE(store) << store.error().message;
    EXPECT_TRUE((*store)->append(records));
    auto out = summarise(**store, period, kAll);
    EXPECT_TRUE(out) << out.error().message;
    return out.value_or(Report());
  }
};

// What SQL says of the same file, with sums of its own.
TEST_F(SummaryTest, AgreesWithSql) {
  const Report r = report(made_up_records(3000));
  const Summary& t = r.total;
  EXPECT_EQ(t.requests, number("SELECT count(*) FROM calls"));
  EXPECT_EQ(t.failures, number("SELECT count(*) FROM calls WHERE status >= 400"));
  EXPECT_EQ(t.cached, number("SELECT sum(from_cache) FROM calls"));
  EXPECT_EQ(t.local, number("SELECT count(*) FROM attempts WHERE purpose = 0 AND local"));
  EXPECT_EQ(t.upstream, number("SELECT count(*) FROM attempts WHERE purpose = 0 AND NOT local"));
  EXPECT_EQ(t.escalations, number("SELECT count(*) FROM attempts WHERE purpose = 1"));
  EXPECT_EQ(t.failed_attempts, number("SELECT count(*) FROM attempts WHERE purpose = 2"));
  EXPECT_EQ(t.shadow_runs, number("SELECT count(*) FROM attempts WHERE purpose = 3"));
  EXPECT_EQ(t.agreed, number("SELECT count(*) FROM calls WHERE agreed = 1"));
  EXPECT_EQ(t.disagreed, number("SELECT count(*) FROM calls WHERE agreed = 0"));
  EXPECT_EQ(t.prompt_tokens, number("SELECT sum(prompt_tokens) FROM attempts"));
  EXPECT_EQ(t.completion_tokens, number("SELECT sum(completion_tokens) FROM attempts"));
  EXPECT_EQ(t.cached_tokens, number("SELECT sum(cached_tokens) FROM attempts"));
  EXPECT_EQ(t.estimated_tokens,
            number("SELECT sum(prompt_tokens + completion_tokens) FROM attempts WHERE estimated"));
  EXPECT_NEAR(t.cpu_seconds, std::stod(one("SELECT sum(cpu_seconds) FROM attempts")), 1e-6);
  EXPECT_EQ(t.cost, number("SELECT sum(cost) FROM attempts"));
  EXPECT_EQ(t.compared, number("SELECT count(*) FROM calls WHERE baseline != ''"));
  EXPECT_EQ(t.baseline_cost, number("SELECT sum(baseline_cost) FROM calls WHERE baseline != ''"));
  EXPECT_EQ(
      t.savings,
      number("SELECT (SELECT sum(baseline_cost) FROM calls WHERE baseline != '') - "
             "(SELECT sum(cost) FROM attempts JOIN calls ON call = id WHERE baseline != '')"));
  const auto ranked = [&](const char* share) {
    return std::stod(one(std::string("WITH t AS (SELECT total_ms FROM calls WHERE status < 400) "
                                     "SELECT total_ms FROM t ORDER BY 1 LIMIT 1 OFFSET "
                                     "CAST(ceil(") +
                         share + " * (SELECT count(*) FROM t)) AS INTEGER) - 1"));
  };
  EXPECT_NEAR(t.p50_ms, ranked("0.5"), 1e-3);
  EXPECT_NEAR(t.p95_ms, ranked("0.95"), 1e-3);
  EXPECT_GT(t.failures * t.cached * t.upstream * t.escalations * t.shadow_runs * t.agreed, 0);
}

TEST_F(SummaryTest, TablesAgreeWithSql) {
  const Report r = report(made_up_records(3000));
  const auto row = [&](std::size_t table, std::string_view name) -> Summary {
    for (const auto& candidate : r.tables[table].rows)
      if (candidate.name == name) return candidate.sum;
    ADD_FAILURE() << name;
    return {};
  };
  for (const std::string model : {"small", "big/strong"}) {
    const Summary s = row(0, model);
    const std::string of = " WHERE model = '" + model + "'";
    EXPECT_EQ(s.requests, number("SELECT count(*) FROM calls" + of));
    EXPECT_EQ(s.cost, number("SELECT sum(cost) FROM attempts" + of));
    EXPECT_EQ(s.shadow_runs, number("SELECT count(*) FROM attempts" + of + " AND purpose = 3"));
    EXPECT_EQ(s.savings,
              number("SELECT coalesce((SELECT sum(baseline_cost) FROM calls" + of +
                     " AND baseline != ''), 0) - coalesce((SELECT sum(a.cost) FROM attempts a JOIN "
                     "calls c ON a.call = c.id WHERE a.model = '" +
                     model + "' AND c.baseline != ''), 0)"));
  }
  EXPECT_EQ(row(1, "auto").requests, number("SELECT count(*) FROM calls WHERE route = 'auto'"));
  EXPECT_EQ(row(2, "").cost,
            number("SELECT sum(cost) FROM attempts JOIN calls ON call = id WHERE client = ''"));
  // 3000 minutes: two days and two hours.
  ASSERT_EQ(r.tables[3].rows.size(), 3u);
  EXPECT_EQ(r.tables[3].rows[0].name, "2026-11-01");
  EXPECT_EQ(row(3, "2026-11-02").requests, 1440);
  EXPECT_EQ(row(3, "2026-11-03").requests, 120);
}

TEST_F(SummaryTest, TheRowsOfATableAddUpToTheTotal) {
  const Report r = report(made_up_records(3000, 7));
  for (const SummaryTable& table : r.tables) {
    Summary sum;
    for (const auto& [name, s] : table.rows) {
      for (const auto member :
           {&Summary::requests, &Summary::failures, &Summary::local, &Summary::upstream,
            &Summary::cached, &Summary::escalations, &Summary::failed_attempts,
            &Summary::shadow_runs, &Summary::agreed, &Summary::disagreed, &Summary::prompt_tokens,
            &Summary::completion_tokens, &Summary::cached_tokens, &Summary::estimated_tokens,
            &Summary::cost, &Summary::compared, &Summary::baseline_cost, &Summary::savings})
        sum.*member += s.*member;
      sum.cpu_seconds += s.cpu_seconds;
    }
    EXPECT_EQ(sum.requests, r.total.requests) << grouping_name(table.by);
    EXPECT_EQ(sum.failures, r.total.failures);
    EXPECT_EQ(sum.local + sum.upstream + sum.cached,
              r.total.local + r.total.upstream + r.total.cached);
    EXPECT_EQ(sum.local, r.total.local);
    EXPECT_EQ(sum.escalations + sum.failed_attempts + sum.shadow_runs,
              r.total.escalations + r.total.failed_attempts + r.total.shadow_runs);
    EXPECT_EQ(sum.agreed, r.total.agreed);
    EXPECT_EQ(sum.disagreed, r.total.disagreed);
    EXPECT_EQ(sum.prompt_tokens, r.total.prompt_tokens);
    EXPECT_EQ(sum.estimated_tokens, r.total.estimated_tokens);
    EXPECT_EQ(sum.cost, r.total.cost);
    EXPECT_EQ(sum.compared, r.total.compared);
    EXPECT_EQ(sum.baseline_cost, r.total.baseline_cost);
    EXPECT_EQ(sum.savings, r.total.savings);
    EXPECT_NEAR(sum.cpu_seconds, r.total.cpu_seconds, 1e-9 * r.total.cpu_seconds);
  }
}

// The books against the tokens: prices in whole billionths a token, in integers.
TEST_F(SummaryTest, SavingsReconcileWithTokensTimesPrices) {
  auto records = made_up_records(5000, 3);
  Nano spent = 0, baseline = 0;
  for (CallRecord& record : records) {
    const TokenUse asked{.prompt = 700, .completion = 40 + record.time_us / 60'000'000 % 90};
    record.baseline = "big/strong";
    record.baseline_cost = kStrongPrice.cost(asked);
    baseline += 700 * 10'000 + asked.completion * 40'000;
    for (const Attempt& a : record.attempts) {
      const Nano factor = a.model == "small" ? 1 : 4;
      spent += factor * ((a.tokens.prompt - a.tokens.cached) * 2500 + a.tokens.cached * 1250 +
                         a.tokens.completion * 10'000);
    }
  }
  const Report r = report(records);
  EXPECT_EQ(r.total.cost, spent);
  EXPECT_EQ(r.total.baseline_cost, baseline);
  EXPECT_EQ(r.total.savings, baseline - spent);
  Nano each = 0;
  for (const CallRecord& record : records) each += record.savings();
  EXPECT_EQ(r.total.savings, each);
}

TEST_F(SummaryTest, SavingsMayBeNegative) {
  CallRecord record;
  record.model = "small";
  record.baseline = "big/strong";
  record.baseline_cost = 1000;
  record.attempts = {{.model = "small", .local = true, .cost = 100},
                     {.model = "big/strong", .purpose = Purpose::kShadow, .cost = 1900}};
  const Report r = report({record});
  EXPECT_EQ(r.total.savings, -1000);
  ASSERT_EQ(r.tables[0].rows.size(), 2u);
  EXPECT_EQ(r.tables[0].rows[0].name, "small");
  EXPECT_EQ(r.tables[0].rows[0].sum.savings, 900);
  EXPECT_EQ(r.tables[0].rows[1].sum.savings, -1900);
  EXPECT_EQ(r.total.local_share(), 1);
}

TEST_F(SummaryTest, WithoutABaselineNothingIsSavedOrLost) {
  CallRecord record;
  record.baseline_cost = 5000;  // of nobody
  record.attempts = {{.model = "small", .cost = 100}};
  const Report r = report({record});
  EXPECT_EQ(r.total.cost, 100);
  EXPECT_EQ(r.total.savings, 0);
  EXPECT_EQ(r.total.baseline_cost, 0);
  EXPECT_EQ(r.total.compared, 0);
}

TEST_F(SummaryTest, AnEmptyLedgerIsAllZeros) {
  const Report r = report({});
  EXPECT_EQ(r.total.requests, 0);
  EXPECT_EQ(r.total.savings, 0);
  EXPECT_TRUE(std::isnan(r.total.p50_ms));
  EXPECT_TRUE(std::isnan(r.total.local_share()));
  EXPECT_FALSE(r.first_us);
  for (const SummaryTable& table : r.tables) EXPECT_TRUE(table.rows.empty());
}

TEST_F(SummaryTest, SumsThatDoNotFitStayAtTheLargest) {
  CallRecord record;
  record.model = "small";
  record.attempts = {{.model = "small",
                      .tokens = {.prompt = std::numeric_limits<std::int64_t>::max()},
                      .cost = std::numeric_limits<Nano>::max()}};
  const Report r = report({record, record});
  EXPECT_EQ(r.total.prompt_tokens, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(r.total.cost, std::numeric_limits<Nano>::max());
}

TEST_F(SummaryTest, CountsThePeriodAlone) {
  const auto records = made_up_records(100);
  const Report r =
      report(records, {.since_us = records[10].time_us, .until_us = records[30].time_us});
  EXPECT_EQ(r.total.requests, 20);
  EXPECT_EQ(r.first_us, records[10].time_us);
  EXPECT_EQ(r.last_us, records[29].time_us);
}

}  // namespace
}  // namespace tack::store
