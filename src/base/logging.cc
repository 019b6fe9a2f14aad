#include "mephisto/logging.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "base/log_file.h"
#include "base/log_place.h"
#include "base/private_file.h"
#include "base/text.h"
#include "mephisto/error.h"
#include "mephisto/base/time.h"

namespace mephisto::log {

namespace detail {
Level threshold = Level::kWarn;
}

namespace {

struct Sink {
  std::mutex mutex;
  std::FILE* file = stderr;
  std::string path;  // absolute; empty: standard error
  bool colour = false;
  bool json = false;
  std::vector<std::string> secrets;
};

Sink& sink() {
  static Sink* instance = new Sink;  // never destroyed: lines are written until the process ends
  return *instance;
}

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error", "crit"};
constexpr std::string_view kLabels[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
constexpr std::string_view kColours[] = {"\x1b[2m", "\x1b[1m", "\x1b[33m", "\x1b[31m", "\x1b[1;31m"};

// `horton/agents.cc` → `horton.agents`; `src/log/memory.cc` → `mephisto.log.memory`; for an absolute path, its last two
// parts.
std::string module_of(std::string_view path) {
  std::string prefix;
  if (path.starts_with("src/")) {
    prefix = "mephisto.";
    path.remove_prefix(4);
  } else if (path.starts_with('/')) {
    auto last = path.rfind('/');
    auto before = last == 0 ? 0 : path.rfind('/', last - 1);
    path.remove_prefix(before + 1);
  }
  std::string module{path.substr(0, path.rfind('.'))};
  for (char& c : module) {
    if (c == '/') c = '.';
  }
  return prefix + module;
}

// The plain name from a compiler's full signature: `Task<void> horton::run(int)` → `run`.
std::string_view function_of(std::string_view signature) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  if (auto anonymous = signature.rfind(kAnonymous); anonymous != std::string_view::npos)
    signature.remove_prefix(anonymous + kAnonymous.size());
  signature = signature.substr(0, signature.find('('));
  auto start = signature.find_last_of(": *&");
  auto name = start == std::string_view::npos ? signature : signature.substr(start + 1);
  return name.empty() || name.starts_with('<') ? "main" : name;
}

}  // namespace

std::optional<Level> parse_level(std::string_view text) {
  auto lower = to_lower(text);
  if (lower == "warning") lower = "warn";
  if (lower == "critical") lower = "crit";
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (lower == kNames[i]) return static_cast<Level>(i);
  }
  return std::nullopt;
}

std::string_view to_string(Level level) { return kNames[static_cast<std::size_t>(level)]; }

void configure(const Options& options) {
  std::FILE* file = stderr;
  std::string path;
  if (!options.file.empty()) {
    file = fdopen(open_own_log_file(options.file), "a");
    if (file == nullptr) {
      throw Failure(ErrorKind::kInvalid, fmt::format("cannot write log file {}: {}; name another with --logfile",
                                                     options.file, std::strerror(errno)));
    }
    path = std::filesystem::absolute(options.file).string();
  }
  std::lock_guard lock{sink().mutex};
  if (sink().file != stderr) std::fclose(sink().file);
  sink().file = file;
  sink().path = std::move(path);
  sink().colour = options.colour && isatty(fileno(file)) != 0;
  sink().json = options.json;
  detail::threshold = options.level;
}

void reopen() {
  auto& out = sink();
  std::string path;
  {
    std::lock_guard lock{out.mutex};
    path = out.path;
  }
  if (path.empty()) return;
  std::FILE* file = nullptr;
  try {
    file = fdopen(open_own_log_file(path), "a");
  } catch (const Failure& failure) {
    return error("Cannot open the log file anew: {}; going on with the one before", failure.what());
  }
  if (file == nullptr)
    return error("Cannot open the log file {} anew: {}; going on with the one before", path, std::strerror(errno));
  {
    std::lock_guard lock{out.mutex};
    std::fclose(std::exchange(out.file, file));
  }
  info("Log file {} opened anew", path);
}

Level level() { return detail::threshold; }

void mask_secret(std::string secret) {
  if (secret.size() < 4) return;  // too short to search for without hiding half of every line
  std::lock_guard lock{sink().mutex};
  auto& secrets = sink().secrets;
  secrets.push_back(std::move(secret));
  // The longest first, because one secret may begin with another.
  std::ranges::sort(secrets, std::ranges::greater{}, &std::string::size);
}

namespace {

std::string length(Repeated::time_point from, Repeated::time_point to) {
  return format_duration(std::chrono::duration_cast<std::chrono::seconds>(to - from));
}

}  // namespace

std::optional<std::string> Repeated::due(time_point now) {
  constexpr std::chrono::seconds kFirst{10};
  constexpr std::chrono::seconds kLast{600};
  const bool first = !since_;
  if (first) since_ = next_ = now;
  if (now < next_) return std::nullopt;
  pause_ = first ? kFirst : std::min(pause_ * 2, kLast);
  next_ = now + pause_;
  return first ? "" : fmt::format(" (for {})", length(*since_, now));
}

std::optional<std::string> Repeated::over(time_point now) {
  const auto since = std::exchange(since_, std::nullopt);
  if (!since) return std::nullopt;
  return fmt::format(" after {}", length(*since, now));
}

namespace {

std::string masked(const std::vector<std::string>& secrets, std::string_view text) {
  std::string result{text};
  for (const auto& secret : secrets) {
    for (std::size_t at = 0; (at = result.find(secret, at)) != std::string::npos; at += 3)
      result.replace(at, secret.size(), "***");
  }
  return result;
}

// A JSON string. Bytes that are no UTF-8 are replaced.
std::string quoted(std::string_view text) {
  std::string inner;
  for (const char c : text) {
    switch (c) {
      case '"': inner += "\\\""; break;
      case '\\': inner += "\\\\"; break;
      case '\n': inner += "\\n"; break;
      case '\r': inner += "\\r"; break;
      case '\t': inner += "\\t"; break;
      default: inner += c;
    }
  }
  return '"' + printable_json(inner) + '"';
}

std::string json_line(Level level, const std::source_location& place, std::string_view task, std::string_view text) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  auto line = fmt::format(R"({{"time":"{}","level":"{}","logger":"{}","line":{},"task":{},"message":{})",
                          format_iso8601(now), to_string(level), module_of(place.file_name()), place.line(),
                          quoted(task.empty() ? function_of(place.function_name()) : task), quoted(text));
  if (const auto get = current_record.load()) {
    if (const auto record = get()) {
      line += fmt::format(R"(,"topic":{},"partition":{},"offset":{})", quoted(record->topic), record->partition,
                          record->offset);
      if (!record->trace.empty())
        line += fmt::format(R"(,"trace_id":"{}","span_id":"{}")", record->trace, record->span);
    }
  }
  return line + "}\n";
}

std::string text_line(Level level, const std::source_location& place, std::string_view task, std::string_view text,
                      bool colour) {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  // Escapes line breaks and control characters in foreign text, so that it stays on one line.
  std::string safe;
  if (std::ranges::any_of(text, [](char c) { return c < ' ' || c > '~'; })) text = safe = printable(text, kWhole);
  const auto index = static_cast<std::size_t>(level);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03} | {}{:<8}{} | {}:{}:{} - {}\n",
                     fmt::localtime(std::chrono::system_clock::to_time_t(now)), ms, colour ? kColours[index] : "",
                     kLabels[index], colour ? "\x1b[0m" : "", module_of(place.file_name()),
                     task.empty() ? function_of(place.function_name()) : task, place.line(), text);
}

}  // namespace

void write(Level level, std::source_location place, std::string_view text) {
  std::string_view task = std::string_view{};
  if (auto name = current_task_name.load()) task = name();
  auto& out = sink();
  std::lock_guard lock{out.mutex};
  const auto shown = masked(out.secrets, text);
  const auto line = out.json ? json_line(level, place, task, shown) : text_line(level, place, task, shown, out.colour);
  std::fwrite(line.data(), 1, line.size(), out.file);
  std::fflush(out.file);
}

void write_below(std::string_view lines) {
  auto& out = sink();
  {
    std::lock_guard lock{out.mutex};
    if (!out.json) {
      std::string text;
      for (const auto& line : split(lines, '\n')) {
        if (!line.empty()) text += printable(line, kWhole) + "\n";
      }
      std::fwrite(text.data(), 1, text.size(), out.file);
      std::fflush(out.file);
      return;
    }
  }
  write(Level::kInfo, std::source_location::current(), lines);
}

}  // namespace mephisto::log
