// Sockets that are handed down: what was read says the same text again, and descriptors are named
// once, behind the standard ones.
#include <set>

#include "fuzz_target.h"
#include "handover/handed_doors.h"

using sluicegate::fuzz::Require;
using sluicegate::handover::HandedDoor;
using sluicegate::handover::HandedDoors;

SG_FUZZ_TARGET(handed_doors) {
  const auto handed = HandedDoors::Parse(bytes);
  if (!handed) return;
  Require(HandedDoors::Parse(handed->Text()) == handed);
  std::set<int> named{handed->ready};
  for (const HandedDoor& door : handed->doors) {
    Require(!door.name.empty() && !door.address.empty() && !door.descriptors.empty());
    for (const int descriptor : door.descriptors) Require(named.insert(descriptor).second);
  }
  Require(*named.begin() > 2);
}
