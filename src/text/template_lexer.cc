#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "text/template_syntax.h"

namespace tack::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}
bool is_blank(char c) {
  return c == ' ' || (c >= 9 && c <= 13);
}

std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)), rest_(source_) {}

  std::vector<Token> run() {
    while (!rest_.empty()) {
      const std::size_t at = next_tag();
      if (at == rest_.npos) {
        add_text(rest_);
        rest_ = {};
        break;
      }
      tag(at);
    }
    push(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail_here(std::string_view what) {
    stop(fmt::format("line {}: {}", line_, what));
  }
  void push(Token::Kind kind, std::string_view text) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = text;
    tokens_.push_back(std::move(token));
  }
  void add_text(std::string_view text) {
    if (!text.empty()) push(Token::Kind::kText, text);
  }
  void advance(std::size_t n) {
    line_ +=
        static_cast<int>(std::count(rest_.begin(), rest_.begin() + static_cast<long>(n), '\n'));
    rest_.remove_prefix(n);
  }
  std::size_t next_tag() const {
    for (std::size_t i = 0; i + 1 < rest_.size(); ++i)
      if (rest_[i] == '{' && (rest_[i + 1] == '%' || rest_[i + 1] == '{' || rest_[i + 1] == '#'))
        return i;
    return rest_.npos;
  }

  void tag(std::size_t at) {
    std::string_view text = rest_.substr(0, at);
    const char type = rest_[at + 1];
    const char sign = at + 2 < rest_.size() ? rest_[at + 2] : ' ';
    if (sign == '-') {
      text = strip(text, false, true);
    } else if (sign != '+' && type != '{') {  // lstrip_blocks
      const std::size_t newline = text.rfind('\n');
      const std::string_view start = newline == text.npos ? text : text.substr(newline + 1);
      if ((newline != text.npos || line_start_) && strip(start, true, false).empty())
        text.remove_suffix(start.size());
    }
    add_text(text);
    advance(at + (sign == '-' || sign == '+' ? 3 : 2));
    line_start_ = false;
    if (type == '#')
      comment();
    else if (type == '{')
      expression(Token::Kind::kPrint, Token::Kind::kPrintEnd, "}}");
    else
      expression(Token::Kind::kBlock, Token::Kind::kBlockEnd, "%}");
  }

  void skip_blank() {
    std::size_t n = 0;
    while (n < rest_.size()) {
      const std::size_t bytes = char_bytes(rest_, n);
      if (!is_space(rest_.substr(n, bytes))) break;
      n += bytes;
    }
    line_start_ = n > 0 && rest_[n - 1] == '\n';
    advance(n);
  }
  // After the end of a block or comment: trim_blocks.
  void skip_newline() {
    if (rest_.starts_with('\n')) {
      advance(1);
      line_start_ = true;
    }
  }

  void comment() {
    if (rest_.empty()) return;  // as Jinja2, which forgives this one
    const std::size_t end = rest_.find("#}");
    if (end == rest_.npos) fail_here("a comment has no end");
    const char sign = end > 0 ? rest_[end - 1] : ' ';
    advance(end + 2);
    if (sign == '-')
      skip_blank();
    else if (sign != '+')
      skip_newline();
  }

  void expression(Token::Kind begin, Token::Kind end, std::string_view closing) {
    push(begin, "");
    std::string open;  // brackets
    for (;;) {
      while (!rest_.empty() && is_blank(rest_.front())) advance(1);
      if (rest_.empty()) fail_here("a tag has no end");
      if (open.empty() && at_end(closing)) break;
      one_token(open);
    }
    push(end, "");
    const char sign = rest_.front();
    const bool signed_end = sign == '-' || sign == '+';
    advance(signed_end ? 3 : 2);
    if (sign == '-')
      skip_blank();
    else if (sign != '+' && closing == "%}")
      skip_newline();
  }
  bool at_end(std::string_view closing) const {
    if (rest_.starts_with(closing)) return true;
    if (rest_[0] != '-' && !(rest_[0] == '+' && closing == "%}")) return false;
    return rest_.substr(1).starts_with(closing);
  }

  void one_token(std::string& open) {
    const char c = rest_.front();
    if (c == '\'' || c == '"') return string();
    if (is_digit(c)) return number();
    if (starts_name(c)) {
      std::size_t n = 1;
      while (n < rest_.size() && (starts_name(rest_[n]) || is_digit(rest_[n]))) ++n;
      push(Token::Kind::kName, rest_.substr(0, n));
      return advance(n);
    }
    for (std::string_view two : {"//", "==", "!=", ">=", "<="})
      if (rest_.starts_with(two)) {
        push(Token::Kind::kOperator, two);
        return advance(2);
      }
    if (std::string_view("+-*/%~[](){}<>=.:|,").find(c) == std::string_view::npos)
      fail_here(static_cast<unsigned char>(c) < 0x20 ? "unexpected control character"
                                                     : fmt::format("unexpected '{}'", c));
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char want = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty() || open.back() != want) fail_here(fmt::format("unexpected '{}'", c));
      open.pop_back();
    }
    push(Token::Kind::kOperator, rest_.substr(0, 1));
    advance(1);
  }

  void number() {
    std::size_t n = 0;
    const auto skip_digits = [&] {
      while (n < rest_.size() && is_digit(rest_[n])) ++n;
    };
    skip_digits();
    // "1.x" is an attribute of 1; after a dot ("a.0.1") there are no floats.
    const bool after_dot =
        tokens_.back().kind == Token::Kind::kOperator && tokens_.back().text == ".";
    const bool is_float =
        !after_dot && n + 1 < rest_.size() && rest_[n] == '.' && is_digit(rest_[n + 1]);
    if (is_float) {
      ++n;
      skip_digits();
    }
    const std::string digits(rest_.substr(0, n));
    Token token;
    token.kind = Token::Kind::kNumber;
    token.line = line_;
    token.text = digits;
    if (is_float) {
      token.number = std::strtod(digits.c_str(), nullptr);
    } else {
      std::int64_t v = 0;
      if (std::from_chars(digits.data(), digits.data() + digits.size(), v).ec != std::errc())
        fail_here("an integer is too large");
      token.number = v;
    }
    tokens_.push_back(std::move(token));
    advance(n);
  }

  void string() {
    const char quote = rest_.front();
    std::string out;
    std::size_t i = 1;
    for (;; ++i) {
      if (i >= rest_.size()) fail_here("a string has no end");
      const char c = rest_[i];
      if (c == quote) break;
      if (c == '\\' && i + 1 < rest_.size())
        escape(++i, out);
      else
        out += c;
    }
    push(Token::Kind::kString, out);
    advance(i + 1);
  }
  // rest_[i] stands after the backslash; leaves i at the escape's last character.
  void escape(std::size_t& i, std::string& out) {
    const char c = rest_[i];
    static constexpr std::string_view kFrom = "abfnrtv\\'\"", kTo = "\a\b\f\n\r\t\v\\'\"";
    if (const auto at = kFrom.find(c); at != kFrom.npos) {
      out += kTo[at];
    } else if (c == '\n') {
      // a line that goes on
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      std::uint32_t code = 0;
      const std::string_view hex = rest_.substr(i + 1, n);
      const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
      if (hex.size() != n || error != std::errc() || end != hex.data() + n)
        fail_here("a string has a broken escape");
      append_utf8(out, code);
      i += n;
    } else {
      out.append(1, '\\').append(1, c);
    }
  }

  std::string source_;
  std::string_view rest_;
  std::vector<Token> tokens_;
  int line_ = 1;
  bool line_start_ = true;  // rest_ begins a line
};

}  // namespace

std::vector<Token> lex(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace tack::jinja
