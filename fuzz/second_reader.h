// A second reader of HTTP/1.1: llhttp, the parser of Node.js, as Node builds it. It shares not a
// line with ours, so what both find in the same bytes is not one mistake made twice.
#pragma once

#include <llhttp/llhttp.h>

#include <string>
#include <string_view>
#include <vector>

namespace sluicegate::fuzz {

/// One message as llhttp reads it.
struct ReadMessage {
  struct ReadField {
    std::string name;
    std::string value;
  };
  std::string method;  ///< Of a request.
  std::string target;  ///< Of a request.
  int status = 0;      ///< Of a response.
  std::vector<ReadField> fields;
  std::vector<ReadField> trailers;
  std::string body;
  bool has_head = false;  ///< Its head was read to its end.
  bool whole = false;     ///< It was read to its end.
};

/// Reads all messages that `bytes` begin. Bound to one call of Read at a time.
class SecondReader {
 public:
  /// `to_head`: each response answers a HEAD request.
  explicit SecondReader(llhttp_type_t type, bool to_head = false) : to_head_(to_head) {
    llhttp_settings_init(&settings_);
    settings_.on_message_begin = [](llhttp_t* parser) {
      Of(parser).messages_.emplace_back();
      return 0;
    };
    settings_.on_url = [](llhttp_t* parser, const char* at, std::size_t size) {
      Of(parser).messages_.back().target.append(at, size);
      return 0;
    };
    settings_.on_header_field = [](llhttp_t* parser, const char* at, std::size_t size) {
      Of(parser).name_.append(at, size);
      return 0;
    };
    settings_.on_header_value = [](llhttp_t* parser, const char* at, std::size_t size) {
      Of(parser).value_.append(at, size);
      return 0;
    };
    settings_.on_header_value_complete = [](llhttp_t* parser) {
      SecondReader& self = Of(parser);
      ReadMessage& message = self.messages_.back();
      auto& fields = message.has_head ? message.trailers : message.fields;
      fields.push_back({.name = self.name_, .value = self.value_});
      self.name_.clear();
      self.value_.clear();
      return 0;
    };
    settings_.on_headers_complete = [](llhttp_t* parser) { return Of(parser).OnHead(); };
    settings_.on_body = [](llhttp_t* parser, const char* at, std::size_t size) {
      Of(parser).messages_.back().body.append(at, size);
      return 0;
    };
    settings_.on_message_complete = [](llhttp_t* parser) {
      Of(parser).messages_.back().whole = true;
      return 0;
    };
    llhttp_init(&parser_, type, &settings_);
    parser_.data = this;
  }
  SecondReader(const SecondReader&) = delete;
  SecondReader& operator=(const SecondReader&) = delete;

  /// False: llhttp refuses the bytes, or takes what follows for another protocol.
  [[nodiscard]] bool Read(std::string_view bytes) {
    return llhttp_execute(&parser_, bytes.data(), bytes.size()) == HPE_OK;
  }
  /// The connection ended. False: in the middle of a message.
  [[nodiscard]] bool Finish() { return llhttp_finish(&parser_) == HPE_OK; }

  [[nodiscard]] const std::vector<ReadMessage>& messages() const { return messages_; }

 private:
  static SecondReader& Of(llhttp_t* parser) { return *static_cast<SecondReader*>(parser->data); }

  int OnHead() {
    ReadMessage& message = messages_.back();
    message.has_head = true;
    message.status = parser_.status_code;
    if (parser_.type == HTTP_REQUEST) {
      message.method = llhttp_method_name(static_cast<llhttp_method_t>(parser_.method));
    }
    // llhttp leaves it to its user which answers have no body.
    return to_head_ || message.status == 204 || message.status == 304 ? 1 : 0;
  }

  const bool to_head_;
  llhttp_settings_t settings_;
  llhttp_t parser_;
  std::vector<ReadMessage> messages_;
  std::string name_;
  std::string value_;
};

}  // namespace sluicegate::fuzz
