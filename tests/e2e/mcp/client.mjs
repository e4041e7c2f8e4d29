// The TypeScript SDK's client: --sdk 1 is the package @modelcontextprotocol/sdk, --sdk 2 is
// @modelcontextprotocol/client. Arguments and lines as client_lines.py says. Packages are looked up in
// the working directory.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sdk: { type: "string", default: "2" },
    era: { type: "string", default: "auto" },
    call: { type: "string", multiple: true, default: [] },
    times: { type: "string", default: "1" },
    "at-once": { type: "boolean", default: false },
    seconds: { type: "string", default: "10" },
    header: { type: "string", multiple: true, default: [] },
    ping: { type: "boolean", default: false },
    "no-list": { type: "boolean", default: false },
  },
});
const url = new URL(positionals[0]);
const milliseconds = Number(options.seconds) * 1000;
const headers = Object.fromEntries(options.header.map((line) => line.split(": ", 2)));

const lookUp = createRequire(process.cwd() + "/package.json");
const load = (name) => import(pathToFileURL(lookUp.resolve(name)));

const about = { name: "sluicegate-test", version: "1" };
const capabilities = { elicitation: { form: {} } };
const answer = async () => ({ action: "accept", content: { name: "Ada" } });

async function makeClient() {
  if (options.sdk === "1") {
    const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const { ElicitRequestSchema, McpError } = await load("@modelcontextprotocol/sdk/types.js");
    const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
    const client = new Client(about, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, answer);
    const call = (params, more) => client.callTool(params, undefined, more);
    return { client, transport, call, ProtocolError: McpError };
  }
  const { Client, ProtocolError, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  const mode = { auto: "auto", legacy: "legacy", modern: { pin: "2026-07-28" } }[options.era];
  const client = new Client(about, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", answer);
  const call = (params, more) => client.callTool(params, more);
  return { client, transport, call, ProtocolError };
}

class TimedOut extends Error {}

// The SDK's own time-out, which also cancels the call, comes first; this one is for when it does not come.
function within(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TimedOut()), milliseconds + 2000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const { client, transport, call, ProtocolError } = await makeClient();
client.onerror = () => {}; // What matters comes as a rejection.

async function step(name, act) {
  const started = performance.now();
  const tell = (outcome, more = {}) => {
    const seconds = Math.round(performance.now() - started) / 1000;
    process.stdout.write(JSON.stringify({ step: name, outcome, seconds, ...more }) + "\n");
  };
  try {
    await within(act(tell));
    return true;
  } catch (error) {
    const late = error instanceof TimedOut || /^(MCP error -32001: )?Request timed out/.test(error.message);
    if (late) tell("timed_out");
    else if (error instanceof ProtocolError) {
      tell("protocol_error", { code: error.code, message: error.message, data: error.data });
    } else tell("failed", { type: error.constructor.name, message: error.message, status: error.data?.status ?? error.code });
    return false;
  }
}

const oneCall = (line) =>
  step("call", async (tell) => {
    let progress = 0;
    const [, name, given] = /^(\S+) ?(.*)$/.exec(line);
    const params = { name, arguments: JSON.parse(given || "{}") };
    const result = await call(params, { timeout: milliseconds, onprogress: () => progress++ });
    const text = result.content.map((part) => part.text ?? `[${part.type}]`).join("\n");
    if (result.isError) tell("tool_error", { text, meta: result._meta });
    else tell("ok", { text, structured: result.structuredContent, meta: result._meta, progress });
  });

const connected = await step("connect", async (tell) => {
  await client.connect(transport);
  tell("ok", { version: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion });
});
if (connected) {
  if (options.ping) await step("ping", (tell) => client.ping().then(() => tell("ok")));
  if (!options["no-list"]) {
    await step("list", async (tell) => {
      const { tools } = await client.listTools();
      tell("ok", { tools: tools.map((tool) => tool.name).sort() });
    });
  }
  const calls = Array(Number(options.times)).fill(options.call).flat();
  if (options["at-once"]) await Promise.all(calls.map(oneCall));
  else for (const line of calls) await oneCall(line);
  await within(Promise.resolve(transport.terminateSession?.())).catch(() => {});
}
process.exit(0); // A GET stream or a timer of the SDK must not keep the process.
