#include "sluicegate/decision.h"

namespace sluicegate {

std::string_view VerdictName(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kAllowed:
      return "allowed";
    case Verdict::kLimited:
      return "limited";
    case Verdict::kBanned:
      return "banned";
    case Verdict::kShed:
      return "shed";
    case Verdict::kExempt:
      return "exempt";
  }
  return "unknown";
}

}  // namespace sluicegate
