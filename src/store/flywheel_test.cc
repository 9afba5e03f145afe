#include "store/flywheel.h"

#include "base/atomic_file.h"
#include "base/json.h"
#include "store/made_up_records.h"
#include "store/sqlite_store.h"

namespace tack::store {
namespace {

class FlywheelTest : public StoreTest {};

CallRecord chat(std::string request, std::string response) {
  CallRecord record;
  record.time_us = kNovember + 1'999'999;
  record.endpoint = "/v1/chat/completions";
  record.request = std::move(request);
  record.response = std::move(response);
  return record;
}

TEST_F(FlywheelTest, WritesChatCompletionsAndCountsTheOthers) {
  const std::string request =
      "{\"model\": \"auto\",\n \"messages\": [{\"role\": \"user\", \"content\": \"a\\nb\"}], "
      "\"seed\": 9007199254740993}";
  const std::string response = R"({"id": "chatcmpl-1", "object": "chat.completion"})";
  std::vector<CallRecord> records(1, chat(request, response));
  records[0].client = "acme";
  records[0].workload = "agent.router";
  records[0].route = "auto";
  records.push_back(chat("{}", "{}"));
  records[1].route = "auto";
  records.push_back(chat("{}", "{}"));
  records.push_back(chat("{}", "{}"));
  records[3].response.reset();
  records.push_back(chat("{}", R"({"error": {}})"));
  records[4].status = 502;
  records.push_back(chat("{}", "{}"));
  records[5].endpoint = "/v1/embeddings";
  records.push_back(chat("{\"a\": ", "{}"));
  records.push_back(chat("{}", "[]"));

  auto store = SqliteStore::open(file_, Access::kWrite);
  ASSERT_TRUE(store) << store.error().message;
  ASSERT_TRUE((*store)->append(records));
  const auto out = directory_ / "out.jsonl";
  const auto counts = export_flywheel(**store, {}, out);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->written, 3);
  EXPECT_EQ(counts->without_contents, 1);
  EXPECT_EQ(counts->failed, 1);
  EXPECT_EQ(counts->other_endpoints, 1);
  EXPECT_EQ(counts->unreadable, 2);
  EXPECT_EQ(
      read_file(out).value_or(""),
      "{\"timestamp\":1793491201,\"workload_id\":\"agent.router\",\"client_id\":\"acme\","
      "\"request\":{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\nb\"}],"
      "\"seed\":9007199254740993},"
      "\"response\":{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\"}}\n"
      "{\"timestamp\":1793491201,\"workload_id\":\"auto\",\"client_id\":\"default\","
      "\"request\":{},\"response\":{}}\n"
      "{\"timestamp\":1793491201,\"workload_id\":\"default\",\"client_id\":\"default\","
      "\"request\":{},\"response\":{}}\n");
}

TEST_F(FlywheelTest, AFileThatCannotBeWrittenIsAnError) {
  auto store = SqliteStore::open(file_, Access::kWrite);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_FALSE(export_flywheel(**store, {}, directory_ / "no" / "such" / "out.jsonl"));
}

}  // namespace
}  // namespace tack::store
