#include "identity/base64url.h"

#include <gtest/gtest.h>

#include <string>

#include "identity/token_for_test.h"

namespace sluicegate::identity {
namespace {

TEST(Base64Url, ReadsTheVectorsOfRfc4648) {
  EXPECT_EQ(DecodeBase64Url(""), "");
  EXPECT_EQ(DecodeBase64Url("Zg"), "f");
  EXPECT_EQ(DecodeBase64Url("Zm8"), "fo");
  EXPECT_EQ(DecodeBase64Url("Zm9v"), "foo");
  EXPECT_EQ(DecodeBase64Url("Zm9vYg"), "foob");
  EXPECT_EQ(DecodeBase64Url("Zm9vYmFy"), "foobar");
  EXPECT_EQ(DecodeBase64Url("-_-_"), "\xFB\xFF\xBF");
}

TEST(Base64Url, ThereIsOneTextForEachRunOfBytes) {
  for (const char* text : {"Zg==", "Zg=", "Zm9vYg==", "Zm9v=", "Zm9+", "Zm9/", "Zm9v ", " Zm9v",
                           "Zm\n9v", "Z", "Zm9vY", "Zh", "Zm9", "Z\xC3\xA9\x41"}) {
    EXPECT_FALSE(DecodeBase64Url(text)) << text;
  }
  EXPECT_FALSE(DecodeBase64Url(std::string_view("Zm\0v", 4)));
}

// Every text of up to three characters either is refused or is how its bytes are written.
TEST(Base64Url, AgreesWithTheOtherWay) {
  const std::string characters = "AQZaz09-_+/=. ";
  std::string text;
  const auto check = [&text] {
    const auto bytes = DecodeBase64Url(text);
    if (bytes) {
      EXPECT_EQ(EncodeBase64Url(*bytes), text);
    }
  };
  for (const char a : characters) {
    for (const char b : characters) {
      text = {a, b};
      check();
      for (const char c : characters) {
        text = {a, b, c};
        check();
      }
    }
  }
  for (int a = 0; a < 256; ++a) {
    const std::string bytes = {static_cast<char>(a), static_cast<char>(255 - a), 'x', '\0'};
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
      EXPECT_EQ(DecodeBase64Url(EncodeBase64Url(bytes.substr(0, size))), bytes.substr(0, size));
    }
  }
}

}  // namespace
}  // namespace sluicegate::identity
