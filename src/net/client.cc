#include "net/client.h"

#include <memory>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "net/client_connection.h"

namespace tack::net {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

ClientLimits limits_of(const ClientOptions& options) {
  ClientLimits limits{.write = options.io_timeout,
                      .first_byte = options.io_timeout,
                      .idle = options.io_timeout,
                      .body_limit = options.body_limit};
  if (options.total_timeout.count() > 0)
    limits.deadline = steady_clock::now() + options.total_timeout;
  return limits;
}

// Nothing of a connection outlives its one exchange.
struct Close {
  std::shared_ptr<ClientConnection> connection;
  ~Close() {
    connection->detach();
    connection->close();
  }
};

}  // namespace

Async<Result<Response>> fetch_stream(ClientRequest request, OnData on_data, ClientOptions options) {
  const auto url = parse_url(request.url);
  if (!url) co_return std::unexpected(url.error());
  std::shared_ptr<TlsClient> tls;
  if (url->tls) {
    auto made = TlsClient::create(options.ca_file);
    if (!made) co_return std::unexpected(std::move(made).error());
    tls = *std::move(made);
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const ClientLimits limits = limits_of(options);
  const auto connect_until =
      std::min(limits.deadline, steady_clock::now() + options.connect_timeout);
  const auto lookup =
      std::make_shared<HostLookup>(url->host, url->port, std::chrono::milliseconds(0));
  const auto endpoints = co_await lookup->find(connect_until, nullptr);
  if (!endpoints) co_return std::unexpected<Error>(endpoints.error());

  const auto connection = std::make_shared<ClientConnection>(executor, *url, std::move(tls));
  const Close close{connection};
  connection->attach(executor, limits, nullptr);
  auto status = co_await connection->connect(*endpoints, connect_until);
  const OutgoingRequest outgoing{request.method, url->target, &request.headers, request.body};
  if (status) status = co_await connection->exchange(outgoing, false);
  if (!status) co_return std::unexpected<Error>(std::move(status).error());

  Response response{.status = connection->status(),
                    .headers = std::move(connection->headers()),
                    .body = {},
                    .stream = {}};
  while (true) {
    const auto piece = co_await connection->next_piece();
    if (!piece) co_return std::unexpected<Error>(piece.error());
    if (piece->empty()) break;
    if (!on_data)
      response.body.append(*piece);
    else if (!on_data(response, *piece))
      break;
  }
  co_return response;
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
