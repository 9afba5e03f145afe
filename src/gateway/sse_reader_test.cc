#include "gateway/sse_reader.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tack::gateway {
namespace {

struct Read {
  std::vector<std::string> events;  // "name|data"
  std::string error;
  bool operator==(const Read&) const = default;
};

// Feeds `piece` bytes at a time.
Read read(std::string_view text, std::size_t piece, std::size_t limit = 1000) {
  SseReader reader(limit);
  Read out;
  const auto take = [&] {
    while (true) {
      const auto event = reader.next();
      if (!event) {
        out.error = event.error().message;
        return false;
      }
      if (!*event) return true;
      out.events.push_back(std::string((*event)->name) + "|" + std::string((*event)->data));
    }
  };
  for (std::size_t at = 0; at < text.size(); at += piece) {
    reader.feed(text.substr(at, piece));
    if (!take()) return out;
  }
  reader.end();
  take();
  return out;
}

std::vector<std::string> events_of(std::string_view text) {
  const Read whole = read(text, text.size() + 1);
  EXPECT_EQ(whole.error, "");
  for (std::size_t piece = 1; piece < 6; ++piece)
    EXPECT_EQ(read(text, piece), whole) << "in pieces of " << piece;
  return whole.events;
}

using Events = std::vector<std::string>;

TEST(SseReader, ReadsEvents) {
  EXPECT_EQ(events_of("data: {\"a\":1}\n\ndata: [DONE]\n\n"), (Events{"|{\"a\":1}", "|[DONE]"}));
  EXPECT_EQ(events_of("event: delta\ndata: x\nid: 7\nretry: 10\n\n"), Events{"delta|x"});
  EXPECT_EQ(events_of("data:x\n\ndata:  y\n\n"), (Events{"|x", "| y"}));  // one space is taken off
}

TEST(SseReader, JoinsLines) {
  EXPECT_EQ(events_of("data: a\ndata: b\ndata\ndata: c\n\n"), Events{"|a\nb\n\nc"});
  EXPECT_EQ(events_of("data\n\n"), Events{"|"});
  EXPECT_EQ(events_of("data:\ndata:\n\n"), Events{"|\n"});
}

TEST(SseReader, KnowsAllLineEnds) {
  const Events want{"|a\nb", "|c"};
  EXPECT_EQ(events_of("data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n"), want);
  EXPECT_EQ(events_of("data: a\rdata: b\r\rdata: c\r\r"), want);
  EXPECT_EQ(events_of("data: a\ndata: b\r\n\ndata: c\r\r\n"), want);
}

TEST(SseReader, SkipsCommentsAndWhatItDoesNotKnow) {
  EXPECT_EQ(
      events_of(": keep-alive\n\n: x\ndata: a\n: y\nfoo: bar\n\n\n\nevent: lost\n\ndata: b\n\n"),
      (Events{"|a", "|b"}));
  EXPECT_EQ(events_of("\xEF\xBB\xBF"
                      "data: a\n\n"),
            Events{"|a"});
  EXPECT_EQ(events_of(""), Events{});
  EXPECT_EQ(events_of("\n\n\n"), Events{});
}

TEST(SseReader, TakesAnEndWithoutItsBlankLine) {
  EXPECT_EQ(events_of("data: a\n\ndata: [DONE]\n"), (Events{"|a", "|[DONE]"}));
  EXPECT_EQ(events_of("data: a\n\ndata: [DONE]"), (Events{"|a", "|[DONE]"}));
}

TEST(SseReader, FindsOutWhatIsNoEventStream) {
  for (const char* text : {"{\"error\": {\"message\": \"x\"}}\n", "<html>\n", "data : x\n\n",
                           "data: a\n\nHTTP/1.1 200 OK\n", "\x16\x03\x01\n"}) {
    const Read got = read(text, 1000);
    EXPECT_NE(got.error.find("not an event stream"), std::string::npos) << text;
    EXPECT_EQ(read(text, 1), got) << text;
  }
}

TEST(SseReader, LimitsEventsNotStreams) {
  const std::string fits = "data: " + std::string(990, 'x') + "\n\n";
  EXPECT_EQ(events_of(fits + fits + fits).size(), 3u);
  for (const std::string& text :
       {"data: " + std::string(1000, 'x') + "\n\n", "data: " + std::string(100'000, 'x'),
        "data: a\n: " + std::string(990, 'x') + "\n\n"}) {
    EXPECT_NE(read(text, 100).error.find("more than 1000 bytes"), std::string::npos);
    EXPECT_NE(read(text, 1'000'000).error.find("more than 1000 bytes"), std::string::npos);
  }
  std::string many = "data: a\n";
  for (int i = 0; i < 400; ++i) many += "data:\n";
  EXPECT_NE(read(many, 7).error, "");
  // Comments alone may go on for ever.
  std::string comments;
  for (int i = 0; i < 400; ++i) comments += ": waiting\n";
  EXPECT_EQ(events_of(comments + "data: a\n\n"), Events{"|a"});
}

}  // namespace
}  // namespace tack::gateway
