// Both clients over TLS, with certificates made on the spot.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

#include "net/client.h"
#include "net/client_pool_fixture.h"
#include "net/test_certificate.h"

namespace tack::net {
namespace {

// A TLS server for one certificate; answers every request of a connection.
class TlsServer {
 public:
  explicit TlsServer(const TestCertificate& certificate, bool only_tls11 = false)
      : context_(boost::asio::ssl::context::tls_server),
        acceptor_(loop_.io(), {boost::asio::ip::address_v4::loopback(), 0}) {
    context_.use_certificate(boost::asio::buffer(certificate.certificate), context_.pem);
    context_.use_private_key(boost::asio::buffer(certificate.key), context_.pem);
    if (only_tls11) SSL_CTX_set_max_proto_version(context_.native_handle(), TLS1_1_VERSION);
    SSL_CTX_set_session_id_context(context_.native_handle(),
                                   reinterpret_cast<const unsigned char*>("t"), 1);
    loop_.start(accept_all());
  }
  ~TlsServer() { loop_.stop(); }
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::atomic<int> connections{0}, resumed{0};

 private:
  using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket>;
  Async<void> accept_all() {
    while (true) {
      auto socket = co_await acceptor_.async_accept(boost::asio::use_awaitable);
      ++connections;
      loop_.start(serve(std::make_unique<Stream>(std::move(socket), context_)));
    }
  }
  Async<void> serve(std::unique_ptr<Stream> stream) {
    co_await stream->async_handshake(Stream::server, boost::asio::use_awaitable);
    resumed += SSL_session_reused(stream->native_handle());
    std::vector<char> space(65536);
    while (true) {  // requests without a body, each in one piece
      co_await stream->async_read_some(boost::asio::buffer(space), boost::asio::use_awaitable);
      const auto hello = boost::asio::buffer(kHello);
      co_await boost::asio::async_write(*stream, hello, boost::asio::use_awaitable);
    }
  }

  boost::asio::ssl::context context_;
  TestLoop loop_{1};
  boost::asio::ip::tcp::acceptor acceptor_;
};

class Trusted {
 public:
  explicit Trusted(const TestCertificate& certificate)
      : path_((std::filesystem::temp_directory_path() /
               ("tack_tls_test_" + std::to_string(::getpid()) + ".pem"))
                  .string()) {
    std::ofstream(path_) << certificate.certificate;
  }
  ~Trusted() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ClientTls, SpeaksTls) {
  const auto certificate = make_test_certificate("DNS:localhost");
  const Trusted trusted(certificate);
  TlsServer server(certificate);
  TestLoop loop;
  const std::string url = "https://localhost:" + std::to_string(server.port());
  const auto pool = make_pool(url, {.keep_idle = milliseconds(100), .ca_file = trusted.path()});
  for (int i = 0; i < 3; ++i) {
    const auto got = loop.run(ask(*pool));
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(got->second, "hello");
  }
  EXPECT_EQ(server.connections, 1);
  // The next connection takes the session up again.
  EXPECT_TRUE(soon([&] { return pool->counts().idle == 0; }));
  ASSERT_TRUE(loop.run(ask(*pool)));
  EXPECT_EQ(server.connections, 2);
  EXPECT_EQ(server.resumed, 1);
  const auto fetched = fetch_blocking({.url = url + "/"}, {.ca_file = trusted.path()});
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_EQ(fetched->body, "hello");
}

TEST(ClientTls, RefusesCertificatesThatDoNotFit) {
  const auto certificate = make_test_certificate("DNS:another.example");
  const Trusted trusted(certificate);
  TlsServer other_name(certificate);
  TestLoop loop;
  const auto refused = [&](const std::string& url, const std::string& ca_file) {
    const auto pool = make_pool(url, {.ca_file = ca_file});
    const auto got = loop.run(ask(*pool));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().fault, ClientFault::kNoConnection);
    EXPECT_NE(got.error().message.find("TLS"), std::string::npos) << got.error().message;
  };
  refused("https://localhost:" + std::to_string(other_name.port()), trusted.path());
  const auto unknown_ca = make_test_certificate("DNS:localhost");
  TlsServer unknown(unknown_ca);
  refused("https://localhost:" + std::to_string(unknown.port()), trusted.path());
  refused("https://localhost:" + std::to_string(unknown.port()), "");
  TlsServer old(unknown_ca, true);
  refused("https://localhost:" + std::to_string(old.port()), "");
  ScriptedServer plain(answer_all);
  refused("https://127.0.0.1:" + std::to_string(plain.port()), "");
  EXPECT_FALSE(ClientPool::create("https://x", {.ca_file = "/no/such/file.pem"}));
}

}  // namespace
}  // namespace tack::net
