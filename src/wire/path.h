// A request's path in one spelling, so that the rules and the upstream see the same one. Pure.
//
// What is forwarded is the normalised path and the query as it was sent.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "wire/http_head.h"
#include "wire/refusal.h"

namespace sluicegate::wire {

/// Appends the normalised path of `path_and_query` (RequestHead::path_and_query) to `out` and gives
/// the query, its '?' included (empty: none). On an error nothing is appended.
///
/// - Escapes of characters that a path may hold bare are decoded: `/%6dcp` is `/mcp`, `/%40me` is
///   `/@me`. Not `;` and `+`, to which servers give meanings of their own.
/// - What a path may not hold bare is escaped, and hexadecimal digits become upper case, so `|`,
///   `%7c` and `%7C` are one.
/// - Decoding is done once: `%2561` stays `%2561`.
/// - Slashes are merged; `.` and `..` segments are removed (never above the root).
/// - An empty path is `/`.
///
/// Refused with 400, because servers disagree about them: malformed escapes, encoded slashes,
/// backslashes bare or encoded, NUL, control characters and spaces, `#`, dot segments with
/// parameters (`/..;x/`), and a path that does not begin with a slash.
///
/// Idempotent: a normalised path normalises to itself.
[[nodiscard]] std::expected<std::string_view, Refusal> NormalizePath(
    std::string_view path_and_query, std::string& out);

/// The path by which rules know a request, appended to `out`, and its query, as NormalizePath; of
/// TargetForm::kAsterisk that is `*`. Refused with 501 beyond: a method of HTTP in other letters
/// than capitals, as some servers take `post` for POST, which rules do not.
[[nodiscard]] std::expected<std::string_view, Refusal> LocateTarget(const RequestHead& head,
                                                                    std::string& out);

}  // namespace sluicegate::wire
