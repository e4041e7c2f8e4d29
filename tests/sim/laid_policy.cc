#include "laid_policy.h"

#include <algorithm>
#include <set>
#include <utility>

namespace sluicegate::sim {
namespace {

bool Contains(const std::vector<IpPrefix>& prefixes, const IpAddress& client) {
  return std::ranges::any_of(prefixes, [&client](const IpPrefix& prefix) {
    return prefix.address.is_v4() == client.is_v4() && client.Masked(prefix.bits) == prefix.address;
  });
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

Layout Lay(const RuleSpec& rule, bool leases, std::uint64_t factor) {
  Layout layout;
  for (std::size_t variant = 0; variant <= rule.overrides.size(); ++variant) {
    Lines lines;
    const auto& limits = rule.LimitsOf(variant);
    for (unsigned i = 0; i < limits.size(); ++i) {
      if (limits[i].is_lease() != leases) continue;
      lines.push_back({.spec = limits[i], .index = i});
      lines.back().spec.quota *= factor;
      lines.back().spec.refill *= factor;
    }
    layout.push_back(std::move(lines));
  }
  return layout;
}

const std::string& TextOf(const std::string& part, const Ask& ask) {
  if (part == "user") return ask.user;
  return part == "host" ? ask.host : ask.path;
}

// The parts of a key, with `client` in the client's place.
std::string Parts(const RuleSpec& rule, const Ask& ask, const std::string& client) {
  std::string name;
  for (const std::string& part : rule.key) {
    name += "|" + part;
    const std::string& text = part == "client" ? client : TextOf(part, ask);
    name += text.empty() ? "!" + client : "=" + text;
  }
  return name;
}

}  // namespace

Request Ask::ToRequest() const {
  return {
      .client = client, .method = "GET", .path = path, .host = host, .user = user, .cost = cost};
}

std::string Ask::ToText() const {
  std::string text = client.ToString() + " " + path + " " + host;
  if (!user.empty()) text += " user " + user;
  if (cost != Request::kRuleCost) text += " cost " + std::to_string(cost);
  return text;
}

bool LaidRule::IsEmpty(const Layout& layout) {
  return std::ranges::all_of(layout, [](const Lines& lines) { return lines.empty(); });
}

bool LaidRule::Matches(const Ask& ask) const {
  return spec->paths.empty() || Contains(spec->paths, ask.path);
}

bool LaidRule::Exempts(const Ask& ask) const {
  return Contains(spec->exempt.clients, ask.client) ||
         (!ask.user.empty() && Contains(spec->exempt.users, ask.user));
}

std::size_t LaidRule::VariantOf(const Ask& ask) const {
  for (std::size_t i = 0; i < spec->overrides.size(); ++i) {
    const WhoSpec& when = spec->overrides[i].when;
    const bool client = when.clients.empty() || Contains(when.clients, ask.client);
    const bool user = when.users.empty() || Contains(when.users, ask.user);
    if (client && user) return i + 1;
  }
  return 0;
}

std::string LaidRule::VariantName(std::size_t variant) const {
  if (variant == 0) return {};
  const WhoSpec& when = spec->overrides[variant - 1].when;
  std::set<std::string> names;
  for (const IpPrefix& prefix : when.clients) names.insert("client " + prefix.ToString());
  for (const std::string& user : when.users) names.insert("user " + user);
  std::string name = "|when";
  for (const std::string& one : names) name += " " + one;
  return name;
}

std::string LaidRule::ClientKey(const Ask& ask) const {
  return Parts(*spec, ask, ask.client.Client().ToString());
}

std::string LaidRule::LimitsKey(const Ask& ask, std::size_t variant) const {
  return ClientKey(ask) + VariantName(variant);
}

unsigned LaidRule::ParentBits(const Ask& ask) const {
  if (!spec->has_client()) return 0;
  return ask.client.is_v4() ? 24 : 48;
}

std::string LaidRule::ParentKey(const Ask& ask, std::size_t variant) const {
  const std::string network =
      spec->has_client() ? ask.client.Masked(ParentBits(ask)).ToString() : "all";
  return "|parent=" + network + VariantName(variant);
}

std::string LaidRule::CeilingKey(const Ask& ask, std::size_t variant, unsigned bits) const {
  return Parts(*spec, ask, ask.client.Masked(bits).ToString()) + "/" + std::to_string(bits) +
         VariantName(variant);
}

LaidPolicy::LaidPolicy(PolicySpec spec) : spec_(std::move(spec)) {
  for (const RuleSpec& rule : spec_.rules) {
    LaidRule laid{.spec = &rule,
                  .rates = Lay(rule, false, 1),
                  .leases = Lay(rule, true, 1),
                  .parents = Lay(rule, false, 1),
                  .ceilings = {}};
    for (Lines& lines : laid.parents) {
      if (rule.new_keys) lines.push_back({.spec = *rule.new_keys, .index = 255});
    }
    for (const CeilingSpec& one : rule.ceilings) {
      laid.ceilings.emplace(one.bits, Lay(rule, false, one.factor));
    }
    rules_.push_back(std::move(laid));
  }
}

const LaidRule* LaidPolicy::Named(const std::string& name) const {
  const auto found =
      std::ranges::find_if(rules_, [&](const LaidRule& rule) { return rule.spec->name == name; });
  return found == rules_.end() || !found->on() ? nullptr : &*found;
}

std::size_t LaidPolicy::IndexOf(const std::string& name) const {
  return static_cast<std::size_t>(Named(name) - rules_.data());
}

}  // namespace sluicegate::sim
