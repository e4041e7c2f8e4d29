// Response heads: however the bytes are cut, the same answer; what is accepted is sound.
#include "head_properties.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

SG_FUZZ_TARGET(response_head) {
  sluicegate::fuzz::RequireCutsDoNotShow<wire::ResponseParser, wire::ResponseHead>(
      bytes, [](wire::ResponseParser& parser, std::string_view prefix, wire::ResponseHead& head) {
        const wire::ParseState state = parser.Parse(prefix, false, head);
        if (state == wire::ParseState::kDone) Require(head.status >= 100 && head.status <= 599);
        if (state == wire::ParseState::kRefused) Require(parser.refusal().status == 502);
        return state;
      });
}
