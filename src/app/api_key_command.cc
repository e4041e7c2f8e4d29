#include <fmt/core.h>

#include "app/api_key.h"
#include "app/commands.h"
#include "app/complain.h"

namespace sluicegate::app {

int MakeApiKey(const std::string& id) {
  const auto made = ApiKey::Make(id);
  if (!made) {
    Complain("sluicegate: api-key: {}\n", made.error());
    return kUsage;
  }
  fmt::print(
      "The key, shown only this once. Its owner sends it as 'X-API-Key: KEY' or as\n"
      "'Authorization: Bearer KEY':\n"
      "  {}\n"
      "The line for the file that clients.identity.api_keys names (it holds no secret):\n"
      "  {}\n",
      made->key, made->line);
  return 0;
}

}  // namespace sluicegate::app
