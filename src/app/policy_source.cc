#include "app/policy_source.h"

#include <cstdio>
#include <utility>

#include "app/complain.h"
#include "config/load.h"

namespace sluicegate::app {
namespace {

std::expected<std::string, policy::Mistake> ReadStandardInput() {
  std::string text;
  std::string chunk(std::size_t{64} * 1024, '\0');
  while (const std::size_t got = std::fread(chunk.data(), 1, chunk.size(), stdin)) {
    text.append(chunk, 0, got);
    if (text.size() > config::kMaxFileBytes) {
      return std::unexpected(policy::Mistake{.at = {},
                                             .what = "The text is larger than 1 MiB.",
                                             .mend = "Split it or remove comments."});
    }
  }
  return text;
}

}  // namespace

std::expected<std::string, policy::Mistake> PolicySource::ReadText() const {
  if (file_.empty()) return std::string(config::DefaultPolicyYaml());
  return file_ == "-" ? ReadStandardInput() : config::ReadFile(file_);
}

std::expected<PolicySource::PolicyPtr, Lines> PolicySource::Load() const {
  const auto text = ReadText();
  if (!text) return std::unexpected(Told({&text.error(), 1}));
  auto policy = config::ParsePolicy(*text, override_);
  if (!policy) return std::unexpected(Told(policy.error()));
  return *std::move(policy);
}

Lines PolicySource::Warnings(const policy::Policy& policy) const { return Told(policy.warnings()); }

std::string PolicySource::name() const {
  if (file_.empty()) return "the built-in policy";
  return file_ == "-" ? "standard input" : file_;
}

Lines PolicySource::Told(std::span<const policy::Mistake> mistakes) const {
  Lines lines;
  for (const policy::Mistake& mistake : mistakes) {
    lines.push_back(config::FormatMistake(name(), mistake));
  }
  return lines;
}

void TellLines(std::string_view prefix, const Lines& lines) {
  for (const std::string& line : lines) Complain("{}{}\n", prefix, line);
}

}  // namespace sluicegate::app
