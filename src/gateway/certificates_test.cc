#include "gateway/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/temporary_folder_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(CertificatesTest, EachListenerWhoseFilesCannotBeUsedIsTold) {
  const TemporaryFolder folder;
  const std::string junk = folder / "junk.pem";
  const std::string none = folder / "none.pem";
  std::ofstream(junk) << "no certificate\n";
  std::vector<policy::GatewayListener> listeners(3);
  listeners[0] = {.endpoint = {.address = IpAddress::V4({127, 0, 0, 1}), .port = 443},
                  .tls = {{.certificate_file = junk, .key_file = junk}}};
  listeners[2] = {.endpoint = {.address = *IpAddress::Parse("::1"), .port = 8443},
                  .tls = {{.certificate_file = none, .key_file = none}}};
  const auto loaded = Certificates::Load(listeners);
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error(),
              ElementsAre(AllOf(StartsWith("listen.gateway 127.0.0.1:443: "), HasSubstr(junk)),
                          AllOf(StartsWith("listen.gateway [::1]:8443: "), HasSubstr(none))));
}

TEST(CertificatesTest, PlainListenersHaveNone) {
  const std::vector<policy::GatewayListener> listeners(2);
  const auto loaded = Certificates::Load(listeners);
  ASSERT_TRUE(loaded);
  EXPECT_THAT((*loaded)->listeners, ElementsAre(nullptr, nullptr));
}

}  // namespace
}  // namespace sluicegate::gateway
