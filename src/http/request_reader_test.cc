// Whose a request is, with all sources of identity together.
#include "http/request_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/load.h"
#include "identity/token_for_test.h"

namespace sluicegate::http {
namespace {

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr Now kNow{.engine_ns = 1'000'000'000, .unix_ns = 1'800'000'000'000'000'000};

std::string TokenOf(const std::string& user, std::string_view secret = kSecret) {
  return identity::SignedBySecret(secret, R"({"alg":"HS256"})",
                                  R"({"sub":")" + user + R"(","exp":1800000100})");
}

class WhoAsks : public testing::Test {
 protected:
  WhoAsks() {
    // SHA-256 of "key", as `printf key | sha256sum` has it.
    known_.api_keys = *identity::ApiKeys::Parse(
        "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683 mobile\n");
    known_.tokens = identity::VerifierOf("hmac:text:" + std::string(kSecret));
  }

  /// "user/api key id".
  std::string Who(const std::vector<wire::Field>& fields, const char* peer = "192.0.2.1") {
    const IpAddress address = *IpAddress::Parse(peer);
    const Request request = reader_.Read(
        *policy_, {.known = &known_, .verified = &verified_, .now = kNow},
        {.peer = address, .method = "GET", .path = "/", .authority = {}, .fields = fields});
    return std::string(request.user) + "/" + std::string(request.api_key_id);
  }

  const std::shared_ptr<const policy::Policy> policy_ = *config::ParsePolicy(
      "clients: {trusted_proxies: [10.0.0.0/8], identity: {header: x-user-id}}\nrules: []");
  identity::Identities known_;
  identity::TokenCache verified_;
  RequestReader reader_;
};

TEST_F(WhoAsks, EachSourceAlone) {
  const std::string bearer = "Bearer " + TokenOf("ada");
  EXPECT_EQ(Who({}), "/");
  EXPECT_EQ(Who({{.name = "Authorization", .value = bearer}}), "ada/");
  EXPECT_EQ(Who({{.name = "authorization", .value = "bearer key"}}), "mobile/mobile");
  EXPECT_EQ(Who({{.name = "X-API-Key", .value = "key"}}), "mobile/mobile");
  EXPECT_EQ(Who({{.name = "X-User-ID", .value = "bob"}}, "10.0.0.1"), "bob/");
  EXPECT_EQ(Who({{.name = "X-User-ID", .value = "bob"}}), "/") << "anybody can say so";
}

TEST_F(WhoAsks, WhatWasVerifiedWins) {
  const std::string bearer = "Bearer " + TokenOf("ada");
  const wire::Field token{.name = "authorization", .value = bearer};
  const wire::Field key{.name = "x-api-key", .value = "key"};
  const wire::Field header{.name = "x-user-id", .value = "bob"};
  EXPECT_EQ(Who({token, key}), "ada/mobile") << "a person by a program";
  EXPECT_EQ(Who({header, token}, "10.0.0.1"), "ada/");
  EXPECT_EQ(Who({header, key}, "10.0.0.1"), "mobile/mobile");
  EXPECT_EQ(Who({header, token, key}, "10.0.0.1"), "ada/mobile");
}

TEST_F(WhoAsks, WhatDoesNotHoldIsNobodysAndLeavesTheRest) {
  const std::string forged = "Bearer " + TokenOf("ada", std::string(32, 'e'));
  const std::string basic = "Basic " + TokenOf("ada");
  const std::string bearer = "Bearer " + TokenOf("ada");
  const wire::Field header{.name = "x-user-id", .value = "bob"};
  for (const std::string& value : {forged, basic, std::string("Bearer"), std::string("Bearer "),
                                   std::string("Bearer a.b.c"), TokenOf("ada")}) {
    const wire::Field token{.name = "authorization", .value = value};
    EXPECT_EQ(Who({token}), "/");
    EXPECT_EQ(Who({token, header}, "10.0.0.1"), "bob/");
    EXPECT_EQ(Who({token, {.name = "x-api-key", .value = "key"}}), "mobile/mobile");
  }
  const wire::Field token{.name = "authorization", .value = bearer};
  EXPECT_EQ(Who({token, token}), "/") << "shown twice it is nobody's";
  EXPECT_EQ(Who({{.name = "x-api-key", .value = TokenOf("ada")}}), "/") << "a token is a bearer's";
}

}  // namespace
}  // namespace sluicegate::http
