// Users by their tokens, through the gateway.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "gateway/proxy_for_test.h"
#include "identity/token_for_test.h"

namespace sluicegate::gateway {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
constexpr std::string_view kPerUser =
    "clients: {identity: {jwt: {key: unread}}}\n"
    "rules: [{name: r, key: [user], limits: [1/minute]}]";

std::shared_ptr<const identity::Identities> Known(std::string_view secret) {
  auto known = std::make_shared<identity::Identities>();
  known->tokens = identity::VerifierOf("hmac:text:" + std::string(secret));
  return known;
}

std::string TokenOf(const std::string& user, std::string_view secret = kSecret) {
  return identity::SignedBySecret(secret, R"({"alg":"HS256"})",
                                  R"({"sub":")" + user + R"(","exp":1800000100})");
}

std::string GetBy(const std::string& token) {
  return "GET /a HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + token + "\r\n\r\n";
}

class Tokens : public Proxy {
 protected:
  Tokens() { identities_ = Known(kSecret); }

  void Passes(Peer& client, const std::string& token) {
    client.Send(GetBy(token));
    if (!upstream_) upstream_.emplace(Upstream());
    EXPECT_THAT(upstream_->Head(), HasSubstr("Authorization: Bearer " + token + "\r\n"));
    upstream_->Send(kOk);
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 200 "));
  }
  static void IsDenied(Peer& client, const std::string& token) {
    client.Send(GetBy(token));
    EXPECT_THAT(client.Message(), StartsWith("HTTP/1.1 429 "));
  }

  std::optional<Peer> upstream_;
};

TEST_F(Tokens, TwoUsersBehindOneAddressAreTwoAndAForgedOneIsTheAddress) {
  Serve(kPerUser);
  Peer client = Client();
  Passes(client, TokenOf("ada"));
  IsDenied(client, TokenOf("ada"));
  Passes(client, TokenOf("bob"));
  IsDenied(client, TokenOf("bob"));
  // Nobody's: the address, once for all of them.
  Passes(client, TokenOf("cyd", std::string(32, 'e')));
  IsDenied(client, TokenOf("dan", std::string(32, 'e')));
  IsDenied(client, "junk");
  Passes(client, TokenOf("cyd"));
  // Another connection, the same user.
  Peer other = Client();
  IsDenied(other, TokenOf("ada"));
}

TEST_F(Tokens, ATokenThatEndedIsTheAddress) {
  Serve(kPerUser);
  Peer client = Client();
  Passes(client, TokenOf("ada"));
  clock_.Set({.engine_ns = 1'000'000'000'001, .unix_ns = 1'800'000'160'000'000'000});
  Passes(client, TokenOf("ada"));
  IsDenied(client, TokenOf("bob"));
}

TEST_F(Tokens, AReloadTakesOtherKeys) {
  Serve(kPerUser);
  Peer client = Client();
  Passes(client, TokenOf("ada"));
  const std::string other(32, 'n');
  gateway_->TakeReload({.upstream = group_, .identities = Known(other)});
  Passes(client, TokenOf("bob"));  // The address.
  IsDenied(client, TokenOf("cyd"));
  IsDenied(client, TokenOf("ada", other));
  Passes(client, TokenOf("cyd", other));
}

}  // namespace
}  // namespace sluicegate::gateway
