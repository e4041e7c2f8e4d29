#include "gateway/demo_upstream.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "net/event_loop.h"
#include "net/listener.h"
#include "wire/body_end.h"
#include "wire/chunked.h"
#include "wire/http_head.h"
#include "wire/problem.h"

namespace sluicegate::gateway {
namespace {

constexpr std::size_t kMaxBody = std::size_t{1} << 20U;
constexpr unsigned kEvents = 5;
constexpr std::chrono::milliseconds kBetweenEvents{200};

// One connection of the demo server. Reads a request, answers, and so on.
class DemoSession : public std::enable_shared_from_this<DemoSession> {
 public:
  explicit DemoSession(net::Socket socket) : socket_(std::move(socket)) {}

  void Start() {
    net::asio::co_spawn(
        socket_.get_executor(),
        [self = shared_from_this()]() -> net::Awaitable<void> { return self->Run(); },
        net::asio::detached);
  }

 private:
  net::Awaitable<void> Run() {
    for (bool more = true; more;) {
      more = co_await ReadRequest();
      if (!more) break;
      if (path_ == "/stream") {
        more = co_await Stream();
      } else {
        more = co_await Send(Answer());
      }
      more = more && keep_alive_;
    }
  }

  net::Awaitable<bool> ReadRequest() {
    wire::RequestParser parser;
    wire::RequestHead head;
    for (;;) {
      const auto state = parser.Parse(in_, head);
      if (state == wire::ParseState::kRefused) co_return false;
      if (state == wire::ParseState::kDone) break;
      const bool read = co_await ReadMore();
      if (!read) co_return false;
    }
    method_ = head.method;
    path_ = head.path_and_query.substr(0, head.path_and_query.find('?'));
    fields_.clear();
    for (const wire::Field& field : head.fields()) {
      fields_.append(field.name).append(": ").append(field.value).append("\n");
    }
    keep_alive_ = head.keep_alive;
    wire::BodyEnd end(head);
    in_.erase(0, head.size);
    body_.clear();
    for (;;) {
      const auto step = end.Advance(in_);
      body_ += in_.substr(0, step.body);
      in_.erase(0, step.body);
      if (step.state == wire::ParseState::kDone) co_return true;
      if (step.state == wire::ParseState::kRefused || body_.size() > kMaxBody) co_return false;
      const bool read = co_await ReadMore();
      if (!read) co_return false;
    }
  }

  net::Awaitable<bool> ReadMore() {
    std::array<char, 4096> bytes;
    auto [error, got] = co_await socket_.async_read_some(net::asio::buffer(bytes), net::kAwait);
    in_.append(bytes.data(), got);
    co_return !error;
  }

  net::Awaitable<bool> Send(std::string text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
      auto [error, bytes] = co_await socket_.async_write_some(
          net::asio::buffer(text.data() + sent, text.size() - sent), net::kAwait);
      if (error) co_return false;
      sent += bytes;
    }
    co_return true;
  }

  [[nodiscard]] std::string Answer() const {
    std::string body;
    if (method_ == "POST" || method_ == "PUT") {
      body = body_;
    } else {
      body = "Hello from the demo server behind Sluicegate.\n\nYou asked for " + path_ +
             ". It saw these fields:\n" + fields_ +
             "\nAlso here: /stream sends events, POST gives back what it gets.\n";
    }
    std::string text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    return method_ == "HEAD" ? text : text + body;
  }

  net::Awaitable<bool> Stream() {
    const bool begun = co_await Send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    if (!begun) co_return false;
    net::SteadyTimer timer(socket_.get_executor());
    for (unsigned i = 1; i <= kEvents; ++i) {
      const std::string event = "data: event " + std::to_string(i) + "\n\n";
      std::string chunk(wire::ChunkHead(event.size()).view());
      chunk.append(event).append(wire::kChunkEnd);
      const bool sent = co_await Send(std::move(chunk));
      if (!sent) co_return false;
      timer.expires_after(kBetweenEvents);
      co_await timer.async_wait(net::kAwait);
    }
    co_return co_await Send(std::string(wire::kLastChunk));
  }

  net::Socket socket_;
  std::string in_;
  std::string method_;
  std::string path_;
  std::string fields_;
  std::string body_;
  bool keep_alive_ = true;
};

}  // namespace

struct DemoUpstream::Impl {
  net::EventLoop loop;
  std::unique_ptr<net::Listener> listener;
  std::jthread thread;
};

std::expected<std::unique_ptr<DemoUpstream>, std::string> DemoUpstream::Start() {
  auto impl = std::make_unique<Impl>();
  auto listener =
      net::Listener::Open(impl->loop, IpAddress::V4({127, 0, 0, 1}), 0, net::Sharing::kAlone);
  if (!listener) return std::unexpected(std::move(listener.error()));
  impl->listener = std::move(*listener);
  impl->listener->Start([](net::Socket socket, const IpAddress& /*peer*/) {
    std::make_shared<DemoSession>(std::move(socket))->Start();
  });
  impl->thread = std::jthread([&loop = impl->loop] { loop.Run(); });
  return std::unique_ptr<DemoUpstream>(new DemoUpstream(std::move(impl)));
}

DemoUpstream::DemoUpstream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DemoUpstream::~DemoUpstream() {
  impl_->loop.Stop();
  impl_->thread.join();
}

std::uint16_t DemoUpstream::port() const noexcept { return impl_->listener->port(); }

}  // namespace sluicegate::gateway
