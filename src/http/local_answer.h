// What the local doors have in common: how a denial becomes an answer. Pure.
#pragma once

#include <string>
#include <string_view>

#include "http/local_door.h"
#include "wire/problem.h"
#include "wire/refusal.h"

namespace sluicegate::http {

/// Makes a denial's answer: status, fields that are behind those that are there, and the body: the
/// problem, with the original's members `error`, `retry_after` (seconds, as the field of that name;
/// null: never) and `reset_time` (epoch seconds).
void Deny(const wire::Problem& problem, Now now, LocalAnswer& answer);

/// The answer to a request that no rule can be asked for.
[[nodiscard]] LocalAnswer Refused(const wire::Refusal& refusal);

/// A decoded path as it may stand in a request line, so that it can be normalised: what it may not
/// hold bare is escaped.
[[nodiscard]] std::string EscapedPath(std::string_view path);

}  // namespace sluicegate::http
