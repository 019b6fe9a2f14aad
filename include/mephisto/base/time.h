// Timestamps of records: milliseconds since 1970-01-01 UTC, as in Kafka, and ISO 8601 text as Faust writes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto {

using Timestamp = std::chrono::sys_time<std::chrono::milliseconds>;
using Microtime = std::chrono::sys_time<std::chrono::microseconds>;

// `2020-01-02T03:04:05.000006Z`; the fraction is written only if it is not zero, then always with six digits (like
// Faust with orjson).
std::string format_iso8601(Microtime time);

// Reads a date with an optional time, fraction and zone (`Z`, `+HH:MM`, `+HHMM`, `+HH`); without a zone it is UTC. Any
// single character may separate date and time. Nothing if the text is not such a time.
std::optional<Microtime> parse_iso8601(std::string_view text);

// `1.5s`, `250ms`, `2m`, `1h`, `7d`, or a plain number of seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// A short duration for people: `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 3 min`.
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace mephisto
