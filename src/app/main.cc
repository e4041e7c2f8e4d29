// The program: reads the command line and hands over to the command.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "app/complain.h"
#include "app/options.h"
#include "app/version.h"
#include "policy/words.h"

namespace sluicegate::app {
namespace {

constexpr unsigned kMaxThreads = 256;

using Command = std::function<int()>;

/// An empty word is a shell variable that was not set: never a wish for the default.
const CLI::Validator kSomething(
    [](const std::string& text) {
      return std::string(text.empty() ? "it is empty. Write a path, or leave the flag out." : "");
    },
    "", "something");

/// No file of the program's gets the number of a standard stream that whoever started it left
/// closed: what is printed there would go into it.
void OpenStandardStreams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    // The lowest number that is free: those before it are open.
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

/// The command's status, or 1 if what it printed could not be written: an API key that is shown
/// once must not vanish with status 0.
int Flushed(int status) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  Complain("sluicegate: standard output cannot be written: {}. Check the disk.\n",
           errno == 0 ? "it failed before" : std::strerror(errno));
  return status == 0 ? 1 : status;
}

void AddServeFlags(CLI::App& command, ServeOptions& options) {
  command
      .add_option("--upstream", options.upstream,
                  "The server to protect, http://HOST:PORT, https://HOST:PORT or unix:/PATH")
      ->type_name("URL")
      ->take_last();
  command
      .add_option("--listen", options.listen,
                  "Where clients connect (port 0: the system chooses one)")
      ->type_name("HOST:PORT")
      ->take_last();
  command
      .add_option("--admin", options.admin,
                  "Where /metrics, /healthz, /readyz and /api/v1 are; or off")
      ->type_name("HOST:PORT|off")
      ->take_last();
  command.add_option("--threads", options.threads, "Event loops (default: one a processor)")
      ->type_name("N")
      ->check(CLI::Range(1U, kMaxThreads));
  command
      .add_option("--port-file", options.port_file,
                  "Write the addresses in use to this file, once all doors are open")
      ->type_name("FILE")
      ->check(kSomething);
  command.add_option("--log-level", options.log_level, "How much to log on standard error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
}

void AddGateway(CLI::App& app, ServeOptions& options, Command& chosen) {
  CLI::App* const command =
      app.add_subcommand("gateway", "Protect an HTTP server: limit what its clients send");
  command->add_option("--config", options.config, "The policy file (default: the built-in policy)")
      ->type_name("FILE")
      ->check(kSomething);
  AddServeFlags(*command, options);
  command->footer(
      "A flag wins over the file, also when the file is read again (SIGHUP). Without an upstream "
      "a\n"
      "small demo server is started and protected, so that there is something to try.\n\n"
      "Examples:\n"
      "  sluicegate gateway\n"
      "  sluicegate gateway --upstream http://127.0.0.1:8000\n"
      "  sluicegate gateway --config sluicegate.yaml --listen 0.0.0.0:80\n\n"
      "Signals: SIGHUP reads the file again; SIGUSR2 starts the program anew in this one's place;\n"
      "SIGTERM and SIGINT finish what is in flight and stop, a second one stops at once.\n"
      "Exit status 0: stopped by a signal; 1: it could not start; 2: these flags make no sense.");
  command->callback([&options, &chosen] {
    options.defaults = true;
    chosen = [&options] { return Serve(options); };
  });
}

void AddRun(CLI::App& app, ServeOptions& options, Command& chosen) {
  CLI::App* const command = app.add_subcommand("run", "Open the doors that a policy file names");
  command->add_option("--config", options.config, "The policy file")->type_name("FILE")->required();
  AddServeFlags(*command, options);
  command->footer(
      "A door that the file does not name under 'listen:' is not opened. Signals and exit status\n"
      "are those of 'sluicegate gateway'.\n\n"
      "Example:\n"
      "  sluicegate run --config /etc/sluicegate.yaml");
  command->callback([&options, &chosen] { chosen = [&options] { return Serve(options); }; });
}

void AddCheck(CLI::App& app, std::string& file, Command& chosen) {
  CLI::App* const command = app.add_subcommand("check",
                                               "Tell every mistake of a policy file, or else of "
                                               "the files that it names, and what it can hold");
  command->add_option("FILE", file, "The policy file; - reads standard input")->required();
  command->footer(
      "Nothing is opened, made or looked up. Run it as the user who starts the program.\n"
      "Exit status 0: it is good (warnings and notes may be told); 1: it has mistakes.\n\n"
      "Example:\n"
      "  sluicegate check sluicegate.yaml");
  command->callback([&file, &chosen] { chosen = [&file] { return Check(file); }; });
}

void AddExplain(CLI::App& app, ExplainOptions& options, Command& chosen) {
  CLI::App* const command = app.add_subcommand("explain",
                                               "Which rules a request meets, and what would be "
                                               "decided: on the counters of the policy's state "
                                               "file if it is there, else on fresh ones");
  command
      ->add_option("--config", options.config,
                   "The policy file; - reads standard input (default: the built-in policy)")
      ->type_name("FILE");
  command->add_option("--client", options.client, "The client's address")
      ->type_name("ADDRESS")
      ->required();
  command->add_option("--user", options.user, "A verified user")->type_name("NAME");
  command->add_option("--api-key", options.api_key, "The id of a verified API key (not the key)")
      ->type_name("ID");
  command->add_option("--host", options.host, "The host asked for")->type_name("HOST");
  command->add_option("--header", options.headers, "A field of the request; may be repeated")
      ->type_name("NAME:VALUE")
      ->allow_extra_args(false);
  command->add_option("--tool", options.mcp_tool, "The tool of MCP that the body calls")
      ->type_name("NAME");
  command
      ->add_option("--mcp-method", options.mcp_method,
                   "The method of MCP that the body names (default with --tool: tools/call)")
      ->type_name("METHOD");
  command->add_option("METHOD", options.method, "GET, POST, ...")->required();
  command->add_option("TARGET", options.target, "The path, as a client would send it")->required();
  command->footer(
      "Exit status 0: told; 1: the policy has mistakes, or the gateway would refuse such a "
      "request;\n"
      "2: these words make no sense.\n\n"
      "Examples:\n"
      "  sluicegate explain --client 203.0.113.7 GET /search\n"
      "  sluicegate explain --config sluicegate.yaml --client 2001:db8::1 --user acme POST "
      "/orders\n"
      "  sluicegate explain --client 203.0.113.7 --tool search POST /mcp");
  command->callback([&options, &chosen] { chosen = [&options] { return Explain(options); }; });
}

void AddDescribe(CLI::App& app, DescribeOptions& options, Command& chosen) {
  CLI::App* const command =
      app.add_subcommand("describe", "The limits in words, for those who call the API");
  command->add_option("--config", options.config, "The policy file (default: the built-in policy)")
      ->type_name("FILE");
  command->add_option("--format", options.format, "How to write it")
      ->check(CLI::IsMember({"markdown", "json"}))
      ->capture_default_str();
  command->footer(
      "Example:\n"
      "  sluicegate describe --config sluicegate.yaml > limits.md");
  command->callback([&options, &chosen] { chosen = [&options] { return Describe(options); }; });
}

void AddState(CLI::App& app, std::string& file, Command& chosen) {
  CLI::App* const command =
      app.add_subcommand("state", "What is in a state file: processes, time and tables");
  command->add_option("FILE", file, "The state file")->required()->check(kSomething);
  command->footer(
      "It only looks: the file stays as it is, and whoever uses it goes on. A region is a table\n"
      "of one rule; one that is left behind was another policy's.\n\n"
      "Exit status 0: it is a state file; 1: it is none, or cannot be read.\n\n"
      "Example:\n"
      "  sluicegate state /var/lib/sluicegate/state");
  command->callback([&file, &chosen] { chosen = [&file] { return State(file); }; });
}

void AddApiKey(CLI::App& app, std::string& id, Command& chosen) {
  CLI::App* const command =
      app.add_subcommand("api-key", "Make an API key: shows it once, and the line to keep");
  command->add_option("ID", id, "Who gets the key; rules and logs call them so")->required();
  command->footer(
      "Example:\n"
      "  sluicegate api-key acme-mobile");
  command->callback([&id, &chosen] { chosen = [&id] { return MakeApiKey(id); }; });
}

void AddMcpStdio(CLI::App& app, McpStdioOptions& options, Command& chosen) {
  CLI::App* const command = app.add_subcommand(
      "mcp-stdio",
      "Protect an MCP server on standard input and output: limit what its client sends");
  command->add_option("--config", options.config, "The policy file (default: the built-in policy)")
      ->type_name("FILE")
      ->check(kSomething);
  command->add_flag("--stats", options.statistics,
                    "At the end, tell on standard error how often each tool was called and denied");
  command
      ->add_option("--log-level", options.log_level,
                   "How much to log on standard error; info: denials as well")
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  command->footer(
      "Write the server's command behind two dashes: sluicegate mcp-stdio [OPTIONS] -- COMMAND "
      "ARGS...\n\n"
      "Examples:\n"
      "  sluicegate mcp-stdio -- uvx some-server\n"
      "  sluicegate mcp-stdio --config sluicegate.yaml -- npx -y some-server /data\n\n"
      "For Claude Desktop and its like, in \"mcpServers\", with whole paths:\n"
      "  \"some-server\": {\n"
      "    \"command\": \"/usr/local/bin/sluicegate\",\n"
      "    \"args\": [\"mcp-stdio\", \"--config\", \"/etc/sluicegate.yaml\", \"--\", \"uvx\", "
      "\"some-server\"]\n"
      "  }\n\n"
      "All that comes over the pipe is one client. Several servers count together if their policy\n"
      "names a state file. Signals go to the server, also SIGHUP: a changed policy holds from the\n"
      "next start on. Exit status: the server's; 127 or 126 if it cannot be started.");
  command->allow_extras();  // They are told of in the words of this command.
  command->callback([&options, &chosen, command] {
    options.unknown = command->remaining();
    chosen = [&options] { return McpStdio(options); };
  });
}

/// Of `mcp-stdio`, which takes what is behind the first "--" as it stands: gives that to `command`
/// and hands back how many words are before it.
int CutCommand(int argc, char** argv, std::vector<std::string>& command) {
  if (argc < 2 || std::string_view(argv[1]) != "mcp-stdio") return argc;
  char** const end = argv + argc;
  char** const dashes =
      std::find_if(argv, end, [](const char* word) { return std::string_view(word) == "--"; });
  if (dashes != end) command.assign(dashes + 1, end);
  return static_cast<int>(dashes - argv);
}

/// What to say where the first word is none of the commands; nothing: it is one, or an option.
std::optional<std::string> UnknownCommand(const CLI::App& app, std::string_view word) {
  std::vector<std::string> names;
  for (const CLI::App* const command : app.get_subcommands({}))
    names.push_back(command->get_name());
  if (word.starts_with('-') || std::ranges::find(names, word) != names.end()) return std::nullopt;
  const std::vector<std::string_view> known(names.begin(), names.end());
  return fmt::format("{} is no command. {}", policy::Quoted(word), policy::Suggest(word, known));
}

int Run(int argc, char** argv) {
  CLI::App app("Sluicegate: rate limiting and DDoS protection for HTTP APIs and MCP servers",
               "sluicegate");
  app.set_version_flag("--version", fmt::format("sluicegate {}", kVersion));
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  sluicegate gateway                                     try it, with a demo server\n"
      "  sluicegate gateway --upstream http://127.0.0.1:8000    protect a server\n"
      "  sluicegate mcp-stdio -- uvx some-server                protect an MCP server on a pipe\n"
      "  sluicegate check sluicegate.yaml                       is this policy file good?\n"
      "  sluicegate explain --client 203.0.113.7 GET /search    what would be decided?\n\n"
      "'sluicegate COMMAND --help' tells more.");
  ServeOptions serve{.invocation = handover::Invocation::Of(argc, argv)};
  ExplainOptions explain;
  DescribeOptions describe;
  McpStdioOptions mcp_stdio;
  std::string argument;
  Command chosen;
  AddGateway(app, serve, chosen);
  AddRun(app, serve, chosen);
  AddCheck(app, argument, chosen);
  AddExplain(app, explain, chosen);
  AddDescribe(app, describe, chosen);
  AddState(app, argument, chosen);
  AddApiKey(app, argument, chosen);
  AddMcpStdio(app, mcp_stdio, chosen);
  if (argc < 2) {
    Complain("{}", app.help());
    return kUsage;
  }
  try {
    app.parse(CutCommand(argc, argv, mcp_stdio.command), argv);
  } catch (const CLI::ParseError& error) {
    if (const auto said = UnknownCommand(app, argv[1])) {
      Complain("sluicegate: {}\nRun with --help for more information.\n", *said);
      return kUsage;
    }
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return Flushed(chosen());
}

}  // namespace
}  // namespace sluicegate::app

int main(int argc, char** argv) {
  sluicegate::app::OpenStandardStreams();
  try {
    return sluicegate::app::Run(argc, argv);
  } catch (const std::exception& error) {
    sluicegate::app::Complain("sluicegate: {}\n", error.what());
    return 1;
  }
}
