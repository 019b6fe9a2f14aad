#include "mephisto/cron/time_zone.h"

#include <cctz/time_zone.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "base/text.h"

namespace mephisto {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

// Far beyond all times of jobs, and far from the limits of the arithmetic.
constexpr sys_seconds kFirst = std::chrono::sys_days{std::chrono::year{-9999} / 1 / 1};
constexpr sys_seconds kLast = std::chrono::sys_days{std::chrono::year{9999} / 12 / 31};

// The index that the system has beside its zones.
struct Index {
  std::string version = "unknown";
  std::vector<std::string> names;
};

const Index& zone_index() {
  static const auto all = [] {
    Index read;
    const char* folder = std::getenv("TZDIR");
    std::ifstream file{std::string{folder == nullptr ? "/usr/share/zoneinfo" : folder} + "/tzdata.zi"};
    for (std::string line; std::getline(file, line);) {
      const auto words = split(line, ' ');
      if (line.starts_with("# version ") && words.size() == 3) read.version = words[2];
      if (words[0] == "Z" && words.size() > 1) read.names.push_back(words[1]);
      if (words[0] == "L" && words.size() > 2) read.names.push_back(words[2]);
    }
    return read;
  }();
  return all;
}

// Without the index, a name must not lead out of the folder of the zones.
bool may_be_zone(std::string_view name) {
  if (const auto& names = zone_index().names; !names.empty()) return std::ranges::find(names, name) != names.end();
  return !name.empty() && name.front() != '/' && name.find("..") == std::string_view::npos &&
         name.find(':') == std::string_view::npos && name != "localtime";
}

// Many write them from memory: `america/new york`.
std::string suggestion(std::string_view name) {
  const auto& names = zone_index().names;
  const auto plain = [](std::string_view text) {
    auto lower = to_lower(text);
    std::ranges::replace(lower, ' ', '_');
    return lower;
  };
  for (const auto& one : names) {
    const auto wanted = plain(name);
    const auto found = plain(one);
    if (found == wanted || found.ends_with("/" + wanted)) return fmt::format("; did you mean \"{}\"?", one);
  }
  return did_you_mean(name, names);
}

}  // namespace

struct TimeZone::Data {
  std::string name;
  cctz::time_zone zone;

  seconds offset_at(sys_seconds time) const { return seconds{zone.lookup(time).offset}; }
};

Result<TimeZone> TimeZone::find(std::string_view name) {
  auto data = std::make_shared<Data>();
  data->name = name;
  if (!may_be_zone(name) || !cctz::load_time_zone(data->name, &data->zone)) {
    return fail(
        ErrorKind::kInvalid,
        fmt::format("there is no time zone \"{}\"{}: write a name of the IANA database, like Europe/Berlin or UTC",
                    printable(name), suggestion(name)));
  }
  return TimeZone{std::move(data)};
}

const std::string& TimeZone::data_version() { return zone_index().version; }

const std::string& TimeZone::name() const { return data_->name; }

TimeZone::Span TimeZone::at(sys_seconds time) const {
  const auto& zone = data_->zone;
  Span span{kFirst, kLast, data_->offset_at(time), data_->offset_at(time)};
  cctz::time_zone::civil_transition change;
  if (zone.prev_transition(time + seconds{1}, &change)) {
    span.begin = zone.lookup(change.to).trans;
    span.offset_before = data_->offset_at(span.begin - seconds{1});
  }
  if (zone.next_transition(time, &change)) span.end = zone.lookup(change.to).trans;
  return span;
}

std::string TimeZone::format(sys_seconds time) const {
  const auto offset = data_->offset_at(time);
  const auto minutes = std::chrono::abs(std::chrono::duration_cast<std::chrono::minutes>(offset));
  return fmt::format("{:%Y-%m-%d %H:%M:%S} {}{:02}:{:02}", time + offset, offset < seconds{0} ? '-' : '+',
                     minutes.count() / 60, minutes.count() % 60);
}

}  // namespace mephisto
