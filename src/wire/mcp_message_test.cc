// Messages of MCP: what is read of them, and what must not get through to a server.
#include "wire/mcp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wire/padded_for_test.h"

namespace sluicegate::wire {
namespace {

using namespace std::string_literals;

const std::vector<std::string>& AskedNames() {
  static const std::vector<std::string> names = {"limit", "q\"\xC3\xA9", "Kind"};
  return names;
}

// "call 7 tools/call search limit=10 version=2026-07-28 again", "note METHOD", "answer 7".
std::string Told(const McpMessage& message) {
  constexpr std::string_view kKinds[] = {"call", "note", "answer"};
  std::string out(kKinds[static_cast<std::size_t>(message.kind)]);
  for (const std::string_view part : {message.id, message.method, message.name}) {
    if (!part.empty()) (out += ' ') += part;
  }
  for (std::size_t i = 0; i < message.arguments.size(); ++i) {
    if (message.arguments[i].empty()) continue;
    ((out += ' ') += AskedNames()[i]) += '=';
    out += message.arguments[i];
  }
  if (!message.protocol_version.empty()) (out += " version=") += message.protocol_version;
  if (message.answers_back) out += " again";
  return out;
}

// The messages, "[a; b]" in a batch; or code, id and what the fault says before the mend.
std::string Outcome(McpReader& reader, std::string_view text) {
  const PaddedText padded(text);
  const auto messages = reader.Read(padded.view(), AskedNames());
  if (!messages) {
    const McpFault& fault = messages.error();
    return std::to_string(fault.code) + " " + std::string(fault.id) + " " +
           std::string(fault.message.substr(0, fault.message.find_first_of(",:;")));
  }
  std::string out;
  for (const McpMessage& message : *messages) {
    EXPECT_EQ(message.arguments.size(), AskedNames().size());
    out += (out.empty() ? "" : "; ") + Told(message);
  }
  return reader.is_batch() ? "[" + out + "]" : out;
}

std::string Outcome(std::string_view text) {
  McpReader reader;
  return Outcome(reader, text);
}

struct Vector {
  std::string text;
  std::string outcome;
};

void ExpectOutcomes(const std::vector<Vector>& vectors) {
  McpReader reader;
  for (const Vector& vector : vectors) {
    EXPECT_EQ(Outcome(reader, vector.text), vector.outcome) << vector.text.substr(0, 2000);
  }
}

// A request with these params.
std::string Call(std::string_view params) {
  return R"({"jsonrpc":"2.0","id":7,"method":"tools/call","params":)" + std::string(params) + "}";
}
// A request of tools/call with these arguments.
std::string Arguments(std::string_view arguments) {
  return Call(R"({"name":"x","arguments":)" + std::string(arguments) + "}");
}
// A request with this value in a place that decides nothing.
std::string Idle(std::string_view value) {
  return R"({"jsonrpc":"2.0","id":7,"method":"m","params":{"x":)" + std::string(value) + "}}";
}

TEST(McpMessageTest, ReadsGoodMessages) {
  ExpectOutcomes({
      {R"({"jsonrpc":"2.0","id":1,"method":"ping"})", "call 1 ping"},
      {" \t\r\n{ \"jsonrpc\" : \"2.0\" ,\n\"id\" : 1 , \"method\" : \"ping\" } \r\n",
       "call 1 ping"},
      {R"({"method":"ping","id":1,"jsonrpc":"2.0"})", "call 1 ping"},
      {R"({"jsonrpc":"2.0","method":"notifications/initialized"})",
       "note notifications/initialized"},
      {R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}})",
       "call 1 initialize"},
      {R"({"jsonrpc":"2.0","id":1,"method":"m","extra":[1,{}],"x":null})", "call 1 m"},
      {R"({"jsonrpc":"2\u002e0","\u006dethod":"pin\u0067","i\u0064":1})", "call 1 ping"},
      {R"({"jsonrpc":"2.0","id":1,"method":"a\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00"})",
       "call 1 a\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
      // Ids stay as they were sent.
      {R"({"jsonrpc":"2.0","id": "a\u0062" ,"method":"m"})", R"(call "a\u0062" m)"},
      {R"({"jsonrpc":"2.0","id":"","method":"m"})", R"(call "" m)"},
      {R"({"jsonrpc":"2.0","id": 1.0 ,"method":"m"})", "call 1.0 m"},
      {R"({"jsonrpc":"2.0","id":-0e-5,"method":"m"})", "call -0e-5 m"},
      {R"({"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"m"})",
       "call 123456789012345678901234567890 m"},
      {R"({"jsonrpc":"2.0","id":1e999,"method":"m"})", "call 1e999 m"},
      // What is called.
      {Call(R"({"name":"search"})"), "call 7 tools/call search"},
      {Call(R"({"name":"\u0073earch","arguments":{}})"), "call 7 tools/call search"},
      {Call(R"({"arguments":null,"name":"search"})"), "call 7 tools/call search"},
      {R"({"params":{"name":"x"},"method":"tools/call","id":7,"jsonrpc":"2.0"})",
       "call 7 tools/call x"},
      {R"({"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}})", "note tools/call x"},
      {R"({"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"p","uri":"u"}})",
       "call 7 prompts/get p"},
      {R"({"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"name":"n","uri":"file:///a"}})",
       "call 7 resources/read file:///a"},
      {R"({"jsonrpc":"2.0","id":7,"method":"m","params":{"name":1,"arguments":[]}})", "call 7 m"},
      {R"({"jsonrpc":"2.0","id":7,"method":"m","params":{}})", "call 7 m"},
      // Arguments that were asked for.
      {Arguments(R"({"limit": 1.50 ,"other":2})"), "call 7 tools/call x limit=1.50"},
      {Arguments(R"({"limit":"a\u0062"})"), R"(call 7 tools/call x limit="a\u0062")"},
      {Arguments(R"({"limit": [1, {"limit":2}] ,"Kind":null})"),
       R"(call 7 tools/call x limit=[1, {"limit":2}] Kind=null)"},
      {Arguments(R"({"l\u0069mit":{ }})"), "call 7 tools/call x limit={ }"},
      {Arguments(R"({"q\"\u00e9":true})"), "call 7 tools/call x q\"\xC3\xA9=true"},
      {Arguments(R"({"a":{"limit":1,"Limit":2},"limits":3,"limi":4})"), "call 7 tools/call x"},
      {R"({"jsonrpc":"2.0","id":7,"method":"prompts/get","params":{"name":"p","arguments":{"limit":"1","Limit":"2"}}})",
       "call 7 prompts/get p"},
      // The protocol's version, and later rounds.
      {Call(
           R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","a":1},"name":"x"})"),
       "call 7 tools/call x version=2026-07-28"},
      {Call(R"({"_meta":{"io.modelcontextprotocol\/protocolVersion":20260728},"name":"x"})"),
       "call 7 tools/call x"},
      {Call(R"({"_meta":null,"name":"x"})"), "call 7 tools/call x"},
      {Call(R"({"name":"x","inputResponses":{}})"), "call 7 tools/call x again"},
      {Call(R"({"name":"x","requestState":"s"})"), "call 7 tools/call x again"},
      {Call(R"({"name":"x","requestState":null,"inputResponses":null})"), "call 7 tools/call x"},
      // Responses of the client.
      {R"({"jsonrpc":"2.0","id":7,"result":{}})", "answer 7"},
      {R"({"jsonrpc":"2.0","id":"s","result":null})", R"(answer "s")"},
      {R"({"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}})", "answer 7"},
      {R"({"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}})", "answer null"},
      {R"({"jsonrpc":"2.0","error":{"code":1,"message":""}})", "answer"},
      // Batches.
      {R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])", "[call 1 ping]"},
      {"[" + Arguments(R"({"limit":1})") + " , " + Idle("1") + "," + Arguments(R"({"Kind":2})") +
           "]",
       "[call 7 tools/call x limit=1; call 7 m; call 7 tools/call x Kind=2]"},
  });
}

// json_walk_test.cc has the rest.
TEST(McpMessageTest, RefusesWhatIsNoJson) {
  const auto grammar = "-32700 null The message is not JSON"s;
  const auto string = "-32700 null A string of the message does not end"s;
  const auto escape = "-32700 null A string of the message has an escape that JSON does not know"s;
  ExpectOutcomes({
      {"", "-32700 null The message is empty"},
      {" \r\n\t", "-32700 null The message is empty"},
      {"\xEF\xBB\xBF" + Idle("1"), "-32700 null The message begins with a byte order mark"},
      {"\xEF\xBB\xBF", "-32700 null The message begins with a byte order mark"},
      {Idle("1") + "{}", grammar},
      {Idle("1") + "\0"s, grammar},
      {Idle("1") + "," + Idle("1"), grammar},
      {Idle("1,"), grammar},
      {Idle("NaN"), grammar},
      {Idle("\"a"), string},
      {Idle("\"a\nb\""), string},
      {Idle(R"("\x")"), escape},
      {Idle(R"("\ud800")"), escape},
      {Idle(R"({"\udc00":1})"), escape},
      {R"({"jsonrpc":"2.0","id":7,"method":"m\ud800"})", escape},
      {R"({"jsonrpc":"2.0","id":"\ud800","method":"m"})", escape},
      {Idle("\"\xFF\""), "-32700 null The message is not UTF-8 throughout"},
      // It is told before anything else.
      {R"({"jsonrpc":"1.0","id":7,"id":7,)", grammar},
      {R"([1,{"id":null},)", grammar},
  });
}

TEST(McpMessageTest, RefusesWhatIsNoJsonRpc) {
  const auto no_object = "-32600 null The message"s;
  const auto version = "-32600 7 jsonrpc is missing or not \"2.0\""s;
  const auto method = "-32600 7 method is missing"s;
  const auto id = "-32600 null id is missing in a response"s;
  const auto more = "-32600 7 The message has more than one of method"s;
  const std::string request = R"({"jsonrpc":"2.0","id":1,"method":"m"})";
  std::string long_batch = request;
  for (std::size_t i = 1; i < kMaxMcpBatch; ++i) long_batch += "," + request;
  const std::string most = std::string(kMaxMcpIdBytes - 2, 'i');
  ASSERT_THAT(Outcome("[" + long_batch + "]"), testing::StartsWith("[call 1 m; "));
  ExpectOutcomes({
      {"1", no_object},
      {"\"a\"", no_object},
      {"null", no_object},
      {"[1]", no_object},
      {"[[]]", no_object},
      {"[" + request + ",null]", no_object},
      {"[]", "-32600 null The batch is empty"},
      {"[" + long_batch + "," + request + "]", "-32600 null The batch has more than 20 messages"},
      {"[" + long_batch + ",1 1]", "-32700 null The message is not JSON"},
      {"[" + request + R"(,{"jsonrpc":"2.0","id":7}])", "-32600 null method is missing"},
      {"{}", "-32600 null jsonrpc is missing or not \"2.0\""},
      {R"({"id":7,"method":"m"})", version},
      {R"({"jsonrpc":"2.0","id":7,"method":"tools/call\u0000","params":{"name":"x"}})",
       "-32600 7 method holds a NUL"},
      {R"({"jsonrpc":"1.0","method":"m","id":7})", version},
      {R"({"jsonrpc":2.0,"method":"m","id":7})", version},
      {R"({"jsonrpc":"2.0","id":7})", method},
      {R"({"jsonrpc":"2.0","method":"","id":7})", method},
      {R"({"jsonrpc":"2.0","method":1,"id":7})", method},
      {R"({"jsonrpc":"2.0","method":null,"id":7})", method},
      {R"({"jsonrpc":"2.0","method":"m","id":null})", id},
      {R"({"jsonrpc":"2.0","method":"m","id":{}})", id},
      {R"({"jsonrpc":"2.0","method":"m","id":[1]})", id},
      {R"({"jsonrpc":"2.0","method":"m","id":true})", id},
      {R"({"jsonrpc":"2.0","result":1,"id":null})", id},
      {R"({"jsonrpc":"2.0","result":1})", id},
      {R"({"jsonrpc":"2.0","error":{},"id":false})", id},
      {R"({"jsonrpc":"2.0","method":"m","result":1,"id":7})", more},
      {R"({"jsonrpc":"2.0","method":"m","error":1,"id":7})", more},
      {R"({"jsonrpc":"2.0","result":1,"error":1,"id":7})", more},
      {R"({"jsonrpc":"2.0","method":"m","id":")" + most + R"("})", "call \"" + most + "\" m"},
      {R"({"jsonrpc":"2.0","method":"m","id":")" + most + R"(i"})",
       "-32600 null id is longer than 256 bytes"},
      {R"({"jsonrpc":"2.0","method":"m","id":1)" + std::string(kMaxMcpIdBytes, '0') + "}",
       "-32600 null id is longer than 256 bytes"},
  });
}

TEST(McpMessageTest, RefusesKeysThatServersReadDifferently) {
  const auto twice =
      "-32600 7 A key that decides what the message means comes twice in one object"s;
  const auto disguised =
      "-32600 7 A key is one that decides what the message means but for the case of letters or a "
      "NUL"s;
  const auto tail = R"(,"jsonrpc":"2.0","id":7,"method":"tools/call"})"s;
  std::vector<Vector> vectors = {
      {R"({"jsonrpc":"2.0","jsonrpc":"2.0","method":"m","id":7})", twice},
      {R"({"jsonrpc":"2.0","method":"m","method":"m","id":7})", twice},
      {R"({"jsonrpc":"2.0","method":"m","\u006dethod":"n","id":7})", twice},
      {R"({"jsonrpc":"2.0","method":"m","params":{},"params":{},"id":7})", twice},
      {R"({"jsonrpc":"2.0","result":1,"result":2,"id":7})", twice},
      {R"({"jsonrpc":"2.0","error":1,"error":2,"id":7})", twice},
      {R"({"jsonrpc":"2.0","method":"m","id":8,"id":7})",
       "-32600 null A key that decides what the message means comes twice in one object"},
      {R"({"jsonrpc":"2.0","method":"m","Method":"n","id":7})", disguised},
      {R"({"jsonrpc":"2.0","METHOD":"m","id":7})", disguised},
      {R"({"jsonrpc":"2.0","Id":7,"method":"m"})", "-32600 null " + disguised.substr(9)},
      {R"({"jsonrpc":"2.0","Id":8,"method":"m","id":7})", disguised},
      {R"({"jsonrpc":"2.0","method":"m","method\u0000":"n","id":7})", disguised},
      {R"({"jsonrpc":"2.0","method":"m","method\u0000x":"n","id":7})", disguised},
      {"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"param\xC5\xBF\":{},\"id\":7}", disguised},
      {R"({"jsonrpc":"2.0","method":"m","re\u017Fult":1,"id":7})", disguised},
      {R"({"params":{"Name":"x"})" + tail, disguised},
      {R"({"params":{"name":"x","_META":{}})" + tail, disguised},
      {R"({"params":{"name":"x","argument\u017f":{}})" + tail, disguised},
      {R"({"params":{"name":"x","inputresponses":1})" + tail, disguised},
      {R"({"params":{"name":"x","_meta":{"io.modelcontextprotocol/ProtocolVersion":"1"}})" + tail,
       disguised},
      {R"({"params":{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":1,"io.modelcontextprotocol\/protocolVersion":2}})" +
           tail,
       twice},
      {Arguments(R"({"limit":1,"limit":1})"), twice},
      {Arguments(R"({"limit":1,"l\u0069mit":1})"), twice},
      {Arguments(R"({"Limit":1})"), disguised},
      {Arguments(R"({"limit\u0000":1})"), disguised},
      {Arguments("{\"\xE2\x84\xAAind\":1}"), disguised},
      // No fault: another place, another word.
      {R"({"params":{"method":1,"Method":2,"name":"x","x":{"name":1,"Name":2}})" + tail,
       "call 7 tools/call x"},
      {R"({"params":{"name":"x"},"methods":1,"metho":2,"":3,"\u0000":4)" + tail,
       "call 7 tools/call x"},
      {Arguments(R"({"a":1,"a":2,"A":3})"), "call 7 tools/call x"},
  };
  for (const std::string_view key :
       {"name", "uri", "arguments", "_meta", "inputResponses", "requestState"}) {
    const std::string field = '"' + std::string(key) + R"(":null)";
    vectors.push_back({R"({"params":{)" + field + "," + field + "}" + tail, twice});
  }
  ExpectOutcomes(vectors);
}

TEST(McpMessageTest, TwoNamesThatDifferInCaseMayBothBeAskedFor) {
  const std::vector<std::string> asked = {"limit", "LIMIT", "limit"};
  const PaddedText text(Arguments(R"({"LIMIT":1,"limit":2})"));
  McpReader reader;
  const auto messages = reader.Read(text.view(), asked);
  ASSERT_TRUE(messages);
  EXPECT_THAT(messages->front().arguments, testing::ElementsAre("2", "1", "2"));
}

TEST(McpMessageTest, RefusesParamsOfTheWrongForm) {
  const auto params = "-32602 7 params is not an object"s;
  const auto name = "-32602 7 params.name is missing"s;
  const auto uri = "-32602 7 params.uri is missing"s;
  const auto arguments = "-32602 7 params.arguments is not an object"s;
  const auto read = [](std::string_view in) {
    return R"({"jsonrpc":"2.0","method":"resources/read","params":)" + std::string(in) +
           R"(,"id":7})";
  };
  ExpectOutcomes({
      {Call("[]"), params},
      {Call("null"), params},
      {Call("\"a\""), params},
      {R"({"jsonrpc":"2.0","method":"ping","params":[1],"id":7})", params},
      {R"({"jsonrpc":"2.0","method":"note","params":1})", "-32602 null params is not an object"},
      {R"({"jsonrpc":"2.0","method":"tools/call","id":7})", name},
      {Call("{}"), name},
      {Call(R"({"name":""})"), name},
      {Call(R"({"name":1})"), name},
      {Call(R"({"name":null})"), name},
      {Call(R"({"uri":"x"})"), name},
      {R"({"jsonrpc":"2.0","method":"prompts/get","params":{},"id":7})", name},
      {read("{}"), uri},
      {read(R"({"uri":["x"]})"), uri},
      {read(R"({"name":"x"})"), uri},
      {Arguments("[]"), arguments},
      {Arguments("1"), arguments},
      {Arguments("\"null\""), arguments},
      {Arguments("false"), arguments},
      {"[" + Arguments("1") + "]", "-32602 null params.arguments is not an object"},
  });
}

TEST(McpMessageTest, FollowsSixtyFourLevels) {
  const auto deep = [](std::size_t levels, std::string_view open, std::string_view close) {
    std::string out;
    for (std::size_t i = 0; i < levels; ++i) out += open;
    out += "1";
    for (std::size_t i = 0; i < levels; ++i) out += close;
    return out;
  };
  const auto with_id_last = [](std::string_view value) {
    return R"({"jsonrpc":"2.0","method":"m","x":)" + std::string(value) + R"(,"id":7})";
  };
  const auto fault = "-32600 7 The message nests deeper than 64 levels"s;
  ExpectOutcomes({
      {with_id_last(deep(63, "[", "]")), "call 7 m"},
      {with_id_last(deep(64, "[", "]")), fault},
      {with_id_last(deep(63, "{\"a\":", "}")), "call 7 m"},
      {with_id_last(deep(64, "{\"a\":", "}")), fault},
      {with_id_last(deep(100'000, "[", "]")), fault},
      {with_id_last(deep(100'000, "{\"a\":[", "]}")), fault},
      {with_id_last(deep(100'000, "[", "")), "-32700 null The message is not JSON"},
      {std::string(100'000, '['), "-32700 null The message is not JSON"},
      {deep(65, "[", "]"), "-32600 null The message"},
      {"[" + with_id_last(deep(63, "[", "]")) + "]",
       "-32600 null The message nests deeper than 64 levels"},
  });
}

TEST(McpMessageTest, ViewsAreSlicesOfTheText) {
  const PaddedText text(Arguments(R"({"limit": {"a" : [1.0, "\u0041"]} })"));
  McpReader reader;
  const auto messages = reader.Read(text.view(), AskedNames());
  ASSERT_TRUE(messages);
  const McpMessage& message = messages->front();
  const auto offset = [&text](std::string_view part) { return part.data() - text.view().data(); };
  const std::string_view limit = R"({"a" : [1.0, "\u0041"]})";
  EXPECT_EQ(message.arguments[0], limit);
  EXPECT_EQ(offset(message.arguments[0]), static_cast<std::ptrdiff_t>(text.view().find(limit)));
  EXPECT_EQ(offset(message.id), static_cast<std::ptrdiff_t>(text.view().find("7")));
}

TEST(McpMessageTest, ReadsLongTextsAndShortOnesAfter) {
  McpReader reader;
  const std::string escapes(3 * kMaxMcpKeptBytes, '/');
  std::string escaped;
  for (const char c : escapes) (escaped += '\\') += c;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Outcome(reader, Call("{\"name\":\"" + escaped + "\"}")),
              "call 7 tools/call " + escapes);
    EXPECT_EQ(Outcome(reader, Call(R"({"name":"\u0061"})")), "call 7 tools/call a");
  }
}

TEST(McpMessageTest, EveryPrefixIsCutShort) {
  const std::string message = Call(
      R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"x","arguments":)"
      R"({"limit":10,"q":"a \u00e9\ud83d\ude00"}})");
  McpReader reader;
  for (const std::string& text : {message, "[" + message + "," + message + "]"}) {
    ASSERT_THAT(Outcome(reader, text), testing::HasSubstr("call 7 tools/call x limit=10"));
    for (std::size_t size = 0; size < text.size(); ++size) {
      ASSERT_THAT(Outcome(reader, text.substr(0, size)), testing::StartsWith("-32700 null"))
          << text.substr(0, size);
    }
  }
}

}  // namespace
}  // namespace sluicegate::wire
