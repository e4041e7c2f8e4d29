// Exchange's part for connections that go on in another protocol: WebSocket. Bytes go both ways as
// they come, and each end's closing is told to the other one.
#include "gateway/exchange.h"

namespace sluicegate::gateway {

// The client's bytes go up in a coroutine beside this one, as a request's body does.
net::Task<Exchange::Outcome> Exchange::Tunnel() {
  keep_alive_ = false;
  session_.IgnoreHangup();  // A client that closes its sending half may go on reading.
  AppendHead(upstream_->response->head, false);
  const bool written = co_await session_.Write(net::Pieces(session_.out()));
  if (!written) co_return LostClient();
  session_.Await(Phase::kTunnel, timeouts_.tunnel);
  uploading_ = true;
  body_done_ = false;
  net::Spawn(TunnelUp(), session_.shared_from_this());
  co_await TunnelDown();
  session_.AwaitNothing();
  body_done_ = true;
  co_return Outcome::kDone;
}

net::Task<void> Exchange::TunnelUp() {
  ReadBuffer& buffer = session_.buffer();
  for (;;) {
    while (!buffer.unread().empty()) {
      const bool sent = co_await SendUp(net::Pieces(buffer.unread()));
      if (!sent) break;
      body_bytes_ += buffer.unread().size();
      buffer.Consume(buffer.unread().size());
    }
    if (ending_ || !buffer.unread().empty()) break;
    const bool filled = co_await session_.ReadMore();
    if (!filled) break;
    session_.AwaitBeside(Phase::kTunnel, timeouts_.tunnel);
  }
  uploading_ = false;
  if (ending_) {
    upload_ended_.Tell();
    co_return;
  }
  // The other way may still have something to say, for as long as an answer may take.
  upstream_->socket.ShutdownSend();
  session_.AwaitBeside(Phase::kTunnel, timeouts_.idle);
}

net::Task<void> Exchange::TunnelDown() {
  UpstreamConnection& upstream = *upstream_;
  for (;;) {
    if (!upstream.unread().empty()) {
      const bool written = co_await session_.WriteAside(net::Pieces(upstream.unread()));
      if (!written) co_return;
      upstream.begin = upstream.end;
    }
    const int error = co_await Fill();
    if (error != net::kNoError) co_return;
    session_.RenewLeases(worker_.now());
    session_.Await(Phase::kTunnel, timeouts_.tunnel);
  }
}

}  // namespace sluicegate::gateway
