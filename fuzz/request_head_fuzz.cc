// Request heads: however the bytes are cut, the same answer; what is accepted is sound.
#include "head_properties.h"

using sluicegate::fuzz::Require;
namespace wire = sluicegate::wire;

SG_FUZZ_TARGET(request_head) {
  sluicegate::fuzz::RequireCutsDoNotShow<wire::RequestParser, wire::RequestHead>(
      bytes, [](wire::RequestParser& parser, std::string_view prefix, wire::RequestHead& head) {
        const wire::ParseState state = parser.Parse(prefix, head);
        if (state == wire::ParseState::kDone) {
          Require(wire::syntax::IsToken(head.method));
          Require(head.framing != wire::Framing::kUntilClose);
          Require(head.minor_version == 0 || !head.authority.empty());
        }
        if (state == wire::ParseState::kRefused) Require(parser.refusal().status >= 400);
        return state;
      });
}
