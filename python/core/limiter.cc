#include "sluicegate/limiter.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>

#include "core.h"
#include "limit/compiled_limit.h"

namespace sluicegate::python {
namespace {

using namespace nb::literals;

template <class T>
T Value(std::expected<T, std::string> result) {
  if (!result) throw nb::value_error(result.error().c_str());
  return std::move(*result);
}

using LimitOrText = std::variant<Limit, std::string>;

std::vector<Limit> LimitsOf(const std::vector<LimitOrText>& given) {
  std::vector<Limit> limits;
  for (const LimitOrText& one : given) {
    const auto* const text = std::get_if<std::string>(&one);
    limits.push_back(text == nullptr ? std::get<Limit>(one) : Value(Limit::Parse(*text)));
  }
  return limits;
}

using PenaltyTuple = std::tuple<std::uint64_t, double, double>;

struct Options {
  std::size_t memory;
  std::optional<std::string> state;
  std::string name;
  bool fails_open;
  std::optional<PenaltyTuple> penalty;
  std::shared_ptr<ManualClock> clock;
};

// In place, as doors refer to it. Taking memory and opening files wait.
void MakeLimiter(KeyLimiter* at, const std::vector<LimitOrText>& given, const Options& options) {
  const std::vector<Limit> limits = LimitsOf(given);
  auto clock = ClockOr(options.clock);
  LimiterOptions how{.memory_bytes = options.memory,
                     .clock = clock.get(),
                     .state_file = options.state.value_or(""),
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
  new (at) KeyLimiter{
      .limiter = std::move(limiter), .clock = std::move(clock), .names = std::move(names)};
}

NamedDecision Check(KeyLimiter& self, std::string_view key, std::uint64_t cost) {
  const Decision decision = self.limiter.Check(key, cost);
  if (decision.allowed()) self.admitted.fetch_add(1, std::memory_order_relaxed);
  return {.decision = decision, .names = self.names};
}

// The engine fetches the memory of keys ahead, so it gets as many at once as fit on the stack.
nb::list CheckMany(KeyLimiter& self, const nb::sequence& keys, std::uint64_t cost) {
  constexpr std::size_t kAtOnce = 256;
  std::array<std::string_view, kAtOnce> texts;
  std::array<Decision, kAtOnce> decisions;
  const nb::object fast = nb::steal(PySequence_Fast(keys.ptr(), "keys must be a sequence"));
  if (!fast.is_valid()) throw nb::python_error();
  PyObject** const items = PySequence_Fast_ITEMS(fast.ptr());
  const auto size = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(fast.ptr()));
  nb::list verdicts = nb::steal<nb::list>(PyList_New(static_cast<Py_ssize_t>(size)));
  if (!verdicts.is_valid()) throw nb::python_error();
  std::uint64_t admitted = 0;
  for (std::size_t begin = 0; begin < size; begin += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, size - begin);
    for (std::size_t i = 0; i < count; ++i) {
      Py_ssize_t length = 0;
      const char* const text = PyUnicode_AsUTF8AndSize(items[begin + i], &length);
      if (text == nullptr) throw nb::python_error();
      texts[i] = {text, static_cast<std::size_t>(length)};
    }
    self.limiter.CheckMany({texts.data(), count}, {decisions.data(), count}, cost);
    for (std::size_t i = 0; i < count; ++i) {
      const bool allowed = decisions[i].allowed();
      admitted += allowed ? 1U : 0U;
      PyList_SET_ITEM(verdicts.ptr(), static_cast<Py_ssize_t>(begin + i),
                      Py_NewRef(allowed ? Py_True : Py_False));
    }
  }
  self.admitted.fetch_add(admitted, std::memory_order_relaxed);
  return verdicts;
}

bool RecordViolation(KeyLimiter& self, std::string_view key) {
  self.violations.fetch_add(1, std::memory_order_relaxed);
  return self.limiter.RecordViolation(key);
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
  return "Decision(" + std::string(VerdictName(self.decision.verdict)) + ", limit=" + limit +
         ", remaining=" + std::to_string(self.decision.remaining) +
         ", retry_after=" + std::to_string(Seconds(self.decision.retry_after_ns)) + ")";
}

void BindLimit(nb::module_& module) {
  nb::class_<Limit>(module, "Limit")
      .def_static(
          "parse", [](std::string_view text) { return Value(Limit::Parse(text)); }, "quota"_a)
      .def_static(
          "fixed_window",
          [](std::string_view text) { return Value(Limit::ParseFixedWindow(text)); }, "quota"_a)
      .def_static(
          "burst",
          [](std::uint64_t capacity, const std::optional<std::string>& refill) {
            return Limit::Burst(capacity, refill.value_or(""));
          },
          "capacity"_a, "refill"_a = nb::none())
      .def_static(
          "concurrency",
          [](std::uint64_t in_flight, double lease) {
            return Limit::Concurrency(in_flight, DurationOf(lease, "lease"));
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
          [](ManualClock& self, double seconds) { self.Advance(DurationOf(seconds, "advance")); },
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
          [](KeyLimiter* at, const std::vector<LimitOrText>& limits, std::size_t memory,
             std::optional<std::string> state, std::string name, bool fails_open,
             const std::optional<PenaltyTuple>& penalty, std::shared_ptr<ManualClock> clock) {
            MakeLimiter(at, limits,
                        {.memory = memory,
                         .state = std::move(state),
                         .name = std::move(name),
                         .fails_open = fails_open,
                         .penalty = penalty,
                         .clock = std::move(clock)});
          },
          "limits"_a, nb::kw_only(), "memory"_a = std::size_t{16} << 20U, "state"_a = nb::none(),
          "name"_a = "limiter", "fails_open"_a = false, "penalty"_a = nb::none(),
          "clock"_a = nb::none())
      .def("check", &Check, "key"_a, "cost"_a = 1,
           "Charges the key with `cost` units on every limit, or on none where one has no room.")
      .def("check_many", &CheckMany, "keys"_a, "cost"_a = 1,
           nb::sig("def check_many(self, keys: Sequence[str], cost: int = 1) -> list[bool]"),
           "As `check` for each key in turn: which were allowed. Faster where there are many.")
      .def(
          "peek", [](KeyLimiter& self, std::string_view key) { return Check(self, key, 0); },
          "key"_a)
      .def(
          "give_back",
          [](KeyLimiter& self, const NamedDecision& it) { self.limiter.GiveBack(it.decision); },
          "decision"_a)
      .def(
          "release",
          [](KeyLimiter& self, const NamedDecision& it) { self.limiter.Release(it.decision); },
          "decision"_a)
      .def("record_violation", &RecordViolation, "key"_a)
      .def(
          "look",
          [](KeyLimiter& self, std::string_view key) {
            const KeyUse use = self.limiter.Look(key);
            const auto end = use.used.begin() + static_cast<std::ptrdiff_t>(self.names->size());
            return std::tuple(std::vector<std::uint64_t>(use.used.begin(), end), use.violations,
                              Seconds(use.ban_left_ns));
          },
          "key"_a)
      .def(
          "forget", [](KeyLimiter& self, std::string_view key) { return self.limiter.Forget(key); },
          "key"_a, "Forgets what the key used, its violations and its ban.")
      .def(
          "forget_all", [](KeyLimiter& self) { return self.limiter.ForgetAll(); },
          nb::call_guard<nb::gil_scoped_release>(),
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
            return limit ? self.limiter.EstimateLive(*limit) : self.limiter.EstimateLive();
          },
          "limit"_a = nb::none(), nb::call_guard<nb::gil_scoped_release>())
      .def("wall_time", [](const KeyLimiter& self) {
        return static_cast<double>(self.clock->Read().unix_ns) / 1e9;
      });
}

}  // namespace sluicegate::python
