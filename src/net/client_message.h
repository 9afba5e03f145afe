// How a client writes a request and reads the answer, without sockets. Internal to net.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/beast/http/basic_parser.hpp>

#include "net/http.h"
#include "net/url.h"

namespace tack::net {

// A request line and its headers, up to the blank line. `target` is a path with its query.
std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const Headers& headers, std::size_t body_bytes, bool keep_alive);

// Takes an answer apart as its bytes come; chunk framing is taken off.
class AnswerParser final : public boost::beast::http::basic_parser<false> {
 public:
  // `head_request`: the answer has no body, whatever its header says. `limit` is of the body.
  AnswerParser(bool head_request, std::optional<std::uint64_t> limit);

  int status = 0;
  Headers headers;
  std::string body;  // what has come since the caller emptied it

 private:
  using Field = boost::beast::http::field;
  using View = boost::beast::string_view;
  using Code = boost::beast::error_code;
  void on_request_impl(boost::beast::http::verb, View, View, int, Code&) override {}
  void on_response_impl(int code, View, int, Code&) override { status = code; }
  void on_field_impl(Field, View name, View value, Code&) override {
    if (!is_header_done()) headers.add({name.data(), name.size()}, {value.data(), value.size()});
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(View bytes, Code&) override { return keep(bytes); }
  void on_chunk_header_impl(std::uint64_t, View, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View bytes, Code&) override { return keep(bytes); }
  void on_finish_impl(Code&) override {}

  std::size_t keep(View bytes) {
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
};

}  // namespace tack::net
