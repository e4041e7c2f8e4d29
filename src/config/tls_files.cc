#include "config/tls_files.h"

#include <string_view>
#include <utility>

#include "config/load.h"

namespace sluicegate::config {

std::expected<void, std::vector<std::string>> CheckTlsFiles(const policy::Settings& settings) {
  std::vector<std::string> faults;
  const auto check = [&faults](std::string_view setting, const std::string& file) {
    if (file.empty()) return;
    const auto text = ReadFile(file);
    if (text && !text->empty()) return;
    const policy::Mistake empty{.at = {}, .what = "It is empty.", .mend = "Write PEM into it."};
    faults.push_back(std::string(setting) + ": " +
                     FormatMistake(file, text ? empty : text.error()));
  };
  for (const policy::GatewayListener& listener : settings.gateway) {
    if (!listener.tls) continue;
    check("listen.gateway.tls.certificate", listener.tls->certificate_file);
    check("listen.gateway.tls.key", listener.tls->key_file);
  }
  if (settings.upstream) check("upstream.tls.ca", settings.upstream->tls.ca_file);
  if (!faults.empty()) return std::unexpected(std::move(faults));
  return {};
}

}  // namespace sluicegate::config
