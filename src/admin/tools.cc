#include "admin/tools.h"

#include <nlohmann/json.hpp>

#include "wire/date.h"
#include "wire/syntax.h"

namespace sluicegate::admin {
namespace {

using Json = nlohmann::ordered_json;

Json LastLimited(const ToolReport& report) {
  if (!report.last_limited_unix_ns) return nullptr;
  const wire::TimestampText text =
      wire::FormatTimestamp(*report.last_limited_unix_ns / 1'000'000'000);
  return std::string_view(text.data(), text.size());
}

Json ToolJson(const ToolReport& report) {
  return {{"tool", report.tool},
          {"total_calls", report.total_calls},
          {"limited_calls", report.limited_calls},
          {"last_limited", LastLimited(report)},
          {"limited_rate", report.limited_rate()}};
}

std::string Dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string RenderTools(std::span<const ToolReport> reports) {
  Json tools = Json::array();
  for (const ToolReport& report : reports) tools.push_back(ToolJson(report));
  return Dump({{"tools", std::move(tools)}});
}

std::string RenderTool(const ToolReport& report) { return Dump(ToolJson(report)); }

std::optional<std::string> ToolNameOf(std::string_view escaped) {
  std::string name;
  name.reserve(escaped.size());
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '%') {
      name += escaped[i];
      continue;
    }
    if (escaped.size() - i < 3) return std::nullopt;
    const int high = wire::syntax::HexValue(escaped[i + 1]);
    const int low = wire::syntax::HexValue(escaped[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    name += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return name;
}

}  // namespace sluicegate::admin
