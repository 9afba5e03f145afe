#include "net/client.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace tack::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using std::chrono::milliseconds;
using ErrorCodeAsio = boost::system::error_code;

auto into(ErrorCodeAsio& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

// Cancels what runs on the socket (and the look-up) when the time set last has passed.
struct Watchdog : std::enable_shared_from_this<Watchdog> {
  explicit Watchdog(const asio::any_io_executor& executor)
      : resolver(executor), socket(executor), timer(executor) {}

  void arm(milliseconds limit) {
    const unsigned armed = ++generation;
    timer.expires_at(std::min(std::chrono::steady_clock::now() + limit, deadline));
    timer.async_wait([self = shared_from_this(), armed](ErrorCodeAsio error) {
      if (error || armed != self->generation) return;
      self->timed_out = true;
      ErrorCodeAsio ignored;
      self->resolver.cancel();
      self->socket.close(ignored);
    });
  }
  void disarm() {
    ++generation;
    timer.cancel();
  }

  tcp::resolver resolver;
  tcp::socket socket;
  asio::steady_timer timer;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  unsigned generation = 0;
  bool timed_out = false;
};

// Disarms when the exchange ends, so that no timer outlives it.
struct Disarm {
  std::shared_ptr<Watchdog> dog;
  ~Disarm() { dog->disarm(); }
};

// One request and its answer over `Stream` (a socket, or TLS on it).
struct Exchange {
  const Url& url;
  const ClientRequest& request;
  const ClientOptions& options;
  const OnData& on_data;
  Watchdog& dog;

  std::unexpected<Error> broken(std::string_view during, const ErrorCodeAsio& error) const {
    return fail(ErrorCode::kUnreachable, "{}:{}: {}: {}", url.host, url.port, during,
                dog.timed_out ? "took too long" : error.message());
  }

  http::request<http::string_body> message() const {
    http::request<http::string_body> out;
    out.version(11);
    out.method_string(request.method);
    out.target(url.target);
    const std::string host = url.host.find(':') == url.host.npos ? url.host : "[" + url.host + "]";
    out.set(http::field::host,
            url.port == (url.tls ? 443 : 80) ? host : fmt::format("{}:{}", host, url.port));
    for (const auto& [name, value] : request.headers) out.insert(name, value);
    out.keep_alive(false);
    out.body() = request.body;
    if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
      out.content_length(request.body.size());
    return out;
  }

  template <class Stream>
  Async<Result<Response>> run(Stream& stream) {
    ErrorCodeAsio error;
    const auto sent = message();
    http::request_serializer<http::string_body> serializer(sent);
    while (!serializer.is_done() && !error) {
      dog.arm(options.io_timeout);
      co_await http::async_write_some(stream, serializer, into(error));
    }
    // A server may refuse before it has read all, answer and stop reading: look for the answer.
    const bool cut_off =
        error == asio::error::broken_pipe || error == asio::error::connection_reset;
    if (error && !cut_off) co_return broken("sending", error);
    co_return co_await receive(stream);
  }

  template <class Stream>
  Async<Result<Response>> receive(Stream& stream) {
    ErrorCodeAsio error;
    beast::flat_buffer buffer;
    auto parser = std::make_unique<http::response_parser<http::buffer_body>>();
    do {  // past "100 Continue" and other interim answers
      parser = std::make_unique<http::response_parser<http::buffer_body>>();
      parser->skip(request.method == "HEAD");
      parser->body_limit(options.body_limit);
      dog.arm(options.io_timeout);
      co_await http::async_read_header(stream, buffer, *parser, into(error));
      if (error) co_return broken("waiting for the answer", error);
    } while (parser->get().result_int() / 100 == 1);

    Response response{.status = static_cast<int>(parser->get().result_int()),
                      .headers = {},
                      .body = {},
                      .stream = {}};
    for (const auto& field : parser->get())
      response.headers.add(std::string_view(field.name_string()), std::string_view(field.value()));
    std::string piece(16 * 1024, '\0');
    while (!parser->is_done()) {
      parser->get().body().data = piece.data();
      parser->get().body().size = piece.size();
      dog.arm(options.io_timeout);
      co_await http::async_read_some(stream, buffer, *parser, into(error));
      if (error && error != http::error::need_buffer) co_return broken("reading the answer", error);
      const std::string_view bytes(piece.data(), piece.size() - parser->get().body().size);
      if (!on_data)
        response.body.append(bytes);
      else if (!bytes.empty() && !on_data(response, bytes))
        break;
    }
    co_return response;
  }
};

Async<Status> connect(Watchdog& dog, const Url& url, milliseconds limit) {
  ErrorCodeAsio error;
  dog.arm(limit);
  const auto found =
      co_await dog.resolver.async_resolve(url.host, std::to_string(url.port), into(error));
  if (error)
    co_return fail(ErrorCode::kUnreachable, "cannot look up {}: {}", url.host,
                   dog.timed_out ? "took too long" : error.message());
  for (const auto& entry : found) {
    ErrorCodeAsio ignored;
    if (dog.timed_out) break;
    dog.socket.close(ignored);
    co_await dog.socket.async_connect(entry.endpoint(), into(error));
    if (!error) break;
  }
  if (error || dog.timed_out)
    co_return fail(ErrorCode::kUnreachable, "cannot connect to {} port {}: {}", url.host, url.port,
                   dog.timed_out ? "took too long" : error.message());
  dog.socket.set_option(tcp::no_delay(true), error);
  co_return Status{};
}

Result<asio::ssl::context> tls_context(const ClientOptions& options) {
  try {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.set_verify_mode(asio::ssl::verify_peer);
    if (SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION) != 1)
      return fail("cannot require TLS 1.2");
    if (options.ca_file.empty())
      context.set_default_verify_paths();
    else
      context.load_verify_file(options.ca_file);
    return context;
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "cannot use the certificates in '{}': {}", options.ca_file,
                error.what());
  }
}

Async<Result<Response>> run_tls(Exchange exchange) {
  auto context = tls_context(exchange.options);
  if (!context) co_return std::unexpected(std::move(context).error());
  asio::ssl::stream<tcp::socket&> stream(exchange.dog.socket, *context);
  ErrorCodeAsio error;
  stream.set_verify_callback(asio::ssl::host_name_verification(exchange.url.host), error);
  // The name in the hello picks the certificate on shared hosts; addresses have none (RFC 6066).
  asio::ip::make_address(exchange.url.host, error);
  if (error && SSL_set_tlsext_host_name(stream.native_handle(), exchange.url.host.c_str()) != 1)
    co_return fail("cannot set the TLS server name to '{}'", exchange.url.host);
  error = {};
  co_await stream.async_handshake(asio::ssl::stream_base::client, into(error));
  if (error) co_return exchange.broken("TLS", error);
  // No orderly TLS goodbye afterwards: the message's own framing says whether it is whole, and many
  // servers do not wait for one.
  co_return co_await exchange.run(stream);
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (rest.starts_with("https://"))
    url.tls = true;
  else if (!rest.starts_with("http://"))
    return fail(ErrorCode::kUsage, "'{}' is not a URL: it must start with http:// or https://",
                text);
  rest.remove_prefix(url.tls ? 8 : 7);
  for (const char c : rest)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return fail(ErrorCode::kUsage, "'{}' is not a URL: it holds a space or control character",
                  text);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.remove_prefix(authority.size());
  rest = rest.substr(0, rest.find('#'));
  url.target = (rest.starts_with('/') ? "" : "/") + std::string(rest);
  if (authority.find('@') != authority.npos)
    return fail(ErrorCode::kUsage, "a URL with a user name: put credentials into a header");

  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == authority.npos) return fail(ErrorCode::kUsage, "'{}' is not a URL", text);
  const std::size_t colon = authority.find(':', bracket);
  url.host = bracket > 0 ? authority.substr(1, bracket - 1) : authority.substr(0, colon);
  if (url.host.empty()) return fail(ErrorCode::kUsage, "'{}' is not a URL: no host", text);
  url.port = url.tls ? 443 : 80;
  if (colon == authority.npos) return url;
  const std::string_view port = authority.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  if (error != std::errc() || end != port.data() + port.size() || url.port == 0)
    return fail(ErrorCode::kUsage, "'{}' is not a URL: bad port '{}'", text, port);
  return url;
}

Async<Result<Response>> fetch_stream(ClientRequest request, OnData on_data, ClientOptions options) {
  const auto url = parse_url(request.url);
  if (!url) co_return std::unexpected(url.error());
  const auto dog = std::make_shared<Watchdog>(co_await asio::this_coro::executor);
  const Disarm disarm{dog};
  if (options.total_timeout.count() > 0)
    dog->deadline = std::chrono::steady_clock::now() + options.total_timeout;
  if (auto status = co_await connect(*dog, *url, options.connect_timeout); !status)
    co_return std::unexpected(std::move(status).error());
  Exchange exchange{*url, request, options, on_data, *dog};
  if (url->tls) co_return co_await run_tls(exchange);
  co_return co_await exchange.run(dog->socket);
}

Async<Result<Response>> fetch(ClientRequest request, ClientOptions options) {
  co_return co_await fetch_stream(std::move(request), OnData{}, std::move(options));
}

Result<Response> fetch_blocking(ClientRequest request, ClientOptions options) {
  std::optional<Result<Response>> result;
  try {
    asio::io_context io(1);
    auto finish = [&](std::exception_ptr thrown, Result<Response> got) {
      if (!thrown) result = std::move(got);
    };
    asio::co_spawn(io, fetch(std::move(request), std::move(options)), finish);
    io.run();
  } catch (const std::exception& error) {
    return fail("HTTP client: {}", error.what());
  }
  if (!result) return fail("HTTP client: the request failed");
  return *std::move(result);
}

}  // namespace tack::net
