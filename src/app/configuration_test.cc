#include "app/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/temporary_folder_for_test.h"

namespace sluicegate::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class ConfigurationTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }
  /// What a start and what a check find wrong, of a policy whose doors are all there.
  Lines OfStart(const std::string& settings) {
    auto loaded = Configuration::Load(Source(settings));
    return loaded ? Lines() : std::move(loaded.error());
  }
  Lines OfCheck(const std::string& settings) {
    const auto policy = Source(settings).Load();
    return policy ? Configuration::FindMistakes((*policy)->settings()) : policy.error();
  }
  PolicySource Source(const std::string& settings) {
    return PolicySource(Write("policy.yaml", settings + "\nrules: []\n"));
  }

  const std::string plain_ =
      "listen: {gateway: '127.0.0.1:0'}\nupstream: {url: 'http://127.0.0.1:1'}\n";
  TemporaryFolder folder_;
};

TEST_F(ConfigurationTest, ACheckFindsWhatAStartFinds) {
  const std::string junk = Write("junk.pem", "junk\n");
  const std::string tls = "tls: {certificate: " + junk + ", key: " + junk + "}";
  for (const std::string& settings : {
           plain_,
           "listen: {gateway: {address: '127.0.0.1:0', " + tls +
               "}}\nupstream: {url: 'http://127.0.0.1:1'}\n",
           "listen: {gateway: '127.0.0.1:0'}\nupstream: {url: 'https://127.0.0.1:1', tls: {ca: " +
               junk + "}}\n",
           plain_ + "access_log: " + (folder_ / "none" / "access.log").string(),
           plain_ + "access_log: " + folder_.path().string(),
           plain_ + "access_log: " + (folder_ / "access.log").string(),
           plain_ + "admin: {token_file: " + junk + "}",
           plain_ + "clients: {identity: {api_keys: " + (folder_ / "none").string() + "}}",
       }) {
    EXPECT_EQ(OfCheck(settings), OfStart(settings)) << settings;
  }
}

TEST_F(ConfigurationTest, EachMistakeIsToldOnceAndAtOnce) {
  const std::string junk = Write("junk.pem", "junk\n");
  const std::string none = folder_ / "none.pem";
  const Lines told =
      OfCheck("listen: {gateway: {address: '127.0.0.1:443', tls: {certificate: " + junk +
              ", key: " + junk + "}}}\nupstream: {url: 'https://127.0.0.1:1', tls: {ca: " + junk +
              "}}\naccess_log: " + (folder_ / "none" / "access.log").string());
  EXPECT_THAT(told, ElementsAre(StartsWith("listen.gateway 127.0.0.1:443: "),
                                StartsWith("upstream: "), StartsWith("access_log: ")));
  const std::string missing =
      "listen: {gateway: '127.0.0.1:0'}\nupstream: {url: "
      "'https://127.0.0.1:1', tls: {ca: " +
      none + "}}\n";
  EXPECT_THAT(OfCheck(missing), ElementsAre(StartsWith("upstream.tls.ca: ")));
  EXPECT_THAT(OfStart(missing), ElementsAre(StartsWith("upstream.tls.ca: ")));
}

TEST_F(ConfigurationTest, ACheckLeavesNothingBehind) {
  const std::filesystem::path log = folder_ / "access.log";
  EXPECT_THAT(OfCheck(plain_ + "access_log: " + log.string()), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(log));
  EXPECT_THAT(OfCheck(plain_ + "access_log: '-'"), IsEmpty());
  const std::filesystem::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(OfCheck(plain_ + "access_log: " + pipe.string()), IsEmpty())
      << "its reader may come with the start";
}

TEST_F(ConfigurationTest, WhatTheCommandLineMayGiveIsMissingAndNoMistake) {
  EXPECT_THAT(OfCheck(""), IsEmpty());
  const PolicySource source = Source("");
  const auto policy = source.Load();
  ASSERT_TRUE(policy);
  EXPECT_THAT(Configuration::FindMissing(source, (*policy)->settings()),
              ElementsAre(HasSubstr("--listen HOST:PORT"), HasSubstr("--upstream URL")));
  EXPECT_THAT(OfStart(""), ElementsAre(HasSubstr("--listen"), HasSubstr("--upstream")));
}

}  // namespace
}  // namespace sluicegate::app
