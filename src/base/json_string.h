// The strings that JSON texts are made of. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/text_writer.h"

namespace sluicegate {

/// Appends `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD, so the
/// result is always valid JSON.
void AppendJsonString(std::string_view text, std::string& out);
/// The same.
void PutJsonString(std::string_view text, TextWriter& out);

}  // namespace sluicegate
