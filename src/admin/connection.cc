#include "admin/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <ctime>
#include <utility>

#include "wire/body_end.h"
#include "wire/date.h"
#include "wire/problem.h"

namespace sluicegate::admin {
namespace {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
/// What a client may still send after its last answer before it is cut.
constexpr std::size_t kLingerBytes = std::size_t{256} * 1024;
constexpr std::chrono::milliseconds kLingerWait{1000};

Answer AnswerTo(const wire::Refusal& refusal) {
  Answer answer{.status = refusal.status,
                .content_type = std::string(wire::kProblemContentType),
                .fields = {},
                .body = {}};
  wire::AppendProblem(wire::ProblemOf(refusal), answer.body);
  return answer;
}

Call CallOf(const wire::RequestHead& head) {
  Call call{.method = head.method,
            .path = head.path_and_query.substr(0, head.path_and_query.find('?')),
            .authorization = std::nullopt};
  unsigned seen = 0;
  for (const wire::Field& field : head.fields()) {
    if (!wire::EqualsIgnoreCase(field.name, "authorization")) continue;
    // Two of them: servers disagree about which counts, so none does.
    call.authorization = ++seen == 1 ? std::optional<std::string_view>(field.value) : std::nullopt;
  }
  return call;
}

std::string HeadOf(const Answer& answer, bool keep_alive) {
  const auto status = static_cast<std::uint16_t>(answer.status);
  const wire::DateText date = wire::FormatDate(std::time(nullptr));
  std::string head = "HTTP/1.1 " + std::to_string(status) + ' ';
  head += wire::ReasonPhrase(status);
  head += "\r\nDate: ";
  head.append(date.data(), date.size());
  head += "\r\nContent-Type: " + answer.content_type;
  head += "\r\nContent-Length: " + std::to_string(answer.body.size());
  head += "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
  head += answer.fields;
  head += "\r\n";
  return head;
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, Routes& routes, const Server::Bounds& bounds)
    : socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      routes_(routes),
      bounds_(bounds) {}

void Connection::Close() noexcept {
  boost::system::error_code ignored;
  socket_.close(ignored);
  deadline_.cancel();
}

void Connection::CloseAfter(std::chrono::milliseconds wait) {
  // Setting the expiry cancels the wait before it.
  deadline_.expires_after(wait);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->Close();
  });
}

void Connection::Drop(std::size_t bytes) noexcept {
  std::memmove(buffer_.data(), buffer_.data() + bytes, held_ - bytes);
  held_ -= bytes;
}

asio::awaitable<std::size_t> Connection::ReadMore() {
  const auto [error, got] = co_await socket_.async_read_some(
      asio::buffer(buffer_.data() + held_, buffer_.size() - held_), kAwait);
  if (error) co_return 0;
  held_ += got;
  co_return got;
}

asio::awaitable<Connection::Got> Connection::ReadHead() {
  parser_.Reset();
  CloseAfter(held_ > 0 ? bounds_.header : bounds_.idle);
  bool begun = held_ > 0;
  for (;;) {
    if (held_ > 0) {
      const wire::ParseState state = parser_.Parse(held(), head_);
      if (state == wire::ParseState::kDone) co_return Got::kRequest;
      if (state == wire::ParseState::kRefused) {
        refusal_ = parser_.refusal();
        co_return Got::kRefused;
      }
    }
    if (co_await ReadMore() == 0) co_return Got::kClosed;
    if (!begun) CloseAfter(bounds_.header);
    begun = true;
  }
}

asio::awaitable<Connection::Got> Connection::SkipBody() {
  refusal_ = {.status = 413, .detail = "The admin door reads no bodies. Send the request without."};
  if (head_.content_length.value_or(0) > bounds_.body_bytes) co_return Got::kRefused;
  if (head_.expect_continue && head_.framing != wire::Framing::kNone) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto [error, sent] = co_await asio::async_write(
        socket_, asio::buffer(kContinue.data(), kContinue.size()), kAwait);
    if (error) co_return Got::kClosed;
  }
  wire::BodyEnd end(head_);
  std::size_t total = 0;
  for (;;) {
    const wire::BodyEnd::Step step = end.Advance(held());
    Drop(step.body);
    total += step.body;
    if (step.state == wire::ParseState::kRefused) refusal_ = end.refusal();
    if (step.state == wire::ParseState::kRefused || total > bounds_.body_bytes) {
      co_return Got::kRefused;
    }
    if (step.state == wire::ParseState::kDone) co_return Got::kRequest;
    if (co_await ReadMore() == 0) co_return Got::kClosed;
  }
}

asio::awaitable<bool> Connection::Write(const Answer& answer, bool head_only, bool keep_alive) {
  CloseAfter(bounds_.write);
  std::string bytes = HeadOf(answer, keep_alive);
  if (!head_only) bytes += answer.body;
  const auto [error, sent] = co_await asio::async_write(socket_, asio::buffer(bytes), kAwait);
  co_return !error;
}

asio::awaitable<void> Connection::Linger() {
  boost::system::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) co_return;
  CloseAfter(kLingerWait);
  for (std::size_t total = 0; total < kLingerBytes;) {
    held_ = 0;
    const std::size_t got = co_await ReadMore();
    if (got == 0) co_return;
    total += got;
  }
}

asio::awaitable<void> Connection::Run() {
  for (;;) {
    Got got = co_await ReadHead();
    if (got == Got::kClosed) break;
    if (got == Got::kRefused) {
      if (co_await Write(AnswerTo(refusal_), false, false)) co_await Linger();
      break;
    }
    // Nothing is done before the whole request is known to be well formed; its body takes the
    // head's place in the buffer, so the head is kept apart.
    const bool keep_alive = head_.keep_alive;
    const bool head_only = head_.method == "HEAD";
    std::string head_bytes(held().substr(0, head_.size));
    Drop(head_.size);
    got = co_await SkipBody();
    if (got == Got::kClosed) break;
    if (got == Got::kRefused) {
      if (co_await Write(AnswerTo(refusal_), head_only, false)) co_await Linger();
      break;
    }
    wire::RequestParser().Parse(head_bytes, head_);
    const Answer answer = routes_.Handle(CallOf(head_));
    const bool written = co_await Write(answer, head_only, keep_alive);
    if (!written) break;
    if (!keep_alive) {
      co_await Linger();
      break;
    }
  }
  Close();
}

}  // namespace sluicegate::admin
