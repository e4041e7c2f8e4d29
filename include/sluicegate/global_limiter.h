// One limiter for the whole program, for programs that want no more than that. A library should not
// use it: it would spend the program's quotas, and two libraries would spend each other's. Nothing
// inside Sluicegate uses it. Thread-safe.
#pragma once

#include <expected>
#include <initializer_list>
#include <string>

#include "sluicegate/limiter.h"

namespace sluicegate {

/// The program's limiter, made at its first use: 60 a minute, 1,000 an hour, 10,000 a day and
/// bursts of 10, in 16 MiB, unless ConfigureGlobalLimiter said otherwise before. Lives as long as
/// the program, destructors of statics included. Ends the program if its memory cannot be had.
[[nodiscard]] Limiter& GlobalLimiter();

/// Makes the program's limiter with these limits. An error if it is made already (it was used, or
/// configured before), or what Limiter::Create tells; the limiter is as before then.
[[nodiscard]] std::expected<void, std::string> ConfigureGlobalLimiter(
    std::initializer_list<LimitLike> limits, const LimiterOptions& options = {});

}  // namespace sluicegate
