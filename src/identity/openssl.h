// What OpenSSL's objects need beside a pointer: an owner, and an error queue that is left as it was
// found (others of this thread read it).
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>
#include <string_view>

namespace sluicegate::identity {

template <auto Free>
struct FreeBy {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

using BioPtr = std::unique_ptr<BIO, FreeBy<&BIO_free>>;
using HashContextPtr = std::unique_ptr<EVP_MD_CTX, FreeBy<&EVP_MD_CTX_free>>;
using KeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreeBy<&EVP_PKEY_CTX_free>>;
using EcSignaturePtr = std::unique_ptr<ECDSA_SIG, FreeBy<&ECDSA_SIG_free>>;

/// Forgets the errors of its lifetime.
class QuietErrors {
 public:
  QuietErrors() { ::ERR_set_mark(); }
  ~QuietErrors() { ::ERR_pop_to_mark(); }
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;
};

/// Where a text's bytes begin, as OpenSSL wants them.
[[nodiscard]] inline const unsigned char* Bytes(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace sluicegate::identity
