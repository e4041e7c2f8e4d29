#include "admin/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sluicegate::admin {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

class AdminTokenTest : public ::testing::Test {
 protected:
  AdminTokenTest() {
    folder_ =
        std::filesystem::path(::testing::TempDir()) / ("sg-token-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  ~AdminTokenTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(std::string_view content, mode_t mode = 0600) {
    const std::string path = (folder_ / "token").string();
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }

  std::string ErrorOf(const std::string& path) {
    const auto token = AdminToken::Load(path);
    return token ? "(no error)" : token.error();
  }

  std::filesystem::path folder_;
};

TEST_F(AdminTokenTest, MatchesItselfAndNothingElse) {
  const auto token = AdminToken::Load(Write(std::string(kSecret) + "\n"));
  ASSERT_TRUE(token) << token.error();
  EXPECT_TRUE(token->Matches(kSecret));
  EXPECT_FALSE(token->Matches(""));
  EXPECT_FALSE(token->Matches(kSecret.substr(1)));
  EXPECT_FALSE(token->Matches(std::string(kSecret) + "\n"));
  EXPECT_FALSE(token->Matches(std::string(kSecret) + '\0'));
}

TEST_F(AdminTokenTest, AFileThatOthersMayReachIsRefusedWithTheMend) {
  for (const mode_t mode : {0640U, 0604U, 0644U, 0660U, 0622U, 0777U}) {
    const std::string error = ErrorOf(Write(kSecret, mode));
    EXPECT_THAT(error, HasSubstr("chmod 600")) << std::oct << mode;
  }
  EXPECT_THAT(ErrorOf(Write(kSecret, 0644)), HasSubstr("0644"));
}

TEST_F(AdminTokenTest, WeakOrBrokenTokensAreRefused) {
  EXPECT_THAT(ErrorOf(Write("")), HasSubstr("fewer than 16"));
  EXPECT_THAT(ErrorOf(Write("short\n")), HasSubstr("fewer than 16"));
  EXPECT_THAT(ErrorOf(Write(std::string(5000, 'a'))), HasSubstr("more than 1024"));
  EXPECT_THAT(ErrorOf(Write("0123456789abcdef\n0123456789abcdef\n")), HasSubstr("more than one"));
  EXPECT_THAT(ErrorOf(Write("0123456789abcdef 0123456789abcdef")), HasSubstr("bearer token"));
}

TEST_F(AdminTokenTest, AnErrorNeverQuotesTheToken) {
  const std::string error = ErrorOf(Write("secret-with a space in it"));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("secret-with")));
}

TEST_F(AdminTokenTest, MissingFilesAndFoldersAreRefused) {
  EXPECT_THAT(ErrorOf((folder_ / "nothing").string()), HasSubstr("cannot be opened"));
  EXPECT_THAT(ErrorOf(folder_.string()), HasSubstr("not a regular file"));
}

TEST_F(AdminTokenTest, APipeDoesNotHang) {
  const std::string path = (folder_ / "pipe").string();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(path), HasSubstr("not a regular file"));
}

// Where root looks for the user of the service, as `check` does.
TEST_F(AdminTokenTest, AnotherUsersFileIsGoodForWhoLooksForThatUser) {
  const std::string path = Write(kSecret);
  constexpr uid_t kNobody = 65534;
  if (::geteuid() != 0 || ::chown(path.c_str(), kNobody, kNobody) != 0) {
    GTEST_SKIP() << "only root may give files away";
  }
  EXPECT_THAT(ErrorOf(path), HasSubstr("belongs to another user"));
  EXPECT_TRUE(AdminToken::Load(path, AdminToken::Owner::kAnybody));
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  EXPECT_FALSE(AdminToken::Load(path, AdminToken::Owner::kAnybody));
}

}  // namespace
}  // namespace sluicegate::admin
