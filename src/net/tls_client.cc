#include "net/tls_client.h"

#include <utility>

namespace tack::net {
namespace {

namespace ssl = boost::asio::ssl;

// Servers that also speak HTTP/2 are told that this client does not.
constexpr unsigned char kProtocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

// Where a context keeps the TlsClient it is of; the first place is Asio's own.
int own_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

TlsClient::TlsClient() : context_(ssl::context::tls_client) {}

TlsClient::~TlsClient() {
  SSL_SESSION_free(session_);
}

Result<std::shared_ptr<TlsClient>> TlsClient::create(const std::string& ca_file) {
  try {
    const std::shared_ptr<TlsClient> client(new TlsClient);
    SSL_CTX* const native = client->context_.native_handle();
    client->context_.set_verify_mode(ssl::verify_peer);
    if (SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION) != 1)
      return fail("cannot require TLS 1.2");
    if (SSL_CTX_set_alpn_protos(native, kProtocols, sizeof kProtocols) != 0)
      return fail("cannot ask for HTTP/1.1");
    if (ca_file.empty())
      client->context_.set_default_verify_paths();
    else
      client->context_.load_verify_file(ca_file);
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_ex_data(native, own_index(), client.get());
    SSL_CTX_sess_set_new_cb(native, keep_session);
    return client;
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "cannot use the certificates in '{}': {}", ca_file,
                error.what());
  }
}

// Called by OpenSSL when the server has sent a session. A copy is kept: the connection spoils its
// own when it is closed without a goodbye. 0: the session stays the connection's.
int TlsClient::keep_session(SSL* connection, SSL_SESSION* session) {
  auto* const self =
      static_cast<TlsClient*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), own_index()));
  SSL_SESSION* kept = SSL_SESSION_dup(session);
  {
    const std::lock_guard lock(self->mutex_);
    std::swap(self->session_, kept);
  }
  SSL_SESSION_free(kept);
  return 0;
}

Status TlsClient::prepare(Stream& stream, const std::string& host) {
  boost::system::error_code error;
  stream.set_verify_callback(ssl::host_name_verification(host), error);
  // The name in the hello picks the certificate on shared hosts; addresses have none (RFC 6066).
  boost::asio::ip::make_address(host, error);
  if (error && SSL_set_tlsext_host_name(stream.native_handle(), host.c_str()) != 1)
    return fail("cannot set the TLS server name to '{}'", host);
  const std::lock_guard lock(mutex_);
  if (session_ != nullptr) SSL_set_session(stream.native_handle(), session_);
  return {};
}

}  // namespace tack::net
