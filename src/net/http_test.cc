#include "net/http.h"

#include <gtest/gtest.h>

#include "net/address.h"
#include "net/client.h"

namespace tack::net {
namespace {

TEST(Headers, NamesCompareWithoutCase) {
  Headers headers;
  headers.add("X-One", "1");
  headers.add("x-one", "2");
  ASSERT_NE(headers.find("X-ONE"), nullptr);
  EXPECT_EQ(*headers.find("X-ONE"), "1");
  headers.set("x-One", "3");
  EXPECT_EQ(headers.size(), 1u);
  EXPECT_EQ(*headers.find("x-one"), "3");
  EXPECT_EQ(headers.find("x-on"), nullptr);
}

TEST(Headers, ValuesCannotStartAnotherHeader) {
  Headers headers;
  headers.set("X", "a\r\nSet-Cookie: b");
  EXPECT_EQ(*headers.find("X"), "a  Set-Cookie: b");
}

TEST(PercentDecode, DecodesAndRefuses) {
  EXPECT_EQ(percent_decode("/a%20b%2Fc"), "/a b/c");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%C3%A9"), "\xC3\xA9");
  EXPECT_EQ(percent_decode("%"), std::nullopt);
  EXPECT_EQ(percent_decode("%4"), std::nullopt);
  EXPECT_EQ(percent_decode("%4g"), std::nullopt);
  EXPECT_EQ(percent_decode("a%00b"), std::nullopt);
}

TEST(Request, QueryParameters) {
  Request request;
  request.query = "limit=10&name=a+b%26c&empty=&flag";
  EXPECT_EQ(request.query_param("limit"), "10");
  EXPECT_EQ(request.query_param("name"), "a b&c");
  EXPECT_EQ(request.query_param("empty"), "");
  EXPECT_EQ(request.query_param("flag"), "");
  EXPECT_EQ(request.query_param("lim"), std::nullopt);
}

TEST(SseEvent, OneFieldALine) {
  EXPECT_EQ(sse_event("hello"), "data: hello\n\n");
  EXPECT_EQ(sse_event("a\nb\r\nc\rd", "delta"),
            "event: delta\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(sse_event(""), "data: \n\n");
  EXPECT_EQ(sse_event("a\n"), "data: a\ndata: \n\n");
}

TEST(Address, SaysWhatItIs) {
  for (const char* host :
       {"127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
    EXPECT_TRUE(is_private(host)) << host;
  }
  for (const char* host : {"10.0.0.1", "172.16.0.1", "172.31.255.1", "192.168.1.1", "169.254.1.1",
                           "fd00::1", "fe80::1", "vllm", "gpu.local", "host.docker.internal"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
    EXPECT_TRUE(is_private(host)) << host;
  }
  for (const char* host : {"8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::1", "0.0.0.0",
                           "::", "example.org", "127.0.0.1.example.org", "localhost.example.org"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
    EXPECT_FALSE(is_private(host)) << host;
  }
  for (const char* host : {"1.2.3", "1.2.3.256", "[1.2.3.4]", "::g", "", "[", "localhost", "[]"})
    EXPECT_FALSE(is_ip_address(host)) << host;
  EXPECT_TRUE(is_ip_address("0.0.0.0"));
  EXPECT_TRUE(is_ip_address("[::]"));
}

TEST(ParseUrl, TakesApart) {
  const auto url = parse_url("https://example.org/v1/x?y=1#part");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "example.org");
  EXPECT_EQ(url->port, 443);
  EXPECT_EQ(url->target, "/v1/x?y=1");
  const auto v6 = parse_url("http://[::1]:8080?q");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 8080);
  EXPECT_EQ(v6->target, "/?q");
}

TEST(ParseUrl, RefusesWhatIsNone) {
  for (const char* bad : {"", "example.org", "ftp://x/", "http://", "http://:80/", "http://x:0/",
                          "http://x:99999/", "http://x:8a/", "http://a b/", "http://x/\r\nY: z",
                          "http://user:secret@x/", "http://[::1/"}) {
    const auto url = parse_url(bad);
    ASSERT_FALSE(url) << bad;
    EXPECT_EQ(url.error().code, ErrorCode::kUsage) << bad;
    EXPECT_EQ(url.error().message.find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace tack::net
