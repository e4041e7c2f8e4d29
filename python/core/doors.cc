#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <string_view>
#include <utility>

#include "config/load.h"
#include "core.h"
#include "http/local_door.h"
#include "table/open_once.h"

namespace sluicegate::python {
namespace {

using namespace nb::literals;
using http::LimiterDoor;
using http::LocalAnswer;
using http::LocalDoor;
using http::PolicyDoor;

[[noreturn]] void Fail(const std::string& why) { throw nb::value_error(why.c_str()); }

// All mistakes, a line each.
[[noreturn]] void Fail(std::string_view file, const config::Mistakes& mistakes) {
  std::string lines;
  for (const policy::Mistake& mistake : mistakes) {
    if (!lines.empty()) lines += '\n';
    lines += config::FormatMistake(file, mistake);
  }
  Fail(lines);
}

std::shared_ptr<const policy::Policy> ParsePolicy(
    std::string_view text, std::string_view file,
    const std::function<void(policy::Config&)>& edit = {}) {
  auto policy = config::ParsePolicy(text, edit);
  if (!policy) Fail(file, policy.error());
  return std::move(*policy);
}

http::ApiKeys LoadApiKeys(const std::string& file) {
  if (file.empty()) return {};
  constexpr std::size_t kMost = std::size_t{16} << 20U;
  const auto text = config::ReadFile(file, kMost);
  if (!text) Fail(config::FormatMistake(file, text.error()));
  auto keys = http::ApiKeys::Parse(*text);
  if (!keys) Fail(file + ": " + keys.error());
  return std::move(*keys);
}

// What a bytes object of Python holds, as long as it lives.
std::string_view BytesOf(PyObject* object) {
  char* text = nullptr;
  Py_ssize_t length = 0;
  if (PyBytes_AsStringAndSize(object, &text, &length) != 0) throw nb::python_error();
  return {text, static_cast<std::size_t>(length)};
}

// The headers of an ASGI scope: pairs of bytes. They live as long as the scope.
void ReadFields(const nb::handle& headers, std::vector<wire::Field>& fields) {
  const nb::object all = nb::steal(PySequence_Fast(headers.ptr(), "headers must be a sequence"));
  if (!all.is_valid()) throw nb::python_error();
  const Py_ssize_t size = PySequence_Fast_GET_SIZE(all.ptr());
  fields.clear();
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const item = PySequence_Fast_GET_ITEM(all.ptr(), i);
    const nb::object pair = nb::steal(PySequence_Fast(item, "a header must be a pair"));
    if (!pair.is_valid()) throw nb::python_error();
    if (PySequence_Fast_GET_SIZE(pair.ptr()) != 2) throw nb::type_error("a header must be a pair");
    fields.push_back({.name = BytesOf(PySequence_Fast_GET_ITEM(pair.ptr(), 0)),
                      .value = BytesOf(PySequence_Fast_GET_ITEM(pair.ptr(), 1))});
  }
}

LocalAnswer Ask(LocalDoor& door, std::string_view peer, std::string_view method,
                std::string_view path, const nb::handle& headers) {
  static thread_local std::vector<wire::Field> fields;
  ReadFields(headers, fields);
  return door.Ask({.peer = peer, .method = method, .path = path, .fields = fields});
}

// Names in lower case, as ASGI wants them.
nb::list HeadersOf(const LocalAnswer& answer) {
  nb::list headers;
  std::string_view lines = answer.fields;
  std::string name;
  while (!lines.empty()) {
    const std::size_t colon = lines.find(": ");
    const std::size_t end = lines.find("\r\n");
    name.assign(lines.substr(0, colon));
    for (char& c : name) c = wire::syntax::ToLower(c);
    const std::string_view value = lines.substr(colon + 2, end - colon - 2);
    headers.append(
        nb::make_tuple(nb::bytes(name.data(), name.size()), nb::bytes(value.data(), value.size())));
    lines.remove_prefix(end + 2);
  }
  return headers;
}

// A policy's door, for what is no request of HTTP too.
struct Call {
  std::string client;
  std::string user;
  std::string method;
  std::string tool;
  std::vector<std::string> arguments;
  std::optional<std::uint64_t> cost;
};

struct CallAnswer {
  LocalAnswer answer;
  http::Binding binding;
};

CallAnswer Decide(PolicyDoor& door, const Call& call, const nb::handle& headers) {
  static thread_local std::vector<wire::Field> fields;
  ReadFields(headers, fields);
  const std::vector<std::string_view> arguments(call.arguments.begin(), call.arguments.end());
  const Request request{.client = IpAddress::Parse(call.client).value_or(IpAddress()),
                        .user = call.user,
                        .mcp_method = call.method,
                        .mcp_tool = call.tool,
                        .mcp_arguments = arguments,
                        .cost = call.cost.value_or(Request::kRuleCost)};
  CallAnswer decided;
  decided.answer = door.Decide(request, fields, decided.binding);
  return decided;
}

std::unique_ptr<PolicyDoor> MakePolicyDoor(std::string_view text, std::string_view file,
                                           const std::optional<std::string>& state,
                                           const std::shared_ptr<ManualClock>& clock) {
  auto policy = ParsePolicy(text, file, [&](policy::Config& config) {
    if (state) config.state_file = policy::Text{.value = *state, .at = {}};
  });
  PolicyDoor::Parts parts{
      .policy = policy,
      .api_keys = LoadApiKeys(policy->settings().clients.identity.api_keys_file),
      .file = nullptr,
      .clock = ClockOr(clock)};
  std::vector<std::string> lines;
  const nb::gil_scoped_release released;  // Taking memory and opening files wait.
  if (const std::string& path = policy->settings().state_file; !path.empty()) {
    auto opened = table::OpenOnce(path);
    if (!opened) Fail(opened.error());
    parts.file = std::move(*opened);
  }
  auto door = PolicyDoor::Create(std::move(parts), lines);
  if (!door) Fail(door.error());
  return std::move(*door);
}

std::vector<std::string> Publish(PolicyDoor& door, std::string_view text, std::string_view file) {
  auto policy = ParsePolicy(text, file);
  const nb::gil_scoped_release released;
  auto lines = door.Publish(std::move(policy));
  if (!lines) Fail(lines.error());
  return std::move(*lines);
}

nb::dict CountsOf(const PolicyDoor& door) {
  nb::dict counts;
  for (const engine::RuleReport& rule : door.Counts()) {
    nb::dict one;
    one["admitted"] = rule.admitted;
    one["limited"] = rule.limited;
    one["banned"] = rule.banned;
    one["exempt"] = rule.exempt;
    one["violations"] = rule.violations;
    one["bans"] = rule.bans;
    counts[nb::str(rule.rule.c_str(), rule.rule.size())] = one;
  }
  return counts;
}

PrefixSet PrefixesOf(const std::vector<std::string>& texts, const char* what) {
  std::vector<IpPrefix> prefixes;
  for (const std::string& text : texts) {
    IpPrefix prefix;
    const IpPrefix::Fault fault = IpPrefix::Parse(text, prefix);
    if (fault == IpPrefix::Fault::kHostBits) {
      Fail(std::string(what) + ": " + text + " has bits beyond its length. Write " +
           prefix.ToString() + ".");
    }
    if (fault != IpPrefix::Fault::kNone) {
      Fail(std::string(what) + ": '" + text +
           "' is no address and no network. Write one like 192.0.2.1 or 10.0.0.0/8.");
    }
    prefixes.push_back(prefix);
  }
  return PrefixSet(prefixes);
}

std::unique_ptr<LimiterDoor> MakeLimiterDoor(KeyLimiter& limiter,
                                             const std::vector<std::string>& trusted_proxies,
                                             const std::vector<std::string>& exempt_ips,
                                             const std::vector<std::string>& exempt_users) {
  (void)PrefixesOf(trusted_proxies, "trusted_proxies");
  auto clients = ParsePolicy("rules: []", "trusted_proxies", [&](policy::Config& config) {
    for (const std::string& network : trusted_proxies) {
      config.clients.trusted_proxies.push_back({.value = network, .at = {}});
    }
    config.clients.identity_header = policy::Text{.value = "x-user-id", .at = {}};
  });
  return std::make_unique<LimiterDoor>(
      limiter.limiter,
      LimiterDoor::Options{.clients = std::move(clients),
                           .exempt_clients = PrefixesOf(exempt_ips, "exempt_ips"),
                           .exempt_users = {exempt_users.begin(), exempt_users.end()},
                           .clock = limiter.clock});
}

void BindAnswers(nb::module_& module) {
  nb::class_<LocalAnswer>(module, "Answer")
      .def_prop_ro("allowed", [](const LocalAnswer& self) { return self.status == 0; })
      .def_ro("status", &LocalAnswer::status)
      .def_prop_ro("verdict",
                   [](const LocalAnswer& self) { return VerdictName(self.decision.verdict); })
      .def_prop_ro("retry_after",
                   [](const LocalAnswer& self) { return RetrySeconds(self.decision); })
      .def_prop_ro("headers", &HeadersOf,
                   nb::for_getter(nb::sig("def headers(self) -> list[tuple[bytes, bytes]]")))
      .def_prop_ro("body", [](const LocalAnswer& self) {
        return nb::bytes(self.body.data(), self.body.size());
      });
  nb::class_<CallAnswer>(module, "CallAnswer")
      .def_prop_ro("allowed", [](const CallAnswer& self) { return self.answer.decision.allowed(); })
      .def_prop_ro("verdict",
                   [](const CallAnswer& self) { return VerdictName(self.answer.decision.verdict); })
      .def_prop_ro("rule", [](const CallAnswer& self) { return self.binding.rule; })
      .def_prop_ro("violated", [](const CallAnswer& self) { return self.binding.violated; })
      .def_prop_ro("window",
                   [](const CallAnswer& self) -> std::optional<double> {
                     if (!self.binding.window_ns) return std::nullopt;
                     return Seconds(*self.binding.window_ns);
                   })
      .def_prop_ro("quota", [](const CallAnswer& self) { return self.answer.decision.quota; })
      .def_prop_ro("remaining",
                   [](const CallAnswer& self) { return self.answer.decision.remaining; })
      .def_prop_ro("retry_after",
                   [](const CallAnswer& self) { return RetrySeconds(self.answer.decision); })
      .def_prop_ro("reset_after", [](const CallAnswer& self) {
        return Seconds(self.answer.decision.reset_after_ns);
      });
}

}  // namespace

void BindDoors(nb::module_& module) {
  BindAnswers(module);
  nb::class_<LocalDoor>(module, "Door")
      .def("ask", &Ask, "peer"_a, "method"_a, "path"_a, "headers"_a,
           nb::sig("def ask(self, peer: str, method: str, path: str, "
                   "headers: Sequence[tuple[bytes, bytes]]) -> Answer"))
      .def("end", [](LocalDoor& self, const LocalAnswer& answer) { self.End(answer); }, "answer"_a);
  nb::class_<LimiterDoor, LocalDoor>(module, "LimiterDoor")
      .def(nb::new_(&MakeLimiterDoor), "limiter"_a,
           "trusted_proxies"_a = std::vector<std::string>(),
           "exempt_ips"_a = std::vector<std::string>(),
           "exempt_users"_a = std::vector<std::string>(), nb::keep_alive<0, 1>())
      .def_static("key_of", &LimiterDoor::KeyOf, "peer"_a)
      .def_static(
          "is_within",
          [](std::string_view address, const std::vector<std::string>& networks) {
            const auto parsed = IpAddress::Parse(address);
            return PrefixesOf(networks, "exempt_ips").Contains(parsed.value_or(IpAddress())) &&
                   parsed.has_value();
          },
          "address"_a, "networks"_a);
  nb::class_<PolicyDoor, LocalDoor>(module, "PolicyDoor")
      .def(nb::new_(&MakePolicyDoor), "policy"_a, "file"_a = "policy", "state"_a = nb::none(),
           "clock"_a = nb::none())
      .def(
          "decide",
          [](PolicyDoor& self, std::string client, std::string user, std::string method,
             std::string tool, std::vector<std::string> arguments,
             std::optional<std::uint64_t> cost, const nb::object& headers) {
            return Decide(self,
                          {.client = std::move(client),
                           .user = std::move(user),
                           .method = std::move(method),
                           .tool = std::move(tool),
                           .arguments = std::move(arguments),
                           .cost = cost},
                          headers);
          },
          nb::kw_only(), "client"_a = "", "user"_a = "", "method"_a = "", "tool"_a = "",
          "arguments"_a = std::vector<std::string>(), "cost"_a = nb::none(),
          "headers"_a = nb::make_tuple(),
          nb::sig("def decide(self, *, client: str = '', user: str = '', method: str = '', "
                  "tool: str = '', arguments: Sequence[str] = [], cost: int | None = None, "
                  "headers: Sequence[tuple[bytes, bytes]] = ()) -> CallAnswer"))
      .def(
          "end_call", [](PolicyDoor& self, const CallAnswer& it) { self.End(it.answer); },
          "answer"_a)
      .def("publish", &Publish, "policy"_a, "file"_a = "policy")
      .def("counts", &CountsOf, nb::sig("def counts(self) -> dict[str, dict[str, int]]"))
      .def_prop_ro("asked_arguments",
                   [](const PolicyDoor& self) {
                     const auto policy = self.policy();
                     const auto asked = policy->asked_arguments();
                     return std::vector<std::string>(asked.begin(), asked.end());
                   })
      .def_prop_ro("warnings", [](const PolicyDoor& self) {
        std::vector<std::string> warnings;
        for (const policy::Mistake& mistake : self.policy()->warnings()) {
          warnings.push_back(config::FormatMistake("policy", mistake));
        }
        return warnings;
      });
}

}  // namespace sluicegate::python
