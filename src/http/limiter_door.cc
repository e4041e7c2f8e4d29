#include <algorithm>

#include "http/local_answer.h"
#include "http/local_door.h"
#include "limit/compiled_limit.h"
#include "wire/rate_limit_fields.h"

namespace sluicegate::http {
namespace {

constexpr std::string_view kNobody = "unknown";

std::string TextOf(const IpAddress& address) {
  if (address == IpAddress()) return std::string(kNobody);
  return address.is_v4() ? address.ToString() : address.Client().ToString() + "/64";
}

// Without its zone.
std::optional<IpAddress> AddressOf(std::string_view peer) noexcept {
  return IpAddress::Parse(peer.substr(0, peer.find('%')));
}

// A proxy's that sends it alone.
std::optional<IpAddress> RealIp(std::span<const wire::Field> fields) {
  if (wire::FindField(fields, "x-forwarded-for")) return std::nullopt;
  return IpAddress::Parse(wire::syntax::Trim(OnlyValue(fields, "x-real-ip")));
}

bool IsInFlight(const Limit& limit) { return limit.algorithm == Algorithm::kConcurrency; }

std::string_view DetailOf(const Decision& decision) {
  if (decision.verdict == Verdict::kBanned) {
    return "Requests went on after many denials, so this client has to wait.";
  }
  return decision.retry_after_ns == Decision::kNever
             ? "This request costs more than the quota ever allows."
             : "Too many requests. Wait as long as Retry-After says.";
}

}  // namespace

IpAddress ParsePeer(std::string_view text) noexcept {
  return AddressOf(text).value_or(IpAddress());
}

LimiterDoor::LimiterDoor(Limiter& limiter, Options options)
    : limiter_(limiter),
      options_(std::move(options)),
      forms_(HeaderForms::Of(options_.clients->settings())) {
  std::vector<wire::QuotaPolicy> policies;
  names_.reserve(limiter.limits().size());
  for (const Limit& limit : limiter.limits()) {
    names_.push_back(wire::PrintableName(limit.name));  // A program may call a limit anything.
    wire::AppendStructuredString(names_.back(), quoted_.emplace_back());
    const auto compiled = limit::CompiledLimit::Compile(limit);
    if (compiled) policies.push_back(QuotaPolicyOf(*compiled, names_.back()));
  }
  const std::vector<std::vector<std::string_view>> dimensions(policies.size(), {kClientDimension});
  members_ = MembersOf(policies, dimensions, forms_);
  if (forms_.lists()) lists_ = "RateLimit-Policy: " + members_.policy + "\r\n";
  if (forms_.left.draft_next) lists_ += "RateLimit-Partition: " + members_.partition + "\r\n";
}

std::string LimiterDoor::KeyOf(std::string_view peer) {
  const auto address = AddressOf(peer);
  return address ? TextOf(*address) : std::string(peer);
}

LimiterDoor::Client LimiterDoor::ClientOf(const LocalRequest& request) {
  const IpAddress peer = ParsePeer(request.peer);
  const std::lock_guard lock(mu_);
  const Request read = reader_.Read(*options_.clients, {},
                                    {.peer = peer,
                                     .method = request.method,
                                     .path = request.path,
                                     .authority = {},
                                     .fields = request.fields});
  const bool trusted = reader_.client().peer_trusted;
  const auto real = trusted ? RealIp(request.fields) : std::nullopt;
  return {.address = real.value_or(read.client), .user = std::string(read.user)};
}

std::string LimiterDoor::KeyOf(const Client& client) {
  return client.user.empty() ? TextOf(client.address) : "user:" + client.user;
}

std::string LimiterDoor::KeyFor(const LocalRequest& request) { return KeyOf(ClientOf(request)); }

LocalAnswer LimiterDoor::Ask(const LocalRequest& request) {
  const Client client = ClientOf(request);
  LocalAnswer answer;
  if (options_.exempt_clients.Contains(client.address) ||
      (!client.user.empty() && options_.exempt_users.contains(client.user))) {
    answer.decision.verdict = Verdict::kExempt;
    return answer;
  }
  const std::string key = KeyOf(client);
  answer.decision = limiter_.Check(key);
  const Decision& decision = answer.decision;
  if (options_.on_decision) options_.on_decision(decision);
  answer.fields = FieldsOf(decision);
  if (decision.allowed()) return answer;
  const bool banned = decision.verdict == Verdict::kBanned;
  wire::Problem problem{.type = banned ? wire::ProblemType::kAbnormalUsageDetected
                                       : wire::ProblemType::kQuotaExceeded,
                        .status = 429,
                        .detail = DetailOf(decision)};
  std::vector<std::string_view> violated;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (!banned && decision.Denies(i)) violated.emplace_back(names_[i]);
  }
  problem.violated_policies = violated;
  if (!banned) (void)limiter_.RecordViolation(key);
  Deny(problem, options_.clock->Read(), answer);
  return answer;
}

void LimiterDoor::End(const LocalAnswer& answer) noexcept { limiter_.Release(answer.decision); }

// A ban has used up all that there is.
std::string LimiterDoor::FieldsOf(const Decision& decision) const {
  const bool bound = decision.limit < names_.size();
  const std::size_t limit = bound ? decision.limit : 0;
  const BindingLimit binding{.name = quoted_[limit],
                             .quota = limiter_.limits()[limit].quota,
                             .in_flight = IsInFlight(limiter_.limits()[limit]),
                             .cost = 1};
  QuotaLines lines;
  lines.lines = lists_;
  {
    TextWriter text(lines.lines, wire::kAboutFields + binding.name.size());
    PutBinding(binding, decision, options_.clock->Read(), forms_, members_.draft03, text, lines);
    if (!decision.allowed()) wire::PutRetryAfter(RetryAfterOf(decision), text);
  }
  return lines.lines + lines.draft03 + lines.x_ratelimit;
}

}  // namespace sluicegate::http
