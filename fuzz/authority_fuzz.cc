// Host and the target's authority: one judgement in every place, and one spelling for the rules.
#include <algorithm>
#include <string>

#include "fuzz_target.h"
#include "wire/authority.h"
#include "wire/http_head.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

namespace {

std::string RuleHost(std::string_view authority) {
  std::string host;
  wire::AppendRuleHost(authority, host);
  return host;
}

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

wire::ParseState ParseRequest(const std::string& bytes, wire::RequestHead& head) {
  wire::RequestParser parser;
  return parser.Parse(bytes, head);
}

void CheckGood(std::string_view bytes) {
  const std::string_view host = wire::HostOf(bytes);
  Require(!host.empty() && bytes.starts_with(host));
  Require(wire::IsAuthority(host));
  Require(bytes.find_first_of("@/\\?#,% \t\r\n") == std::string_view::npos);
  const std::string rule_host = RuleHost(bytes);
  Require(!rule_host.ends_with('.'));
  Require(RuleHost(rule_host) == rule_host);
  Require(RuleHost(Upper(bytes)) == rule_host && RuleHost(host) == rule_host);
  Require(wire::SameAuthority(bytes, Upper(bytes), "80"));
  Require(wire::SameAuthority(host, std::string(host) + ":80", "80"));
  Require(!wire::SameAuthority(host, std::string(host) + ":81", "80"));
}

// What a request of this Host must be, given what IsAuthority says of it.
void CheckHostField(std::string_view bytes, bool good) {
  const std::string text = "GET / HTTP/1.1\r\nHost: " + std::string(bytes) + "\r\n\r\n";
  wire::RequestHead head;
  const wire::ParseState state = ParseRequest(text, head);
  if (good) Require(state == wire::ParseState::kDone && head.authority == bytes);
  // A text with line ends brings fields of its own, or ends the head.
  const bool one_line = bytes.find('\n') == std::string_view::npos;
  if (one_line && state == wire::ParseState::kDone) {
    Require(head.authority == wire::syntax::Trim(bytes) && wire::IsAuthority(head.authority));
  }
}

void CheckTarget(std::string_view bytes) {
  const std::string text = "GET http://" + std::string(bytes) +
                           "/x HTTP/1.1\r\nHost: " + std::string(bytes) + "\r\n\r\n";
  wire::RequestHead head;
  Require(ParseRequest(text, head) == wire::ParseState::kDone);
  Require(head.form == wire::TargetForm::kAbsolute && head.authority == bytes);
  Require(head.path_and_query == "/x");
}

}  // namespace

SG_FUZZ_TARGET(authority) {
  constexpr std::size_t kFitsIntoAStartLine = 8'000;
  if (bytes.size() > kFitsIntoAStartLine) return;
  const bool good = wire::IsAuthority(bytes);
  CheckHostField(bytes, good);
  if (!good) return;
  CheckGood(bytes);
  CheckTarget(bytes);
}
