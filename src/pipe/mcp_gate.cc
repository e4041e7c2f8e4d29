#include "pipe/mcp_gate.h"

#include <algorithm>
#include <utility>

#include "wire/mcp_answer.h"

namespace sluicegate::pipe {
namespace {

using wire::McpMessage;

constexpr std::string_view kCancelled = "notifications/cancelled";

// Without the end of a line, LF or CR LF.
std::string_view TextOf(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r") == std::string_view::npos;
}

void AppendRefusal(std::string_view what, std::string& answers) {
  wire::AppendMcpError("null", wire::kMcpInvalidRequest, what, answers);
  answers += '\n';
}

}  // namespace

bool McpGate::Admits(std::string_view line, Now now, std::string& answers) {
  const std::string_view text = TextOf(line);
  if (IsBlank(text)) return true;
  // JSON takes it for blank, and so would one message here be several to such a server.
  if (text.find('\r') != std::string_view::npos) {
    AppendRefusal(
        "The line holds a carriage return, which some servers take for its end. Send the message "
        "without.",
        answers);
    return false;
  }
  const auto answer = Decide(text, now);
  if (!answer) return true;
  answers += answer->body;
  if (!answer->body.empty()) answers += '\n';
  return false;
}

void McpGate::RefuseTooLong(std::string& answers) {
  AppendRefusal("The message is longer than 64 MiB. Send less at once.", answers);
}

// Nothing: it is admitted.
std::optional<http::McpAnswer> McpGate::Decide(std::string_view text, Now now) {
  std::vector<Stamp> leases;
  std::optional<Decision> decision;
  // Again only where the rules' tables moved in that moment.
  while (!decision) {
    rules_.Refresh();
    if (auto fault = judge_.Read(text, rules_->policy(), {})) return fault;
    decision = judge_.Decide(engine_, *rules_, Request(), now, leases);
  }
  judge_.Count(tools_, !decision->allowed(), now);
  if (!decision->allowed()) {
    if (const auto event = http::EventOf(rules_->policy(), *decision, now)) on_denial_(*event);
    return judge_.Deny(*rules_, *decision);
  }
  if (!places_.empty()) EndCancelled(text, now);
  // A request without places, too: its answer must not pass for that of another with its id.
  if (!leases.empty() || !places_.empty()) Hold(std::move(leases), now);
  return std::nullopt;
}

void McpGate::Hold(std::vector<Stamp> leases, Now now) {
  std::vector<std::string_view> ids;
  for (const McpMessage& message : judge_.messages()) {
    if (message.kind == McpMessage::Kind::kRequest) ids.push_back(message.id);
  }
  if (ids.empty()) return GiveBack(leases, now);  // Nobody will say that it is over.
  places_.Hold(ids, std::move(leases));
}

void McpGate::EndCancelled(std::string_view text, Now now) {
  const auto messages = judge_.messages();
  if (std::ranges::find(messages, kCancelled, &McpMessage::method) == messages.end()) return;
  for (const std::string& id : CancelledIds(text)) GiveBack(places_.Take(id), now);
}

void McpGate::Observe(std::string_view bytes, Now now) {
  if (bytes.empty()) return;
  const bool was_within_line = std::exchange(server_within_line_, bytes.back() != '\n');
  if (!reading_server_ && !places_.empty()) {
    const std::size_t begin = was_within_line ? bytes.find('\n') : 0;
    if (begin == std::string_view::npos) return;
    bytes.remove_prefix(was_within_line ? begin + 1 : 0);
    reading_server_ = true;
  }
  if (!reading_server_) return;
  server_lines_.Add(bytes);
  while (const auto line = server_lines_.Next()) ReadAnswer(line->text, now);
  // Not within a line, as a request may come that it begins to answer.
  reading_server_ = server_within_line_ || !places_.empty();
}

void McpGate::ReadAnswer(std::string_view line, Now now) {
  const std::string_view text = TextOf(line);
  if (places_.empty() || IsBlank(text)) return;
  const auto messages = answers_.Read(text, {});
  // What is refused here may be fine to the client, and tells its id.
  if (!messages && messages.error().has_method) return;  // The server's own request.
  if (!messages) return GiveBack(places_.Take(messages.error().id), now);
  for (const McpMessage& message : *messages) {
    if (message.kind == McpMessage::Kind::kResponse) GiveBack(places_.Take(message.id), now);
  }
}

void McpGate::GiveBack(const HeldPlaces::Places& places, Now now) {
  if (places.empty()) return;
  rules_.Refresh();
  for (const Stamp& place : places) engine_.GiveBack(*rules_, place, now);
}

void McpGate::OnSecond(Now now) {
  // Well within any lease.
  places_.ForEach([&](Stamp& place) { engine_.Renew(*rules_, place, now); });
  on_second_(now);
}

}  // namespace sluicegate::pipe
