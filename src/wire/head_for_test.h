// How the tests of heads ask a parser, and how they write down what it said.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wire/http_head.h"

namespace sluicegate::wire {

inline constexpr std::string_view kFramings[] = {"none", "length", "chunked", "close"};

inline std::string Told(const MessageHead& head) {
  std::string text = std::to_string(head.size) + " 1." + std::to_string(head.minor_version) + " " +
                     std::string(kFramings[static_cast<std::size_t>(head.framing)]);
  if (head.content_length) text += " length=" + std::to_string(*head.content_length);
  if (head.keep_alive) text += " keep";
  if (head.upgrade) text += " upgrade";
  for (const Field& field : head.fields()) {
    text += "|" + std::string(field.name) + "=" + std::string(field.value);
  }
  return text;
}

inline std::string Told(const RequestHead& head) {
  return std::string(head.method) + " " + std::string(head.path_and_query) + " @" +
         std::string(head.authority) + (head.expect_continue ? " expect " : " ") +
         Told(static_cast<const MessageHead&>(head));
}

inline std::string Told(const ResponseHead& head) {
  return std::to_string(head.status) + " " + std::string(head.reason) + " " +
         Told(static_cast<const MessageHead&>(head));
}

inline std::string Answer(RequestParser& parser, std::string_view bytes) {
  RequestHead head;
  switch (parser.Parse(bytes, head)) {
    case ParseState::kNeedMore:
      return "more";
    case ParseState::kRefused:
      return std::to_string(parser.refusal().status) + " " + std::string(parser.refusal().detail);
    case ParseState::kDone:
      break;
  }
  return Told(head);
}

inline std::string Answer(ResponseParser& parser, std::string_view bytes) {
  ResponseHead head;
  switch (parser.Parse(bytes, false, head)) {
    case ParseState::kNeedMore:
      return "more";
    case ParseState::kRefused:
      return std::to_string(parser.refusal().status) + " " + std::string(parser.refusal().detail);
    case ParseState::kDone:
      break;
  }
  return Told(head);
}

// Feeds growing prefixes, each in memory of its own size so that a sanitizer sees any byte read
// beyond.
template <typename Parser>
std::string AnswerInPieces(std::string_view bytes, const std::vector<std::size_t>& ends) {
  Parser parser;
  std::string answer = "more";
  for (const std::size_t end : ends) {
    const auto copy = std::make_unique<char[]>(end);
    std::ranges::copy(bytes.substr(0, end), copy.get());
    answer = Answer(parser, {copy.get(), end});
    if (answer != "more") break;
  }
  return answer;
}

template <typename Parser>
std::string AnswerAtOnce(std::string_view bytes) {
  return AnswerInPieces<Parser>(bytes, {bytes.size()});
}

template <typename Parser>
std::string AnswerByteByByte(std::string_view bytes) {
  std::vector<std::size_t> ends;
  for (std::size_t end = 1; end <= bytes.size(); ++end) ends.push_back(end);
  return AnswerInPieces<Parser>(bytes, ends);
}

// The status of a refusal, 200 for an accepted head, 0 for an incomplete one.
inline int StatusOf(const std::string& answer) {
  if (answer == "more") return 0;
  const bool refused = answer[0] >= '0' && answer[0] <= '9';
  return refused ? std::stoi(answer) : 200;
}

inline std::string Shown(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, 100))
    text += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
  return text;
}

}  // namespace sluicegate::wire
