// StdioPump: stands between a client and a server that speak in lines over pipes. What the client
// sends goes on line by line, if a gate admits it; what the server sends goes on byte for byte as
// it comes. Else it is as if nobody stood there: whoever closes an end, stops reading or is sent a
// signal, the other side sees it as it would without.
//
// Bound to one thread. Whatever waits has a bound, and who would add to it is not read meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pipe/child_process.h"
#include "pipe/line_cutter.h"
#include "pipe/line_merger.h"
#include "pipe/signal_feed.h"
#include "sluicegate/time.h"

namespace sluicegate::pipe {

/// What decides about the lines.
class LineGate {
 public:
  virtual ~LineGate() = default;

  /// Bytes that are readable behind each line.
  [[nodiscard]] virtual std::size_t padding() const noexcept = 0;
  /// A line of the client, with its end if it has one. True: it goes on. `answers` gets whole lines
  /// for the client.
  [[nodiscard]] virtual bool Admits(std::string_view line, Now now, std::string& answers) = 0;
  /// A line of the client was too long and is gone.
  virtual void RefuseTooLong(std::string& answers) = 0;
  /// Bytes of the server, which go on in any case.
  virtual void Observe(std::string_view bytes, Now now) = 0;
  /// Comes about once a second.
  virtual void OnSecond(Now now) = 0;
};

class StdioPump {
 public:
  /// Bytes that are read at once, and that wait for the server, or for the client of the server's.
  static constexpr std::size_t kChunk = std::size_t{64} << 10U;
  /// Bytes that wait for the client, answers of the gate included. A line or a chunk may exceed
  /// these.
  static constexpr std::size_t kMostForClient = std::size_t{256} << 10U;

  struct Ends {
    int client_in = 0;  ///< May block, as others may share them; replaced by /dev/null when closed.
    int client_out = 1;
    std::size_t longest_line = 0;  ///< Bytes; longer ones of the client are skipped.
  };

  /// All must outlive it.
  StdioPump(Ends ends, ChildProcess& server, SignalFeed& signals, LineGate& gate,
            const Clock& clock);
  StdioPump(const StdioPump&) = delete;
  StdioPump& operator=(const StdioPump&) = delete;

  /// Until the server has ended and the client has what it wrote.
  ChildProcess::End Run();

 private:
  [[nodiscard]] bool Over() const noexcept;
  [[nodiscard]] bool HasRoom() const noexcept;
  [[nodiscard]] bool WantsServer() const noexcept;
  void Wait();
  void TakeSignals();
  void ReadClient();
  void JudgeLines();
  void Judge(const LineCutter::Line& line);
  void WriteServer();
  void ReadServer();
  void WriteClient();
  void TellSecond();
  void LoseServer();
  void EndServerOutput();
  void LoseClient();

  // Constant after construction.
  const Ends ends_;
  const bool client_out_is_socket_;
  ChildProcess& server_;
  SignalFeed& signals_;
  LineGate& gate_;
  const Clock& clock_;

  Now now_;
  std::uint64_t second_ns_ = 0;  // When the last one was told.
  struct Ready {
    bool signals = false;
    bool client_in = false;
    bool client_out = false;
    bool server_in = false;
    bool server_out = false;
  } ready_;
  std::string chunk_;
  LineCutter cutter_;
  std::string to_server_;
  std::size_t sent_ = 0;  // Of to_server_.
  std::string answers_;
  LineMerger to_client_;
  bool client_in_open_ = true;
  bool client_out_open_ = true;
  bool held_up_ = false;  // Lines may wait in the cutter for room.
  bool hurried_ = false;
};

}  // namespace sluicegate::pipe
