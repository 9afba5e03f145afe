#include "server/base64.h"

#include <string_view>

#include <gtest/gtest.h>

namespace tack::server {
namespace {

std::string of(std::string_view text) {
  return base64(std::as_bytes(std::span(text)));
}

TEST(Base64, VectorsOfTheRfc) {  // RFC 4648, section 10
  EXPECT_EQ(of(""), "");
  EXPECT_EQ(of("f"), "Zg==");
  EXPECT_EQ(of("fo"), "Zm8=");
  EXPECT_EQ(of("foo"), "Zm9v");
  EXPECT_EQ(of("foob"), "Zm9vYg==");
  EXPECT_EQ(of("fooba"), "Zm9vYmE=");
  EXPECT_EQ(of("foobar"), "Zm9vYmFy");
  EXPECT_EQ(of("\xff\xfe\xfd\xfb"), "//79+w==");
}

TEST(Base64, FloatsAreLittleEndian) {
  // python3: base64.b64encode(struct.pack('<3f', 1.0, -0.5, 0.1))
  const float values[] = {1.0f, -0.5f, 0.1f};
  EXPECT_EQ(base64_floats(values), "AACAPwAAAL/NzMw9");
}

}  // namespace
}  // namespace tack::server
