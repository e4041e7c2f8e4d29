#include "handover/successor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

namespace sluicegate::handover {
namespace {

// What the new process is to be given: descriptors 3, 4, ... and no other beyond the standard ones.
class Gifts {
 public:
  Gifts() { ::posix_spawn_file_actions_init(&actions_); }
  ~Gifts() { ::posix_spawn_file_actions_destroy(&actions_); }
  Gifts(const Gifts&) = delete;
  Gifts& operator=(const Gifts&) = delete;

  // `most`: how many Add calls are to come, at most.
  void Expect(std::size_t most) { above_ = kFirst + static_cast<int>(most); }
  // The number that `descriptor` will have there; below zero: errno says why not. It goes by a copy
  // above all numbers that are given, so that no gift lies where another one is still to be taken.
  int Add(int descriptor) {
    net::FileDescriptor copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, above_));
    if (!copy.is_open()) return -1;
    const int number = kFirst + static_cast<int>(copies_.size());
    ::posix_spawn_file_actions_adddup2(&actions_, copy.get(), number);
    copies_.push_back(std::move(copy));
    return number;
  }
  const posix_spawn_file_actions_t* Finish() {
    ::posix_spawn_file_actions_addclosefrom_np(&actions_,
                                               kFirst + static_cast<int>(copies_.size()));
    return &actions_;
  }

 private:
  static constexpr int kFirst = 3;

  posix_spawn_file_actions_t actions_{};
  int above_ = kFirst;
  std::vector<net::FileDescriptor> copies_;
};

// False: errno says why.
bool GiveAll(HandedDoors& doors, Gifts& gifts) {
  std::size_t count = 1;
  for (const HandedDoor& door : doors.doors) count += door.descriptors.size();
  gifts.Expect(count);
  for (HandedDoor& door : doors.doors) {
    for (int& descriptor : door.descriptors) {
      descriptor = gifts.Add(descriptor);
      if (descriptor < 0) return false;
    }
  }
  doors.ready = gifts.Add(doors.ready);
  return doors.ready >= 0;
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWith(const HandedDoors& doors) {
  const std::string name = std::string(HandedDoors::kVariable) + "=";
  std::vector<std::string> words{name + doors.Text()};
  for (char** word = environ; *word != nullptr; ++word) {
    if (!std::string_view(*word).starts_with(name)) words.emplace_back(*word);
  }
  return words;
}

std::string NoProcess(int error) {
  return fmt::format(
      "no process can be started: {}. Raise the limit of processes or of open files, or free "
      "memory.",
      std::strerror(error));
}

}  // namespace

std::expected<std::unique_ptr<Successor>, std::string> Successor::Start(
    const std::vector<std::string>& command, const std::string& otherwise, HandedDoors doors) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(NoProcess(errno));
  net::FileDescriptor words(ends[0]);
  const net::FileDescriptor ready(ends[1]);
  doors.ready = ready.get();
  Gifts gifts;
  if (!GiveAll(doors, gifts)) return std::unexpected(NoProcess(errno));
  const std::vector<std::string> environment = EnvironmentWith(doors);
  const std::vector<char*> arguments = Pointers(command);
  const std::vector<char*> variables = Pointers(environment);
  const auto* const actions = gifts.Finish();
  pid_t pid = -1;
  // Not fork: what is locked in this process, or by its threads, must not be touched there.
  int error = ::posix_spawnp(&pid, command.front().c_str(), actions, nullptr, arguments.data(),
                             variables.data());
  if (error == ENOENT) {
    error = ::posix_spawn(&pid, otherwise.c_str(), actions, nullptr, arguments.data(),
                          variables.data());
  }
  if (error == EAGAIN || error == ENOMEM) return std::unexpected(NoProcess(error));
  if (error != 0) {
    return std::unexpected(fmt::format("'{}' cannot be run: {}. Put the program where it was.",
                                       command.front(), std::strerror(error)));
  }
  return std::unique_ptr<Successor>(new Successor(pid, std::move(words)));
}

Successor::~Successor() {
  if (!serves_) End();
}

std::optional<std::expected<void, std::string>> Successor::Look() {
  char bytes[512];
  ssize_t got = -1;
  while ((got = ::read(words_.get(), bytes, sizeof(bytes))) > 0) {
    if (bytes[0] == kReady && said_.empty()) {
      serves_ = true;
      return std::expected<void, std::string>();
    }
    // What is beyond is read and forgotten, so that the end is seen.
    said_.append(bytes, std::min(static_cast<std::size_t>(got), kMostReason - said_.size()));
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  return std::unexpected(ReasonOfEnd());
}

// It let go of the pipe, so it has ended, or is about to.
std::string Successor::ReasonOfEnd() {
  const int status = End();
  if (!said_.empty()) return said_;
  const std::string elsewhere = "what it said is on standard error";
  if (WIFSIGNALED(status)) {
    return fmt::format("the new process was ended by signal {}; {}", WTERMSIG(status), elsewhere);
  }
  return fmt::format("the new process ended with status {}; {}", WEXITSTATUS(status), elsewhere);
}

// One that ends by itself already keeps its status.
int Successor::End() noexcept {
  int status = 0;
  if (std::exchange(ended_, true)) return status;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace sluicegate::handover
