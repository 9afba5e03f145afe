// TLS 1.2 and up for connections that a client opens. Internal to net.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>

#include "base/result.h"

namespace tack::net {

// Certificates that are trusted, and the last session, which the next connection to the same server
// takes up again: no certificate is sent and checked a second time. For connections to one server;
// any thread. Outlives its connections.
class TlsClient {
 public:
  using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

  // `ca_file`: trusted certificates (PEM); empty: the system's. Errors: kUsage.
  static Result<std::shared_ptr<TlsClient>> create(const std::string& ca_file);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  boost::asio::ssl::context& context() { return context_; }

  // Before the handshake: the name that the certificate must carry, and the session.
  Status prepare(Stream& stream, const std::string& host);

 private:
  TlsClient();
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  boost::asio::ssl::context context_;
  std::mutex mutex_;
  SSL_SESSION* session_ = nullptr;
};

}  // namespace tack::net
