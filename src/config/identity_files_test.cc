// The files that a policy names for identities: what is read, and what is said of one that cannot
// be used.
#include "config/identity_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/temporary_folder_for_test.h"

namespace sluicegate::config {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kSecret = "hmac:text:planted-planted-planted-planted-planted\n";

policy::TokenIdentity TokensBy(const std::string& file) {
  policy::TokenIdentity tokens;
  tokens.key_file = file;
  return tokens;
}

class IdentityFiles : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  const TemporaryFolder folder_;
};

TEST_F(IdentityFiles, WithoutFilesNobodyIsVouchedFor) {
  const auto none = LoadIdentities({});
  ASSERT_TRUE(none);
  EXPECT_EQ((*none)->api_keys.size(), 0U);
  EXPECT_FALSE((*none)->tokens);
}

TEST_F(IdentityFiles, ReadsBoth) {
  const auto both =
      LoadIdentities({.header = {},
                      .api_keys_file = Write("keys", "sha256:" + std::string(64, 'a') + " acme\n"),
                      .jwt = TokensBy(Write("secret", kSecret))});
  ASSERT_TRUE(both);
  EXPECT_EQ((*both)->api_keys.size(), 1U);
  EXPECT_TRUE((*both)->tokens);
}

TEST_F(IdentityFiles, TellsEveryFileThatCannotBeUsedAndNoSecret) {
  const std::string keys = Write("keys", "sha256:planted acme\n");
  const std::string secret = Write("secret", "hmac:hex:planted\n");
  const auto none = LoadIdentities({.header = {}, .api_keys_file = keys, .jwt = TokensBy(secret)});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error(), ElementsAre(StartsWith("clients.identity.api_keys: " + keys +
                                                   ": line 1 is no API key."),
                                        StartsWith("clients.identity.jwt.key: " + secret +
                                                   ": Line 1 is no secret. Write hmac:hex:")));
  for (const std::string& line : none.error()) {
    EXPECT_THAT(line, EndsWith("."));
    EXPECT_THAT(line, Not(HasSubstr("planted")));
  }
}

TEST_F(IdentityFiles, AFileThatIsNotThereOrNoFile) {
  const auto told = [](const std::string& file) {
    const auto none = LoadIdentities({.header = {}, .api_keys_file = {}, .jwt = TokensBy(file)});
    EXPECT_FALSE(none) << file;
    return none ? "" : none.error().front();
  };
  EXPECT_THAT(told(folder_ / "nowhere"),
              HasSubstr("nowhere: The file cannot be read: No such file"));
  EXPECT_THAT(told(folder_ / ""), HasSubstr("it is no regular file. Name the file itself."));
}

TEST_F(IdentityFiles, ASecretIsItsOwnersAlone) {
  const auto loads = [](const std::string& file) {
    return LoadIdentities({.header = {}, .api_keys_file = {}, .jwt = TokensBy(file)});
  };
  EXPECT_TRUE(loads(Write("a", kSecret, 0400)));
  for (const mode_t mode : {mode_t{0640}, mode_t{0604}, mode_t{0620}}) {
    const auto none = loads(Write("b", kSecret, mode));
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().front(), HasSubstr("Run: chmod 600 FILE."));
  }
  constexpr const char* kPublic =
      R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})";
  EXPECT_TRUE(loads(Write("c", kPublic, 0644))) << "a public key is no secret";
}

}  // namespace
}  // namespace sluicegate::config
