"""The server that the conformance suite tests, both eras on /mcp: what the suite's scenarios ask for.

Names, texts and schemas are the suite's (`conformance list`; each scenario describes what it calls).
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import warnings

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from serve import serve

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0"
    b"\0\0\3\1\1\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
).decode()
WAV = base64.b64encode(
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\2\0\0\0\0\0"
).decode()
KEY = secrets.token_bytes(32)  # Signs request states.

bus = InMemorySubscriptionBus()
tools, prompts = {}, {}  # name -> (description of it, what it does)


def text(words):
    return types.TextContent(type="text", text=words)


def result(*content):
    return types.CallToolResult(content=[text(part) if isinstance(part, str) else part for part in content])


def resource(uri, mime_type, words):
    inside = types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return types.EmbeddedResource(type="resource", resource=inside)


def image():
    return types.ImageContent(type="image", data=PNG, mime_type="image/png")


def strings(*names):
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


def tool(name, schema=None):
    def add(act):
        told = types.Tool(name=name, description=name, input_schema=schema or {"type": "object", "properties": {}})
        tools[name] = (told, act)
        return act

    return add


def fixed(name, *content):
    @tool(name)
    async def act(context, params):
        return result(*content)


fixed("test_simple_text", "This is a simple text response for testing.")
fixed("test_image_content", image())
fixed("test_audio_content", types.AudioContent(type="audio", data=WAV, mime_type="audio/wav"))
fixed("test_embedded_resource", resource("test://embedded-resource", "text/plain", "This is an embedded resource content."))
fixed("test_multiple_content_types", "Multiple content types test:", image(),
      resource("test://mixed-content-resource", "application/json", json.dumps({"test": "data", "value": 123})))


@tool("test_error_handling")
async def error_handling(context, params):
    return types.CallToolResult(content=[text("This tool intentionally returns an error for testing")], is_error=True)


@tool("test_tool_with_logging")
async def logging(context, params):
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.session.send_log_message("info", words, related_request_id=context.request_id)
        await asyncio.sleep(0.05)
    return result("logged")


@tool("test_logging_tool")
async def logging_tool(context, params):
    await context.session.send_log_message("info", "logged", related_request_id=context.request_id)
    return result("logged")


@tool("test_tool_with_progress")
async def progress(context, params):
    for at in (0, 50, 100):
        await context.session.report_progress(at, 100)
        await asyncio.sleep(0.05)
    return result("done")


@tool("test_reconnection")
async def reconnection(context, params):
    if context.close_sse_stream:
        await context.close_sse_stream()
    await asyncio.sleep(0.2)
    return result("reconnected")


MIRRORED = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


@tool("test_mirrored_argument", MIRRORED)
async def mirrored_argument(context, params):
    return result((params.arguments or {}).get("region", "nowhere"))


# The session era asks the client back.


@tool("test_sampling", strings("prompt"))
async def sampling(context, params):
    asked = types.SamplingMessage(role="user", content=text(params.arguments["prompt"]))
    answer = await context.session.create_message([asked], max_tokens=100, related_request_id=context.request_id)
    return result(f"LLM response: {answer.content.text}")


async def elicit(context, message, schema):
    answer = await context.session.elicit_form(message, schema, related_request_id=context.request_id)
    content = json.dumps(answer.content)
    return result(f"Elicitation completed: action={answer.action}, content={content}")


@tool("test_elicitation", strings("message"))
async def elicitation(context, params):
    return await elicit(context, params.arguments["message"], strings("username", "email"))


@tool("test_elicitation_sep1034_defaults")
async def elicitation_defaults(context, params):
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicit(context, "defaults", {"type": "object", "properties": properties, "required": []})


@tool("test_elicitation_sep1330_enums")
async def elicitation_enums(context, params):
    values = ["option1", "option2", "option3"]
    titled = [{"const": value, "title": value.title()} for value in values]
    properties = {
        "untitledSingle": {"type": "string", "enum": values},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": values, "enumNames": [value.title() for value in values]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": values}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await elicit(context, "enums", {"type": "object", "properties": properties, "required": []})


# The modern era answers that input is required, and is called again with it.

ASK_NAME = types.ElicitRequest(
    params=types.ElicitRequestFormParams(message="What is your name?", requested_schema=strings("name"))
)
ASK_ROOTS = types.ListRootsRequest()


def ask_model(words, max_tokens=100):
    message = types.SamplingMessage(role="user", content=text(words))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


def ask_form(message, field):
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=strings(field)))


def needs(state=None, **requests):
    signed = state and f"{state}.{signature(state)}"
    return types.InputRequiredResult(input_requests=requests, request_state=signed)


def signature(state):
    return hmac.new(KEY, state.encode(), hashlib.sha256).hexdigest()


def checked_state(params):
    """The state that this server gave, or None. One that it did not give is refused."""
    if params.request_state is None:
        return None
    state, _, signed = params.request_state.rpartition(".")
    if not hmac.compare_digest(signed, signature(state)):
        raise MCPError(-32602, "requestState is not this server's")
    return state


def accepted(params, key, field):
    """What the client put in, or None."""
    answer = (params.input_responses or {}).get(key)
    content = getattr(answer, "content", None)
    return content.get(field) if isinstance(content, dict) else None


@tool("test_input_required_result_elicitation")
async def required_elicitation(context, params):
    name = accepted(params, "user_name", "name")
    return result(f"Hello, {name}!") if name else needs(user_name=ASK_NAME)


@tool("test_streaming_elicitation")
async def streaming_elicitation(context, params):
    await context.session.report_progress(1, 2)
    return await required_elicitation(context, params)


@tool("test_input_required_result_sampling")
async def required_sampling(context, params):
    answer = (params.input_responses or {}).get("capital_question")
    return result(answer.content.text) if answer else needs(capital_question=ask_model("What is the capital of France?"))


@tool("test_input_required_result_list_roots")
async def required_roots(context, params):
    answer = (params.input_responses or {}).get("client_roots")
    return result(", ".join(str(root.uri) for root in answer.roots)) if answer else needs(client_roots=ASK_ROOTS)


@tool("test_input_required_result_request_state")
async def required_state(context, params):
    if checked_state(params) and params.input_responses:
        return result("state-ok")
    return needs("asked", confirm=ask_form("Please confirm", "ok"))


@tool("test_input_required_result_tampered_state")
async def required_tampered(context, params):
    return await required_state(context, params)


@tool("test_input_required_result_multiple_inputs")
async def required_several(context, params):
    wanted = {"user_name": ASK_NAME, "greeting": ask_model("Generate a greeting", 50), "client_roots": ASK_ROOTS}
    if checked_state(params) and wanted.keys() <= (params.input_responses or {}).keys():
        return result("all of it")
    return needs("asked", **wanted)


@tool("test_input_required_result_multi_round")
async def required_rounds(context, params):
    state = checked_state(params)
    if state == "two" and accepted(params, "step2", "color"):
        return result("both rounds")
    if state == "one" and accepted(params, "step1", "name"):
        return needs("two", step2=ask_form("Step 2: What is your favorite color?", "color"))
    return needs("one", step1=ask_form("Step 1: What is your name?", "name"))


@tool("test_input_required_result_capabilities")
async def required_capabilities(context, params):
    declared = context.session.client_capabilities
    wanted = {}
    if declared and declared.sampling is not None:
        wanted["question"] = ask_model("?")
    if declared and declared.elicitation is not None:
        wanted["user_name"] = ASK_NAME
    return needs(**wanted) if wanted else result("nothing to ask with")


@tool("test_missing_capability")
async def missing_capability(context, params):
    declared = context.session.client_capabilities
    if not declared or declared.sampling is None:
        raise MCPError(-32021, "sampling is needed", {"requiredCapabilities": {"sampling": {}}})
    return result("declared")


@tool("test_trigger_tool_change")
async def tool_change(context, params):
    await bus.publish(ToolsListChanged())
    return result("changed")


@tool("test_trigger_prompt_change")
async def prompt_change(context, params):
    await bus.publish(PromptsListChanged())
    return result("changed")


# Prompts.


def prompt(name, *arguments):
    def add(act):
        named = [types.PromptArgument(name=argument, required=True) for argument in arguments]
        prompts[name] = (types.Prompt(name=name, description=name, arguments=named), act)
        return act

    return add


def said(*content):
    parts = [text(part) if isinstance(part, str) else part for part in content]
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=part) for part in parts])


@prompt("test_simple_prompt")
def simple_prompt(params):
    return said("This is a simple prompt for testing.")


@prompt("test_prompt_with_arguments", "arg1", "arg2")
def prompt_with_arguments(params):
    given = params.arguments
    return said(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")


@prompt("test_prompt_with_embedded_resource", "resourceUri")
def prompt_with_resource(params):
    inside = resource(params.arguments["resourceUri"], "text/plain", "Embedded resource content for testing.")
    return said(inside, "Please process the embedded resource above.")


@prompt("test_prompt_with_image")
def prompt_with_image(params):
    return said(image(), "Please analyze the image above.")


@prompt("test_input_required_result_prompt")
def prompt_with_input(params):
    context = accepted(params, "user_context", "context")
    ask = ask_form("What context should the prompt use?", "context")
    return said(context) if context else needs(user_context=ask)


# The protocol's handlers.


async def list_tools(context, params):
    return types.ListToolsResult(tools=[told for told, _ in tools.values()])


async def call_tool(context, params):
    if params.name not in tools:
        raise MCPError(-32602, f"there is no tool {params.name}")
    return await tools[params.name][1](context, params)


async def list_prompts(context, params):
    return types.ListPromptsResult(prompts=[told for told, _ in prompts.values()])


async def get_prompt(context, params):
    if params.name not in prompts:
        raise MCPError(-32602, f"there is no prompt {params.name}")
    return prompts[params.name][1](params)


async def list_resources(context, params):
    named = [("static-text", "text/plain"), ("static-binary", "image/png"), ("watched-resource", "text/plain")]
    listed = [types.Resource(name=name, uri=f"test://{name}", mime_type=mime) for name, mime in named]
    return types.ListResourcesResult(resources=listed)


async def list_templates(context, params):
    template = types.ResourceTemplate(name="template", uri_template="test://template/{id}/data", mime_type="application/json")
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(context, params):
    uri = str(params.uri)
    if uri == "test://static-binary":
        inside = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    elif uri == "test://static-text":
        words = "This is the content of the static text resource."
        inside = types.TextResourceContents(uri=uri, mime_type="text/plain", text=words)
    elif uri == "test://watched-resource":
        inside = types.TextResourceContents(uri=uri, mime_type="text/plain", text="watched")
    elif found := re.fullmatch("test://template/(.*)/data", uri):
        told = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        inside = types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(told))
    else:
        raise MCPError(-32602, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[inside])


async def complete(context, params):
    return types.CompleteResult(completion=types.Completion(values=["paris", "park"], total=2, has_more=False))


async def accept(context, params):
    return types.EmptyResult()


class Events(EventStore):
    """What a reader that comes back with Last-Event-ID missed. The suite's runs are short."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events) - 1)

    async def replay_events_after(self, last_event_id, send_callback):
        stream = self.events[int(last_event_id)][0]
        for number in range(int(last_event_id) + 1, len(self.events)):
            stream_id, message = self.events[number]
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


warnings.simplefilter("ignore")  # The session era's handlers are called deprecated.
cacheable = ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"]
server = Server(
    "sluicegate-conformance",
    version="1",
    cache_hints=dict.fromkeys(cacheable, CacheHint(ttl_ms=1000)),
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read_resource,
    on_subscribe_resource=accept,
    on_unsubscribe_resource=accept,
    on_subscriptions_listen=ListenHandler(bus),
    on_completion=complete,
    on_set_logging_level=accept,
)
serve(server.streamable_http_app(event_store=Events(), retry_interval=100))
