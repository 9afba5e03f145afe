// The built-in templates. chat_test.cc compares them with the published ones.
#include "text/chat.h"

namespace tack::chat {
namespace {

constexpr std::string_view kLlama3 = R"jinja({{- bos_token }}
{%- if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}
{%- set system = '' %}
{%- if messages and messages[0].role == 'system' %}
  {%- set system = messages[0].content | trim %}
  {%- set messages = messages[1:] %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
{%- if tools %}{{ 'Environment: ipython\n' }}{% endif %}
{{- 'Cutting Knowledge Date: December 2023\nToday Date: ' + date_string + '\n\n' }}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
  {%- set role = 'ipython' if message.role == 'tool' else message.role %}
  {{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' }}
  {%- if tools and loop.first %}
    {{- 'Given the following functions, please respond with a JSON for a function call ' }}
    {{- 'with its proper arguments that best answers the given prompt.\n\n' }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- 'Do not use variables.\n\n' }}
    {%- for tool in tools %}{{ (tool | tojson(indent=4)) + '\n\n' }}{% endfor %}
  {%- endif %}
  {%- if message.tool_calls %}
    {%- for call in message.tool_calls %}
      {{- '{"name": "' + call.function.name + '", "parameters": ' + (call.function.arguments | tojson) + '}' }}
      {%- if not loop.last %}{{ '; ' }}{% endif %}
    {%- endfor %}
  {%- elif message.role == 'tool' %}
    {{- message.content | tojson }}
  {%- else %}
    {{- message.content | trim }}
  {%- endif %}
  {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}
)jinja";

constexpr std::string_view kGemma = R"jinja({{- bos_token }}
{%- set system = '' %}
{%- if messages and messages[0].role == 'system' %}
  {%- set system = messages[0].content + '\n\n' %}
  {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
  {%- set role = 'model' if message.role == 'assistant' else message.role %}
  {{- '<start_of_turn>' + role + '\n' }}
  {%- if loop.first %}{{ system }}{% endif %}
  {{- (message.content | trim) + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}
)jinja";

constexpr std::string_view kMistral = R"jinja({{- bos_token }}
{%- set system = '' %}
{%- if messages and messages[0].role == 'system' %}
  {%- set system = messages[0].content + '\n\n' %}
  {%- set messages = messages[1:] %}
{%- endif %}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for message in messages %}
  {%- if message.role == 'user' %}
    {%- if tools and message == users[-1] %}
      {{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}
    {%- endif %}
    {{- '[INST]' + (system if loop.last else '') + message.content + '[/INST]' }}
  {%- elif message.tool_calls %}
    {{- '[TOOL_CALLS][' }}
    {%- for call in message.tool_calls %}
      {{- (call.function | tojson)[:-1] }}
      {%- if call.id %}{{ ', "id": "' + call.id[-9:] + '"' }}{% endif %}
      {{- '}' if loop.last else '}, ' }}
    {%- endfor %}
    {{- ']' + eos_token }}
  {%- elif message.role == 'assistant' %}
    {{- message.content + eos_token }}
  {%- elif message.role == 'tool' %}
    {{- '[TOOL_RESULTS]{"content": ' + message.content }}
    {%- if message.tool_call_id %}{{ ', "call_id": "' + message.tool_call_id[-9:] + '"' }}{% endif %}
    {{- '}[/TOOL_RESULTS]' }}
  {%- endif %}
{%- endfor %}
)jinja";

constexpr std::string_view kMinistral = R"jinja({{- bos_token }}
{%- if messages and messages[0].role == 'system' %}
  {{- '[SYSTEM_PROMPT]' + messages[0].content + '[/SYSTEM_PROMPT]' }}
  {%- set messages = messages[1:] %}
{%- endif %}
{%- if tools %}{{ '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}
{%- for message in messages %}
  {%- if message.role == 'user' %}
    {{- '[INST]' + message.content + '[/INST]' }}
  {%- elif message.role == 'assistant' %}
    {{- message.content or '' }}
    {%- for call in message.tool_calls or [] %}
      {{- '[TOOL_CALLS]' + call.function.name + '[ARGS]' + (call.function.arguments | tojson) }}
    {%- endfor %}
    {{- eos_token }}
  {%- elif message.role == 'tool' %}
    {{- '[TOOL_RESULTS]' + message.content + '[/TOOL_RESULTS]' }}
  {%- endif %}
{%- endfor %}
)jinja";

constexpr std::string_view kChatml = R"jinja(
{%- set system = none %}
{%- if messages and messages[0].role == 'system' %}
  {%- set system = messages[0].content %}
  {%- set messages = messages[1:] %}
{%- endif %}
{%- if tools %}
  {{- '<|im_start|>system\n' }}
  {%- if system %}{{ system + '\n\n' }}{% endif %}
  {{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\n' }}
  {{- 'You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n' }}
  {%- for tool in tools %}{{ (tool | tojson) + '\n' }}{% endfor %}
  {{- '</tools>\n\nFor each function call, return a json object with function name and arguments ' }}
  {{- 'within <tool_call></tool_call> XML tags:\n<tool_call>\n' }}
  {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}
{%- elif system is not none %}
  {{- '<|im_start|>system\n' + system + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
  {%- if message.role == 'tool' %}
    {%- if not (loop.previtem and loop.previtem.role == 'tool') %}{{ '<|im_start|>user' }}{% endif %}
    {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
    {%- if not (loop.nextitem and loop.nextitem.role == 'tool') %}{{ '<|im_end|>\n' }}{% endif %}
  {%- else %}
    {{- '<|im_start|>' + message.role }}
    {%- if message.content or not message.tool_calls %}{{ '\n' + message.content }}{% endif %}
    {%- for call in message.tool_calls or [] %}
      {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
      {{- (call.function.arguments | tojson) + '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
)jinja";

}  // namespace

Family family_of(std::string_view architecture,
                 const std::function<bool(std::string_view token)>& has_token) {
  if (has_token("<|im_start|>")) return Family::kChatml;
  if (has_token("<|start_header_id|>")) return Family::kLlama3;
  if (has_token("<start_of_turn>")) return Family::kGemma;
  if (has_token("[SYSTEM_PROMPT]")) return Family::kMinistral;
  if (has_token("[INST]")) return Family::kMistral;
  if (architecture == "gemma3") return Family::kGemma;
  if (architecture == "ministral3" || architecture == "mistral3") return Family::kMinistral;
  return Family::kChatml;
}

std::string_view built_in_template(Family family) {
  switch (family) {
    case Family::kLlama3:
      return kLlama3;
    case Family::kGemma:
      return kGemma;
    case Family::kMistral:
      return kMistral;
    case Family::kMinistral:
      return kMinistral;
    case Family::kChatml:
      break;
  }
  return kChatml;
}

}  // namespace tack::chat
