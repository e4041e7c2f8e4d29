#include "sluicegate/limiter.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "core.h"
#include "http/mcp_words.h"
#include "limit/compiled_limit.h"

namespace sluicegate::python {
namespace {

using namespace nb::literals;

using Key = Text<"key">;
using Cost = Whole<"cost">;
using Quota = Text<"quota">;

template <class T>
T Value(std::expected<T, std::string> result) {
  if (!result) throw nb::value_error(InPython(std::move(result.error())).c_str());
  return std::move(*result);
}

// A tuple of what an iterable has.
nb::object TupleOf(nb::handle given, const char* name, const char* mend) {
  if (PyUnicode_Check(given.ptr()) || Py_TYPE(given.ptr())->tp_iter == nullptr) {
    RefuseType(name, given, mend);
  }
  nb::object all = nb::steal(PySequence_Tuple(given.ptr()));
  if (!all.is_valid()) throw nb::python_error();
  return all;
}

std::vector<Limit> LimitsOf(nb::handle given) {
  constexpr const char* kMend = "Write a list of quotas, like ['10/minute'].";
  const nb::object all = TupleOf(given, "limits", kMend);
  std::vector<Limit> limits;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all.ptr()); ++i) {
    const nb::handle one = PyTuple_GET_ITEM(all.ptr(), i);
    nb::object owner;
    if (nb::isinstance<Limit>(one)) {
      limits.push_back(nb::cast<Limit>(one));
    } else if (PyUnicode_Check(one.ptr())) {
      limits.push_back(Value(Limit::Parse(Utf8Of(one, owner, "quota"))));
    } else {
      RefuseType("limits[" + std::to_string(i) + "]", one,
                 "Write a quota, like '10/minute', or a Limit.");
    }
  }
  return limits;
}

using PenaltyTuple = std::tuple<std::uint64_t, double, double>;

struct Options {
  std::size_t memory;
  std::string state;
  std::string name;
  bool fails_open;
  std::optional<PenaltyTuple> penalty;
  std::shared_ptr<ManualClock> clock;
};

// In place, as doors refer to it. Taking memory and opening files wait.
void MakeLimiter(KeyLimiter* at, nb::handle given, const Options& options) {
  const std::vector<Limit> limits = LimitsOf(given);
  auto clock = ClockOr(options.clock);
  LimiterOptions how{.memory_bytes = options.memory,
                     .clock = clock.get(),
                     .state_file = options.state,
                     .name = options.name,
                     .fails_open = options.fails_open};
  if (options.penalty) {
    const auto& [violations, within, ban] = *options.penalty;
    how.penalty = Penalty{.violations = violations,
                          .within = DurationOf(within, "penalty's time"),
                          .ban = DurationOf(ban, "penalty's ban")};
  }
  auto made = [&] {
    const nb::gil_scoped_release released;
    return Limiter::Create(limits, how);
  }();
  auto limiter = Value(std::move(made));
  auto names = std::make_shared<std::vector<std::string>>();
  for (const Limit& limit : limiter.limits()) names->push_back(limit.name);
  new (at) KeyLimiter{.limiter = std::move(limiter),
                      .clock = std::move(clock),
                      .names = std::move(names),
                      .shared = !options.state.empty()};
}

// What costs nothing asks, and is no request.
NamedDecision Check(KeyLimiter& self, Key key, Cost cost) {
  const Decision decision = self.limiter.Check(key.text, cost.value);
  if (decision.allowed() && cost.value > 0) self.admitted.fetch_add(1, std::memory_order_relaxed);
  return {.decision = decision, .names = self.names};
}

// All of them, before the first one is charged; views of what these sequences own.
std::vector<std::string_view> KeysOf(nb::handle all, std::vector<nb::object>& owners) {
  const auto size = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(all.ptr()));
  std::vector<std::string_view> keys(size);
  for (std::size_t i = 0; i < size; ++i) {
    PyObject* const item = PySequence_Fast_GET_ITEM(all.ptr(), static_cast<Py_ssize_t>(i));
    Py_ssize_t length = 0;
    if (const char* const text = PyUnicode_AsUTF8AndSize(item, &length); text != nullptr) {
      keys[i] = {text, static_cast<std::size_t>(length)};
      continue;
    }
    const std::string name = "keys[" + std::to_string(i) + "]";
    keys[i] = SlowUtf8Of(item, owners.emplace_back(), name.c_str());
  }
  return keys;
}

// The engine fetches the memory of keys ahead, so it gets as many at once as fit on the stack.
nb::list CheckMany(KeyLimiter& self, nb::handle given, Cost cost) {
  constexpr std::size_t kAtOnce = 256;
  std::array<Decision, kAtOnce> decisions;
  // In a file a wait may let other threads run, which might change a list.
  const bool is_list = PyList_CheckExact(given.ptr()) && !self.shared;
  const nb::object all =
      is_list ? nb::borrow(given) : TupleOf(given, "keys", "Write a list of keys.");
  std::vector<nb::object> owners;
  const std::vector<std::string_view> keys = KeysOf(all, owners);
  const std::size_t size = keys.size();
  nb::list verdicts = nb::steal<nb::list>(PyList_New(static_cast<Py_ssize_t>(size)));
  if (!verdicts.is_valid()) throw nb::python_error();
  std::uint64_t admitted = 0;
  for (std::size_t begin = 0; begin < size; begin += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, size - begin);
    self.limiter.CheckMany({keys.data() + begin, count}, {decisions.data(), count}, cost.value);
    for (std::size_t i = 0; i < count; ++i) {
      const bool allowed = decisions[i].allowed();
      admitted += allowed ? 1U : 0U;
      PyList_SET_ITEM(verdicts.ptr(), static_cast<Py_ssize_t>(begin + i),
                      Py_NewRef(allowed ? Py_True : Py_False));
    }
  }
  if (cost.value > 0) self.admitted.fetch_add(admitted, std::memory_order_relaxed);
  return verdicts;
}

bool RecordViolation(KeyLimiter& self, Key key) {
  self.violations.fetch_add(1, std::memory_order_relaxed);
  return self.limiter.RecordViolation(key.text);
}

// Each decision object gives back once what it holds: by then its place may be another call's.
void Release(KeyLimiter& self, NamedDecision& it) {
  const Decision decision = it.decision;
  if (it.names == self.names) it.decision.held = {};
  self.limiter.Release(decision);
}

void GiveBack(KeyLimiter& self, NamedDecision& it) {
  const Decision decision = it.decision;
  if (it.names == self.names) {
    it.decision.held = {};
    it.decision.stamp = {};
  }
  self.limiter.GiveBack(decision);
}

// REQUIRES: the decision is the limiter's, and denies.
nb::object DenialText(const KeyLimiter& self, const NamedDecision& it, Text<"what"> what) {
  std::optional<http::DenyingLimit> denying;
  if (const auto limits = self.limiter.limits(); it.decision.limit < limits.size()) {
    const auto limit = Value(limit::CompiledLimit::Compile(limits[it.decision.limit]));
    denying = {.quota = limit.quota(), .window_ns = std::nullopt};
    if (limit.algorithm() != Algorithm::kConcurrency) denying->window_ns = limit.window_ns();
  }
  return TextFrom(http::DenialText(it.decision, denying, what.text));
}

std::optional<std::string> BindingLimit(const NamedDecision& self) {
  if (self.decision.limit >= self.names->size()) return std::nullopt;
  return (*self.names)[self.decision.limit];
}

std::vector<std::string> Violated(const NamedDecision& self) {
  std::vector<std::string> violated;
  for (std::size_t i = 0; i < self.names->size(); ++i) {
    if (self.decision.Denies(i)) violated.push_back((*self.names)[i]);
  }
  return violated;
}

std::string Represent(const NamedDecision& self) {
  const std::string limit = BindingLimit(self).value_or("None");
  const auto retry_after = RetrySeconds(self.decision);
  return "Decision(" + std::string(VerdictName(self.decision.verdict)) + ", limit=" + limit +
         ", remaining=" + std::to_string(self.decision.remaining) +
         ", retry_after=" + (retry_after ? std::to_string(*retry_after) : std::string("None")) +
         ")";
}

void BindLimit(nb::module_& module) {
  nb::class_<Limit>(module, "Limit")
      .def_static(
          "parse", [](Quota quota) { return Value(Limit::Parse(quota.text)); }, "quota"_a)
      .def_static(
          "fixed_window", [](Quota quota) { return Value(Limit::ParseFixedWindow(quota.text)); },
          "quota"_a)
      .def_static(
          "burst",
          [](Whole<"capacity"> capacity, const std::optional<std::string>& refill) {
            return Limit::Burst(capacity.value, refill.value_or(""));
          },
          "capacity"_a, "refill"_a = nb::none())
      .def_static(
          "concurrency",
          [](Whole<"in_flight"> in_flight, double lease) {
            return Limit::Concurrency(in_flight.value, DurationOf(lease, "lease"));
          },
          "in_flight"_a, "lease"_a = 60.0)
      .def(
          "named",
          [](Limit self, std::string name) {
            self.name = std::move(name);
            return self;
          },
          "name"_a)
      .def_ro("name", &Limit::name)
      .def_ro("quota", &Limit::quota)
      .def_prop_ro("window",
                   [](const Limit& self) { return static_cast<double>(self.window.count()) / 1e9; })
      .def_prop_ro("algorithm",
                   [](const Limit& self) { return limit::AlgorithmName(self.algorithm); })
      .def(
          "__eq__", [](const Limit& one, const Limit& other) { return one == other; },
          nb::is_operator(), nb::sig("def __eq__(self, arg: object, /) -> bool"))
      .def("__hash__",
           [](const Limit& self) {
             return nb::hash(nb::make_tuple(static_cast<int>(self.algorithm), self.quota,
                                            self.window.count(), self.refill,
                                            static_cast<int>(self.unit), self.name));
           })
      .def("__repr__", [](const Limit& self) {
        return "Limit(" + std::string(limit::AlgorithmName(self.algorithm)) + ", name='" +
               self.name + "', quota=" + std::to_string(self.quota) + ")";
      });
}

void BindDecision(nb::module_& module) {
  nb::class_<NamedDecision>(module, "Decision")
      .def_prop_ro("allowed", [](const NamedDecision& self) { return self.decision.allowed(); })
      .def_prop_ro("verdict",
                   [](const NamedDecision& self) { return VerdictName(self.decision.verdict); })
      .def_prop_ro("limit", &BindingLimit)
      .def_prop_ro("violated", &Violated)
      .def_prop_ro("quota", [](const NamedDecision& self) { return self.decision.quota; })
      .def_prop_ro("remaining", [](const NamedDecision& self) { return self.decision.remaining; })
      .def_prop_ro("retry_after",
                   [](const NamedDecision& self) { return RetrySeconds(self.decision); })
      .def_prop_ro("hold", [](const NamedDecision& self) { return Seconds(self.decision.hold_ns); })
      .def_prop_ro("reset_after",
                   [](const NamedDecision& self) { return Seconds(self.decision.reset_after_ns); })
      .def_prop_ro(
          "retry_text", [](const NamedDecision& self) { return http::RetryText(self.decision); },
          "Of a denial: \"Retry after 7 seconds.\", or \"Ask for less.\"")
      .def("__bool__", [](const NamedDecision& self) { return self.decision.allowed(); })
      .def("__repr__", &Represent);
}

std::int64_t NsOf(double unix_time) {
  constexpr double kMost = 9e9;  // The year 2255.
  if (std::isfinite(unix_time) && std::abs(unix_time) <= kMost) {
    return static_cast<std::int64_t>(unix_time * 1e9);
  }
  const std::string text = "The unix_time is " + std::to_string(unix_time) +
                           ". Write seconds since 1970, as time.time() gives them.";
  throw nb::value_error(text.c_str());
}

}  // namespace

std::shared_ptr<const Clock> ClockOr(const std::shared_ptr<ManualClock>& clock) {
  if (clock != nullptr) return clock;
  return {std::shared_ptr<void>(), &SystemClock()};
}

Duration DurationOf(double seconds, const char* what) {
  constexpr double kMost = 100.0 * 366 * 86'400;
  if (std::isfinite(seconds) && seconds > 0 && seconds <= kMost) {
    return Duration(static_cast<std::int64_t>(std::ceil(seconds * 1e9)));
  }
  const std::string text = "The " + std::string(what) + " is " + std::to_string(seconds) +
                           " seconds. Write a number above 0.";
  throw nb::value_error(text.c_str());
}

void BindLimiter(nb::module_& module) {
  BindLimit(module);
  BindDecision(module);
  nb::class_<ManualClock>(module, "ManualClock")
      .def(
          "__init__",
          [](ManualClock* at, double unix_time) {
            new (at) ManualClock({.engine_ns = 1'000'000'000, .unix_ns = NsOf(unix_time)});
          },
          "unix_time"_a = 0.0)
      .def(
          "advance",
          [](ManualClock& self, double seconds) {
            const Duration by = DurationOf(seconds, "advance");
            (void)NsOf(static_cast<double>(self.Read().unix_ns) / 1e9 + seconds);
            self.Advance(by);
          },
          "seconds"_a)
      .def(
          "set",
          [](ManualClock& self, double elapsed, double unix_time) {
            const Duration engine = DurationOf(elapsed, "elapsed time");
            self.Set({.engine_ns = static_cast<std::uint64_t>(engine.count()),
                      .unix_ns = NsOf(unix_time)});
          },
          "elapsed"_a, "unix_time"_a);
  nb::class_<KeyLimiter>(module, "Limiter")
      .def(
          "__init__",
          [](KeyLimiter* at, nb::handle limits, Whole<"memory"> memory, StatePath state,
             Text<"name"> name, bool fails_open, const std::optional<PenaltyTuple>& penalty,
             std::shared_ptr<ManualClock> clock) {
            MakeLimiter(at, limits,
                        {.memory = memory.value,
                         .state = std::move(state.path),
                         .name = std::string(name.text),
                         .fails_open = fails_open,
                         .penalty = penalty,
                         .clock = std::move(clock)});
          },
          "limits"_a.none(), nb::kw_only(), "memory"_a = std::size_t{16} << 20U,
          "state"_a = nb::none(), "name"_a = "limiter", "fails_open"_a = false,
          "penalty"_a = nb::none(), "clock"_a = nb::none(),
          nb::sig("def __init__(self, limits: collections.abc.Iterable[Limit | str], *, memory: "
                  "int = 16777216, "
                  "state: str | os.PathLike[str] | None = None, name: str = 'limiter', "
                  "fails_open: bool = False, penalty: tuple[int, float, float] | None = None, "
                  "clock: ManualClock | None = None) -> None"))
      .def("check", &Check, "key"_a.none(), "cost"_a.none() = 1,
           nb::sig("def check(self, key: str, cost: int = 1) -> Decision"),
           "Charges the key with `cost` units on every limit, or on none where one has no room.")
      .def("check_many", &CheckMany, "keys"_a.none(), "cost"_a.none() = 1,
           nb::sig("def check_many(self, keys: collections.abc.Iterable[str], cost: int = 1) -> "
                   "list[bool]"),
           "As `check` for each key in turn: which were allowed. Faster where there are many.")
      .def(
          "peek", [](KeyLimiter& self, Key key) { return Check(self, key, {.value = 0}); },
          "key"_a.none(), nb::sig("def peek(self, key: str) -> Decision"))
      .def("denial_text", &DenialText, "decision"_a, "what"_a,
           nb::sig("def denial_text(self, decision: Decision, what: str) -> str"),
           "What denied, and when to try again, in words that a model can act on.")
      .def("give_back", &GiveBack, "decision"_a, "Undoes the charge of a decision, once.")
      .def("release", &Release, "decision"_a, "Ends what a decision put in flight, once.")
      .def("record_violation", &RecordViolation, "key"_a.none(),
           nb::sig("def record_violation(self, key: str) -> bool"))
      .def(
          "look",
          [](KeyLimiter& self, Key key) {
            const KeyUse use = self.limiter.Look(key.text);
            const auto end = use.used.begin() + static_cast<std::ptrdiff_t>(self.names->size());
            return std::tuple(std::vector<std::uint64_t>(use.used.begin(), end), use.violations,
                              Seconds(use.ban_left_ns));
          },
          "key"_a.none(), nb::sig("def look(self, key: str) -> tuple[list[int], int, float]"))
      .def(
          "forget", [](KeyLimiter& self, Key key) { return self.limiter.Forget(key.text); },
          "key"_a.none(), nb::sig("def forget(self, key: str) -> bool"),
          "Forgets what the key used, its violations and its ban.")
      .def(
          "forget_all",
          [](KeyLimiter& self) {
            const ReleasedIf released(self.shared);
            return self.limiter.ForgetAll();
          },
          "Forgets the same of all keys; how many had something in use.")
      .def_prop_ro("limits",
                   [](const KeyLimiter& self) {
                     const auto limits = self.limiter.limits();
                     return std::vector<Limit>(limits.begin(), limits.end());
                   })
      .def_prop_ro("capacity", [](const KeyLimiter& self) { return self.limiter.capacity(); })
      .def_prop_ro("evictions", [](const KeyLimiter& self) { return self.limiter.evictions(); })
      .def_prop_ro("admitted", [](const KeyLimiter& self) { return self.admitted.load(); })
      .def_prop_ro("violations", [](const KeyLimiter& self) { return self.violations.load(); })
      .def(
          "estimate_live",
          [](KeyLimiter& self, std::optional<std::size_t> limit) {
            const ReleasedIf released(self.shared);
            return limit ? self.limiter.EstimateLive(*limit) : self.limiter.EstimateLive();
          },
          "limit"_a = nb::none())
      .def("wall_time", [](const KeyLimiter& self) {
        return static_cast<double>(self.clock->Read().unix_ns) / 1e9;
      });
}

}  // namespace sluicegate::python
