#include "identity/token_cache.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "identity/forgery_guard.h"
#include "identity/openssl.h"

namespace sluicegate::identity {
namespace {

using Digest = TokenKeys::Digest;
using HashPtr = std::unique_ptr<EVP_MD, FreeBy<&EVP_MD_free>>;

constexpr std::int64_t kSecondNs = 1'000'000'000;

}  // namespace

struct TokenCache::Entry {
  Digest digest{};
  VerifiedToken token;     // valid_until 0: a free place.
  std::uint64_t used = 0;  // When last, by Memory::uses.

  [[nodiscard]] bool HoldsAt(std::int64_t seconds) const noexcept {
    return token.valid_from <= seconds && seconds < token.valid_until;
  }
};

struct TokenCache::Memory {
  explicit Memory(const HashSecret& by) : secret(by), guard(by) {}
  [[nodiscard]] bool DigestOf(const TokenVerifier& verifier, std::string_view token, Digest& into);
  [[nodiscard]] std::span<Entry> SetOf(const Digest& digest);
  [[nodiscard]] std::string_view Put(std::span<Entry> set, const Digest& digest,
                                     VerifiedToken token, std::int64_t seconds);

  // Looked up once: OpenSSL's one-shot functions look the algorithm up each time.
  const HashPtr sha256{::EVP_MD_fetch(nullptr, "SHA256", nullptr)};
  const HashContextPtr context{::EVP_MD_CTX_new()};
  const HashSecret& secret;  // The cache's.
  std::vector<Entry> entries{kSets * kWays};
  std::uint64_t uses = 0;
  ForgeryGuard guard;
};

TokenCache::TokenCache(const HashSecret& secret) : secret_(secret) {}
TokenCache::~TokenCache() = default;

TokenCache::Memory& TokenCache::memory() {
  if (memory_ == nullptr) memory_ = std::make_unique<Memory>(secret_);
  return *memory_;
}

bool TokenCache::Memory::DigestOf(const TokenVerifier& verifier, std::string_view token,
                                  Digest& into) {
  const Digest& fingerprint = verifier.fingerprint();
  return ::EVP_DigestInit_ex2(context.get(), sha256.get(), nullptr) == 1 &&
         ::EVP_DigestUpdate(context.get(), &secret, sizeof(secret)) == 1 &&
         ::EVP_DigestUpdate(context.get(), fingerprint.data(), fingerprint.size()) == 1 &&
         ::EVP_DigestUpdate(context.get(), token.data(), token.size()) == 1 &&
         ::EVP_DigestFinal_ex(context.get(), into.data(), nullptr) == 1;
}

std::span<TokenCache::Entry> TokenCache::Memory::SetOf(const Digest& digest) {
  std::uint64_t word = 0;
  std::memcpy(&word, digest.data(), sizeof(word));
  return std::span(entries).subspan(word % kSets * kWays, kWays);
}

// In the place of one that has ended, else of the one that was not used for longest.
std::string_view TokenCache::Memory::Put(std::span<Entry> set, const Digest& digest,
                                         VerifiedToken token, std::int64_t seconds) {
  const auto rank = [seconds](const Entry& entry) {
    return seconds >= entry.token.valid_until ? 0 : entry.used;
  };
  Entry& entry = *std::ranges::min_element(set, {}, rank);
  entry = {.digest = digest, .token = std::move(token), .used = ++uses};
  return entry.token.user;
}

std::string_view TokenCache::UserOf(const TokenVerifier& verifier, std::string_view token,
                                    const IpAddress& client, Now now) {
  // An API key, or too long to be hashed for nothing.
  if (token.size() > TokenVerifier::kMaxTokenBytes || token.find('.') == std::string_view::npos) {
    return {};
  }
  Memory& mine = memory();
  const std::int64_t seconds = now.unix_ns / kSecondNs;
  Digest digest{};
  if (!mine.DigestOf(verifier, token, digest)) return {};
  const std::span<Entry> set = mine.SetOf(digest);
  const auto known = std::ranges::find(set, digest, &Entry::digest);
  if (known != set.end() && known->HoldsAt(seconds)) {
    known->used = ++mine.uses;
    return known->token.user;
  }
  if (!mine.guard.Admits(client, now.engine_ns)) return {};
  auto verified = verifier.Verify(token, seconds);
  if (verified) return mine.Put(set, digest, *std::move(verified), seconds);
  if (verified.error() == TokenFault::kSignature) mine.guard.Charge(client, now.engine_ns);
  return {};
}

}  // namespace sluicegate::identity
