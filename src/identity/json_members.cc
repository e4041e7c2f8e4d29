#include "identity/json_members.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluicegate::identity {

// What the parser calls as it reads. `false` ends it.
class JsonMembers::Handler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Handler(JsonMembers& members) : members_(members) {}

  bool null() override { return Take(Other{}); }
  bool boolean(bool /*value*/) override { return Take(Other{}); }
  bool number_integer(number_integer_t value) override { return Take(value); }
  bool number_unsigned(number_unsigned_t value) override {
    return Take(static_cast<std::int64_t>(std::min<number_unsigned_t>(value, kMost)));
  }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    // What is beyond 2^63 has no integer.
    constexpr double kEdge = 9223372036854775808.0;
    if (value >= kEdge) return Take(kMost);
    if (value < -kEdge) return Take(std::numeric_limits<std::int64_t>::min());
    return Take(static_cast<std::int64_t>(value));
  }
  bool string(string_t& value) override {
    if (depth_ != 2 || !list_) return Take(std::move(value));
    list_->push_back(std::move(value));
    return true;
  }
  bool binary(binary_t& /*value*/) override { return false; }

  bool start_object(std::size_t /*elements*/) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t /*elements*/) override {
    if (depth_ == 1) list_.emplace();
    return Open();
  }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    const auto found = std::ranges::find(members_.wanted_, name);
    current_ = found == members_.wanted_.end()
                   ? nullptr
                   : &members_.values_[static_cast<std::size_t>(found - members_.wanted_.begin())];
    return current_ == nullptr || !current_->has_value();
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  static constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

  bool Take(Value value) {
    if (depth_ == 1) Put(std::move(value));
    list_.reset();  // Within a list: it has more than texts.
    return true;
  }
  bool Open() {
    if (depth_ == 2) list_.reset();
    return ++depth_ <= kMaxDepth;
  }
  bool Close() {
    if (--depth_ != 1) return true;
    Put(list_ ? Value(*std::move(list_)) : Value(Other{}));
    list_.reset();
    return true;
  }
  void Put(Value value) {
    if (current_ != nullptr) *current_ = std::move(value);
  }

  JsonMembers& members_;
  std::optional<Value>* current_ = nullptr;  // Where the next value of depth 1 goes.
  std::optional<std::vector<std::string>>
      list_;  // The list at depth 1 as long as it has texts only.
  std::size_t depth_ = 0;
};

std::optional<JsonMembers> JsonMembers::Parse(std::string_view json,
                                              std::span<const std::string_view> wanted) {
  // The parser takes a NUL for the end and passes a byte order mark over.
  if (json.empty() || json.front() == '\xEF' || json.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t first = json.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || json[first] != '{') return std::nullopt;
  JsonMembers members(wanted);
  Handler handler(members);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) return std::nullopt;
  return members;
}

const JsonMembers::Value* JsonMembers::Find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i] == name) return values_[i] ? &*values_[i] : nullptr;
  }
  return nullptr;
}

const std::string* JsonMembers::FindText(std::string_view name) const noexcept {
  const Value* const value = Find(name);
  return value == nullptr ? nullptr : std::get_if<std::string>(value);
}

}  // namespace sluicegate::identity
