#include "config/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "config/reader.h"
#include "policy/mistakes.h"
#include "policy/words.h"

namespace sluicegate::config {
namespace {

policy::Mistake Unreadable(const std::string& why, std::string mend) {
  return {.at = {}, .what = "The file cannot be read: " + why + ".", .mend = std::move(mend)};
}

policy::Mistake TooLarge(std::size_t most) {
  return Unreadable("it is larger than " + std::to_string(most >> 20U) + " MiB",
                    "Split it or remove comments.");
}

// Closes a descriptor when it goes out of sight.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

// Nobody mends more at once, and a hostile file of 1 MiB could have a hundred thousand.
void Bound(Mistakes& mistakes) {
  if (mistakes.size() <= kMaxMistakes) return;
  const std::size_t more = mistakes.size() - kMaxMistakes;
  mistakes.resize(kMaxMistakes);
  mistakes.push_back({.at = mistakes.back().at,
                      .what = "There are " + std::to_string(more) + " more mistakes behind this.",
                      .mend = "Mend the ones above first."});
}

// A message may quote the file; what it shows must not steer the terminal it is shown on.
std::string Printable(std::string_view text) {
  constexpr std::size_t kLongest = 500;
  return policy::Disarmed(policy::Shortened(text, kLongest)) +
         (text.size() > kLongest ? "..." : "");
}

}  // namespace

std::expected<std::string, policy::Mistake> ReadFile(const std::string& path, std::size_t most) {
  // O_NONBLOCK: a pipe without a writer would wait for ever otherwise.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    return std::unexpected(Unreadable(std::strerror(errno), "Check the path and its permissions."));
  }
  struct stat info{};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return std::unexpected(Unreadable("it is no regular file", "Name the file itself."));
  }
  std::string text;
  std::string chunk(std::size_t{64} << 10U, '\0');
  for (;;) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(Unreadable(std::strerror(errno), "Check the disk."));
    if (got == 0) return text;
    text.append(chunk, 0, static_cast<std::size_t>(got));
    if (text.size() > most) return std::unexpected(TooLarge(most));
  }
}

std::expected<std::shared_ptr<const policy::Policy>, Mistakes> ParsePolicy(
    std::string_view yaml, const std::function<void(policy::Config&)>& edit) {
  if (yaml.size() > kMaxFileBytes) {
    return std::unexpected(Mistakes{TooLarge(kMaxFileBytes)});
  }
  Mistakes mistakes;
  policy::Config config = ReadConfig(yaml, mistakes);
  if (edit) edit(config);
  // A text that is no map at all has no rules to look at; otherwise its meaning is checked as well,
  // so that all mistakes are told at once.
  auto policy = policy::Policy::Compile(config);
  if (mistakes.empty() && policy) return policy;
  if (!policy) mistakes.insert(mistakes.end(), policy.error().begin(), policy.error().end());
  policy::SortByPlace(mistakes);
  Bound(mistakes);
  return std::unexpected(std::move(mistakes));
}

std::expected<std::shared_ptr<const policy::Policy>, Mistakes> LoadPolicyFile(
    const std::string& path) {
  const auto text = ReadFile(path);
  if (!text) return std::unexpected(Mistakes{text.error()});
  return ParsePolicy(*text);
}

std::string FormatMistake(std::string_view file, const policy::Mistake& mistake) {
  std::string text(file);
  if (mistake.at.line > 0) {
    text += ":" + std::to_string(mistake.at.line) + ":" + std::to_string(mistake.at.column);
  }
  return text + ": " + Printable(mistake.what) +
         (mistake.mend.empty() ? "" : " " + Printable(mistake.mend));
}

std::string_view DefaultPolicyYaml() noexcept {
  return R"(# What sluicegate gateway does without a file.
listen:
  gateway: 127.0.0.1:8080
  admin: 127.0.0.1:9180
mcp:
  paths: [/mcp]
rules:
  - name: per-client
    match: {path: "/**"}
    key: [client]
    limits: [60/minute, 1000/hour, 10000/day, {burst: 10}]
)";
}

}  // namespace sluicegate::config
