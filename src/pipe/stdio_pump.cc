#include "pipe/stdio_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

namespace sluicegate::pipe {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr int kSecondMs = 1000;

bool IsSocket(int descriptor) {
  struct stat about{};
  return ::fstat(descriptor, &about) == 0 && S_ISSOCK(about.st_mode);
}

// The number stays taken, so that nothing else gets it.
void ReplaceByNull(int descriptor) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  ::dup2(null, descriptor);
  ::close(null);
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

StdioPump::StdioPump(Ends ends, ChildProcess& server, SignalFeed& signals, LineGate& gate,
                     const Clock& clock)
    : ends_(ends),
      client_out_is_socket_(IsSocket(ends.client_out)),
      server_(server),
      signals_(signals),
      gate_(gate),
      clock_(clock),
      now_(clock.Read()),
      second_ns_(now_.engine_ns),
      chunk_(kChunk, '\0'),
      cutter_(ends.longest_line, gate.padding()) {}

ChildProcess::End StdioPump::Run() {
  while (!Over()) {
    Wait();
    now_ = clock_.Read();
    TakeSignals();
    ReadClient();
    JudgeLines();
    WriteServer();
    ReadServer();
    WriteClient();
    TellSecond();
  }
  return *server_.end();
}

bool StdioPump::Over() const noexcept {
  const bool said_all = server_.output() < 0 && to_client_.ready().empty();
  return server_.end() && (said_all || hurried_);
}

bool StdioPump::HasRoom() const noexcept {
  return to_server_.size() - sent_ < kChunk &&
         to_client_.ready().size() + to_client_.waiting() < kMostForClient;
}

bool StdioPump::WantsServer() const noexcept {
  return server_.output() >= 0 && to_client_.ready().size() < kChunk;
}

void StdioPump::Wait() {
  const bool wants_client = client_in_open_ && !held_up_;
  const bool sends = sent_ < to_server_.size();
  // poll passes negative descriptors over. It tells of a reader that is gone unasked.
  std::array<pollfd, 5> all = {{
      {.fd = signals_.descriptor(), .events = POLLIN, .revents = 0},
      {.fd = wants_client ? ends_.client_in : -1, .events = POLLIN, .revents = 0},
      {.fd = to_client_.ready().empty() ? -1 : ends_.client_out, .events = POLLOUT, .revents = 0},
      {.fd = server_.input(), .events = static_cast<short>(sends ? POLLOUT : 0), .revents = 0},
      {.fd = WantsServer() ? server_.output() : -1, .events = POLLIN, .revents = 0},
  }};
  // What is left of a server that has ended is there by now, even if another holds its pipe open.
  const bool at_once = (held_up_ && HasRoom()) || (server_.end() && WantsServer());
  if (::poll(all.data(), all.size(), at_once ? 0 : kSecondMs) < 0) all = {};
  ready_ = {.signals = all[0].revents != 0,
            .client_in = all[1].revents != 0,
            .client_out = all[2].revents != 0,
            .server_in = all[3].revents != 0,
            .server_out = all[4].revents != 0 || (server_.end() && WantsServer())};
  if ((all[3].revents & POLLERR) != 0) LoseServer();
}

void StdioPump::TakeSignals() {
  if (!ready_.signals) return;
  while (const auto signal = signals_.Next()) {
    if (signal->number == SIGCHLD) {
      if (server_.Look()) LoseServer();
    } else if (server_.end()) {
      hurried_ = true;  // Only the client's reading is waited for.
    } else if (!signal->reached_server) {
      server_.Signal(signal->number);
    }
  }
}

void StdioPump::ReadClient() {
  if (!ready_.client_in || !client_in_open_) return;
  const ssize_t got = ::read(ends_.client_in, chunk_.data(), chunk_.size());
  if (got > 0) {
    cutter_.Add(std::string_view(chunk_.data(), static_cast<std::size_t>(got)));
  } else if (got == 0 || !WouldBlock()) {
    client_in_open_ = false;
  }
}

void StdioPump::JudgeLines() {
  if (server_.input() < 0) return;
  for (;;) {
    held_up_ = !HasRoom();
    if (held_up_) return;
    auto line = cutter_.Next();
    if (!line && !client_in_open_) line = cutter_.Last();
    if (!line) return;
    Judge(*line);
  }
}

void StdioPump::Judge(const LineCutter::Line& line) {
  answers_.clear();
  if (line.too_long) {
    gate_.RefuseTooLong(answers_);
  } else if (gate_.Admits(line.text, now_, answers_)) {
    to_server_ += line.text;
  }
  if (client_out_open_) to_client_.Insert(answers_);
}

void StdioPump::WriteServer() {
  if (server_.input() < 0) return;
  while (sent_ < to_server_.size()) {
    const ssize_t put =
        ::write(server_.input(), to_server_.data() + sent_, to_server_.size() - sent_);
    if (put < 0) {
      if (!WouldBlock()) LoseServer();
      return;
    }
    sent_ += static_cast<std::size_t>(put);
  }
  to_server_.clear();
  sent_ = 0;
  if (to_server_.capacity() > LineCutter::kMostKept) std::string().swap(to_server_);
  // Without more to come and without lines that wait for room.
  if (!client_in_open_ && !held_up_) server_.CloseInput();
}

// It reads no more, so its client cannot write any more.
void StdioPump::LoseServer() {
  if (server_.input() < 0) return;
  server_.CloseInput();
  std::string().swap(to_server_);
  sent_ = 0;
  held_up_ = false;
  client_in_open_ = false;
  ReplaceByNull(ends_.client_in);
}

void StdioPump::ReadServer() {
  if (!ready_.server_out || !WantsServer()) return;
  const ssize_t got = ::read(server_.output(), chunk_.data(), chunk_.size());
  if (got > 0) {
    const std::string_view bytes(chunk_.data(), static_cast<std::size_t>(got));
    gate_.Observe(bytes, now_);
    to_client_.Pass(bytes);
  } else if (got == 0 || server_.end() || !WouldBlock()) {
    EndServerOutput();
  }
}

void StdioPump::EndServerOutput() {
  server_.CloseOutput();
  to_client_.End();
}

void StdioPump::WriteClient() {
  const std::string_view bytes = to_client_.ready();
  if (ready_.client_out && !bytes.empty()) {
    // Where a pipe can be written to at all, it takes this much without blocking.
    const ssize_t put =
        client_out_is_socket_
            ? ::send(ends_.client_out, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
            : ::write(ends_.client_out, bytes.data(),
                      std::min<std::size_t>(bytes.size(), PIPE_BUF));
    if (put >= 0) {
      to_client_.Consume(static_cast<std::size_t>(put));
    } else if (!WouldBlock()) {
      LoseClient();
    }
  }
  // The server has closed its output, so nothing comes any more.
  if (server_.output() < 0 && to_client_.ready().empty() && client_out_open_) LoseClient();
}

void StdioPump::LoseClient() {
  client_out_open_ = false;
  if (server_.output() >= 0) EndServerOutput();
  to_client_.Consume(to_client_.ready().size());
  ReplaceByNull(ends_.client_out);
}

void StdioPump::TellSecond() {
  if (now_.engine_ns < second_ns_ + kSecondNs) return;
  second_ns_ = now_.engine_ns;
  gate_.OnSecond(now_);
}

}  // namespace sluicegate::pipe
