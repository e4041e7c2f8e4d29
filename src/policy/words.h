// Helps with words that people mistype. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sluicegate::policy {

/// The known word that is nearest to `word` (at most a third of its letters wrong), or empty.
[[nodiscard]] std::string_view Nearest(std::string_view word,
                                       std::span<const std::string_view> known);

/// "a, b or c".
[[nodiscard]] std::string Listed(std::span<const std::string_view> words);

/// "Write 'limits'." or, with nothing near, "Write limits, name or key."
[[nodiscard]] std::string Suggest(std::string_view word, std::span<const std::string_view> known);

/// The first `bytes` of a text, less where that would cut a character.
[[nodiscard]] std::string_view Shortened(std::string_view text, std::size_t bytes);

/// The text with every control character (U+0000 to U+001F, U+007F to U+009F) shown as '?', so that
/// it cannot steer the terminal that it is shown on.
[[nodiscard]] std::string Disarmed(std::string_view text);

/// The word in quotes, cut to 60 bytes and disarmed: what a message may show of a file.
[[nodiscard]] std::string Quoted(std::string_view word);

}  // namespace sluicegate::policy
