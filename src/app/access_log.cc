#include "app/access_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "app/access_line.h"

namespace sluicegate::app {

AccessLog::AccessLog(Options options) : options_(std::move(options)) {}

AccessLog::~AccessLog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void AccessLog::Use(std::shared_ptr<AccessFile> file) {
  if (file == nullptr && !thread_.joinable()) return;
  {
    const std::lock_guard lock(mu_);
    on_ = file != nullptr;
    if (switches_.size() < kMostSwitches) {
      switches_.push_back({.lines = std::exchange(waiting_, {}), .next = std::move(file)});
    } else {  // The file of long ago takes nothing. Those between get nothing.
      dropped_ += Lose(waiting_);
      waiting_.clear();
      switches_.back().next = std::move(file);
    }
    if (on_) waiting_.reserve(options_.most_bytes);
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_one();
}

void AccessLog::Note(const gateway::AccessRecord& record) {
  thread_local std::string line;  // Keeps its room.
  line.clear();
  AppendAccessLine(record, options_.names, line);
  bool wake = false;
  {
    const std::lock_guard lock(mu_);
    if (!on_) return;
    const std::size_t before = waiting_.size();
    if (before + line.size() > options_.most_bytes) {
      ++dropped_;
      lost_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    waiting_ += line;
    // Else the thread is awake, and waits for company for the first line.
    const std::size_t half = options_.most_bytes / 2;
    wake = before == 0 || (before < half && waiting_.size() >= half);
  }
  if (wake) changed_.notify_one();
}

void AccessLog::Run() {
  Batch batch;
  batch.lines.reserve(options_.most_bytes);
  while (Take(batch)) {
    if (file_ != nullptr) Write(batch);
    if (!batch.switches) continue;
    file_ = std::move(batch.next);
    rest_.clear();
  }
  hurries_ = true;
  unwritten_ += batch.dropped;
  if (file_ != nullptr && Finish()) static_cast<void>(TellLost());
}

// False: there is nothing left, and nothing more comes.
bool AccessLog::Take(Batch& batch) {
  // Many lines are written at once, and a request seldom wakes this thread.
  constexpr std::chrono::milliseconds kCompany{50};
  batch.lines.clear();
  std::unique_lock lock(mu_);
  changed_.wait(lock, [this] { return stopping_ || !switches_.empty() || !waiting_.empty(); });
  changed_.wait_for(lock, kCompany, [this] {
    return stopping_ || !switches_.empty() || waiting_.size() >= options_.most_bytes / 2;
  });
  hurries_ = stopping_;
  batch.dropped = 0;  // They are missing behind the lines of the last file.
  batch.switches = !switches_.empty();
  if (batch.switches) {
    batch.lines.swap(switches_.front().lines);
    batch.next = std::move(switches_.front().next);
    switches_.erase(switches_.begin());
    return true;
  }
  batch.lines.swap(waiting_);
  batch.dropped = std::exchange(dropped_, 0);
  return !stopping_ || !batch.lines.empty();
}

void AccessLog::Write(const Batch& batch) {
  if (!Finish() || !TellLost()) {
    unwritten_ += Lose(batch.lines) + batch.dropped;
    return;
  }
  std::string_view left = batch.lines;
  const std::size_t written = WriteSome(left);
  const bool within = written > 0 && left[written - 1] != '\n';
  left.remove_prefix(written);
  if (within) {
    const std::size_t end = left.find('\n') + 1;
    rest_ = left.substr(0, end);
    left.remove_prefix(end);
  }
  const bool failed = !left.empty() || within;
  unwritten_ += Lose(left) + batch.dropped;
  if (!failed) static_cast<void>(TellLost());
}

bool AccessLog::Finish() {
  rest_.erase(0, WriteSome(rest_));
  return rest_.empty();
}

bool AccessLog::TellLost() {
  if (unwritten_ == 0) return true;
  std::string line;
  AppendLostLine(unwritten_, line);
  const std::size_t written = WriteSome(line);
  if (written == 0) return false;
  unwritten_ = 0;
  rest_ = line.substr(written);
  return rest_.empty();
}

// The bytes that went: all of them, unless the file fails, or the program stops and nobody reads.
std::size_t AccessLog::WriteSome(std::string_view text) {
  constexpr int kPatienceMs = 100;
  constexpr unsigned kLastPatience = 10;
  std::size_t written = 0;
  for (unsigned waits = 0; written < text.size();) {
    const auto now = file_->Write(text.substr(written));
    if (now) {
      written += *now;
      waits = 0;
    } else if (now.error() != EAGAIN) {
      Complain(now.error());
      break;
    } else if (!file_->AwaitRoom(kPatienceMs)) {
      if (!hurries_) {
        const std::lock_guard lock(mu_);
        hurries_ = stopping_;
      }
      if (hurries_ && ++waits >= kLastPatience) break;
    }
  }
  return written;
}

std::uint64_t AccessLog::Lose(std::string_view text) {
  const auto lines = static_cast<std::uint64_t>(std::ranges::count(text, '\n'));
  lost_.fetch_add(lines, std::memory_order_relaxed);
  return lines;
}

void AccessLog::Complain(int error) {
  constexpr std::chrono::minutes kSeldom{1};
  const auto now = std::chrono::steady_clock::now();
  if (complains_ && now - complained_ < kSeldom) return;
  complains_ = true;
  complained_ = now;
  options_.warn(fmt::format(
      "access log: {} takes no lines: {}. They are lost until it does: make room, or name another "
      "file",
      file_->name(), std::strerror(error)));
}

}  // namespace sluicegate::app
