// Keys: who shares a bucket with whom, and nobody else.

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "policy/config_for_test.h"

namespace sluicegate::policy {
namespace {

constexpr HashSecret kSecret{};

class KeyTest : public testing::Test {
 protected:
  // The key of the request under a rule with these parts.
  static std::uint64_t Key(std::initializer_list<std::string_view> parts, const Request& request) {
    return Keys(parts, {}, request).limits;
  }
  // The keys under a rule with these parts and overrides.
  static KeyHashes Keys(std::initializer_list<std::string_view> parts,
                        const std::vector<WhoConfig>& overrides, const Request& request) {
    RuleConfig config = WrittenRule("a", parts);
    for (const WhoConfig& when : overrides) {
      config.overrides.push_back({.at = {}, .when = when, .limits = {WrittenLimit("9/s")}});
    }
    const auto policy = Policy::Compile(WrittenRules({config}));
    EXPECT_TRUE(policy.has_value());
    const Rule& rule = (*policy)->rules()[0];
    const std::uint8_t variant = rule.VariantOf(request);
    const KeyHashes keys = rule.HashKeys(kSecret, request, variant);
    EXPECT_EQ(rule.HashKey(kSecret, request, variant), keys.limits);
    return keys;
  }
  static WhoConfig ForUsers(std::initializer_list<std::string_view> users) {
    return {.clients = {}, .users = WrittenList(users), .api_keys = {}};
  }

  static Request From(std::string_view client) {
    Request request;
    request.client = IpAddress::Parse(client).value();
    return request;
  }
};

TEST_F(KeyTest, AnIpv6ClientIsItsSubnetAndAMappedOneItsIpv4) {
  EXPECT_EQ(Key({"client"}, From("2001:db8::1")), Key({"client"}, From("2001:db8::ffff:1")));
  EXPECT_NE(Key({"client"}, From("2001:db8::1")), Key({"client"}, From("2001:db8:0:1::1")));
  EXPECT_EQ(Key({"client"}, From("::ffff:192.0.2.1")), Key({"client"}, From("192.0.2.1")));
  EXPECT_NE(Key({"client"}, From("192.0.2.1")), Key({"client"}, From("192.0.2.2")));
}

TEST_F(KeyTest, PartsDoNotRunIntoEachOther) {
  Request a = From("192.0.2.1");
  a.user = "ab";
  a.path = "c";
  Request b = From("192.0.2.1");
  b.user = "a";
  b.path = "bc";
  EXPECT_NE(Key({"user", "path"}, a), Key({"user", "path"}, b));
}

TEST_F(KeyTest, OnePartCannotPretendToBeTwo) {
  // The bytes that a second part would feed, inside the first.
  Request inside = From("192.0.2.1");
  const std::string forged = std::string("a") + std::string("\x05\x01\0\0\0\0\0\0", 8) + "b";
  inside.user = forged;
  Request two = From("192.0.2.1");
  two.user = "a";
  two.path = "b";
  EXPECT_NE(Key({"user"}, inside), Key({"user", "path"}, two));
}

TEST_F(KeyTest, PartsOfOneValueDifferByTheirKind) {
  Request request = From("192.0.2.1");
  request.user = request.host = request.path = request.method = request.api_key_id = "same";
  std::set<std::uint64_t> keys;
  for (const std::string_view part : {"user", "host", "path", "method", "api_key", "client"}) {
    keys.insert(Key({part}, request));
  }
  EXPECT_EQ(keys.size(), 6U);
}

TEST_F(KeyTest, AnAbsentPartIsTheClientAndNoUserCanBeIt) {
  const Request absent = From("192.0.2.1");
  EXPECT_NE(Key({"user"}, absent), Key({"user"}, From("192.0.2.2")));
  const auto bytes = absent.client.bytes();
  const std::string raw(bytes.begin(), bytes.end());
  for (const std::string& user : {std::string("192.0.2.1"), raw, std::string("::ffff:192.0.2.1")}) {
    Request named = From("192.0.2.1");
    named.user = user;
    EXPECT_NE(Key({"user"}, absent), Key({"user"}, named)) << user;
  }
  EXPECT_NE(Key({"user"}, absent), Key({"client"}, absent)) << "absent is no client part";
}

TEST_F(KeyTest, APresentUserIsTheSameFromEverywhere) {
  Request here = From("192.0.2.1");
  Request there = From("2001:db8::1");
  here.user = there.user = "acme";
  EXPECT_EQ(Key({"user"}, here), Key({"user"}, there));
  EXPECT_NE(Key({"user", "client"}, here), Key({"user", "client"}, there));
}

TEST_F(KeyTest, NoPartIsOneBucketForAll) {
  Request a = From("192.0.2.1");
  Request b = From("2001:db8::1");
  b.user = "acme";
  b.path = "/x";
  EXPECT_EQ(Key({}, a), Key({}, b));
}

TEST_F(KeyTest, EachLimitSetCountsApartButTheClientStaysOne) {
  const std::vector<WhoConfig> overrides = {ForUsers({"acme"}), ForUsers({"zen"})};
  const auto keys = [&overrides](std::string_view user) {
    Request request = From("192.0.2.1");
    request.user = user;
    return Keys({"client"}, overrides, request);
  };
  EXPECT_EQ(keys("").limits, keys("").client) << "without an override there is one key";
  EXPECT_EQ(keys("").limits, Key({"client"}, From("192.0.2.1")));
  EXPECT_NE(keys("acme").limits, keys("").limits);
  EXPECT_NE(keys("zen").limits, keys("").limits);
  EXPECT_NE(keys("acme").limits, keys("zen").limits);
  EXPECT_EQ(keys("acme").client, keys("").client);
  EXPECT_EQ(keys("zen").client, keys("").client);
}

// So a reload that turns overrides round moves nobody's counts to somebody else.
TEST_F(KeyTest, AnOverridesKeyDoesNotDependOnItsPlace) {
  Request request = From("192.0.2.1");
  request.user = "acme";
  const auto key = [&request](const std::vector<WhoConfig>& overrides) {
    return Keys({}, overrides, request).limits;
  };
  const std::uint64_t acme = key({ForUsers({"acme"})});
  EXPECT_EQ(key({ForUsers({"zen"}), ForUsers({"acme"})}), acme);
  EXPECT_EQ(key({ForUsers({"acme"}), ForUsers({"zen"})}), acme);
  request.user = "zen";
  EXPECT_NE(key({ForUsers({"zen"}), ForUsers({"acme"})}), acme) << "the first is another one now";
}

TEST_F(KeyTest, AnOverridesKeyIsOfWhatItsConditionHolds) {
  Request request = From("10.1.2.3");
  request.user = "acme";
  request.api_key_id = "acme";
  const auto key = [&request](WhoConfig when) {
    return Keys({}, {std::move(when)}, request).limits;
  };
  const std::uint64_t both = key(ForUsers({"acme", "zen"}));
  EXPECT_EQ(key(ForUsers({"zen", "acme"})), both);
  EXPECT_NE(key(ForUsers({"acme"})), both);
  EXPECT_NE(key({.clients = {}, .users = {}, .api_keys = WrittenList({"acme", "zen"})}), both)
      << "a user is no API key";
  EXPECT_NE(key({.clients = {}, .users = WrittenList({"acme"}), .api_keys = WrittenList({"acme"})}),
            key(ForUsers({"acme"})));
  const auto networks = [&key](std::initializer_list<std::string_view> list) {
    return key({.clients = WrittenList(list), .users = {}, .api_keys = {}});
  };
  EXPECT_EQ(networks({"10.1.2.3", "2001:db8::/32"}), networks({"2001:DB8::/32", "10.1.2.3/32"}))
      << "the spelling is none of its content";
  EXPECT_NE(networks({"10.0.0.0/8"}), networks({"10.1.2.3"}));
}

class NetworkKeyTest : public KeyTest {
 protected:
  static std::uint64_t Ceiling(std::initializer_list<std::string_view> parts,
                               const Request& request, unsigned bits, std::uint8_t variant = 0) {
    return Compiled(parts)->rules()[0].HashCeiling(kSecret, request, variant, bits);
  }
  static std::uint64_t Parent(std::initializer_list<std::string_view> parts, const Request& request,
                              std::uint8_t variant = 0) {
    return Compiled(parts)->rules()[0].HashParent(kSecret, request, variant);
  }

 private:
  static std::shared_ptr<const Policy> Compiled(std::initializer_list<std::string_view> parts) {
    RuleConfig config = WrittenRule("a", parts);
    config.overrides.push_back(
        {.at = {}, .when = ForUsers({"acme"}), .limits = {WrittenLimit("9/s")}});
    return Policy::Compile(WrittenRules({config})).value();
  }
};

TEST_F(NetworkKeyTest, ACeilingsKeyIsOfTheNetworkAndTheOtherParts) {
  Request a = From("2001:db8:0:ff00::1");
  Request b = From("2001:db8:0:ffff::2");
  EXPECT_EQ(Ceiling({"client"}, a, 56), Ceiling({"client"}, b, 56));
  EXPECT_NE(Ceiling({"client"}, a, 60), Ceiling({"client"}, b, 60));
  EXPECT_NE(Ceiling({"client"}, a, 56), Ceiling({"client"}, a, 48)) << "each has its own";
  EXPECT_NE(Ceiling({"client"}, a, 56), Ceiling({"client"}, a, 56, 1));
  a.path = b.path = "/x";
  EXPECT_EQ(Ceiling({"client", "path"}, a, 56), Ceiling({"client", "path"}, b, 56));
  b.path = "/y";
  EXPECT_NE(Ceiling({"client", "path"}, a, 56), Ceiling({"client", "path"}, b, 56));
}

// The address of a client may be that of its network.
TEST_F(NetworkKeyTest, NoClientHasTheKeyOfItsNetwork) {
  const Request first = From("2001:db8::");
  EXPECT_NE(Ceiling({"client"}, first, 56), Key({"client"}, first));
  EXPECT_NE(Parent({"client"}, first), Key({"client"}, first));
  EXPECT_NE(Parent({"client"}, first), Ceiling({"client"}, first, 48));
  EXPECT_NE(Parent({"client"}, From("192.0.2.0")), Key({"client"}, From("192.0.2.0")));
}

TEST_F(NetworkKeyTest, AParentIsOneKeyForItsNetwork) {
  Request a = From("192.0.2.1");
  Request b = From("192.0.2.254");
  a.path = "/x";
  EXPECT_EQ(Parent({"client", "path"}, a), Parent({"client", "path"}, b)) << "whatever else";
  EXPECT_NE(Parent({"client"}, a), Parent({"client"}, From("192.0.3.1")));
  EXPECT_EQ(Parent({"client"}, From("2001:db8:0:1::1")), Parent({"client"}, From("2001:db8::")));
  EXPECT_NE(Parent({"client"}, From("2001:db8:1::")), Parent({"client"}, From("2001:db8::")));
  EXPECT_NE(Parent({"client"}, a), Parent({"client"}, a, 1)) << "each limit set counts apart";
}

TEST_F(NetworkKeyTest, WithoutTheClientThereIsOneParentForAll) {
  EXPECT_EQ(Parent({"path"}, From("192.0.2.1")), Parent({"path"}, From("2001:db8::1")));
  EXPECT_EQ(Parent({}, From("192.0.2.1")), Parent({}, From("2001:db8::1")));
}

TEST_F(KeyTest, WhichHeaderItIsMatters) {
  const auto hash = [](const char* part) {
    const auto policy = Policy::Compile(WrittenRules({WrittenRule("a", {part})}));
    const std::array<std::string_view, 1> values = {"x"};
    Request request = From("192.0.2.1");
    request.headers = values;
    return (*policy)->rules()[0].HashKey(HashSecret{}, request, 0);
  };
  EXPECT_NE(hash("header:x-a"), hash("header:x-b"));
}

TEST_F(KeyTest, TheSecretDecides) {
  const auto policy = Policy::Compile(WrittenRules({WrittenRule("a", {"client"})}));
  ASSERT_TRUE(policy);
  const Request request = From("192.0.2.1");
  const Rule& rule = (*policy)->rules()[0];
  EXPECT_NE(rule.HashKey(HashSecret::Random(), request, 0),
            rule.HashKey(HashSecret::Random(), request, 0));
}

TEST_F(KeyTest, HeadersAreTakenByName) {
  const auto policy = Policy::Compile(
      WrittenRules({WrittenRule("a", {"header:X-One"}), WrittenRule("b", {"header:x-two"})}));
  ASSERT_TRUE(policy);
  ASSERT_EQ((*policy)->asked_headers().size(), 2U);
  EXPECT_EQ((*policy)->asked_headers()[0], "x-one");
  const std::array<std::string_view, 2> values = {"p", "q"};
  const std::array<std::string_view, 2> other = {"p", "z"};
  Request request = From("192.0.2.1");
  request.headers = values;
  Request changed = request;
  changed.headers = other;
  const auto rules = (*policy)->rules();
  EXPECT_EQ(rules[0].HashKey(kSecret, request, 0), rules[0].HashKey(kSecret, changed, 0));
  EXPECT_NE(rules[1].HashKey(kSecret, request, 0), rules[1].HashKey(kSecret, changed, 0));
  // A door that has no fields at all gives none: absent, not out of bounds.
  changed.headers = {};
  EXPECT_NE(rules[1].HashKey(kSecret, request, 0), rules[1].HashKey(kSecret, changed, 0));
}

}  // namespace
}  // namespace sluicegate::policy
