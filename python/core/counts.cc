// Counters of windows, for the storage of `limits`.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string_view>
#include <tuple>
#include <utility>

#include "core.h"
#include "engine/window_counts.h"
#include "table/state_file.h"

namespace sluicegate::python {
namespace {

using namespace nb::literals;
using engine::WindowCounts;
using Key = Text<"key">;

// With the clock that it reads.
struct Counts {
  std::shared_ptr<const Clock> clock;
  std::unique_ptr<WindowCounts> windows;
  bool shared;  // It lies in a file.

  [[nodiscard]] Now Read() const noexcept { return windows->clock().Read(); }
};

std::uint64_t WindowOf(double seconds) {
  return static_cast<std::uint64_t>(DurationOf(seconds, "window").count());
}

// Taking memory and opening files wait.
void MakeCounts(Counts* at, Whole<"memory"> memory, StatePath state, std::string name,
                bool fails_open, const std::shared_ptr<ManualClock>& manual_clock) {
  const bool shared = !state.path.empty();
  auto clock = ClockOr(manual_clock);
  auto made = [&] {
    const nb::gil_scoped_release released;
    return WindowCounts::Create({.memory_bytes = memory.value,
                                 .clock = clock.get(),
                                 .state_file = std::move(state.path),
                                 .name = std::move(name),
                                 .fails_open = fails_open});
  }();
  if (!made) throw nb::value_error(InPython(made.error()).c_str());
  new (at) Counts{.clock = std::move(clock), .windows = std::move(*made), .shared = shared};
}

// Now, where no window is running.
double EndOf(const Counts& self, Key key) {
  const Now now = self.Read();
  const std::uint64_t left_ns = self.windows->Read(key.text, now).left_ns;
  return static_cast<double>(now.unix_ns) / 1e9 + Seconds(left_ns);
}

std::tuple<std::uint64_t, std::uint64_t, double> ReadPair(const Counts& self, Key key,
                                                          double window) {
  const WindowCounts::Pair pair = self.windows->ReadPair(key.text, WindowOf(window), self.Read());
  return {pair.before, pair.count, Seconds(pair.left_ns)};
}

std::vector<std::string> RegionsOf(const std::string& file) {
  const auto report = table::StateFile::Read(file);
  if (!report) throw nb::value_error(report.error().c_str());
  std::vector<std::string> names;
  for (const auto& region : report->regions) names.push_back(region.name);
  return names;
}

}  // namespace

void BindCounts(nb::module_& module) {
  nb::class_<Counts>(module, "WindowCounts")
      .def("__init__", &MakeCounts, nb::kw_only(), "memory"_a, "state"_a = nb::none(),
           "name"_a = "limiter", "fails_open"_a = false, "clock"_a = nb::none())
      .def(
          "add",
          [](Counts& self, Key key, double window, std::uint64_t amount, bool elastic) {
            return self.windows
                ->Add(key.text, amount, {.window_ns = WindowOf(window), .elastic = elastic},
                      self.Read())
                .count;
          },
          "key"_a, "window"_a, "amount"_a = 1, "elastic"_a = false)
      .def(
          "get",
          [](Counts& self, Key key) { return self.windows->Read(key.text, self.Read()).count; },
          "key"_a)
      .def("end", &EndOf, "key"_a)
      .def(
          "forget", [](Counts& self, Key key) { return self.windows->Forget(key.text); }, "key"_a)
      .def(
          "acquire",
          [](Counts& self, Key key, std::uint64_t quota, double window, std::uint64_t amount) {
            return self.windows->Acquire(
                key.text, amount, {.window_ns = WindowOf(window), .quota = quota}, self.Read());
          },
          "key"_a, "quota"_a, "window"_a, "amount"_a = 1)
      .def("get_pair", &ReadPair, "key"_a, "window"_a)
      .def(
          "forget_pair",
          [](Counts& self, Key key, double window) {
            return self.windows->ForgetPair(key.text, WindowOf(window));
          },
          "key"_a, "window"_a)
      .def("forget_all",
           [](Counts& self) {
             const ReleasedIf released(self.shared);
             return self.windows->ForgetAll(self.Read());
           })
      .def_prop_ro("is_in_place", [](const Counts& self) { return self.windows->IsInPlace(); })
      .def_prop_ro("capacity", [](const Counts& self) { return self.windows->capacity(); })
      .def_prop_ro("memory", [](const Counts& self) { return self.windows->memory_bytes(); })
      .def_prop_ro("evictions", [](const Counts& self) { return self.windows->evictions(); });
  module.def("state_regions", &RegionsOf, "file"_a);
}

}  // namespace sluicegate::python
