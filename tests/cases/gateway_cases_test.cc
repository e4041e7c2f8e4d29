// Runs the table of cases through the gateway: real sockets on loopback, simulated time. What HTTP
// cannot say (a cost, a give-back) is skipped by name.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/manual_clock.h"
#include "case.h"
#include "config/load.h"
#include "engine/engine.h"
#include "gateway/demo_upstream.h"
#include "gateway/gateway.h"
#include "gateway/upstream_target.h"

namespace sluicegate::cases {
namespace {

constexpr HashSecret kSecret{.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};

// A response as a client sees it.
struct Reply {
  unsigned status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] std::optional<std::string> Field(std::string_view name) const {
    const std::size_t at = head.find("\r\n" + std::string(name) + ": ");
    if (at == std::string::npos) return std::nullopt;
    const std::size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  [[nodiscard]] std::optional<std::uint64_t> Number(std::string_view name) const {
    const auto text = Field(name);
    if (!text) return std::nullopt;
    return std::stoull(*text);
  }
};

// A blocking client with one connection.
class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) std::abort();
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Reply Ask(const std::string& request) {
    if (::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
    std::size_t end = 0;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return {};
    }
    Reply reply;
    reply.head = in_.substr(0, end + 2);
    reply.status = static_cast<unsigned>(std::stoul(reply.head.substr(9, 3)));
    in_.erase(0, end + 4);
    const std::uint64_t length = reply.Number("Content-Length").value_or(0);
    while (in_.size() < length) {
      if (!ReadMore()) return {};
    }
    reply.body = in_.substr(0, length);
    in_.erase(0, length);
    return reply;
  }

 private:
  bool ReadMore() {
    char bytes[4096];
    const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (got <= 0) return false;
    in_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  const int socket_;
  std::string in_;
};

// What RateLimit says: "name";r=37;t=12
struct Left {
  std::string name;  // Without the rule's before a slash and a ceiling's behind it.
  std::optional<std::uint64_t> remaining;
  std::optional<std::uint64_t> hold_s;  // Requests in flight have none.
};

std::optional<std::uint64_t> ParameterOf(const std::string& member, const std::string& name) {
  const std::size_t at = member.find(";" + name + "=");
  if (at == std::string::npos) return std::nullopt;
  std::uint64_t value = 0;
  const char* begin = member.data() + at + name.size() + 2;
  std::from_chars(begin, member.data() + member.size(), value);
  return value;
}

std::optional<Left> LeftOf(const Reply& reply) {
  const auto field = reply.Field("RateLimit");
  if (!field) return std::nullopt;
  std::string name = field->substr(1, field->find('"', 1) - 1);
  const std::size_t last = name.rfind('/');
  if (last != std::string::npos && name.find_first_not_of("0123456789", last + 1) == name.npos) {
    name.erase(last);
  }
  const std::size_t slash = name.find('/');
  if (slash != std::string::npos) name.erase(0, slash + 1);
  return Left{
      .name = name, .remaining = ParameterOf(*field, "r"), .hold_s = ParameterOf(*field, "t")};
}

std::uint64_t Seconds(std::uint64_t ns) { return (ns + 999'999'999) / 1'000'000'000; }

class GatewayRunner {
 public:
  GatewayRunner(const Case& one, std::uint16_t upstream_port) : upstream_port_(upstream_port) {
    auto policy = PolicyOf(one.policy);
    if (policy == nullptr) return;
    auto engine = engine::Engine::Create(std::move(policy), kSecret);
    if (!engine) return;
    engine_ = std::move(*engine);
    auto upstream = gateway::UpstreamGroup::Resolve(
        {.servers = {{.host = "127.0.0.1", .port = upstream_port_}}});
    if (!upstream) return;
    auto gateway = gateway::Gateway::Create(
        *engine_, clock_,
        {.listen = {{.endpoint = {.address = IpAddress::V4({127, 0, 0, 1})}}},
         .with = {.upstream = std::move(*upstream)}});
    if (!gateway) return;
    gateway_ = std::move(*gateway);
    gateway_->Start();
    client_ = std::make_unique<Client>(gateway_->port());
  }

  [[nodiscard]] bool ready() const { return client_ != nullptr; }

  void Run(const Step& step) {
    clock_.Set(step.now);
    if (step.reload) {
      auto policy = PolicyOf(*step.reload);
      ASSERT_NE(policy, nullptr);
      ASSERT_TRUE(engine_->Publish(std::move(policy), step.now));
      return;
    }
    for (unsigned i = 0; i < step.times; ++i) {
      std::string request = step.method + " " + step.path + " HTTP/1.1\r\nHost: " + step.host +
                            "\r\nX-Forwarded-For: " + step.client + "\r\n";
      if (!step.user.empty()) request += "X-User-ID: " + step.user + "\r\n";
      for (const auto& [name, value] : step.headers) request += name + ": " + value + "\r\n";
      const std::string body = step.mcp_method.empty() ? "" : MessageOf(step);
      if (step.method == "POST" || step.method == "PUT") {
        request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
      }
      const Reply reply = client_->Ask(request + "\r\n" + body);
      if (step.mcp_method.empty()) {
        Compare(reply, step);
      } else {
        CompareMessage(reply, step);
      }
    }
  }

 private:
  // The runner is the trusted proxy that names clients and users.
  static std::shared_ptr<const policy::Policy> PolicyOf(const std::string& yaml) {
    YAML::Node node = YAML::Load(yaml);
    node["clients"]["trusted_proxies"].push_back("127.0.0.1");
    auto policy = config::ParsePolicy(YAML::Dump(node));
    if (policy) return std::move(*policy);
    for (const auto& mistake : policy.error()) {
      ADD_FAILURE() << config::FormatMistake("policy", mistake);
    }
    return nullptr;
  }

  // A denial is a result or an error of MCP, with the numbers in it.
  static void CompareMessage(const Reply& reply, const Step& step) {
    const Expectation& want = step.want;
    ASSERT_EQ(reply.status, 200U) << reply.head << reply.body;
    if (want.verdict == Verdict::kAllowed) return Compare(reply, step);
    ASSERT_EQ(want.verdict, Verdict::kLimited) << "no other is told by a message";
    const bool told =
        reply.body.contains("\"isError\":true") || reply.body.contains("\"code\":429");
    EXPECT_TRUE(told) << reply.body;
    EXPECT_TRUE(reply.body.contains("\"policy\":\"" + want.rule.value_or(""))) << reply.body;
    const auto number = [&reply](const std::string& name) -> std::optional<std::uint64_t> {
      const std::size_t at = reply.body.find("\"" + name + "\":");
      if (at == std::string::npos) return std::nullopt;
      return std::stoull(reply.body.substr(at + name.size() + 3));
    };
    EXPECT_EQ(number("remaining"), want.remaining ? want.remaining : number("remaining"));
    EXPECT_EQ(number("limit"), want.quota ? want.quota : number("limit"));
    if (!want.retry_after_ns) return;
    EXPECT_EQ(number("retryAfterSeconds"), Seconds(*want.retry_after_ns));
  }

  static void Compare(const Reply& reply, const Step& step) {
    const Expectation& want = step.want;
    const bool passes = want.verdict == Verdict::kAllowed || want.verdict == Verdict::kExempt;
    ASSERT_EQ(reply.status, passes ? 200U : 429U) << reply.head << reply.body;
    const std::optional<Left> left = LeftOf(reply);
    if (want.verdict == Verdict::kExempt) {
      EXPECT_FALSE(left.has_value()) << reply.head;
      return;
    }
    if (!passes) CompareDenial(reply, want);
    if (want.verdict == Verdict::kBanned) return;  // No limit binds.
    if (want.limit) {
      ASSERT_TRUE(left.has_value()) << reply.head;
      EXPECT_EQ(left->name, *want.limit) << reply.head;
    }
    if (!left) return;
    EXPECT_EQ(left->remaining, want.remaining ? want.remaining : left->remaining) << reply.head;
    EXPECT_EQ(left->hold_s, want.hold_ns ? Seconds(*want.hold_ns) : left->hold_s) << reply.head;
    if (passes && !left->hold_s) {
      EXPECT_FALSE(reply.Field("X-RateLimit-Limit").has_value()) << reply.head;
      return;
    }
    EXPECT_EQ(reply.Number("X-RateLimit-Remaining"), left->remaining);
    EXPECT_EQ(reply.Number("X-RateLimit-Limit").value_or(0),
              want.quota.value_or(reply.Number("X-RateLimit-Limit").value_or(1)));
    if (want.reset_after_ns) {
      const std::int64_t reset_ns =
          step.now.unix_ns + static_cast<std::int64_t>(*want.reset_after_ns);
      EXPECT_EQ(reply.Number("X-RateLimit-Reset"), Seconds(static_cast<std::uint64_t>(reset_ns)));
    }
  }

  static void CompareDenial(const Reply& reply, const Expectation& want) {
    const char* type =
        want.verdict == Verdict::kBanned ? "#abnormal-usage-detected" : "#quota-exceeded";
    EXPECT_NE(reply.body.find(type), std::string::npos) << reply.body;
    EXPECT_EQ(reply.Field("Cache-Control"), "no-store");
    EXPECT_EQ(reply.Field("Content-Type"), "application/problem+json");
    if (want.shared_bits) {
      const bool shared = reply.body.find("network shares this limit") != std::string::npos;
      EXPECT_EQ(shared, *want.shared_bits > 0) << reply.body;
    }
    if (!want.retry_after_ns) return;
    const auto retry_s = reply.Number("Retry-After");
    if (*want.retry_after_ns == Decision::kNever) {
      EXPECT_FALSE(retry_s.has_value());
      return;
    }
    // Never below the truth; jitter above it is a tenth, at least 2 s and at most 60 s.
    const std::uint64_t truth_s = Seconds(*want.retry_after_ns);
    ASSERT_TRUE(retry_s.has_value()) << reply.head;
    EXPECT_GE(*retry_s, truth_s);
    EXPECT_LE(*retry_s,
              truth_s + std::max<std::uint64_t>(2, std::min<std::uint64_t>(truth_s / 10 + 1, 60)));
  }

  const std::uint16_t upstream_port_;
  ManualClock clock_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<Client> client_;
};

TEST(Cases, TheGatewayDecidesThemAll) {
  auto upstream = gateway::DemoUpstream::Start();
  ASSERT_TRUE(upstream.has_value());
  unsigned ran = 0;
  for (const Case& one : LoadCases(SLUICEGATE_CASES)) {
    if (one.engine_only) {
      std::cout << "skipped: HTTP cannot say what '" << one.name << "' needs\n";
      continue;
    }
    SCOPED_TRACE(one.file + ": " + one.name);
    GatewayRunner runner(one, (*upstream)->port());
    ASSERT_TRUE(runner.ready());
    ++ran;
    for (const Step& step : one.steps) {
      SCOPED_TRACE("line " + std::to_string(step.line));
      runner.Run(step);
    }
  }
  EXPECT_GE(ran, 40U);
}

}  // namespace
}  // namespace sluicegate::cases
