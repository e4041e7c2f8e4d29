// Paths: what is accepted is in its one spelling, and normalising it again changes nothing.
#include <string>

#include "fuzz_target.h"
#include "wire/path.h"

using sluicegate::fuzz::Require;

SG_FUZZ_TARGET(path) {
  std::string once;
  const auto query = sluicegate::wire::NormalizePath(bytes, once);
  if (!query) {
    Require(once.empty() && query.error().status == 400);
    return;
  }
  Require(bytes.ends_with(*query));
  Require(once.starts_with('/'));
  Require(once.find_first_of("\\?# ") == std::string::npos);
  Require(once.find("//") == std::string::npos);
  const std::string closed = once + "/";
  Require(closed.find("/./") == std::string::npos && closed.find("/../") == std::string::npos);
  for (const char c : once) Require(c > 0x20 && c < 0x7F);
  std::string twice;
  const auto no_query = sluicegate::wire::NormalizePath(once, twice);
  Require(no_query.has_value() && no_query->empty() && once == twice);
}
