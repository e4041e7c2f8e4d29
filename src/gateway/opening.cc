// Session's part for what comes before the first request: whose connection it is, and TLS.
#include <utility>

#include "gateway/session.h"
#include "wire/proxy_protocol.h"

namespace sluicegate::gateway {

net::Task<bool> Session::Open() {
  bool open = true;
  if (door_.proxy_protocol && worker_.Trusts(peer_)) {
    Await(Phase::kHead, worker_.settings().timeouts.header);
    open = co_await ReadProxyHeader();
    if (!open) co_return false;
    if (!worker_.Trusts(peer_) && !Admit()) co_return false;
  }
  if (auto tls = worker_.AcceptTls(door_)) open = co_await Greet(std::move(tls));
  AwaitNothing();
  co_return open;
}

// Without reading further: what is behind it may be TLS.
net::Task<bool> Session::ReadProxyHeader() {
  for (;;) {
    const std::string_view bytes = socket_.Peek(worker_.scratch());
    const wire::ProxyHeader header = wire::ParseProxyHeader(bytes);
    if (header.state == wire::ParseState::kDone) {
      socket_.Skip(header.consumed);
      if (header.source) {
        peer_ = header.source->address;
        peer_text_ = peer_.ToString();
      }
      co_return true;
    }
    if (header.state == wire::ParseState::kRefused) {
      worker_.counters().Add(Event::kRefusedFraming);
      co_return false;
    }
    // Once the end came, all that comes is there.
    if (!socket_.hung_up()) {
      const int error = co_await socket_.Readable();
      if (error == net::kNoError) continue;
    }
    if (expired_) worker_.counters().Add(Event::kHeaderTimeouts);
    co_return false;
  }
}

net::Task<bool> Session::Greet(std::unique_ptr<net::TlsSession> tls) {
  if (!deadline_.set()) Await(Phase::kHead, worker_.settings().timeouts.header);
  socket_.UseTls(std::move(tls));
  const int error = co_await socket_.Handshake();
  if (error == net::kNoError) co_return true;
  worker_.counters().Add(expired_ ? Event::kHeaderTimeouts : Event::kHandshakesFailed);
  co_return false;
}

bool Session::Admit() {
  const auto admission = worker_.AdmitClient(peer_);
  counted_ = admission.place;
  reset_ = admission.verdict != shield::ConnectionCaps::Verdict::kAdmitted;
  return !reset_;
}

}  // namespace sluicegate::gateway
