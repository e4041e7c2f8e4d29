#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "config/identity_files.h"
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

// All files that cannot be used, a line each.
std::shared_ptr<const identity::Identities> LoadIdentities(const policy::Policy& policy) {
  auto identities = config::LoadIdentities(policy.settings().clients.identity);
  if (identities) return std::move(*identities);
  std::string lines;
  for (const std::string& line : identities.error()) {
    if (!lines.empty()) lines += '\n';
    lines += line;
  }
  Fail(lines);
}

// The headers of an ASGI scope: an iterable of pairs of bytes, each pair an iterable. It keeps what
// its fields are views of, as an iterator lets go of what it gave.
class Headers {
 public:
  explicit Headers(nb::handle headers) : all_(TupleOf(headers)) {
    const Py_ssize_t size = PyTuple_GET_SIZE(all_.ptr());
    fields_.reserve(static_cast<std::size_t>(size));
    for (Py_ssize_t i = 0; i < size; ++i) Add(PyTuple_GET_ITEM(all_.ptr(), i));
  }
  [[nodiscard]] std::span<const wire::Field> fields() const noexcept { return fields_; }

 private:
  static nb::object TupleOf(nb::handle items) {
    nb::object tuple = nb::steal(PySequence_Tuple(items.ptr()));
    if (!tuple.is_valid()) throw nb::python_error();
    return tuple;
  }
  void Add(nb::handle item) {
    const nb::object pair = TupleOf(item);
    if (PyTuple_GET_SIZE(pair.ptr()) != 2) throw nb::type_error("a header must be a pair");
    if (!pair.is(item)) owners_.push_back(pair);
    const std::string_view name = BytesOf(PyTuple_GET_ITEM(pair.ptr(), 0));
    fields_.push_back({.name = name, .value = BytesOf(PyTuple_GET_ITEM(pair.ptr(), 1))});
  }
  std::string_view BytesOf(PyObject* object) {
    if (PyBytes_Check(object)) {
      return {PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object))};
    }
    constexpr const char* kWhat = "a header's name or value";
    if (!PyUnicode_Check(object)) RefuseType(kWhat, object, "Write bytes.");
    nb::object owner;
    const std::string_view text = Utf8Of(object, owner, kWhat);
    if (owner.is_valid()) owners_.push_back(std::move(owner));
    return text;
  }

  const nb::object all_;
  std::vector<nb::object> owners_;
  std::vector<wire::Field> fields_;
};

// A policy's door decides under a lock of its own.
bool DecidesUnderALock(const LocalDoor& door) noexcept {
  return typeid(door) == typeid(PolicyDoor);
}

LocalAnswer Ask(LocalDoor& door, Text<"peer"> peer, Text<"method"> method, Text<"path"> path,
                const nb::handle& given) {
  const Headers headers(given);
  const KeptGil kept(DecidesUnderALock(door));
  return door.Ask(
      {.peer = peer.text, .method = method.text, .path = path.text, .fields = headers.fields()});
}

void End(LocalDoor& door, const LocalAnswer& answer) {
  const KeptGil kept(DecidesUnderALock(door));
  door.End(answer);
}

// Names in lower case, as ASGI wants them.
nb::list HeadersOf(std::string_view lines) {
  nb::list headers;
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
  std::string_view client;
  std::string_view user;
  std::string_view method{};
  std::string_view tool{};
  std::string_view arguments_text{};
  std::optional<std::uint64_t> cost{};
  bool places_only = false;
};

using Arguments = std::map<std::string, std::string>;

Request RequestOf(const Call& call) {
  return {.client = http::ParsePeer(call.client),
          .user = call.user,
          .mcp_method = call.method,
          .mcp_tool = call.tool,
          .mcp_arguments_text = call.arguments_text,
          .cost = call.cost.value_or(Request::kRuleCost),
          .places_only = call.places_only};
}

struct CallAnswer {
  LocalAnswer answer;
  http::Binding binding;
};

CallAnswer Decide(PolicyDoor& door, const Call& call, const Arguments& given,
                  const nb::handle& headers) {
  const Headers read(headers);
  const KeptGil kept(true);
  std::vector<http::Argument> arguments;
  for (const auto& [name, json] : given) arguments.push_back({.name = name, .json = json});
  CallAnswer decided;
  decided.answer =
      door.Decide({.request = RequestOf(call), .arguments = arguments, .fields = read.fields()},
                  decided.binding);
  return decided;
}

// Bytes, as it may hold anything.
nb::bytes CallerOf(PolicyDoor& door, Text<"client"> client, Text<"user"> user,
                   const nb::handle& headers) {
  const Headers read(headers);
  const KeptGil kept(true);
  const std::string caller =
      door.CallerOf({.request = RequestOf({.client = client.text, .user = user.text}),
                     .arguments = {},
                     .fields = read.fields()});
  return nb::bytes(caller.data(), caller.size());
}

// Reading files, compiling and taking memory wait.
std::unique_ptr<PolicyDoor> MakePolicyDoor(Text<"policy"> text, Text<"file"> file,
                                           const StatePath& state,
                                           const std::shared_ptr<ManualClock>& clock,
                                           bool names_users) {
  const nb::gil_scoped_release released;
  auto policy = ParsePolicy(text.text, file.text, [&](policy::Config& config) {
    config.clients.door_names_users = names_users;
    if (!state.path.empty()) config.state_file = policy::Text{.value = state.path, .at = {}};
  });
  PolicyDoor::Parts parts{.policy = policy,
                          .identities = LoadIdentities(*policy),
                          .file = nullptr,
                          .clock = ClockOr(clock)};
  std::vector<std::string> lines;
  if (const std::string& path = policy->settings().state_file; !path.empty()) {
    auto opened = table::OpenOnce(path);
    if (!opened) Fail(opened.error());
    parts.file = std::move(*opened);
  }
  auto door = PolicyDoor::Create(std::move(parts), lines);
  if (!door) Fail(door.error());
  return std::move(*door);
}

std::vector<std::string> Publish(PolicyDoor& door, Text<"policy"> text, Text<"file"> file,
                                 bool names_users) {
  const nb::gil_scoped_release released;
  auto policy = ParsePolicy(text.text, file.text, [&](policy::Config& config) {
    config.clients.door_names_users = names_users;
  });
  auto identities = LoadIdentities(*policy);
  auto lines = door.Publish(std::move(policy), std::move(identities));
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

// As the door does: each denial is a violation, but in a ban.
void Count(KeyLimiter& limiter, const Decision& decision) {
  if (decision.allowed()) {
    limiter.admitted.fetch_add(1, std::memory_order_relaxed);
  } else if (decision.verdict != Verdict::kBanned) {
    limiter.violations.fetch_add(1, std::memory_order_relaxed);
  }
}

std::unique_ptr<LimiterDoor> MakeLimiterDoor(KeyLimiter& limiter,
                                             const std::vector<std::string>& trusted_proxies,
                                             const std::vector<std::string>& exempt_ips,
                                             const std::vector<std::string>& exempt_users,
                                             const std::vector<std::string>& headers) {
  (void)PrefixesOf(trusted_proxies, "trusted_proxies");
  // The networks are good by now: what mistakes there are, the forms have.
  auto clients = ParsePolicy("rules: []", "headers", [&](policy::Config& config) {
    config.headers.emplace();
    for (const std::string& form : headers) config.headers->push_back({.value = form, .at = {}});
    for (const std::string& network : trusted_proxies) {
      config.clients.trusted_proxies.push_back({.value = network, .at = {}});
    }
    config.clients.identity_header = policy::Text{.value = "x-user-id", .at = {}};
  });
  return std::make_unique<LimiterDoor>(
      limiter.limiter,
      LimiterDoor::Options{
          .clients = std::move(clients),
          .exempt_clients = PrefixesOf(exempt_ips, "exempt_ips"),
          .exempt_users = {exempt_users.begin(), exempt_users.end()},
          .clock = limiter.clock,
          .on_decision = [&limiter](const Decision& decision) { Count(limiter, decision); }});
}

// Networks that addresses are looked for in.
struct Networks {
  PrefixSet prefixes;
};

void BindAnswers(nb::module_& module) {
  nb::class_<LocalAnswer>(module, "Answer")
      .def_prop_ro("allowed", [](const LocalAnswer& self) { return self.status == 0; })
      .def_ro("status", &LocalAnswer::status)
      .def_prop_ro("verdict",
                   [](const LocalAnswer& self) { return VerdictName(self.decision.verdict); })
      .def_prop_ro("retry_after",
                   [](const LocalAnswer& self) { return RetrySeconds(self.decision); })
      .def_prop_ro(
          "headers", [](const LocalAnswer& self) { return HeadersOf(self.fields); },
          nb::for_getter(nb::sig("def headers(self) -> list[tuple[bytes, bytes]]")))
      .def_prop_ro("body", [](const LocalAnswer& self) {
        return nb::bytes(self.body.data(), self.body.size());
      });
  nb::class_<CallAnswer>(module, "CallAnswer")
      .def_prop_ro("allowed", [](const CallAnswer& self) { return self.answer.decision.allowed(); })
      .def_prop_ro("verdict",
                   [](const CallAnswer& self) { return VerdictName(self.answer.decision.verdict); })
      .def_prop_ro("rule", [](const CallAnswer& self) { return self.binding.rule; })
      .def_prop_ro(
          "text", [](const CallAnswer& self) { return TextFrom(self.binding.text); },
          nb::for_getter(nb::sig("def text(self) -> str")),
          "Of a denial, in words that a model can act on.")
      .def_prop_ro(
          "numbers", [](const CallAnswer& self) { return TextFrom(self.binding.numbers); },
          nb::for_getter(nb::sig("def numbers(self) -> str")), "The same as a JSON object.")
      .def_prop_ro("remaining",
                   [](const CallAnswer& self) { return self.answer.decision.remaining; });
}

}  // namespace

void BindDoors(nb::module_& module) {
  BindAnswers(module);
  nb::class_<LocalDoor>(module, "Door")
      .def("ask", &Ask, "peer"_a, "method"_a, "path"_a, "headers"_a,
           nb::sig("def ask(self, peer: str, method: str, path: str, "
                   "headers: collections.abc.Iterable[collections.abc.Iterable[bytes]]) -> Answer"))
      .def("end", &End, "answer"_a);
  nb::class_<LimiterDoor, LocalDoor>(module, "LimiterDoor")
      .def(nb::new_(&MakeLimiterDoor), "limiter"_a,
           "trusted_proxies"_a = std::vector<std::string>(),
           "exempt_ips"_a = std::vector<std::string>(),
           "exempt_users"_a = std::vector<std::string>(),
           "headers"_a = std::vector<std::string>{"draft11", "x-ratelimit-epoch"},
           nb::keep_alive<0, 2>())  // 1 is the class.
      .def(
          "key_for",
          [](LimiterDoor& self, Text<"peer"> peer, const nb::handle& given) {
            const Headers headers(given);
            return TextFrom(self.KeyFor(
                {.peer = peer.text, .method = {}, .path = {}, .fields = headers.fields()}));
          },
          "peer"_a, "headers"_a = nb::make_tuple(),
          nb::sig("def key_for(self, peer: str, headers: "
                  "collections.abc.Iterable[collections.abc.Iterable[bytes]] = ()) -> str"),
          "Whom `ask` charges: an address, or from a trusted proxy its user.")
      .def(
          "fields_of",
          [](const LimiterDoor& self, const NamedDecision& it) {
            return HeadersOf(self.FieldsOf(it.decision));
          },
          "decision"_a,
          nb::sig("def fields_of(self, decision: Decision) -> list[tuple[bytes, bytes]]"),
          "What `ask` tells of a decision of the limiter about one unit.")
      .def_static(
          "key_of", [](Text<"peer"> peer) { return TextFrom(LimiterDoor::KeyOf(peer.text)); },
          "peer"_a, nb::sig("def key_of(peer: str) -> str"));
  nb::class_<Networks>(module, "Networks")
      .def(
          "__init__",
          [](Networks* at, const std::vector<std::string>& networks, const char* argument) {
            new (at) Networks{.prefixes = PrefixesOf(networks, argument)};
          },
          "networks"_a, "argument"_a)
      .def(
          "contains",
          [](const Networks& self, Text<"address"> address) {
            const auto parsed = IpAddress::Parse(address.text);
            return parsed.has_value() && self.prefixes.Contains(*parsed);
          },
          "address"_a, "False where it is no address.");
  nb::class_<PolicyDoor, LocalDoor>(module, "PolicyDoor")
      .def(nb::new_(&MakePolicyDoor), "policy"_a, "file"_a = "policy", "state"_a = nb::none(),
           "clock"_a = nb::none(), "names_users"_a = false)
      .def(
          "decide",
          [](PolicyDoor& self, Text<"client"> client, Text<"user"> user, Text<"method"> method,
             Text<"tool"> tool, const Arguments& arguments, Text<"arguments_text"> arguments_text,
             std::optional<std::uint64_t> cost, bool places_only, const nb::object& headers) {
            return Decide(self,
                          {.client = client.text,
                           .user = user.text,
                           .method = method.text,
                           .tool = tool.text,
                           .arguments_text = arguments_text.text,
                           .cost = cost,
                           .places_only = places_only},
                          arguments, headers);
          },
          nb::kw_only(), "client"_a = "", "user"_a = "", "method"_a = "", "tool"_a = "",
          "arguments"_a = Arguments(), "arguments_text"_a = "", "cost"_a = nb::none(),
          "places_only"_a = false, "headers"_a = nb::make_tuple(),
          nb::sig("def decide(self, *, client: str = '', user: str = '', method: str = '', "
                  "tool: str = '', arguments: dict[str, str] = {}, arguments_text: str = '', "
                  "cost: int | None = None, places_only: bool = False, headers: "
                  "collections.abc.Iterable[collections.abc.Iterable[bytes]] = ()) -> CallAnswer"),
          "Arguments are JSON texts by their names; which ones, asked_arguments says. Of one that "
          "is not there the rule's default counts. Their text, all of them as one JSON text, is "
          "read where asks_arguments_text says so.")
      .def("caller_of", &CallerOf, nb::kw_only(), "client"_a = "", "user"_a = "",
           "headers"_a = nb::make_tuple(),
           nb::sig("def caller_of(self, *, client: str = '', user: str = '', headers: "
                   "collections.abc.Iterable[collections.abc.Iterable[bytes]] = ()) -> bytes"),
           "The same for calls of one client, user and API key, as the policy has them.")
      .def(
          "end_call", [](PolicyDoor& self, const CallAnswer& it) { End(self, it.answer); },
          "answer"_a)
      .def("publish", &Publish, "policy"_a, "file"_a = "policy", "names_users"_a = false)
      .def("counts", &CountsOf, nb::sig("def counts(self) -> dict[str, dict[str, int]]"))
      .def_prop_ro(
          "tools", [](PolicyDoor& self) -> engine::ToolStatistics& { return self.tools(); },
          nb::rv_policy::reference_internal, "Of the tools that `decide` heard of.")
      .def_prop_ro(
          "own_budgets",
          [](const PolicyDoor& self) { return self.policy()->settings().mcp.own_budgets; },
          "Whether handshakes, lists and notifications have budgets of their own.")
      .def_prop_ro("asks_arguments_text",
                   [](const PolicyDoor& self) { return self.policy()->AsksArgumentsText(); })
      .def_prop_ro("asked_arguments",
                   [](const PolicyDoor& self) {
                     const auto policy = self.policy();
                     const auto asked = policy->asked_arguments();
                     return std::vector<std::string>(asked.begin(), asked.end());
                   })
      .def(
          "warnings",
          [](const PolicyDoor& self, Text<"file"> file) {
            std::vector<std::string> warnings;
            const auto policy = self.policy();
            for (const policy::Mistake& mistake : policy->warnings()) {
              warnings.push_back(config::FormatMistake(file.text, mistake));
            }
            return warnings;
          },
          "file"_a = "policy");
}

}  // namespace sluicegate::python
