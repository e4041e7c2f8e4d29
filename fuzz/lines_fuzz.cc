// Lines over a pipe: however the bytes come, they are cut as a second reader cuts them, and each
// line has readable bytes behind it; merged with our own lines, both streams stay whole.
#include <algorithm>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "pipe/line_cutter.h"
#include "pipe/line_merger.h"

using sluicegate::fuzz::Require;
using sluicegate::pipe::LineCutter;
using sluicegate::pipe::LineMerger;

namespace {

constexpr std::size_t kPadding = 64;
constexpr std::string_view kTooLong = "too long";  // No line: it has no end where one must follow.

// What the first byte says: how many bytes a line may have, and how many come at once.
struct Plan {
  std::size_t most = 0;
  std::size_t step = 0;

  explicit Plan(char byte)
      : most(1U + static_cast<unsigned char>(byte) % 16U),
        step(1U + static_cast<unsigned char>(byte) / 16U) {}
};

std::vector<std::string> Split(std::string_view text, std::size_t most) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.emplace_back(size > most ? kTooLong : text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

void Keep(const LineCutter::Line& line, std::vector<std::string>& lines) {
  Require(line.too_long == line.text.empty());
  lines.emplace_back(line.too_long ? kTooLong : line.text);
  if (line.too_long) return;
  const std::string padded(line.text.data(), line.text.size() + kPadding);
  Require(padded.starts_with(line.text));
}

void CutsAsASecondReader(std::string_view text, Plan plan) {
  LineCutter cutter(plan.most, kPadding);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size(); at += plan.step) {
    cutter.Add(text.substr(at, plan.step));
    while (const auto line = cutter.Next()) Keep(*line, lines);
  }
  if (const auto line = cutter.Last()) Keep(*line, lines);
  Require(!cutter.Last());
  Require(lines == Split(text, plan.most));
}

// Ours are lines of one byte that theirs have not.
void MergesWholeLines(std::string_view text, Plan plan) {
  LineMerger merger;
  std::string theirs;
  std::string merged;
  std::size_t inserted = 0;
  for (std::size_t at = 0; at < text.size(); at += plan.step) {
    std::string piece(text.substr(at, plan.step));
    std::ranges::replace(piece, '!', '?');
    theirs += piece;
    merger.Pass(piece);
    if (piece.size() % 2 == 0 || piece.back() == 'i') {
      merger.Insert("!\n");
      ++inserted;
    }
    const std::size_t taken = merger.ready().size() / 2;
    merged += merger.ready().substr(0, taken);
    merger.Consume(taken);
  }
  merger.End();
  merged += merger.ready();
  Require(merger.waiting() == 0);

  std::string rest;
  for (std::size_t at = 0; at < merged.size(); ++at) {
    if (merged[at] != '!') {
      rest += merged[at];
      continue;
    }
    Require(at == 0 || merged[at - 1] == '\n');
    ++at;
    Require(at < merged.size() && merged[at] == '\n');
    --inserted;
  }
  Require(inserted == 0);
  // A line that they left unfinished gets an end before one of ours.
  Require(rest == theirs || rest == theirs + '\n');
}

}  // namespace

SG_FUZZ_TARGET(lines) {
  if (bytes.empty()) return;
  const Plan plan(bytes.front());
  CutsAsASecondReader(bytes.substr(1), plan);
  MergesWholeLines(bytes.substr(1), plan);
}
