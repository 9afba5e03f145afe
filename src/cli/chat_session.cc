#include "cli/chat_session.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include <editline/readline.h>
#include <fmt/format.h>

#include "base/interrupt.h"
#include "cli/lines.h"

namespace tack {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kHelp =
    "/clear              forget the conversation\n"
    "/system [TEXT]      show or set the system message (forgets the conversation)\n"
    "/set [NAME VALUE]   show or set temperature, top_k, top_p, min_p, repetition_penalty, seed,\n"
    "                    max_tokens\n"
    "/stats              how fast the last answer was\n"
    "/bye                leave (also Ctrl-D)\n"
    "\"\"\"                 begins and ends a text of several lines; so does \\ at a line's end\n"
    "Ctrl-C              stops an answer\n";

// A line without its end; nullopt at the end of input. Keeps what was typed for the arrow keys.
std::optional<std::string> read_line(const char* prompt) {
  char* const line = ::readline(prompt);
  if (line == nullptr) return std::nullopt;
  std::string text(line);
  if (!text.empty()) ::add_history(line);
  std::free(line);
  return text;
}

// What the user says: a line, or several.
std::optional<std::string> read_message() {
  constexpr std::string_view kFence = "\"\"\"";
  auto line = read_line(">>> ");
  if (!line) return std::nullopt;
  if (line->starts_with(kFence)) {
    std::string text = line->substr(kFence.size());
    while (!text.ends_with(kFence)) {
      const auto more = read_line("... ");
      if (!more) return text;
      text += "\n" + *more;
    }
    return text.substr(0, text.size() - kFence.size());
  }
  while (line->ends_with('\\')) {
    line->back() = '\n';
    const auto more = read_line("... ");
    if (!more) break;
    *line += *more;
  }
  return line;
}

template <class T>
bool parse(std::string_view text, T& to) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  to = value;
  return true;
}

class Chat {
 public:
  Chat(Generator& generator, const ChatFormat& format, GenerationSettings settings,
       std::string system)
      : generator_(generator),
        format_(format),
        settings_(std::move(settings)),
        system_(std::move(system)) {
    clear();
  }

  Status run() {
    fmt::print(stderr, "{}; /help for help\n", generator_.model().name());
    while (const auto said = read_message()) {
      if (said->empty()) continue;
      if (said->starts_with('/')) {
        if (*said == "/bye" || *said == "/exit" || *said == "/quit") return {};
        command(*said);
        continue;
      }
      TACK_RETURN_IF_ERROR(answer(*said));
    }
    fmt::print("\n");
    return {};
  }

 private:
  void clear() {
    messages_.clear();
    if (!system_.empty()) messages_.push_back({.role = "system", .content = system_});
  }

  // Problems of one turn are said, and the conversation goes on without it.
  Status answer(const std::string& said) {
    messages_.push_back({.role = "user", .content = said});
    auto prompt = format_.prompt(messages_);
    if (!prompt) return drop_turn(prompt.error());
    auto written = write_answer(generator_, *std::move(prompt), settings_, print_text);
    if (!written) return drop_turn(written.error());
    fmt::print("\n");
    if (written->end.reason == FinishReason::kLength)
      fmt::print(stderr, "(cut: {})\n",
                 written->end.output_tokens == settings_.max_tokens
                     ? "max_tokens is reached"
                     : "the context is full; /clear begins a new one");
    messages_.push_back({.role = "assistant", .content = written->text});
    last_ = describe(*written);
    ++settings_.sampling.seed;
    return {};
  }
  Status drop_turn(const Error& error) {
    messages_.pop_back();
    fmt::print(stderr, "{}{}\n", error.message,
               error.code == ErrorCode::kUsage ? " (/clear begins a new conversation)" : "");
    return error.code == ErrorCode::kUsage ? Status{} : std::unexpected(error);
  }
  void command(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string rest = space == line.npos ? "" : line.substr(space + 1);
    if (name == "/help") {
      fmt::print("{}", kHelp);
    } else if (name == "/clear") {
      clear();
    } else if (name == "/stats") {
      fmt::print("{}\n", last_.empty() ? "nothing was answered yet" : last_);
    } else if (name == "/system") {
      if (rest.empty()) {
        fmt::print("{}\n", system_.empty() ? "none" : system_);
        return;
      }
      system_ = rest;
      clear();
    } else if (name == "/set") {
      set(rest);
    } else {
      fmt::print("{} is no command; /help lists them\n", name);
    }
  }

  void set(const std::string& rest) {
    SamplingOptions& s = settings_.sampling;
    const std::size_t space = rest.find(' ');
    const std::string name = rest.substr(0, space);
    const std::string value = space == rest.npos ? "" : rest.substr(space + 1);
    if (name.empty()) {
      fmt::print(
          "temperature {}, top_k {}, top_p {}, min_p {}, repetition_penalty {}, seed {}, "
          "max_tokens {}\n",
          s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty, s.seed,
          settings_.max_tokens);
      return;
    }
    const GenerationSettings before = settings_;
    const bool known = (name == "temperature" && parse(value, s.temperature)) ||
                       (name == "top_k" && parse(value, s.top_k)) ||
                       (name == "top_p" && parse(value, s.top_p)) ||
                       (name == "min_p" && parse(value, s.min_p)) ||
                       (name == "repetition_penalty" && parse(value, s.repetition_penalty)) ||
                       (name == "seed" && parse(value, s.seed)) ||
                       (name == "max_tokens" && parse(value, settings_.max_tokens));
    if (!known) {
      fmt::print("'{}' and '{}' are no setting and its value; /help lists them\n", name, value);
      return;
    }
    const auto valid = Sampler::create(s, generator_.decoder().vocab_size());
    if (valid && settings_.max_tokens >= -1) return;
    fmt::print("{}\n", valid ? "max_tokens: -1 (no limit) or more" : valid.error().message);
    settings_ = before;
  }

  Generator& generator_;
  const ChatFormat& format_;
  GenerationSettings settings_;
  std::string system_, last_;
  std::vector<chat::Message> messages_;
};

}  // namespace

Result<Written> write_answer(Generator& generator, std::vector<TokenId> prompt,
                             const GenerationSettings& settings,
                             const std::function<Status(std::string_view)>& on_text) {
  TACK_TRY(const GenerationId id, generator.add({.prompt = std::move(prompt),
                                                 .max_tokens = settings.max_tokens,
                                                 .sampling = settings.sampling,
                                                 .stops = settings.stops,
                                                 .form = settings.form}));
  Written written;
  const auto start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  while (!generator.idle()) {
    if (interrupted()) {
      generator.cancel(id);
      clear_interrupt();
      written.interrupted = true;
      break;
    }
    for (const GenerationUpdate& update : generator.step()) {
      if (written.prompt_seconds == 0) written.prompt_seconds = seconds();
      written.text += update.text;
      if (!update.text.empty()) TACK_RETURN_IF_ERROR(on_text(update.text));
      if (!update.end) continue;
      written.end = *update.end;
      if (update.end->error) return std::unexpected(*update.end->error);
    }
  }
  written.output_seconds = seconds() - written.prompt_seconds;
  return written;
}

std::string describe(const Written& written) {
  const GenerationEnd& end = written.end;
  const auto rate = [](std::int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  return fmt::format("{} tokens of prompt ({} known), {:.1f}/s; {} tokens, {:.1f}/s",
                     end.prompt_tokens, end.reused_tokens,
                     rate(end.prompt_tokens - end.reused_tokens, written.prompt_seconds),
                     end.output_tokens, rate(end.output_tokens - 1, written.output_seconds));
}

Status converse(Generator& generator, const ChatFormat& format, GenerationSettings settings,
                const std::string& system) {
  return Chat(generator, format, std::move(settings), system).run();
}

}  // namespace tack
