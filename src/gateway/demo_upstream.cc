#include "gateway/demo_upstream.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "net/event_loop.h"
#include "net/listener.h"
#include "net/pieces.h"
#include "net/socket.h"
#include "net/task.h"
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
  using Sessions = std::unordered_set<DemoSession*>;
  DemoSession(net::EventLoop& loop, net::FileDescriptor connection, Sessions& sessions)
      : socket_(loop, std::move(connection)),
        pause_(loop.timers(), [this] { paused_.Tell(); }),
        sessions_(sessions) {
    sessions_.insert(this);
  }
  ~DemoSession() { sessions_.erase(this); }
  DemoSession(const DemoSession&) = delete;
  DemoSession& operator=(const DemoSession&) = delete;

  void Start() { net::Spawn(Run(), shared_from_this()); }
  void Stop() {
    socket_.Close();
    pause_.Clear();
    paused_.Tell();
  }

 private:
  net::Task<void> Run() {
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

  net::Task<bool> ReadRequest() {
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

  net::Task<bool> ReadMore() {
    std::array<char, 4096> bytes;
    const net::Transfer read = co_await socket_.ReadSome(bytes);
    in_.append(bytes.data(), read.bytes);
    co_return read.error == net::kNoError;
  }

  net::Task<bool> Send(std::string text) {
    net::Pieces all(text);
    const int error = co_await all.Write(socket_);
    co_return error == net::kNoError;
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

  net::Task<bool> Stream() {
    const bool begun = co_await Send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    if (!begun) co_return false;
    for (unsigned i = 1; i <= kEvents; ++i) {
      const std::string event = "data: event " + std::to_string(i) + "\n\n";
      std::string chunk(wire::ChunkHead(event.size()).view());
      chunk.append(event).append(wire::kChunkEnd);
      const bool sent = co_await Send(std::move(chunk));
      if (!sent) co_return false;
      pause_.Set(kBetweenEvents);
      co_await paused_;
    }
    co_return co_await Send(std::string(wire::kLastChunk));
  }

  net::Socket socket_;
  net::Deadline pause_;
  net::Completion paused_;
  Sessions& sessions_;
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
  DemoSession::Sessions sessions;
  std::unique_ptr<net::Listener> listener;
  std::jthread thread;
};

std::expected<std::unique_ptr<DemoUpstream>, std::string> DemoUpstream::Start() {
  auto impl = std::make_unique<Impl>();
  auto listener =
      net::Listener::Open(impl->loop, IpAddress::V4({127, 0, 0, 1}), 0, net::Sharing::kAlone);
  if (!listener) return std::unexpected(std::move(listener.error()));
  impl->listener = std::move(*listener);
  impl->listener->Start([impl = impl.get()](net::FileDescriptor connection, const IpAddress&) {
    std::make_shared<DemoSession>(impl->loop, std::move(connection), impl->sessions)->Start();
  });
  impl->thread = std::jthread([&loop = impl->loop] { loop.Run(); });
  return std::unique_ptr<DemoUpstream>(new DemoUpstream(std::move(impl)));
}

DemoUpstream::DemoUpstream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DemoUpstream::~DemoUpstream() {
  impl_->loop.Stop();
  impl_->thread.join();
  impl_->listener->Close();
  // A session that is stopped ends within the call, and leaves the set.
  const std::vector<DemoSession*> left(impl_->sessions.begin(), impl_->sessions.end());
  for (DemoSession* session : left) session->Stop();
  impl_->loop.RunReady();
}

std::uint16_t DemoUpstream::port() const noexcept { return impl_->listener->port(); }

}  // namespace sluicegate::gateway
