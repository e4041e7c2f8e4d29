// RateLimitTool: a tool of an MCP server that may be called twice a minute. The third call gets a
// result that the model can act on.
#include <sluicegate/mcp.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>

// A server's own: the arguments of tools/call in, the result out, both as JSON text.
std::string Search(std::string_view /*arguments*/) {
  return R"({"content":[{"type":"text","text":"three pages"}]})";
}

int main() {
  auto limiter = sluicegate::Limiter::Create({"2/minute"});
  if (!limiter) return std::fprintf(stderr, "%s\n", limiter.error().c_str()), 1;
  std::map<std::string, std::function<std::string(std::string_view)>> tools;
  tools["search"] = sluicegate::RateLimitTool(
      "search", Search, sluicegate::RateLimitToolOptions{.limiter = &*limiter});
  for (int call = 1; call <= 3; ++call) {
    std::puts(tools["search"](R"({"query":"sluice gates"})").c_str());
  }
  for (const sluicegate::ToolReport& report : sluicegate::GetAllToolStatistics()) {
    std::printf("%s: %d calls, %d denied\n", report.tool.c_str(),
                static_cast<int>(report.total_calls), static_cast<int>(report.limited_calls));
  }
}
