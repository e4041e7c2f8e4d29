#include "admin/token.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluicegate::admin {
namespace {

constexpr mode_t kOthersBits = 077;

/// A file descriptor that closes itself.
class File {
 public:
  explicit File(const std::string& path)
      // O_NONBLOCK: opening a pipe must not hang; it is refused below.
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

std::string Octal(mode_t mode) {
  std::string text;
  for (const unsigned shift : {6U, 3U, 0U}) text += static_cast<char>('0' + ((mode >> shift) & 7U));
  return text;
}

std::unexpected<std::string> Refuse(const std::string& path, const std::string& what) {
  return std::unexpected("admin token file '" + path + "': " + what);
}

/// Empty if the file may hold a secret, else what is wrong and the mend.
std::string FaultOf(int fd, const std::string& path, AdminToken::Owner owner) {
  struct stat about{};
  if (fstat(fd, &about) != 0) return std::string("cannot be looked at: ") + std::strerror(errno);
  if (!S_ISREG(about.st_mode)) return "is not a regular file. Name a file that holds the token.";
  if ((about.st_mode & kOthersBits) != 0) {
    return "its mode is 0" + Octal(about.st_mode) +
           ", so other users may reach it. Run: chmod 600 '" + path + "'";
  }
  const bool theirs = about.st_uid == geteuid() || about.st_uid == 0;
  if (!theirs && owner == AdminToken::Owner::kThisUser) {
    return "belongs to another user, who could change it. Run: chown \"$(id -u)\" '" + path + "'";
  }
  return {};
}

std::array<std::uint8_t, 32> DigestOf(std::string_view text) noexcept {
  std::array<std::uint8_t, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace

std::expected<AdminToken, std::string> AdminToken::Load(const std::string& path, Owner owner) {
  const File file(path);
  if (file.fd() < 0) {
    return Refuse(path, std::string("cannot be opened: ") + std::strerror(errno) +
                            ". Make one with: (umask 077; openssl rand -hex 32 > FILE)");
  }
  if (std::string fault = FaultOf(file.fd(), path, owner); !fault.empty())
    return Refuse(path, fault);
  std::array<char, kMaxBytes + 2> buffer{};
  const ssize_t got = read(file.fd(), buffer.data(), buffer.size());
  if (got < 0) return Refuse(path, std::string("cannot be read: ") + std::strerror(errno));
  std::string_view token(buffer.data(), static_cast<std::size_t>(got));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.remove_suffix(1);
  std::expected<AdminToken, std::string> result = AdminToken(DigestOf(token));
  if (token.size() < kMinBytes) {
    result = Refuse(path,
                    "holds fewer than 16 characters, which could be guessed. Make one with: "
                    "openssl rand -hex 32");
  } else if (token.size() > kMaxBytes) {
    result = Refuse(path, "holds more than 1024 characters. Make one with: openssl rand -hex 32");
  } else if (token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~+/=") != std::string_view::npos) {
    result = Refuse(path,
                    "holds a character that a bearer token cannot have (RFC 6750), or more "
                    "than one line. Make one with: openssl rand -hex 32");
  }
  OPENSSL_cleanse(buffer.data(), buffer.size());
  return result;
}

bool AdminToken::Matches(std::string_view presented) const noexcept {
  const Digest other = DigestOf(presented);
  return CRYPTO_memcmp(digest_.data(), other.data(), digest_.size()) == 0;
}

}  // namespace sluicegate::admin
