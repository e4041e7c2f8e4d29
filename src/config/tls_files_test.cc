#include "config/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/temporary_folder_for_test.h"

namespace sluicegate::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TlsFiles : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }
  policy::Settings Listening(const std::string& certificate, const std::string& key) {
    policy::Settings settings;
    settings.gateway.emplace_back();
    settings.gateway.emplace_back().tls = {.certificate_file = certificate, .key_file = key};
    return settings;
  }

  TemporaryFolder folder_;
};

TEST_F(TlsFiles, AreGoodWhereTheyCanBeRead) {
  EXPECT_TRUE(CheckTlsFiles({}));
  policy::Settings settings = Listening(Write("cert.pem", "a"), Write("key.pem", "b"));
  settings.upstream.emplace();
  EXPECT_TRUE(CheckTlsFiles(settings)) << "the system's authorities are no file of the policy";
  settings.upstream->tls.ca_file = Write("ca.pem", "c");
  EXPECT_TRUE(CheckTlsFiles(settings));
}

TEST_F(TlsFiles, EachThatCannotBeUsedIsTold) {
  policy::Settings settings = Listening(folder_ / "none.pem", Write("key.pem", ""));
  settings.upstream.emplace().tls.ca_file = folder_.path();
  const auto checked = CheckTlsFiles(settings);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error(),
              ElementsAre(HasSubstr("listen.gateway.tls.certificate: "),
                          AllOf(HasSubstr("listen.gateway.tls.key: "), HasSubstr("It is empty.")),
                          AllOf(HasSubstr("upstream.tls.ca: "), HasSubstr("no regular file"))));
}

}  // namespace
}  // namespace sluicegate::config
